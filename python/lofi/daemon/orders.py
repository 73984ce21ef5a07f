"""From a `generate` request to jobs in the queue, and every later word about them."""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from lofi.daemon.board import Board
from lofi.daemon.inventory import Inventory, Presumed
from lofi.daemon.jobs import Job, State, complete_wire
from lofi.daemon.peer import Reply
from lofi.daemon.sidecar import Track
from lofi.daemon.sources import Sources
from lofi.errors import (
    InsufficientDisk,
    InvalidTrackId,
    NotCancellable,
    ShuttingDown,
)
from lofi.parameters import DELIVERY, SEED_LIMIT
from lofi.recipe import Adapter, Audio, Request, Take, World, canonical_names, resolve
from lofi.tracks import LONG_ID_DIGITS

logger = logging.getLogger(__name__)

FREE_SPARE_BYTES = 64 * 1024 * 1024
SPOOL_AND_FILE_BYTES = 8
"""Per sample: float32 in the spool, up to as much again in the file."""
PREEMPT_BELOW_PERCENT = 50
FILLERS = ("prefetch", "radio")


class Orders(Board):
    """The board, and everything that changes it.

    Args:
        inventory: what is installed.
        sources: finds the files a request names.
    """

    def __init__(self, inventory: Inventory, sources: Sources) -> None:
        super().__init__()
        self._inventory = inventory
        self._sources = sources
        self._preempted: list[Job] = []
        self._is_closed = False

    # Asking.

    def generate(self, params: Mapping[str, Any], defaults: Mapping[str, Any], client: str) -> Any:
        """Answers `generate`: a `Reply`, or a coroutine of one when files must be read first.

        Raises:
            LofiError: as the protocol lists them; nothing was queued.
        """
        given = canonical_names(params)
        merged = self._merged(given, defaults)
        if self._sources.are_named(merged):
            return self._generate_slowly(merged, set(given), client)
        return self._place(self._resolve(merged, set(given), {}, {}), client)

    def _merged(self, given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
        below = {**self._studio.settings.table("defaults."), **defaults}
        if given.get("task") == "retake":  # its source's recipe is what a retake goes by
            below = {name: value for name, value in below.items() if name in DELIVERY}
        if given.get("task", "text2music") != "text2music":
            below.pop("prompt", None)  # what is made of a source is described by it
        return {**below, **given}

    async def _generate_slowly(
        self, merged: Mapping[str, Any], given: set[str], client: str
    ) -> Reply:
        whole, audio, adapters = await asyncio.to_thread(self._look_up, merged)
        return self._place(self._resolve(whole, given, audio, adapters), client)

    def _look_up(
        self, merged: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Audio], dict[str, Adapter]]:
        whole = self._sources.completed(merged)
        return whole, self._sources.audio(whole), self._sources.adapters(whole)

    async def preview(
        self, params: Mapping[str, Any], defaults: Mapping[str, Any], *, presume: bool = False
    ) -> Request:
        """Resolves a request without queueing it.

        Args:
            presume: takes the backend that the request names for installed.
        """
        given = canonical_names(params)
        merged = self._merged(given, defaults)
        audio: dict[str, Audio] = {}
        adapters: dict[str, Adapter] = {}
        if self._sources.are_named(merged):
            merged, audio, adapters = await asyncio.to_thread(self._look_up, merged)
        world = Presumed(self._inventory, str(merged.get("backend"))) if presume else None
        return self._resolve(merged, set(given), audio, adapters, world)

    def _resolve(
        self,
        merged: Mapping[str, Any],
        given: set[str],
        audio: Mapping[str, Audio],
        adapters: Mapping[str, Adapter],
        world: World | None = None,
    ) -> Request:
        if self._is_closed:
            raise ShuttingDown("The daemon is ending")
        request = resolve(
            merged,
            world or self._inventory,
            draw_seed=lambda: secrets.randbelow(SEED_LIMIT + 1),
            audio=audio,
            adapters=adapters,
        )
        # A default that this backend has no use for is nobody's mistake.
        warnings = tuple(
            warning
            for warning in request.warnings
            if warning.code != "PARAM_IGNORED" or warning.param in given
        )
        return replace(request, warnings=warnings)

    def _place(self, request: Request, client: str) -> Reply:
        studio = self._studio
        cache = studio.library.cache
        is_forced = bool(request.delivery["force"])
        answers: list[dict[str, Any]] = []
        hits: list[Track] = []
        new: list[Job] = []
        for take in request.takes:
            joined = self._with_digest(take.digest)
            track = None if is_forced or joined else cache.with_digest(take.digest)
            if joined is not None:
                answers.append(self._joined(joined))
            elif track is not None:
                hits.append(track)
                answers.append(_hit(track, take))
            else:
                job = self._job(request, take, client)
                new.append(job)
                answers.append({"track_id": job.track_id, "seed": take.seed, "status": "queued"})
        if new:
            self._check_disk(new)
            self.queue.add(new, int(studio.settings.value("queue.max_pending")))
        cache.hits += len(hits)
        cache.misses += len(new)
        for answer in answers:
            self._situate(answer)
        logger.debug("%s asks for %r", client, request.params.get("prompt"))
        result = {
            **answers[0],
            "backend": request.backend.type,
            "model_version": request.model_version,
            "warnings": [warning.to_wire() for warning in request.warnings],
        }
        if len(answers) > 1:
            names = ("track_id", "seed", "status", "position")
            result["tracks"] = [{name: answer[name] for name in names} for answer in answers]
        auto_play = self._auto_play(request)
        origin = str(request.delivery["origin"])
        return Reply(result, lambda: self._set_off(hits, new, origin, auto_play=auto_play))

    def _set_off(self, hits: list[Track], new: list[Job], origin: str, *, auto_play: bool) -> None:
        """What the world hears once the client has its answer."""
        studio = self._studio
        for track in hits:
            studio.library.touch(track.track_id)
            wire = complete_wire(
                track.to_wire(),
                cached=True,
                origin=origin,
                timings={},
                devices={},
                generation_time_sec=0,
            )
            studio.events.emit("generation_complete", wire)
            if auto_play:
                studio.turns.tell(partial(studio.player.append, track.playable()))
        if new:
            self._preempt(new[0])
            self.tell_queue()
            for lane in self._lanes.values():
                lane.wake()

    def _job(self, request: Request, take: Take, client: str) -> Job:
        settings = self._studio.settings
        delivery = request.delivery
        keep = delivery.get("save_latents")
        return Job(
            track_id=self._id_for(take.digest),
            request=request,
            take=take,
            client=client,
            auto_play=self._auto_play(request),
            format=str(delivery.get("format") or settings.value("audio.format")),
            save_latents=bool(settings.value("cache.latents") if keep is None else keep),
            warnings=[warning.to_wire() for warning in request.warnings],
        )

    def _auto_play(self, request: Request) -> bool:
        asked = request.delivery.get("auto_play")
        if asked is not None:
            return bool(asked)
        by_user = request.delivery["origin"] == "user"
        return by_user and bool(self._studio.settings.value("playback.auto_play"))

    def _id_for(self, digest: str) -> str:
        track_id = self._studio.library.cache.id_for(digest)
        taken = any(job.track_id == track_id and job.digest != digest for job in self.unfinished())
        return digest[:LONG_ID_DIGITS] if taken else track_id

    def _joined(self, job: Job) -> dict[str, Any]:
        status = "queued" if job.state is State.QUEUED else "generating"
        return {
            "track_id": job.track_id,
            "seed": job.take.seed,
            "status": status,
            "deduplicated": True,
        }

    def _situate(self, answer: dict[str, Any]) -> None:
        if answer["status"] == "cached":
            return
        job = self.find_exactly(answer["track_id"])
        assert job is not None
        answer["position"] = self.position(job)
        answer["eta_sec"] = self.eta_sec(job)

    def _check_disk(self, jobs: list[Job]) -> None:
        folder = self._studio.paths.tracks
        needed = FREE_SPARE_BYTES
        for job in jobs:
            backend = job.request.backend
            seconds = job.duration_sec or backend.max_duration_sec  # a plan may want all of it
            samples = seconds * backend.sample_rate * backend.channels
            needed += int(samples) * SPOOL_AND_FILE_BYTES
        try:
            free = shutil.disk_usage(folder if folder.exists() else folder.anchor).free
        except OSError:
            return  # the writing itself will tell
        if free < needed:
            raise InsufficientDisk(
                f"{folder} has {free} bytes free and {needed} are needed",
                needed_bytes=needed,
                free_bytes=free,
                path=str(folder),
            )

    def _preempt(self, newcomer: Job) -> None:
        """A filler that is not half done gives way to what a person asked for."""
        runner = self._lanes[newcomer.lane]
        running = runner.busy_job()
        if running is None or newcomer.origin in FILLERS or running.origin not in FILLERS:
            return
        percent = running.progress.percent if running.progress else 0
        if percent < PREEMPT_BELOW_PERCENT and running.state is State.GENERATING:
            self._preempted.append(running)
            runner.cancel(running, "preempted")

    # Changing.

    def cancel(self, text: str | None) -> Reply:
        """Answers `cancel` for a job, the running one if none is named.

        Raises:
            InvalidTrackId: nobody knows it.
            NotCancellable: it has ended, or nothing runs.
        """
        job = self.current() if text is None else self._find(text)
        if job is None:
            status = self._ended_status(text)
            raise NotCancellable(
                "Nothing is being generated" if text is None else f"Track {text} has ended",
                hint="queue_status lists the jobs that can be cancelled.",
                status=status,
            )
        if job.state not in (State.QUEUED, State.GENERATING) or job.cancel_reason:
            raise NotCancellable(
                f"Track {job.track_id} is ending",
                hint="Wait a moment; nothing more is to be done.",
                status=str(job.state),
            )
        was_generating = job.state is State.GENERATING
        result = {
            "cancelled": True,
            "track_id": job.track_id,
            "was_generating": was_generating,
        }
        if was_generating:
            runner = self._lanes[job.lane]
            return Reply(result, lambda: runner.cancel(job, "user"))
        self.queue.remove(job.track_id)
        job.state, job.cancel_reason = State.CANCELLED, "user"
        return Reply(result, lambda: self._drop([job], "user"))

    def clear(self, origin: str | None) -> Reply:
        """Answers `queue_clear`."""
        removed = self.queue.clear(origin)
        for job in removed:
            job.state = State.CANCELLED
        result = {"removed": [job.track_id for job in removed]}
        return Reply(result, lambda: self._drop(removed, "queue_cleared"))

    def move(self, text: str, position: int) -> Reply:
        """Answers `queue_move`."""
        job = self._find(text)
        if job is None or job.state is not State.QUEUED:
            raise InvalidTrackId(f"Track {text} does not wait in the queue", param="track_id")
        placed = self.queue.move(job.track_id, position)
        return Reply({"position": placed}, self.tell_queue)

    def pause(self, *, paused: bool) -> Reply:
        """Answers `queue_pause` and `queue_resume`."""
        self.queue.is_paused = paused

        def after() -> None:
            self.tell_queue()
            for lane in self._lanes.values():
                lane.wake()

        return Reply({"paused": paused}, after)

    def close(self, reason: str = "shutdown") -> None:
        """Takes nothing new, drops what waits and cancels what runs."""
        self._is_closed = True
        self.drop_waiting(reason)
        for lane in self._lanes.values():
            lane.close(reason)

    def drop_waiting(self, reason: str) -> None:
        """Takes nothing new and drops what waits; what runs goes on."""
        self._is_closed = True
        self._preempted.clear()
        self._drop(self.queue.clear(), reason)

    def changed(self, job: Job) -> None:
        """A lane took this job or ended it."""
        if job.has_ended:
            self._note_end(job)
            if job in self._preempted:
                self._preempted.remove(job)
                self.queue.put_back(self._job(job.request, job.take, job.client))
        self.tell_queue()

    def _drop(self, jobs: list[Job], reason: str) -> None:
        for job in jobs:
            job.state, job.cancel_reason = State.CANCELLED, reason
            self._note_end(job)
            self._studio.events.emit("generation_cancelled", job.cancelled_wire())
        if jobs:
            self.tell_queue()


def _hit(track: Track, take: Take) -> dict[str, Any]:
    return {
        "track_id": track.track_id,
        "seed": take.seed,
        "status": "cached",
        "position": 0,
        "eta_sec": 0,
        "track": track.to_wire(),
    }
