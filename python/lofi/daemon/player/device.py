"""The system's outputs through miniaudio: which there are, and one that is open.

miniaudio is imported when the first is needed; it is a self-contained wheel without system
libraries.
"""

from __future__ import annotations

import atexit
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from lofi.daemon.player.mixer import BLOCK_LIMIT_FRAMES, CHANNELS
from lofi.daemon.player.samples import Block, np
from lofi.daemon.player.sink import Fill
from lofi.errors import AudioDeviceError

PERIOD_MSEC = 20
PERIODS = 3
"""Longer periods make pause and stop late; fewer do not outlast a core that is busy."""
FALLBACK_RATE = 48000
_ANY_SIZE_OFFSET = 27
"""`noFixedSizedCallback` in `ma_device_config`, which the binding does not name; the last of the
four bytes before the aligned `dataCallback`."""


@dataclass(frozen=True, slots=True)
class Device:
    """One output of the system, as `audio_devices` lists it."""

    name: str
    id: str
    is_default: bool
    sample_rate: int
    channels: int


def list_devices() -> list[Device]:
    """Returns the outputs that can be opened now; none is an empty list."""
    found = _Found()
    try:
        return [device for device, _ in found.devices]
    finally:
        found.close()


class NativeSink:
    """An output of the system.

    Args:
        device: name or id as listed; None follows the system's default.

    Raises:
        AudioDeviceError: there is none, none of that name, or it cannot be opened.
    """

    def __init__(self, device: str | None) -> None:
        import miniaudio

        found = _Found()
        try:
            chosen, handle = found.choose(device)
            self.name = chosen.name
            self._device: Any = _open(
                chosen.sample_rate,
                None if device is None else handle,
                has_one_period=found.backend == "PulseAudio",
            )
        except miniaudio.MiniaudioError as error:
            raise AudioDeviceError(
                f"cannot open {device or 'the default output'}: {error}"
            ) from error
        finally:
            found.close()
        self.sample_rate = chosen.sample_rate
        # A device that is open when the interpreter ends hangs the process.
        atexit.register(self.close)

    def start(self, fill: Fill) -> None:
        import miniaudio

        if self._device is None or self._device.running:
            return
        blocks = _blocks(fill)
        next(blocks)
        try:
            self._device.start(blocks)
        except miniaudio.MiniaudioError as error:
            raise AudioDeviceError(f"cannot start {self.name}: {error}") from error

    def stop(self) -> None:
        import miniaudio

        if self._device is not None:
            try:
                self._device.stop()
            except miniaudio.MiniaudioError as error:
                raise AudioDeviceError(f"cannot stop {self.name}: {error}") from error

    def close(self) -> None:
        device, self._device = self._device, None
        if device is not None:
            from miniaudio import lib

            device.close()
            # The binding leaves its context open, and with it a thread and a connection.
            lib.ma_context_uninit(device._context)
            atexit.unregister(self.close)


def _open(sample_rate: int, handle: Any, *, has_one_period: bool) -> Any:
    """Returns an open playback device of the binding, with periods the binding cannot ask for.

    On PulseAudio (and PipeWire in its place) miniaudio buffers one period, whatever `periods` says,
    and by default calls back with no less: the wish for three short periods ends as a buffer of
    20 ms, which a busy machine empties several times a minute. There one period of 60 ms with
    callbacks of any size gives what is wanted: 60 ms, asked for in pieces of about 15 ms.
    """
    import miniaudio

    ffi, lib = miniaudio.ffi, miniaudio.lib

    class PlaybackDevice(miniaudio.PlaybackDevice):  # type: ignore[misc]
        _device: Any

        def __init__(self) -> None:
            miniaudio.AbstractDevice.__init__(self)
            self.sample_width = 4
            self.nchannels = CHANNELS
            self._ffi_handle = ffi.new_handle(self)
            config = ffi.new("ma_device_config*")
            config[0] = lib.ma_device_config_init(lib.ma_device_type_playback)
            config.sampleRate = sample_rate
            config.playback.channels = CHANNELS
            config.playback.format = miniaudio.SampleFormat.FLOAT32.value
            config.playback.pDeviceID = handle or ffi.NULL
            config.periodSizeInMilliseconds = PERIOD_MSEC
            config.periods = PERIODS
            if has_one_period and ffi.offsetof("ma_device_config", "dataCallback") == 32:
                config.periodSizeInMilliseconds = PERIOD_MSEC * PERIODS
                config.periods = 1
                ffi.buffer(config)[_ANY_SIZE_OFFSET : _ANY_SIZE_OFFSET + 1] = b"\1"
            config.pUserData = self._ffi_handle
            config.dataCallback = lib._internal_data_callback
            config.stopCallback = lib._internal_stop_callback
            self._context = self._make_context(_backends(), app_name="lofi")
            if lib.ma_device_init(self._context, config, self._device) != lib.MA_SUCCESS:
                lib.ma_context_uninit(self._context)
                self._device = None  # there is nothing to uninitialise
                raise miniaudio.MiniaudioError("no device could be initialised")

    return PlaybackDevice()


