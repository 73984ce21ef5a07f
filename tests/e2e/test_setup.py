"""A model from the hub to a track: consent, a cut, going on, verify, generate, remove."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lofi.checkpoints import RECORD
from tests import clock, hub
from tests.checkpoints import ace_step_15, ace_step_15_lm, ace_step_v1, musicgen
from tests.daemon.callers import REPO, Caller, Home

BUNDLE = "ACE-Step/Ace-Step1.5"
WEIGHTS = "model.safetensors"
ENDS = ("download_complete", "download_error")


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The published repositories, tiny."""
    root = tmp_path_factory.mktemp("hub")
    bundle = ace_step_15.write_bundle(root / "bundle")
    lm = root / "lm"
    ace_step_15_lm.write(lm, "0.6B")
    v1 = ace_step_v1.write_checkpoint(root / "v1")
    vocabulary = root / "source"
    vocabulary.mkdir()
    musicgen.tokenizer().save(str(vocabulary / "vocab.json"))
    return {
        BUNDLE: bundle,
        "ACE-Step/acestep-5Hz-lm-0.6B": lm / "acestep-5Hz-lm-0.6B",
        "ACE-Step/ACE-Step-v1-3.5B": v1,
        "ace-step/ACE-Step": vocabulary,
        "facebook/musicgen-small": musicgen.write(root / "musicgen" / "small"),
    }


@pytest.fixture
def server(repositories: dict[str, Path]) -> Iterator[hub.Hub]:
    with hub.running(repositories) as running:
        yield running


@pytest.fixture
def home() -> Iterator[Home]:
    made = Home()
    yield made
    made.close()


