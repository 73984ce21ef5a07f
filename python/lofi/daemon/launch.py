"""How our own processes are started. Standard library only: the first one is begun before anything
else is read."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import lofi


def worker_command(role: str) -> list[str]:
    """Returns how a process is started: a worker (`light`, `neural`), `probe` or `speed`."""
    if role in ("probe", "speed"):
        return [sys.executable, "-m", f"lofi.worker.{role}"]
    return [sys.executable, "-m", "lofi.worker.loop", role]


def worker_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment with our own source folder first, wherever we were started."""
    source = str(Path(lofi.__file__).parent.parent)
    rest = environment.get("PYTHONPATH")
    return {**environment, "PYTHONPATH": f"{source}{os.pathsep}{rest}" if rest else source}


def begin(role: str, environment: Mapping[str, str]) -> subprocess.Popen[bytes] | None:
    """Begins a worker before there is a loop to start it in; None where none can be adopted.

    It is read while the daemon is: see `adopted`. What is not adopted ends with this process.
    """
    if sys.platform == "win32":
        return None
    try:
        return subprocess.Popen(
            worker_command(role),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=worker_environment(environment),
            start_new_session=True,  # see `WorkerProcess`
        )
    except OSError:  # whoever needs a worker starts one, and says why it cannot
        return None