def _blocks(fill: Fill) -> Generator[memoryview, int, None]:
    """Yields each block that the device asks for, from one piece of memory."""
    memory: Block = np.zeros((BLOCK_LIMIT_FRAMES, CHANNELS), dtype=np.float32)
    frames = yield memoryview(b"")
    while True:
        if frames > len(memory):
            memory = np.zeros((frames, CHANNELS), dtype=np.float32)
        block = memory[:frames]
        fill(block)
        frames = yield block.data


def _backends() -> list[Any]:
    """Returns every way to the system's sound, but not miniaudio's own silence: that there is no
    device must be known, and said."""
    import miniaudio

    unwanted = ("NULL", "CUSTOM", "WEBAUDIO")
    return [backend for backend in miniaudio.Backend if backend.name not in unwanted]


class _Found:
    """The devices of one look at the system; handles stay valid until it is closed."""

    def __init__(self) -> None:
        import miniaudio

        self.devices: list[tuple[Device, Any]] = []
        self.backend = ""
        self._context: Any = None
        ffi, lib = miniaudio.ffi, miniaudio.lib
        backends = _backends()
        values = ffi.new("ma_backend[]", [backend.value for backend in backends])
        context = ffi.new("ma_context*")
        if lib.ma_context_init(values, len(backends), ffi.NULL, context) != lib.MA_SUCCESS:
            return
        self._context = context
        self.backend = ffi.string(lib.ma_get_backend_name(context.backend)).decode()
        infos = ffi.new("ma_device_info**")
        count = ffi.new("ma_uint32*")
        if lib.ma_context_get_devices(context, infos, count, ffi.NULL, ffi.NULL) != lib.MA_SUCCESS:
            return
        playback = miniaudio.DeviceType.PLAYBACK.value
        for place in range(count[0]):
            info = infos[0][place]
            handle = ffi.new("ma_device_id*", info.id)
            is_default = bool(info.isDefault)
            lib.ma_context_get_device_info(
                context, playback, ffi.addressof(handle[0]), ffi.addressof(info)
            )
            rates = [
                info.nativeDataFormats[n].sampleRate for n in range(info.nativeDataFormatCount)
            ]
            sides = [info.nativeDataFormats[n].channels for n in range(info.nativeDataFormatCount)]
            device = Device(
                name=ffi.string(info.name).decode(errors="replace"),
                id=_text(bytes(ffi.buffer(handle))),
                is_default=is_default,
                sample_rate=next((rate for rate in rates if rate), FALLBACK_RATE),
                channels=next((side for side in sides if side), CHANNELS),
            )
            self.devices.append((device, handle))
        if not any(device.is_default for device, _ in self.devices):
            # ALSA without a card lists its plugins, one of them silent; none is the default.
            self.devices = []

    def choose(self, wanted: str | None) -> tuple[Device, Any]:
        if not self.devices:
            raise AudioDeviceError("no sound output was found")
        for device, handle in self.devices:
            if (device.is_default and wanted is None) or wanted in (device.name, device.id):
                return device, handle
        names = ", ".join(device.name for device, _ in self.devices)
        raise AudioDeviceError(f"no sound output is called {wanted}; there are: {names}")

    def close(self) -> None:
        if self._context is not None:
            import miniaudio

            miniaudio.lib.ma_context_uninit(self._context)
            self._context = None


def _text(raw: bytes) -> str:
    """Returns a device's id as text: as it is where the system uses text, else in hex."""
    trimmed = raw.rstrip(b"\0")
    try:
        text = trimmed.decode()
    except UnicodeDecodeError:
        return trimmed.hex()
    return text if text.isprintable() and text else trimmed.hex()
