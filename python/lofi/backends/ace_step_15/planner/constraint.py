"""What the model may write next. No torch here: it answers with ids, the decoder masks with them.

An answer is a row of segments: fixed strings, values of closed fields, a caption, then the end,
free words or codes. Each knows what may come and when it is over. One constraint per sequence.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Literal, Protocol

from lofi.backends.ace_step_15.planner.codes import MOST_CODES
from lofi.backends.ace_step_15.planner.metadata import DURATION_HIGH_SEC, FIELDS, meter
from lofi.backends.ace_step_15.planner.tries import Trie, Tries
from lofi.backends.ace_step_15.planner.vocabulary import Vocabulary

CAPTION_LIMIT: Final = 512
GENRES_LIMIT: Final = 64
WORDS_LIMIT: Final = 3000
"""Lyrics have 4096 characters at most; no language needs more tokens than that for them."""


Best = Callable[[], int]
"""Gives the arg-max of the unmasked logits. Rarely asked, and dear: it needs the whole head."""


class Kind(StrEnum):
    """Which family of tokens may come."""

    IDS = "ids"
    BEST = "best"
    """Only the one of `ids` that scores best: languages are chosen, not drawn."""
    CAPTION = "caption"
    WORDS = "words"
    CODES = "codes"
    CODES_OR_END = "codes_or_end"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Allowed:
    """The tokens that may come next."""

    kind: Kind
    ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """How an answer must look."""

    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Fields the user set: written as they are."""
    skipped: frozenset[str] = frozenset({"genres"})
    longest_sec: int = DURATION_HIGH_SEC
    block: bool = True
    """False: the reasoning block stands in the prompt."""
    then: Literal["end", "words", "codes"] = "end"
    """`end` stops in place of `</think>`."""
    code_count: int | None = None
    """How many codes, exactly; None leaves it to the model."""


class Segment(Protocol):
    """A stretch of the answer."""

    def forced(self) -> tuple[int, ...]:
        """Returns the tokens of this stretch that are certain."""

    def allowed(self, best: Best) -> Allowed | None:
        """Returns what may come, None if the stretch is over after all."""

    def feed(self, token: int) -> bool:
        """Takes the token that came; True when the stretch is over."""


class Constraint:
    """Follows one sequence from its first token to its last."""

    def __init__(self, vocabulary: Vocabulary, tries: Tries, rules: Rules) -> None:
        self._segments = deque(_segments(vocabulary, tries, rules))

    @property
    def done(self) -> bool:
        """True when nothing may follow."""
        return not self._segments

    def forced(self) -> tuple[int, ...]:
        """Returns and takes the certain tokens at this place: they need no model."""
        run: list[int] = []
        while self._segments:
            tokens = self._segments[0].forced()
            if not tokens:
                break
            run += tokens
            for token in tokens:
                self.feed(token)
        return tuple(run)

    def allowed(self, best: Best) -> Allowed:
        """Returns what may come next."""
        while True:
            allowed = self._segments[0].allowed(best)
            if allowed is not None:
                return allowed
            self._segments.popleft()

    def feed(self, token: int) -> None:
        """Takes the token that came."""
        if self._segments[0].feed(token):
            self._segments.popleft()

    def mend(self, token: int) -> int:
        """Returns the token to take for a sampled one: see `Caption.mend`."""
        segment = self._segments[0]
        return segment.mend(token) if isinstance(segment, Caption) else token


def _segments(vocabulary: Vocabulary, tries: Tries, rules: Rules) -> list[Segment]:
    row: list[Segment] = []
    if rules.block:
        row += [Fixed((vocabulary.think,)), Fixed((vocabulary.newline,))]
        for name in FIELDS:
            if name not in rules.skipped:
                row.append(Fixed(tuple(vocabulary.pieces(f"{name}:"))))
                row.append(_value(vocabulary, tries, rules, name))
        row.append(Fixed((vocabulary.end if rules.then == "end" else vocabulary.think_end,)))
    if rules.then == "words":
        row.append(Words(vocabulary.end, WORDS_LIMIT))
    elif rules.then == "codes":
        row.append(Codes(vocabulary.end, rules.code_count))
    return row


