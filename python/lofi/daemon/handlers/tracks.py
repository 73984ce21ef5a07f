"""The cache's methods, the history, and what can be learned of one track."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lofi import own_defaults
from lofi.daemon import durable
from lofi.daemon.handlers import Call, Method
from lofi.daemon.history import History
from lofi.daemon.importing import imported_sidecar
from lofi.daemon.library import Library
from lofi.daemon.player.playback import Player
from lofi.daemon.queries import Queries
from lofi.daemon.records import SUFFIXES
from lofi.daemon.selection import select
from lofi.daemon.sidecar import Track
from lofi.daemon.turns import Turns
from lofi.errors import InvalidParams, InvalidTrackId
from lofi.parameters import DELIVERY, OWN
from lofi.settings import Settings
from lofi.tracks import ID_DIGITS, canonical_json

MEGABYTE = 1024 * 1024
DAY_SEC = 86400.0
_OF_THE_OCCASION = ("auto_play", "batch_size", "force", "origin", "priority")
"""What a request said of its own moment, and no reproduction repeats."""
_DRAWN = ("lm_model", "lm_seed", "retake_seed")
"""Members of a recipe that follow from the moment, too: seeds drawn, the planner that fitted."""


class Tracks:
    def __init__(
        self,
        library: Library,
        history: History,
        player: Player,
        turns: Turns,
        queries: Queries,
        settings: Settings,
    ) -> None:
        self._library = library
        self._history = history
        self._player = player
        self._turns = turns
        self._queries = queries
        self._settings = settings

    def table(self) -> dict[str, Method]:
        return {
            "cache_list": self.list_tracks,
            "cache_get": self.get,
            "cache_delete": self.delete,
            "cache_clear": self.clear,
            "cache_stats": self.stats,
            "cache_favorite": self.favorite,
            "cache_update": self.update,
            "cache_export": self.export,
            "cache_import": self.import_,
            "cache_recipe": self.recipe,
            "cache_gc": self.gc,
            "analyze": self.analyze,
            "waveform": self.waveform,
            "history_list": self.history_list,
            "prompt_history": self.prompt_history,
            "history_clear": self.history_clear,
        }

    async def list_tracks(self, call: Call) -> dict[str, Any]:
        await self._library.opened()
        tracks, total = select(self._library.cache.tracks(), call.params)
        return {"tracks": [track.to_wire() for track in tracks], "total": total}

    async def get(self, call: Call) -> dict[str, Any]:
        track = await self._find(call.params.track_id)
        return {
            "track": track.to_wire(),
            "recipe": track.members.get("recipe"),
            "plan": track.members.get("plan"),
            "sidecar": str(track.sidecar_path),
        }

    async def delete(self, call: Call) -> dict[str, Any]:
        one, many = call.params.track_id, call.params.track_ids
        if (one is None) == (many is None):
            raise InvalidParams("Give track_id or track_ids", param="track_id")
        tracks = [await self._find(text) for text in ([one] if one is not None else many)]
        return await self._delete([track.track_id for track in tracks])

    async def _delete(self, track_ids: list[str]) -> dict[str, Any]:
        # A sounding track stops before its file goes.
        await self._turns.ask(lambda: self._player.forget(track_ids))
        removal = await self._library.delete(track_ids)
        return {"deleted": list(removal.track_ids), "freed_bytes": removal.freed_bytes}

    async def clear(self, call: Call) -> dict[str, Any]:
        await self._library.opened()
        params = call.params
        before = None
        if params.older_than_days is not None:
            before = time.time() - params.older_than_days * DAY_SEC
        removal = await self._library.clear(
            keep_favorites=params.keep_favorites,
            created_before_sec=before,
            before_delete=self._stop_sounding,
        )
        return {"deleted": len(removal.track_ids), "freed_bytes": removal.freed_bytes}

    async def _stop_sounding(self, track_ids: list[str]) -> None:
        await self._turns.ask(lambda: self._player.forget(track_ids))

    async def stats(self, call: Call) -> dict[str, Any]:
        await self._library.opened()
        cache = self._library.cache
        tracks = cache.tracks()
        created = sorted(str(track.get("created_at")) for track in tracks)
        by_backend: dict[str, int] = {}
        for track in tracks:
            name = str(track.get("backend"))
            by_backend[name] = by_backend.get(name, 0) + 1
        size = cache.size_bytes()
        return {
            "size_mb": round(size / MEGABYTE, 1),
            "size_bytes": size,
            "count": len(tracks),
            "favorites": sum(track.is_favorite for track in tracks),
            "oldest": created[0] if created else None,
            "newest": created[-1] if created else None,
            "max_mb": self._settings.value("cache.max_mb"),
            "max_tracks": self._settings.value("cache.max_tracks"),
            "dir": str(cache.folder),
            "by_backend": by_backend,
            "total_duration_sec": round(sum(track.duration_sec for track in tracks), 3),
            "hits": cache.hits,
            "misses": cache.misses,
            "evicted": cache.evicted,
        }

    async def favorite(self, call: Call) -> dict[str, Any]:
        return await self._change(call.params.track_id, {"favorite": call.params.favorite})

    async def update(self, call: Call) -> dict[str, Any]:
        params = call.params
        changes: dict[str, Any] = {}
        if params.title is not None:
            changes["title"] = DELIVERY["title"].check(params.title)
        if params.tags is not None:
            changes["tags"] = DELIVERY["tags"].check(params.tags)
        if "rating" in call.given:
            changes["rating"] = params.rating
        return await self._change(params.track_id, changes)

    async def _change(self, text: str, changes: dict[str, Any]) -> dict[str, Any]:
        track = await self._find(text)
        track = await self._library.update(track.track_id, changes)
        return {"track": track.to_wire()}

    async def export(self, call: Call) -> dict[str, Any]:
        params = call.params
        track = await self._find(params.track_id)
        await self._library.verify(track)
        metadata = None
        if params.metadata:
            recipe = track.members.get("recipe")
            metadata = {
                "prompt": track.get("prompt"),
                "seed": track.get("seed"),
                "recipe": canonical_json(recipe) if recipe else None,
            }
        operation = {
            "source": str(track.path),
            "path": params.path,
            "format": params.format,
            "overwrite": params.overwrite,
            "bitrate_kbps": params.bitrate_kbps or self._settings.value("audio.mp3_bitrate"),
            "track_id": track.track_id,
            "title": track.title,
            "metadata": metadata,
        }
        answer = await self._operate(call, "export", operation)
        self._library.touch(track.track_id)
        return {"path": answer["path"], "bytes": answer["bytes"]}

    async def import_(self, call: Call) -> dict[str, Any]:
        await self._library.opened()
        params = call.params
        cache = self._library.cache
        unfinished = durable.unfinished_name(cache.unfinished, "import", Path(params.path).suffix)
        operation = {"path": params.path, "file_path": str(unfinished) if params.copy else None}
        facts = await self._operate(call, "import", operation)
        track_id = str(facts["content_sha256"])[:ID_DIGITS]
        known = cache.get(track_id)
        if known is not None and known.path.exists():
            unfinished.unlink(missing_ok=True)
            return {"track": known.to_wire()}
        members = imported_sidecar(track_id, params, facts)
        if params.copy:
            members["file"] = f"{track_id}{SUFFIXES[facts['format']]}"
            track = await self._library.add(members, unfinished, "imported")
        else:
            track = await self._library.add_foreign(members)
        await self._library.evict()
        return {"track": track.to_wire()}

    async def recipe(self, call: Call) -> dict[str, Any]:
        track = await self._find(call.params.track_id)
        request = track.members.get("request")
        if not isinstance(request, dict):
            raise InvalidTrackId(
                f"Track {track.track_id} was not generated, so it has no recipe",
                hint="Imported files can be played and edited, not made again.",
                param="track_id",
            )
        return {"request": _exact(track, request)}

    async def gc(self, call: Call) -> dict[str, Any]:
        await self._library.opened()
        files, freed = await self._library.on_disk(self._library.cache.collect_garbage)
        removal = await self._library.evict()
        return {
            "removed_files": files + len(removal.track_ids),
            "freed_bytes": freed + removal.freed_bytes,
        }

    async def analyze(self, call: Call) -> dict[str, Any]:
        track_id, path = call.params.track_id, call.params.path
        if (track_id is None) == (path is None):
            raise InvalidParams("Give track_id or path", param="track_id")
        track = None if track_id is None else await self._find(track_id)
        answer = await self._operate(
            call, "analyze", {"path": path if track is None else str(track.path)}
        )
        if track is not None and track.get("grid") is None and answer.get("grid"):
            await self._library.update(track.track_id, {"grid": answer["grid"]})
        return dict(answer)

    async def waveform(self, call: Call) -> dict[str, Any]:
        track = await self._find(call.params.track_id)
        columns = str(call.params.columns)
        stored = self._library.cache.folder / f"{track.track_id}.peaks.json"
        known = await self._library.on_disk(durable.read_json, stored)
        drawn = known.get("columns") if known.get("of") == _fingerprint(track) else None
        by_columns = drawn if isinstance(drawn, dict) else {}
        peaks = by_columns.get(columns)
        if not isinstance(peaks, list):
            operation = {"path": str(track.path), "columns": call.params.columns}
            peaks = list((await self._operate(call, "waveform", operation))["peaks"])
            value = {
                "of": _fingerprint(track),
                "columns": {**by_columns, columns: peaks},
            }
            unfinished = self._library.cache.unfinished
            await self._library.on_disk(durable.write_json, stored, value, unfinished)
        return {"peaks": peaks}

    def history_list(self, call: Call) -> dict[str, Any]:
        params = call.params
        return {"events": self._history.events(params.kind, params.limit, params.before)}

    def prompt_history(self, call: Call) -> dict[str, Any]:
        return {"prompts": self._history.prompts(call.params.query, call.params.limit)}

    def history_clear(self, call: Call) -> dict[str, Any]:
        return {"removed": self._history.clear(call.params.kind)}

    async def _find(self, text: str) -> Track:
        await self._library.opened()
        return self._library.cache.find(text)

    async def _operate(self, call: Call, operation: str, params: dict[str, Any]) -> Any:
        return await self._queries.operate(
            operation, params, peer=call.peer, method=call.method, request_id=call.request_id
        )


def _fingerprint(track: Track) -> str:
    """What tells whether stored peaks are of this very file: a forced track replaces it."""
    return str(track.members.get("audio_sha256") or track.size_bytes)


def _exact(track: Track, request: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a request that gives this very track, today or later."""
    recipe = track.members.get("recipe") or {}
    exact = {**request, "seed": track.get("seed"), "backend": track.get("backend")}
    for name in _OF_THE_OCCASION:
        exact.pop(name, None)
    if track.get("variant"):
        exact["variant"] = track.get("variant")
    lm_model = OWN.get(str(recipe.get("backend")), {}).get("lm_model")
    if lm_model and recipe.get("task") in (lm_model.tasks or ()):
        exact["lm_model"] = "none"  # unless one thought; one installed since would think now
    fixed = (*_DRAWN, *own_defaults.names(str(recipe.get("backend"))))
    exact.update({name: recipe[name] for name in fixed if name in recipe})
    # where it is in no recipe a planner chose it, and will again
    exact["duration_sec"] = recipe.get("duration_sec")
    if exact.get("source") is not None and exact.get("task") not in (None, "text2music"):
        exact["duration_sec"] = None  # the source's own
    return {name: value for name, value in exact.items() if value is not None}
