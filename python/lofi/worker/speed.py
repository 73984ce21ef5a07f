"""How fast this machine multiplies and reads: one JSON value, in half a second, without torch.

A process of its own: the daemon neither computes nor holds the memory for it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import numpy as np

from lofi.worker.process import lower_priority

SIZE = 1024
"""Of the square matrices: large enough that libraries run at their full speed."""
READ_BYTES = 64 * 1024 * 1024
"""More than a cache holds."""
TRIES = 3


def main() -> int:
    """Writes the content of `speed.json`; returns the exit status."""
    lower_priority()
    sys.stdout.write(json.dumps(measure()))
    return 0


def measure() -> dict[str, float]:
    """Returns the processor's float32 speed: GFLOP/s of matrix products, and GB/s of weights that
    products with one vector read, which is what drawing tokens consists of."""
    square = np.full((SIZE, SIZE), 0.5, dtype=np.float32)
    tall = np.ones((READ_BYTES // 4 // SIZE, SIZE), dtype=np.float32)
    vector = np.ones(SIZE, dtype=np.float32)
    return {
        "gflops": round(2 * SIZE**3 / _best(lambda: square @ square) / 1e9, 2),
        "gbps": round(tall.nbytes / _best(lambda: tall @ vector) / 1e9, 2),
    }


def _best(work: Callable[[], object]) -> float:
    """Seconds of the quickest try: what else runs only slows."""
    work()
    seconds = []
    for _ in range(TRIES):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


if __name__ == "__main__":
    sys.exit(main())
