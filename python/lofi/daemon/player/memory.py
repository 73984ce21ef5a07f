"""What was on, as it outlives a daemon. Read back with suspicion: the file is anybody's to edit."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

State = Literal["playing", "paused", "stopped"]


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of the playlist: a track of the cache or, with a path, a file outside it."""

    track_id: str
    path: str | None = None
    title: str = ""
    duration_sec: float = 0.0


@dataclass(frozen=True, slots=True)
class Memory:
    """Playlist, place in it, and the knobs that are no settings of their own."""

    items: tuple[Item, ...]
    index: int | None
    position_sec: float
    state: State
    volume: float
    muted: bool

    def to_json(self) -> dict[str, Any]:
        """Returns what `of_json` reads."""
        return asdict(self)

    @classmethod
    def of_json(cls, value: Any) -> Memory | None:
        """Returns what was stored; None if it is not what `to_json` writes."""
        if not isinstance(value, dict) or not isinstance(value.get("items"), (list, tuple)):
            return None
        items = [_item(item) for item in value["items"]]
        index, state = value.get("index"), value.get("state")
        position_sec, volume = _number(value.get("position_sec")), _number(value.get("volume"))
        if position_sec is None or volume is None or volume > 1:
            return None
        if state not in ("playing", "paused", "stopped"):
            return None
        if index is not None and (type(index) is not int or not 0 <= index < len(items)):
            return None
        kept = [item for item in items if item is not None]
        if index is not None:
            # The entry that was on, or the one that has moved up into its place.
            index = min(sum(item is not None for item in items[:index]), len(kept) - 1)
            index = None if index < 0 else index
        return cls(tuple(kept), index, position_sec, state, volume, value.get("muted") is True)


def _item(value: Any) -> Item | None:
    if not isinstance(value, dict):
        return None
    track_id, path, title = value.get("track_id"), value.get("path"), value.get("title", "")
    duration_sec = _number(value.get("duration_sec", 0.0))
    if not isinstance(track_id, str) or not isinstance(title, str) or duration_sec is None:
        return None
    if path is not None and not (isinstance(path, str) and Path(path).is_absolute()):
        return None
    return Item(track_id, path, title, duration_sec)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) and value >= 0 else None
