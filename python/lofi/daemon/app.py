"""The daemon from start to end: owns every task, the transports' life and the way out."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Literal

from lofi import parent
from lofi.daemon import options, residence
from lofi.daemon.durable import FileLock
from lofi.daemon.launch import worker_command as own_worker_command
from lofi.daemon.launch import worker_environment
from lofi.daemon.server import SocketServer, StdioServer, protocol_descriptors
from lofi.daemon.worker_process import WorkerProcess
from lofi.errors import InternalError, LofiError
from lofi.paths import Paths
from lofi.settings import Settings

if TYPE_CHECKING:  # read while the light worker comes up: see `App._build`
    from lofi.daemon.house import House, WorkerCommand
    from lofi.daemon.jobs import Job
    from lofi.daemon.peer import Peer, Wire

logger = logging.getLogger(__name__)

Transport = Literal["stdio", "socket"]

EXIT_INTERRUPTED = 130
HAND_OVER_SEC = 0.02
"""From a job's beginning to its worker having it, where the worker is there."""
LONELY_LIMIT_SEC = 10.0
"""How long a shared daemon waits for its first client to say something."""
SWITCH_SEC = 0.0005
"""How long a busy thread may keep the interpreter from the loop, and from the sound."""
WARM_UP_SEC = 1.0
"""From open doors to preparing for sound, unless a job is being rendered earlier."""
END_LIMIT_SEC = 0.9
"""From the decision to leave to a hard exit."""
JOBS_LIMIT_SEC = 0.35
SOUND_LIMIT_SEC = 0.2
DOWNLOADS_LIMIT_SEC = 0.6
DISK_LIMIT_SEC = 0.25
FLUSH_LIMIT_SEC = 0.15
POLL_SEC = 0.005
STARTER_POLL_SEC = 0.02


def entry(argv: list[str], light: subprocess.Popen[bytes] | None = None) -> int:
    """Runs `lofi daemon` and ends the process: threads of native libraries must not hold it up.

    Args:
        light: the light worker, if it is coming up already.
    """
    chosen = options.parse(argv)
    options.start_logging(chosen)
    try:
        status = main(
            chosen.paths,
            chosen.settings,
            transport=chosen.transport,
            started_by=chosen.started_by,
            light=light,
        )
    except LofiError as error:
        logger.error("%s %s", error.message, error.hint)
        status = 1
    logging.shutdown()
    os._exit(status)


def main(
    paths: Paths,
    settings: Settings,
    *,
    transport: Transport,
    worker_command: WorkerCommand = own_worker_command,
    started_by: int | None = None,
    light: subprocess.Popen[bytes] | None = None,
) -> int:
    """Serves until there is a reason to leave; returns the exit status.

    Args:
        started_by: process without which nobody wants this daemon, until a client has spoken.
        light: the light worker, if it is coming up already.

    Raises:
        SocketRefused, Busy: the shared daemon's place cannot be taken.
    """
    lock: FileLock | None = None
    descriptors = None
    if transport == "socket":
        lock = residence.claim(paths.socket, paths.lock)
        if lock is None:
            logger.info("another daemon serves %s already", paths.socket)
            return 0
    else:
        descriptors = protocol_descriptors()
    sys.setswitchinterval(SWITCH_SEC)
    # No asyncio.run: it would wait for threads that read files nobody wants any more.
    loop = asyncio.new_event_loop()
    app = App(paths, settings, worker_command, descriptors, started_by, light)
    try:
        return loop.run_until_complete(app.run())
    except BaseExceptionGroup as group:  # the last line of a trace is what an editor shows
        raise group.exceptions[0] from None


