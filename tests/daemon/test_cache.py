from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from lofi.daemon import durable
from lofi.daemon.cache import Cache
from lofi.daemon.eviction import Limits
from lofi.errors import Busy, CacheCorrupt, CacheWriteError, InvalidSource, InvalidTrackId

SOUND = b"not really a sound"
DIGEST = "0123456789abcdef" * 4


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    made = Cache(tmp_path / "tracks", tmp_path / "locks")
    made.open()
    return made


def members(track_id: str, **more: Any) -> dict[str, Any]:
    return {
        "schema": 1,
        "track_id": track_id,
        "file": f"{track_id}.wav",
        "digest": track_id + "0" * 48,
        "bytes": len(SOUND),
        "prompt": "rain",
        "created_at": "2020-01-01T00:00:00.000Z",
        **more,
    }


def add(cache: Cache, track_id: str, **more: Any) -> None:
    unfinished = durable.unfinished_name(cache.unfinished, track_id, ".wav")
    unfinished.write_bytes(SOUND)
    cache.add(members(track_id, **more), unfinished)


def age(cache: Cache, track_id: str, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(cache.folder / f"{track_id}.json", (then, then))


def test_an_added_track_is_found_by_id_prefix_and_digest(cache: Cache) -> None:
    add(cache, "aaaa111122223333")
    assert cache.find("aaaa1").track_id == "aaaa111122223333"
    assert cache.with_digest("aaaa111122223333" + "0" * 48) is not None
    assert list(cache.unfinished.iterdir()) == []
    assert (cache.folder / "aaaa111122223333.json").stat().st_mode & 0o777 == 0o600


def test_a_prefix_must_be_long_enough_unique_and_known(cache: Cache) -> None:
    add(cache, "aaaa111122223333")
    add(cache, "aaaa211122223333")
    with pytest.raises(InvalidTrackId, match="too short"):
        cache.find("aaa")
    with pytest.raises(InvalidTrackId) as ambiguous:
        cache.find("aaaa")
    assert ambiguous.value.data["candidates"] == ["aaaa111122223333", "aaaa211122223333"]
    with pytest.raises(InvalidTrackId, match="no track"):
        cache.find("bbbb")


def test_another_digest_with_the_same_first_digits_gets_a_longer_id(cache: Cache) -> None:
    add(cache, DIGEST[:16], digest=DIGEST[:20] + "f" * 44)
    assert cache.with_digest(DIGEST) is None
    longer = cache.id_for(DIGEST)
    assert longer == DIGEST[:24]
    add(cache, longer, digest=DIGEST)
    found = cache.with_digest(DIGEST)
    assert found is not None and found.track_id == longer


def test_members_of_a_later_version_survive_a_rewrite(cache: Cache) -> None:
    add(cache, "aaaa111122223333", invented_later={"deep": [1, 2]})
    cache.update("aaaa111122223333", {"favorite": True})
    stored = json.loads((cache.folder / "aaaa111122223333.json").read_text())
    assert stored["invented_later"] == {"deep": [1, 2]} and stored["favorite"] is True


def test_a_track_of_a_newer_schema_is_listed_and_never_written(cache: Cache) -> None:
    add(cache, "aaaa111122223333", schema=2)
    assert cache.find("aaaa").to_wire()["read_only"] is True
    with pytest.raises(Busy, match="newer"):
        cache.update("aaaa111122223333", {"favorite": True})
    assert cache.evict(Limits(1), ()).track_ids == ()


def test_a_sidecar_without_audio_is_dropped_on_sight(cache: Cache, tmp_path: Path) -> None:
    add(cache, "aaaa111122223333")
    (cache.folder / "aaaa111122223333.wav").unlink()
    assert cache.with_digest("aaaa111122223333" + "0" * 48) is None
    fresh = Cache(cache.folder, tmp_path / "locks")
    fresh.open()
    assert len(fresh) == 0
    assert not (cache.folder / "aaaa111122223333.json").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"track_id": "x"}', '{"file": 3}', "\xff"])
