"""The worker as a process: frames in, frames out, and how it ends."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lofi.wire.frames import (
    Beat,
    Cancel,
    Cancelled,
    Done,
    Failed,
    Load,
    Operate,
    PhaseStarted,
    Ready,
    SoundAnnounced,
    StepDone,
    StretchDone,
    Unload,
)
from lofi.worker.shelf import PACKAGES
from tests.clock import limit, until
from tests.worker.workers import REPO, Worker


def test_a_job_from_ready_to_done(tmp_path: Path) -> None:
    with Worker(tmp_path) as worker:
        assert isinstance(worker.seen[0], Ready)
        assert worker.seen[0].role == "light"
        worker.generate(duration_sec=2.0, normalize="peak")
        value = worker.done()
        assert value["frames"] == 96000
        assert (value["bpm"], value["keyscale"]) == (92.0, "A minor")
        assert set(value["timings"]) == {"loading", "diffusion", "decoding", "writing"}
        assert value["devices"]["diffusion"] == {"device": "cpu", "dtype": "float32"}
        kinds = [type(message) for message in worker.seen]
        assert kinds.index(SoundAnnounced) < kinds.index(StretchDone) < kinds.index(Done)
        counts = [message.frames for message in worker.of(StretchDone)]
        assert counts == sorted(counts) and counts[-1] == 96000
        phases = [message.phase for message in worker.of(PhaseStarted)]
        assert phases == ["loading", "diffusion", "decoding", "writing"]
        assert worker.of(Beat)[0].memory_bytes > 0
        assert kinds[-1] is Done, "nothing of a job comes after its ending"


def test_what_is_printed_never_reaches_the_frames(tmp_path: Path) -> None:
    with Worker(tmp_path) as worker:
        worker.generate(fake={"kind": "print"})
        worker.done()
        log = worker.log()
        for words in ("a library talks", "raw bytes on fd 1", "C talks, too"):
            assert words in log


def test_a_light_worker_never_imports_torch(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from lofi.worker.loop import main\n"
        "code = main('light')\n"
        "assert not {'torch', 'transformers'} & set(sys.modules), 'torch was imported'\n"
        "sys.exit(code)\n"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PYTHONPATH": str(REPO / "python")},
    )
    assert worker.stdout is not None
    assert worker.stdout.read(1), "it says that it is ready"
    _, errors = worker.communicate(timeout=limit(20))
    assert worker.returncode == 0, errors.decode()


def test_a_light_worker_has_no_neural_backend(tmp_path: Path) -> None:
    with Worker(tmp_path, packages={}) as worker:
        worker.generate(backend="ace_step_15")
        assert worker.failed().code == "INVALID_BACKEND"


@pytest.mark.parametrize("backend", ["ace_step_15", "ace_step", "musicgen"])
def test_without_torch_the_command_that_installs_it(tmp_path: Path, backend: str) -> None:
    with Worker(
        tmp_path,
        role="neural",
        packages=dict(PACKAGES["neural"]),
        before="sys.modules['torch'] = None",
    ) as worker:
        request = worker.request(backend=backend, prompt="rain")
        object.__setattr__(request, "model", {"path": str(tmp_path), "variant": "turbo"})
        worker.send(request)
        failed = worker.failed()
        assert failed.code == "DEPENDENCY_MISSING", (failed, worker.log())
        assert "pip install 'lofi[neural]'" in failed.hint


@pytest.mark.slow
def test_memory_does_not_grow_from_job_to_job(tmp_path: Path) -> None:
    with Worker(tmp_path) as worker:
        levels = []
        for number in range(30):
            worker.generate(f"{number}", duration_sec=10.0, normalize="peak")
            worker.done(f"{number}")
            worker.spool(f"{number}").unlink()
            levels.append(worker.of(Beat)[-1].memory_bytes)
        slope = (levels[-1] - levels[5]) / (len(levels) - 6)
        assert slope <= 2**20, levels


def test_cancel_ends_a_running_job_that_checks(tmp_path: Path) -> None:
    with Worker(tmp_path) as worker:
        worker.generate(fake={"kind": "polite"})
        worker.until(lambda message: getattr(message, "phase", "") == "diffusion")
        asked = time.monotonic()
        worker.send(Cancel("job"))
        assert isinstance(worker.ending(), Cancelled)
        assert time.monotonic() - asked < limit(2)
        assert not worker.spool().exists() and not worker.file().exists()
        worker.generate("next")
        worker.done("next")


def test_cancel_of_a_waiting_job_keeps_the_running_one(tmp_path: Path) -> None:
    with Worker(tmp_path) as worker:
        worker.send(
            worker.request("first", fake={"kind": "deaf", "seconds": 0.5}),
            worker.request("second"),
            Cancel("second"),
        )
        worker.done("first")
        assert isinstance(worker.ending("second"), Cancelled)


def test_a_late_cancel_does_not_hit_the_next_job_of_that_name(tmp_path: Path) -> None:
    with Worker(tmp_path) as worker:
        worker.generate("same")
        worker.done("same")
        worker.send(Cancel("same"), Cancel("nobody"))
        worker.seen.clear()
        worker.generate("same")
        worker.done("same")


def test_beats_come_inside_a_long_call(tmp_path: Path) -> None:
    with Worker(tmp_path) as worker:
        worker.generate(fake={"kind": "deaf", "seconds": 3.2})
        worker.done()
        beats = [
            at
            for at, message in zip(worker.times, worker.seen, strict=True)
            if isinstance(message, Beat)
        ]
        assert len(beats) >= 4
        assert max(b - a for a, b in itertools.pairwise(beats)) < limit(1.2)


@pytest.mark.alone
@pytest.mark.parametrize("kind", ["", "polite", "deaf"])
def test_the_end_of_stdin_is_the_end_of_the_process(tmp_path: Path, kind: str) -> None:
    with Worker(tmp_path) as worker:
        if kind:
            worker.generate(fake={"kind": kind, "seconds": 60})
            worker.until(lambda message: getattr(message, "phase", "") == "diffusion")
        closed = time.monotonic()
        worker.close_stdin()
        worker.process.wait(limit(5))
        assert time.monotonic() - closed < limit(1)


def test_a_worker_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    """Also when its stdin stays open, because somebody else holds the other end."""
    script = (
        "import os, subprocess, sys\n"
        "reader, writer = os.pipe()\n"
        "os.set_inheritable(writer, True)\n"
        "child = subprocess.Popen([sys.executable, '-m', 'lofi.worker.loop', 'light'],"
        " stdin=reader, stdout=subprocess.PIPE, close_fds=False)\n"
        "child.stdout.read(5)\n"
        "print(child.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"PYTHONPATH": str(REPO / "python")},
    )
    assert parent.stdout is not None
    with parent.stdout:
        pid = int(parent.stdout.readline())
        parent.wait(limit(10))
        until(lambda: not _is_running(pid), 1, f"process {pid} to end")


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_bytes_that_are_no_frame_end_the_process(tmp_path: Path) -> None:
    with Worker(tmp_path) as worker:
        worker.send_bytes(b"\xff\xff\xff\xff not a frame")
        assert worker.process.wait(limit(5)) == 0
        assert "cannot be read" in worker.log()


def test_a_killed_worker_leaves_no_track(tmp_path: Path) -> None:
    with Worker(tmp_path) as worker:
        worker.generate(fake={"kind": "die"})
        worker.process.wait(limit(10))
        assert not worker.file().exists()


@pytest.mark.parametrize(
    ("kind", "code", "words"),
    [
        ("missing", "MODEL_NOT_FOUND", "no weights"),
        ("memory", "INSUFFICIENT_MEMORY", "Memory"),
        ("package", "DEPENDENCY_MISSING", "lofi_has_no_such_package"),
        ("nan", "MODEL_INFERENCE_FAILED", "no numbers"),
        ("shape", "MODEL_INFERENCE_FAILED", "shape"),
        ("mute", "MODEL_INFERENCE_FAILED", "no sound"),
    ],
)
def test_a_failure_is_one_typed_message(tmp_path: Path, kind: str, code: str, words: str) -> None:
    with Worker(tmp_path) as worker:
        worker.generate(fake={"kind": kind})
        failed = worker.failed()
        assert (failed.code, words in failed.message) == (code, True), failed
        assert failed.hint
        assert len(worker.of(Failed)) == 1
        assert not worker.spool().exists() and not worker.file().exists()
        worker.generate("next")
        worker.done("next")


def test_a_bug_shows_its_traceback_only_in_the_log(tmp_path: Path) -> None:
    with Worker(tmp_path) as worker:
        worker.generate(fake={"kind": "bug"})
        failed = worker.failed()
        assert failed.code == "INTERNAL_ERROR"
        assert "4711" not in failed.message + failed.hint + str(failed.data)
        assert "the tensor held 4711" in worker.log() and "Traceback" in worker.log()


@pytest.mark.parametrize(("fake", "word"), [({"level": 0.0}, "silence"), ({"level": 5e-5}, "sil")])
def test_silence_is_no_track(tmp_path: Path, fake: dict[str, float], word: str) -> None:
    with Worker(tmp_path) as worker:
        worker.generate(fake=fake, normalize="peak")
        assert word in worker.failed().message


@pytest.mark.parametrize("extra_frames", [-4800, -2, 2, 4800])
def test_a_wrong_length_is_no_track(tmp_path: Path, extra_frames: int) -> None:
    with Worker(tmp_path) as worker:
        worker.generate(fake={"extra_frames": extra_frames})
        failed = worker.failed()
        assert failed.code == "MODEL_INFERENCE_FAILED" and "48000" in failed.message


@pytest.mark.parametrize("extra_frames", [-1, 0, 1])
def test_one_frame_off_is_made_exact(tmp_path: Path, extra_frames: int) -> None:
    with Worker(tmp_path) as worker:
        worker.generate(fake={"extra_frames": extra_frames})
        assert worker.done()["frames"] == 48000


def test_a_missing_folder_is_a_typed_error(tmp_path: Path) -> None:
    with Worker(tmp_path) as worker:
        request = worker.request()
        worker.send(type(request)("job", request.recipe, spool_path="/nowhere/x", file_path="/y"))
        assert worker.failed().code == "CACHE_WRITE_ERROR"


def test_a_spool_is_readable_while_it_grows(tmp_path: Path) -> None:
    with Worker(tmp_path) as worker:
        worker.generate(duration_sec=10.0, fake={"streams": True, "gain": 0.7})
        first = worker.until(StretchDone)
        assert isinstance(first, StretchDone)
        assert worker.spool().stat().st_size >= first.frames * 2 * 4
        worker.done()
        sound = worker.of(SoundAnnounced)[0]
        assert (sound.streams, sound.gain, sound.frames) == (True, 0.7, 480000)
        assert worker.spool().exists(), "the player may still be reading it"


@pytest.mark.parametrize("wish", [{"loopable": True}, {"fade_out_sec": 1}, {"fade_in_sec": 1}])
def test_a_track_whose_end_shapes_its_start_does_not_stream(
    tmp_path: Path, wish: dict[str, object]
) -> None:
    with Worker(tmp_path) as worker:
        worker.generate(duration_sec=4.0, fake={"streams": True}, **wish)
        worker.done()
        assert not worker.of(SoundAnnounced)[0].streams


def test_steps_are_thinned_but_the_last_one_comes(tmp_path: Path) -> None:
    with Worker(tmp_path) as worker:
        worker.generate(fake={"kind": "steps", "steps": 2000})
        worker.done()
        steps = [step for step in worker.of(StepDone) if step.total == 2000]
        assert steps[-1].done == 2000
        assert len(steps) < 200


def test_load_operate_and_unload(tmp_path: Path) -> None:
    with Worker(tmp_path) as worker:
        worker.send(
            Load("load", "fake"),
            Operate("ask", "lm_inspire", {"query": "rain"}, "fake", {"device": "cpu"}),
            Unload("away", "fake"),
            Unload("all"),
        )
        assert "loading" in worker.done("load")["timings"]
        assert worker.done("ask") == {
            "operation": "lm_inspire",
            "params": {"query": "rain"},
            "device": "cpu",
        }
        assert worker.done("away") == {} == worker.done("all")
        assert "unloaded fake" in worker.log()


def test_another_backend_makes_the_first_one_leave(tmp_path: Path) -> None:
    with Worker(tmp_path) as worker:
        worker.send(worker.request("a"), worker.request("b", backend="other"))
        worker.done("b")
        assert "unloaded fake" in worker.log()


def test_models_may_stay_together(tmp_path: Path) -> None:
    with Worker(tmp_path) as worker:
        one, two = worker.request("a"), worker.request("b", backend="other")
        worker.send(one)
        worker.done("a")
        object.__setattr__(two, "model", {"keep_loaded": True})
        worker.send(two)
        worker.done("b")
        assert "unloaded" not in worker.log()


def test_the_worker_runs_at_lower_priority(tmp_path: Path) -> None:
    with Worker(tmp_path) as worker:
        fields = Path(f"/proc/{worker.process.pid}/stat").read_text().rpartition(")")[2].split()
        assert int(fields[16]) >= 10


def test_an_unknown_operation_is_refused(tmp_path: Path) -> None:
    with Worker(tmp_path) as worker:
        worker.send(Operate("x", "dance"))
        assert worker.failed("x").code == "METHOD_NOT_FOUND"
