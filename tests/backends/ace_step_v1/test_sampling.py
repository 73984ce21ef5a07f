"""The loops on the parts that golden cases do not reach."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lofi.backends.ace_step_v1.sampling import (
    extend_canvas,
    from_reference,
    mixed,
    repaint_canvas,
)


def noise(frames: int, seed: int) -> Tensor:
    return torch.randn(1, 8, 16, frames, generator=torch.Generator().manual_seed(seed))


def test_no_variance_is_the_first_noise_and_all_of_it_the_second() -> None:
    first, second = noise(4, 1), noise(4, 2)
    torch.testing.assert_close(mixed(first, second, 0.0), first)
    torch.testing.assert_close(mixed(first, second, 1.0), second, atol=1e-6, rtol=0)


def test_mixing_keeps_the_level_of_noise() -> None:
    values = mixed(noise(5000, 1), noise(5000, 2), 0.4)
    assert math.isclose(float(values.std()), 1.0, abs_tol=0.01)


def test_repaint_mixes_only_inside() -> None:
    first, second = noise(6, 1), noise(6, 2)
    canvas = repaint_canvas(torch.zeros_like(first), first, second, 2, 4, 1.0)
    assert canvas.mask.tolist() == [False, False, True, True, False, False]
    assert torch.equal(canvas.noise[..., :2], first[..., :2])
    torch.testing.assert_close(canvas.noise[..., 2:4], second[..., 2:4], atol=1e-6, rtol=0)


def test_extend_keeps_the_source_between_its_pads() -> None:
    source = noise(5, 3)
    canvas = extend_canvas(source, noise(5, 1), noise(2, 2), noise(7, 4))
    assert canvas.source.shape == canvas.noise.shape == (1, 8, 16, 14)
    assert torch.equal(canvas.source[..., 2:7], source)
    assert canvas.mask.tolist() == [True] * 2 + [False] * 5 + [True] * 7


def test_full_strength_returns_the_reference() -> None:
    reference = noise(4, 1)
    near = from_reference(reference, noise(4, 2), "euler", 27, 0.97)
    assert near.plan is None
    assert near.start is reference


def test_strength_takes_steps_away() -> None:
    start = from_reference(noise(4, 1), noise(4, 2), "euler", 60, 0.9)
    assert start.plan is not None
    assert start.plan.steps == 5  # 0.1 * 60 in floating point, cut
