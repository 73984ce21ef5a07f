"""From the published folders to our modules: strict, mapped, without what only training used."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from tokenizers import Tokenizer
from torch import nn

from lofi.backends.ace_step_v1.config import (
    DcaeConfig,
    TextConfig,
    TransformerConfig,
    VocoderConfig,
)
from lofi.backends.ace_step_v1.dcae import Autoencoder
from lofi.backends.ace_step_v1.text import TextEncoder, module_name
from lofi.backends.ace_step_v1.transformer import Transformer
from lofi.backends.ace_step_v1.vocoder import Vocoder
from lofi.errors import ModelLoadFailed, ModelNotFound
from lofi.nn.weight_norm import fold_weight_norm
from lofi.worker.backend import Check
from lofi.worker.weights import load, read_header, weight_files

TRANSFORMER = "ace_step_transformer"
TEXT_ENCODER = "umt5-base"
AUTOENCODER = "music_dcae_f8c8"
VOCODER = "music_vocoder"
FOLDERS = (TRANSFORMER, TEXT_ENCODER, AUTOENCODER, VOCODER)

_TRAINING_ONLY = re.compile(
    r"projectors\.|transformer_blocks\.\d+\.cross_attn\.(add_[qkv]_proj|to_add_out)\."
)
_CONSTANTS = re.compile(r"mel_transform\.")
"""Window and filterbank, stored in 16 bits; worked out in float32 instead."""

_OF_BLOCKS = re.compile(r"transformer_blocks\.\d+\.(attn|cross_attn|ff)\..*\.weight")

T = TypeVar("T")
M = TypeVar("M", bound=nn.Module)


def is_used(name: str) -> bool:
    """Whether a tensor of the transformer's file takes part in making music."""
    return _TRAINING_ONLY.match(name) is None


def read_config(folder: Path, read: Callable[[Mapping[str, Any]], T]) -> T:
    """Returns what `read` makes of a component's `config.json`.

    Raises:
        ModelNotFound: it does not exist.
        ModelLoadFailed: it is no JSON, lacks a field or asks for something unknown.
    """
    file = folder / "config.json"
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        return read(values)
    except FileNotFoundError as error:
        raise ModelNotFound(
            f"{file} does not exist",
            hint="Run :Lofi setup ace-step, or point LOFI_ACE_STEP_MODEL_PATH to a folder that "
            "holds " + ", ".join(FOLDERS),
            path=str(file),
        ) from error
    except KeyError as error:
        raise ModelLoadFailed(f"{file} lacks {error}") from error
    except (OSError, ValueError, TypeError) as error:
        raise ModelLoadFailed(f"{file} cannot be used: {error}") from error


def _empty(make: Callable[[], M]) -> M:
    """Builds a module without memory; its weights come from the file."""
    with torch.device("meta"):
        return make()


def load_transformer(
    models: Path, dtype: torch.dtype, check: Check, *, narrow: bool = False
) -> Transformer:
    """Returns the transformer on the CPU.

    Args:
        narrow: the weights of the blocks stay as they are stored, mapped from the file, and are
            widened to `dtype` each time they are used.
    """
    folder = models / TRANSFORMER
    config = read_config(folder, TransformerConfig.read)
    model = _empty(lambda: Transformer(config))
    kept = stored_dtypes(folder) if narrow else {}
    load(
        model,
        folder,
        dtype=lambda name: kept.get(name, dtype),
        rename=lambda name: name if is_used(name) else None,
        check=check,
    )
    return model


def stored_dtypes(folder: Path) -> dict[str, torch.dtype]:
    """Returns what the weights of the transformer's blocks are stored in."""
    return {
        entry.name: entry.dtype
        for file in weight_files(folder)
        for entry in read_header(file)
        if _OF_BLOCKS.match(entry.name)
    }


def cast_bytes(models: Path, dtype: torch.dtype, *, narrow: bool) -> int:
    """Returns what the weights take in memory of their own when they are loaded.

    What is right as it lies on disk is mapped, and the system can take that back.
    """
    total = 0
    for name in FOLDERS:
        for file in weight_files(models / name):
            for entry in read_header(file):
                is_kept = name == TRANSFORMER and narrow and _OF_BLOCKS.match(entry.name)
                is_left_out = name == TRANSFORMER and not is_used(entry.name)
                if entry.dtype != dtype and not is_kept and not is_left_out:
                    total += math.prod(entry.shape) * dtype.itemsize
    return total


def load_text_encoder(models: Path, dtype: torch.dtype, check: Check) -> TextEncoder:
    """Returns the text encoder on the CPU."""
    folder = models / TEXT_ENCODER
    config = read_config(folder, TextConfig.read)
    encoder = _empty(lambda: TextEncoder(config))
    load(encoder, folder, dtype=dtype, rename=module_name, check=check)
    return encoder


def load_tokenizer(models: Path) -> Tokenizer:
    """Returns the prompt's tokenizer.

    Raises:
        ModelNotFound: it does not exist.
        ModelLoadFailed: it is none.
    """
    file = models / TEXT_ENCODER / "tokenizer.json"
    if not file.is_file():
        raise ModelNotFound(
            f"{file} does not exist", hint="It belongs to the text encoder.", path=str(file)
        )
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises bare exceptions
        raise ModelLoadFailed(f"{file} is no tokenizer file: {error}") from error


def load_autoencoder(models: Path, dtype: torch.dtype, check: Check) -> Autoencoder:
    """Returns the autoencoder of mel images on the CPU."""
    folder = models / AUTOENCODER
    config = read_config(folder, DcaeConfig.read)
    model = _empty(lambda: Autoencoder(config))
    load(model, folder, dtype=dtype, check=check)
    return model


def load_vocoder(models: Path, dtype: torch.dtype, check: Check) -> Vocoder:
    """Returns the vocoder on the CPU, its weight norms folded."""
    folder = models / VOCODER
    config = read_config(folder, VocoderConfig.read)
    model = _empty(lambda: Vocoder(config))
    load(
        model,
        folder,
        dtype=dtype,
        rename=lambda name: None if _CONSTANTS.match(name) else name,
        fold=lambda stored: fold_weight_norm(stored, check),
        check=check,
    )
    return model
