"""The player's methods. They take effect in the order received, whoever sent them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from lofi.daemon.handlers import Call, Method
from lofi.daemon.library import Library
from lofi.daemon.player.playback import Player
from lofi.daemon.turns import Turns
from lofi.errors import InvalidParams


class Playing:
    """The player's methods.

    Args:
        note: takes settings that the player follows already.
    """

    def __init__(
        self,
        player: Player,
        turns: Turns,
        library: Library,
        note: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._player = player
        self._turns = turns
        self._library = library
        self._note = note

    def table(self) -> dict[str, Method]:
        player = self._player
        return {
            "play": self.play,
            "pause": lambda _: self._ask(player.pause),
            "resume": lambda _: self._ask(player.resume),
            "toggle": lambda _: self._ask(player.toggle),
            "stop": lambda _: self._ask(player.stop),
            "skip": lambda call: self._ask(lambda: player.skip(count=call.params.count)),
            "previous": lambda _: self._ask(player.previous),
            "seek": self.seek,
            "volume_set": self.volume_set,
            "volume_get": lambda _: self._ask(player.volume_get),
            "mute": lambda call: self._ask(lambda: player.mute(muted=call.params.muted)),
            "audio_devices": lambda _: self._ask(player.audio_devices),
            "audio_device_set": self.audio_device_set,
            "playlist_get": lambda _: self._ask(player.playlist_get),
        }

    def play(self, call: Call) -> Any:
        params = call.params
        if params.track_id is not None and params.path is not None:
            raise InvalidParams("Give track_id or path, not both", param="path")

        async def play() -> dict[str, Any]:
            await self._library.opened()
            track_id = params.track_id
            if track_id is not None:
                track = self._library.cache.find(track_id)
                track_id = track.track_id
                self._library.touch(track_id)
            return await self._player.play(
                track_id=track_id,
                path=params.path,
                position_sec=params.position_sec,
                enqueue=params.enqueue,
            )

        return self._ask(play)

    def seek(self, call: Call) -> Any:
        position, delta = call.params.position_sec, call.params.delta_sec
        if (position is None) == (delta is None):
            raise InvalidParams("Give position_sec or delta_sec", param="position_sec")
        return self._ask(lambda: self._player.seek(position_sec=position, delta_sec=delta))

    def volume_set(self, call: Call) -> Any:
        level, delta = call.params.level, call.params.delta
        if (level is None) == (delta is None):
            raise InvalidParams("Give level or delta", param="level")

        async def set_volume() -> dict[str, Any]:
            volume = await self._player.volume_set(level=level, delta=delta)
            self._note({"playback.volume": volume["level"]})
            return volume

        return self._ask(set_volume)

    def audio_device_set(self, call: Call) -> Any:
        async def set_device() -> dict[str, Any]:
            chosen = await self._player.audio_device_set(device=call.params.device)
            self._note({"audio.device": chosen["device"]})
            return chosen

        return self._ask(set_device)

    def _ask(self, action: Callable[[], Awaitable[dict[str, Any]]]) -> Any:
        future = self._turns.ask(action)  # lined up now, not when the coroutine first runs

        async def wait() -> dict[str, Any]:
            return await future

        return wait()
