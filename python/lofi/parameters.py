"""Every parameter of `generate` as data: its type, range, default and who uses it.

`recipe.py` reads this table to check a request and to fill in a recipe; completion, help and
`get_backends` show it. A default that depends on the checkpoint's family or the task is a mapping.
"""

from __future__ import annotations

from typing import Any

from lofi.catalog import LM_SIZES, SOURCE_TASKS, STEMS, TASKS
from lofi.errors import (
    InvalidDuration,
    InvalidGuidanceScale,
    InvalidInferenceSteps,
    InvalidLyrics,
    InvalidParams,
    InvalidPrompt,
    InvalidScheduler,
)
from lofi.parameter import Parameter, by

PROMPT_LIMIT = 1000
LYRICS_LIMIT = 4096
SEED_LIMIT = 4294967295
CODE_LIMIT = 63999
CODES_PER_SEC = 5
FORMATS = ("wav", "flac", "ogg", "mp3", "wav32")
ALIASES = {
    "caption": "prompt",
    "inference_steps": "infer_steps",
    "language": "vocal_language",
    "duration_s": "duration_sec",
}


def _tasks(*names: str) -> frozenset[str]:
    return frozenset(names)


def _table(*parameters: Parameter) -> dict[str, Parameter]:
    return {parameter.name: parameter for parameter in parameters}


DELIVERY = _table(
    Parameter("priority", "str", choices=("low", "normal", "high"), default="normal"),
    Parameter("format", "str", choices=FORMATS),
    Parameter("title", "str", high=200),
    Parameter("tags", "texts", 1, 64),
    Parameter("force", "bool", default=False),
    Parameter("auto_play", "bool"),
    Parameter("save_latents", "bool"),
    Parameter("batch_size", "int", 1, 8, default=1),
    Parameter("origin", "str", choices=("user", "prefetch", "radio", "cli"), default="user"),
)
"""What becomes of a track, not what it sounds like: never in a recipe."""

SHARED = _table(
    Parameter("prompt", "str", 1, PROMPT_LIMIT, error=InvalidPrompt),
    Parameter("duration_sec", "num", 1, 600, error=InvalidDuration),
    Parameter("seed", "int", -1, SEED_LIMIT),
    Parameter("backend", "str"),
    Parameter("variant", "str"),
    Parameter("task", "str", choices=TASKS, default="text2music"),
    Parameter("metas", "str"),
    Parameter("instrumental", "bool"),
    Parameter("extend_left_sec", "num", 0, default=0, tasks=_tasks("extend")),
    Parameter("extend_right_sec", "num", 0, default=30, tasks=_tasks("extend")),
    Parameter("source", "audio", tasks=SOURCE_TASKS | {"retake"}),
    Parameter("fade_in_sec", "num", 0, 30, default=0),
    Parameter("fade_out_sec", "num", 0, 30, default=0),
    Parameter("loopable", "bool", default=False),
)
"""What every backend takes."""

_LYRICS = (
    Parameter("lyrics", "str", 0, LYRICS_LIMIT, default="", error=InvalidLyrics),
    Parameter("vocal_language", "str", default="unknown"),
)
_MUSIC = (
    Parameter("bpm", "int", 30, 300),
    Parameter("keyscale", "any"),
    Parameter("timesignature", "any"),
)
_LEVEL = (Parameter("normalize", "str", choices=("peak", "none"), default="peak"),)
_EDIT = (
    Parameter("edit_type", "str", choices=("only_lyrics", "remix"), default="only_lyrics",
              tasks=_tasks("edit")),
    Parameter("edit_source_prompt", "str", 0, PROMPT_LIMIT, default="", tasks=_tasks("edit")),
    Parameter("edit_source_lyrics", "str", 0, LYRICS_LIMIT, default="", tasks=_tasks("edit")),
    Parameter("edit_n_min", "num", 0, 1, tasks=_tasks("edit")),
    Parameter("edit_n_max", "num", 0, 1, tasks=_tasks("edit")),
    Parameter("edit_n_avg", "int", 1, 10, default=1, tasks=_tasks("edit")),
)  # fmt: skip
EDIT_SPANS = {"only_lyrics": (0.6, 1.0), "remix": (0.2, 0.4)}
"""`edit_type` to `edit_n_min`, `edit_n_max`."""
_REPAINT = (
    Parameter("repaint_start", "num", default=0, tasks=_tasks("repaint")),
    Parameter("repaint_end", "num", default=-1, tasks=_tasks("repaint")),
)

_SOLVED = _tasks("text2music", "retake", "repaint", "audio2audio")
"""v1 extends and edits with plain euler steps; so it repaints, unless all of the source."""
_GUIDED = _SOLVED | _tasks("extend")
"""v1 guides an edit in its own way, in every step."""

