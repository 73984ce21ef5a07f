"""Defaults of one backend's own parameters, from the environment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lofi import parameters
from lofi.errors import LofiError

_PLACES = {
    "LOFI_ACE_STEP_STEPS": ("ace_step", "infer_steps"),
    "LOFI_ACE_STEP_SCHEDULER": ("ace_step", "scheduler"),
    "LOFI_ACE_STEP_GUIDANCE": ("ace_step", "guidance_scale"),
}


def names(backend: str) -> frozenset[str]:
    """Returns the parameters for which a backend may have a default of its own."""
    return frozenset(name for owner, name in _PLACES.values() if owner == backend)


def read(environment: Mapping[str, str], problems: list[str]) -> dict[str, dict[str, Any]]:
    """Returns backend to parameter to value; what cannot be used is added to `problems`."""
    found: dict[str, dict[str, Any]] = {}
    for variable, (backend, name) in _PLACES.items():
        text = environment.get(variable)
        if not text:
            continue
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        try:
            found.setdefault(backend, {})[name] = parameters.OWN[backend][name].check(value)
        except LofiError as error:
            problems.append(f"{variable}: {error.message}; ignored")
    return found
