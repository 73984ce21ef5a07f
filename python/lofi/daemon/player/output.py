"""The one output: which sink is open, and another in its place when it falls silent.

A sink's calls can take as long as a sound server likes, so each runs in a thread of its own with a
limit; one that hangs is left behind. Positions do not live here: the desk keeps every frame while
sinks come and go.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from lofi.daemon.player.device import Device, NativeSink, list_devices
from lofi.daemon.player.recorder import RecordingSink
from lofi.daemon.player.samples import Block
from lofi.daemon.player.sink import Fill, NullSink, Sink
from lofi.errors import AudioDeviceError, LofiError

logger = logging.getLogger(__name__)

T = TypeVar("T")

SILENT_LIMIT_SEC = 1.0
"""An output that asks for nothing for this long is dead."""
CALL_LIMIT_SEC = 2.0
RETRY_SEC = 30.0
"""How often a real device is looked for while `auto` plays to the clock for want of one."""
FILE_PREFIX = "file:"


class Clock(Protocol):
    def monotonic(self) -> float: ...


OpenSink = Callable[[str, str | None], Sink]
"""Opens the sink of an `audio.output` other than `auto`, and a device name; may block."""


def open_sink(output: str, device: str | None) -> Sink:
    """Returns the sink of `native`, `null` or `file:PATH`, open but not started.

    Raises:
        AudioDeviceError: it cannot be opened.
    """
    if output == "null":
        return NullSink()
    if output.startswith(FILE_PREFIX):
        return RecordingSink(Path(output.removeprefix(FILE_PREFIX)))
    return NativeSink(device)


class Output:
    """Keeps a sink open and asking, whatever happens to devices.

    Args:
        fill: what every sink asks; runs in the sink's thread.
        notice: told when sound goes elsewhere than asked for.
    """

    def __init__(
        self,
        *,
        output: str,
        device: str | None,
        clock: Clock,
        fill: Fill,
        notice: Callable[[LofiError], None],
        opener: OpenSink = open_sink,
        lister: Callable[[], list[Device]] = list_devices,
    ) -> None:
        self.output = output
        self.device = device
        self._clock = clock
        self._fill_next = fill
        self._notice = notice
        self._opener = opener
        self._lister = lister
        self._sink: Sink | None = None
        self._is_running = False
        self._is_makeshift = False
        """`auto` plays to the clock because no device could be opened."""
        self._told: set[str] = set()
        self._calls = 0
        self._calls_seen = 0
        self._seen_at = 0.0
        self._tried_at = 0.0

    @property
    def name(self) -> str | None:
        """What the open sink is called; None before the first sound."""
        return None if self._sink is None else self._sink.name

    @property
    def kind(self) -> str:
        """`native`, `null` or `file`: what is open, else what would be."""
        if self._is_makeshift or self.output == "null":
            return "null"
        return "file" if self.output.startswith(FILE_PREFIX) else "native"

    @property
    def sample_rate(self) -> int | None:
        """The open sink's; None before the first sound."""
        return None if self._sink is None else self._sink.sample_rate

    @property
    def is_running(self) -> bool:
        return self._is_running

    async def open(self) -> int:
        """Returns the sample rate of the sink, opened if need be.

        Raises:
            AudioDeviceError: `audio.output` is not `auto`, and what it names cannot be opened.
        """
        if self._sink is not None and self._is_makeshift and self._may_retry():
            await self._try_native()
        if self._sink is None:
            self._sink, self._is_makeshift = await self._opened(self.device)
        return self._sink.sample_rate

    async def start(self) -> None:
        """Lets the open sink ask for frames; opens another one if it cannot.

        Raises:
            AudioDeviceError: no sink can be had.
        """
        if self._is_running or self._sink is None:
            return
        sink = self._sink
        try:
            await _apart(lambda: sink.start(self._fill))
        except AudioDeviceError as error:
            logger.warning("%s; opening it anew", error.message)
            await self._replace()
            return
        self._started()

    async def rest(self) -> None:
        """Stops the sink but keeps it open: nothing is to be heard for a while."""
        sink, self._is_running = self._sink, False
        if sink is not None:
            try:
                await _apart(sink.stop)
            except AudioDeviceError as error:
                logger.warning("%s; closing it", error.message)
                await self.close()

    async def close(self) -> None:
        """Lets go of the sink. The next `open` opens again."""
        sink, self._sink = self._sink, None
        self._is_running = False
        self._is_makeshift = False
        if sink is not None:
            try:
                await _apart(sink.close)
            except AudioDeviceError as error:
                logger.warning("%s", error.message)

    async def check(self) -> bool:
        """Looks after the running sink; True if another one has taken its place.

        Call it a few times a second while something plays.
        """
        if not self._is_running:
            return False
        now = self._clock.monotonic()
        if self._calls != self._calls_seen:
            self._calls_seen, self._seen_at = self._calls, now
        if now - self._seen_at >= SILENT_LIMIT_SEC:
            logger.warning("output %s asked for nothing for %.1f s", self.name, now - self._seen_at)
            await self._replace()
            return True
        if self._is_makeshift and self._may_retry():
            return await self._try_native()
        return False

    async def choose(self, *, output: str | None = None, device: str | None = None) -> None:
        """Changes to another output or device (None: the default one), at once if one is open.

        Raises:
            AudioDeviceError: it cannot be opened; everything stays as it was.
        """
        before = (self.output, self.device)
        self._told.clear()
        self.output = self.output if output is None else output
        self.device = device
        try:
            if self._sink is None:
                await self._check_name(device)
                return
            # As long as the new one is not open the old one plays on.
            sink, is_makeshift = await self._opened(device, strict=device is not None)
        except AudioDeviceError:
            self.output, self.device = before
            raise
        await self._change_to(sink, is_makeshift=is_makeshift)

    async def devices(self) -> list[Device]:
        """Returns the system's outputs; none if it has none."""
        return await _apart(self._lister)

    async def _check_name(self, device: str | None) -> None:
        if device is None or self.output not in ("auto", "native"):
            return
        known = await self.devices()
        if not any(device in (one.name, one.id) for one in known):
            names = ", ".join(one.name for one in known) or "none"
            raise AudioDeviceError(f"no sound output is called {device}; there are: {names}")

    async def _change_to(self, sink: Sink, *, is_makeshift: bool) -> None:
        was_running = self._is_running
        await self.close()
        self._sink, self._is_makeshift = sink, is_makeshift
        if was_running:
            await self.start()

    async def _replace(self) -> None:
        """Opens the same device again, else the default one, else the clock; and starts it."""
        await self.close()
        for device in self._candidates():
            try:
                self._sink, self._is_makeshift = await self._opened(device, strict=True)
                await self._start_sure()
            except AudioDeviceError as error:
                logger.warning("%s", error.message)
                await self.close()
                continue
            if device != self.device:
                self._tell(AudioDeviceError(f"{self.device} is gone; playing on {self.name}"))
            return
        self._sink = self._makeshift("the sound output is gone and no other could be opened")
        self._is_makeshift = True
        self._tried_at = self._clock.monotonic()
        await self._start_sure()

    def _candidates(self) -> list[str | None]:
        if self.output.startswith(FILE_PREFIX):
            return []  # opening it again would empty the recording
        return [None] if self.device is None else [self.device, None]

    async def _start_sure(self) -> None:
        sink = self._sink
        assert sink is not None
        calls, tries = self._calls, 0
        await _apart(lambda: sink.start(self._fill))
        self._started()
        while self._calls == calls:
            tries += 1
            if tries > 20 * SILENT_LIMIT_SEC:
                raise AudioDeviceError(f"{sink.name} opened, but asks for nothing")
            await asyncio.sleep(0.05)

    async def _opened(self, device: str | None, *, strict: bool = False) -> tuple[Sink, bool]:
        """Opens a sink for the setting, and says whether it is a makeshift. Unless strict, `auto`
        makes do with what there is."""
        if self.output != "auto":
            return await self._call_opener(self.output, device), False
        self._tried_at = self._clock.monotonic()
        try:
            return await self._call_opener("native", device), False
        except AudioDeviceError as error:
            if strict:
                raise
            problem = error
        if device is not None:
            try:
                sink = await self._call_opener("native", None)
            except AudioDeviceError as error:
                problem = error
            else:
                self._tell(problem)
                return sink, False
        return self._makeshift(problem.message), True

    def _makeshift(self, problem: str) -> Sink:
        self._tell(
            AudioDeviceError(
                f"{problem}; playing silently",
                hint="Connect an output or start the sound server; set audio.output = null to "
                "keep this quiet. :checkhealth lofi lists the outputs.",
            )
        )
        return NullSink()

    def _tell(self, error: AudioDeviceError) -> None:
        """Gives a notice once, until an output is chosen or found again."""
        if error.message not in self._told:
            self._told.add(error.message)
            self._notice(error)

    def _may_retry(self) -> bool:
        return self._clock.monotonic() - self._tried_at >= RETRY_SEC

    async def _try_native(self) -> bool:
        self._tried_at = self._clock.monotonic()
        try:
            sink = await self._call_opener("native", self.device)
        except AudioDeviceError:
            return False
        self._told.clear()
        await self._change_to(sink, is_makeshift=False)
        return True

    async def _call_opener(self, output: str, device: str | None) -> Sink:
        return await _apart(lambda: self._opener(output, device), discard=lambda sink: sink.close())

    def _started(self) -> None:
        self._is_running = True
        self._calls_seen, self._seen_at = self._calls, self._clock.monotonic()

    def _fill(self, out: Block) -> None:
        self._calls += 1
        try:
            self._fill_next(out)
        except Exception:  # one bad block must not end the device's thread
            logger.exception("mixing failed")
            out.fill(0.0)


async def _apart(call: Callable[[], T], discard: Callable[[T], object] | None = None) -> T:
    """Runs a blocking call of a sink in a thread of its own and waits for a limited time.

    `discard` takes what a call returns after nobody waits any more. The thread never holds up the
    end of the process, which those of an executor would.

    Raises:
        AudioDeviceError: the call failed or takes too long.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        if future.done():
            if discard is not None and error is None:
                threading.Thread(target=discard, args=(result,), daemon=True).start()
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def work() -> None:
        result, error = None, None
        try:
            result = call()
        except Exception as caught:
            error = caught
        try:
            loop.call_soon_threadsafe(settle, result, error)
        except RuntimeError:  # the loop has ended meanwhile
            if discard is not None and result is not None:
                discard(result)

    threading.Thread(target=work, name="lofi-device", daemon=True).start()
    try:
        async with asyncio.timeout(CALL_LIMIT_SEC):
            return await future
    except TimeoutError as error:
        raise AudioDeviceError("the sound output does not answer") from error
