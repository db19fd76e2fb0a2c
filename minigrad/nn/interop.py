"""Weights from PyTorch and back: names and shapes are the same, but dense weights are transposed there."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from .. import formats
from .module import Module

__all__ = ["load_torch_state_dict", "torch_state_dict"]


def load_torch_state_dict(model: Module, source: Mapping | str | os.PathLike[str], strict: bool = True) -> None:
    """Take over a PyTorch state_dict: a dict of arrays or torch tensors, or the path of a .safetensors file.

    The modules must be called the same in both; values are cast to each parameter's dtype, from bfloat16 too. Raises
    ValueError naming what is missing, unexpected or of another shape, and then changes nothing; strict=False ignores
    missing and unexpected names. TypeError for another kind of file: a .pt file is a pickle, which may run any code:
    convert it in PyTorch with ``safetensors.torch.save_file(module.state_dict(), path)``. FileNotFoundError, or
    checkpoint.ModelFileError for a file that is damaged.
    """
    if isinstance(source, (str, os.PathLike)):
        if os.path.splitext(source)[1] != ".safetensors":
            raise TypeError(f"{os.fspath(source)}: only .safetensors files are read. In PyTorch: "
                            "safetensors.torch.save_file(module.state_dict(), path)")
        source, _ = formats.read(source)
    state = {name: _array(value) for name, value in source.items()}
    for name in _transposed(model):
        if name in state and state[name].ndim == 2:
            state[name] = state[name].T
    model.load_state_dict(state, strict)


def torch_state_dict(model: Module) -> dict[str, np.ndarray]:
    """The state as PyTorch has it, for ``module.load_state_dict({k: torch.tensor(v) for k, v in state.items()})``, or
    for ``safetensors.numpy.save_file``."""
    state = model.state_dict()
    for name in _transposed(model):
        state[name] = np.ascontiguousarray(state[name].T)
    return state


def _transposed(model):
    return [f"{name}.{weight}" if name else weight for name, module in _all_modules(model)
            for weight in module.torch_transposed if getattr(module, weight, None) is not None]


def _all_modules(model):
    return ((name, m) for name, m in model._walk() if isinstance(m, Module))  # under all of their names


def _array(value):
    if hasattr(value, "detach"):
        value = value.detach()
        if str(getattr(value, "dtype", "")) == "torch.bfloat16":
            value = value.float()
    return np.asarray(value.numpy() if hasattr(value, "numpy") else value)