def test_a_broken_sidecar_is_passed_over(cache: Cache, text: str) -> None:
    (cache.folder / "bbbb111122223333.json").write_text(text, encoding="latin-1")
    add(cache, "aaaa111122223333")
    cache.rescan()
    assert [track.track_id for track in cache.tracks()] == ["aaaa111122223333"]


def test_a_sidecar_cannot_name_a_file_elsewhere_as_its_id(cache: Cache) -> None:
    value = {**members("x"), "track_id": "../../etc/passwd"}
    (cache.folder / "cccc111122223333.json").write_text(json.dumps(value))
    cache.rescan()
    assert len(cache) == 0


def test_changes_of_other_daemons_are_noticed(cache: Cache, tmp_path: Path) -> None:
    other = Cache(cache.folder, tmp_path / "locks")
    other.open()
    assert not cache.has_changed() or cache.rescan() == ([], [])
    add(other, "aaaa111122223333")
    add(other, "bbbb111122223333")
    assert cache.has_changed()
    assert sorted(cache.rescan()[0]) == ["aaaa111122223333", "bbbb111122223333"]
    other.delete(["aaaa111122223333"])
    assert cache.has_changed()
    assert cache.rescan() == ([], ["aaaa111122223333"])
    assert not cache.has_changed()


def test_our_own_changes_are_no_news(cache: Cache) -> None:
    add(cache, "aaaa111122223333")
    cache.update("aaaa111122223333", {"title": "x"})
    cache.touch("aaaa111122223333")
    assert cache.rescan() == ([], [])


def test_a_refused_write_leaves_nothing_behind(cache: Cache) -> None:
    missing = cache.unfinished / "never.written.wav"
    with pytest.raises(CacheWriteError):
        cache.add(members("aaaa111122223333"), missing)
    assert len(cache) == 0
    assert not list(cache.folder.glob("aaaa*"))


def test_another_format_takes_the_place_of_the_old_file(cache: Cache) -> None:
    add(cache, "aaaa111122223333")
    add(cache, "aaaa111122223333", file="aaaa111122223333.flac")
    assert not (cache.folder / "aaaa111122223333.wav").exists()
    assert (cache.folder / "aaaa111122223333.flac").exists()


def test_deleting_takes_the_companions_and_counts_the_bytes(cache: Cache) -> None:
    add(cache, "aaaa111122223333")
    (cache.folder / "aaaa111122223333.peaks.json").write_bytes(b"12345")
    size = (cache.folder / "aaaa111122223333.json").stat().st_size
    removal = cache.delete(["aaaa111122223333", "nobody"])
    assert removal.track_ids == ("aaaa111122223333",)
    assert removal.freed_bytes == len(SOUND) + 5 + size
    assert [path.name for path in cache.folder.iterdir()] == [".tmp"]


def test_a_persons_own_file_is_never_deleted(cache: Cache, tmp_path: Path) -> None:
    own = tmp_path / "mine.wav"
    own.write_bytes(SOUND)
    cache.add_foreign(members("aaaa111122223333", file=str(own)))
    cache.delete(["aaaa111122223333"])
    assert own.read_bytes() == SOUND


def test_eviction_drops_the_least_recently_accessed_first(cache: Cache) -> None:
    for number, name in enumerate(("aaaa", "bbbb", "cccc")):
        add(cache, f"{name}111122223333")
        age(cache, f"{name}111122223333", 1000 - number)
    cache.rescan()
    cache.touch("aaaa111122223333")
    removal = cache.evict(Limits(0, 2), ())
    assert removal.track_ids == ("bbbb111122223333",)
    assert cache.evicted == 1


def test_clearing_spares_favourites_and_the_young(cache: Cache) -> None:
    add(cache, "aaaa111122223333")
    add(cache, "bbbb111122223333", favorite=True)
    add(cache, "cccc111122223333", created_at="2999-01-01T00:00:00.000Z")
    chosen = cache.clearable(keep_favorites=True, created_before_sec=time.time())
    assert chosen == ["aaaa111122223333"]
    cache.clear(chosen)
    assert len(cache) == 2
    assert len(cache.clearable(keep_favorites=False, created_before_sec=None)) == 2


