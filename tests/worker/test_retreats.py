"""Every retreat when memory runs out, on an allocator with a limit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lofi.errors import InsufficientMemory
from lofi.worker.backend import Event, Notice, Step
from lofi.worker.process import is_out_of_memory
from lofi.worker.residents import Residency
from lofi.worker.retreats import Footing, Limits, retreats, withstand
from tests.allocator import Allocator

GIB = 2**30


@given(st.integers(1, 2000), st.integers(1, 200), st.booleans(), st.booleans())
def test_retreats_go_down_and_end(
    tile: int, smallest: int, on_gpu: bool, may_use_cpu: bool
) -> None:
    start = Footing("cuda:0" if on_gpu else "cpu", Residency.NONE, tile)
    ways = [footing for footing, _ in retreats(start, Limits(smallest, may_use_cpu))]
    assert ways[0] == start, "first the same again, with empty caches"
    tiles = [way.tile_frames for way in ways]
    assert tiles == sorted(tiles, reverse=True) and tiles[-1] >= min(smallest, tile)
    assert len(ways) < 16 and len(set(ways)) == len(ways)
    residencies = [way.residency for way in ways]
    assert (Residency.SEQUENTIAL in residencies) is on_gpu
    assert (Residency.CPU in residencies) is (on_gpu and may_use_cpu)
    if on_gpu and may_use_cpu:
        assert ways[-1].device == "cpu"


class Decoder:
    """A stage whose memory grows with its tile: 1000 floats a frame."""

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self.done = 0
        self.tries: list[Footing] = []

    def __call__(self, footing: Footing) -> Iterator[Event]:
        self.tries.append(footing)
        while self.done < self.frames:
            tile = torch.zeros(footing.tile_frames, 1000)
            yield Step(self.done, self.frames)
            del tile
            self.done += min(footing.tile_frames, self.frames - self.done)


def survive(
    stage: Any, start: Footing, limits: Limits, free: int = 0
) -> tuple[list[Event], Footing]:
    seen: list[Event] = []
    events = withstand(
        "decoding",
        stage,
        start,
        limits,
        needed_bytes=3 * GIB,
        smaller="Generate 30 s.",
        free=lambda _: free,
    )
    while True:
        try:
            seen.append(next(events))
        except StopIteration as end:
            return seen, end.value


@pytest.mark.parametrize(("limit_frames", "tile"), [(600, 512), (300, 256), (33, 32)])
def test_tiles_are_halved_until_they_fit(limit_frames: int, tile: int) -> None:
    stage = Decoder(2000)
    with Allocator(limit_frames * 4000) as allocator:
        seen, footing = survive(
            stage, Footing("cuda:0", Residency.NONE, 512), Limits(32, may_use_cpu=True)
        )
    assert footing == Footing("cuda:0", Residency.NONE, tile)
    assert stage.done == 2000
    notices = [event for event in seen if isinstance(event, Notice)]
    assert [notice.code for notice in notices] == ["DEGRADED"] * allocator.failures
    # what was handed out before a retreat is not handed out again
    steps = [event.done for event in seen if isinstance(event, Step)]
    assert len(set(steps)) == len(steps)


def test_memory_that_runs_out_once_costs_only_the_caches() -> None:
    failures = iter([True])
    with Allocator(fails=lambda name: "zeros" in name and next(failures, False)):
        seen, footing = survive(
            Decoder(100), Footing("cuda:0", Residency.NONE, 64), Limits(32, may_use_cpu=False)
        )
    assert footing.tile_frames == 64
    notices = [event for event in seen if isinstance(event, Notice)]
    assert len(notices) == 1 and "caches" in notices[0].message


class Transformer:
    """A stage without tiles that fits one part at a time, or only the CPU."""

    def __init__(self, survives: Residency) -> None:
        self.survives = survives
        self.tries: list[Footing] = []

    def __call__(self, footing: Footing) -> Iterator[Event]:
        self.tries.append(footing)
        if footing.residency is not self.survives:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        yield Step(1, 1)


@pytest.mark.parametrize("survives", [Residency.SEQUENTIAL, Residency.CPU])
def test_the_last_rungs(survives: Residency) -> None:
    stage = Transformer(survives)
    seen, footing = survive(
        stage, Footing("cuda:0", Residency.NONE, 0), Limits(32, may_use_cpu=True, has_tiles=False)
    )
    assert footing.residency is survives
    assert (footing.device == "cpu") is (survives is Residency.CPU)
    words = [event.message for event in seen if isinstance(event, Notice)]
    assert len(words) == len(stage.tries) - 1
    assert all(word.startswith("Memory ran out while decoding: ") for word in words)


def test_when_nothing_is_left_the_error_says_what_would_fit() -> None:
    stage = Transformer(Residency.CPU)
    with pytest.raises(InsufficientMemory) as caught:
        survive(
            stage,
            Footing("cuda:0", Residency.NONE, 64),
            Limits(32, may_use_cpu=False),
            free=GIB,
        )
    assert caught.value.data == {"needed_bytes": 3 * GIB, "free_bytes": GIB}
    assert "3.0 GiB" in caught.value.message and "1.0 GiB" in caught.value.message
    assert caught.value.hint == "Generate 30 s."
    assert len(stage.tries) == 4  # as it is, caches, half tiles, sequential


def test_other_failures_pass_through_at_once() -> None:
    def broken(footing: Footing) -> Iterator[Event]:
        yield Step(0, 1)
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        survive(broken, Footing("cuda:0", Residency.NONE, 64), Limits(32, may_use_cpu=True))


def test_the_tensors_of_a_failed_try_are_gone_before_the_next() -> None:
    alive: list[int] = []
    with Allocator() as allocator:

        def attempt(footing: Footing) -> Iterator[Event]:
            alive.append(allocator.live_bytes)
            held = torch.zeros(10_000)
            if len(alive) < 3:
                raise torch.OutOfMemoryError("out of memory")
            assert held is not None
            yield Step(1, 1)

        survive(attempt, Footing("cuda:0", Residency.NONE, 128), Limits(32, may_use_cpu=True))
    assert alive == [0, 0, 0]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), True),
        (RuntimeError("shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_counts_as_out_of_memory(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected
