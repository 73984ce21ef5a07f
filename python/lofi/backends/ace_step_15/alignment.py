"""When each lyric line is sung, and how well the singing follows the lyrics.

Both read cross-attention maps [heads, tokens, patches] of the decoder's heads that follow lyrics.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Matrix = NDArray[np.float64]
VIOLENCE = 2.0
"""How many medians are taken off rows and columns."""
COVERED = 0.1
PRESENT = 0.01
BACKWARD_COLUMNS = 9


def chosen_heads(maps: Tensor, heads: Mapping[int, Sequence[int]]) -> Tensor:
    """maps [layers, H, tokens, patches] -> those of `heads`, [n, tokens, patches]."""
    return torch.stack([maps[layer, head] for layer in sorted(heads) for head in heads[layer]])


def consensus(maps: Tensor) -> Tensor:
    """maps [n, tokens, patches] -> what token and patch agree on, heads averaged [tokens, patches].

    The background is taken off by medians (the 0.5 quantile), the rest sharpened by squaring.
    """
    m = maps.float().softmax(-1) * maps.float().softmax(-2)
    m = (m - VIOLENCE * m.quantile(0.5, dim=-1, keepdim=True)).clamp(min=0)
    m = (m - VIOLENCE * m.quantile(0.5, dim=-2, keepdim=True)).clamp(min=0)
    m = m.square()
    m = (m - m.mean()) / (m.std(correction=0) + 1e-9)
    return m.mean(0)


def warped(gain: Matrix) -> NDArray[np.int64]:
    """The monotone path [n, 2] of (row, column) through `gain` [N, M] with the largest sum.

    From corner to corner by diagonal, down and right; right on ties, unless one of the others is
    strictly best. Whole anti-diagonals at a time: a long song has millions of cells.
    """
    N, M = gain.shape
    cost = np.full((N + 1, M + 1), np.inf)
    cost[0, 0] = 0.0
    moves = np.full((N + 1, M + 1), 2, dtype=np.int8)
    moves[1:, 0] = 1
    for total in range(2, N + M + 1):
        i = np.arange(max(1, total - M), min(N, total - 1) + 1)
        j = total - i
        diagonal, down, right = cost[i - 1, j - 1], cost[i - 1, j], cost[i, j - 1]
        move = np.full(len(i), 2, dtype=np.int8)
        move[(down < diagonal) & (down < right)] = 1
        move[(diagonal < down) & (diagonal < right)] = 0
        moves[i, j] = move
        best = np.choose(move, (diagonal, down, right))
        cost[i, j] = best - gain[i - 1, j - 1]
    path = []
    row, column = N, M
    while row > 0 or column > 0:
        path.append((row - 1, column - 1))
        step = moves[row, column]
        row, column = row - (step != 2), column - (step != 1)
    return np.array(path[::-1], dtype=np.int64)


def token_times(
    gain: Matrix, duration_sec: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """When each row of `gain` [tokens, patches] starts and ends, in seconds."""
    path = warped(gain)
    per_column = duration_sec / gain.shape[1]
    starts = np.zeros(len(gain))
    ends = np.zeros(len(gain))
    for token in range(len(gain)):
        columns = path[path[:, 0] == token, 1]
        if len(columns):
            starts[token], ends[token] = columns[0] * per_column, columns[-1] * per_column
        elif token:
            starts[token] = ends[token] = ends[token - 1]
    return starts, ends


@dataclass(frozen=True, slots=True)
class Line:
    """One line of lyrics and when it is sung."""

    start_sec: float
    end_sec: float
    text: str

    def __str__(self) -> str:
        minutes, seconds = divmod(self.start_sec, 60)
        return f"[{int(minutes):02d}:{seconds:05.2f}]{self.text}"


def token_texts(ids: Sequence[int], decode: Callable[[list[int]], str]) -> list[str]:
    """The text each id adds; a character split over several belongs to the last of them."""
    texts: list[str] = []
    known = ""
    for count in range(1, len(ids) + 1):
        whole = decode(list(ids[:count]))
        if whole.endswith("\ufffd"):
            texts.append("")
            continue
        texts.append(whole[len(known) :])
        known = whole
    return texts


def lines(
    texts: Sequence[str], starts: NDArray[np.float64], ends: NDArray[np.float64]
) -> list[Line]:
    """Joins tokens into lines; one whose text holds a newline ends its line. Empty ones drop."""
    found: list[Line] = []
    first = 0
    for i, text in enumerate(texts):
        if "\n" in text or i == len(texts) - 1:
            line = "".join(texts[first : i + 1]).strip()
            if line:
                found.append(Line(float(starts[first]), float(ends[i]), line))
            first = i + 1
    return found


@dataclass(frozen=True, slots=True)
class Score:
    """How well the singing follows: parts in 0..1, `total` rounded to 4 decimals."""

    coverage: float
    monotonicity: float
    confidence: float

    @property
    def total(self) -> float:
        """coverage^2 * monotonicity^2 * confidence."""
        value = self.coverage**2 * self.monotonicity**2 * self.confidence
        return round(min(max(value, 0.0), 1.0), 4)


def energy(maps: Tensor) -> Matrix:
    """maps [n, tokens, patches] averaged over heads and scaled to 0..1."""
    mean = maps.float().mean(0)
    low, high = mean.min(), mean.max()
    scaled = (mean - low) / (high - low) if high > low else torch.zeros_like(mean)
    return scaled.double().cpu().numpy()


def sung_rows(texts: Sequence[str]) -> NDArray[np.int32]:
    """1 for tokens outside square brackets, 0 for those of a tag."""
    rows = np.ones(len(texts), dtype=np.int32)
    inside = False
    for i, text in enumerate(texts):
        inside = inside or "[" in text
        if inside:
            rows[i] = 0
        if "]" in text:
            inside = False
    return rows


def score(gain: Matrix, sung: NDArray[np.int32], path: NDArray[np.int64]) -> Score:
    """Judges energy [tokens, patches] along `path`; without sung rows only the path counts."""
    rows = gain[sung == 1]
    coverage = float((rows.max(1) > COVERED).mean()) if len(rows) else 1.0
    columns = np.arange(gain.shape[1])
    centroids = []
    for row in rows:
        weights = np.where(row > PRESENT, row, 0.0)
        if weights.sum() > 0:
            centroids.append(float((weights * columns).sum() / weights.sum()))
    falls = [b >= a - BACKWARD_COLUMNS for a, b in itertools.pairwise(centroids)]
    monotonicity = float(np.mean(falls)) if falls else 1.0
    confidence = float(gain[path[:, 0], path[:, 1]].mean()) if len(path) else 0.0
    return Score(coverage, monotonicity, confidence)
