"""The methods that bring models onto the machine, look after them, and take them away."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from lofi import catalog, hub
from lofi.daemon.downloads import Downloads
from lofi.daemon.handlers import Call, Method
from lofi.daemon.inventory import Inventory
from lofi.daemon.lane import LaneRunner
from lofi.daemon.queue import Lane
from lofi.daemon.removal import remove
from lofi.daemon.verification import verify
from lofi.errors import Busy, InvalidParams
from lofi.paths import Paths


class Downloading:
    """The methods about downloads."""

    def __init__(
        self,
        downloads: Downloads,
        inventory: Inventory,
        lanes: dict[Lane, LaneRunner],
        paths: Paths,
    ) -> None:
        self._downloads = downloads
        self._paths = paths
        self._inventory = inventory
        self._lanes = lanes

    def table(self) -> dict[str, Method]:
        return {
            "download_backend": lambda call: self._downloads.start(call.params),
            "download_cancel": lambda call: self._downloads.cancel(call.params),
            "download_status": lambda call: self._downloads.status(),
            "backend_verify": self.verify,
            "backend_remove": self.remove,
        }

    async def verify(self, call: Call) -> dict[str, Any]:
        backend, variant = self._named(call)
        models, order = self._paths.models(backend.type), hub.order(backend, variant)
        planners = [
            item
            for item in hub.planners(backend)
            if self._inventory.component(backend, item.name).status != "missing"
        ]
        order = replace(order, components=(*order.components, *planners))
        rows = await asyncio.to_thread(verify, models, order, deep=call.params.deep)
        return {"ok": not any("error" in row for row in rows), "files": rows}

    async def remove(self, call: Call) -> dict[str, Any]:
        if not call.params.confirm:
            raise InvalidParams("confirm must be true to delete a model", param="confirm")
        backend, variant = self._named(call)
        if self._downloads.is_downloading(backend):
            raise Busy(f"{backend.name} is being downloaded", hint="Cancel the download first.")
        job = self._lanes[Lane.NEURAL].busy_job()
        if job is not None and job.request.backend.type == backend.type:
            raise Busy(f"{backend.name} is making a track", hint="Cancel it, or wait for its end.")
        await self._lanes[Lane.NEURAL].unload(backend.type)
        models = self._paths.models(backend.type)
        freed = await asyncio.to_thread(remove, self._inventory, models, backend, variant)
        return {"freed_bytes": freed}

    def _named(self, call: Call) -> tuple[catalog.Backend, catalog.Variant]:
        backend = catalog.backend_named(call.params.backend)
        if backend.is_light:
            raise InvalidParams(f"{backend.name} has no files", param="backend")
        return backend, backend.variant(
            call.params.variant or self._inventory.default_variant(backend)
        )
