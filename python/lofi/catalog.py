"""Every backend as data: names, durations, variants, tasks, components, languages, licences.

Torch-free: the daemon answers from this table what a worker could do. Parameters and their
ranges are in `parameters.py`, what lies on disk in `checkpoints.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from lofi.errors import InvalidBackend

AUTO = "auto"
NEURAL_ORDER = ("ace_step_15", "ace_step", "musicgen")
"""In which order `auto` looks for a ready backend."""

LANGUAGES_15 = tuple(
    "ar az bg bn ca cs da de el en es fa fi fr he hi hr ht hu id is it ja ko la lt ms ne nl no "
    "pa pl pt ro ru sa sk sr sv sw ta te th tl tr uk ur vi yue zh".split()
)
LANGUAGES_V1 = tuple("en de fr es it pt pl tr ru cs nl ar zh ja hu ko hi".split())
LM_SIZES = ("0.6b", "1.7b", "4b")
STEMS = tuple(
    "vocals backing_vocals drums bass guitar keyboard percussion strings synth fx brass "
    "woodwinds".split()
)

TEXT_TASKS = ("text2music", "retake", "repaint", "extend", "edit", "audio2audio")
COVER_TASKS = ("cover", "cover_nofsq")
STEM_TASKS = ("lego", "extract", "complete")
TASKS = TEXT_TASKS + COVER_TASKS + STEM_TASKS
TASK_ALIASES = {"cover-nofsq": "cover_nofsq", "remix": "cover", "outpaint": "extend"}
SOURCE_TASKS = frozenset(TASKS) - {"text2music", "retake"}
"""Tasks that work on a given piece of audio. A retake's source only lends its recipe."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One set of weights of a backend."""

    name: str
    family: str = ""
    """`turbo`, `sft` or `base` where presets depend on it."""
    components: tuple[str, ...] = ()
    """Folders below the backend's models folder, all of which it needs."""
    tasks: tuple[str, ...] = ()
    channels: int | None = None


@dataclass(frozen=True, slots=True)
class Backend:
    """What the world may know of a backend without its weights."""

    type: str
    name: str
    aliases: tuple[str, ...]
    min_duration_sec: float
    max_duration_sec: float
    default_duration_sec: float
    sample_rate: int
    channels: int
    variants: tuple[Variant, ...]
    default_variant: str
    license: str
    source: str | None
    languages: tuple[str, ...] = ()
    is_light: bool = False
    """Runs in the light worker: no torch, no weights."""

    def variant(self, name: str | None) -> Variant:
        """Returns the variant of that name, the default one for None.

        Raises:
            InvalidBackend: there is none of that name.
        """
        wanted = _fold(name or self.default_variant)
        for variant in self.variants:
            if _fold(variant.name) == wanted:
                return variant
        known = ", ".join(variant.name for variant in self.variants)
        raise InvalidBackend(
            f"{self.type} has no variant {name!r}",
            hint=f"Its variants: {known}.",
            param="variant",
        )

    def model_version(self, variant: str) -> str:
        """Returns the name of the published weights, part of every recipe."""
        prefix = {"ace_step": "ace-step-", "ace_step_15": "ace-step-v1.5-"}.get(
            self.type, f"{self.type}-"
        )
        return prefix + variant


def _ace_step_15_variant(name: str, family: str) -> Variant:
    return Variant(
        name,
        family,
        (f"acestep-v15-{name}", "vae", "Qwen3-Embedding-0.6B"),
        TEXT_TASKS + COVER_TASKS + (STEM_TASKS if family == "base" else ()),
    )


def _musicgen_variant(name: str) -> Variant:
    stereo = name.startswith("stereo")
    return Variant(name, "", (name,), ("text2music", "extend"), 2 if stereo else 1)


