"""Progress: one place, twice a second at most, gone with the job."""

from __future__ import annotations

from typing import Any

import pytest

from tests.nvim.conftest import Talk
from tests.nvim.editor import Editor

ID = "aaaabbbbccccdddd"
QUEUED = {"result": {"track_id": ID, "status": "queued", "position": 0, "seed": 1, "warnings": []}}
DONE = {"notify": ["generation_complete", {"track_id": ID, "title": "t", "duration_sec": 5}]}


def at(percent: int, track_id: str = ID) -> dict[str, Any]:
    members = {"track_id": track_id, "percent": percent, "eta_sec": 12, "phase": "decoding"}
    return {"notify": ["generation_progress", members]}


LISTEN = """
_G.echoed = {}
local echo = vim.api.nvim_echo
vim.api.nvim_echo = function(chunks, history, opts)
  table.insert(_G.echoed, { chunks[1][1], opts.kind or '', opts.status or '', opts.percent or -1 })
end
require('lofi').generate('x', function() _G.ended = true end)
"""


def echoed(editor: Editor) -> list[list[Any]]:
    editor.until("_G.ended", 10)
    return list(editor.lua("return _G.echoed"))


def test_on_the_command_line(talk: Talk) -> None:
    editor, _ = talk({"generate": [QUEUED, *(at(p) for p in range(10, 60)), DONE]},
                     ui={"progress": "cmdline"})  # fmt: skip
    editor.lua(LISTEN)
    assert echoed(editor) == [["lofi: generating 10% (12 s)", "", "", -1], ["", "", "", -1]]


def test_what_the_planner_chose_stands_beside_it(talk: Talk) -> None:
    planning = {**at(20)["notify"][1], "phase": "planning", "message": "80 bpm, A minor, 2:05"}
    editor, _ = talk({"generate": [QUEUED, {"notify": ["generation_progress", planning]}, DONE]},
                     ui={"progress": "cmdline"})  # fmt: skip
    editor.lua(LISTEN)
    assert echoed(editor)[0][0] == "lofi: planning 20% (12 s), 80 bpm, A minor, 2:05"


@pytest.mark.every_nvim
def test_by_itself_it_takes_the_best_there_is(talk: Talk) -> None:
    editor, _ = talk({"generate": [QUEUED, at(10), DONE]})
    editor.lua("vim.notify = nil; vim.cmd('silent! unlet g:x')")
    is_new = editor.lua("return vim.fn.has('nvim-0.12') == 1")
    if is_new:
        assert editor.lua("return require('lofi.progress').channel()") == "native"
        editor.lua(LISTEN)
        assert echoed(editor) == [
            ["generating (12 s)", "progress", "running", 10],
            ["ready", "progress", "success", 100],
            ["", "", "", -1],
        ]
    else:
        editor.lua("vim.notify = function() end")
        assert editor.lua("return require('lofi.progress').channel()") == "notify"


@pytest.mark.every_nvim
def test_neovims_own_notify_is_no_notifier(editor: Editor) -> None:
    assert editor.lua("return require('lofi.ui').has_notifier()") is False
    editor.lua("vim.notify = function() end")
    assert editor.lua("return require('lofi.ui').has_notifier()") is True


def test_a_notifier_gets_one_message_replaced(talk: Talk) -> None:
    editor, _ = talk({"generate": [QUEUED, at(10), DONE]}, ui={"progress": "notify"})
    editor.lua(
        """
        _G.notes = {}
        vim.notify = function(text, _, opts)
          table.insert(_G.notes, { text, opts.id or '', opts.replace or 0 })
          return #_G.notes
        end
        require('lofi').generate('x', function() _G.ended = true end)
        """
    )
    editor.until("_G.ended", 10)
    assert editor.lua("return _G.notes") == [
        ["lofi: generating 10% (12 s)", "lofi.progress", 0],
        ["lofi: ready", "lofi.progress", 1],
    ]


def test_the_jobs_of_others_are_not_shown(talk: Talk) -> None:
    editor, _ = talk({"generate": [QUEUED, at(10, "f" * 16), DONE]}, ui={"progress": "cmdline"})
    editor.lua(LISTEN)
    assert echoed(editor) == []


def test_a_slow_start_is_told_of(talk: Talk) -> None:
    editor, _ = talk({"initialize": []}, ui={"progress": "cmdline"})
    editor.lua("require('lofi').request('ping', {}, function() end)")
    editor.lua("_G.echoed = {}; vim.api.nvim_echo = function(c) _G.echoed[#_G.echoed + 1] = c end")
    editor.until("#_G.echoed == 1", 10)
    assert editor.lua("return _G.echoed[1][1][1]") == "lofi: starting the daemon"


def test_switched_off_there_are_only_errors(talk: Talk) -> None:
    error = {"error": {"code": -32603, "message": "boom", "data": {"code": "INTERNAL_ERROR"}}}
    editor, _ = talk(
        {"generate": [QUEUED, at(10), DONE], "pause": [error]},
        ui={"progress": "none", "notify": False},
    )
    editor.lua(LISTEN)
    assert echoed(editor) == []
    editor.command("Lofi pause")
    editor.notice("boom")
    assert len(editor.lua("return _G.seen.notices")) == 1
