"""Options: refused with the path, the value and what is allowed; the same as the daemon's."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from lofi import parameters, settings
from tests.nvim.conftest import Open, Talk
from tests.nvim.editor import Editor

NOT_YET = {"lora.paths"}


def refused(editor: Editor, options: Any) -> str:
    ok, message = editor.lua("return { pcall(require('lofi').setup, ...) }", options)
    assert not ok, f"accepted {options}"
    return str(message)


@pytest.mark.every_nvim
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"playback": {"volume": "loud"}},
            'lofi: playback.volume must be a number in 0..1, got "loud"',
        ),
        ({"playback": {"volume": 1.5}}, "lofi: playback.volume must be a number in 0..1, got 1.5"),
        (
            {"playback": {"volum": 1}},
            "lofi: there is no option playback.volum. Did you mean playback.volume?",
        ),
        ({"playbck": {}}, "lofi: there is no option playbck. Did you mean playback?"),
        ({"playback": 3}, "lofi: playback must be a table, got 3"),
        (
            {"ui": {"progress": "loud"}},
            'lofi: ui.progress must be one of auto, cmdline, notify, none, got "loud"',
        ),
        (
            {"defaults": {"durations_sec": 3}},
            "lofi: there is no option defaults.durations_sec. Did you mean duration_sec?",
        ),
        (
            {"cache": {"dir": "relative"}},
            'lofi: cache.dir must be an absolute path, got "relative"',
        ),
        ({"presets": {"x": 3}}, "lofi: presets.x must be a prompt or a request table, got 3"),
        ({"radio": {}}, "lofi: there is no option radio."),
    ],
)
def test_what_is_wrong_is_said(editor: Editor, options: Any, message: str) -> None:
    assert refused(editor, options) == message


def test_a_refused_setup_changes_nothing(editor: Editor) -> None:
    refused(editor, {"playback": {"volume": 0.1, "auto_play": "no"}})
    assert editor.lua("return require('lofi.config').get('playback.volume')") == 0.6


def test_options_are_the_daemons(editor: Editor) -> None:
    listed = editor.lua(
        """
        return vim.tbl_map(function(option)
          option.check = nil -- a function does not travel
          return option
        end, require('lofi.options').LIST)
        """
    )
    ours = {option["key"]: option for option in listed if not option.get("is_local")}
    assert set(ours) == set(settings.SETTINGS) - NOT_YET
    for key, option in ours.items():
        theirs = settings.SETTINGS[key]
        assert option.get("default") == theirs.default, key
        assert option.get("nullable", False) == theirs.nullable, key
        assert option.get("low", -math.inf) == theirs.low, key
        assert option.get("high", math.inf) == theirs.high, key
        if key != "model.backend":
            choices = tuple(str(choice) for choice in option.get("choices") or ())
            assert choices == theirs.choices, key
        for choice in option.get("choices") or ():
            settings.check(key, choice)


def test_parameters_are_the_daemons(editor: Editor) -> None:
    ours = editor.lua("return require('lofi.parameters').TABLE")
    theirs: dict[str, tuple[str, list[str]]] = {}
    for table in (parameters.DELIVERY, parameters.SHARED, *parameters.OWN.values()):
        for name, parameter in table.items():
            choices = theirs.get(name, ("", []))[1]
            theirs[name] = (parameter.kind, list(dict.fromkeys([*choices, *parameter.choices])))
    assert set(ours) == set(theirs) - {"loras", "origin"}
    for name, parameter in ours.items():
        assert (parameter["kind"], parameter.get("values") or []) == theirs[name], name


def test_only_what_the_user_wrote_is_sent(talk: Talk, tmp_path: Path) -> None:
    editor, script = talk(
        playback={"volume": 0.3},
        ui={"notify": False},
        presets={"focus": "steady"},
        defaults={"prompt": "rain"},
    )
    editor.call("request", "ping", {})
    sent = script.asked("initialize")[0]["params"]
    assert sent["config"] == {
        "playback.volume": 0.3,
        "presets.focus": "steady",
        "defaults.prompt": "rain",
    }
    assert sent["protocol"] == [1] and sent["client"]["name"] == "nvim"


def test_setup_again_tells_a_running_daemon(talk: Talk) -> None:
    answer = {"applied": {}, "requires_reload": ["model.device"], "requires_restart": []}
    editor, script = talk({"config_set": [{"result": answer}]})
    editor.call("request", "ping", {})
    editor.lua("require('lofi').setup({ model = { device = 'cpu' }, ui = { statusline = false } })")
    editor.notice("model.device")
    assert script.asked("config_set")[0]["params"] == {"config": {"model.device": "cpu"}}
    editor.lua("require('lofi').setup({ model = { device = 'cpu' } })")
    assert len(script.asked("config_set")) == 1, "nothing changed, nothing to say"


def test_the_global_may_be_a_function(open_editor: Open) -> None:
    editor = open_editor()
    editor.lua("vim.g.lofi = function() return { playback = { volume = 0.25 } } end")
    assert editor.lua("return require('lofi.config').get('playback.volume')") == 0.25
