"""The methods about tracks, through a real daemon and the light worker's own operations."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.daemon.callers import Caller, Home

pytestmark = pytest.mark.slow


@pytest.fixture
def track(daemon: Caller) -> str:
    """A cached track of five seconds."""
    answer = daemon.call(
        "generate", prompt="plain rain", duration_sec=5, seed=1, title="Rain", auto_play=False
    )
    daemon.ending(answer["track_id"])
    return str(answer["track_id"])


def test_a_waveform_is_drawn_once_and_kept(daemon: Caller, track: str, home: Home) -> None:
    peaks = daemon.call("waveform", track_id=track, columns=8)["peaks"]
    assert len(peaks) == 8 and all(0 < peak <= 1 for peak in peaks)
    stored = json.loads((home.tracks / f"{track}.peaks.json").read_text())
    assert stored["columns"] == {"8": peaks}
    assert daemon.call("waveform", track_id=track, columns=8)["peaks"] == peaks


@pytest.mark.parametrize("columns", [[1, 2], {"8": 5}, "x"])
def test_peaks_edited_by_hand_are_drawn_anew(
    daemon: Caller, track: str, home: Home, columns: object
) -> None:
    peaks = daemon.call("waveform", track_id=track, columns=8)["peaks"]
    path = home.tracks / f"{track}.peaks.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "columns": columns}))
    assert daemon.call("waveform", track_id=track, columns=8)["peaks"] == peaks


def test_an_export_is_a_file_that_others_can_read(daemon: Caller, track: str, home: Home) -> None:
    target = home.path / "out.flac"
    answer = daemon.call("cache_export", track_id=track, path=str(target))
    assert answer == {"path": str(target), "bytes": target.stat().st_size}
    assert soundfile.info(target).frames == 5 * 48000
    error = daemon.refused("cache_export", track_id=track, path=str(target))
    assert error["data"]["param"] == "path"
    error = daemon.refused("cache_export", track_id=track, path="relative.wav")
    assert error["data"]["code"] == "INVALID_PARAMS"


def test_a_damaged_track_is_not_exported(daemon: Caller, track: str, home: Home) -> None:
    path = home.tracks / f"{track}.wav"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    error = daemon.refused("cache_export", track_id=track, path=str(home.path / "x.wav"))
    assert error["data"]["code"] == "CACHE_CORRUPT"
    assert daemon.refused("cache_get", track_id=track)["data"]["code"] == "INVALID_TRACK_ID"


def test_an_imported_file_is_a_track_like_others(daemon: Caller, home: Home) -> None:
    own = home.path / "own.wav"
    noise = np.random.default_rng(1).uniform(-0.3, 0.3, (44100, 1))
    soundfile.write(own, noise, 44100)
    copied = daemon.call("cache_import", path=str(own), title="Mine")["track"]
    assert copied["backend"] == "import" and copied["title"] == "Mine"
    assert copied["duration_sec"] == 1.0 and Path(copied["path"]).parent == home.tracks
    assert daemon.call("cache_import", path=str(own))["track"] == copied
    assert daemon.call("cache_list", backend="import")["total"] == 1
    error = daemon.refused("cache_recipe", track_id=copied["track_id"])
    assert error["data"]["code"] == "INVALID_TRACK_ID"
    daemon.call("cache_delete", track_id=copied["track_id"])
    left = daemon.call("cache_import", path=str(own), copy=False)["track"]
    assert left["path"] == str(own)
    daemon.call("cache_clear")
    assert own.exists()
    broken = home.path / "text.wav"
    broken.write_text("no sound at all")
    error = daemon.refused("cache_import", path=str(broken))
    assert error["data"]["code"] == "INVALID_SOURCE"


@pytest.mark.parametrize("asked", [{}, {"lm_model": "auto"}, {"lm_model": "4b"}])
def test_a_track_that_nobody_planned_is_not_planned_the_next_time(
    home: Home, asked: dict[str, str]
) -> None:
    first = home.caller("stdio")
    first.initialize()
    answer = first.call("generate", prompt="plain rain", duration_sec=5, auto_play=False)
    first.ending(answer["track_id"])
    first.hang_up()
    first.ended()
    path = home.tracks / f"{answer['track_id']}.json"
    members = json.loads(path.read_text())
    members["recipe"]["backend"] = members["backend"] = "ace_step_15"
    members["request"] |= asked
    path.write_text(json.dumps(members))
    request = home.caller("stdio").call("cache_recipe", track_id=answer["track_id"])["request"]
    assert request["lm_model"] == "none"


def test_lists_are_searched_sorted_and_paged(daemon: Caller, track: str) -> None:
    other = daemon.call("generate", prompt="plain snow", duration_sec=6, auto_play=False)
    daemon.ending(other["track_id"])
    listed = daemon.call("cache_list")
    assert [each["track_id"] for each in listed["tracks"]] == [other["track_id"], track]
    assert daemon.call("cache_list", query="RAIN plain")["total"] == 1
    assert daemon.call("cache_list", query="rain snow")["total"] == 0
    page = daemon.call("cache_list", sort="duration", order="asc", limit=1, offset=1)
    assert (page["total"], page["tracks"][0]["track_id"]) == (2, other["track_id"])
    daemon.call("cache_favorite", track_id=track)
    assert daemon.call("cache_list", favorite=True)["total"] == 1
    daemon.call("cache_update", track_id=track, tags=["wet", "wet"], rating=4)
    found = daemon.call("cache_list", tag="wet")["tracks"][0]
    assert (found["tags"], found["rating"], found["favorite"]) == (["wet"], 4, True)
    assert daemon.call("cache_update", track_id=track, title="New")["track"]["rating"] == 4
    assert daemon.call("cache_update", track_id=track, rating=None)["track"]["rating"] is None


def test_a_playing_track_stops_before_it_is_deleted(daemon: Caller, track: str) -> None:
    daemon.call("play", track_id=track[:6])
    daemon.event("playback_started", track_id=track)
    result = daemon.call("cache_delete", track_id=track)
    assert result["deleted"] == [track]
    ended = daemon.event("playback_ended", track_id=track)
    assert ended["reason"] == "stopped"
    changed = daemon.event("cache_changed", reason="deleted")
    assert changed["removed"] == [track]
    assert daemon.refused("play", track_id=track)["data"]["code"] == "INVALID_TRACK_ID"


def test_statistics_count_hits_and_bytes(daemon: Caller, track: str) -> None:
    daemon.call("generate", prompt="plain rain", duration_sec=5, seed=1, auto_play=False)
    stats = daemon.call("cache_stats")
    assert (stats["count"], stats["hits"], stats["misses"]) == (1, 1, 1)
    assert stats["by_backend"] == {"procedural": 1}
    assert stats["total_duration_sec"] == 5.0


def test_an_overfull_cache_drops_the_oldest_but_never_the_young(daemon: Caller, track: str) -> None:
    daemon.call("config_set", key="cache.max_tracks", value=1)
    other = daemon.call("generate", prompt="plain snow", duration_sec=5, auto_play=False)
    daemon.ending(other["track_id"])
    said = daemon.event("daemon_error")
    assert said["code"] == "INSUFFICIENT_DISK" and not said["fatal"]
    assert daemon.call("cache_stats")["count"] == 2


def test_an_analysis_can_be_cancelled(daemon: Caller, track: str) -> None:
    busy = daemon.call("generate", prompt="steps=400 step=0.02", duration_sec=5, auto_play=False)
    daemon.event("generation_start", track_id=busy["track_id"])
    ident = daemon.send("analyze", track_id=track)
    told = daemon.event("operation_progress", 3)
    assert (told["request_id"], told["method"]) == (ident, "analyze")
    daemon.call("cancel", request_id=ident)
    assert daemon.answer(ident)["error"]["data"]["code"] == "GENERATION_CANCELLED"
    again = daemon.refused("cancel", request_id=ident)["data"]
    assert again["code"] == "NOT_CANCELLABLE" and "answered already" in again["hint"]
    daemon.call("cancel")


def test_history_remembers_and_forgets(daemon: Caller, track: str) -> None:
    events = daemon.call("history_list")["events"]
    assert [(each["kind"], each["track_id"]) for each in events] == [("generated", track)]
    prompts = daemon.call("prompt_history")["prompts"]
    assert prompts[0]["prompt"] == "plain rain" and prompts[0]["seeds"] == [1]
    assert daemon.call("history_clear") == {"removed": 1}
    assert daemon.call("history_list") == {"events": []}
    daemon.call("config_set", key="history.enabled", value=False)
    other = daemon.call("generate", prompt="plain snow", duration_sec=5, auto_play=False)
    daemon.ending(other["track_id"])
    assert daemon.call("history_list") == {"events": []}


def test_the_doctor_and_the_log_answer(daemon: Caller, track: str) -> None:
    found = daemon.call("doctor", deep=True)
    assert found["ok"]
    titles = [section["title"] for section in found["sections"]]
    assert "Models" in titles and "Cache" in titles
    items = [item for section in found["sections"] for item in section["items"]]
    assert all(item["level"] in ("ok", "info", "warn", "error") for item in items)
    log = daemon.call("logs_tail", lines=5)
    assert log["lines"] and log["lines"][-1]["level"] in ("debug", "info", "warn", "error")


def test_an_estimate_renders_nothing(daemon: Caller, track: str) -> None:
    answer = daemon.call("estimate", prompt="plain rain", duration_sec=5)
    assert answer["confidence"] == "measured" and answer["fits"] and answer["seconds"] > 0
    assert daemon.call("queue_status")["current"] is None
