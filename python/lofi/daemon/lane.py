"""Runs the jobs of one lane on its worker and tells the world how each one ends.

A job may fail, the lane may not: it goes on with a fresh worker.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lofi.daemon.jobs import Job, State
from lofi.daemon.queue import Lane
from lofi.daemon.rendering import Rendering, failure
from lofi.daemon.studio import Studio
from lofi.daemon.timings import Work
from lofi.daemon.worker_process import WorkerProcess, WorkerStartFailed
from lofi.errors import Busy, GenerationCancelled, InternalError, LofiError
from lofi.wire.frames import Cancelled, Done, Failed, Message, StepDone

logger = logging.getLogger(__name__)

START_ATTEMPTS = 3
START_PAUSE_SEC = 0.2


@dataclass(slots=True, eq=False)
class Operation:
    """Work without a track: analysis, a waveform, loading a model. It goes before every job."""

    message: Message
    job_id: str
    future: asyncio.Future[Mapping[str, Any]]
    on_step: Callable[[int, int], None]
    is_cancelled: bool = False


class LaneRunner:
    """One worker's jobs, one after the other."""

    def __init__(self, lane: Lane, worker: WorkerProcess, studio: Studio) -> None:
        self.lane = lane
        self.worker = worker
        self.current: Job | None = None
        self.loaded: list[str] = []
        """Backends whose models are in the worker's memory."""
        self.loading: str | None = None
        self.failure: str | None = None
        """Why the worker does not start, once three attempts have failed."""
        self.sounding: Mapping[str, Any] = {}
        """Device and dtype of the last rendering."""
        self._studio = studio
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        """Set whenever a piece of work has been tidied away."""
        self._operations: deque[Operation] = deque()
        self._operation: Operation | None = None
        self._is_closed = False

    async def run(self) -> None:
        """Serves until cancelled."""
        while True:
            work = await self._next()
            if isinstance(work, Operation):
                await self._operate(work)
            else:
                await self._render(work)

    def wake(self) -> None:
        """Tells the lane that there may be something to do, or a setting changed."""
        self._wake.set()

    def ask(self, operation: Operation) -> None:
        """Lines an operation up before all jobs."""
        self._operations.append(operation)
        self.wake()

    def cancel(self, job: Job, reason: str) -> None:
        """Ends the running job; its terminal notification follows."""
        if not job.cancel_reason:
            job.cancel_reason = reason
        self.worker.cancel(job.job_id)
        self.wake()

    def cancel_operation(self, operation: Operation) -> None:
        """Ends an operation, waiting or running."""
        operation.is_cancelled = True
        if operation is self._operation:
            self.worker.cancel(operation.job_id)
        elif operation in self._operations:
            self._operations.remove(operation)
            _refuse(operation, GenerationCancelled("The request was cancelled"))

    async def unload(self, backend: str | None) -> tuple[list[str], int]:
        """Ends the idle worker, which gives all its memory back; returns backends and bytes.

        Work that has ended and is still being tidied away is waited for.

        Raises:
            Busy: a job is running.
        """
        while not self.is_idle:
            if self.busy_job() is not None or self._has_busy_operation():
                raise Busy("A job is running", hint="Cancel it, or wait for its end.")
            self._settled.clear()
            await self._settled.wait()
        if backend is not None and backend not in self.loaded:
            return [], 0
        return await self._let_go()

    def close(self, reason: str) -> None:
        """Cancels what runs and waits; the lane takes nothing new."""
        self._is_closed = True
        for operation in list(self._operations):
            self.cancel_operation(operation)
        if self._operation is not None:
            self.cancel_operation(self._operation)
        if self.current is not None:
            self.cancel(self.current, reason)

    def set_loading(self, backend: str | None) -> None:
        """Notes that a model is being brought into memory, or that it could not be."""
        before, self.loading = self.loading, backend
        self._studio.on_backend(backend or before or "")

    def set_loaded(self, backend: str) -> None:
        """Notes that a backend's model is in memory."""
        keeps = self._studio.settings.value("model.keep_loaded")
        before = [name for name in self.loaded if name != backend] if keeps else []
        gone = [name for name in self.loaded if name != backend and not keeps]
        is_new = backend not in self.loaded or self.loading is not None
        self.loaded, self.loading = [*before, backend], None
        for name in [*gone, backend] if is_new else gone:
            self._studio.on_backend(name)

    @property
    def is_idle(self) -> bool:
        return self.current is None and self._operation is None

    def busy_job(self) -> Job | None:
        """Returns the running job unless it has ended already."""
        return self.current if self.current and not self.current.has_ended else None

    def _has_busy_operation(self) -> bool:
        return self._operation is not None and not self._operation.future.done()

    # Choosing.

    async def _next(self) -> Job | Operation:
        while True:
            self._wake.clear()
            if not self._is_closed:
                if self._operations:
                    return self._operations.popleft()
                job = self._studio.queue.take(self.lane)
                if job is not None:
                    return job
            idle_sec = self._idle_limit_sec()
            try:
                async with asyncio.timeout(idle_sec):
                    await self._wake.wait()
            except TimeoutError:
                logger.info("the %s worker was idle for %s s", self.lane, idle_sec)
                await self._let_go()

    def _idle_limit_sec(self) -> float | None:
        if self.lane is Lane.LIGHT or not self.worker.is_running:
            return None
        seconds = int(self._studio.settings.value("model.idle_unload_sec"))
        return float(seconds) if seconds else None

    async def _let_go(self) -> tuple[list[str], int]:
        # Ending the process is the only way that returns every byte to the system.
        freed = self.worker.memory_bytes
        loaded, self.loaded = self.loaded, []
        await self.worker.stop()
        for name in loaded:
            self._studio.on_backend(name)
        return loaded, freed

    async def ensure_worker(self) -> None:
        """Brings the worker up; says so to everyone when it will not come.

        Raises:
            WorkerStartFailed: three attempts have failed.
        """
        for attempt in range(START_ATTEMPTS):
            try:
                await self.worker.start()
            except WorkerStartFailed as error:
                logger.error("%s", error)
                if attempt + 1 < START_ATTEMPTS:
                    await asyncio.sleep(START_PAUSE_SEC)
                    continue
                self.failure = error.message
                self._studio.events.emit(
                    "daemon_error",
                    {
                        "code": error.code,
                        "message": error.message,
                        "hint": error.hint,
                        "fatal": False,
                    },
                )
                self._studio.on_backend("")
                raise
            if self.failure is not None:
                self.failure = None
                self._studio.on_backend("")
            return

    # Operations.

    async def _operate(self, operation: Operation) -> None:
        self._operation = operation
        try:
            await self.ensure_worker()
            if operation.is_cancelled:  # while the worker came up, which knew nothing of it yet
                raise GenerationCancelled("The request was cancelled")
            async for frame in self.worker.run(operation.message):
                if isinstance(frame, StepDone):
                    operation.on_step(frame.done, frame.total)
                elif isinstance(frame, Done):
                    if not operation.future.done():
                        operation.future.set_result(frame.value)
                elif isinstance(frame, Failed):
                    _refuse(operation, failure(frame))
                elif isinstance(frame, Cancelled):
                    _refuse(operation, GenerationCancelled("The request was cancelled"))
        except LofiError as error:
            self.forget_models()
            if operation.is_cancelled:
                _refuse(operation, GenerationCancelled("The request was cancelled"))
            else:
                _refuse(operation, error)
        except asyncio.CancelledError:
            _refuse(operation, GenerationCancelled("The daemon is ending"))
            raise
        except Exception as error:
            logger.exception("an operation failed")
            _refuse(operation, InternalError(f"{type(error).__name__} in the daemon"))
        finally:
            self._operation = None
            self._settled.set()

    # Jobs and models.

    async def _render(self, job: Job) -> None:
        self.current = job
        try:
            try:
                await Rendering(job, self, self._studio).run()
            finally:
                self.current = None
                self._settled.set()
                self._studio.on_change(job)
        except Exception as error:  # one lost job; the lane goes on
            logger.exception("job %s fell out of its rendering", job.track_id)
            if not job.has_ended:
                job.state = State.ERROR
                lost = InternalError(f"{type(error).__name__} in the daemon")
                self._studio.events.emit("generation_error", job.error_wire(lost))

    def rendered(self, backend: str, sounding: Mapping[str, Any]) -> None:
        """Notes that a job of this backend came to its end, on that device."""
        self.note_loaded(backend)
        if self.lane is Lane.NEURAL:
            self.sounding = sounding

    def work(self, job: Job) -> Work:
        """Returns what the job's time depends on here and now."""
        is_loaded = job.request.backend.type in self.loaded or self.lane is Lane.LIGHT
        return job.work(str(self._studio.settings.value("model.device")), is_loaded=is_loaded)

    def note_loading(self, backend: str, *, is_loading: bool) -> None:
        """Tells the world that a model is on its way into memory, or no longer is."""
        wanted = backend if is_loading and backend not in self.loaded else None
        if self.lane is Lane.NEURAL and wanted != self.loading:
            self.loading = wanted
            self._studio.on_backend(backend)

    def note_loaded(self, backend: str) -> None:
        """Tells the world that a job's model is in memory, whatever becomes of the job."""
        if self.lane is Lane.NEURAL:
            self.set_loaded(backend)

    def forget_models(self) -> None:
        """Takes note of what a worker's death took with it."""
        if not self.worker.is_running and self.loaded:
            gone, self.loaded = self.loaded, []
            for name in gone:
                self._studio.on_backend(name)


def _refuse(operation: Operation, error: LofiError) -> None:
    if not operation.future.done():
        operation.future.set_exception(error)
