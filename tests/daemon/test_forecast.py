from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lofi import catalog
from lofi.daemon.forecast import Forecast
from lofi.daemon.machine import Speed
from lofi.daemon.timings import Timings, Work

SPEED = Speed(gflops=100.0, gbps=10.0)
WORK = Work("auto", "ace_step_15", "turbo", 8, 60.0)


def forecast(path: Path, speed: Speed | None = SPEED, devices: list[str] | None = None) -> Forecast:
    return Forecast(Timings(path / "timings.json"), lambda: speed, lambda: devices)


def seconds(made: Forecast, work: Work) -> float:
    expected = made.expect(work)
    assert expected is not None and expected.confidence == "guess"
    return expected.seconds


@pytest.mark.parametrize(
    ("backend", "variant"),
    [
        (backend.type, variant.name)
        for backend in catalog.BACKENDS.values()
        for variant in backend.variants
    ],
)
def test_every_model_has_a_forecast(tmp_path: Path, backend: str, variant: str) -> None:
    work = replace(WORK, backend=backend, variant=variant)
    assert 0.1 < seconds(forecast(tmp_path), work) < 24 * 3600


def test_steps_length_and_size_cost(tmp_path: Path) -> None:
    made = forecast(tmp_path)
    base = seconds(made, WORK)
    assert seconds(made, replace(WORK, duration_sec=120.0)) == pytest.approx(2 * base)
    assert seconds(made, replace(WORK, steps=16)) > base
    assert seconds(made, replace(WORK, variant="xl-turbo")) > base
    assert seconds(made, replace(WORK, variant="sft", steps=50)) > 5 * base
    small, large = (
        seconds(made, replace(WORK, backend="musicgen", variant=name))
        for name in ("small", "large")
    )
    assert large > 4 * small


def test_what_was_measured_goes_first(tmp_path: Path) -> None:
    timings = Timings(tmp_path / "timings.json")
    timings.learn(WORK, {"diffusion": 5.0})
    expected = Forecast(timings, lambda: SPEED, lambda: None).expect(WORK)
    assert expected is not None
    assert (expected.seconds, expected.confidence) == (5.0, "measured")


def test_nothing_is_said_of_what_nobody_knows(tmp_path: Path) -> None:
    assert forecast(tmp_path, speed=None).expect(WORK) is None
    graphics = forecast(tmp_path, devices=["cuda:0", "cpu"])
    assert graphics.expect(WORK) is None, "a GPU is not as fast as the processor beside it"
    assert graphics.expect(replace(WORK, device="cpu")) is not None
