"""The snapshot everybody starts from: `status`, and `state` in the answer to `initialize`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lofi
from lofi import catalog
from lofi.daemon.backends import Backends
from lofi.daemon.downloads import Downloads
from lofi.daemon.inventory import Inventory
from lofi.daemon.lane import LaneRunner
from lofi.daemon.library import Library
from lofi.daemon.orders import Orders
from lofi.daemon.player.playable import Clock
from lofi.daemon.player.playback import Player
from lofi.daemon.queue import Lane
from lofi.settings import Settings

MEGABYTE = 1024 * 1024


class Status:
    """Gathers what the rooms say of themselves.

    Args:
        clients: returns how many clients are connected.
        default_backend: returns the backend that a request without one gets.
    """

    def __init__(
        self,
        *,
        player: Player,
        orders: Orders,
        library: Library,
        inventory: Inventory,
        backends: Backends,
        downloads: Downloads,
        lanes: Mapping[Lane, LaneRunner],
        settings: Settings,
        clock: Clock,
        clients: Callable[[], int],
        default_backend: Callable[[], str],
    ) -> None:
        self._player = player
        self._orders = orders
        self._library = library
        self._inventory = inventory
        self._backends = backends
        self._downloads = downloads
        self._lanes = lanes
        self._settings = settings
        self._clock = clock
        self._clients = clients
        self._default_backend = default_backend
        self._started = clock.monotonic()
        self.started_at = clock.timestamp()

    def uptime_sec(self) -> float:
        return round(self._clock.monotonic() - self._started, 3)

    def has_loaded_models(self) -> bool:
        return bool(self._lanes[Lane.NEURAL].loaded)

    def to_wire(self) -> dict[str, Any]:
        """Returns the snapshot."""
        playback = self._player.state()
        cache = self._library.cache
        return {
            "playback": playback,
            "generation": self._orders.generation(),
            "queue_length": len(self._orders.queue),
            "playlist_length": playback.get("playlist_length", 0),
            **self._downloads.status(),
            "cache_size_mb": round(cache.size_bytes() / MEGABYTE, 1),
            "cache_count": len(cache),
            "audio_device": playback.get("device"),
            "model": self._model(),
            "device": self._device(),
            "daemon": {
                "version": lofi.__version__,
                "pid": os.getpid(),
                "uptime_sec": self.uptime_sec(),
                "rss_mb": rss_bytes() // MEGABYTE,
                "clients": self._clients(),
            },
        }

    def _model(self) -> dict[str, Any]:
        neural = self._lanes[Lane.NEURAL]
        name = neural.loaded[-1] if neural.loaded else self._default_backend()
        backend = catalog.BACKENDS[name]
        return {
            "backend": name,
            "variant": self._backends.chosen_variant(backend).name,
            "loaded": backend.is_light or name in neural.loaded,
            "device": neural.sounding.get("device"),
            "dtype": neural.sounding.get("dtype"),
            "quantization": "none",
            "offload": self._settings.value("model.offload"),
            "lm": self._settings.value("model.lm"),
            "memory_mb": neural.worker.memory_bytes // MEGABYTE if neural.loaded else None,
        }

    def _device(self) -> dict[str, Any] | None:
        device = next(iter(self._inventory.devices() or ()), None)
        if device is None:
            return None
        names = ("id", "memory_free_mb", "memory_total_mb")
        return {name: device.get(name) for name in names}


def rss_bytes() -> int:
    """Returns the memory this process has in use."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        if sys.platform == "win32":
            return 0
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")
