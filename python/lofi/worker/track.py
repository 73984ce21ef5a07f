"""One track from a backend's events to its finished file."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

from lofi.errors import ModelInferenceFailed
from lofi.wire.frames import Generate, SoundAnnounced, StretchDone
from lofi.worker.audio import Finished, Mastering, check_stretch, finish
from lofi.worker.backend import Answer, Check, Event, Phase, Sound, Stretch
from lofi.worker.report import Report
from lofi.worker.spool import Spool


def render(
    events: Generator[Event, None, None], message: Generate, report: Report, check: Check
) -> Mapping[str, Any]:
    """Spools the sound of `events`, writes the track's file and returns its facts.

    On any failure both files are removed. After success the spool stays: the player may be
    reading it, and the daemon deletes it.

    Raises:
        ModelInferenceFailed: what the backend made is no track.
    """
    spool_path, file_path = Path(message.spool_path), Path(message.file_path)
    try:
        return _render(events, message, report, check)
    except BaseException:
        for path in (spool_path, file_path):
            with contextlib.suppress(OSError):  # a system may refuse while the player reads
                path.unlink(missing_ok=True)
        raise


def _render(
    events: Generator[Event, None, None], message: Generate, report: Report, check: Check
) -> Mapping[str, Any]:
    sound: Sound | None = None
    with contextlib.ExitStack() as stack:
        stack.callback(events.close)
        for event in _until_cancelled(events, check):
            if isinstance(event, Sound):
                sound = event
                mastering = Mastering.of(message.recipe, sound)
                spool = Spool(Path(message.spool_path), sound.channels)
                stack.callback(spool.close)
                report.send(_announced(report.job_id, sound, mastering))
            elif isinstance(event, Stretch):
                if sound is None:
                    raise ModelInferenceFailed("The model made samples before naming their rate")
                check_stretch(event.samples, sound)
                spool.append(event.samples)
                report.send(StretchDone(report.job_id, min(spool.frames, sound.frames)))
            elif not isinstance(event, Answer):
                report.tell(event)
        if sound is None:
            raise ModelInferenceFailed("The model made no sound", stage="decoding")
        report.tell(Phase("writing"))
        finished: Mapping[str, Any] = {}
        for outcome in finish(
            spool,
            sound,
            mastering,
            Path(message.file_path),
            format_name=message.format,
            bitrate_kbps=message.mp3_bitrate_kbps,
            check=check,
        ):
            if isinstance(outcome, Finished):
                finished = outcome.values
            else:
                report.tell(outcome)
        return {
            **report.facts,
            **finished,
            "timings": report.timings(),
            "devices": report.devices,
        }


def _until_cancelled(events: Iterator[Event], check: Check) -> Iterator[Event]:
    for event in events:
        check()
        yield event


def _announced(job_id: str, sound: Sound, mastering: Mastering) -> SoundAnnounced:
    return SoundAnnounced(
        job_id,
        sound.sample_rate,
        sound.channels,
        sound.frames,
        # Fades and a loop reach back from the end: such a track is heard when it is whole.
        sound.streams and not mastering.reshapes,
        sound.gain,
    )
