"""From the worker's file to a track: in the cache, in everyone's ears, in the history."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lofi.daemon import durable, records
from lofi.daemon.crew import Crew
from lofi.daemon.jobs import Job, State, complete_wire
from lofi.daemon.sidecar import Track
from lofi.daemon.studio import Studio
from lofi.daemon.timings import Work
from lofi.errors import CacheWriteError, LofiError
from lofi.wire.frames import SoundAnnounced

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Workpiece:
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


class Finishing:
    """The end of a job that made a track, or found it made."""

    def __init__(self, job: Job, crew: Crew, studio: Studio) -> None:
        self._job = job
        self._crew = crew
        self._studio = studio

    async def keep(self, value: Mapping[str, Any], piece: Workpiece, seconds: float) -> None:
        """Makes the file a track and says so."""
        job, studio = self._job, self._studio
        assert job.progress is not None
        if not piece.file.is_file():
            raise CacheWriteError(f"The worker's file {piece.file.name} is missing")
        phases = job.progress.finish(studio.clock.monotonic())
        members = records.new_sidecar(
            job,
            {**piece.facts, **value},
            created_at=studio.clock.timestamp(),
            seconds=seconds,
        )
        if piece.latents is not None and piece.latents.is_file():
            final = studio.paths.tracks / f"{job.track_id}.latents.safetensors"
            await studio.library.on_disk(durable.install, piece.latents, final)
            members["has_latents"] = True
        track = await studio.library.add(members, piece.file, "generated")
        work = self._crew.work(job)
        with _logged(job, "noting the model"):
            self._crew.rendered(
                job.request.backend.type, {name: members.get(name) for name in ("device", "dtype")}
            )
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
        # The job has had its ending: whatever goes wrong now must not give it a second one.
        with _logged(job, "handing it to the player"):
            self._hand_over(track, piece.spool)
        with _logged(job, "noting it"):
            await self._note(wire, work, phases)

    async def _note(self, wire: Mapping[str, Any], work: Work, phases: Mapping[str, float]) -> None:
        """Remembers what it took, notes it, and keeps the cache within its limits."""
        job, studio = self._job, self._studio
        studio.timings.learn(work, phases)
        studio.library.later(studio.timings.save)
        if studio.settings.value("history.enabled"):
            noted = records.history_members(wire, job.request.params)
            studio.history.add("generated", studio.clock.timestamp(), noted)
        await studio.library.evict()

    def _hand_over(self, track: Track, spool: Path) -> None:
        """The finished track goes to the player; the spool goes when nobody reads it."""
        job, studio, playable = self._job, self._studio, track.playable()

        async def hand_over() -> None:
            try:
                if job.is_streaming:
                    await studio.player.live_finished(job.track_id, playable)
                elif job.auto_play:
                    await studio.player.append(playable)
            finally:
                spool.unlink(missing_ok=True)

        studio.turns.tell(hand_over)

    def find(self, track: Track) -> None:
        """Takes the track that another daemon made while this job waited."""
        job, studio = self._job, self._studio
        job.state = State.COMPLETE
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
        with _logged(job, "handing it to the player"):
            if job.auto_play:
                studio.turns.tell(lambda: studio.player.append(track.playable()))
            studio.library.touch(track.track_id)


@contextlib.contextmanager
def _logged(job: Job, doing: str) -> Iterator[None]:
    """What goes wrong inside is written to the log and goes no further."""
    try:
        yield
    except LofiError as error:
        logger.warning("track %s is there, but %s failed: %s", job.track_id, doing, error)
    except Exception:
        logger.exception("track %s is there, but %s failed", job.track_id, doing)
