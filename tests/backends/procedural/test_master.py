from __future__ import annotations

import numpy as np
import pytest

from lofi.backends.procedural.master import CEILING, LOOK, Limiter, Master, Saturator, saturated
from lofi.backends.procedural.randomness import white
from lofi.backends.procedural.settings import resolve


def test_small_sounds_pass_the_saturator_and_large_ones_bend() -> None:
    x = np.linspace(-2, 2, 4001)
    y = saturated(x, 0.35)
    assert np.allclose(y[1990:2011], x[1990:2011], rtol=1e-3)
    assert np.all(np.diff(y) >= 0) and np.abs(y).max() < 1.0
    assert np.allclose(y, -y[::-1])


def test_the_saturator_adds_little_where_clicks_are_heard() -> None:
    tone = 0.9 * np.sin(2 * np.pi * 6000 * np.arange(48000) / 48000)
    x = np.stack([tone, tone])
    third = [
        np.abs(np.fft.rfft(y[0, :48000] * np.hanning(48000)))[18000]
        for y in (saturated(x, 0.35), Saturator(0.35).process(x))
    ]
    assert third[1] < 0.2 * third[0]
    quiet = 0.001 * x
    assert np.allclose(Saturator(0.35).process(quiet)[:, 1:], quiet[:, :-1], atol=1e-8)


def test_the_saturator_does_not_care_about_blocks() -> None:
    loud = np.stack([white(3, 0, 64 * 512), white(4, 0, 64 * 512)])
    whole = Saturator(0.35).process(loud)
    saturator = Saturator(0.35)
    pieces = [saturator.process(loud[:, a : a + 4096]) for a in range(0, 64 * 512, 4096)]
    assert np.array_equal(whole, np.concatenate(pieces, axis=1))


def test_the_limiter_holds_the_ceiling_and_leaves_quiet_alone() -> None:
    quiet = np.stack([white(1, 0, 64 * 200)] * 2) * 0.1
    out = Limiter().process(quiet)
    assert np.array_equal(out[:, LOOK:], quiet[:, :-LOOK])
    loud = quiet.copy()
    loud[:, 6000:6100] *= 30
    limited = Limiter().process(loud)
    assert np.abs(limited).max() <= CEILING + 1e-12
    gain = limited[0, LOOK + 5000 : LOOK + 7000] / loud[0, 5000:7000]
    assert np.abs(np.diff(gain)).max() < 0.005  # it never jumps


def test_the_limiter_does_not_care_about_blocks() -> None:
    loud = np.stack([white(3, 0, 64 * 512), white(4, 0, 64 * 512)]) * 0.6
    whole = Limiter().process(loud)
    limiter = Limiter()
    pieces = [limiter.process(loud[:, a : a + 4096]) for a in range(0, 64 * 512, 4096)]
    assert np.array_equal(whole, np.concatenate(pieces, axis=1))


def test_the_ends_fade_and_the_samples_lie_on_the_16_bit_grid() -> None:
    settings = resolve({"prompt": "", "duration_sec": 6, "fade_in_sec": 1, "fade_out_sec": 2})
    frames = 6 * 48000
    master = Master(settings, frames, 4 * 48000)
    flat = np.full((2, frames), 0.5)
    out = master.finish(flat, 0)
    assert out.dtype == np.float32 and out.shape == (frames, 2)
    assert abs(out[0, 0]) < 1e-3 and out[-1, 0] == 0
    assert out[24000, 0] == pytest.approx(0.25, abs=0.01)
    assert np.array_equal(out * 32768, np.rint(out * 32768))
    pieces = [master.finish(flat[:, a : a + 9600], a) for a in range(0, frames, 9600)]
    assert np.array_equal(out, np.concatenate(pieces))


def test_a_loop_has_no_fades() -> None:
    settings = resolve({"prompt": "", "duration_sec": 6, "loopable": True})
    out = Master(settings, 48000, 48000).finish(np.full((2, 48000), 0.5), 0)
    assert np.all(out == 0.5)
