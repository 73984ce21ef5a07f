"""The model hub through huggingface_hub: what a repository holds, and the bytes of one file.

Everything it raises becomes one of our errors, with what to do about it.
"""

from __future__ import annotations

import errno
import fnmatch
import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lofi.errors import InsufficientDisk, LofiError, ModelDownloadFailed
from lofi.hub import Published

logger = logging.getLogger(__name__)
T = TypeVar("T")

TRIES = 5
CHUNK_BYTES = 256 * 1024
TOKEN_HINT = "The repository asks for a login: set HF_TOKEN, then run setup again."
MOVED_HINT = "The model may have moved; update lofi.nvim, or name a folder with source=…"


@dataclass(frozen=True, slots=True)
class Remote:
    """One file as the hub has it."""

    name: str
    url: str
    size_bytes: int
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Listing:
    """A component's files at one commit."""

    commit: str
    files: tuple[Remote, ...]


def listing(component: Published, retry_delay_sec: float) -> Listing:
    """Returns the files that the component needs.

    Raises:
        ModelDownloadFailed: no such repository, a file is gone, no connection.
    """
    if component.url is not None:
        (file,) = component.files
        remote = Remote(file.name, component.url, file.size_bytes, file.sha256)
        return Listing("", (remote,))

    from huggingface_hub import HfApi, hf_hub_url

    def ask() -> Listing:
        info = HfApi().model_info(
            component.repository, revision=component.revision, files_metadata=True
        )
        assert info.sha is not None
        if component.is_pinned and _COMMIT.fullmatch(component.revision or ""):
            _check_revision(component, info.sha)
        start = f"{component.folder}/" if component.folder else ""
        there = {
            item.rfilename.removeprefix(start): item
            for item in info.siblings or ()
            if item.rfilename.startswith(start)
        }
        # No component has folders, and a name with one could lead out of ours.
        there = {name: item for name, item in there.items() if "/" not in name}
        files = []
        for name in _wanted(component, list(there)):
            item = there[name]
            digest = item.lfs.sha256 if item.lfs is not None else None
            url = hf_hub_url(component.repository, start + name, revision=info.sha)
            files.append(Remote(name, url, int(item.size or 0), digest))
        return Listing(info.sha, tuple(files))

    return _patiently(ask, component.repository, retry_delay_sec)


_COMMIT = re.compile("[0-9a-f]{40}")


def _check_revision(component: Published, sha: str) -> None:
    if sha != component.revision:
        raise ModelDownloadFailed(
            f"{component.repository}: the server has {sha} in place of {component.revision}",
            hint="HF_ENDPOINT names a mirror that does not keep revisions; unset it, or name "
            "another.",
        )


def _wanted(component: Published, there: list[str]) -> list[str]:
    wanted = []
    for file in component.files:
        if "*" in file.name:
            continue
        if file.name not in there:
            raise ModelDownloadFailed(
                f"{component.repository} has no {file.name} any more", hint=MOVED_HINT
            )
        wanted.append(file.name)
    for pattern in component.patterns:
        wanted += [name for name in fnmatch.filter(there, pattern) if name not in wanted]
    if component.patterns and not any(name.endswith(".safetensors") for name in wanted):
        raise ModelDownloadFailed(
            f"{component.repository} holds no safetensors weights", hint=MOVED_HINT
        )
    return sorted(wanted)


def fetch(remote: Remote, partial: Path, *, retry_delay_sec: float, stall_sec: float) -> None:
    """Writes the file's bytes to `partial`, going on after what is there already.

    Raises:
        ModelDownloadFailed: the server said no, or the connection broke five times.
        InsufficientDisk: the disk is full.
    """
    from huggingface_hub import constants
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers

    constants.HF_HUB_DOWNLOAD_TIMEOUT = stall_sec  # without a byte
    # What has not filled a chunk is lost when a connection breaks, and shows in no progress.
    constants.DOWNLOAD_CHUNK_SIZE = CHUNK_BYTES
    # A token is for the hub alone.
    headers = build_hf_headers() if remote.url.startswith(constants.ENDPOINT) else {}

    def get() -> None:
        done = partial.stat().st_size if partial.exists() else 0
        if done > remote.size_bytes:
            partial.unlink()
            done = 0
        with partial.open("ab") as file:
            http_get(
                remote.url,
                file,
                resume_size=done,
                headers=headers,
                expected_size=remote.size_bytes,
                displayed_filename=remote.name,
            )

    _patiently(get, remote.name, retry_delay_sec)


def _patiently(work: Callable[[], T], what: str, delay_sec: float) -> T:
    for attempt in range(1, TRIES + 1):
        try:
            with _ours(what):
                return work()
        except ModelDownloadFailed as error:
            if not error.data.get("transient") or attempt == TRIES:
                raise
            logger.warning("%s: %s; try %s of %s", what, error.message, attempt + 1, TRIES)
            time.sleep(delay_sec * 2 ** (attempt - 1))
    raise AssertionError("unreachable")


@contextmanager
def _ours(what: str) -> Iterator[None]:
    """Turns the library's errors into ours."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        yield
    except LofiError:
        raise
    except OfflineModeIsEnabled as error:
        raise ModelDownloadFailed(
            "HF_HUB_OFFLINE forbids the network", hint="Unset HF_HUB_OFFLINE and run setup again."
        ) from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        transient = status >= 500 or status in (408, 429)
        hint = TOKEN_HINT if status in (401, 403) else MOVED_HINT if status == 404 else None
        raise ModelDownloadFailed(
            f"{what}: the server answered {status}", hint=hint, status=status, transient=transient
        ) from error
    except httpx2.HTTPError as error:
        raise ModelDownloadFailed(
            f"{what}: {error or type(error).__name__}", transient=True
        ) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InsufficientDisk(
                f"{what}: the disk is full",
                hint="Free some space and run setup again; it goes on where it stopped.",
            ) from error
        raise ModelDownloadFailed(f"{what}: {error}", transient=True) from error
