"""The lyric encoder: a transformer whose attention knows how far apart two tokens are."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lofi.backends.ace_step_v1.config import WEAK_LYRIC_LAYERS, WEAKENING, LyricConfig
from lofi.worker.backend import Check

QUERY_BLOCK = 512
"""Queries answered at a time, so that long lyrics need no [n, 2n] scores per head at once."""


def relative_positions(length: int, size: int, device: torch.device) -> Tensor:
    """Returns [2 * length - 1, size]: row r stands for the distance length - 1 - r."""
    distances = torch.arange(length - 1, -length, -1, dtype=torch.float32, device=device)
    even = torch.arange(0, size, 2, dtype=torch.float32, device=device)
    angles = distances[:, None] * torch.exp(even * (-math.log(10000.0) / size))
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)


class RelativeAttention(nn.Module):
    """Attention with a learned view of the distance between query and key."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.linear_q = nn.Linear(size, size)
        self.linear_k = nn.Linear(size, size)
        self.linear_v = nn.Linear(size, size)
        self.linear_out = nn.Linear(size, size)
        self.linear_pos = nn.Linear(size, size, bias=False)
        self.pos_bias_u = nn.Parameter(torch.zeros(heads, size // heads))
        self.pos_bias_v = nn.Parameter(torch.zeros(heads, size // heads))

    def forward(self, x: Tensor, positions: Tensor, mask: Tensor, query_scale: float) -> Tensor:
        """x [B, S, C], positions [2S - 1, C], mask [B, S] (True: may be looked at) -> [B, S, C].

        A row whose mask is all False attends to nothing: what remains is the output's bias.
        """
        B, S, C = x.shape
        q = (self.linear_q(x) * query_scale).view(B, S, self.heads, -1)
        k = self.linear_k(x).view(B, S, self.heads, -1).permute(0, 2, 3, 1)
        v = self.linear_v(x).view(B, S, self.heads, -1).transpose(1, 2)
        p = self.linear_pos(positions).view(2 * S - 1, self.heads, -1).permute(1, 2, 0)
        content = (q + self.pos_bias_u).transpose(1, 2)
        distance = (q + self.pos_bias_v).transpose(1, 2)
        hidden = ~mask[:, None, None]
        rows = []
        for start in range(0, S, QUERY_BLOCK):
            stop = min(start + QUERY_BLOCK, S)
            scores = content[:, :, start:stop] @ k
            scores = scores + _by_distance(distance[:, :, start:stop] @ p, start, S)
            weights = scores.float().mul_((C // self.heads) ** -0.5).masked_fill_(hidden, -math.inf)
            weights = weights.softmax(-1).masked_fill_(hidden, 0.0)
            rows.append(weights.to(v.dtype) @ v)
        y = torch.cat(rows, dim=2)
        return self.linear_out(y.transpose(1, 2).reshape(B, S, C))


def _by_distance(scores: Tensor, start: int, keys: int) -> Tensor:
    """Scores by row of the table [B, H, M, 2S - 1] of queries from `start` -> by key [B, H, M, S].

    Key j of query i stands in column S - 1 - i + j, one further left with each query: the same
    memory read with a row that is one shorter.
    """
    scores = scores.contiguous()
    B, H, M, width = scores.shape
    strides = (*scores.stride()[:2], width - 1, 1)
    return scores.as_strided((B, H, M, keys), strides, keys - 1 - start)


class FeedForward(nn.Module):
    """Two linears with SiLU between."""

    def __init__(self, size: int, inner_size: int) -> None:
        super().__init__()
        self.w_1 = nn.Linear(size, inner_size)
        self.w_2 = nn.Linear(inner_size, size)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, S, C] -> the same shape."""
        return self.w_2(F.silu(self.w_1(x)))


class EncoderLayer(nn.Module):
    """Attention and feed-forward, each after its norm and added to its input."""

    def __init__(self, size: int, config: LyricConfig) -> None:
        super().__init__()
        self.self_attn = RelativeAttention(size, config.attention_heads)
        self.feed_forward = FeedForward(size, config.linear_units)
        self.norm_mha = nn.LayerNorm(size, eps=1e-5)
        self.norm_ff = nn.LayerNorm(size, eps=1e-5)

    def forward(self, x: Tensor, positions: Tensor, mask: Tensor, query_scale: float) -> Tensor:
        """x [B, S, C] -> the same shape."""
        x = x + self.self_attn(self.norm_mha(x), positions, mask, query_scale)
        return x + self.feed_forward(self.norm_ff(x))


class Embed(nn.Module):
    """The first projection; `out` keeps the checkpoint's name."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.out = nn.Sequential(nn.Linear(size, size), nn.LayerNorm(size, eps=1e-5))
        self.scale = math.sqrt(size)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, S, C] -> the same shape."""
        return self.out(x) * self.scale


class LyricEncoder(nn.Module):
    """Embedded lyric tokens to lyric states."""

    def __init__(self, size: int, config: LyricConfig) -> None:
        super().__init__()
        self.embed = Embed(size)
        self.encoders = nn.ModuleList(EncoderLayer(size, config) for _ in range(config.num_blocks))
        self.after_norm = nn.LayerNorm(size, eps=1e-5)

    def forward(
        self, x: Tensor, mask: Tensor, *, weakened: bool = False, check: Check | None = None
    ) -> Tensor:
        """x [B, S, C], mask [B, S] (True or 1: a real token) -> [B, S, C]."""
        x = self.embed(x)
        positions = relative_positions(x.shape[1], x.shape[2], x.device).to(x.dtype)
        mask = mask.bool()
        for index, layer in enumerate(self.encoders):
            weak = weakened and index in WEAK_LYRIC_LAYERS
            x = layer(x, positions, mask, WEAKENING if weak else 1.0)
            if check is not None:
                check()
        return self.after_norm(x)
