"""What was raised, and what a person reads."""

from __future__ import annotations

import errno

import pytest

from lofi.errors import InvalidLora
from lofi.worker.failures import typed


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (InvalidLora("rank 8 is not 4"), "INVALID_LORA", "rank 8"),
        (MemoryError(), "INSUFFICIENT_MEMORY", "Memory ran out"),
        (RuntimeError("CUDA out of memory. Tried"), "INSUFFICIENT_MEMORY", "Memory ran out"),
        (OSError(errno.ENOSPC, "No space", "/tmp/x"), "INSUFFICIENT_DISK", "full"),
        (OSError(errno.EACCES, "Permission denied", "/tmp/x"), "CACHE_WRITE_ERROR", "/tmp/x"),
        (ModuleNotFoundError("no", name="torch"), "DEPENDENCY_MISSING", "torch"),
        (ModuleNotFoundError("no", name="soxr"), "DEPENDENCY_MISSING", "soxr"),
        (ModuleNotFoundError("no", name="lofi.nowhere"), "INTERNAL_ERROR", "ModuleNotFoundError"),
        (RuntimeError("shape '[3]' is invalid"), "INTERNAL_ERROR", "RuntimeError"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_every_failure_has_its_type(error: Exception, code: str, words: str) -> None:
    found = typed(error)
    assert (found.code, words in found.message) == (code, True), found.message


def test_the_install_command_is_exact() -> None:
    neural = typed(ModuleNotFoundError("no", name="torch.nn"))
    assert neural.hint == "Run :Lofi setup, or: pip install 'lofi[neural]'"
    assert neural.data == {"package": "torch"}
    base = typed(ModuleNotFoundError("no", name="soundfile"))
    assert base.hint == "Run :Lofi setup python, or: pip install 'lofi'"


def test_a_bug_tells_nothing_of_itself() -> None:
    assert "secret" not in typed(RuntimeError("secret tensor")).message
