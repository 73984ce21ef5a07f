"""The planner as the backend holds it: loaded, asked, let go."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from lofi.backends.ace_step_15.planner import flow
from lofi.backends.ace_step_15.planner.brief import Brief, Sampling
from lofi.backends.ace_step_15.planner.config import SIZES
from lofi.backends.ace_step_15.planner.decoder import Decoder
from lofi.backends.ace_step_15.planner.flow import Events, Plan
from lofi.backends.ace_step_15.planner.metadata import DURATION_HIGH_SEC
from lofi.backends.ace_step_15.planner.network import Network, PlannerNetwork
from lofi.backends.ace_step_15.planner.reading import Written
from lofi.backends.ace_step_15.planner.scores import Judge
from lofi.backends.ace_step_15.planner.tries import Tries
from lofi.backends.ace_step_15.planner.vocabulary import Vocabulary
from lofi.backends.ace_step_15.planner.weights import load_network
from lofi.errors import LmUnavailable
from lofi.worker.backend import Event, Facts, Notice, Phase
from lofi.worker.residents import module_bytes

Check = Callable[[], None]
T = TypeVar("T")
PREFIX = "acestep-5Hz-lm-"


def planner_folder(models: Path, size: str) -> Path:
    """Returns the folder of a planner size among the components of `models`.

    A fine-tuned one (`acestep-5Hz-lm-0.6B-v4`) serves where the plain one is missing.

    Raises:
        LmUnavailable: there is none of that size.
    """
    plain = models / f"{PREFIX}{size.upper()}"
    if (plain / "config.json").is_file():
        return plain
    others = [
        folder
        for folder in models.glob(f"{PREFIX}*")
        if size_of(folder.name) == size and (folder / "config.json").is_file()
    ]
    if others:
        return max(others, key=lambda folder: (len(folder.name), folder.name))
    raise LmUnavailable(
        f"There is no {size} planner in {models}",
        hint=f"Run :Lofi setup ace-step-1.5 lm={size}, or use lm_model = none.",
        lm_model=size,
    )


def size_of(name: str) -> str:
    """Returns the size class of a checkpoint's name; names that say none count as the smallest."""
    return next((size for size in SIZES if size in name.lower()), SIZES[0])


