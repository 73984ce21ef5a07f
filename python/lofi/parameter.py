"""One parameter of `generate`: its type, range and default, and how a value is checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lofi.errors import InvalidParams, LofiError


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. `kind`: int, num, str, bool, list, texts, audio; None is always "unset"."""

    name: str
    kind: str
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()
    default: Any = None
    """A value, or `by(...)`: one a family or a task."""
    tasks: frozenset[str] | None = None
    """The tasks that use it; None: all."""
    error: type[LofiError] = InvalidParams

    def check(self, value: Any) -> Any:
        """Returns the value in its one form.

        Raises:
            LofiError: of the parameter's own class, naming it, the value and what is allowed.
        """
        if value is None:
            return None
        checked = _CHECKS[self.kind](self, value)
        if checked is None:
            self.refuse(value)
        return checked

    def refuse(self, value: Any) -> None:
        """Raises the parameter's own error for `value`."""
        data: dict[str, Any] = {"param": self.name}
        if self.choices:
            data["allowed"] = list(self.choices)
        for name, bound in (("min", self.low), ("max", self.high)):
            if math.isfinite(bound) and self.kind in ("int", "num"):
                data[name] = bound
        raise self.error(
            f"{self.name} must be {self.describe()}, got {_shown(value)}",
            hint=f"Give {self.name} as {self.describe()}.",
            **data,
        )

    def describe(self) -> str:
        """Returns what is allowed, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        words = {
            "int": "a whole number",
            "num": "a number",
            "str": "text",
            "bool": "true or false",
            "list": "a list",
            "texts": f"a list of texts of {self.low:g} to {self.high:g} characters",
            "audio": "a track id or an absolute path",
        }[self.kind]
        low, high = math.isfinite(self.low), math.isfinite(self.high)
        if self.kind == "texts":
            return words
        if self.kind == "str" and high:
            return f"{words} of {max(0, self.low):g} to {self.high:g} characters"
        if low and high:
            return f"{words} in {self.low:g}..{self.high:g}"
        return f"{words} of at least {self.low:g}" if low else words

    def default_for(self, family: str, task: str) -> Any:
        """Returns the default where this family and task are known."""
        if isinstance(self.default, By):
            values = self.default.values
            return values.get(task, values.get(family, values.get("")))
        return self.default


@dataclass(frozen=True, slots=True)
class By:
    """A default a task or a family; `""` holds for the rest."""

    values: Mapping[str, Any] = field(default_factory=dict)


def by(**values: Any) -> By:
    """Returns a default that depends on the task or the family; `rest` holds otherwise."""
    return By({("" if name == "rest" else name): value for name, value in values.items()})


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _whole(parameter: Parameter, value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if not math.isfinite(value) or value != int(value):
        return None
    return int(value) if parameter.low <= value <= parameter.high else None


def _number(parameter: Parameter, value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if not math.isfinite(value) or not parameter.low <= value <= parameter.high:
        return None
    return value


def _text(parameter: Parameter, value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    if parameter.choices:
        folded = value.strip().lower().replace("-", "_")
        matches = [choice for choice in parameter.choices if choice.replace("-", "_") == folded]
        return matches[0] if matches else None
    return value if len(value) <= parameter.high else None


def _truth(parameter: Parameter, value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _items(parameter: Parameter, value: Any) -> list[Any] | None:
    return list(value) if isinstance(value, (list, tuple)) else None


def _texts(parameter: Parameter, value: Any) -> list[str] | None:
    items = _items(parameter, value)
    if items is None or not all(isinstance(item, str) for item in items):
        return None
    fit = all(parameter.low <= len(item) <= parameter.high for item in items)
    return list(dict.fromkeys(items)) if fit else None


def _audio(parameter: Parameter, value: Any) -> Any:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, dict) and len(value) == 1:
        name, inner = next(iter(value.items()))
        if name in ("track_id", "path") and isinstance(inner, str) and inner:
            return dict(value)
    return None


def _free(parameter: Parameter, value: Any) -> Any:
    return value


_CHECKS = {
    "int": _whole,
    "num": _number,
    "str": _text,
    "bool": _truth,
    "list": _items,
    "texts": _texts,
    "audio": _audio,
    "any": _free,
}
