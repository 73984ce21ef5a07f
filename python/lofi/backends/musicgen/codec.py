"""EnCodec between codes and samples, in windows, with checks between them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from lofi.backends.musicgen.weights import Loaded
from lofi.worker.backend import Check


@torch.inference_mode()
def decode(loaded: Loaded, codes: Tensor, check: Check) -> Iterator[Tensor]:
    """Yields the samples of [K, T] codes as float32 [frames, channels].

    EnCodec's decoder holds an LSTM over time, so it cannot be cut into exact tiles: one window is
    the whole piece, at most 120 s.
    """
    codec = loaded.model.audio_encoder
    place = next(codec.parameters()).device
    check()
    rows = []
    for channel in range(loaded.channels):
        own = codes[channel :: loaded.channels] if loaded.channels > 1 else codes
        values = codec.decode(own[None, None].to(place), [None]).audio_values
        rows.append(values[0, 0].float().cpu())
        check()
    yield torch.stack(rows, 1)


@torch.inference_mode()
def encode(loaded: Loaded, samples: Tensor) -> Tensor:
    """Returns [K, T] codes of float32 [frames, channels] at the model's rate."""
    codec = loaded.model.audio_encoder
    weight = next(codec.parameters())
    rows = []
    for channel in range(loaded.channels):
        wave = samples[:, channel].to(weight.device, weight.dtype)
        rows.append(codec.encode(wave[None, None]).audio_codes[0, 0])
    # left and right of one codebook are neighbours
    return torch.stack(rows, 1).flatten(0, 1).cpu()
