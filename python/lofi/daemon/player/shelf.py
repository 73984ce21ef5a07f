"""Where a playlist's entries get their sound: the cache, a file anywhere, or a growing spool."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lofi.daemon.player.decode import FileSource, Spool, SpoolSource
from lofi.daemon.player.memory import Item, Memory
from lofi.daemon.player.playable import LiveTrack, PlayableTrack, Tracks
from lofi.daemon.player.playlist import Entry, Playlist
from lofi.daemon.player.stage import OpenSource
from lofi.errors import InvalidTrackId


@dataclass(frozen=True, slots=True)
class Record:
    """The sound of one track: a finished one, or the spool of one that is being rendered."""

    open_source: OpenSource
    track: PlayableTrack | None
    spool: Spool | None


class Shelf:
    """Knows every track that the player may be asked for, and makes entries of them."""

    def __init__(self, tracks: Tracks, playlist: Playlist) -> None:
        self._tracks = tracks
        self._playlist = playlist
        self._files: dict[str, PlayableTrack] = {}
        self._spools: dict[str, Spool] = {}
        self._live_keys: dict[str, set[int]] = {}
        """Entries that are there only because the track is being rendered."""

    def record(self, track_id: str) -> Record:
        """Returns what to play for a track, as it is known now.

        Raises:
            InvalidTrackId: it has gone.
        """
        spool = self._spools.get(track_id)
        if spool is not None:
            return Record(partial(SpoolSource, spool), None, spool)
        track = self.track(track_id)
        if track is None:
            raise InvalidTrackId(f"there is no track {track_id} any more")
        return Record(partial(FileSource, track.path), track, None)

    def track(self, track_id: str) -> PlayableTrack | None:
        """Returns a finished track."""
        return self._files.get(track_id) or self._tracks.find(track_id)

    def newest(self) -> PlayableTrack | None:
        return self._tracks.newest()

    def is_file(self, track_id: str) -> bool:
        """Whether the track is a file outside the cache."""
        return track_id in self._files

    def entry(self, track: PlayableTrack) -> Entry:
        """Returns a new entry for a finished track."""
        return self._playlist.new_entry(
            track.track_id, title=track.title, prompt=track.prompt, duration_sec=track.duration_sec
        )

    def entry_for(self, track_id: str) -> Entry:
        """Returns a new entry for a track named by a request.

        Raises:
            InvalidTrackId: there is none.
        """
        if track_id in self._spools:
            keys = self._live_keys[track_id]
            live = next(one for one in self._playlist.entries if one.track_id == track_id)
            entry = self._playlist.new_entry(
                track_id, title=live.title, prompt=live.prompt, duration_sec=live.duration_sec
            )
            keys.add(entry.key)
            return entry
        track = self.track(track_id)
        if track is None:
            raise InvalidTrackId(f"there is no track {track_id}")
        return self.entry(track)

    def entry_for_file(self, path: Path) -> Entry:
        """Returns a new entry for a file outside the cache; reads its header.

        Raises:
            AudioPlaybackError: it cannot be played.
        """
        track = _file_track(path)
        self._files[track.track_id] = track
        return self.entry(track)

    def bring_back(self, memory: Memory) -> float:
        """Fills the playlist with what was on once and is still there, and selects the entry that
        was on, else the last before it; returns the position in it (s)."""
        position_sec = 0.0
        for place, item in enumerate(memory.items):
            entry = self._remembered(item)
            if entry is None:
                continue
            self._playlist.append(entry)
            if memory.index is not None and (place <= memory.index or self._playlist.index is None):
                self._playlist.select(entry)
                position_sec = memory.position_sec if place == memory.index else 0.0
        return position_sec

    def _remembered(self, item: Item) -> Entry | None:
        if item.path is None:
            track = self.track(item.track_id)
            return None if track is None else self.entry(track)
        path = Path(item.path)
        if not path.is_file():
            return None
        # Known from then: opening every file here would hold up an editor's start.
        track = PlayableTrack(item.track_id, path, item.title, "", item.duration_sec)
        self._files[track.track_id] = track
        return self.entry(track)

    def item(self, entry: Entry) -> Item:
        """Returns an entry as it is remembered."""
        file = self._files.get(entry.track_id)
        path = None if file is None else str(file.path)
        return Item(entry.track_id, path, entry.title, entry.duration_sec)

    def begin(self, live: LiveTrack, now: float) -> Entry:
        """Takes in a track that is being rendered and returns its entry."""
        spool = Spool(
            live.spool_path,
            sample_rate=live.sample_rate,
            channels=live.channels,
            frames=live.frames_total,
            gain=live.gain,
            announced_at=live.announced_at,
        )
        spool.progress(live.frames_ready, now)
        entry = self._playlist.new_entry(
            live.track_id,
            title=live.title,
            prompt=live.prompt,
            duration_sec=live.frames_total / live.sample_rate,
        )
        self._spools[live.track_id] = spool
        self._live_keys[live.track_id] = {entry.key}
        return entry

    def progress(self, track_id: str, frames: int, now: float) -> bool:
        """Notes how much of a track is final; False if it is not being rendered."""
        spool = self._spools.get(track_id)
        if spool is not None:
            spool.progress(frames, now)
        return spool is not None

    def finish(self, track_id: str, track: PlayableTrack) -> Spool | None:
        """Lets a spool's readers move to the finished file; returns the spool if there was one."""
        spool = self._spools.pop(track_id, None)
        if spool is not None:
            self._live_keys.pop(track_id, None)
            spool.finished = (track.path, track.gain or spool.gain)
        return spool

    def fail(self, track_id: str) -> tuple[Spool | None, set[int]]:
        """Forgets a track that will not be finished; returns its spool and the keys of its
        entries."""
        return self._spools.pop(track_id, None), self._live_keys.pop(track_id, set())


def _file_track(path: Path) -> PlayableTrack:
    """Returns a file outside the cache as a track; its id is the digest of its path."""
    source = FileSource(path)
    try:
        return PlayableTrack(
            track_id=hashlib.sha256(str(path).encode()).hexdigest()[:16],
            path=path,
            title=path.stem,
            prompt="",
            duration_sec=source.frames / source.sample_rate,
        )
    finally:
        source.close()
