"""A blocking conversation with the daemon, for the command line: calls, answers, notifications.

It joins the shared daemon's socket when one answers; else it starts the relay, as the plugin does,
or a private daemon on pipes.
"""

from __future__ import annotations

import os
import select
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any

from lofi.errors import InternalError, LofiError, WorkerTimeout, error_for
from lofi.paths import Paths
from lofi.socket_folder import has_folder
from lofi.wire.jsonrpc import LineReader, Notification, Response, encode_request

CHUNK_BYTES = 65536
STOP_LIMIT_SEC = 5.0


class NotRunning(LofiError):
    """No daemon answers, and the command must not start one."""

    code = "DAEMON_NOT_FOUND"
    number = -32090


class Client:
    """One connection. Use it in a `with` block; leaving it leaves the daemon."""

    def __init__(self, read_fd: int, write_fd: int, process: subprocess.Popen[bytes] | None,
                 connection: socket.socket | None) -> None:  # fmt: skip
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._process = process
        self._socket = connection
        self._reader = LineReader()
        self._answers: dict[int | str, Response] = {}
        self._notifications: deque[Notification] = deque()
        self._last_id = 0
        self._unanswered: bytearray | None = None
        """What was sent before the first answer, where another daemon may be asked instead."""

    @classmethod
    def running(cls, paths: Paths) -> Client:
        """Joins the daemon that is up.

        Raises:
            NotRunning: none is.
            SocketRefused: its folder is not ours alone, and who listens there may be anybody.
        """
        if not has_folder(paths.socket):
            raise NotRunning("Nothing is running", hint="lofi play starts it.")
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(paths.socket))
        except OSError as error:
            connection.close()
            raise NotRunning("Nothing is running", hint="lofi play starts it.") from error
        return cls(connection.fileno(), connection.fileno(), None, connection)

    @classmethod
    def shared(cls, paths: Paths) -> Client:
        """Joins the shared daemon and starts it when none answers."""
        try:
            client = cls.running(paths)
        except NotRunning:
            return cls._spawned(["daemon", "--shared"])
        client._unanswered = bytearray()  # it may be on its way out, and cut us off
        return client

    @classmethod
    def private(cls, *options: str) -> Client:
        """Starts a daemon of this client's own, which ends with it."""
        return cls._spawned(["daemon", *options])

    @classmethod
    def _spawned(cls, arguments: list[str]) -> Client:
        process = subprocess.Popen(
            [sys.executable, "-m", "lofi", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the client, which cancels and then leaves
        )
        assert process.stdin is not None and process.stdout is not None
        return cls(process.stdout.fileno(), process.stdin.fileno(), process, None)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leaves; a private daemon ends."""
        if self._socket is not None:
            self._socket.close()
        if self._process is not None:
            assert self._process.stdin is not None and self._process.stdout is not None
            self._process.stdin.close()
            try:
                self._process.wait(STOP_LIMIT_SEC)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process.stdout.close()

    def initialize(self, name: str, config: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Introduces this client."""
        from lofi import __version__

        params: dict[str, Any] = {
            "client": {"name": name, "version": __version__},
            "client_pid": os.getpid(),
            "resume": False,
        }
        if config:
            params["config"] = dict(config)
        result = self.call("initialize", params)
        assert isinstance(result, dict)
        return result

    def send(self, method: str, params: Mapping[str, Any] | None = None) -> int:
        """Sends a call and returns its id."""
        self._last_id += 1
        data = encode_request(self._last_id, method, params or {})
        if self._unanswered is not None:
            self._unanswered += data
        self._write(data)
        return self._last_id

    def call(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        limit_sec: float = 60.0,
        on_note: Callable[[Notification], None] | None = None,
    ) -> Any:
        """Returns the method's result; `on_note` hears what comes meanwhile.

        Raises:
            LofiError: what the daemon answered, or that it is gone.
        """
        return self.answer(self.send(method, params), limit_sec=limit_sec, on_note=on_note)

    def answer(
        self,
        ident: int,
        *,
        limit_sec: float = 60.0,
        on_note: Callable[[Notification], None] | None = None,
    ) -> Any:
        """Returns the result of the call with this id; notifications wait if nobody hears them."""
        end = time.monotonic() + limit_sec
        while ident not in self._answers:
            if not self._read(end - time.monotonic()):
                raise WorkerTimeout(f"The daemon did not answer within {limit_sec:g} s")
            while on_note is not None and self._notifications:
                on_note(self._notifications.popleft())
        response = self._answers.pop(ident)
        if response.error is not None:
            raise _typed(response.error)
        return response.result

    def notifications(self, idle_sec: float = 1.0) -> Iterator[Notification | None]:
        """Yields each notification as it comes, and None after `idle_sec` without one."""
        while True:
            while self._notifications:
                yield self._notifications.popleft()
            if not self._read(idle_sec):
                yield None

    def _read(self, limit_sec: float) -> bool:
        ready, _, _ = select.select([self._read_fd], [], [], max(0.0, limit_sec))
        if not ready:
            return False
        try:
            chunk = os.read(self._read_fd, CHUNK_BYTES)
        except OSError:
            chunk = b""
        if not chunk:
            if self._unanswered is None:
                raise InternalError("The daemon ended", hint="lofi logs says why.")
            self._ask_anew()
            return True
        self._unanswered = None
        for message in self._reader.feed(chunk):
            if isinstance(message, Response) and message.id is not None:
                self._answers[message.id] = message
            elif isinstance(message, Notification):
                self._notifications.append(message)
        return True

    def _write(self, data: bytes | bytearray) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._write_fd, rest) :]
        except OSError:
            return  # whoever reads the answer hears that there will be none

    def _ask_anew(self) -> None:
        """The daemon left before it answered: asks one that the relay finds or starts."""
        asked, self._unanswered = self._unanswered or bytearray(), None
        self.close()
        other = self._spawned(["daemon", "--shared"])
        self._read_fd, self._write_fd = other._read_fd, other._write_fd
        self._process, self._socket = other._process, None
        self._write(asked)


def _typed(error: Mapping[str, Any]) -> LofiError:
    data = dict(error.get("data") or {})
    code = str(data.pop("code", "INTERNAL_ERROR"))
    hint = data.pop("hint", None)
    data.pop("retryable", None)
    return error_for(code, str(error.get("message", code)), hint=hint, **data)
