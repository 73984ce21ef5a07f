from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from lofi.daemon import launch
from lofi.daemon import worker_process as room
from lofi.daemon.worker_process import WorkerDied, WorkerProcess, WorkerStartFailed
from lofi.errors import WorkerTimeout
from lofi.wire.frames import (
    Beat,
    Cancelled,
    Done,
    Failed,
    Generate,
    Message,
    PhaseStarted,
    StepDone,
)
from tests.clock import limit
from tests.daemon.callers import REPO

T = TypeVar("T")
CAT = "import os\nwhile data := os.read(0, 64): os.write(1, data)"


@pytest.fixture(params=["in the loop", "before the loop"])
def seat(request: pytest.FixtureRequest) -> WorkerProcess:
    """A worker that is started when needed, or was begun before."""
    return worker("worker", is_begun=request.param == "before the loop")


def worker(role: str, *, is_begun: bool = False) -> WorkerProcess:
    environment = {**os.environ, "PYTHONPATH": f"{REPO / 'python'}{os.pathsep}{REPO}"}
    command = [sys.executable, "-m", "tests.daemon.serve", role, "light"]
    return WorkerProcess(
        "light", command, environment, begun(command, environment) if is_begun else None
    )


def begun(command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, env=environment
    )


def play(seat: WorkerProcess, work: Coroutine[Any, Any, T]) -> T:
    async def whole() -> T:
        try:
            return await work
        finally:
            await seat.stop()

    return asyncio.run(whole())


def job(tmp_path: Path, prompt: str, job_id: str = "j") -> Generate:
    recipe = {"backend": "procedural", "prompt": prompt, "seed": 1, "duration_sec": 1.0}
    return Generate(
        job_id,
        recipe,
        spool_path=str(tmp_path / f"{job_id}.f32"),
        file_path=str(tmp_path / f"{job_id}.wav"),
    )


async def frames(seat: WorkerProcess, message: Generate) -> list[Message]:
    return [frame async for frame in seat.run(message)]


def test_a_worker_is_started_when_needed_and_kept(seat: WorkerProcess, tmp_path: Path) -> None:
    async def twice() -> tuple[list[Message], int | None, list[Message], int | None]:
        first = await frames(seat, job(tmp_path, "plain", "a"))
        pid = seat.pid
        return first, pid, await frames(seat, job(tmp_path, "plain", "b")), seat.pid

    first, pid, second, same = play(seat, twice())
    assert isinstance(first[-1], Done) and isinstance(second[-1], Done)
    assert pid is not None and pid == same
    assert not seat.is_running
    assert (tmp_path / "a.wav").stat().st_size == first[-1].value["bytes"]


def test_the_one_that_was_begun_serves_until_it_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "worker_command", lambda role: [sys.executable, "-c", CAT])
    process = launch.begin("light", os.environ)
    assert process is not None and process.stdin is not None and process.stdout is not None
    process.stdin.write(b"heard")
    assert process.stdout.read(5) == b"heard"
    process.kill()
    assert process.wait() == -9
    for pipe in (process.stdin, process.stdout, process.stderr):
        assert pipe is not None
        pipe.close()

    environment = {**os.environ, "PYTHONPATH": f"{REPO / 'python'}{os.pathsep}{REPO}"}
    command = [sys.executable, "-m", "tests.daemon.serve", "worker", "light"]
    first = begun(command, environment)
    seat = WorkerProcess("light", command, environment, first)

    async def outlive() -> tuple[int | None, int | None]:
        await frames(seat, job(tmp_path, "plain", "a"))
        before = seat.pid
        with pytest.raises(WorkerDied, match="SIGKILL"):
            await frames(seat, job(tmp_path, "die=2", "b"))
        await frames(seat, job(tmp_path, "plain", "c"))
        return before, seat.pid

    before, after = play(seat, outlive())
    assert before == first.pid
    assert after not in (None, first.pid)


def test_one_that_cannot_begin_is_started_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "worker_command", lambda role: ["/no/such/program"])
    assert launch.begin("light", os.environ) is None


def test_its_death_is_one_failed_job_and_a_fresh_process(
    seat: WorkerProcess, tmp_path: Path
) -> None:
    async def die_and_go_on() -> tuple[WorkerDied, list[Message]]:
        with pytest.raises(WorkerDied) as died:
            await frames(seat, job(tmp_path, "die=2"))
        return died.value, await frames(seat, job(tmp_path, "plain", "k"))

    error, later = play(seat, die_and_go_on())
    assert "SIGKILL" in error.message and error.code == "MODEL_INFERENCE_FAILED"
    assert isinstance(later[-1], Done)


