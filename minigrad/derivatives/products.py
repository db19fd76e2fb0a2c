"""The derivative table, continued: prod, exact where factors are zero, einsum, and products made of it."""

from __future__ import annotations

import itertools
import math
import operator
import string

import numpy as np

from ..graph import Each, composites, rule
from .basics import keep
from .composed import composite

rule(np.prod, lambda g, y, x, axis=None, keepdims=False: keep(g, x, axis) * _product_of_others(x, axis))


def _product_of_others(x, axis):
    """For each element the product of all others along axis, exact where some are zero (so not y / x).

    Pairwise, as a tree: others(x) = others(a * b) * b for the even ones, * a for the odd ones.
    """
    axes = list(range(x.ndim)) if axis is None else np.mod(axis, x.ndim or 1).reshape(-1).tolist()[:x.ndim]
    order = [i for i in range(x.ndim) if i not in axes] + axes
    rows = x.transpose(order)
    shape = rows.shape

    def others(v):
        n = v.shape[-1]
        if n < 2:
            return np.ones_like(v)
        if n % 2:
            return others(np.concatenate([v, np.ones_like(v[..., :1])], -1))[..., :n]
        a, b = v[..., 0::2], v[..., 1::2]
        rest = others(a * b)
        return np.stack([rest * b, rest * a], -1).reshape(v.shape)
    lead = shape[:x.ndim - len(axes)]
    return others(rows.reshape(*lead, math.prod(shape[len(lead):]))).reshape(shape).transpose(np.argsort(order))


# ---- einsum ----
def _spell_out(subscripts, *operands, optimize=None):
    """einsum's subscripts with the implicit output and the ellipses written as letters."""
    if not isinstance(subscripts, str):
        raise TypeError("einsum with a Tensor takes its subscripts as a string, like 'ij,jk->ik'")
    terms, arrow, out = subscripts.replace(" ", "").partition("->")
    if not arrow:
        letters = terms.replace(",", "").replace("...", "")
        out = "..." * ("..." in terms) + "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    terms = terms.split(",")
    unused = [c for c in string.ascii_letters if c not in subscripts]
    hidden = [np.ndim(x) - len(t) + 3 if "..." in t else 0 for t, x in zip(terms, operands)]
    names = unused[:max(hidden, default=0)]
    terms = [t.replace("...", "".join(names[len(names) - n:])) for t, n in zip(terms, hidden)]
    return operands, {"subscripts": ",".join(terms) + "->" + out.replace("...", "".join(names))}


def _einsum_rule(i, g, y, *xs, subscripts):
    """Swap y and input i. A label that only input i has was summed away (ones); a repeated one is a diagonal (eye)."""
    terms, out = subscripts.split("->")
    terms = terms.split(",")
    mine, x, unused = terms[i], xs[i], iter(c for c in string.ascii_letters if c not in subscripts)
    terms[i], values, target = out, [*xs[:i], g, *xs[i + 1:]], ""
    for label, n in zip(mine, x.shape):
        if label in target:
            target += next(unused)
            terms.append(label + target[-1])
            values.append(np.eye(n, dtype=x.dtype))
        else:
            target += label
            if not any(label in t for t in terms):
                terms.append(label)
                values.append(np.ones(n, x.dtype))
    return np.einsum(",".join(terms) + "->" + target, *values, optimize=True)


rule(np.einsum, Each(_einsum_rule), bind=_spell_out, broadcasts=True,
     forward=lambda *xs, subscripts: np.einsum(subscripts, *xs, optimize=True))


# ---- made of matmul and einsum ----
@composite(np.tensordot, np.linalg.tensordot)
def _tensordot(a, b, axes=2):
    """einsum, with a letter for each axis: small ones for those of a, capitals for those of b."""
    m, n = np.ndim(a), np.ndim(b)
    mine, yours = ((range(m - axes, m), range(axes)) if isinstance(axes, (int, np.integer)) else
                   (np.atleast_1d(i).tolist() for i in axes))
    left, right = list(string.ascii_lowercase[:m]), list(string.ascii_uppercase[:n])
    for i, j in zip(mine, yours, strict=True):
        if np.shape(a)[i] != np.shape(b)[j]:
            raise ValueError(f"tensordot: axis {i} of shape {np.shape(a)} and axis {j} of shape {np.shape(b)} differ")
        right[j] = left[i]
    out = [c for c in left + right if not (c in left and c in right)]
    return np.einsum(f"{''.join(left)},{''.join(right)}->{''.join(out)}", a, b)


@composite(np.inner)
def _inner(a, b):
    return np.tensordot(a, b, (-1, -1)) if np.ndim(a) and np.ndim(b) else np.multiply(a, b)


