"""The 5 Hz codec: latents to audio codes (finite scalar quantisation) and back."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lofi.backends.ace_step_15.config import ModelConfig
from lofi.backends.ace_step_15.encoders import never
from lofi.backends.ace_step_15.layers import EncoderLayer, run_layers
from lofi.nn.norms import RMSNorm
from lofi.worker.backend import Check

CODE_COUNT = 64000
WINDOWS = 128
"""Codes worked on at once: each stands alone, and three thousand of them are ten minutes."""
_CODE = re.compile(r"<\|audio_code_(\d+)\|>")


def parse_codes(text: str) -> list[int]:
    """The codes of `<|audio_code_N|>` text, clamped to 0..63999."""
    return [min(int(digits), CODE_COUNT - 1) for digits in _CODE.findall(text)]


class Quantizer(nn.Module):
    """Six bounded numbers a token, each rounded to a few levels; their digits are the code."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.levels = config.fsq_levels
        self.project_in = nn.Linear(config.fsq_size, len(self.levels))
        self.project_out = nn.Linear(len(self.levels), config.fsq_size)

    def _level_counts(self, device: torch.device) -> Tensor:
        return torch.tensor(self.levels, dtype=torch.float32, device=device)

    def bound(self, z: Tensor) -> Tensor:
        """z [..., 6] -> values bent towards -1..1, a little beyond at most."""
        edge = 1 + 1 / (self._level_counts(z.device) - 1)
        return edge * torch.tanh(z / edge)

    def digits(self, bounded: Tensor) -> Tensor:
        """bounded values -> levels 0..L-1, int64."""
        steps = self._level_counts(bounded.device) - 1
        return torch.floor(steps * (bounded.clamp(-1, 1) + 1) / 2 + 0.5).long()

    def values(self, digits: Tensor) -> Tensor:
        """levels -> the values -1..1 they stand for."""
        return 2 * digits / (self._level_counts(digits.device) - 1) - 1

    def indices(self, digits: Tensor) -> Tensor:
        """levels [..., 6] -> one code each; the first level varies fastest."""
        return (digits * self._basis(digits.device)).sum(-1)

    def digits_of(self, indices: Tensor) -> Tensor:
        """codes [...] -> levels [..., 6]."""
        counts = torch.tensor(self.levels, device=indices.device)
        return indices[..., None] // self._basis(indices.device) % counts

    def _basis(self, device: torch.device) -> Tensor:
        counts = torch.tensor((1, *self.levels[:-1]), device=device)
        return counts.cumprod(0)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, N, C] -> quantised [B, N, C] and codes [B, N].

        In float32 whatever the weights are: in bfloat16 values near a border fall to the wrong
        side, and codes are shown and reused.
        """
        z = torch.nn.functional.linear(
            x.float(), self.project_in.weight.float(), self.project_in.bias.float()
        )
        digits = self.digits(self.bound(z))
        return self.embed(digits), self.indices(digits)

    def embed(self, digits: Tensor) -> Tensor:
        """levels [B, N, 6] -> [B, N, C] in the dtype of the weights."""
        return self.project_out(self.values(digits).to(self.project_out.weight.dtype))

    def lookup(self, indices: Tensor) -> Tensor:
        """codes [B, N] -> [B, N, C]."""
        return self.embed(self.digits_of(indices))


class Pooler(nn.Module):
    """Each window of five frames -> one row."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        size = config.encoder.size
        self.embed_tokens = nn.Linear(size, size)
        self.special_token = nn.Parameter(torch.zeros(1, 1, size))
        self.layers = nn.ModuleList(EncoderLayer(config, i) for i in range(config.pooler_layers))
        self.norm = RMSNorm(size, config.eps)

    def forward(self, x: Tensor, check: Check = never) -> Tensor:
        """x [B, N, P, C] -> [B, N, C]."""
        B, N, P, C = x.shape
        x = self.embed_tokens(x).view(B * N, P, C)
        x = torch.cat((self.special_token.expand(B * N, -1, -1), x), dim=1)
        return self.norm(run_layers(self.layers, x, self.config, check))[:, 0].view(B, N, C)


class AudioTokenizer(nn.Module):
    """25 Hz latents -> 5 Hz codes."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.pool = config.pool
        self.audio_acoustic_proj = nn.Linear(config.latent_channels, config.encoder.size)
        self.attention_pooler = Pooler(config)
        self.quantizer = Quantizer(config)

    def pooled(self, latents: Tensor, silence: Tensor, check: Check = never) -> Tensor:
        """latents [B, T, C], silence [1, ≥ 4, C] -> [B, ceil(T / 5), E], before quantising."""
        missing = -latents.shape[1] % self.pool
        if missing:
            filler = silence[:, :missing].to(latents).expand(len(latents), -1, -1)
            latents = torch.cat((latents, filler), dim=1)
        windows = latents.view(len(latents), -1, self.pool, latents.shape[-1])
        parts = [
            self.attention_pooler(self.audio_acoustic_proj(part), check)
            for part in torch.split(windows, WINDOWS, dim=1)
        ]
        return torch.cat(parts, dim=1)

    def forward(
        self, latents: Tensor, silence: Tensor, check: Check = never
    ) -> tuple[Tensor, Tensor]:
        """latents [B, T, C] -> quantised [B, N, E], codes [B, N]."""
        quantised, codes = self.quantizer(self.pooled(latents, silence, check))
        return quantised, codes


class Detokenizer(nn.Module):
    """Each quantised row -> five latent frames."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        size = config.encoder.size
        self.embed_tokens = nn.Linear(size, size)
        self.special_tokens = nn.Parameter(torch.zeros(1, config.pool, size))
        self.layers = nn.ModuleList(EncoderLayer(config, i) for i in range(config.pooler_layers))
        self.norm = RMSNorm(size, config.eps)
        self.proj_out = nn.Linear(size, config.latent_channels)

    def forward(self, quantised: Tensor, check: Check = never) -> Tensor:
        """quantised [B, N, E] -> latents [B, 5 N, C]."""
        parts = [self._frames(part, check) for part in torch.split(quantised, WINDOWS, dim=1)]
        return torch.cat(parts, dim=1)

    def _frames(self, quantised: Tensor, check: Check) -> Tensor:
        B, N, E = quantised.shape
        P = self.config.pool
        x = self.embed_tokens(quantised)[:, :, None].expand(-1, -1, P, -1) + self.special_tokens
        x = run_layers(self.layers, x.reshape(B * N, P, E), self.config, check)
        return self.proj_out(self.norm(x)).view(B, N * P, -1)


def codes_tensor(codes: Sequence[int], device: torch.device) -> Tensor:
    """codes -> [1, N]."""
    return torch.tensor([list(codes)], dtype=torch.int64, device=device)
