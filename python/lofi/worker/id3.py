"""The tag at the start of an MP3 file (ID3v2.3): libsndfile's own takes Latin letters only."""

from __future__ import annotations

import struct
from collections.abc import Mapping

FRAMES = {"title": b"TIT2", "artist": b"TPE1", "software": b"TSSE", "comment": b"COMM"}
UTF_16 = b"\x01"
LANGUAGE = b"XXX"


def id3_tag(texts: Mapping[str, str]) -> bytes:
    """Returns the tag of `title`, `artist`, `software` and `comment`; b"" if all are empty."""
    frames = b"".join(_frame(FRAMES[name], text) for name, text in texts.items() if text)
    if not frames:
        return b""
    return b"ID3\x03\x00\x00" + _seven_bits(len(frames)) + frames


def _frame(name: bytes, text: str) -> bytes:
    body = UTF_16
    if name == b"COMM":
        body += LANGUAGE + "".encode("utf-16") + b"\x00\x00"  # an empty description
    body += text.encode("utf-16", "replace")
    return name + struct.pack(">I", len(body)) + b"\x00\x00" + body


def _seven_bits(size: int) -> bytes:
    """The whole tag's size, seven bits a byte, so that it never looks like sound."""
    return bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
