"""From a request to recipes: names and ranges checked, every default filled in.

`request` holds the values, `resolve` the way from one to the other, `words` prompt and lyrics,
`presets` what only one backend knows, `plan` what a planner adds to a recipe afterwards.
"""

from lofi.recipe.plan import with_plan
from lofi.recipe.request import Adapter, Audio, Checkpoint, Request, Take, Warning, World
from lofi.recipe.resolve import canonical_names, lora_name, resolve

__all__ = [
    "Adapter",
    "Audio",
    "Checkpoint",
    "Request",
    "Take",
    "Warning",
    "World",
    "canonical_names",
    "lora_name",
    "resolve",
    "with_plan",
]