def test_garbage_is_what_no_track_owns_and_nobody_writes(cache: Cache) -> None:
    add(cache, "aaaa111122223333")
    old = cache.folder / "dddd111122223333.wav"
    fresh = cache.folder / "eeee111122223333.wav"
    ours = cache.unfinished / f"ffff.{os.getpid()}.12345678.wav"
    left = cache.unfinished / "ffff.999999999.12345678.wav"
    for path in (old, fresh, ours, left):
        path.write_bytes(SOUND)
    os.utime(old, (1, 1))
    assert cache.collect_garbage() == (2, 2 * len(SOUND))
    assert fresh.exists() and ours.exists() and not old.exists() and not left.exists()
    assert (cache.folder / "aaaa111122223333.wav").exists()


def test_a_damaged_file_is_set_aside(cache: Cache) -> None:
    add(cache, "aaaa111122223333", audio_sha256="0" * 64)
    with pytest.raises(CacheCorrupt):
        cache.verify(cache.find("aaaa"))
    assert len(cache) == 0
    assert (cache.unfinished / "aaaa111122223333.wav.corrupt").read_bytes() == SOUND


def test_a_file_that_is_gone_is_damage(cache: Cache) -> None:
    add(cache, "aaaa111122223333", audio_sha256="0" * 64)
    (cache.folder / "aaaa111122223333.wav").unlink()
    with pytest.raises(CacheCorrupt, match="is gone"):
        cache.verify(cache.find("aaaa"))
    assert len(cache) == 0 and not (cache.folder / "aaaa111122223333.json").exists()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_a_file_that_cannot_be_read_now_is_not_lost(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    add(cache, "aaaa111122223333", audio_sha256="0" * 64)

    def refuse(path: Path, *mode: str) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InvalidSource, match=os.strerror(number)) as refused:
        cache.verify(cache.find("aaaa"))
    assert "nothing was changed" in refused.value.hint
    monkeypatch.undo()
    assert cache.find("aaaa").path.read_bytes() == SOUND
    assert (cache.folder / "aaaa111122223333.json").exists()


def test_a_file_of_the_person_s_whose_disk_is_away_keeps_its_track(
    cache: Cache, tmp_path: Path
) -> None:
    away = tmp_path / "disk" / "mine.wav"
    cache.add_foreign(members("aaaa111122223333", file=str(away), audio_sha256="0" * 64))
    with pytest.raises(InvalidSource, match="cannot be read"):
        cache.verify(cache.find("aaaa"))
    assert (cache.folder / "aaaa111122223333.json").exists()


def test_damage_that_cannot_be_set_aside_is_an_error_and_stays(cache: Cache) -> None:
    add(cache, "aaaa111122223333", audio_sha256="0" * 64)
    (cache.unfinished / "aaaa111122223333.wav.corrupt").mkdir()
    with pytest.raises(CacheWriteError, match="is damaged and cannot be set aside"):
        cache.verify(cache.find("aaaa"))
    assert (cache.folder / "aaaa111122223333.json").exists() and len(cache) == 1


def test_a_track_that_was_made_anew_meanwhile_is_not_taken_for_damaged(cache: Cache) -> None:
    add(cache, "aaaa111122223333", audio_sha256="0" * 64)
    before = cache.find("aaaa")
    add(cache, "aaaa111122223333", audio_sha256=hashlib.sha256(SOUND).hexdigest())
    cache.verify(before)
    assert cache.find("aaaa").path.read_bytes() == SOUND


def test_a_file_of_another_size_is_no_hit(cache: Cache) -> None:
    add(cache, "aaaa111122223333")
    (cache.folder / "aaaa111122223333.wav").write_bytes(SOUND[:-1])
    assert cache.with_digest("aaaa111122223333" + "0" * 48) is None


