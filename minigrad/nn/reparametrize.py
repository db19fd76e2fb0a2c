"""Weights computed from others: weight normalization, spectral normalization, weight standardization.

Each function changes a module, which computes the weight from new parameters from then on, and returns it. Names and
shapes in the state are those of torch.nn.utils.parametrizations: "parametrizations.weight.original0" and so on.
"""

from __future__ import annotations

import functools

import numpy as np

from ..mode import no_grad
from ..random import default_generator
from ..tensor import Parameter
from .module import Module

__all__ = ["Parametrization", "remove_parametrization", "remove_spectral_norm", "remove_weight_norm", "spectral_norm",
           "weight_norm", "weight_standardization"]


# ---- one parameter in terms of others ----
class Parametrization(Module):
    """What computes one parameter of a module, from parameters of its own."""

    def forward(self):
        """The parameter."""
        raise NotImplementedError

    def advance(self) -> None:
        """What happens once before each forward pass in training."""


class _Parametrized:
    """Stands before the class of a module with `Parametrization`s, which are in its dict ``parametrizations``."""

    def forward(self, *args, **kwargs):
        if self.training:
            for p in self.parametrizations.values():
                p.advance()
        return super().forward(*args, **kwargs)

    def __reduce_ex__(self, protocol):  # pickle finds the class of the layer, not one made from it
        return _blank, (self._layer, tuple(self.parametrizations)), *super().__reduce_ex__(2)[2:]


def _blank(layer, names):
    cls = _parametrized(layer, names)
    return cls.__new__(cls)


@functools.cache
def _parametrized(layer, names):
    """The class of a ``layer`` that computes these attributes."""
    if not names:
        return layer

    def computed(name):
        return property(lambda self: self.parametrizations[name](), doc="Computed by its parametrization.")
    return type(f"Parametrized{layer.__name__}", (_Parametrized, layer), {
        "_layer": layer, "__doc__": layer.__doc__, "__module__": layer.__module__, **{n: computed(n) for n in names},
        "torch_transposed": tuple(n for n in layer.torch_transposed if n not in names)})


def _parametrize(module, name, make):
    """Put what ``make(weight, transposed)`` returns in the place of the parameter ``name``."""
    if name in vars(module).get("parametrizations", ()):
        raise ValueError(f"{name} of {type(module).__name__} has a parametrization already")
    weight = getattr(module, name, None)
    if not isinstance(weight, Parameter):
        raise ValueError(f"{type(module).__name__} has no parameter {name!r}")
    if not weight.size:
        raise ValueError(f"{name} of {type(module).__name__} has shape {weight.shape}; if that is to be inferred, call "
                         "the layer once before")
    parametrization = make(weight, name in module.torch_transposed).train(module.training)
    delattr(module, name)
    vars(module).setdefault("parametrizations", {})[name] = parametrization
    module.__class__ = _parametrized(getattr(type(module), "_layer", type(module)), tuple(module.parametrizations))
    return module


def remove_parametrization(module: Module, name: str = "weight") -> Module:
    """Make ``name`` a plain parameter again, of its present value; returns the module. Optimizers need it anew."""
    if name not in vars(module).get("parametrizations", ()):
        raise ValueError(f"{name} of {type(module).__name__} has no parametrization to remove")
    with no_grad():
        value = getattr(module, name).data.copy()
    left = {n: p for n, p in module.parametrizations.items() if n != name}
    trained = any(p.requires_grad for p in module.parametrizations[name].parameters())
    module.__class__ = _parametrized(type(module)._layer, tuple(left))
    del module.parametrizations
    setattr(module, name, Parameter(value, requires_grad=trained))
    if left:
        module.parametrizations = left
    return module


def _axis(dim, weight, transposed, what):
    """Our axis for PyTorch's ``dim``."""
    if not -weight.ndim <= dim < weight.ndim:
        raise ValueError(f"{what}: dim {dim} is not an axis of a weight of shape {weight.shape}")
    return weight.ndim - 1 - dim % weight.ndim if transposed else dim % weight.ndim


def _others(axis, ndim):
    return tuple(a for a in range(ndim) if a != axis)


