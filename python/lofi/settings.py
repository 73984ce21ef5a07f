"""Every setting: its type, default and when a change takes hold; parsed once, kept in layers.

Precedence, lowest first: default, file (config.toml), env, overrides (persisted), setup (the
client's configuration or a flag), runtime (`config_set`). Request parameters stand above all.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lofi import catalog, own_defaults, parameters
from lofi.errors import InvalidConfig, LofiError

LAYERS = ("default", "file", "env", "overrides", "setup", "runtime")
LARGEST = 2**53
LIVE, NEXT_JOB, RELOAD, RESTART, START = "live", "next job", "reload", "restart", "start"


@dataclass(frozen=True, slots=True)
class Setting:
    """One key. `kind`: int, num, bool, str, path, list, backend, device, output."""

    key: str
    kind: str
    default: Any = None
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()
    nullable: bool = False
    effect: str = LIVE

    def check(self, value: Any) -> Any:
        """Returns the value in its one form.

        Raises:
            InvalidConfig: naming the key, the value and what is allowed.
        """
        if value is None and self.nullable:
            return None
        checked = _read(self, value)
        if checked is _NOT:
            raise InvalidConfig(
                f"{self.key} must be {self.describe()}, got {value!r}",
                hint=f"Set {self.key} to {self.describe()}.",
                key=self.key,
                value=value,
                allowed=self.describe(),
            )
        return checked

    def describe(self) -> str:
        """Returns what is allowed, in words."""
        if self.choices:
            words = "one of " + ", ".join(self.choices)
        else:
            words = {
                "int": "a whole number",
                "num": "a number",
                "bool": "true or false",
                "str": "text",
                "path": "an absolute path",
                "list": "a list of absolute paths",
                "backend": "one of auto, " + ", ".join(catalog.BACKENDS),
                "device": "one of auto, cpu, cuda, cuda:N, mps",
                "output": "one of auto, native, null, file:PATH",
            }[self.kind]
            if math.isfinite(self.low) and math.isfinite(self.high):
                words += f" in {self.low:g}..{self.high:g}"
            elif math.isfinite(self.low):
                words += f" of at least {self.low:g}"
        return words + (" or null" if self.nullable else "")


_NOT = object()


def _read(setting: Setting, value: Any) -> Any:
    if setting.kind in ("int", "num"):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return _NOT
        # Beyond it not every whole number is one: nothing that is counted gets there.
        if not abs(value) <= LARGEST or not setting.low <= value <= setting.high:
            return _NOT
        if setting.choices and f"{value:g}" not in setting.choices:
            return _NOT
        if setting.kind == "int":
            return int(value) if value == int(value) else _NOT
        return value
    if setting.kind == "bool":
        return value if isinstance(value, bool) else _NOT
    if setting.kind == "list":
        items = value if isinstance(value, (list, tuple)) else None
        ok = items is not None and all(isinstance(item, str) for item in items)
        if not ok or items is None:
            return _NOT
        folders = [str(Path(item).expanduser()) for item in items]
        return folders if all(Path(folder).is_absolute() for folder in folders) else _NOT
    if not isinstance(value, str):
        return _NOT
    return _read_text(setting, value)


def _read_text(setting: Setting, value: str) -> Any:
    if setting.kind == "backend":
        if value.strip().lower() == catalog.AUTO:
            return catalog.AUTO
        try:
            return catalog.backend_named(value).type
        except LofiError:
            return _NOT
    if setting.kind == "device":
        folded = "mps" if value.strip().lower() == "metal" else value.strip().lower()
        name, _, index = folded.partition(":")
        good = folded in ("auto", "cpu", "mps", "cuda", "xpu") or (
            name in ("cuda", "xpu") and index.isdigit()
        )
        return folded if good else _NOT
    if setting.kind == "output":
        known = value in ("auto", "native", "null")
        return value if known or (len(value) > 5 and value.startswith("file:")) else _NOT
    if setting.kind == "path":
        path = Path(value).expanduser()
        return str(path) if path.is_absolute() else _NOT
    if setting.choices:
        folded = value.strip().lower()
        return folded if folded in setting.choices else _NOT
    return value


SETTINGS: dict[str, Setting] = {
    setting.key: setting
    for setting in (
        Setting("model.backend", "backend", "auto"),
        Setting("model.variant", "str", None, nullable=True, effect=NEXT_JOB),
        Setting("model.lm", "str", "auto", choices=("auto", "none", *catalog.LM_SIZES),
                effect=NEXT_JOB),
        Setting("model.device", "device", "auto", effect=RELOAD),
        Setting("model.bf16", "bool", None, nullable=True, effect=RELOAD),
        Setting("model.offload", "str", "auto", choices=("auto", "none", "sequential", "cpu"),
                effect=RELOAD),
        Setting("model.threads", "int", None, 1, 256, nullable=True, effect=RELOAD),
        Setting("model.keep_loaded", "bool", False),
        Setting("model.idle_unload_sec", "int", 300, 0),
        Setting("model.min_free_vram_mb", "int", 2048, 0),
        Setting("model.vram_wait_sec", "num", 30, 0),
        Setting("model.oom_fallback", "str", "cpu", choices=("none", "cpu")),
        Setting("model.fallback", "str", "procedural", choices=("procedural", "none")),
        Setting("model.auto_download", "str", "ask", choices=("ask", "never", "always")),
        Setting("model.vae_tile_sec", "num", None, 0.1, nullable=True),
        Setting("model.weights_path", "path", None, nullable=True, effect=RESTART),
        Setting("queue.max_pending", "int", 10, 1, 200),
        Setting("playback.volume", "num", 0.6, 0, 1),
        Setting("playback.auto_play", "bool", True),
        Setting("playback.normalize", "bool", True),
        Setting("playback.resume_session", "bool", True, effect=START),
        Setting("audio.output", "output", "auto"),
        Setting("audio.device", "str", None, nullable=True),
        Setting("audio.format", "str", "wav", choices=parameters.FORMATS),
        Setting("audio.mp3_bitrate", "int", 192, choices=("128", "192", "256", "320")),
        Setting("cache.dir", "path", None, nullable=True, effect=RESTART),
        Setting("cache.max_mb", "num", 2048, 0),
        Setting("cache.max_tracks", "int", None, 1, nullable=True),
        Setting("cache.latents", "bool", False),
        Setting("lora.paths", "list", []),
        Setting("history.enabled", "bool", True),
        Setting("daemon.log_level", "str", "warn", choices=("debug", "info", "warn", "error")),
        Setting("daemon.log_file", "path", None, nullable=True, effect=RESTART),
        Setting("daemon.shared", "bool", True, effect=RESTART),
        Setting("daemon.linger_sec", "num", 0, 0),
    )
}  # fmt: skip

FREE_TABLES = ("defaults.", "presets.")
"""Tables whose names are the user's or `generate`'s own."""

_ENVIRONMENT = {
    "LOFI_BACKEND": "model.backend",
    "LOFI_VARIANT": "model.variant",
    "LOFI_LM": "model.lm",
    "LOFI_DEVICE": "model.device",
    "LOFI_THREADS": "model.threads",
    "LOFI_BF16": "model.bf16",
    "LOFI_OFFLOAD": "model.offload",
    "LOFI_AUDIO_OUTPUT": "audio.output",
    "LOFI_LOG_LEVEL": "daemon.log_level",
}


def flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns dotted keys of nested tables; a preset's own table stays whole."""
    flat: dict[str, Any] = {}
    for name, value in table.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and not key.startswith("presets."):
            flat.update(flatten(value, f"{key}."))
        else:
            flat[key] = value
    return flat


