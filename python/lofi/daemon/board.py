"""Everything asked for and not yet finished, looked at: who runs, who waits, and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lofi.daemon.jobs import Job, State
from lofi.daemon.lane import LaneRunner
from lofi.daemon.queue import Lane, Queue
from lofi.daemon.studio import Studio
from lofi.errors import InvalidTrackId, LofiError

PREFIX_MIN_DIGITS = 4
ENDED_KEPT = 1000


class Board:
    """The two lanes and their queue, as everybody may see them."""

    def __init__(self) -> None:
        self._studio: Studio
        self._lanes: Mapping[Lane, LaneRunner] = {}
        self._ended: dict[str, State] = {}

    def attach(self, studio: Studio, lanes: Mapping[Lane, LaneRunner]) -> None:
        """Joins the lanes, which in turn tell this object of every change."""
        self._studio, self._lanes = studio, lanes

    @property
    def queue(self) -> Queue[Job]:
        return self._studio.queue

    def running(self) -> list[Job]:
        """Returns the running jobs, the neural one first."""
        jobs = [self._lanes[lane].busy_job() for lane in (Lane.NEURAL, Lane.LIGHT)]
        return [job for job in jobs if job is not None]

    def current(self) -> Job | None:
        return next(iter(self.running()), None)

    def unfinished(self) -> list[Job]:
        return self.running() + self.queue.pending()

    def find_exactly(self, track_id: str) -> Job | None:
        return next((job for job in self.unfinished() if job.track_id == track_id), None)

    def position(self, job: Job) -> int:
        """Returns how many jobs of its lane run before it, the running one included."""
        if job.state is not State.QUEUED:
            return 0
        is_busy = self._lanes[job.lane].busy_job() is not None
        return len(self.queue.ahead_of(job.track_id)) + is_busy

    def eta_sec(self, job: Job) -> float | None:
        """Returns the seconds until the job's track is finished; None if nothing is known."""
        now = self._studio.clock.monotonic()
        running = self._lanes[job.lane].busy_job()
        total = 0.0
        if running is not None and running.progress is not None:
            total += running.progress.remaining_sec(now)
            if running is job:
                return round(total, 1)
        for each in (*self.queue.ahead_of(job.track_id), job):
            expected = self._expect(each)
            if expected is None:
                return None
            total += expected
        return round(total, 1)

    def status(self) -> dict[str, Any]:
        """Answers `queue_status`."""
        now = self._studio.clock.monotonic()
        running = [job.running_wire(now) for job in self.running()]
        jobs = self.queue.pending()
        return {
            "current": running[0] if running else None,
            "running": running,
            "pending": [job.pending_wire(self.position(job), self.eta_sec(job)) for job in jobs],
            "prefetch_pending": any(job.origin == "prefetch" for job in jobs),
            "max_pending": self._studio.settings.value("queue.max_pending"),
            "paused": self.queue.is_paused,
            "blocked_by": self._blocked_by(),
        }

    def generation(self) -> dict[str, Any]:
        """Returns the member `generation` of the status."""
        job = self.current()
        if job is None or job.progress is None:
            return {"active": False, "track_id": None, "percent": 0, "phase": None, "eta_sec": None}
        wire = job.progress.to_wire(self._studio.clock.monotonic())
        names = ("percent", "phase", "eta_sec")
        return {
            "active": True,
            "track_id": job.track_id,
            **{name: wire[name] for name in names},
        }

    def _expect(self, job: Job) -> float | None:
        runner = self._lanes[job.lane]
        is_loaded = job.lane is Lane.LIGHT or job.request.backend.type in runner.loaded
        device = str(self._studio.settings.value("model.device"))
        expected = self._studio.timings.expect(job.work(device, is_loaded=is_loaded))
        return None if expected is None else expected.seconds

    def _blocked_by(self) -> str | None:
        return "paused" if self.queue.is_paused else None

    def _with_digest(self, digest: str) -> Job | None:
        return next(
            (job for job in self.unfinished() if job.digest == digest and not job.cancel_reason),
            None,
        )

    def _find(self, text: str) -> Job | None:
        """Returns the unfinished job of an id or unique prefix; None for one that has ended.

        Raises:
            InvalidTrackId: nobody knows it.
        """
        wanted = text.strip().lower()
        found = [
            job
            for job in self.unfinished()
            if job.track_id == wanted
            or (len(wanted) >= PREFIX_MIN_DIGITS and job.track_id.startswith(wanted))
        ]
        if len(found) > 1:
            candidates = [job.track_id for job in found]
            raise InvalidTrackId(
                f"{text!r} could be {len(found)} jobs",
                hint="Give more digits: " + ", ".join(candidates),
                param="track_id",
                candidates=candidates,
            )
        if found:
            return found[0]
        if self._ended_status(wanted) is None:
            raise InvalidTrackId(f"There is no job {text!r}", param="track_id", candidates=[])
        return None

    def _ended_status(self, text: str | None) -> str | None:
        if text is None:
            return None
        for track_id in reversed(self._ended):
            if track_id.startswith(text) and len(text) >= PREFIX_MIN_DIGITS:
                return str(self._ended[track_id])
        try:
            self._studio.library.cache.find(text)
        except LofiError:
            return None
        return str(State.COMPLETE)

    def tell_queue(self) -> None:
        """Sends `queue_changed`."""
        jobs = self.queue.pending()
        self._studio.events.emit(
            "queue_changed",
            {
                "pending": len(jobs),
                "position_by_track": {job.track_id: self.position(job) for job in jobs},
                "prefetch_pending": any(job.origin == "prefetch" for job in jobs),
                "blocked_by": self._blocked_by(),
            },
        )

    def _note_end(self, job: Job) -> None:
        self._ended.pop(job.track_id, None)
        self._ended[job.track_id] = job.state
        while len(self._ended) > ENDED_KEPT:
            del self._ended[next(iter(self._ended))]
