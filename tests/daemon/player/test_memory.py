"""What was on, brought back: the player of another life, paused where it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lofi.daemon.player.memory import Item, Memory
from tests.daemon.player.sound import Concert, Shop, perform

LIFE = Memory((Item("a"), Item("gone"), Item("b")), 2, 1.5, "playing", 0.5, False)


def shop(tmp_path: Path) -> Shop:
    made = Shop(tmp_path)
    for name in "ab":
        made.make(name, 4.0)
    return made


def test_it_is_paused_in_its_place_and_opens_no_device_until_it_goes_on(tmp_path: Path) -> None:
    async def scene(concert: Concert) -> None:
        player = concert.player
        await player.recall(LIFE)
        state = player.state()
        assert [state[name] for name in ("state", "track_id", "position_sec", "index")] == [
            "paused", "b", 1.5, 1,
        ]  # fmt: skip
        assert (state["volume"], state["playlist_length"]) == (0.5, 2)
        await player.volume_set(level=1.0)
        await player.configure("playback.volume", 0.9)
        await player.configure("audio.device", None)
        assert concert.sinks == []
        assert await player.pause() == player.state()
        await player.seek(delta_sec=0.5)
        await player.resume()
        await concert.until(lambda: "playback_started" in concert.methods(), "sound")
        started = concert.last("playback_started")
        assert (started["track_id"], started["position_sec"]) == ("b", 2.0)

    perform(shop(tmp_path), scene)


def test_what_it_remembers_is_what_brings_it_back(tmp_path: Path) -> None:
    async def scene(concert: Concert) -> None:
        await concert.player.recall(LIFE)
        kept = concert.player.memory()
        assert kept == replace(LIFE, items=kept.items, index=1, state="paused")
        assert [item.track_id for item in kept.items] == ["a", "b"]
        assert Memory.of_json(kept.to_json()) == kept
        await concert.player.recall(LIFE)  # something is on: nothing is put on top of it
        assert len(concert.player.memory().items) == 2

    perform(shop(tmp_path), scene)


def test_when_its_own_track_is_gone_the_one_before_is_there_from_its_start(tmp_path: Path) -> None:
    async def scene(concert: Concert) -> None:
        await concert.player.recall(replace(LIFE, index=1))
        state = concert.player.state()
        assert (state["track_id"], state["position_sec"], state["state"]) == ("a", 0.0, "paused")
        await concert.player.forget(["a", "b"])
        assert concert.player.state()["state"] == "stopped"

    perform(shop(tmp_path), scene)


def test_when_its_own_track_is_deleted_the_place_in_it_is_gone_too(tmp_path: Path) -> None:
    async def scene(concert: Concert) -> None:
        await concert.player.recall(replace(LIFE, index=0))
        await concert.player.forget(["a"])
        state = concert.player.state()
        assert (state["state"], state["track_id"], state["position_sec"]) == ("stopped", "b", 0.0)
        assert concert.last("playback_state")["track_id"] == "b"
        await concert.player.seek(position_sec=2)
        await concert.player.forget(["gone"])
        assert concert.player.state()["position_sec"] == 2.0, "it is another that left"

    perform(shop(tmp_path), scene)


def test_whatever_is_asked_of_it_first_is_done(tmp_path: Path) -> None:
    async def scene(concert: Concert) -> None:
        player = concert.player
        await player.recall(LIFE)
        await player.stop()
        assert (player.state()["state"], player.state()["position_sec"]) == ("stopped", 0.0)
        await player.toggle()
        await concert.until(lambda: "playback_started" in concert.methods(), "sound")
        assert player.state()["track_id"] == "b"

    perform(shop(tmp_path), scene)
