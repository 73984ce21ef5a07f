"""What happens to decoded audio [channels, samples] before it is written."""

from __future__ import annotations

import torch
from torch import Tensor

PEAK_DB = -1.0
_SILENT = 1e-6


def limited(audio: Tensor) -> Tensor:
    """Divided by its peak if that is above 1."""
    peak = audio.abs().max() if audio.numel() else audio.new_zeros(())
    return audio / peak if peak > 1 else audio


def normalised(audio: Tensor, peak_db: float = PEAK_DB) -> Tensor:
    """Brought up or down to `peak_db`; near silence is left alone."""
    peak = audio.abs().max() if audio.numel() else audio.new_zeros(())
    return audio if peak < _SILENT else audio * (10 ** (peak_db / 20) / peak)


def faded(audio: Tensor, in_samples: int, out_samples: int) -> Tensor:
    """Linear fades at both ends."""
    out = audio.clone()
    count = min(in_samples, audio.shape[-1])
    if count > 0:
        out[..., :count] *= torch.linspace(0, 1, count, device=audio.device)
    count = min(out_samples, audio.shape[-1])
    if count > 0:
        out[..., -count:] *= torch.linspace(1, 0, count, device=audio.device)
    return out
