"""Introduction, settings, status, health, logs: the methods about the daemon itself."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import lofi
from lofi.daemon import durable, logs, presets
from lofi.daemon.backends import Backends
from lofi.daemon.configuration import Configuration
from lofi.daemon.doctor import Doctor
from lofi.daemon.handlers import Call, Method
from lofi.daemon.inventory import Inventory
from lofi.daemon.library import Library
from lofi.daemon.peer import Peer, Reply
from lofi.daemon.player.playback import Player
from lofi.daemon.session import Session
from lofi.daemon.status import Status
from lofi.daemon.turns import Turns
from lofi.errors import InvalidParams, ProtocolMismatch
from lofi.parameters import FORMATS
from lofi.paths import Paths
from lofi.settings import RELOAD, RESTART, SETTINGS, Settings, flatten
from lofi.wire import methods

logger = logging.getLogger(__name__)

CLIENT_NAME_LIMIT = 100


class System:
    """The methods about the daemon.

    Args:
        method_names: returns what `initialize` lists.
        default_backend: returns the backend that a request without one gets.
        shut_down: begins the end in the given mode and returns when it is time to answer.
    """

    def __init__(
        self,
        *,
        configuration: Configuration,
        status: Status,
        doctor: Doctor,
        backends: Backends,
        inventory: Inventory,
        library: Library,
        session: Session,
        player: Player,
        turns: Turns,
        settings: Settings,
        paths: Paths,
        method_names: Callable[[], list[str]],
        default_backend: Callable[[], str],
        shut_down: Callable[[str], Awaitable[None]],
    ) -> None:
        self._configuration = configuration
        self._status = status
        self._doctor = doctor
        self._backends = backends
        self._inventory = inventory
        self._library = library
        self._session = session
        self._player = player
        self._turns = turns
        self._settings = settings
        self._paths = paths
        self._method_names = method_names
        self._default_backend = default_backend
        self._shut_down = shut_down

    def table(self) -> dict[str, Method]:
        return {
            "initialize": self.initialize,
            "ping": self.ping,
            "shutdown": self.shutdown,
            "config_get": self.config_get,
            "config_set": self.config_set,
            "status": self.status,
            "doctor": self.doctor,
            "logs_tail": self.logs_tail,
            "presets_list": lambda _: {"presets": presets.listed(self._settings.table("presets."))},
        }

    async def initialize(self, call: Call) -> Reply:
        params, peer = call.params, call.peer
        if not set(params.protocol) & set(lofi.PROTOCOL_VERSIONS):
            raise ProtocolMismatch(
                f"This daemon speaks protocol {list(lofi.PROTOCOL_VERSIONS)}, the client "
                f"{params.protocol}",
                hint="Update the plugin and run :Lofi daemon restart; shutdown works in every "
                "version.",
                supported=list(lofi.PROTOCOL_VERSIONS),
            )
        name = str(params.client.get("name") or "client")[:CLIENT_NAME_LIMIT]
        after = await self._configuration.introduce(peer, name, params.config or {})
        peer.name, peer.pid = name, params.client_pid
        if params.notifications is not None:
            peer.notifications = frozenset(params.notifications)
        await self._library.opened()
        resumes = params.resume and bool(self._settings.value("playback.resume_session"))
        goes_on = resumes and await self._recall()
        result = await self._introduction(peer)
        if resumes:
            result["unfinished"] = self._session.offer()

        def welcome() -> None:
            peer.is_initialised = True
            after()
            if goes_on:
                self._turns.tell(self._player.resume)

        return Reply(result, welcome)

    async def _recall(self) -> bool:
        """Brings back what was on in the last daemon; returns whether it goes on by itself."""
        memory, goes_on = self._session.recall()
        if memory is not None:
            await self._turns.ask(lambda: self._player.recall(memory))
            self._configuration.note({"playback.volume": memory.volume})
        return goes_on

    async def _introduction(self, peer: Peer) -> dict[str, Any]:
        return {
            "protocol": max(lofi.PROTOCOL_VERSIONS),
            "daemon": {
                "name": "lofi",
                "version": lofi.__version__,
                "pid": os.getpid(),
                "python": sys.version.split()[0],
                "started_at": self._status.started_at,
            },
            "capabilities": {
                "methods": self._method_names(),
                "notifications": list(methods.NOTIFICATIONS),
                "formats": list(FORMATS),
                "audio_output": self._settings.value("audio.output"),
                "devices": self._inventory.devices(),
            },
            "backends": self._backends.all(),
            "default_backend": self._default_backend(),
            "state": self._status.to_wire(),
        }

    def ping(self, call: Call) -> dict[str, Any]:
        return {
            "status": "ok",
            "version": lofi.__version__,
            "uptime_sec": self._status.uptime_sec(),
            "protocol": max(lofi.PROTOCOL_VERSIONS),
        }

    async def shutdown(self, call: Call) -> dict[str, Any]:
        await self._shut_down(call.params.mode)
        return {"status": "shutting_down"}

    def config_get(self, call: Call) -> dict[str, Any]:
        config = self._settings.snapshot(call.params.keys)
        return {"config": config, "sources": {key: self._settings.source(key) for key in config}}

    async def config_set(self, call: Call) -> Reply:
        values = _values(call)
        if call.params.persist:
            await self._persist(values)
        changed = self._configuration.apply("runtime", values)
        if call.params.persist:
            self._configuration.apply("overrides", values)
        keys = list(flatten(values))
        effects = {key: SETTINGS[key].effect for key in keys if key in SETTINGS}
        is_loaded = self._status.has_loaded_models()
        result = {
            "applied": self._settings.snapshot(keys),
            "requires_reload": [key for key in changed if effects.get(key) == RELOAD and is_loaded],
            "requires_restart": [key for key in changed if effects.get(key) == RESTART],
        }
        return Reply(result, lambda: self._configuration.tell(changed, "runtime"))

    async def _persist(self, values: Mapping[str, Any]) -> None:
        self._configuration.check(values)
        path = self._paths.overrides_file

        def write() -> None:
            durable.make_folder(path.parent)
            durable.write_json(path, {**durable.read_json(path), **flatten(values)})

        await self._library.on_disk(write)

    async def status(self, call: Call) -> dict[str, Any]:
        await self._library.opened()
        return self._status.to_wire()

    async def doctor(self, call: Call) -> dict[str, Any]:
        await self._library.opened()
        return await self._doctor.examine(deep=call.params.deep)

    async def logs_tail(self, call: Call) -> dict[str, Any]:
        path = self._paths.log_file
        lines = await asyncio.to_thread(logs.tail, path, call.params.lines, call.params.level)
        return {"lines": lines, "path": str(path)}


def _values(call: Call) -> dict[str, Any]:
    config, key = call.params.config, call.params.key
    if (config is None) == (key is None):
        raise InvalidParams("Give config, or key and value", param="config")
    if config is not None:
        return dict(config)
    if "value" not in call.given:
        raise InvalidParams("value is missing", param="value")
    return {str(key): call.params.value}
