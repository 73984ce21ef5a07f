"""Sound files to work on, and running an operation without a process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from lofi.worker.backend import Answer, Step
from lofi.worker.operations import operate


def answer(operation: str, **params: Any) -> Mapping[str, Any]:
    """Runs an operation and returns its answer; its steps must be in order."""
    *events, last = operate(operation, params, lambda: None)
    assert isinstance(last, Answer)
    steps = [event for event in events if isinstance(event, Step)]
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert all(step.done <= step.total for step in steps)
    return last.value


def tone(seconds: float, rate: int = 48000, channels: int = 2, level: float = 0.5) -> Any:
    time_sec = np.arange(round(seconds * rate)) / rate
    wave = level * np.sin(2 * np.pi * 440 * time_sec)
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


def write(path: Path, samples: NDArray[np.float32], rate: int = 48000, **options: Any) -> Path:
    """Writes in blocks: long Vorbis in one go crashes."""
    with soundfile.SoundFile(path, "w", rate, samples.shape[1], **options) as file:
        for start in range(0, len(samples), rate):
            file.write(samples[start : start + rate])
    return path
