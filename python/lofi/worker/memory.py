"""Memory of the models: what is free, what a job needs, who is on the device, and the retreats.

Sizes are measured from the modules; the working memory of each stage comes from its backend.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from lofi.errors import InsufficientMemory
from lofi.worker.backend import Check, Event, Facts, Model, Notice
from lofi.worker.process import is_out_of_memory, trim

logger = logging.getLogger(__name__)

SPARE_PART = 0.10
"""`none` is chosen only when a tenth of the free memory is left over."""
UNIFIED_PART = 0.75
"""How much of an Apple machine's memory its GPU may be thought to have."""
WAIT_INTERVAL_SEC = 0.5
SMALL_BYTES = 512 * 2**20
"""Modules up to this size (decoders, vocoders) stay on the device."""

M = TypeVar("M", bound=nn.Module)


class Residency(StrEnum):
    """Where the modules of a model live while a job runs."""

    NONE = "none"
    """Nothing is offloaded: every module stays on the device."""
    SEQUENTIAL = "sequential"
    """Each large module is on the device only while it runs."""
    CPU = "cpu"
    """Everything is computed by the CPU."""


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


def module_bytes(module: nn.Module) -> int:
    """Returns what the weights and buffers of a module take, tied ones counted once."""
    sizes = {
        (tensor.device, tensor.data_ptr(), tensor.nbytes): tensor.nbytes
        for tensor in (*module.parameters(), *module.buffers())
        if not tensor.is_meta
    }
    return sum(sizes.values())


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


class Residents:
    """The modules of one model and where they are; a stage borrows the one it runs.

    A module's weights on the CPU are kept while they are cheap (mapped from the file, or needed
    again soon), so leaving the device copies nothing back.
    """

    def __init__(self, device: str, residency: Residency) -> None:
        self.device = device
        self._residency = residency
        self._modules: dict[str, nn.Module] = {}
        self._sizes: dict[str, int] = {}
        self._homes: dict[str, Mapping[str, torch.Tensor]] = {}

    @property
    def residency(self) -> Residency:
        return self._residency

    def __contains__(self, name: str) -> bool:
        return name in self._modules

    def __getitem__(self, name: str) -> nn.Module:
        return self._modules[name]

    def add(self, name: str, module: nn.Module) -> None:
        """Takes a module in, wherever its weights are; a former one of that name leaves."""
        self.drop(name)
        self._modules[name] = module
        self._sizes[name] = module_bytes(module)

    def drop(self, name: str) -> None:
        """Lets go of a module."""
        for kept in (self._modules, self._sizes, self._homes):
            kept.pop(name, None)

    def clear(self) -> None:
        """Lets go of every module and gives the memory back."""
        for kept in (self._modules, self._sizes, self._homes):
            kept.clear()
        trim()

    def sizes(self) -> dict[str, int]:
        """Returns the bytes of each module, measured when it came."""
        return dict(self._sizes)

    def settle(self, residency: Residency) -> None:
        """Changes the policy; what has to leave the device leaves it now."""
        self._residency = residency
        if residency is Residency.NONE:
            return
        for name in self._modules:
            if residency is Residency.CPU or not self._is_small(name):
                self._leave(name)
        trim()

    @contextmanager
    def use(self, name: str) -> Iterator[Any]:
        """Lends the module on the device of the current policy, alone there when sequential."""
        module = self._modules[name]
        if self._residency is Residency.SEQUENTIAL:
            for other in self._modules:
                if other != name and not self._is_small(other):
                    self._leave(other)
        if self._residency is Residency.CPU:
            self._leave(name)
        else:
            self._enter(name)
        try:
            yield module
        finally:
            if self._residency is Residency.SEQUENTIAL and not self._is_small(name):
                self._leave(name)

    def _is_small(self, name: str) -> bool:
        return self._sizes[name] <= SMALL_BYTES

    def _enter(self, name: str) -> None:
        module = self._modules[name]
        tensors = _tensors(module)
        if all(_is_on(tensor, self.device) for tensor in tensors.values()):
            return
        if self._residency is Residency.SEQUENTIAL:
            self._homes[name] = tensors
        for key, tensor in tensors.items():
            _assign(module, key, tensor.to(self.device))

    def _leave(self, name: str) -> None:
        module = self._modules[name]
        home = self._homes.pop(name, None)
        for key, tensor in _tensors(module).items():
            if not _is_on(tensor, "cpu"):
                _assign(module, key, tensor.cpu() if home is None else home[key])


