"""Devices and precision: what there is, which one a job uses, and what is safe on it."""

from __future__ import annotations

import logging
import os
import platform
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lofi.errors import DeviceUnavailable
from lofi.worker.backend import Notice
from lofi.worker.memory import free_bytes, total_bytes

logger = logging.getLogger(__name__)

BF16_CUDA_CAPABILITY = (8, 0)
MPS_CONV_LIMIT = 65536
"""A longer convolution dimension was silent garbage before macOS 15.1."""
MPS_CONV_FIXED_IN = (15, 1)
SELF_TEST_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class Device:
    """One place where a model can run."""

    id: str
    """`cuda:0`, `mps`, `xpu:0`, `cpu`."""
    name: str
    memory_total_bytes: int
    memory_free_bytes: int
    bf16: bool
    """Computes bfloat16 at least as fast as float32."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What is right on a device: a plain value, so that every device's can be tested anywhere."""

    device: str
    dtype: torch.dtype
    """Of text encoder, transformer and planner."""
    codec_dtype: torch.dtype
    """Of the codec, whose output is heard."""
    conv_limit: int | None = None
    """Longest dimension a convolution may have."""
    warnings: tuple[Notice, ...] = ()

    @property
    def dtype_name(self) -> str:
        """The dtype as it is reported (`bfloat16`)."""
        return name_of(self.dtype)

    def in_float32(self) -> Policy:
        """Returns the policy of the one retry after a value that is no number."""
        return replace(self, dtype=torch.float32, codec_dtype=torch.float32)

    def in_bfloat16(self) -> Policy:
        """Returns the policy of networks whose float32 weights would not fit; the codec's stays."""
        return replace(self, dtype=torch.bfloat16)

    def on_cpu(self) -> Policy:
        """Returns the policy of a stage that cannot stay on the device."""
        return Policy("cpu", torch.float32, torch.float32)


def name_of(dtype: torch.dtype) -> str:
    """Returns a dtype's name without its module."""
    return str(dtype).removeprefix("torch.")


def devices() -> list[Device]:
    """Returns the devices in the order `auto` prefers them; the CPU is last and always there."""
    found: list[Device] = []
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            found.append(_described(f"cuda:{index}", torch.cuda.get_device_name(index)))
    if torch.backends.mps.is_available():
        found.append(_described("mps", f"Apple {platform.machine()}"))
    if hasattr(torch, "xpu") and torch.xpu.is_available():
        for index in range(torch.xpu.device_count()):
            found.append(_described(f"xpu:{index}", torch.xpu.get_device_name(index)))
    found.append(_described("cpu", _cpu_name()))
    return found


def probe() -> dict[str, Any]:
    """Returns the content of `devices.json`."""
    return {
        "torch": str(torch.__version__),
        "driver": _driver(),
        "platform": platform.platform(),
        "threads": thread_count(None),
        "devices": [
            {
                "id": device.id,
                "name": device.name,
                "memory_total_mb": device.memory_total_bytes // 2**20,
                "memory_free_mb": device.memory_free_bytes // 2**20,
                "bf16": device.bf16,
            }
            for device in devices()
        ],
    }


def choose(wanted: str, available: Iterable[str] | None = None) -> str:
    """Returns the id of the device to use (`cuda:0`, `mps`, `cpu`).

    Args:
        wanted: `auto`, `cpu`, `cuda`, `cuda:N`, `mps`, `metal`, `xpu` or `xpu:N`.
        available: ids there are, best first; None looks at this machine.

    Raises:
        DeviceUnavailable: an explicit device does not exist. It is never replaced by another.
    """
    ids = list(available) if available is not None else [device.id for device in devices()]
    name = wanted.strip().lower()
    if name == "auto":
        return ids[0]
    name = {"metal": "mps", "cuda": "cuda:0", "xpu": "xpu:0"}.get(name, name)
    if name in ids:
        return name
    raise DeviceUnavailable(
        f"There is no device {wanted!r} here",
        hint=f"Set model.device to auto or one of: {', '.join(ids)}.",
        param="model.device",
        devices=ids,
    )


def policy(device: str, backend: str, bf16: bool | None) -> Policy:
    """Returns what `backend` does on `device` of this machine.

    Args:
        device: an id from `choose`.
        backend: the wire type.
        bf16: `model.bf16`: None decides by the device.
    """
    kind = device.partition(":")[0]
    return policy_for(
        device,
        backend,
        bf16,
        has_fast_bf16=has_fast_bf16(device),
        system_version=_macos_version() if kind == "mps" else (),
    )


def policy_for(
    device: str,
    backend: str,
    bf16: bool | None,
    *,
    has_fast_bf16: bool,
    system_version: tuple[int, ...] = (),
) -> Policy:
    """Returns the policy from facts alone. Plain float16 is never used: deep layers exceed it."""
    kind = device.partition(":")[0]
    is_wanted = bf16 is not False
    warnings: tuple[Notice, ...] = ()
    # v1 was published for float32 where bfloat16 is slow or untested.
    careful = backend == "ace_step" and kind in ("mps", "cpu")
    if bf16 is None and (careful or not has_fast_bf16):
        is_wanted = False
    elif bf16 and (careful or not has_fast_bf16):
        warnings = (
            Notice(
                "DEGRADED",
                f"model.bf16 = true on {device}: bfloat16 is slow or less exact there",
                "model.bf16",
            ),
        )
    dtype = torch.bfloat16 if is_wanted else torch.float32
    if kind != "mps":
        return Policy(device, dtype, dtype, warnings=warnings)
    is_fixed = system_version >= MPS_CONV_FIXED_IN
    return Policy(
        device,
        dtype,
        torch.float32,
        conv_limit=None if is_fixed else MPS_CONV_LIMIT,
        warnings=warnings,
    )


