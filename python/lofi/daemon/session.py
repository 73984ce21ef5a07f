"""What outlives a daemon: the requests that were not finished, and what was on.

`session.json` is written at the end and, while the player changes, every few seconds: after a
crash what was on is known to a few seconds.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from lofi.daemon import durable
from lofi.daemon.player.memory import Memory
from lofi.errors import LofiError

logger = logging.getLogger(__name__)

NOTE_PAUSE_SEC = 2.0
"""Between two writings while the player changes."""
CRASH_LIMIT_SEC = 60.0
"""Music goes on by itself only this soon after a crash: later it would startle somebody."""

OnDisk = Callable[[Callable[[], None]], Awaitable[None]]


class Session:
    """The file, what the last daemon left in it, and what this one will leave.

    Args:
        remember: returns what is on now.
        on_disk: runs a function off the event loop.
        written_volume: returns the volume in the person's configuration; None: none is there.
    """

    def __init__(
        self,
        path: Path,
        remember: Callable[[], Memory],
        on_disk: OnDisk,
        written_volume: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._path = path
        self._remember = remember
        self._on_disk = on_disk
        self._written_volume = written_volume
        self._left: dict[str, Any] | None = None
        self._never_offered: list[dict[str, Any]] | None = None
        self._kept: list[dict[str, Any]] = []
        self._has_recalled = False
        self._resumed_sec: float | None = None
        """When the music of a crashed daemon went on here by itself."""
        self._is_ours = False
        """The player was used here, or went on from what was left: the file tells of it now."""
        self._changed = asyncio.Event()
        self._writing = threading.Lock()
        self._is_over = False

    # What the last daemon left.

    def offer(self) -> list[dict[str, Any]]:
        """Returns the requests the last daemon left, the first time; nothing from then on."""
        offered = self._earlier()
        self._never_offered = []
        if offered:
            self._write({**self._stored(), "unfinished": list(self._kept)})
            if self._is_ours:
                self._changed.set()  # a note under way may still name them: the next does not
        return offered

    def recall(self) -> tuple[Memory | None, bool]:
        """Returns what was on, the first time and unless something else has been since; and
        whether it goes on by itself, for the last daemon died while it played.

        What went on by itself and crashed soon is paused: playing it may be what kills.
        """
        if self._has_recalled or self._is_ours:
            return None, False
        self._has_recalled = True
        stored = self._stored()
        memory = Memory.of_json(stored.get("playback"))
        if memory is None:
            return None, False
        written = self._written_volume()
        if written is not None and written != stored.get("written_volume"):
            memory = replace(memory, volume=written)  # written since: it means what it says
        noted_sec, resumed_sec = stored.get("noted_sec"), stored.get("resumed_sec")
        if not isinstance(noted_sec, float) or abs(time.time() - noted_sec) >= CRASH_LIMIT_SEC:
            return memory, False
        if isinstance(resumed_sec, float) and noted_sec - resumed_sec < CRASH_LIMIT_SEC:
            return memory, False
        pid = stored.get("pid")
        # Private daemons share the file: one that lives has not crashed.
        has_crashed = type(pid) is int and pid > 0 and not durable.is_alive(pid)
        is_open = stored.get("is_open") is True
        goes_on = memory.state == "playing" and is_open and has_crashed
        if goes_on:
            self._resumed_sec = time.time()
            self._write({**stored, "resumed_sec": self._resumed_sec})  # before it can kill
        return memory, goes_on

    # What this one leaves.

    def change(self) -> None:
        """The player changed."""
        self._is_ours = True
        self._changed.set()

    async def run(self) -> None:
        """Notes what is on after each change, until the last word was kept."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._is_over:
                return
            value = {
                "unfinished": self._unfinished(),
                **self._noted(is_open=True),
            }
            await self._on_disk(partial(self._note, value))
            await asyncio.sleep(NOTE_PAUSE_SEC)

    def keep(self, requests: Sequence[Mapping[str, Any]], memory: Memory) -> None:
        """Stores requests and what was on for the next daemon; requests that were never offered
        stay before them."""
        with self._writing:
            self._is_over = True
        self._kept += [dict(request) for request in requests]
        value: dict[str, Any] = {"unfinished": self._unfinished()}
        if self._is_ours:
            value.update(self._noted(is_open=False, memory=memory))
        else:
            value.update({name: item for name, item in self._stored().items() if name not in value})
        if value != self._stored() and (self._is_ours or value["unfinished"] or self._stored()):
            self._write(value)

    def _note(self, value: dict[str, Any]) -> None:
        with self._writing:
            if not self._is_over:  # else it is older than what was kept
                self._write(value)

    def _noted(self, *, is_open: bool, memory: Memory | None = None) -> dict[str, Any]:
        playback = (memory or self._remember()).to_json()
        written = self._written_volume()
        if written is None:  # a client without a configuration changes nothing in the person's
            written = self._stored().get("written_volume")
        return {
            "playback": playback,
            "written_volume": written,
            "is_open": is_open,
            "pid": os.getpid(),
            "noted_sec": time.time(),
            "resumed_sec": self._resumed_sec,
        }

    # The file.

    def _stored(self) -> dict[str, Any]:
        if self._left is None:
            self._left = durable.read_json(self._path)
        return self._left

    def _unfinished(self) -> list[dict[str, Any]]:
        return [*self._earlier(), *self._kept]

    def _earlier(self) -> list[dict[str, Any]]:
        """Returns what the last daemon left, unless it was offered."""
        if self._never_offered is None:
            items = self._stored().get("unfinished")
            listed = items if isinstance(items, list) else []
            self._never_offered = [item for item in listed if isinstance(item, dict)]
        return self._never_offered

    def _write(self, value: dict[str, Any]) -> None:
        try:
            durable.make_folder(self._path.parent)
            durable.write_json(self._path, value)
        except LofiError as error:
            logger.warning("%s", error)
        else:
            self._left = value
