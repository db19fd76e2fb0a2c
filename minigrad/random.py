"""Where chance comes from: one NumPy Generator for everything that is not handed a generator of its own.

Besides it, draws as Tensors. Those of a distribution with parameters are reparameterised: a fixed function of the
parameters and of noise that does not depend on them, like ``loc + scale * noise``. The noise is a constant of the
graph, so gradients of any order flow to the parameters. Names and arguments are those of np.random.Generator. A gamma,
beta or Dirichlet draw is no such function of its shape parameters and is left to the Generator.
"""

from __future__ import annotations

import contextlib
import contextvars

import numpy as np

from .tensor import Tensor

__all__ = ["bernoulli", "cauchy", "default_generator", "drawing_from", "exponential", "generators_of", "gumbel",
           "laplace", "logistic", "lognormal", "manual_seed", "multivariate_normal", "normal", "rand", "randint",
           "randn", "randperm", "seeded", "uniform", "weibull"]

Size = int | tuple[int, ...] | None
Chance = np.random.Generator | None

_default = np.random.default_rng()
_instead: contextvars.ContextVar[Chance] = contextvars.ContextVar("generator", default=None)


def manual_seed(seed: int) -> np.random.Generator:
    """Seed minigrad's default generator and return it. The same seed gives bit-identical training.

    Weight initialization, dropout masks and shuffling draw from this generator unless they are given
    ``generator=``. NumPy's own global state is neither read nor changed.
    """
    global _default
    _default = np.random.default_rng(seed)
    return _default


def default_generator() -> np.random.Generator:
    """The generator that is used where none is given."""
    return _instead.get() or _default


def generators_of(*things) -> list[np.random.Generator]:
    """All that ``things`` draw from, each once: the default generator, and what they hold as ``generator``, they and
    their ``sampler``, ``dataset``, ``transform`` and ``transforms``, however deep."""
    todo, seen, found = [*things][::-1], set(), {id(default_generator()): default_generator()}
    while todo:
        thing = todo.pop()
        if thing is None or id(thing) in seen:
            continue
        seen.add(id(thing))
        if isinstance(held := getattr(thing, "generator", None), np.random.Generator):
            found.setdefault(id(held), held)
        several = getattr(thing, "transforms", None)
        todo += [*several] if isinstance(several, (list, tuple)) else []
        todo += [getattr(thing, name, None) for name in ("transform", "dataset", "sampler")]
    return list(found.values())


@contextlib.contextmanager
def drawing_from(generator: np.random.Generator):
    """Within the block, and for this thread alone, ``generator`` is the default generator."""
    token = _instead.set(generator)
    try:
        yield
    finally:
        _instead.reset(token)


# ---- without parameters ----
@contextlib.contextmanager
def seeded(seed: int):
    """Within the block the default generator draws the numbers of this seed; afterwards it goes on as if it had not."""
    chance = default_generator().bit_generator
    before, chance.state = chance.state, np.random.default_rng(seed).bit_generator.state
    try:
        yield
    finally:
        chance.state = before


def rand(*size: int, dtype=np.float32, generator: Chance = None) -> Tensor:
    """Uniform in [0, 1): ``rand(2, 3)``. dtype: float32 or float64."""
    return Tensor(np.asarray((generator or default_generator()).random(_shape(size), dtype)))


def randn(*size: int, dtype=np.float32, generator: Chance = None) -> Tensor:
    """Normal with mean 0 and variance 1: ``randn(2, 3)``. dtype: float32 or float64."""
    return Tensor(np.asarray((generator or default_generator()).standard_normal(_shape(size), dtype)))


def _shape(size):
    return tuple(size[0]) if len(size) == 1 and isinstance(size[0], (tuple, list)) else size


def randint(low: int, high: int | None = None, size: Size = None, dtype=np.int64, generator: Chance = None) -> Tensor:
    """Integers from low to high - 1, or from 0 to low - 1, all equally likely."""
    return Tensor(np.asarray((generator or default_generator()).integers(low, high, size, dtype)))


def randperm(n: int, generator: Chance = None) -> Tensor:
    """The integers from 0 to n - 1 in random order."""
    return Tensor((generator or default_generator()).permutation(n))


def bernoulli(p, size: Size = None, generator: Chance = None) -> Tensor:
    """1 with probability ``p``, else 0. It jumps, so it has no gradient."""
    (p,), shape, dtype = _fit("bernoulli", size, p)
    _refuse("bernoulli: p must be between 0 and 1", p, (p < 0) | (p > 1))
    return Tensor(np.ones((), dtype)) * ((generator or default_generator()).random(shape) < p)


# ---- reparameterised: size is the shape of the draw, by default that to which the parameters broadcast ----
def normal(loc=0.0, scale=1.0, size: Size = None, generator: Chance = None) -> Tensor:
    """loc + scale * e, e normal. Raises ValueError, as all below, for a negative scale and a size that does not fit."""
    return _loc_scale("normal", "standard_normal", loc, scale, size, generator)


def laplace(loc=0.0, scale=1.0, size: Size = None, generator: Chance = None) -> Tensor:
    """loc + scale * e, e of density exp(-|e|) / 2."""
    return _loc_scale("laplace", "laplace", loc, scale, size, generator)