def start(home: Home, server: hub.Hub, **environment: str) -> Caller:
    vocabulary = server.repositories["ace-step/ACE-Step"] / "vocab.json"
    environment["TINY_VOCABULARY_BYTES"] = str(vocabulary.stat().st_size)
    process = subprocess.Popen(
        [sys.executable, str(REPO / "tests" / "tiny_daemon.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**home.environment, "HF_ENDPOINT": server.url, **environment},
        cwd=home.path,
    )
    assert process.stdin is not None and process.stdout is not None
    caller = Caller(process.stdin.fileno(), process.stdout.fileno(), process, None)
    caller.initialize()
    return caller


def stop(caller: Caller) -> None:
    assert caller.process is not None and caller.process.stdin is not None
    caller.process.stdin.close()
    assert caller.process.wait(10) == 0
    caller.close()


def _bytes_of(daemon: Caller) -> int:
    downloads = daemon.call("download_status")["downloads"]
    return int(downloads[0].get("file_bytes_downloaded", 0)) if downloads else 0


def _removed(daemon: Caller, backend: str) -> dict[str, Any] | None:
    answer = daemon.answer(daemon.send("backend_remove", backend=backend, confirm=True))
    if "error" in answer:
        assert answer["error"]["data"]["code"] == "BUSY"
    result: dict[str, Any] | None = answer.get("result")
    return result


CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("musicgen", {}, {"duration_sec": 5}),
    ("ace-step", {}, {"duration_sec": 5, "infer_steps": 2}),
    ("ace-step-1.5", {"lm_model": "0.6b"}, {"duration_sec": 10, "infer_steps": 2}),
]


@pytest.mark.slow
@pytest.mark.soak  # tests/nvim/test_models.py goes the same way through the editor
@pytest.mark.timeout(180)
@pytest.mark.parametrize(("backend", "choice", "request_params"), CASES, ids=lambda case: str(case))
def test_from_consent_to_a_track(
    home: Home,
    server: hub.Hub,
    backend: str,
    choice: dict[str, Any],
    request_params: dict[str, Any],
) -> None:
    daemon = start(home, server)
    refused = daemon.refused("download_backend", backend=backend, **choice)
    assert refused["data"]["code"] == "DOWNLOAD_CONSENT_REQUIRED"
    assert {"bytes_total", "license", "source", "path", "free_bytes"} <= set(refused["data"])
    assert refused["data"]["estimate"]["seconds_per_minute_of_audio"] > 0
    assert refused["data"]["estimate"]["memory_mb"] > 1000
    assert not server.requests, "nothing is fetched before a yes"

    server.stall_at = ".safetensors"
    answer = daemon.call("download_backend", backend=backend, consent=True, **choice)
    assert answer["started"]
    clock.until(lambda: _bytes_of(daemon) > 0, 60, "the first bytes")
    again = daemon.call("download_backend", backend=backend, consent=True, **choice)
    assert (again["download_id"], again["started"]) == (answer["download_id"], False)
    stop(daemon)  # in the middle of a file

    server.stall_at = None
    server.stall.set()
    daemon = start(home, server)
    states = {item["type"]: item["status"] for item in daemon.call("get_backends")["backends"]}
    assert states[answer["backend"]] == "partial"
    daemon.call("download_backend", backend=backend, consent=True, **choice)
    daemon.event("download_complete", backend=answer["backend"], seconds=60)
    endings = [m["method"] for m in daemon.messages if m.get("method", "").startswith("download_")]
    assert endings.count("download_complete") == 1
    assert not {"download_error", "download_cancelled"} & set(endings)

    verified = daemon.call("backend_verify", backend=backend, deep=True)
    assert verified["ok"], verified["files"]
    has_planner = any("5Hz-lm" in row["name"] for row in verified["files"])
    assert has_planner is ("lm_model" in choice)
    before = len(server.requests)
    made = daemon.call("generate", prompt="slow piano", backend=backend, seed=1, **request_params)
    assert "+" not in made["model_version"], "pinned weights carry the published name"
    track = daemon.event("generation_complete", track_id=made["track_id"], seconds=120)
    assert Path(track["path"]).stat().st_size > 10_000
    assert len(server.requests) == before, "rendering asks the network for nothing"

    # the lane tidies up for a moment after its last word; BUSY says try again
    removed = clock.until(lambda: _removed(daemon, backend), 10, "the model's removal")
    assert removed["freed_bytes"] > 0
    states = {item["type"]: item["status"] for item in daemon.call("get_backends")["backends"]}
    assert states[answer["backend"]] == "not_installed"
    stop(daemon)


def test_a_cancelled_download_keeps_what_it_has(home: Home, server: hub.Hub) -> None:
    server.stall_at = WEIGHTS
    daemon = start(home, server)
    answer = daemon.call("download_backend", backend="musicgen", consent=True)
    daemon.event("download_progress", file_name=WEIGHTS, seconds=30)
    assert daemon.call("download_status")["downloads"][0]["download_id"] == answer["download_id"]
    assert daemon.call("download_cancel", backend="musicgen")["cancelled"]
    cancelled = daemon.event("download_cancelled", download_id=answer["download_id"])
    assert cancelled["bytes_downloaded"] > 0
    kept = home.path / "cache" / "lofi.nvim" / "musicgen" / ".staging" / "small"
    assert (kept / f"{WEIGHTS}.part").stat().st_size > 0
    assert daemon.refused("download_cancel")["data"]["code"] == "NOT_CANCELLABLE"
    stop(daemon)


def test_a_cancel_that_comes_in_one_breath_with_the_request_finds_it(
    home: Home, server: hub.Hub
) -> None:
    server.stall_at = WEIGHTS
    daemon = start(home, server)
    daemon.write(
        b'{"jsonrpc":"2.0","id":101,"method":"download_backend",'
        b'"params":{"backend":"musicgen","consent":true}}\n'
        b'{"jsonrpc":"2.0","id":102,"method":"download_cancel","params":{}}\n'
    )
    assert daemon.answer(101)["result"]["started"]
    assert daemon.answer(102).get("result") == {"cancelled": True}
    daemon.event("download_cancelled", backend="musicgen", seconds=30)
    stop(daemon)


def test_shutdown_ends_a_download_with_a_word(home: Home, server: hub.Hub) -> None:
    server.stall_at = WEIGHTS
    daemon = start(home, server)
    daemon.call("download_backend", backend="musicgen", consent=True)
    clock.until(lambda: _bytes_of(daemon) > 0, 30, "the first bytes")
    statuses = {item["type"]: item["status"] for item in daemon.call("get_backends")["backends"]}
    assert statuses["musicgen"] == "downloading"
    assert daemon.call("status")["downloads"][0]["bytes_total"] > 0
    daemon.call("shutdown")
    cancelled = daemon.event("download_cancelled", backend="musicgen")
    assert cancelled["reason"] == "shutdown"
    assert daemon.messages[-1]["result"] == {"status": "shutting_down"}, "the last line written"
    daemon.close()


def test_a_killed_daemon_leaves_what_the_next_goes_on_from(home: Home, server: hub.Hub) -> None:
    server.stall_at = WEIGHTS
    daemon = start(home, server)
    daemon.call("download_backend", backend="musicgen", consent=True)
    clock.until(lambda: _bytes_of(daemon) > 0, 60, "the first bytes")
    assert daemon.process is not None
    daemon.process.kill()
    daemon.process.wait()
    daemon.close()
    clock.until(lambda: not home.processes(), 10, "the end of what was downloading")
    models = home.path / "cache" / "lofi.nvim" / "musicgen"
    kept = (models / ".staging" / "small" / f"{WEIGHTS}.part").stat().st_size
    assert kept > 0 and not (models / "small").exists()
    server.stall_at = None
    server.stall.set()
    daemon = start(home, server)
    _installed(daemon, "musicgen")
    assert any(f"bytes={kept}-" in line for line in server.requests)
    stop(daemon)


def _installed(daemon: Caller, backend: str, **params: Any) -> None:
    """Downloads; the process of a killed daemon may hold the folder for a moment yet."""
    for _ in range(20):
        daemon.messages.clear()
        answer = daemon.call("download_backend", backend=backend, consent=True, **params)
        clock.until(lambda: any(m.get("method") in ENDS for m in daemon.messages), 60, "an end")
        (end,) = [m for m in daemon.messages if m.get("method") in ENDS]
        assert end["params"]["download_id"] == answer["download_id"]
        if end["params"].get("code") != "BUSY":
            assert end["method"] == "download_complete", end
            return
    raise AssertionError("the folder stays busy")


def test_a_model_with_wrong_bytes_is_repaired_file_by_file(home: Home, server: hub.Hub) -> None:
    daemon = start(home, server)
    _installed(daemon, "musicgen")
    weights = home.path / "cache" / "lofi.nvim" / "musicgen" / "small" / WEIGHTS
    body = bytearray(weights.read_bytes())
    body[-1] ^= 1
    weights.write_bytes(body)
    assert daemon.call("backend_verify", backend="musicgen")["ok"], "only hashing tells"
    verified = daemon.call("backend_verify", backend="musicgen", deep=True)
    wrong = [row["name"] for row in verified["files"] if "error" in row]
    assert wrong == [f"small/{WEIGHTS}"]
    assert daemon.call("download_backend", backend="musicgen")["already_installed"]
    before = len(server.requests)
    _installed(daemon, "musicgen", components=["small"], repair=True)
    asked = [line for line in server.requests[before:] if "/resolve/" in line]
    brought = [line.rpartition("/")[2] for line in asked]
    noted = json.loads((weights.parent / RECORD).read_text())["files"]
    unknown = {name for name, file in noted.items() if file["sha256"] is None}
    assert WEIGHTS in brought and WEIGHTS not in unknown
    assert set(brought) == {WEIGHTS} | unknown, "what is known to be whole is kept"
    assert daemon.call("backend_verify", backend="musicgen", deep=True)["ok"]
    stop(daemon)


def test_a_broken_planner_is_found_and_repaired(home: Home, server: hub.Hub) -> None:
    daemon = start(home, server)
    _installed(daemon, "ace-step-1.5", lm_model="0.6b")
    name = "acestep-5Hz-lm-0.6B"
    (home.path / "cache" / "lofi.nvim" / "ace-step-15" / name / "tokenizer.json").unlink()
    verified = daemon.call("backend_verify", backend="ace-step-1.5")
    wrong = [row["name"] for row in verified["files"] if "error" in row]
    assert wrong == [f"{name}/tokenizer.json"]
    _installed(daemon, "ace-step-1.5", components=[name], repair=True)
    assert daemon.call("backend_verify", backend="ace-step-1.5", deep=True)["ok"]
    daemon.call("backend_remove", backend="ace-step-1.5", confirm=True)
    left = home.path / "cache" / "lofi.nvim" / "ace-step-15"
    assert not [path for path in left.iterdir() if path.name[0] != "."], "planners go too"
    stop(daemon)


def test_another_revision_is_brought_and_told_apart(home: Home, server: hub.Hub) -> None:
    daemon = start(home, server)
    _installed(daemon, "musicgen")
    other = "c" * 40
    refused = daemon.refused("download_backend", backend="musicgen", revision=other)
    assert refused["data"]["code"] == "DOWNLOAD_CONSENT_REQUIRED"
    _installed(daemon, "musicgen", revision=other)
    assert any(f"/revision/{other}" in line for line in server.requests)
    backend = daemon.call("get_backends")["backends"][0]
    assert backend["model_version"].startswith("musicgen-small+"), "tracks are not mixed up"
    again = daemon.call("download_backend", backend="musicgen", revision=other)
    assert again["already_installed"]
    stop(daemon)


def test_what_came_from_a_folder_can_be_removed(
    home: Home, server: hub.Hub, repositories: dict[str, Path]
) -> None:
    source = repositories["facebook/musicgen-small"]
    daemon = start(home, server)
    _installed(daemon, "musicgen", source=str(source))
    assert "+" in daemon.call("get_backends")["backends"][0]["model_version"]
    daemon.call("backend_remove", backend="musicgen", confirm=True)
    assert not (home.path / "cache" / "lofi.nvim" / "musicgen" / "small").exists()
    assert (source / WEIGHTS).is_file(), "the person's own files stay"
    assert not server.requests
    stop(daemon)


def test_what_a_model_costs_is_known_before_it_is_here(home: Home, server: hub.Hub) -> None:
    daemon = start(home, server)
    for backend in ("musicgen", "ace-step", "ace-step-1.5"):
        estimate = daemon.call("estimate", backend=backend, prompt="slow piano", duration_sec=30)
        assert estimate["seconds"] > 0 and estimate["confidence"] == "guess"
        assert estimate["memory_mb"] > 1000
        assert any("not installed" in line for line in estimate["advice"])
    sections = {item["title"]: item["items"] for item in daemon.call("doctor")["sections"]}
    costs = [item["message"] for item in sections["Time and memory for 60 s of audio"]]
    assert len(costs) == 4 and all("memory" in line for line in costs)
    assert not server.requests
    stop(daemon)


def test_a_model_too_large_for_the_disk_is_refused_at_once(home: Home, server: hub.Hub) -> None:
    daemon = start(home, server, TINY_FILE_BYTES=str(10**18))
    refused = daemon.refused("download_backend", backend="musicgen", consent=True)
    assert refused["data"]["code"] == "INSUFFICIENT_DISK"
    assert refused["data"]["needed_bytes"] > refused["data"]["free_bytes"] > 0
    assert not server.requests
    stop(daemon)


def test_ones_own_weights_are_not_deleted(
    home: Home, server: hub.Hub, repositories: dict[str, Path]
) -> None:
    own = repositories["facebook/musicgen-small"]
    daemon = start(home, server, LOFI_MODEL_PATH=str(own.parent))
    refused = daemon.refused("backend_remove", backend="musicgen", confirm=True)
    assert "not brought by setup" in refused["message"]
    assert (own / WEIGHTS).is_file()
    stop(daemon)


def test_a_refusing_hub_is_one_error(home: Home, server: hub.Hub) -> None:
    server.status_of["/api/models"] = [401] * 9
    daemon = start(home, server)
    daemon.call("download_backend", backend="musicgen", consent=True)
    error = daemon.event("download_error", backend="musicgen", seconds=30)
    assert error["code"] == "MODEL_DOWNLOAD_FAILED"
    assert "HF_TOKEN" in error["hint"]
    assert not (home.path / "cache" / "lofi.nvim" / "musicgen" / "small").exists()
    stop(daemon)


def test_offline_is_offline(home: Home, server: hub.Hub, repositories: dict[str, Path]) -> None:
    daemon = start(home, server, LOFI_OFFLINE="1")
    refused = daemon.refused("download_backend", backend="musicgen", consent=True)
    assert refused["data"]["code"] == "OFFLINE"
    source = str(repositories["facebook/musicgen-small"].parent)
    daemon.call("download_backend", backend="musicgen", consent=True, source=source)
    daemon.event("download_complete", backend="musicgen", seconds=30)
    assert not server.requests
    stop(daemon)


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"backend": "procedural"}, "INVALID_PARAMS"),
        ({"backend": "nothing"}, "INVALID_BACKEND"),
        ({"backend": "musicgen", "variant": "huge"}, "INVALID_BACKEND"),
        ({"backend": "musicgen", "lm_model": "0.6b"}, "INVALID_PARAMS"),
        ({"backend": "ace-step-1.5", "lm_model": "9b"}, "INVALID_PARAMS"),
        ({"backend": "ace-step-1.5", "components": ["x"]}, "INVALID_PARAMS"),
        ({"backend": "musicgen", "source": "/nowhere/at/all"}, "INVALID_PARAMS"),
        ({"backend": "musicgen", "source": "tests"}, "INVALID_PARAMS"),
    ],
)
def test_wrong_wishes(home: Home, server: hub.Hub, params: dict[str, Any], code: str) -> None:
    daemon = start(home, server)
    assert daemon.refused("download_backend", consent=True, **params)["data"]["code"] == code
    assert not server.requests
    stop(daemon)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_command_line_installs_lists_and_repairs(home: Home, server: hub.Hub) -> None:
    def lofi(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "lofi", *words],
            env={**home.environment, "HF_ENDPOINT": server.url},
            cwd=home.path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    asked = lofi("setup", "musicgen")
    assert asked.returncode == 1 and not server.requests, "nobody said yes"
    assert "for a minute of music on this machine" in asked.stderr and "memory" in asked.stderr
    done = lofi("setup", "musicgen", "--yes")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in lofi("setup", "--list").stdout.splitlines()]
    assert rows[0][:3] == ["musicgen", "--variant", "small"] and "ready" in rows[0]
    assert sum(row[0] == "ace-step-1.5" for row in rows) == 12, "nine variants, three planners"
    weights = home.path / "cache" / "lofi.nvim" / "musicgen" / "small" / WEIGHTS
    body = bytearray(weights.read_bytes())
    body[-1] ^= 1
    weights.write_bytes(body)
    assert lofi("verify", "musicgen", "--deep").returncode == 1
    repaired = lofi("setup", "musicgen", "--repair", "--yes")
    assert repaired.returncode == 0 and WEIGHTS in repaired.stderr
    assert lofi("verify", "musicgen", "--deep").returncode == 0
    assert lofi("setup", "musicgen", "--repair").returncode == 0, "nothing to repair"
    assert lofi("remove", "musicgen", "--yes").returncode == 0
    assert not weights.exists()
