"""Which tracks a `cache_list` shows, and in which order. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from lofi.catalog import backend_named
from lofi.daemon.sidecar import Track
from lofi.wire.calls import CacheList

_SORTS: dict[str, Callable[[Track], Any]] = {
    "created": lambda track: str(track.get("created_at")),
    "accessed": lambda track: track.mtime_ns,
    "duration": lambda track: track.duration_sec,
    "plays": lambda track: int(track.get("plays") or 0),
    "title": lambda track: track.title.casefold(),
}
IMPORTED = "import"


def select(tracks: Iterable[Track], params: CacheList) -> tuple[list[Track], int]:
    """Returns the asked page of tracks and how many there are in all.

    Raises:
        InvalidBackend: the backend asked for does not exist.
    """
    wanted = params.backend
    if wanted is not None and wanted != IMPORTED:
        wanted = backend_named(wanted).type
    words = (params.query or "").casefold().split()
    chosen = [track for track in tracks if _matches(track, params, wanted, words)]
    # The id breaks ties, so that pages never overlap.
    chosen.sort(
        key=lambda track: (_SORTS[params.sort](track), track.track_id),
        reverse=params.order == "desc",
    )
    end = None if params.limit is None else params.offset + params.limit
    return chosen[params.offset : end], len(chosen)


def _matches(track: Track, params: CacheList, backend: str | None, words: list[str]) -> bool:
    low, high = params.min_duration_sec, params.max_duration_sec
    return (
        (backend is None or track.get("backend") == backend)
        and (params.favorite is None or track.is_favorite == params.favorite)
        and (params.tag is None or params.tag in (track.get("tags") or ()))
        and (low is None or track.duration_sec >= low)
        and (high is None or track.duration_sec <= high)
        and (not words or all(word in _text(track) for word in words))
    )


def _text(track: Track) -> str:
    parts = [
        str(track.get("prompt")),
        track.title,
        str(track.get("lyrics") or ""),
        track.track_id,
        *map(str, track.get("tags") or ()),
    ]
    return "\n".join(parts).casefold()
