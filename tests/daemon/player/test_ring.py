from __future__ import annotations

import numpy as np

from lofi.daemon.player.ring import Ring
from tests.daemon.player.sound import noise


def test_what_is_written_is_read_in_order_around_the_end() -> None:
    sound = noise(10_000)
    ring, out, written, taken = Ring(700), np.zeros_like(sound), 0, 0
    sizes = np.random.default_rng(1).integers(1, 400, 400)
    for size in sizes:
        chunk = sound[written : written + min(int(size), ring.room)]
        ring.write(chunk)
        written += len(chunk)
        taken += ring.read(out[taken : taken + int(size) // 2 + 1])
    while taken < written:
        taken += ring.read(out[taken:])
    assert written == len(sound)
    assert np.array_equal(out, sound)


def test_reading_more_than_there_is_gives_what_there_is() -> None:
    ring = Ring(100)
    ring.write(noise(30))
    out = np.zeros((50, 2), dtype=np.float32)
    assert ring.read(out) == 30
    assert ring.read(out) == 0
    assert ring.room == 100
