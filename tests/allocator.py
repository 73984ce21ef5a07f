"""An allocator with a limit: torch runs out of memory where a test wants it to, on any machine.

    with Allocator(limit_bytes=10_000_000) as memory:
        ...                      # raises torch.OutOfMemoryError beyond the limit
    assert memory.peak_bytes < 9_000_000

It counts the storages that come to life while it is in force, and forgets those that die.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class Allocator(TorchDispatchMode):
    """Counts the bytes of every new storage; over the limit it fails as a GPU would.

    Args:
        limit_bytes: what may be alive at once; None never fails. May be changed at any time.
        fails: called with each operation's name; True makes that operation run out of memory.
    """

    def __init__(
        self, limit_bytes: int | None = None, fails: Callable[[str], bool] | None = None
    ) -> None:
        super().__init__()
        self.limit_bytes = limit_bytes
        self.live_bytes = 0
        self.peak_bytes = 0
        self.failures = 0
        self._fails = fails
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if self._fails is not None and self._fails(str(func)):
            self._fail()
        result = func(*args, **(kwargs or {}))
        inputs = {id(one.untyped_storage()) for one in _tensors((args, kwargs or {}))}
        for tensor in _tensors(result):
            storage = tensor.untyped_storage()
            if id(storage) not in inputs:
                self._take(storage)
        return result

    def _take(self, storage: torch.UntypedStorage) -> None:
        key, size = id(storage), storage.nbytes()
        if key in self._known or size == 0:
            return
        if self.limit_bytes is not None and self.live_bytes + size > self.limit_bytes:
            self._fail()
        self._known.add(key)
        self.live_bytes += size
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)
        weakref.finalize(storage, self._give, key, size).atexit = False

    def _give(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live_bytes -= size

    def _fail(self) -> None:
        self.failures += 1
        raise torch.OutOfMemoryError("out of memory, as the test wants it")


def _tensors(tree: Any) -> list[torch.Tensor]:
    if isinstance(tree, torch.Tensor):
        return [tree]
    if isinstance(tree, dict):
        return [one for value in tree.values() for one in _tensors(value)]
    if isinstance(tree, (list, tuple)):
        return [one for value in tree for one in _tensors(value)]
    return []
