"""The connection: found, started, lost, brought back, ended."""

from __future__ import annotations

import os
import signal
import stat
import sys
import time
from pathlib import Path

import pytest

from tests.clock import limit, until
from tests.nvim.conftest import Open, Talk
from tests.nvim.editor import REPO, Editor, Home

ASK = """
_G.told = {}
for index = 1, ... do
  require('lofi').request('ping', {}, function(err)
    table.insert(_G.told, { index, err and err.code or 'fine', err and err.hint or '' })
  end)
end
_G.told_before_returning = #_G.told
"""


def codes(editor: Editor, count: int) -> list[str]:
    editor.until(f"#_G.told == {count}", 20, "every callback, once")
    return [code for _, code, _ in editor.lua("return _G.told")]


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.mark.every_nvim
def test_requests_wait_for_the_handshake_and_are_answered_in_order(talk: Talk) -> None:
    editor, script = talk()
    editor.lua(ASK, 3)
    assert codes(editor, 3) == ["fine"] * 3
    assert [index for index, _, _ in editor.lua("return _G.told")] == [1, 2, 3]
    assert editor.lua("return _G.told_before_returning") == 0
    assert script.asked()[0]["method"] == "initialize"
    assert editor.names()[:1] == ["daemon_start"] and "daemon_ready" in editor.names()


def test_a_callback_that_raises_keeps_no_other_from_hearing(talk: Talk) -> None:
    script = {"ping": [{"kill": int(signal.SIGKILL)}], "generate": [{"result": {
        "track_id": "a", "status": "queued", "seed": 1, "warnings": []}}]}  # fmt: skip
    editor, _ = talk(script, daemon={"restart_on_crash": False})
    editor.lua(
        """
        _G.started, _G.ended = 0, 0
        for _ = 1, 3 do
          require('lofi').generate('x', function() _G.ended = _G.ended + 1; error('user code') end)
          require('lofi.daemon').start(function()
            _G.started = _G.started + 1
            error('user code')
          end)
        end
        """
    )
    editor.until("_G.started == 3", 10)
    editor.until("#require('lofi.job').pending() == 3", 10)
    editor.lua("require('lofi').request('ping')")
    editor.until("_G.ended == 3", 10)


@pytest.mark.every_nvim
def test_every_pending_callback_hears_of_a_crash_once_and_the_daemon_comes_back(talk: Talk) -> None:
    kill = {"kill": int(signal.SIGKILL)}
    editor, script = talk({"ping": [{"stderr": "Fatal: boom\n"}, kill]})
    editor.lua(ASK, 3)
    assert codes(editor, 3) == ["DAEMON_CRASH"] * 3
    assert editor.event("daemon_exit") == {"code": 0, "signal": 9, "expected": False}
    assert editor.event("daemon_restart") == {"attempt": 1}
    until(lambda: len(script.asked("initialize")) == 2, 5, "the second daemon")
    editor.until("require('lofi').is_daemon_running()", 5)


def test_after_three_returns_it_stays_away_and_says_so(talk: Talk) -> None:
    editor, script = talk({"config_get": [{"kill": int(signal.SIGKILL)}]})
    began = time.monotonic()
    editor.lua(
        "require('lofi').on('daemon_ready', function() require('lofi').config(nil, nil, print) end)"
    )
    editor.lua("require('lofi.daemon').start()")
    error = editor.event("daemon_error", 15)
    assert (error["code"], error["fatal"]) == ("DAEMON_CRASH", True)
    assert time.monotonic() - began >= 0.5 + 1 + 2
    assert [item["attempt"] for item in editor.events("daemon_restart")] == [1, 2, 3]
    assert len(script.asked("initialize")) == 4


def test_who_asks_again_at_once_waits_for_the_one_that_comes_back(talk: Talk) -> None:
    """Without the back-off a daemon that dies of a request would be started without end."""
    editor, _ = talk({"ping": [{"kill": int(signal.SIGKILL)}]})
    began = time.monotonic()
    editor.lua(
        """
        local function ask()
          require('lofi').request('ping', {}, function(err)
            _G.last = err.code
            if err then ask() end
          end)
        end
        ask()
        """
    )
    editor.event("daemon_error", 15, fatal=True)
    assert time.monotonic() - began >= 0.5 + 1 + 2
    assert len(editor.events("daemon_restart")) == 3


