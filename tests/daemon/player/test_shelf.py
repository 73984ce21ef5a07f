from __future__ import annotations

from pathlib import Path

import pytest

from lofi.daemon.player.decode import FileSource, SpoolSource
from lofi.daemon.player.playlist import Playlist
from lofi.daemon.player.shelf import Shelf
from lofi.errors import AudioPlaybackError, InvalidTrackId
from tests.daemon.player.sound import Rendering, Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_a_finished_track_is_read_from_its_file(shop: Shop) -> None:
    track = shop.make("a", 0.5)
    record = Shelf(shop, Playlist()).record("a")
    assert record.track == track and record.spool is None
    source = record.open_source(0.25)
    assert isinstance(source, FileSource) and source.position == 12_000
    source.close()


def test_a_track_that_has_gone_is_said_so(shop: Shop) -> None:
    shelf = Shelf(shop, Playlist())
    with pytest.raises(InvalidTrackId):
        shelf.record("a")
    with pytest.raises(InvalidTrackId):
        shelf.entry_for("a")


def test_a_file_anywhere_has_an_id_of_its_own_for_good(shop: Shop) -> None:
    path = shop.make("a", 0.5).path
    shelf = Shelf(shop, Playlist())
    first, second = shelf.entry_for_file(path), shelf.entry_for_file(path)
    assert first.track_id == second.track_id and first.key != second.key
    assert len(first.track_id) == 16 and shelf.is_file(first.track_id)
    assert shelf.entry_for(first.track_id).duration_sec == 0.5
    with pytest.raises(AudioPlaybackError):
        shelf.entry_for_file(path.with_name("none.wav"))


def test_a_track_being_rendered_is_read_from_its_spool_until_it_is_finished(shop: Shop) -> None:
    playlist = Playlist()
    shelf = Shelf(shop, playlist)
    rendering = Rendering(shop, "live", 1.0)
    entry = shelf.begin(rendering.live, 1.0)
    playlist.append(entry)
    assert (entry.duration_sec, entry.title) == (1.0, "Live")
    record = shelf.record("live")
    assert record.track is None and isinstance(record.open_source(0.0), SpoolSource)
    assert shelf.progress("live", 100, 2.0) and not shelf.progress("other", 100, 2.0)
    again = shelf.entry_for("live")
    track = rendering.finish(gain=0.5)
    spool = shelf.finish("live", track)
    assert spool is not None and spool.finished == (track.path, 0.5) and spool.ready == 100
    assert shelf.finish("live", track) is None
    assert shelf.record("live").track == track
    assert again.key != entry.key


def test_a_track_that_failed_leaves_nothing_but_its_entries(shop: Shop) -> None:
    playlist = Playlist()
    shelf = Shelf(shop, playlist)
    entry = shelf.begin(Rendering(shop, "live", 1.0).live, 1.0)
    playlist.append(entry)
    again = shelf.entry_for("live")
    spool, keys = shelf.fail("live")
    assert spool is not None and keys == {entry.key, again.key}
    assert shelf.fail("live") == (None, set())
    with pytest.raises(InvalidTrackId):
        shelf.record("live")
