"""Samples of our functions that are made of ops but have no name in NumPy: for the references and the programs."""

from __future__ import annotations

import numpy as np
from samples import Sample, calls, samples
from samples.core import apart, normal, positive
from samples.linalg import regular, regular_complex

from minigrad.derivatives import elementwise, indexing, linalg, ordering, special

rows, columns = np.array([[0, 2, 2], [1, 0, 1]]), np.array([2, 0, 2])
FUNCTIONS = [
    (elementwise.rsqrt, [(positive, (3,))], {}), (elementwise.lerp, [(2, 3), (3,), (2, 1)], {}),
    (elementwise.sec, [(positive, (3,))], {}), (elementwise.csc, [(positive, (3,))], {}),
    (elementwise.cot, [(positive, (3,))], {}),
    (ordering.cummax, [(apart, (2, 4))], {}), (ordering.cummax, [(apart, (2, 4))], {"axis": 0}),
    (ordering.cummin, [(apart, (2, 4))], {}), (ordering.cummin, [(apart, (2, 4))], {"axis": 0}),
    (ordering.topk, [(apart, (2, 4))], {"k": 2}), (ordering.topk, [(apart, (4, 2))], {"k": 3, "axis": 0}),
    (ordering.kthvalue, [(apart, (2, 4))], {"k": 3}), (ordering.kthvalue, [(apart, (4, 2))], {"k": 1, "axis": 0}),
    (indexing.gather, [(3, 3)], {"dim": 0, "index": rows}), (indexing.gather, [(2, 3)], {"dim": 1, "index": rows}),
    (indexing.scatter, [(3, 3), (2, 3)], {"dim": 0, "index": np.array([[0, 2, 2], [1, 0, 1]])}),
    (indexing.index_add, [(3, 2), (3, 2)], {"dim": 0, "index": columns}),
    (indexing.index_add, [(2, 4), (2, 3)], {"dim": 1, "index": columns, "alpha": 2}),
    (indexing.index_copy, [(3, 4), (3, 2)], {"dim": 1, "index": np.array([3, 0])}),
    (indexing.index_select, [(4, 3)], {"dim": 0, "index": columns}),
    (indexing.masked_fill, [(2, 3)], {"mask": rows > 0, "value": 1.5}),
    (indexing.masked_select, [(2, 3)], {"mask": rows > 0}),
    (indexing.diag_embed, [(2, 3)], {}), (indexing.diag_embed, [(3,)], {"offset": -1}),
    (linalg.lu, [(regular, (3, 3))], {}), (linalg.lu, [(regular, (2, 3))], {}), (linalg.lu, [(regular, (4, 2))], {}),
    (linalg.lu, [(regular_complex, (2, 2))], {}),
    (linalg.solve_triangular, [(regular, (3, 3)), (3, 2)], {"lower": True}),
    (linalg.solve_triangular, [(regular, (3, 3)), (3, 2)], {"unit_diagonal": True}),
    (linalg.cho_solve, [(positive, (3, 3)), (3, 2)], {"lower": True}),
    (special.polygamma, [(positive, (3,))], {"n": 0}), (special.polygamma, [(positive, (2, 2))], {"n": 2}),
    (special.multigammaln, [(lambda r, shape: 2 + positive(r, shape), (3,))], {"d": 3}),
    (linalg.cdist, [(2, 3), (4, 3)], {}), (linalg.cdist, [(normal, (2, 3)), (normal, (4, 3))], {"p": 3}),
]
calls |= {
    indexing.scatter: lambda x, src, dim, index: indexing.scatter(x, dim, index, src),
    indexing.index_add: lambda x, source, dim, index, alpha=1: indexing.index_add(x, dim, index, source, alpha),
    indexing.index_copy: lambda x, source, dim, index: indexing.index_copy(x, dim, index, source),
    special.polygamma: lambda x, n: special.polygamma(n, x),
    linalg.cho_solve: lambda c, b, lower: linalg.cho_solve((c, lower), b),
}
everything = {key: list(found) for key, found in samples.items()}
for key, draws, static in FUNCTIONS:
    everything.setdefault(key, []).append(Sample(key, draws, static))
