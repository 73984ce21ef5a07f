"""Requests that were not finished are offered so that the same tracks come of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lofi import recipe
from lofi.daemon.jobs import Job
from lofi.recipe import Audio, Request
from tests.test_recipe import World


def resolve(params: dict[str, Any], seeds: Iterator[int]) -> Request:
    world = World(lm_sizes=("0.6b",), lm_by_memory="0.6b")
    audio = None
    if "source" in params:
        origin = recipe.resolve(
            {"prompt": "rain", "backend": params["backend"], "seed": 3},
            world,
            draw_seed=lambda: 3,
        )
        known = {**origin.takes[0].recipe, "duration_sec": 20.0}
        audio = {"source": Audio("/a.wav", {"track": "d" * 64}, 20.0, known)}
    return recipe.resolve(params, world, draw_seed=lambda: next(seeds), audio=audio)


@pytest.mark.parametrize(
    "params",
    [
        {"backend": "procedural"},
        {"backend": "ace_step_15", "batch_size": 2},
        {"backend": "ace_step_15", "lm_seed": 3, "batch_size": 2},
        {"backend": "ace_step", "task": "retake", "source": "/a.wav", "batch_size": 2},
        {"backend": "ace_step", "task": "retake", "source": "/a.wav", "retake_seed": 8},
    ],
)
def test_each_take_is_offered_with_the_seeds_that_were_drawn(params: dict[str, Any]) -> None:
    made = resolve({"prompt": "rain", **params}, iter(range(100, 200)))
    for take in made.takes:
        job = Job(take.track_id, made, take, "test", auto_play=False, format="wav",
                  save_latents=False)  # fmt: skip
        again = resolve(job.as_request(), iter(range(500, 600)))
        assert [each.digest for each in again.takes] == [take.digest]
