"""The same samples on another machine, within one 16-bit step.

Another machine is played by the same one with its vector code switched off. The test first asserts
that this really changed arithmetic: else it would prove nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lofi.backends.procedural.styles import STYLES
from tests.clock import limit

PROGRAM = """
import sys
import numpy as np
from tests.backends.procedural.hearing import stretches
square = np.sin(np.arange(90000.0)).reshape(300, 300)
out = {"exp": np.exp(np.linspace(-3, 3, 4001)), "product": square @ square.T}
for bits, style in zip((12, 8, 16, 6, 10), %r):
    out[style] = np.concatenate(stretches({"style": style, "bits": bits, "duration_sec": %r}))
np.savez(sys.argv[1], **out)
"""


def found_features() -> list[str]:
    """Returns the vector features numpy found, by the names it accepts back."""
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    return [name for name in __cpu_dispatch__ if __cpu_features__[name]]


def rendered(path: Path, environment: dict[str, str], seconds: float) -> dict[str, np.ndarray]:
    program = PROGRAM % (tuple(STYLES), seconds)
    whole = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "OMP_NUM_THREADS": "1",
        **environment,
    }
    subprocess.run(
        [sys.executable, "-c", program, str(path)], check=True, env=whole, timeout=limit(120)
    )
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}


@pytest.mark.slow
def test_without_vector_code_it_is_within_one_step(tmp_path: Path) -> None:
    features = found_features()
    seconds = 20.0
    plain = rendered(tmp_path / "plain.npz", {}, seconds)
    poor = {"NPY_DISABLE_CPU_FEATURES": " ".join(features), "OPENBLAS_CORETYPE": "Prescott"}
    other = rendered(tmp_path / "other.npz", poor if features else {}, seconds)
    if features:
        assert not np.array_equal(plain["exp"], other["exp"])
        assert not np.array_equal(plain["product"], other["product"])
    for style in STYLES:
        apart = np.abs(plain[style] - other[style]).max() * 32768
        assert apart <= 1.001, f"{style} is {apart:.2f} steps apart"
