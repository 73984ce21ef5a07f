"""Random numbers that never change: every draw is a pure function of seed, label and index.

numpy's generators promise no stream between versions, and one shared generator would let an added
draw change everything after it. Each duty has labels of its own, so that a change to the drums
never changes the tune.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
MASK = 0xFFFFFFFFFFFFFFFF
GOLDEN = 0x9E3779B97F4A7C15


def mix(x: int) -> int:
    """Returns the 64-bit finaliser of splitmix64 (Steele, Lea, Flood 2014)."""
    x &= MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


@lru_cache(maxsize=4096)
def label_hash(label: str) -> int:
    """Returns the 64-bit FNV-1a hash of a label."""
    value = 0xCBF29CE484222325
    for byte in label.encode():
        value = ((value ^ byte) * 0x100000001B3) & MASK
    return value


def key_of(seed: int, label: str) -> int:
    """Returns the key that addresses the stream of (seed, label)."""
    return mix(seed * GOLDEN + label_hash(label))


def hashed(key: int, index: int) -> int:
    """Returns draw `index` of a stream: 64 bits."""
    return mix(key + index * GOLDEN)


def fraction(bits: int) -> float:
    """Returns 64 bits as a float in [0, 1)."""
    return float(bits >> 11) * 2.0**-53


class Draws:
    """A stream of draws under one label, read in order."""

    __slots__ = ("_index", "_key")

    def __init__(self, seed: int, label: str) -> None:
        self._key = key_of(seed, label)
        self._index = 0

    def unit(self) -> float:
        """Returns the next float in [0, 1)."""
        self._index += 1
        return fraction(hashed(self._key, self._index))

    def between(self, low: float, high: float) -> float:
        """Returns the next float in [low, high)."""
        return low + (high - low) * self.unit()

    def below(self, count: int) -> int:
        """Returns the next integer in 0..count-1."""
        self._index += 1
        return (hashed(self._key, self._index) * count) >> 64

    def chance(self, probability: float) -> bool:
        """Returns True with `probability`."""
        return self.unit() < probability

    def gauss(self) -> float:
        """Returns a nearly Gaussian number of unit variance, never beyond 3.5."""
        total = self.unit() + self.unit() + self.unit() + self.unit()
        return (total - 2.0) * math.sqrt(3.0)

    def pick(self, items: Sequence[T]) -> T:
        """Returns one of `items`, all equally likely."""
        return items[self.below(len(items))]

    def weighted(self, weights: Mapping[T, float]) -> T:
        """Returns a key of `weights`, as likely as its weight."""
        point = self.unit() * sum(weights.values())
        for item, weight in weights.items():
            point -= weight
            if point < 0:
                return item
        return next(reversed(list(weights)))

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """Returns `items` in a drawn order (Fisher and Yates)."""
        order = list(items)
        for last in range(len(order) - 1, 0, -1):
            other = self.below(last + 1)
            order[last], order[other] = order[other], order[last]
        return order


def white(key: int, start: int, count: int) -> NDArray[np.float64]:
    """Returns samples start..start+count-1 of white noise of unit RMS, addressable by index."""
    index = np.arange(start, start + count, dtype=np.int64).astype(np.uint64)
    x = np.uint64(key) + index * np.uint64(GOLDEN)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = x ^ (x >> np.uint64(31))
    uniform = (x >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return np.asarray((uniform * 2.0 - 1.0) * math.sqrt(3.0))
