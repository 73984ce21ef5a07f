"""What one rendering is asked for, typed, and where a family's own defaults fill the gaps."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from lofi.backends.ace_step_15.config import ModelConfig
from lofi.backends.ace_step_15.prompt import INSTRUMENTAL, UNKNOWN_LANGUAGE
from lofi.backends.ace_step_15.repaint import RepaintMode
from lofi.backends.ace_step_15.sampler import Guidance, Solver, Wavelet
from lofi.backends.ace_step_15.tasks import BASE_TASKS, MaskMode
from lofi.errors import InvalidParams, InvalidSource, UnsupportedTask

Audio = NDArray[np.float32]
"""[frames, 2] at 48 kHz."""
RequestTask = Literal[
    "text2music",
    "retake",
    "repaint",
    "extend",
    "edit",
    "audio2audio",
    "cover",
    "cover_nofsq",
    "lego",
    "extract",
    "complete",
]
DEFAULT_SEC = 60.0
TURBO_STEPS, BASE_STEPS = 8, 50
TURBO_SHIFT, BASE_SHIFT = 3.0, 1.0
BASE_GUIDANCE = 7.0
NEEDS_SOURCE = frozenset(
    "repaint extend edit audio2audio cover cover_nofsq lego extract complete".split()
)


@dataclass(frozen=True, slots=True)
class Retake:
    """Noise of a second seed mixed in."""

    seed: int
    variance: float = 0.2


@dataclass(frozen=True, slots=True)
class EditOf:
    """What the source of an edit is, and how much of the schedule is spent on changing it."""

    prompt: str = ""
    lyrics: str = ""
    n_min: float = 0.0
    n_max: float = 1.0
    n_avg: int = 1


@dataclass(frozen=True, slots=True)
class Request:
    """One rendering. None and empty mean: as the checkpoint's family or the task has it."""

    prompt: str = ""
    lyrics: str = ""
    """Empty: instrumental."""
    language: str = UNKNOWN_LANGUAGE
    bpm: int | None = None
    keyscale: str | None = None
    timesignature: str | None = None
    duration_sec: float = DEFAULT_SEC
    """Tasks with a source take its length instead."""
    seed: int = 0
    task: RequestTask = "text2music"
    steps: int | None = None
    shift: float | None = None
    timesteps: tuple[float, ...] = ()
    solver: Solver = "euler"
    guidance: Guidance | None = None
    norm_threshold: float = 0.0
    ema: float = 0.0
    wavelet: Wavelet | None = None
    codes: tuple[int, ...] = ()
    """Audio codes, five a second."""
    source: Audio | None = None
    source_latents: torch.Tensor | None = None
    """[T, C] instead of encoding `source`."""
    reference: Audio | None = None
    reference_latents: torch.Tensor | None = None
    """[N, 750, C] instead of clips cut from `reference`."""
    chunk_mask: torch.Tensor | None = None
    """[T] bool: shown to the decoder instead of the task's own."""
    cover_strength: float = 1.0
    cover_noise_strength: float = 0.0
    start_sec: float = 0.0
    end_sec: float | None = None
    """Window of repaint and lego; None is the source's end, beyond it is padded."""
    extend_left_sec: float = 0.0
    extend_right_sec: float = 30.0
    repaint_mode: RepaintMode = "balanced"
    repaint_strength: float = 0.5
    crossfade_frames: int | None = None
    crossfade_sec: float | None = None
    mask_mode: MaskMode = "auto"
    instruction: str = ""
    global_prompt: str = ""
    tracks: tuple[str, ...] = ()
    retake: Retake | None = None
    edit: EditOf | None = None
    latent_shift: float = 0.0
    latent_rescale: float = 1.0

    @property
    def sung(self) -> str:
        """The lyrics as the model is told them."""
        return self.lyrics.strip() or INSTRUMENTAL

    @classmethod
    def of(
        cls, recipe: Mapping[str, Any], *, source: Audio | None, reference: Audio | None
    ) -> Request:
        """Reads a complete recipe."""
        given = {name: value for name, value in recipe.items() if value is not None}
        task = given.get("task", "text2music")
        tracks = given.get("tracks") or ([given["track"]] if given.get("track") else [])
        end = given.get("repaint_end", -1)
        return cls(
            prompt=given.get("prompt", ""),
            lyrics=given.get("lyrics", ""),
            language=given.get("vocal_language", UNKNOWN_LANGUAGE),
            bpm=given.get("bpm"),
            keyscale=given.get("keyscale"),
            timesignature=given.get("timesignature"),
            duration_sec=float(given.get("duration_sec", DEFAULT_SEC)),
            seed=int(given["seed"]),
            task=task,
            steps=given.get("infer_steps"),
            shift=given.get("shift"),
            timesteps=tuple(given.get("timesteps", ())),
            solver=given.get("scheduler", "euler"),
            guidance=_guidance(given),
            wavelet=_wavelet(given),
            codes=tuple(given.get("audio_codes", ())),
            source=source,
            reference=reference,
            cover_strength=given.get("cover_strength", 1.0),
            cover_noise_strength=given.get("cover_noise_strength", 0.0),
            start_sec=given.get("repaint_start", 0.0),
            end_sec=None if end < 0 else end,
            extend_left_sec=given.get("extend_left_sec", 0.0),
            extend_right_sec=given.get("extend_right_sec", 30.0),
            repaint_mode=given.get("repaint_mode", "balanced"),
            repaint_strength=given.get("repaint_strength", 0.5),
            crossfade_frames=given.get("repaint_crossfade_frames"),
            crossfade_sec=given.get("repaint_wav_crossfade_sec"),
            mask_mode=given.get("chunk_mask_mode", "auto"),
            instruction=given.get("instruction", ""),
            global_prompt=given.get("global_prompt", ""),
            tracks=tuple(tracks),
            retake=(
                Retake(int(given["retake_seed"]), given.get("retake_variance", 0.2))
                if task == "retake" and "retake_seed" in given
                else None
            ),
            edit=_edit(given) if task == "edit" else None,
        )