def _value(vocabulary: Vocabulary, tries: Tries, rules: Rules, name: str) -> Segment:
    if name in rules.fixed:
        value = rules.fixed[name]
        text = meter(value) if name == "timesignature" else str(value)
        return Fixed(tuple(vocabulary.encode(f" {text}\n")))
    if name == "caption":
        return Caption(vocabulary)
    if name == "genres":
        return Genres(vocabulary)
    return Value(tries.of(name, rules.longest_sec), choose=name == "language")


class Fixed:
    """Tokens that stand from the start."""

    def __init__(self, ids: tuple[int, ...]) -> None:
        self._left = deque(ids)

    def forced(self) -> tuple[int, ...]:
        return tuple(self._left)

    def allowed(self, best: Best) -> Allowed | None:
        return Allowed(Kind.IDS, (self._left[0],))

    def feed(self, token: int) -> bool:
        self._left.popleft()
        return not self._left


class Value:
    """One of the legal values of a closed field, and its newline."""

    def __init__(self, trie: Trie, *, choose: bool) -> None:
        self._trie = trie
        self._choose = choose
        self._prefix: list[int] = []

    def forced(self) -> tuple[int, ...]:
        ids = self._trie.next(self._prefix)
        return ids if len(ids) == 1 else ()

    def allowed(self, best: Best) -> Allowed | None:
        kind = Kind.BEST if self._choose and not self._prefix else Kind.IDS
        return Allowed(kind, self._trie.next(self._prefix))

    def feed(self, token: int) -> bool:
        self._prefix.append(token)
        return token == self._trie.newline


class Caption:
    """Free text that goes on over lines as long as the next one would begin with white space.

    After a line break the model's first choice tells: white space continues, anything else is the
    name of the next field, which is then written for it. So no field is skipped or named twice.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._count = 0
        self._at_line_start = False

    def forced(self) -> tuple[int, ...]:
        full = self._count >= CAPTION_LIMIT and not self._at_line_start
        return (self._vocabulary.newline,) if full else ()

    def allowed(self, best: Best) -> Allowed | None:
        if self._at_line_start:
            goes_on = self._vocabulary.text_of(best())[:1] in (" ", "\t")
            if not goes_on or self._count >= CAPTION_LIMIT:
                return None
        elif self._count >= CAPTION_LIMIT:
            return Allowed(Kind.IDS, (self._vocabulary.newline,))
        return Allowed(Kind.CAPTION)

    def feed(self, token: int) -> bool:
        self._count += 1
        self._at_line_start = "\n" in self._vocabulary.text_of(token)
        return False

    def mend(self, token: int) -> int:
        """Indents a line that goes on: the first choice was white space, but another token was
        drawn, and at the start of a line it would read as a field.
        """
        if self._at_line_start and self._vocabulary.text_of(token)[:1] not in (" ", "\t"):
            return self._vocabulary.space
        return token


class Genres:
    """One line of free text."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._count = 0

    def forced(self) -> tuple[int, ...]:
        return (self._vocabulary.newline,) if self._count >= GENRES_LIMIT else ()

    def allowed(self, best: Best) -> Allowed | None:
        return Allowed(Kind.CAPTION)

    def feed(self, token: int) -> bool:
        self._count += 1
        return "\n" in self._vocabulary.text_of(token)


class Words:
    """Free text up to the end token."""

    def __init__(self, end: int, limit: int) -> None:
        self._end = end
        self._left = limit

    def forced(self) -> tuple[int, ...]:
        return () if self._left else (self._end,)

    def allowed(self, best: Best) -> Allowed | None:
        return Allowed(Kind.WORDS)

    def feed(self, token: int) -> bool:
        self._left -= 1
        return token == self._end


class Codes:
    """Audio codes: exactly as many as asked for, or until the model ends them."""

    def __init__(self, end: int, count: int | None) -> None:
        self._end = end
        self._counted = count is not None
        self._limit = MOST_CODES if count is None else count
        self._done = 0

    def forced(self) -> tuple[int, ...]:
        return (self._end,) if self._done >= self._limit else ()

    def allowed(self, best: Best) -> Allowed | None:
        if self._done >= self._limit:
            return Allowed(Kind.IDS, (self._end,))
        return Allowed(Kind.CODES if self._counted else Kind.CODES_OR_END)

    def feed(self, token: int) -> bool:
        self._done += 1
        return token == self._end
