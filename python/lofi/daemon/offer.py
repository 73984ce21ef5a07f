"""What a download would bring and what it costs, and whether it may begin."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from lofi import catalog, checkpoints, hub
from lofi.catalog import Backend, Variant
from lofi.daemon.estimates import Estimates
from lofi.daemon.inventory import Inventory
from lofi.errors import DownloadConsentRequired, InsufficientDisk, InvalidParams, Offline
from lofi.hub import LYRIC_VOCABULARY, Order, Published
from lofi.paths import Paths
from lofi.settings import Settings
from lofi.wire.calls import DownloadBackend

SPARE_BYTES = 256 * 1024 * 1024
HUB = "huggingface"


@dataclass(frozen=True, slots=True)
class Offer:
    """What is missing of what was asked for. Nothing is fetched by making one."""

    backend: Backend
    variant: Variant
    order: Order
    path: Path
    source: str
    """A folder; empty: the model hub."""
    is_anew: bool
    """Whether what is there already is replaced."""

    @property
    def facts(self) -> dict[str, Any]:
        """What a person agrees to."""
        return {
            "bytes_total": self.order.size_bytes,
            "files_total": sum(len(item.files) for item in self.order.components),
            "license": self.order.license,
            "source": self.source or os.environ.get("HF_ENDPOINT") or HUB,
            "path": str(self.path),
        }


class Offers:
    """Makes offers from the published models, the disk and this machine."""

    def __init__(
        self, paths: Paths, settings: Settings, inventory: Inventory, estimates: Estimates
    ) -> None:
        self._paths = paths
        self._settings = settings
        self._inventory = inventory
        self._estimates = estimates

    def make(self, params: DownloadBackend) -> Offer:
        """Returns what the request would bring.

        Raises:
            InvalidBackend, InvalidParams: there is no such thing.
        """
        backend = catalog.backend_named(params.backend)
        if backend.is_light:
            raise InvalidParams(f"{backend.name} has nothing to download", param="backend")
        variant = backend.variant(params.variant or self._inventory.default_variant(backend))
        wanted = _wanted(params, backend, variant)
        source = _source(params.source)
        if params.revision is not None:
            wanted = replace(
                wanted,
                components=tuple(_at(item, params.revision) for item in wanted.components),
            )
        path = self._paths.models(backend.type)
        is_anew = params.repair or params.revision is not None
        missing = [
            item
            for item in wanted.components
            if params.repair or not self._is_here(backend, path, item)
        ]
        order = replace(wanted, components=tuple(missing))
        return Offer(backend, variant, order, path, source, is_anew)

    def is_agreed(self, offer: Offer, *, consent: bool) -> bool:
        """Returns whether somebody has said yes, now or for all times.

        Raises:
            Offline: the user forbids downloads.
        """
        mode = self._settings.value("model.auto_download")
        if not offer.source and mode == "never":
            raise Offline(
                "Downloads are switched off",
                hint="Set model.auto_download to ask (or unset LOFI_OFFLINE), "
                "or give a folder as source.",
            )
        return consent or mode == "always"

    async def ask(self, offer: Offer) -> NoReturn:
        """Asks for a yes.

        Raises:
            DownloadConsentRequired: its data says to what.
        """
        facts = offer.facts
        cost = await self._estimates.cost(offer.backend, offer.variant)
        raise DownloadConsentRequired(
            f"{offer.backend.name} {offer.variant.name} is {facts['bytes_total'] / 1e9:.1f} GB, "
            f"licence: {facts['license']}",
            hint="Say yes to download it: consent = true.",
            free_bytes=_free_bytes(offer.path),
            estimate=cost.to_wire(),
            **facts,
        )

    def check_room(self, offer: Offer) -> None:
        """Raises InsufficientDisk when there is no room."""
        needed, free = offer.order.size_bytes, _free_bytes(offer.path)
        if not offer.source and needed + SPARE_BYTES > free:
            raise InsufficientDisk(
                f"{needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free",
                needed_bytes=needed,
                free_bytes=free,
                path=str(offer.path),
            )

    def _is_here(self, backend: Backend, path: Path, item: Published) -> bool:
        folder = path / item.name
        if item.name == LYRIC_VOCABULARY:
            return all((folder / file.name).is_file() for file in item.files)
        if self._inventory.component(backend, item.name).status != "present":
            return False
        return item.is_pinned or checkpoints.revision_of(folder) == item.revision


def _wanted(params: DownloadBackend, backend: Backend, variant: Variant) -> Order:
    lm_size = params.lm_model if params.lm_model not in (None, "none") else None
    if lm_size is not None and (backend.type != "ace_step_15" or lm_size not in catalog.LM_SIZES):
        raise InvalidParams(
            f"lm_model must be one of {', '.join(catalog.LM_SIZES)} with ace_step_15, "
            f"got {lm_size!r} with {backend.type}",
            param="lm_model",
        )
    order = hub.order(backend, variant, lm_size)
    if not params.components:
        return order
    known = {item.name: item for item in (*order.components, *hub.planners(backend))}
    for name in params.components:
        if name not in known:
            raise InvalidParams(
                f"{backend.type} has no component {name!r}",
                hint="Components: " + ", ".join(known),
                param="components",
            )
    return replace(order, components=tuple(known[name] for name in params.components))


def _source(asked: str | None) -> str:
    """Returns the folder to take from; empty for the hub."""
    source = asked or HUB
    if source == HUB:
        return ""
    if not Path(source).is_absolute() or not Path(source).is_dir():
        raise InvalidParams(
            f"source {source} is no folder, named from the root",
            hint="Leave it out for the model hub, or name a folder with the components.",
            param="source",
        )
    return source


def _at(item: Published, revision: str) -> Published:
    """The component at another revision: what is known of the pinned one does not hold there."""
    if item.url is not None or item.revision == revision:
        return item
    files = tuple(replace(file, sha256=None, is_exact=False) for file in item.files)
    return replace(item, files=files, revision=revision, is_pinned=False)


def _free_bytes(path: Path) -> int:
    while not path.exists():
        path = path.parent  # the nearest folder that is there: its disk is the one to be filled
    return shutil.disk_usage(path).free