def test_who_waits_goes_on_waiting_while_it_comes_back(talk: Talk, tmp_path: Path) -> None:
    """The second of four starts fails before it greets; the third answers."""
    count = tmp_path / "count"
    editor, script = talk({"config_get": [{"kill": int(signal.SIGKILL)}]})
    start = f'echo x >> {count}; [ "$(wc -l < {count})" = 2 ] && exit 7; exec "$@"'
    editor.lua("require('lofi').setup({ daemon = { cmd = ... } })",
               ["sh", "-c", start, "sh", *script.command])  # fmt: skip
    editor.lua("require('lofi').config(nil, nil, function() end)")
    editor.event("daemon_restart", 10, attempt=1)
    editor.lua(ASK, 1)
    assert codes(editor, 1) == ["fine"]
    assert len(editor.events("daemon_restart")) == 2


def test_a_crash_without_restart_is_final(talk: Talk) -> None:
    editor, script = talk({"ping": [{"exit": 3}]}, daemon={"restart_on_crash": False})
    editor.lua(ASK, 1)
    assert codes(editor, 1) == ["DAEMON_CRASH"]
    editor.event("daemon_error")
    assert editor.events("daemon_restart") == [] and len(script.asked("initialize")) == 1


def test_an_end_somebody_asked_for_is_no_crash(talk: Talk) -> None:
    """Another editor stopped the shared daemon: the relay ends with status 0."""
    editor, _ = talk({"ping": [{"exit": 0}]})
    editor.lua(ASK, 1)
    assert codes(editor, 1) == ["DAEMON_CRASH"]
    editor.event("daemon_exit")
    assert not {"daemon_restart", "daemon_error"} & set(editor.names())
    editor.call("request", "status", {})


@pytest.mark.every_nvim
def test_a_daemon_that_cannot_start_says_why(talk: Talk) -> None:
    words = "ModuleNotFoundError: No module named 'msgpack'\n"
    editor, _ = talk({"initialize": [{"stderr": words}, {"exit": 1}]})
    editor.lua(ASK, 2)
    assert codes(editor, 2) == ["DAEMON_SPAWN_FAILED"] * 2
    assert editor.lua("return _G.told[1][3]") == "Run :Lofi setup python."


def test_a_protocol_nobody_shares(talk: Talk) -> None:
    data = {"code": "PROTOCOL_MISMATCH", "hint": "Update the plugin.", "supported": [2]}
    error = {"code": -32035, "message": "no version in common", "data": data}
    editor, _ = talk({"initialize": [{"error": error}]})
    editor.lua(ASK, 1)
    assert codes(editor, 1) == ["PROTOCOL_MISMATCH"]
    until(lambda: editor.home.processes() == [editor.pid], 5, "the daemon let go")


def test_an_answer_that_does_not_come(talk: Talk) -> None:
    editor, _ = talk({"ping": []}, daemon={"request_timeout_ms": 200})
    editor.lua(ASK, 1)
    assert codes(editor, 1) == ["DAEMON_TIMEOUT"]


@pytest.mark.every_nvim
def test_garbage_is_logged_and_skipped(talk: Talk, home: Home) -> None:
    note = {"notify": ["queue_changed", {"pending": 2}]}
    editor, _ = talk({"ping": [{"raw": "tqdm: 45%\n\x00\n"}, note, {"result": {}}]})
    editor.lua(ASK, 1)
    assert codes(editor, 1) == ["fine"]
    assert editor.event("queue_change")["pending"] == 2
    log = editor.lua("return require('lofi.log').path()")
    assert "not a message: tqdm: 45%" in Path(log).read_text()


def test_nothing_to_run_it_with(open_editor: Open, home: Home, tmp_path: Path) -> None:
    home.environment |= {"LOFI_PYTHON": str(tmp_path / "gone"), "PATH": str(tmp_path)}
    home.environment["PATH"] = f"{tmp_path}:/usr/bin:/bin"
    editor = open_editor()
    editor.watch()
    editor.lua(ASK, 1)
    assert codes(editor, 1) == ["DAEMON_NOT_FOUND"]
    assert editor.lua("return _G.told[1][3]") == "Run :Lofi setup python."


def test_a_call_on_a_stopped_daemon_without_auto_start(talk: Talk) -> None:
    editor, script = talk(daemon={"auto_start": False})
    editor.lua(ASK, 1)
    assert codes(editor, 1) == ["DAEMON_NOT_FOUND"]
    assert script.asked() == []


