"""`:checkhealth lofi`: with a daemon, without one, without Python."""

from __future__ import annotations

import pytest

from tests.nvim.conftest import Talk
from tests.nvim.editor import Editor, Home

DOCTOR = [{"result": {"ok": False, "sections": [{"title": "Sound", "items": [
    {"level": "ok", "id": "a", "message": "output: Speakers"},
    {"level": "warn", "id": "b", "message": "no mp3 here", "advice": ["Use flac."]},
    {"level": "new", "id": "c", "message": "something new"},
]}]}}]  # fmt: skip
PONG = [{"result": {"status": "ok", "version": "0.1.0", "uptime_sec": 1, "protocol": 1}}]


def report(editor: Editor) -> str:
    editor.command("Lofi doctor")
    return "\n".join(editor.nvim.current.buffer[:])


@pytest.mark.every_nvim
def test_without_a_daemon_it_starts_none(editor: Editor) -> None:
    text = report(editor)
    assert "will be checked on first use" in text
    assert "packages are there" in text and "$LOFI_PYTHON" in text
    assert "ERROR" not in text
    assert editor.home.processes() == [editor.pid]


def test_with_a_daemon_it_shows_what_that_sees(talk: Talk) -> None:
    editor, _ = talk({"doctor": DOCTOR, "ping": PONG})
    editor.call("request", "ping", {})
    text = report(editor)
    assert "the daemon answers in" in text and "protocol 1" in text
    for words in ("Sound", "output: Speakers", "no mp3 here", "Use flac.", "something new"):
        assert words in text


def test_without_python_it_says_what_to_do(editor: Editor, home: Home) -> None:
    editor.lua("vim.env.LOFI_PYTHON = '/no/such/python'; vim.env.PATH = '/nowhere'")
    text = report(editor)
    assert "$LOFI_PYTHON (/no/such/python)" in text
    assert "Run :Lofi setup python." in text


def test_a_wrong_option_is_shown(editor: Editor) -> None:
    editor.lua("vim.g.lofi = { playback = { volume = 7 } }")
    assert "playback.volume must be a number in 0..1, got 7" in report(editor)
