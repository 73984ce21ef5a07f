"""The one daemon of a user: who holds the lock, and who is there already."""

from __future__ import annotations

import socket
import time
from pathlib import Path

from lofi.daemon.durable import FileLock
from lofi.errors import Busy
from lofi.socket_folder import check_folder

WAIT_LIMIT_SEC = 10.0
POLL_SEC = 0.005


def claim(socket_path: Path, lock_path: Path, limit_sec: float = WAIT_LIMIT_SEC) -> FileLock | None:
    """Returns the held lock of the one daemon, or None when another one serves already.

    A daemon that is leaving has unlinked its socket and still holds the lock: it is waited for.

    Raises:
        SocketRefused: the socket's folder cannot be trusted.
        Busy: somebody holds the lock, does not answer and does not go.
    """
    check_folder(socket_path)
    lock = FileLock(lock_path)
    end = time.monotonic() + limit_sec
    while not lock.try_lock():
        if answers(socket_path):
            return None
        if time.monotonic() > end:
            raise Busy(
                f"Another daemon holds {lock_path} and does not answer",
                hint="End that process; the lock goes with it.",
            )
        time.sleep(POLL_SEC)
    return lock


def answers(socket_path: Path) -> bool:
    """Returns whether somebody accepts connections there."""
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        probe.connect(str(socket_path))
    except OSError:
        return False
    finally:
        probe.close()
    return True
