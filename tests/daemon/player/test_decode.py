from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from lofi.daemon.player.decode import FileSource, Source, Spool, SpoolSource
from lofi.daemon.player.mixer import Block
from lofi.errors import AudioPlaybackError
from tests.daemon.player.sound import RATE, Rendering, Shop


def spool_of(rendering: Rendering, announced_at: float | None = None) -> Spool:
    live = rendering.live
    return Spool(
        live.spool_path,
        sample_rate=live.sample_rate,
        channels=live.channels,
        frames=live.frames_total,
        gain=live.gain,
        announced_at=announced_at,
    )


def drained(source: Source, chunk: int = 4096) -> Block:
    blocks = []
    while source.position < source.frames:
        block = source.read(chunk)
        if len(block) == 0:
            break
        blocks.append(block)
    return np.concatenate(blocks)


def test_a_file_is_read_from_the_asked_place_to_its_end(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    source = FileSource(shop.make("a", 0.5).path, 0.125)
    assert np.array_equal(drained(source, 1000), shop.sound["a"][6000:])
    source.close()


def test_a_start_past_the_end_leaves_nothing_to_read(tmp_path: Path) -> None:
    source = FileSource(Shop(tmp_path).make("a", 0.5).path, 9.0)
    assert source.position == source.frames
    source.close()


@pytest.mark.parametrize("content", [None, b"no sound at all", b""])
def test_what_cannot_be_decoded_is_said_so(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AudioPlaybackError, match=r"cannot play .*a\.wav"):
        FileSource(path)


def test_a_file_without_frames_is_no_track(tmp_path: Path) -> None:
    path = tmp_path / "empty.wav"
    soundfile.write(path, np.zeros((0, 2)), RATE)
    with pytest.raises(AudioPlaybackError, match="no sound"):
        FileSource(path)


def test_a_file_that_was_cut_off_ends_where_it_ends(tmp_path: Path) -> None:
    track = Shop(tmp_path).make("a", 0.5)
    data = track.path.read_bytes()
    track.path.write_bytes(data[: len(data) // 2])
    source = FileSource(track.path)
    assert 0 < len(drained(source)) < 24_000
    assert source.read(10).size == 0 and source.position == source.frames
    source.close()


def test_missing_numbers_never_reach_the_device(tmp_path: Path) -> None:
    path = tmp_path / "nan.wav"
    soundfile.write(path, np.full((100, 2), np.nan), RATE, subtype="FLOAT")
    source = FileSource(path)
    assert np.array_equal(source.read(100), np.zeros((100, 2)))
    source.close()


def test_a_spool_gives_only_what_is_final(tmp_path: Path) -> None:
    rendering = Rendering(Shop(tmp_path), "a", 1.0, gain=0.5)
    spool = spool_of(rendering)
    source = SpoolSource(spool)
    assert source.read(1000).shape == (0, 2)
    rendering.write(0.5)
    spool.progress(10_000, 1.0)  # less is final than is written
    assert np.array_equal(drained(source), rendering.samples[:10_000] * np.float32(0.5))
    spool.progress(24_000, 2.0)
    assert np.array_equal(source.read(99_999), rendering.samples[10_000:24_000] * np.float32(0.5))
    source.close()


@pytest.mark.parametrize("delete", [False, True])
def test_a_spool_becomes_the_file_without_a_sample_lost_or_repeated(
    tmp_path: Path, delete: bool
) -> None:
    rendering = Rendering(Shop(tmp_path), "a", 1.0)
    spool = spool_of(rendering)
    source = SpoolSource(spool)
    spool.progress(rendering.write(0.4), 1.0)
    first = drained(source, 777)
    spool.progress(rendering.write(1.0), 2.0)
    spool.finished = (rendering.finish().path, 1.0)
    if delete:
        rendering.path.unlink()
    heard = np.concatenate([first, drained(source, 777)])
    assert np.array_equal(heard, rendering.samples)
    source.close()


def test_a_level_that_turned_out_differently_is_reached_in_a_glide(tmp_path: Path) -> None:
    rendering = Rendering(Shop(tmp_path), "a", 4.0, gain=0.5)
    spool = spool_of(rendering)
    source = SpoolSource(spool)
    spool.progress(rendering.write(1.0), 1.0)
    first = drained(source)
    spool.finished = (rendering.finish(gain=0.25).path, 0.25)
    heard = np.concatenate([first, drained(source)])
    level = heard[:, 0] / rendering.samples[:, 0]
    loud = np.abs(rendering.samples[:, 0]) > 0.05
    assert np.allclose(level[:48_000][loud[:48_000]], 0.5, atol=1e-4)
    assert np.allclose(level[144_100:][loud[144_100:]], 0.25, atol=1e-4)
    assert np.abs(np.diff(level[loud])).max() < 1e-3
    source.close()


def test_a_spool_never_opened_and_gone_is_no_loss(tmp_path: Path) -> None:
    rendering = Rendering(Shop(tmp_path), "a", 0.5)
    spool = spool_of(rendering)
    spool.finished = (rendering.finish().path, 1.0)
    source = SpoolSource(spool, 0.25)
    assert np.array_equal(drained(source), rendering.samples[12_000:])
    source.close()


def test_a_file_that_is_another_track_does_not_replace_the_spool(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    rendering = Rendering(shop, "a", 0.5)
    spool = spool_of(rendering)
    source = SpoolSource(spool)
    spool.progress(rendering.write(0.5), 1.0)
    spool.finished = (shop.make("other", 2.0).path, 1.0)
    assert np.array_equal(drained(source), rendering.samples)
    source.close()


class TestAhead:
    """When a track that is being rendered may be heard."""

    def spool(self, seconds: float = 60.0, announced_at: float | None = None) -> Spool:
        return Spool(
            Path("unused"),
            sample_rate=100,
            channels=2,
            frames=round(seconds * 100),
            gain=1.0,
            announced_at=announced_at,
        )

    def test_one_report_tells_no_speed(self) -> None:
        spool = self.spool()
        spool.progress(3000, 1.0)
        assert not spool.is_ahead(0)

    def test_with_the_announcement_one_report_is_enough(self) -> None:
        spool = self.spool(announced_at=0.9)
        spool.progress(300, 1.0)
        assert spool.is_ahead(0)

    def test_it_takes_a_second_in_hand(self) -> None:
        spool = self.spool(announced_at=0.9)
        spool.progress(90, 1.0)
        assert not spool.is_ahead(0)

    def test_a_slow_renderer_starts_when_the_rest_is_in_sight(self) -> None:
        spool = self.spool(announced_at=0.0)
        starts = next(
            second
            for second in range(1, 200)
            if not spool.progress(50 * second, float(second)) and spool.is_ahead(0)
        )
        # At half of real time and a quarter in reserve: 60 s need 120, of which 47 are heard.
        assert 72 <= starts <= 76
        spool.progress(6000, 120.0)
        assert spool.is_ahead(5999)

    def test_long_pauses_between_stretches_are_expected_again(self) -> None:
        spool = self.spool(seconds=600, announced_at=0.0)
        spool.progress(2000, 8.0)  # 20 s in 8 s
        spool.progress(4000, 16.0)
        assert spool.is_ahead(0)
        assert not spool.is_ahead(3200)  # 8 s in hand, and the next stretch takes 8 s

    def test_what_is_all_there_may_always_be_heard(self) -> None:
        spool = self.spool(seconds=0.5)
        spool.progress(50, 1.0)
        assert spool.is_ahead(0)
