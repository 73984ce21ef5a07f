"""A sound as a row of bars."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lofi.worker.backend import Answer, Check, Event, Phase
from lofi.worker.reading import open_sound

DIGITS = 4


def waveform(params: Mapping[str, Any], check: Check) -> Iterator[Event]:
    """Answers `peaks`: the highest amplitude in each of `columns` equal parts of `path`, 0..1.

    Raises:
        InvalidSource: the file cannot be read.
    """
    sound = open_sound(Path(params["path"]))
    columns = int(params.get("columns", 40))
    peaks = np.zeros(columns)
    frame = 0
    yield Phase("decoding")
    for block in sound.blocks():
        check()
        level = np.abs(block).max(axis=1)
        # A file may hold a little more than its header says: that counts for the last column.
        column = np.minimum(
            np.arange(frame, frame + len(level)) * columns // sound.frames, columns - 1
        )
        np.maximum.at(peaks, column, level)
        frame += len(level)
    yield Answer({"peaks": [round(float(min(peak, 1.0)), DIGITS) for peak in peaks]})
