"""Random checkpoints of ACE-Step v1: tiny ones for tests, full-size ones for benchmarks.

python -m tests.checkpoints.ace_step_v1 FOLDER [--full]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lofi.backends.ace_step_v1.config import (
    DcaeConfig,
    TextConfig,
    TransformerConfig,
    VocoderConfig,
)
from lofi.backends.ace_step_v1.dcae import Autoencoder
from lofi.backends.ace_step_v1.text import TextEncoder
from lofi.backends.ace_step_v1.transformer import Transformer
from lofi.backends.ace_step_v1.vocoder import Vocoder
from tests.checkpoints.files import Normal, write_safetensors, write_tokenizer

MANIFESTS = Path(__file__).parents[1] / "goldens" / "manifests"
FOLDERS = {
    "transformer": "ace_step_transformer",
    "dcae": "music_dcae_f8c8",
    "vocoder": "music_vocoder",
    "umt5": "umt5-base",
}
Shape = tuple[int, ...]
# with this the sound of a tiny model stays within ±1 whatever the seed
_SCALES = {"scale_shift_table": 0.3}
TINY: dict[str, dict[str, Any]] = {
    "transformer": {
        "attention_head_dim": 8,
        "in_channels": 8,
        "inner_dim": 16,
        "lyric_encoder": {"attention_heads": 2, "linear_units": 24, "num_blocks": 6},
        "lyric_encoder_vocab_size": 6693,
        "lyric_hidden_size": 16,
        "max_height": 16,
        "max_position": 512,
        "max_width": 512,
        "mlp_ratio": 2.5,
        "num_attention_heads": 2,
        "num_layers": 17,
        "out_channels": 8,
        "patch_size": [16, 1],
        "rope_theta": 1000000.0,
        "speaker_embedding_dim": 6,
        "ssl_encoder_depths": [8, 8],
        "ssl_latent_dims": [10, 6],
        "ssl_names": ["mert", "m-hubert"],
        "text_embedding_dim": 24,
    },
    "dcae": {
        "attention_head_dim": 8,
        "decoder_act_fns": "silu",
        "decoder_block_out_channels": [8, 8, 16, 16],
        "decoder_block_types": ["ResBlock", "ResBlock", "ResBlock", "EfficientViTBlock"],
        "decoder_layers_per_block": [1, 1, 1, 1],
        "decoder_norm_types": "rms_norm",
        "decoder_qkv_multiscales": [[], [], [5], [5]],
        "downsample_block_type": "Conv",
        "encoder_block_out_channels": [8, 8, 16, 16],
        "encoder_block_types": ["ResBlock", "ResBlock", "ResBlock", "EfficientViTBlock"],
        "encoder_layers_per_block": [1, 1, 1, 1],
        "encoder_qkv_multiscales": [[], [], [5], [5]],
        "in_channels": 2,
        "latent_channels": 8,
        "scaling_factor": 0.41407,
        "upsample_block_type": "interpolate",
    },
    "vocoder": {
        "depths": [1, 1, 1, 1],
        "dims": [16, 16, 16, 16],
        "drop_path_rate": 0.0,
        "f_max": 16000,
        "f_min": 40,
        "hop_length": 512,
        "input_channels": 128,
        "kernel_sizes": [7],
        "n_fft": 2048,
        "n_mels": 128,
        "num_mels": 16,
        "post_conv_kernel_size": 13,
        "pre_conv_kernel_size": 13,
        "resblock_dilation_sizes": [[1, 3], [1, 3]],
        "resblock_kernel_sizes": [3, 7],
        "sampling_rate": 44100,
        "upsample_initial_channel": 32,
        "upsample_kernel_sizes": [16, 16, 8, 4],
        "upsample_rates": [8, 8, 4, 2],
        "use_template": False,
        "win_length": 2048,
    },
    "umt5": {
        "architectures": ["UMT5EncoderModel"],
        "d_ff": 32,
        "d_kv": 6,
        "d_model": 24,
        "dense_act_fn": "gelu_new",
        "dropout_rate": 0.1,
        "feed_forward_proj": "gated-gelu",
        "is_gated_act": True,
        "layer_norm_epsilon": 1e-06,
        "model_type": "umt5",
        "num_heads": 4,
        "num_layers": 10,
        "relative_attention_max_distance": 128,
        "relative_attention_num_buckets": 32,
        "vocab_size": 300,
    },
}


class RandomWeights(Normal):
    """Weights of every norm around 1, whatever its name, so that latents are heard in the sound."""

    def __call__(self, name: str, shape: Shape) -> Tensor:
        """Returns the tensor of that name, float32."""
        values = super().__call__(name, shape)
        is_norm = name.endswith((".weight", ".gamma")) and not name.endswith("norm.weight")
        return 1 + 5 * values if len(shape) == 1 and is_norm else values


def published(part: str) -> dict[str, Any]:
    """Returns the configuration of the published checkpoint's part."""
    path = MANIFESTS / f"ace-step-v1-{part}.json"
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["config"]
    return config


