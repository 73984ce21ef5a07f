"""The cache as the rest of the daemon uses it: disk work off the loop, changes told to everyone."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from lofi.daemon.cache import Cache, Removal
from lofi.daemon.events import Events
from lofi.daemon.eviction import Limits
from lofi.daemon.player.playable import PlayableTrack
from lofi.daemon.sidecar import Track
from lofi.errors import CacheCorrupt
from lofi.settings import Settings

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

WATCH_SEC = 1.0
MEGABYTE = 1024 * 1024
UPCOMING_SPARED = 2


class Library:
    """Tracks, asked on the loop and changed on one thread of their own.

    Args:
        cache: the folder.
        upcoming: returns the tracks the player plays now and next, which eviction spares.
    """

    def __init__(
        self,
        cache: Cache,
        events: Events,
        settings: Settings,
        upcoming: Callable[[int], list[str]],
    ) -> None:
        self.cache = cache
        self._events = events
        self._settings = settings
        self._upcoming = upcoming
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="disk")
        self._opened = asyncio.Event()
        self._has_warned = False
        self.is_failing = False
        """The disk refuses, and everyone was told."""
        self._is_closed = False

    async def run(self) -> None:
        """Reads the folder, then notices what other daemons do in it. Until cancelled."""
        await self._attempt(self._open)
        self._opened.set()
        while True:
            await asyncio.sleep(WATCH_SEC)
            await self._attempt(self._look)

    @property
    def is_open(self) -> bool:
        return self._opened.is_set()

    async def opened(self) -> None:
        """Waits until the folder has been read."""
        await self._opened.wait()

    async def on_disk(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs `call` on the disk's thread, after everything asked before."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, functools.partial(call, *args, **kwargs))

    def later(self, call: Callable[[], None]) -> None:
        """Runs `call` on the disk's thread some time; a failure is logged."""
        self._thread.submit(call).add_done_callback(_log_failure)

    def close(self) -> None:
        """Waits for what was begun; nothing can be asked any more."""
        self._is_closed = True
        self._thread.shutdown(wait=True)

    # What the player asks.

    def find(self, track_id: str) -> PlayableTrack | None:
        track = self.cache.get(track_id)
        return track.playable() if track else None

    def newest(self) -> PlayableTrack | None:
        tracks = self.cache.tracks()
        if not tracks:
            return None
        return max(tracks, key=lambda track: str(track.get("created_at"))).playable()

    # Changes.

    def touch(self, track_id: str) -> None:
        """Notes an access."""
        self.later(lambda: self.cache.touch(track_id))

    async def add(self, members: Mapping[str, Any], unfinished: Path, reason: str) -> Track:
        """Makes a finished file a track, durable when this returns.

        Raises:
            CacheWriteError: the disk refused.
        """
        track = await self.on_disk(self.cache.add, members, unfinished)
        self._tell(reason, [track.track_id], [])
        return track

    async def add_foreign(self, members: Mapping[str, Any]) -> Track:
        """Makes a file that stays where it is a track."""
        track = await self.on_disk(self.cache.add_foreign, members)
        self._tell("imported", [track.track_id], [])
        return track

    async def update(self, track_id: str, changes: Mapping[str, Any]) -> Track:
        """Rewrites members of a sidecar."""
        return await self.on_disk(self.cache.update, track_id, changes)

    async def verify(self, track: Track) -> None:
        """Compares a track's file with its checksum.

        Raises:
            CacheCorrupt: it differs; the track is gone, as everyone is told.
        """
        try:
            await self.on_disk(self.cache.verify, track)
        except CacheCorrupt:
            self._tell("deleted", [], [track.track_id])
            raise

    async def delete(self, track_ids: Iterable[str]) -> Removal:
        """Deletes tracks."""
        removal = await self.on_disk(self.cache.delete, list(track_ids))
        self._tell("deleted", [], removal.track_ids)
        return removal

    async def clear(
        self,
        *,
        keep_favorites: bool,
        created_before_sec: float | None,
        before_delete: Callable[[list[str]], Awaitable[None]],
    ) -> Removal:
        """Deletes all, or the old ones; `before_delete` hears first which ones."""
        chosen = self.cache.clearable(
            keep_favorites=keep_favorites, created_before_sec=created_before_sec
        )
        await before_delete(chosen)
        removal = await self.on_disk(self.cache.clear, chosen)
        self._tell("cleared", [], removal.track_ids)
        return removal

    async def evict(self) -> Removal:
        """Keeps the limits of the settings."""
        limits = Limits(
            int(float(self._settings.value("cache.max_mb")) * MEGABYTE),
            self._settings.value("cache.max_tracks"),
        )
        removal = await self.on_disk(self.cache.evict, limits, self._upcoming(UPCOMING_SPARED))
        self._tell("evicted", [], removal.track_ids)
        if not removal.is_enough and not self._has_warned:
            self._has_warned = True
            logger.warning("the cache is over its limits and every track in it is protected")
            self._events.emit(
                "daemon_error",
                {
                    "code": "INSUFFICIENT_DISK",
                    "message": "The cache is over its limit and everything in it is protected",
                    "hint": "Raise cache.max_mb, or unmark some favourites.",
                    "fatal": False,
                },
            )
        return removal

    # Watching.

    async def _attempt(self, step: Callable[[], Awaitable[None]]) -> None:
        """Takes a step of the watch. A disk that fails is told of once, until it works again."""
        try:
            await step()
        except Exception as error:
            if self.is_failing or self._is_closed:
                return
            self.is_failing = True
            logger.error("the cache cannot be read: %s", error)
            self._events.emit(
                "daemon_error",
                {
                    "code": getattr(error, "code", "CACHE_WRITE_ERROR"),
                    "message": str(error),
                    "hint": getattr(error, "hint", "")
                    or "See to the folder of tracks; it is tried again every second.",
                    "fatal": False,
                },
            )
        else:
            if self.is_failing:
                logger.info("the cache can be read again")
            self.is_failing = False

    async def _open(self) -> None:
        await self.on_disk(self.cache.open)
        await self.on_disk(self.cache.remove_leftovers)

    async def _look(self) -> None:
        if self.is_failing or not self.cache.is_there():
            added, removed = await self.on_disk(self.cache.open)
        elif self.cache.has_changed():
            added, removed = await self.on_disk(self.cache.rescan)
        else:
            return
        self._tell("external", added, removed)

    def _tell(self, reason: str, added: Iterable[str], removed: Iterable[str]) -> None:
        added, removed = list(added), list(removed)
        if added or removed:
            self._events.emit(
                "cache_changed", {"added": added, "removed": removed, "reason": reason}
            )


def _log_failure(future: Future[Any]) -> None:
    if (error := future.exception()) is not None:
        logger.warning("%s", error)
