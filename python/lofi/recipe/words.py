"""Prompt, lyrics and musical metadata of a recipe in their one form."""

from __future__ import annotations

from typing import Any

from lofi import catalog, music, parameters
from lofi.errors import InvalidLyrics, InvalidParams
from lofi.recipe.request import Draft
from lofi.tracks import clean_text

INSTRUMENTAL = {"ace_step_15": "[Instrumental]", "ace_step": "[inst]"}
"""What a model is given to sing nothing; literally empty lyrics make it babble."""
PROMPT_TRAINED_LIMIT = 512


def fill_words(draft: Draft, recipe: dict[str, Any]) -> None:
    """Prompt, lyrics and musical metadata in their one form."""
    metas = music.parse_metas(str(draft.given.get("metas") or ""))
    for name in ("bpm", "keyscale", "timesignature"):
        item = parameters.OWN[draft.backend.type][name]
        value = recipe.pop(name, None)
        if value is None and metas.get(name) is not None:
            value = item.check(metas[name])
        if value is not None:
            recipe[name] = music.NORMALISE[name](value)
    if recipe.get("keyscale") and draft.backend.type != "ace_step_15":
        recipe["keyscale"] = music.in_ascii(recipe["keyscale"])
    if metas.get("duration") is not None:
        draft.given.setdefault("duration_sec", metas["duration"])
    prompt = clean_text(str(recipe.get("prompt") or ""))
    if metas["rest"]:
        prompt = ", ".join(part for part in (prompt, metas["rest"]) if part)
    if draft.backend.type in ("ace_step", "musicgen"):
        # These two read musical metadata as words of the prompt.
        spoken = music.spoken({name: recipe.pop(name, None) for name in music.NORMALISE})
        prompt = ", ".join(part for part in (prompt, *spoken) if part)
    # Where lyrics alone might do, it is known only once the planner is.
    needs_prompt = draft.task == "text2music" and not ("thinking" in recipe and recipe["lyrics"])
    if len(prompt) > parameters.PROMPT_LIMIT or (needs_prompt and not prompt):
        parameters.SHARED["prompt"].refuse(prompt)
    if len(prompt) > PROMPT_TRAINED_LIMIT and draft.backend.type.startswith("ace_step"):
        draft.warn(
            "PROMPT_TRUNCATED",
            f"The model reads about {PROMPT_TRAINED_LIMIT} characters of a prompt",
            "prompt",
        )
    recipe["prompt"] = prompt
    if "lyrics" in recipe:
        _lyrics(draft, recipe)


def _lyrics(draft: Draft, recipe: dict[str, Any]) -> None:
    lyrics = clean_text(str(recipe["lyrics"] or ""))
    if lyrics.lower() in ("[instrumental]", "[inst]"):
        lyrics = ""
    wanted = draft.given.get("instrumental")
    if wanted is True and lyrics:
        draft.warn("PARAM_IGNORED", "instrumental is true, so the lyrics are not sung", "lyrics")
        lyrics = ""
    if wanted is False and not lyrics and "auto_lyrics" in recipe:
        recipe["auto_lyrics"] = True
    if recipe.get("auto_lyrics") and lyrics:
        raise InvalidLyrics(
            "auto_lyrics asks the planner to write lyrics, but lyrics were given",
            hint="Give one of the two.",
            param="lyrics",
        )
    language = catalog.language(str(recipe.get("vocal_language") or "unknown"))
    if language is None:
        raise InvalidParams(
            f"vocal_language {recipe['vocal_language']!r} is no known language code",
            hint="Known codes: " + ", ".join(catalog.LANGUAGES_15) + ", unknown.",
            param="vocal_language",
        )
    if not lyrics and not recipe.get("auto_lyrics"):
        lyrics, language = INSTRUMENTAL[draft.backend.type], "unknown"
    elif language != "unknown" and language not in draft.backend.languages:
        draft.warn(
            "LANGUAGE_UNSUPPORTED",
            f"{draft.backend.name} was not trained to sing {language}",
            "vocal_language",
        )
    recipe["lyrics"], recipe["vocal_language"] = lyrics, language
