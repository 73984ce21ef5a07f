"""Weights kept in fewer bits than are computed in: less memory, the same numbers, slower."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class WideningLinear(nn.Linear):
    """A linear whose weight may be narrower than its input; it is widened while it is used."""

    def forward(self, x: Tensor) -> Tensor:
        """x [..., in] -> [..., out]."""
        return F.linear(x, self.weight.to(x.dtype), self.bias)
