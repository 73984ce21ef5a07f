"""The diffusion transformer: predicts the velocity from data to noise, frame by frame."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lofi.backends.ace_step_15.config import ModelConfig
from lofi.backends.ace_step_15.encoders import never
from lofi.backends.ace_step_15.layers import attention, rotary_for
from lofi.nn.attention import attend
from lofi.nn.mlp import GatedMLP
from lofi.nn.norms import RMSNorm
from lofi.nn.rope import Rotary
from lofi.worker.backend import Check

Memory = tuple[tuple[Tensor, Tensor], ...]
"""Keys and values of the condition, [B, G, S, D] each, per decoder layer."""

SINUSOID = 256


@dataclass(frozen=True, slots=True)
class Times:
    """What the layers take from the time: `shift` [B, 1, H], `table` [B, 6, H]."""

    shift: Tensor
    table: Tensor


class TimeEmbedder(nn.Module):
    """A time -> one vector, and six more for the layers."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(SINUSOID, size)
        self.linear_2 = nn.Linear(size, size)
        self.time_proj = nn.Linear(size, 6 * size)

    @staticmethod
    def sinusoid(t: Tensor) -> Tensor:
        """t [B] -> [B, 256] in float32, cosines first."""
        half = SINUSOID // 2
        k = torch.arange(half, dtype=torch.float32, device=t.device)
        angles = 1000 * t.float()[:, None] * torch.exp(-math.log(10000) * k / half)
        return torch.cat((angles.cos(), angles.sin()), dim=-1)

    def forward(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """t [B] -> [B, H], [B, 6, H]."""
        h = self.linear_2(F.silu(self.linear_1(self.sinusoid(t).to(self.linear_1.weight.dtype))))
        return h, self.time_proj(F.silu(h)).unflatten(1, (6, -1))


class DecoderLayer(nn.Module):
    """Self-attention, cross-attention to the condition, feed-forward."""

    def __init__(self, config: ModelConfig, index: int) -> None:
        super().__init__()
        width = config.decoder
        self.window = config.window_of(index)
        self.self_attn_norm = RMSNorm(width.size, config.eps)
        self.self_attn = attention(config, width)
        self.cross_attn_norm = RMSNorm(width.size, config.eps)
        self.cross_attn = attention(config, width)
        self.mlp_norm = RMSNorm(width.size, config.eps)
        self.mlp = GatedMLP(width.size, width.inner_size)
        self.scale_shift_table = nn.Parameter(torch.zeros(1, 6, width.size))

    def look(self, x: Tensor, memory: tuple[Tensor, Tensor], check: Check = never) -> Tensor:
        """Cross-attention of x [B, L, H] -> [B, L, H]; no mask, no positions."""
        k, v = memory
        if k.shape[2] == 1:
            # one row gets all the attention whatever is asked (the null condition)
            return self.cross_attn.merge(v.repeat_interleave(self._share(v), dim=1))
        q = self.cross_attn.queries(x)
        check()
        return self.cross_attn.merge(attend(q, k, v, check=check))

    def _share(self, v: Tensor) -> int:
        return self.cross_attn.o_proj.in_features // (v.shape[1] * v.shape[3])

    def modulation(self, table: Tensor) -> list[Tensor]:
        """table [B, 6, H] -> shift, scale, gate, and the same for the feed-forward, [B, 1, H]."""
        return [row[:, None] for row in (self.scale_shift_table + table).unbind(1)]

    def mix(self, x: Tensor, rows: list[Tensor], rotary: Rotary, check: Check = never) -> Tensor:
        """x [B, L, H] plus its self-attention."""
        shift, scale, gate = rows[:3]
        h = torch.addcmul(shift, self.self_attn_norm(x), 1 + scale)
        h = self.self_attn(h, rotary=rotary, window=self.window, check=check)
        return torch.addcmul(x, gate, h)

    def probabilities(self, x: Tensor, memory: tuple[Tensor, Tensor]) -> Tensor:
        """Where the cross-attention of x looks: [H, S, L] of the first item, float32."""
        q = self.cross_attn.queries(self.cross_attn_norm(x))[0].float()
        k = memory[0][0].float()
        k = k.repeat_interleave(len(q) // len(k), dim=0)
        return (q @ k.transpose(1, 2) * q.shape[-1] ** -0.5).softmax(-1).transpose(1, 2)

    def forward(
        self,
        x: Tensor,
        table: Tensor,
        rotary: Rotary,
        memory: tuple[Tensor, Tensor],
        check: Check = never,
    ) -> Tensor:
        """x [B, L, H], table [B, 6, H] -> [B, L, H]; a long `x` is checked on inside."""
        rows = self.modulation(table)
        x = self.mix(x, rows, rotary, check)
        check()
        x = x + self.look(self.cross_attn_norm(x), memory, check)
        check()
        shift, scale, gate = rows[3:]
        h = torch.addcmul(shift, self.mlp_norm(x), 1 + scale)
        return torch.addcmul(x, gate, self.mlp(h, check))


class Decoder(nn.Module):
    """Latents at time t, their context and a condition -> the velocity."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        size, channels, patch = config.decoder.size, config.latent_channels, config.patch
        # the checkpoint's names count two transposes around each convolution
        self.proj_in = nn.Sequential(
            nn.Identity(), nn.Conv1d(config.in_channels, size, patch, stride=patch)
        )
        self.proj_out = nn.Sequential(
            nn.Identity(), nn.ConvTranspose1d(size, channels, patch, stride=patch)
        )
        self.time_embed = TimeEmbedder(size)
        self.time_embed_r = TimeEmbedder(size)
        self.condition_embedder = nn.Linear(config.encoder.size, size)
        self.layers = nn.ModuleList(DecoderLayer(config, i) for i in range(config.decoder_layers))
        self.norm_out = RMSNorm(size, config.eps)
        self.scale_shift_table = nn.Parameter(torch.zeros(1, 2, size))

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights, in which the layers work."""
        return self.scale_shift_table.dtype

    def remember(self, condition: Tensor, check: Check = never) -> Memory:
        """condition [B, S, E] -> keys and values of every layer, the same for all steps."""
        rows = self.condition_embedder(condition.to(self.dtype))
        memory = []
        for layer in self.layers:
            assert isinstance(layer, DecoderLayer)
            memory.append(layer.cross_attn.keys_values(rows))
            check()
        return tuple(memory)

    def times(self, t: Tensor, r: Tensor | None = None) -> Times:
        """t, r [B] -> what the layers take from them; r = t unless given."""
        h, p = self.time_embed(t)
        # always the embedding of zero when sampling: a learned constant, not to be left out
        h_r, p_r = self.time_embed_r(torch.zeros_like(t) if r is None else t - r)
        return Times((h + h_r)[:, None], p + p_r)

    def patches(self, x: Tensor, context: Tensor) -> Tensor:
        """x [B, T, C], context [B, T, 2 C] -> tokens [B, ceil(T / patch), H]."""
        convolution = self.proj_in[1]
        assert isinstance(convolution, nn.Conv1d)
        frames = torch.cat((context.to(self.dtype), x.to(self.dtype)), dim=-1)
        frames = F.pad(frames, (0, 0, 0, -frames.shape[1] % self.config.patch))
        # kernel = stride: a product with whole patches, [B, L, patch * channels]
        B, T, C = frames.shape
        frames = frames.view(B, T // self.config.patch, self.config.patch * C)
        return F.linear(frames, convolution.weight.transpose(1, 2).flatten(1), convolution.bias)

    def frames(self, x: Tensor, shift: Tensor, length: int) -> Tensor:
        """tokens [B, L, H] -> velocity [B, T, C] in float32."""
        convolution = self.proj_out[1]
        assert isinstance(convolution, nn.ConvTranspose1d) and convolution.bias is not None
        low, scale = (self.scale_shift_table + shift).chunk(2, dim=1)
        x = torch.addcmul(low, self.norm_out(x), 1 + scale)
        # [H, C, patch] -> [patch * C, H]
        weight = convolution.weight.permute(2, 1, 0).flatten(0, 1)
        x = F.linear(x, weight, convolution.bias.repeat(self.config.patch))
        B, L, _ = x.shape
        return x.view(B, L * self.config.patch, -1)[:, :length].float()

    def forward(
        self,
        x: Tensor,
        context: Tensor,
        memory: Memory,
        t: Tensor,
        r: Tensor | None = None,
        check: Check = never,
    ) -> Tensor:
        """The velocity at x.

        Args:
            x: latents [B, T, C].
            context: source latents, then the chunk mask, [B, T, 2 C].
            memory: of `remember`.
            t, r: times [B], 1 noise to 0 data.
            check: called after each layer.

        Returns:
            [B, T, C] float32: noise minus data.
        """
        times = self.times(t, r)
        h = self.patches(x, context)
        rotary = rotary_for(h, self.config)
        for layer, rows in zip(self.layers, memory, strict=True):
            h = layer(h, times.table, rotary, rows, check)
            check()
        return self.frames(h, times.shift, x.shape[1])

    def lyric_attention(
        self, x: Tensor, context: Tensor, memory: Memory, t: Tensor, layers: int, check: Check
    ) -> Tensor:
        """Cross-attention probabilities of the first `layers` layers, [layers, H, S, L], item 0."""
        times = self.times(t)
        h = self.patches(x, context)
        rotary = rotary_for(h, self.config)
        maps = []
        for layer, rows in zip(self.layers[:layers], memory, strict=False):
            assert isinstance(layer, DecoderLayer)
            mixed = layer.mix(h, layer.modulation(times.table), rotary)
            maps.append(layer.probabilities(mixed, rows))
            h = layer(h, times.table, rotary, rows)
            check()
        return torch.stack(maps)
