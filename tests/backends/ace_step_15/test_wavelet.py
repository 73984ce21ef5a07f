from __future__ import annotations

import math

import pytest

from lofi.backends.ace_step_15.wavelet import scaling_filter


@pytest.mark.parametrize("name", ["haar", "db3", "db10", "sym2", "sym8", "sym9"])
def test_filters_are_orthonormal_to_their_even_shifts(name: str) -> None:
    taps = scaling_filter(name)
    assert math.isclose(sum(taps), math.sqrt(2), rel_tol=1e-9)
    for shift in range(0, len(taps), 2):
        product = sum(a * b for a, b in zip(taps, taps[shift:], strict=False))
        assert math.isclose(product, float(shift == 0), abs_tol=1e-9)


def test_known_taps() -> None:
    root = math.sqrt(3)
    expected = [(1 + root), (3 + root), (3 - root), (1 - root)]
    for name, taps in (("db2", expected), ("sym2", expected)):
        found = scaling_filter(name)
        assert found == pytest.approx([tap / (4 * math.sqrt(2)) for tap in taps], abs=1e-12)
    # the middle tap of the usual table: which of the two mirrored filters it is
    assert scaling_filter("sym9")[8] == pytest.approx(0.6173384491409358, abs=1e-9)


@pytest.mark.parametrize("name", ["db0", "db11", "sym7", "bior2.2", "db", ""])
def test_an_unknown_wavelet_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="unknown wavelet"):
        scaling_filter(name)
