from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from lofi.errors import InvalidSource
from lofi.listen.sound import Response, filtered, read, spectra
from tests.listen.sounds import RATE, noise, sine


def test_a_file_is_read_as_channels_by_frames(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([sine(440, 0.5), sine(220, 0.5)], axis=1), RATE)
    sound = read(path)
    assert sound.samples.shape == (2, RATE // 2) and sound.seconds == 0.5


@pytest.mark.parametrize("content", [None, b"", b"this is no sound"])
def test_what_is_no_sound_is_refused_with_a_hint(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "b.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidSource) as caught:
        read(path)
    assert caught.value.hint


def test_an_empty_sound_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.wav"
    soundfile.write(path, np.zeros((0, 2)), RATE)
    with pytest.raises(InvalidSource):
        read(path)


def test_spectra_tell_the_level_of_a_sine() -> None:
    rows = np.concatenate([frames for _, frames in spectra(sine(3000, 1.0, 0.25), 4096, 1024)])
    assert rows[5].max() == pytest.approx(0.25, rel=0.02)


def test_filters_keep_their_band_across_the_seams_of_their_pieces() -> None:
    x = sine(1000, 12.0) + sine(60, 12.0)
    kept = filtered(x, RATE, Response(300, 5000))
    wanted = sine(1000, 12.0)
    assert np.abs(kept - wanted)[4800:-4800].max() < 1e-3
    assert len(filtered(noise(0.01), RATE, Response(300, 5000))) == 480
