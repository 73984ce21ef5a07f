from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lofi.client import Client, NotRunning
from lofi.daemon import relay
from lofi.paths import Paths
from lofi.socket_folder import SocketRefused, check_folder, has_folder


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    monkeypatch.chdir(tmp_path)  # a socket path has 100 bytes
    return Paths.from_environment({"HOME": str(tmp_path), "XDG_RUNTIME_DIR": "/proc/self/cwd"})


@pytest.fixture
def stranger(paths: Paths) -> Iterator[socket.socket]:
    """Somebody who listens in a folder that all may write to."""
    paths.socket.parent.mkdir()
    paths.socket.parent.chmod(0o777)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(paths.socket))
    listener.listen()
    listener.setblocking(False)
    yield listener
    listener.close()


def was_called(listener: socket.socket) -> bool:
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def test_a_folder_is_made_for_us_alone(tmp_path: Path) -> None:
    path = tmp_path / "run" / "s"
    assert not has_folder(path) and not path.parent.exists()
    check_folder(path)
    assert has_folder(path) and path.parent.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_can_open_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    with pytest.raises(SocketRefused, match="nobody else"):
        check_folder(folder / "s")
    folder.chmod(0o700)
    check_folder(folder / "s")
    (tmp_path / "link").symlink_to(folder)
    with pytest.raises(SocketRefused):
        check_folder(tmp_path / "link" / "s")


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SocketRefused, match="too long"):
        check_folder(tmp_path / ("x" * 100) / "daemon.sock")


def test_a_client_does_not_talk_to_a_stranger(paths: Paths, stranger: socket.socket) -> None:
    with pytest.raises(SocketRefused, match="nobody else") as refused:
        Client.running(paths)
    assert "chmod 700" in refused.value.hint
    assert not was_called(stranger)
    paths.socket.parent.chmod(0o700)
    Client.running(paths).close()
    assert was_called(stranger)


def test_without_a_folder_nothing_is_running(paths: Paths) -> None:
    with pytest.raises(NotRunning):
        Client.running(paths)
    assert not paths.socket.parent.exists()


def relay_to(paths: Paths) -> relay.Relay:
    nothing = os.open(os.devnull, os.O_RDWR)
    return relay.Relay(paths, ["/bin/false"], nothing, nothing)


def test_a_relay_does_not_talk_to_a_stranger(paths: Paths, stranger: socket.socket) -> None:
    with pytest.raises(relay.NoDaemonError, match="chmod 700"):
        relay_to(paths).run()
    assert not was_called(stranger)
    assert not paths.socket.with_name("daemon.err").exists()


def test_a_relay_writes_through_no_link(paths: Paths, tmp_path: Path) -> None:
    paths.socket.parent.mkdir(mode=0o700)
    precious = tmp_path / "precious"
    precious.write_text("kept")
    paths.socket.with_name("daemon.err").symlink_to(precious)
    with pytest.raises(relay.NoDaemonError, match="cannot be written"):
        relay_to(paths).run()
    assert precious.read_text() == "kept"
