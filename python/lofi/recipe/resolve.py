"""The way from a request to its recipes: pure, and the same every time in the same world.

What must be known of the outside (installed checkpoints, hashed sources and adapters) is handed
in, so nothing here touches disk, network or models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lofi import catalog, parameters
from lofi.catalog import Backend
from lofi.errors import (
    BackendNotInstalled,
    InvalidBackend,
    InvalidDuration,
    InvalidParams,
    InvalidSource,
    UnsupportedTask,
)
from lofi.hints import how_to_install
from lofi.parameter import Parameter
from lofi.recipe.presets import PRESETS
from lofi.recipe.request import Adapter, Audio, Draft, Request, Take, Warning, World
from lofi.recipe.words import fill_words
from lofi.tracks import SCHEMA, canonical_recipe, digest, track_id

SEED_COUNT = parameters.SEED_LIMIT + 1
SHORT_DURATION_SEC = 10
_NOT_INHERITED = ("schema", "task", "model_version")
"""What a retake's recipe says of itself: of the code, the task and the weights that render it."""


def canonical_names(params: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the parameters under their own names, without `x_…` and unset ones.

    Raises:
        InvalidParams: a name nobody knows, or an alias that contradicts its own name.
    """
    known = parameters.known_names()
    named: dict[str, Any] = {}
    for name, value in params.items():
        if name.startswith("x_"):
            continue
        own = parameters.ALIASES.get(name, name)
        if own not in known:
            raise parameters.unknown(name)
        if own in named and named[own] != value:
            raise InvalidParams(
                f"{own} has two values: {name} is another name of it",
                hint=f"Give {own} once.",
                param=name,
            )
        named[own] = value
    return {name: value for name, value in named.items() if value is not None}


def resolve(
    params: Mapping[str, Any],
    world: World,
    *,
    draw_seed: Callable[[], int],
    audio: Mapping[str, Audio] | None = None,
    adapters: Mapping[str, Adapter] | None = None,
) -> Request:
    """Returns the request with every default filled in.

    Args:
        params: of `generate`, `defaults.*` already below them.
        draw_seed: returns a fresh seed where none was given.
        audio: `source` and `reference`, found and hashed.
        adapters: the LoRAs named in `loras`, found and hashed.

    Raises:
        LofiError: any of the errors `generate` answers with; nothing was queued.
    """
    given = canonical_names(params)
    for name in ("backend", "variant", "metas", "instrumental"):
        parameters.SHARED[name].check(given.get(name))
    audio = dict(audio or {})
    delivery = {
        name: item.default if given.get(name) is None else item.check(given[name])
        for name, item in parameters.DELIVERY.items()
    }
    draft = _open(given, world)
    _name_ignored(draft)
    recipe = _recipe(draft, world, audio)
    loras = _loras(draft, adapters or {})
    if loras:
        recipe["loras"] = [{"sha256": item.sha256, "scale": scale} for item, scale in loras]
    takes = _takes(draft, recipe, int(delivery["batch_size"]), draw_seed)
    return Request(
        backend=draft.backend,
        variant=draft.variant.name,
        model_version=draft.checkpoint.model_version,
        takes=takes,
        delivery=delivery,
        params=given,
        audio={name: item for name, item in audio.items() if name in recipe},
        parent=_parent(draft, audio),
        adapters=loras,
        warnings=tuple(draft.warnings),
    )


def _open(given: dict[str, Any], world: World) -> Draft:
    """Decides backend, variant and task."""
    asked = str(given.get("backend") or catalog.AUTO)
    named = asked.strip().lower() != catalog.AUTO
    if not named:
        asked = world.default_backend()
    warnings: list[Warning] = []
    if asked == catalog.AUTO or (not named and not _is_ready(asked, given, world)):
        backend = _automatic(given, world)
        wanted = None if asked == catalog.AUTO else catalog.backend_named(asked)
        if backend.is_light:
            warnings.append(_no_neural(wanted))
        elif wanted is not None:
            words = f"{wanted.name} is not installed, so {backend.name} plays"
            warnings.append(Warning("PARAM_ADJUSTED", words, "model.backend"))
    else:
        backend = catalog.backend_named(asked)
    variant = backend.variant(given.get("variant") or world.default_variant(backend))
    checkpoint = world.checkpoint(backend, variant)
    if checkpoint is None:
        raise BackendNotInstalled(
            f"{backend.name} {variant.name} is not installed", hint=how_to_install(backend, variant)
        )
    task_text = str(given.get("task", "text2music"))
    given["task"] = catalog.TASK_ALIASES.get(task_text, task_text)
    task = str(parameters.SHARED["task"].check(given["task"]))
    if task not in variant.tasks:
        able = [
            f"{other.type} {item.name}"
            for other in catalog.BACKENDS.values()
            for item in other.variants
            if task in item.tasks
        ]
        raise UnsupportedTask(
            f"{backend.name} {variant.name} cannot {task}",
            hint=f"These can: {', '.join(able)}.",
            param="task",
        )
    return Draft(given, backend, variant, checkpoint, task, warnings)


def _is_ready(name: str, given: Mapping[str, Any], world: World) -> bool:
    backend = catalog.backend_named(name)
    try:
        variant = backend.variant(given.get("variant") or world.default_variant(backend))
    except InvalidBackend:
        return False
    return world.checkpoint(backend, variant) is not None


def _automatic(given: Mapping[str, Any], world: World) -> Backend:
    for name in catalog.NEURAL_ORDER:
        if _is_ready(name, given, world):
            return catalog.BACKENDS[name]
    if world.fallback() == "none":
        raise BackendNotInstalled(
            "No neural backend is installed and model.fallback is none",
            hint=how_to_install(catalog.BACKENDS["ace_step_15"]),
        )
    return catalog.BACKENDS["procedural"]


def _no_neural(wanted: Backend | None) -> Warning:
    missing = f"{wanted.name} is not installed" if wanted else "No neural backend is installed"
    model = wanted or catalog.BACKENDS[catalog.NEURAL_ORDER[0]]
    return Warning(
        "NO_NEURAL_BACKEND",
        f"{missing}, so the synthesiser plays. :Lofi setup {catalog.spelling(model.type)} gets one",
    )


def _parent(draft: Draft, audio: Mapping[str, Audio]) -> str | None:
    if "source" not in audio or not _uses(draft, parameters.SHARED["source"]):
        return None
    return audio["source"].identity.get("track")


def _table(draft: Draft) -> dict[str, Parameter]:
    return {**parameters.SHARED, **parameters.OWN[draft.backend.type]}


def _uses(draft: Draft, item: Parameter) -> bool:
    return item.tasks is None or draft.task in item.tasks


def _name_ignored(draft: Draft) -> None:
    table = _table(draft)
    for name in sorted(draft.given):
        if name in parameters.DELIVERY:
            continue
        if name not in table or not _uses(draft, table[name]):
            draft.warn(
                "PARAM_IGNORED",
                f"{draft.backend.type} does not use {name} for {draft.task}",
                name,
            )


def _recipe(draft: Draft, world: World, audio: Mapping[str, Audio]) -> dict[str, Any]:
    recipe: dict[str, Any] = {
        "schema": SCHEMA,
        "backend": draft.backend.type,
        "model_version": draft.checkpoint.model_version,
        "task": draft.task,
    }
    own = world.own_defaults(draft.backend)
    skipped = {"backend", "variant", "task", "seed", "duration_sec", "metas", "instrumental"}
    for name, item in _table(draft).items():
        if name in skipped or not _uses(draft, item) or name == "loras":
            continue
        if item.kind == "audio":
            if name in draft.given:
                item.check(draft.given[name])
            # a retake hears nothing of its source
            if name in audio and not (name == "source" and draft.task == "retake"):
                recipe[name] = dict(audio[name].identity)
            continue
        value = draft.given.get(name, own.get(name))
        recipe[name] = (
            item.default_for(draft.family, draft.task) if value is None else item.check(value)
        )
    _inherit(draft, recipe, audio)
    fill_words(draft, recipe)
    _duration(draft, recipe, audio)
    PRESETS[draft.backend.type](draft, recipe, world)
    if draft.task in catalog.SOURCE_TASKS and "source" not in recipe:
        raise InvalidSource(
            f"{draft.task} needs a source", hint="Give source as a track id or a path."
        )
    return recipe


def _inherit(draft: Draft, recipe: dict[str, Any], audio: Mapping[str, Audio]) -> None:
    """What a source's own recipe gives: all of a retake, the words of what goes on with it."""
    origin = audio["source"].recipe if "source" in audio else None
    if draft.task == "retake":
        if origin is None or origin.get("backend") != draft.backend.type:
            raise InvalidSource(
                "A retake needs a track made by the same backend",
                hint="Give source as the id of such a track.",
                param="source",
            )
        for name, value in origin.items():
            if name in recipe and name not in draft.given and name not in _NOT_INHERITED:
                recipe[name] = value
        draft.given.setdefault("seed", origin["seed"])
        draft.given.setdefault("duration_sec", origin.get("duration_sec"))
    elif draft.task in ("repaint", "extend", "edit") and origin is not None:
        for name in ("prompt", "lyrics", "vocal_language"):
            if name in recipe and name not in draft.given and origin.get(name):
                recipe[name] = origin[name]
    if draft.task == "edit" and origin is not None:
        for name in ("prompt", "lyrics"):
            if not recipe.get(f"edit_source_{name}"):
                recipe[f"edit_source_{name}"] = origin.get(name, "")


def _duration(draft: Draft, recipe: dict[str, Any], audio: Mapping[str, Audio]) -> None:
    backend = draft.backend
    given = draft.given.get("duration_sec")
    low, high = backend.min_duration_sec, backend.max_duration_sec
    source = audio.get("source")
    if draft.task in catalog.SOURCE_TASKS and source is not None:
        if given is not None:
            draft.warn(
                "PARAM_IGNORED", f"{draft.task} takes the length of its source", "duration_sec"
            )
        given = source.duration_sec
        if draft.task == "extend":
            given += float(recipe["extend_left_sec"]) + float(recipe["extend_right_sec"])
    elif given is None:
        given = backend.default_duration_sec
    is_number = isinstance(given, (int, float)) and not isinstance(given, bool)
    if not is_number or not low <= given <= high:
        further = [
            other
            for other in catalog.BACKENDS.values()
            if is_number and other.min_duration_sec <= given <= other.max_duration_sec
        ]
        hint = f"Use {low:g}..{high:g} s"
        if further:
            best = further[-2] if len(further) > 1 else further[-1]
            hint += f", or the {best.type} backend for {best.min_duration_sec:g}.."
            hint += f"{best.max_duration_sec:g} s"
        shown = f"{given:g} s" if is_number else repr(given)
        raise InvalidDuration(
            f"Duration {shown} is outside {low:g}..{high:g} s for {backend.type}",
            hint=hint + ".",
            param="duration_sec",
            min=low,
            max=high,
        )
    recipe["duration_sec"] = given
    if backend.type == "ace_step_15" and given < SHORT_DURATION_SEC:
        draft.warn("SHORT_DURATION", "The model was trained on 10 s and more", "duration_sec")


def _loras(draft: Draft, adapters: Mapping[str, Adapter]) -> tuple[tuple[Adapter, float], ...]:
    chosen = []
    for item in draft.given.get("loras") or ():
        if "loras" not in parameters.OWN[draft.backend.type]:
            return ()
        chosen.append((adapters[lora_name(item)], float(item.get("scale", 1.0))))
    return tuple(chosen)


def lora_name(item: Any) -> str:
    """Returns the name in one member of `loras`.

    Raises:
        InvalidParams: it is not `{name, scale}`.
    """
    good = isinstance(item, Mapping) and isinstance(item.get("name"), str)
    scale = item.get("scale", 1.0) if good else None
    if not good or isinstance(scale, bool) or not isinstance(scale, (int, float)):
        raise InvalidParams("loras holds objects of name and scale", param="loras")
    if not -3 <= scale <= 3:
        raise InvalidParams(f"A LoRA's scale must be in -3..3, got {scale}", param="loras")
    return str(item["name"])


def _takes(
    draft: Draft, recipe: dict[str, Any], count: int, draw_seed: Callable[[], int]
) -> tuple[Take, ...]:
    def seed_of(name: str) -> int | None:
        table = _table(draft)
        value = table[name].check(draft.given.get(name)) if name in table else None
        return None if value in (None, -1) else int(value)

    first = seed_of("seed")
    if first is None:
        first = draw_seed()
    for name in ("retake_seed", "lm_seed"):
        if name in recipe:
            own = seed_of(name)
            if own is None:
                own = first if name == "lm_seed" else draw_seed()
            recipe[name] = own
    takes = []
    for index in range(count):
        seed = (first + index) % SEED_COUNT
        whole = canonical_recipe({**recipe, "seed": seed})
        takes.append(Take(seed, whole, digest(whole), track_id(whole)))
    return tuple(takes)
