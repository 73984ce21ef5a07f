"""Asks the transformer for the velocities of a step's branches, in one batch or one by one."""

from __future__ import annotations

import torch
from torch import Tensor

from lofi.backends.ace_step_v1.transformer import Memory, Times, Transformer, weakening
from lofi.worker.backend import Check


class Velocities:
    """The branches of one condition over all steps of a schedule."""

    def __init__(
        self,
        model: Transformer,
        memory: Memory,
        timesteps: Tensor,
        *,
        batch: int = 1,
        together: bool = True,
        weak_null: bool = False,
        check: Check,
    ) -> None:
        """
        Args:
            memory: of the stacked branches, the conditional one first.
            timesteps: of every evaluation.
            batch: items in each branch.
            together: one batch of all branches; False takes less memory.
            weak_null: level the unconditional branch inside the transformer.
        """
        self._model = model
        self._memory = memory
        self._times: Times = model.times(timesteps)
        self._batch = batch
        self._count = memory.mask.shape[0] // batch
        self._together = together
        self._weak = (False,) * (self._count - 1) + (weak_null,)
        self._check = check

    def conditional(self, index: int, x: Tensor) -> Tensor:
        """x [B, 8, 16, T] at evaluation `index` -> the conditional velocity, float32."""
        return self._model(
            x, self._times.row(index), self._memory.rows(0, self._batch), check=self._check
        )

    def every(self, index: int, x: Tensor) -> tuple[Tensor, ...]:
        """x [B, 8, 16, T] -> the velocity of every branch, the conditional one first."""
        if self._together:
            stacked = self._model(
                torch.cat([x] * self._count),
                self._times.row(index),
                self._memory,
                query_scale=weakening(self._weak, self._batch, self._memory.keys_values[0][0]),
                check=self._check,
            )
            return stacked.chunk(self._count)
        return tuple(self._alone(branch, index, x) for branch in range(self._count))

    def _alone(self, branch: int, index: int, x: Tensor) -> Tensor:
        start = branch * self._batch
        memory = self._memory.rows(start, start + self._batch)
        weak = (self._weak[branch],)
        scale = weakening(weak, self._batch, memory.keys_values[0][0])
        return self._model(x, self._times.row(index), memory, query_scale=scale, check=self._check)
