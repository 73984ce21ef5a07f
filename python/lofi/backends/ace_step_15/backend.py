"""ACE-Step 1.5 as the worker knows it: jobs in, events out, and operations without a track."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from lofi.backends.ace_step_15.config import FRAME_RATE
from lofi.backends.ace_step_15.pipeline import Pipeline
from lofi.backends.ace_step_15.planner import operations
from lofi.backends.ace_step_15.planner.brief import Brief
from lofi.backends.ace_step_15.planner.flow import Plan
from lofi.backends.ace_step_15.planner.planner import Planner
from lofi.backends.ace_step_15.planner.scores import overall
from lofi.backends.ace_step_15.request import NEEDS_SOURCE, Request
from lofi.backends.ace_step_15.sources import read_audio
from lofi.backends.ace_step_15.timing import Timing, lyric_timing
from lofi.errors import InvalidSource, LmUnavailable, MethodNotFound, ModelNotFound
from lofi.worker.backend import Answer, Check, Event, Facts, Job, Model
from lofi.worker.memory import free_bytes
from lofi.worker.residents import Residency

LM_ROOM_BYTES = {"0.6b": 2 << 30, "1.7b": 5 << 30, "4b": 10 << 30}
"""What a planner needs on a device, weights, cache and all."""
_MODEL_KEYS = ("path", "variant", "device", "bf16", "offload", "threads", "oom_fallback",
               "vae_tile_sec", "min_free_vram_mb", "vram_wait_sec")  # fmt: skip


class AceStep15:
    """Holds one variant's networks and, while it thinks, the planner."""

    def __init__(self) -> None:
        self._pipeline: Pipeline | None = None
        self._key: tuple[Any, ...] = ()
        self._planner = Planner()
        self._planned: tuple[tuple[str, Brief, int], Plan] | None = None
        """The last plan, and of what: planner, brief and seed."""

    def load(self, job: Job, check: Check) -> Iterator[Event]:
        """Brings the job's variant into memory; cheap when it is already there."""
        pipeline = self._opened(job.model)
        yield from pipeline.load(check)
        pipeline.adapt([(lora.path, lora.scale) for lora in job.loras], check)

    def _opened(self, model: Model) -> Pipeline:
        key = tuple(getattr(model, name) for name in _MODEL_KEYS)
        if self._pipeline is not None and key == self._key:
            return self._pipeline
        self.unload()
        if model.path is None:
            raise ModelNotFound(
                "No folder of ACE-Step 1.5 is known",
                hint="Run :Lofi setup ace-step-1.5, or set LOFI_ACE_STEP_15_MODEL_PATH to the "
                "folder that holds its components.",
            )
        self._pipeline = Pipeline.open(model.path, model.variant or "turbo", model=model)
        self._key = key
        return self._pipeline

    def run(self, job: Job, check: Check) -> Iterator[Event]:
        """Renders one track: plans it if the recipe says so, then all stages."""
        pipeline = self._opened(job.model)
        recipe: Mapping[str, Any] = job.recipe
        if recipe.get("lm_model"):
            recipe = yield from self._thought(pipeline, recipe, job.model, check)
        wanted = ("reference", "source") if recipe["task"] in NEEDS_SOURCE else ("reference",)
        sounds = {name: read_audio(job.audio[name], check) for name in wanted if name in job.audio}
        request = Request.of(recipe, source=sounds.get("source"), reference=sounds.get("reference"))
        yield from pipeline.render(request, check, job.latents_path)

    def unload(self) -> None:
        """Lets go of every weight."""
        if self._pipeline is not None:
            self._pipeline.unload()
        self._pipeline = None
        self._key = ()
        self._planner.unload()
        self._planned = None

    # Planning ------------------------------------------------------------------------------------

    def _thought(
        self, pipeline: Pipeline, recipe: Mapping[str, Any], model: Model, check: Check
    ) -> Generator[Event, None, Mapping[str, Any]]:
        """The recipe with what the planner found; takes of one request share the plan."""
        size, brief = str(recipe["lm_model"]), Brief.of(recipe)
        seed = int(recipe.get("lm_seed", recipe["seed"]))
        if self._planned is not None and self._planned[0] == (size, brief, seed):
            plan = self._planned[1]
            yield from plan.notices
            yield Facts(plan.facts())
            return _with_plan(recipe, plan)
        yield from self._wake(pipeline, size, model, check)
        plan = yield from self._planner.planning(brief, seed, check)
        self._planned = ((size, brief, seed), plan)
        self._rest(pipeline)
        return _with_plan(recipe, plan)

    def _wake(
        self, pipeline: Pipeline, size: str, model: Model, check: Check
    ) -> Generator[Event, None, None]:
        """Loads the planner; the other networks make room for it."""
        assert model.path is not None
        policy = pipeline.stages.policy
        on_device = not policy.device.startswith("cpu")
        if on_device and free_bytes(policy.device) < LM_ROOM_BYTES.get(size, 10 << 30):
            pipeline.stages.settle(Residency.SEQUENTIAL)
        yield from self._planner.load(model.path, size, policy.device, policy.dtype, check)

    def _rest(self, pipeline: Pipeline) -> None:
        """On a device the planner leaves before the decoder needs the room."""
        if not pipeline.stages.policy.device.startswith("cpu"):
            self._planner.unload()

    # Operations ----------------------------------------------------------------------------------

    def operate(
        self, operation: str, params: Mapping[str, Any], model: Model, check: Check
    ) -> Iterator[Event]:
        """Runs an operation without a track and ends with one `Answer`.

        `lm_inspire`, `lm_format`, `lm_understand`, `lm_codes` take the method's own parameters,
        `lm_model` (a size) and, for `lm_understand`, `source` (a sound file). `lyrics_timing` and
        `score` take `recipe` and one of `latents` (the track's kept ones) and `path` (its sound).
        """
        pipeline = self._opened(model)
        if operation in operations.OPERATIONS:
            yield from self._planner_operation(pipeline, operation, params, model, check)
        elif operation in ("lyrics_timing", "score"):
            yield from pipeline.load(check)
            pipeline.adapt([], check)
            if operation == "score":
                yield from self._score(pipeline, params, model, check)
            else:
                timing = yield from self._timing(pipeline, params, check)
                yield Answer(_timing_answer(timing))
        else:
            raise MethodNotFound(f"ACE-Step 1.5 has no operation {operation!r}")

    def _planner_operation(
        self,
        pipeline: Pipeline,
        operation: str,
        params: Mapping[str, Any],
        model: Model,
        check: Check,
    ) -> Iterator[Event]:
        size = params.get("lm_model")
        if not size:
            raise LmUnavailable(
                f"{operation} needs a planner",
                hint="Run :Lofi setup ace-step-1.5 lm=0.6b.",
                param="lm_model",
            )
        yield from self._wake(pipeline, str(size), model, check)

        def codes_of() -> Generator[Event, None, list[int]]:
            yield from pipeline.load(check)
            codes = yield from self._codes(pipeline, Path(str(params["source"])), check)
            return codes

        yield from operations.operate(
            self._planner,
            operation,
            params,
            check,
            codes_of=codes_of if params.get("source") else None,
        )
        self._rest(pipeline)

    def _codes(
        self, pipeline: Pipeline, path: Path, check: Check
    ) -> Generator[Event, None, list[int]]:
        """The audio codes of a sound file."""
        request = Request(task="cover_nofsq", source=read_audio(path, check))
        rendering = pipeline.rendering(request, check)
        yield from rendering.encode_sounds()
        return rendering.codes()

    def _timing(
        self, pipeline: Pipeline, params: Mapping[str, Any], check: Check
    ) -> Generator[Event, None, Timing]:
        recipe = {**params["recipe"], "task": "text2music"}
        latents = yield from self._track_latents(pipeline, params, check)
        # timed over the sound that is there, whatever task made it
        seconds = latents.shape[1] / FRAME_RATE
        request = replace(
            Request.of(recipe, source=None, reference=None), codes=(), duration_sec=seconds
        )
        rendering = pipeline.rendering(request, check)
        return (yield from lyric_timing(rendering, latents, check))

    def _track_latents(
        self, pipeline: Pipeline, params: Mapping[str, Any], check: Check
    ) -> Generator[Event, None, Tensor]:
        """The latents of a track, kept or encoded anew, [1, T, C]."""
        kept = params.get("latents")
        if kept and Path(kept).is_file():
            return load_file(kept)["latents"][None].float()
        if not params.get("path"):
            raise InvalidSource("The track's sound is not known", hint="Give path or latents.")
        audio = read_audio(Path(str(params["path"])), check)
        rendering = pipeline.rendering(Request(task="cover_nofsq", source=audio), check)
        yield from rendering.encode_sounds()
        latents = rendering.outline.sounds.latents
        if latents is None:
            raise InvalidSource("The track is silent", hint="There is nothing to time in it.")
        return latents

    def _score(
        self, pipeline: Pipeline, params: Mapping[str, Any], model: Model, check: Check
    ) -> Iterator[Event]:
        recipe = params["recipe"]
        request = Request.of({**recipe, "task": "text2music"}, source=None, reference=None)
        found: dict[str, float | None] = {"lyrics_alignment": None, "prompt_match": None}
        if request.lyrics and request.sung == request.lyrics.strip():
            found["lyrics_alignment"] = yield from self._lyric_score(pipeline, params, check)
        if params.get("lm_model"):
            latents = yield from self._track_latents(pipeline, params, check)
            rendering = pipeline.rendering(
                Request(task="cover_nofsq", source_latents=latents[0]), check
            )
            yield from rendering.encode_sounds()
            codes = rendering.codes()
            yield from self._wake(pipeline, str(params["lm_model"]), model, check)
            brief = Brief.of(recipe)
            scores = self._planner.scores(
                codes,
                caption=brief.caption,
                lyrics=brief.lyrics,
                metadata=_spoken(brief.fixed),
                check=check,
            )
            found["prompt_match"] = round(overall(scores), 4)
            self._rest(pipeline)
        yield Answer(found)

    def _lyric_score(
        self, pipeline: Pipeline, params: Mapping[str, Any], check: Check
    ) -> Generator[Event, None, float | None]:
        if str(params["recipe"].get("lyrics", "")).strip().lower() in ("", "[instrumental]"):
            return None
        timing = yield from self._timing(pipeline, params, check)
        return timing.score.total


def _with_plan(recipe: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """The recipe with the plan in its gaps; what the user gave stands in the plan unchanged."""
    filled = dict(recipe)
    values: dict[str, Any] = {
        "prompt": plan.caption,
        "lyrics": plan.lyrics,
        "bpm": plan.bpm,
        "duration_sec": plan.duration_sec,
        "keyscale": plan.keyscale,
        "timesignature": plan.timesignature,
        "vocal_language": plan.vocal_language,
        "audio_codes": list(plan.codes),
    }
    filled.update({name: value for name, value in values.items() if value})
    return filled


def _spoken(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata with numbers as numbers, the meter too, as the planner was trained."""
    return {
        name: int(value) if name == "timesignature" and str(value).isdigit() else value
        for name, value in metadata.items()
    }


def _timing_answer(timing: Timing) -> dict[str, Any]:
    return {
        "lrc": "\n".join(str(line) for line in timing.lines),
        "lines": [
            {"start": round(line.start_sec, 2), "end": round(line.end_sec, 2), "text": line.text}
            for line in timing.lines
        ],
        "confidence": round(timing.score.confidence, 4),
    }


def create() -> AceStep15:
    """Returns the backend, nothing loaded."""
    return AceStep15()
