"""From requests to recipes: defaults, names, ranges, and the errors `generate` answers with."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lofi import catalog, music, parameters, recipe
from lofi.catalog import Backend, Variant
from lofi.errors import InvalidParams, LofiError
from lofi.recipe import Audio, Checkpoint, Request


@dataclass
class World:
    """Everything is installed unless a test says otherwise."""

    missing: set[str] = field(default_factory=set)
    lm_sizes: tuple[str, ...] = ()
    lm_by_memory: str | None = None
    backend: str = "auto"
    fallback_to: str = "procedural"
    own: dict[str, dict[str, Any]] = field(default_factory=dict)

    def checkpoint(self, backend: Backend, variant: Variant) -> Checkpoint | None:
        if backend.type in self.missing:
            return None
        sizes = self.lm_sizes if backend.type == "ace_step_15" else ()
        version = backend.model_version(variant.name)
        return Checkpoint(variant.name, variant.family, version, sizes)

    def default_backend(self) -> str:
        return self.backend

    def default_variant(self, backend: Backend) -> str | None:
        return None

    def own_defaults(self, backend: Backend) -> Mapping[str, Any]:
        return self.own.get(backend.type, {})

    def fallback(self) -> str:
        return self.fallback_to

    def default_lm(self) -> str:
        return "auto"

    def lm_for_tier(self, installed: tuple[str, ...]) -> str | None:
        return self.lm_by_memory if self.lm_by_memory in installed else None


NEURAL = {"ace_step_15", "ace_step", "musicgen"}
SOURCE = Audio("/a.wav", {"sha256": "0" * 64}, 20.0)


def resolve(world: World | None = None, **params: Any) -> Request:
    given_audio = params.pop("audio", None)
    params.setdefault("prompt", "rain")
    return recipe.resolve(params, world or World(), draw_seed=lambda: 7, audio=given_audio)


def recipe_of(world: World | None = None, **params: Any) -> dict[str, Any]:
    return dict(resolve(world, **params).takes[0].recipe)


def warnings_of(request: Request) -> list[str]:
    return [warning.code for warning in request.warnings]


def test_auto_takes_the_best_installed_backend() -> None:
    assert recipe_of()["backend"] == "ace_step_15"
    assert recipe_of(World(missing={"ace_step_15"}))["backend"] == "ace_step"
    request = resolve(World(missing=NEURAL))
    assert request.backend.type == "procedural"
    assert warnings_of(request) == ["NO_NEURAL_BACKEND"]


def test_a_configured_backend_that_is_missing_is_named() -> None:
    request = resolve(World(missing=NEURAL, backend="musicgen"))
    assert request.backend.type == "procedural"
    assert request.warnings[0].message.startswith("MusicGen is not installed")
    other = resolve(World(missing={"musicgen"}, backend="musicgen"), backend="auto")
    assert other.backend.type == "ace_step_15"
    assert warnings_of(other) == ["PARAM_ADJUSTED"]
    assert resolve(World(backend="musicgen"), backend="auto").backend.type == "musicgen"


def test_a_named_backend_is_never_replaced() -> None:
    with pytest.raises(LofiError) as caught:
        resolve(World(missing=NEURAL), backend="ace-step-1.5")
    assert caught.value.code == "BACKEND_NOT_INSTALLED"
    assert ":Lofi setup ace-step-1.5 (6.3 GB)" in caught.value.hint
    assert "LOFI_ACE_STEP_15_MODEL_PATH" in caught.value.hint


def test_no_fallback_wanted() -> None:
    with pytest.raises(LofiError) as caught:
        resolve(World(missing=NEURAL, fallback_to="none"))
    assert caught.value.code == "BACKEND_NOT_INSTALLED"


@pytest.mark.parametrize(
    ("variant", "steps", "shift", "guidance"),
    [("turbo", 8, 3, None), ("turbo-shift1", 8, 1, None), ("sft", 50, 1, 7), ("xl-base", 50, 1, 7)],
)
def test_presets_follow_the_family(variant: str, steps: int, shift: int, guidance: object) -> None:
    made = recipe_of(backend="ace_step_15", variant=variant)
    assert (made["infer_steps"], made["shift"]) == (steps, shift)
    assert made.get("guidance_scale") == guidance


def test_empty_lyrics_are_instrumental_for_both_generations() -> None:
    assert recipe_of(backend="ace_step_15", vocal_language="en")["lyrics"] == "[Instrumental]"
    assert recipe_of(backend="ace_step_15", vocal_language="en")["vocal_language"] == "unknown"
    assert recipe_of(backend="ace_step", lyrics="[inst]")["lyrics"] == "[inst]"
    forced = resolve(backend="ace_step", lyrics="la la", instrumental=True)
    assert forced.takes[0].recipe["lyrics"] == "[inst]"
    assert "PARAM_IGNORED" in warnings_of(forced)


def test_metadata_becomes_words_where_the_model_reads_only_a_prompt() -> None:
    made = recipe_of(backend="musicgen", bpm=90, keyscale="Cm", metas="genre: jazz")
    assert made["prompt"] == "rain, genre: jazz, 90 bpm, C minor"
    assert "bpm" not in made
    native = recipe_of(backend="procedural", metas="bpm: 90, key: f#m, mood: calm")
    assert (native["bpm"], native["keyscale"]) == (90, "F# minor")
    assert native["prompt"] == "rain, mood: calm"


def test_explicit_metadata_beats_the_free_form() -> None:
    assert recipe_of(backend="procedural", bpm=80, metas="bpm: 90")["bpm"] == 80


def test_parameters_of_another_backend_are_named_and_left_out() -> None:
    request = resolve(backend="procedural", omega_scale=3, repaint_start=1)
    assert "omega_scale" not in request.takes[0].recipe
    ignored = {item.param for item in request.warnings if item.code == "PARAM_IGNORED"}
    assert ignored == {"omega_scale", "repaint_start"}


def test_delivery_never_changes_the_id() -> None:
    plain = resolve(backend="procedural", seed=1)
    other = resolve(backend="procedural", seed=1, format="ogg", title="x", priority="high",
                    tags=["a"], force=True, auto_play=False)  # fmt: skip
    assert plain.takes == other.takes


def test_takes_have_seeds_in_a_row() -> None:
    request = resolve(backend="procedural", seed=4294967295, batch_size=3)
    assert [take.seed for take in request.takes] == [4294967295, 0, 1]
    single = resolve(backend="procedural", seed=0)
    assert single.takes[0].track_id == request.takes[1].track_id


def test_a_drawn_seed_stands_for_none_and_minus_one() -> None:
    assert recipe_of(seed=None)["seed"] == recipe_of(seed=-1)["seed"] == 7


def test_the_planner_is_seeded_like_the_track() -> None:
    world = World(lm_sizes=("0.6b", "1.7b"), lm_by_memory="1.7b")
    made = resolve(world, backend="ace_step_15", seed=5, batch_size=2)
    assert [take.recipe["lm_seed"] for take in made.takes] == [5, 5]
    assert made.takes[0].recipe["lm_model"] == "1.7b"
    assert made.takes[0].recipe["thinking"] is True
    assert "lm_model" not in recipe_of(world, backend="ace_step_15", thinking=False)
    with pytest.raises(LofiError) as caught:
        resolve(backend="ace_step_15", thinking=True)
    assert caught.value.code == "LM_UNAVAILABLE"


PLANNED = World(lm_sizes=("0.6b",), lm_by_memory="0.6b")


def test_codes_skip_the_planner() -> None:
    codes = "".join(f"<|audio_code_{code}|>" for code in (3, 5, 3, 5, 7))
    made = recipe_of(PLANNED, backend="ace_step_15", audio_codes=codes)
    assert made["audio_codes"] == [3, 5, 3, 5, 7]
    assert "thinking" not in made


def test_the_planner_chooses_a_length_nobody_gave() -> None:
    asked: dict[str, Any] = {"backend": "ace_step_15", "seed": 5}
    open_ended = recipe_of(PLANNED, **asked)
    assert "duration_sec" not in open_ended
    assert open_ended["lm_seed"] == 5
    assert recipe_of(PLANNED, **asked) == open_ended
    assert recipe_of(PLANNED, **asked, duration_sec=None) == open_ended
    assert recipe_of(PLANNED, **asked, duration_sec=90)["duration_sec"] == 90
    assert recipe_of(PLANNED, **asked, metas="duration: 90")["duration_sec"] == 90
    # codes alone end where the model ends them; metadata alone holds a length too
    assert "duration_sec" not in recipe_of(PLANNED, **asked, use_cot_metas=False)
    assert "duration_sec" not in recipe_of(PLANNED, **asked, thinking=False, use_cot_metas=True)


@pytest.mark.parametrize(
    "params",
    [
        {"thinking": False},
        {"lm_model": "none"},
        {"thinking": False, "use_cot_language": True},
        {"backend": "ace_step"},
    ],
    ids=str,
)
def test_without_a_plan_the_length_is_the_backends(params: dict[str, Any]) -> None:
    assert recipe_of(PLANNED, **{"backend": "ace_step_15", **params})["duration_sec"] == 60


@pytest.mark.parametrize("task", ["retake", "edit", "extend"])
def test_what_is_made_of_a_track_has_a_parent(task: str) -> None:
    origin = {**recipe_of(backend="ace_step", seed=3), "duration_sec": 20.0}
    audio = {"source": Audio("/a.wav", {"track": "d" * 64}, 20.0, origin)}
    made = resolve(backend="ace_step", task=task, source="x", audio=audio, retake_seed=9)
    assert made.parent == "d" * 64
    assert ("source" in made.audio) is (task != "retake"), "a retake hears nothing of it"
    assert resolve(backend="ace_step", source="x", audio=audio).parent is None
    assert resolve(backend="ace_step", task="edit", source="x",
                   audio={"source": SOURCE}).parent is None  # fmt: skip


@pytest.mark.parametrize("task", ["repaint", "extend", "edit"])
def test_what_goes_on_with_a_track_is_described_by_it(task: str) -> None:
    origin = {"prompt": "slow piano", "lyrics": "la la", "vocal_language": "de"}
    audio = {"source": Audio("/a.wav", {"track": "d" * 64}, 20.0, origin)}
    asked: dict[str, Any] = {"backend": "ace_step", "task": task, "source": "x", "audio": audio}
    made = recipe_of(**asked, prompt=None)
    assert {name: made[name] for name in origin} == origin
    made = recipe_of(**asked, prompt="drums", lyrics="")
    assert (made["prompt"], made["lyrics"]) == ("drums", "[inst]")
    if task == "edit":
        assert (made["edit_source_prompt"], made["edit_source_lyrics"]) == ("slow piano", "la la")


def test_v1_leaves_out_what_a_task_does_not_read() -> None:
    asked: dict[str, Any] = {"backend": "ace_step", "source": "x", "audio": {"source": SOURCE}}
    edit = resolve(**asked, task="edit", omega_scale=3, use_erg_tag=False)
    assert warnings_of(edit) == ["PARAM_IGNORED"] * 2
    unread = {"scheduler", "omega_scale", "cfg_type", "guidance_interval", "use_erg_lyric"}
    assert not unread & set(edit.takes[0].recipe)
    extend = recipe_of(**asked, task="extend", extend_right_sec=5)
    assert unread & set(extend) == unread - {"scheduler", "omega_scale"}
    assert recipe_of(**asked, task="repaint")["scheduler"] == "euler"


@pytest.mark.parametrize("start", [-1, 99, 1e9])
def test_v1_repaints_inside_its_source(start: float) -> None:
    with pytest.raises(InvalidParams, match="outside the source") as caught:
        resolve(backend="ace_step", task="repaint", source="x", audio={"source": SOURCE},
                repaint_start=start)  # fmt: skip
    assert "extend" in caught.value.hint


def test_codes_say_how_long_a_track_is() -> None:
    asked: dict[str, Any] = {"backend": "ace_step_15", "audio_codes": list(range(61))}
    for params in ({}, {"duration_sec": 12.2}):
        request = resolve(PLANNED, **asked, **params)
        assert request.takes[0].recipe["duration_sec"] == 12.2
        assert not request.warnings
    other = resolve(PLANNED, **asked, duration_sec=30)
    assert other.takes[0].recipe["duration_sec"] == 12.2
    assert warnings_of(other) == ["PARAM_ADJUSTED"]
    # the last code may reach past the end of a length that was asked for
    assert recipe_of(PLANNED, **asked, duration_sec=12.1)["duration_sec"] == 12.1


def test_a_short_piece_is_not_planned() -> None:
    asked: dict[str, Any] = {"backend": "ace_step_15", "duration_sec": 9.5}
    request = resolve(PLANNED, **asked)
    assert "lm_model" not in request.takes[0].recipe
    assert warnings_of(request) == ["SHORT_DURATION", "PARAM_ADJUSTED"]
    assert warnings_of(resolve(PLANNED, **asked, thinking=False)) == ["SHORT_DURATION"]
    for params in ({"thinking": True}, {"auto_lyrics": True}):
        with pytest.raises(LofiError) as caught:
            resolve(PLANNED, **asked, **params)
        assert caught.value.code == "INVALID_DURATION"
        assert "thinking" in caught.value.hint


def test_the_planner_is_not_loaded_for_nothing() -> None:
    asked: dict[str, Any] = {"backend": "ace_step_15", "thinking": False}
    for name in ("use_cot_caption", "use_cot_language"):
        request = resolve(PLANNED, **asked, **{name: True})
        assert "lm_model" not in request.takes[0].recipe
        assert [(item.code, item.param) for item in request.warnings] == [("PARAM_IGNORED", name)]
    assert not resolve(PLANNED, **asked, use_cot_caption=True, use_cot_metas=True).warnings


def test_codes_need_no_planner() -> None:
    made = recipe_of(backend="ace_step_15", audio_codes=[1] * 50, thinking=True)
    assert not {"thinking", "lm_model", "use_cot_metas"} & set(made)
    asked = recipe_of(PLANNED, backend="ace_step_15", audio_codes=[1] * 50, use_cot_metas=True)
    assert (asked["lm_model"], asked["thinking"]) == ("0.6b", False)
    assert asked["duration_sec"] == 10, "theirs, whatever a planner would choose"


def test_lyrics_alone_are_enough_for_a_planner() -> None:
    made = recipe_of(PLANNED, backend="ace_step_15", prompt=None, lyrics="la la")
    assert (made["prompt"], made["thinking"]) == ("", True)
    alone: list[dict[str, Any]] = [{"lyrics": "la", "thinking": False}, {"lyrics": ""},
                                   {"instrumental": True, "thinking": True}]  # fmt: skip
    for params in alone:
        with pytest.raises(LofiError) as caught:
            resolve(PLANNED, backend="ace_step_15", prompt=None, **params)
        assert caught.value.code == "INVALID_PROMPT"


def test_a_task_takes_the_length_of_its_source() -> None:
    made = resolve(backend="ace_step_15", task="cover", duration_sec=99, source="x",
                   audio={"source": SOURCE})  # fmt: skip
    assert made.takes[0].recipe["duration_sec"] == 20
    assert made.takes[0].recipe["source"] == {"sha256": "0" * 64}
    assert "PARAM_IGNORED" in warnings_of(made)
    longer = resolve(backend="ace_step_15", task="outpaint", extend_left_sec=5, source="x",
                     audio={"source": SOURCE})  # fmt: skip
    assert longer.takes[0].recipe["duration_sec"] == 55


def test_a_retake_is_its_sources_recipe_with_other_noise() -> None:
    origin = resolve(backend="ace_step_15", prompt="sea", seed=3, shift=2, duration_sec=30)
    again = resolve(
        backend="ace_step_15",
        task="retake",
        prompt=None,
        retake_seed=9,
        source="x",
        audio={"source": Audio("/a.wav", {"track": "d"}, 30, origin.takes[0].recipe)},
    )
    made = again.takes[0].recipe
    assert (made["prompt"], made["seed"], made["shift"], made["duration_sec"]) == ("sea", 3, 2, 30)
    assert (made["task"], made["retake_seed"], made["retake_variance"]) == ("retake", 9, 0.2)
    assert "source" not in made


def test_a_retake_of_a_planned_track_keeps_its_plan() -> None:
    origin = recipe_of(PLANNED, backend="ace_step_15", seed=3, thinking=True)
    plan = {"caption": "soft rain", "lyrics": "drip", "codes": [1, 2] * 30, "duration_sec": 12.0}
    members = {"plan": plan, "bpm": 80, "keyscale": None, "duration_sec": 12.0}
    rendered = recipe.with_plan(origin, members)
    again = resolve(
        PLANNED,
        backend="ace_step_15",
        task="retake",
        prompt=None,
        retake_seed=9,
        source="x",
        audio={"source": Audio("/a.wav", {"track": "d"}, 12.0, rendered)},
    )
    made = again.takes[0].recipe
    assert (made["prompt"], made["lyrics"], made["bpm"]) == ("soft rain", "drip", 80)
    assert (made["duration_sec"], made["audio_codes"]) == (12, [1, 2] * 30)
    assert not {"lm_model", "lm_seed", "thinking", "keyscale"} & set(made)
    assert recipe.with_plan(origin, {}) == origin


def test_a_retake_hears_its_reference_and_names_the_model_that_renders_it() -> None:
    origin = recipe_of(backend="ace_step_15", variant="sft", seed=3, infer_steps=8)
    again = resolve(
        backend="ace_step_15",
        variant="turbo",
        task="retake",
        source="x",
        reference="y",
        audio={"source": Audio("/a.wav", {"track": "d"}, 60, origin), "reference": SOURCE},
    )
    made = again.takes[0].recipe
    assert made["model_version"] == again.model_version != origin["model_version"]
    assert made["reference"] == SOURCE.identity and set(again.audio) == {"reference"}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"prompt": ""}, "INVALID_PROMPT"),
    ({"prompt": "   "}, "INVALID_PROMPT"),
    ({"prompt": "x" * 1001}, "INVALID_PROMPT"),
    ({"prompt": 3}, "INVALID_PROMPT"),
    ({"lyrics": "x" * 4097}, "INVALID_LYRICS"),
    ({"lyrics": "la", "auto_lyrics": True}, "INVALID_LYRICS"),
    ({"duration_sec": 0}, "INVALID_DURATION"),
    ({"duration_sec": 601}, "INVALID_DURATION"),
    ({"duration_sec": "long"}, "INVALID_DURATION"),
    ({"duration_sec": True}, "INVALID_DURATION"),
    ({"backend": "ace_step", "duration_sec": 4.9}, "INVALID_DURATION"),
    ({"backend": "ace_step", "duration_sec": 240.1}, "INVALID_DURATION"),
    ({"backend": "bandcamp"}, "INVALID_BACKEND"),
    ({"variant": "turboo"}, "INVALID_BACKEND"),
    ({"infer_steps": 21}, "INVALID_INFERENCE_STEPS"),
    ({"infer_steps": 0}, "INVALID_INFERENCE_STEPS"),
    ({"infer_steps": 8.5}, "INVALID_INFERENCE_STEPS"),
    ({"variant": "sft", "infer_steps": 201}, "INVALID_INFERENCE_STEPS"),
    ({"variant": "sft", "guidance_scale": 16}, "INVALID_GUIDANCE_SCALE"),
    ({"backend": "ace_step", "guidance_scale": 0.5}, "INVALID_GUIDANCE_SCALE"),
    ({"scheduler": "pingpong"}, "INVALID_SCHEDULER"),
    ({"backend": "ace_step", "scheduler": "sde"}, "INVALID_SCHEDULER"),
    ({"backend": "ace_step", "scheduler": "heun", "oss_steps": [1, 3]}, "INVALID_SCHEDULER"),
    ({"backend": "ace_step", "oss_steps": [3, 1]}, "INVALID_PARAMS"),
    ({"backend": "ace_step", "oss_steps": [0, 201]}, "INVALID_PARAMS"),
    ({"backend": "ace_step", "infer_steps": 201}, "INVALID_INFERENCE_STEPS"),
    ({"seed": 2**32}, "INVALID_PARAMS"),
    ({"seed": "x"}, "INVALID_PARAMS"),
    ({"bpm": 29}, "INVALID_PARAMS"),
    ({"keyscale": "H minor"}, "INVALID_PARAMS"),
    ({"timesignature": "5/4"}, "INVALID_PARAMS"),
    ({"vocal_language": "tlh", "lyrics": "la"}, "INVALID_PARAMS"),
    ({"timesteps": [1.5]}, "INVALID_PARAMS"),
    ({"audio_codes": [64000]}, "INVALID_PARAMS"),
    ({"audio_codes": [1.5] * 9}, "INVALID_PARAMS"),
    ({"audio_codes": [True] * 9}, "INVALID_PARAMS"),
    ({"audio_codes": {"1": 1}}, "INVALID_PARAMS"),
    ({"audio_codes": "1, 2, -3, 4, 5"}, "INVALID_PARAMS"),
    ({"audio_codes": [1, 2]}, "INVALID_DURATION"),
    ({"audio_codes": [1] * 3001}, "INVALID_DURATION"),
    ({"promt": "x"}, "INVALID_PARAMS"),
    ({"inference_steps": 8, "infer_steps": 9}, "INVALID_PARAMS"),
    ({"task": "lego", "source": "x"}, "UNSUPPORTED_TASK"),
    ({"task": "sing"}, "INVALID_PARAMS"),
    ({"task": "cover"}, "INVALID_SOURCE"),
    ({"task": "retake"}, "INVALID_SOURCE"),
    ({"variant": "base", "task": "lego", "source": "x"}, "INVALID_PARAMS"),
    ({"lm_model": "4b"}, "LM_UNAVAILABLE"),
    ({"auto_lyrics": True}, "LM_UNAVAILABLE"),
    ({"batch_size": 9}, "INVALID_PARAMS"),
    ({"format": "aac"}, "INVALID_PARAMS"),
]


@pytest.mark.parametrize(("params", "code"), REFUSED, ids=lambda value: str(value)[:40])
def test_bad_requests_are_refused_by_name(params: dict[str, Any], code: str) -> None:
    request = {"backend": "ace_step_15", **params}
    audio = {"source": SOURCE} if params.get("source") else None
    with pytest.raises(LofiError) as caught:
        resolve(audio=audio, **request)
    assert caught.value.code == code
    assert caught.value.message


def test_one_parameter_with_two_values_says_which_name_to_use() -> None:
    with pytest.raises(InvalidParams, match="caption") as caught:
        resolve(prompt="rain", caption="snow")
    assert caught.value.hint == "Give prompt once."


def test_a_typo_gets_the_nearest_name() -> None:
    with pytest.raises(InvalidParams) as caught:
        resolve(guidence_scale=3)
    assert caught.value.data["did_you_mean"] == "guidance_scale"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Am", "A minor"),
        ("F#m", "F# minor"),
        ("f♯ Minor", "F♯ minor"),
        ("Bb", "Bb major"),
        ("C Major", "C major"),
        ("d maj", "D major"),
        ("E♭ minor", "E♭ minor"),
    ],
)
def test_keys_as_people_write_them(text: str, value: str) -> None:
    assert music.keyscale(text) == value


@pytest.mark.parametrize(
    ("backend", "value"),
    [("ace_step_15", "E♭ minor"), ("procedural", "Eb minor"), ("musicgen", None)],
)
def test_only_who_reads_it_otherwise_gets_a_flat_as_it_was_written(
    backend: str, value: str | None
) -> None:
    take = resolve(backend=backend, keyscale="E♭ minor").takes[0]
    assert take.recipe.get("keyscale") == value
    if value is None:
        assert take.recipe["prompt"].endswith("Eb minor")
    same = resolve(backend=backend, keyscale="Eb minor").takes[0]
    assert (same.track_id == take.track_id) == (backend != "ace_step_15")


@given(st.dictionaries(st.sampled_from(sorted(parameters.known_names())), st.one_of(
    st.none(), st.booleans(), st.integers(-5, 300), st.floats(allow_nan=True), st.text(max_size=9),
    st.lists(st.integers(), max_size=3), st.dictionaries(st.text(max_size=3), st.integers(),
                                                         max_size=2))))  # fmt: skip
@settings(max_examples=300, deadline=None)
def test_any_request_is_answered_or_refused_by_name(params: dict[str, Any]) -> None:
    """No request of known names, whatever its values, ends in anything but a typed error."""
    with contextlib.suppress(LofiError):
        made = recipe.resolve(params, World(), draw_seed=lambda: 1)
        assert all(len(take.track_id) == 16 for take in made.takes)


def test_every_documented_spelling_of_a_backend() -> None:
    for text, kind in {
        "MusicGen": "musicgen",
        "music-gen": "musicgen",
        "ace-step": "ace_step",
        "acestep": "ace_step",
        "ACE_STEP_V1": "ace_step",
        "ace-step-1.5": "ace_step_15",
        "acestep15": "ace_step_15",
        "ace_step_v15": "ace_step_15",
    }.items():
        assert catalog.backend_named(text).type == kind


def test_a_backends_own_defaults_stand_below_the_request() -> None:
    world = World(own={"ace_step": {"infer_steps": 40}})

    def steps(**params: Any) -> Any:
        request = recipe.resolve({"prompt": "x", **params}, world, draw_seed=lambda: 1)
        return request.takes[0].recipe["infer_steps"]

    assert steps(backend="ace_step") == 40
    assert steps(backend="ace_step", infer_steps=9) == 9
    assert steps(backend="ace_step_15") == 8


def test_a_retake_goes_by_its_source_whatever_the_environment_says() -> None:
    world = World(own={"ace_step": {"infer_steps": 40}})
    origin = recipe.resolve(
        {"prompt": "x", "backend": "ace_step", "infer_steps": 60}, World(), draw_seed=lambda: 1
    )
    source = Audio("/x.wav", {"track": "a" * 64}, 30.0, recipe=origin.takes[0].recipe)
    again = recipe.resolve(
        {"task": "retake", "source": "beef", "backend": "ace_step"},
        world,
        draw_seed=lambda: 2,
        audio={"source": source},
    )
    assert again.takes[0].recipe["infer_steps"] == 60
    assert "infer_steps" not in again.params
