"""The derivative table, continued: prod, exact where factors are zero, and einsum."""

from __future__ import annotations

import math
import string

import numpy as np

from ..graph import Each, rule
from .basics import keep

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
    return np.einsum(",".join(terms) + "->" + target, *values)


rule(np.einsum, Each(_einsum_rule), bind=_spell_out, broadcasts=True,
     forward=lambda *xs, subscripts: np.einsum(subscripts, *xs, optimize=True))
