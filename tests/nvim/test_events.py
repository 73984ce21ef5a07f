"""Events: who hears what, and what an error in a handler does."""

from __future__ import annotations

import pytest

from tests.nvim.conftest import Talk
from tests.nvim.editor import Editor


@pytest.mark.every_nvim
def test_on_once_off_and_the_autocommand(editor: Editor) -> None:
    editor.lua(
        """
        _G.heard = {}
        local function hear(name)
          return function(data) table.insert(_G.heard, name .. data.n) end
        end
        local lofi, emit = require('lofi'), require('lofi.events').emit
        local off = lofi.on('queue_change', hear('on'))
        lofi.once('queue_change', hear('once'))
        lofi.on('*', function(event, data) table.insert(_G.heard, event .. data.n) end)
        vim.api.nvim_create_autocmd('User', { pattern = 'LofiQueueChange', callback = function(args)
          table.insert(_G.heard, 'auto' .. args.data.n)
        end })
        emit('queue_change', { n = 1 })
        off()
        emit('queue_change', { n = 2 })
        """
    )
    assert editor.lua("return _G.heard") == [
        "on1", "once1", "queue_change1", "auto1", "queue_change2", "auto2"
    ]  # fmt: skip


def test_a_handler_that_fails_stops_nobody_and_is_reported_once(editor: Editor) -> None:
    editor.watch()
    editor.lua(
        """
        _G.heard = 0
        require('lofi').on('queue_change', function() error('mine') end)
        require('lofi').on('queue_change', function() _G.heard = _G.heard + 1 end)
        require('lofi.events').emit('queue_change', {})
        require('lofi.events').emit('queue_change', {})
        """
    )
    assert editor.lua("return _G.heard") == 2
    assert len(editor.lua("return _G.seen.notices")) == 1


def test_an_unknown_event_is_a_programming_error(editor: Editor) -> None:
    ok, message = editor.lua("return { pcall(require('lofi').on, 'playback_started', print) }")
    assert not ok and "Did you mean playback_start?" in message


def test_wire_names_lose_their_participle(talk: Talk) -> None:
    notes = [
        {"notify": [name, {"track_id": "t", "position_sec": 1}]}
        for name in ("playback_started", "playback_paused", "playback_resumed", "playback_ended")
    ]
    editor, _ = talk({"ping": [*notes, {"result": {}}]})
    editor.call("request", "ping", {})
    names = [name for name in editor.names() if name.startswith("playback")]
    assert names == ["playback_start", "playback_pause", "playback_resume", "playback_end"]


def test_no_window_opens_under_the_hands_of_who_types(editor: Editor) -> None:
    editor.watch()
    ask = "_G.at = nil require('lofi.ui').when_free(function() _G.at = vim.fn.mode() end, 'ready')"
    editor.nvim.ui_attach(80, 24)
    editor.lua(ask)
    assert editor.lua("return _G.at") == "n", "at once in Normal mode"
    editor.nvim.input("ihello")
    editor.lua(ask)
    editor.notice("ready")
    editor.lua("vim.wait(450)")
    assert editor.lua("return _G.at") is None
    editor.nvim.input("<Esc>")
    assert editor.until("_G.at", 5) == "n"


def test_without_a_screen_nobody_is_waited_for(editor: Editor) -> None:
    editor.nvim.input("ihello")
    editor.lua("require('lofi.ui').when_free(function() _G.at = vim.fn.mode() end, 'ready')")
    assert editor.lua("return _G.at") == "i"
