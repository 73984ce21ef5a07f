"""stdio <-> socket copy; starts the shared daemon when there is none. It knows no method.

Standard library only: an editor waits for it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from lofi.paths import Paths
from lofi.socket_folder import SocketRefused, check_folder

START_LIMIT_SEC = 15.0
POLL_SEC = 0.003
CHUNK_BYTES = 256 * 1024
AHEAD_BYTES = 1024 * 1024
"""Read ahead of a side that does not take it; beyond, the other side waits."""
LAST_WORDS_SEC = 1.0
"""After stdin's end: for answers that are still on their way."""
STDERR_SHOWN_BYTES = 2000


class NoDaemonError(Exception):
    """No daemon answers and none could be started."""


def main(options: Sequence[str] = (), *, daemon_command: Sequence[str] | None = None) -> int:
    """Copies until either side ends; returns the exit status.

    Args:
        options: for the daemon, if it is this relay that starts it.
    """
    paths = Paths.from_environment(os.environ)
    start = daemon_command or (sys.executable, "-m", "lofi", "daemon", "--socket")
    command = [*start, *options, "--started-by", str(os.getpid())]
    stdin, stdout = os.dup(0), os.dup(1)
    os.dup2(2, 1)  # a stray print must not get into the conversation
    try:
        Relay(paths, command, stdin, stdout).run()
    except NoDaemonError as error:
        sys.stderr.write(f"lofi: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


class Relay:
    """One editor's connection to the one daemon."""

    def __init__(self, paths: Paths, command: list[str], stdin: int, stdout: int) -> None:
        self._paths = paths
        self._command = command
        self._stdin = stdin
        self._stdout = stdout
        self._unanswered = bytearray()
        """What was sent before the first answer: sent again if a leaving daemon cut us off."""
        self._is_answered = False
        self._is_over = False

    def run(self) -> None:
        """Copies until either side ends.

        Raises:
            NoDaemonError: there is nobody to talk to.
        """
        # Cut off before any answer, the daemon was on its way out: a new one, once.
        is_served = self._copy(self._connect()) or self._copy(self._connect())
        if not is_served and not self._is_answered:
            raise NoDaemonError("the daemon ended before it answered; lofi logs says why")
        if not self._is_over and self._paths.socket.exists():
            # One that leaves unlinks its socket first: this one was killed. The editor that sees
            # our status starts another; after an orderly end it does not.
            raise NoDaemonError("the daemon died")

    def _copy(self, daemon: socket.socket) -> bool:
        """Copies; False when the daemon cut us off before any answer."""
        daemon.setblocking(False)
        link = daemon.fileno()
        os.set_blocking(self._stdin, False)
        to_daemon = bytearray(self._unanswered)
        to_editor = bytearray()
        end = None if not self._is_over else time.monotonic() + LAST_WORDS_SEC
        with daemon:
            while True:
                if self._is_over and not to_daemon and end is None:
                    with contextlib.suppress(OSError):
                        daemon.shutdown(socket.SHUT_WR)
                    end = time.monotonic() + LAST_WORDS_SEC
                readers: list[int] = []
                if not self._is_over and len(to_daemon) < AHEAD_BYTES:
                    readers.append(self._stdin)
                if len(to_editor) < AHEAD_BYTES:
                    readers.append(link)
                writers = [link] if to_daemon else []
                if to_editor:
                    writers.append(self._stdout)
                limit = None if end is None else max(0.0, end - time.monotonic())
                readable, writable, _ = select.select(readers, writers, [], limit)
                if end is not None and time.monotonic() >= end:
                    return True
                if self._stdin in readable:
                    self._take(to_daemon)
                if link in readable:
                    chunk = _receive(daemon)
                    if not chunk:
                        self._drain(to_editor)
                        return self._is_answered
                    self._is_answered = True
                    self._unanswered.clear()
                    to_editor += chunk
                if link in writable and not _send(daemon, to_daemon):
                    continue  # reading tells whether anything was answered before the cut
                if self._stdout in writable and not self._write(to_editor):
                    return True

    def _take(self, to_daemon: bytearray) -> None:
        try:
            chunk = os.read(self._stdin, CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self._is_over = True
        to_daemon += chunk
        if not self._is_answered:
            self._unanswered += chunk

    def _write(self, to_editor: bytearray) -> bool:
        """Writes what the editor takes; False when it is gone."""
        try:
            # At most what a pipe takes without blocking once it is writable.
            written = os.write(self._stdout, to_editor[: select.PIPE_BUF])
        except BlockingIOError:
            return True
        except OSError:
            return False
        del to_editor[:written]
        return True

    def _drain(self, to_editor: bytearray) -> None:
        end = time.monotonic() + LAST_WORDS_SEC
        while to_editor and time.monotonic() < end:
            _, writable, _ = select.select([], [self._stdout], [], LAST_WORDS_SEC)
            if not writable or not self._write(to_editor):
                return

    # Finding and starting.

    def _connect(self) -> socket.socket:
        """Returns a connection, to a new daemon if none answers.

        Raises:
            NoDaemonError: none came up in time, or the socket's folder cannot be trusted.
        """
        self._check_folder()
        found = self._try_connect()
        if found is not None:
            return found
        words = self._paths.socket.with_name("daemon.err")
        self._check_editor()
        child = self._start(words)
        end = time.monotonic() + START_LIMIT_SEC
        while time.monotonic() < end:
            self._check_editor()
            found = self._try_connect()
            if found is not None:
                return found
            status = child.poll()
            if status:
                raise NoDaemonError(
                    f"the daemon ended at its start (status {status}): {_last_words(words)}"
                )
            if status == 0 and self._try_connect() is None:
                # Another relay's daemon was there, and has left since: ours comes after it.
                child = self._start(words)
            time.sleep(POLL_SEC)
        raise NoDaemonError(f"the daemon did not come up within {START_LIMIT_SEC:g} s")

    def _check_editor(self) -> None:
        """A daemon is not started, or waited for, for an editor that was killed.

        Raises:
            NoDaemonError: nobody holds the other end of stdout.
        """
        if sys.platform == "win32":
            return
        end = select.poll()
        end.register(self._stdout, 0)
        if any(event & (select.POLLERR | select.POLLHUP) for _, event in end.poll(0)):
            raise NoDaemonError("the editor has gone")

    def _check_folder(self) -> None:
        folder = self._paths.socket.parent
        try:
            check_folder(self._paths.socket)
        except SocketRefused as error:
            raise NoDaemonError(f"{error.message}. {error.hint}") from error
        except OSError as error:
            raise NoDaemonError(f"{folder} cannot be used: {error.strerror}") from error

    def _try_connect(self) -> socket.socket | None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(self._paths.socket))
        except OSError as error:
            connection.close()
            if error.errno not in (errno.ENOENT, errno.ECONNREFUSED, errno.ENOTDIR, errno.EAGAIN):
                raise NoDaemonError(f"{self._paths.socket}: {error.strerror}") from error
            return None
        return connection

    def _start(self, words: Path) -> subprocess.Popen[bytes]:
        """Starts the daemon apart from us: it outlives this relay and its terminal."""
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
            complaints = os.open(words, flags, 0o600)
        except OSError as error:
            raise NoDaemonError(f"{words} cannot be written: {error.strerror}") from error
        try:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=complaints,
                cwd="/",
                start_new_session=True,
                env=_environment(),
            )
        finally:
            os.close(complaints)


def _environment() -> dict[str, str]:
    """Returns ours, with our own source folder found from any working directory."""
    source = str(Path(__file__).resolve().parents[2])
    rest = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    absolute = [str(Path(part).absolute()) for part in rest]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys([source, *absolute]))}


def _receive(daemon: socket.socket) -> bytes | None:
    """Returns bytes, None or nothing when the daemon has gone."""
    try:
        return daemon.recv(CHUNK_BYTES)
    except BlockingIOError:
        raise AssertionError("select said it was readable") from None
    except OSError:
        return None


def _send(daemon: socket.socket, to_daemon: bytearray) -> bool:
    try:
        sent = daemon.send(to_daemon)
    except BlockingIOError:
        return True
    except OSError:
        to_daemon.clear()
        return False
    del to_daemon[:sent]
    return True


def _last_words(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")[-STDERR_SHOWN_BYTES:]
    except OSError:
        text = ""
    return text.strip() or "it said nothing"
