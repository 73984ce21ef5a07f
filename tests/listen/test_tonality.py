from __future__ import annotations

import numpy as np
import pytest

from lofi.listen import tonality
from tests.listen.sounds import noise, scale, stereo

MAJOR, MINOR = (
    (0, 4, 7, 12, 2, 4, 5, 7, 9, 11, 12, 7, 4, 0),
    (0, 3, 7, 12, 2, 3, 5, 7, 8, 10, 12, 7, 3, 0),
)


@pytest.mark.parametrize("tonic", [0, 3, 6, 10])
@pytest.mark.parametrize("minor", [False, True])
def test_the_key_of_a_scale(tonic: int, minor: bool) -> None:
    x = scale([55 + (tonic - 7) % 12 + step for step in (MINOR if minor else MAJOR)], 0.5)
    best = tonality.rank(tonality.key_chroma(stereo(x)))[0]
    assert (best.tonic, best.minor) == (tonic, minor)
    assert best.correlation > 0.7


def test_relatives_are_told() -> None:
    a_minor = tonality.KeyGuess(9, True, 1.0)
    assert a_minor.is_relative_of(0, minor=False) and not a_minor.is_relative_of(0, minor=True)
    c_major = tonality.KeyGuess(0, False, 1.0)
    assert c_major.is_relative_of(9, minor=True) and not c_major.is_relative_of(7, minor=True)
    assert a_minor.name == "A minor"


def test_noise_has_no_key() -> None:
    assert tonality.rank(tonality.key_chroma(stereo(noise(8.0))))[0].correlation < 0.75


def test_silence_is_no_error() -> None:
    guesses = tonality.rank(tonality.key_chroma(stereo(np.zeros(48000))))
    assert len(guesses) == 24


def test_chroma_follows_the_notes() -> None:
    x = scale([60, 67, 63, 70], 1.0)
    chroma = tonality.chromagram(stereo(x), 4.0)
    assert [int(np.argmax(chroma[row])) for row in (2, 6, 10, 14)] == [0, 7, 3, 10]