def _guidance(given: Mapping[str, Any]) -> Guidance | None:
    if "guidance_scale" not in given:
        return None
    return Guidance(
        given["guidance_scale"],
        given.get("use_adg", False),
        given.get("cfg_interval_start", 0.0),
        given.get("cfg_interval_end", 1.0),
    )


def _wavelet(given: Mapping[str, Any]) -> Wavelet | None:
    mode = given.get("dcw", "off")
    if mode == "off":
        return None
    return Wavelet(mode, given.get("dcw_scaler", 0.05), given.get("dcw_high_scaler", 0.02))


def _edit(given: Mapping[str, Any]) -> EditOf:
    return EditOf(
        given.get("edit_source_prompt", ""),
        given.get("edit_source_lyrics", ""),
        given.get("edit_n_min", 0.0),
        given.get("edit_n_max", 1.0),
        given.get("edit_n_avg", 1),
    )


def resolved(request: Request, config: ModelConfig) -> Request:
    """The request with the family's own values in its gaps.

    Raises:
        UnsupportedTask: the checkpoint cannot do the task.
        InvalidSource, InvalidParams: something the task needs is not there.
    """
    task = request.task
    if task in BASE_TASKS and config.is_turbo:
        raise UnsupportedTask(
            f"{task} needs a base model, this one is turbo",
            hint="Choose the variant base, or xl-base.",
        )
    if task in NEEDS_SOURCE and request.source is None and request.source_latents is None:
        raise InvalidSource(f"{task} needs a source", hint="Give source as a track id or a path.")
    if task == "retake" and request.retake is None:
        raise InvalidParams("retake needs retake_seed", param="retake_seed")
    guidance = request.guidance
    if config.is_turbo:
        guidance = Guidance()  # distilled into the weights
    elif guidance is None:
        guidance = Guidance(BASE_GUIDANCE)
    shift = request.shift
    if shift is None:
        shift = TURBO_SHIFT if config.is_turbo else BASE_SHIFT
    steps = request.steps
    if steps is None and not request.timesteps:
        steps = TURBO_STEPS if config.is_turbo else BASE_STEPS
    edit = request.edit
    if task == "edit" and edit is None:
        edit = EditOf()
    if task not in NEEDS_SOURCE:
        # a retake's source only lends its recipe
        request = replace(request, source=None, source_latents=None)
    return replace(request, guidance=guidance, shift=shift, steps=steps, edit=edit)


def subseed(seed: int, name: str) -> int:
    """A seed for one purpose (`posterior`, `reference`, …) that follows from the job's own."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "big") >> 1


def draws(seed: int) -> torch.Generator:
    """The generator of `seed`, on the CPU: one seed, one noise, on every device."""
    return torch.Generator().manual_seed(seed)
