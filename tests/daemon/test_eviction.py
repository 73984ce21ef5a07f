from __future__ import annotations

from pathlib import Path
from typing import Any

from lofi.daemon.eviction import Limits, victims
from lofi.daemon.sidecar import Track

NOW_SEC = 2_000_000_000.0


def track(name: str, accessed: int, **members: Any) -> Track:
    base = {"track_id": name, "file": f"{name}.wav", "bytes": 100, "backend": "musicgen"}
    return Track(Path("/tracks"), {**base, **members}, accessed)


def dropped(tracks: list[Track], limits: Limits, protected: tuple[str, ...] = ()) -> str:
    return "".join(item.track_id for item in victims(tracks, limits, protected, NOW_SEC)[0])


def test_nothing_goes_while_the_limits_are_kept() -> None:
    tracks = [track("a", 1), track("b", 2)]
    assert dropped(tracks, Limits(200, 2)) == ""
    assert dropped(tracks, Limits(0, None)) == ""


def test_filler_goes_before_what_was_asked_for() -> None:
    tracks = [
        track("a", 1),
        track("b", 2, origin="radio"),
        track("c", 3, origin="prefetch", backend="procedural"),
        track("d", 0, origin="radio", backend="procedural", rating=5),
    ]
    assert dropped(tracks, Limits(0, 1)) == "cbd"


def test_favourites_the_played_and_the_young_stay() -> None:
    tracks = [
        track("a", 1, favorite=True),
        track("b", 2),
        track("c", 3, created_at="2033-05-18T03:33:00.000Z"),
        track("d", 4),
    ]
    chosen, is_enough = victims(tracks, Limits(100), ("b",), NOW_SEC)
    assert [item.track_id for item in chosen] == ["d"]
    assert not is_enough


def test_both_limits_hold() -> None:
    tracks = [track(name, number) for number, name in enumerate("abcd")]
    assert dropped(tracks, Limits(300, 3)) == "a"
    assert dropped(tracks, Limits(150, 3)) == "abc"
