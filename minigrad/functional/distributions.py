"""Densities of the normal distribution in one and in many dimensions, differentiable in all of their arguments."""

from __future__ import annotations

import math

import numpy as np

from ..batching import whole
from ..derivatives.linalg import solve_triangular
from ..tensor import Tensor

LOG_2PI = math.log(2 * math.pi)


def normal_log_prob(value: Tensor, loc: Tensor = 0.0, scale: Tensor = 1.0) -> Tensor:
    """-((value - loc) / scale)^2 / 2 - log scale - log(2 pi) / 2, elementwise, broadcasting.

    Raises ValueError for a scale that is not positive.
    """
    value, loc, scale = _floats(value, loc, scale)
    if not (whole(scale) > 0).all():
        raise ValueError(f"normal: scale must be positive, got {whole(scale).min()}")
    z = (value - loc) / scale
    return -0.5 * (z * z) - np.log(scale) - 0.5 * LOG_2PI


def normal_pdf(value: Tensor, loc: Tensor = 0.0, scale: Tensor = 1.0) -> Tensor:
    """exp(-((value - loc) / scale)^2 / 2) / (scale sqrt(2 pi)), elementwise, broadcasting."""
    return np.exp(normal_log_prob(value, loc, scale))


def multivariate_normal_log_prob(value: Tensor, loc: Tensor, covariance_matrix: Tensor | None = None, *,
                                 scale_tril: Tensor | None = None) -> Tensor:
    """-(x - m)^T S^-1 (x - m) / 2 - log det S / 2 - (d / 2) log(2 pi): value (..., d), loc (..., d) -> (...).

    S: covariance_matrix (..., d, d), positive definite, of which the lower triangle is read, or scale_tril, its lower
    Cholesky factor. The leading axes broadcast. By that factor, not the inverse. Raises ValueError for shapes that do
    not fit, for both matrices or none, for a diagonal of scale_tril that is not positive; LinAlgError if S is not
    positive definite.
    """
    if (covariance_matrix is None) == (scale_tril is None):
        raise ValueError("multivariate_normal: give one of covariance_matrix and scale_tril")
    value, loc, matrix = _floats(value, loc, scale_tril if covariance_matrix is None else covariance_matrix)
    d = matrix.shape[-1] if matrix.ndim > 1 else -1
    if not value.ndim or not loc.ndim or not (value.shape[-1] == loc.shape[-1] == d == matrix.shape[-2]):
        raise ValueError(f"multivariate_normal: value {value.shape} and loc {loc.shape} must be (..., d), the matrix "
                         f"{matrix.shape} (..., d, d)")
    factor = np.linalg.cholesky(matrix) if scale_tril is None else matrix
    diagonal = np.diagonal(factor, axis1=-2, axis2=-1)
    if scale_tril is not None and not (whole(diagonal) > 0).all():
        raise ValueError(f"multivariate_normal: the diagonal of scale_tril must be positive, got "
                         f"{whole(diagonal).min()}")
    z = solve_triangular(factor, np.expand_dims(value - loc, -1), lower=True)[..., 0]
    log_det = np.log(diagonal).sum(axis=-1)
    return -0.5 * (z * z).sum(axis=-1) - log_det - 0.5 * d * LOG_2PI


def multivariate_normal_pdf(value: Tensor, loc: Tensor, covariance_matrix: Tensor | None = None, *,
                             scale_tril: Tensor | None = None) -> Tensor:
    """exp(-(x - m)^T S^-1 (x - m) / 2) / sqrt((2 pi)^d det S); as `multivariate_normal_log_prob`."""
    return np.exp(multivariate_normal_log_prob(value, loc, covariance_matrix, scale_tril=scale_tril))


def _floats(*xs):
    """Tensors; what has no floating dtype of its own takes that of the others, or else float32."""
    own = [x.dtype for x in xs if hasattr(x, "dtype") and x.dtype.kind == "f"]
    dtype = np.result_type(*own) if own else np.float32
    xs = [x if hasattr(x, "dtype") else np.asarray(x) for x in xs]
    xs = [x if x.dtype in own else x.astype(dtype) for x in xs]
    return [x if hasattr(x, "record") else Tensor(x) for x in xs]
