from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lofi.daemon.player.mixer import from_db
from lofi.errors import AudioDeviceError, AudioPlaybackError, InvalidTrackId, NothingToPlay
from tests.daemon.player.sound import PERIOD, RATE, Concert, Rendering, Shop, align, perform

AUDIBLE_FRAMES = round(0.1 * RATE)
QUICK_FRAMES = round(0.05 * RATE)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_play_is_heard_from_its_first_frame_within_100_ms(shop: Shop) -> None:
    shop.make("a", 2.0)

    async def scene(concert: Concert) -> None:
        answer = await concert.player.play(track_id="a")
        assert (answer["state"], answer["track_id"], answer["index"]) == ("playing", "a", 0)
        await concert.pull(0.2)
        heard = concert.sink.heard
        start = align(heard, shop.sound["a"])
        assert start < AUDIBLE_FRAMES
        assert np.array_equal(heard[start:], shop.sound["a"][: len(heard) - start])
        started = concert.last("playback_started")
        assert started["path"] == str(shop.tracks["a"].path)
        assert (started["position_sec"], started["duration_sec"], started["index"]) == (0, 2.0, 0)
        assert started["at"].endswith("Z")

    perform(shop, scene)


def test_three_tracks_of_three_rates_follow_without_a_frame_between(shop: Shop) -> None:
    for name, rate, channels in (("a", 48000, 2), ("b", 44100, 1), ("c", 32000, 2)):
        shop.make(name, 0.7, rate=rate, channels=channels)

    async def scene(concert: Concert) -> None:
        for name in "abc":
            await concert.player.play(track_id=name, enqueue="end")
        await concert.pull(2.5)
        expected = np.concatenate([shop.sound[name] for name in "abc"])
        heard = concert.sink.heard
        start = align(heard, expected)
        assert np.abs(heard[start : start + len(expected)] - expected).max() < 1e-6
        assert not heard[start + len(expected) :].any()
        assert (
            concert.methods("playback_started", "playback_ended")
            == [
                "playback_started",
                "playback_ended",
            ]
            * 3
        )
        ends = [params for method, params in concert.told if method == "playback_ended"]
        assert [end["track_id"] for end in ends] == ["a", "b", "c"]
        assert all(end["reason"] == "finished" for end in ends)
        assert all(end["position_sec"] == pytest.approx(0.7, abs=0.001) for end in ends)
        assert concert.player.state()["state"] == "stopped"

    perform(shop, scene)


def test_stop_is_silence_within_50_ms_and_back_to_the_start(shop: Shop) -> None:
    shop.make("a", 3.0)

    async def scene(concert: Concert) -> None:
        await concert.player.play(track_id="a")
        await concert.pull(0.5)
        answer = await concert.player.stop()
        heard = await concert.pull(0.2)
        assert not heard[QUICK_FRAMES - PERIOD :].any()  # the request waits a period at most
        assert (answer["state"], answer["position_sec"], answer["index"]) == ("stopped", 0.0, 0)
        assert concert.last("playback_ended")["reason"] == "stopped"
        assert concert.last("playback_ended")["position_sec"] == pytest.approx(0.5, abs=0.05)
        told = len(concert.told)
        await concert.player.stop()
        assert len(concert.told) == told  # twice is once

    perform(shop, scene)


def test_volume_is_heard_within_50_ms_without_a_click(shop: Shop) -> None:
    shop.make("a", 3.0)

    async def scene(concert: Concert) -> None:
        await concert.player.play(track_id="a")
        await concert.pull(0.2)
        heard_before = len(concert.sink.heard)
        assert await concert.player.volume_set(level=0.5) == {"level": 0.5, "muted": False}
        heard = await concert.pull(0.1)
        at = heard_before - align(concert.sink.heard, shop.sound["a"]) + QUICK_FRAMES - PERIOD
        expected = shop.sound["a"][at : at + 960] * np.float32(0.25)
        assert np.allclose(heard[QUICK_FRAMES - PERIOD :][:960], expected)
        assert (await concert.player.volume_set(delta=-0.1))["level"] == 0.4
        assert (await concert.player.volume_set(delta=-2))["level"] == 0.0
        assert concert.last("playback_state")["volume"] == 0.0

    perform(shop, scene)


def test_mute_flips_and_keeps_the_volume(shop: Shop) -> None:
    shop.make("a", 3.0)

    async def scene(concert: Concert) -> None:
        await concert.player.play(track_id="a")
        await concert.pull(0.1)
        assert await concert.player.mute() == {"muted": True}
        assert not (await concert.pull(0.1))[QUICK_FRAMES - PERIOD :].any()
        assert await concert.player.volume_get() == {"level": 1.0, "muted": True}
        assert await concert.player.mute(muted=False) == {"muted": False}
        assert (await concert.pull(0.1))[-960:].any()

    perform(shop, scene)


def test_a_pause_loses_nothing_and_is_idempotent(shop: Shop) -> None:
    shop.make("a", 3.0)

    async def scene(concert: Concert) -> None:
        player = concert.player
        await player.play(track_id="a")
        await concert.pull(0.3)
        await player.pause()
        await player.pause()
        silence = await concert.pull(0.2)
        assert not silence[QUICK_FRAMES - PERIOD :].any()
        assert player.state()["state"] == "paused"
        await player.resume()
        await player.resume()
        await concert.pull(0.3)
        heard = concert.sink.heard
        silent = int(np.flatnonzero(np.abs(heard).sum(axis=1) == 0).size) - 1  # the ramp's last
        there = slice(len(heard) - 960 - silent, len(heard) - silent)
        assert np.array_equal(heard[-960:], shop.sound["a"][there])
        assert concert.methods("playback_paused", "playback_resumed") == [
            "playback_paused",
            "playback_resumed",
        ]
        assert concert.last("playback_resumed")["position_sec"] == pytest.approx(0.33, abs=0.02)

    perform(shop, scene)


def test_a_track_paused_before_its_first_frame_starts_when_it_goes_on(shop: Shop) -> None:
    shop.make("a", 3.0)
    shop.make("b", 3.0)
    kinds = ("playback_started", "playback_paused", "playback_resumed")

    async def scene(concert: Concert) -> None:
        await concert.player.play(track_id="a")
        await concert.pull(0.2)
        await concert.player.play(track_id="b")
        await concert.player.pause()
        await concert.pull(0.2)  # the device hears of both at once: b fades out as it begins
        assert concert.methods(*kinds) == ["playback_started", "playback_paused"]
        assert concert.last("playback_state")["state"] == "paused"
        await concert.player.resume()
        await concert.pull(0.2)
        assert concert.methods(*kinds)[2:] == ["playback_started", "playback_resumed"]
        assert concert.last("playback_started")["track_id"] == "b"
        assert concert.last("playback_state")["state"] == "playing"

    perform(shop, scene)


def test_a_pause_between_two_tracks_tells_which_one_is_paused(shop: Shop) -> None:
    shop.make("a", 1.005)
    shop.make("b", 3.0)

    async def scene(concert: Concert) -> None:
        await concert.player.play(track_id="a")
        await concert.player.play(track_id="b", enqueue="end")
        await concert.until(lambda: concert.player.state()["position_sec"] > 0.99, "end of a")
        assert concert.player.state()["position_sec"] < 1.004
        await concert.player.pause()
        await concert.pull(0.2)  # the fade of the pause ends in b
        told = concert.last("playback_state")
        assert (told["state"], told["track_id"]) == ("paused", "b")
        assert concert.methods("playback_started") == ["playback_started"]
        await concert.player.seek(position_sec=1.0)
        await concert.player.resume()
        await concert.pull(0.2)
        kinds = ("playback_started", "playback_resumed")
        assert concert.methods(*kinds)[1:] == list(kinds)

    perform(shop, scene)


def test_toggle_plays_pauses_and_resumes(shop: Shop) -> None:
    shop.make("a", 3.0)

    async def scene(concert: Concert) -> None:
        states = []
        for _ in range(4):
            states.append((await concert.player.toggle())["state"])
            await concert.pull(0.1)
        assert states == ["playing", "paused", "playing", "paused"]

    perform(shop, scene)


def test_with_nothing_at_all_there_is_nothing_to_play(shop: Shop) -> None:
    async def scene(concert: Concert) -> None:
        player = concert.player
        for call in (player.play, player.toggle, player.skip, player.previous):
            with pytest.raises(NothingToPlay):
                await call()
        with pytest.raises(NothingToPlay):
            await player.seek(position_sec=1)
        assert not concert.sinks and not concert.told

    perform(shop, scene)


def test_play_without_a_track_takes_the_newest_then_the_current_one(shop: Shop) -> None:
    shop.make("old", 0.5)
    shop.make("new", 0.5)

    async def scene(concert: Concert) -> None:
        assert (await concert.player.play())["track_id"] == "new"
        await concert.player.stop()
        shop.make("newer", 0.5)
        answer = await concert.player.play()
        assert (answer["track_id"], answer["playlist_length"]) == ("new", 1)

    perform(shop, scene)


def test_where_a_track_is_put(shop: Shop) -> None:
    for name in "abcde":
        shop.make(name, 2.0)

    async def scene(concert: Concert) -> None:
        player = concert.player

        async def ids() -> str:
            return "".join((await player.playlist_get())["tracks"])

        await player.play(track_id="a")
        await player.play(track_id="b", enqueue="end")
        await player.play(track_id="c", enqueue="next")
        assert await ids() == "acb" and player.state()["track_id"] == "a"
        await player.play(track_id="d")
        assert await ids() == "adcb" and player.state()["track_id"] == "d"
        await player.play(track_id="a", enqueue="end")
        assert await ids() == "adcba"
        await player.play(track_id="e", enqueue="replace")
        assert await ids() == "e" and player.state()["index"] == 0
        assert player.upcoming(3) == ["e"]
        revisions = [p["revision"] for m, p in concert.told if m == "playlist_changed"]
        assert revisions == sorted(set(revisions))

    perform(shop, scene)


def test_replacing_tells_the_end_of_the_old_before_the_new(shop: Shop) -> None:
    shop.make("a", 2.0)
    shop.make("b", 2.0)

    async def scene(concert: Concert) -> None:
        await concert.player.play(track_id="a")
        await concert.pull(0.1)
        await concert.player.play(track_id="b")
        await concert.pull(0.1)
        told = [
            (method, params["track_id"])
            for method, params in concert.told
            if method in ("playback_started", "playback_ended")
        ]
        assert told == [
            ("playback_started", "a"),
            ("playback_ended", "a"),
            ("playback_started", "b"),
        ]
        assert concert.last("playback_ended")["reason"] == "replaced"

    perform(shop, scene)


def test_a_track_that_cannot_be_played_leaves_everything_as_it_was(shop: Shop) -> None:
    shop.make("a", 2.0)
    shop.make("broken", 1.0).path.write_bytes(b"noise")

    async def scene(concert: Concert) -> None:
        await concert.player.play(track_id="a")
        await concert.pull(0.1)
        with pytest.raises(AudioPlaybackError):
            await concert.player.play(track_id="broken")
        with pytest.raises(InvalidTrackId):
            await concert.player.play(track_id="nobody")
        with pytest.raises(AudioPlaybackError, match="cannot play"):
            await concert.player.play(path=str(shop.folder / "none.wav"))
        assert concert.player.state()["track_id"] == "a"
        assert (await concert.player.playlist_get())["tracks"] == ["a"]
        assert (await concert.pull(0.1)).any()

    perform(shop, scene)


def test_a_broken_track_in_the_list_is_told_and_passed_over(shop: Shop) -> None:
    shop.make("a", 0.3)
    shop.make("broken", 1.0).path.write_bytes(b"noise")
    shop.make("c", 0.3)

    async def scene(concert: Concert) -> None:
        for name in ("a", "broken", "c"):
            await concert.player.play(track_id=name, enqueue="end")
        await concert.until(
            lambda: concert.player.state()["track_id"] == "c", "passing over the broken one"
        )
        error = concert.last("playback_error")
        assert (error["code"], error["track_id"]) == ("AUDIO_PLAYBACK_ERROR", "broken")
        assert error["hint"]

    perform(shop, scene)


def test_a_list_of_broken_tracks_comes_to_rest_even_when_looped(shop: Shop) -> None:
    shop.make("a", 0.2)
    shop.make("b", 0.2)

    async def scene(concert: Concert) -> None:
        await concert.player.play(track_id="a")
        await concert.player.play(track_id="b", enqueue="end")
        for track in shop.tracks.values():
            track.path.write_bytes(b"noise")
        await concert.until(lambda: concert.player.state()["state"] == "stopped", "rest")
        assert concert.methods("playback_error")

    perform(shop, scene, {"playback.loop": "playlist"})


def test_a_file_outside_the_cache_is_played_by_its_path(shop: Shop) -> None:
    track = shop.make("a", 1.0)
    del shop.tracks["a"]

    async def scene(concert: Concert) -> None:
        answer = await concert.player.play(path=str(track.path))
        assert (answer["title"], answer["duration_sec"]) == ("a", 1.0)
        again = await concert.player.play(track_id=answer["track_id"])
        assert again["playlist_length"] == 2
        await concert.until(lambda: concert.player.state()["state"] == "stopped", "the end")
        assert concert.listened == []  # the cache does not know it

    perform(shop, scene)


def test_seek_jumps_without_a_click_and_stays_within_the_track(shop: Shop) -> None:
    shop.make("a", 3.0)

    async def scene(concert: Concert) -> None:
        player = concert.player
        await player.play(track_id="a")
        await concert.pull(0.2)
        assert (await player.seek(position_sec=2.0))["position_sec"] == 2.0
        heard = await concert.pull(0.1)
        assert np.array_equal(heard[240:4800], shop.sound["a"][96240:100800])
        around = np.concatenate(concert.sink.blocks[-7:])
        assert np.abs(np.diff(around[:, 0])).max() < 0.5
        assert (await player.seek(delta_sec=-99))["position_sec"] == 0.0
        await player.seek(delta_sec=99)
        await concert.until(lambda: player.state()["state"] == "stopped", "the end")
        assert concert.methods("playback_started", "playback_ended") == [
            "playback_started",
            "playback_ended",
        ]

    perform(shop, scene)


def test_seek_while_paused_or_stopped_is_heard_later(shop: Shop) -> None:
    shop.make("a", 3.0)

    async def scene(concert: Concert) -> None:
        player = concert.player
        await player.play(track_id="a")
        await concert.pull(0.1)
        await player.pause()
        await concert.pull(0.1)
        await player.seek(position_sec=1.0)
        assert not (await concert.pull(0.1)).any()
        assert player.state()["position_sec"] == 1.0
        await player.resume()
        assert np.array_equal((await concert.pull(0.1))[480:], shop.sound["a"][48480:52800])
        await player.stop()
        await concert.pull(0.1)
        await player.seek(position_sec=2.0)
        assert (await player.play())["position_sec"] == 2.0
        assert np.array_equal((await concert.pull(0.1))[960:], shop.sound["a"][96960:100800])

    perform(shop, scene)


def test_skip_and_previous(shop: Shop) -> None:
    for name in "abc":
        shop.make(name, 5.0)

    async def scene(concert: Concert) -> None:
        player = concert.player
        for name in "abc":
            await player.play(track_id=name, enqueue="end")
        await concert.pull(0.1)
        assert (await player.skip(count=2))["track_id"] == "c"
        await concert.pull(0.1)
        assert concert.last("playback_ended")["reason"] == "skipped"
        assert (await player.previous())["track_id"] == "b"
        await concert.pull(0.1)
        await player.seek(position_sec=4.0)
        await concert.pull(0.1)
        answer = await player.previous()
        assert (answer["track_id"], answer["position_sec"]) == ("b", 0.0)
        await player.skip()
        await concert.pull(0.1)
        assert (await player.skip())["state"] == "stopped"

    perform(shop, scene)


@pytest.mark.parametrize(("loop", "order"), [("track", "aaa"), ("playlist", "aba")])
def test_a_loop_goes_on_without_a_gap(shop: Shop, loop: str, order: str) -> None:
    shop.make("a", 0.3)
    shop.make("b", 0.3)

    async def scene(concert: Concert) -> None:
        await concert.player.play(track_id="a")
        await concert.player.play(track_id="b", enqueue="end")
        await concert.pull(0.95)
        expected = np.concatenate([shop.sound[name] for name in order])
        heard = concert.sink.heard
        start = align(heard, expected)
        assert np.array_equal(heard[start : start + len(expected)], expected)

    perform(shop, scene, {"playback.loop": loop})


async def player_silent(concert: Concert) -> None:
    await concert.player.stop()
    await concert.pull(0.1)


def test_tracks_are_brought_to_one_loudness(shop: Shop) -> None:
    shop.make("loud", 2.0, lufs=-12.0, true_peak_db=-1.0)

    async def scene(concert: Concert) -> None:
        await concert.player.play(track_id="loud")
        heard = await concert.pull(0.1)
        start = align(concert.sink.heard, shop.sound["loud"] * np.float32(from_db(-6)))
        assert start < AUDIBLE_FRAMES and heard.any()
        await concert.player.configure("playback.normalize", False)
        await player_silent(concert)
        shop.make("quiet", 0.5, lufs=-30.0, true_peak_db=-20.0)
        await concert.player.play(track_id="quiet")
        await concert.pull(0.1)
        align(concert.sink.heard, shop.sound["quiet"])

    perform(shop, scene)


def test_a_listened_track_is_counted_once(shop: Shop) -> None:
    shop.make("a", 1.0)

    async def scene(concert: Concert) -> None:
        await concert.player.play(track_id="a")
        await concert.pull(0.3)
        await concert.player.seek(position_sec=0.0)
        await concert.pull(0.1)
        await concert.player.resume()  # every request takes in what was heard
        assert concert.listened == []
        await concert.pull(0.2)
        await concert.player.resume()
        assert concert.listened == ["a"]
        await concert.pull(0.7)
        assert concert.listened == ["a"]
        await concert.player.play()
        await concert.pull(0.6)
        await concert.player.resume()
        assert concert.listened == ["a", "a"]

    perform(shop, scene)


def test_the_position_is_told_every_ten_seconds(shop: Shop) -> None:
    shop.make("a", 3.0)

    async def scene(concert: Concert) -> None:
        await concert.player.play(track_id="a")
        await concert.pull(0.1)
        told = len(concert.methods("playback_state"))
        concert.clock.now += 0.9
        await concert.pull(0.3)
        assert len(concert.methods("playback_state")) == told
        for _ in range(10):
            concert.clock.now += 0.95
            await concert.player.volume_get()
            await concert.pull(0.02)
            await concert.player.resume()
        assert len(concert.methods("playback_state")) == told + 1

    perform(shop, scene)


