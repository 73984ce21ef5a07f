"""The modules of one model: where each lives while a job runs, and how large it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

import torch
from torch import nn

from lofi.worker.process import trim

SMALL_BYTES = 512 * 2**20
"""Modules up to this size (decoders, vocoders) stay on the device."""


class Residency(StrEnum):
    """Where the modules of a model live while a job runs."""

    NONE = "none"
    """Nothing is offloaded: every module stays on the device."""
    SEQUENTIAL = "sequential"
    """Each large module is on the device only while it runs."""
    CPU = "cpu"
    """Everything is computed by the CPU."""


def module_bytes(module: nn.Module) -> int:
    """Returns what the weights and buffers of a module take, tied ones counted once."""
    sizes = {
        (tensor.device, tensor.data_ptr(), tensor.nbytes): tensor.nbytes
        for tensor in (*module.parameters(), *module.buffers())
        if not tensor.is_meta
    }
    return sum(sizes.values())


class Residents:
    """The modules of one model and where they are; a stage borrows the one it runs.

    A module's weights on the CPU are kept while they are cheap (mapped from the file, or needed
    again soon), so leaving the device copies nothing back.
    """

    def __init__(self, device: str, residency: Residency) -> None:
        self.device = device
        self._residency = residency
        self._modules: dict[str, nn.Module] = {}
        self._sizes: dict[str, int] = {}
        self._homes: dict[str, Mapping[str, torch.Tensor]] = {}

    @property
    def residency(self) -> Residency:
        return self._residency

    def __contains__(self, name: str) -> bool:
        return name in self._modules

    def __getitem__(self, name: str) -> nn.Module:
        return self._modules[name]

    def add(self, name: str, module: nn.Module) -> None:
        """Takes a module in, wherever its weights are; a former one of that name leaves."""
        self.drop(name)
        self._modules[name] = module
        self._sizes[name] = module_bytes(module)

    def drop(self, name: str) -> None:
        """Lets go of a module."""
        for kept in (self._modules, self._sizes, self._homes):
            kept.pop(name, None)

    def clear(self) -> None:
        """Lets go of every module and gives the memory back."""
        for kept in (self._modules, self._sizes, self._homes):
            kept.clear()
        trim()

    def sizes(self) -> dict[str, int]:
        """Returns the bytes of each module, measured when it came."""
        return dict(self._sizes)

    def settle(self, residency: Residency) -> None:
        """Changes the policy; what has to leave the device leaves it now."""
        self._residency = residency
        if residency is Residency.NONE:
            return
        for name in self._modules:
            if residency is Residency.CPU or not self._is_small(name):
                self._leave(name)
        trim()

    @contextmanager
    def use(self, name: str) -> Iterator[Any]:
        """Lends the module on the device of the current policy, alone there when sequential."""
        module = self._modules[name]
        if self._residency is Residency.SEQUENTIAL:
            for other in self._modules:
                if other != name and not self._is_small(other):
                    self._leave(other)
        if self._residency is Residency.CPU:
            self._leave(name)
        else:
            self._enter(name)
        try:
            yield module
        finally:
            if self._residency is Residency.SEQUENTIAL and not self._is_small(name):
                self._leave(name)

    def _is_small(self, name: str) -> bool:
        return self._sizes[name] <= SMALL_BYTES

    def _enter(self, name: str) -> None:
        module = self._modules[name]
        tensors = _tensors(module)
        if all(_is_on(tensor, self.device) for tensor in tensors.values()):
            return
        if self._residency is Residency.SEQUENTIAL:
            self._homes[name] = tensors
        for key, tensor in tensors.items():
            _assign(module, key, tensor.to(self.device))

    def _leave(self, name: str) -> None:
        module = self._modules[name]
        home = self._homes.pop(name, None)
        for key, tensor in _tensors(module).items():
            if not _is_on(tensor, "cpu"):
                _assign(module, key, tensor.cpu() if home is None else home[key])


def _tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    return {
        **{name: parameter.data for name, parameter in module.named_parameters()},
        **dict(module.named_buffers()),
    }


def _assign(module: nn.Module, key: str, tensor: torch.Tensor) -> None:
    path, _, name = key.rpartition(".")
    owner = module.get_submodule(path)
    if name in owner._parameters:
        parameter = owner._parameters[name]
        assert parameter is not None
        try:
            parameter.data = tensor  # the parameter itself stays, and what is tied to it
        except RuntimeError:
            # Some devices' tensors are of another kind; `Module.to` replaces it there, too.
            owner._parameters[name] = nn.Parameter(tensor, requires_grad=False)
    else:
        owner._buffers[name] = tensor


def _is_on(tensor: torch.Tensor, device: str) -> bool:
    kind, _, index = device.partition(":")
    return tensor.device.type == kind and (not index or tensor.device.index in (None, int(index)))
