"""Which tracks must go when the cache is over its limits. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from lofi.daemon.clock import epoch_sec
from lofi.daemon.sidecar import Track

YOUNG_SEC = 60.0
"""A track this young is never evicted: somebody just asked for it."""
FILLER_ORIGINS = ("prefetch", "radio")


@dataclass(frozen=True, slots=True)
class Limits:
    """0 bytes and None tracks mean: no limit."""

    max_bytes: int
    max_tracks: int | None = None

    def are_kept(self, size_bytes: int, count: int) -> bool:
        within_bytes = self.max_bytes == 0 or size_bytes <= self.max_bytes
        return within_bytes and (self.max_tracks is None or count <= self.max_tracks)


def victims(
    tracks: Iterable[Track], limits: Limits, protected: Collection[str], now_sec: float
) -> tuple[list[Track], bool]:
    """Returns the tracks to drop, first one first, and whether that is enough.

    Filler goes before what the person asked for, the least recently accessed first. Favourites,
    the `protected` (played now or next) and the young ones stay.
    """
    kept = list(tracks)
    size, count = sum(track.size_bytes for track in kept), len(kept)
    candidates = sorted(
        (
            track
            for track in kept
            if not track.is_favorite
            and not track.is_read_only
            and track.track_id not in protected
            and now_sec - epoch_sec(str(track.get("created_at"))) > YOUNG_SEC
        ),
        key=lambda track: (_worth(track), track.mtime_ns),
    )
    chosen = []
    for track in candidates:
        if limits.are_kept(size, count):
            break
        chosen.append(track)
        size -= track.size_bytes
        count -= 1
    return chosen, limits.are_kept(size, count)


def _worth(track: Track) -> int:
    is_filler = track.members.get("origin") in FILLER_ORIGINS and track.get("rating") is None
    if not is_filler:
        return 2
    return 0 if track.get("backend") == "procedural" else 1
