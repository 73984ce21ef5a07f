"""The process that started this one: the two can end together. Standard library only.

A daemon nobody has spoken to goes with the relay that started it: an editor killed in its first
second would else leave one that comes up, does its first job and only then finds out. A worker
goes with its daemon: a starved thread may see no end of stdin.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_SET_PARENT_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of Linux's prctl(2)."""


def bind() -> None:
    """Asks Linux to kill this process with its parent; elsewhere the end of stdin has to do.

    The parent may have died just before: see `is_there`.
    """
    _at_parents_death(signal.SIGKILL)


def release() -> None:
    """Takes `bind` back: from now on somebody has to look."""
    _at_parents_death(0)


def is_there(pid: int) -> bool:
    """Returns whether `pid` is still our parent."""
    return os.getppid() == pid


def _at_parents_death(number: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, number)
