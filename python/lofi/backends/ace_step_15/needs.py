"""How much memory each stage works in, from its sizes; weights are measured where they lie."""

from __future__ import annotations

import torch

from lofi.backends.ace_step_15.config import HOP, ModelConfig, TextConfig, VaeConfig
from lofi.backends.ace_step_15.tiles import DECODE_OVERLAP
from lofi.nn.mlp import ROWS

LATENT_COPIES = 12
"""Float32 latents alive in a step: noise, state, velocity, context twice, source, …"""


def text_bytes(config: TextConfig, rows: int, dtype: torch.dtype) -> int:
    """Returns the working memory of prompts of `rows` tokens."""
    return rows * config.width.inner_size * 4 * dtype.itemsize


def diffusion_bytes(config: ModelConfig, frames: int, rows: int, dtype: torch.dtype) -> int:
    """Returns the working memory of a step over `frames` latent frames.

    Args:
        rows: of text and lyrics that the decoder attends to, all conditions together.
    """
    item, width = dtype.itemsize, config.decoder
    inner, shared = width.heads * config.head_dim, width.kv_heads * config.head_dim
    tokens = -(-frames // config.patch)
    # Beside the state and its norm: queries while they are normalised (in float32, with its own
    # copies where the rest is not), or queries, keys, values and the sum of the values.
    normed = 3 * inner if dtype == torch.float32 else 6 * inner
    attention = tokens * (2 * width.size + max(normed, 2 * inner + 2 * shared))
    # or the state, its norm and the result, and a block of rows at its widest
    block = min(tokens, ROWS) * (2 * width.inner_size + width.size)
    feed_forward = tokens * 3 * width.size + block
    rotary = tokens * 2 * config.head_dim
    memory = rows * 2 * shared * config.decoder_layers
    layer = max(attention, feed_forward)
    return (layer + rotary + memory) * item + latent_bytes(config, frames)


def latent_bytes(config: ModelConfig, frames: int) -> int:
    """Returns what the latents of `frames` frames take around a step."""
    return frames * config.latent_channels * 4 * LATENT_COPIES


def decoding_bytes(config: VaeConfig, tile_frames: int, dtype: torch.dtype) -> int:
    """Returns the working memory of decoding one tile; the last block is the widest."""
    core = max(1, tile_frames - 2 * DECODE_OVERLAP)
    # a residual unit's input, its activation and its convolution; half as much of the block before
    return core * HOP * config.decoder_channels * dtype.itemsize * 7 // 2


def encoding_bytes(config: VaeConfig, tile_frames: int, dtype: torch.dtype) -> int:
    """Returns the working memory of encoding one tile; the first block is the widest."""
    # the same three, and the whole input of the block
    return tile_frames * HOP * config.encoder_channels * dtype.itemsize * 4
