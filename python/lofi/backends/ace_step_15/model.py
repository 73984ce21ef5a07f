"""The DiT checkpoint as one module, and the context its decoder sees."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lofi.backends.ace_step_15.codes import AudioTokenizer, Detokenizer
from lofi.backends.ace_step_15.config import ModelConfig
from lofi.backends.ace_step_15.dit import Decoder
from lofi.backends.ace_step_15.encoders import ConditionEncoder, never
from lofi.worker.backend import Check


class AceStep(nn.Module):
    """Decoder, condition encoder, audio tokenizer and detokenizer under the checkpoint's names."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.decoder = Decoder(config)
        self.encoder = ConditionEncoder(config)
        self.tokenizer = AudioTokenizer(config)
        self.detokenizer = Detokenizer(config)
        self.null_condition_emb = nn.Parameter(torch.zeros(1, 1, config.encoder.size))

    def hints(self, latents: Tensor, silence: Tensor, check: Check = never) -> Tensor:
        """Latents [B, T, C] through the 5 Hz codec and back, [B, T, C]."""
        quantised, _ = self.tokenizer(latents.to(self.decoder.dtype), silence, check)
        return self.detokenizer(quantised, check)[:, : latents.shape[1]].float()

    def decode_codes(self, codes: Tensor, check: Check = never) -> Tensor:
        """codes [B, N] -> latents [B, 5 N, C], float32."""
        return self.detokenizer(self.tokenizer.quantizer.lookup(codes), check).float()


def context_latents(source: Tensor, chunk_mask: Tensor) -> Tensor:
    """source [B, T, C] and mask [B, T] or [B, T, C] (True: generate) -> context [B, T, 2 C]."""
    mask = chunk_mask.to(source)
    if mask.dim() == 2:
        mask = mask[..., None].expand_as(source)
    return torch.cat((source, mask), dim=-1)


def silence_frames(silence: Tensor, count: int) -> Tensor:
    """The first `count` frames of silence [1, S, C], repeated in time when it is too short."""
    repeats = -(-count // silence.shape[1])
    return silence.repeat(1, repeats, 1)[:, :count]
