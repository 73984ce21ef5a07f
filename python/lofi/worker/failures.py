"""From whatever was raised to the error that a person can act on."""

from __future__ import annotations

import errno

from lofi.errors import (
    CacheWriteError,
    DependencyMissing,
    InsufficientDisk,
    InsufficientMemory,
    InternalError,
    LofiError,
)
from lofi.worker.process import is_out_of_memory

NEURAL_PACKAGES = frozenset(
    "torch transformers safetensors huggingface_hub tokenizers yaml".split()
)
"""What the extra `neural` brings."""


def typed(error: Exception) -> LofiError:
    """Returns the typed error that stands for `error`; `InternalError` for a bug."""
    if isinstance(error, LofiError):
        return error
    if is_out_of_memory(error):
        return InsufficientMemory(
            "Memory ran out",
            hint="Close other programs, ask for a shorter track, or set model.offload.",
        )
    if isinstance(error, ModuleNotFoundError):
        package = (error.name or "").partition(".")[0]
        # A module of our own that is not there is a bug.
        if package not in ("", "lofi"):
            return missing_package(package)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InsufficientDisk(f"The disk is full: {error}", path=str(error.filename or ""))
    if isinstance(error, OSError) and error.filename is not None:
        return CacheWriteError(f"Cannot use {error.filename}: {error.strerror}", errno=error.errno)
    return InternalError(f"{type(error).__name__} in the worker; its log has the traceback")


def missing_package(package: str) -> DependencyMissing:
    """Returns the error for an absent Python package, with the command that installs it."""
    is_neural = package in NEURAL_PACKAGES
    extra = "lofi[neural]" if is_neural else "lofi"
    # The models' packages come with a model.
    command = ":Lofi setup" if is_neural else ":Lofi setup python"
    return DependencyMissing(
        f"The Python package {package} is not installed",
        hint=f"Run {command}, or: pip install '{extra}'",
        package=package,
    )
