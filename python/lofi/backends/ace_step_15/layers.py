"""The encoder layer that lyric encoder, timbre encoder, pooler and detokenizer share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lofi.backends.ace_step_15.config import ModelConfig, Width
from lofi.nn.attention import Attention
from lofi.nn.mlp import GatedMLP
from lofi.nn.norms import RMSNorm
from lofi.nn.rope import Rotary, rotary_table
from lofi.worker.backend import Check


def attention(config: ModelConfig, width: Width) -> Attention:
    """Returns one attention of the given width."""
    return Attention(
        width.size,
        width.heads,
        width.kv_heads,
        config.head_dim,
        eps=config.eps,
        bias=config.attention_bias,
    )


def rotary_for(x: Tensor, config: ModelConfig) -> Rotary:
    """The rotary table of x [B, T, C]: positions 0, 1, 2, … of this sequence."""
    positions = torch.arange(x.shape[1], device=x.device)
    return rotary_table(positions, config.head_dim, config.rope_theta, dtype=x.dtype)


def padding_mask(valid: Tensor, window: int | None, dtype: torch.dtype) -> Tensor:
    """valid [B, T] (True: a real token) -> what to add to the scores, [B, 1, T, T].

    Forbidden entries get the most negative finite number, not minus infinity: a row that may look
    nowhere (padding beyond the window) then averages over everything, and the decoder, which
    masks nothing, does read such rows.
    """
    T = valid.shape[1]
    allowed = valid[:, None, None, :].expand(-1, 1, T, -1)
    if window is not None:
        rows = torch.arange(T, device=valid.device)
        allowed = allowed & ((rows[:, None] - rows).abs() <= window)
    bias = torch.zeros(allowed.shape, dtype=dtype, device=valid.device)
    return bias.masked_fill_(~allowed, torch.finfo(dtype).min)


class EncoderLayer(nn.Module):
    """Attention and feed-forward, each behind a norm and added."""

    def __init__(self, config: ModelConfig, index: int) -> None:
        super().__init__()
        width = config.encoder
        self.window = config.window_of(index)
        self.input_layernorm = RMSNorm(width.size, config.eps)
        self.self_attn = attention(config, width)
        self.post_attention_layernorm = RMSNorm(width.size, config.eps)
        self.mlp = GatedMLP(width.size, width.inner_size)

    def forward(
        self, x: Tensor, rotary: Rotary, check: Check, valid: Tensor | None = None
    ) -> Tensor:
        """x [B, T, C], valid [B, T] (None: every token is real) -> [B, T, C]."""
        h = self.input_layernorm(x)
        if valid is None:
            h = self.self_attn(h, rotary=rotary, window=self.window, check=check)
        else:
            h = self.self_attn(h, rotary=rotary, mask=padding_mask(valid, self.window, x.dtype))
        x = x + h
        return x + self.mlp(self.post_attention_layernorm(x), check)


def run_layers(
    layers: nn.ModuleList, x: Tensor, config: ModelConfig, check: Check, valid: Tensor | None = None
) -> Tensor:
    """x [B, T, C] through all `layers`; `check` is called after each."""
    rotary = rotary_for(x, config)
    for layer in layers:
        x = layer(x, rotary, check, valid)
        check()
    return x
