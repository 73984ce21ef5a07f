from __future__ import annotations

import numpy as np
import pytest

from lofi.backends.procedural import effects
from lofi.backends.procedural.effects import HALF_TAPS, QUANTUM, Echo, Reverb, Tape, Tone
from lofi.backends.procedural.randomness import white
from lofi.backends.procedural.tones import frequencies


def noise(count: int = QUANTUM) -> np.ndarray:
    return np.stack([white(1, 0, count), white(2, 0, count)]) * 0.1


def test_colour_is_a_continuous_staircase() -> None:
    ramp = np.linspace(-0.5, 0.5, 200_001)[None, :].repeat(2, axis=0)
    stairs = effects.coloured(ramp, 11)
    step = 2.0**-10
    assert np.abs(stairs - ramp).max() <= 0.5 * step + 1e-12
    assert np.diff(stairs[0]).max() < 0.05 * step + 1e-5  # no riser is a jump
    assert len(np.unique(np.round(stairs[0] / step, 6))) > 500


def test_narrow_samples_are_held() -> None:
    x = noise()
    assert np.array_equal(effects.coloured(x, 9)[:, ::2], effects.coloured(x, 9)[:, 1::2])
    held = effects.coloured(x, 6).reshape(2, -1, 4)
    assert np.all(held == held[:, :, :1])
    assert np.array_equal(effects.coloured(x, 16), x)


def test_the_echo_answers_right_left_right() -> None:
    echo = Echo(1000)
    x = np.zeros((2, 4000))
    x[:, 0] = 0.5
    y = echo.process(x)
    assert y[1, 1000] == pytest.approx(0.2) and y[0, 1000] == pytest.approx(0.07)
    assert y[0, 2000] == pytest.approx(0.1) and y[1, 3000] == pytest.approx(0.05)


def test_the_echo_does_not_care_about_blocks() -> None:
    x = noise(9000)
    whole = Echo(777).process(x)
    echo = Echo(777)
    pieces = [echo.process(x[:, a : a + 1500]) for a in range(0, 9000, 1500)]
    assert np.array_equal(whole, np.concatenate(pieces, axis=1))


def test_the_reverb_is_a_convolution() -> None:
    reverb = Reverb(0.4, 1.37)
    send = np.zeros((6, QUANTUM))
    send[0, 100], send[1, 5000] = 1.0, -0.5
    out = np.concatenate([reverb.process(part) for part in send], axis=1)
    room = effects.room(0.4, 1.37)
    exact = np.zeros_like(out)
    for at, level in ((100, 1.0), (QUANTUM + 5000, -0.5)):
        count = min(room.shape[1], exact.shape[1] - at)
        exact[:, at : at + count] += level * room[:, :count]
    assert np.abs(out - exact).max() < 1e-5  # above its last band a room is left out


def test_the_reverb_keeps_all_a_room_has() -> None:
    response = np.abs(np.fft.rfft(effects.room(0.4, 1.37), 2 * 65536, axis=1)) ** 2
    highest = Reverb.BINS * 65536 // QUANTUM
    assert response[:, highest:].sum() < 1e-10 * response.sum()


def test_the_room_decays_and_is_wide() -> None:
    room = effects.room(0.4, 1.37)
    assert np.sum(room**2, axis=1) == pytest.approx([1.0, 1.0])
    assert not np.any(room[:, :600])
    early, late = np.sum(room[:, 2000:10000] ** 2), np.sum(room[:, 40000:48000] ** 2)
    assert early > 30 * late
    assert 0.2 < np.corrcoef(room)[0, 1] < 0.7


def test_a_true_tape_only_delays() -> None:
    tape = Tape(0.0, None)
    x = noise()
    y = tape.process(x, 0)
    assert np.allclose(y[:, Tape.BASE :], x[:, : -Tape.BASE])


def test_a_worn_tape_sways_within_its_cents() -> None:
    tape = Tape(1.0, None)
    count = QUANTUM * 12
    x = np.sin(2 * np.pi * 1000 * np.arange(count) / 48000)[None, :].repeat(2, axis=0)
    pieces = [tape.process(x[:, a : a + QUANTUM], a) for a in range(0, count, QUANTUM)]
    y = np.concatenate(pieces, axis=1)[0, 2000:]
    size = 1 << (len(y) - 1).bit_length()
    positive = np.fft.fft(y, size)
    positive[size // 2 :] = 0
    hz = np.diff(np.unwrap(np.angle(np.fft.ifft(positive)[: len(y)]))) * 48000 / (2 * np.pi)
    smooth = np.convolve(hz, np.ones(400) / 400, "valid")[2000:-2000]
    cents = 1200 * np.log2(smooth / 1000)
    assert 8 < np.abs(cents).max() < 20


def test_the_tone_filter_is_what_it_was_designed_to_be() -> None:
    response = 20 * np.log10(np.abs(effects.tone_response(6500.0)) + 1e-9)
    hz = frequencies(effects.TONE_SIZE)

    def at(wanted: float) -> float:
        return float(np.interp(wanted, hz, response))

    assert at(1) < -40 and at(20) < -15
    assert at(6500) - at(3000) == pytest.approx(-3 - 2.0, abs=2.5)
    assert at(13000) < -20 and abs(at(800)) < 1.5
    assert at(320) < -1.0 and at(2400) > 1.5


def test_the_door_muffles() -> None:
    x = noise(QUANTUM)
    bright, _ = Tone(6500).process(x)
    shut, _ = Tone(6500).process(x, np.ones(QUANTUM))
    assert np.std(np.diff(shut)) < 0.3 * np.std(np.diff(bright))


def test_the_tone_filter_delays_by_half_its_taps() -> None:
    tone = Tone(6500)
    x = np.zeros((2, QUANTUM))
    x[:, 1000] = 1
    out, _ = tone.process(x)
    assert int(np.argmax(np.abs(out[0]))) == 1000 + HALF_TAPS


def test_the_kick_presses_and_lets_go() -> None:
    curve = effects.duck_curve(0, 24000, [4800], 0.5, 0.26)
    assert curve[4799] == 1 and curve[4800 + 400] == pytest.approx(0.5)
    assert curve[-1] == 1 and np.abs(np.diff(curve)).max() < 0.004
    again = np.concatenate(
        [effects.duck_curve(a, 1000, [4800], 0.5, 0.26) for a in range(0, 24000, 1000)]
    )
    assert np.array_equal(curve, again)