class App:
    """One daemon.

    Args:
        descriptors: where to read and write for a private daemon; None serves the socket.
    """

    def __init__(
        self,
        paths: Paths,
        settings: Settings,
        worker_command: WorkerCommand,
        descriptors: tuple[int, int] | None,
        started_by: int | None = None,
        light: subprocess.Popen[bytes] | None = None,
    ) -> None:
        self._paths = paths
        self._settings = settings
        self._worker_command = worker_command
        self._started_by = started_by
        self._light = light
        self._descriptors = descriptors
        self._group: asyncio.TaskGroup
        self._peers: dict[Peer, Wire] = {}
        self._has_been_used = False
        self._lingering: asyncio.TimerHandle | None = None
        self._status = 0
        self._leaving = asyncio.Event()
        self._answering = asyncio.Event()
        self._job_changed = asyncio.Event()
        self._server: SocketServer | StdioServer | None = None
        self._workers: list[WorkerProcess] = []
        self.house: House

    async def run(self) -> int:
        """Serves; returns the exit status."""
        loop = asyncio.get_running_loop()
        if sys.platform != "win32":  # there the end of stdin must do
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                loop.add_signal_handler(number, self._signalled, number)
        async with asyncio.TaskGroup() as group:
            self._group = group
            await self._build()
            tasks = [group.create_task(self._served(service)) for service in self.house.services()]
            await self._open_doors()
            gc.freeze()  # what was read stays: no collection looks at it again
            gc.enable()
            tasks.append(group.create_task(self._guarded(self._warm_up())))
            await self._leaving.wait()
            await self._end()
            for task in tasks:
                task.cancel()
        return self._status

    async def _build(self) -> None:
        """Starts or adopts the light worker, and the rest of us while it comes up."""
        environment = worker_environment(os.environ)
        command = self._worker_command("light")
        light = WorkerProcess("light", command, environment, self._light)
        self._workers.append(light)
        self._spawn(self._start(light))
        await asyncio.sleep(0)  # the process is there now
        self._furnish(light)

    async def _start(self, worker: WorkerProcess) -> None:
        """A worker that does not come up is said; the first job tries again and tells."""
        try:
            await worker.start()
        except LofiError as error:
            if not self._leaving.is_set():
                logger.warning("%s", error)

    def _furnish(self, light: WorkerProcess) -> None:
        """Reads and joins the rooms."""
        from lofi.daemon.house import House

        self.house = House(
            self._paths,
            self._settings,
            worker_command=self._worker_command,
            light=light,
            spawn=self._spawn,
            clients=lambda: len(self._peers),
            shut_down=self._shut_down,
            runtime_notes=self._runtime_notes,
            on_job=self._job_changed.set,
        )
        self._workers = [lane.worker for lane in self.house.lanes.values()]

    async def _warm_up(self) -> None:
        """Reads what sound takes when a worker has its job: before that, it would be in the way."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WARM_UP_SEC):
                await self._job_changed.wait()
                await asyncio.sleep(HAND_OVER_SEC)
        await self.house.player.prepare()

    async def _open_doors(self) -> None:
        if self._descriptors is None:
            self._server = SocketServer(self._paths.socket, self._welcome, self._goodbye)
            await self._server.start()
            loop = asyncio.get_running_loop()
            loop.call_later(LONELY_LIMIT_SEC, self._leave_if_unused)
            if self._started_by is not None:
                self._spawn(self._watch_starter(self._started_by))
            logger.info("serving %s as process %d", self._paths.socket, os.getpid())
        else:
            self._server = StdioServer(
                *self._descriptors, self._welcome, self._goodbye, self._goodbye
            )
            await self._server.start()

    # Clients.

    def _welcome(self, wire: Wire) -> Peer:
        from lofi.daemon.peer import Peer

        self._stop_lingering()
        is_private = self._descriptors is not None
        peer = Peer(wire, self.house.handlers, self._spawn, is_initialised=is_private)
        self._peers[peer] = wire
        self.house.events.add(peer)
        return peer

    def _goodbye(self, peer: Peer) -> None:
        if self._peers.pop(peer, None) is None:
            return
        self.house.events.remove(peer)
        self.house.queries.drop(peer)
        self._has_been_used = self._has_been_used or peer.has_spoken
        if self._descriptors is not None:
            self.leave(0)
        elif not self._peers and self._has_been_used:
            self._stop_lingering()
            linger_sec = float(self._settings.value("daemon.linger_sec"))
            loop = asyncio.get_running_loop()
            self._lingering = loop.call_later(linger_sec, self._leave_if_alone)

    def _stop_lingering(self) -> None:
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None

    def _leave_if_alone(self) -> None:
        if not self._peers:
            logger.info("the last client has gone")
            self.leave(0)

    def _leave_if_unused(self) -> None:
        if not self._is_used():
            logger.info("nobody came")
            self.leave(0)

    def _is_used(self) -> bool:
        return self._has_been_used or any(peer.has_spoken for peer in self._peers)

    async def _watch_starter(self, pid: int) -> None:
        """Leaves when whom we were started for is gone before anybody had a word for us."""
        parent.release()
        while not self._is_used() and not self._leaving.is_set():
            if not parent.is_there(pid) and not self._peers:
                logger.info("the editor that wanted us has gone")
                self.leave(0)
            await asyncio.sleep(STARTER_POLL_SEC)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        self._group.create_task(self._guarded(work))

    async def _served(self, service: Coroutine[Any, Any, None]) -> None:
        """A service that dies ends the daemon, but in order."""
        try:
            await service
        except Exception as error:
            logger.exception("%s has died", getattr(service, "__qualname__", "a service"))
            lost = InternalError(f"{type(error).__name__} in the daemon, which ends")
            told = {"code": lost.code, "message": lost.message, "hint": lost.hint, "fatal": True}
            self.house.events.emit("daemon_error", told)
            self.leave(1)

    async def _guarded(self, work: Coroutine[Any, Any, Any]) -> None:
        """One failed errand must not end the daemon."""
        try:
            await work
        except LofiError as error:
            logger.warning("%s", error)
        except Exception:
            logger.exception("an errand failed")

    # The way out.

    def leave(self, status: int) -> None:
        """Begins the end; the process is gone within a second."""
        if self._leaving.is_set():
            return
        self._status = status
        self._leaving.set()
        watchdog = threading.Timer(END_LIMIT_SEC, self._force)
        watchdog.daemon = True
        watchdog.start()

    def _signalled(self, number: signal.Signals) -> None:
        if self._leaving.is_set():
            self._force()
        self.leave(EXIT_INTERRUPTED if number == signal.SIGINT else 0)

    async def _shut_down(self, mode: str) -> None:
        if mode == "after_current" and not self._leaving.is_set():
            keeping = self._keep_session(self.house.orders.queue.pending())
            self.house.orders.drop_waiting("shutdown")
            await keeping
            while any(lane.busy_job() for lane in self.house.lanes.values()):
                self._job_changed.clear()
                await self._job_changed.wait()
        self.leave(0)
        await self._answering.wait()

    async def _end(self) -> None:
        """The order matters: no new work, no jobs, no sound, no open files, the last answer."""
        house = self.house
        house.handlers.is_closed = True
        if isinstance(self._server, SocketServer):
            self._server.hide()
        # Beside the rest: a slow disk must not hold up the silence.
        unfinished = house.orders.unfinished()
        keeping = self._group.create_task(self._guarded(self._keep_session(unfinished)))
        house.orders.close()
        house.machine.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DOWNLOADS_LIMIT_SEC):
                await house.downloads.close()
        await self._wait_for_lanes()
        for lane in house.lanes.values():
            lane.worker.close()
        with contextlib.suppress(Exception):  # nothing may hold up the rest of the way
            async with asyncio.timeout(SOUND_LIMIT_SEC):
                await house.player.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DISK_LIMIT_SEC):
                await asyncio.to_thread(house.library.close)
                await keeping
        house.events.close()
        self._answering.set()
        await asyncio.sleep(0)
        await self._flush()

    def _keep_session(self, jobs: Sequence[Job]) -> Coroutine[Any, Any, None]:
        """Looks around at once; what it returns writes down what it saw."""
        requests = [job.as_request() for job in jobs if job.origin == "user"]
        return asyncio.to_thread(self.house.session.keep, requests, self.house.player.memory())

    async def _wait_for_lanes(self) -> None:
        lanes = self.house.lanes.values()
        end = asyncio.get_running_loop().time() + JOBS_LIMIT_SEC
        while not all(lane.is_idle for lane in lanes):
            if asyncio.get_running_loop().time() > end:
                # The job ends with its worker; its terminal notification still comes.
                for lane in lanes:
                    lane.worker.kill()
                end += JOBS_LIMIT_SEC / 2
            if asyncio.get_running_loop().time() > end:
                return
            await asyncio.sleep(POLL_SEC)

    async def _flush(self) -> None:
        end = asyncio.get_running_loop().time() + FLUSH_LIMIT_SEC
        while any(wire.backlog_bytes() for wire in self._peers.values()):
            if asyncio.get_running_loop().time() > end:
                return
            await asyncio.sleep(POLL_SEC)

    def _force(self) -> None:
        for worker in self._workers:
            pid = worker.pid
            if pid is not None:
                with contextlib.suppress(OSError):
                    os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        os._exit(self._status)

    def _runtime_notes(self) -> list[tuple[str, str]]:
        if self._descriptors is not None:
            return [("ok", "A private daemon on its editor's own pipes")]
        return [("ok", f"Serving {self._paths.socket}, {len(self._peers)} clients")]