class TestLive:
    """A track that is heard while it is rendered."""

    def test_it_starts_when_ahead_and_moves_to_its_file_unheard(self, shop: Shop) -> None:
        rendering = Rendering(shop, "live", 3.0)

        async def scene(concert: Concert) -> None:
            player = concert.player
            await player.append_live(rendering.live)
            assert player.state()["state"] == "playing"
            assert not (await concert.pull(0.1)).any()
            for _ in range(3):
                concert.clock.now += 0.1
                player.live_progress("live", rendering.write(0.6))
            await concert.until(lambda: concert.methods("playback_started"), "start")
            started = concert.last("playback_started")
            assert (started["path"], started["streaming"]) == (None, True)
            assert started["duration_sec"] == 3.0
            await concert.pull(0.5)
            player.live_progress("live", rendering.write(9))
            told = len(concert.told)
            await player.live_finished("live", rendering.finish())
            rendering.path.unlink()
            assert "playback_state" in [method for method, _ in concert.told[told:]]
            await concert.until(lambda: player.state()["state"] == "stopped", "the end")
            heard = concert.sink.heard
            start = align(heard, rendering.samples)
            assert np.array_equal(heard[start : start + len(rendering.samples)], rendering.samples)
            assert concert.methods("playback_started", "playback_ended") == [
                "playback_started",
                "playback_ended",
            ]

        perform(shop, scene)

    def test_it_waits_for_the_renderer_without_a_click_or_a_lost_frame(self, shop: Shop) -> None:
        rendering = Rendering(shop, "live", 6.0)

        async def scene(concert: Concert) -> None:
            player = concert.player
            await player.append_live(rendering.live)
            for _ in range(2):
                concert.clock.now += 0.2
                player.live_progress("live", rendering.write(1.0))
            await concert.until(lambda: player.state()["position_sec"] > 1.9, "starving")
            assert not (await concert.pull(0.2))[-960:].any()
            assert player.state()["state"] == "playing"
            concert.clock.now += 0.3
            player.live_progress("live", rendering.write(9))
            await concert.until(lambda: player.state()["position_sec"] > 4, "going on")
            heard = concert.sink.heard
            assert np.abs(np.diff(heard[:, 0])).max() < 0.5
            sound = rendering.samples
            again = align(heard[-48_000:], sound[150_000:]) - 48_000
            # Frames before the wait and after it are those of one unbroken track.
            waited = len(heard) + again - 150_000 - align(heard, sound)
            assert waited > 0
            position = round(player.state()["position_sec"] * RATE)
            assert np.array_equal(heard[-960:], sound[position - 960 : position])
            await player.live_finished("live", rendering.finish())

        perform(shop, scene)

    def test_its_level_glides_to_the_one_it_got(self, shop: Shop) -> None:
        rendering = Rendering(shop, "live", 6.0, gain=0.5)

        async def scene(concert: Concert) -> None:
            player = concert.player
            await player.append_live(rendering.live)
            for _ in range(2):
                concert.clock.now += 0.1
                player.live_progress("live", rendering.write(1.0))
            await concert.until(lambda: concert.methods("playback_started"), "start")
            align(concert.sink.heard, rendering.samples * np.float32(0.5))
            player.live_progress("live", rendering.write(9))
            await player.live_finished(
                "live", rendering.finish(gain=1.0, lufs=-12.0, true_peak_db=-3.0)
            )
            await concert.until(lambda: player.state()["position_sec"] > 5.5, "the glide's end")
            position = round(player.state()["position_sec"] * RATE)
            expected = rendering.samples[position - 960 : position] * from_db(-6)
            assert np.allclose(concert.sink.heard[-960:], expected, atol=1e-5)
            assert np.abs(np.diff(concert.sink.heard[:, 0])).max() < 0.5

        perform(shop, scene)

    @pytest.mark.parametrize(("cancelled", "reason"), [(True, "stopped"), (False, "error")])
    def test_when_it_fails_it_fades_out_and_leaves_the_list(
        self, shop: Shop, cancelled: bool, reason: str
    ) -> None:
        rendering = Rendering(shop, "live", 6.0)

        async def scene(concert: Concert) -> None:
            player = concert.player
            await player.append_live(rendering.live)
            for _ in range(2):
                concert.clock.now += 0.1
                player.live_progress("live", rendering.write(2.0))
            await concert.until(lambda: concert.methods("playback_started"), "start")
            await player.live_failed("live", cancelled=cancelled)
            assert concert.last("playback_ended")["reason"] == reason
            assert concert.last("playlist_changed")["tracks"] == []
            assert player.state()["state"] == "stopped" and player.state()["track_id"] is None
            heard = await concert.pull(0.2)
            assert not heard[round(0.05 * RATE) :].any()
            assert np.abs(np.diff(heard[:, 0])).max() < 0.5
            player.live_progress("live", 1)  # late words are ignored
            await player.live_failed("live", cancelled=True)

        perform(shop, scene)

    def test_when_it_fails_the_next_track_plays(self, shop: Shop) -> None:
        rendering = Rendering(shop, "live", 6.0)
        shop.make("a", 1.0)

        async def scene(concert: Concert) -> None:
            player = concert.player
            await player.append_live(rendering.live)
            await player.append(shop.tracks["a"])
            await concert.pull(0.1)
            await player.live_failed("live", cancelled=False)
            await concert.pull(0.1)
            # Nothing of it was heard, so no end is told.
            assert concert.methods("playback_started", "playback_ended") == ["playback_started"]
            assert player.state()["track_id"] == "a"

        perform(shop, scene)

    def test_it_starts_only_if_nothing_plays(self, shop: Shop) -> None:
        rendering = Rendering(shop, "live", 1.0)
        shop.make("a", 1.0)

        async def scene(concert: Concert) -> None:
            player = concert.player
            await player.play(track_id="a")
            await player.append_live(rendering.live)
            assert player.state()["track_id"] == "a"
            player.live_progress("live", rendering.write(1.0))
            await concert.until(lambda: player.state()["track_id"] == "live", "its turn")
            await concert.pull(0.3)
            heard, whole = concert.sink.heard, np.concatenate([shop.sound["a"], rendering.samples])
            start = align(heard, whole)
            assert np.array_equal(heard[start:], whole[: len(heard) - start])
            await player.live_finished("live", rendering.finish())

        perform(shop, scene)


