"""The published folders: which components there are, and from their files to our modules.

Two layouts are read: the bundle (`acestep-v15-<variant>/`, `vae/`, `Qwen3-Embedding-0.6B/` side by
side) and a DiT repository whose files lie at its root beside those two folders.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from lofi.backends.ace_step_15.config import ModelConfig, TextConfig, VaeConfig
from lofi.backends.ace_step_15.model import AceStep
from lofi.backends.ace_step_15.text import TextEncoder, TextTokenizer
from lofi.backends.ace_step_15.vae import Vae
from lofi.errors import ModelLoadFailed, ModelNotFound
from lofi.nn.weight_norm import fold_weight_norm
from lofi.worker.backend import Check
from lofi.worker.weights import load, load_pickle, weight_files

MODEL_WEIGHTS = "model"
VAE_WEIGHTS = "diffusion_pytorch_model"
VAE_FOLDER = "vae"
TEXT_FOLDER = "Qwen3-Embedding-0.6B"
CONFIG = "config.json"
TOKENIZER = "tokenizer.json"
SILENCE = "silence_latent.pt"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Bundle:
    """The folders of one variant and what their configs say. Nothing is loaded."""

    model: Path
    vae: Path
    text: Path
    config: ModelConfig
    vae_config: VaeConfig
    text_config: TextConfig


def open_bundle(folder: Path, variant: str = "turbo") -> Bundle:
    """Finds the components of `variant` in `folder` and reads their configs.

    Raises:
        ModelNotFound: naming the folder or file that is not there.
        ModelLoadFailed: naming the file that is not what it should be.
    """
    model = folder / f"acestep-v15-{variant}"
    if not model.is_dir() and (folder / SILENCE).is_file():
        model = folder  # a DiT repository of its own
    vae, text = folder / VAE_FOLDER, folder / TEXT_FOLDER
    for component in (folder, model, vae, text):
        if not component.is_dir():
            raise _missing(component)
    for component, stem in ((model, MODEL_WEIGHTS), (vae, VAE_WEIGHTS), (text, MODEL_WEIGHTS)):
        if not any(component.glob(f"{stem}.safetensors*")):
            raise _missing(component / f"{stem}.safetensors")
        weight_files(component)
    bundle = Bundle(
        model,
        vae,
        text,
        _config(model / CONFIG, ModelConfig.from_dict),
        _config(vae / CONFIG, VaeConfig.from_dict),
        _config(text / CONFIG, TextConfig.from_dict),
    )
    if variant.startswith("xl-") != bundle.config.is_xl:
        raise ModelLoadFailed(
            f"{model / CONFIG} describes {'an XL' if bundle.config.is_xl else 'a 2B'} model, "
            f"but the variant asked for is {variant}",
            hint="Put the folder under its own variant's name.",
            path=str(model / CONFIG),
        )
    return bundle


def _missing(path: Path) -> ModelNotFound:
    return ModelNotFound(
        f"{path} does not exist",
        hint="Run :Lofi setup ace-step-1.5, put the published files there, or set "
        "LOFI_ACE_STEP_15_MODEL_PATH to the folder that holds the components.",
        path=str(path),
    )


def _config(path: Path, read: Callable[[Mapping[str, Any]], T]) -> T:
    if not path.is_file():
        raise _missing(path)
    try:
        return read(json.loads(path.read_text(encoding="utf-8")))
    except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        raise ModelLoadFailed(
            f"{path} is not the config of this component: {error!r}",
            hint="Fetch the component again.",
            path=str(path),
        ) from error


def load_model(bundle: Bundle, dtype: torch.dtype, check: Check) -> AceStep:
    """Loads decoder, condition encoder, tokenizer and detokenizer into host memory."""
    with torch.device("meta"):
        model = AceStep(bundle.config)
    load(model, bundle.model, dtype=dtype, check=check)
    return model


def load_text(bundle: Bundle, dtype: torch.dtype, check: Check) -> TextEncoder:
    """Loads the text encoder into host memory; some releases of it carry a prefix and a head."""
    with torch.device("meta"):
        encoder = TextEncoder(bundle.text_config)
    load(encoder, bundle.text, dtype=dtype, check=check, rename=bare_text_name)
    return encoder


def bare_text_name(name: str) -> str | None:
    """A text encoder tensor's name without `model.`; None for the head, which is tied."""
    return None if name.startswith("lm_head.") else name.removeprefix("model.")


def load_vae(bundle: Bundle, dtype: torch.dtype, check: Check) -> Vae:
    """Loads the autoencoder into host memory; its weight norm is folded in float32."""
    with torch.device("meta"):
        vae = Vae(bundle.vae_config)
    load(
        vae,
        bundle.vae,
        dtype=dtype,
        check=check,
        fold=lambda stored: fold_weight_norm(stored, check),
    )
    return vae


def load_tokenizer(bundle: Bundle) -> TextTokenizer:
    """Loads the text encoder's tokenizer."""
    path = bundle.text / TOKENIZER
    if not path.is_file():
        raise _missing(path)
    try:
        return TextTokenizer(path)
    except Exception as error:  # the library raises bare exceptions
        raise ModelLoadFailed(f"{path} is no tokenizer: {error}", path=str(path)) from error


def load_silence(bundle: Bundle) -> Tensor:
    """The latents of ten minutes of silence, [1, 15000, C] float32."""
    path = bundle.model / SILENCE
    latent = load_pickle(path)
    wanted = (1, bundle.config.latent_channels)
    if not isinstance(latent, Tensor) or latent.dim() != 3 or latent.shape[:2] != wanted:
        raise ModelLoadFailed(
            f"{path} holds no latents of {wanted[1]} channels",
            hint="It belongs to the DiT; fetch it again.",
            path=str(path),
        )
    return latent.float().transpose(1, 2).contiguous()
