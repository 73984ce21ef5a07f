"""A process that was begun before the event loop, as a transport like those the loop makes."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import threading
from typing import IO


async def adopt(
    process: subprocess.Popen[bytes], protocol: asyncio.SubprocessProtocol
) -> asyncio.SubprocessTransport:
    """Connects the three pipes of a process to a protocol, and tells it of the process's end."""
    transport = _Adopted(process, protocol)
    try:
        await transport.connect()
    except BaseException:
        transport.close()
        raise
    return transport


class _Adopted(asyncio.SubprocessTransport):
    def __init__(
        self, process: subprocess.Popen[bytes], protocol: asyncio.SubprocessProtocol
    ) -> None:
        super().__init__()
        self._process = process
        self._protocol = protocol
        self._pipes: dict[int, asyncio.BaseTransport] = {}
        self._is_closing = False

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        stdin, stdout, stderr = self._process.stdin, self._process.stdout, self._process.stderr
        assert stdin is not None and stdout is not None and stderr is not None
        self._pipes[0], _ = await loop.connect_write_pipe(lambda: _Pipe(self, 0), stdin)
        await self._read(2, stderr)  # first: why it ended is told before that it did
        await self._read(1, stdout)
        self._protocol.connection_made(self)
        waiting = threading.Thread(target=self._wait, args=(loop,), name="lofi-child", daemon=True)
        waiting.start()

    async def _read(self, fd: int, pipe: IO[bytes]) -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: _Pipe(self, fd), pipe)
        self._pipes[fd] = transport

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        self._process.wait()
        with contextlib.suppress(RuntimeError):  # the loop has gone before
            loop.call_soon_threadsafe(self._protocol.process_exited)

    def received(self, fd: int, data: bytes) -> None:
        self._protocol.pipe_data_received(fd, data)

    def lost(self, fd: int, error: Exception | None) -> None:
        self._protocol.pipe_connection_lost(fd, error)

    # asyncio.SubprocessTransport

    def get_pid(self) -> int:
        return self._process.pid

    def get_returncode(self) -> int | None:
        return self._process.returncode

    def get_pipe_transport(self, fd: int) -> asyncio.BaseTransport | None:
        return self._pipes.get(fd)

    def send_signal(self, signal: int) -> None:
        self._process.send_signal(signal)

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        self._is_closing = True
        for pipe in self._pipes.values():
            pipe.close()
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()


class _Pipe(asyncio.Protocol):
    """Passes on what one pipe of a process brings."""

    def __init__(self, transport: _Adopted, fd: int) -> None:
        self._transport = transport
        self._fd = fd

    def data_received(self, data: bytes) -> None:
        self._transport.received(self._fd, data)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport.lost(self._fd, error)
