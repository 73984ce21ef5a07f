"""The process that started a shared daemon: while nobody uses the daemon, they go together.

Without this an editor that is killed in its first second would leave a daemon behind that comes
up, does its first job and only then finds out. Standard library only: it is read before anything.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_SET_PARENT_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of Linux's prctl(2)."""


def bind(pid: int) -> None:
    """Ends this process at once should its parent `pid` end (Linux), or have ended (anywhere)."""
    _at_parents_death(signal.SIGKILL)
    if not is_there(pid):
        sys.exit(f"process {pid}, for which this daemon was started, is not its parent")


def release() -> None:
    """Takes `bind` back: from now on somebody has to look."""
    _at_parents_death(0)


def is_there(pid: int) -> bool:
    """Returns whether `pid` is still our parent."""
    return os.getppid() == pid


def _at_parents_death(number: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, number)
