"""The editor never waits: what each command keeps the main loop busy for."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clock import limit
from tests.nvim.conftest import Talk
from tests.nvim.editor import Editor
from tests.nvim.test_command import ANSWERS, SUBCOMMANDS, TRACK
from tests.nvim.test_music import WATCH_THE_LOOP

pytestmark = [pytest.mark.every_nvim, pytest.mark.slow]

TRACKS = [
    {
        **TRACK,
        "track_id": f"{number:016x}",
        "title": f"lofi hip hop, chill, mellow piano, vinyl crackle, take {number}",
        "prompt": "lofi hip hop, chill, mellow piano, vinyl crackle" * 4,
        "path": f"/home/somebody/.cache/lofi.nvim/tracks/{number:016x}.wav",
    }
    for number in range(1000)
]
QUEUED = {"result": {"track_id": "a" * 16, "status": "queued", "position": 0, "seed": 1}}
SLOW = {
    **ANSWERS,
    "generate": [QUEUED],
    "cache_list": [{"pages": ["tracks", TRACKS]}],
    "presets_list": [{"result": {"presets": [{"name": "jazz", "prompt": "a trio"}]}}],
    "prompt_history": [{"result": {"prompts": [{"prompt": f"rain {n}"} for n in range(20)]}}],
    "logs_tail": [{"result": {"path": "/log", "lines": [
        {"time": "t", "level": "warn", "logger": "lofi.x", "message": "something " * 10}] * 500}}],
}  # fmt: skip
COMMANDS = """
generate rainy night, jazzy piano 60 bpm=80; generate @jazz; prompt; cancel; queue; queue clear
queue move abcd 1; play; play abcd; pause; resume; toggle; stop; skip; prev; seek +10; volume
volume 40; device; list; favorite; rate 4; delete; export abcd /tmp/x.flac; import /tmp/x.wav
recipe abcd; cache; cache clear; cache gc; setup; setup musicgen; backends; status; daemon; log
config; config playback.volume 0.5; verify musicgen; remove musicgen; inspire rain; format rain
understand abcd; submit; nonsense
""".replace("\n", ";")
NEOVIMS_OWN = {"help", "doctor"}
"""`:help` and `:checkhealth`, which block by themselves."""


def commands() -> list[str]:
    return [command.strip() for command in COMMANDS.split(";") if command.strip()]


def busy_ms(editor: Editor, act: Any) -> float:
    """Returns the longest processor time between two ticks while `act` and its answers ran."""
    editor.lua("if _G.ticker then _G.ticker:close() end")
    editor.lua(WATCH_THE_LOOP)
    act()
    editor.lua("vim.wait(100, function() return false end, 1)")  # answers, and what they draw
    return float(editor.lua("return _G.longest_ms"))


def test_the_list_names_every_subcommand() -> None:
    named = {command.split()[0] for command in commands()} - {"nonsense"}
    assert named == set(SUBCOMMANDS) - NEOVIMS_OWN


def test_no_command_keeps_the_editor_busy(talk: Talk) -> None:
    editor, _ = talk(SLOW)
    editor.lua("_G.seen.choice = 2")
    spent = {"(first)": busy_ms(editor, lambda: editor.command("Lofi"))}
    editor.call("request", "ping", {})
    for command in commands():
        spent[command] = busy_ms(editor, lambda: editor.command(f"Lofi {command}"))  # noqa: B023
        editor.lua("for _ = 2, #vim.api.nvim_list_wins() do vim.cmd('close!') end")
    for line in ("Lofi ", "Lofi generate ", "Lofi play ", "Lofi config "):
        spent[f"<Tab> {line}"] = busy_ms(editor, lambda: editor.complete(line))  # noqa: B023
    assert {name: ms for name, ms in spent.items() if ms >= limit(10)} == {}, spent
