"""The memory of a device: what is free, what a job needs, and so how its modules are placed.

Sizes are measured from the modules; the working memory of each stage comes from its backend.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from lofi.worker.backend import Check, Event, Facts, Model
from lofi.worker.residents import SMALL_BYTES, Residency

SPARE_PART = 0.10
"""`none` is chosen only when a tenth of the free memory is left over."""
UNIFIED_PART = 0.75
"""How much of an Apple machine's memory its GPU may be thought to have."""
WAIT_INTERVAL_SEC = 0.5


@dataclass(frozen=True, slots=True)
class Need:
    """What one stage of a job needs on the device."""

    module: str
    weight_bytes: int
    working_bytes: int
    """Its activations at their highest, for the job's length."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a job's modules are placed, and the memory that takes on the device."""

    residency: Residency
    peak_bytes: int
    free_bytes: int


def total_bytes(device: str) -> int:
    """Returns the device's memory; for the CPU and Apple's GPU that of the machine."""
    kind = device.partition(":")[0]
    if kind == "cuda":
        return int(torch.cuda.mem_get_info(device)[1])
    if kind == "xpu":
        return int(torch.xpu.get_device_properties(device).total_memory)
    host = _host_bytes("MemTotal")
    return int(host * UNIFIED_PART) if kind == "mps" else host


def free_bytes(device: str) -> int:
    """Returns what can still be allocated, torch's own empty cache included."""
    kind = device.partition(":")[0]
    if kind == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + cached)
    if kind == "mps":
        return max(0, total_bytes("mps") - torch.mps.current_allocated_memory())
    if kind == "xpu":
        return total_bytes(device) - int(torch.xpu.memory_allocated(device))
    return _host_bytes("MemAvailable")


def peak_bytes(needs: Sequence[Need], residency: Residency) -> int:
    """Returns the most that the stages, one after the other, have on the device at once."""
    weights = {need.module: need.weight_bytes for need in needs}
    if residency is not Residency.SEQUENTIAL:
        return sum(weights.values()) + max((need.working_bytes for need in needs), default=0)
    small = {name: size for name, size in weights.items() if size <= SMALL_BYTES}
    return max(
        (
            sum(small.values())
            + need.working_bytes
            + (0 if need.module in small else need.weight_bytes)
            for need in needs
        ),
        default=0,
    )


def plan(needs: Sequence[Need], device: str, free: int, offload: str) -> Plan:
    """Returns the placement for a job. Nothing is refused here: the retreats come first.

    Args:
        needs: one for each stage, in order.
        device: where the job is to run.
        free: bytes free there, with none of these modules on it.
        offload: `model.offload`: `auto`, `none`, `sequential` or `cpu`.
    """
    if device.startswith("cpu"):
        # One memory for both sides: moving modules about would gain nothing.
        return Plan(Residency.NONE, peak_bytes(needs, Residency.NONE), free)
    if offload != "auto":
        chosen = Residency(offload)
        return Plan(chosen, peak_bytes(needs, chosen), free)
    whole = peak_bytes(needs, Residency.NONE)
    if whole <= free * (1 - SPARE_PART):
        return Plan(Residency.NONE, whole, free)
    sequential = peak_bytes(needs, Residency.SEQUENTIAL)
    # Even over the free memory: a smaller tile may fit, and the ladder ends on the CPU.
    return Plan(Residency.SEQUENTIAL, sequential, free)


def wait_for_memory(
    device: str,
    model: Model,
    check: Check,
    *,
    free: Callable[[str], int] = free_bytes,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Generator[Event, None, bool]:
    """Waits for other programs to leave memory; returns whether enough is free.

    Yields `Facts` with `blocked_by`, `"memory"` while it waits and None after.
    """
    wanted = model.min_free_vram_mb * 2**20
    if device.startswith("cpu") or free(device) >= wanted:
        return True
    end = clock() + model.vram_wait_sec
    yield Facts({"blocked_by": "memory"})
    is_enough = False
    while not is_enough and clock() < end:
        check()
        sleep(WAIT_INTERVAL_SEC)
        is_enough = free(device) >= wanted
    yield Facts({"blocked_by": None})
    return is_enough


def guard_paging(device: str) -> None:
    """Keeps a Windows driver from paging the GPU's memory out, which is slower than failing."""
    if sys.platform == "win32" and device.startswith("cuda"):
        free, total = torch.cuda.mem_get_info(device)
        torch.cuda.set_per_process_memory_fraction(min(1.0, 0.95 * free / total), device)


def _host_bytes(field: str) -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith(f"{field}:"):
                host = int(line.split()[1]) * 1024
                return min(host, _container_bytes(field, host))
    except OSError:
        pass
    if sys.platform == "darwin":
        return _darwin_bytes()
    return 0


def _container_bytes(field: str, host: int) -> int:
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        if field == "MemTotal":
            return limit
        statistics = dict(
            line.split() for line in Path("/sys/fs/cgroup/memory.stat").read_text().splitlines()
        )
        return limit - int(statistics["anon"])
    except (OSError, ValueError, KeyError):  # no container, or none with a limit
        return host


def _darwin_bytes() -> int:
    import subprocess

    answer = subprocess.run(
        ["/usr/sbin/sysctl", "-n", "hw.memsize"], capture_output=True, text=True, check=False
    )
    return int(answer.stdout or 0)
