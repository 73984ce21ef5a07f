"""A real worker process with fake backends, spoken to in frames."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from lofi.wire.frames import (
    Cancelled,
    Done,
    Failed,
    FrameReader,
    Generate,
    Message,
    Ready,
    pack,
)
from tests.clock import limit

REPO = Path(__file__).parents[2]
SCRIPT = """
import logging, sys
{before}
from lofi.worker.loop import main
logging.basicConfig(stream=sys.stderr, level=logging.INFO)
sys.exit(main({role!r}, packages={packages!r}))
"""
FAKES = {"fake": "tests.fakes", "other": "tests.fakes"}


class Worker:
    """One worker; `seen` holds every message it sent, with its time."""

    def __init__(
        self,
        folder: Path,
        *,
        role: str = "light",
        packages: Mapping[str, str] | None = None,
        before: str = "",
    ) -> None:
        """`before`: lines that the process runs before anything of ours."""
        self.folder = folder
        self.seen: list[Message] = []
        self.times: list[float] = []
        script = SCRIPT.format(
            role=role, packages=dict(FAKES if packages is None else packages), before=before
        )
        self._log = (folder / "worker.log").open("w+b")
        self.process = subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            cwd=folder,
            env={
                **os.environ,
                "PYTHONPATH": f"{REPO / 'python'}:{REPO}",
                "OMP_NUM_THREADS": "1",
            },
        )
        self.garbage = ""
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def __enter__(self) -> Worker:
        self.until(lambda message: isinstance(message, Ready))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._thread.join()
        assert self.process.stdin is not None and self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()
        self._log.close()

    def send(self, *messages: Message) -> None:
        self.send_bytes(b"".join(pack(message) for message in messages))

    def send_bytes(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def generate(self, job_id: str = "job", **values: Any) -> None:
        self.send(self.request(job_id, **values))

    def request(
        self,
        job_id: str = "job",
        *,
        fake: Mapping[str, Any] | None = None,
        backend: str = "fake",
        duration_sec: float = 1.0,
        file_format: str = "wav",
        mp3_bitrate_kbps: int = 192,
        **recipe: Any,
    ) -> Generate:
        """A job whose files are `<job_id>.f32` and `<job_id>.<format>` in the folder."""
        return Generate(
            job_id,
            {"backend": backend, "duration_sec": duration_sec, "fake": dict(fake or {}), **recipe},
            spool_path=str(self.spool(job_id)),
            file_path=str(self.file(job_id, file_format)),
            format=file_format,
            mp3_bitrate_kbps=mp3_bitrate_kbps,
        )

    def spool(self, job_id: str = "job") -> Path:
        return self.folder / f"{job_id}.f32"

    def file(self, job_id: str = "job", file_format: str = "wav") -> Path:
        return self.folder / f"{job_id}.{file_format}"

    def until(self, wanted: Any, seconds: float = 20.0) -> Message:
        """Waits for the first message that `wanted` (a type or a test) takes."""
        is_it = wanted if not isinstance(wanted, type) else lambda one: isinstance(one, wanted)
        end = time.monotonic() + limit(seconds)
        with self._changed:
            while True:
                for message in self.seen:
                    if is_it(message):
                        return message
                left = end - time.monotonic()
                if left <= 0 or (not self._thread.is_alive() and self.process.poll() is not None):
                    raise AssertionError(f"never came; saw {self.seen!r}\n{self.log()}")
                self._changed.wait(min(left, 0.1))

    def ending(self, job_id: str = "job", seconds: float = 20.0) -> Message:
        """Waits for the ending of a job."""
        return self.until(
            lambda message: (
                isinstance(message, (Done, Failed, Cancelled)) and message.job_id == job_id
            ),
            seconds,
        )

    def done(self, job_id: str = "job", seconds: float = 20.0) -> Mapping[str, Any]:
        ending = self.ending(job_id, seconds)
        assert isinstance(ending, Done), f"{ending}\n{self.log()}"
        return ending.value

    def failed(self, job_id: str = "job", seconds: float = 20.0) -> Failed:
        ending = self.ending(job_id, seconds)
        assert isinstance(ending, Failed), ending
        return ending

    def of(self, kind: type[Message]) -> list[Any]:
        return [message for message in self.seen if isinstance(message, kind)]

    def log(self) -> str:
        return (self.folder / "worker.log").read_text(errors="replace")

    def close_stdin(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)

    def _read(self) -> None:
        assert self.process.stdout is not None
        reader = FrameReader()
        while chunk := os.read(self.process.stdout.fileno(), 65536):
            messages = list(reader.feed(chunk))
            with self._changed:
                self.seen += messages
                self.times += [time.monotonic()] * len(messages)
                self._changed.notify_all()
