"""From what is typed to what is asked, and what becomes of the job."""

from __future__ import annotations

from typing import Any

import pytest

from tests.nvim.conftest import Talk
from tests.nvim.editor import Editor, Script

ID = "aaaabbbbccccdddd"
ANSWER = {"track_id": ID, "status": "queued", "position": 0, "seed": 7, "backend": "procedural",
          "eta_sec": 2, "warnings": []}  # fmt: skip
TRACK = {"track_id": ID, "title": "a title", "duration_sec": 30, "backend": "procedural",
         "prompt": "p", "created_at": "2026-01-01T00:00:00.000Z"}  # fmt: skip


def job_steps(*notifications: Any) -> dict[str, Any]:
    return {
        "generate": [{"result": ANSWER}, *({"notify": list(note)} for note in notifications)],
        "cache_get": [{"result": {"track": TRACK}}],
        "presets_list": [
            {"result": {"presets": [{"name": "coffee shop", "prompt": "piano trio", "bpm": 92}]}}
        ],
    }


START = ("generation_start", {"track_id": ID, "prompt": "p", "total_steps": 1})
HALF = ("generation_progress", {"track_id": ID, "percent": 45, "eta_sec": 12, "phase": "decoding"})
DONE = ("generation_complete", {**TRACK, "cached": False})


def asked(editor: Editor, script: Script, command: str) -> dict[str, Any]:
    editor.command(command)
    editor.event("generation_queued")
    params: dict[str, Any] = script.asked("generate")[-1]["params"]
    return params


DEFAULT = "lofi hip hop, chill, mellow piano, vinyl crackle"


@pytest.mark.parametrize(
    ("typed", "params"),
    [
        ("", {"prompt": DEFAULT}),
        ("rainy night, jazzy piano", {"prompt": "rainy night, jazzy piano"}),
        ("rainy night 60", {"prompt": "rainy night", "duration_sec": 60}),
        ('"rainy night 60"', {"prompt": "rainy night 60"}),
        ('"rain | thunder" 30', {"prompt": "rain | thunder", "duration_sec": 30}),
        ("90", {"prompt": DEFAULT, "duration_sec": 90}),
        ("don't stop the 80's", {"prompt": "don't stop the 80's"}),
        (
            "soft bpm=80 loopable=true style=jazz seed=4294967295",
            {"prompt": "soft", "bpm": 80, "loopable": True, "style": "jazz", "seed": 4294967295},
        ),
        (
            'x title="two words" timesignature=3/4 tags=a,b',
            {"prompt": "x", "title": "two words", "timesignature": "3/4", "tags": ["a", "b"]},
        ),
        ("x title=1999", {"prompt": "x", "title": "1999"}),
        ("x seed=null", {"prompt": "x", "seed": None}),
        ("to infinity", {"prompt": "to infinity"}),
        ("my nan", {"prompt": "my nan"}),
        ("x bpm=nan oss_steps=1,inf", {"prompt": "x", "bpm": "nan", "oss_steps": [1, "inf"]}),
        ("x duration_sec=20 5", {"prompt": "x 5", "duration_sec": 20}),
        ("x sped=1", {"prompt": "x", "sped": 1}),
        ("@focus", {"prompt": "steady"}),
        ("@focus piano 20", {"prompt": "steady, piano", "duration_sec": 20}),
        ("@Coffee_Shop bpm=80", {"prompt": "piano trio", "bpm": 80}),
    ],
)
def test_what_is_typed_is_what_is_asked(talk: Talk, typed: str, params: dict[str, Any]) -> None:
    editor, script = talk(job_steps(), presets={"focus": "steady"})
    assert asked(editor, script, f"Lofi generate {typed}") == params


def test_lines_of_a_range_are_the_lyrics(talk: Talk) -> None:
    editor, script = talk(job_steps())
    editor.nvim.current.buffer[:] = ["[verse]", "rain on the roof", "not this"]
    params = asked(editor, script, "1,2Lofi generate soft rock")
    assert params == {"prompt": "soft rock", "lyrics": "[verse]\nrain on the roof"}
    keys = editor.nvim.replace_termcodes("ggVj<Plug>(lofi-generate)")
    editor.nvim.feedkeys(keys, "mx")
    editor.until(
        "#vim.tbl_filter(function(e) return e[1] == 'generation_queued' end, seen.events) == 2", 5
    )
    assert script.asked("generate")[-1]["params"]["lyrics"] == "[verse]\nrain on the roof"


def test_an_unknown_preset_names_the_nearest_and_makes_nothing(talk: Talk) -> None:
    editor, script = talk(job_steps(), presets={"focus": "steady"})
    editor.command("Lofi generate @focsu")
    assert "Did you mean focus?" in editor.notice("no preset @focsu")
    assert script.asked("generate") == []


