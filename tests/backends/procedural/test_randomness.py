from __future__ import annotations

import numpy as np

from lofi.backends.procedural.randomness import (
    GOLDEN,
    Draws,
    hashed,
    key_of,
    label_hash,
    mix,
    white,
)


def test_mix_is_the_published_finaliser() -> None:
    # splitmix64 seeded with 0 and with 1234567 gives these first outputs.
    assert mix(GOLDEN) == 0xE220A8397B1DCDAF
    assert mix(1234567 + GOLDEN) == 6457827717110365317


def test_labels_hash_as_fnv_1a() -> None:
    assert label_hash("") == 0xCBF29CE484222325
    assert label_hash("a") == 0xAF63DC4C8601EC8C


def test_a_draw_depends_on_seed_label_and_index_alone() -> None:
    first, second = Draws(5, "drums"), Draws(5, "drums")
    assert [first.unit() for _ in range(9)] == [second.unit() for _ in range(9)]
    assert Draws(5, "drums").unit() != Draws(6, "drums").unit()
    assert Draws(5, "drums").unit() != Draws(5, "bass").unit()


def test_draws_are_spread_as_promised() -> None:
    draws = Draws(1, "spread")
    units = np.array([draws.unit() for _ in range(4000)])
    assert units.min() >= 0 and units.max() < 1
    assert abs(units.mean() - 0.5) < 0.02
    gauss = np.array([draws.gauss() for _ in range(4000)])
    assert abs(gauss.std() - 1) < 0.05 and np.abs(gauss).max() <= 3.5
    counts = np.bincount([draws.below(6) for _ in range(6000)], minlength=6)
    assert counts.min() > 880
    weighted = [draws.weighted({"a": 3, "b": 1}) for _ in range(4000)]
    assert abs(weighted.count("a") / 4000 - 0.75) < 0.03
    assert sorted(draws.shuffled(range(9))) == list(range(9))


def test_white_noise_is_addressed_by_sample() -> None:
    key = key_of(3, "noise")
    whole = white(key, -100, 5000)
    assert np.array_equal(whole[1234:2000], white(key, 1134, 766))
    assert abs(np.sqrt(np.mean(whole**2)) - 1) < 0.03
    assert abs(np.corrcoef(whole[1:], whole[:-1])[0, 1]) < 0.05
    # the vector and the scalar hash are one
    bits = hashed(key, 17) >> 11
    assert white(key, 17, 1)[0] == (bits * 2.0**-53 * 2 - 1) * np.sqrt(3.0)
