from __future__ import annotations

import pytest

from lofi.listen.meter import first_bar_sec
from lofi.listen.sound import Sound
from tests.backends.procedural.hearing import STYLES, render


@pytest.mark.parametrize("style", [name for name in STYLES if name != "ambient"])
def test_bar_lines_are_found_where_the_score_has_them(style: str) -> None:
    found = 0
    for seed in (3, 4):
        track = render(style=style, seed=seed, duration_sec=18, form="body")
        late = round(0.7 * 48000)
        shifted = Sound(track.sound.samples[:, late:], 48000)
        bar = first_bar_sec(shifted, float(track.facts["grid"]["bpm"]))
        # House plays its bass between the kicks: by ear alone the beat may be the off-beat.
        grid_sec = track.bar_sec / (8 if style == "house" else 1)
        error = (bar + 0.7) % grid_sec
        found += min(error, grid_sec - error) < 0.08
    assert found == 2
