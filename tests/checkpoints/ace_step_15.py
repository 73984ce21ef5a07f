"""Random checkpoints of ACE-Step 1.5: tiny ones for tests, full-size ones for benchmarks.

python -m tests.checkpoints.ace_step_15 FOLDER [--variant turbo] [--full]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from lofi.backends.ace_step_15.config import ModelConfig, TextConfig, VaeConfig
from lofi.backends.ace_step_15.model import AceStep
from lofi.backends.ace_step_15.text import TextEncoder
from lofi.backends.ace_step_15.vae import Vae
from tests.checkpoints.files import Normal, write_safetensors, write_sharded, write_tokenizer

MANIFESTS = Path(__file__).parents[1] / "goldens" / "manifests"
SILENCE_FRAMES = 15000
XL_SHARDS = 4
# of these the audio stays well within ±1 whatever the seed
_TINY_SCALES = {"decoder.conv2.weight_g": 0.001, "scale_shift_table": 0.3}
_TINY = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "sliding_window": 32,
    "use_sliding_window": True,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "text_hidden_dim": 32,
    "timbre_hidden_dim": 8,
    "audio_acoustic_hidden_dim": 8,
    "in_channels": 24,
    "fsq_dim": 64,
    "fsq_input_levels": [8, 8, 8, 5, 5, 5],
    "fsq_input_num_quantizers": 1,
    "num_lyric_encoder_hidden_layers": 2,
    "num_timbre_encoder_hidden_layers": 2,
    "num_attention_pooler_hidden_layers": 1,
    "pool_window_size": 5,
    "patch_size": 2,
    "rope_theta": 1000000,
    "rms_norm_eps": 1e-06,
    "attention_bias": False,
    "hidden_act": "silu",
    "timbre_fix_frame": 750,
    "model_type": "acestep",
    "lyric_alignment_layers_config": {"1": [0, 1], "2": [2]},
}
_TINY_XL = {
    "hidden_size": 48,
    "encoder_hidden_size": 64,
    "encoder_intermediate_size": 96,
    "encoder_num_attention_heads": 4,
    "encoder_num_key_value_heads": 2,
}
_TINY_VAE = {
    "_class_name": "AutoencoderOobleck",
    "audio_channels": 2,
    "channel_multiples": [1, 2, 4, 8, 16],
    "decoder_channels": 4,
    "decoder_input_channels": 8,
    "downsampling_ratios": [2, 4, 4, 6, 10],
    "encoder_hidden_size": 16,
    "sampling_rate": 48000,
}
_TINY_TEXT = {
    "model_type": "qwen3",
    "vocab_size": 264,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000,
    "attention_bias": False,
    "tie_word_embeddings": True,
}


def family_of(variant: str) -> str:
    """The manifest a variant shares."""
    if variant.startswith("xl-"):
        return "xl-turbo" if "turbo" in variant else "xl-base"
    return "turbo" if variant.startswith("turbo") else variant


def write_bundle(
    folder: Path,
    variant: str = "turbo",
    *,
    is_full: bool = False,
    seed: int = 0,
    shards: int | None = None,
    dtype: torch.dtype | None = None,
    at_root: bool = False,
) -> Path:
    """Writes all components of `variant` and returns `folder`.

    Args:
        is_full: the published sizes; gigabytes.
        shards: files of the DiT; None as published.
        dtype: of the DiT on disk; None as published (XL float32, else bfloat16).
        at_root: as a DiT repository, whose files lie at the root.
    """
    is_xl = variant.startswith("xl-")
    model = folder if at_root else folder / f"acestep-v15-{variant}"
    write_model(
        model,
        variant,
        is_full=is_full,
        seed=seed,
        shards=shards or (XL_SHARDS if is_xl else 1),
        dtype=dtype or (torch.float32 if is_xl else torch.bfloat16),
    )
    write_vae(folder / "vae", is_full=is_full, seed=seed)
    write_text(folder / "Qwen3-Embedding-0.6B", is_full=is_full, seed=seed)
    return folder


def write_model(
    folder: Path, variant: str, *, is_full: bool, seed: int, shards: int, dtype: torch.dtype
) -> None:
    """Writes a DiT with its config and its latents of silence."""
    folder.mkdir(parents=True, exist_ok=True)
    raw = _published(family_of(variant)) if is_full else _tiny_config(variant)
    _write_json(folder / "config.json", raw)
    config = ModelConfig.from_dict(raw)
    with torch.device("meta"):
        module = AceStep(config)
    scales = {} if is_full else _TINY_SCALES
    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    write_sharded(folder, shapes, Normal(seed, 1.0, scales), dtype, shards=shards)
    generator = torch.Generator().manual_seed(seed + 1)
    silence = torch.randn(1, config.latent_channels, SILENCE_FRAMES, generator=generator) * 0.1
    torch.save(silence, folder / "silence_latent.pt")


def _tiny_config(variant: str) -> dict[str, Any]:
    extra = dict(_TINY_XL) if variant.startswith("xl-") else {}
    return {**_TINY, **extra, "is_turbo": "turbo" in variant}


def write_vae(folder: Path, *, is_full: bool, seed: int) -> None:
    """Writes an autoencoder."""
    folder.mkdir(parents=True, exist_ok=True)
    raw = _published("vae") if is_full else _TINY_VAE
    _write_json(folder / "config.json", raw)
    with torch.device("meta"):
        module = Vae(VaeConfig.from_dict(raw))
    shapes: dict[str, tuple[int, ...]] = {}
    for name, tensor in module.state_dict().items():
        shape = tuple(tensor.shape)
        if name.endswith(".weight"):
            shapes[f"{name}_g"], shapes[f"{name}_v"] = (shape[0], 1, 1), shape
        else:
            shapes[name] = shape
    scales = _TINY_SCALES if not is_full else {"decoder.conv2.weight_g": 0.01}
    path = folder / "diffusion_pytorch_model.safetensors"
    write_safetensors(path, shapes, Normal(seed, 0.5, scales), torch.bfloat16)


def write_text(folder: Path, *, is_full: bool, seed: int, prefix: str = "") -> None:
    """Writes a text encoder and its tokenizer; some releases put a prefix before the names."""
    folder.mkdir(parents=True, exist_ok=True)
    raw = _published("text-encoder") if is_full else _TINY_TEXT
    _write_json(folder / "config.json", raw)
    with torch.device("meta"):
        module = TextEncoder(TextConfig.from_dict(raw))
    shapes = {f"{prefix}{name}": tuple(t.shape) for name, t in module.state_dict().items()}
    write_sharded(folder, shapes, Normal(seed), torch.bfloat16, shards=1)
    first = 151643 if is_full else 256
    special = {"<|endoftext|>": first, "<|im_start|>": first + 1, "<|im_end|>": first + 2}
    write_tokenizer(folder / "tokenizer.json", special)


def _published(name: str) -> dict[str, Any]:
    path = MANIFESTS / f"ace-step-1.5-{name}.json"
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["config"]
    return config


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")


def main() -> None:
    """Writes a bundle from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--variant", default="turbo")
    parser.add_argument("--full", action="store_true", help="the published sizes")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    write_bundle(arguments.folder, arguments.variant, is_full=arguments.full, seed=arguments.seed)


if __name__ == "__main__":
    main()
