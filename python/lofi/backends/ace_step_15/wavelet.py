"""The wavelet correction of sampling (DCW): one level along time, each band on its own."""

from __future__ import annotations

import itertools
import math
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

Mode = Literal["low", "high", "double", "pix"]
# The usual tables' sym7 and sym10 are not the straightest there are: left out.
_MOMENTS = {"db": range(1, 11), "sym": (2, 3, 4, 5, 6, 8, 9)}
# of the two mirrored filters with the same phase, the usual tables hold the other one for these
_MIRRORED = {"sym2", "sym3"}


@lru_cache(maxsize=32)
def scaling_filter(name: str) -> tuple[float, ...]:
    """The low-pass reconstruction filter of `haar`, `db1`..`db10` or `sym2`..`sym9` without 7.

    Spectral factorisation: every root of Daubechies' polynomial stands for a pair (r, 1/r), of
    which `db` keeps the one inside the circle, and `sym` the choice with the straightest phase.
    """
    family = name.rstrip("0123456789")
    if name == "haar":
        family, moments = "db", 1
    else:
        moments = int(name[len(family) :] or 0)
    if moments not in _MOMENTS.get(family, ()):
        raise ValueError(
            f"unknown wavelet {name!r}; there are haar, db1..db10, sym2..sym6, sym8, sym9"
        )
    groups = _root_pairs(moments)
    if family == "db":
        return _filter(moments, [inside for inside, _ in groups])
    choices = (_filter(moments, list(choice)) for choice in itertools.product(*groups))
    chosen = min(choices, key=_bend)
    return chosen[::-1] if name in _MIRRORED else chosen


def _root_pairs(moments: int) -> list[tuple[list[complex], list[complex]]]:
    """Groups of z-roots, conjugates together: inside the unit circle, and their inverses."""
    # P(y) = sum_k C(N - 1 + k, k) y^k with y = (2 - z - 1/z) / 4
    rising = [math.comb(moments - 1 + k, k) for k in range(moments)]
    groups = []
    for y in np.roots(rising[::-1]):
        if y.imag < -1e-12:
            continue  # comes with its conjugate
        z = np.roots([1, 4 * y - 2, 1])
        inside = complex(z[np.argmin(np.abs(z))])
        chosen = [inside] if abs(y.imag) <= 1e-12 else [inside, inside.conjugate()]
        groups.append((chosen, [1 / root for root in chosen]))
    return groups


def _filter(moments: int, roots: list[list[complex]]) -> tuple[float, ...]:
    taps: NDArray[np.complex128] = np.ones(1, dtype=np.complex128)
    for _ in range(moments):
        taps = np.convolve(taps, [1, 1])
    for root in itertools.chain.from_iterable(roots):
        taps = np.convolve(taps, [1, -root])
    real = taps.real
    return tuple(float(tap) for tap in real * (math.sqrt(2) / real.sum()))


def _bend(taps: tuple[float, ...]) -> tuple[float, float]:
    """How far the phase is from a straight line; of mirrored twins, the later one wins."""
    omega = np.linspace(0.01, math.pi * 0.9, 256)
    n = np.arange(len(taps))
    response = np.exp(-1j * omega[:, None] * n) @ np.array(taps)
    phase = np.unwrap(np.angle(response))
    line = np.polyfit(omega, phase, 1)
    bend = float(np.abs(phase - np.polyval(line, omega)).max())
    return round(bend, 6), -float((np.square(taps) * n).sum())


def _bands(x: Tensor, taps: Tensor) -> Tensor:
    """x [N, 1, T] -> low and high band [N, 2, (T + K - 1) // 2], zeros beyond the ends."""
    K = taps.shape[-1]
    return F.conv1d(F.pad(x, (K - 2, K - 1)), taps, stride=2)


def _merged(bands: Tensor, taps: Tensor, length: int) -> Tensor:
    K = taps.shape[-1]
    return F.conv_transpose1d(bands, taps, stride=2)[..., K - 2 : K - 2 + length]


def _taps(name: str, device: torch.device) -> Tensor:
    """Filters [2, 1, K]: correlating with them analyses, spreading them rebuilds."""
    low = scaling_filter(name)
    high = [(-1) ** k * tap for k, tap in enumerate(reversed(low))]
    return torch.tensor([low, high], dtype=torch.float32, device=device)[:, None]


def corrected(
    x: Tensor,
    y: Tensor,
    t: float,
    *,
    mode: Mode,
    scaler: float,
    high_scaler: float,
    wavelet: str,
) -> Tensor:
    """Moves x [B, T, C] away from the prediction y of this step, band by band.

    The transform is linear and rebuilds exactly, so only the difference goes through it.
    """
    difference = (x - y).float()
    if mode == "pix":
        return x + scaler * difference
    low = t * scaler if mode in ("low", "double") else 0.0
    high = (1 - t) * (scaler if mode == "high" else high_scaler) if mode != "low" else 0.0
    B, T, C = difference.shape
    taps = _taps(wavelet, x.device)
    bands = _bands(difference.transpose(1, 2).reshape(B * C, 1, T), taps)
    bands = bands * torch.tensor([low, high], device=x.device)[:, None]
    return x + _merged(bands, taps, T).view(B, C, T).transpose(1, 2)
