"""The conversation apart from any process: bytes in, callbacks out."""

from __future__ import annotations

import json

import pytest

from tests.nvim.editor import Editor

OPEN = """
_G.got, _G.sent = {}, {}
_G.conn = require('lofi.rpc').new({
  write = function(line) table.insert(_G.sent, line) end,
  on_notification = function(method, params) table.insert(_G.got, { 'note', method, params }) end,
  on_garbage = function(line) table.insert(_G.got, { 'garbage', line }) end,
  on_failure = function(trace) table.insert(_G.got, { 'failure' }) end,
})
"""


@pytest.mark.every_nvim
def test_lines_are_read_however_the_bytes_are_cut(editor: Editor) -> None:
    editor.lua(OPEN)
    stream = "".join(
        line + "\n"
        for line in (
            json.dumps({"jsonrpc": "2.0", "method": "a", "params": {"text": "ночь ☕"}},
                       ensure_ascii=False),
            "",
            "Traceback: not a message",
            json.dumps({"jsonrpc": "2.0", "method": "b"}) + "\r",
            "[1, 2]",
        )
    )  # fmt: skip
    whole = editor.lua("_G.got = {}; _G.conn:feed(...); return _G.got", stream)
    kinds = [item[:2] for item in whole]
    assert kinds == [
        ["note", "a"],
        ["garbage", "Traceback: not a message"],
        ["note", "b"],
        ["garbage", "[1, 2]"],
    ]
    cut_everywhere = editor.lua(
        """
        local stream, whole = ...
        for at = 1, #stream - 1 do
          _G.got = {}
          _G.conn:feed(stream:sub(1, at))
          _G.conn:feed(stream:sub(at + 1))
          if not vim.deep_equal(_G.got, whole) then return at end
        end
        _G.got = {}
        for at = 1, #stream do _G.conn:feed(stream:sub(at, at)) end
        return vim.deep_equal(_G.got, whole) and 'same' or 'byte by byte'
        """,
        stream,
        whole,
    )
    assert cut_everywhere == "same"


def test_a_thousand_messages_at_once_and_a_megabyte_in_one(editor: Editor) -> None:
    editor.lua(OPEN)
    notes = json.dumps({"jsonrpc": "2.0", "method": "n", "params": {}}) + "\n"
    editor.lua("_G.conn:feed(...)", notes * 1000)
    assert editor.lua("return #_G.got") == 1000
    big = json.dumps({"jsonrpc": "2.0", "method": "big", "params": {"x": "y" * 1_000_000}}) + "\n"
    editor.lua("local s = ...; for i = 1, #s, 65536 do _G.conn:feed(s:sub(i, i + 65535)) end", big)
    assert editor.lua("return #_G.got[1001][3].x") == 1_000_000


def test_answers_reach_their_callers_once(editor: Editor) -> None:
    editor.lua(OPEN)
    editor.lua(
        """
        for _, name in ipairs({ 'first', 'second', 'third' }) do
          _G.conn:request(name, {}, function(err, result)
            table.insert(_G.got, { name, err and err.code or '', result or '' })
          end)
        end
        """
    )
    assert json.loads(editor.lua("return _G.sent[1]"))["params"] == {}
    error = {"code": -32005, "message": "m", "data": {"code": "INVALID_DURATION", "hint": "h"}}
    for line in (
        {"jsonrpc": "2.0", "id": 2, "error": error},
        {"jsonrpc": "2.0", "id": 1, "result": "one"},
        {"jsonrpc": "2.0", "id": 1, "result": "again"},
        {"jsonrpc": "2.0", "id": 99, "result": "nobody's"},
    ):
        editor.lua("_G.conn:feed(...)", json.dumps(line) + "\n")
    editor.lua("_G.conn:close(require('lofi.errors').new('DAEMON_CRASH', 'gone'))")
    assert editor.lua("return _G.got") == [
        ["second", "INVALID_DURATION", ""],
        ["first", "", "one"],
        ["third", "DAEMON_CRASH", ""],
    ]


def test_a_callback_that_raises_does_not_stop_the_reader(editor: Editor) -> None:
    editor.lua(OPEN)
    editor.lua("_G.conn:request('x', {}, function() error('user code') end)")
    answer = json.dumps({"jsonrpc": "2.0", "id": 1, "result": 1})
    note = json.dumps({"jsonrpc": "2.0", "method": "after", "params": {}})
    editor.lua("_G.conn:feed(...)", f"{answer}\n{note}\n")
    assert [item[0] for item in editor.lua("return _G.got")] == ["failure", "note"]


def test_what_json_cannot_hold_is_told_to_who_asked_and_to_nobody_else(editor: Editor) -> None:
    editor.lua(OPEN)
    editor.lua(
        """
        local function told(name)
          return function(err) table.insert(_G.got, { name, err.code, err.message }) end
        end
        for index, value in ipairs({ 0 / 0, 1 / 0, print }) do
          _G.conn:request('x', { value = value }, told(index))
        end
        _G.conn:request('x', { value = 1 }, told(4))
        assert(#_G.got == 0, 'never before it returns')
        """
    )
    told = editor.until("#_G.got == 3 and _G.got", 5)
    assert [item[:2] for item in told] == [[at, "INVALID_PARAMS"] for at in (1, 2, 3)]
    assert "NaN" in told[0][2] and "function" in told[2][2]
    assert [json.loads(line)["params"] for line in editor.lua("return _G.sent")] == [{"value": 1}]
