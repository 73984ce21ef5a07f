"""How long a piece of work takes here: as measured in earlier runs, else from the machine's speed.

The costs are arithmetic on the published sizes: multiplications for what is computed, gigabytes of
weights for what is drawn token by token. They are good for a factor of two, which is what somebody
needs who is about to download one model or another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lofi.daemon.machine import Speed
from lofi.daemon.timings import Expectation, Timings, Work


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one second of audio."""

    step_gflop: float = 0.0
    """For each denoising step, guidance included."""
    gflop: float = 0.0
    """Once: decoding, and what does not depend on the steps."""
    gbyte: float = 0.0
    """Of float32 weights read."""


_VAE_GFLOP = 200.0
"""The autoencoder of ACE-Step 1.5."""
_DIT_GFLOP = 50.0
"""One pass of its 2B decoder over 12.5 tokens (2 x 2.0e9 x 12.5)."""
_TOKENS_PER_SEC = 50
_SMALL, _MEDIUM, _LARGE = (
    # layers x 14 x width squared parameters at 4 bytes, read for each token
    Cost(gflop=30 + _TOKENS_PER_SEC * size, gbyte=_TOKENS_PER_SEC * size)
    for size in (1.44, 6.34, 11.3)
)
_COSTS: Mapping[str, Mapping[str, Cost]] = {
    "ace_step_15": {
        "turbo": Cost(_DIT_GFLOP, _VAE_GFLOP),
        "guided": Cost(2 * _DIT_GFLOP, _VAE_GFLOP),
        "xl-turbo": Cost(2.1 * _DIT_GFLOP, _VAE_GFLOP),
        "xl-guided": Cost(4.2 * _DIT_GFLOP, _VAE_GFLOP),
    },
    # 2 x 3.3e9 x 10.8 tokens, guidance on half of the steps
    "ace_step": {"v1-3.5b": Cost(107.0, 120.0)},
    "musicgen": {
        "small": _SMALL,
        "medium": _MEDIUM,
        "large": _LARGE,
        "stereo-small": _SMALL,
        "stereo-medium": _MEDIUM,
        "stereo-large": _LARGE,
        "melody": _MEDIUM,
    },
}


class Forecast:
    """Asks the measured runs first.

    Args:
        speed: returns what this machine's processor can do, None until that is measured.
        devices: returns the ids of the devices there are, best first; None until known.
    """

    def __init__(
        self,
        timings: Timings,
        speed: Callable[[], Speed | None],
        devices: Callable[[], list[str] | None],
    ) -> None:
        self._timings = timings
        self._speed = speed
        self._devices = devices

    def expect(self, work: Work) -> Expectation | None:
        """Returns what a job will take; None when nothing can be said."""
        expected = self._timings.expect(work)
        speed = self._speed()
        if expected is not None or speed is None or not self._is_on_processor(work.device):
            return expected
        cost = _cost(work)
        if cost is None:
            return None
        gflop = cost.gflop + cost.step_gflop * work.steps
        seconds = work.duration_sec * (gflop / speed.gflops + cost.gbyte / speed.gbps)
        return Expectation({"all": seconds}, "guess")

    def _is_on_processor(self, device: str) -> bool:
        """A GPU's speed is known only once it has made something."""
        devices = self._devices() or ["cpu"]
        return device == "cpu" or (device == "auto" and devices[0] == "cpu")


def _cost(work: Work) -> Cost | None:
    costs = _COSTS.get(work.backend, {})
    if work.backend != "ace_step_15":
        return costs.get(work.variant)
    size = "xl-" if work.variant.startswith("xl-") else ""
    return costs[size + ("turbo" if "turbo" in work.variant else "guided")]
