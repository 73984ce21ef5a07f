"""Windowed-sinc resampling, whole or stretch by stretch with the same samples."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LOBES = 6
ROLLOFF = 0.99


class Resampler:
    """From one rate to another; the kernel is worked out once, in float64."""

    def __init__(self, from_rate: int, to_rate: int) -> None:
        divisor = math.gcd(from_rate, to_rate)
        self.step, self.phases = from_rate // divisor, to_rate // divisor
        base = min(self.step, self.phases) * ROLLOFF
        self.width = math.ceil(LOBES * self.step / base)
        taps = torch.arange(-self.width, self.width + self.step, dtype=torch.float64)
        phase = torch.arange(self.phases, dtype=torch.float64)[:, None]
        t = ((taps / self.step - phase / self.phases) * base).clamp(-LOBES, LOBES)
        window = torch.cos(t * (math.pi / LOBES / 2)).square()
        kernel = window * torch.sinc(t) * (base / self.step)
        self._kernel = kernel.float()[:, None]

    def length(self, samples: int) -> int:
        """Returns how many samples `samples` become."""
        return -(-self.phases * samples // self.step)

    def __call__(self, audio: Tensor) -> Tensor:
        """audio [C, N] float32 -> [C, length(N)]."""
        if self.step == self.phases:
            return audio
        return self.stretch(audio, 0, self.length(audio.shape[-1]))

    def reach(self, start: int, stop: int, samples: int) -> tuple[int, int]:
        """Returns which of `samples` input samples output samples start..stop depend on."""
        first, last = start // self.phases, -(-stop // self.phases)
        low = first * self.step - self.width
        high = (last - 1) * self.step + self.width + self.step
        return max(0, low), max(0, min(samples, high))

    def stretch(self, audio: Tensor, start: int, stop: int, *, offset: int = 0) -> Tensor:
        """Returns output samples start..stop.

        Args:
            audio: [C, M] input samples from number `offset` on; must hold those `reach` names, or
                all there are.
        """
        if self.step == self.phases:
            return audio[:, start - offset : stop - offset]
        first, last = start // self.phases, -(-stop // self.phases)
        # input samples of the correlation: everything outside the signal is 0
        low = first * self.step - self.width
        high = (last - 1) * self.step + self.width + self.step
        held = audio[:, max(0, low - offset) : max(0, high - offset)]
        before = max(0, offset - low)
        after = (high - low) - before - held.shape[-1]
        padded = F.pad(held, (before, after))
        y = F.conv1d(padded[:, None], self._kernel.to(audio.device), stride=self.step)
        whole = y.mT.flatten(1)  # [C, blocks * phases]
        return whole[:, start - first * self.phases : stop - first * self.phases]