def logistic(loc=0.0, scale=1.0, size: Size = None, generator: Chance = None) -> Tensor:
    """loc + scale * e, e of distribution function sigmoid."""
    return _loc_scale("logistic", "logistic", loc, scale, size, generator)


def gumbel(loc=0.0, scale=1.0, size: Size = None, generator: Chance = None) -> Tensor:
    """loc + scale * e, e of distribution function exp(-exp(-e)); argmax(gumbel(z)) is a draw from softmax(z)."""
    return _loc_scale("gumbel", "gumbel", loc, scale, size, generator)


def cauchy(loc=0.0, scale=1.0, size: Size = None, generator: Chance = None) -> Tensor:
    """loc + scale * e, e of density 1 / (pi (1 + e^2)): it has no mean."""
    return _loc_scale("cauchy", "standard_cauchy", loc, scale, size, generator)


def lognormal(mean=0.0, sigma=1.0, size: Size = None, generator: Chance = None) -> Tensor:
    """exp(mean + sigma * e), e normal."""
    return np.exp(_loc_scale("lognormal", "standard_normal", mean, sigma, size, generator, "sigma"))


def exponential(scale=1.0, size: Size = None, generator: Chance = None) -> Tensor:
    """scale * e, e of density exp(-e): its mean is scale."""
    return _loc_scale("exponential", "standard_exponential", 0.0, scale, size, generator)


def uniform(low=0.0, high=1.0, size: Size = None, generator: Chance = None) -> Tensor:
    """low + (high - low) * e, e uniform in [0, 1)."""
    (low, high), shape, dtype = _fit("uniform", size, low, high)
    _refuse("uniform: high - low must not be negative", high - low, high < low)
    noise = _noise("random", shape, dtype, generator)
    y = low + (high - low) * noise
    rounded = y >= high  # up: it falls on low instead, as in PyTorch
    return low + (high - low) * np.where(rounded, 0, noise) if np.any(rounded) else y


def weibull(a, size: Size = None, generator: Chance = None) -> Tensor:
    """e^(1 / a), e of density exp(-e); the shape ``a`` is positive."""
    (a,), shape, dtype = _fit("weibull", size, a)
    _refuse("weibull: a must be positive", a, a <= 0)
    return _noise("standard_exponential", shape, dtype, generator) ** (1 / a)


def multivariate_normal(mean, cov, size: Size = None, generator: Chance = None) -> Tensor:
    """mean + L e, with cov = L L^T and e normal: mean (..., d), cov (..., d, d) -> (*size, d).

    Raises np.linalg.LinAlgError if cov is not positive definite.
    """
    (mean, cov), dtype = _floating(mean, cov)
    d = mean.shape[-1] if mean.ndim else 0
    if cov.shape[-2:] != (d, d) or not d:
        raise ValueError(f"multivariate_normal: mean {mean.shape} must be (..., d) and cov {cov.shape} (..., d, d)")
    shape = _size("multivariate_normal", size, mean.shape[:-1], cov.shape[:-2])
    noise = _noise("standard_normal", (*shape, d, 1), dtype, generator)
    return mean + (np.linalg.cholesky(cov) @ noise).squeeze(-1)


def _loc_scale(name, kind, loc, scale, size, generator, called="scale"):
    (loc, scale), shape, dtype = _fit(name, size, loc, scale)
    _refuse(f"{name}: {called} must not be negative", scale, scale < 0)
    return loc + scale * _noise(kind, shape, dtype, generator)


def _noise(kind, shape, dtype, generator):
    return Tensor(np.asarray(getattr(generator or default_generator(), kind)(size=shape), dtype))


def _fit(name, size, *parameters):
    """The parameters in one floating dtype, the shape of the draw, the dtype."""
    parameters, dtype = _floating(*parameters)
    return parameters, _size(name, size, *(p.shape for p in parameters)), dtype


def _floating(*parameters):
    dtypes = [p.dtype for p in parameters if getattr(getattr(p, "dtype", None), "kind", "") == "f"]
    dtype = np.result_type(*dtypes or [np.float32])
    parameters = [p if hasattr(p, "dtype") else np.asarray(p) for p in parameters]
    if bad := [p.dtype for p in parameters if p.dtype.kind == "c"]:
        raise TypeError(f"the parameters of a distribution are real numbers, not {bad[0]}")
    return [p if p.dtype == dtype else p.astype(dtype) for p in parameters], dtype


def _size(name, size, *shapes):
    shape = np.broadcast_shapes(*shapes)
    if size is None:
        return shape
    size = tuple(size) if np.ndim(size) else (size,)
    if len(shape) > len(size) or any(n not in (1, m) for n, m in zip(shape[::-1], size[::-1])):
        raise ValueError(f"{name}: parameters of shape {shape} do not broadcast to size {size}")
    return size


def _refuse(message, value, bad):
    bad = bad | np.isnan(value)
    if np.any(bad):
        raise ValueError(f"{message}, got {np.asarray(Tensor.plain(value))[bad].flat[0]:g}")
