"""What every suite needs."""

from __future__ import annotations

import gc


def pytest_collection_finish() -> None:
    """What was read stays: collections while tests run need not look through it again."""
    gc.collect()
    gc.freeze()