def test_tidying_waits_for_another_daemon_and_gives_up(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lofi.daemon.cache.LOCK_LIMIT_SEC", 0.05)
    lock = durable.FileLock(tmp_path / "locks" / "cache.lock")
    assert lock.try_lock()
    with pytest.raises(Busy):
        cache.collect_garbage()
    lock.release()
    assert cache.collect_garbage() == (0, 0)


def test_a_thousand_tracks_are_read_and_listed_quickly(cache: Cache) -> None:
    for number in range(1000):
        track_id = f"{number:016x}"
        (cache.folder / f"{track_id}.wav").write_bytes(SOUND)
        (cache.folder / f"{track_id}.json").write_text(json.dumps(members(track_id)))
    added, _ = cache.rescan()
    assert len(added) == 1000 == len({track.track_id for track in cache.tracks()})


def test_a_sidecar_deleted_while_the_folder_is_read_takes_no_other_along(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(cache, "aaaa111122223333")
    add(cache, "bbbb111122223333")
    real = os.scandir

    def meanwhile(folder: Path) -> list[os.DirEntry[str]]:
        entries = list(real(folder))
        (cache.folder / "bbbb111122223333.json").unlink(missing_ok=True)
        return entries

    monkeypatch.setattr("lofi.daemon.cache.os.scandir", meanwhile)
    assert cache.rescan() == ([], ["bbbb111122223333"])
    assert [track.track_id for track in cache.tracks()] == ["aaaa111122223333"]


def test_a_folder_that_is_gone_holds_no_tracks(cache: Cache) -> None:
    add(cache, "aaaa111122223333")
    cache.folder.rename(cache.folder.with_name("away"))
    assert cache.rescan() == ([], ["aaaa111122223333"])
    assert not cache.has_changed()


def test_a_scan_that_fails_is_made_again(cache: Cache) -> None:
    add(cache, "aaaa111122223333")
    cache.folder.rename(cache.folder.with_name("away"))
    cache.folder.write_bytes(b"in the way")
    with pytest.raises(NotADirectoryError):
        cache.rescan()
    assert cache.has_changed() and len(cache) == 1


@pytest.mark.parametrize("suffix", [".wav", ".latents.safetensors"])
def test_a_file_beside_a_sidecar_is_no_garbage_whatever_the_index_says(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    path = cache.folder / f"aaaa111122223333{suffix}"
    path.write_bytes(SOUND)
    os.utime(path, (1, 1))
    (cache.folder / "aaaa111122223333.json").write_text("{half of it")
    assert cache.collect_garbage() == (0, 0)
    assert path.exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"bytes": "many"},
        {"bytes": None},
        {"bytes": -1},
        {"duration_sec": [3]},
        {"duration_sec": float("inf")},
        {"frames": {}},
        {"sample_rate": True},
        {"plays": "x"},
        {"lufs": "loud"},
        {"gain": "1"},
        {"bpm": float("nan")},
        {"tags": 5},
        {"tags": ["calm", 5]},
        {"favorite": "no"},
        {"rating": "high"},
        {"title": 5},
        {"lyrics": ["la"]},
        {"created_at": 5},
        {"recipe": "mine"},
    ],
)
def test_a_sidecar_whose_members_are_none_is_passed_over(
    cache: Cache, wrong: dict[str, Any]
) -> None:
    path = cache.folder / "bbbb111122223333.json"
    path.with_suffix(".wav").write_bytes(SOUND)
    path.write_text(json.dumps({**members("bbbb111122223333"), **wrong}))
    add(cache, "aaaa111122223333")
    cache.rescan()
    assert [track.track_id for track in cache.tracks()] == ["aaaa111122223333"]
    assert cache.size_bytes() == len(SOUND)
    assert path.with_suffix(".wav").exists()


@pytest.mark.parametrize(
    "file", ["../mine.wav", "sub/mine.wav", "..", ".", "..\\mine.wav", "/tmp/../mine.wav", "a\0b"]
)
def test_a_sidecar_never_reaches_a_file_outside_its_folder(cache: Cache, file: str) -> None:
    mine = cache.folder.parent / "mine.wav"
    mine.write_bytes(SOUND)
    (cache.folder / "bbbb111122223333.json").write_text(
        json.dumps(members("bbbb111122223333", file=file))
    )
    cache.rescan()
    assert len(cache) == 0
    cache.delete(["bbbb111122223333"])
    assert mine.exists()
