"""ACE-Step 1.5: text, lyrics and sound to music at 48 kHz.

As a library: `Pipeline.open(folder, "turbo").generate(Request(prompt="…", duration_sec=30))`.
"""

from __future__ import annotations

from lofi.backends.ace_step_15.backend import AceStep15, create
from lofi.backends.ace_step_15.pipeline import Pipeline
from lofi.backends.ace_step_15.request import Request

__all__ = ["AceStep15", "Pipeline", "Request", "create"]
