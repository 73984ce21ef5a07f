"""EnCodec between codes and samples, with checks on the way."""

from __future__ import annotations

import torch
from torch import Tensor

from lofi.backends.musicgen.weights import Loaded
from lofi.worker.backend import Check


@torch.inference_mode()
def decode(loaded: Loaded, codes: Tensor, check: Check) -> Tensor:
    """Returns the samples of [K, T] codes as float32 [frames, channels].

    EnCodec's decoder holds an LSTM over time, so it cannot be cut into exact tiles: the piece, at
    most 120 s, is decoded whole, with a check after each layer.
    """
    codec = loaded.model.audio_encoder
    place = next(codec.parameters()).device
    rows = []
    for channel in range(loaded.channels):
        own = codes[channel :: loaded.channels].to(place)
        # [K, T] -> [K, 1, T] -> [1, C, T]
        signal = codec.quantizer.decode(own[:, None])
        for layer in codec.decoder.layers:
            check()
            signal = layer(signal)
        rows.append(signal[0, 0].float().cpu())
    return torch.stack(rows, 1)


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
