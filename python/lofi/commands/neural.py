"""`lofi setup python`: what neural models need, with the PyTorch that suits the machine."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import lofi
from lofi.commands import screen
from lofi.errors import DependencyMissing, ModelDownloadFailed

INDEX = "https://download.pytorch.org/whl/"
CUDA_BUILDS = ((13.0, "cu130"), (12.8, "cu128"), (12.6, "cu126"))
"""Newest first: what the driver must be able to do."""
EXTRA = re.compile(r"""^(.*?);.*extra == ['"]neural['"]""")
REACH_SEC = 15
TORCH = "torch"


@dataclass(frozen=True, slots=True)
class Build:
    """A build of PyTorch. Without `index` it comes from where all packages come from."""

    name: str
    index: str | None
    reason: str
    size: str


def choose(environment: Mapping[str, str], ask_driver: Callable[[], str | None]) -> Build:
    """Returns the build for this machine; `LOFI_TORCH_INDEX` names another index.

    Args:
        ask_driver: returns what `nvidia-smi` prints, None where it does not run.
    """
    own = environment.get("LOFI_TORCH_INDEX")
    if own:
        return Build("PyTorch", own, "LOFI_TORCH_INDEX says so", "up to 7.5 GB")
    if sys.platform == "darwin":
        return Build("PyTorch", None, "on macOS it brings Metal", "about 1.2 GB")
    output = ask_driver()
    found = re.search(r"CUDA Version:\s*(\d+\.\d+)", output or "")
    driver = float(found[1]) if found else None
    for needed, folder in CUDA_BUILDS:
        if driver is not None and driver >= needed:
            reason = f"the NVIDIA driver here takes CUDA up to {driver}"
            return Build(f"PyTorch for CUDA {needed}", INDEX + folder, reason, "about 7.5 GB")
    reason = "no NVIDIA GPU was found"
    if driver is not None:
        reason = f"the NVIDIA driver takes CUDA {driver}, and {CUDA_BUILDS[-1][0]} is needed"
    elif output is not None:
        reason = "the NVIDIA driver does not say which CUDA it takes"
    return Build("PyTorch for CPU", INDEX + "cpu", reason, "about 1.5 GB")


def run(options: argparse.Namespace) -> int:
    """Says what it would install and why, asks, installs into the Python that runs this."""
    wanted = packages()
    missing = [name for name in wanted if not _is_installed(name)]
    if not missing:
        screen.say(f"lofi: {sys.executable} has everything the neural models need")
        return 0
    build = choose(options.environment, driver_says)
    screen.say(f"Models need {build.name}, transformers and a few more packages.")
    screen.say(f"  why      {build.reason}")
    screen.say(f"  from     {build.index or 'the ordinary package index'}")
    screen.say(f"  to       {sys.prefix} ({build.size})")
    if not options.yes and not screen.agrees("Install them?"):
        return 1
    install(build, wanted, _runner)
    screen.say(f"lofi: {sys.executable} is ready for the neural models")
    return 0


def install(build: Build, packages: Sequence[str], run_pip: Callable[[Sequence[str]], int]) -> None:
    """Brings torch from its own index, and everything else from where packages come from.

    Raises:
        DependencyMissing: there is no pip here.
        ModelDownloadFailed: the packages did not come.
    """
    if run_pip(["--version"]) != 0:
        raise DependencyMissing(
            f"{sys.executable} has no pip",
            hint=f"Install pip there, or run: uv pip install --python {sys.executable} "
            "'lofi[neural]'.",
        )
    torch = [name for name in packages if _name_of(name) == TORCH]
    if build.index and torch and not _is_installed(torch[0]):
        # Its needs come with the others. An index that cannot be reached is not waited for long.
        patience = ["--timeout", str(REACH_SEC), "--retries", "1"]
        from_index = ["install", "--no-deps", *patience, "--index-url", build.index, *torch]
        if run_pip(from_index) != 0:
            screen.say(
                f"lofi: {build.name} is not to be had from {build.index}; taking torch from the "
                "ordinary package index"
            )
    if run_pip(["install", *packages]) != 0:
        raise ModelDownloadFailed(
            "The packages could not be installed; pip says why above",
            hint="Check the connection and the disk, then run lofi setup python again.",
        )


def packages() -> list[str]:
    """What the extra `neural` names, of an installed lofi or of its source folder."""
    import tomllib  # both are slow to read, and every command would
    from importlib import metadata

    project = Path(lofi.__file__).parents[2] / "pyproject.toml"
    if project.is_file():
        tables = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
        return list(tables["optional-dependencies"]["neural"])
    found = (EXTRA.match(line) for line in metadata.requires("lofi") or ())
    return [match[1].strip() for match in found if match]


def _name_of(requirement: str) -> str:
    return re.split(r"[<>=!~ ;\[]", requirement)[0]


def _is_installed(requirement: str) -> bool:
    from importlib import metadata

    try:
        metadata.version(_name_of(requirement))
    except metadata.PackageNotFoundError:
        return False
    return True


def driver_says(limit_sec: float = REACH_SEC) -> str | None:
    """Returns what `nvidia-smi` prints; None where it does not run, or hangs on a broken driver."""
    try:
        done = subprocess.run(
            ["nvidia-smi"], capture_output=True, text=True, check=False, timeout=limit_sec
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _runner(arguments: Sequence[str]) -> int:
    """pip, its words on stderr: stdout is for results."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    where = quiet if arguments[0] == "--version" else {"stdout": sys.stderr.fileno()}
    return subprocess.run([*command, *arguments], env=os.environ, check=False, **where).returncode