def test_a_failure_comes_with_its_own_type(seat: WorkerProcess, tmp_path: Path) -> None:
    last = play(seat, frames(seat, job(tmp_path, "fail")))[-1]
    assert isinstance(last, Failed)
    assert (last.code, last.hint) == ("INSUFFICIENT_MEMORY", "Ask for less.")


def test_cancel_ends_the_job_and_not_the_worker(seat: WorkerProcess, tmp_path: Path) -> None:
    async def cancel() -> tuple[float, list[Message], int | None, int | None]:
        seen: list[Message] = []
        began = 0.0
        async for frame in seat.run(job(tmp_path, "steps=100 step=0.05")):
            seen.append(frame)
            if isinstance(frame, StepDone) and not began:
                began, pid = time.monotonic(), seat.pid
                seat.cancel("j")
        return time.monotonic() - began, seen, pid, seat.pid

    took, seen, before, after = play(seat, cancel())
    assert isinstance(seen[-1], Cancelled)
    assert took < limit(2)
    assert before == after
    assert list(tmp_path.iterdir()) == []


def test_who_does_not_obey_is_ended(
    seat: WorkerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert room.OBEY_LIMIT_SEC == 10
    monkeypatch.setattr(room, "OBEY_LIMIT_SEC", 0.3)

    async def cancel() -> None:
        is_working = False
        async for frame in seat.run(job(tmp_path, "stubborn")):
            if isinstance(frame, Beat) and is_working:
                seat.cancel("j")
            is_working = is_working or isinstance(frame, PhaseStarted)

    with pytest.raises(WorkerDied):
        play(seat, cancel())


def test_cancelling_a_job_that_was_never_sent_spares_the_others(
    seat: WorkerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "OBEY_LIMIT_SEC", 0.1)

    async def cancel() -> list[Message]:
        await seat.start()
        seat.cancel("waiting")
        seen: list[Message] = []
        async for frame in seat.run(job(tmp_path, "steps=8 step=0.05")):
            seen.append(frame)
            if isinstance(frame, StepDone):
                seat.cancel("waiting")
        return seen

    assert isinstance(play(seat, cancel())[-1], Done)


def test_who_falls_silent_is_ended(
    seat: WorkerProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silence() -> None:
        await seat.start()
        assert seat.pid is not None
        os.kill(seat.pid, 19)  # SIGSTOP: alive, and no sign of life
        monkeypatch.setattr(room, "SILENCE_LIMIT_SEC", 0.3)
        await frames(seat, job(tmp_path, "plain"))

    with pytest.raises(WorkerTimeout, match="sign of life"):
        play(seat, silence())


def test_a_worker_that_cannot_start_says_why() -> None:
    seat = worker("broken")

    async def start() -> None:
        for _ in range(2):
            with pytest.raises(WorkerStartFailed, match="no module named torch"):
                await seat.start()

    play(seat, start())
    assert seat.failed_starts == 2


def test_one_that_was_begun_and_ended_says_why() -> None:
    environment = {**os.environ, "PYTHONPATH": f"{REPO / 'python'}{os.pathsep}{REPO}"}
    command = [sys.executable, "-m", "tests.daemon.serve", "broken", "light"]
    first = begun(command, environment)
    assert first.wait() != 0  # before anybody listens
    seat = WorkerProcess("light", command, environment, first)
    with pytest.raises(WorkerStartFailed, match="no module named torch"):
        play(seat, seat.start())


def test_a_missing_program_is_a_failed_start(tmp_path: Path) -> None:
    seat = WorkerProcess("light", [str(tmp_path / "nothing")], os.environ)
    with pytest.raises(WorkerStartFailed, match="cannot be started"):
        play(seat, seat.start())


def test_a_program_that_speaks_no_frames_is_a_failed_start() -> None:
    seat = WorkerProcess("light", [sys.executable, "-c", "print('hello, I am no worker')"], {})
    with pytest.raises(WorkerStartFailed):
        play(seat, seat.start())


def test_none_is_started_once_it_is_closed(seat: WorkerProcess) -> None:
    async def close() -> None:
        starting = asyncio.create_task(seat.start())
        await asyncio.sleep(0)
        seat.close()
        with pytest.raises(WorkerStartFailed):
            await starting
        with pytest.raises(WorkerStartFailed, match="any more"):
            await seat.start()

    play(seat, close())
    assert not seat.is_running
