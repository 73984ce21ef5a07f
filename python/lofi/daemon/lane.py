"""Runs the jobs of one lane on its worker and tells the world how each one ends.

A job may fail, the lane may not: it goes on with a fresh worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lofi.daemon import durable, records
from lofi.daemon.events import Events
from lofi.daemon.heartbeat import Heartbeat
from lofi.daemon.history import History
from lofi.daemon.jobs import Job, State, complete_wire
from lofi.daemon.library import Library
from lofi.daemon.playable import Clock, LiveTrack
from lofi.daemon.playback import Player
from lofi.daemon.progress import Progress
from lofi.daemon.queue import Lane, Queue
from lofi.daemon.sidecar import Track
from lofi.daemon.timings import Timings
from lofi.daemon.turns import Turns
from lofi.daemon.worker_process import WorkerProcess, WorkerStartFailed
from lofi.errors import Busy, CacheWriteError, GenerationCancelled, InternalError, LofiError
from lofi.errors import error_for as typed_error
from lofi.paths import Paths
from lofi.settings import Settings
from lofi.wire.frames import (
    Beat,
    Cancelled,
    Done,
    FactsLearned,
    Failed,
    Generate,
    Message,
    PhaseStarted,
    SoundAnnounced,
    StepDone,
    StretchDone,
    Warned,
)

logger = logging.getLogger(__name__)

START_ATTEMPTS = 3
START_PAUSE_SEC = 0.2
LOCK_POLL_SEC = 0.1
SLOW_FACTOR = 5.0
SLOW_MIN_SEC = 10.0


@dataclass(slots=True, eq=False)
class Operation:
    """Work without a track: analysis, a waveform, loading a model. It goes before every job."""

    message: Message
    job_id: str
    future: asyncio.Future[Mapping[str, Any]]
    on_step: Callable[[int, int], None]
    is_cancelled: bool = False


@dataclass(frozen=True, slots=True)
class Studio:
    """What both lanes share."""

    queue: Queue[Job]
    events: Events
    library: Library
    player: Player
    turns: Turns
    settings: Settings
    paths: Paths
    timings: Timings
    history: History
    clock: Clock
    model_fields: Callable[[Job], dict[str, Any]]
    on_change: Callable[[Job], None]
    """Called when a job left the queue, and when it ended."""
    on_backend: Callable[[str], None]
    """Called when a backend was loaded, unloaded or broke."""


@dataclass(slots=True)
class _Take:
    """A job's files and figures while the worker renders it."""

    spool: Path
    file: Path
    latents: Path | None
    sound: SoundAnnounced | None = None
    sound_at: float = 0.0
    frames_ready: int = 0
    facts: dict[str, Any] = field(default_factory=dict)

    def remove(self) -> None:
        for path in (self.spool, self.file, self.latents):
            if path is not None:
                path.unlink(missing_ok=True)


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
        self._operations: deque[Operation] = deque()
        self._operation: Operation | None = None
        self._is_closed = False

    async def run(self) -> None:
        """Serves until cancelled."""
        if self.lane is Lane.LIGHT:
            # A tenth of a second now, so that the first sound does not wait for it.
            with contextlib.suppress(LofiError):
                await self.worker.start()
        while True:
            work = await self._next()
            if isinstance(work, Operation):
                await self._operate(work)
            else:
                await self._generate(work)

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

        Raises:
            Busy: a job is running.
        """
        if self.current is not None or self._operation is not None:
            raise Busy("A job is running", hint="Cancel it, or wait for its end.")
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

    async def _ensure_worker(self) -> None:
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
            await self._ensure_worker()
            async for frame in self.worker.run(operation.message):
                if isinstance(frame, StepDone):
                    operation.on_step(frame.done, frame.total)
                elif isinstance(frame, Done):
                    if not operation.future.done():
                        operation.future.set_result(frame.value)
                elif isinstance(frame, Failed):
                    _refuse(operation, _error(frame))
                elif isinstance(frame, Cancelled):
                    _refuse(operation, GenerationCancelled("The request was cancelled"))
        except LofiError as error:
            self._forget_models()
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

    # Jobs.

    async def _generate(self, job: Job) -> None:
        studio = self._studio
        self.current = job
        job.state = State.GENERATING
        job.started_at = studio.clock.timestamp()
        now = studio.clock.monotonic()
        expected = studio.timings.expect(self._work(job))
        job.progress = Progress(expected.phases if expected else {}, now)
        studio.events.emit("generation_start", job.start_wire())
        studio.on_change(job)
        heartbeat = Heartbeat(lambda: self._say_progress(job), studio.clock)
        self._say_progress(job, now)
        heartbeat.start()
        lock = durable.FileLock(studio.paths.locks / f"gen-{job.track_id}.lock")
        try:
            await self._lock(job, lock)
            track = None if job.is_forced else studio.library.cache.with_digest(job.digest)
            if track is not None:
                heartbeat.stop()
                self._complete_cached(job, track)
            else:
                await self._render(job, heartbeat)
        except LofiError as error:
            heartbeat.stop()
            await self._end(job, error)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            heartbeat.stop()
            logger.exception("job %s failed in the daemon", job.track_id)
            await self._end(job, InternalError(f"{type(error).__name__} in the daemon"))
        finally:
            heartbeat.stop()
            lock.release(remove=True)
            self.current = None
            studio.on_change(job)

    async def _lock(self, job: Job, lock: durable.FileLock) -> None:
        """Waits for a daemon that shares the folder and renders this very track."""
        while not lock.try_lock():
            if job.cancel_reason:
                raise GenerationCancelled("The job was cancelled")
            await asyncio.sleep(LOCK_POLL_SEC)
        if not self._studio.settings.value("daemon.shared"):
            await self._studio.library.on_disk(self._studio.library.cache.rescan)

    async def _render(self, job: Job, heartbeat: Heartbeat) -> None:
        studio = self._studio
        assert job.progress is not None
        began = studio.clock.monotonic()
        unfinished = studio.paths.unfinished
        suffix = records.SUFFIXES[job.format]
        take = _Take(
            spool=durable.unfinished_name(unfinished, job.track_id, ".f32"),
            file=durable.unfinished_name(unfinished, job.track_id, suffix),
            latents=durable.unfinished_name(unfinished, job.track_id, ".safetensors")
            if job.save_latents
            else None,
        )
        message = Generate(
            job_id=job.job_id,
            recipe=job.recipe,
            model=studio.model_fields(job),
            audio={name: audio.path for name, audio in job.request.audio.items()},
            loras=[
                {"path": item.path, "sha256": item.sha256, "scale": scale}
                for item, scale in job.request.adapters
            ],
            spool_path=str(take.spool),
            file_path=str(take.file),
            format=job.format,
            mp3_bitrate_kbps=int(studio.settings.value("audio.mp3_bitrate")),
            latents_path=str(take.latents or ""),
        )
        try:
            await self._ensure_worker()
            if job.cancel_reason:
                raise GenerationCancelled("The job was cancelled")
            done = await self._follow(job, message, take, heartbeat)
            if job.cancel_reason:
                raise GenerationCancelled("The job was cancelled")
            job.state = State.FINISHING
            heartbeat.stop()
            await self._keep(job, done.value, take, studio.clock.monotonic() - began)
        except BaseException:
            take.remove()
            raise

    async def _follow(self, job: Job, message: Generate, take: _Take, heartbeat: Heartbeat) -> Done:
        """Reads the worker's frames up to its ending and returns a good one."""
        assert job.progress is not None
        clock = self._studio.clock
        backend = job.request.backend.type
        has_slowed = False
        async for frame in self.worker.run(message):
            now = clock.monotonic()
            if isinstance(frame, PhaseStarted):
                self._note_loading(backend, is_loading=frame.phase == "loading")
                job.progress.begin(frame.phase, frame.total, now)
                heartbeat.beat()
            elif isinstance(frame, StepDone):
                job.progress.advance(frame.done, frame.total, now)
                heartbeat.beat()
            elif isinstance(frame, SoundAnnounced):
                take.sound, take.sound_at = frame, now
            elif isinstance(frame, StretchDone):
                take.frames_ready = frame.frames
                self._stream(job, take)
            elif isinstance(frame, Warned):
                warning = {"code": frame.code, "message": frame.message}
                job.warnings.append({**warning, "param": frame.param} if frame.param else warning)
            elif isinstance(frame, FactsLearned):
                take.facts.update(frame.values)
            elif isinstance(frame, Beat) and not has_slowed:
                has_slowed = self._warn_if_slow(job, now)
            elif isinstance(frame, Done):
                return frame
            elif isinstance(frame, Failed):
                raise _error(frame)
            elif isinstance(frame, Cancelled):
                raise GenerationCancelled("The job was cancelled")
        raise InternalError("The worker's frames ended without an answer")

    def _stream(self, job: Job, take: _Take) -> None:
        """Lets the player have what is final, from the first stretch on."""
        studio, sound = self._studio, take.sound
        if sound is None or not sound.streams or not job.auto_play:
            return
        if job.is_streaming:
            studio.player.live_progress(job.track_id, take.frames_ready)
            return
        job.is_streaming = True

        async def append() -> None:
            await studio.player.append_live(
                LiveTrack(
                    track_id=job.track_id,
                    spool_path=take.spool,
                    sample_rate=sound.sample_rate,
                    channels=sound.channels,
                    frames_total=sound.frames,
                    gain=sound.gain,
                    frames_ready=take.frames_ready,
                    title=job.title,
                    prompt=job.prompt,
                    announced_at=take.sound_at,
                )
            )
            studio.player.live_progress(job.track_id, take.frames_ready)

        studio.turns.tell(append)

    async def _keep(self, job: Job, value: Mapping[str, Any], take: _Take, seconds: float) -> None:
        """Makes the file a track and says so."""
        studio = self._studio
        assert job.progress is not None
        if not take.file.is_file():
            raise CacheWriteError(f"The worker's file {take.file.name} is missing")
        phases = job.progress.finish(studio.clock.monotonic())
        members = records.new_sidecar(
            job,
            {**take.facts, **value},
            created_at=studio.clock.timestamp(),
            seconds=seconds,
        )
        if take.latents is not None and take.latents.is_file():
            final = studio.paths.tracks / f"{job.track_id}.latents.safetensors"
            await studio.library.on_disk(durable.install, take.latents, final)
            members["has_latents"] = True
        track = await studio.library.add(members, take.file, "generated")
        work = self._work(job)
        if self.lane is Lane.NEURAL:
            self.set_loaded(job.request.backend.type)
            self.sounding = {name: members.get(name) for name in ("device", "dtype")}
        job.state = State.COMPLETE
        wire = track.to_wire()
        studio.events.emit(
            "generation_complete",
            complete_wire(
                wire,
                cached=False,
                origin=job.origin,
                timings=value.get("timings") or {},
                devices=value.get("devices") or {},
                generation_time_sec=round(seconds, 3),
            ),
        )
        self._hand_over(job, track, take.spool)
        studio.timings.learn(work, phases)
        studio.library.later(studio.timings.save)
        if studio.settings.value("history.enabled"):
            noted = records.history_members(wire, job.request.params)
            studio.history.add("generated", studio.clock.timestamp(), noted)
        await studio.library.evict()

    def _hand_over(self, job: Job, track: Track, spool: Path) -> None:
        """The finished track goes to the player; the spool goes when nobody reads it."""
        studio, playable = self._studio, track.playable()

        async def hand_over() -> None:
            try:
                if job.is_streaming:
                    await studio.player.live_finished(job.track_id, playable)
                elif job.auto_play:
                    await studio.player.append(playable)
            finally:
                spool.unlink(missing_ok=True)

        studio.turns.tell(hand_over)

    def _complete_cached(self, job: Job, track: Track) -> None:
        """Another daemon made it while this job waited."""
        studio = self._studio
        job.state = State.COMPLETE
        studio.library.touch(track.track_id)
        studio.events.emit(
            "generation_complete",
            complete_wire(
                track.to_wire(),
                cached=True,
                origin=job.origin,
                timings={},
                devices={},
                generation_time_sec=0,
            ),
        )
        if job.auto_play:
            studio.turns.tell(lambda: studio.player.append(track.playable()))

    async def _end(self, job: Job, error: LofiError) -> None:
        """Tells how a job ended that made no track."""
        studio = self._studio
        is_cancelled = bool(job.cancel_reason)
        if not self.worker.is_running:
            self._forget_models()
        if job.is_streaming:
            # Its sound ends before its job does.
            with contextlib.suppress(Exception):
                await studio.turns.ask(
                    lambda: studio.player.live_failed(job.track_id, cancelled=is_cancelled)
                )
        self._note_loading(job.request.backend.type, is_loading=False)
        if is_cancelled:
            job.state = State.CANCELLED
            studio.events.emit("generation_cancelled", job.cancelled_wire())
            return
        job.state = State.ERROR
        logger.warning("track %s failed: %s: %s", job.track_id, error.code, error)
        studio.events.emit("generation_error", job.error_wire(error))
        if studio.settings.value("history.enabled"):
            members = {
                "track_id": job.track_id,
                "prompt": job.prompt,
                "title": job.title,
                "backend": job.request.backend.type,
                "error": error.code,
            }
            studio.history.add("failed", studio.clock.timestamp(), members)

    # Progress and models.

    def _work(self, job: Job) -> Any:
        is_loaded = job.request.backend.type in self.loaded or self.lane is Lane.LIGHT
        return job.work(str(self._studio.settings.value("model.device")), is_loaded=is_loaded)

    def _say_progress(self, job: Job, at: float | None = None) -> None:
        if job.progress is None or job.state is not State.GENERATING:
            return
        wire = job.progress.to_wire(self._studio.clock.monotonic() if at is None else at)
        if job.request.backend.type == "musicgen":
            wire["tokens_generated"] = wire["step"]
            wire["tokens_estimated"] = wire["total_steps"]
        self._studio.events.emit("generation_progress", {"track_id": job.track_id, **wire})

    def _warn_if_slow(self, job: Job, now: float) -> bool:
        assert job.progress is not None
        if job.progress.phase_sec(now) < SLOW_MIN_SEC:
            return False
        if job.progress.overdue_factor(now) < SLOW_FACTOR:
            return False
        message = f"{job.progress.phase} takes over {SLOW_FACTOR:g} times as long as it did before"
        job.warnings.append({"code": "SLOW_STAGE", "message": message})
        self._studio.events.emit(
            "daemon_error",
            {
                "code": "SLOW_STAGE",
                "message": message,
                "hint": "Another program may be using the device.",
                "fatal": False,
            },
        )
        return True

    def _note_loading(self, backend: str, *, is_loading: bool) -> None:
        wanted = backend if is_loading and backend not in self.loaded else None
        if self.lane is Lane.NEURAL and wanted != self.loading:
            self.loading = wanted
            self._studio.on_backend(backend)

    def _forget_models(self) -> None:
        if not self.worker.is_running and self.loaded:
            gone, self.loaded = self.loaded, []
            for name in gone:
                self._studio.on_backend(name)


def _error(frame: Failed) -> LofiError:
    data = {name: value for name, value in frame.data.items() if name not in ("message", "hint")}
    return typed_error(frame.code, frame.message, hint=frame.hint or None, **data)


def _refuse(operation: Operation, error: LofiError) -> None:
    if not operation.future.done():
        operation.future.set_exception(error)
