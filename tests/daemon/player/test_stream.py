from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lofi.daemon.player.decode import FileSource, Spool, SpoolSource
from lofi.daemon.player.mixer import Block
from lofi.daemon.player.stream import AHEAD_SEC, Feeder, Stream
from lofi.errors import AudioPlaybackError
from tests.clock import limit, until
from tests.daemon.player.sound import RATE, Rendering, Shop


@pytest.fixture
def completed() -> list[Stream]:
    return []


@pytest.fixture
def feeder(completed: list[Stream]) -> Iterator[Feeder]:
    feeder = Feeder(completed.append)
    yield feeder
    feeder.close()


def emptied(stream: Stream) -> Block:
    """Reads `stream` to its end as fast as it is decoded."""
    blocks = []

    def read() -> bool:
        is_complete = stream.is_complete
        block = np.zeros((960, 2), dtype=np.float32)
        frames = stream.ring.read(block)
        blocks.append(block[:frames])
        return is_complete and frames == 0

    until(read, 10, "the end of the stream")
    return np.concatenate(blocks)


@pytest.mark.parametrize(("rate", "channels"), [(48000, 2), (44100, 1), (32000, 2), (96000, 2)])
def test_a_track_of_any_rate_arrives_whole(
    tmp_path: Path, feeder: Feeder, rate: int, channels: int
) -> None:
    shop = Shop(tmp_path)
    track = shop.make("a", 1.3, rate=rate, channels=channels)
    stream = Stream(lambda: FileSource(track.path), RATE)
    feeder.add(stream)
    heard = emptied(stream)
    assert heard.shape == shop.sound["a"].shape
    assert np.abs(heard - shop.sound["a"]).max() < 1e-6


def test_decoding_stays_ahead_and_no_further(tmp_path: Path, feeder: Feeder) -> None:
    track = Shop(tmp_path).make("a", 8.0)
    stream = Stream(lambda: FileSource(track.path), RATE)
    feeder.add(stream)
    stream.opened.result(limit(5))
    assert stream.is_ahead
    until(lambda: stream.ring.room == 0, 5, "a full ring")
    assert stream.ring.available == round(AHEAD_SEC * RATE)
    assert not stream.is_complete


def test_a_track_that_does_not_open_says_why(
    tmp_path: Path, feeder: Feeder, completed: list[Stream]
) -> None:
    stream = Stream(lambda: FileSource(tmp_path / "none.wav"), RATE)
    feeder.add(stream)
    with pytest.raises(AudioPlaybackError):
        stream.opened.result(limit(5))
    until(lambda: completed == [stream], 5, "word of the end")
    assert isinstance(stream.error, AudioPlaybackError)


def test_a_broken_decoder_ends_one_track_and_not_the_feeder(tmp_path: Path, feeder: Feeder) -> None:
    def explode() -> FileSource:
        raise ZeroDivisionError

    broken = Stream(explode, RATE)
    feeder.add(broken)
    with pytest.raises(AudioPlaybackError):
        broken.opened.result(limit(5))
    shop = Shop(tmp_path)
    track = shop.make("a", 0.2)
    sound = Stream(lambda: FileSource(track.path), RATE)
    feeder.add(sound)
    assert np.array_equal(emptied(sound), shop.sound["a"])


def test_a_spool_is_followed_while_it_grows_and_into_its_file(
    tmp_path: Path, feeder: Feeder
) -> None:
    rendering = Rendering(Shop(tmp_path), "a", 2.0, rate=44100)
    spool = Spool(rendering.path, sample_rate=44100, channels=2, frames=88200, gain=1.0)
    stream = Stream(lambda: SpoolSource(spool), RATE)
    feeder.add(stream)
    stream.opened.result(limit(5))  # opened, though there is nothing yet
    assert not stream.is_ahead
    for second in range(4):
        spool.progress(rendering.write(0.3), float(second))
        feeder.nudge()
        before = stream.ring.written
        until(lambda before=before: stream.ring.written > before, 5, "new frames")  # type: ignore[misc]
    spool.finished = (rendering.finish().path, 1.0)
    rendering.path.unlink()
    heard = emptied(stream)
    whole = Stream(lambda: FileSource(tmp_path / "a.wav"), RATE)
    feeder.add(whole)
    assert np.array_equal(heard, emptied(whole))


def test_removed_streams_let_go_of_their_files(tmp_path: Path, feeder: Feeder) -> None:
    track = Shop(tmp_path).make("a", 8.0)
    stream = Stream(lambda: FileSource(track.path), RATE)
    feeder.add(stream)
    stream.opened.result(limit(5))
    feeder.remove(stream)
    feeder.remove(stream)
    until(lambda: stream.is_complete, 5, "the end of decoding")
