"""The worker process: one channel, one job at a time, until the daemon closes the pipe."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Mapping
from typing import Literal

from lofi import __version__, parent
from lofi.wire.frames import Ready
from lofi.worker.channel import Channel
from lofi.worker.process import keep_freed, lower_priority

logger = logging.getLogger(__name__)

Role = Literal["light", "neural"]


def main(role: Role, *, packages: Mapping[str, str] | None = None) -> int:
    """Serves jobs until stdin ends; returns the exit status.

    Args:
        role: `light` has numpy and no torch, `neural` holds models.
        packages: wire type of a backend to the module with its `create()`; None for our own.
    """
    channel = Channel.take()
    daemon = os.getppid()
    parent.bind()
    if not parent.is_there(daemon):  # it died just before
        os._exit(0)
    # After the reader has started: on Linux it keeps its own, normal priority.
    lower_priority()
    # A Ctrl-C in the terminal goes to the whole group; the daemon decides what it means here.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    # Read once, by numpy's first import: its threads would spin through every small product.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # And by torch's: beside other busy programs, spinning made decoding four times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

    # Only now, when nothing they print can reach the frames.
    from lofi.worker.runner import Runner
    from lofi.worker.shelf import PACKAGES, Shelf

    shelf = Shelf(PACKAGES[role] if packages is None else packages)
    runner = Runner(channel, shelf)
    channel.send(Ready(pid=os.getpid(), role=role, version=__version__))
    if role == "light":
        keep_freed()
    if role == "light" and packages is None:
        # While the daemon is still coming up: what the first sound then need not wait for.
        for _ in shelf.fetch():
            if channel.is_awaited:
                break
    while (message := channel.take_message()) is not None:
        runner.serve(message)
    return 0


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    sys.exit(main("neural" if sys.argv[1:] == ["neural"] else "light"))
