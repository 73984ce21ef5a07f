"""Request JSON: the way to `generate`, plans written back, names of files and models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lofi.errors import InvalidParams, InvalidScheduler
from lofi.parameters import known_names
from lofi.request import (
    DEFAULTS,
    apart,
    bare_model,
    format_params,
    numbered,
    params,
    read_requests,
    rewritten,
    with_plan,
    write_request,
)


def one(**members: Any) -> dict[str, Any]:
    (request,) = read_requests(json.dumps(members))
    return request


def test_unset_members_leave_the_choice_open() -> None:
    given, warnings = params(one(caption="lofi"))
    assert given == {
        "backend": "ace_step_15",
        "task": "text2music",
        "prompt": "lofi",
        "lyrics": "",
        "auto_lyrics": True,
        "lm_temperature": 0.85,
        "use_cot_caption": True,
        "format": "mp3",
    }
    assert warnings == []


def test_every_member_reaches_a_parameter() -> None:
    given, warnings = params(
        one(
            caption="x", lyrics="[Instrumental]", bpm=90, duration=30, keyscale="C minor",
            timesignature="3", seed=4, lm_seed=5, synth_batch_size=2, lm_cfg_scale=3, lm_top_k=9,
            lm_top_p=0.5, lm_negative_prompt="noise", use_cot_caption=False, audio_codes="1,2",
            inference_steps=20, guidance_scale=5, shift=2, solver="sde", custom_timesteps="1,0.5",
            dcw_scaler=0.05, dcw_mode="double", audio_cover_strength=0.5,
            cover_noise_strength=0.1, repainting_start=3, repainting_end=9, task_type="lego",
            track="drums", output_format="wav24", synth_model="acestep-v15-turbo-Q8_0.gguf",
            lm_model="acestep-5Hz-lm-1.7B-Q5_K_M.gguf", adapter="mine", adapter_scale=0.7,
            vae="other", mp3_bitrate=320,
        )
    )  # fmt: skip
    assert set(given) <= known_names() | {"backend", "variant", "task"}
    assert given["lyrics"] == ""
    assert "auto_lyrics" not in given
    assert given["dcw"] == "double"
    assert given["variant"] == "turbo"
    assert given["lm_model"] == "1.7b"
    assert given["loras"] == [{"name": "mine", "scale": 0.7}]
    assert given["format"] == "wav32"
    assert (given["seed"], given["lm_seed"], given["scheduler"]) == (4, 5, "sde")
    assert len(warnings) == 3


def test_what_this_program_lacks_is_refused_by_name() -> None:
    for solver in ("dpm3m", "stork4"):
        with pytest.raises(InvalidScheduler, match=solver):
            params(one(solver=solver))
    with pytest.raises(InvalidParams, match="latent_shift"):
        params(one(latent_shift=0.1))


def test_unknown_members_matter_only_when_strict() -> None:
    text = json.dumps({"caption": "x", "tempo": 3})
    assert read_requests(text)[0]["caption"] == "x"
    with pytest.raises(InvalidParams, match="tempo"):
        read_requests(text, strict=True)


def test_a_plan_fills_what_was_unset_only() -> None:
    request = one(caption="mine", bpm=0, keyscale="", lm_batch_size=3, lyrics="la")
    plan = {
        "prompt": "theirs",
        "lyrics": "other",
        "bpm": 90,
        "keyscale": "C minor",
        "duration_sec": 30,
        "timesignature": "4",
        "vocal_language": "fr",
        "audio_codes": [1, 2],
    }
    filled = with_plan(request, plan, 2, (10, 20))
    assert (filled["caption"], filled["lyrics"]) == ("mine", "la")
    assert (filled["bpm"], filled["keyscale"], filled["duration"]) == (90, "C minor", 30.0)
    assert filled["audio_codes"] == "1,2"
    assert (filled["seed"], filled["lm_seed"], filled["lm_batch_size"]) == (12, 22, 1)
    assert read_requests(json.dumps(write_request(filled, full=True))) == [filled]


def test_several_plans_are_asked_for_apart() -> None:
    first, second = apart(one(lm_batch_size=2, seed=4))
    assert (first["seed"], second["seed"], second["lm_seed"]) == (4, 5, -1)
    assert first["lm_batch_size"] == second["lm_batch_size"] == 1
    assert apart(one()) == [one()]


def test_modes_of_the_planner() -> None:
    given, _ = params(one(caption="idea", use_cot_caption=False, lm_mode="inspire"))
    assert given["use_cot_caption"] and given["auto_lyrics"]
    song = one(caption="x", lyrics="la", lm_mode="format", seed=0, lm_temperature=0, bpm=90)
    assert format_params(song) == {
        "prompt": "x", "lyrics": "la", "bpm": 90, "temperature": 0, "top_p": 0.9, "top_k": 0,
        "seed": 0,
    }  # fmt: skip
    answer = {"prompt": "soft x", "lyrics": "[Verse]\nla", "bpm": 77, "keyscale": "A minor"}
    tidied = rewritten(song, answer)
    wanted = {"caption": "soft x", "lyrics": "[Verse]\nla", "bpm": 90, "keyscale": "A minor"}
    assert {name: tidied[name] for name in wanted} == wanted
    given, warnings = params(tidied)
    assert (given["prompt"], given["use_cot_caption"], warnings) == ("soft x", False, [])


def test_the_full_form_holds_everything() -> None:
    assert write_request(one(), full=True) == dict(DEFAULTS)


def test_names() -> None:
    assert numbered(Path("a/song.json"), 1) == Path("a/song1.json")
    assert bare_model("acestep-v15-turbo-BF16.gguf") == "acestep-v15-turbo"
    assert bare_model("acestep-v15-turbo") == "acestep-v15-turbo"
