"""The device probe: imports torch once, says as one JSON value what it saw, and ends."""

from __future__ import annotations

import gc
import json
import os
import sys

from lofi.worker.process import lower_priority


def main() -> int:
    """Writes the content of `devices.json` to the real stdout; returns the exit status."""
    answer = os.dup(1)
    os.dup2(2, 1)  # what torch and drivers print must not get into the answer
    lower_priority()
    gc.disable()  # it ends before there is anything to collect
    from lofi.worker.device import probe

    os.write(answer, json.dumps(probe()).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