def test_the_users_default_prompt_and_last_prompt(talk: Talk) -> None:
    editor, script = talk(job_steps(), defaults={"prompt": "mine"})
    assert asked(editor, script, "Lofi generate") == {"prompt": "mine"}
    editor.lua("_G.seen.typed = 'slow bells 45'")
    editor.command("Lofi prompt")
    editor.until("#_G.seen.asked == 1", 5)
    editor.until(
        "#vim.tbl_filter(function(e) return e[1] == 'generation_queued' end, seen.events) == 2", 5
    )
    assert script.asked("generate")[-1]["params"] == {"prompt": "slow bells", "duration_sec": 45}
    editor.command("Lofi prompt")
    assert editor.lua("return _G.seen.asked[2].default") == "slow bells 45"


@pytest.mark.every_nvim
def test_a_job_tells_its_life_and_calls_back_once(talk: Talk) -> None:
    editor, _ = talk(job_steps(START, HALF, DONE, DONE))
    editor.lua(
        """
        _G.life = {}
        local function note(name) return function() table.insert(_G.life, name) end end
        _G.job = require('lofi').generate({ prompt = 'x', on_queued = note('queued'),
          on_start = note('start'), on_progress = note('progress') }, function(err, track, all)
            table.insert(_G.life, (err and err.code or 'track ') .. track.title .. #all)
          end)
        _G.first = { _G.job.status, _G.job.track_id == nil }
        """
    )
    editor.until("#_G.life >= 4", 10)
    assert editor.lua("return _G.life") == ["queued", "start", "progress", "track a title1"]
    assert editor.lua("return _G.first") == ["requested", True]
    seen = editor.lua(
        "local j = _G.job; return { j.status, j.percent, j.seed, j.track_id, j.track.title }"
    )
    assert seen == ["complete", 100, 7, ID, "a title"]
    assert editor.lua("return { _G.job:wait(10) }")[0]["track_id"] == ID


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        (
            ("generation_error", {"track_id": ID, "error": "no memory", "message": "no memory",
                                  "code": "INSUFFICIENT_MEMORY", "hint": "Make it shorter."}),
            "INSUFFICIENT_MEMORY",
        ),
        (("generation_cancelled", {"track_id": ID, "reason": "user"}), "GENERATION_CANCELLED"),
    ],
)  # fmt: skip
def test_a_job_that_fails(talk: Talk, ending: Any, code: str) -> None:
    editor, _ = talk(job_steps(START, ending))
    editor.lua(
        """
        require('lofi').generate('x', function(err, track)
          _G.told = { err.code, tostring(err), track == nil }
        end)
        """
    )
    seen = editor.until("_G.told", 10)
    assert (seen[0], seen[2]) == (code, True)


def test_several_takes(talk: Talk) -> None:
    takes = [
        {"track_id": f"{n}" * 16, "seed": n, "status": "queued", "position": n} for n in (1, 2)
    ]
    lost = {"track_id": "2" * 16, "message": "m", "code": "MODEL_INFERENCE_FAILED", "hint": ""}
    steps = job_steps()
    steps["generate"] = [
        {"result": {**ANSWER, **takes[0], "tracks": takes}},
        {"notify": ["generation_complete", {**TRACK, "track_id": "1" * 16}]},
        {"notify": ["generation_error", lost]},
    ]
    editor, _ = talk(steps)
    editor.lua(
        """
        require('lofi').generate({ prompt = 'x', batch_size = 2 }, function(err, first, all)
          _G.told = { err == nil, first.title, #all }
        end)
        """
    )
    assert editor.until("_G.told", 10) == [True, "a title", 1]


def test_errors_are_shown_with_their_hint(talk: Talk) -> None:
    data = {"code": "INVALID_DURATION", "hint": "Use 5..600 s.", "retryable": False}
    error = {"code": -32005, "message": "Duration 3 s is outside 5..600 s", "data": data}
    editor, _ = talk({"generate": [{"error": error}]}, ui={"notify": False, "progress": "none"})
    editor.command("Lofi generate x 3")
    assert editor.notice("Duration 3 s").endswith("\nUse 5..600 s.")


def test_a_warning_about_the_missing_model_comes_once(talk: Talk) -> None:
    warning = {"code": "NO_NEURAL_BACKEND", "message": "No neural model is installed"}
    editor, _ = talk({"generate": [{"result": {**ANSWER, "warnings": [warning]}}]})
    for _ in range(2):
        editor.lua("require('lofi').generate('x')")
    editor.until(
        "#vim.tbl_filter(function(e) return e[1] == 'generation_queued' end, seen.events) == 2", 5
    )
    texts = [text for text, _ in editor.lua("return _G.seen.notices")]
    assert len([text for text in texts if "No neural model" in text]) == 1
