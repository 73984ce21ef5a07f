"""The tune a reference hums, as MusicGen Melody reads it: the loudest pitch class of each frame."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.audio_utils import chroma_filter_bank

FFT_SIZE = 16384
HOP = 4096
CHROMA = 12


def chroma(samples: Tensor, sample_rate: int) -> Tensor:
    """Returns one-hot pitch classes. samples [T] -> [1, frames, 12]."""
    missing = FFT_SIZE - samples.shape[-1]
    if missing > 0:
        samples = F.pad(samples, (missing // 2, missing - missing // 2))
    window = torch.hann_window(FFT_SIZE)
    spectrum = torch.stft(
        samples, FFT_SIZE, HOP, FFT_SIZE, window, center=True, return_complex=True
    )
    power = (spectrum / window.square().sum().sqrt()).abs().square()
    filters = chroma_filter_bank(
        sampling_rate=sample_rate, num_frequency_bins=FFT_SIZE, tuning=0, num_chroma=CHROMA
    )
    raw = torch.from_numpy(np.asarray(filters)).float() @ power
    return F.one_hot(raw.argmax(0), CHROMA).float()[None]
