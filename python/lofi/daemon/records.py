"""What is written down of a freshly rendered track: its sidecar, its line in the history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lofi
from lofi.daemon.jobs import Job
from lofi.daemon.sidecar import SCHEMA
from lofi.tracks import ID_DIGITS

SUFFIXES = {"wav": ".wav", "wav32": ".wav", "flac": ".flac", "ogg": ".ogg", "mp3": ".mp3"}
_MEASURED = ("frames", "sample_rate", "channels", "bytes", "audio_sha256", "duration_sec",
             "peak_db", "true_peak_db", "lufs", "gain", "timings", "grid", "plan")  # fmt: skip
_CHOSEN = ("bpm", "keyscale", "timesignature", "vocal_language")
_SOUNDING_PHASES = ("diffusion", "tokens", "decoding")


def new_sidecar(
    job: Job, value: Mapping[str, Any], *, created_at: str, seconds: float
) -> dict[str, Any]:
    """Returns the members of a new track's sidecar.

    Args:
        value: the worker's facts (`Done.value`).
        seconds: what the whole job took.
    """
    recipe, request = job.recipe, job.request
    frames, rate = int(value["frames"]), int(value["sample_rate"])
    members: dict[str, Any] = {
        "schema": SCHEMA,
        "track_id": job.track_id,
        "file": f"{job.track_id}{SUFFIXES[job.format]}",
        "format": job.format,
        "digest": job.digest,
        "duration_sec": round(frames / rate, 6),
        "prompt": job.prompt,
        "lyrics": _lyrics(job, value),
        "title": job.title,
        "seed": job.take.seed,
        "backend": request.backend.type,
        "variant": request.variant,
        "model_version": request.model_version,
        "task": recipe["task"],
        "parent": _parent(job),
        "loop": bool(value.get("loop", recipe.get("loopable", False))),
        "generation_time_sec": round(seconds, 3),
        "license": request.backend.license,
        "created_at": created_at,
        "last_played_at": None,
        "plays": 0,
        "favorite": False,
        "rating": None,
        "tags": list(request.delivery.get("tags") or ()),
        "origin": job.origin,
        "warnings": job.warnings,
        "recipe": dict(recipe),
        "request": dict(request.params),
        "app_version": lofi.__version__,
    }
    for name in _CHOSEN:
        members[name] = value.get(name, recipe.get(name))
    members.update({name: value[name] for name in _MEASURED if value.get(name) is not None})
    sounding = _sounding_device(value.get("devices") or {})
    members["device"], members["dtype"] = sounding.get("device"), sounding.get("dtype")
    return members


def _lyrics(job: Job, value: Mapping[str, Any]) -> str:
    """What is sung: the lyrics that were given, else those a planner wrote."""
    plan = value.get("plan")
    written = plan.get("lyrics", "") if isinstance(plan, Mapping) else ""
    return str(job.recipe.get("lyrics") or written)


def _sounding_device(devices: Mapping[str, Any]) -> Mapping[str, Any]:
    for phase in _SOUNDING_PHASES:
        if isinstance(devices.get(phase), Mapping):
            found: Mapping[str, Any] = devices[phase]
            return found
    return {}


def _parent(job: Job) -> str | None:
    digest = job.request.parent
    return digest[:ID_DIGITS] if digest else None


def history_members(track: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what the history keeps of a generated track."""
    names = ("track_id", "prompt", "title", "backend", "seed")
    return {**{name: track.get(name) for name in names}, "request": dict(request)}