# ---- weight normalization ----
class _WeightNorm(Parametrization):
    def __init__(self, weight, transposed, dim):
        if dim is not None and dim < 0:
            raise ValueError(f"weight_norm: dim counts from 0, got {dim}; None is for one length of the whole weight")
        axis = None if dim is None else _axis(dim, weight, transposed, "weight_norm")
        self.dim, self.axes = dim, None if axis is None else _others(axis, weight.ndim)
        with no_grad():
            self.original0 = Parameter(self._length(weight).data, requires_grad=weight.requires_grad)
        self.original1 = weight
        self.torch_transposed = ("original0", "original1")[dim is None:] if transposed else ()

    def _length(self, v):
        return np.sqrt(np.square(v).sum(axis=self.axes, keepdims=self.axes is not None))

    def forward(self):
        return self.original1 * (self.original0 / self._length(self.original1))

    def extra_repr(self):
        return f"dim={self.dim}"


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """weight = g v / |v|: lengths g and directions v, learnt apart. Salimans & Kingma 2016.

    One length for each index of axis ``dim`` as PyTorch counts it (0: each output, also of a Dense layer, whose weight
    is transposed here), or with None one for all. The parameters are original0 (g) and original1 (v, the former weight
    itself); as in PyTorch, the weight is the same at first. `remove_weight_norm` undoes it.
    """
    return _parametrize(module, name, lambda weight, transposed: _WeightNorm(weight, transposed, dim))


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Undo `weight_norm`: the weight keeps its value; returns the module."""
    return _remove(module, name, _WeightNorm, "weight_norm")


def _remove(module, name, kind, what):
    if not isinstance(vars(module).get("parametrizations", {}).get(name), kind):
        raise ValueError(f"{name} of {type(module).__name__} has no {what} to remove")
    return remove_parametrization(module, name)


# ---- spectral normalization ----
class _PowerIteration(Module):
    def __init__(self, matrix, eps, generator):
        self.eps = eps
        draw = (generator or default_generator()).standard_normal
        for name, n in zip(("_u", "_v"), matrix.shape):
            self.register_buffer(name, self._unit(draw(n)).astype(matrix.dtype))
        self.step(matrix, 15)  # to begin with, as PyTorch

    def _unit(self, x):
        return x / max(np.linalg.norm(x), self.eps)

    def step(self, matrix, times):
        """u = W v / |W v|, v = W^T u / |W^T u|."""
        for _ in range(times):
            self._u[...] = self._unit(matrix @ self._v)
            self._v[...] = self._unit(matrix.T @ self._u)


class _SpectralNorm(Parametrization):
    def __init__(self, weight, transposed, dim, n_power_iterations, eps, generator):
        if weight.ndim < 2:
            raise ValueError(f"spectral_norm: a weight of shape {weight.shape} is no matrix")
        if n_power_iterations < 1:
            raise ValueError(f"spectral_norm: n_power_iterations must be at least 1, got {n_power_iterations}")
        axis = _axis(dim, weight, transposed, "spectral_norm")
        self.dim, self.order = dim, (axis, *_others(axis, weight.ndim))
        self.n_power_iterations, self.original = n_power_iterations, weight
        self.torch_transposed = ("original",) if transposed else ()
        setattr(self, "0", _PowerIteration(self._matrix(weight.data), eps, generator))

    def _matrix(self, w):
        return np.transpose(w, self.order).reshape(w.shape[self.order[0]], -1)

    def advance(self):
        getattr(self, "0").step(self._matrix(self.original.data), self.n_power_iterations)

    def forward(self):
        u, v = (np.array(x) for x in (getattr(self, "0")._u, getattr(self, "0")._v))  # the next step writes into them
        return self.original / (u @ (self._matrix(self.original) @ v))

    def extra_repr(self):
        return f"dim={self.dim}, n_power_iterations={self.n_power_iterations}"


def spectral_norm(module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12,
                  dim: int | None = None, *, generator: np.random.Generator | None = None) -> Module:
    """weight = W / sigma, sigma = u^T W v near the largest singular value of W. Miyato et al. 2018.

    W as a matrix: axis ``dim`` as PyTorch counts it (None: the outputs) by the rest. The unit vectors u and v, buffers,
    count as constants; every forward pass in training improves them by n_power_iterations steps of the power iteration
    (PyTorch: every look at the weight), evaluation by none. W, the former weight itself, is the parameter "original".
    `remove_spectral_norm` undoes it.
    """
    if dim is None:
        dim = int(any(c.__name__.startswith("ConvTranspose") for c in type(module).__mro__))
    return _parametrize(module, name, lambda weight, transposed: _SpectralNorm(weight, transposed, dim,
                                                                               n_power_iterations, eps, generator))


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Undo `spectral_norm`: the weight keeps its value, W / sigma; returns the module."""
    return _remove(module, name, _SpectralNorm, "spectral_norm")


# ---- weight standardization ----
class _WeightStandardization(Parametrization):
    def __init__(self, weight, transposed, dim, eps):
        self.dim, self.eps, self.original = dim, eps, weight
        self.axes = _others(_axis(dim, weight, transposed, "weight_standardization"), weight.ndim)
        self.torch_transposed = ("original",) if transposed else ()

    def forward(self):
        w = self.original
        return (w - w.mean(axis=self.axes, keepdims=True)) / np.sqrt(w.var(axis=self.axes, keepdims=True) + self.eps)

    def extra_repr(self):
        return f"dim={self.dim}, eps={self.eps}"


def weight_standardization(module: Module, name: str = "weight", eps: float = 1e-5, dim: int = 0) -> Module:
    """weight = (W - mean) / sqrt(var + eps), statistics over what feeds one output. Qiao et al. 2019.

    dim: the axis of the outputs, as PyTorch counts it. W is the parameter "original"; `remove_parametrization` undoes
    it.
    """
    return _parametrize(module, name, lambda weight, transposed: _WeightStandardization(weight, transposed, dim, eps))
