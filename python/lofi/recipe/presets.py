"""What only one backend knows of its recipe: presets of the checkpoint family, planner, spans."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from lofi import catalog, parameters
from lofi.errors import (
    InvalidDuration,
    InvalidInferenceSteps,
    InvalidParams,
    InvalidScheduler,
    LmUnavailable,
    UnsupportedTask,
)
from lofi.hints import how_to_install_planner
from lofi.recipe.request import Draft, World
from lofi.recipe.words import INSTRUMENTAL

TURBO_STEP_LIMIT = 20
TURBO_TABLE_STEPS = 8
TURBO_TABLE_SHIFTS = (1.0, 2.0, 3.0)
TIMESTEP_LIMIT = 20
SHORTEST_PLAN_SEC = 10
"""The planner was trained on this and more."""
_CODE = re.compile(r"<\|audio_code_(\d+)\|>")
_LM_NAMES = ("lm_temperature", "lm_cfg_scale", "lm_top_k", "lm_top_p", "lm_negative_prompt",
             "lm_seed", "constrained")  # fmt: skip
_COT_NAMES = ("use_cot_metas", "use_cot_language", "use_cot_caption")


def _edit_span(recipe: dict[str, Any]) -> None:
    if "edit_type" not in recipe:
        return
    low, high = parameters.EDIT_SPANS[str(recipe["edit_type"])]
    recipe["edit_n_min"] = low if recipe["edit_n_min"] is None else recipe["edit_n_min"]
    recipe["edit_n_max"] = high if recipe["edit_n_max"] is None else recipe["edit_n_max"]
    if recipe["edit_n_min"] > recipe["edit_n_max"]:
        raise InvalidParams("edit_n_min is above edit_n_max", param="edit_n_min")


def _repaint_span(recipe: dict[str, Any]) -> None:
    start, end = recipe.get("repaint_start"), recipe.get("repaint_end")
    if start is not None and end is not None and end != -1 and end <= start:
        raise InvalidParams(
            f"repaint_end {end:g} is not after repaint_start {start:g}",
            hint="Both are seconds of the source; -1 means its end.",
            param="repaint_end",
        )


def _chosen_steps(recipe: dict[str, Any]) -> None:
    """They number the steps of a schedule of their own, as long as the largest of them."""
    steps = recipe["oss_steps"] = recipe.get("oss_steps") or None
    if not steps:
        return
    last = int(parameters.OWN["ace_step"]["infer_steps"].high)
    are_numbers = all(type(step) is int and 1 <= step <= last for step in steps)
    if not are_numbers or sorted(set(steps)) != steps:
        raise InvalidParams(
            f"oss_steps must be rising step numbers in 1..{last}, got {steps!r}",
            hint="For example 16,29,52,96,129,158,172,183,189,200.",
            param="oss_steps",
        )
    if recipe.get("scheduler") == "heun":
        raise InvalidScheduler(
            "oss_steps does not go with the heun scheduler",
            hint="Use euler or pingpong, or leave oss_steps out.",
            param="oss_steps",
        )


def _ace_step(draft: Draft, recipe: dict[str, Any], world: World) -> None:
    _chosen_steps(recipe)
    _repaint_span(recipe)
    if "repaint_start" in recipe and not 0 <= recipe["repaint_start"] < recipe["duration_sec"]:
        raise InvalidParams(
            f"repaint_start {recipe['repaint_start']:g} s is outside the source of "
            f"{recipe['duration_sec']:.1f} s",
            hint="Use extend to add music before or after a source.",
            param="repaint_start",
        )
    _edit_span(recipe)


def _ace_step_15(draft: Draft, recipe: dict[str, Any], world: World) -> None:
    is_turbo = draft.family == "turbo"
    if is_turbo:
        _turbo(draft, recipe)
    _timesteps(recipe)
    _stems(draft, recipe)
    _noise_strength(draft, recipe)
    if recipe.get("dcw") == "off":
        recipe["dcw_scaler"] = recipe["dcw_high_scaler"] = None
    elif recipe.get("dcw") != "double":
        recipe["dcw_high_scaler"] = None
    _audio_codes(draft, recipe)
    _planner(draft, recipe, world)
    _repaint_span(recipe)
    _edit_span(recipe)


def _turbo(draft: Draft, recipe: dict[str, Any]) -> None:
    """A turbo checkpoint knows 8 steps best, has no guidance, and three tables of time steps."""
    steps = int(recipe["infer_steps"])
    if steps > TURBO_STEP_LIMIT:
        raise InvalidInferenceSteps(
            f"infer_steps must be 1..{TURBO_STEP_LIMIT} for a turbo variant, got {steps}",
            hint="Turbo variants are made for 8 steps; sft and base take up to 200.",
            param="infer_steps",
            min=1,
            max=TURBO_STEP_LIMIT,
        )
    if draft.given.get("guidance_scale") not in (None, 1):
        draft.warn("PARAM_IGNORED", "Turbo variants have no guidance", "guidance_scale")
    for name in ("guidance_scale", "use_adg", "cfg_interval_start", "cfg_interval_end"):
        recipe[name] = None
    if draft.given.get("shift") is None and draft.variant.name == "turbo-shift1":
        recipe["shift"] = 1.0
    if recipe.get("timesteps") is None and steps == TURBO_TABLE_STEPS:
        nearest = min(TURBO_TABLE_SHIFTS, key=lambda known: abs(known - recipe["shift"]))
        if nearest != recipe["shift"]:
            draft.warn(
                "PARAM_ADJUSTED",
                f"Turbo at 8 steps knows shift 1, 2 and 3; {nearest:g} is used",
                "shift",
            )
            recipe["shift"] = nearest


def _timesteps(recipe: dict[str, Any]) -> None:
    value = recipe.get("timesteps")
    if value is None:
        return
    items = value.split(",") if isinstance(value, str) else value
    try:
        times = [float(item) for item in items]
    except (TypeError, ValueError):
        times = []
    while times and times[-1] == 0:
        times.pop()
    if not 1 <= len(times) <= TIMESTEP_LIMIT or not all(0 < time <= 1 for time in times):
        raise InvalidParams(
            f"timesteps must be 1 to {TIMESTEP_LIMIT} numbers above 0 and up to 1, got {value!r}",
            param="timesteps",
        )
    recipe["timesteps"] = times
    recipe["infer_steps"] = recipe["shift"] = None


def _stems(draft: Draft, recipe: dict[str, Any]) -> None:
    if draft.task in ("lego", "extract") and recipe.get("track") is None:
        raise InvalidParams(
            f"{draft.task} needs track", hint="One of " + ", ".join(catalog.STEMS), param="track"
        )
    if draft.task == "complete":
        stems = recipe.get("tracks") or []
        if not stems or any(stem not in catalog.STEMS for stem in stems):
            raise InvalidParams(
                f"complete needs tracks, got {stems!r}",
                hint="A list of " + ", ".join(catalog.STEMS),
                param="tracks",
            )


def _noise_strength(draft: Draft, recipe: dict[str, Any]) -> None:
    """`audio2audio` is `cover_nofsq` that starts from the source; one number, two names."""
    strength = recipe.pop("ref_audio_strength", None)
    if strength is None:
        return
    if draft.given.get("cover_noise_strength") is not None:
        raise InvalidParams(
            "ref_audio_strength and cover_noise_strength are one number here; give one",
            param="ref_audio_strength",
        )
    recipe["cover_noise_strength"] = strength


def _audio_codes(draft: Draft, recipe: dict[str, Any]) -> None:
    value = recipe.get("audio_codes")
    if value is None:
        return
    if isinstance(value, str):
        found = _CODE.findall(value)
        value = found or [item for item in re.split(r"[,\s]+", value) if item]
    items = value if isinstance(value, list) else []
    codes = [int(item) if _is_whole(item) else -1 for item in items]
    if not codes or not all(0 <= code <= parameters.CODE_LIMIT for code in codes):
        raise InvalidParams(
            f"audio_codes must be whole numbers in 0..{parameters.CODE_LIMIT}",
            hint="A list, comma-separated text, or a run of <|audio_code_N|>.",
            param="audio_codes",
        )
    recipe["audio_codes"] = codes
    if draft.task not in catalog.SOURCE_TASKS:
        _length_of_codes(draft, recipe, len(codes))


def _is_whole(item: Any) -> bool:
    return type(item) is int or (isinstance(item, str) and re.fullmatch("[0-9]+", item) is not None)


def _length_of_codes(draft: Draft, recipe: dict[str, Any], count: int) -> None:
    """Codes last as long as they last, whatever else was asked for."""
    seconds = count / parameters.CODES_PER_SEC
    low, high = draft.backend.min_duration_sec, draft.backend.max_duration_sec
    if not low <= seconds <= high:
        raise InvalidDuration(
            f"{count} audio codes are {seconds:g} s of music, outside {low:g}..{high:g} s",
            hint=f"Give {low * parameters.CODES_PER_SEC:g} to "
            f"{high * parameters.CODES_PER_SEC:g} codes.",
            param="audio_codes",
            min=low,
            max=high,
        )
    asked = draft.given.get("duration_sec")
    # the last code may reach past the end
    if asked is not None and math.ceil(round(asked * parameters.CODES_PER_SEC, 6)) == count:
        return
    if asked is not None:
        draft.warn(
            "PARAM_ADJUSTED", f"{count} audio codes are {seconds:g} s of music", "duration_sec"
        )
    recipe["duration_sec"] = seconds


def _planner(draft: Draft, recipe: dict[str, Any], world: World) -> None:
    """Decides whether the 5 Hz planner runs, which one, and leaves out what it will not read."""
    if "thinking" not in recipe:
        recipe.pop("negative_prompt", None)
        return
    installed = draft.checkpoint.lm_sizes
    asked = draft.given.get("lm_model") or world.default_lm()
    size: str | None
    if asked == "auto":
        size = world.lm_for_tier(installed)
    elif asked == "none":
        size = None
    elif asked in installed:
        size = str(asked)
    else:
        raise LmUnavailable(
            f"The planner {asked} is not installed",
            hint=how_to_install_planner(str(asked)),
            param="lm_model",
        )
    has_codes = recipe.get("audio_codes") is not None
    thinking = False if has_codes else recipe["thinking"]
    needs_one = thinking is True or bool(recipe.get("auto_lyrics"))
    if needs_one and size is None:
        size = installed[0] if installed and asked == "auto" else None
        if size is None:
            raise LmUnavailable(
                "thinking and auto_lyrics need a planner, and none is installed",
                hint=how_to_install_planner(catalog.LM_SIZES[0]),
                param="thinking",
            )
    if size is not None and recipe["duration_sec"] < SHORTEST_PLAN_SEC:
        if needs_one:
            raise InvalidDuration(
                f"The planner cannot think about {recipe['duration_sec']:g} s of music",
                hint=f"Ask for {SHORTEST_PLAN_SEC} s or more, or set thinking to false.",
                param="duration_sec",
                min=SHORTEST_PLAN_SEC,
                max=draft.backend.max_duration_sec,
            )
        if thinking is None or any(recipe.get(name) for name in _COT_NAMES):
            words = f"Pieces below {SHORTEST_PLAN_SEC} s are not planned"
            draft.warn("PARAM_ADJUSTED", words, "thinking")
        size = None
    if thinking is None:
        thinking = size is not None
    recipe["thinking"] = thinking
    for name in ("use_cot_metas", "use_cot_language"):
        if recipe.get(name) is None:
            recipe[name] = size is not None and thinking
    asks = bool(recipe.get("auto_lyrics") or recipe["use_cot_metas"])
    for name in ("use_cot_caption", "use_cot_language"):
        if size is not None and not asks and draft.given.get(name):
            draft.warn("PARAM_IGNORED", f"{name} does nothing without use_cot_metas", name)
    runs = size is not None and (recipe["thinking"] or asks)
    recipe["lm_model"] = size if runs else None
    if not runs:
        for name in ("thinking", "auto_lyrics", *_COT_NAMES, *_LM_NAMES):
            recipe.pop(name, None)
    elif draft.given.get("lm_negative_prompt") is None and recipe.get("negative_prompt"):
        recipe["lm_negative_prompt"] = recipe["negative_prompt"]
    recipe.pop("negative_prompt", None)
    _say_something(draft, recipe)
    is_open = draft.given.get("duration_sec") is None and draft.task not in catalog.SOURCE_TASKS
    if runs and is_open and not has_codes:
        recipe["duration_sec"] = None  # the planner's to choose


def _say_something(draft: Draft, recipe: dict[str, Any]) -> None:
    """Refuses a request without a prompt, unless a planner can make something of its lyrics."""
    if recipe["prompt"] or draft.task != "text2music":
        return
    if not recipe.get("thinking") or recipe["lyrics"] == INSTRUMENTAL[draft.backend.type]:
        parameters.SHARED["prompt"].refuse("")


def _musicgen(draft: Draft, recipe: dict[str, Any], world: World) -> None:
    if recipe["duration_sec"] > draft.backend.default_duration_sec:
        draft.warn(
            "STITCHED",
            "Above 30 s the model continues from its own last seconds; joins can be audible",
            "duration_sec",
        )
    else:
        recipe.pop("extend_stride_sec", None)
    if recipe.get("extend_left_sec"):
        raise UnsupportedTask(
            "MusicGen extends to the right only", hint="Leave extend_left_sec at 0."
        )


def _procedural(draft: Draft, recipe: dict[str, Any], world: World) -> None:
    """Words of the prompt and the seed decide the rest, in the synthesiser itself."""


PRESETS: dict[str, Callable[[Draft, dict[str, Any], World], None]] = {
    "ace_step": _ace_step,
    "ace_step_15": _ace_step_15,
    "musicgen": _musicgen,
    "procedural": _procedural,
}
