"""What strangers push through a real daemon's door: nonsense, impossible values, storms."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.clock import until
from tests.daemon import nonsense
from tests.daemon.callers import Caller, Home

GROWTH_LIMIT_BYTES = 4_000_000


def _count(daemon: Caller, wanted: int) -> Callable[[], bool]:
    return lambda: len(daemon.messages) >= wanted


def memory_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def test_twenty_thousand_wrong_lines_get_their_codes_in_order_and_cost_no_memory(
    home: Home,
) -> None:
    daemon = home.caller("stdio")
    daemon.initialize()
    assert daemon.process is not None
    maps = Path(f"/proc/{daemon.process.pid}/maps")
    until(lambda: "_miniaudio" in maps.read_text(), 20, "all that is read after the first answer")
    wrong = nonsense.lines(20_000, seed=11)
    sizes = []
    for part in (wrong[:4000], wrong[4000:]):
        daemon.messages.clear()
        daemon.write(b"".join(line + b"\n" for line in part))
        expected = [due for due in map(nonsense.owed, part) if due[0] != nonsense.NOTHING]
        until(_count(daemon, len(expected)), 30, "all answers")
        assert [nonsense.said(message) for message in daemon.messages] == expected
        sizes.append(memory_bytes(daemon.process.pid))
    daemon.messages.clear()
    assert daemon.call("ping")["status"] == "ok"
    assert sizes[1] - sizes[0] < GROWTH_LIMIT_BYTES


def test_a_storm_of_calls_is_answered_call_by_call_and_leaves_the_player_sound(
    home: Home,
) -> None:
    daemon = home.caller("stdio")
    daemon.initialize()
    track = daemon.call("generate", prompt="a", backend="procedural", duration_sec=30)["track_id"]
    daemon.event("playback_started", track_id=track)
    storm = [("seek", {"position_sec": place % 20}) for place in range(1500)]
    storm += [(name, {}) for name in ("skip", "stop", "toggle", "previous", "pause") * 300]
    idents = {daemon.send(method, **params) for method, params in storm}
    last = daemon.send("ping")
    daemon.answer(last, 60)
    until(lambda: idents <= {each.get("id") for each in daemon.messages}, 90, "every answer")
    answers = [each for each in daemon.messages if each.get("id") in idents]
    codes = {each["error"]["data"]["code"] for each in answers if "error" in each}
    assert len(answers) == len(storm)
    assert codes <= {"BUSY", "NOTHING_TO_PLAY"}
    assert daemon.call("play", track_id=track)["state"] == "playing"
    assert "Traceback" not in home.log()


def test_a_pipe_in_place_of_a_file_holds_nobody_up(home: Home) -> None:
    home.tracks.mkdir(parents=True)
    pipe = home.path / "pipe.wav"
    for path in (pipe, home.tracks / "aaaa111122223333.json"):
        os.mkfifo(path)
    daemon = home.caller("stdio")
    daemon.initialize()
    assert daemon.call("cache_list")["total"] == 0
    path = str(pipe)
    for method, params, code in (
        ("play", {"path": path}, "AUDIO_PLAYBACK_ERROR"),
        ("analyze", {"path": path}, "INVALID_SOURCE"),
        ("cache_import", {"path": path}, "INVALID_SOURCE"),
        ("generate", {"prompt": "a", "task": "extend", "source": path}, "INVALID_SOURCE"),
    ):
        assert daemon.refused(method, **params)["data"]["code"] == code, method
    assert daemon.call("stop")["state"] == "stopped"


def test_a_cache_that_is_deleted_under_the_daemon_is_made_again(home: Home) -> None:
    daemon = home.caller("stdio")
    daemon.initialize()
    asked: dict[str, Any] = {"backend": "procedural", "duration_sec": 5, "auto_play": False}
    first = daemon.call("generate", prompt="a", **asked)["track_id"]
    assert daemon.ending(first)[0] == "generation_complete"
    shutil.rmtree(home.tracks)
    daemon.event("cache_changed", removed=[first], reason="external")
    until((home.tracks / ".tmp").is_dir, 10, "the folder")
    second = daemon.call("generate", prompt="b", **asked)["track_id"]
    assert daemon.ending(second)[0] == "generation_complete"
    shutil.rmtree(home.path / "cache")
    (home.path / "cache").write_text("in the way")
    assert daemon.event("daemon_error", fatal=False)["code"] == "CACHE_WRITE_ERROR"
    (home.path / "cache").unlink()
    until((home.tracks / ".tmp").is_dir, 10, "the folder")
    third = daemon.call("generate", prompt="c", **asked)["track_id"]
    assert daemon.ending(third)[0] == "generation_complete"


def test_a_damaged_track_leaves_the_cache_and_everyone_hears_of_it(home: Home) -> None:
    daemon = home.caller("stdio")
    daemon.initialize()
    track = daemon.call("generate", prompt="a", backend="procedural", duration_sec=5)["track_id"]
    assert daemon.ending(track)[0] == "generation_complete"
    (home.tracks / f"{track}.wav").write_bytes(b"no sound at all")
    error = daemon.refused("cache_export", track_id=track, path=str(home.path / "x.wav"))
    assert error["data"]["code"] == "CACHE_CORRUPT"
    daemon.event("cache_changed", removed=[track])
    assert daemon.call("cache_list")["total"] == 0


HUGE = int("1" + "0" * 299)


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("seek", {"delta_sec": HUGE}, "NOTHING_TO_PLAY"),
        ("volume_set", {"level": HUGE}, "INVALID_PARAMS"),
        ("logs_tail", {"lines": HUGE}, "INVALID_PARAMS"),
        ("play", {"path": "/a\0b"}, "INVALID_PARAMS"),
        ("play", {"path": "/\ud800"}, "INVALID_PARAMS"),
        ("analyze", {"path": "/\ud800"}, "INVALID_PARAMS"),
        ("config_set", {"key": "cache.max_mb", "value": HUGE}, "INVALID_CONFIG"),
        ("config_set", {"key": "daemon.linger_sec", "value": HUGE}, "INVALID_CONFIG"),
        ("config_set", {"key": "defaults.shift", "value": HUGE}, "INVALID_CONFIG"),
        ("config_set", {"key": "defaults.duration_sec", "value": "x"}, "INVALID_CONFIG"),
        ("config_set", {"key": "defaults.tags", "value": [5]}, "INVALID_CONFIG"),
        ("config_set", {"key": "lora.paths", "value": ["here"]}, "INVALID_CONFIG"),
        ("generate", {"prompt": "a", "bpm": HUGE}, "INVALID_PARAMS"),
        ("generate", {"prompt": "a", "seed": HUGE}, "INVALID_PARAMS"),
        ("generate", {"prompt": "a", "duration_sec": HUGE}, "INVALID_DURATION"),
        ("generate", {"prompt": "a", "tags": [5]}, "INVALID_PARAMS"),
        ("generate", {"prompt": "a", "task": "extend", "source": {"path": "/a\0"}},
         "INVALID_PARAMS"),
        ("generate", {"prompt": "a", "task": "extend", "source": "/\ud800"}, "INVALID_PARAMS"),
    ],
)  # fmt: skip
def test_impossible_values_are_refused_with_their_own_code(
    door: Caller, method: str, params: dict[str, Any], code: str
) -> None:
    assert door.refused(method, **params)["data"]["code"] == code


@pytest.fixture(scope="module")
def door() -> Any:
    """One daemon for all of them: none may harm the next."""
    home = Home()
    caller = home.caller("stdio")
    caller.initialize()
    yield caller
    home.close()


def test_a_number_beyond_every_double_is_refused_and_nothing_breaks(door: Caller) -> None:
    for number in ("1e999", "1" + "0" * 400):
        door.write(
            b'{"jsonrpc":"2.0","id":"big","method":"config_set","params":'
            b'{"key":"cache.max_mb","value":' + number.encode() + b"}}\n"
        )
    until(lambda: sum(each.get("id") == "big" for each in door.messages) == 2, 10, "two answers")
    codes = {each["error"]["data"]["code"] for each in door.messages if each.get("id") == "big"}
    assert codes == {"INVALID_CONFIG"}
    assert door.call("config_get", keys=["cache.max_mb"])["config"] == {"cache.max_mb": 2048}
