from __future__ import annotations

import pytest

from lofi.daemon.player.playlist import Entry, Playlist


def made(*tracks: str, index: int | None = None) -> Playlist:
    playlist = Playlist()
    for track in tracks:
        playlist.append(playlist.new_entry(track))
    if index is not None:
        playlist.select(playlist.entries[index])
    return playlist


def ids(playlist: Playlist) -> list[str]:
    return [entry.track_id for entry in playlist.entries]


def test_an_empty_playlist_has_nothing_current_or_next() -> None:
    playlist = Playlist()
    assert playlist.current is None
    assert playlist.following("playlist") is None
    assert playlist.upcoming(3) == []


def test_the_same_track_twice_is_two_places() -> None:
    playlist = made("a", "b", "a", index=0)
    playlist.select(playlist.entries[2])
    assert playlist.index == 2
    assert playlist.following("off") is None


def test_what_is_inserted_next_follows_the_current_entry() -> None:
    playlist = made("a", "b", index=0)
    playlist.insert_next(playlist.new_entry("c"))
    assert ids(playlist) == ["a", "c", "b"]
    assert playlist.index == 0


def test_inserting_before_the_current_entry_moves_the_index_with_it() -> None:
    playlist = made("a", "b", index=1)
    playlist.insert(0, playlist.new_entry("c"))
    assert playlist.current is not None and playlist.current.track_id == "b"


@pytest.mark.parametrize(
    ("loop", "index", "follows"),
    [("off", 0, "b"), ("off", 2, None), ("playlist", 2, "a"), ("track", 1, "b")],
)
def test_what_follows_depends_on_the_loop(loop: str, index: int, follows: str | None) -> None:
    entry = made("a", "b", "c", index=index).following(loop)  # type: ignore[arg-type]
    assert (entry and entry.track_id) == follows


def test_stepping_wraps_only_when_looped() -> None:
    playlist = made("a", "b", "c", index=1)
    assert playlist.step(2, "off") is None
    assert playlist.step(-2, "off") is None
    assert playlist.step(2, "playlist") == playlist.entries[0]
    assert playlist.step(-2, "track") == playlist.entries[2]


def test_removing_the_current_entry_makes_the_following_one_current() -> None:
    playlist = made("a", "b", "a", "c", index=2)
    playlist.remove(playlist.keys({"a"}))
    assert ids(playlist) == ["b", "c"]
    assert playlist.current is not None and playlist.current.track_id == "c"


def test_removing_the_last_current_entry_makes_the_one_before_current() -> None:
    playlist = made("a", "b", index=1)
    playlist.remove(playlist.keys({"b"}))
    assert playlist.index == 0
    playlist.remove(playlist.keys({"a"}))
    assert playlist.index is None


def test_every_change_grows_the_revision_and_nothing_else_does() -> None:
    playlist = made("a", "b", index=0)
    before = playlist.revision
    playlist.remove([12345])
    playlist.select(playlist.entries[0])
    assert playlist.revision == before
    playlist.select(playlist.entries[1])
    playlist.update(playlist.entries[0].key, title="T", prompt="p", duration_sec=3.0)
    assert playlist.revision == before + 2
    assert playlist.entries[0].title == "T"


def test_selecting_what_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError):
        made("a").select(Entry(99, "x"))


def test_eviction_is_told_the_current_entry_and_those_after_it() -> None:
    assert made("a", "b", "c", "d", index=1).upcoming(1) == ["b", "c"]
