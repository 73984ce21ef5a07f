"""Names of folders from the environment."""

from __future__ import annotations

from pathlib import Path

from lofi.paths import Paths


def test_everything_follows_the_base_directories() -> None:
    paths = Paths.from_environment(
        {"HOME": "/h", "XDG_CACHE_HOME": "/c", "XDG_STATE_HOME": "/s", "XDG_RUNTIME_DIR": "/r"}
    )
    assert paths.tracks == Path("/c/lofi.nvim/tracks")
    assert paths.socket == Path("/r/lofi/daemon.sock")
    assert paths.lock == Path("/r/lofi/daemon.lock")
    assert paths.history_file == Path("/s/lofi/history.jsonl")
    assert paths.config_file == Path("/h/.config/lofi/config.toml")


def test_variables_move_tracks_weights_and_socket() -> None:
    paths = Paths.from_environment(
        {
            "HOME": "/h",
            "LOFI_HOME": "/l",
            "LOFI_CACHE_PATH": "/t",
            "LOFI_ACE_STEP_MODEL_PATH": "/v1",
            "LOFI_SOCKET": "/x/y.sock",
        }
    )
    assert (paths.cache, paths.tracks) == (Path("/l"), Path("/t"))
    assert paths.models("ace_step") == Path("/v1")
    assert paths.models("ace_step_15") == Path("/l/ace-step-15")
    assert paths.socket == Path("/x/y.sock")
    assert paths.lock == Path("/x/daemon.lock")


def test_a_relative_base_directory_is_ignored() -> None:
    paths = Paths.from_environment({"HOME": "/h", "XDG_CACHE_HOME": "c", "XDG_RUNTIME_DIR": "r"})
    assert paths.cache == Path("/h/.cache/lofi.nvim")
    assert paths.runtime.parent == Path("/tmp")
