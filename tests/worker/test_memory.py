"""What is free on a device, what a job needs there, and waiting for other programs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from lofi.errors import GenerationCancelled
from lofi.worker import memory
from lofi.worker.backend import Event, Facts, Model
from lofi.worker.memory import Need, peak_bytes, plan, wait_for_memory
from lofi.worker.residents import SMALL_BYTES, Residency

GIB = 2**30
PYTHON = Path(memory.__file__).parents[2]
NEEDS = [Need("text", 1 * GIB, GIB // 4), Need("dit", 5 * GIB, GIB), Need("vae", GIB // 4, 2 * GIB)]


def run(events: Generator[Event, None, Any]) -> tuple[list[Event], Any]:
    """Returns all events and what the generator returned."""
    seen: list[Event] = []
    while True:
        try:
            seen.append(next(events))
        except StopIteration as end:
            return seen, end.value


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
    # In a process of its own: in one that has used gigabytes nothing new is asked of the system.
    script = (
        "from lofi.worker.process import memory_bytes, trim\n"
        "before = memory_bytes()\n"
        "held = [bytearray(100_000) for _ in range(1000)]\n"
        "assert memory_bytes() > before + 50_000_000\n"
        "del held\n"
        "trim()\n"
        "assert memory_bytes() < before + 20_000_000, memory_bytes() - before\n"
    )
    subprocess.run([sys.executable, "-c", script], env={"PYTHONPATH": str(PYTHON)}, check=True)
