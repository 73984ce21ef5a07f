from __future__ import annotations

import numpy as np
import pytest

from lofi.backends.procedural.drum_kit import ENERGY_DB, LEVELS, DrumKit
from lofi.backends.procedural.loudness import k_energy
from lofi.backends.procedural.settings import resolve

SOUNDS = [name for name in LEVELS if "/" not in name]


def kit(style: str = "lofi", seed: int = 1) -> DrumKit:
    return DrumKit(resolve({"prompt": "", "style": style, "seed": seed}))


@pytest.mark.parametrize("name", SOUNDS)
def test_each_hit_has_its_energy_and_no_step(name: str) -> None:
    found = kit()
    for variant in range(4):
        hit = found.get(name, variant)
        wanted = LEVELS[name] ** 2 * 10 ** (ENERGY_DB[name] / 10)
        assert k_energy(hit) == pytest.approx(wanted, rel=1e-6)
        assert abs(hit[0]) < 1e-3 and abs(hit[-1]) < 1e-3


def test_the_four_variants_differ_and_come_back_the_same() -> None:
    first, second = kit(), kit()
    hits = [first.get("snare", variant) for variant in range(4)]
    assert not np.array_equal(hits[0], hits[1])
    assert np.array_equal(hits[2], second.get("snare", 2))
    assert not np.array_equal(hits[0], kit(seed=2).get("snare", 0))


def test_the_kick_falls_to_its_tone() -> None:
    hit = kit().get("kick", 0)[9600:14400]
    power = np.abs(np.fft.rfft(hit * np.hanning(len(hit)), 1 << 17))
    assert 44 < np.argmax(power) * 48000 / (1 << 17) < 54


def test_kits_share_names_but_not_kicks() -> None:
    assert kit("house").named("kick") == "kick/house"
    assert kit("jazz").named("kick") == "kick/soft"
    assert kit("lofi").named("kick") == "kick"
