"""What the music should be, as rows the decoder attends to: lyrics, timbre, text.

The decoder cannot see the order of the rows, but lyric timing relies on lyrics coming first.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lofi.backends.ace_step_15.config import ModelConfig
from lofi.backends.ace_step_15.layers import EncoderLayer, run_layers
from lofi.nn.norms import RMSNorm
from lofi.worker.backend import Check


def never() -> None:
    """A check that lets everything pass."""


class LyricEncoder(nn.Module):
    """Token embeddings of the lyric prompt -> rows."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Linear(config.text_size, config.encoder.size)
        self.layers = nn.ModuleList(EncoderLayer(config, i) for i in range(config.lyric_layers))
        self.norm = RMSNorm(config.encoder.size, config.eps)

    def forward(self, x: Tensor, valid: Tensor, check: Check = never) -> Tensor:
        """x [B, T, text], valid [B, T] -> [B, T, C]."""
        mask = None if bool(valid.all()) else valid.bool()
        return self.norm(run_layers(self.layers, self.embed_tokens(x), self.config, check, mask))


class TimbreEncoder(nn.Module):
    """Reference latents -> one row a reference."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Linear(config.timbre_channels, config.encoder.size)
        # in every file, read by XL only
        self.special_token = nn.Parameter(torch.zeros(1, 1, config.encoder.size))
        self.layers = nn.ModuleList(EncoderLayer(config, i) for i in range(config.timbre_layers))
        self.norm = RMSNorm(config.encoder.size, config.eps)

    def forward(self, packed: Tensor, order: Tensor, check: Check = never) -> tuple[Tensor, Tensor]:
        """packed [N, T, timbre], order [N] (the item of each) -> rows [B, R, C], valid [B, R]."""
        x = self.embed_tokens(packed)
        if self.config.is_xl:
            x = torch.cat((self.special_token.expand(len(x), -1, -1), x), dim=1)
        x = self.norm(run_layers(self.layers, x, self.config, check))[:, 0]
        items = order.tolist()
        rows = [[x[n] for n, item in enumerate(items) if item == b] for b in range(max(items) + 1)]
        most = max(len(found) for found in rows)
        out = x.new_zeros(len(rows), most, x.shape[-1])
        valid = torch.zeros(len(rows), most, dtype=torch.bool, device=x.device)
        for b, found in enumerate(rows):
            for r, row in enumerate(found):
                out[b, r] = row
                valid[b, r] = True
        return out, valid


def pack(a: Tensor, a_valid: Tensor, b: Tensor, b_valid: Tensor) -> tuple[Tensor, Tensor]:
    """Joins two runs of rows [B, S, C], real ones first in their order, padding last."""
    x = torch.cat((a, b), dim=1)
    valid = torch.cat((a_valid, b_valid), dim=1).bool()
    if bool(valid.all()):
        return x, valid
    # integers: some devices cannot sort booleans
    order = torch.argsort(valid.to(torch.int32), dim=1, descending=True, stable=True)
    x = x.gather(1, order[..., None].expand_as(x))
    places = torch.arange(valid.shape[1], device=valid.device)
    return x, places < valid.sum(1, keepdim=True)


class ConditionEncoder(nn.Module):
    """Text, lyrics and references -> the rows the decoder attends to."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.text_projector = nn.Linear(config.text_size, config.encoder.size, bias=False)
        self.lyric_encoder = LyricEncoder(config)
        self.timbre_encoder = TimbreEncoder(config)

    def forward(
        self,
        text: Tensor,
        text_valid: Tensor,
        lyrics: Tensor,
        lyrics_valid: Tensor,
        references: Tensor,
        order: Tensor,
        check: Check = never,
    ) -> tuple[Tensor, Tensor]:
        """Packs lyrics, timbre, text.

        Args:
            text: hidden states of the text prompt [B, S, text]; text_valid [B, S].
            lyrics: token embeddings of the lyric prompt [B, L, text]; lyrics_valid [B, L].
            references: latents [N, T, timbre]; order [N] gives the item of each.

        Returns:
            rows [B, S', C] and which of them are real [B, S'].
        """
        timbre, timbre_valid = self.timbre_encoder(references, order, check)
        rows, valid = pack(
            self.lyric_encoder(lyrics, lyrics_valid, check), lyrics_valid, timbre, timbre_valid
        )
        return pack(rows, valid, self.text_projector(text), text_valid)
