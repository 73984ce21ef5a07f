"""How much memory each stage works in, estimated from sizes; weights are measured elsewhere."""

from __future__ import annotations

from lofi.backends.ace_step_v1.config import LATENT_HEIGHT, DcaeConfig, TransformerConfig

TILE_FRAMES = 64
"""Latent frames of a codec tile on the CPU: about six seconds."""
TILE_FRAMES_GPU = 256
SMALLEST_TILE_FRAMES = 16


def text_bytes(size: int, value_bytes: int) -> int:
    """Returns the working memory of 256 prompt tokens of width `size`."""
    return 256 * size * 24 * value_bytes


def diffusion_bytes(
    config: TransformerConfig, frames: int, tokens: int, branches: int, value_bytes: int
) -> int:
    """Returns the working memory of an evaluation.

    Args:
        tokens: of the condition.
        branches: evaluated together.
    """
    size = config.size
    inner = int(size * config.mlp_ratio)
    # the widest moments: gate and values of the feed-forward, or queries to sums in float32
    feed_forward = (4 * inner + 4 * inner + 3 * size) * value_bytes
    attention = 5 * size * 4 + 5 * size * value_bytes
    patches = config.in_channels * 256 * 3 * value_bytes
    per_frame = max(feed_forward, attention, patches)
    memory = 2 * config.num_layers * tokens * size * value_bytes
    return branches * (frames * per_frame + memory)


def decoding_bytes(config: DcaeConfig, frames: int, tile_frames: int, value_bytes: int) -> int:
    """Returns the working memory of decoding (and, near enough, of encoding) `frames`."""
    innermost = config.decoder_block_out_channels[-1]
    # queries, keys and values at two scales, and their float32 copies; then 256 frames widened
    inner = LATENT_HEIGHT * innermost * (9 * value_bytes + 6 * 4) * frames
    inner += LATENT_HEIGHT * innermost * 20 * value_bytes * min(frames, 256)
    # an outer stage has 4 times the pixels and half the channels of the one inside it
    widest = max(
        width * LATENT_HEIGHT * 4 ** (len(config.decoder_block_out_channels) - 1 - index)
        for index, width in enumerate(config.decoder_block_out_channels)
    )
    features = LATENT_HEIGHT * innermost * value_bytes * frames
    outer = features + 5 * widest * value_bytes * (min(frames, tile_frames) + 16)
    return max(inner, outer)
