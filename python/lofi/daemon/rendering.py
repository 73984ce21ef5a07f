"""One job on its worker, from `generation_start` to its one terminal notification."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Any

from lofi.daemon import durable, records
from lofi.daemon.crew import Crew
from lofi.daemon.finishing import Finishing, Workpiece
from lofi.daemon.heartbeat import Heartbeat
from lofi.daemon.jobs import Job, State
from lofi.daemon.player.playable import LiveTrack
from lofi.daemon.progress import Progress
from lofi.daemon.studio import Studio
from lofi.errors import GenerationCancelled, InternalError, LofiError, error_for
from lofi.wire.frames import (
    Beat,
    Cancelled,
    Done,
    FactsLearned,
    Failed,
    Generate,
    PhaseStarted,
    SoundAnnounced,
    StepDone,
    StretchDone,
    Warned,
)

logger = logging.getLogger(__name__)

LOCK_POLL_SEC = 0.1
SLOW_FACTOR = 5.0
SLOW_MIN_SEC = 10.0


class Rendering:
    """One job being rendered.

    Args:
        crew: the lane whose worker does it.
    """

    def __init__(self, job: Job, crew: Crew, studio: Studio) -> None:
        self._job = job
        self._crew = crew
        self._studio = studio
        self._finishing = Finishing(job, crew, studio)

    async def run(self) -> None:
        """Renders the job and tells how it ended, whatever happens."""
        job, studio = self._job, self._studio
        job.state = State.GENERATING
        job.started_at = studio.clock.timestamp()
        now = studio.clock.monotonic()
        expected = studio.timings.expect(self._crew.work(job))
        job.progress = Progress(
            expected.phases if expected else {},
            now,
            is_guess=expected is None or expected.confidence == "guess",
        )
        studio.events.emit("generation_start", job.start_wire())
        studio.on_change(job)
        heartbeat = Heartbeat(self._say_progress, studio.clock)
        self._say_progress(now)
        heartbeat.start(has_said=True)
        lock = durable.FileLock(studio.paths.locks / f"gen-{job.track_id}.lock")
        try:
            await self._lock(lock)
            track = None if job.is_forced else studio.library.cache.with_digest(job.digest)
            if track is not None:
                heartbeat.stop()
                self._finishing.find(track)
            else:
                await self._render(heartbeat)
        except LofiError as error:
            heartbeat.stop()
            await self._end(error)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            heartbeat.stop()
            logger.exception("job %s failed in the daemon", job.track_id)
            await self._end(InternalError(f"{type(error).__name__} in the daemon"))
        finally:
            heartbeat.stop()
            lock.release(remove=True)

    async def _lock(self, lock: durable.FileLock) -> None:
        """Waits for a daemon that shares the folder and renders this very track."""
        library = self._studio.library
        while not lock.try_lock():
            if self._job.cancel_reason:
                raise GenerationCancelled("The job was cancelled")
            await asyncio.sleep(LOCK_POLL_SEC)
        if library.cache.has_changed():
            await library.on_disk(library.cache.rescan)

    async def _render(self, heartbeat: Heartbeat) -> None:
        job, studio = self._job, self._studio
        assert job.progress is not None
        began = studio.clock.monotonic()
        unfinished = studio.paths.unfinished
        suffix = records.SUFFIXES[job.format]
        piece = Workpiece(
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
            spool_path=str(piece.spool),
            file_path=str(piece.file),
            format=job.format,
            mp3_bitrate_kbps=int(studio.settings.value("audio.mp3_bitrate")),
            latents_path=str(piece.latents or ""),
        )
        try:
            await self._crew.ensure_worker()
            if job.cancel_reason:
                raise GenerationCancelled("The job was cancelled")
            done = await self._follow(message, piece, heartbeat)
            if job.cancel_reason:
                raise GenerationCancelled("The job was cancelled")
            job.state = State.FINISHING
            heartbeat.stop()
            await self._finishing.keep(done.value, piece, studio.clock.monotonic() - began)
        except BaseException:
            piece.remove()
            raise

    async def _follow(self, message: Generate, piece: Workpiece, heartbeat: Heartbeat) -> Done:
        """Reads the worker's frames up to its ending and returns a good one."""
        job, clock = self._job, self._studio.clock
        assert job.progress is not None
        backend = job.request.backend.type
        has_slowed = False
        async for frame in self._crew.worker.run(message):
            now = clock.monotonic()
            if isinstance(frame, PhaseStarted):
                if frame.phase == "loading":
                    self._crew.note_loading(backend, is_loading=True)
                else:
                    self._crew.note_loaded(backend)
                job.progress.begin(frame.phase, frame.total, now)
                heartbeat.beat_now()
            elif isinstance(frame, StepDone):
                job.progress.advance(frame.done, frame.total, now)
                heartbeat.beat()
            elif isinstance(frame, SoundAnnounced):
                piece.sound, piece.sound_at = frame, now
            elif isinstance(frame, StretchDone):
                piece.frames_ready = frame.frames
                self._stream(piece)
            elif isinstance(frame, Warned):
                warning = {"code": frame.code, "message": frame.message}
                job.warnings.append({**warning, "param": frame.param} if frame.param else warning)
            elif isinstance(frame, FactsLearned):
                piece.facts.update(frame.values)
                self._take_plan(frame.values)
                heartbeat.beat()
            elif isinstance(frame, Beat) and not has_slowed:
                has_slowed = self._warn_if_slow(now)
            elif isinstance(frame, Done):
                return frame
            elif isinstance(frame, Failed):
                raise failure(frame)
            elif isinstance(frame, Cancelled):
                raise GenerationCancelled("The job was cancelled")
        raise InternalError("The worker's frames ended without an answer")

    def _take_plan(self, facts: Mapping[str, Any]) -> None:
        """A planner may have chosen how long the track is: the rest is expected anew."""
        job = self._job
        if job.take_plan(facts) and job.progress is not None:
            expected = self._studio.timings.expect(self._crew.work(job))
            job.progress.expect(expected.phases if expected else {})

    def _stream(self, piece: Workpiece) -> None:
        """Lets the player have what is final, from the first stretch on."""
        job, studio, sound = self._job, self._studio, piece.sound
        if sound is None or not sound.streams or not job.auto_play:
            return
        if job.is_streaming:
            studio.player.live_progress(job.track_id, piece.frames_ready)
            return
        job.is_streaming = True

        async def append() -> None:
            await studio.player.append_live(
                LiveTrack(
                    track_id=job.track_id,
                    spool_path=piece.spool,
                    sample_rate=sound.sample_rate,
                    channels=sound.channels,
                    frames_total=sound.frames,
                    gain=sound.gain,
                    frames_ready=piece.frames_ready,
                    title=job.title,
                    prompt=job.prompt,
                    announced_at=piece.sound_at,
                )
            )
            studio.player.live_progress(job.track_id, piece.frames_ready)

        studio.turns.tell(append)

    async def _end(self, error: LofiError) -> None:
        """Tells how a job ended that made no track."""
        job, studio = self._job, self._studio
        is_cancelled = bool(job.cancel_reason)
        self._crew.forget_models()
        if job.is_streaming:
            # Its sound ends before its job does.
            with contextlib.suppress(Exception):
                await studio.turns.ask(
                    lambda: studio.player.live_failed(job.track_id, cancelled=is_cancelled)
                )
        self._crew.note_loading(job.request.backend.type, is_loading=False)
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

    def _say_progress(self, at: float | None = None) -> None:
        job = self._job
        if job.progress is None or job.state is not State.GENERATING:
            return
        wire = job.progress.to_wire(self._studio.clock.monotonic() if at is None else at)
        if job.request.backend.type == "musicgen":
            wire["tokens_generated"] = wire["step"]
            wire["tokens_estimated"] = wire["total_steps"]
        elif wire["phase"] == "planning":
            done, total = job.progress.counts
            wire["tokens_generated"], wire["tokens_estimated"] = done, total or None
        if job.outlook:
            wire["message"] = job.outlook
        self._studio.events.emit("generation_progress", {"track_id": job.track_id, **wire})

    def _warn_if_slow(self, now: float) -> bool:
        job = self._job
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


def failure(frame: Failed) -> LofiError:
    """Returns the error a worker's frame stands for."""
    data = {name: value for name, value in frame.data.items() if name not in ("message", "hint")}
    return error_for(frame.code, frame.message, hint=frame.hint or None, **data)
