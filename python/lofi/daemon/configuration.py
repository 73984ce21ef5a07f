"""Who may set what: the clients' settings, and what happens when one changes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from lofi import settings as known
from lofi.daemon.events import Events
from lofi.daemon.lane import LaneRunner
from lofi.daemon.logs import LEVELS
from lofi.daemon.peer import Peer
from lofi.daemon.player.playback import Player
from lofi.daemon.turns import Turns
from lofi.errors import LofiError
from lofi.recipe import canonical_names
from lofi.settings import Settings
from lofi.wire.jsonrpc import encode_notification

logger = logging.getLogger(__name__)

DEFAULTS = "defaults."
PRESETS = "presets."


class Configuration:
    """Applies settings. In a shared daemon the first client's values stand.

    Args:
        lanes: are woken by a change, which may concern what they wait for.
    """

    def __init__(
        self,
        settings: Settings,
        events: Events,
        player: Player,
        turns: Turns,
        lanes: Callable[[], list[LaneRunner]],
    ) -> None:
        self._settings = settings
        self._events = events
        self._player = player
        self._turns = turns
        self._lanes = lanes
        self._owner: Peer | None = None

    def check(self, values: Mapping[str, Any]) -> None:
        """Raises what `apply` would.

        Raises:
            InvalidConfig: a value is wrong.
        """
        for key, value in known.flatten(values).items():
            known.check(key, value)

    def apply(self, level: str, values: Mapping[str, Any]) -> list[str]:
        """Sets values and returns the keys that changed; `tell` tells.

        Raises:
            InvalidConfig: a value is wrong; nothing is applied.
        """
        return self._settings.apply(level, values)

    def set(self, values: Mapping[str, Any]) -> None:
        """Sets values as `config_set` does and tells everyone."""
        self.tell(self.apply("runtime", values), "runtime")

    def note(self, values: Mapping[str, Any]) -> None:
        """Takes over what the player was told by another request, and tells everyone."""
        changed = self.apply("runtime", values)
        if changed:
            self._events.emit("config_changed", {"keys": changed, "source": "runtime"})

    def tell(self, changed: list[str], source: str) -> None:
        """Lets changed settings take hold and everyone know."""
        if not changed:
            return
        for key in changed:
            value = self._settings.value(key)
            if key.startswith(("playback.", "audio.")):
                self._turns.tell(partial(self._player.configure, key, value))
            elif key == "daemon.log_level":
                logging.getLogger("lofi").setLevel(LEVELS[str(value)])
        for lane in self._lanes():
            lane.wake()
        self._events.emit("config_changed", {"keys": changed, "source": source})

    async def introduce(
        self, peer: Peer, name: str, config: Mapping[str, Any]
    ) -> Callable[[], None]:
        """Takes over a client's own settings; returns what to do once it has its answer.

        `defaults.*` hold for this client's requests alone; the other keys are the daemon's.

        Raises:
            InvalidConfig: a value is wrong; nothing is applied.
        """
        flat = {key: known.check(key, value) for key, value in known.flatten(config).items()}
        own = {key: value for key, value in flat.items() if key.startswith(DEFAULTS)}
        peer.defaults = canonical_names({key[len(DEFAULTS) :]: own[key] for key in own})
        rest = {key: value for key, value in flat.items() if key not in own}
        if self._owner is None and rest:
            self._owner = peer
        if self._owner is peer:
            changed = self.apply("setup", rest)
            return lambda: self.tell(changed, "setup")
        new = {
            key: value
            for key, value in rest.items()
            if key.startswith(PRESETS) and self._settings.value(key) is None
        }
        changed = self.apply("setup", new)
        differing = [key for key in rest if self._settings.value(key) != rest[key]]

        def after() -> None:
            self.tell(changed, "setup")
            if differing and not peer.has_been_told:
                peer.has_been_told = True
                logger.info("%s differs in %s", name, ", ".join(differing))
                peer.send(encode_notification("daemon_error", _notice(differing)))

        return after


def _notice(keys: list[str]) -> dict[str, Any]:
    names = ", ".join(keys)
    return {
        "code": "INVALID_CONFIG",
        "message": f"Another client of the shared daemon has set {names} differently",
        "hint": "Its values stand. :Lofi config set KEY VALUE changes one for all.",
        "fatal": False,
    }


def failure(error: LofiError) -> dict[str, Any]:
    """Returns the params of `daemon_error`."""
    return {"code": error.code, "message": error.message, "hint": error.hint, "fatal": False}