class TestDevices:
    """What happens to the music when outputs come and go."""

    def test_another_device_at_another_rate_takes_over_at_the_same_place(self, shop: Shop) -> None:
        shop.make("a", 4.0)

        async def scene(concert: Concert) -> None:
            concert.sample_rates = [RATE, 44100]
            player = concert.player
            await player.play(track_id="a")
            await concert.pull(1.0)
            before = player.state()["position_sec"]
            assert await player.audio_device_set(device="usb") == {"device": "usb"}
            assert concert.sinks[0].is_closed
            assert concert.last("playback_state")["device"] == "usb"
            await concert.pull(0.5)
            assert player.state()["position_sec"] == pytest.approx(before + 0.5, abs=0.05)
            assert concert.methods("playback_started") == ["playback_started"]
            assert concert.sink.blocks[-1].any()

        perform(shop, scene)

    def test_a_setting_that_names_no_output_is_told_and_the_music_plays_on(
        self, shop: Shop
    ) -> None:
        shop.make("a", 4.0)

        async def scene(concert: Concert) -> None:
            player = concert.player
            await player.configure("audio.device", "nobody")
            assert concert.last("playback_error")["code"] == "AUDIO_DEVICE_ERROR"
            await player.configure("playback.volume", 0.5)
            await player.configure("cache.max_mb", 1)
            await player.play(track_id="a")
            assert (await concert.pull(0.1)).any()
            state = player.state()
            assert (state["device"], state["volume"]) == ("hand", 0.5)

        perform(shop, scene)

    def test_a_dead_device_is_replaced_and_not_a_frame_is_lost(self, shop: Shop) -> None:
        shop.make("a", 2.0)

        async def scene(concert: Concert) -> None:
            player = concert.player
            await player.play(track_id="a")
            await concert.pull(0.5)
            for _ in range(3):
                concert.clock.now += 0.6
                await player.resume()  # every request looks after the output
            assert len(concert.sinks) == 2
            await concert.pull(0.5)
            heard = np.concatenate([sink.heard for sink in concert.sinks])
            start = align(heard, shop.sound["a"])
            assert np.array_equal(heard[start:], shop.sound["a"][: len(heard) - start])

        perform(shop, scene)

    def test_an_idle_player_stops_its_device_and_wakes_it_again(self, shop: Shop) -> None:
        shop.make("a", 2.0)

        async def scene(concert: Concert) -> None:
            player = concert.player
            await player.play(track_id="a")
            await concert.pull(0.2)
            await player.pause()
            await concert.pull(0.1)
            await player.pause()
            concert.clock.now += 5
            await player.pause()
            assert len(concert.sink.pull()) == 0
            await player.resume()
            assert (await concert.pull(0.1)).any()
            assert len(concert.sinks) == 1

        perform(shop, scene)

    def test_the_devices_are_listed(self, shop: Shop) -> None:
        async def scene(concert: Concert) -> None:
            answer = await concert.player.audio_devices()
            device = {
                "name": "hand",
                "id": "hand-0",
                "is_default": True,
                "sample_rate": RATE,
                "channels": 2,
            }
            assert answer == {"current": "hand", "available": [device], "backend": "native"}
            with pytest.raises(AudioDeviceError):
                await concert.player.audio_device_set(device="nobody")
            assert concert.player.state()["device"] is None

        perform(shop, scene)


def test_what_is_deleted_stops_and_leaves_the_list(shop: Shop) -> None:
    for name in "ab":
        shop.make(name, 2.0)

    async def scene(concert: Concert) -> None:
        player = concert.player
        await player.play(track_id="a")
        await player.play(track_id="b", enqueue="end")
        await player.play(track_id="a", enqueue="end")
        await concert.pull(0.1)
        await player.forget({"a"})
        assert concert.last("playback_ended")["reason"] == "stopped"
        assert (await player.playlist_get())["tracks"] == ["b"]
        state = player.state()
        assert (state["state"], state["track_id"]) == ("stopped", "b")

    perform(shop, scene)


def test_the_playback_object_is_whole_from_the_start(shop: Shop) -> None:
    async def scene(concert: Concert) -> None:
        assert concert.player.state() == {
            "state": "stopped",
            "track_id": None,
            "title": None,
            "position_sec": 0.0,
            "duration_sec": None,
            "volume": 1.0,
            "muted": False,
            "loop": "off",
            "shuffle": False,
            "crossfade_sec": 2.0,
            "index": None,
            "playlist_length": 0,
            "device": None,
            "radio": False,
        }

    perform(shop, scene)