@dataclass(frozen=True, slots=True)
class Footing:
    """How a stage is run: what a retreat changes."""

    device: str
    residency: Residency
    tile_frames: int
    """Latent frames of a codec tile; 0 for a stage without tiles."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a retreat may go."""

    smallest_tile_frames: int
    may_use_cpu: bool
    has_tiles: bool = True


def retreats(start: Footing, limits: Limits) -> Iterator[tuple[Footing, str]]:
    """Yields the ways to go on after memory ran out, each with its sentence, best first.

    First the same again with an empty cache, then halved tiles, then one module at a time, then
    the CPU if it is allowed.
    """
    footing = start
    yield footing, "freed the caches"
    while limits.has_tiles and footing.tile_frames > limits.smallest_tile_frames:
        halved = max(footing.tile_frames // 2, limits.smallest_tile_frames)
        footing = replace(footing, tile_frames=halved)
        yield footing, f"decodes in tiles of {halved} frames"
    if footing.device.startswith("cpu"):
        return
    if footing.residency is Residency.NONE:
        footing = replace(footing, residency=Residency.SEQUENTIAL)
        yield footing, "keeps one part of the model on the device at a time"
    if limits.may_use_cpu:
        yield replace(footing, device="cpu", residency=Residency.CPU), "goes on with the CPU"


def withstand(
    stage: str,
    attempt: Callable[[Footing], Iterator[Event]],
    start: Footing,
    limits: Limits,
    *,
    needed_bytes: int,
    smaller: str,
    free: Callable[[str], int] = free_bytes,
) -> Generator[Event, None, Footing]:
    """Runs a stage and, each time memory runs out, again on a safer footing; returns the last.

    Args:
        stage: its name for people and the log (`decoding`).
        attempt: yields the stage's events; called anew after a retreat, so it must know itself
            what it has already handed out.
        needed_bytes: what the plan says it needs.
        smaller: the smallest change that would fit, as a sentence for the hint.

    Raises:
        InsufficientMemory: no retreat is left.
    """
    ways = retreats(start, limits)
    footing = start
    while True:
        if (yield from _survived(attempt(footing))):
            return footing
        # Here the failed attempt's frames, and with them its tensors, are gone.
        trim()
        way = next(ways, None)
        if way is None:
            have = free(footing.device)
            raise InsufficientMemory(
                f"{stage} needs {_gigabytes(needed_bytes)}, {_gigabytes(have)} are free",
                hint=smaller,
                needed_bytes=needed_bytes,
                free_bytes=have,
            )
        footing, what = way
        logger.warning("out of memory while %s: %s", stage, what)
        yield Notice("DEGRADED", f"Memory ran out while {stage}: {what}")


def _survived(events: Iterator[Event]) -> Generator[Event, None, bool]:
    try:
        yield from events
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True


def guard_paging(device: str) -> None:
    """Keeps a Windows driver from paging the GPU's memory out, which is slower than failing."""
    if sys.platform == "win32" and device.startswith("cuda"):
        free, total = torch.cuda.mem_get_info(device)
        torch.cuda.set_per_process_memory_fraction(min(1.0, 0.95 * free / total), device)


def _tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    return {
        **{name: parameter.data for name, parameter in module.named_parameters()},
        **dict(module.named_buffers()),
    }


def _assign(module: nn.Module, key: str, tensor: torch.Tensor) -> None:
    path, _, name = key.rpartition(".")
    owner = module.get_submodule(path)
    if name in owner._parameters:
        parameter = owner._parameters[name]
        assert parameter is not None
        try:
            parameter.data = tensor  # the parameter itself stays, and what is tied to it
        except RuntimeError:
            # Some devices' tensors are of another kind; `Module.to` replaces it there, too.
            owner._parameters[name] = nn.Parameter(tensor, requires_grad=False)
    else:
        owner._buffers[name] = tensor


def _is_on(tensor: torch.Tensor, device: str) -> bool:
    kind, _, index = device.partition(":")
    return tensor.device.type == kind and (not index or tensor.device.index in (None, int(index)))


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


def _gigabytes(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
