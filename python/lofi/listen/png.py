"""A picture of pixels with the few strokes a chart needs, and how it becomes a PNG."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]

# Three by five dots, a row an octal digit from the top.
GLYPHS = {
    "0": "75557", "1": "26227", "2": "71747", "3": "71717", "4": "55711", "5": "74717",
    "6": "74757", "7": "71122", "8": "75757", "9": "75717", "A": "25755", "B": "65656",
    "C": "34443", "D": "65556", "E": "74647", "F": "74644", "G": "34553", "H": "55755",
    "I": "72227", "J": "11152", "K": "55655", "L": "44447", "M": "57755", "N": "65555",
    "O": "25552", "P": "65644", "Q": "25563", "R": "65655", "S": "34216", "T": "72222",
    "U": "55557", "V": "55552", "W": "55775", "X": "55255", "Y": "55222", "Z": "71247",
    ".": "00002", ",": "00024", ":": "02020", "-": "00700", "+": "02720", "/": "11244",
    "%": "51245", "#": "57575", "(": "24442", ")": "21112", "=": "07070", "_": "00007",
    " ": "00000",
}  # fmt: skip


class Canvas:
    """An RGB picture; (0, 0) is the upper left corner."""

    def __init__(self, width: int, height: int, background: Colour) -> None:
        self.pixels: NDArray[np.uint8] = np.empty((height, width, 3), dtype=np.uint8)
        self.pixels[:] = background

    def paste(self, image: NDArray[np.uint8], left: int, top: int) -> None:
        """Puts an image [height, width, 3] at a place."""
        self.pixels[top : top + image.shape[0], left : left + image.shape[1]] = image

    def column(self, x: int, top: int, bottom: int, colour: Colour) -> None:
        """Draws one upright line, both ends included."""
        self.pixels[min(top, bottom) : max(top, bottom) + 1, x] = colour

    def row(self, y: int, left: int, right: int, colour: Colour) -> None:
        """Draws one level line, both ends included."""
        self.pixels[y, left : right + 1] = colour

    def text(self, x: int, y: int, text: str, colour: Colour, size: int = 2) -> None:
        """Writes capitals, figures and a few signs; what has no glyph is left blank."""
        for place, letter in enumerate(text.upper()):
            rows = GLYPHS.get(letter, GLYPHS[" "])
            for down, dots in enumerate(rows):
                for across in range(3):
                    if int(dots) >> (2 - across) & 1:
                        left = x + (4 * place + across) * size
                        top = y + down * size
                        self.pixels[top : top + size, left : left + size] = colour

    def save(self, path: Path) -> None:
        """Writes the picture as PNG."""
        height, width, _ = self.pixels.shape
        rows = np.zeros((height, 1 + 3 * width), dtype=np.uint8)  # filter type 0 leads each row
        rows[:, 1:] = self.pixels.reshape(height, -1)
        header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        path.write_bytes(
            b"\x89PNG\r\n\x1a\n"
            + _chunk(b"IHDR", header)
            + _chunk(b"IDAT", zlib.compress(rows.tobytes(), 6))
            + _chunk(b"IEND", b"")
        )


def _chunk(kind: bytes, body: bytes) -> bytes:
    check = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)


ANCHORS = np.array(
    [(8, 8, 24), (56, 24, 96), (150, 44, 110), (226, 96, 76), (250, 178, 82), (255, 246, 208)],
    dtype=np.float64,
)


def heat(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Returns colours [..., 3] for values 0…1, dark to bright."""
    place = np.clip(values, 0.0, 1.0) * (len(ANCHORS) - 1)
    low = np.minimum(place.astype(np.int64), len(ANCHORS) - 2)
    part = (place - low)[..., None]
    colours = ANCHORS[low] * (1 - part) + ANCHORS[low + 1] * part
    return np.asarray(np.rint(colours), dtype=np.uint8)