def test_the_first_that_exists_is_taken(open_editor: Open, home: Home, tmp_path: Path) -> None:
    found = (
        "local l, e = require('lofi.launch').find(); return l and { l.source, l.cmd, l.missing }"
    )
    editor = open_editor()
    data = Path(editor.lua("return vim.fn.stdpath('data')"))
    environment = program(data / "lofi/venv/bin/python", "#!/bin/sh\n")
    in_path = program(tmp_path / "lofi", "#!/bin/sh\n")
    assert editor.lua(found) == [
        "$LOFI_PYTHON",
        [sys.executable, "-m", "lofi", "daemon", "--shared"],
        [],
    ]
    editor.lua("vim.env.LOFI_PYTHON = nil")
    assert editor.lua(found)[:2] == [
        "the managed environment",
        [str(environment), "-m", "lofi", "daemon", "--shared"],
    ]
    environment.unlink()
    editor.lua("vim.env.PATH = ... .. ':' .. vim.env.PATH", str(tmp_path))
    assert editor.lua(found)[:2] == ["`lofi` in PATH", [str(in_path), "daemon", "--shared"]]
    editor.lua("require('lofi').setup({ daemon = { python = '/no/such', shared = false } })")
    source, command, missing = editor.lua(found)
    assert (source, command) == ("`lofi` in PATH", [str(in_path), "daemon"])
    assert missing == ["daemon.python (/no/such)"]
    editor.lua("require('lofi').setup({ daemon = { cmd = { 'env', 'lofi' } } })")
    assert editor.lua(found)[:2] == ["daemon.cmd", ["env", "lofi"]]


def test_its_environment(open_editor: Open) -> None:
    editor = open_editor({"cache": {"dir": "/x/tracks"}, "daemon": {"log_level": "info"}})
    editor.lua("vim.env.PYTHONPATH = '/mine'")
    assert editor.lua("return require('lofi.launch').environment()") == {
        "PYTHONPATH": f"{REPO / 'python'}:/mine",
        "PYTHONSAFEPATH": "1",
        "LOFI_CACHE_PATH": "/x/tracks",
        "LOFI_LOG_LEVEL": "info",
    }


@pytest.mark.every_nvim
def test_stop_and_restart(talk: Talk) -> None:
    editor, script = talk()
    editor.lua("require('lofi.daemon').start(function(_, info) _G.pid = info.pid end)")
    editor.until("_G.pid", 10)
    editor.lua("require('lofi.daemon').restart(function(_, info) _G.other = info.pid end)")
    editor.until("_G.other and _G.other ~= _G.pid", 10)
    editor.lua("require('lofi.daemon').stop({}, function() _G.stopped = true end)")
    editor.until("_G.stopped", 5)
    assert editor.home.processes() == [editor.pid]
    assert all(exit["expected"] for exit in editor.events("daemon_exit"))
    assert len(script.asked("shutdown")) == 2


def test_one_that_does_not_obey_is_killed(talk: Talk) -> None:
    editor, _ = talk({"shutdown": [], "initialize": [{"raw": ""}]})
    editor.lua("require('lofi.daemon').start()")
    until(lambda: len(editor.home.processes()) == 2, 5, "the daemon")
    began = time.monotonic()
    editor.lua("require('lofi.daemon').stop({}, function() _G.stopped = true end)")
    editor.until("_G.stopped", 5)
    assert time.monotonic() - began < limit(3)


def test_leaving_the_editor_waits_for_nobody(talk: Talk) -> None:
    editor, _ = talk({"generate": []})
    editor.lua("require('lofi').generate('x')")
    editor.until("require('lofi').is_daemon_running()", 10)
    pid, began = editor.pid, time.monotonic()
    editor.close()
    until(lambda: not Path(f"/proc/{pid}").exists(), 5, "the editor's end")
    assert time.monotonic() - began < limit(1)
    until(lambda: editor.home.processes() == [], limit(2), "the daemon's end")


def test_a_version_that_differs_is_said(talk: Talk) -> None:
    greeting = {
        "protocol": 1,
        "daemon": {"name": "lofi", "version": "9.9.9", "pid": os.getpid(), "python": "3.11"},
        "state": {},
    }
    editor, _ = talk({"initialize": [{"result": greeting}]})
    editor.call("request", "ping", {})
    assert ":Lofi daemon restart" in editor.notice("9.9.9")
