"""Opens a MusicGen checkpoint as published, with transformers, from disk alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lofi.errors import ModelLoadFailed, ModelNotFound
from lofi.nn.thin import make_thin

HOW = (
    "Run :Lofi setup musicgen, or put its published files into a folder and name the folder "
    "above it in LOFI_MODEL_PATH."
)
TOKENIZER = "tokenizer.json"


@dataclass(frozen=True, slots=True)
class Loaded:
    """One variant in memory."""

    variant: str
    model: Any
    tokenizer: Any
    is_melody: bool
    sample_rate: int
    channels: int
    frame_rate: int
    device: torch.device
    dtype: torch.dtype


def load(folder: Path, device: torch.device, dtype: torch.dtype) -> Loaded:
    """Returns the model of `folder` (its last name is the variant).

    Raises:
        ModelNotFound: a file is missing.
        ModelLoadFailed: a file is not what it should be; the message names it.
    """
    from tokenizers import Tokenizer
    from transformers import (
        MusicgenForConditionalGeneration,
        MusicgenMelodyForConditionalGeneration,
    )
    from transformers.utils import logging

    logging.disable_progress_bar()
    config = _config(folder)
    is_melody = config.get("model_type") == "musicgen_melody"
    kind = MusicgenMelodyForConditionalGeneration if is_melody else MusicgenForConditionalGeneration
    tokenizer_file = folder / TOKENIZER
    if not tokenizer_file.is_file():
        raise ModelNotFound(f"{tokenizer_file} is missing", hint=HOW)
    try:
        tokenizer = Tokenizer.from_file(str(tokenizer_file))
        model, report = kind.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=dtype,
            output_loading_info=True,
        )
    except OSError as error:
        raise ModelNotFound(f"{folder}: {_first_line(error)}", hint=HOW) from error
    except Exception as error:  # transformers, tokenizers and safetensors each have their own
        raise ModelLoadFailed(f"{folder} cannot be loaded: {_first_line(error)}") from error
    _strict(folder, report)
    model.eval().to(device)
    make_thin(model.decoder)  # one row of codes, two with guidance
    # The codec is small and heard: float32. Its quantiser is silently wrong on Apple's GPUs
    # (facebookresearch/audiocraft #31), so there it stays on the CPU.
    model.audio_encoder.to("cpu" if device.type == "mps" else device, torch.float32)
    return Loaded(
        folder.name,
        model,
        tokenizer,
        is_melody,
        int(model.config.audio_encoder.sampling_rate),
        int(model.config.decoder.audio_channels),
        int(model.config.audio_encoder.frame_rate),
        device,
        dtype,
    )


def _config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise ModelNotFound(f"{path} is missing", hint=HOW)
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelLoadFailed(f"{path} is not JSON: {error}") from error
    if config.get("model_type") not in ("musicgen", "musicgen_melody"):
        raise ModelLoadFailed(
            f"{path} describes a {config.get('model_type')!r} model, not MusicGen"
        )
    return dict(config)


COMPUTED = ("embed_positions.weights",)
"""Sine tables the published files leave out: the model makes them itself."""


def _strict(folder: Path, report: dict[str, Any]) -> None:
    missing = [name for name in report["missing_keys"] if not name.endswith(COMPUTED)]
    wrong = [*missing, *report.get("mismatched_keys", ())]
    if wrong:
        raise ModelLoadFailed(f"{folder} lacks the tensor {wrong[0]} ({len(wrong)} in all)")
    if report["unexpected_keys"]:
        name = sorted(report["unexpected_keys"])[0]
        raise ModelLoadFailed(f"{folder} holds the tensor {name}, which MusicGen does not know")


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
