"""The decode loop: text under a constraint, and runs of codes with guidance."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lofi.backends.ace_step_15.planner.brief import Sampling
from lofi.backends.ace_step_15.planner.codes import MOST_CODES
from lofi.backends.ace_step_15.planner.constraint import (
    CAPTION_LIMIT,
    WORDS_LIMIT,
    Allowed,
    Constraint,
    Kind,
)
from lofi.backends.ace_step_15.planner.flow import CodeTask, Events, TextTask
from lofi.backends.ace_step_15.planner.network import AnyCache, Network
from lofi.backends.ace_step_15.planner.sampling import Draws, drawn, guided, penalised
from lofi.backends.ace_step_15.planner.tries import Tries
from lofi.backends.ace_step_15.planner.vocabulary import Vocabulary
from lofi.errors import InvalidPrompt
from lofi.worker.backend import Step

Check = Callable[[], None]
BATCH = 8
"""Runs of codes decoded side by side at most."""

BLOCK_LIMIT = 128
"""More than the names and values of a reasoning block take beside its caption."""

NEAR = 256
"""Rows between the end token and code 0 up to which one stretch of the head serves both."""

TEXT_STREAM, CODE_STREAM = 0, 1
"""Streams of random numbers; each further attempt at the codes takes the next one."""


class Decoder:
    """Writes one plan: a text, then codes, whose prompt may begin like it and is not read twice.

    Made anew for each plan, so that what was written before it changes nothing.
    """

    def __init__(
        self,
        network: Network,
        vocabulary: Vocabulary,
        check: Check,
        tries: Tries | None = None,
    ) -> None:
        self._network = network
        self._vocabulary = vocabulary
        self._check = check
        self._tries = tries or Tries(vocabulary)
        self._device = network.device
        self._limit = network.config.max_position_embeddings
        self._masks: dict[Kind, Tensor] = {}
        self._read: list[int] = []
        self._cache: AnyCache | None = None

    @torch.inference_mode()
    def text(self, task: TextTask, seed: int) -> Events[str]:
        """Writes an answer; steps count its tokens.

        Raises:
            InvalidPrompt: the prompt leaves no room for an answer.
        """
        rules = task.rules
        constraint = Constraint(self._vocabulary, self._tries, rules) if rules else None
        prompt = self._vocabulary.encode(task.prompt)
        limit = BLOCK_LIMIT + CAPTION_LIMIT if rules and rules.then == "end" else WORDS_LIMIT
        limit = self._room(len(prompt), limit)
        cache = self._network.cache(1, len(prompt) + limit)
        draws = Draws(seed, TEXT_STREAM)
        written: list[int] = []
        pending = list(prompt)
        while len(written) < limit:
            self._check()
            if constraint is not None:
                forced = constraint.forced()
                written += forced
                pending += forced
                if constraint.done:
                    break
            if len(written) >= limit:
                break
            hidden = self._network(self._tensor([pending]), cache, self._check)[0, -1]
            token = self._next(hidden, constraint, task.sampling, written, draws)
            written.append(token)
            pending = [token]
            yield Step(len(written), 0)
            if constraint is None and token == self._vocabulary.end:
                break
        self._read = (prompt + written)[: cache.length]
        self._cache = cache
        return self._vocabulary.decode(written)

    def _next(
        self,
        hidden: Tensor,
        constraint: Constraint | None,
        sampling: Sampling,
        written: Sequence[int],
        draws: Draws,
    ) -> int:
        """hidden [C] -> the token that comes, taken by the constraint as well."""
        if constraint is None:
            return self._draw(hidden, Allowed(Kind.ANY), sampling, written, draws)
        allowed = constraint.allowed(lambda: int(self._network.head(hidden).argmax()))
        token = self._draw(hidden, allowed, sampling, written, draws)
        token = constraint.mend(token)
        constraint.feed(token)
        return token

    def _draw(
        self,
        hidden: Tensor,
        allowed: Allowed,
        sampling: Sampling,
        written: Sequence[int],
        draws: Draws,
    ) -> int:
        if allowed.kind in (Kind.IDS, Kind.BEST):
            if len(allowed.ids) == 1:
                return allowed.ids[0]
            ids = allowed.ids
            logits = self._network.head(hidden, self._tensor(list(ids))).float()
            if allowed.kind is Kind.BEST:
                return ids[int(logits.argmax())]
            logits = penalised(
                logits,
                [place for place, token in enumerate(ids) if token in written],
                sampling.repetition_penalty,
            )
            return ids[int(drawn(logits[None], sampling, [draws.next()])[0])]
        logits = self._network.head(hidden).float()
        logits = logits.masked_fill(~self._mask(allowed.kind), -torch.inf)
        logits = penalised(logits, written, sampling.repetition_penalty)
        return int(drawn(logits[None], sampling, [draws.next()])[0])

    def _mask(self, kind: Kind) -> Tensor:
        """Returns which ids a kind allows, [V]."""
        if kind not in self._masks:
            V = self._network.config.vocab_size
            mask = torch.zeros(V, dtype=torch.bool)
            known = min(V, self._vocabulary.size)
            if kind is Kind.ANY:
                mask[:known] = True
            elif kind is Kind.CAPTION:
                mask[:known] = torch.from_numpy(self._vocabulary.in_caption[:known])
            else:
                mask[:known] = torch.from_numpy(self._vocabulary.in_words[:known])
            self._masks[kind] = mask.to(self._device)
        return self._masks[kind]

    @torch.inference_mode()
    def codes(self, task: CodeTask, seeds: Sequence[int]) -> Events[list[list[int]]]:
        """Writes one run of codes a seed, eight at a time; steps count the codes of each run.

        Raises:
            InvalidPrompt: the prompt leaves no room for the codes.
        """
        runs: list[list[int]] = []
        for first in range(0, len(seeds), BATCH):
            ids = yield from self._batch(task, seeds[first : first + BATCH])
            runs += [self._vocabulary.codes_of(row) for row in ids]
        return runs

    def _batch(self, task: CodeTask, seeds: Sequence[int]) -> Events[list[list[int]]]:
        N = len(seeds)
        is_guided = task.guidance > 1
        toward = self._vocabulary.encode(task.prompt)
        away = self._vocabulary.encode(task.away) if is_guided else []
        limit = self._room(max(len(toward), len(away)), task.count or MOST_CODES)
        cache, hidden = self._prefilled(toward, away, N, limit)
        rows, row_ids, mask = self._code_rows(task)
        end = self._vocabulary.end
        draws = [Draws(seed, CODE_STREAM + task.attempt) for seed in seeds]
        steps: list[Tensor] = []
        penalty = task.sampling.repetition_penalty
        ended = torch.zeros(N, dtype=torch.bool, device=self._device)
        for step in range(limit):
            self._check()
            logits = self._network.head(hidden, rows).float().masked_fill(~mask, -torch.inf)
            if is_guided:
                logits = guided(logits[:N], logits[N:], task.guidance)
            if penalty != 1.0 and steps:
                taken = torch.stack(steps, dim=1).tolist()
                logits = torch.stack(
                    [penalised(row, ids, penalty) for row, ids in zip(logits, taken, strict=True)]
                )
            places = drawn(logits, task.sampling, [draw.next() for draw in draws])
            steps.append(places)
            tokens = row_ids[places]
            yield Step(step + 1, task.count or 0)
            if task.count is None or not task.constrained:
                ended |= tokens == end
                if bool(ended.all()):
                    break
            if step + 1 < limit:
                column = (torch.cat((tokens, tokens)) if is_guided else tokens)[:, None]
                hidden = self._network(column, cache, self._check)[:, -1]
        written = row_ids[torch.stack(steps, dim=1)].tolist()
        return [row[: row.index(end)] if end in row else row for row in written]

    def _prefilled(
        self, toward: list[int], away: list[int], items: int, limit: int
    ) -> tuple[AnyCache, Tensor]:
        """Reads each prompt once, ends aligned; returns the cache and the last states [B, C]."""
        prompts = [toward, away] if away else [toward]
        length = max(map(len, prompts))
        firsts = [length - len(prompt) for prompt in prompts]
        cache = self._network.cache(
            items * len(prompts),
            length + limit,
            tuple(first for first in firsts for _ in range(items)),
        )
        states = []
        for place, (prompt, first) in enumerate(zip(prompts, firsts, strict=True)):
            row = cache.row(place * items, first)
            known = self._shared(prompt) if first == 0 else 0
            if known and self._cache is not None:
                row.take(self._cache, known)
            hidden = self._network(self._tensor([prompt[known:]]), row, self._check)[:, -1]
            source = place * items
            cache.spread(source, range(source, source + items), first, length)
            states.append(hidden.expand(items, -1))
        cache.length = length
        return cache, torch.cat(states)

    def _shared(self, prompt: list[int]) -> int:
        """Returns how many tokens of a prompt the last text began with, one left to be read."""
        known = 0
        for mine, theirs in zip(prompt[:-1], self._read, strict=False):
            if mine != theirs:
                break
            known += 1
        return known

    def _code_rows(self, task: CodeTask) -> tuple[slice | Tensor | None, Tensor, Tensor]:
        """Returns which rows of the head phase 2 needs, their ids [R], and who may come [R]."""
        if not task.constrained:
            mask = self._mask(Kind.ANY)
            return None, torch.arange(len(mask), device=self._device), mask
        end, ids = self._vocabulary.end, self._vocabulary.known_code_ids
        first, last = int(ids[0]), int(ids[-1])
        if last - first == len(ids) - 1 and 0 < first - end < NEAR:
            # a view of the embedding: nothing is copied, the few rows between are masked
            row_ids = torch.arange(end, last + 1, device=self._device)
            mask = row_ids >= first
            mask[0] = task.count is None
            return slice(end, last + 1), row_ids, mask
        row_ids = self._tensor([end, *ids.tolist()])
        mask = torch.ones(len(row_ids), dtype=torch.bool, device=self._device)
        mask[0] = task.count is None
        return row_ids, row_ids, mask

    def _room(self, prompt: int, wanted: int) -> int:
        room = min(wanted, self._limit - prompt)
        if room < min(wanted, BLOCK_LIMIT):
            raise InvalidPrompt(
                f"Prompt and lyrics fill the planner's memory: {prompt} of {self._limit} tokens",
                hint="Shorten the lyrics, or set thinking to false.",
            )
        return room

    def _tensor(self, ids: list[int] | list[list[int]]) -> Tensor:
        return torch.tensor(ids, device=self._device)
