"""The delay pattern of MusicGen's codebooks: codebook k is written k steps late.

Copet et al., "Simple and Controllable Music Generation" (2023), section 2.2. Stereo models hold
left and right of one codebook in neighbouring rows, which share a delay.
"""

from __future__ import annotations

import torch
from torch import Tensor

UNKNOWN = -1


def delay_of(row: int, *, channels: int) -> int:
    """Returns how many steps late a row of codes is."""
    return row // channels


def pattern(prompt: Tensor, length: int, pad: int, *, channels: int) -> Tensor:
    """Returns what stands where before anything is drawn.

    Args:
        prompt: [K, P] codes the music goes on from, P may be 0.
        length: codes per codebook in all, prompt included.
        pad: the id that fills the corners.
        channels: 1 or 2.

    Returns:
        [K, 1 + length + delays] ids: `pad` in the first column and the corners, the prompt's codes
        delayed, `UNKNOWN` where a code is to be drawn.
    """
    rows = prompt.shape[0]
    delays = rows // channels
    table = torch.full((rows, length + delays), pad, dtype=torch.long)
    for row in range(rows):
        start = 1 + delay_of(row, channels=channels)
        table[row, start : start + length] = UNKNOWN
        table[row, start : start + prompt.shape[1]] = prompt[row]
    return table


def undelay(table: Tensor, length: int, *, channels: int) -> Tensor:
    """Returns [K, length] codes, each codebook moved back to its own time."""
    rows = []
    for row in range(table.shape[0]):
        start = 1 + delay_of(row, channels=channels)
        rows.append(table[row, start : start + length])
    return torch.stack(rows)
