"""The folder of the shared daemon's socket: whoever connects trusts what answers there.

Standard library only: the relay, for which an editor waits, looks here too.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from lofi.errors import LofiError
from lofi.paths import SOCKET_PATH_LIMIT_BYTES


class SocketRefused(LofiError):
    """The socket's folder cannot be trusted, or its path cannot be bound."""

    code = "SOCKET_REFUSED"


def check_folder(socket_path: Path) -> None:
    """Makes the socket's folder, or checks that it is ours alone.

    Raises:
        SocketRefused: it is not, or the path is too long for a socket.
        OSError: it cannot be made.
    """
    if len(os.fsencode(socket_path)) >= SOCKET_PATH_LIMIT_BYTES:
        raise SocketRefused(
            f"{socket_path} is too long for a socket",
            hint="Set LOFI_SOCKET to a path of fewer than 100 bytes.",
        )
    socket_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    has_folder(socket_path)


def has_folder(socket_path: Path) -> bool:
    """Returns whether the socket's folder is there, and ours alone.

    Raises:
        SocketRefused: it is there, and not ours alone.
    """
    folder = socket_path.parent
    try:
        found = folder.lstat()  # a link could lead anywhere tomorrow
    except OSError:
        return False
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    if not is_ours or stat.S_IMODE(found.st_mode) & 0o077:
        raise SocketRefused(
            f"{folder} must be a folder of yours that nobody else can open (mode 0700)",
            hint=f"Run chmod 700 {folder}, or set LOFI_SOCKET to a path in a private folder.",
        )
    return True
