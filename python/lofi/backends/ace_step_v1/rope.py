"""Rotary positions as this model was trained: half-split angles on neighbouring pairs.

The table repeats its angles half by half while the rotation pairs neighbours, so the two members
of a pair turn by different angles. Either convention alone gives wrong music.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lofi.nn.rope import Rotary, rotary_table


def rotary_for(length: int, head_dim: int, theta: float, like: Tensor) -> Rotary:
    """Returns cosines and sines [length, head_dim] on the device and in the dtype of `like`."""
    positions = torch.arange(length, device=like.device)
    return rotary_table(positions, head_dim, theta, dtype=like.dtype)


def rotate_pairs(x: Tensor, rotary: Rotary) -> Tensor:
    """Turns x [B, T, H, D] by frame and returns it in float32, whatever x is in."""
    cos, sin = (table.float()[:, None] for table in rotary)
    wide = x.float()
    turned = torch.stack((-wide[..., 1::2], wide[..., 0::2]), dim=-1).flatten(-2)
    return torch.addcmul(wide * cos, turned, sin)
