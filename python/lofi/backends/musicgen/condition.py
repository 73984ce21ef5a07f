"""What MusicGen listens to: the prompt through T5, and for the melody model a hummed tune."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lofi.backends.musicgen.tokens import Condition
from lofi.backends.musicgen.weights import Loaded

TEXT_LIMIT_TOKENS = 256


def token_ids(loaded: Loaded, text: str) -> Tensor:
    """Returns [1, S] ids, cut to what the model reads."""
    ids = loaded.tokenizer.encode(text).ids
    if len(ids) > TEXT_LIMIT_TOKENS:
        ids = [*ids[: TEXT_LIMIT_TOKENS - 1], ids[-1]]
    return torch.tensor([ids], device=loaded.device)


@torch.inference_mode()
def condition(
    loaded: Loaded, prompt: str, negative_prompt: str, melody: Tensor | None, *, guided: bool
) -> Condition:
    """Returns the states the decoder reads, the guided row first.

    Args:
        melody: [1, frames, 12] pitch classes; only for the melody model.
    """
    rows = [_text(loaded, token_ids(loaded, prompt))]
    if guided:
        rows.append(
            _text(loaded, token_ids(loaded, negative_prompt))
            if negative_prompt
            else (torch.zeros_like(rows[0][0]), torch.zeros_like(rows[0][1]))
        )
    width = max(states.shape[1] for states, _ in rows)
    states = torch.cat([_padded(states, width) for states, _ in rows])
    mask = torch.cat([_padded(row, width) for _, row in rows])
    states = states * mask[..., None]
    if not loaded.is_melody:
        return Condition(states, mask)
    return Condition(torch.cat([_tune(loaded, melody, guided), states], 1), None, is_prefix=True)


def _text(loaded: Loaded, ids: Tensor) -> tuple[Tensor, Tensor]:
    model: Any = loaded.model
    mask = torch.ones_like(ids)
    states = model.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    if model.text_encoder.config.hidden_size != model.decoder.config.hidden_size:
        states = model.enc_to_dec_proj(states)
    return states, mask


def _padded(rows: Tensor, width: int) -> Tensor:
    missing = width - rows.shape[1]
    return torch.cat([rows, rows.new_zeros(rows.shape[0], missing, *rows.shape[2:])], 1)


def _tune(loaded: Loaded, melody: Tensor | None, guided: bool) -> Tensor:
    """[1 or 2, chroma_length, C]; no melody is the pitch class 0 throughout, as in training."""
    config = loaded.model.config
    silent = torch.zeros(1, 1 if melody is None else melody.shape[1], config.num_chroma)
    silent[:, :, 0] = 1
    tune = silent if melody is None else melody
    rows = torch.cat([tune, silent]) if guided else tune
    states = loaded.model.audio_enc_to_dec_proj(rows.to(loaded.device, loaded.dtype))
    repeats = math.ceil(config.chroma_length / states.shape[1])
    return states.repeat(1, repeats, 1)[:, : config.chroma_length]
