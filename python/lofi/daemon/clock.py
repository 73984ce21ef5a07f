"""Now, in the two forms the daemon needs: a number that only grows, and the wire's timestamp."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class SystemClock:
    """The machine's own clock."""

    def monotonic(self) -> float:
        return time.monotonic()

    def timestamp(self) -> str:
        """Returns now as RFC 3339 UTC with milliseconds."""
        return timestamp(time.time())


def timestamp(epoch_sec: float) -> str:
    """Returns a moment as RFC 3339 UTC with milliseconds."""
    moment = datetime.fromtimestamp(epoch_sec, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def epoch_sec(text: str) -> float:
    """Returns the moment a timestamp names; 0 for what is none."""
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except (ValueError, AttributeError):
        return 0.0
