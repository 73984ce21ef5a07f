"""The relay with daemons that are not ours: it copies bytes and knows no method."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clock import limit, until
from tests.daemon.callers import REPO, Home, gone

pytestmark = pytest.mark.slow

FAKE = """
import os, socket, sys, time
mode, path = sys.argv[1], os.environ["XDG_RUNTIME_DIR"] + "/lofi/daemon.sock"
if mode == "fail":
    sys.exit("there is no numpy")
server = socket.socket(socket.AF_UNIX)
server.bind(path)
server.listen()
client, _ = server.accept()
os.unlink(path)
while data := client.recv(65536):
    client.sendall(data)
"""


def relay(home: Home, mode: str) -> subprocess.Popen[bytes]:
    """Starts a relay whose daemon is the fake one above."""
    (home.path / "fake.py").write_text(FAKE)
    code = (
        "import sys; from lofi.daemon import relay; "
        f"daemon = [sys.executable, {str(home.path / 'fake.py')!r}, {mode!r}]; "
        "sys.exit(relay.main(daemon_command=daemon))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=home.environment,
        cwd=REPO,
    )


def test_a_megabyte_line_goes_both_ways_unchanged(home: Home) -> None:
    process = relay(home, "echo")
    line = os.urandom(700_000).hex().encode() + b"\n"
    assert process.stdin is not None and process.stdout is not None
    writer = threading.Thread(target=process.stdin.write, args=(line,))
    writer.start()
    threading.Thread(target=lambda: (writer.join(), process.stdin.flush())).start()
    assert process.stdout.readline() == line
    out, _ = process.communicate(timeout=limit(5))
    assert out == b"" and process.returncode == 0


def test_a_daemon_that_cannot_start_is_explained(home: Home) -> None:
    process = relay(home, "fail")
    _, words = process.communicate(timeout=limit(10))
    assert process.returncode == 1
    assert b"there is no numpy" in words


@pytest.fixture
def leaving(home: Home) -> Iterator[socket.socket]:
    """A daemon on its way out: it accepts, says nothing, and is gone."""
    home.socket.parent.mkdir(mode=0o700)
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(home.socket))
    server.listen()

    def accept_and_leave() -> None:
        client, _ = server.accept()
        client.recv(10)
        home.socket.unlink()
        client.close()

    threading.Thread(target=accept_and_leave, daemon=True).start()
    yield server
    server.close()


def test_who_is_cut_off_before_any_answer_gets_a_new_daemon(
    home: Home, leaving: socket.socket
) -> None:
    caller = home.caller("relay")
    assert caller.initialize()["protocol"] == 1
    assert len(home.processes_of("socket")) == 1


def test_an_answer_on_its_way_arrives_after_stdin_has_ended(home: Home) -> None:
    call = b'{"jsonrpc":"2.0","id":7,"method":"ping"}\n'
    done = subprocess.run(
        [sys.executable, "-m", "tests.daemon.serve", "relay"],
        input=call,
        stdout=subprocess.PIPE,
        env=home.environment,
        cwd=REPO,
        timeout=limit(15),
        check=True,
    )
    assert json.loads(done.stdout)["id"] == 7
    gone(home, 3)


def test_the_daemon_outlives_a_relay_that_is_killed_and_its_session(home: Home) -> None:
    first = home.caller("relay")
    pid = first.initialize()["daemon"]["pid"]
    second = home.caller("relay")
    second.initialize()
    assert first.process is not None
    first.process.send_signal(signal.SIGKILL)
    first.ended()
    assert second.call("ping")["status"] == "ok"
    assert os.getsid(pid) == pid  # not in the editor's session: its terminal may go


def test_a_daemon_killed_shows_in_the_relays_status(home: Home) -> None:
    caller = home.caller("relay")
    pid = caller.initialize()["daemon"]["pid"]
    os.kill(pid, signal.SIGKILL)
    assert caller.ended() == 1


def test_an_orderly_end_is_no_failure(home: Home) -> None:
    caller = home.caller("relay")
    caller.initialize()
    caller.call("shutdown")
    assert caller.ended() == 0
    gone(home, 2)


def test_the_daemon_lingers_as_long_as_it_is_told(home: Home) -> None:
    first = home.caller("relay")
    pid = first.initialize(config={"daemon.linger_sec": 30})["daemon"]["pid"]
    first.close()
    second = home.caller("relay")
    assert second.initialize()["daemon"]["pid"] == pid
    second.call("config_set", key="daemon.linger_sec", value=0.2)
    second.close()
    gone(home, 4)


def test_the_relay_imports_nothing_but_the_standard_library(home: Home) -> None:
    code = (
        "import sys, lofi.daemon.relay; "
        "print(*{name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        stdout=subprocess.PIPE,
        env=home.environment,
        check=True,
        cwd=REPO,
    )
    assert set(done.stdout.decode().split()) <= {"lofi", "__main__", "sitecustomize"}


def test_a_stale_socket_of_a_dead_daemon_is_in_nobodys_way(home: Home) -> None:
    home.socket.parent.mkdir(mode=0o700)
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(home.socket))
    dead.close()
    assert home.socket.exists()
    assert home.caller("relay").initialize()["protocol"] == 1


def test_a_socket_that_is_a_file_is_replaced_only_by_its_daemon(home: Home, tmp_path: Path) -> None:
    caller = home.caller("relay")
    caller.initialize()
    inode = home.socket.stat().st_ino
    second = home.caller("socket")  # a second daemon finds the first and ends
    assert second.ended() == 0
    assert home.socket.stat().st_ino == inode
    until(lambda: caller.call("ping"), 2, "the first one to go on")


@pytest.mark.skipif(sys.platform == "win32", reason="there is no shared daemon there")
@pytest.mark.parametrize("after_sec", [0.0, 0.1, 0.2, 0.3, 0.5])
def test_an_editor_killed_while_its_daemon_comes_up_leaves_nobody(
    home: Home, after_sec: float
) -> None:
    process = home.start("relay")
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}\n')
    process.stdin.flush()
    time.sleep(after_sec)  # the moment itself is what is tested
    process.stdin.close()
    process.stdout.close()
    gone(home, 2)
    process.wait(limit(2))


def test_a_daemon_stays_for_others_when_its_starter_has_gone(home: Home) -> None:
    starter = home.caller("relay")
    until(home.socket.exists, 10, "the daemon's socket")
    other = home.caller("relay")
    other.initialize()
    starter.hang_up()
    assert starter.ended() == 0
    assert other.call("ping")["status"] == "ok"
