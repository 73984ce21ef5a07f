from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from lofi.errors import InvalidSource
from lofi.listen import draw, picture
from lofi.listen.png import GLYPHS, Canvas, heat
from tests.listen.sounds import RATE, clicks, noise, sine, stereo


def pixels(data: bytes) -> np.ndarray:
    """Reads back what `Canvas.save` writes: 8-bit RGB, no filters."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    place, body, size = 8, b"", (0, 0)
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        kind, chunk = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        (check,) = struct.unpack(">I", data[place + 8 + length : place + 12 + length])
        assert check == zlib.crc32(kind + chunk)
        if kind == b"IHDR":
            size = struct.unpack(">II", chunk[:8])
        elif kind == b"IDAT":
            body += chunk
        place += 12 + length
    rows = np.frombuffer(zlib.decompress(body), np.uint8).reshape(size[1], -1)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(size[1], size[0], 3)


def test_a_canvas_comes_back_as_it_was_painted(tmp_path: Path) -> None:
    canvas = Canvas(40, 30, (1, 2, 3))
    canvas.column(5, 10, 20, (200, 0, 0))
    canvas.row(2, 0, 39, (0, 200, 0))
    canvas.text(10, 10, "a1?", (255, 255, 255), size=1)
    canvas.save(tmp_path / "x.png")
    found = pixels((tmp_path / "x.png").read_bytes())
    assert np.array_equal(found, canvas.pixels)
    assert tuple(found[15, 5]) == (200, 0, 0) and (found == 255).any()


def test_every_glyph_is_five_rows_of_three_dots() -> None:
    for rows in GLYPHS.values():
        assert len(rows) == 5 and all(row in "01234567" for row in rows)


def test_heat_grows_brighter() -> None:
    colours = heat(np.linspace(0, 1, 50)).astype(int).sum(axis=1)
    assert np.all(np.diff(colours) > 0)


def test_a_sine_is_one_bright_line() -> None:
    image = picture.spectrogram(stereo(sine(1000, 4.0)), 200, 150)
    row = int(np.argmax(image.mean(axis=1)))
    hz = np.geomspace(picture.HIGHEST_HZ, picture.LOWEST_HZ, 150)[row]
    assert hz == pytest.approx(1000, rel=0.06)


@pytest.mark.parametrize("seconds", [0.3, 20.0])
def test_a_file_is_drawn(tmp_path: Path, seconds: float) -> None:
    path = tmp_path / "a.wav"
    x = sine(220, seconds, 0.3) + clicks(90, seconds) + noise(seconds, 0.01)
    soundfile.write(path, np.stack([x, x * 0.9], axis=1), RATE)
    heard = draw(path, tmp_path / "a.png")
    found = pixels((tmp_path / "a.png").read_bytes())
    assert found.shape == (picture.HEIGHT, picture.WIDTH, 3) and len(np.unique(found)) > 50
    assert heard.duration_sec == pytest.approx(seconds)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSource):
        draw(tmp_path / "none.wav", tmp_path / "a.png")
