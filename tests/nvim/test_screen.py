"""What stands on a real screen of 80 columns: nobody is made to press Enter."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clock import until
from tests.nvim.editor import Editor, Home, Script
from tests.nvim.terminal import HAS_TMUX, Terminal
from tests.nvim.test_command import ANSWERS

pytestmark = [
    pytest.mark.every_nvim,
    pytest.mark.skipif(not HAS_TMUX, reason="there is no tmux here"),
]

ID = "aaaabbbbccccdddd"
QUEUED = {"result": {"track_id": ID, "status": "queued", "position": 0, "seed": 1, "warnings": []}}
HINT = ("Run :Lofi setup ace-step-1.5 (6.3 GB), or put its published files into a folder and name "
        "that folder in LOFI_ACE_STEP_15_MODEL_PATH.")  # fmt: skip
FAILING = {
    "error": {
        "code": -32008,
        "message": "ACE-Step 1.5 is not installed",
        "data": {"code": "BACKEND_NOT_INSTALLED", "hint": HINT},
    }
}

Show = Callable[..., Terminal]


@pytest.fixture
def show(program: Path, home: Home, tmp_path: Path) -> Iterator[Show]:
    """Opens a screen on which Neovim talks to the fake daemon."""
    opened: list[Terminal] = []

    def start(steps: dict[str, Any], *arguments: str, **options: Any) -> Terminal:
        script = Script(tmp_path, steps)
        options.setdefault("daemon", {})["cmd"] = script.command
        text = json.dumps(options).replace("'", "''")
        option = ["--cmd", f"let g:lofi = json_decode('{text}')"]
        terminal = Terminal(program, home, *option, *arguments)
        opened.append(terminal)
        terminal.wait(10, "[No Name]")
        return terminal

    yield start
    for terminal in opened:
        terminal.close()


def is_at_rest(terminal: Terminal) -> bool:
    """Whether Neovim waits for a command, not for Enter."""
    terminal.press("Escape")
    terminal.type(":echo 'still ' .. 'here'")
    return "Press ENTER" not in terminal.wait(5, "still here")


def test_a_long_error_asks_for_no_enter(show: Show) -> None:
    terminal = show({"generate": [FAILING]})
    terminal.type(":Lofi generate x backend=ace-step-1.5")
    screen = terminal.wait(10, "ACE-Step 1.5 is not installed", "LOFI_ACE_STEP_15_MODEL_PATH.")
    assert "Press ENTER" not in screen
    words = " ".join(screen.replace("│", " ").replace("~", " ").split())
    assert HINT in words, "all of the hint, broken between words"
    assert is_at_rest(terminal)
    terminal.type(":messages")
    assert "ACE-Step 1.5 is not installed" in terminal.wait(5, "not installed")


def test_it_does_not_stop_who_types(show: Show) -> None:
    terminal = show({"generate": [FAILING]})
    terminal.type(":call timer_start(300, {-> execute('Lofi generate x')})")
    terminal.press("i")
    terminal.wait(10, "is not installed")
    terminal.press(*"hello")
    terminal.wait(5, "hello")
    until(lambda: "is not installed" not in terminal.screen(), 30, "the window's end")


@pytest.mark.parametrize(
    "command",
    ["seek", "volume 200", "verify", "queue move", "nonsense", "config model.backend foo", "rate"],
)
def test_wrong_input_asks_for_no_enter(show: Show, command: str) -> None:
    refused = {
        "error": {
            "code": -32031,
            "message": "model.backend must be one of auto, musicgen, "
            "ace_step, ace_step_15, procedural, got 'foo'",
            "data": {"code": "INVALID_CONFIG", "hint": "Set it to one of them."},
        }
    }
    terminal = show({**ANSWERS, "config_set": [refused]})  # fmt: skip
    terminal.type(f":Lofi {command}")
    assert is_at_rest(terminal)


def test_words_of_others_stay_on_one_line(show: Show) -> None:
    made = {"track_id": ID, "title": "one\ntwo\0three", "duration_sec": 3}
    terminal = show({"generate": [QUEUED, {"notify": ["generation_complete", made]}],
                     "cache_get": [{"result": {"track": made}}]})  # fmt: skip
    terminal.type(":lua require('lofi.progress').say('a\\0b\\nc')")
    terminal.wait(10, "a b c")
    terminal.type(":Lofi generate x")
    terminal.wait(10, "ready: one two three (0:03)")
    assert is_at_rest(terminal)


def test_an_answered_question_leaves_a_clean_screen(show: Show) -> None:
    terminal = show(ANSWERS)
    terminal.type(":Lofi cache clear")
    terminal.wait(10, "Delete all tracks but favourites?", "1: Yes")
    terminal.type("1")
    screen = terminal.wait(10, "deleted 3 tracks, 5.0 MB freed")
    assert "Press ENTER" not in screen and "1: Yes" not in screen
    assert is_at_rest(terminal)


def test_a_list_keeps_to_one_line_an_item(show: Show) -> None:
    title = "lofi hip hop, chill, mellow piano, vinyl crackle, rain on the window, and more of it"
    track = {"track_id": ID, "title": title, "duration_sec": 180, "favorite": False,
             "backend": "procedural", "created_at": "2026-11-30T00:00:00.000Z"}  # fmt: skip
    terminal = show({"cache_list": [{"result": {"tracks": [track, track], "total": 2}}]})
    terminal.type(":Lofi list")
    screen = terminal.wait(10, "1:", "2:", "2026-11-30")
    lines = [line for line in screen.splitlines() if "3:00" in line]
    assert len(lines) == 2 and all(line.rstrip().endswith("2026-11-30") for line in lines)


def test_progress_fits_and_lets_answers_be_read(show: Show) -> None:
    progress = {"notify": ["generation_progress", {
        "track_id": ID, "percent": 45, "eta_sec": 12, "phase": "decoding"}]}  # fmt: skip
    terminal = show({
        "generate": [QUEUED, progress],
        "volume_get": [{"result": {"level": 0.4, "muted": False}}, progress],
    })  # fmt: skip
    terminal.type(":Lofi generate x")
    screen = terminal.wait(10, "45%", "generating", "(12 s)")
    assert screen.count("45%") == 1
    terminal.type(":Lofi volume")
    terminal.wait(5, "volume 40%")
    terminal.type(":call timer_start(600, {-> execute('let g:later = 1')})")
    assert is_at_rest(terminal)


def test_a_long_line_of_progress_is_cut(show: Show) -> None:
    terminal = show({})
    terminal.type(":lua require('lofi.progress').say('fetching ' .. ('x'):rep(200))")
    assert "Press ENTER" not in terminal.wait(5, "fetching xxx", "…")
    assert is_at_rest(terminal)


def test_without_a_command_line_nothing_asks_for_enter(show: Show) -> None:
    volume = [{"result": {"level": 0.4, "muted": False}}]
    terminal = show({"volume_get": volume}, "--cmd", "set ch=0 | au InsertEnter * Lofi volume")
    terminal.type(
        ":exe 'lua require(\"lofi.progress\").say(\"fetching\")' | call setline(1, 'told')"
    )
    assert "Press ENTER" not in terminal.wait(5, "told")
    terminal.press("i")
    assert "Press ENTER" not in terminal.wait(10, "volume 40%")
    terminal.press(*"hello")
    terminal.wait(5, "hellotold")


def test_without_a_command_line_a_notifier_shows_progress(show: Show) -> None:
    terminal = show({}, "--cmd", "set ch=0", "--cmd", "lua vim.notify = function(t) shown = t end")
    terminal.type(":lua require('lofi.progress').say('fetching something')")
    terminal.type(":lua vim.api.nvim_buf_set_lines(0, 0, 0, true, { 'shown: ' .. shown })")
    assert "Press ENTER" not in terminal.wait(5, "shown: lofi: fetching something")


def test_a_notice_is_seen_in_the_tab_one_is_in(editor: Editor) -> None:
    editor.lua("require('lofi.notice').show({ { text = 'one' } })")
    assert len(editor.nvim.current.tabpage.windows) == 2
    editor.command("tabnew")
    editor.lua("require('lofi.notice').show({ { text = 'two' } })")
    here = editor.nvim.current.tabpage.windows
    assert [window.buffer[:] for window in here][1:] == [[" one", " two"]]
    assert len(editor.nvim.windows) == 3, "the old one is gone"
