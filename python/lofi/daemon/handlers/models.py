"""The backends' methods: what there is, which one is the default, what is in memory."""

from __future__ import annotations

from typing import Any

from lofi import catalog
from lofi.catalog import Backend
from lofi.daemon.backends import Backends, lane_of
from lofi.daemon.estimates import Estimates
from lofi.daemon.handlers import Call, Method
from lofi.daemon.inventory import Inventory, default_name
from lofi.daemon.lane import LaneRunner
from lofi.daemon.peer import Reply
from lofi.daemon.queries import Queries
from lofi.daemon.queue import Lane
from lofi.errors import BackendNotInstalled, LofiError
from lofi.hints import how_to_install

MEGABYTE = 1024 * 1024


class Models:
    """The methods about backends.

    Args:
        configure: applies settings at the level `config_set` has and tells everyone.
        failed: says to everyone what went wrong after the answer was given.
    """

    def __init__(
        self,
        backends: Backends,
        estimates: Estimates,
        inventory: Inventory,
        lanes: dict[Lane, LaneRunner],
        queries: Queries,
        configure: Any,
        failed: Any,
        spawn: Any,
    ) -> None:
        self._backends = backends
        self._estimates = estimates
        self._inventory = inventory
        self._lanes = lanes
        self._queries = queries
        self._configure = configure
        self._failed = failed
        self._spawn = spawn

    def table(self) -> dict[str, Method]:
        return {
            "get_backends": self.get_backends,
            "backend_select": self.backend_select,
            "backend_load": self.backend_load,
            "backend_unload": self.backend_unload,
        }

    def default(self) -> str:
        """Returns the backend that a request without one gets now."""
        with self._inventory.glance():
            return default_name(self._inventory, self._inventory.is_installed)

    def get_backends(self, call: Call) -> Reply:
        """Says what is known. What models cost here is not until the machine's speed was measured:
        that begins after the first answer, and `backend_changed` tells what came of it."""
        result = {"backends": self._backends.all(), "default_backend": self.default()}
        if self._estimates.is_ready:
            return Reply(result)
        return Reply(result, lambda: self._spawn(self._estimates.prepare()))

    def backend_select(self, call: Call) -> Reply:
        asked = call.params.backend.strip().lower()
        if asked == catalog.AUTO:
            values: dict[str, Any] = {"model.backend": catalog.AUTO, "model.variant": None}
            name, variant, status = catalog.AUTO, None, "ready"
        else:
            backend, found = self._named(asked, call.params.variant)
            name, variant = backend.type, found
            status = self._backends.status(backend, backend.variant(found))
            values = {"model.backend": name, "model.variant": variant}
        result = {"backend": name, "variant": variant, "status": status}
        return Reply(result, lambda: self._configure(values))

    def backend_load(self, call: Call) -> Reply:
        backend, variant = self._named(call.params.backend or self.default(), call.params.variant)
        if backend.is_light:
            return Reply({"loading": False})

        def after() -> None:
            self._spawn(self._load(backend, variant))

        return Reply({"loading": True}, after)

    async def backend_unload(self, call: Call) -> dict[str, Any]:
        name = call.params.backend
        wanted = None if name is None else catalog.backend_named(name).type
        unloaded, freed = await self._lanes[Lane.NEURAL].unload(wanted)
        return {"unloaded": unloaded, "freed_mb": round(freed / MEGABYTE)}

    async def _load(self, backend: Backend, variant: str) -> None:
        runner = self._lanes[lane_of(backend)]
        runner.set_loading(backend.type)
        try:
            fields = self._inventory.model_fields(backend.type, variant)
            await self._queries.load(lane_of(backend), backend.type, fields, {})
        except LofiError as error:
            runner.set_loading(None)
            self._failed(error)
        else:
            runner.set_loaded(backend.type)

    def _named(self, name: str, variant: str | None) -> tuple[Backend, str]:
        """Returns an installed backend and variant.

        Raises:
            InvalidBackend, BackendNotInstalled: there is none such, or no weights.
        """
        backend = catalog.backend_named(name)
        chosen = backend.variant(variant or self._inventory.default_variant(backend))
        if self._inventory.checkpoint(backend, chosen) is None:
            raise BackendNotInstalled(
                f"{backend.name} {chosen.name} is not installed",
                hint=how_to_install(backend, chosen),
            )
        return backend, chosen.name
