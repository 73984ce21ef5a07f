from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lofi.backends.procedural.ambience import PATCH, Ambience, Patchwork, noise_table
from lofi.backends.procedural.settings import resolve


def ambience(period: int | None = None, **recipe: Any) -> Ambience:
    settings = resolve({"prompt": "", "seed": 2, "wobble": 0.2, **recipe})
    return Ambience(settings, period)


def heard(found: Ambience, start: int, count: int) -> np.ndarray:
    out = np.zeros((2, count))
    found.add(out, start)
    return out


@pytest.mark.parametrize("prompt", ["vinyl", "lofi rain", "ocean waves", "storm wind vinyl"])
def test_every_sample_depends_on_its_own_time_alone(prompt: str) -> None:
    found = ambience(prompt=prompt)
    whole = heard(found, 0, 60000)
    pieces = [heard(found, start, 4321) for start in range(0, 60000 - 4321, 4321)]
    joined = np.concatenate(pieces, axis=1)
    assert np.allclose(whole[:, : joined.shape[1]], joined, atol=1e-15)
    assert np.any(whole)


def test_a_loop_is_surrounded_by_a_loop() -> None:
    found = ambience(period=100_000, prompt="rain vinyl ocean")
    assert np.array_equal(heard(found, 0, 30000), heard(found, 100_000, 30000))
    assert np.array_equal(heard(found, -5000, 9000), heard(found, 95_000, 9000))


def test_silence_is_kept_where_none_is_wanted() -> None:
    assert not np.any(heard(ambience(noise=0.0, style="house"), 0, 20000))


def test_noise_has_the_level_and_slope_it_is_given() -> None:
    table = noise_table("hiss", 0.35, 60, 9000)
    assert np.sqrt(np.mean(table**2, axis=1)) == pytest.approx([1.0, 1.0])
    patches = Patchwork(1, "hiss", table)
    assert np.sqrt(np.mean(patches.read(0, 5 * PATCH) ** 2)) == pytest.approx(1, abs=0.05)
    assert abs(np.corrcoef(table)[0, 1]) < 0.05


def test_more_vinyl_is_more_noise() -> None:
    levels = [
        float(np.std(heard(ambience(noise=noise, style="house"), 0, 96000)))
        for noise in (0.1, 0.4, 1.0)
    ]
    assert levels == sorted(levels) and levels[2] > 5 * levels[0]
