from __future__ import annotations

import numpy as np
import pytest

from lofi.listen import structure
from tests.listen.sounds import RATE, clicks, noise, scale, sine, stereo


def song() -> np.ndarray:
    """Eight bars of two seconds: AAAABBBB, no two bars alike in detail."""
    bars = []
    for bar in range(8):
        notes = [60, 64, 67, 72] if bar < 4 else [61, 66, 70, 63]
        # The same notes, in other octaves and a hair out of tune.
        played = [note + 12 * ((bar * 3 + place) % 2) for place, note in enumerate(notes)]
        bars.append(scale([note + 0.07 * bar for note in played], 0.5) + noise(2.0, 0.003, bar))
    return np.concatenate(bars)


def test_a_copy_is_told_from_a_variation() -> None:
    x = song()
    assert structure.waveform_likeness(stereo(x), 2.0, 8) < 0.9
    loop = np.tile(x[: 4 * 2 * RATE], 2)
    assert structure.waveform_likeness(stereo(loop), 2.0, 8) > 0.99


def test_a_copy_slightly_late_is_still_a_copy() -> None:
    x = song()
    late = np.concatenate([x[: 2 * RATE], np.zeros(300), x[: 2 * RATE - 300]])
    assert structure.waveform_likeness(stereo(late), 2.0, 2) > 0.95


def test_the_border_of_two_parts_stands_out() -> None:
    bars = structure.bars_of(stereo(song()), 2.0, 8)
    values = structure.novelty(bars.chroma_similarity)
    assert int(np.argmax(values)) == 4
    assert structure.border_contrast(bars.chroma_similarity, [4]) > 1.5
    assert structure.border_contrast(bars.chroma_similarity, [2]) < 1


def test_returns_resemble_what_returns() -> None:
    chroma = structure.bars_of(stereo(song()), 2.0, 8).chroma
    same = structure.aligned_similarity(chroma, (0, 4), (0, 4))
    other = structure.aligned_similarity(chroma, (0, 4), (4, 4))
    assert same == pytest.approx(1.0) and other < 0.6


def test_distance_is_small_within_and_large_between() -> None:
    x = song()
    one, two = (structure.print_of(stereo(half)) for half in (x[: 8 * RATE], x[: 8 * RATE] * 0.7))
    other = structure.print_of(stereo(clicks(100, 8.0) + sine(90, 8.0, 0.1)))
    assert structure.distance(one, two) < 0.2 < 1 < structure.distance(one, other)


def test_self_similarity_is_a_square_with_a_bright_diagonal() -> None:
    matrix = structure.self_similarity(stereo(song()), 32)
    assert matrix.shape == (32, 32) and np.allclose(np.diag(matrix), 1)
    assert matrix[2, 10] > matrix[2, 22]
