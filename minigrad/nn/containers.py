"""Modules made of modules: by name, around shortcuts, merging branches; and lists of parameters."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from .. import functional as F
from ..tensor import Parameter
from . import init
from .activations import ReLU
from .dense import Dense
from .module import Module, Sequential


class ModuleDict(Module):
    """Modules by name: ``self.heads = nn.ModuleDict({"a": ...})``, then ``self.heads["a"](x)``; they keep their order.

    (A plain dict as an attribute works too.)
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] = ()):
        self._dict: dict[str, Module] = {}
        self.update(modules)

    def _children(self):
        others = [(n, v) for n, v in vars(self).items() if n != "_dict"]
        return [*self._dict.items(), *others]

    def _check(self, key, value):
        if not isinstance(value, Module):
            raise TypeError(f"{type(self).__name__} holds modules, not {type(value).__name__} ({value!r:.60}); wrap a "
                            "function in nn.Lambda")
        return value

    def __setitem__(self, key, value):
        if not isinstance(key, str) or not key or "." in key:
            raise ValueError(f"{type(self).__name__}: a name is a string without dots, not {key!r}")
        self._dict[key] = self._check(key, value)

    def update(self, modules: Mapping | Iterable) -> None:
        """Set several, of a dict or of (name, value) pairs."""
        for key, value in modules.items() if hasattr(modules, "items") else modules:
            self[key] = value

    def __getitem__(self, key): return self._dict[key]
    def __delitem__(self, key): del self._dict[key]
    def __contains__(self, key): return key in self._dict
    def __len__(self): return len(self._dict)
    def __iter__(self): return iter(self._dict)
    def keys(self): return self._dict.keys()
    def values(self): return self._dict.values()
    def items(self): return self._dict.items()
    def pop(self, key): return self._dict.pop(key)
    def clear(self): self._dict.clear()


def _parameter(value):
    """``value``, made a Parameter if it is a Tensor or an array."""
    return value if isinstance(value, Parameter) or hasattr(value, "level") else Parameter(value)


class ParameterDict(ModuleDict):
    """Parameters by name; arrays and Tensors become Parameters. (A plain dict of Parameters works too.)"""

    def _check(self, key, value):
        return _parameter(value)

    def extra_repr(self):
        return ", ".join(f"{name}: {p.shape}" for name, p in self.items())


class ParameterList(Module):
    """A list of parameters, named "0", "1", ...; arrays and Tensors become Parameters. (A plain list works too.)"""

    def __init__(self, values: Iterable = ()):
        self._list = [_parameter(v) for v in values]

    def _children(self):
        others = [(n, v) for n, v in vars(self).items() if n != "_list"]
        return [(str(i), p) for i, p in enumerate(self._list)] + others

    def append(self, value) -> ParameterList:
        """Add a parameter at the end; returns the list."""
        self._list.append(_parameter(value))
        return self

    def extend(self, values: Iterable) -> ParameterList:
        """Add several at the end; returns the list."""
        self._list.extend([_parameter(v) for v in values])
        return self

    def __setitem__(self, i, value): self._list[i] = _parameter(value)
    def __getitem__(self, i): return type(self)(self._list[i]) if isinstance(i, slice) else self._list[i]
    def __len__(self): return len(self._list)
    def __iter__(self): return iter(self._list)

    def extra_repr(self):
        return ", ".join(str(p.shape) for p in self._list)


# ---- shortcuts ----
class Residual(Module):
    """y = shortcut(x) + block(x); the shortcut is x itself unless a module is given. He et al. 2015."""

    def __init__(self, block: Module, shortcut: Module | None = None):
        self.block, self.shortcut = block, shortcut

    def forward(self, x):
        way, y = x if self.shortcut is None else self.shortcut(x), self.block(x)
        if way.shape != y.shape:
            raise ValueError(f"Residual: the block makes {y.shape} of {x.shape}, but the shortcut gives {way.shape}: "
                             "give one that fits, like a 1x1 convolution")
        return way + y


class Highway(Module):
    """y = T * block(x) + (1 - T) * x with T = sigmoid(gate(x)). Srivastava et al. 2015.

    x: (..., features). block: by default Dense and ReLU; gate: by default Dense; others may be given, for images as
    convolutions. The gate's bias starts at gate_bias, negative: at first nearly everything is carried through.
    """

    def __init__(self, features: int, block: Module | None = None, gate: Module | None = None, *,
                 gate_bias: float = -2.0, dtype=np.float32, generator=None):
        self.block = Sequential(Dense(features, features, True, dtype, generator), ReLU()) if block is None else block
        self.gate = Dense(features, features, True, dtype, generator) if gate is None else gate
        if getattr(self.gate, "bias", None) is not None:
            init.constant_(self.gate.bias, gate_bias)

    def forward(self, x):
        y, t = self.block(x), F.sigmoid(self.gate(x))
        if not x.shape == y.shape == t.shape:
            raise ValueError(f"Highway: block and gate make {y.shape} and {t.shape} of {x.shape}; all must be alike")
        return x + t * (y - x)


# ---- merging branches ----
class Add(Module):
    """x_1 + x_2 + ..., Keras' Add: of several arguments, or of one list."""

    def forward(self, *xs):
        xs = _several(self, xs)
        try:
            np.broadcast_shapes(*(x.shape for x in xs))
        except ValueError:
            raise ValueError(f"Add: shapes {[x.shape for x in xs]} do not fit together") from None
        return sum(xs[1:], start=xs[0])


class Concat(Module):
    """Side by side along ``dim``, Keras' Concatenate: of several arguments, or of one list."""

    def __init__(self, dim: int = -1):
        self.dim = dim

    def forward(self, *xs):
        xs = _several(self, xs)
        try:
            return np.concatenate(xs, axis=self.dim)
        except ValueError:
            raise ValueError(f"Concat: shapes {[x.shape for x in xs]} must be alike but for axis {self.dim}") from None

    def extra_repr(self):
        return f"dim={self.dim}"


def _several(module, xs):
    xs = list(xs[0]) if len(xs) == 1 and isinstance(xs[0], (list, tuple)) else list(xs)
    if not xs:
        raise ValueError(f"{type(module).__name__} of nothing")
    return xs


# ---- shapes ----
class Unflatten(Module):
    """Axis ``dim`` to several axes of ``unflattened_size``, one of which may be -1: (N, C * H * W) -> (N, C, H, W)."""

    def __init__(self, dim: int, unflattened_size: Iterable[int]):
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)
        if self.unflattened_size.count(-1) > 1 or any(n < -1 for n in self.unflattened_size):
            raise ValueError(f"Unflatten: sizes {self.unflattened_size} must not be negative, but for one -1")

    def forward(self, x):
        if not -x.ndim <= self.dim < x.ndim:
            raise ValueError(f"Unflatten: input {x.shape} has no axis {self.dim}")
        dim, n = self.dim % x.ndim, math.prod(self.unflattened_size)
        size = x.shape[dim]
        if n != size and not (n < 0 and size % -n == 0):
            raise ValueError(f"Unflatten: axis {self.dim} of input {x.shape} does not unfold into "
                             f"{self.unflattened_size}")
        return x.reshape(*x.shape[:dim], *self.unflattened_size, *x.shape[dim + 1:])

    def extra_repr(self):
        return f"{self.dim}, {self.unflattened_size}"