def has_fast_bf16(device: str) -> bool:
    """Returns whether bfloat16 is at least as fast as float32 on the device."""
    kind, _, index = device.partition(":")
    if kind == "cuda":
        if torch.version.hip is not None:
            return bool(torch.cuda.is_bf16_supported())
        return torch.cuda.get_device_capability(int(index or 0)) >= BF16_CUDA_CAPABILITY
    if kind == "mps":
        return _macos_version() >= (14, 0)
    if kind == "xpu":
        return True
    # Without one of these instruction sets bfloat16 is emulated, many times slower.
    return any(
        getattr(torch.cpu, name, bool)()
        for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    )


def thread_count(asked: int | None) -> int:
    """Returns how many threads to compute with: `asked`, or the cores this process may use.

    Two hardware threads of one core count once; a container's quota is respected.
    """
    if asked is not None:
        return asked
    allowed = _allowed_cpus()
    cores = {_core_of(cpu) for cpu in allowed}
    quota = _cpu_quota()
    count = len(cores) if quota is None else min(len(cores), max(1, int(quota)))
    return max(1, count)


def set_threads(asked: int | None) -> int:
    """Sets and returns the number of threads torch computes with."""
    count = thread_count(asked)
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)
    return count


Operation = Callable[[str], Tensor]


def _attention(device: str) -> Tensor:
    x = _numbers(3, 1, 4, 33, 16).to(device)
    return F.scaled_dot_product_attention(x[0], x[1], x[2])


def _shared_attention(device: str) -> Tensor:
    """As the transformers here call it: shared key heads, and a window's mask."""
    q, k = _numbers(1, 8, 300, 16).to(device), _numbers(2, 1, 2, 300, 16).to(device)
    places = torch.arange(300, device=device)
    near = (places[:, None] - places).abs() <= 128
    return F.scaled_dot_product_attention(q, k[0], k[1], attn_mask=near, enable_gqa=True)


def _convolution(device: str) -> Tensor:
    return F.conv1d(_numbers(1, 4, 4096).to(device), _numbers(8, 4, 7).to(device), padding=3)


def _dilated_convolution(device: str) -> Tensor:
    """As the autoencoder's blocks run: height 1, channels innermost, taps nine apart."""
    x, weight = _numbers(1, 4096, 4).to(device), _numbers(8, 7, 4).to(device)
    return F.conv2d(
        x.transpose(1, 2)[:, :, None],
        weight.transpose(1, 2)[:, :, None],
        padding=(0, 27),
        dilation=(1, 9),
    )


def _long_convolution(device: str) -> Tensor:
    return F.conv1d(_numbers(1, 1, 66000).to(device), _numbers(1, 1, 7).to(device), padding=3)


def _transposed_convolution(device: str) -> Tensor:
    x, weight = _numbers(1, 8, 512).to(device), _numbers(8, 4, 8).to(device)
    return F.conv_transpose1d(x, weight, stride=4, padding=2)


def _gather(device: str) -> Tensor:
    order = torch.arange(63, -1, -1).repeat(8, 1).to(device)
    return _numbers(8, 64).to(device).gather(1, order)


SELF_TESTS: dict[str, Operation] = {
    "attention": _attention,
    "shared attention": _shared_attention,
    "convolution": _convolution,
    "dilated convolution": _dilated_convolution,
    "long convolution": _long_convolution,
    "transposed convolution": _transposed_convolution,
    "gather": _gather,
}
"""Operations that have been silently wrong on some device, each a function of it."""


def self_test(device: str, operations: dict[str, Operation] | None = None) -> list[str]:
    """Returns the names of the operations that disagree with the CPU or fail on the device."""
    wrong = []
    for name, operation in (SELF_TESTS if operations is None else operations).items():
        expected = operation("cpu")
        try:
            got = operation(device).cpu()
        except (RuntimeError, NotImplementedError) as error:
            logger.warning("%s fails on %s: %s", name, device, error)
            wrong.append(name)
            continue
        if not torch.allclose(got, expected, rtol=SELF_TEST_TOLERANCE, atol=SELF_TEST_TOLERANCE):
            logger.warning("%s is wrong on %s", name, device)
            wrong.append(name)
    return wrong


def _numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def _described(device: str, name: str) -> Device:
    return Device(device, name, total_bytes(device), free_bytes(device), bf16=has_fast_bf16(device))


def _driver() -> str:
    if not torch.cuda.is_available():
        return ""
    if torch.version.hip is not None:
        return f"hip {torch.version.hip}"
    query = getattr(torch._C, "_cuda_getDriverVersion", None)
    return f"cuda {torch.version.cuda} driver {query() if query else '?'}"


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _macos_version() -> tuple[int, ...]:
    if sys.platform != "darwin":
        return ()
    return tuple(int(part) for part in platform.mac_ver()[0].split(".") if part.isdigit())


def _allowed_cpus() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def _core_of(cpu: int) -> str:
    siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    try:
        return siblings.read_text().strip()
    except OSError:
        return str(cpu)


def _cpu_quota() -> float | None:
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None
