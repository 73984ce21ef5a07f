"""Turns, locks and durable files, the log, the presets, the inventory, sources."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from pathlib import Path

import numpy as np
import pytest
import soundfile

from lofi import catalog
from lofi.daemon import durable, logs, presets
from lofi.daemon.cache import Cache
from lofi.daemon.inventory import Inventory
from lofi.daemon.sources import Sources
from lofi.daemon.turns import Turns
from lofi.errors import CacheWriteError, InvalidLora, InvalidParams, InvalidSource
from lofi.paths import Paths
from lofi.settings import Settings


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths.from_environment({"HOME": str(tmp_path), "LOFI_HOME": str(tmp_path / "cache")})


def test_turns_are_taken_in_order_and_a_failure_is_one_callers() -> None:
    seen: list[int] = []

    async def slow(number: int) -> int:
        await asyncio.sleep(0.01 if number == 0 else 0)
        if number == 1:
            raise ValueError("one")
        seen.append(number)
        return number

    async def all_of_them() -> None:
        turns = Turns()
        task = asyncio.create_task(turns.run())
        futures = [turns.ask(lambda number=number: slow(number)) for number in range(4)]
        turns.tell(lambda: slow(1))
        results = await asyncio.gather(*futures, return_exceptions=True)
        assert isinstance(results[1], ValueError)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(all_of_them())
    assert seen == [0, 2, 3]


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    durable.write_json(path, {"é": "\ud800"})
    assert durable.read_json(path) == {"é": "\ud800"}
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ValueError, match="JSON"):
        durable.write_json(path, {"x": float("nan")})
    assert durable.read_json(path) == {"é": "\ud800"}
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]
    with pytest.raises(CacheWriteError) as refused:
        durable.write_json(tmp_path / "nowhere" / "a.json", {})
    assert refused.value.data["errno"] == 2


def test_a_lock_is_one_holders_and_its_file_may_go_with_it(tmp_path: Path) -> None:
    first, second = durable.FileLock(tmp_path / "l"), durable.FileLock(tmp_path / "l")
    assert first.try_lock() and not second.try_lock()
    first.release(remove=True)
    assert not (tmp_path / "l").exists()
    assert second.try_lock()
    second.release()


def test_log_lines_are_read_back_with_their_tracebacks(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "lofi.log"
    handler = logs.file_handler(path)
    logger = logging.getLogger("tests.lofi")
    logger.propagate = False
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.info("started: %s", "é")
    try:
        raise KeyError("x")
    except KeyError:
        logger.exception("failed")
    handler.close()
    logger.removeHandler(handler)
    lines = logs.tail(path, 10, None)
    assert [(each["level"], each["message"].split("\n")[0]) for each in lines] == [
        ("info", "started: é"),
        ("error", "failed"),
    ]
    assert "KeyError" in lines[1]["message"]
    assert [each["level"] for each in logs.tail(path, 10, "warn")] == ["error"]
    assert logs.tail(tmp_path / "none", 10, None) == []


def test_own_presets_stand_behind_and_in_place_of_the_built_in_ones() -> None:
    listed = presets.listed({"rain": "my rain", "mine": {"prompt": "x", "bpm": 90}})
    names = [each["name"] for each in listed]
    assert len(names) == len(set(names)) and names[-2:] == ["rain", "mine"]
    assert {"lofi", "jazz", "ambient", "house", "coffee shop", "late night"} <= set(names)
    assert listed[-1]["request"] == {"prompt": "x", "bpm": 90}
    for each in listed:
        assert 1 <= len(each["prompt"]) <= 1000


def install(paths: Paths, variant: str) -> Path:
    folder = paths.models("musicgen") / variant
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    (folder / "model.safetensors").write_bytes(
        len(header).to_bytes(8, "little") + header + b"\0" * 4
    )
    return folder


def test_weights_are_found_when_they_come_and_missed_when_they_break(paths: Paths) -> None:
    inventory = Inventory(paths, Settings())
    musicgen = catalog.BACKENDS["musicgen"]
    assert not inventory.is_installed(musicgen)
    folder = install(paths, "medium")
    found = inventory.checkpoint(musicgen, musicgen.variant("medium"))
    assert found is not None and found.model_version.startswith("musicgen-medium+")
    assert inventory.default_variant(musicgen) == "medium"
    (folder / "model.safetensors").write_bytes(b"short")
    assert inventory.checkpoint(musicgen, musicgen.variant("medium")) is None
    component = inventory.component(musicgen, "medium")
    assert component.status == "broken" and "safetensors" in str(component.problem)


@pytest.mark.parametrize(
    ("memory_mb", "installed", "expected"),
    [
        (0, ("0.6b",), None),
        (6144, ("0.6b",), None),
        (8192, ("0.6b", "1.7b"), "0.6b"),
        (16384, ("0.6b", "1.7b", "4b"), "1.7b"),
        (24576, ("0.6b", "4b"), "0.6b"),
        (81920, ("0.6b", "4b"), "4b"),
        (16384, ("4b",), None),
        (16384, (), None),
    ],
)
def test_the_planner_fits_the_memory(
    paths: Paths, memory_mb: int, installed: tuple[str, ...], expected: str | None
) -> None:
    paths.devices_file.parent.mkdir(parents=True)
    devices = [
        {"id": "cuda:0", "memory_total_mb": memory_mb},
        {"id": "cpu", "memory_total_mb": 10**6},
    ]
    paths.devices_file.write_text(json.dumps({"devices": devices}))
    assert Inventory(paths, Settings()).lm_for_tier(installed) == expected


@pytest.fixture
def cache(paths: Paths) -> Cache:
    made = Cache(paths.tracks, paths.locks)
    made.open()
    return made


@pytest.fixture
def sources(cache: Cache, paths: Paths) -> Sources:
    return Sources(cache, paths, Settings())


def sound(path: Path, seconds: float) -> Path:
    soundfile.write(path, np.zeros(int(8000 * seconds)), 8000)
    return path


def test_a_file_is_measured_and_named_by_its_bytes(sources: Sources, tmp_path: Path) -> None:
    path = sound(tmp_path / "a.wav", 2)
    found = sources.audio({"source": str(path), "reference": {"path": str(path)}})
    assert found["source"] == found["reference"]
    assert found["source"].duration_sec == 2.0
    assert found["source"].identity == {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    sound(path, 3)
    assert sources.audio({"source": str(path)})["source"].duration_sec == 3.0


def test_a_track_is_named_by_its_digest(sources: Sources, cache: Cache, paths: Paths) -> None:
    track_id = "beef111122223333"
    sound(paths.tracks / f"{track_id}.wav", 4)
    members = {
        "track_id": track_id,
        "file": f"{track_id}.wav",
        "digest": track_id * 4,
        "duration_sec": 4.0,
        "recipe": {"seed": 1},
    }
    (paths.tracks / f"{track_id}.json").write_text(json.dumps(members))
    cache.rescan()
    for named in ("beef", {"track_id": "beef1"}):
        found = sources.audio({"source": named})["source"]
        assert found.identity == {"track": track_id * 4} and found.recipe == {"seed": 1}


@pytest.mark.parametrize(("seconds", "said"), [(0.25, "0.2 s"), (601, "601.0 s")])
def test_a_source_has_a_length_that_can_be_worked_on(
    sources: Sources, tmp_path: Path, seconds: float, said: str
) -> None:
    with pytest.raises(InvalidSource, match=said):
        sources.audio({"source": str(sound(tmp_path / "a.wav", seconds))})


def test_what_is_no_source_says_why(sources: Sources, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("words")
    for value, kind in (
        (str(tmp_path / "none.wav"), InvalidSource),
        (str(tmp_path / "text.wav"), InvalidSource),
        ("beef", InvalidSource),
        ("here/there.wav", InvalidParams),
    ):
        with pytest.raises(kind):
            sources.audio({"source": value})


def test_a_lora_is_looked_for_by_name_and_by_path(
    sources: Sources, paths: Paths, tmp_path: Path
) -> None:
    folder = paths.cache / "lora" / "vinyl"
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    named = sources.adapters({"loras": [{"name": "vinyl"}]})["vinyl"]
    assert named.sha256 == hashlib.sha256(b"weights").hexdigest()
    whole = str(folder / "adapter_model.safetensors")
    assert sources.adapters({"loras": [{"name": whole}]})[whole].path == whole
    with pytest.raises(InvalidLora, match="nobody"):
        sources.adapters({"loras": [{"name": "nobody"}]})


def test_a_retake_has_the_files_and_the_model_of_its_source(
    sources: Sources, paths: Paths, cache: Cache
) -> None:
    track_id = "beef111122223333"
    sound(paths.tracks / f"{track_id}.wav", 4)
    loras = [{"name": "vinyl", "scale": 0.5}]
    members = {
        "track_id": track_id,
        "file": f"{track_id}.wav",
        "digest": track_id * 4,
        "backend": "ace_step_15",
        "variant": "sft",
        "request": {"prompt": "rain", "loras": loras, "reference": "/a.wav"},
    }
    (paths.tracks / f"{track_id}.json").write_text(json.dumps(members))
    cache.rescan()
    asked = {"task": "retake", "source": "beef"}
    own = {"backend": "ace_step_15", "variant": "sft", "loras": loras, "reference": "/a.wav"}
    assert sources.completed(asked) == {**own, **asked}
    assert sources.completed({**asked, "loras": []}) == {**own, **asked, "loras": []}
    for other in ({"task": "edit", "source": "beef"}, {"task": "retake", "source": "/b.wav"}):
        assert sources.completed(other) == other
