"""What a person should know when something does not work, for `lofi doctor` and `:checkhealth`."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from typing import Any

import lofi
from lofi import catalog
from lofi.daemon.backends import Backends
from lofi.daemon.estimates import Estimates
from lofi.daemon.inventory import Inventory
from lofi.daemon.library import Library
from lofi.daemon.player.playback import Player
from lofi.errors import LofiError
from lofi.hints import how_to_install, how_to_install_planner
from lofi.parameters import FORMATS
from lofi.paths import Paths
from lofi.settings import Settings

MEGABYTE = 1024 * 1024
SPACE_WARN_MB = 1024
PACKAGES = ("numpy", "soundfile", "soxr", "miniaudio", "msgpack")
NEURAL_PACKAGES = ("torch", "transformers", "safetensors", "tokenizers")

Item = dict[str, Any]


class Doctor:
    """Looks at everything and repairs nothing.

    Args:
        runtime_notes: returns what the daemon itself has to say: its socket, other daemons.
    """

    def __init__(
        self,
        *,
        backends: Backends,
        estimates: Estimates,
        inventory: Inventory,
        library: Library,
        player: Player,
        settings: Settings,
        paths: Paths,
        runtime_notes: Callable[[], list[tuple[str, str]]],
    ) -> None:
        self._backends = backends
        self._estimates = estimates
        self._inventory = inventory
        self._library = library
        self._player = player
        self._settings = settings
        self._paths = paths
        self._runtime_notes = runtime_notes

    async def examine(self, *, deep: bool) -> dict[str, Any]:
        """Returns the result of `doctor`; `deep` reads every track and compares its checksum."""
        sections: list[dict[str, Any]] = [
            {"title": "Python and packages", "items": await asyncio.to_thread(self._python)},
            {"title": "Devices", "items": self._devices()},
            {"title": "Models", "items": self._models()},
            {"title": "Audio output", "items": await self._audio()},
            {"title": "Encoders", "items": await asyncio.to_thread(_encoders)},
            {"title": "Cache", "items": await self._cache(deep=deep)},
            {"title": "Settings", "items": self._settings_section()},
            {"title": "Daemon", "items": self._daemon()},
            {"title": "Time and memory for 60 s of audio", "items": await self._costs()},
        ]
        levels = [item["level"] for section in sections for item in section["items"]]
        return {"ok": "error" not in levels, "sections": sections}

    def _python(self) -> list[Item]:
        version = sys.version.split()[0]
        items = [_item("ok", "python", f"Python {version} at {sys.executable}")]
        for package in PACKAGES:
            found = _version(package)
            if found is None:
                items.append(
                    _item(
                        "error",
                        f"package.{package}",
                        f"{package} is not installed",
                        f"{sys.executable} -m pip install {package}",
                    )
                )
            else:
                items.append(_item("ok", f"package.{package}", f"{package} {found}"))
        missing = [name for name in NEURAL_PACKAGES if _version(name) is None]
        if missing:
            items.append(
                _item(
                    "info",
                    "package.neural",
                    f"Not installed: {', '.join(missing)}; the neural backends need them",
                    "In Neovim :Lofi setup brings them with the first model; in a Python of your "
                    "own: pip install 'lofi[neural]'.",
                    "The embedded synthesiser works without.",
                )
            )
        else:
            found = ", ".join(f"{name} {_version(name)}" for name in NEURAL_PACKAGES)
            items.append(_item("ok", "package.neural", found))
        return items

    def _devices(self) -> list[Item]:
        devices = self._inventory.devices()
        if devices is None:
            return [
                _item(
                    "info", "device", "No device has been looked at yet; the first neural job does"
                )
            ]
        return [
            _item(
                "ok",
                f"device.{device.get('id')}",
                f"{device.get('name')}: {device.get('memory_free_mb')} of "
                f"{device.get('memory_total_mb')} MB free"
                + (", bfloat16" if device.get("bf16") else ""),
            )
            for device in devices
        ]

    def _models(self) -> list[Item]:
        items = []
        any_ready = False
        for backend in catalog.BACKENDS.values():
            if backend.is_light:
                continue
            wire = self._backends.describe(backend)
            name = f"{backend.name} {wire['variant']}"
            size_mb = wire["bytes_on_disk"] // MEGABYTE
            if wire["status"] in ("ready", "loading"):
                any_ready = True
                items += _planner(backend, wire)
                items.append(
                    _item("ok", f"model.{backend.type}", f"{name}: {size_mb} MB, {wire['status']}")
                )
            elif wire["status"] == "downloading":
                items.append(_item("info", f"model.{backend.type}", f"{name}: being downloaded"))
            elif wire["status"] == "partial" and wire["error"] is None:
                items.append(
                    _item(
                        "warn",
                        f"model.{backend.type}",
                        f"{name}: a part of it is here",
                        f"Run :Lofi setup {catalog.spelling(backend.type)} to bring the rest.",
                    )
                )
            elif wire["status"] == "not_installed":
                advice = how_to_install(backend, backend.variant(wire["variant"]))
                items.append(
                    _item("info", f"model.{backend.type}", f"{name}: not installed", advice)
                )
            else:
                items.append(
                    _item(
                        "error",
                        f"model.{backend.type}",
                        f"{name}: {wire['error'] or wire['status']}",
                        f"Replace the named file in {wire['path']}, or run "
                        f":Lofi setup {catalog.spelling(backend.type)}.",
                    )
                )
        if not any_ready:
            items.append(
                _item(
                    "info",
                    "model.none",
                    "No neural backend is installed; the embedded synthesiser plays",
                    how_to_install(catalog.BACKENDS["ace_step_15"]),
                )
            )
        return items

    async def _audio(self) -> list[Item]:
        try:
            found = await self._player.audio_devices()
        except LofiError as error:
            return [_item("warn", "audio", error.message, error.hint)]
        if found.get("backend") == "null":
            return [
                _item(
                    "warn",
                    "audio.null",
                    "Sound goes nowhere: audio.output is null, or no output was found",
                    "Check the system's sound settings, then set audio.output to auto.",
                )
            ]
        names = [str(device.get("name")) for device in found.get("available", ())]
        if not names:
            return [
                _item("warn", "audio.none", "No audio output was found; playing runs to a clock")
            ]
        return [_item("ok", "audio", f"Playing on {found.get('current') or names[0]}")]

    async def _cache(self, *, deep: bool) -> list[Item]:
        cache = self._library.cache
        items = [
            _item(
                "ok",
                "cache",
                f"{len(cache)} tracks, {cache.size_bytes() // MEGABYTE} MB in {cache.folder}; "
                f"limit {self._settings.value('cache.max_mb')} MB",
            )
        ]
        if not os.access(cache.folder, os.W_OK):
            items.append(
                _item(
                    "error",
                    "cache.writable",
                    f"{cache.folder} cannot be written",
                    "Check who owns it, or set cache.dir.",
                )
            )
        else:
            free_mb = shutil.disk_usage(cache.folder).free // MEGABYTE
            level = "warn" if free_mb < SPACE_WARN_MB else "ok"
            items.append(_item(level, "cache.space", f"{free_mb} MB free on its disk"))
        if deep:
            items += await self._verified()
        return items

    async def _verified(self) -> list[Item]:
        damaged = []
        for track in self._library.cache.tracks():
            try:
                await self._library.verify(track)
            except LofiError as error:
                damaged.append(_item("error", f"cache.{track.track_id}", error.message, error.hint))
        return damaged or [_item("ok", "cache.checksums", "Every track is what was written")]

    def _settings_section(self) -> list[Item]:
        items = [
            _item("warn", "settings", problem, "Correct it where it was set.")
            for problem in self._settings.problems
        ]
        return items or [_item("ok", "settings", "Every setting is valid")]

    def _daemon(self) -> list[Item]:
        notes = [_item(level, "daemon", text) for level, text in self._runtime_notes()]
        own = _item("ok", "daemon", f"lofi {lofi.__version__}, process {os.getpid()}")
        network = _item("ok", "network", "Nothing is fetched unless a download is asked for")
        return [own, *notes, network]

    async def _costs(self) -> list[Item]:
        """Of every backend, installed or not: what a person would have of a download."""
        items = []
        for backend in catalog.BACKENDS.values():
            variant = self._backends.chosen_variant(backend)
            cost = await self._estimates.cost(backend, variant)
            name = f"{backend.name} {variant.name}"
            memory = f"{cost.memory_mb / 1000:.1f} GB of memory"
            seconds = cost.seconds_per_minute
            if seconds is None:
                text, level = f"{name}: unknown until its first track, {memory}", "info"
            elif cost.is_measured:
                text, level = f"{name}: {seconds:g} s as measured, {memory}", "ok"
            else:
                text, level = f"{name}: about {_spoken(seconds)}, {memory}", "info"
            items.append(_item(level, f"time.{backend.type}", text))
        return items


def _planner(backend: catalog.Backend, wire: dict[str, Any]) -> list[Item]:
    if backend.type != "ace_step_15":
        return []
    if wire["lm_sizes"]:
        return [_item("ok", "planner", f"Planner: {', '.join(wire['lm_sizes'])}")]
    return [
        _item(
            "info",
            "planner",
            "Planner: not installed; ACE-Step 1.5 plays without",
            how_to_install_planner(catalog.LM_SIZES[0]),
        )
    ]


def _spoken(seconds: float) -> str:
    return f"{seconds:g} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _encoders() -> list[Item]:
    import soundfile

    known = {name.lower() for name in soundfile.available_formats()}
    wanted = {"wav32": "wav"}
    missing = [name for name in FORMATS if wanted.get(name, name) not in known]
    if missing:
        text = f"This build of libsndfile cannot write {', '.join(missing)}"
        return [_item("warn", "encoders", text, "Update the soundfile package.")]
    return [_item("ok", "encoders", ", ".join(FORMATS))]


def _version(package: str) -> str | None:
    if importlib.util.find_spec(package) is None:
        return None
    from importlib import metadata  # slow to read, seldom needed

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown version"


def _item(level: str, ident: str, message: str, *advice: str) -> Item:
    return {"level": level, "id": ident, "message": message, "advice": list(advice)}
