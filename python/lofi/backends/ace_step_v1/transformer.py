"""The diffusion transformer: noisy latents, time and conditioning tokens to a velocity.

It runs in two halves, as it is used: `encode` and `remember` once per condition, `forward` once
per step. Attribute names are the checkpoint's keys.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lofi.backends.ace_step_v1.attention import CrossAttention, KeysValues, LinearAttention
from lofi.backends.ace_step_v1.config import WEAK_BLOCKS, WEAKENING, TransformerConfig
from lofi.backends.ace_step_v1.lyric_encoder import LyricEncoder
from lofi.backends.ace_step_v1.rope import rotary_for
from lofi.nn.embedding import Embedding
from lofi.nn.rope import Rotary
from lofi.worker.backend import Check, nothing

EPSILON = 1e-6
TIME_CHANNELS = 256
STRETCH_FRAMES = 512
"""Frames the feed-forward of a CPU takes at a time: less memory, and a job soon cancelled."""


def rms(x: Tensor) -> Tensor:
    """Scales the last axis of x to unit root mean square; the mean is float32."""
    return torch.rms_norm(x.float(), x.shape[-1:], None, EPSILON).to(x.dtype)


def time_waves(timesteps: Tensor) -> Tensor:
    """timesteps [N] in 0..1000 -> [N, 256]: cosines, then sines."""
    half = TIME_CHANNELS // 2
    exponents = -math.log(10000.0) * torch.arange(half, dtype=torch.float32) / half
    # in float64 on the CPU: one unit in a frequency's last place is 1e-4 in an angle of 1000
    frequencies = exponents.double().exp().float().to(timesteps.device)
    angles = timesteps.float()[:, None] * frequencies
    return torch.cat((angles.cos(), angles.sin()), dim=-1)


@dataclass(frozen=True, slots=True)
class Memory:
    """What the blocks remember of the conditioning tokens of one or more branches."""

    keys_values: tuple[KeysValues, ...]
    """One pair a block."""
    mask: Tensor
    """[B, S], True where a token may be looked at."""

    def rows(self, start: int, stop: int) -> Memory:
        """Returns the same for items start..stop of the batch, without copying."""
        pairs = tuple((k[start:stop], v[start:stop]) for k, v in self.keys_values)
        return Memory(pairs, self.mask[start:stop])


@dataclass(frozen=True, slots=True)
class Times:
    """Embedded schedule values, for all steps at once."""

    embedded: Tensor
    """[N, C], for the final layer."""
    modulation: Tensor
    """[N, 6C], for the blocks."""

    def row(self, index: int) -> Times:
        """Returns the values of one step, [1, …]."""
        rows = slice(index, index + 1)
        return Times(self.embedded[rows], self.modulation[rows])


class Convolution(nn.Module):
    """Holds one convolution under the checkpoint's name `conv`."""

    def __init__(self, conv: nn.Conv1d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, C] -> [B, T, C']: of kernel 1, so a linear; widened as `WideningLinear` is."""
        return F.linear(x, self.conv.weight[:, :, 0].to(x.dtype), self.conv.bias)


class GatedConvolution(nn.Module):
    """Feed-forward along time: widen, look at both neighbours, gate, narrow."""

    def __init__(self, size: int, inner_size: int) -> None:
        super().__init__()
        width = 2 * inner_size
        self.inverted_conv = Convolution(nn.Conv1d(size, width, 1))
        self.depth_conv = Convolution(nn.Conv1d(width, width, 3, padding=1, groups=width))
        self.point_conv = Convolution(nn.Conv1d(inner_size, size, 1, bias=False))

    def forward(self, x: Tensor, check: Check = nothing) -> Tensor:
        """x [B, T, C] -> the same shape."""
        T = x.shape[1]
        if x.device.type != "cpu" or T <= STRETCH_FRAMES:
            return self._stretch(x)
        pieces = []
        for start in range(0, T, STRETCH_FRAMES):
            stop = min(start + STRETCH_FRAMES, T)
            low, high = max(0, start - 1), min(T, stop + 1)
            pieces.append(self._stretch(x[:, low:high])[:, start - low : stop - low])
            check()
        return torch.cat(pieces, dim=1)

    def _stretch(self, x: Tensor) -> Tensor:
        x = F.silu(self.inverted_conv(x), inplace=True)
        conv = self.depth_conv.conv
        # as a convolution of height 1 the channels stay innermost in memory, in and out
        x = F.conv2d(
            x.transpose(1, 2)[:, :, None],
            conv.weight[:, :, None].to(x.dtype),
            conv.bias,
            padding=(0, 1),
            groups=conv.groups,
        )[:, :, 0].transpose(1, 2)
        a, gate = x.chunk(2, dim=-1)
        return self.point_conv(a * F.silu(gate))


class Block(nn.Module):
    """Linear attention, cross attention and feed-forward; the time sets shift, scale and gate."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        size = config.size
        self.attn = LinearAttention(size, config.num_attention_heads)
        self.cross_attn = CrossAttention(size, config.num_attention_heads)
        self.ff = GatedConvolution(size, int(size * config.mlp_ratio))
        self.scale_shift_table = nn.Parameter(torch.zeros(6, size))

    def forward(
        self,
        x: Tensor,
        modulation: Tensor,
        keys_values: KeysValues,
        rotary: Rotary,
        token_mask: Tensor,
        frame_mask: Tensor | None = None,
        query_scale: Tensor | None = None,
        check: Check = nothing,
    ) -> Tensor:
        """x [B, T, C], modulation [B or 1, 6C], token_mask [B, 1, T or 1, S] -> [B, T, C]."""
        rows = self.scale_shift_table + modulation.view(modulation.shape[0], 6, -1)
        shift, scale, gate, ff_shift, ff_scale, ff_gate = rows[:, :, None].unbind(1)
        x = x + gate * self.attn(rms(x) * (1 + scale) + shift, rotary, frame_mask, check)
        check()
        # neither norm nor gate around the cross attention
        x = x + self.cross_attn(x, keys_values, rotary, token_mask, query_scale)
        check()
        return x + ff_gate * self.ff(rms(x) * (1 + ff_scale) + ff_shift, check)


class PatchIn(nn.Module):
    """A column of the latent image becomes a token. Its norm runs over channels and time."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width = config.in_channels * 256
        self.early_conv_layers = nn.Sequential(
            nn.Conv2d(config.in_channels, width, config.patch_size, stride=config.patch_size),
            nn.GroupNorm(32, width, eps=1e-6),
            nn.Conv2d(width, config.size, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """x [B, 8, 16, T] -> [B, T, C]."""
        return self.early_conv_layers(x).flatten(2).transpose(1, 2).contiguous()


class PatchOut(nn.Module):
    """Tokens to columns of the velocity's image."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.rows = config.patch_size[0]
        self.linear = nn.Linear(config.size, self.rows * config.patch_size[1] * config.out_channels)
        self.scale_shift_table = nn.Parameter(torch.zeros(2, config.size))

    def forward(self, x: Tensor, embedded_time: Tensor, length: int | None = None) -> Tensor:
        """x [B, T, C], embedded_time [B or 1, C] -> [B, 8, 16, length]: cut, or filled with 0."""
        shift, scale = (self.scale_shift_table + embedded_time[:, None])[:, :, None].unbind(1)
        y = self.linear(rms(x) * (1 + scale) + shift)
        B, T, _ = y.shape
        # value p * 8 + c is row p of channel c
        image = y.view(B, T, self.rows, -1).permute(0, 3, 2, 1)
        missing = T - (T if length is None else length)
        return F.pad(image, (0, -missing)) if missing else image


class TimestepEmbedder(nn.Module):
    """Two linears over the waves of the schedule value."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(TIME_CHANNELS, size)
        self.linear_2 = nn.Linear(size, size)

    def forward(self, waves: Tensor) -> Tensor:
        """waves [N, 256] -> [N, C]."""
        return self.linear_2(F.silu(self.linear_1(waves)))


class Transformer(nn.Module):
    """The whole network, without what only training used."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        size, lyric_size = config.size, config.lyric_hidden_size
        self.speaker_embedder = nn.Linear(config.speaker_embedding_dim, size)
        self.genre_embedder = nn.Linear(config.text_embedding_dim, size)
        self.lyric_embs = Embedding(config.lyric_encoder_vocab_size, lyric_size)
        self.lyric_encoder = LyricEncoder(lyric_size, config.lyric_encoder)
        self.lyric_proj = nn.Linear(lyric_size, size)
        self.timestep_embedder = TimestepEmbedder(size)
        self.t_block = nn.Sequential(nn.SiLU(), nn.Linear(size, 6 * size))
        self.proj_in = PatchIn(config)
        self.transformer_blocks = nn.ModuleList(Block(config) for _ in range(config.num_layers))
        self.final_layer = PatchOut(config)

    @property
    def dtype(self) -> torch.dtype:
        """What the weights are in."""
        return self.genre_embedder.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.genre_embedder.weight.device

    def encode(
        self,
        text_states: Tensor,
        text_mask: Tensor,
        lyric_ids: Tensor,
        lyric_mask: Tensor,
        *,
        speaker: Tensor | None = None,
        weak_lyrics: bool = False,
        check: Check = nothing,
    ) -> tuple[Tensor, Tensor]:
        """Returns the conditioning tokens [B, 1 + Lt + Ll, C] and their mask.

        Args:
            text_states: [B, Lt, 768] from the text encoder; zeros where there is no text.
            text_mask: [B, Lt], 1 for a real token.
            lyric_ids: [B, Ll].
            lyric_mask: [B, Ll].
            speaker: [B, 512]; None is the zero vector all published music was made with.
            weak_lyrics: run the lyric encoder with its attention levelled.
        """
        B = text_states.shape[0]
        if speaker is None:
            speaker = text_states.new_zeros(B, self.config.speaker_embedding_dim)
        lyrics = self.lyric_encoder(
            self.lyric_embs(lyric_ids), lyric_mask, weakened=weak_lyrics, check=check
        )
        tokens = (
            self.speaker_embedder(speaker.to(self.dtype))[:, None],
            self.genre_embedder(text_states.to(self.dtype)),
            self.lyric_proj(lyrics),
        )
        always = text_mask.new_ones(B, 1)
        return torch.cat(tokens, dim=1), torch.cat((always, text_mask, lyric_mask), dim=1)

    def remember(self, tokens: Tensor, mask: Tensor, check: Check = nothing) -> Memory:
        """Returns every block's keys and values of tokens [B, S, C]; mask [B, S]."""
        rotary = self.rotary(tokens.shape[1])
        pairs = []
        for block in self.transformer_blocks:
            assert isinstance(block, Block)
            pairs.append(block.cross_attn.keys_values(tokens, rotary))
            check()
        return Memory(tuple(pairs), mask.bool())

    def rotary(self, length: int) -> Rotary:
        """Returns the rotary table of `length` positions."""
        config = self.config
        return rotary_for(
            length, config.attention_head_dim, config.rope_theta, self.genre_embedder.weight
        )

    def times(self, timesteps: Tensor) -> Times:
        """timesteps [N] in 0..1000 -> their embeddings."""
        waves = time_waves(timesteps.to(self.device)).to(self.dtype)
        embedded = self.timestep_embedder(waves)
        return Times(embedded, self.t_block(embedded))

    def forward(
        self,
        x: Tensor,
        times: Times,
        memory: Memory,
        *,
        frame_mask: Tensor | None = None,
        query_scale: Tensor | None = None,
        check: Check = nothing,
    ) -> Tensor:
        """Returns the velocity in float32.

        Args:
            x: [B, 8, 16, T] latents, any float dtype.
            times: of this step, rows 1 or B.
            memory: of B items.
            frame_mask: [B, T], 1 for a real frame; None: all are.
            query_scale: [B, 1, 1] factors on the queries of the levelled blocks; None: none.
        """
        mask = memory.mask[:, None, None]
        if frame_mask is not None:
            mask = mask & frame_mask.bool()[:, None, :, None]
        hidden = self.proj_in(x.to(self.dtype))
        rotary = self.rotary(hidden.shape[1])
        check()
        for index, block in enumerate(self.transformer_blocks):
            hidden = block(
                hidden,
                times.modulation,
                memory.keys_values[index],
                rotary,
                mask,
                frame_mask,
                query_scale if index in WEAK_BLOCKS else None,
                check,
            )
            check()
        return self.final_layer(hidden, times.embedded, x.shape[-1]).float()


def weakening(branches_weak: tuple[bool, ...], batch: int, like: Tensor) -> Tensor | None:
    """Returns query factors [len * batch, 1, 1] of stacked branches, None if all are ordinary."""
    if not any(branches_weak):
        return None
    factors = [WEAKENING if weak else 1.0 for weak in branches_weak for _ in range(batch)]
    return torch.tensor(factors, device=like.device, dtype=like.dtype)[:, None, None]
