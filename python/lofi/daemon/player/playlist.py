"""The order of what is played: entries, the current one, and which comes next. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import count
from typing import Literal

Loop = Literal["off", "track", "playlist"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One place in the playlist. `key` names it for as long as it is there: the same track may
    stand in two places."""

    key: int
    track_id: str
    title: str = ""
    prompt: str = ""
    duration_sec: float = 0.0


class Playlist:
    """Entries in order, the index of the current one, and a revision that grows with each change.

    The index stays with the current entry whatever happens around it.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.index: int | None = None
        self.revision = 0
        self._keys = count(1)

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def current(self) -> Entry | None:
        return None if self.index is None else self.entries[self.index]

    def new_entry(
        self, track_id: str, *, title: str = "", prompt: str = "", duration_sec: float = 0.0
    ) -> Entry:
        """Returns an entry with a key of its own, not yet in the list."""
        return Entry(next(self._keys), track_id, title, prompt, duration_sec)

    def append(self, entry: Entry) -> None:
        self.insert(len(self.entries), entry)

    def insert(self, position: int, entry: Entry) -> None:
        """Puts `entry` before the one at `position`; the current entry stays the current one."""
        self.entries.insert(position, entry)
        if self.index is not None and position <= self.index:
            self.index += 1
        self.revision += 1

    def insert_next(self, entry: Entry) -> None:
        """Puts `entry` right after the current one, or first when there is none."""
        self.insert(0 if self.index is None else self.index + 1, entry)

    def clear(self) -> None:
        self.entries.clear()
        self.index = None
        self.revision += 1

    def select(self, entry: Entry) -> None:
        """Makes `entry` the current one.

        Raises:
            KeyError: it is not in the list.
        """
        position = self.position(entry.key)
        if position is None:
            raise KeyError(entry.key)
        if position != self.index:
            self.index = position
            self.revision += 1

    def position(self, key: int) -> int | None:
        """Returns where the entry with `key` stands now."""
        for position, entry in enumerate(self.entries):
            if entry.key == key:
                return position
        return None

    def keys(self, track_ids: Collection[str]) -> list[int]:
        """Returns the keys of all entries of these tracks."""
        return [entry.key for entry in self.entries if entry.track_id in track_ids]

    def update(self, key: int, *, title: str, prompt: str, duration_sec: float) -> None:
        """Tells more about an entry than was known when it was added."""
        position = self.position(key)
        if position is not None:
            self.entries[position] = replace(
                self.entries[position], title=title, prompt=prompt, duration_sec=duration_sec
            )
            self.revision += 1

    def remove(self, keys: Collection[int]) -> None:
        """Removes these entries; those that are not there are no error.

        When the current entry goes, the one that followed it becomes current, else the last.
        """
        kept = [entry for entry in self.entries if entry.key not in keys]
        if len(kept) == len(self.entries):
            return
        if self.index is not None:
            gone = sum(entry.key in keys for entry in self.entries[: self.index])
            self.index = min(self.index - gone, len(kept) - 1) if kept else None
        self.entries = kept
        self.revision += 1

    def following(self, loop: Loop) -> Entry | None:
        """Returns what plays when the current entry has ended by itself."""
        if loop == "track":
            return self.current
        return self.step(1, loop)

    def step(self, distance: int, loop: Loop) -> Entry | None:
        """Returns the entry `distance` places on, around the end if the list is looped."""
        if self.index is None:
            return self.entries[0] if self.entries else None
        target = self.index + distance
        if loop != "off" and self.entries:
            target %= len(self.entries)
        if 0 <= target < len(self.entries):
            return self.entries[target]
        return None

    def upcoming(self, limit: int) -> list[str]:
        """Returns the tracks of the current entry and of up to `limit` after it."""
        start = self.index or 0
        return [entry.track_id for entry in self.entries[start : start + limit + 1]]
