"""Request JSON: songs as other ACE-Step 1.5 tools write them, in and out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any, Final

from lofi.errors import InvalidParams, InvalidScheduler

SongRequest = dict[str, Any]
"""Every member of `DEFAULTS`, in its type."""

DEFAULTS: Final[Mapping[str, Any]] = {
    "caption": "",
    "lyrics": "",
    "bpm": 0,
    "duration": 0.0,
    "keyscale": "",
    "timesignature": "",
    "vocal_language": "",
    "seed": -1,
    "lm_seed": -1,
    "lm_batch_size": 1,
    "synth_batch_size": 1,
    "lm_temperature": 0.85,
    "lm_cfg_scale": 2.0,
    "lm_top_p": 0.9,
    "lm_top_k": 0,
    "lm_negative_prompt": "",
    "use_cot_caption": True,
    "audio_codes": "",
    "inference_steps": 0,
    "guidance_scale": 0.0,
    "shift": 0.0,
    "solver": "euler",
    "stork_substeps": 10,
    "custom_timesteps": "",
    "dcw_scaler": 0.0,
    "dcw_high_scaler": 0.0,
    "dcw_mode": "low",
    "audio_cover_strength": 1.0,
    "cover_noise_strength": 0.0,
    "repainting_start": 0.0,
    "repainting_end": -1.0,
    "latent_shift": 0.0,
    "latent_rescale": 1.0,
    "task_type": "text2music",
    "track": "",
    "lm_mode": "generate",
    "output_format": "mp3",
    "peak_clip": 10,
    "mp3_bitrate": 128,
    "synth_model": "",
    "lm_model": "",
    "adapter": "",
    "adapter_scale": 1.0,
    "vae": "",
}
"""0, "" and -1 mean unset: the planner or the model's default decides."""

ALWAYS_WRITTEN: Final = ("caption", "seed", "solver", "lm_mode", "output_format", "task_type")
KEPT_WHEN_EMPTY: Final = ("task_type", "solver", "lm_mode", "output_format")
"""An empty string leaves these at their default."""

INSTRUMENTAL: Final = "[Instrumental]"
SOLVERS: Final = ("euler", "sde")
FORMATS: Final = {"mp3": "mp3", "wav16": "wav", "wav24": "wav32", "wav32": "wav32"}
"""24 bits fit into 32 without loss; there is no 24-bit writer."""

_QUANT = re.compile(r"[-_.](?:I?Q\d\w*|BF16|F16|F32|NVFP4)$", re.IGNORECASE)


def read_requests(text: str, *, strict: bool = False) -> list[SongRequest]:
    """Reads one request or an array of them. A member of the wrong type counts as unset.

    Args:
        strict: unknown members are errors.

    Raises:
        InvalidParams: it is neither, or an unknown member under `strict`.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        raise InvalidParams(
            f"The request is no JSON: {error}", hint="Write one object, or an array of objects."
        ) from error
    objects = content if isinstance(content, list) else [content]
    if not objects or not all(isinstance(item, dict) for item in objects):
        raise InvalidParams(
            "The request is neither an object nor an array of objects",
            hint="Write one object, or an array of objects.",
        )
    return [_read(item, strict=strict) for item in objects]


def _read(given: Mapping[str, Any], *, strict: bool) -> SongRequest:
    if strict:
        unknown = sorted(set(given) - set(DEFAULTS))
        if unknown:
            raise InvalidParams(
                f"The request has unknown members: {', '.join(unknown)}",
                hint="Remove them, or leave --strict out.",
                param=unknown[0],
            )
    request: SongRequest = {
        name: _member(name, given.get(name), default) for name, default in DEFAULTS.items()
    }
    if request["lyrics"] == INSTRUMENTAL:
        request["vocal_language"] = "unknown"
    return request


def _member(name: str, value: Any, default: Any) -> Any:
    if isinstance(default, bool):
        if isinstance(value, str):
            return value in ("true", "1")
        return value if isinstance(value, bool) else default
    if isinstance(default, str):
        if not isinstance(value, str) or (not value and name in KEPT_WHEN_EMPTY):
            return default
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return default
    if isinstance(default, int):
        is_fraction = isinstance(value, float)
        return default if is_fraction and name == "stork_substeps" else int(value)
    return float(value)


def write_request(request: Mapping[str, Any], *, full: bool = False) -> dict[str, Any]:
    """Returns a request to be written as JSON, numbers with two decimals.

    Args:
        full: every member; else those that differ from the default and a few that always stand.
    """
    rounded = {name: _rounded(request[name]) for name in DEFAULTS}
    return {
        name: value
        for name, value in rounded.items()
        if full or name in ALWAYS_WRITTEN or value != DEFAULTS[name]
    }


def _rounded(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return float(Decimal(repr(value)).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP))


def bare_model(name: str) -> str:
    """Returns a model's name without `.gguf` and its quantisation tag."""
    return _QUANT.sub("", name.removesuffix(".gguf"))


