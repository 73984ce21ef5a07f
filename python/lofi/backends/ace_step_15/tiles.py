"""Long latents and sounds through the autoencoder in tiles whose seams are exact.

One latent frame reaches 8.34 frames to either side when decoded, and an encoded frame depends on
6.34 frames of sound either way; what a tile sees beyond its core is thrown away.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lofi.backends.ace_step_15.config import HOP
from lofi.backends.ace_step_15.encoders import never
from lofi.backends.ace_step_15.vae import Posterior, Vae
from lofi.worker.backend import Check

DECODE_OVERLAP = 9
ENCODE_OVERLAP = 7


@dataclass(frozen=True, slots=True)
class Tile:
    """Frames `start`..`stop` are kept, `low`..`high` are looked at."""

    start: int
    stop: int
    low: int
    high: int


def next_tile(start: int, length: int, chunk: int, overlap: int) -> Tile:
    """The tile whose core begins at `start`: it looks at exactly `chunk` frames if there are any.

    All tiles thus run with the same shapes: at the ends the view is moved inwards, not cut.
    """
    if length <= chunk:
        return Tile(start, length, 0, length)
    while chunk - 2 * overlap <= 0 and overlap > 4:
        overlap //= 2
    stop = min(start + max(1, chunk - 2 * overlap), length)
    low = min(max(0, start - overlap), length - chunk)
    if low == 0:
        stop = min(chunk - overlap, length)  # nothing needed on the left
    elif low + chunk >= length:
        stop = length  # nothing needed on the right
    return Tile(start, stop, low, low + chunk)


def tiles(length: int, chunk: int, overlap: int) -> list[Tile]:
    """Cuts `length` frames into tiles of at most `chunk`, `overlap` of them context either side."""
    found: list[Tile] = []
    while not found or found[-1].stop < length:
        found.append(next_tile(found[-1].stop if found else 0, length, chunk, overlap))
    return found


def plain_tiles(length: int, chunk: int, overlap: int) -> list[Tile]:
    """The published procedure: like `tiles`, with views cut at the ends."""
    if length <= chunk:
        return [Tile(0, length, 0, length)]
    while chunk - 2 * overlap <= 0 and overlap > 4:
        overlap //= 2
    stride = max(1, chunk - 2 * overlap)
    return [
        Tile(
            start,
            min(start + stride, length),
            max(0, start - overlap),
            min(length, min(start + stride, length) + overlap),
        )
        for start in range(0, length, stride)
    ]


def decode_tile(vae: Vae, latents: Tensor, tile: Tile, check: Check = never) -> Tensor:
    """latents [1, T, C] -> the audio of the tile's core, [1, samples, 2] float32.

    Seams are exact if the tile sees `DECODE_OVERLAP` frames, or the track's end, on either side.
    """
    left, right = tile.start - tile.low, tile.high - tile.stop
    return vae.decode(latents[:, tile.low : tile.high], check, left=left, right=right)


def decode_tiles(
    vae: Vae, latents: Tensor, plan: list[Tile], check: Check = never
) -> Iterator[Tensor]:
    """The published procedure: each tile decoded whole, then cut to its core."""
    for tile in plan:
        audio = vae.decode(latents[:, tile.low : tile.high], check)
        yield audio[:, (tile.start - tile.low) * HOP : (tile.stop - tile.low) * HOP]


def encode_tiles(
    vae: Vae, audio: Tensor, plan: list[Tile], check: Check = never
) -> Iterator[Posterior]:
    """audio [1, samples, 2] -> the posterior of each tile's core; the plan counts frames."""
    frames = audio.shape[1] // HOP
    for tile in plan:
        # the last tile also sees the samples that do not fill a frame
        end = audio.shape[1] if tile.stop == frames else tile.high * HOP
        seen = vae.encode(audio[:, tile.low * HOP : end], check)
        core = slice(tile.start - tile.low, tile.stop - tile.low)
        yield Posterior(seen.mean[:, core], seen.scale[:, core])


def encode(vae: Vae, audio: Tensor, chunk: int, check: Check = never) -> Posterior:
    """audio [1, samples, 2] -> the posterior of all its frames, `chunk` frames at a time."""
    plan = tiles(audio.shape[1] // HOP, chunk, ENCODE_OVERLAP)
    parts = list(encode_tiles(vae, audio, plan, check))
    return Posterior(
        torch.cat([part.mean for part in parts], dim=1),
        torch.cat([part.scale for part in parts], dim=1),
    )
