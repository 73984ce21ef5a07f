"""`:Lofi`: every subcommand asks for what it says, completes what exists, and refuses the rest."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.clock import until
from tests.nvim.conftest import Open, Talk
from tests.nvim.editor import REPO, Editor, Home, Script

SUBCOMMANDS = (
    "generate prompt cancel queue play pause resume toggle stop skip prev seek volume device list "
    "favorite rate delete export import recipe cache setup backends status daemon log config "
    "doctor help verify remove inspire format understand submit"
).split()
TRACK = {
    "track_id": "aaaabbbbccccdddd",
    "title": "a title",
    "duration_sec": 63,
    "favorite": True,
    "backend": "procedural",
    "prompt": "p",
    "created_at": "2026-01-31T00:00:00.000Z",
}
VOLUME = [{"result": {"level": 0.4, "muted": False}}]
ANSWERS: dict[str, Any] = {
    "cache_list": [{"result": {"tracks": [TRACK], "total": 1}}],
    "cache_get": [{"result": {"track": TRACK}}],
    "cache_favorite": [{"result": {"track": {**TRACK, "favorite": False}}}],
    "cache_update": [{"result": {"track": {**TRACK, "rating": 4}}}],
    "cache_delete": [{"result": {"deleted": ["a"], "freed_bytes": 2_000_000}}],
    "cache_clear": [{"result": {"deleted": 3, "freed_bytes": 5_000_000}}],
    "cache_gc": [{"result": {"removed_files": 2, "freed_bytes": 0}}],
    "cache_stats": [{"result": {"count": 3, "favorites": 1, "size_mb": 1.5, "max_mb": 2048,
                                "total_duration_sec": 90, "dir": "/tracks"}}],
    "cache_export": [{"result": {"path": "/x/y.flac", "bytes": 1000}}],
    "cache_import": [{"result": {"track": TRACK}}],
    "cache_recipe": [{"result": {"request": {"prompt": "soft rain", "seed": 4}}}],
    "volume_set": VOLUME,
    "volume_get": VOLUME,
    "mute": [{"result": {"muted": True}}],
    "audio_devices": [{"result": {"current": "Speakers", "available": [
        {"name": "Speakers", "is_default": True}, {"name": "Phones", "is_default": False}]}}],
    "audio_device_set": [{"result": {"device": "Phones"}}],
    "queue_clear": [{"result": {"removed": ["a", "b"]}}],
    "queue_pause": [{"result": {"paused": True}}],
    "queue_resume": [{"result": {"paused": False}}],
    "queue_status": [{"result": {"current": {"track_id": "ccccddddeeeeffff", "percent": 45,
                                             "prompt": "slow bells"},
                                 "pending": [{"track_id": "1111222233334444", "prompt": "next",
                                              "position": 1}]}}],
    "config_get": [{"result": {"config": {"model.backend": "auto"},
                               "sources": {"model.backend": "setup"}}}],
    "config_set": [{"result": {"applied": {}}}],
    "get_backends": [{"result": {"default_backend": "procedural", "backends": [
        {"type": "procedural", "name": "Procedural synth", "status": "ready", "loaded": True,
         "min_duration_sec": 5, "max_duration_sec": 600}]}}],
    "backend_select": [{"result": {"backend": "procedural", "variant": "1", "status": "ready"}}],
    "status": [{"result": {"playback": {"state": "playing", "title": "a title", "track_id": "a",
                                        "position_sec": 15, "duration_sec": 30, "volume": 0.5,
                                        "muted": False, "device": "Speakers",
                                        "playlist_length": 1},
                           "model": {"backend": "procedural", "loaded": False},
                           "cache_count": 3, "cache_size_mb": 1.5,
                           "daemon": {"version": "0.1.0", "pid": 12, "clients": 2}}}],
    "logs_tail": [{"result": {"path": "/log", "lines": [
        {"time": "t", "level": "warn", "logger": "lofi.x", "message": "something"}]}}],
}  # fmt: skip


def run(talk: Talk, command: str, method: str) -> tuple[Editor, Script, dict[str, Any]]:
    editor, script = talk(ANSWERS)
    editor.command(command)
    until(lambda: script.asked(method), 10, f"{method}; asked {script.asked()}")
    return editor, script, script.asked(method)[-1].get("params", {})


@pytest.mark.parametrize(
    ("command", "method", "params"),
    [
        ("Lofi cancel", "cancel", {}),
        ("Lofi cancel abcd", "cancel", {"track_id": "abcd"}),
        ("Lofi play abcd", "play", {"track_id": "abcd"}),
        ("Lofi play /a b.wav", "play", {"path": "/a b.wav"}),
        ("Lofi play", "play", {}),
        ("Lofi pause", "pause", {}),
        ("Lofi resume", "resume", {}),
        ("Lofi toggle", "toggle", {}),
        ("Lofi stop", "stop", {}),
        ("Lofi skip", "skip", {}),
        ("Lofi skip 3", "skip", {"count": 3}),
        ("Lofi prev", "previous", {}),
        ("Lofi seek 90", "seek", {"position_sec": 90}),
        ("Lofi seek 1:30", "seek", {"position_sec": 90}),
        ("Lofi seek +10", "seek", {"delta_sec": 10}),
        ("Lofi seek -10", "seek", {"delta_sec": -10}),
        ("Lofi volume 40", "volume_set", {"level": 0.4}),
        ("Lofi volume 0", "volume_set", {"level": 0}),
        ("Lofi volume +10", "volume_set", {"delta": 0.1}),
        ("Lofi volume -10", "volume_set", {"delta": -0.1}),
        ("Lofi volume mute", "mute", {}),
        ("Lofi device Phones", "audio_device_set", {"device": "Phones"}),
        ("Lofi device", "audio_device_set", {"device": "Speakers"}),
        ("Lofi list", "play", {"track_id": TRACK["track_id"]}),
        ("Lofi rate 4", "cache_update", {"track_id": TRACK["track_id"], "rating": 4}),
        ("Lofi rate 4 abcd", "cache_update", {"track_id": "abcd", "rating": 4}),
        ("Lofi delete abcd", "cache_delete", {"track_ids": ["abcd"]}),
        ("Lofi delete", "cache_delete", {"track_ids": [TRACK["track_id"]]}),
        ("Lofi favorite abcd", "cache_favorite",
         {"track_id": TRACK["track_id"], "favorite": False}),
        ("Lofi favorite", "cache_favorite", {"track_id": TRACK["track_id"], "favorite": True}),
        ("Lofi! export abcd /x/y.flac bitrate_kbps=128", "cache_export",
         {"track_id": "abcd", "path": "/x/y.flac", "overwrite": True, "bitrate_kbps": 128}),
        ("Lofi import /x/y.wav title=mine", "cache_import", {"path": "/x/y.wav", "title": "mine"}),
        ("Lofi recipe abcd", "cache_recipe", {"track_id": "abcd"}),
        ("Lofi cache clear", "cache_clear", {}),
        ("Lofi cache gc", "cache_gc", {}),
        ("Lofi queue clear", "queue_clear", {}),
        ("Lofi queue pause", "queue_pause", {}),
        ("Lofi queue resume", "queue_resume", {}),
        ("Lofi queue move abcd 2", "queue_move", {"track_id": "abcd", "position": 2}),
        ("Lofi config backend ace-step", "config_set",
         {"key": "model.backend", "value": "ace-step", "persist": False}),
        ("Lofi config playback.volume 0.4 --save", "config_set",
         {"key": "playback.volume", "value": 0.4, "persist": True}),
        ("Lofi config playback.auto_play off", "config_set",
         {"key": "playback.auto_play", "value": False, "persist": False}),
        ("Lofi config model.threads null", "config_set",
         {"key": "model.threads", "value": None, "persist": False}),
        ("Lofi log warn", "logs_tail", {"lines": 500, "level": "warn"}),
    ],
)  # fmt: skip
def test_what_it_asks_for(talk: Talk, command: str, method: str, params: dict[str, Any]) -> None:
    assert run(talk, command, method)[2] == params


@pytest.mark.parametrize(
    ("command", "method", "words"),
    [
        ("Lofi queue", "queue_status", ["45%", "slow bells", "1.", "next"]),
        ("Lofi status", "status", ["playing  0:15 / 0:30  a title", "volume 50%", "2 clients"]),
        ("Lofi backends", "get_backends", ["* procedural", "ready", "5..600 s"]),
        ("Lofi cache", "cache_stats", ["3 tracks, 1 favourite", "1.5 MB of 2048 MB", "/tracks"]),
        ("Lofi recipe abcd", "cache_recipe", ['prompt="soft rain"', "seed=4"]),
        ("Lofi config", "config_get", ["model.backend", '"auto"', "setup"]),
        ("Lofi log", "logs_tail", ["/log", "warn  lofi.x: something"]),
    ],
)
def test_what_it_shows(talk: Talk, command: str, method: str, words: list[str]) -> None:
    editor, _, _ = run(talk, command, method)

    def shown() -> str | None:
        text = "\n".join(editor.nvim.current.buffer[:])
        return text if all(word in text for word in words) else None

    until(shown, 5, f"{words}")
    editor.command("close")
    assert len(editor.nvim.windows) == 1


def test_picking_a_backend_and_a_tracks_line(talk: Talk) -> None:
    editor, script, _ = run(talk, "Lofi backends", "get_backends")
    editor.until("vim.bo.filetype == 'lofi-float'", 5)
    editor.nvim.feedkeys("\r", "x")
    until(lambda: script.asked("backend_select"), 5, "the choice")
    editor.command("Lofi list")
    items = editor.until("_G.seen.asked[1] and _G.seen.asked[1].items", 5)
    assert [item.split() for item in items] == [
        ["★", "1:03", "a", "title", "procedural", "2026-01-31"]
    ]


@pytest.mark.every_nvim
@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("genrate rain", "Did you mean generate?"),
        ("radio", ":Lofi <Tab> lists"),
        ("seek", "say where"),
        ("seek soon", "position must be seconds"),
        ("volume loud", "0 to 100"),
        ("volume 101", "0 to 100"),
        ("rate 9", "rate 0 to"),
        ("queue move abcd", "say which and where"),
        ("queue foo", "queue takes"),
        ("cache foo", "cache takes"),
        ("daemon foo", "daemon takes"),
        ("setup rust", "setup takes python"),
        ("export", "say where to"),
        ("import", "say which file"),
        ("help nothing-like-it", "there is no help"),
    ],
)
def test_what_it_refuses(talk: Talk, typed: str, words: str) -> None:
    editor, script = talk(ANSWERS)
    editor.command(f"Lofi {typed}")
    editor.notice(words, 5)
    assert script.asked() == [], "a typo must not cost a minute of GPU"


def test_no_is_an_answer_and_a_bang_is_yes(talk: Talk) -> None:
    editor, script = talk(ANSWERS)
    editor.lua("_G.seen.choice = 2")
    editor.command("Lofi cache clear")
    editor.command("Lofi daemon stop")
    editor.command("Lofi delete abcd")
    assert [question["items"] for question in editor.lua("return _G.seen.asked")] == [
        ["Yes", "No"]
    ] * 3
    assert script.asked() == []
    editor.command("Lofi! cache clear")
    editor.notice("deleted 3 tracks, 5.0 MB freed")
    editor.command("Lofi! daemon stop")
    editor.notice("the daemon was stopped")


@pytest.mark.every_nvim
def test_completion_shows_what_exists(talk: Talk) -> None:
    editor, _ = talk({**ANSWERS, "presets_list": [{"result": {"presets": [
        {"name": "coffee shop", "prompt": "x"}]}}]}, presets={"focus": "steady"})  # fmt: skip
    assert sorted(editor.complete("Lofi ")) == sorted(SUBCOMMANDS)
    assert editor.complete("Lofi se") == ["seek", "setup"]
    assert editor.complete("Lofi generate @f") == ["@focus"]
    assert editor.complete("Lofi generate rain sty") == ["style="]
    assert editor.complete("'<,'>Lofi generate style=j") == ["style=jazz"]
    assert "bpm=" not in editor.complete("Lofi generate bpm=80 b")
    assert editor.complete("Lofi! cache c") == ["clear"]
    assert editor.complete("Lofi config audio.f") == ["audio.format"]
    assert editor.complete("Lofi config audio.format o") == ["ogg"]
    assert editor.complete("Lofi nothing x") == []
    editor.call("presets")
    editor.call("cache", {})
    assert editor.complete("Lofi generate @") == ["@coffee-shop", "@focus"]
    assert editor.complete("Lofi play aa") == [TRACK["track_id"]]


def test_the_plug_keys_do_what_they_say(talk: Talk) -> None:
    editor, script = talk(ANSWERS)
    for plug, method in (
        ("pause", "pause"),
        ("seek-back", "seek"),
        ("volume-up", "volume_set"),
        ("mute", "mute"),
        ("previous", "previous"),
        ("favorite", "cache_favorite"),
    ):
        keys = editor.nvim.replace_termcodes(f"<Plug>(lofi-{plug})")
        editor.nvim.feedkeys(keys, "mx")
        until(lambda: script.asked(method), 10, method)  # noqa: B023


def test_help_works_in_a_plain_clone(editor: Editor, tmp_path: Path) -> None:
    """Nobody has run :helptags there."""
    for name in ("lua", "plugin"):
        (tmp_path / name).symlink_to(REPO / name)
    (tmp_path / "doc").mkdir()
    shutil.copy(REPO / "doc" / "lofi.txt", tmp_path / "doc")
    editor.command(f"set rtp-={REPO} rtp^={tmp_path}")
    editor.command("Lofi help seek")
    assert editor.lua("return vim.bo.buftype") == "help"
    assert "Lofi seek" in "\n".join(editor.nvim.current.buffer[:])


@pytest.mark.parametrize("command", ["pause", "resume", "skip", "prev", "seek 10"])
def test_a_command_with_nothing_to_act_on_says_so(talk: Talk, command: str) -> None:
    stopped = [{"result": {"state": "stopped", "volume": 0.5, "muted": False}}]
    methods = ("pause", "resume", "skip", "previous", "seek")
    editor, _ = talk(dict.fromkeys(methods, stopped))
    editor.command(f"Lofi {command}")
    assert editor.notice("nothing plays").endswith(":Lofi starts music")


@pytest.mark.parametrize("command", ["status", "queue"])
def test_a_window_left_open_starts_no_daemon(talk: Talk, command: str) -> None:
    editor, script, _ = run(
        talk, f"Lofi {command}", "status" if command == "status" else "queue_status"
    )
    editor.until("vim.bo.filetype == 'lofi-float'", 5)
    editor.lua("require('lofi.daemon').stop()")
    editor.event("daemon_exit")
    editor.lua("_G.drawn = 0; vim.api.nvim_win_set_config = function() _G.drawn = _G.drawn + 1 end")
    editor.until("_G.drawn >= 3", 10)
    assert len(script.asked("initialize")) == 1


def test_a_log_that_cannot_be_written_hides_no_error(open_editor: Open, home: Home) -> None:
    editor = open_editor()
    editor.watch()
    (home.root / "file").touch()
    path = str(home.root / "file" / "folder" / "log")
    editor.lua("local path = ...; require('lofi.log').path = function() return path end", path)
    editor.command("Lofi seek")
    editor.notice("say where")


def test_an_empty_log_says_so(talk: Talk) -> None:
    editor, _ = talk({"logs_tail": [{"result": {"path": "/log", "lines": []}}]})
    editor.command("Lofi log")
    text = "table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), ' ')"
    editor.until(f"{text}:find('nothing was logged', 1, true)", 5)


def test_help_opens_at_its_topic(editor: Editor) -> None:
    editor.command("helptags doc")
    for topic, tag in (
        ("", "*lofi.txt*"),
        ("planner", "*lofi-planner*"),
        ("play", "*:Lofi-play*"),
        ("generate", "*:Lofi-generate*"),
        ("on", "*lofi.on()*"),
        ("generate-par", "*lofi-generate-parameters*"),
    ):
        editor.command(f"Lofi help {topic}")
        assert editor.lua("return vim.bo.buftype") == "help", tag
        assert tag in editor.nvim.current.line
    topics = editor.complete("Lofi help ")
    assert {"planner", "play", "generate-parameters"} <= set(topics)
    assert len(topics) == len(set(topics))
    assert [topic for topic in topics if "ofi" in topic] == []
