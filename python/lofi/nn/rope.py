"""Rotary position embedding with the two halves of a head rotated against each other."""

from __future__ import annotations

import torch
from torch import Tensor

Rotary = tuple[Tensor, Tensor]
"""Cosines and sines, each [T, D]."""


def rotary_table(
    positions: Tensor, head_dim: int, theta: float, *, dtype: torch.dtype = torch.float32
) -> Rotary:
    """positions [T] -> (cos, sin), each [T, head_dim], worked out in float32, then cast."""
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float32, device=positions.device)
    angles = positions.float()[:, None] * theta ** -(exponents / head_dim)
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(x: Tensor, rotary: Rotary) -> Tensor:
    """Turns x [B, H, T, D] by the angles of `rotary` ([T, D], or [B, 1, T, D] each)."""
    cos, sin = rotary
    half = x.shape[-1] // 2
    first, second = torch.split(x, half, dim=-1)
    turned = x * cos
    turned[..., :half].addcmul_(second, sin[..., :half], value=-1)
    turned[..., half:].addcmul_(first, sin[..., half:])
    return turned