@composite(np.vdot)
def _vdot(a, b):
    return np.matmul(np.ravel(a).conj(), np.ravel(b))


@composite(np.vecdot, np.linalg.vecdot)
def _vecdot(x1, x2, axis=-1):
    x1, x2 = np.moveaxis(x1, axis, -1), np.moveaxis(x2, axis, -1)
    return np.matmul(x1.conj()[..., None, :], x2[..., None])[..., 0, 0]


def _matvec(x1, x2):
    return np.matmul(x1, np.expand_dims(x2, -1))[..., 0]


def _vecmat(x1, x2):
    return np.matmul(np.expand_dims(np.conjugate(x1), -2), x2)[..., 0, :]


if hasattr(np, "matvec"):  # NumPy 2.2
    composites.update({np.matvec: _matvec, np.vecmat: _vecmat})


@composite(np.linalg.outer)
def _outer(x1, x2):
    if np.ndim(x1) != 1 or np.ndim(x2) != 1:
        raise ValueError(f"np.linalg.outer takes two vectors, not shapes {np.shape(x1)} and {np.shape(x2)}: np.outer "
                         "flattens")
    return np.outer(x1, x2)


@composite(np.kron)
def _kron(a, b):
    n = max(np.ndim(a), np.ndim(b))
    p, q = ((1,) * (n - np.ndim(x)) + np.shape(x) for x in (a, b))
    y = (np.expand_dims(np.reshape(a, p), tuple(range(1, 2 * n, 2)))
         * np.expand_dims(np.reshape(b, q), tuple(range(0, 2 * n, 2))))
    return np.reshape(y, tuple(i * j for i, j in zip(p, q)))


@composite(np.cross)
def _cross(a, b, axisa=-1, axisb=-1, axisc=-1, axis=None):
    axisa, axisb, axisc = (axisa, axisb, axisc) if axis is None else (axis,) * 3
    a, b = np.moveaxis(a, axisa, -1), np.moveaxis(b, axisb, -1)
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        raise ValueError(f"the cross product of Tensors is of vectors with 3 elements, not {a.shape[-1]} and "
                         f"{b.shape[-1]}: in the plane write a[0] * b[1] - a[1] * b[0]")
    y = np.roll(a, -1, -1) * np.roll(b, 1, -1) - np.roll(a, 1, -1) * np.roll(b, -1, -1)
    return np.moveaxis(y, -1, axisc)


@composite(np.linalg.cross)
def _linalg_cross(x1, x2, *, axis=-1):
    return np.cross(x1, x2, axis=axis)


@composite(np.linalg.multi_dot)
def _multi_dot(arrays):
    """einsum, which finds a good order, backward too."""
    shapes = [np.shape(x) for x in arrays]
    if len(shapes) < 2:
        raise ValueError(f"np.linalg.multi_dot takes at least two arrays, not {len(shapes)}")
    if any(a[-1:] != b[-2:][:1] for a, b in itertools.pairwise(shapes)):  # einsum would broadcast
        raise ValueError(f"np.linalg.multi_dot: the shapes {', '.join(map(str, shapes))} do not fit together")
    terms = [string.ascii_letters[i:i + 2] for i in range(len(arrays))]
    if np.ndim(arrays[0]) == 1:
        terms[0] = terms[0][1]
    if np.ndim(arrays[-1]) == 1:
        terms[-1] = terms[-1][0]
    return np.einsum(",".join(terms) + "->" + terms[0][:-1] + terms[-1][1:], *arrays)


@composite(np.linalg.matrix_power)
def _matrix_power(a, n):
    """By squaring: about 2 log2(n) products."""
    if a.ndim < 2 or a.shape[-2] != a.shape[-1]:
        raise np.linalg.LinAlgError(f"np.linalg.matrix_power takes square matrices, not shape {a.shape}")
    n, a = operator.index(n), np.linalg.inv(a) if n < 0 else a
    y = 0 * a + np.eye(a.shape[-1], dtype=a.dtype) if n == 0 else None
    n = abs(n)
    while n:
        if n & 1:
            y = a if y is None else y @ a
        n >>= 1
        a = a @ a if n else a
    return y


@composite(np.matrix_transpose, np.linalg.matrix_transpose)
def _matrix_transpose(x):
    return np.swapaxes(x, -1, -2)


@composite(np.linalg.diagonal)
def _linalg_diagonal(x, *, offset=0):
    return np.diagonal(x, offset, -2, -1)


@composite(np.linalg.trace)
def _linalg_trace(x, *, offset=0):
    return np.trace(x, offset, -2, -1)


composites[np.linalg.matmul] = np.matmul
