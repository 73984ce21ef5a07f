"""From logits to a token: guidance, penalty, top-k, top-p, temperature, draw, in this order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lofi.backends.ace_step_15.planner.brief import Sampling

HEAD = 1024
"""Best candidates looked at first: sorting all 64000 codes at each step would cost more than the
small model's layers. When their mass falls short of top-p everything is sorted after all."""


class Draws:
    """One stream of random numbers of one request's item: the same on every device."""

    def __init__(self, seed: int, stream: int) -> None:
        self._random = np.random.Generator(np.random.Philox(key=[seed, stream]))

    def next(self) -> float:
        """Returns the next number in [0, 1)."""
        return float(self._random.random())


def guided(toward: Tensor, away: Tensor, scale: float) -> Tensor:
    """Moves logits [N, R] off those of the unconditional branch, in float32.

    What both branches exclude stays excluded.
    """
    toward, away = toward.float(), away.float()
    mixed = away + scale * (toward - away)
    return torch.where(toward.isneginf() & away.isneginf(), toward, mixed)


def penalised(logits: Tensor, ids: Sequence[int], penalty: float) -> Tensor:
    """Makes the tokens `ids` of one row [R] less likely (more, for a penalty below 1)."""
    if penalty == 1.0 or not ids:
        return logits
    places = torch.tensor(sorted(set(ids)), device=logits.device)
    chosen = logits[places]
    chosen = torch.where(chosen > 0, chosen / penalty, chosen * penalty)
    return logits.index_copy(0, places, chosen)


def probabilities(logits: Tensor, sampling: Sampling) -> Tensor:
    """Logits [N, R] -> the probabilities the draw uses; one-hot at temperature 0."""
    if sampling.temperature == 0:
        return torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).float()
    values, places = candidates(logits, sampling)
    spread = (values / sampling.temperature).softmax(-1)
    return torch.zeros_like(logits, dtype=torch.float32).scatter(-1, places, spread)


def drawn(logits: Tensor, sampling: Sampling, numbers: Sequence[float]) -> Tensor:
    """Draws one index a row.

    Args:
        logits: [N, R]; excluded entries are minus infinity.
        numbers: one a row, in [0, 1): where in the cumulated probabilities the draw falls.

    Returns:
        [N], int64.
    """
    if sampling.temperature == 0:
        return logits.argmax(-1)
    values, places = candidates(logits, sampling)
    sums = (values / sampling.temperature).softmax(-1).cumsum(-1)
    marks = torch.tensor(numbers, dtype=sums.dtype, device=sums.device)[:, None] * sums[:, -1:]
    # rounding may leave the mark at the very top, behind which only excluded entries follow
    last = values.isfinite().sum(-1, keepdim=True) - 1
    picked = torch.minimum((sums <= marks).sum(-1, keepdim=True), last)
    return places.gather(-1, picked)[:, 0]


def candidates(logits: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """What top-k and top-p leave of logits [N, R]: values, best first, and their places.

    Both are [N, n]; rows with fewer candidates end in minus infinity. The temperature comes later:
    it does not change who is a candidate.
    """
    logits = logits.float()
    R = logits.shape[-1]
    has_top_k = 0 < sampling.top_k < R
    has_top_p = 0 < sampling.top_p < 1
    if has_top_k or has_top_p:
        for count in (HEAD, R) if HEAD < R else (R,):
            values, places = logits.topk(count)
            whole = count == R
            if has_top_k:
                if sampling.top_k > count:
                    continue
                floor = values[:, sampling.top_k - 1, None]
                if not whole and bool((values[:, -1:] >= floor).any()):
                    continue  # ties with the k-th go on behind the head
                values = values.masked_fill(values < floor, -torch.inf)
            if has_top_p:
                total = (values if has_top_k else logits).logsumexp(-1, keepdim=True)
                mass = (values - total).exp()
                sums = mass.cumsum(-1)
                if not whole and not has_top_k and bool((sums[:, -1] <= sampling.top_p).any()):
                    continue
                values = values.masked_fill(sums - mass > sampling.top_p, -torch.inf)
            return values, places
    return logits.sort(-1, descending=True)