BACKENDS: dict[str, Backend] = {
    backend.type: backend
    for backend in (
        Backend(
            type="musicgen",
            name="MusicGen",
            aliases=("music_gen",),
            min_duration_sec=5,
            max_duration_sec=120,
            default_duration_sec=30,
            sample_rate=32000,
            channels=1,
            variants=tuple(
                _musicgen_variant(name)
                for name in (
                    "small",
                    "medium",
                    "large",
                    "stereo-small",
                    "stereo-medium",
                    "stereo-large",
                    "melody",
                )
            ),
            default_variant="small",
            license="CC-BY-NC-4.0",
            source="facebook/musicgen-small",
        ),
        Backend(
            type="ace_step",
            name="ACE-Step v1 (3.5B)",
            aliases=("acestep", "ace_step_v1"),
            min_duration_sec=5,
            max_duration_sec=240,
            default_duration_sec=60,
            sample_rate=48000,
            channels=2,
            variants=(
                Variant(
                    "v1-3.5b",
                    "",
                    ("ace_step_transformer", "umt5-base", "music_dcae_f8c8", "music_vocoder"),
                    TEXT_TASKS,
                ),
            ),
            default_variant="v1-3.5b",
            license="Apache-2.0",
            source="ACE-Step/ACE-Step-v1-3.5B",
            languages=LANGUAGES_V1,
        ),
        Backend(
            type="ace_step_15",
            name="ACE-Step 1.5",
            aliases=("ace_step_1.5", "acestep15", "ace_step_v15", "acestep_v15"),
            min_duration_sec=1,
            max_duration_sec=600,
            default_duration_sec=60,
            sample_rate=48000,
            channels=2,
            variants=(
                _ace_step_15_variant("turbo", "turbo"),
                _ace_step_15_variant("turbo-shift1", "turbo"),
                _ace_step_15_variant("turbo-shift3", "turbo"),
                _ace_step_15_variant("turbo-continuous", "turbo"),
                _ace_step_15_variant("sft", "sft"),
                _ace_step_15_variant("base", "base"),
                _ace_step_15_variant("xl-turbo", "turbo"),
                _ace_step_15_variant("xl-sft", "sft"),
                _ace_step_15_variant("xl-base", "base"),
            ),
            default_variant="turbo",
            license="MIT",
            source="ACE-Step/Ace-Step1.5",
            languages=LANGUAGES_15,
        ),
        Backend(
            type="procedural",
            name="Procedural synth",
            aliases=(),
            min_duration_sec=5,
            max_duration_sec=600,
            default_duration_sec=60,
            sample_rate=48000,
            channels=2,
            variants=(Variant("1", tasks=("text2music", "retake", "extend")),),
            default_variant="1",
            license="MIT",
            source=None,
            is_light=True,
        ),
    )
}


def backend_named(text: str) -> Backend:
    """Returns the backend of any accepted spelling.

    Raises:
        InvalidBackend: nobody knows it.
    """
    wanted = _fold(text)
    for backend in BACKENDS.values():
        if wanted in (_fold(backend.type), *map(_fold, backend.aliases)):
            return backend
    known = ", ".join((AUTO, *BACKENDS))
    raise InvalidBackend(
        f"There is no backend {text!r}", hint=f"Backends: {known}.", param="backend"
    )


def spelling(backend: str) -> str:
    """Returns the backend as people type it in commands (`ace-step-1.5`)."""
    return {"ace_step": "ace-step", "ace_step_15": "ace-step-1.5"}.get(backend, backend)


def lm_component(size: str) -> str:
    """Returns the folder of a planner size (`acestep-5Hz-lm-1.7B`)."""
    return f"acestep-5Hz-lm-{size.upper()}"


def language(code: str) -> str | None:
    """Returns the lyric language's code in its one form, None when no model knows it."""
    folded = code.strip().lower()
    known = {"unknown", *LANGUAGES_15, *LANGUAGES_V1}
    return folded if folded in known else None


def _fold(text: str) -> str:
    return text.strip().lower().replace("-", "_")