_ACE_STEP = _table(
    *_LYRICS,
    *_MUSIC,
    *_LEVEL,
    Parameter("negative_prompt", "str", 0, PROMPT_LIMIT, default="", tasks=_GUIDED),
    Parameter("loras", "list"),
    Parameter("infer_steps", "int", 1, 200, default=27, error=InvalidInferenceSteps),
    Parameter("guidance_scale", "num", 1, 30, default=15, error=InvalidGuidanceScale),
    Parameter("scheduler", "str", choices=("euler", "heun", "pingpong"), default="euler",
              tasks=_SOLVED, error=InvalidScheduler),
    Parameter("cfg_type", "str", choices=("apg", "cfg", "cfg_star"), default="apg", tasks=_GUIDED),
    Parameter("omega_scale", "num", -100, 100, default=10, tasks=_SOLVED),
    Parameter("guidance_interval", "num", 0, 1, default=0.5, tasks=_GUIDED),
    Parameter("guidance_interval_decay", "num", 0, 1, default=0, tasks=_GUIDED),
    Parameter("min_guidance_scale", "num", 0, 200, default=3, tasks=_GUIDED),
    Parameter("guidance_scale_text", "num", 0, 10, default=0, tasks=_GUIDED),
    Parameter("guidance_scale_lyric", "num", 0, 10, default=0, tasks=_GUIDED),
    Parameter("use_erg_tag", "bool", default=True, tasks=_GUIDED),
    Parameter("use_erg_lyric", "bool", default=True, tasks=_GUIDED),
    Parameter("use_erg_diffusion", "bool", default=True, tasks=_GUIDED),
    Parameter("oss_steps", "list", tasks=_GUIDED - {"audio2audio"}),
    Parameter("retake_variance", "num", 0, 1, default=by(retake=0.2, repaint=0.5, extend=1.0),
              tasks=_tasks("retake", "repaint", "extend")),
    Parameter("retake_seed", "int", -1, SEED_LIMIT, tasks=_tasks("retake", "repaint", "extend")),
    *_REPAINT,
    *_EDIT,
    Parameter("ref_audio_strength", "num", 0, 1, default=0.5, tasks=_tasks("audio2audio")),
)  # fmt: skip

_PLANNED = _tasks("text2music", "retake", "lego", "complete")
"""Tasks the planner may think about; the others follow their source."""

_ACE_STEP_15 = _table(
    *_LYRICS,
    *_MUSIC,
    *_LEVEL,
    Parameter("auto_lyrics", "bool", default=False, tasks=_PLANNED),
    Parameter("negative_prompt", "str", 0, PROMPT_LIMIT),
    Parameter("reference", "audio"),
    Parameter("loras", "list"),
    Parameter("infer_steps", "int", 1, 200, default=by(turbo=8, sft=50, base=50),
              error=InvalidInferenceSteps),
    Parameter("shift", "num", 1, 5, default=by(turbo=3.0, sft=1.0, base=1.0)),
    Parameter("scheduler", "str", choices=("euler", "heun", "sde"), default="euler",
              error=InvalidScheduler),
    Parameter("timesteps", "any"),
    Parameter("guidance_scale", "num", 1, 15, default=by(turbo=1.0, sft=7.0, base=7.0),
              error=InvalidGuidanceScale),
    Parameter("use_adg", "bool", default=False),
    Parameter("cfg_interval_start", "num", 0, 1, default=0),
    Parameter("cfg_interval_end", "num", 0, 1, default=1),
    Parameter("thinking", "bool", tasks=_PLANNED),
    Parameter("lm_model", "str", choices=("auto", "none", *LM_SIZES), default="auto",
              tasks=_PLANNED),
    Parameter("lm_temperature", "num", 0, 2, default=0.85, tasks=_PLANNED),
    Parameter("lm_cfg_scale", "num", 1, 5, default=2.0, tasks=_PLANNED),
    Parameter("lm_top_k", "int", 0, 1000, default=0, tasks=_PLANNED),
    Parameter("lm_top_p", "num", 1e-6, 1, default=0.9, tasks=_PLANNED),
    Parameter("lm_negative_prompt", "str", 0, PROMPT_LIMIT, default="NO USER INPUT",
              tasks=_PLANNED),
    Parameter("lm_seed", "int", -1, SEED_LIMIT, tasks=_PLANNED),
    Parameter("use_cot_metas", "bool", tasks=_PLANNED),
    Parameter("use_cot_language", "bool", tasks=_PLANNED),
    Parameter("use_cot_caption", "bool", default=False, tasks=_PLANNED),
    Parameter("constrained", "bool", default=True, tasks=_PLANNED),
    Parameter("audio_codes", "any"),
    Parameter("cover_strength", "num", 0, 1, default=1.0,
              tasks=_tasks("cover", "cover_nofsq", "audio2audio")),
    Parameter("cover_noise_strength", "num", 0, 1, default=by(rest=0.0, audio2audio=0.5),
              tasks=_tasks("cover", "cover_nofsq", "audio2audio")),
    Parameter("ref_audio_strength", "num", 0, 1, tasks=_tasks("audio2audio")),
    *_REPAINT,
    Parameter("repaint_mode", "str", choices=("conservative", "balanced", "aggressive"),
              default="balanced", tasks=_tasks("repaint", "extend")),
    Parameter("repaint_strength", "num", 0, 1, default=0.5, tasks=_tasks("repaint", "extend")),
    Parameter("repaint_crossfade_frames", "int", 0, 250, tasks=_tasks("repaint", "extend")),
    Parameter("repaint_wav_crossfade_sec", "num", 0, 5, tasks=_tasks("repaint", "extend")),
    Parameter("chunk_mask_mode", "str", choices=("auto", "explicit"), default="auto",
              tasks=SOURCE_TASKS),
    Parameter("instruction", "str", 0, PROMPT_LIMIT),
    Parameter("global_prompt", "str", 0, PROMPT_LIMIT, tasks=_tasks("lego")),
    Parameter("track", "str", choices=STEMS, tasks=_tasks("lego", "extract")),
    Parameter("tracks", "list", tasks=_tasks("complete")),
    Parameter("retake_variance", "num", 0, 1, default=0.2, tasks=_tasks("retake")),
    Parameter("retake_seed", "int", -1, SEED_LIMIT, tasks=_tasks("retake")),
    *_EDIT,
    Parameter("dcw", "str", choices=("off", "low", "high", "double", "pix"), default="off"),
    Parameter("dcw_scaler", "num", 0, 0.1, default=0.05),
    Parameter("dcw_high_scaler", "num", 0, 0.1, default=0.02),
)  # fmt: skip

