"""The Hessian's spectrum from products H v alone: its ends, a way down from a saddle, its density.

Lanczos 1950: the eigenvalues of H restricted to span(v, H v, H^2 v, ...) soon find the ends of H's own, in some tens of
products of about two gradients each; the n^2 numbers of H are never there. Where n is small H itself is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from ..random import default_generator
from ..tensor import Tensor
from .second_order import Objective

__all__ = ["Eigenpairs", "SpectralDensity", "extreme_eigenvalues", "hessian_operator", "negative_curvature",
           "spectral_density"]

DENSE = 64  # weights, up to which H itself is as cheap as its products
EXACT = 512  # weights, up to which all eigenvalues are: H takes 2 MB and well under a second


class Eigenpairs(NamedTuple):
    """values (k,), the outermost first, and their unit vectors, the columns of vectors (n, k)."""

    values: np.ndarray
    vectors: np.ndarray


class _Curvature(Objective):
    """The Hessian at one point, that of the parameters now; between calls they are what they were."""

    def __init__(self, loss, params):
        params = [params] if isinstance(params, Tensor) else [p[1] if isinstance(p, tuple) else p for p in params]
        super().__init__(loss, params)
        self.given, self.at = params, self.x
        self._dense = None
        self.rounding = max(float(np.finfo(p.dtype).eps) for p in self.params)

    @contextmanager
    def there(self):
        """With the parameters at the point; the graph of the gradient stays for the next time."""
        before = [p.data for p in self.params]
        try:
            yield
        finally:
            for p, array in zip(self.params, before):
                p.data = array

    def product(self, v):
        """H v."""
        with self.there(), np.errstate(all="ignore"):
            return self._finite(self.hessp(self.at, np.asarray(v, np.float64).reshape(-1)))

    def whole(self):
        """H."""
        with self.there(), np.errstate(all="ignore"):
            return self._finite(self.hess(self.at))

    def _finite(self, h):
        if not np.isfinite(h).all():
            raise ValueError(f"the Hessian is not finite where the parameters are; the loss there is "
                             f"{self.value(self.at):g}")
        return h

    def gradient(self):
        with self.there():
            return self.fun(self.at)[1]

    def like_parameters(self, x):
        """A vector as an array for each of the parameters as they were given: zeros for those that are frozen."""
        parts = iter(self.split(x))
        return [next(parts) if p.requires_grad else np.zeros_like(p.data) for p in self.given]

    def smallest(self, k, tol=None, maxiter=None, sign=1):
        """The k smallest eigenvalues of sign H, ascending, and their vectors."""
        n = len(self.at)
        if n <= max(DENSE, 2 * k):
            if self._dense is None:
                self._dense = self.whole()
            values, vectors = np.linalg.eigh(sign * self._dense)
            return values[:k], vectors[:, :k]
        from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh
        rng = np.random.default_rng(0)
        start = rng.standard_normal(n)
        # ARPACK's tol is relative to each eigenvalue, and some are 0: none of sign H + shift is
        some, _ = _tridiagonal(*_lanczos(self.product, start / np.linalg.norm(start), 8, self.rounding))
        shift = 2 * float(np.abs(some).max())
        if not shift:  # H is 0
            return np.zeros(k), np.eye(n, k)
        tol = max(100 * self.rounding, 1e-7) if tol is None else tol
        values, vectors = np.zeros(0), np.zeros((n, 0))

        def product(v):  # what was found is moved to the other end
            v = v.reshape(-1)
            return sign * self.product(v) + shift * (v + vectors @ (v @ vectors))
        while True:
            try:
                new, found = eigsh(LinearOperator((n, n), product, dtype=np.float64), k, which="SA", v0=start, tol=tol,
                                   maxiter=maxiter, ncv=min(n, max(4 * k, 40)))
            except ArpackNoConvergence as error:
                raise np.linalg.LinAlgError(
                    f"Lanczos found {len(error.eigenvalues)} of {k} eigenvalues in {self.products} products with "
                    f"tol={tol:g}: give a larger tol or maxiter") from None
            new = new - shift
            # one start sees one vector of a multiple eigenvalue: search on until what is left is further in
            done = k == 1 or (len(values) and new.min() > values[-1] - tol * shift)
            values, vectors = np.append(values, new), np.hstack([vectors, found])
            order = np.argsort(values)[:k]
            values, vectors = values[order], vectors[:, order]
            if done:
                return values, vectors
            start = rng.standard_normal(n)


def hessian_operator(loss: Callable[[], Tensor], params: Iterable):
    """The Hessian of ``loss()`` where ``params`` are now, as a `scipy.sparse.linalg.LinearOperator` (n, n).

        values, vectors = scipy.sparse.linalg.eigsh(hessian_operator(loss, model.parameters()), 3)

    Over all parameters that require grad as one vector, in float64 (`Objective`, and what loss must be). It remembers
    the point and keeps the gradient's graph there; the parameters are left as they are. ValueError where not finite.
    """
    from scipy.sparse.linalg import LinearOperator
    curvature = _Curvature(loss, params)
    n = len(curvature.at)
    return LinearOperator((n, n), curvature.product, curvature.product, dtype=np.float64)


def extreme_eigenvalues(loss: Callable[[], Tensor], params: Iterable, k: int = 1, *, tol: float | None = None,
                        maxiter: int | None = None) -> tuple[Eigenpairs, Eigenpairs]:
    """(the k largest, the k smallest) eigenvalues of the Hessian where ``params`` are, the outermost first.

        largest, smallest = extreme_eigenvalues(loss, model.parameters())
        largest.values[0] / smallest.values[0]        # the condition number, if all are positive

    By Lanczos' method, restarted (Lehoucq & Sorensen 1996, `scipy.sparse.linalg.eigsh`), from the same start each time;
    for few parameters from H itself. tol: of the residual |H v - value v|, relative to the size of H; by default 1e-7,
    for float32 1e-5. A value whose neighbours are far is better by much: its error goes with the residual's square.
    Parameters are left as they are. ValueError for a k beyond n and where H is not finite, LinAlgError if maxiter
    restarts (10 n) are not enough.
    """
    curvature = _Curvature(loss, params)
    n = len(curvature.at)
    if not isinstance(k, (int, np.integer)) or not 1 <= k <= n:
        raise ValueError(f"k must be a whole number from 1 to {n}, the number of parameters, got {k!r}")
    ends = []
    for sign in (-1, 1):
        values, vectors = curvature.smallest(k, tol, maxiter, sign)
        signs = np.where(vectors[np.abs(vectors).argmax(axis=0), range(k)] < 0, -1, 1)
        ends.append(Eigenpairs(sign * values, vectors * signs))
    return ends[0], ends[1]


def negative_curvature(loss: Callable[[], Tensor], params: Iterable, *, tol: float | None = None,
                       maxiter: int | None = None) -> tuple[float, list[np.ndarray]]:
    """(the smallest eigenvalue of the Hessian, its unit vector v as an array for each of ``params``).

    Below 0 the parameters are at a saddle or a maximum, or on the way from one, though the gradient may be 0: the loss
    falls along v, to second order by value a^2 / 2 at p + a v, and v does not point uphill. Not below 0: a minimum, if
    the gradient is 0. Zero for frozen parameters. As `extreme_eigenvalues` otherwise.

        value, direction = negative_curvature(loss, params)
        if value < 0:
            for p, v in zip(params, direction):
                p.data += 0.1 * v
    """
    curvature = _Curvature(loss, params)
    values, vectors = curvature.smallest(1, tol, maxiter)
    v, slope = vectors[:, 0], curvature.gradient() @ vectors[:, 0]
    uphill = slope > 0 or (slope == 0 and v[np.abs(v).argmax()] < 0)
    return float(values[0]), curvature.like_parameters(-v if uphill else v)


class SpectralDensity(NamedTuple):
    """density over grid, whose integral is 1: normal curves of this width around eigenvalues, as high as weights.

    exact: eigenvalues are all of the Hessian's, each of weight 1 / n; else they are nodes of a quadrature.
    """

    grid: np.ndarray
    density: np.ndarray
    eigenvalues: np.ndarray
    weights: np.ndarray
    width: float
    exact: bool

    @property
    def mean(self) -> float:
        """The mean eigenvalue, trace(H) / n."""
        return float(self.weights @ self.eigenvalues)


def spectral_density(loss: Callable[[], Tensor], params: Iterable, *, samples: int = 8, steps: int = 64,
                     width: float | None = None, grid: np.ndarray | None = None, exact: bool | None = None,
                     generator: np.random.Generator | None = None) -> SpectralDensity:
    """The density of the Hessian's eigenvalues, sum_i weight_i N(grid; eigenvalue_i, width^2).

    Stochastic Lanczos quadrature (Ubaru, Chen & Saad 2017; Ghorbani, Krishnan & Xiao 2019): from a start z of random
    signs, ``steps`` of Lanczos give a tridiagonal T; its eigenvalues, weighted by the squares of their vectors' first
    components, are Gauss' quadrature for z^T f(H) z / n, whose expectation is trace(f(H)) / n for every f. The mean
    over samples of z. samples * steps products; steps * n numbers, for vectors are kept orthogonal to all before.

    exact: all eigenvalues from H itself instead; by default up to 512 parameters. width: standard deviation of the
    normal curves, by default 1/200 of the eigenvalues' range. grid: by default past both ends by 6 widths, in steps of
    a third of one. Parameters are left as they are. ValueError where H is not finite.
    """
    for name, number in (("samples", samples), ("steps", steps)):
        if not isinstance(number, (int, np.integer)) or number < 1:
            raise ValueError(f"{name} must be a whole number, at least 1, got {number!r}")
    if width is not None and not 0 < width < math.inf:
        raise ValueError(f"width must be positive, got {width}")
    curvature = _Curvature(loss, params)
    n = len(curvature.at)
    exact = n <= EXACT if exact is None else exact
    if exact:
        eigenvalues, weights = np.linalg.eigvalsh(curvature.whole()), np.full(n, 1 / n)
    else:
        rng = generator or default_generator()
        starts = ((2 * rng.integers(0, 2, n, np.int8) - 1) / math.sqrt(n) for _ in range(samples))
        found = [_tridiagonal(*_lanczos(curvature.product, z, min(steps, n), curvature.rounding)) for z in starts]
        eigenvalues = np.concatenate([values for values, _ in found])
        weights = np.concatenate([vectors[0] ** 2 for _, vectors in found]) / samples
        order = np.argsort(eigenvalues)
        eigenvalues, weights = eigenvalues[order], weights[order]
    low, high = eigenvalues[[0, -1]]
    if width is None:
        width = float(high - low) / 200
        width = width if width > 1e-6 * np.abs(eigenvalues).max() else float(abs(high)) / 200 or 1.0
    if grid is None:
        points = math.ceil(3 * ((high - low) / width + 12)) + 1
        if points > 10 ** 6:
            raise ValueError(f"width={width:g} is too small for a grid from {low:g} to {high:g}: give both")
        grid = np.linspace(low - 6 * width, high + 6 * width, points)
    grid = np.asarray(grid, np.float64)
    density = np.zeros_like(grid)
    for value, weight in zip(eigenvalues, weights):
        density += weight * np.exp(-((grid - value) / width) ** 2 / 2)
    return SpectralDensity(grid, density / (width * math.sqrt(2 * math.pi)), eigenvalues, weights, width, bool(exact))


def _lanczos(product, v, steps, rounding):
    """The diagonal and the side diagonal of the symmetric matrix ``product``, in the basis that Lanczos finds from v.

    v has length 1. It ends early where the span of v, H v, ... is complete.
    """
    basis, diagonal, side = [v], [], []
    while True:
        w = product(basis[-1])
        diagonal.append(float(w @ basis[-1]))
        size = np.linalg.norm(w)
        if len(basis) == steps:
            break
        known = np.array(basis)
        for _ in range(2):  # twice is enough (Parlett 1980)
            w = w - (w @ known.T) @ known
        rest = np.linalg.norm(w)
        if rest <= 10 * rounding * max(size, np.abs(diagonal).max(), max(side, default=0.0)):
            break
        side.append(float(rest))
        basis.append(w / rest)
    return np.array(diagonal), np.array(side)


def _tridiagonal(diagonal, side):
    from scipy.linalg import eigh_tridiagonal
    return eigh_tridiagonal(diagonal, side)
