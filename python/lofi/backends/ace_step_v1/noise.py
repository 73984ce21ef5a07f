"""Random draws of a generation, in the order the original makes them, on the CPU.

One seed means one noise on every device. Pieces that want given numbers (parity) bring their own
`Noise`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

Shape = tuple[int, ...]


class Noise(Protocol):
    """Where a generation gets its standard normal float32 noise, [B, 8, 16, T] each."""

    def initial(self, shape: Shape) -> Tensor:
        """Returns the noise a generation starts from."""

    def retake(self, shape: Shape) -> Tensor:
        """Returns the second noise, mixed in by retake, repaint and extend."""

    def step(self, shape: Shape) -> Tensor:
        """Returns the fresh noise of a pingpong step."""

    def forward(self, shape: Shape) -> Tensor:
        """Returns the noise that carries a source to a level of flow edit."""


class SeededNoise:
    """Draws by seed: one generator an item, another one an item for retakes."""

    def __init__(self, seeds: Sequence[int], retake_seeds: Sequence[int]) -> None:
        """The last seed of a list stands for all items after it."""
        self._own = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._other = [torch.Generator().manual_seed(seed) for seed in retake_seeds]

    def initial(self, shape: Shape) -> Tensor:
        return _each(self._own, shape)

    def retake(self, shape: Shape) -> Tensor:
        return _each(self._other, shape)

    def step(self, shape: Shape) -> Tensor:
        # the whole batch from the first item's generator, as the original has it
        return torch.randn(shape, generator=self._own[0])

    def forward(self, shape: Shape) -> Tensor:
        return _each(self._other, shape)


def _each(generators: list[torch.Generator], shape: Shape) -> Tensor:
    items = [generators[min(index, len(generators) - 1)] for index in range(shape[0])]
    return torch.cat([torch.randn((1, *shape[1:]), generator=item) for item in items])
