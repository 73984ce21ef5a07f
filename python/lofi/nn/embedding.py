"""A table of vectors."""

from __future__ import annotations

from torch import nn


class Embedding(nn.Embedding):
    """Without the library's random start: a checkpoint fills it, and without memory (on the meta
    device) that start reads torch's compiler, for seconds."""

    def reset_parameters(self) -> None:
        """Leaves the weights as they are."""
