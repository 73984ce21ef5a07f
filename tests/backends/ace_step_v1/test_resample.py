"""Resampling stretch by stretch."""

from __future__ import annotations

import pytest
import torch

from lofi.backends.ace_step_v1.resample import Resampler


@pytest.mark.parametrize(("from_rate", "to_rate"), [(44100, 48000), (48000, 44100), (32000, 44100)])
def test_any_stretch_equals_the_whole(from_rate: int, to_rate: int) -> None:
    audio = torch.randn(2, 9001, generator=torch.Generator().manual_seed(1))
    resampler = Resampler(from_rate, to_rate)
    whole = resampler(audio)
    assert whole.shape[-1] == resampler.length(9001)
    for start, stop in ((0, 10), (159, 161), (1000, 7000), (whole.shape[-1] - 5, whole.shape[-1])):
        low, high = resampler.reach(start, stop, 9001)
        part = resampler.stretch(audio[:, low:high], start, stop, offset=low)
        torch.testing.assert_close(part, whole[:, start:stop], rtol=0, atol=1e-6)


def test_a_tone_keeps_its_pitch_and_level() -> None:
    time = torch.arange(44100) / 44100
    tone = torch.sin(2 * torch.pi * 440 * time)[None]
    moved = Resampler(44100, 48000)(tone)
    expected = torch.sin(2 * torch.pi * 440 * torch.arange(48000) / 48000)[None]
    torch.testing.assert_close(moved[:, 500:-500], expected[:, 500:-500], rtol=0, atol=2e-3)


def test_equal_rates_change_nothing() -> None:
    audio = torch.randn(2, 100)
    assert Resampler(44100, 44100)(audio) is audio
