"""Tracks on disk: found, added, rewritten, deleted; an index of them in memory.

Everything here may wait for the disk and runs off the event loop, one call at a time
(`library.py` sees to that); lookups use the index alone. Reading takes no lock, several daemons
share the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lofi.daemon import durable, garbage, sidecar
from lofi.daemon.clock import epoch_sec
from lofi.daemon.eviction import Limits, victims
from lofi.daemon.sidecar import Track
from lofi.errors import Busy, CacheCorrupt, CacheWriteError, InvalidSource, InvalidTrackId
from lofi.tracks import ID_DIGITS, LONG_ID_DIGITS

logger = logging.getLogger(__name__)

PREFIX_MIN_DIGITS = 4
LOCK_LIMIT_SEC = 5.0
CANDIDATES_SHOWN = 10
AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")


@dataclass(frozen=True, slots=True)
class Removal:
    """What a deletion did."""

    track_ids: tuple[str, ...]
    freed_bytes: int
    is_enough: bool = True
    """False: everything left is protected and the cache is still over its limits."""


class Cache:
    """The folder of tracks and what is known of it.

    Args:
        folder: where tracks lie, side by side with their sidecars.
        locks: the folder of the operating-system locks.
    """

    def __init__(self, folder: Path, locks: Path) -> None:
        self.folder = folder
        self.unfinished = folder / ".tmp"
        self._locks = locks
        self._tracks: dict[str, Track] = {}
        self._seen_ns = 0
        self.hits = 0
        self.misses = 0
        self.evicted = 0

    # Lookups: the index only, so the loop may ask.

    def tracks(self) -> list[Track]:
        return list(self._tracks.values())

    def __len__(self) -> int:
        return len(self._tracks)

    def get(self, track_id: str) -> Track | None:
        """Returns the track of exactly this id."""
        return self._tracks.get(track_id)

    def find(self, text: str) -> Track:
        """Returns the track of an id or of a unique prefix of one.

        Raises:
            InvalidTrackId: there is none, or more than one.
        """
        wanted = text.strip().lower()
        track = self._tracks.get(wanted)
        if track is not None:
            return track
        matches = sorted(each for each in self._tracks if each.startswith(wanted))
        if len(wanted) < PREFIX_MIN_DIGITS:
            raise InvalidTrackId(
                f"{text!r} is too short for a track id",
                hint=f"Give at least {PREFIX_MIN_DIGITS} digits of it.",
                param="track_id",
            )
        if not matches:
            raise InvalidTrackId(f"There is no track {text!r}", param="track_id", candidates=[])
        if len(matches) > 1:
            shown = matches[:CANDIDATES_SHOWN]
            raise InvalidTrackId(
                f"{text!r} could be {len(matches)} tracks",
                hint="Give more digits: " + ", ".join(shown),
                param="track_id",
                candidates=shown,
            )
        return self._tracks[matches[0]]

    def with_digest(self, digest: str) -> Track | None:
        """Returns the finished track of a recipe's digest if its file is there and whole."""
        for digits in (ID_DIGITS, LONG_ID_DIGITS):
            track = self._tracks.get(digest[:digits])
            if track is not None and track.digest == digest:
                return track if _is_there(track) else None
        return None

    def id_for(self, digest: str) -> str:
        """Returns the id a digest gets: 24 digits when another one has its first 16."""
        track = self._tracks.get(digest[:ID_DIGITS])
        if track is not None and track.digest not in ("", digest):
            return digest[:LONG_ID_DIGITS]
        return digest[:ID_DIGITS]

    def clearable(self, *, keep_favorites: bool, created_before_sec: float | None) -> list[str]:
        """Returns the tracks a `cache_clear` means: all, or those made before a moment."""
        return [
            track.track_id
            for track in self.tracks()
            if not (keep_favorites and track.is_favorite)
            and (
                created_before_sec is None
                or epoch_sec(str(track.get("created_at"))) < created_before_sec
            )
        ]

    def size_bytes(self) -> int:
        return sum(track.size_bytes for track in self.tracks())

    # The disk.

    def open(self) -> tuple[list[str], list[str]]:
        """Makes the folders and reads every sidecar; returns what `rescan` does."""
        durable.make_folder(self.unfinished)
        return self.rescan()

    def is_there(self) -> bool:
        """Returns whether the folders are there, which anybody may delete: one `stat`."""
        return self.unfinished.is_dir()

    def has_changed(self) -> bool:
        """Returns whether something happened in the folder since the last scan: one `stat`."""
        try:
            return self.folder.stat().st_mtime_ns != self._seen_ns
        except OSError:
            return bool(self._tracks)

    def rescan(self) -> tuple[list[str], list[str]]:
        """Takes over what other processes did; returns the ids added (or changed) and removed."""
        seen_ns, entries = self._sidecars()
        removed = [track_id for track_id in self._tracks if track_id not in entries]
        added = []
        for track_id, mtime_ns in entries.items():
            known = self._tracks.get(track_id)
            if known is not None and known.mtime_ns == mtime_ns:
                continue
            track = self._read(self.folder / f"{track_id}.json")
            if track is not None:
                self._tracks[track_id] = track
                if known is None or known.members != track.members:
                    added.append(track_id)
        for track_id in removed:
            del self._tracks[track_id]
        self._seen_ns = seen_ns  # last: a scan that fails is not one that was made
        return added, removed

    def add(self, members: Mapping[str, Any], unfinished: Path) -> Track:
        """Makes a rendered file a track: the audio into its place, then its sidecar.

        Raises:
            CacheWriteError: the disk refused; nothing is visible.
        """
        track_id = str(members["track_id"])
        before = self._tracks.get(track_id)
        durable.install(unfinished, self.folder / str(members["file"]))
        track = self._write(members)
        if before is not None and before.is_own_file and before.path != track.path:
            before.path.unlink(missing_ok=True)
        return track

    def add_foreign(self, members: Mapping[str, Any]) -> Track:
        """Makes a file that stays where it is a track."""
        return self._write(members)

    def update(self, track_id: str, changes: Mapping[str, Any]) -> Track:
        """Rewrites members of a track's sidecar; the others stay, known or not.

        Raises:
            InvalidTrackId: it is gone.
            Busy: a newer program wrote it.
        """
        path = self.folder / f"{track_id}.json"
        track = self._read(path)  # from disk: another daemon may have changed it
        if track is None:
            self._tracks.pop(track_id, None)
            raise InvalidTrackId(f"There is no track {track_id!r}", param="track_id")
        if track.is_read_only:
            raise Busy(
                f"Track {track_id} was written by a newer lofi and is read-only here",
                hint="Update the program.",
            )
        return self._write({**track.members, **changes})

    def touch(self, track_id: str) -> None:
        """Notes an access: the sidecar's mtime is the track's recency."""
        track = self._tracks.get(track_id)
        if track is None:
            return
        try:
            os.utime(track.sidecar_path)
            mtime_ns = track.sidecar_path.stat().st_mtime_ns
        except OSError:
            return  # deleted by another daemon; the next scan notices
        self._tracks[track_id] = Track(track.folder, track.members, mtime_ns)

    def delete(self, track_ids: Iterable[str]) -> Removal:
        """Deletes tracks, each sidecar before its files. Unknown ids are passed over."""
        gone, freed = [], 0
        for track_id in track_ids:
            track = self._tracks.pop(track_id, None)
            if track is None:
                continue
            freed += self._remove(track)
            gone.append(track_id)
        return Removal(tuple(gone), freed)

    def clear(self, track_ids: Iterable[str]) -> Removal:
        """Deletes tracks while no other daemon tidies the folder."""
        with durable.locked(self._locks / "cache.lock", LOCK_LIMIT_SEC):
            return self.delete(track_ids)

    def evict(self, limits: Limits, protected: Collection[str]) -> Removal:
        """Drops what is over the limits, the least recently accessed first."""
        if limits.are_kept(self.size_bytes(), len(self)):
            return Removal((), 0)
        with durable.locked(self._locks / "cache.lock", LOCK_LIMIT_SEC):
            self.rescan()
            chosen, is_enough = victims(self.tracks(), limits, protected, time.time())
            removal = self.delete(track.track_id for track in chosen)
            self.evicted += len(removal.track_ids)
            return Removal(removal.track_ids, removal.freed_bytes, is_enough)

    def collect_garbage(self) -> tuple[int, int]:
        """Removes what no track owns and nobody is still writing; returns files and bytes."""
        with durable.locked(self._locks / "cache.lock", LOCK_LIMIT_SEC):
            self.rescan()
            files, freed = garbage.remove(
                path
                for path in [*self._orphans(), *garbage.leftovers(self.unfinished)]
                if not self._has_sidecar(path)  # what lies on the disk decides, not the index
            )
        for path in list(self._locks.glob("gen-*.lock")):
            lock = durable.FileLock(path)
            if lock.try_lock():
                lock.release(remove=True)
        return files, freed

    def remove_leftovers(self) -> None:
        """Removes unfinished files whose writers are gone: what a crash left behind."""
        garbage.remove(garbage.leftovers(self.unfinished))

    def verify(self, track: Track) -> None:
        """Compares a track's file with its checksum.

        Raises:
            CacheCorrupt: it differs or is gone; what there is was set aside and the track is gone.
            InvalidSource: it cannot be read now; nothing was changed.
            CacheWriteError: it is damaged and cannot be set aside; nothing was changed.
        """
        track = self._tracks.get(track.track_id, track)  # it may have been made anew meanwhile
        wanted = track.members.get("audio_sha256")
        if not wanted:
            return
        digest = hashlib.sha256()
        try:
            with track.path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        except OSError as error:
            # A person's own file that is not there may lie on a disk that is away.
            if isinstance(error, FileNotFoundError) and track.is_own_file:
                self._set_aside(track)
                raise CacheCorrupt(f"{track.path} is gone") from error
            raise InvalidSource(
                f"{track.path} cannot be read: {error.strerror or error}",
                hint="Is its disk there, and may you read it? It stays; nothing was changed.",
            ) from error
        if digest.hexdigest() != wanted:
            self._set_aside(track)
            raise CacheCorrupt(f"{track.path} is not what was written there")

    # Below: no callers outside.

    def _set_aside(self, track: Track) -> None:
        """Takes a damaged track out of the cache; its file moves to the unfinished ones."""
        try:
            if track.is_own_file and track.path.exists():
                durable.make_folder(self.unfinished)
                track.path.replace(self.unfinished / f"{track.path.name}.corrupt")
            track.sidecar_path.unlink(missing_ok=True)
        except OSError as error:
            raise CacheWriteError(
                f"{track.path} is damaged and cannot be set aside: {error.strerror or error}"
            ) from error
        self._tracks.pop(track.track_id, None)
        logger.warning("track %s is damaged and set aside", track.track_id)

    def _sidecars(self) -> tuple[int, dict[str, int]]:
        """Returns the folder's mtime and each sidecar's by its id; no folder holds none."""
        try:
            seen_ns = self.folder.stat().st_mtime_ns
            found = list(os.scandir(self.folder))
        except FileNotFoundError:
            return 0, {}
        entries = {}
        for entry in found:
            is_sidecar = entry.name.endswith(".json") and "." not in entry.name[:-5]
            if is_sidecar and entry.is_file():  # a pipe of that name would be waited for
                with contextlib.suppress(FileNotFoundError):  # another daemon deletes, too
                    entries[entry.name[:-5]] = entry.stat().st_mtime_ns
        return seen_ns, entries

    def _orphans(self) -> list[Path]:
        owned = {path.name for track in self.tracks() for path in (track.path, *track.companions())}
        suffixes = (*AUDIO_SUFFIXES, *sidecar.COMPANION_SUFFIXES)
        return [path for path in garbage.old_files(self.folder, suffixes) if path.name not in owned]

    def _has_sidecar(self, path: Path) -> bool:
        """Returns whether a file of the folder belongs to a sidecar that lies beside it now."""
        track_id = path.name.partition(".")[0]
        return path.parent == self.folder and (self.folder / f"{track_id}.json").exists()

    def _read(self, path: Path) -> Track | None:
        """Returns the track of a sidecar; a sidecar without audio is dropped on sight."""
        try:
            track = sidecar.read(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            logger.warning("a sidecar cannot be used: %s", error)
            return None
        if not track.path.exists():
            logger.warning("track %s has lost its audio and is dropped", track.track_id)
            if track.is_own_file:
                path.unlink(missing_ok=True)
            return None
        return track

    def _write(self, members: Mapping[str, Any]) -> Track:
        path = self.folder / f"{members['track_id']}.json"
        durable.write_json(path, members, self.unfinished)
        track = Track(self.folder, dict(members), path.stat().st_mtime_ns)
        self._tracks[track.track_id] = track
        return track

    def _remove(self, track: Track) -> int:
        freed = 0
        doomed = [track.sidecar_path, *track.companions()]
        if track.is_own_file:
            doomed.insert(1, track.path)
        for path in doomed:
            try:
                size = path.stat().st_size
                path.unlink()
            except FileNotFoundError:
                continue
            except OSError as error:
                logger.warning("%s cannot be deleted: %s", path, error)
                continue
            freed += size
        return freed


def _is_there(track: Track) -> bool:
    try:
        size = track.path.stat().st_size
    except OSError:
        return False
    return track.size_bytes in (0, size)
