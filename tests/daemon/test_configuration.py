"""Introductions and settings, on real daemons."""

from __future__ import annotations

import json

import pytest

from lofi.wire import methods
from tests.daemon.callers import Caller, Home

pytestmark = pytest.mark.slow


def test_an_introduction_lists_what_exists_and_imports_no_torch(home: Home) -> None:
    caller = home.caller("stdio")
    result = caller.initialize()
    assert set(result["capabilities"]["methods"]) == set(methods.METHODS)
    for name in result["capabilities"]["methods"]:
        answer = caller.answer(caller.send(name, x_ignored=1)) if name == "ping" else None
        assert answer is None or "result" in answer
    assert [each["type"] for each in result["backends"]] == [
        "musicgen",
        "ace_step",
        "ace_step_15",
        "procedural",
    ]
    assert result["default_backend"] == "procedural"
    assert result["state"]["playback"]["state"] == "stopped"
    assert result["capabilities"]["devices"] is None
    maps = home.path.joinpath("/proc", str(result["daemon"]["pid"]), "maps").read_text()
    assert "torch" not in maps and "msgpack" in maps


def test_a_client_of_another_protocol_is_told_and_can_end_the_daemon(home: Home) -> None:
    caller = home.caller("stdio")
    error = caller.refused("initialize", protocol=[2, 3])
    assert (error["data"]["code"], error["data"]["supported"]) == ("PROTOCOL_MISMATCH", [1])
    assert error["data"]["hint"]
    assert caller.call("shutdown") == {"status": "shutting_down"}
    assert caller.ended() == 0


def test_a_wrong_setting_refuses_the_introduction_and_names_the_key(home: Home) -> None:
    caller = home.caller("stdio")
    error = caller.refused("initialize", config={"playback": {"volume": "loud"}})
    assert error["data"]["key"] == "playback.volume"
    assert caller.call("config_get", keys=["playback.volume"])["sources"] == {
        "playback.volume": "default"
    }


def test_precedence_runs_from_the_file_to_config_set(home: Home) -> None:
    config = home.path / "config" / "lofi"
    config.mkdir(parents=True)
    (config / "config.toml").write_text('[queue]\nmax_pending = 3\n[model]\nbackend = "musicgen"')
    caller = home.caller("stdio", LOFI_BACKEND="ace-step")
    caller.initialize(config={"queue.max_pending": 4})

    def source(key: str) -> tuple[object, str]:
        got = caller.call("config_get", keys=[key])
        return got["config"][key], got["sources"][key]

    assert source("model.backend") == ("ace_step", "env")
    assert source("queue.max_pending") == (4, "setup")
    caller.call("config_set", config={"queue": {"max_pending": 5}})
    assert source("queue.max_pending") == (5, "runtime")
    changed = caller.event("config_changed", source="runtime")
    assert changed["keys"] == ["queue.max_pending"]


def test_a_persisted_setting_is_there_the_next_time(home: Home) -> None:
    first = home.caller("stdio")
    first.call("config_set", key="audio.format", value="flac", persist=True)
    first.call("config_set", key="audio.format", value="ogg")
    first.close()
    overrides = json.loads((home.state / "overrides.json").read_text())
    assert overrides == {"audio.format": "flac"}
    second = home.caller("stdio")
    assert second.call("config_get", keys=["audio.format"])["config"]["audio.format"] == "flac"


def test_defaults_are_each_clients_own_and_the_rest_is_the_first_ones(home: Home) -> None:
    first = home.caller("relay")
    first.initialize(config={"defaults.duration_sec": 7, "queue.max_pending": 4})
    second = home.connect()
    second.initialize(config={"defaults.duration_sec": 9, "queue.max_pending": 6})
    notice = second.event("daemon_error")
    assert "queue.max_pending" in notice["message"] and not notice["fatal"]
    assert first.named("daemon_error") == []
    assert second.call("config_get", keys=["queue.max_pending"])["config"] == {
        "queue.max_pending": 4
    }
    for caller, seconds in ((first, 7), (second, 9)):
        track_id = caller.call("generate", prompt="plain", auto_play=False)["track_id"]
        assert caller.ending(track_id)[1]["duration_sec"] == seconds
    second.initialize(config={"queue.max_pending": 6})
    assert len(second.named("daemon_error")) == 1


def test_a_list_of_wanted_notifications_is_kept(home: Home) -> None:
    caller = home.caller("stdio")
    caller.initialize(notifications=["generation_complete"])
    track_id = caller.call("generate", prompt="plain", duration_sec=5)["track_id"]
    caller.ending(track_id)
    caller.call("ping")
    assert {each["method"] for each in caller.messages if "method" in each} == {
        "generation_complete"
    }


def test_strangers_defaults_make_no_warnings(home: Home) -> None:
    caller = home.caller("stdio")
    caller.initialize(config={"defaults.lyrics": "la la", "defaults.duration_sec": 5})
    quiet = caller.call("generate", prompt="plain", backend="procedural")
    assert quiet["warnings"] == []
    asked = caller.call("generate", prompt="plain", backend="procedural", lyrics="la")
    assert [each["param"] for each in asked["warnings"]] == ["lyrics"]


def test_a_retake_has_its_sources_model_and_nothing_from_defaults(home: Home) -> None:
    home.install_musicgen()
    caller = home.caller("stdio")
    asked = {"prompt": "plain", "backend": "procedural", "duration_sec": 5, "seed": 1}
    source = caller.call("generate", **asked)["track_id"]
    caller.ending(source)
    caller.call("config_set", key="defaults.duration_sec", value=9)
    caller.call("config_set", key="defaults.swing", value=0.5)
    track_id = caller.call("generate", task="retake", source=source)["track_id"]
    assert caller.ending(track_id)[1]["duration_sec"] == 5
    made = caller.call("cache_recipe", track_id=track_id)["request"]
    assert (made["backend"], made["source"]) == ("procedural", source)
    assert "duration_sec" not in made and "swing" not in made


def test_everything_works_without_an_introduction(home: Home) -> None:
    caller = home.caller("stdio")
    track_id = caller.call("generate", prompt="plain", duration_sec=5)["track_id"]
    assert caller.ending(track_id)[0] == "generation_complete"


def test_on_the_socket_only_the_introduced_hear_the_news(home: Home) -> None:
    caller = home.caller("relay")
    caller.initialize()
    stranger = home.connect()
    track_id = stranger.call("generate", prompt="plain", duration_sec=5)["track_id"]
    caller.ending(track_id)
    stranger.call("ping")
    assert all("id" in each for each in stranger.messages)


def test_a_setting_reaches_the_player(daemon: Caller) -> None:
    daemon.call("config_set", key="playback.volume", value=0.3)
    assert daemon.event("playback_state", volume=0.3)
    assert daemon.call("volume_get")["level"] == 0.3
