"""Who lives and who dies with whom: real processes, real signals."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.clock import limit, until
from tests.daemon.callers import Caller, Home, gone

pytestmark = pytest.mark.slow

LONG = "steps=400 step=0.05"
GONE_SEC = 1.5
"""What the process table is given; the daemon itself promises one second."""


def rendering(caller: Caller, seed: int) -> str:
    """Starts a long job and returns its track once it runs."""
    track_id: str = caller.call("generate", prompt=LONG, duration_sec=5, seed=seed)["track_id"]
    caller.event("generation_progress", track_id=track_id)
    return track_id


def check_cache(home: Home) -> None:
    """Every sidecar has its whole file, and nothing else is visible."""
    for sidecar in home.tracks.glob("*.json"):
        members = json.loads(sidecar.read_text())
        assert (home.tracks / members["file"]).stat().st_size == members["bytes"]
    stems = {path.stem for path in home.tracks.glob("*.json")}
    assert {path.stem for path in home.tracks.glob("*.wav")} <= stems


def test_the_end_of_stdin_ends_everything_within_a_second(home: Home) -> None:
    caller = home.caller("stdio")
    caller.initialize()
    rendering(caller, 1)
    caller.hang_up()
    began = time.monotonic()
    assert caller.ended() == 0
    gone(home, GONE_SEC)
    assert time.monotonic() - began < limit(GONE_SEC)


def test_a_measure_of_the_machine_ends_with_its_daemon(home: Home) -> None:
    noted = home.path / "measuring"
    caller = home.caller("stdio", BAND_MEASURES_LONG=str(noted))
    caller.send("get_backends")
    until(lambda: noted.exists() and noted.read_text(), 10, "the measure")
    caller.hang_up()
    assert caller.ended() == 0
    assert not Path(f"/proc/{noted.read_text()}").exists()


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 0), (signal.SIGHUP, 0), (signal.SIGINT, 130)]
)
def test_a_signal_ends_it_in_order(home: Home, number: signal.Signals, status: int) -> None:
    caller = home.caller("stdio")
    caller.initialize()
    track_id = rendering(caller, 2)
    assert caller.process is not None
    caller.process.send_signal(number)
    assert caller.ended() == status
    assert caller.ending(track_id)[1]["reason"] == "shutdown"
    gone(home, GONE_SEC)


def test_a_client_that_reads_no_more_ends_it(home: Home) -> None:
    process = home.start("stdio")
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
    process.stdin.flush()
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(limit(GONE_SEC)) == 0
    process.stdin.close()
    gone(home, GONE_SEC)


def test_the_last_client_takes_the_shared_daemon_with_it(home: Home) -> None:
    first = home.caller("relay")
    first.initialize()
    second = home.caller("relay")
    second.initialize()
    track_id = rendering(first, 3)
    first.hang_up()
    assert first.ended() == 0
    second.call("ping")
    status = second.call("queue_status")
    assert status["current"]["track_id"] == track_id
    second.hang_up()
    gone(home, GONE_SEC)
    assert not home.socket.exists()
    check_cache(home)


def test_unfinished_jobs_are_offered_once(home: Home) -> None:
    first = home.caller("relay")
    first.initialize()
    rendering(first, 4)
    first.hang_up()
    gone(home, GONE_SEC)
    second = home.caller("relay")
    offered = second.initialize()["unfinished"]
    assert [request["seed"] for request in offered] == [4]
    assert offered[0]["prompt"] == LONG
    third = home.caller("relay")
    assert third.initialize()["unfinished"] == []


def test_two_relays_at_once_find_one_daemon(home: Home) -> None:
    callers = [home.caller("relay") for _ in range(4)]
    pids = {caller.initialize()["daemon"]["pid"] for caller in callers}
    assert len(pids) == 1
    until(lambda: len(home.processes_of("socket")) == 1, 5, "the others to give up")


def test_three_clients_share_one_queue_and_one_player(home: Home) -> None:
    editor = home.caller("relay")
    editor.initialize()
    other, script = home.caller("relay"), home.connect()
    other.initialize()
    script.initialize()
    track_id = rendering(editor, 5)
    waiting = other.call("generate", prompt="plain", duration_sec=5, seed=6)["track_id"]
    for caller in (editor, other, script):
        status = caller.call("queue_status")
        assert status["current"]["track_id"] == track_id
        assert [job["track_id"] for job in status["pending"]] == [waiting]
    other.hang_up()
    assert other.ended() == 0
    assert script.call("status")["daemon"]["clients"] == 2
    script.call("cancel", track_id=track_id)
    assert editor.ending(track_id)[0] == "generation_cancelled"
    assert script.ending(waiting)[0] == "generation_complete"
    assert editor.call("volume_set", level=0.25)["level"] == 0.25
    assert script.call("volume_get")["level"] == 0.25


def test_reopening_while_the_old_one_is_leaving_works_every_time(home: Home) -> None:
    for _ in range(3):
        caller = home.caller("relay")
        caller.initialize()
        caller.hang_up()
        time.sleep(random.uniform(0, 0.1))  # the moment matters, not the waiting
    last = home.caller("relay")
    last.initialize()
    assert last.call("ping")["status"] == "ok"


def test_the_socket_is_for_its_user_alone(home: Home) -> None:
    caller = home.caller("relay")
    caller.initialize()
    assert home.socket.stat().st_mode & 0o777 == 0o600
    assert home.socket.parent.stat().st_mode & 0o777 == 0o700


def test_an_open_folder_is_refused(home: Home) -> None:
    home.socket.parent.mkdir()
    home.socket.parent.chmod(0o755)
    caller = home.caller("relay")
    assert caller.ended(10) == 1


def kill_workers(home: Home, caller: Caller) -> None:
    for pid in home.processes_of("worker"):
        os.kill(pid, signal.SIGKILL)


def kill_daemon(home: Home, caller: Caller) -> None:
    for pid in home.processes_of("socket"):
        os.kill(pid, signal.SIGKILL)


def kill_relay(home: Home, caller: Caller) -> None:
    assert caller.process is not None
    caller.process.kill()


def killings(count: int) -> None:
    """Kills worker, daemon and relay in turn at random moments; everything works afterwards."""
    dice = random.Random(count)
    for turn in range(count):
        home = Home()
        try:
            victim = (kill_workers, kill_daemon, kill_relay)[turn % 3]
            _kill_once(home, victim, dice.uniform(0, 0.4), turn)
        finally:
            home.close()


def _kill_once(home: Home, victim: object, delay_sec: float, seed: int) -> None:
    caller = home.caller("relay")
    caller.initialize()
    done = caller.call("generate", prompt="stream part=0.02", duration_sec=10, seed=seed)
    caller.ending(done["track_id"])
    track_id = caller.call("generate", prompt="stream steps=9 step=0.02 part=0.03",
                           duration_sec=10, seed=seed + 100)["track_id"]  # fmt: skip
    time.sleep(delay_sec)  # the random moment
    victim(home, caller)  # type: ignore[operator]
    if victim is kill_workers:
        method, params = caller.ending(track_id)
        if method == "generation_error":
            assert params["code"] == "MODEL_INFERENCE_FAILED"
        survivor = caller
    else:
        caller.ended()
        until(lambda: not home.processes(), GONE_SEC, "no orphan")
        survivor = home.caller("relay")
        survivor.initialize()
    check_cache(home)
    again = survivor.call("generate", prompt="plain", duration_sec=5, seed=seed + 200)
    assert survivor.ending(again["track_id"])[0] == "generation_complete"
    assert survivor.call("cache_get", track_id=done["track_id"])["track"]["plays"] >= 0
    check_cache(home)


def test_kills_at_random_moments() -> None:
    killings(5)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_many_kills_at_random_moments() -> None:
    killings(150)
