"""A small model hub on loopback: the calls huggingface_hub makes, from folders, with faults."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlparse

COMMIT = "0123456789abcdef0123456789abcdef01234567"
COMMIT_NAME = re.compile("[0-9a-f]{40}")


@dataclass
class Hub:
    """What it serves, how it misbehaves, and what it was asked."""

    repositories: dict[str, Path] = field(default_factory=dict)
    """`owner/name` to a folder."""
    url: str = ""
    commit: str = COMMIT
    extra_names: list[str] = field(default_factory=list)
    """Files it lists beside those it has."""
    forgets_revisions: bool = False
    """Whether it answers its own commit, whatever was asked for."""
    requests: list[str] = field(default_factory=list)
    status_of: dict[str, list[int]] = field(default_factory=dict)
    """Part of a path to the statuses its next requests get."""
    cut_after_bytes: dict[str, list[int]] = field(default_factory=dict)
    """Part of a path to how many bytes its next answers have before the connection breaks."""
    stall: threading.Event = field(default_factory=threading.Event)
    stall_at: str | None = None
    """Part of a path whose answer stops after its first bytes until `stall` is set."""
    stalls: int | None = None
    """How many answers stop so; None: each."""
    corrupt: set[str] = field(default_factory=set)


@contextmanager
def running(repositories: dict[str, Path]) -> Iterator[Hub]:
    """Serves until the block ends."""
    hub = Hub(repositories)
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        hub.stall.set()
        server.shutdown()
        thread.join()
        server.server_close()


@lru_cache(maxsize=256)
def _sha256(path: Path, mtime_ns: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """The log is `Hub.requests`."""

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        path = unquote(urlparse(self.path).path)
        wanted = self.headers.get("Range")
        self.hub.requests.append(f"{self.command} {path}" + (f" {wanted}" if wanted else ""))
        for part, statuses in self.hub.status_of.items():
            if part in path and statuses:
                self._plain(statuses.pop(0), b"{}")
                return
        if path.startswith("/api/models/"):
            self._info(path.removeprefix("/api/models/"))
        elif "/resolve/" in path:
            repository, _, rest = path.lstrip("/").partition("/resolve/")
            self._file(repository, rest.partition("/")[2], wanted, with_body=with_body)
        else:
            self._plain(404, b"{}")

    def _plain(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _info(self, rest: str) -> None:
        repository, _, revision = rest.partition("/revision/")
        folder = self.hub.repositories.get(repository)
        if folder is None:
            self._plain(404, b"{}")
            return
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        siblings = []
        for path in files:
            item: dict[str, object] = {
                "rfilename": str(path.relative_to(folder)),
                "size": path.stat().st_size,
            }
            if path.suffix in (".safetensors", ".pt"):
                digest = _sha256(path, path.stat().st_mtime_ns)
                item["lfs"] = {"sha256": digest, "size": item["size"], "pointerSize": 130}
            siblings.append(item)
        siblings += [{"rfilename": name, "size": 10} for name in self.hub.extra_names]
        # a commit is answered as itself, a branch with the commit it stands at
        is_kept = COMMIT_NAME.fullmatch(revision) and not self.hub.forgets_revisions
        sha = revision if is_kept else self.hub.commit
        body = {"id": repository, "sha": sha, "siblings": siblings, "tags": []}
        self._plain(200, json.dumps(body).encode())

    def _file(self, repository: str, name: str, wanted: str | None, *, with_body: bool) -> None:
        folder = self.hub.repositories.get(repository)
        if folder is None or not (folder / name).is_file():
            self._plain(404, b"{}")
            return
        body = (folder / name).read_bytes()
        if any(part in name for part in self.hub.corrupt):
            body = body[:-1] + bytes([body[-1] ^ 1])
        start = int(wanted.removeprefix("bytes=").rstrip("-").split("-")[0]) if wanted else 0
        whole = len(body)
        body = body[start:]
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", '"' + hashlib.sha256(name.encode()).hexdigest() + '"')
        self.send_header("X-Repo-Commit", self.hub.commit)
        self.end_headers()
        if not with_body:
            return
        if self.hub.stall_at and self.hub.stall_at in name and self.hub.stalls != 0:
            if self.hub.stalls is not None:
                self.hub.stalls -= 1
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.hub.stall.wait()
            body = body[len(body) // 2 :]
        for part, cuts in self.hub.cut_after_bytes.items():
            if part in name and cuts:
                self.wfile.write(body[: cuts.pop(0)])
                self.wfile.flush()
                self.close_connection = True
                self.connection.shutdown(2)
                return
        self.wfile.write(body)
