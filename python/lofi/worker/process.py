"""What this process holds and how it gives way. Torch-free: it only looks for torch."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

NICENESS = 10
KEPT_BYTES = 64 * 2**20
LARGEST_KEPT_BYTES = 16 * 2**20
"""What `keep_freed` holds at the heap's end, and the largest array that goes there."""


def lower_priority() -> None:
    """Lets the editor and the player go first."""
    if sys.platform == "win32":
        below_normal = 0x4000
        kernel = ctypes.windll.kernel32
        kernel.SetPriorityClass(kernel.GetCurrentProcess(), below_normal)
        return
    try:
        os.nice(NICENESS)
    except OSError as error:
        logger.warning("cannot lower the priority: %s", error)


@contextmanager
def without_collections(*, for_good: bool) -> Iterator[None]:
    """Reads packages a seventh faster: what they make is not looked through while it is made.

    Args:
        for_good: nor ever again, which makes each later collection a matter of microseconds; only
            where nothing is in memory yet that ought to leave it.
    """
    gc.disable()
    try:
        yield
        if for_good:
            gc.freeze()
    finally:
        gc.enable()


def memory_bytes() -> int:
    """Returns the memory this process has for itself: not the weights it only maps."""
    status = Path("/proc/self/status")
    try:
        for line in status.read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def device_bytes() -> int:
    """Returns what torch has allocated on its accelerator, 0 without one."""
    torch: Any = sys.modules.get("torch")
    if torch is None:
        return 0
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return int(torch.cuda.memory_allocated())
    if hasattr(torch, "mps") and torch.backends.mps.is_available():
        return int(torch.mps.current_allocated_memory())
    return 0


def keep_freed() -> None:
    """Lets glibc hold freed memory for the next array instead of giving each one back: pages that
    come and go cost a tenth of a synthesiser's time. `trim` still gives all of it back."""
    adjust = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if adjust is not None:
        trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
        adjust(trim_threshold, KEPT_BYTES)
        adjust(mmap_threshold, LARGEST_KEPT_BYTES)


def trim() -> None:
    """Gives every free page and every cached block of the active device back to the system."""
    gc.collect()
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        # Only the backend in use: emptying another one's cache raises on some systems.
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        elif hasattr(torch, "mps") and torch.backends.mps.is_available():
            torch.mps.empty_cache()
        elif hasattr(torch, "xpu") and torch.xpu.is_available():
            torch.xpu.empty_cache()
    if sys.platform == "linux":
        # glibc keeps freed heaps for itself; musl has no such call and no such habit.
        release = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if release is not None:
            release(0)


def is_out_of_memory(error: BaseException) -> bool:
    """Returns whether memory ran out: Python's, torch's or the allocator's own words."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if not isinstance(error, RuntimeError):
        return False
    text = str(error).lower()
    return any(
        words in text
        for words in (
            "out of memory",
            "can't allocate memory",
            "not enough memory",
            "failed to allocate",
            "cudnn_status_alloc_failed",
            "cublas_status_alloc_failed",
        )
    )
