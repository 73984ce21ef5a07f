"""Transports: the process's own stdio, and a Unix socket of the user's. Bytes only."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lofi.socket_folder import check_folder

if TYPE_CHECKING:  # it knows the protocol, which a transport does not
    from lofi.daemon.peer import Peer, Wire

logger = logging.getLogger(__name__)

READ_BYTES = 64 * 1024
BACKLOG_CONNECTIONS = 64

Welcome = Callable[["Wire"], "Peer"]
Goodbye = Callable[["Peer"], None]


class TransportWire:
    """A wire over an asyncio transport."""

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self._transport = transport

    def write(self, line: bytes) -> None:
        self._transport.write(line)

    def backlog_bytes(self) -> int:
        return self._transport.get_write_buffer_size()

    def drop(self) -> None:
        self._transport.abort()


class FileWire:
    """A wire into a regular file, which never makes a writer wait for long."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, line: bytes) -> None:
        with contextlib.suppress(OSError):
            while line:
                line = line[os.write(self._descriptor, line) :]

    def backlog_bytes(self) -> int:
        return 0

    def drop(self) -> None:
        pass


class Connection(asyncio.Protocol):
    """One socket connection. While the client does not read, it is not read either."""

    def __init__(self, welcome: Welcome, goodbye: Goodbye) -> None:
        self._welcome = welcome
        self._goodbye = goodbye
        self._peer: Peer | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._peer = self._welcome(TransportWire(transport))

    def data_received(self, data: bytes) -> None:
        assert self._peer is not None
        self._peer.feed(data)

    def pause_writing(self) -> None:
        if self._transport is not None and self._transport.is_reading():
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        if self._peer is not None:
            self._peer.leave()
            self._goodbye(self._peer)

    async def close(self) -> None:
        """Sends what waits and ends the connection."""
        if self._transport is not None:
            self._transport.close()


class SocketServer:
    """The shared daemon's socket: 0600, in a folder of the user's own that is 0700."""

    def __init__(self, path: Path, welcome: Welcome, goodbye: Goodbye) -> None:
        self._path = path
        self._welcome = welcome
        self._goodbye = goodbye
        self._server: asyncio.Server | None = None
        self._inode: tuple[int, int] | None = None

    async def start(self) -> None:
        """Binds and listens. The caller holds `daemon.lock`, so an old socket is a dead one.

        Raises:
            SocketRefused: see `check_folder`.
        """
        check_folder(self._path)
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)  # no moment at which somebody else could connect
        try:
            listener.bind(str(self._path))
        finally:
            os.umask(before)
        named = self._path.stat()
        self._inode = (named.st_dev, named.st_ino)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(
            lambda: Connection(self._welcome, self._goodbye),
            sock=listener,
            backlog=BACKLOG_CONNECTIONS,
        )

    def hide(self) -> None:
        """Removes the socket's name, so that new clients start a daemon of their own, and stops
        accepting."""
        with contextlib.suppress(OSError):
            named = self._path.stat()
            if (named.st_dev, named.st_ino) == self._inode:
                self._path.unlink()
        if self._server is not None:
            self._server.close()


class StdioServer:
    """One client on two file descriptors: pipes, terminals, sockets or regular files."""

    def __init__(
        self, read_fd: int, write_fd: int, welcome: Welcome, goodbye: Goodbye, on_broken: Goodbye
    ) -> None:
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._welcome = welcome
        self._goodbye = goodbye
        self._on_broken = on_broken
        self._peer: Peer | None = None
        self._reading: asyncio.ReadTransport | None = None
        self._writing: asyncio.WriteTransport | None = None

    async def start(self) -> None:
        """Begins to read."""
        loop = asyncio.get_running_loop()
        if _is_selectable(self._write_fd):
            pipe = os.fdopen(self._write_fd, "wb", buffering=0)
            self._writing, _ = await loop.connect_write_pipe(lambda: _Out(self), pipe)
            self._peer = self._welcome(TransportWire(self._writing))
        else:
            self._peer = self._welcome(FileWire(self._write_fd))
        if _is_selectable(self._read_fd):
            pipe = os.fdopen(self._read_fd, "rb", buffering=0)
            self._reading, _ = await loop.connect_read_pipe(lambda: _In(self), pipe)
        else:
            thread = threading.Thread(target=self._read_file, args=(loop,), daemon=True)
            thread.start()

    async def flush(self, limit_sec: float) -> None:
        """Waits until what was written has left, or the time is up."""
        end = asyncio.get_running_loop().time() + limit_sec
        while self._writing is not None and self._writing.get_write_buffer_size():
            if asyncio.get_running_loop().time() > end:
                return
            await asyncio.sleep(0.002)

    def received(self, data: bytes) -> None:
        if self._peer is not None:
            self._peer.feed(data)

    def ended(self) -> None:
        """The client closed its side."""
        if self._peer is not None:
            self._goodbye(self._peer)

    def broken(self) -> None:
        """Nobody reads any more."""
        if self._peer is not None:
            self._peer.leave()
            self._on_broken(self._peer)

    def pause(self) -> None:
        if self._reading is not None and self._reading.is_reading():
            self._reading.pause_reading()

    def resume(self) -> None:
        if self._reading is not None and not self._reading.is_closing():
            self._reading.resume_reading()

    def _read_file(self, loop: asyncio.AbstractEventLoop) -> None:
        with contextlib.suppress(OSError, RuntimeError):
            while chunk := os.read(self._read_fd, READ_BYTES):
                loop.call_soon_threadsafe(self.received, chunk)
            loop.call_soon_threadsafe(self.ended)


class _In(asyncio.Protocol):
    def __init__(self, server: StdioServer) -> None:
        self._server = server

    def data_received(self, data: bytes) -> None:
        self._server.received(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._server.ended()


class _Out(asyncio.BaseProtocol):
    def __init__(self, server: StdioServer) -> None:
        self._server = server

    def pause_writing(self) -> None:
        self._server.pause()

    def resume_writing(self) -> None:
        self._server.resume()

    def connection_lost(self, error: Exception | None) -> None:
        self._server.broken()


def _is_selectable(descriptor: int) -> bool:
    mode = os.fstat(descriptor).st_mode
    # /dev/null is a character device that cannot be waited for; a terminal is one that can.
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(descriptor)


def protocol_descriptors() -> tuple[int, int]:
    """Takes the real stdin and stdout for the protocol; returns them.

    Descriptor 1 is stderr from now on, so that no print and no native library can write into the
    conversation; descriptor 0 reads nothing.
    """
    read_fd, write_fd = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return read_fd, write_fd
