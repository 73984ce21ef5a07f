from __future__ import annotations

from pathlib import Path

import pytest

from lofi.daemon.player.controls import Controls
from lofi.daemon.player.playable import PlayableTrack


def test_what_is_not_set_has_its_default() -> None:
    controls = Controls({"playback.volume": 0.25, "cache.max_mb": 3})
    assert controls.volume == 0.25
    assert (controls.loop, controls.shuffle, controls.crossfade_sec) == ("playlist", False, 2.0)
    assert (controls.output, controls.device) == ("auto", None)


@pytest.mark.parametrize(
    ("value", "loop"), [(True, "playlist"), (False, "off"), ("track", "track")]
)
def test_loop_takes_the_short_forms(value: object, loop: str) -> None:
    controls = Controls({})
    controls.take("playback.loop", value)
    assert controls.loop == loop


def test_volume_stays_in_its_range_and_mute_is_apart_from_it() -> None:
    controls = Controls({})
    controls.volume = 1.7
    assert controls.gain == 1.0
    controls.muted = True
    assert (controls.gain, controls.volume) == (0.0, 1.0)
    controls.volume = -1.0
    assert controls.volume == 0.0


def test_loudness_is_evened_out_only_when_wanted() -> None:
    track = PlayableTrack("a", Path("a.wav"), "", "", 1.0, lufs=-12.0, true_peak_db=-3.0)
    controls = Controls({})
    assert controls.gain_of(track) == pytest.approx(10 ** (-6 / 20))
    controls.take("playback.normalize", False)
    assert controls.gain_of(track) == 1.0
