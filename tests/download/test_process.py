"""The real download process and the real hub client against a hub that misbehaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from lofi import checkpoints
from lofi.checkpoints import RECORD
from lofi.hub import File, Published
from lofi.wire import frames
from tests import clock, hub
from tests.test_checkpoints import write_weights

REPOSITORY = "somebody/model"
COMPONENT = Published(
    "vae",
    REPOSITORY,
    "MIT",
    (File("config.json", 2), File("diffusion_pytorch_model.safetensors", 0, is_exact=False)),
    folder="vae",
    revision="main",
)
WEIGHTS = "diffusion_pytorch_model.safetensors"
SIZE = 4_000_000


@pytest.fixture
def server(tmp_path: Path) -> Iterator[hub.Hub]:
    folder = tmp_path / "repository" / "vae"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    write_weights(folder / WEIGHTS, SIZE)
    with hub.running({REPOSITORY: folder.parent}) as running:
        yield running


def start(server: hub.Hub, home: Path) -> subprocess.Popen[bytes]:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
        "HF_ENDPOINT": server.url,
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "PYTHONPATH": str(Path(checkpoints.__file__).parents[1]),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "lofi.download.process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    )


def fetch(
    server: hub.Hub, models: Path, component: Published = COMPONENT, source: str = "", **more: Any
) -> list[frames.Message]:
    process = start(server, models.parent)
    more = {"retry_delay_sec": 0.01, **more}
    request = frames.Fetch("d1", str(models), [asdict(component)], source, **more)
    assert process.stdin is not None and process.stdout is not None
    with process:
        process.stdin.write(frames.pack(request))
        process.stdin.flush()
        output = process.stdout.read()
        process.stdin.close()
    return list(frames.FrameReader().feed(output))


def ending(messages: list[frames.Message]) -> frames.Done | frames.Failed:
    last = messages[-1]
    assert isinstance(last, (frames.Done, frames.Failed))
    assert sum(isinstance(item, (frames.Done, frames.Failed)) for item in messages) == 1
    return last


def test_a_component_arrives_whole_and_pinned(server: hub.Hub, tmp_path: Path) -> None:
    models = tmp_path / "models"
    assert isinstance(ending(fetch(server, models)), frames.Done)
    assert checkpoints.inspect(models, "vae").status == "present"
    record = json.loads((models / "vae" / RECORD).read_text())
    assert record["revision"] == hub.COMMIT
    assert not list((models / ".staging").iterdir())
    before = len(server.requests)
    assert isinstance(ending(fetch(server, models)), frames.Done)
    assert len(server.requests) == before, "what is here is not asked for again"


def test_a_broken_connection_is_taken_up_where_it_stopped(server: hub.Hub, tmp_path: Path) -> None:
    server.cut_after_bytes[WEIGHTS] = [1_000_000, 600_000]
    models = tmp_path / "models"
    assert isinstance(ending(fetch(server, models)), frames.Done)
    ranges = [line.split()[-1] for line in server.requests if "bytes=" in line]
    starts = [int(item.removeprefix("bytes=").rstrip("-")) for item in ranges]
    assert len(starts) == 2
    assert 0 < starts[0] < starts[1] <= 1_600_000
    source = server.repositories[REPOSITORY] / "vae" / WEIGHTS
    assert (models / "vae" / WEIGHTS).read_bytes() == source.read_bytes()


def test_a_killed_download_goes_on_after_a_restart(server: hub.Hub, tmp_path: Path) -> None:
    server.stall_at = WEIGHTS
    models = tmp_path / "models"
    process = start(server, tmp_path)
    assert process.stdin is not None and process.stdout is not None
    with process:
        request = frames.Fetch("d1", str(models), [asdict(COMPONENT)])
        process.stdin.write(frames.pack(request))
        process.stdin.flush()
        partial = models / ".staging" / "vae" / f"{WEIGHTS}.part"
        clock.until(lambda: partial.exists() and partial.stat().st_size > 0, 20, "some bytes")
        process.stdin.close()
        assert process.wait(clock.limit(5)) == 0
        process.stdout.close()
    assert not (models / "vae").exists()
    kept = partial.stat().st_size
    server.stall_at = None
    assert isinstance(ending(fetch(server, models)), frames.Done)
    assert f"bytes={kept}-" in server.requests[-1]
    assert checkpoints.inspect(models, "vae").status == "present"


def test_other_content_does_not_continue_a_partial_file(server: hub.Hub, tmp_path: Path) -> None:
    models = tmp_path / "models"
    server.status_of[WEIGHTS] = [403]
    fetch(server, models)
    partial = models / ".staging" / "vae" / f"{WEIGHTS}.part"
    partial.write_bytes(b"old bytes of another revision")
    server.commit = "f" * 40
    assert isinstance(ending(fetch(server, models)), frames.Done)
    assert checkpoints.inspect(models, "vae").status == "present"


@pytest.mark.parametrize(("status", "word"), [(401, "HF_TOKEN"), (403, "HF_TOKEN"), (404, "moved")])
def test_a_refusal_says_what_to_do(server: hub.Hub, tmp_path: Path, status: int, word: str) -> None:
    server.status_of["/api/models"] = [status] * 10
    last = ending(fetch(server, tmp_path / "models"))
    assert isinstance(last, frames.Failed)
    assert (last.code, last.data["status"]) == ("MODEL_DOWNLOAD_FAILED", status)
    assert word in last.hint
    assert len(server.requests) == 1, "a refusal is not tried again"


def test_a_busy_server_is_asked_five_times(server: hub.Hub, tmp_path: Path) -> None:
    server.status_of[WEIGHTS] = [503] * 3
    assert isinstance(ending(fetch(server, tmp_path / "models")), frames.Done)
    server.status_of["/api/models"] = [503] * 50
    last = ending(fetch(server, tmp_path / "other"))
    assert isinstance(last, frames.Failed)
    assert last.data["status"] == 503


def test_wrong_bytes_are_thrown_away(server: hub.Hub, tmp_path: Path) -> None:
    server.corrupt.add(WEIGHTS)
    models = tmp_path / "models"
    last = ending(fetch(server, models))
    assert isinstance(last, frames.Failed)
    assert "checksum" in last.message
    assert not (models / "vae").exists()
    assert not (models / ".staging" / "vae" / f"{WEIGHTS}.part").exists()
    server.corrupt.clear()
    assert isinstance(ending(fetch(server, models)), frames.Done)


def test_a_file_that_is_gone_is_named(server: hub.Hub, tmp_path: Path) -> None:
    (server.repositories[REPOSITORY] / "vae" / "config.json").unlink()
    last = ending(fetch(server, tmp_path / "models"))
    assert isinstance(last, frames.Failed)
    assert "config.json" in last.message


def test_a_copy_of_another_program_is_linked(server: hub.Hub, tmp_path: Path) -> None:
    official = tmp_path / ".cache" / "ace-step" / "checkpoints" / "vae"
    official.mkdir(parents=True)
    source = server.repositories[REPOSITORY] / "vae"
    for name in ("config.json", WEIGHTS):
        (official / name).write_bytes((source / name).read_bytes())
    models = tmp_path / "models"
    assert isinstance(ending(fetch(server, models)), frames.Done)
    assert (models / "vae" / WEIGHTS).samefile(official / WEIGHTS)
    assert not [line for line in server.requests if "/resolve/" in line and WEIGHTS in line]


def test_a_folder_instead_of_the_hub(server: hub.Hub, tmp_path: Path) -> None:
    source = server.repositories[REPOSITORY]
    models = tmp_path / "models"
    assert isinstance(ending(fetch(server, models, source=str(source))), frames.Done)
    assert checkpoints.inspect(models, "vae").status == "present"
    assert not checkpoints.is_pinned(models / "vae"), "nobody knows which revision that is"
    assert not server.requests
    last = ending(fetch(server, tmp_path / "other", source=str(tmp_path / "nowhere")))
    assert isinstance(last, frames.Failed)


def test_two_downloads_do_not_write_one_file(server: hub.Hub, tmp_path: Path) -> None:
    server.stall_at = WEIGHTS
    models = tmp_path / "models"
    first = start(server, tmp_path)
    assert first.stdin is not None and first.stdout is not None
    with first:
        first.stdin.write(frames.pack(frames.Fetch("d1", str(models), [asdict(COMPONENT)])))
        first.stdin.flush()
        partial = models / ".staging" / "vae" / f"{WEIGHTS}.part"
        clock.until(lambda: partial.exists() and partial.stat().st_size > 0, 20, "some bytes")
        last = ending(fetch(server, models))
        assert isinstance(last, frames.Failed)
        assert last.code == "BUSY"
        first.stdin.close()
        first.stdout.read()


def test_a_placing_that_was_killed_is_taken_back(server: hub.Hub, tmp_path: Path) -> None:
    models = tmp_path / "models"
    fetch(server, models)
    old = models / ".staging" / "vae.old"
    (models / "vae").rename(old)  # killed between the two renames
    assert isinstance(ending(fetch(server, models)), frames.Done)
    assert checkpoints.inspect(models, "vae").status == "present"


def test_progress_is_honest(server: hub.Hub, tmp_path: Path) -> None:
    server.stall_at = WEIGHTS
    models = tmp_path / "models"
    process = start(server, tmp_path)
    assert process.stdin is not None and process.stdout is not None
    reader = frames.FrameReader()
    seen: list[frames.Fetched] = []
    with process:
        process.stdin.write(frames.pack(frames.Fetch("d1", str(models), [asdict(COMPONENT)])))
        process.stdin.flush()
        while not server.stall.is_set():
            for message in reader.feed(os.read(process.stdout.fileno(), 65536)):
                assert isinstance(message, frames.Fetched)
                seen.append(message)
                if message.file_bytes_downloaded > 0:
                    server.stall.set()
        process.stdout.read()
        process.stdin.close()
    last = seen[-1]
    assert last.bytes_total > SIZE
    assert 0 < last.bytes_downloaded < last.bytes_total
    assert (last.files_completed, last.files_total, last.file_name) == (1, 2, WEIGHTS)


def test_a_connection_that_falls_silent_is_taken_for_broken(
    server: hub.Hub, tmp_path: Path
) -> None:
    server.stall_at, server.stalls = WEIGHTS, 1
    models = tmp_path / "models"
    assert isinstance(ending(fetch(server, models, stall_sec=1.0)), frames.Done)
    assert "bytes=" in server.requests[-1], "it went on where it fell silent"
    assert checkpoints.inspect(models, "vae").status == "present"


def test_other_bytes_behind_the_same_address_are_not_mixed_in(
    server: hub.Hub, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    server.cut_after_bytes[WEIGHTS] = [1_000_000] + [0] * 60
    assert isinstance(ending(fetch(server, models)), frames.Failed)
    assert (models / ".staging" / "vae" / f"{WEIGHTS}.part").stat().st_size > 0
    server.cut_after_bytes.clear()
    server.corrupt.add(WEIGHTS)  # what comes now is not what the hub's list promises
    last = ending(fetch(server, models))
    assert isinstance(last, frames.Failed) and "checksum" in last.message
    server.corrupt.clear()
    assert isinstance(ending(fetch(server, models)), frames.Done)
    source = server.repositories[REPOSITORY] / "vae" / WEIGHTS
    assert (models / "vae" / WEIGHTS).read_bytes() == source.read_bytes()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is full")
def test_a_full_disk_is_said_and_nothing_is_half_installed(server: hub.Hub, tmp_path: Path) -> None:
    models = tmp_path / "models"
    server.status_of[WEIGHTS] = [403]
    fetch(server, models)  # leaves the staging folder and its notes
    partial = models / ".staging" / "vae" / f"{WEIGHTS}.part"
    partial.unlink(missing_ok=True)
    partial.symlink_to("/dev/full")
    last = ending(fetch(server, models))
    assert isinstance(last, frames.Failed)
    assert last.code == "INSUFFICIENT_DISK" and "goes on" in last.hint
    assert not (models / "vae").exists()
    partial.unlink()
    assert isinstance(ending(fetch(server, models)), frames.Done)


def test_a_lost_file_does_not_cost_the_others(server: hub.Hub, tmp_path: Path) -> None:
    models = tmp_path / "models"
    fetch(server, models)
    (models / "vae" / "config.json").unlink()
    before = len(server.requests)
    assert isinstance(ending(fetch(server, models)), frames.Done)
    asked = [line for line in server.requests[before:] if "/resolve/" in line]
    assert [line.endswith("config.json") for line in asked] == [True]


def test_a_copy_in_the_hub_cache_is_linked(server: hub.Hub, tmp_path: Path) -> None:
    cache = tmp_path / ".cache" / "huggingface" / "hub" / "models--somebody--model"
    snapshot = cache / "snapshots" / hub.COMMIT / "vae"
    snapshot.mkdir(parents=True)
    source = server.repositories[REPOSITORY] / "vae"
    (cache / "blobs").mkdir()
    (cache / "blobs" / "1").write_bytes((source / WEIGHTS).read_bytes())
    (snapshot / WEIGHTS).symlink_to(cache / "blobs" / "1")
    models = tmp_path / "models"
    assert isinstance(ending(fetch(server, models)), frames.Done)
    assert (models / "vae" / WEIGHTS).samefile(cache / "blobs" / "1")
    assert not [line for line in server.requests if WEIGHTS in line]


def test_a_mirror_must_keep_the_revision(server: hub.Hub, tmp_path: Path) -> None:
    pinned = replace(COMPONENT, revision="a" * 40)
    assert isinstance(ending(fetch(server, tmp_path / "kept", pinned)), frames.Done)
    assert checkpoints.is_pinned(tmp_path / "kept" / "vae")
    server.forgets_revisions = True
    last = ending(fetch(server, tmp_path / "other", pinned))
    assert isinstance(last, frames.Failed) and "HF_ENDPOINT" in last.hint
    asked_for = replace(pinned, revision="b" * 40, is_pinned=False)
    assert isinstance(ending(fetch(server, tmp_path / "own", asked_for)), frames.Done)
    assert not checkpoints.is_pinned(tmp_path / "own" / "vae")


def test_a_folder_as_one_repository_is_downloaded_and_nothing_pickled_from_it(
    server: hub.Hub, tmp_path: Path
) -> None:
    source = server.repositories[REPOSITORY] / "vae"
    (source / "pytorch_model.bin").write_bytes(b"pickled")
    models = tmp_path / "models"
    assert isinstance(ending(fetch(server, models, source=str(source))), frames.Done)
    assert checkpoints.inspect(models, "vae").status == "present"
    assert not (models / "vae" / "pytorch_model.bin").exists()
    (source / "config.json").unlink()
    last = ending(fetch(server, tmp_path / "other", source=str(source.parent)))
    assert isinstance(last, frames.Failed) and "config.json" in last.message


def test_no_name_leads_out_of_the_folder(server: hub.Hub, tmp_path: Path) -> None:
    names = {"config.json": "{}", "generation_config.json": "{}", "tokenizer.json": "{}"}
    server.extra_names = ["small/model/../../../../evil.safetensors"]
    folder = server.repositories[REPOSITORY] / "small"
    folder.mkdir()
    for name, text in names.items():
        (folder / name).write_text(text)
    write_weights(folder / "model.safetensors", 1000)
    component = Published(
        "small",
        REPOSITORY,
        "MIT",
        tuple(File(name, 2) for name in names),
        folder="small",
        revision="main",
        patterns=("model*.safetensors",),
    )
    models = tmp_path / "deep" / "down" / "models"
    assert isinstance(ending(fetch(server, models, component)), frames.Done)
    assert not [line for line in server.requests if "evil" in line]


def test_a_copy_whose_digest_nobody_knows_is_not_trusted(server: hub.Hub, tmp_path: Path) -> None:
    other = tmp_path / ".cache" / "ace-step" / "checkpoints" / "vae"
    other.mkdir(parents=True)
    (other / "config.json").write_text("[]")  # as long as the published one
    models = tmp_path / "models"
    assert isinstance(ending(fetch(server, models)), frames.Done)
    assert (models / "vae" / "config.json").read_text() == "{}"
    (models / "vae" / "config.json").write_text("[]")
    assert isinstance(ending(fetch(server, models, is_anew=True)), frames.Done)
    assert (models / "vae" / "config.json").read_text() == "{}"


def test_a_record_is_never_written_through_a_link(server: hub.Hub, tmp_path: Path) -> None:
    own = tmp_path / RECORD
    own.write_text("mine")
    left = tmp_path / "models" / ".staging" / "vae"
    left.mkdir(parents=True)
    (left / RECORD).hardlink_to(own)  # from a folder, by a setup that was killed
    assert isinstance(ending(fetch(server, tmp_path / "models")), frames.Done)
    assert own.read_text() == "mine"
