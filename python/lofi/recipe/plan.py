"""What a planner thought of a track, put back into the recipe it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_OF_THE_PLANNER = ("auto_lyrics", "lm_model", "lm_temperature", "lm_cfg_scale", "lm_top_k",
                   "lm_top_p", "lm_negative_prompt", "lm_seed", "use_cot_metas",
                   "use_cot_language", "use_cot_caption", "constrained")  # fmt: skip


def with_plan(recipe: Mapping[str, Any], members: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the recipe that renders the same track without thinking again.

    Args:
        recipe: as the track was asked for.
        members: of its sidecar; `plan` is what the planner answered, if one was asked.
    """
    plan = members.get("plan")
    if not isinstance(plan, Mapping):
        return dict(recipe)
    known = {name: value for name, value in recipe.items() if name not in _OF_THE_PLANNER}
    chosen = {
        "prompt": plan.get("caption"),
        "lyrics": plan.get("lyrics"),
        "duration_sec": recipe.get("duration_sec") or plan.get("duration_sec"),
        "audio_codes": plan.get("codes"),
        **{name: members.get(name) for name in ("bpm", "keyscale", "timesignature")},
        "vocal_language": members.get("vocal_language"),
    }
    known.update({name: value for name, value in chosen.items() if value})
    # a length nobody chose is the one that came out
    known.setdefault("duration_sec", members.get("duration_sec"))
    return {**known, "thinking": False}
