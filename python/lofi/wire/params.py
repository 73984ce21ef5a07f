"""Reads a method's parameters into its dataclass: types, ranges and names, checked once."""

from __future__ import annotations

import math
import os
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, dataclass_transform

from lofi.errors import InvalidParams

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Range:
    """Bounds of a number, both included."""

    low: float = -math.inf
    high: float = math.inf

    def describe(self) -> str:
        if math.isfinite(self.low) and math.isfinite(self.high):
            return f" in {self.low:g}..{self.high:g}"
        return f" of at least {self.low:g}" if math.isfinite(self.low) else ""


@dataclass(frozen=True, slots=True)
class Length:
    """How many characters a text may have."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Absolute:
    """A path must be absolute: the daemon has no directory of the client's."""


ABSOLUTE = Absolute()


@dataclass_transform()
def call(kind: type[T]) -> type[T]:
    """A dataclass of one method's parameters. It becomes one when it is first wanted: there are
    forty, and all at once are what the first sound would wait for."""

    def first(self: Any, *args: Any, **values: Any) -> None:
        _complete(kind)
        kind.__init__(self, *args, **values)

    kind.__init__ = first  # type: ignore[method-assign]
    return kind


def _complete(kind: type[Any]) -> None:
    """For one thread: the daemon's loop."""
    if "__dataclass_fields__" not in vars(kind):
        del kind.__init__
        dataclass(kind)


def read(kind: type[T], params: Mapping[str, Any]) -> T:
    """Returns `params` as a value of the dataclass `kind`. Names starting with `x_` are ignored.

    Raises:
        InvalidParams: an unknown name (with the nearest one), a missing one, a wrong value.
    """
    _complete(kind)
    hints = typing.get_type_hints(kind, include_extras=True)
    known: dict[str, Field[Any]] = {item.name: item for item in fields(kind)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for name, value in params.items():
        if name.startswith("x_"):
            continue
        if name not in known:
            raise _unknown(name, list(known))
        values[name] = _value(name, hints[name], value)
    for name, item in known.items():
        if name not in values and item.default is MISSING and item.default_factory is MISSING:
            raise InvalidParams(f"{name} is missing", hint=f"Give {name}.", param=name)
    return kind(**values)


def _unknown(name: str, known: list[str]) -> InvalidParams:
    import difflib  # slow to read, for mistakes only

    near = difflib.get_close_matches(name, known, 1)
    data: dict[str, Any] = {"param": name}
    if near:
        data["did_you_mean"] = near[0]
    hint = f"Did you mean {near[0]}?" if near else "It takes: " + (", ".join(known) or "nothing")
    return InvalidParams(f"There is no parameter {name!r}", hint=hint, **data)


def _value(name: str, hint: Any, value: Any) -> Any:
    bounds: tuple[Any, ...] = ()
    if typing.get_origin(hint) is typing.Annotated:
        hint, *rest = typing.get_args(hint)
        bounds = tuple(rest)
    options = typing.get_args(hint) if typing.get_origin(hint) in _UNIONS else (hint,)
    for option in options:
        own = bounds
        if typing.get_origin(option) is typing.Annotated:
            option, *rest = typing.get_args(option)
            own = tuple(rest)
        fits, read_value = _fits(option, value)
        if fits and all(_keeps(bound, read_value) for bound in own):
            return read_value
    allowed = " or ".join(dict.fromkeys(_describe(option, bounds) for option in options))
    raise InvalidParams(
        f"{name} must be {allowed}, got {_shown(value)}",
        hint=f"Give {name} as {allowed}.",
        param=name,
    )


_UNIONS = (Union, types.UnionType)


def _fits(option: Any, value: Any) -> tuple[bool, Any]:
    origin = typing.get_origin(option)
    if option is Any:
        return True, value
    if option in (None, type(None)):
        return value is None, None
    if origin is Literal:
        return value in typing.get_args(option) and isinstance(value, str), value
    if option is bool:
        return isinstance(value, bool), value
    if option in (int, float):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not math.isfinite(value):
            return False, value
        if option is int:
            return value == int(value), int(value)
        return True, float(value)
    if option is str:
        return isinstance(value, str), value
    if origin is list:
        (inner,) = typing.get_args(option)
        if not isinstance(value, list):
            return False, value
        items = [_fits(inner, item) for item in value]
        return all(fits for fits, _ in items), [item for _, item in items]
    if origin in (dict, Mapping, typing.get_origin(Mapping[str, Any])) or option is dict:
        return isinstance(value, dict), value
    raise TypeError(f"a method's parameter cannot be of type {option!r}")


def _keeps(bound: Any, value: Any) -> bool:
    if isinstance(bound, Range):
        return value is None or bound.low <= value <= bound.high
    if isinstance(bound, Length):
        return value is None or bound.low <= len(value) <= bound.high
    if isinstance(bound, Absolute):
        return value is None or is_absolute(value)
    return True


def is_absolute(path: str) -> bool:
    """Returns whether a file can have this name, seen from the root."""
    try:
        return Path(path).is_absolute() and b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:  # half of a surrogate pair is no character of any name
        return False


def _describe(option: Any, bounds: tuple[Any, ...]) -> str:
    if typing.get_origin(option) is typing.Annotated:
        option, *rest = typing.get_args(option)
        bounds = tuple(rest)
    if typing.get_origin(option) is Literal:
        return "one of " + ", ".join(typing.get_args(option))
    words = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    if option in (None, type(None)):
        return "null"
    said = words.get(option) or ("a list" if typing.get_origin(option) is list else "an object")
    for bound in bounds:
        if isinstance(bound, Range) and option in (int, float):
            said += bound.describe()
        elif isinstance(bound, Length):
            said = f"text of {bound.low} to {bound.high} characters"
        elif isinstance(bound, Absolute):
            said = "an absolute path"
    return said


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
