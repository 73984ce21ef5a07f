"""What a machine can hear in a sound file: estimators that know nothing of who made it."""

from __future__ import annotations

from lofi.listen.picture import draw
from lofi.listen.report import Report, report

__all__ = ["Report", "draw", "report"]
