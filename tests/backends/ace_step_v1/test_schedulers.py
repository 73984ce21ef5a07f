"""Schedules beyond the golden ones: what is refused, and where the steps end."""

from __future__ import annotations

import pytest
import torch

from lofi.backends.ace_step_v1.schedulers import Stepper, granularity, schedule
from lofi.errors import InvalidInferenceSteps, InvalidScheduler


def test_heun_cannot_choose_steps() -> None:
    with pytest.raises(InvalidScheduler) as caught:
        schedule("heun", 27, chosen=[1, 2])
    assert caught.value.data["param"] == "oss_steps"


def test_an_unknown_scheduler_is_refused() -> None:
    with pytest.raises(InvalidScheduler):
        schedule("ddim", 27)


@pytest.mark.parametrize("chosen", [[0, 3], [3, 2], [2, 2]])
def test_chosen_steps_rise_from_one(chosen: list[int]) -> None:
    with pytest.raises(InvalidInferenceSteps):
        schedule("euler", 27, chosen=chosen)


def test_heun_asks_twice_a_step_but_the_last() -> None:
    plan = schedule("heun", 5)
    assert (plan.steps, plan.evaluations, len(plan.sigmas)) == (5, 9, 10)


def test_a_constant_velocity_ends_at_the_data_with_every_solver() -> None:
    data, noise = torch.randn(2, 1, 8, 16, 4, generator=torch.Generator().manual_seed(1))
    for kind in ("euler", "heun"):
        plan = schedule(kind, 7)
        stepper = Stepper(plan, 0.0, lambda shape: torch.zeros(shape))
        x = noise
        for index in range(plan.evaluations):
            x = stepper.step(index, x, noise - data)
        torch.testing.assert_close(x, data, rtol=1e-5, atol=1e-5)


def test_granularity_stays_within_a_tenth() -> None:
    assert granularity(0) == pytest.approx(1.0)
    assert 0.9 < granularity(-100) < granularity(100) < 1.1
