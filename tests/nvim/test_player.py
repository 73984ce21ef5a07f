"""The API's conventions: snapshots without a callback, answers with one, wrong types at once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.nvim.conftest import Talk
from tests.nvim.editor import Editor

PLAYING = {"state": "playing", "track_id": "t1", "title": "rain", "position_sec": 15.2,
           "duration_sec": 30, "volume": 0.5, "muted": False, "index": 0,
           "playlist_length": 1, "device": "null", "at": "2026-01-01T00:00:00.000Z"}  # fmt: skip


@pytest.mark.every_nvim
def test_snapshots_come_at_once(talk: Talk) -> None:
    playlist = {"tracks": ["t1"], "index": 0, "length": 1, "revision": 1}
    editor, script = talk({"ping": [
        {"notify": ["playback_state", PLAYING]},
        {"notify": ["playlist_changed", playlist]},
        {"notify": ["generation_start", {"track_id": "t2", "prompt": "p"}]},
        {"notify": ["generation_progress", {"track_id": "t2", "percent": 45}]},
        {"result": {}},
    ]})  # fmt: skip
    before = editor.lua(
        """
        local l = require('lofi')
        return { l.is_playing(), l.is_paused(), l.is_generating(), l.volume(), l.playlist() }
        """
    )
    assert before == [False, False, False, 0, []]
    assert script.asked() == [], "a snapshot starts nothing"
    editor.call("request", "ping", {})
    after = editor.lua(
        """
        local l = require('lofi')
        return { l.is_playing(), l.is_generating(), l.volume(), l.playlist(), l.current_track(),
          l.generating_track(), l.device(), l.status().playback.title,
          l.status().generation.percent }
        """
    )
    assert after == [True, True, 0.5, ["t1"], "t1", "t2", "null", "rain", 45]
    spent = editor.lua(
        """
        local lofi, began = require('lofi'), vim.uv.hrtime()
        for _ = 1, 1000 do lofi.status() end
        return (vim.uv.hrtime() - began) / 1e6
        """
    )
    assert spent / 1000 < 0.2, "a pure table read, in milliseconds"


@pytest.mark.parametrize(
    "call",
    [
        "generate(3)",
        "generate('x', 'not a function')",
        "play({})",
        "seek({})",
        "seek('soon')",
        "volume({})",
        "volume('loud')",
        "mute('yes')",
        "rate('id', 'four')",
        "export('id', 3)",
        "cancel({})",
        "queue_move('id')",
        "request({})",
        "on('queue_change', 3)",
    ],
)
def test_wrong_types_raise_at_once(talk: Talk, call: str) -> None:
    editor, script = talk()
    ok, message = editor.lua(f"return {{ pcall(function() require('lofi').{call} end) }}")
    assert not ok and "lofi: " in message
    assert script.asked() == []


def test_no_track_at_all(talk: Talk) -> None:
    editor, _ = talk({"cache_list": [{"result": {"tracks": [], "total": 0}}]})
    editor.command("Lofi favorite")
    assert editor.notice("there is no track yet").endswith("Run :Lofi generate.")


def statusline(editor: Editor, options: Any = None) -> Any:
    return editor.lua("return require('lofi').statusline(...)", options or {})


@pytest.mark.every_nvim
def test_the_statusline(talk: Talk) -> None:
    notes = {
        "playback_get": [{"notify": ["playback_state", PLAYING]}, {"result": {}}],
        "paused": [
            {"notify": ["playback_paused", {"track_id": "t1", "position_sec": 15}]},
            {"result": {}},
        ],
        "made": [
            {"notify": ["generation_progress", {"track_id": "t2", "percent": 45}]},
            {"result": {}},
        ],
        "played": [{"notify": ["playback_ended", {"track_id": "t1"}]}, {"result": {}}],
        "done": [{"notify": ["generation_cancelled", {"track_id": "t2"}]}, {"result": {}}],
    }
    editor, _ = talk(notes)
    assert statusline(editor) is None
    editor.call("request", "playback_get", {})
    assert statusline(editor) == "▶ 0:15/0:30"
    assert statusline(editor, {"title": 2}) == "▶ 0:15/0:30 ra"
    assert statusline(editor, {"icons": {"playing": ">"}}) == "> 0:15/0:30"
    assert editor.until("require('lofi').statusline() == '▶ 0:16/0:30'", 5), "it counts on"
    editor.call("request", "made", {})
    assert statusline(editor).startswith("▶ 0:1") and statusline(editor).endswith("◌ 45%")
    editor.call("request", "paused", {})
    assert statusline(editor) == "⏸ 0:15 ◌ 45%"
    editor.call("request", "played", {})
    assert statusline(editor) == "◌ 45%"
    editor.call("request", "done", {})
    assert statusline(editor) is None
    spent = editor.lua(
        """
        local began = vim.uv.hrtime()
        for _ = 1, 1000 do require('lofi').statusline() end
        return (vim.uv.hrtime() - began) / 1e9
        """
    )
    assert spent < 1, "under a millisecond"


def test_a_notification_redraws_the_statusline(talk: Talk) -> None:
    note = {"notify": ["generation_progress", {"track_id": "t2", "percent": 45}]}
    editor, _ = talk({"made": [note, {"result": {}}]})
    editor.lua(
        """
        vim.o.laststatus = 2
        _G.drawn = {}
        _G.draw = function()
          table.insert(_G.drawn, require('lofi').statusline() or '')
          return ''
        end
        vim.o.statusline = '%{v:lua.draw()}'
        vim.cmd.redrawstatus()
        """
    )
    editor.call("request", "made", {})
    editor.until("vim.list_contains(_G.drawn, '◌ 45%')", 5)


def test_a_title_may_be_anything(editor: Editor) -> None:
    """Another client named it."""
    editor.lua(
        """
        local playback = { state = 'paused', position_sec = 1, title = 'a\\0b\\n%{1+1}' }
        require('lofi.state').notified('playback_state', playback)
        """
    )
    assert statusline(editor, {"title": True}) == "⏸ 0:01 a b %{1+1}"


def test_lualine_finds_the_component(editor: Editor) -> None:
    editor.lua(
        """
        package.loaded['lualine.component'] = { extend = function() return { options = {} } end }
        local component = require('lualine.components.lofi')
        _G.empty = component.update_status({ options = {} })
        require('lofi.state').notified('generation_progress', { track_id = 't', percent = 7 })
        _G.busy = component.update_status({ options = {} })
        local own = { format = function() return '%#Title#x' end }
        _G.own = component.update_status({ options = own })
        _G.drawn = vim.api.nvim_eval_statusline(_G.busy, {}).str
        """
    )
    assert editor.lua("return { _G.empty, _G.drawn, _G.own }") == ["", "◌ 7%", "%#Title#x"]