_MUSICGEN = _table(
    *_MUSIC,
    *_LEVEL,
    Parameter("negative_prompt", "str", 0, PROMPT_LIMIT, default=""),
    Parameter("reference", "audio"),
    Parameter("guidance_scale", "num", 1, 10, default=3.0, error=InvalidGuidanceScale),
    Parameter("temperature", "num", 0.1, 2, default=1.0),
    Parameter("top_k", "int", 0, 2048, default=250),
    Parameter("top_p", "num", 0, 1, default=0),
    Parameter("extend_stride_sec", "num", 1, 29, default=18),
)

STYLES = ("lofi", "jazz", "ambient", "house", "rain")
_PROCEDURAL = _table(
    *_MUSIC,
    Parameter("style", "str", choices=STYLES),
    Parameter("swing", "num", 0, 1),
    Parameter("noise", "num", 0, 1),
    Parameter("bits", "int", 6, 16),
    Parameter("lowpass_hz", "num", 500, 16000),
    Parameter("wobble", "num", 0, 1),
    Parameter("density", "num", 0, 1),
    Parameter("saturation", "num", 0, 1),
    Parameter("form", "str", choices=("song", "body"), default="song"),
    Parameter("retake_seed", "int", -1, SEED_LIMIT, tasks=_tasks("retake")),
)
"""No defaults but one: words of the prompt and the seed set them, inside the synthesiser."""

OWN: dict[str, dict[str, Parameter]] = {
    "ace_step": _ACE_STEP,
    "ace_step_15": _ACE_STEP_15,
    "musicgen": _MUSICGEN,
    "procedural": _PROCEDURAL,
}


def known_names() -> set[str]:
    """Returns every parameter name that means something somewhere."""
    return {*DELIVERY, *SHARED, *(name for table in OWN.values() for name in table)}


def names_of(backend: str) -> list[str]:
    """Returns the backend's own parameters, as `get_backends` lists them."""
    return sorted(OWN[backend])


def unknown(name: str, known: set[str] | None = None) -> InvalidParams:
    """Returns the error for a name that nobody knows, with the nearest one."""
    names = (known_names() | set(ALIASES)) if known is None else known
    import difflib  # slow to read, for mistakes only

    near = difflib.get_close_matches(name, sorted(names), 1)
    data: dict[str, Any] = {"param": name}
    hint = "See :help lofi-generate-parameters."
    if near:
        data["did_you_mean"] = near[0]
        hint = f"Did you mean {near[0]}?"
    return InvalidParams(f"There is no parameter {name!r}", hint=hint, **data)
