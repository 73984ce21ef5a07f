"""Exports: the right place, format, content, tags, and nothing half-written."""

from __future__ import annotations

import json
from pathlib import Path

import miniaudio
import numpy as np
import pytest
import soundfile

from lofi.errors import (
    CacheWriteError,
    GenerationCancelled,
    InsufficientDisk,
    InvalidParams,
    InvalidSource,
    UnsupportedFormat,
)
from lofi.worker.operations import operate
from lofi.worker.operations.exporting import slug
from tests.worker.operations.sounds import answer, tone, write

STORY = {"prompt": "rain, felt piano", "seed": 42, "recipe": '{"seed":42}'}


@pytest.fixture
def track(tmp_path: Path) -> Path:
    (tmp_path / "cache").mkdir()
    return write(tmp_path / "cache" / "b9716f29439b83ee.wav", tone(2.0))


@pytest.mark.parametrize("name", ["wav", "wav32", "flac", "ogg", "mp3"])
def test_every_format_carries_the_sound_and_its_story(
    tmp_path: Path, track: Path, name: str
) -> None:
    target = tmp_path / f"out.{'wav' if name == 'wav32' else name}"
    found = answer(
        "export",
        source=str(track),
        path=str(target),
        format=name,
        title="Régen ☔",
        metadata=STORY,
    )
    assert found == {"path": str(target), "bytes": target.stat().st_size}
    with soundfile.SoundFile(target) as file:
        assert file.frames == 96000
        assert file.title == "Régen ☔"
        for text in STORY.values():
            assert str(text) in file.comment
    if name == "mp3":  # the other reader that plays our files
        assert miniaudio.get_file_info(str(target)).num_frames == 96000
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_lossless_exports_are_the_same_samples(tmp_path: Path, track: Path) -> None:
    original, _ = soundfile.read(track, dtype="int16")
    for name in ("wav", "flac"):
        answer("export", source=str(track), path=str(tmp_path / f"o.{name}"), format=name)
        copy, _ = soundfile.read(tmp_path / f"o.{name}", dtype="int16")
        assert np.array_equal(copy, original)


def test_no_tags_without_metadata(tmp_path: Path, track: Path) -> None:
    answer("export", source=str(track), path=str(tmp_path / "o.flac"), title="secret")
    with soundfile.SoundFile(tmp_path / "o.flac") as file:
        assert (file.title, file.comment) == ("", "")


@pytest.mark.parametrize(
    ("path", "wanted", "expected"),
    [
        ("a.flac", None, "a.flac"),
        ("a.MP3", None, "a.MP3"),
        ("a", "ogg", "a.ogg"),
        ("a", None, "a.wav"),
        ("a.song", "flac", "a.song"),
    ],
)
def test_the_format_comes_from_the_request_or_the_name(
    tmp_path: Path, track: Path, path: str, wanted: str | None, expected: str
) -> None:
    found = answer("export", source=str(track), path=str(tmp_path / path), format=wanted)
    assert found["path"] == str(tmp_path / expected)
    kind = wanted or (expected.rpartition(".")[2].lower())
    assert soundfile.info(tmp_path / expected).format.lower() == kind


def test_a_folder_gets_a_name_of_title_and_id(tmp_path: Path, track: Path) -> None:
    found = answer(
        "export",
        source=str(track),
        path=str(tmp_path),
        format="flac",
        title="Rainy Night, Jazzy Piano!",
        track_id="b9716f29439b83ee",
    )
    assert Path(found["path"]).name == "rainy-night-jazzy-piano-b9716f29.flac"


@pytest.mark.parametrize(
    ("title", "expected"),
    [("", "track"), ("///..", "track"), ("Ünï Söng", "ünï-söng"), ("a" * 99, "a" * 60)],
)
def test_slugs(title: str, expected: str) -> None:
    assert slug(title) == expected


def test_nothing_is_overwritten_unless_asked(tmp_path: Path, track: Path) -> None:
    target = tmp_path / "mine.wav"
    target.write_text("my own")
    with pytest.raises(InvalidParams, match="exists"):
        answer("export", source=str(track), path=str(target))
    assert target.read_text() == "my own"
    answer("export", source=str(track), path=str(target), overwrite=True)
    assert soundfile.info(target).frames == 96000


def test_the_bit_rate_is_that_of_the_request(tmp_path: Path, track: Path) -> None:
    sizes = {
        kbps: answer(
            "export",
            source=str(track),
            path=str(tmp_path / f"{kbps}.mp3"),
            bitrate_kbps=kbps,
        )["bytes"]
        for kbps in (128, 320)
    }
    assert sizes[320] / sizes[128] == pytest.approx(2.5, rel=0.1)


def test_what_goes_wrong_has_a_type(
    tmp_path: Path, track: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = str(track)
    with pytest.raises(UnsupportedFormat):
        answer("export", source=source, path=str(tmp_path / "a.m4a"))
    with pytest.raises(CacheWriteError, match="no folder"):
        answer("export", source=source, path=str(tmp_path / "no" / "a.wav"))
    with pytest.raises(InvalidSource):
        answer("export", source=str(tmp_path / "gone.wav"), path=str(tmp_path / "a.wav"))
    track.write_bytes(b"garbage" * 1000)
    with pytest.raises(InvalidSource):
        answer("export", source=source, path=str(tmp_path / "a.wav"))
    write(track, tone(2.0))
    monkeypatch.setattr("shutil.disk_usage", lambda _: (10, 9, 1)[0:0] or _Disk())
    with pytest.raises(InsufficientDisk) as caught:
        answer("export", source=source, path=str(tmp_path / "a.wav"))
    assert caught.value.data["free_bytes"] == 1
    assert not (tmp_path / "a.wav").exists()


class _Disk:
    free = 1


def test_a_cancelled_export_leaves_nothing(tmp_path: Path, track: Path) -> None:
    write(track, tone(10.0))
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise GenerationCancelled("The job was cancelled")

    params = {"source": str(track), "path": str(tmp_path / "a.flac")}
    with pytest.raises(GenerationCancelled):
        list(operate("export", params, check))
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_the_recipe_in_the_file_reads_back(tmp_path: Path, track: Path) -> None:
    recipe = json.dumps({"backend": "procedural", "prompt": "é"}, ensure_ascii=False)
    answer("export", source=str(track), path=str(tmp_path / "a.ogg"), metadata={"recipe": recipe})
    with soundfile.SoundFile(tmp_path / "a.ogg") as file:
        assert json.loads(file.comment.removeprefix("recipe: "))["prompt"] == "é"
