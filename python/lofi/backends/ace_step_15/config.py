"""Sizes of the networks, read from the checkpoint's own config files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SAMPLE_RATE = 48000
HOP = 1920
"""Samples of one latent frame: 25 frames are a second."""
FRAME_RATE = SAMPLE_RATE // HOP
MIN_FRAMES = 128
"""The shortest latent the models were trained on: 5.12 s."""
MAX_FRAMES = 600 * FRAME_RATE
REFERENCE_SEC = 30
CODES_PER_SEC = 5

# Cross-attention heads that follow the lyrics in the 2B decoder: layer -> heads. XL states its own.
ALIGNMENT_HEADS = {2: (6,), 3: (10, 11), 4: (3,), 5: (8, 9), 6: (8,)}


@dataclass(frozen=True, slots=True)
class Width:
    """One family of transformer layers."""

    size: int
    inner_size: int
    heads: int
    kv_heads: int


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A DiT checkpoint: decoder, condition encoder, audio tokenizer and detokenizer."""

    decoder: Width
    encoder: Width
    head_dim: int
    decoder_layers: int
    lyric_layers: int
    timbre_layers: int
    pooler_layers: int
    sliding: tuple[bool, ...]
    """Per layer index, for decoder and encoders alike: does it look through the window only?"""
    window: int
    rope_theta: float
    eps: float
    attention_bias: bool
    in_channels: int
    latent_channels: int
    timbre_channels: int
    text_size: int
    patch: int
    pool: int
    fsq_size: int
    fsq_levels: tuple[int, ...]
    is_turbo: bool
    is_xl: bool
    is_lego_sft: bool
    alignment_heads: Mapping[int, tuple[int, ...]]

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> ModelConfig:
        """Reads `config.json`; raises KeyError for a missing member."""
        decoder = Width(
            raw["hidden_size"],
            raw["intermediate_size"],
            raw["num_attention_heads"],
            raw["num_key_value_heads"],
        )
        # Only XL names encoder sizes: its encoders keep the 2B width, and its timbre encoder
        # reads a class token.
        is_xl = raw.get("encoder_hidden_size") is not None
        encoder = decoder
        if is_xl:
            encoder = Width(
                raw["encoder_hidden_size"],
                raw["encoder_intermediate_size"],
                raw["encoder_num_attention_heads"],
                raw["encoder_num_key_value_heads"],
            )
        windowed = bool(raw.get("use_sliding_window", True)) and raw["sliding_window"] is not None
        heads = raw.get("lyric_alignment_layers_config")
        return cls(
            decoder=decoder,
            encoder=encoder,
            head_dim=raw["head_dim"],
            decoder_layers=raw["num_hidden_layers"],
            lyric_layers=raw["num_lyric_encoder_hidden_layers"],
            timbre_layers=raw["num_timbre_encoder_hidden_layers"],
            pooler_layers=raw["num_attention_pooler_hidden_layers"],
            sliding=tuple(windowed and kind == "sliding_attention" for kind in raw["layer_types"]),
            window=raw["sliding_window"] or 0,
            rope_theta=float(raw["rope_theta"]),
            eps=float(raw["rms_norm_eps"]),
            attention_bias=bool(raw["attention_bias"]),
            in_channels=raw["in_channels"],
            latent_channels=raw["audio_acoustic_hidden_dim"],
            timbre_channels=raw["timbre_hidden_dim"],
            text_size=raw["text_hidden_dim"],
            patch=raw["patch_size"],
            pool=raw["pool_window_size"],
            fsq_size=raw["fsq_dim"],
            fsq_levels=tuple(raw["fsq_input_levels"]),
            # `model_version` is missing from most files and defaults to "turbo": never ask it
            is_turbo=bool(raw["is_turbo"]),
            is_xl=is_xl,
            is_lego_sft=bool(raw.get("is_lego_sft", False)),
            alignment_heads=(
                {int(layer): tuple(chosen) for layer, chosen in heads.items()}
                if heads
                else ALIGNMENT_HEADS
            ),
        )

    def window_of(self, layer: int) -> int | None:
        """The window of layer `layer`; None when it sees everything."""
        return self.window if self.sliding[layer] else None


@dataclass(frozen=True, slots=True)
class VaeConfig:
    """The Oobleck autoencoder."""

    audio_channels: int
    channel_multiples: tuple[int, ...]
    decoder_channels: int
    latent_channels: int
    ratios: tuple[int, ...]
    """Downsampling of the encoder's blocks, first to last."""
    encoder_channels: int
    sample_rate: int

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> VaeConfig:
        """Reads `vae/config.json`; raises KeyError for a missing member."""
        return cls(
            audio_channels=raw["audio_channels"],
            channel_multiples=tuple(raw["channel_multiples"]),
            decoder_channels=raw["decoder_channels"],
            latent_channels=raw["decoder_input_channels"],
            ratios=tuple(raw["downsampling_ratios"]),
            encoder_channels=raw["encoder_hidden_size"],
            sample_rate=raw["sampling_rate"],
        )


@dataclass(frozen=True, slots=True)
class TextConfig:
    """The Qwen3 text encoder."""

    vocab_size: int
    width: Width
    layers: int
    head_dim: int
    eps: float
    rope_theta: float
    attention_bias: bool

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> TextConfig:
        """Reads the encoder's `config.json`; raises KeyError for a missing member."""
        # newer writers keep the base of the rotary angles in a group of its own
        rope = raw.get("rope_parameters") or {}
        return cls(
            vocab_size=raw["vocab_size"],
            width=Width(
                raw["hidden_size"],
                raw["intermediate_size"],
                raw["num_attention_heads"],
                raw["num_key_value_heads"],
            ),
            layers=raw["num_hidden_layers"],
            head_dim=raw["head_dim"],
            eps=float(raw["rms_norm_eps"]),
            rope_theta=float(rope["rope_theta"] if rope else raw["rope_theta"]),
            attention_bias=bool(raw.get("attention_bias", False)),
        )
