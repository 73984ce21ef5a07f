"""Each guarantee of the protocol's ordering, on a real daemon with a real worker."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.daemon.callers import Caller, Home

pytestmark = pytest.mark.slow

LONG = "steps=60 step=0.05"


def test_the_answer_comes_before_any_word_about_the_track(daemon: Caller) -> None:
    ident = daemon.send("generate", prompt="plain", duration_sec=5, seed=1)
    track_id = daemon.answer(ident)["result"]["track_id"]
    daemon.ending(track_id)
    answered = daemon.index(lambda each: each.get("id") == ident)
    first = daemon.index(lambda each: "method" in each and track_id in json.dumps(each["params"]))
    assert answered < first


def test_a_cached_answer_comes_first_too_and_ends_once_without_a_start(daemon: Caller) -> None:
    params = {"prompt": "plain", "duration_sec": 5, "seed": 2, "auto_play": False}
    track_id = daemon.call("generate", **params)["track_id"]
    daemon.ending(track_id)
    seen = len(daemon.messages)
    ident = daemon.send("generate", **params)
    assert daemon.answer(ident)["result"]["status"] == "cached"
    daemon.call("ping")
    about = [each for each in daemon.messages[seen:] if track_id in json.dumps(each)]
    assert about[0]["id"] == ident
    assert [each["method"] for each in about[1:]] == ["generation_complete"]
    assert about[1]["params"]["cached"] and about[1]["params"]["generation_time_sec"] == 0


def test_a_job_starts_once_ends_once_and_is_silent_afterwards(daemon: Caller) -> None:
    first = daemon.call("generate", prompt="steps=5 step=0.05", duration_sec=5, seed=3)
    second = daemon.call("generate", prompt="plain", duration_sec=5, seed=4)
    daemon.ending(second["track_id"])
    daemon.call("ping")
    about = [
        each["method"]
        for each in daemon.messages
        if each.get("method", "").startswith("generation_")
        and each["params"]["track_id"] == first["track_id"]
    ]
    assert about[0] == "generation_start" and about[-1] == "generation_complete"
    assert set(about[1:-1]) == {"generation_progress"}


def test_a_job_cancelled_while_it_waits_has_no_start(daemon: Caller) -> None:
    running = daemon.call("generate", prompt=LONG, duration_sec=5, seed=5)["track_id"]
    waiting = daemon.call("generate", prompt="plain", duration_sec=5, seed=6)["track_id"]
    daemon.event("generation_start", track_id=running)
    ident = daemon.send("cancel", track_id=waiting)
    result = daemon.answer(ident)["result"]
    assert result == {"cancelled": True, "track_id": waiting, "was_generating": False}
    method, params = daemon.ending(waiting)
    assert (method, params["reason"]) == ("generation_cancelled", "user")
    assert daemon.index(lambda each: each.get("id") == ident) < daemon.index(
        lambda each: each.get("method") == "generation_cancelled"
    )
    assert daemon.call("cancel")["track_id"] == running
    assert daemon.ending(running)[0] == "generation_cancelled"
    assert waiting not in [each["track_id"] for each in daemon.named("generation_start")]


def test_a_joined_request_has_no_second_ending(daemon: Caller) -> None:
    params = {"prompt": "steps=10 step=0.05", "duration_sec": 5, "seed": 7}
    first = daemon.call("generate", **params)
    daemon.event("generation_start")
    second = daemon.call("generate", **params)
    assert second["deduplicated"] and second["status"] == "generating"
    assert second["track_id"] == first["track_id"]
    daemon.ending(first["track_id"])
    daemon.call("ping")
    assert daemon.endings(first["track_id"]) == ["generation_complete"]


def test_percent_and_step_never_fall_and_percent_stays_below_100(daemon: Caller) -> None:
    for seed in (8, 9):  # the second run has measured times to go by
        track = daemon.call("generate", prompt="steps=25 step=0.04", duration_sec=5, seed=seed)
        daemon.ending(track["track_id"])
        said = [
            (each["percent"], each["step"])
            for each in daemon.named("generation_progress")
            if each["track_id"] == track["track_id"]
        ]
        assert said[0][0] == 0
        assert said == sorted(said)
        assert all(0 <= percent <= 99 for percent, _ in said)
        assert len(said) > 5


def test_a_complete_track_is_there_for_every_process(daemon: Caller, home: Home) -> None:
    track_id = daemon.call("generate", prompt="plain", duration_sec=5, seed=10)["track_id"]
    _, params = daemon.ending(track_id)
    found = daemon.call("cache_get", track_id=track_id[:6])
    assert found["track"]["path"] == params["path"]
    sidecar = json.loads((home.tracks / f"{track_id}.json").read_text())
    stat = Path(params["path"]).stat()
    assert stat.st_size == sidecar["bytes"]
    assert stat.st_mode & 0o777 == 0o600
    assert not list((home.tracks / ".tmp").glob("*.wav"))


def test_a_finished_track_is_complete_before_it_is_heard(daemon: Caller) -> None:
    track_id = daemon.call("generate", prompt="plain", duration_sec=5, seed=11)["track_id"]
    daemon.event("playback_started", track_id=track_id)
    complete = daemon.index(lambda each: each.get("method") == "generation_complete")
    started = daemon.index(lambda each: each.get("method") == "playback_started")
    assert complete < started


def test_a_streamed_track_is_heard_before_it_is_complete(daemon: Caller) -> None:
    prompt = "stream part=0.15"
    track_id = daemon.call("generate", prompt=prompt, duration_sec=20, seed=12)["track_id"]
    started = daemon.event("playback_started", track_id=track_id)
    assert started["path"] is None and started["streaming"] and started["duration_sec"] == 20
    error = daemon.refused("cache_get", track_id=track_id)
    assert error["data"]["code"] == "INVALID_TRACK_ID"
    daemon.ending(track_id)
    complete = daemon.index(lambda each: each.get("method") == "generation_complete")
    daemon.wait(lambda each: daemon.messages.index(each) > complete
                and each.get("method") == "playback_state")  # fmt: skip


def test_a_streamed_track_that_is_cancelled_falls_silent_before_its_ending(
    daemon: Caller,
) -> None:
    prompt = "stream part=0.3"
    track_id = daemon.call("generate", prompt=prompt, duration_sec=30, seed=13)["track_id"]
    daemon.event("playback_started", track_id=track_id)
    daemon.call("cancel", track_id=track_id)
    daemon.ending(track_id)
    ended = daemon.index(lambda each: each.get("method") == "playback_ended")
    cancelled = daemon.index(lambda each: each.get("method") == "generation_cancelled")
    assert ended < cancelled
    assert daemon.messages[ended]["params"]["reason"] == "stopped"
    assert daemon.call("playlist_get")["tracks"] == []


def test_requests_take_effect_in_the_order_they_were_sent(daemon: Caller) -> None:
    daemon.call("queue_pause")
    calls = b""
    for seed in range(20, 24):
        for method, params in (
            ("generate", {"prompt": "plain", "duration_sec": 5, "seed": seed}),
            ("queue_clear", {}),
        ):
            call = {"jsonrpc": "2.0", "id": f"{method}{seed}", "method": method, "params": params}
            calls += json.dumps(call).encode() + b"\n"
    daemon.write(calls)
    daemon.wait(lambda each: each.get("id") == "queue_clear23")
    for seed in range(20, 24):
        made = daemon.wait(lambda each, seed=seed: each.get("id") == f"generate{seed}")
        cleared = daemon.wait(lambda each, seed=seed: each.get("id") == f"queue_clear{seed}")
        assert cleared["result"]["removed"] == [made["result"]["track_id"]]


def test_volume_changes_follow_each_other_in_order(daemon: Caller) -> None:
    for level in range(11):
        daemon.send("volume_set", level=level / 10)
    assert daemon.call("volume_get")["level"] == 1.0
    levels = [each["volume"] for each in daemon.named("playback_state")]
    assert levels == sorted(levels)


def test_the_answer_to_shutdown_is_the_last_line(daemon: Caller, home: Home) -> None:
    running = daemon.call("generate", prompt=LONG, duration_sec=5, seed=14)["track_id"]
    waiting = daemon.call("generate", prompt="plain", duration_sec=5, seed=15)["track_id"]
    daemon.event("generation_start", track_id=running)
    ident = daemon.send("shutdown")
    assert daemon.ended() == 0
    assert daemon.answer(ident)["result"] == {"status": "shutting_down"}
    assert daemon.messages[-1]["id"] == ident
    for track_id in (running, waiting):
        assert daemon.ending(track_id)[1]["reason"] == "shutdown"
    assert not list((home.tracks / ".tmp").iterdir())


def test_shutdown_after_current_lets_the_running_job_finish(daemon: Caller) -> None:
    running = daemon.call("generate", prompt="steps=20 step=0.05", duration_sec=5, seed=16)
    waiting = daemon.call("generate", prompt="plain", duration_sec=5, seed=17)
    daemon.event("generation_start", track_id=running["track_id"])
    ident = daemon.send("shutdown", mode="after_current")
    assert daemon.ended(10) == 0
    assert daemon.endings(running["track_id"]) == ["generation_complete"]
    assert daemon.endings(waiting["track_id"]) == ["generation_cancelled"]
    assert daemon.messages[-1]["id"] == ident


def test_every_line_is_whole_when_three_clients_hear_everything(home: Home) -> None:
    first = home.caller("relay")
    first.initialize()
    others = [home.connect(), home.connect()]
    for other in others:
        other.initialize()
    track_id = first.call("generate", prompt="steps=30 step=0.02", duration_sec=5)["track_id"]
    for caller in (first, *others):  # a torn line would have ended the reading thread
        assert caller.ending(track_id)[0] == "generation_complete"
