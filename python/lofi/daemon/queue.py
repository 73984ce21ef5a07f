"""The order of waiting jobs: two lanes, three priorities, a limit. Pure; running is `jobs.py`."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from lofi.errors import QueueFull

PRIORITIES = ("high", "normal", "low")


class Lane(StrEnum):
    """Which worker a job needs; each lane runs one job at a time."""

    LIGHT = "light"
    NEURAL = "neural"


class Waiting(Protocol):
    """What the queue must know of a job."""

    @property
    def track_id(self) -> str: ...

    @property
    def lane(self) -> Lane: ...

    @property
    def priority(self) -> str: ...

    @property
    def origin(self) -> str: ...


J = TypeVar("J", bound=Waiting)


class Queue(Generic[J]):
    """Jobs that wait. `high` goes before all normal ones, after earlier high ones."""

    def __init__(self) -> None:
        self._lanes: dict[Lane, list[J]] = {lane: [] for lane in Lane}
        self.is_paused = False

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def pending(self, lane: Lane | None = None) -> list[J]:
        """Returns the waiting jobs in their order, of one lane or of both, neural first."""
        lanes = (Lane.NEURAL, Lane.LIGHT) if lane is None else (lane,)
        return [job for each in lanes for job in self._lanes[each]]

    def add(self, jobs: Iterable[J], limit: int) -> None:
        """Lines the jobs up, all of them or none.

        Raises:
            QueueFull: more than `limit` jobs would wait.
        """
        new = list(jobs)
        if len(self) + len(new) > limit:
            raise QueueFull(
                f"{len(self)} jobs are waiting, the limit is {limit}",
                length=len(self),
                max_pending=limit,
            )
        for job in new:
            self._insert(job)

    def put_back(self, job: J) -> None:
        """Lines a job up again whatever the limit: it had its place already."""
        self._insert(job)

    def take(self, lane: Lane) -> J | None:
        """Removes and returns the job whose turn it is; None when paused or empty."""
        if self.is_paused or not self._lanes[lane]:
            return None
        return self._lanes[lane].pop(0)

    def find(self, track_id: str) -> J | None:
        """Returns the waiting job of this track."""
        return next((job for job in self.pending() if job.track_id == track_id), None)

    def ahead_of(self, track_id: str) -> list[J]:
        """Returns the jobs of its lane that stand before this one.

        Raises:
            KeyError: it does not wait.
        """
        for jobs in self._lanes.values():
            for place, job in enumerate(jobs):
                if job.track_id == track_id:
                    return jobs[:place]
        raise KeyError(track_id)

    def move(self, track_id: str, position: int) -> int:
        """Puts a job at `position` of its lane, 1 being next; returns where it came to stand.

        Raises:
            KeyError: it does not wait.
        """
        job = self.find(track_id)
        if job is None:
            raise KeyError(track_id)
        jobs = self._lanes[job.lane]
        jobs.remove(job)
        place = min(max(position, 1), len(jobs) + 1)
        jobs.insert(place - 1, job)
        return place

    def remove(self, track_id: str) -> J | None:
        """Takes one job out of the line."""
        job = self.find(track_id)
        if job is not None:
            self._lanes[job.lane].remove(job)
        return job

    def clear(self, origin: str | None = None) -> list[J]:
        """Takes out every job, or those of one origin, and returns them."""
        removed = [job for job in self.pending() if origin in (None, job.origin)]
        for job in removed:
            self._lanes[job.lane].remove(job)
        return removed

    def _insert(self, job: J) -> None:
        jobs = self._lanes[job.lane]
        rank = PRIORITIES.index(job.priority)
        # From the end: a job that was moved across bands by hand keeps the place it was given.
        place = len(jobs)
        while place > 0 and PRIORITIES.index(jobs[place - 1].priority) > rank:
            place -= 1
        jobs.insert(place, job)
