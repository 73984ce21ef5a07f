"""One seat for a worker: spawns it, speaks frames with it, replaces it when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import subprocess
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence

from lofi.daemon.adopted import adopt
from lofi.errors import InternalError, LofiError, ModelInferenceFailed, WorkerTimeout
from lofi.wire.frames import (
    Beat,
    Cancel,
    Cancelled,
    Done,
    Failed,
    FrameError,
    FrameReader,
    Message,
    Ready,
    pack,
)

logger = logging.getLogger(__name__)

READY_LIMIT_SEC = 60.0
"""A cold Python on a slow disk; workers import little before they are ready."""
OBEY_LIMIT_SEC = 10.0
"""From a cancel to the kill."""
SILENCE_LIMIT_SEC = 120.0
"""Workers beat at least once a second while a job runs."""
EXIT_LIMIT_SEC = 0.5
FRAMES_AHEAD = 1000
"""Frames kept before the pipe is left to fill: a bound, not a target."""
LAST_LINES = 20


class WorkerDied(ModelInferenceFailed):
    """The process ended without an answer."""

    code = "MODEL_INFERENCE_FAILED"
    default_hint = "Try again; a fresh worker is ready. :Lofi log says more."


class WorkerStartFailed(InternalError):
    """The process did not come up."""

    code = "INTERNAL_ERROR"
    default_hint = "Run :checkhealth lofi; its Python section names what is missing."


class WorkerProcess:
    """A worker that is started when first needed and again whenever the last one has died.

    Args:
        role: `light` or `neural`; names it in the log.
        command: the argument list to start it with.
        environment: of the process.
        begun: the first process, if it is coming up already.
    """

    def __init__(
        self,
        role: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        begun: subprocess.Popen[bytes] | None = None,
    ) -> None:
        self.role = role
        self.memory_bytes = 0
        self.failed_starts = 0
        """In a row."""
        self._command = list(command)
        self._environment = dict(environment)
        self._begun = begun
        self._transport: asyncio.SubprocessTransport | None = None
        self._process: _Process | None = None
        self._running_job: str | None = None
        """What the process works on: only its cancel may end the process."""
        self._killing: asyncio.TimerHandle | None = None
        self._starting = asyncio.Lock()
        self._is_closed = False

    @property
    def is_running(self) -> bool:
        return self._process is not None and not self._process.has_ended

    @property
    def pid(self) -> int | None:
        return self._transport.get_pid() if self._transport and self.is_running else None

    async def start(self) -> None:
        """Brings a process up and waits until it is ready; nothing if one is.

        Raises:
            WorkerStartFailed: it ended or said nothing in time, or the daemon is leaving.
        """
        async with self._starting:
            if self.is_running:
                return
            if self._is_closed:
                raise WorkerStartFailed(f"The {self.role} worker is not started any more")
            try:
                await self._start()
            except LofiError:
                self.failed_starts += 1
                raise
            self.failed_starts = 0

    async def _start(self) -> None:
        self._close_transport()
        process = _Process(self.role)
        try:
            transport = await self._launched(process)
        except OSError as error:
            raise WorkerStartFailed(f"The {self.role} worker cannot be started: {error}") from error
        self._transport, self._process = transport, process
        if self._is_closed:
            self.kill()
        try:
            async with asyncio.timeout(READY_LIMIT_SEC):
                ready = await process.next()
        except TimeoutError as error:
            self.kill()
            raise WorkerStartFailed(
                f"The {self.role} worker was not ready within {READY_LIMIT_SEC:g} s"
            ) from error
        if not isinstance(ready, Ready):
            self.kill()
            said = process.last_line()
            raise WorkerStartFailed(
                f"The {self.role} worker ended at its start" + (f": {said}" if said else "")
            )
        logger.info("%s worker %d is ready", self.role, ready.pid)

    async def _launched(self, process: _Process) -> asyncio.SubprocessTransport:
        begun, self._begun = self._begun, None
        if begun is not None:
            return await adopt(begun, process)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.subprocess_exec(
            lambda: process,
            *self._command,
            env=self._environment,
            # Linux shares the cores among sessions first: one that renders must not use up the
            # share of the one that plays.
            start_new_session=True,
        )
        return transport

    async def run(self, message: Message) -> AsyncIterator[Message]:
        """Gives the worker a job and yields its frames; the last is Done, Failed or Cancelled.

        Raises:
            WorkerDied: the process ended, was ended, or spoke nonsense.
            WorkerTimeout: it fell silent and was ended.
        """
        job_id = str(getattr(message, "job_id", ""))
        await self.start()
        process = self._process
        assert process is not None
        self._disarm()
        self._running_job = job_id
        process.send(pack(message))
        try:
            while True:
                try:
                    async with asyncio.timeout(SILENCE_LIMIT_SEC):
                        frame = await process.next()
                except TimeoutError as error:
                    self.kill()
                    raise WorkerTimeout(
                        f"The {self.role} worker gave no sign of life for "
                        f"{SILENCE_LIMIT_SEC:g} s and was ended"
                    ) from error
                if frame is None:
                    raise await self._death()
                if getattr(frame, "job_id", None) != job_id:
                    continue
                if isinstance(frame, Beat):
                    self.memory_bytes = frame.memory_bytes
                yield frame
                if isinstance(frame, (Done, Failed, Cancelled)):
                    return
        finally:
            if self._running_job == job_id:
                self._running_job = None
                self._disarm()

    def cancel(self, job_id: str) -> None:
        """Asks the worker to drop its job; ends the process if it does not obey.

        Nothing for a job that it was not given: whoever waits to give it looks for himself.
        """
        if job_id != self._running_job or not self.is_running or self._process is None:
            return
        self._process.send(pack(Cancel(job_id)))
        if self._killing is None:
            loop = asyncio.get_running_loop()
            self._killing = loop.call_later(OBEY_LIMIT_SEC, self._kill_disobedient)

    async def stop(self) -> None:
        """Ends the process: kindly, by closing its stdin, then firmly."""
        process = self._process
        if process is None or self._transport is None:
            return
        process.close_stdin()
        try:
            async with asyncio.timeout(EXIT_LIMIT_SEC * 2):
                await process.ended.wait()
        except TimeoutError:
            self.kill()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EXIT_LIMIT_SEC):
                    await process.ended.wait()
        self._close_transport()
        self.memory_bytes = 0

    def kill(self) -> None:
        """Ends the process now."""
        if self._transport is not None and self.is_running:
            with contextlib.suppress(ProcessLookupError):
                self._transport.kill()
        self.memory_bytes = 0

    def close(self) -> None:
        """Ends the process for good: none is started any more."""
        self._is_closed = True
        self.kill()

    def _close_transport(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _kill_disobedient(self) -> None:
        self._killing = None
        logger.warning("the %s worker did not stop its job; ending it", self.role)
        self.kill()

    def _disarm(self) -> None:
        if self._killing is not None:
            self._killing.cancel()
            self._killing = None

    async def _death(self) -> LofiError:
        process, transport = self._process, self._transport
        assert process is not None and transport is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(EXIT_LIMIT_SEC):
                await process.ended.wait()
        self.kill()  # it closed its pipe and lives on, or spoke nonsense
        status = transport.get_returncode()
        how = _describe(status)
        logger.error("the %s worker %s; last words: %s", self.role, how, process.last_line())
        if status is not None and how.endswith("SIGKILL"):
            how += "; the system may have run out of memory"
        return WorkerDied(f"The {self.role} worker {how}", status=status)


def _describe(status: int | None) -> str:
    if status is None:
        return "closed its pipe"
    if status < 0:
        try:
            return f"was ended by {signal.Signals(-status).name}"
        except ValueError:
            return f"was ended by signal {-status}"
    return f"ended with status {status}"


class _Process(asyncio.SubprocessProtocol):
    """Frames of one process's life; stderr goes to the log, line by line."""

    def __init__(self, role: str) -> None:
        self.ended = asyncio.Event()
        self._log = logging.getLogger(f"lofi.worker.{role}")
        self._reader = FrameReader()
        self._frames: deque[Message] = deque()
        self._arrived = asyncio.Event()
        self._is_over = False
        self._stdin: asyncio.WriteTransport | None = None
        self._stdout: asyncio.ReadTransport | None = None
        self._rest = b""
        self._lines: deque[str] = deque(maxlen=LAST_LINES)

    @property
    def has_ended(self) -> bool:
        return self.ended.is_set() or self._is_over

    async def next(self) -> Message | None:
        """Returns the next frame, None when there will be no more."""
        while not self._frames:
            if self._is_over:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        frame = self._frames.popleft()
        if self._stdout is not None and len(self._frames) < FRAMES_AHEAD // 2:
            with contextlib.suppress(RuntimeError):
                if not self._stdout.is_closing() and not self._stdout.is_reading():
                    self._stdout.resume_reading()
        return frame

    def send(self, data: bytes) -> None:
        if self._stdin is not None and not self._stdin.is_closing():
            self._stdin.write(data)

    def close_stdin(self) -> None:
        if self._stdin is not None:
            self._stdin.close()

    def last_line(self) -> str:
        return next((line for line in reversed(self._lines) if line.strip()), "")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.SubprocessTransport)
        stdin, stdout = transport.get_pipe_transport(0), transport.get_pipe_transport(1)
        assert isinstance(stdin, asyncio.WriteTransport)
        assert isinstance(stdout, asyncio.ReadTransport)
        self._stdin, self._stdout = stdin, stdout

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 2:
            self._take_lines(data)
            return
        try:
            self._frames.extend(self._reader.feed(data))
        except FrameError as error:
            self._log.error("broken frames: %s", error)
            self._finish()
        if len(self._frames) > FRAMES_AHEAD and self._stdout is not None:
            self._stdout.pause_reading()
        self._arrived.set()

    def pipe_connection_lost(self, fd: int, error: Exception | None) -> None:
        if fd == 1:
            self._finish()

    def process_exited(self) -> None:
        self.ended.set()

    def connection_lost(self, error: Exception | None) -> None:
        self.ended.set()
        self._finish()

    def _finish(self) -> None:
        self._is_over = True
        self._arrived.set()

    def _take_lines(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            text = line.decode(errors="replace").rstrip()
            self._lines.append(text)
            self._log.info("%s", text)