def numbered(path: Path, index: int) -> Path:
    """Returns `name0.json` for `name.json`, and likewise for audio files."""
    return path.with_name(f"{path.stem}{index}{path.suffix}")


def with_plan(
    request: Mapping[str, Any], plan: Mapping[str, Any], index: int, seeds: tuple[int, int]
) -> SongRequest:
    """Returns the request of one plan: what was unset is filled in, what was given stays.

    Args:
        plan: `prompt`, `lyrics`, `bpm`, `duration_sec`, `keyscale`, `timesignature`,
            `vocal_language`, `audio_codes`, as the planner answers.
        index: which of the request's plans it is; seeds count up by it.
        seeds: of the synthesis and of the planner, as drawn.
    """
    filled: SongRequest = {**request, "lm_batch_size": 1}
    filled["seed"], filled["lm_seed"] = (seed + index for seed in seeds)
    for name, given in (
        ("caption", "prompt"),
        ("lyrics", "lyrics"),
        ("bpm", "bpm"),
        ("duration", "duration_sec"),
        ("keyscale", "keyscale"),
        ("timesignature", "timesignature"),
        ("vocal_language", "vocal_language"),
    ):
        value = plan.get(given)
        if not filled[name] and value:
            filled[name] = float(value) if name == "duration" else value
    if not filled["audio_codes"]:
        filled["audio_codes"] = ",".join(map(str, plan.get("audio_codes") or ()))
    return filled


def apart(request: SongRequest) -> list[SongRequest]:
    """Returns a request for each plan that is asked for: `lm_batch_size` 1, seeds counting up."""
    return [
        {
            **request,
            "lm_batch_size": 1,
            **{name: request[name] + index for name in ("seed", "lm_seed") if request[name] >= 0},
        }
        for index in range(max(1, request["lm_batch_size"]))
    ]


