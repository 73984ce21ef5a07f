"""What both lanes share: one queue, one player, one cache, one audience."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lofi.daemon.events import Events
from lofi.daemon.history import History
from lofi.daemon.jobs import Job
from lofi.daemon.library import Library
from lofi.daemon.player.playable import Clock
from lofi.daemon.player.playback import Player
from lofi.daemon.queue import Queue
from lofi.daemon.timings import Timings
from lofi.daemon.turns import Turns
from lofi.paths import Paths
from lofi.settings import Settings


@dataclass(frozen=True, slots=True)
class Studio:
    """What both lanes share."""

    queue: Queue[Job]
    events: Events
    library: Library
    player: Player
    turns: Turns
    settings: Settings
    paths: Paths
    timings: Timings
    history: History
    clock: Clock
    model_fields: Callable[[Job], dict[str, Any]]
    on_change: Callable[[Job], None]
    """Called when a job left the queue, and when it ended."""
    on_backend: Callable[[str], None]
    """Called when a backend was loaded, unloaded or broke."""
