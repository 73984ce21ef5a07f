"""Builds the daemon's parts and wires them; runs nothing yet."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from lofi import catalog
from lofi.daemon.backends import Backends
from lofi.daemon.cache import Cache
from lofi.daemon.clock import SystemClock
from lofi.daemon.configuration import Configuration, failure
from lofi.daemon.doctor import Doctor
from lofi.daemon.downloads import Downloads
from lofi.daemon.estimates import Estimates
from lofi.daemon.events import Events
from lofi.daemon.handlers import Handlers
from lofi.daemon.handlers.downloading import Downloading
from lofi.daemon.handlers.models import Models
from lofi.daemon.handlers.planning import Planning
from lofi.daemon.handlers.playing import Playing
from lofi.daemon.handlers.queueing import Queueing
from lofi.daemon.handlers.system import System
from lofi.daemon.handlers.tracks import Tracks
from lofi.daemon.history import History
from lofi.daemon.inventory import Inventory
from lofi.daemon.jobs import Job
from lofi.daemon.lane import LaneRunner
from lofi.daemon.launch import worker_environment
from lofi.daemon.library import Library
from lofi.daemon.machine import Machine
from lofi.daemon.offer import Offers
from lofi.daemon.orders import Orders
from lofi.daemon.player.playback import Player
from lofi.daemon.probe import Probe
from lofi.daemon.queries import Queries
from lofi.daemon.queue import Lane, Queue
from lofi.daemon.session import Session
from lofi.daemon.sources import Sources
from lofi.daemon.status import Status
from lofi.daemon.studio import Studio
from lofi.daemon.timings import Timings
from lofi.daemon.turns import Turns
from lofi.daemon.worker_process import WorkerProcess
from lofi.paths import Paths
from lofi.settings import Settings

WorkerCommand = Callable[[str], list[str]]
Spawn = Callable[[Coroutine[Any, Any, Any]], None]


class House:
    """Every room of the daemon, joined.

    Args:
        worker_command: role to the argument list of its process.
        light: the worker that is coming up already.
        spawn: runs a coroutine in the app's task group.
        clients: returns how many clients are connected.
        shut_down: begins the end in a mode; returns when it is time to answer.
        runtime_notes: what the transport has to say to `doctor`.
    """

    def __init__(
        self,
        paths: Paths,
        settings: Settings,
        *,
        worker_command: WorkerCommand,
        light: WorkerProcess,
        spawn: Spawn,
        clients: Callable[[], int],
        shut_down: Callable[[str], Awaitable[None]],
        runtime_notes: Callable[[], list[tuple[str, str]]],
        on_job: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._spawn = spawn
        self._on_job = on_job
        self.clock = SystemClock()
        self.events = Events()
        self.turns = Turns()
        self.library = Library(
            Cache(paths.tracks, paths.locks),
            self.events,
            settings,
            lambda count: self.player.upcoming(count),
        )
        self.player = Player(
            self.library, self._player_says, self.clock, _sound_settings(settings), self._listened
        )
        self.history = History(paths.history_file, self.library.later)
        self.session = Session(
            paths.session_file,
            self.player.memory,
            self.library.on_disk,
            lambda: settings.written("playback.volume"),
        )
        timings = Timings(paths.timings_file)
        self.inventory = Inventory(paths, settings)
        sources = Sources(self.library.cache, paths, settings)
        self.probe = Probe(paths.devices_file, self._has_neural_backend, worker_command("probe"))
        self.machine = Machine(
            paths.speed_file, worker_command("speed"), lambda: self._backend_changed("")
        )
        estimates = Estimates(self.inventory, timings, self.machine, settings)
        self.orders = Orders(self.inventory, sources)
        studio = Studio(
            queue=Queue[Job](),
            events=self.events,
            library=self.library,
            player=self.player,
            turns=self.turns,
            settings=settings,
            paths=paths,
            timings=timings,
            history=self.history,
            clock=self.clock,
            model_fields=self._model_fields,
            on_change=self._job_changed,
            on_backend=self._backend_changed,
        )
        neural = WorkerProcess("neural", worker_command("neural"), worker_environment(os.environ))
        workers = {Lane.LIGHT: light, Lane.NEURAL: neural}
        self.lanes = {lane: LaneRunner(lane, workers[lane], studio) for lane in Lane}
        self.orders.attach(studio, self.lanes)
        self.downloads = Downloads(
            Offers(paths, settings, self.inventory, estimates),
            self.events,
            spawn,
            lambda backend: self._backend_changed(backend.type),
        )
        self.backends = Backends(
            self.inventory,
            estimates,
            settings,
            paths,
            lambda lane: self.lanes[lane],
            self.downloads.is_downloading,
        )
        self.configuration = Configuration(
            settings, self.events, self.player, self.turns, lambda: list(self.lanes.values())
        )
        self.queries = Queries(self.lanes, self.clock)
        models = Models(
            self.backends,
            estimates,
            self.inventory,
            self.lanes,
            self.queries,
            self.configuration.set,
            lambda error: self.events.emit("daemon_error", failure(error)),
            spawn,
        )
        self.status = Status(
            player=self.player,
            orders=self.orders,
            library=self.library,
            inventory=self.inventory,
            backends=self.backends,
            downloads=self.downloads,
            lanes=self.lanes,
            settings=settings,
            clock=self.clock,
            clients=clients,
            default_backend=models.default,
        )
        doctor = Doctor(
            backends=self.backends,
            estimates=estimates,
            inventory=self.inventory,
            library=self.library,
            player=self.player,
            settings=settings,
            paths=paths,
            runtime_notes=runtime_notes,
        )
        system = System(
            configuration=self.configuration,
            status=self.status,
            doctor=doctor,
            backends=self.backends,
            inventory=self.inventory,
            library=self.library,
            session=self.session,
            player=self.player,
            turns=self.turns,
            settings=settings,
            paths=paths,
            method_names=lambda: self.handlers.names,
            default_backend=models.default,
            shut_down=shut_down,
        )
        self.handlers = Handlers(
            system.table(),
            Queueing(
                self.orders,
                self.queries,
                estimates,
                self.library,
            ).table(),
            models.table(),
            Tracks(
                self.library, self.history, self.player, self.turns, self.queries, settings
            ).table(),
            Playing(self.player, self.turns, self.library, self.configuration.note).table(),
            Planning(self.inventory, self.library, self.orders, self.queries, sources).table(),
            Downloading(self.downloads, self.inventory, self.lanes, paths).table(),
        )

    def services(self) -> list[Coroutine[Any, Any, None]]:
        """Returns what runs as long as the daemon does."""
        return [
            self.library.run(),
            self.turns.run(),
            self.player.run(),
            self.session.run(),
            self.probe.run(),
            *(lane.run() for lane in self.lanes.values()),
        ]

    def _has_neural_backend(self) -> bool:
        return any(
            self.inventory.is_installed(backend)
            for backend in catalog.BACKENDS.values()
            if not backend.is_light
        )

    def _model_fields(self, job: Job) -> dict[str, Any]:
        return self.inventory.model_fields(job.request.backend.type, job.request.variant)

    def _job_changed(self, job: Job) -> None:
        self.orders.changed(job)
        self._on_job()

    def _backend_changed(self, name: str) -> None:
        backends = [catalog.BACKENDS[name]] if name else list(catalog.BACKENDS.values())
        for backend in backends:
            self.events.emit("backend_changed", self.backends.describe(backend))

    def _player_says(self, method: str, params: dict[str, Any]) -> None:
        self.events.emit(method, params)
        self.session.change()

    def _listened(self, track_id: str) -> None:
        self._spawn(self._note_listened(track_id))

    async def _note_listened(self, track_id: str) -> None:
        track = self.library.cache.get(track_id)
        if track is None:
            return
        now = self.clock.timestamp()
        if not track.is_read_only:
            plays = int(track.get("plays") or 0) + 1
            await self.library.update(track_id, {"plays": plays, "last_played_at": now})
        if self._settings.value("history.enabled"):
            names = ("prompt", "backend")
            members = {name: track.get(name) for name in names}
            self.history.add("played", now, {"track_id": track_id, "title": track.title, **members})


def _sound_settings(settings: Settings) -> dict[str, Any]:
    values = settings.snapshot()
    return {key: values[key] for key in values if key.startswith(("playback.", "audio."))}
