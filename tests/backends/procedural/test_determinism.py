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

PROBES = """
import sys
import numpy as np
x = np.linspace(-3, 3, 40001)
z = x + 1j * x[::-1]
square = np.sin(np.arange(90000.0)).reshape(300, 300)
# Which of them has code of its own for a feature depends on the feature: together they notice any.
routines = [np.exp(x), np.tanh(x), np.square(z).real, np.exp(x.astype(np.float32))]
out = {"routines": np.concatenate(routines), "product": square @ square.T}
"""
RENDERS = """
from tests.backends.procedural.hearing import stretches
for bits, style in zip((12, 8, 16, 6, 10), %r):
    out[style] = np.concatenate(stretches({"style": style, "bits": bits, "duration_sec": %r}))
"""
STORE = "np.savez(sys.argv[1], **out)"


def found_features() -> list[str]:
    """Returns the vector features numpy found, by the names it accepts back."""
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    return [name for name in __cpu_dispatch__ if __cpu_features__[name]]


def computed(path: Path, environment: dict[str, str], program: str) -> dict[str, np.ndarray]:
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
    program = PROBES + RENDERS % (tuple(STYLES), 20.0) + STORE
    plain = computed(tmp_path / "plain.npz", {}, program)
    poor = {"NPY_DISABLE_CPU_FEATURES": " ".join(features), "OPENBLAS_CORETYPE": "Prescott"}
    other = computed(tmp_path / "other.npz", poor if features else {}, program)
    if features:
        assert not np.array_equal(plain["routines"], other["routines"])
        assert not np.array_equal(plain["product"], other["product"])
    for style in STYLES:
        apart = np.abs(plain[style] - other[style]).max() * 32768
        assert apart <= 1.001, f"{style} is {apart:.2f} steps apart"


@pytest.mark.skipif(not found_features(), reason="numpy has no vector code of its own here")
def test_the_probes_notice_names_that_numpy_passes_over(tmp_path: Path) -> None:
    program = PROBES + STORE

    def routines(names: str) -> np.ndarray:
        environment = {"NPY_DISABLE_CPU_FEATURES": names}
        return computed(tmp_path / "probes.npz", environment, program)["routines"]

    plain = computed(tmp_path / "plain.npz", {}, program)["routines"]
    assert np.array_equal(plain, routines("AVX2 AVX512F"))  # names of older numpys
    assert not np.array_equal(plain, routines(" ".join(found_features())))
