"""Who is on the device, what a job needs, and every retreat when memory runs out."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from lofi.errors import GenerationCancelled, InsufficientMemory
from lofi.worker import memory
from lofi.worker.backend import Event, Facts, Model, Notice, Step
from lofi.worker.memory import (
    SMALL_BYTES,
    Footing,
    Limits,
    Need,
    Residency,
    Residents,
    module_bytes,
    peak_bytes,
    plan,
    retreats,
    wait_for_memory,
    withstand,
)
from lofi.worker.process import is_out_of_memory, memory_bytes, trim
from tests.allocator import Allocator

GIB = 2**30
NEEDS = [Need("text", 1 * GIB, GIB // 4), Need("dit", 5 * GIB, GIB), Need("vae", GIB // 4, 2 * GIB)]


def run(events: Generator[Event, None, Any]) -> tuple[list[Event], Any]:
    """Returns all events and what the generator returned."""
    seen: list[Event] = []
    while True:
        try:
            seen.append(next(events))
        except StopIteration as end:
            return seen, end.value


def test_module_bytes_counts_tied_weights_once() -> None:
    embedding = nn.Embedding(100, 8)
    head = nn.Linear(8, 100, bias=False)
    head.weight = embedding.weight
    assert module_bytes(nn.ModuleList([embedding, head])) == 100 * 8 * 4
    assert module_bytes(nn.Linear(4, 4).to(torch.bfloat16)) == 20 * 2
    assert module_bytes(nn.Linear(4, 4, device="meta")) == 0
    assert module_bytes(nn.BatchNorm1d(3)) == 4 * 3 * 4 + 8


def test_the_peak_of_each_placement() -> None:
    # all weights and the widest stage; or the small decoder and one stage at a time
    assert peak_bytes(NEEDS, Residency.NONE) == 6 * GIB + GIB // 4 + 2 * GIB
    assert peak_bytes(NEEDS, Residency.SEQUENTIAL) == GIB // 4 + 5 * GIB + GIB
    assert peak_bytes([], Residency.NONE) == peak_bytes([], Residency.SEQUENTIAL) == 0


def test_a_module_of_two_stages_is_counted_once() -> None:
    needs = [*NEEDS, Need("vae", GIB // 4, 3 * GIB)]
    assert peak_bytes(needs, Residency.NONE) == 6 * GIB + GIB // 4 + 3 * GIB


@pytest.mark.parametrize(
    ("free", "offload", "expected"),
    [
        (24, "auto", Residency.NONE),
        (9, "auto", Residency.SEQUENTIAL),  # 8.25 fits in 9, but not with a tenth to spare
        (4, "auto", Residency.SEQUENTIAL),  # nothing is refused: the retreats come first
        (24, "sequential", Residency.SEQUENTIAL),
        (4, "none", Residency.NONE),
        (24, "cpu", Residency.CPU),
    ],
)
def test_a_plan_by_free_memory(free: int, offload: str, expected: Residency) -> None:
    found = plan(NEEDS, "cuda:0", free * GIB, offload)
    assert found.residency is expected
    assert found.peak_bytes == peak_bytes(NEEDS, expected)
    assert found.free_bytes == free * GIB


def test_on_the_cpu_nothing_is_moved_about() -> None:
    for offload in ("auto", "sequential", "cpu"):
        assert plan(NEEDS, "cpu", GIB, offload).residency is Residency.NONE


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
    seen, footing = run(
        withstand(
            "decoding",
            stage,
            start,
            limits,
            needed_bytes=3 * GIB,
            smaller="Generate 30 s.",
            free=lambda _: free,
        )
    )
    return seen, footing


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


def linear(size: int, seed: int) -> nn.Linear:
    module = nn.Linear(size, size)
    with torch.no_grad():
        module.weight.copy_(torch.randn(size, size, generator=torch.Generator().manual_seed(seed)))
    return module.requires_grad_(False)


def devices_of(residents: Residents, *names: str) -> list[str]:
    return [next(residents[name].parameters()).device.type for name in names]


@pytest.fixture
def residents(monkeypatch: pytest.MonkeyPatch) -> Residents:
    """A text encoder, a transformer and a small decoder; the meta device plays the GPU."""
    monkeypatch.setattr(memory, "SMALL_BYTES", 1000)
    found = Residents("meta", Residency.SEQUENTIAL)
    for seed, (name, size) in enumerate({"text": 32, "dit": 64, "vae": 4}.items()):
        found.add(name, linear(size, seed))
    return found


def test_one_large_module_at_a_time(residents: Residents) -> None:
    before = residents["dit"].weight.clone()
    with residents.use("text"):
        assert devices_of(residents, "text", "dit", "vae") == ["meta", "cpu", "cpu"]
    with residents.use("dit") as dit:
        assert dit is residents["dit"]
        assert devices_of(residents, "text", "dit", "vae") == ["cpu", "meta", "cpu"]
    with residents.use("vae"):
        assert devices_of(residents, "text", "dit", "vae") == ["cpu", "cpu", "meta"]
    assert devices_of(residents, "text", "dit", "vae") == ["cpu", "cpu", "meta"], "small ones stay"
    assert torch.equal(residents["dit"].weight, before)


def test_leaving_the_device_brings_the_same_storage_back(residents: Residents) -> None:
    address = residents["dit"].weight.data_ptr()
    with residents.use("dit"):
        pass
    assert residents["dit"].weight.data_ptr() == address, "nothing was copied"


def test_a_failure_in_a_stage_still_leaves_the_device(residents: Residents) -> None:
    with pytest.raises(ZeroDivisionError), residents.use("dit"):
        raise ZeroDivisionError
    assert devices_of(residents, "dit") == ["cpu"]


def test_everything_stays_when_everything_fits() -> None:
    found = Residents("meta", Residency.NONE)
    found.add("a", linear(8, 0))
    found.add("b", linear(8, 1))
    for name in ("a", "b"):
        with found.use(name):
            pass
    assert devices_of(found, "a", "b") == ["meta", "meta"]


def test_the_cpu_policy_computes_on_the_cpu(residents: Residents) -> None:
    residents.settle(Residency.CPU)
    with residents.use("dit") as dit:
        assert dit(torch.ones(64)).shape == (64,)
    assert residents.residency is Residency.CPU


def test_buffers_move_with_their_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "SMALL_BYTES", 0)
    found = Residents("meta", Residency.SEQUENTIAL)
    module = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 4))
    module.requires_grad_(False)
    found.add("net", module)
    with found.use("net"):
        assert module[0].running_mean.device.type == "meta"  # type: ignore[union-attr]
    running: Tensor = module[0].running_mean  # type: ignore[assignment]
    assert running.device.type == "cpu" and torch.equal(running, torch.zeros(4))


def test_sizes_and_letting_go(residents: Residents) -> None:
    assert residents.sizes()["dit"] == 64 * 65 * 4
    residents.drop("dit")
    assert "dit" not in residents and "vae" in residents
    residents.clear()
    assert residents.sizes() == {}


def test_waiting_for_others_to_leave_memory() -> None:
    now = [0.0]
    free = iter([GIB, GIB, GIB, 3 * GIB])
    checks: list[float] = []
    events, is_enough = run(
        wait_for_memory(
            "cuda:0",
            Model(min_free_vram_mb=2048, vram_wait_sec=30),
            lambda: checks.append(now[0]),
            free=lambda _: next(free),
            clock=lambda: now[0],
            sleep=lambda seconds: now.__setitem__(0, now[0] + seconds),
        )
    )
    assert is_enough
    assert events == [Facts({"blocked_by": "memory"}), Facts({"blocked_by": None})]
    assert len(checks) == 3, "it can be cancelled while it waits"


def test_waiting_has_an_end() -> None:
    now = [0.0]
    _, is_enough = run(
        wait_for_memory(
            "cuda:0",
            Model(vram_wait_sec=30),
            lambda: None,
            free=lambda _: 0,
            clock=lambda: now[0],
            sleep=lambda seconds: now.__setitem__(0, now[0] + seconds),
        )
    )
    assert not is_enough and 30 <= now[0] <= 31


def test_waiting_can_be_cancelled() -> None:
    def check() -> None:
        raise GenerationCancelled("The job was cancelled")

    with pytest.raises(GenerationCancelled):
        run(wait_for_memory("cuda:0", Model(), check, free=lambda _: 0))


def test_no_waiting_with_enough_or_on_the_cpu() -> None:
    for device, free in (("cuda:0", 5 * GIB), ("cpu", 0)):
        events, is_enough = run(
            wait_for_memory(device, Model(), lambda: None, free=lambda _, free=free: free)
        )
        assert (events, is_enough) == ([], True)


def test_this_machine_has_memory() -> None:
    assert 0 < memory.free_bytes("cpu") <= memory.total_bytes("cpu")
    assert memory.total_bytes("cpu") > SMALL_BYTES


def test_trim_gives_memory_back() -> None:
    before = memory_bytes()
    held = [bytearray(100_000) for _ in range(1000)]
    assert memory_bytes() > before + 50_000_000
    del held
    trim()
    assert memory_bytes() < before + 20_000_000
