"""An entry of the playlist at the stage, and how it gets there."""

from __future__ import annotations

from dataclasses import dataclass

from lofi.daemon.player.controls import Controls
from lofi.daemon.player.decode import Spool
from lofi.daemon.player.playable import PlayableTrack
from lofi.daemon.player.playlist import Entry
from lofi.daemon.player.shelf import Shelf
from lofi.daemon.player.stage import Stage, Take


@dataclass(slots=True, eq=False)
class Playing:
    """An entry that is at the stage, in one take or, after jumps, several."""

    entry: Entry
    take: Take
    track: PlayableTrack | None
    spool: Spool | None
    """One of the two is None: a track is finished, or being rendered."""
    is_heard: bool = False
    is_announced: bool = False
    is_counted: bool = False

    @property
    def position_sec(self) -> float:
        return max(0.0, min(self.take.position_sec, self.entry.duration_sec))


async def prepare(
    entry: Entry, start_sec: float, shelf: Shelf, stage: Stage, controls: Controls
) -> Playing:
    """Returns `entry` ready to be heard from `start_sec` on.

    Raises:
        InvalidTrackId, AudioPlaybackError, AudioDeviceError: it cannot be.
    """
    record = shelf.record(entry.track_id)
    gain = 1.0 if record.track is None else controls.gain_of(record.track)
    take = await stage.prepare(record.open_source, min(start_sec, entry.duration_sec), gain)
    return Playing(entry, take, record.track, record.spool)
