"""Sizes of the four networks, read from the checkpoint's own files, and the numbers all share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NATIVE_RATE = 44100
OUTPUT_RATE = 48000
HOP_SAMPLES = 512
FRAME_SAMPLES = 8 * HOP_SAMPLES
"""Samples at the native rate that one latent frame stands for: 10.77 frames a second."""
LATENT_CHANNELS = 8
LATENT_HEIGHT = 16
LATENT_SHIFT = -1.9091
LATENT_SCALE = 0.1786
MEL_LOW, MEL_HIGH = -11.0, 3.0
"""Log-mel values that become -1 and 1 in the autoencoder's image."""
MAX_FRAMES = 2584
"""240 seconds, rounded up: the longest the model was made for."""
MAX_TEXT_TOKENS = 256
WEAKENING = 0.01
"""Factor on query projections of a weakened run (entropy rectifying guidance)."""
WEAK_TEXT_LAYERS = (8, 9)
WEAK_LYRIC_LAYERS = (4, 5)
WEAK_BLOCKS = (15, 16, 17, 18, 19)


def frames_within(seconds: float) -> int:
    """Returns whole latent frames of `seconds`, cut towards zero also for negative values."""
    return int(seconds * NATIVE_RATE / HOP_SAMPLES / 8)


def frames_covering(seconds: float) -> int:
    """Returns the fewest latent frames that are at least `seconds` long."""
    exact = seconds * NATIVE_RATE / FRAME_SAMPLES
    return max(1, -int(-exact // 1))


@dataclass(frozen=True, slots=True)
class LyricConfig:
    """The lyric encoder; the checkpoint's file has no fields for it."""

    attention_heads: int = 16
    linear_units: int = 4096
    num_blocks: int = 6


@dataclass(frozen=True, slots=True)
class TransformerConfig:
    """`ace_step_transformer/config.json`."""

    num_layers: int
    num_attention_heads: int
    attention_head_dim: int
    in_channels: int
    out_channels: int
    mlp_ratio: float
    patch_size: tuple[int, int]
    max_height: int
    rope_theta: float
    speaker_embedding_dim: int
    text_embedding_dim: int
    lyric_encoder_vocab_size: int
    lyric_hidden_size: int
    lyric_encoder: LyricConfig = field(default_factory=LyricConfig)

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> TransformerConfig:
        """Returns the configuration of a `config.json`; fields of training are left out."""
        height, width = values["patch_size"]
        return cls(
            num_layers=int(values["num_layers"]),
            num_attention_heads=int(values["num_attention_heads"]),
            attention_head_dim=int(values["attention_head_dim"]),
            in_channels=int(values["in_channels"]),
            out_channels=int(values["out_channels"]),
            mlp_ratio=float(values["mlp_ratio"]),
            patch_size=(int(height), int(width)),
            max_height=int(values["max_height"]),
            rope_theta=float(values["rope_theta"]),
            speaker_embedding_dim=int(values["speaker_embedding_dim"]),
            text_embedding_dim=int(values["text_embedding_dim"]),
            lyric_encoder_vocab_size=int(values["lyric_encoder_vocab_size"]),
            lyric_hidden_size=int(values["lyric_hidden_size"]),
            lyric_encoder=LyricConfig(**values.get("lyric_encoder", {})),
        )

    @property
    def size(self) -> int:
        """Width of the tokens. The file's `inner_dim` only repeats it."""
        return self.num_attention_heads * self.attention_head_dim


@dataclass(frozen=True, slots=True)
class TextConfig:
    """`umt5-base/config.json`: the text encoder."""

    vocab_size: int
    d_model: int
    d_kv: int
    d_ff: int
    num_heads: int
    num_layers: int
    relative_attention_num_buckets: int
    relative_attention_max_distance: int
    layer_norm_epsilon: float

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> TextConfig:
        """Returns the configuration of a `config.json`.

        Raises:
            ValueError: the file asks for another feed-forward than every UMT5 has.
        """
        _expect(values, {"feed_forward_proj": "gated-gelu", "dense_act_fn": "gelu_new"})
        return cls(
            vocab_size=int(values["vocab_size"]),
            d_model=int(values["d_model"]),
            d_kv=int(values["d_kv"]),
            d_ff=int(values["d_ff"]),
            num_heads=int(values["num_heads"]),
            num_layers=int(values["num_layers"]),
            relative_attention_num_buckets=int(values["relative_attention_num_buckets"]),
            relative_attention_max_distance=int(values["relative_attention_max_distance"]),
            layer_norm_epsilon=float(values["layer_norm_epsilon"]),
        )


def _expect(values: Mapping[str, Any], expected: Mapping[str, object]) -> None:
    for name, value in expected.items():
        if values.get(name, value) != value:
            raise ValueError(f"{name} is {values[name]!r}, only {value!r} is known")


@dataclass(frozen=True, slots=True)
class DcaeConfig:
    """`music_dcae_f8c8/config.json`: the autoencoder of mel images."""

    in_channels: int
    latent_channels: int
    attention_head_dim: int
    encoder_block_types: tuple[str, ...]
    decoder_block_types: tuple[str, ...]
    encoder_block_out_channels: tuple[int, ...]
    decoder_block_out_channels: tuple[int, ...]
    encoder_layers_per_block: tuple[int, ...]
    decoder_layers_per_block: tuple[int, ...]
    encoder_qkv_multiscales: tuple[tuple[int, ...], ...]
    decoder_qkv_multiscales: tuple[tuple[int, ...], ...]

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> DcaeConfig:
        """Returns the configuration of a `config.json`.

        Raises:
            ValueError: the file asks for a kind of layer that no published checkpoint has.
        """
        fixed = {"downsample_block_type": "Conv", "upsample_block_type": "interpolate"}
        fixed |= {"decoder_norm_types": "rms_norm", "decoder_act_fns": "silu"}
        _expect(values, fixed)
        return cls(
            in_channels=int(values["in_channels"]),
            latent_channels=int(values["latent_channels"]),
            attention_head_dim=int(values["attention_head_dim"]),
            encoder_block_types=_per_stage(values["encoder_block_types"]),
            decoder_block_types=_per_stage(values["decoder_block_types"]),
            encoder_block_out_channels=tuple(values["encoder_block_out_channels"]),
            decoder_block_out_channels=tuple(values["decoder_block_out_channels"]),
            encoder_layers_per_block=tuple(values["encoder_layers_per_block"]),
            decoder_layers_per_block=tuple(values["decoder_layers_per_block"]),
            encoder_qkv_multiscales=_scales(values["encoder_qkv_multiscales"]),
            decoder_qkv_multiscales=_scales(values["decoder_qkv_multiscales"]),
        )


def _per_stage(kinds: list[str]) -> tuple[str, ...]:
    for kind in kinds:
        if kind not in ("ResBlock", "EfficientViTBlock"):
            raise ValueError(f"unknown kind of block {kind!r}")
    return tuple(kinds)


def _scales(values: list[list[int]]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(stage) for stage in values)


@dataclass(frozen=True, slots=True)
class VocoderConfig:
    """`music_vocoder/config.json`: mel to sound."""

    input_channels: int
    depths: tuple[int, ...]
    dims: tuple[int, ...]
    kernel_size: int
    num_mels: int
    upsample_initial_channel: int
    upsample_rates: tuple[int, ...]
    upsample_kernel_sizes: tuple[int, ...]
    resblock_kernel_sizes: tuple[int, ...]
    resblock_dilation_sizes: tuple[tuple[int, ...], ...]
    pre_conv_kernel_size: int
    post_conv_kernel_size: int

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> VocoderConfig:
        """Returns the configuration of a `config.json`.

        Raises:
            ValueError: the file asks for something no published checkpoint has.
        """
        if values.get("use_template"):
            raise ValueError("a vocoder with a template signal is not known")
        (kernel_size,) = values["kernel_sizes"]
        _expect(values, {"sampling_rate": NATIVE_RATE, "hop_length": HOP_SAMPLES, "n_mels": 128})
        return cls(
            input_channels=int(values["input_channels"]),
            depths=tuple(values["depths"]),
            dims=tuple(values["dims"]),
            kernel_size=int(kernel_size),
            num_mels=int(values["num_mels"]),
            upsample_initial_channel=int(values["upsample_initial_channel"]),
            upsample_rates=tuple(values["upsample_rates"]),
            upsample_kernel_sizes=tuple(values["upsample_kernel_sizes"]),
            resblock_kernel_sizes=tuple(values["resblock_kernel_sizes"]),
            resblock_dilation_sizes=tuple(tuple(row) for row in values["resblock_dilation_sizes"]),
            pre_conv_kernel_size=int(values["pre_conv_kernel_size"]),
            post_conv_kernel_size=int(values["post_conv_kernel_size"]),
        )
