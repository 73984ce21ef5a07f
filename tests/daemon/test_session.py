"""What outlives a daemon: unfinished requests, and what was on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lofi.daemon.player.memory import Item, Memory
from lofi.daemon.session import Session
from tests.clock import limit, until
from tests.daemon.callers import Caller, Home

NOTHING = Memory((), None, 0.0, "stopped", 0.6, False)
MUSIC = Memory((Item("a" * 16), Item("f", "/x.wav", "x", 3.0)), 1, 2.5, "playing", 0.3, True)


async def at_once(call: Any) -> None:
    call()


def session(path: Path, memory: Memory = NOTHING) -> Session:
    return Session(path, lambda: memory, at_once)


def test_requests_are_offered_once_and_those_never_offered_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "state" / "session.json"
    session(path).keep([{"prompt": "a"}], NOTHING)
    session(path).keep([{"prompt": "b"}], NOTHING)
    third = session(path)
    assert [each["prompt"] for each in third.offer()] == ["a", "b"]
    assert third.offer() == []
    assert session(path).offer() == []
    path.write_text("[]")
    assert session(path).offer() == []


def test_what_was_offered_while_a_note_was_being_written_is_not_offered_again(
    tmp_path: Path,
) -> None:
    path = tmp_path / "session.json"
    session(path).keep([{"prompt": "a"}], NOTHING)

    async def scene() -> None:
        may_write = asyncio.Event()

        async def slowly(call: Any) -> None:
            await may_write.wait()
            call()

        living = Session(path, lambda: MUSIC, slowly)
        noting = asyncio.create_task(living.run())
        living.change()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert living.offer() == [{"prompt": "a"}]
        may_write.set()
        async with asyncio.timeout(limit(10)):
            while "playback" not in path.read_text() or '"a"' in path.read_text():
                await asyncio.sleep(0.01)
        noting.cancel()

    asyncio.run(scene())
    assert session(path).offer() == []


def test_what_is_kept_twice_over_is_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "session.json"
    session(path).keep([{"prompt": "a"}], NOTHING)
    ending = session(path)
    assert ending.offer() == [{"prompt": "a"}]
    ending.keep([{"prompt": "b"}], NOTHING)
    ending.keep([{"prompt": "c"}], NOTHING)
    assert session(path).offer() == [{"prompt": "b"}, {"prompt": "c"}]


def test_what_was_on_is_recalled_once_and_goes_on_only_after_a_fresh_crash(tmp_path: Path) -> None:
    path = tmp_path / "session.json"
    first = session(path)
    first.change()
    first.keep([], MUSIC)
    second = session(path)
    assert second.recall() == (MUSIC, False)
    assert second.recall() == (None, False)
    stored = json.loads(path.read_text())
    crashed = {**stored, "is_open": True, "pid": 2**22 + 1}  # beyond any process's number
    for changes, goes_on in (
        ({}, True),
        ({"noted_sec": time.time() - 3600}, False),  # yesterday
        ({"pid": os.getpid()}, False),  # it lives: another private daemon
        ({"pid": "x"}, False),
        ({"noted_sec": "now"}, False),
    ):
        path.write_text(json.dumps({**crashed, **changes}))
        assert session(path).recall() == (MUSIC, goes_on), changes


def test_what_went_on_by_itself_and_crashed_soon_comes_back_paused(tmp_path: Path) -> None:
    path = tmp_path / "session.json"
    first = session(path)
    first.change()
    first.keep([], MUSIC)

    def crash(**changes: Any) -> None:
        stored = json.loads(path.read_text())
        path.write_text(json.dumps({**stored, "is_open": True, "pid": 2**22 + 1, **changes}))

    async def note(living: Session) -> None:
        before = path.read_text()
        living.change()
        noting = asyncio.create_task(living.run())
        async with asyncio.timeout(limit(10)):
            while path.read_text() == before:
                await asyncio.sleep(0.01)
        noting.cancel()

    crash()
    assert session(path).recall() == (MUSIC, True)  # dies before it can note anything
    second = session(path, MUSIC)
    assert second.recall() == (MUSIC, False)
    asyncio.run(note(second))  # played on by hand: a life of its own
    crash()
    third = session(path, MUSIC)
    assert third.recall() == (MUSIC, True)
    asyncio.run(note(third))
    noted = path.read_text()
    crash()
    assert session(path).recall() == (MUSIC, False)
    path.write_text(noted)
    crash(resumed_sec=time.time() - 3600)  # it had lived long
    assert session(path).recall() == (MUSIC, True)
    crash(resumed_sec="then")
    assert session(path).recall() == (MUSIC, True)


def test_a_daemon_that_never_played_leaves_what_was_on_alone(tmp_path: Path) -> None:
    path = tmp_path / "session.json"
    first = session(path)
    first.change()
    first.keep([{"prompt": "a"}], MUSIC)
    session(path).keep([{"prompt": "b"}], NOTHING)
    last = session(path)
    assert last.recall() == (MUSIC, False)
    assert [each["prompt"] for each in last.offer()] == ["a", "b"]


GOOD = MUSIC.to_json()


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        {},
        {**GOOD, "items": "x"},
        {**GOOD, "index": 2},
        {**GOOD, "index": -1},
        {**GOOD, "index": True},
        {**GOOD, "state": "dancing"},
        {**GOOD, "volume": 2},
        {**GOOD, "volume": "loud"},
        {**GOOD, "position_sec": -1},
        {**GOOD, "position_sec": None},
    ],
)
def test_a_memory_edited_by_hand_is_none(wrong: object) -> None:
    assert Memory.of_json(wrong) is None


def test_items_that_are_none_are_left_out_and_the_place_stays() -> None:
    items: list[Any] = [{"track_id": 5}, {"track_id": "a", "path": "relative"}, *GOOD["items"]]
    memory = Memory.of_json({**GOOD, "items": items, "index": 3})
    assert memory is not None
    assert (memory.items, memory.index) == (MUSIC.items, 1)
    nothing = Memory.of_json({**GOOD, "items": [{}], "index": 0})
    assert nothing is not None
    assert (nothing.items, nothing.index) == ((), None)


# Through the door.


def made(daemon: Caller, prompt: str, seconds: float = 20) -> str:
    asked = daemon.call(
        "generate", prompt=prompt, backend="procedural", duration_sec=seconds, auto_play=False
    )
    assert daemon.ending(asked["track_id"])[0] == "generation_complete"
    return str(asked["track_id"])


def test_the_next_daemon_goes_back_to_what_was_on_paused(home: Home) -> None:
    first = home.caller("stdio")
    assert first.initialize()["state"]["playback"]["track_id"] is None
    tracks = [made(first, "a"), made(first, "b"), made(first, "c")]
    outside = home.path / "mine.wav"
    outside.write_bytes((home.tracks / f"{tracks[0]}.wav").read_bytes())
    first.call("play", track_id=tracks[0])
    first.call("play", path=str(outside), enqueue="end")
    first.call("play", track_id=tracks[1], enqueue="end")
    first.call("skip", count=2)
    first.call("volume_set", level=0.25)
    first.call("mute", muted=True)
    first.call("seek", position_sec=10)
    first.event("playback_started", track_id=tracks[1])
    before = first.call("playlist_get")
    first.hang_up()
    first.ended()

    second = home.caller("stdio")
    playback = second.initialize()["state"]["playback"]
    assert (playback["state"], playback["track_id"]) == ("paused", tracks[1])
    assert 10 <= playback["position_sec"] < 18
    assert (playback["volume"], playback["muted"]) == (0.25, True)
    assert second.call("config_get", keys=["playback.volume"])["config"] == {
        "playback.volume": 0.25
    }
    after = second.call("playlist_get")
    assert [after[name] for name in ("tracks", "index")] == [
        before[name] for name in ("tracks", "index")
    ]
    second.call("resume")
    started = second.event("playback_started", track_id=tracks[1])
    assert started["position_sec"] == pytest.approx(playback["position_sec"], abs=0.01)
    second.call("stop")
    second.call("cache_delete", track_id=tracks[1])
    second.hang_up()
    second.ended()

    third = home.caller("stdio")
    playback = third.initialize()["state"]["playback"]
    assert playback["state"] == "stopped"
    assert tracks[1] not in third.call("playlist_get")["tracks"]


def test_after_a_crash_the_music_goes_on_by_itself(home: Home) -> None:
    first = home.caller("stdio")
    first.initialize()
    track = made(first, "a")
    first.call("play", track_id=track)
    first.event("playback_started")
    until(lambda: "playing" in noted(home), 10, "the note of what is on")
    assert first.process is not None
    first.process.send_signal(signal.SIGKILL)
    first.ended()
    quiet = home.caller("stdio")
    quiet.initialize(resume=False)
    assert quiet.call("status")["playback"]["state"] == "stopped"
    quiet.hang_up()
    quiet.ended()
    second = home.caller("stdio")
    assert second.initialize()["state"]["playback"]["state"] == "paused"
    second.event("playback_started", track_id=track)
    assert second.call("status")["playback"]["state"] == "playing"


def test_a_track_that_kills_the_daemon_is_not_played_again_and_again(home: Home) -> None:
    first = home.caller("stdio")
    first.initialize()
    track = made(first, "a")
    first.call("play", track_id=track)
    first.event("playback_started")
    for goes_on in (True, False):
        assert first.process is not None
        until(partial(notes_playing, home, first.process.pid), 10, "its note of what is on")
        first.process.send_signal(signal.SIGKILL)
        first.ended()
        first = home.caller("stdio")
        assert first.initialize()["state"]["playback"]["state"] == "paused"
        if goes_on:
            first.event("playback_started", track_id=track)
    first.call("volume_set", level=0.5)  # asks the player, as what goes on by itself would have
    assert first.call("status")["playback"]["state"] == "paused"
    assert not first.named("playback_started")


def notes_playing(home: Home, pid: int) -> bool:
    return '"playing"' in noted(home) and f'"pid": {pid},' in noted(home)


def noted(home: Home) -> str:
    path = home.state / "session.json"
    return path.read_text() if path.exists() else ""


def test_a_second_private_daemon_takes_no_living_one_for_crashed(home: Home) -> None:
    first = home.caller("stdio")
    first.initialize()
    first.call("play", track_id=made(first, "a"))
    first.event("playback_started")
    until(lambda: "playing" in noted(home), 10, "the note of what is on")
    second = home.caller("stdio")
    assert second.initialize()["state"]["playback"]["state"] == "paused"
    assert second.call("status")["playback"]["state"] == "paused"
    assert first.call("status")["playback"]["state"] == "playing"


def test_what_waited_is_offered_even_if_the_last_daemon_finished_its_job(home: Home) -> None:
    first = home.caller("stdio")
    first.initialize()
    slow = first.call("generate", prompt="steps=10 step=0.1", backend="procedural", duration_sec=5)
    first.event("generation_start", track_id=slow["track_id"])
    first.call("generate", prompt="waits", backend="procedural", duration_sec=5)
    assert first.call("shutdown", mode="after_current") == {"status": "shutting_down"}
    assert first.ending(slow["track_id"])[0] == "generation_complete"
    assert first.ended(20) == 0
    second = home.caller("stdio")
    assert [each["prompt"] for each in second.initialize()["unfinished"]] == ["waits"]


def test_what_comes_while_the_rest_is_being_kept_is_refused_not_lost(home: Home) -> None:
    home.state.mkdir(parents=True)
    os.mkfifo(home.state / "session.json")  # a disk that lets the keeping wait
    daemon = home.caller("stdio")
    daemon.initialize(resume=False)
    slow = daemon.call("generate", prompt="steps=10 step=0.1", backend="procedural", duration_sec=5)
    daemon.event("generation_start", track_id=slow["track_id"])
    waits = daemon.call("generate", prompt="waits", backend="procedural", duration_sec=5)
    daemon.send("shutdown", mode="after_current")
    assert daemon.ending(waits["track_id"])[1]["reason"] == "shutdown"
    late = daemon.refused("generate", prompt="late", backend="procedural", duration_sec=5)
    assert late["data"]["code"] == "SHUTTING_DOWN"
    (home.state / "session.json").write_text("{}")
    assert daemon.ended(20) == 0
    kept = json.loads((home.state / "session.json").read_text())["unfinished"]
    assert [each["prompt"] for each in kept] == ["waits"]


def test_a_new_track_starts_although_an_old_one_is_paused_from_another_day(home: Home) -> None:
    first = home.caller("stdio")
    first.initialize()
    first.call("play", track_id=made(first, "a"))
    first.event("playback_started")
    first.hang_up()
    first.ended()
    second = home.caller("stdio")
    second.initialize()
    asked = second.call("generate", prompt="b", backend="procedural", duration_sec=5)
    second.event("playback_started", track_id=asked["track_id"])
    assert len(second.call("playlist_get")["tracks"]) == 2


def test_a_volume_written_since_stands_over_what_was_on(home: Home) -> None:
    def life(configured: float | None, turned_to: float | None = None) -> float:
        daemon = home.caller("stdio")
        playback = {} if configured is None else {"volume": configured}
        daemon.initialize(config={"playback": playback})
        found = daemon.call("volume_get")["level"]
        if turned_to is not None:
            daemon.call("volume_set", level=turned_to)
        daemon.hang_up()
        daemon.ended()
        return float(found)

    assert life(0.5, turned_to=0.2) == 0.5
    assert life(0.5, turned_to=0.3) == 0.2, "it was turned while 0.5 was written already"
    assert life(None) == 0.3, "who writes nothing asks for nothing"
    assert life(0.5) == 0.3
    assert life(0.9) == 0.9, "written since"
    assert life(0.9, turned_to=0.4) == 0.9
    assert life(0.9) == 0.4


def test_a_volume_turned_after_it_was_kept_is_the_one_that_was_on(home: Home) -> None:
    first = home.caller("stdio")
    first.initialize()
    first.call("config_set", key="playback.volume", value=0.5, persist=True)
    first.call("volume_set", level=0.2)
    first.hang_up()
    first.ended()
    second = home.caller("stdio")
    assert second.initialize()["state"]["playback"]["volume"] == 0.2


def test_who_wants_no_resuming_gets_none(home: Home) -> None:
    first = home.caller("stdio")
    first.initialize()
    first.call("play", track_id=made(first, "a"))
    first.hang_up()
    first.ended()
    second = home.caller("stdio")
    state = second.initialize(config={"playback": {"resume_session": False}})["state"]
    assert (state["playback"]["state"], state["playlist_length"]) == ("stopped", 0)


@pytest.mark.parametrize("text", ["", "[]", '{"unfinished":5,"playback":{"items":[5]}}', "\x00"])
def test_a_session_edited_by_hand_stops_neither_start_nor_end(home: Home, text: str) -> None:
    home.state.mkdir(parents=True)
    (home.state / "session.json").write_text(text)
    daemon = home.caller("stdio")
    assert daemon.initialize()["unfinished"] == []
    assert daemon.call("shutdown") == {"status": "shutting_down"}
    assert daemon.ended() == 0


def test_what_the_player_was_told_is_what_the_settings_say(daemon: Caller) -> None:
    daemon.call("volume_set", level=0.3)
    assert daemon.event("config_changed", source="runtime")["keys"] == ["playback.volume"]
    read = daemon.call("config_get", keys=["playback.volume"])
    assert read == {"config": {"playback.volume": 0.3}, "sources": {"playback.volume": "runtime"}}
    daemon.call("config_set", key="playback.volume", value=0.6)  # the default, and yet a change
    daemon.event("playback_state", volume=0.6)
    assert daemon.call("volume_get")["level"] == 0.6