class Planner:
    """One language model, loaded for as long as it is needed.

    Every request is a generator of events that returns its result; cancelling is `check` raising.
    """

    def __init__(self) -> None:
        self._key: tuple[Path, str, torch.dtype] | None = None
        self._network: Network | None = None
        self._vocabulary: Vocabulary | None = None
        self._tries: Tries | None = None

    @property
    def size_bytes(self) -> int:
        """Memory of the weights, 0 when not loaded."""
        if isinstance(self._network, PlannerNetwork):
            return module_bytes(self._network) + self._network.packed_bytes
        return module_bytes(self._network) if isinstance(self._network, nn.Module) else 0

    def load(
        self, models: Path, size: str, device: str, dtype: torch.dtype, check: Check
    ) -> Events[None]:
        """Brings a planner into memory; costs and says nothing if it is there.

        Raises:
            LmUnavailable, ModelNotFound, ModelLoadFailed: it is missing or broken.
        """
        folder = planner_folder(models, size)
        key = (folder, device, dtype)
        if key == self._key:
            return
        self.unload()
        yield Phase("loading", 0, device, _name(dtype))
        vocabulary = Vocabulary.load(folder)
        self._network = load_network(folder, torch.device(device), dtype, check)
        self._vocabulary = vocabulary
        self._tries = Tries(vocabulary)
        self._key = key
        if not isinstance(self._network, PlannerNetwork):
            yield Notice(
                "DEGRADED", f"{folder.name} is built unlike the published planners and runs slower"
            )

    def unload(self) -> None:
        """Lets go of the weights."""
        self._key = self._network = self._vocabulary = self._tries = None

    def planning(self, brief: Brief, seed: int, check: Check) -> Events[Plan]:
        """Plans one piece. The facts it yields are told as soon as they are known.

        Raises:
            InvalidPrompt: prompt and lyrics are too long for the model.
            ModelInferenceFailed: it wrote nothing.
        """
        (plan,) = yield from self.plannings(brief, [seed], check)
        return plan

    def plannings(self, brief: Brief, seeds: Sequence[int], check: Check) -> Events[list[Plan]]:
        """Plans one piece several times: the same metadata, other codes."""
        yield self._begun()
        if brief.too_short:
            yield Notice(
                "PARAM_ADJUSTED",
                "Pieces below 10 seconds are not planned: thinking was switched off",
                "thinking",
            )
            brief = replace(brief, thinking=False, use_cot_metas=False, use_cot_caption=False)
        if not brief.runs:
            return [flow.merged(brief, brief.fixed, brief.lyrics)] * len(seeds)
        plans = yield from flow.planned(self._decoder(check), brief, seeds)
        yield from plans[0].notices
        yield Facts(plans[0].facts())
        return plans

    def plan(
        self, brief: Brief, seed: int, check: Check, tell: Callable[[Event], None] | None = None
    ) -> Plan:
        """Returns the plan of one piece; `tell` hears the events."""
        return finished(self.planning(brief, seed, check), tell)

    def inspire(
        self,
        query: str,
        *,
        instrumental: bool,
        fixed: Mapping[str, Any],
        sampling: Sampling,
        seed: int,
        check: Check,
    ) -> Events[Written]:
        """Turns one sentence into caption, lyrics and metadata."""
        yield self._begun()
        return (
            yield from flow.inspired(
                self._decoder(check),
                query,
                instrumental=instrumental,
                fixed=fixed,
                sampling=sampling,
                seed=seed,
                longest_sec=DURATION_HIGH_SEC,
            )
        )

    def rewrite(
        self,
        caption: str,
        lyrics: str,
        *,
        fixed: Mapping[str, Any],
        sampling: Sampling,
        seed: int,
        check: Check,
    ) -> Events[Written]:
        """Enriches a caption and tidies lyrics; `fixed` stays as it is."""
        yield self._begun()
        return (
            yield from flow.rewritten(
                self._decoder(check),
                caption,
                lyrics,
                fixed=fixed,
                sampling=sampling,
                seed=seed,
                longest_sec=DURATION_HIGH_SEC,
            )
        )

    def understand(
        self, codes: Sequence[int], *, sampling: Sampling, seed: int, check: Check
    ) -> Events[Written]:
        """Describes what codes sound like."""
        yield self._begun()
        return (
            yield from flow.understood(self._decoder(check), codes, sampling=sampling, seed=seed)
        )

    def scores(
        self,
        codes: Sequence[int],
        *,
        caption: str,
        lyrics: str,
        metadata: Mapping[str, Any],
        check: Check,
    ) -> dict[str, float]:
        """Returns how well words fit codes, one score in 0..1 for each field that is there."""
        network, vocabulary, _ = self._loaded()
        judge = Judge(network, vocabulary, check)
        return judge.scores(codes, caption=caption, lyrics=lyrics, metadata=metadata)

    def _begun(self) -> Phase:
        if self._key is None:
            return Phase("planning")
        _, device, dtype = self._key
        return Phase("planning", 0, device, _name(dtype))

    def _decoder(self, check: Check) -> Decoder:
        network, vocabulary, tries = self._loaded()
        return Decoder(network, vocabulary, check, tries)

    def _loaded(self) -> tuple[Network, Vocabulary, Tries]:
        if self._network is None or self._vocabulary is None or self._tries is None:
            raise LmUnavailable(
                "No planner is loaded", hint="Run :Lofi setup ace-step-1.5 lm=0.6b."
            )
        return self._network, self._vocabulary, self._tries


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def finished(events: Events[T], tell: Callable[[Event], None] | None = None) -> T:
    """Runs a generator of events to its end and returns what it returns."""
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            result: T = end.value
            return result
        if tell is not None:
            tell(event)
