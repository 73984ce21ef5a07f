"""What the player asks of the rest of the daemon: tracks to play, an ear, a clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

Emit = Callable[[str, dict[str, Any]], None]
"""Hands a notification (method, params) to every client, in order, without waiting."""


@dataclass(frozen=True, slots=True)
class PlayableTrack:
    """A finished track of the cache, as far as a player cares."""

    track_id: str
    path: Path
    title: str
    prompt: str
    duration_sec: float
    lufs: float | None = None
    true_peak_db: float | None = None
    gain: float | None = None
    """The one gain between the spool's samples and the file's (`Done.value["gain"]`)."""


@dataclass(frozen=True, slots=True)
class LiveTrack:
    """A track that is still being rendered; its spool grows as raw interleaved float32."""

    track_id: str
    spool_path: Path
    sample_rate: int
    channels: int
    frames_total: int
    gain: float = 1.0
    """Provisional gain to play the spool at (`SoundAnnounced.gain`)."""
    frames_ready: int = 0
    title: str = ""
    prompt: str = ""
    announced_at: float | None = None
    """`Clock.monotonic()` when `SoundAnnounced` came: lets one stretch tell the rendering speed."""


class Tracks(Protocol):
    """The tracks there are; unique prefixes are resolved by whoever keeps this."""

    def find(self, track_id: str) -> PlayableTrack | None: ...

    def newest(self) -> PlayableTrack | None: ...


class Clock(Protocol):
    def monotonic(self) -> float: ...

    def timestamp(self) -> str:
        """Returns now as RFC 3339 UTC with milliseconds."""
        ...
