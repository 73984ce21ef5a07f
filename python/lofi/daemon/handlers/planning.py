"""The planner's methods: ideas, descriptions, codes, and when each line is sung."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from lofi import catalog, music, subtitles
from lofi.catalog import LM_SIZES, Backend
from lofi.daemon import durable
from lofi.daemon.handlers import Call, Method
from lofi.daemon.inventory import Inventory
from lofi.daemon.library import Library
from lofi.daemon.orders import Orders
from lofi.daemon.queries import Queries
from lofi.daemon.queue import Lane
from lofi.daemon.sidecar import Track
from lofi.daemon.sources import Sources
from lofi.errors import BackendNotInstalled, InvalidParams, LmUnavailable, UnsupportedTask
from lofi.hints import how_to_install, how_to_install_planner
from lofi.recipe import with_plan

BACKEND = "ace_step_15"


class Planning:
    """The methods of the 5 Hz planner, and of the lyric timing that needs none."""

    def __init__(
        self,
        inventory: Inventory,
        library: Library,
        orders: Orders,
        queries: Queries,
        sources: Sources,
    ) -> None:
        self._inventory = inventory
        self._library = library
        self._orders = orders
        self._queries = queries
        self._sources = sources

    def table(self) -> dict[str, Method]:
        return {
            "lm_inspire": self.write,
            "lm_format": self.write,
            "lm_understand": self.understand,
            "lm_codes": self.codes,
            "lyrics_timing": self.timing,
            "score": self.score,
        }

    async def write(self, call: Call) -> dict[str, Any]:
        return await self._plan(call, _musical(_given(call.params)))

    async def understand(self, call: Call) -> dict[str, Any]:
        params = _given(call.params)
        if ("source" in params) == ("audio_codes" in params):
            raise InvalidParams("Give source or audio_codes", param="source")
        if "source" in params:
            await self._library.opened()
            found = await asyncio.to_thread(self._sources.audio, {"source": params["source"]})
            params["source"] = found["source"].path
        return await self._plan(call, params)

    async def codes(self, call: Call) -> dict[str, Any]:
        """Plans as `generate` with the same parameters would, and renders nothing."""
        asked = {"backend": BACKEND, "thinking": True, **call.params.values}
        asked["lm_model"] = self._size(asked.get("lm_model"))
        request = await self._orders.preview(asked, {})
        if request.backend.type != BACKEND:
            raise UnsupportedTask(
                f"{request.backend.name} has no planner", hint="Use ace_step_15.", param="backend"
            )
        recipe = request.takes[0].recipe
        if recipe.get("audio_codes") is not None:
            raise InvalidParams(
                "audio_codes are a plan already", hint="Leave them out.", param="audio_codes"
            )
        if "lm_model" not in recipe and request.params.get("thinking") is False:
            raise InvalidParams(
                "Without thinking there is no plan", hint="Leave thinking out.", param="thinking"
            )
        if "lm_model" not in recipe:
            raise UnsupportedTask(
                f"The planner does not think about {recipe['task']}",
                hint="It plans text2music, retake, lego and complete.",
                param="task",
            )
        answer = await self._operate(call, dict(recipe), request.variant)
        return dict(answer)

    async def timing(self, call: Call) -> dict[str, Any]:
        track = await self._made_here(call.params.track_id)
        answer = dict(await self._operate(call, _of(track), _variant(track)))
        cues = [subtitles.Cue(**line) for line in _cues(answer["lines"])]
        answer["lrc"] = subtitles.to_lrc(cues)
        answer["vtt"] = subtitles.to_vtt(
            subtitles.from_lrc(subtitles.to_lrc(cues, with_ends=True), track.duration_sec)
        )
        folder = self._library.cache
        stored = folder.folder / f"{track.track_id}.lrc"
        await self._library.on_disk(
            durable.write_text, stored, answer["lrc"] + "\n", folder.unfinished
        )
        await self._library.update(track.track_id, {"has_lrc": True})
        return answer

    async def score(self, call: Call) -> dict[str, Any]:
        track = await self._made_here(call.params.track_id)
        params = _of(track)
        installed = self._installed()
        if installed:
            params["lm_model"] = self._inventory.lm_for_tier(installed) or installed[0]
        return dict(await self._operate(call, params, _variant(track)))

    async def _plan(self, call: Call, params: dict[str, Any]) -> dict[str, Any]:
        params["lm_model"] = self._size(params.get("lm_model"))
        return dict(await self._operate(call, params, None))

    async def _operate(
        self, call: Call, params: Mapping[str, Any], variant: str | None
    ) -> Mapping[str, Any]:
        backend = catalog.BACKENDS[BACKEND]
        chosen = variant or self._variant(backend)
        return await self._queries.operate(
            call.method,
            params,
            peer=call.peer,
            method=call.method,
            request_id=call.request_id,
            lane=Lane.NEURAL,
            backend=BACKEND,
            model=self._inventory.model_fields(BACKEND, chosen),
        )

    def _variant(self, backend: Backend) -> str:
        """Returns the default variant, or any that is installed."""
        wanted = backend.variant(self._inventory.default_variant(backend))
        for variant in (wanted, *backend.variants):
            if self._inventory.checkpoint(backend, variant) is not None:
                return variant.name
        raise BackendNotInstalled(
            f"{backend.name} is not installed", hint=how_to_install(backend, wanted)
        )

    def _installed(self) -> tuple[str, ...]:
        backend = catalog.BACKENDS[BACKEND]
        checkpoint = self._inventory.checkpoint(backend, backend.variant(self._variant(backend)))
        return checkpoint.lm_sizes if checkpoint else ()

    def _size(self, asked: str | None) -> str:
        """Returns the planner to ask: the named one, the configured one, or the one that fits.

        Raises:
            LmUnavailable: none is installed, or not the one that was named.
        """
        installed = self._installed()
        wanted = asked or self._inventory.default_lm()
        if wanted in LM_SIZES and wanted in installed:
            return wanted
        if asked in (None, "auto") and installed:
            return self._inventory.lm_for_tier(installed) or installed[0]
        raise LmUnavailable(
            f"The planner {asked} is not installed" if asked else "No planner is installed",
            hint=how_to_install_planner(wanted if wanted in LM_SIZES else LM_SIZES[0]),
            param="lm_model",
        )

    async def _made_here(self, text: str) -> Track:
        await self._library.opened()
        track = self._library.cache.find(text)
        recipe = track.members.get("recipe")
        if not isinstance(recipe, dict) or recipe.get("backend") != BACKEND:
            raise UnsupportedTask(
                f"Track {track.track_id} was not made by ACE-Step 1.5",
                hint="Only its tracks can be timed and scored.",
                param="track_id",
            )
        return track


def _given(params: Any) -> dict[str, Any]:
    return {name: value for name, value in asdict(params).items() if value is not None}


def _musical(params: dict[str, Any]) -> dict[str, Any]:
    """Brings a key and a meter into their one form, as `generate` does."""
    for name, form in (("keyscale", music.keyscale), ("timesignature", music.timesignature)):
        if name in params:
            params[name] = form(params[name])
    return params


def _of(track: Track) -> dict[str, Any]:
    latents = track.path.with_name(f"{track.track_id}.latents.safetensors")
    kept = {"latents": str(latents)} if latents.is_file() else {"path": str(track.path)}
    return {"recipe": with_plan(track.members["recipe"], track.members), **kept}


def _variant(track: Track) -> str | None:
    variant = track.members.get("variant")
    return str(variant) if variant else None


def _cues(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"start_sec": line["start"], "end_sec": line["end"], "text": line["text"]} for line in lines
    ]