def write_checkpoint(folder: Path, *, is_full: bool = False, seed: int = 0) -> Path:
    """Writes all four parts in the published layout and returns `folder`."""
    for part, name in FOLDERS.items():
        config = published(part) if is_full else TINY[part]
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        (place / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
        is_text = part == "umt5"
        write_safetensors(
            place / f"{'model' if is_text else 'diffusion_pytorch_model'}.safetensors",
            stored_shapes(part, config),
            RandomWeights(seed, scales={} if is_full else _SCALES),
            torch.float32 if is_text else torch.bfloat16,
        )
        if is_text:
            first = int(config["vocab_size"]) - 1
            write_tokenizer(place / "tokenizer.json", {"<extra_id_0>": max(first, 256)})
    return folder


def stored_shapes(part: str, config: Mapping[str, Any]) -> dict[str, Shape]:
    """Returns the names and shapes of a part's file, sorted, as its configuration has them."""
    with torch.device("meta"):
        if part == "transformer":
            shapes = _shapes(Transformer(TransformerConfig.read(config)))
            shapes.update(_of_training(config))
        elif part == "dcae":
            shapes = _shapes(Autoencoder(DcaeConfig.read(config)))
        elif part == "vocoder":
            shapes = _normalised(_shapes(Vocoder(VocoderConfig.read(config))))
            shapes["mel_transform.spectrogram.window"] = (2048,)
            shapes["mel_transform.mel_scale.fb"] = (1025, 128)
        else:
            shapes = _shapes(TextEncoder(TextConfig.read(config)))
            shapes["shared.weight"] = shapes.pop("encoder.embed_tokens.weight")
    return dict(sorted(shapes.items()))


def _shapes(module: nn.Module) -> dict[str, Shape]:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def _normalised(shapes: Mapping[str, Shape]) -> dict[str, Shape]:
    """Convolutions of the vocoder's head are stored as gain and direction."""
    stored: dict[str, Shape] = {}
    for name, shape in shapes.items():
        if name.startswith("head.") and name.endswith(".weight"):
            stored[f"{name}_g"], stored[f"{name}_v"] = (shape[0], 1, 1), shape
        else:
            stored[name] = shape
    return stored


def _of_training(config: Mapping[str, Any]) -> dict[str, Shape]:
    """What the file holds besides: heads of training and projections nobody calls."""
    size = int(config["num_attention_heads"]) * int(config["attention_head_dim"])
    shapes: dict[str, Shape] = {}

    def linear(name: str, inputs: int, outputs: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (outputs, inputs), (outputs,)

    for index, width in enumerate(config["ssl_latent_dims"]):
        linear(f"projectors.{index}.0", size, 2 * size)
        linear(f"projectors.{index}.2", 2 * size, 2 * size)
        linear(f"projectors.{index}.4", 2 * size, int(width))
    for index in range(int(config["num_layers"])):
        for name in ("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"):
            linear(f"transformer_blocks.{index}.cross_attn.{name}", size, size)
    return shapes


def main() -> None:
    """Writes a checkpoint from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--full", action="store_true", help="the published sizes, 8.3 GB")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    write_checkpoint(arguments.folder, is_full=arguments.full, seed=arguments.seed)


if __name__ == "__main__":
    main()
