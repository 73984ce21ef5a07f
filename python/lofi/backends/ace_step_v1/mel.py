"""Log mel spectrograms, as the autoencoder's images are made from them."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lofi.backends.ace_step_v1.config import HOP_SAMPLES, NATIVE_RATE

FFT_SAMPLES = 2048
BINS = 128
LOW_HZ, HIGH_HZ = 40.0, 16000.0
_KNEE_HZ, _KNEE_MEL, _LOG_STEP = 1000.0, 15.0, np.log(6.4) / 27.0
"""Slaney's scale: linear up to 1 kHz (15 mel), logarithmic above."""


def _to_mel(hertz: np.ndarray) -> np.ndarray:
    linear = hertz * _KNEE_MEL / _KNEE_HZ
    above = _KNEE_MEL + np.log(np.maximum(hertz, 1e-9) / _KNEE_HZ) / _LOG_STEP
    return np.where(hertz >= _KNEE_HZ, above, linear)


def _to_hertz(mel: np.ndarray) -> np.ndarray:
    above = _KNEE_HZ * np.exp(_LOG_STEP * (mel - _KNEE_MEL))
    return np.where(mel >= _KNEE_MEL, above, mel * _KNEE_HZ / _KNEE_MEL)


def filterbank() -> Tensor:
    """Returns [1025, 128]: triangles of equal area along the mel scale."""
    frequencies = np.linspace(0, NATIVE_RATE / 2, FFT_SAMPLES // 2 + 1)
    ends = _to_mel(np.array([LOW_HZ, HIGH_HZ]))
    corners = _to_hertz(np.linspace(ends[0], ends[1], BINS + 2))
    widths = np.diff(corners)
    rising = (frequencies[:, None] - corners[:-2]) / widths[:-1]
    falling = (corners[2:] - frequencies[:, None]) / widths[1:]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return torch.from_numpy((triangles * 2.0 / (corners[2:] - corners[:-2])).astype(np.float32))


def spectrogram(audio: Tensor) -> Tensor:
    """audio [C, N] at 44.1 kHz, N a multiple of 512 -> magnitudes [C, 1025, N / 512]."""
    edge = (FFT_SAMPLES - HOP_SAMPLES) // 2
    padded = F.pad(audio[None], (edge, edge), mode="reflect")[0]
    window = torch.hann_window(FFT_SAMPLES, device=audio.device)
    waves = torch.stft(
        padded, FFT_SAMPLES, HOP_SAMPLES, window=window, center=False, return_complex=True
    )
    return (torch.view_as_real(waves).square().sum(-1) + 1e-6).sqrt()


def log_mel(audio: Tensor) -> Tensor:
    """audio [C, N] float32 at 44.1 kHz -> [C, 128, N / 512]."""
    bank = filterbank().to(audio.device)
    return (bank.T @ spectrogram(audio)).clamp_min(1e-5).log()