def check(key: str, value: Any) -> Any:
    """Returns the setting's value in its one form.

    Raises:
        InvalidConfig: unknown key (with the nearest one) or unusable value.
    """
    if key in SETTINGS:
        return SETTINGS[key].check(value)
    if key.startswith("defaults."):
        return _check_default(key, value)
    if key.startswith("presets.") and len(key) > len("presets."):
        if value is None or (isinstance(value, (str, Mapping)) and _can_be_sent(value)):
            return value
        raise InvalidConfig(
            f"{key} must be a prompt or a request, got {value!r}", key=key, value=value
        )
    import difflib  # slow to read, for mistakes only

    near = difflib.get_close_matches(key, list(SETTINGS), 1)
    hint = f"Did you mean {near[0]}?" if near else "config_get lists the keys."
    raise InvalidConfig(f"There is no setting {key!r}", hint=hint, key=key, value=value)


def _can_be_sent(value: Any) -> bool:
    """TOML knows dates and infinities, which no line can carry."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def _check_default(key: str, value: Any) -> Any:
    name = key.removeprefix("defaults.")
    tables = (parameters.DELIVERY, parameters.SHARED, *parameters.OWN.values())
    known = [table[name] for table in tables if name in table]
    refused: LofiError = parameters.unknown(name)
    for parameter in known:  # ranges differ by backend; the request that uses it checks it again
        try:
            parameter.check(value)
        except LofiError as error:
            refused = error
        else:
            return value if len(known) > 1 else parameter.check(value)
    raise InvalidConfig(str(refused), hint=refused.hint, key=key, value=value) from refused


class Settings:
    """The layers, and the value each key has now."""

    def __init__(self) -> None:
        self._layers: dict[str, dict[str, Any]] = {layer: {} for layer in LAYERS}
        self._layers["default"] = {key: item.default for key, item in SETTINGS.items()}
        self._own_defaults: dict[str, dict[str, Any]] = {}
        self.problems: list[str] = []
        """What could not be used at start, each in a sentence, for the log and `doctor`."""

    @classmethod
    def load(
        cls, config_file: Path | None, overrides_file: Path | None, environment: Mapping[str, str]
    ) -> Settings:
        """Returns settings from disk and environment. An unusable value is noted and ignored."""
        settings = cls()
        if config_file is not None:
            settings._take("file", settings._read_file(config_file))
        if overrides_file is not None:
            settings._take("overrides", settings._read_file(overrides_file))
        settings._take("env", settings._read_environment(environment))
        return settings

    def value(self, key: str) -> Any:
        """Returns what the key is now; None for an unset default or preset."""
        return self._layers[self.source(key)].get(key)

    def source(self, key: str) -> str:
        """Returns the layer that decides the key."""
        for layer in reversed(LAYERS):
            if key in self._layers[layer]:
                return layer
        return "default"

    def written(self, key: str) -> Any:
        """Returns what a person wrote for the key, whatever was set since; None: nothing."""
        for layer in reversed(LAYERS):
            if layer not in ("default", "runtime") and key in self._layers[layer]:
                return self._layers[layer][key]
        return None

    def apply(self, layer: str, values: Mapping[str, Any]) -> list[str]:
        """Sets dotted or nested keys and returns those that changed.

        Raises:
            InvalidConfig: one value is wrong; nothing is applied.
        """
        checked = {key: check(key, value) for key, value in flatten(values).items()}
        before = {key: self.value(key) for key in checked}
        self._layers[layer].update(checked)
        return [key for key in checked if self.value(key) != before[key]]

    def keys(self) -> list[str]:
        """Returns every key that has a meaning or a value now."""
        return sorted({key for layer in self._layers.values() for key in layer})

    def snapshot(self, keys: list[str] | None = None) -> dict[str, Any]:
        """Returns key to value.

        Raises:
            InvalidConfig: a key nobody knows.
        """
        for key in keys or ():
            if key not in SETTINGS and not key.startswith(FREE_TABLES):
                check(key, None)
        return {key: self.value(key) for key in keys or self.keys()}

    def table(self, prefix: str) -> dict[str, Any]:
        """Returns the set values below `prefix`, without it (`defaults.`, `presets.`)."""
        below = [key for key in self.keys() if key.startswith(prefix)]
        values = {key.removeprefix(prefix): self.value(key) for key in below}
        return {name: value for name, value in values.items() if value is not None}

    def own_defaults(self, backend: str) -> Mapping[str, Any]:
        """Returns what the environment sets for one backend's requests, below `defaults.*`."""
        return self._own_defaults.get(backend, {})

    def _take(self, layer: str, values: Mapping[str, Any]) -> None:
        for key, value in values.items():
            try:
                self._layers[layer][key] = check(key, value)
            except LofiError as error:
                self.problems.append(f"{error.message} ({layer}); ignored")

    def _read_file(self, path: Path) -> dict[str, Any]:
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            self.problems.append(f"{path} cannot be read: {error.strerror}; ignored")
            return {}
        try:
            text = data.decode("utf-8", "surrogatepass")
            return flatten(json.loads(text) if path.suffix == ".json" else _toml(text))
        except (ValueError, AttributeError, RecursionError) as error:
            self.problems.append(f"{path} cannot be understood: {error}; ignored")
            return {}

    def _read_environment(self, environment: Mapping[str, str]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        said = environment.get("LOFI_OFFLINE") or "0"
        offline = _WORDS.get(said.lower())
        if offline is None:
            self.problems.append(f"LOFI_OFFLINE must be 0 or 1, got {said!r}; taken for 1")
        if offline in (None, True):
            values["model.auto_download"] = "never"
        for name, key in _ENVIRONMENT.items():
            text = environment.get(name)
            if text:
                try:
                    values[key] = check(key, from_text(key, text))
                except LofiError as error:
                    self.problems.append(f"{name}: {error.message}; ignored")
        self._own_defaults = own_defaults.read(environment, self.problems)
        return values


_WORDS = {"1": True, "true": True, "on": True, "0": False, "false": False, "off": False}


def from_text(key: str, text: str) -> Any:
    """Returns what `text` means for this key, as a command line or the environment gives it."""
    kind = SETTINGS[key].kind if key in SETTINGS else "any"
    if text.lower() in ("null", "nil", "none") and key in SETTINGS and SETTINGS[key].nullable:
        return None
    if kind == "bool":
        return _WORDS.get(text.lower(), text)
    if kind in ("int", "num", "any"):
        try:
            return json.loads(text)
        except ValueError:
            return text
    if kind == "list":
        return [item for item in text.split(",") if item]
    return text


def _toml(text: str) -> dict[str, Any]:
    import tomllib  # slow to read, and few have such a file

    return tomllib.loads(text)
