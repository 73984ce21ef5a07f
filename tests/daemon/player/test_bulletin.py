from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lofi.daemon.player.bulletin import Bulletin
from lofi.daemon.player.playlist import Playlist
from lofi.errors import AudioDeviceError
from tests.daemon.player.sound import HandClock

AT = "2026-01-31T09:15:40.000Z"


@pytest.fixture
def told() -> list[tuple[str, dict[str, Any]]]:
    return []


@pytest.fixture
def bulletin(told: list[tuple[str, dict[str, Any]]]) -> Bulletin:
    return Bulletin(lambda method, params: told.append((method, params)), HandClock())


def test_each_notification_has_the_members_of_the_contract(
    bulletin: Bulletin, told: list[tuple[str, dict[str, Any]]]
) -> None:
    entry = Playlist().new_entry("a", title="A", prompt="rain", duration_sec=9.5)
    bulletin.started(entry, path=Path("/m/a.wav"), position_sec=1.23456, index=2)
    bulletin.started(entry, path=None, position_sec=0.0, index=0)
    bulletin.paused(entry, 2.0)
    bulletin.resumed(entry, 2.0)
    bulletin.ended(entry, "skipped", 3.0)
    bulletin.error(AudioDeviceError("gone", hint="look"), "a")
    bulletin.error(AudioDeviceError("gone", hint="look"))
    started = {
        "track_id": "a",
        "path": "/m/a.wav",
        "title": "A",
        "prompt": "rain",
        "duration_sec": 9.5,
        "position_sec": 1.235,
        "index": 2,
        "at": AT,
    }
    streaming = {**started, "path": None, "position_sec": 0.0, "index": 0, "streaming": True}
    error = {"code": "AUDIO_DEVICE_ERROR", "message": "gone", "hint": "look"}
    assert told == [
        ("playback_started", started),
        ("playback_started", streaming),
        ("playback_paused", {"track_id": "a", "position_sec": 2.0, "at": AT}),
        ("playback_resumed", {"track_id": "a", "position_sec": 2.0, "at": AT}),
        ("playback_ended", {"track_id": "a", "reason": "skipped", "position_sec": 3.0}),
        ("playback_error", {**error, "track_id": "a"}),
        ("playback_error", error),
    ]


def test_the_playlist_is_told_once_per_change(
    bulletin: Bulletin, told: list[tuple[str, dict[str, Any]]]
) -> None:
    playlist = Playlist()
    bulletin.playlist(playlist)
    playlist.append(playlist.new_entry("a"))
    bulletin.playlist(playlist)
    bulletin.playlist(playlist)
    assert told == [
        ("playlist_changed", {"tracks": ["a"], "index": None, "length": 1, "revision": 1})
    ]


def test_the_state_says_when_it_was_so(
    bulletin: Bulletin, told: list[tuple[str, dict[str, Any]]]
) -> None:
    bulletin.state({"state": "playing"})
    assert told == [("playback_state", {"state": "playing", "at": AT})]
    assert bulletin.state_told_at == 100.0
