"""Clients of a real daemon: a process or a socket, every message kept in the order it came."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.clock import limit, until

REPO = Path(__file__).resolve().parents[2]
NAP_SEC = 0.1
"""Longest between two looks at the clock; what is read wakes who waits for it."""
Message = dict[str, Any]


class Home:
    """A user of one's own: folders, environment, and the processes started in it."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="lofi-"))  # short: a socket path has 100 bytes
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LOFI_")}
        self.environment = {
            **kept,
            "HOME": str(self.path),
            "XDG_RUNTIME_DIR": str(self.path / "run"),
            "XDG_STATE_HOME": str(self.path / "state"),
            "XDG_CACHE_HOME": str(self.path / "cache"),
            "XDG_CONFIG_HOME": str(self.path / "config"),
            "PYTHONPATH": f"{REPO / 'python'}{os.pathsep}{REPO}",
            "LOFI_AUDIO_OUTPUT": "null",
            "LOFI_LOG_LEVEL": "info",
            "OMP_NUM_THREADS": "1",
        }
        (self.path / "run").mkdir(mode=0o700)
        self.socket = self.path / "run" / "lofi" / "daemon.sock"
        self.tracks = self.path / "cache" / "lofi.nvim" / "tracks"
        self.state = self.path / "state" / "lofi"
        self._callers: list[Caller] = []

    def start(self, role: str, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        """Starts a process of this role, its stdin and stdout pipes."""
        return subprocess.Popen(
            [sys.executable, "-m", "tests.daemon.serve", role, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**self.environment, **environment},
            cwd=REPO,
        )

    def caller(self, role: str = "stdio", *arguments: str, **environment: str) -> Caller:
        """Starts a process of this role and talks to it."""
        process = self.start(role, *arguments, **environment)
        assert process.stdin is not None and process.stdout is not None
        caller = Caller(process.stdin.fileno(), process.stdout.fileno(), process, None)
        self._callers.append(caller)
        return caller

    def connect(self) -> Caller:
        """Talks to the running shared daemon."""
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(self.socket))
        caller = Caller(connection.fileno(), connection.fileno(), None, connection)
        self._callers.append(caller)
        return caller

    def install_musicgen(self) -> None:
        """Puts weights there that look whole; the band plays in their place."""
        folder = self.path / "cache" / "lofi.nvim" / "musicgen" / "small"
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
        data = struct.pack("<Q", len(header)) + header + b"\0\0\0\0"
        (folder / "model.safetensors").write_bytes(data)

    def log(self) -> str:
        path = self.state / "lofi.log"
        return path.read_text() if path.exists() else "(no log)"

    def processes(self) -> list[int]:
        """Returns the daemons, relays and workers of this home that live."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                environment = (entry / "environ").read_bytes()
                command = (entry / "cmdline").read_bytes()
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            ours = f"HOME={self.path}".encode() + b"\0" in environment
            is_part = b"\0tests.daemon.serve\0" in command or b"\0-m\0lofi" in command
            if ours and state != "Z" and is_part:
                found.append(int(entry.name))
        return found

    def processes_of(self, role: str) -> list[int]:
        """Returns those of one role (`socket`, `worker`, `relay`)."""
        found = []
        for pid in self.processes():
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if role.encode() in words:
                found.append(pid)
        return found

    def close(self) -> None:
        for caller in self._callers:
            caller.close()
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):  # it was on its way out
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.path, ignore_errors=True)


class Caller:
    """One client."""

    def __init__(
        self,
        write_fd: int,
        read_fd: int,
        process: subprocess.Popen[bytes] | None,
        connection: socket.socket | None,
    ) -> None:
        self.process = process
        self.messages: list[Message] = []
        self.has_ended = False
        self._write_fd = write_fd
        self._read_fd = read_fd
        self._connection = connection
        self._last_id = 0
        self._has_read = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._write_fd, data) :]

    def send(self, method: str, **params: Any) -> int:
        """Sends a call and returns its id."""
        self._last_id += 1
        call = {"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params}
        self.write(json.dumps(call).encode() + b"\n")
        return self._last_id

    def notify(self, method: str, **params: Any) -> None:
        self.write(
            json.dumps({"jsonrpc": "2.0", "method": method, "params": params}).encode() + b"\n"
        )

    def answer(self, ident: int, seconds: float = 15) -> Message:
        """Waits for the whole answer with this id."""
        return self.wait(lambda message: message.get("id") == ident, seconds)

    def call(self, method: str, **params: Any) -> Any:
        """Returns the result; an error answer fails the test."""
        answer = self.answer(self.send(method, **params))
        assert "result" in answer, answer
        return answer["result"]

    def refused(self, method: str, **params: Any) -> Message:
        """Returns the error object of a call that must fail."""
        answer = self.answer(self.send(method, **params))
        assert "error" in answer, answer
        error: Message = answer["error"]
        return error

    def initialize(self, **params: Any) -> Any:
        return self.call("initialize", client={"name": "test"}, **params)

    def wait(self, wanted: Callable[[Message], bool], seconds: float = 15) -> Message:
        """Returns the first message, old or new, that is wanted."""
        end = time.monotonic() + limit(seconds)
        seen = 0
        while True:
            self._has_read.clear()
            messages = list(self.messages)
            for message in messages[seen:]:
                if wanted(message):
                    return message
            seen = len(messages)
            if self.has_ended and len(self.messages) == seen:
                raise AssertionError(f"the daemon ended; last: {_brief(messages)}")
            if time.monotonic() > end:
                raise AssertionError(f"waited {seconds} s in vain; last: {_brief(messages)}")
            self._has_read.wait(NAP_SEC)
            time.sleep(0.003)  # what comes right behind is then read with it

    def event(self, method: str, seconds: float = 15, **params: Any) -> Message:
        """Returns the params of the first such notification whose params contain these."""

        def wanted(message: Message) -> bool:
            return message.get("method") == method and _has(message["params"], params)

        found: Message = self.wait(wanted, seconds)["params"]
        return found

    def ending(self, track_id: str, seconds: float = 20) -> tuple[str, Message]:
        """Returns the terminal notification of a job: its method and params."""
        message = self.wait(lambda each: _ends(each, track_id), seconds)
        return message["method"], message["params"]

    def endings(self, track_id: str) -> list[str]:
        return [each["method"] for each in list(self.messages) if _ends(each, track_id)]

    def named(self, method: str) -> list[Message]:
        return [each["params"] for each in list(self.messages) if each.get("method") == method]

    def index(self, wanted: Callable[[Message], bool]) -> int:
        return next(place for place, each in enumerate(list(self.messages)) if wanted(each))

    def hang_up(self) -> None:
        """Closes our side."""
        if self._connection is not None:
            self._connection.close()
        elif self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()

    def ended(self, seconds: float = 5) -> int:
        """Waits for the process and returns its exit status."""
        assert self.process is not None
        return self.process.wait(limit(seconds))

    def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)
            self._connection.close()
        if self.process is not None:
            assert self.process.stdin is not None and self.process.stdout is not None
            if not self.process.stdin.closed:
                self.process.stdin.close()
            try:
                self.process.wait(limit(3))
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._thread.join(limit(2))
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()

    def _read(self) -> None:
        rest = b""
        while True:
            try:
                chunk = os.read(self._read_fd, 1 << 16)
            except OSError:
                break
            if not chunk:
                break
            *lines, rest = (rest + chunk).split(b"\n")
            self.messages.extend(json.loads(line) for line in lines)
            self._has_read.set()
        self.has_ended = True
        self._has_read.set()


def _has(params: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(params.get(name) == value for name, value in wanted.items())


def _ends(message: Message, track_id: str) -> bool:
    terminal = ("generation_complete", "generation_error", "generation_cancelled")
    return message.get("method") in terminal and message["params"]["track_id"] == track_id


def _brief(messages: list[Message]) -> str:
    return "\n".join(json.dumps(message)[:300] for message in messages[-12:])


def gone(home: Home, seconds: float) -> None:
    """Fails unless every process of this home ends in time."""
    until(lambda: not home.processes(), seconds, "an empty process table")
