"""Which tokens may spell the value of a field: prefix trees over token ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from lofi.backends.ace_step_15.planner.metadata import DURATION_HIGH_SEC, values_of
from lofi.backends.ace_step_15.planner.vocabulary import Vocabulary

NUMERIC: Final = frozenset(("bpm", "duration"))
"""Fields where a legal value may be the beginning of another: 30 and 300."""


@dataclass(slots=True)
class Node:
    """A prefix of legal values. `whole`: it is one itself."""

    children: dict[int, Node] = field(default_factory=dict)
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Trie:
    """All legal values of one field."""

    root: Node
    newline: int
    numeric: bool

    def next(self, prefix: Sequence[int]) -> tuple[int, ...]:
        """Returns the tokens that may follow `prefix`, ascending; a newline ends a value."""
        node = self.root
        for token in prefix:
            found = node.children.get(token)
            if found is None:
                return (self.newline,)
            node = found
        if node.whole and not self.numeric:
            return (self.newline,)
        ends = {self.newline} if node.whole or not node.children else set()
        return tuple(sorted(ends | node.children.keys()))

    def nodes(self) -> int:
        """Returns how many prefixes there are, the empty one and finished values included."""
        return _count(self.root)


def _count(node: Node) -> int:
    return 1 + sum(_count(child) for child in node.children.values())


def trie_for(vocabulary: Vocabulary, name: str, longest_sec: int = DURATION_HIGH_SEC) -> Trie:
    """Returns the trie of a closed field.

    Values are encoded behind their field's name, for the space joins the word that follows.
    """
    head = vocabulary.encode(f"{name}:")
    root = Node()
    for value in values_of(name, longest_sec):
        ids = vocabulary.encode(f"{name}: {value}")
        _insert(root, ids[len(head) :])
    return Trie(root, vocabulary.newline, name in NUMERIC)


def _insert(root: Node, ids: Iterable[int]) -> None:
    node = root
    for token in ids:
        node = node.children.setdefault(token, Node())
    node.whole = True


class Tries:
    """The tries of one vocabulary, made when first asked for."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._made: dict[tuple[str, int], Trie] = {}

    def of(self, name: str, longest_sec: int = DURATION_HIGH_SEC) -> Trie:
        """Returns the trie of a field; `longest_sec` matters to `duration` alone."""
        key = (name, longest_sec if name == "duration" else 0)
        if key not in self._made:
            self._made[key] = trie_for(self._vocabulary, name, longest_sec)
        return self._made[key]
