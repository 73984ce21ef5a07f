"""Draws MusicGen's codes one step after the other: guidance, temperature, top-k, top-p, seeded.

The decoder's layers are transformers'; the loop around them is ours, so that each token can be
counted, cancelled and continued from. Filters come in the order transformers applies them, so one
seed gives the samples its `generate` gives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, EncoderDecoderCache

from lofi.backends.musicgen.delays import UNKNOWN, pattern, undelay
from lofi.worker.backend import Check


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next code is drawn. `guidance` 1 switches guidance off."""

    guidance: float
    temperature: float
    top_k: int
    top_p: float


@dataclass(frozen=True, slots=True)
class Condition:
    """What the decoder listens to, guided row first, [2, S, C] or [1, S, C]."""

    states: Tensor
    mask: Tensor | None
    is_prefix: bool = False
    """True for the melody model, whose condition stands before the codes."""


@torch.inference_mode()
def draw(
    decoder: Any,
    condition: Condition,
    prompt: Tensor,
    length: int,
    sampling: Sampling,
    generator: torch.Generator,
    check: Check,
) -> Iterator[Tensor | int]:
    """Yields how many steps are done, and at last the codes.

    Args:
        decoder: a MusicgenForCausalLM or its melody kin.
        prompt: [K, P] codes to go on from.
        length: codes per codebook in all.

    Yields:
        int after each step; then one Tensor [K, length].
    """
    channels = int(decoder.config.audio_channels)
    pad = int(decoder.config.pad_token_id)
    table = pattern(prompt, length, pad, channels=channels)
    table = table.to(condition.states.device)
    known = int((table[0] == UNKNOWN).nonzero()[0]) if bool((table[0] == UNKNOWN).any()) else None
    total = table.shape[1]
    guided = sampling.guidance > 1
    cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
    first = known if known is not None else total
    step = first
    fresh = table[:, :first]
    while step < total:
        check()
        ids = fresh.repeat(2, 1) if guided else fresh
        extra: dict[str, Any] = {}
        if not condition.is_prefix:
            extra["encoder_attention_mask"] = condition.mask
        states = condition.states if not condition.is_prefix or step == first else None
        output = decoder(
            input_ids=ids,
            encoder_hidden_states=states,
            past_key_values=cache if not condition.is_prefix else cache.self_attention_cache,
            use_cache=True,
            **extra,
        )
        logits = output.logits[:, -1, :]
        chosen = choose(logits.float(), sampling, generator, guided=guided)
        column = table[:, step]
        table[:, step] = torch.where(column == UNKNOWN, chosen, column)
        fresh = table[:, step : step + 1]
        step += 1
        yield step - first
    yield undelay(table, length, channels=channels)


def choose(
    logits: Tensor, sampling: Sampling, generator: torch.Generator, *, guided: bool
) -> Tensor:
    """Draws one id a row. logits [2K, V] guided, [K, V] else -> [K]."""
    if guided:
        wanted, plain = logits.chunk(2)
        logits = plain + (wanted - plain) * sampling.guidance
    logits = logits / sampling.temperature
    if sampling.top_k:
        count = min(sampling.top_k, logits.shape[-1])
        logits = logits.masked_fill(logits < logits.topk(count).values[..., -1, None], -torch.inf)
    if 0 < sampling.top_p < 1:
        ordered, order = logits.sort(descending=False)
        below = ordered.softmax(-1).cumsum(-1) <= 1 - sampling.top_p
        below[..., -1:] = False
        logits = logits.masked_fill(below.scatter(1, order, below), -torch.inf)
    drawn = torch.multinomial(logits.softmax(-1).cpu(), 1, generator=generator)
    return drawn.squeeze(1).to(logits.device)
