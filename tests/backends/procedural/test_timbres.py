from __future__ import annotations

import numpy as np
import pytest

from lofi.backends.procedural import timbres
from lofi.backends.procedural.loudness import k_energy
from lofi.backends.procedural.melody import REGISTERS
from lofi.backends.procedural.strings import plucked
from lofi.backends.procedural.tones import pitch_hz

BASSES = ("sub", "upright", "synthbass")
CHORDAL = ("ep", "piano", "guitar", "stab", "pad", "strings", "organ")
ALL = tuple(name for name in timbres.LEVELS if name != "swell")


def span(instrument: str) -> range:
    if instrument in BASSES:
        return range(29, 49, 3)
    if instrument in CHORDAL:
        return range(48, 78, 4)
    return range(REGISTERS[instrument] - 10, REGISTERS[instrument] + 11, 4)


def note(instrument: str, midi: int, velocity: float, seconds: float = 1.0) -> np.ndarray:
    tone = timbres.render(
        instrument,
        midi,
        timbres.layer_of(instrument, velocity),
        timbres.length_class(instrument, seconds),
    )
    return tone.samples * timbres.gain_of(instrument, velocity)


@pytest.mark.parametrize("instrument", ALL)
def test_every_instrument_is_equally_loud(instrument: str) -> None:
    velocity = 1.0 if instrument in timbres.LOOPED else 0.7
    powers = [
        np.mean([k_energy(channel[:48000]) for channel in note(instrument, midi, velocity)])
        for midi in span(instrument)
    ]
    assert 10 * np.log10(np.mean(powers)) == pytest.approx(-12, abs=0.6)


@pytest.mark.parametrize("instrument", ALL)
def test_every_note_is_in_tune(instrument: str) -> None:
    for midi in (span(instrument)[1], span(instrument)[-2]):
        tone = timbres.render(instrument, midi, 0.6, timbres.length_class(instrument, 2.0))
        x = tone.samples[0][2400:]
        size = 1 << 20
        power = np.abs(np.fft.rfft(x * np.hanning(len(x)), size))
        wanted = pitch_hz(midi) / 48000 * size
        low, high = round(wanted * 0.985), round(wanted * 1.015)
        found = low + int(np.argmax(power[low:high]))
        cents = 1200 * np.log2(found / wanted)
        # Detuned copies and vibrato spread the line; its middle is what counts.
        assert abs(cents) < (17 if instrument in timbres.SUSTAINED else 9)


@pytest.mark.parametrize("instrument", [name for name in ALL if name not in timbres.LOOPED])
@pytest.mark.parametrize("seconds", [0.4, 1.5, 9.0])
def test_notes_begin_and_end_without_a_step(instrument: str, seconds: float) -> None:
    x = note(instrument, span(instrument)[2], 0.9, seconds)[0]
    assert abs(x[0]) < 1e-3 and abs(x[-1]) < 1e-3
    assert np.isfinite(x).all() and 0.05 < np.abs(x).max() < 4


@pytest.mark.parametrize("instrument", timbres.LOOPED)
def test_loops_close(instrument: str) -> None:
    left, right = timbres.render(instrument, 60, 1.0, 4.0).samples
    inside = np.abs(np.diff(left)).max()
    assert abs(left[0] - left[-1]) <= inside
    assert not np.allclose(left, right)
    mono = np.mean((0.5 * (left + right)) ** 2) / np.mean(0.5 * (left**2 + right**2))
    assert 10 * np.log10(mono) > -4


@pytest.mark.parametrize("instrument", ["ep", "piano", "vibes", "guitar"])
def test_a_hard_touch_is_brighter(instrument: str) -> None:
    def brightness(velocity: float) -> float:
        x = note(instrument, 60, velocity)[0][:24000]
        power = np.abs(np.fft.rfft(x)) ** 2
        hz = np.fft.rfftfreq(len(x), 1 / 48000)
        return float(np.sum(hz * power) / np.sum(power))

    assert brightness(0.9) > 1.02 * brightness(0.4)


def test_the_plucked_string_is_in_tune() -> None:
    for midi in (48, 57, 69, 76):
        x = plucked(midi, 0.7, 96000)[4800:]
        size = 1 << 21
        power = np.abs(np.fft.rfft(x * np.hanning(len(x)), size))
        wanted = pitch_hz(midi) / 48000 * size
        low, high = round(wanted * 0.98), round(wanted * 1.02)
        found = low + int(np.argmax(power[low:high]))
        assert abs(1200 * np.log2(found / wanted)) < 1.5


def test_the_cache_forgets_but_the_sound_stays() -> None:
    small, large = timbres.Tones(limit_bytes=1 << 20), timbres.Tones()
    for _ in range(2):
        for midi in (50, 55, 60, 65):
            one = small.get("ep", midi, 0.6, 3.0).samples
            assert np.array_equal(one, large.get("ep", midi, 0.6, 3.0).samples)


def test_layers_meet_without_a_jump() -> None:
    for border in timbres.LAYER_BORDERS:
        below = note("vibes", 72, border - 0.001)[0]
        above = note("vibes", 72, border + 0.001)[0]
        assert 20 * np.log10(np.std(above) / np.std(below)) == pytest.approx(0, abs=1.5)


def test_the_swell_grows_and_is_over_when_it_should_be() -> None:
    tone = timbres.render("swell", 60, 0.6, timbres.length_class("swell", 1.53))
    x = tone.samples[0]
    assert len(x) == round(1.53 * 48000)
    assert np.std(x[-9600:-2400]) > 4 * np.std(x[4800:14400]) and abs(x[-1]) < 1e-3