def params(request: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Returns the parameters of `generate` for a request, and warnings of what has no counterpart.

    Here, and only here, empty lyrics mean "write lyrics".

    Raises:
        InvalidScheduler, InvalidParams: the request asks for what this program does not do.
    """
    _refuse(request)
    given: dict[str, Any] = {"backend": "ace_step_15", "task": request["task_type"]}
    for name, ours in _SAME.items():
        if request[name] != DEFAULTS[name]:
            given[ours] = request[name]
    given["prompt"] = request["caption"]
    given["lm_temperature"] = request["lm_temperature"]
    given["use_cot_caption"] = request["use_cot_caption"]
    given["format"] = FORMATS.get(request["output_format"], "mp3")
    given["lyrics"] = "" if request["lyrics"] == INSTRUMENTAL else request["lyrics"]
    if not request["lyrics"] and not request["audio_codes"]:
        given["auto_lyrics"] = True
    if request["lm_mode"] == "inspire":
        given["use_cot_caption"] = True  # the caption is an idea, to be written out
    for name in ("seed", "lm_seed"):
        if request[name] >= 0:
            given[name] = request[name]
    if request["dcw_scaler"] > 0 or request["dcw_high_scaler"] > 0:
        given["dcw"] = request["dcw_mode"] or "low"
    if request["adapter"]:
        given["loras"] = [{"name": request["adapter"], "scale": request["adapter_scale"]}]
    if request["synth_model"]:
        given["variant"] = _variant(request["synth_model"])
    if request["lm_model"]:
        given["lm_model"] = _size(request["lm_model"])
    return given, _unmatched(request)


def format_params(request: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the parameters of `lm_format` for a request in that mode."""
    given = {
        "prompt": request["caption"],
        "temperature": request["lm_temperature"],
        "top_p": request["lm_top_p"],
        "top_k": request["lm_top_k"],
    }
    known = {_SAME[name]: request[name] for name in _MUSICAL if request[name]}
    if request["lyrics"] not in ("", INSTRUMENTAL):
        known["lyrics"] = request["lyrics"]
    if request["lm_model"]:
        known["lm_model"] = _size(request["lm_model"])
    seeds = [request[name] for name in ("lm_seed", "seed") if request[name] >= 0]
    return {**given, **known, **({"seed": seeds[0]} if seeds else {})}


def rewritten(request: Mapping[str, Any], song: Mapping[str, Any]) -> SongRequest:
    """Returns the request with its words as `lm_format` answered and its gaps filled."""
    words = {"caption": song["prompt"], "lyrics": song["lyrics"] or request["lyrics"]}
    filled = with_plan({**request, **words}, song, 0, (request["seed"], request["lm_seed"]))
    return {**filled, "lm_batch_size": 1, "lm_mode": "generate", "use_cot_caption": False}


_MUSICAL: Final = ("bpm", "duration", "keyscale", "timesignature", "vocal_language")
_SAME: Final = {
    "bpm": "bpm",
    "duration": "duration_sec",
    "keyscale": "keyscale",
    "timesignature": "timesignature",
    "vocal_language": "vocal_language",
    "synth_batch_size": "batch_size",
    "lm_cfg_scale": "lm_cfg_scale",
    "lm_top_p": "lm_top_p",
    "lm_top_k": "lm_top_k",
    "lm_negative_prompt": "lm_negative_prompt",
    "audio_codes": "audio_codes",
    "inference_steps": "infer_steps",
    "guidance_scale": "guidance_scale",
    "shift": "shift",
    "solver": "scheduler",
    "custom_timesteps": "timesteps",
    "dcw_scaler": "dcw_scaler",
    "dcw_high_scaler": "dcw_high_scaler",
    "audio_cover_strength": "cover_strength",
    "cover_noise_strength": "cover_noise_strength",
    "repainting_start": "repaint_start",
    "repainting_end": "repaint_end",
    "track": "track",
}


def _refuse(request: Mapping[str, Any]) -> None:
    if request["solver"] not in SOLVERS:
        raise InvalidScheduler(
            f"solver {request['solver']!r} is not available",
            hint=f"One of {', '.join(SOLVERS)}.",
            param="solver",
            allowed=list(SOLVERS),
        )
    for name in ("latent_shift", "latent_rescale"):
        if request[name] != DEFAULTS[name]:
            raise InvalidParams(
                f"{name} {request[name]:g} is not available",
                hint=f"Leave {name} at {DEFAULTS[name]:g}.",
                param=name,
            )


def _unmatched(request: Mapping[str, Any]) -> list[str]:
    warnings = []
    if request["vae"]:
        warnings.append("vae is ignored: there is one")
    if request["output_format"] == "wav24":
        warnings.append("wav24 is written as wav32")
    for name in ("mp3_bitrate", "peak_clip"):
        if request[name] != DEFAULTS[name]:
            warnings.append(f"{name} is ignored")
    return warnings


def _variant(name: str) -> str:
    return re.sub(r"^acestep-v?1\.?5-", "", bare_model(name).lower())


def _size(name: str) -> str:
    match = re.search(r"(0\.6|1\.7|4)b", bare_model(name).lower())
    return match.group(0) if match else bare_model(name)
