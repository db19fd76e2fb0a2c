"""Values, gradients and second derivatives of every op beside PyTorch's, JAX's and mpmath's (references/operators.py).

An op of the table has a recorded twin or stands in WITHOUT, with the reason.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from references.operators import HERE, along, case, weights
from references.ours import FUNCTIONS, everything
from references.twins import spelled
from samples import Sample, call

from minigrad import Tensor, grad
from minigrad.graph import composites, table
from minigrad.testing import check_op

with np.load(HERE / "operators.npz", allow_pickle=False) as file:
    numbers, contents = file["numbers"], json.loads(str(file["contents"]))
cases, ends = contents["cases"], np.cumsum([n for _, n in contents["cases"].values()])
rows = {name: numbers[end - n:end] for (name, (_, n)), end in zip(cases.items(), ends)}
points: dict = {}
for s in (s for key in everything for s in everything[key]):
    points.setdefault(case(s), s)  # several of one name differ in their numbers, which are recorded

OF = "a step of {}, which is compared"
WITHOUT = {
    "kn": "kv of whole order", "yn": "yv of whole order",
    "np.full_like": "it broadcasts its value, and nothing flows to what it is like",
    "np.nextafter": "its gradient, 1, is a convention: the peers have none",
    "np.real_if_close": "np.real, or nothing: which of them depends on the values",
    "pool_take": OF.format("max_pool"), "pool_put": OF.format("max_pool"),
    "_solve": OF.format("np.linalg.solve"), "_slogdet": OF.format("np.linalg.slogdet"),
    "_completion": OF.format("np.linalg.det, at singular matrices"), "_qr": OF.format("np.linalg.qr"),
    "_lu": OF.format("np.linalg.det and the like"), "_pivots": OF.format("_lu"), "_apart": OF.format("np.linalg.eigh"),
    "_eigh": OF.format("np.linalg.eigh"), "_eig": OF.format("np.linalg.eig"), "_svd": OF.format("np.linalg.svd"),
    "_full": OF.format("np.convolve"), "_valid": OF.format("np.convolve"),
}
LOOSE: dict = {}  # op -> (relative tolerance, why it is not 1e-9)


def taken(row, like):
    """An array of the shape and dtype of ``like`` from the front of the row, and the rest."""
    n = like.size * (2 if like.dtype.kind == "c" else 1)
    kind = complex if like.dtype.kind == "c" else float
    return row[:n].view(kind).reshape(like.shape), row[n:]


@pytest.mark.parametrize("name", cases)
def test_the_peers_agree(name):
    if name not in points:
        if name.split(" ")[0] in {spelled(key) for key in everything}:
            pytest.fail("this sample is gone: run tests/references/operators.py")
        pytest.skip("this NumPy has no such function")
    s, row = points[name], rows[name]
    inputs = s.inputs()
    for i, x in enumerate(inputs):
        if x.dtype.kind in "fc":
            inputs[i], row = taken(row, x)
    tensors = [Tensor(x, requires_grad=x.dtype.kind in "fc") for x in inputs]
    xs = [t for t in tensors if t.requires_grad]
    ys = call(s.key, *tensors, **s.static)
    ys = [y for y in (ys if isinstance(ys, (tuple, list)) else [ys]) if isinstance(y, Tensor)]
    losses = [(c * np.real(y * y.conj())).sum() for c, y in zip(weights(name, ys), ys)]
    losses = [loss for loss in losses if loss.requires_grad]
    gs = grad(losses, xs, create_graph=True) if losses else [Tensor(np.zeros_like(x.data)) for x in xs]
    pairs = [(g, v) for g, v in zip(gs, along(name, xs)) if g.requires_grad]
    zeros = [np.zeros_like(x.data) for x in xs]
    hs = grad([g for g, _ in pairs], xs, gradient=[v for _, v in pairs]) if pairs else zeros
    rtol = LOOSE.get(spelled(s.key), (1e-9, ""))[0]
    for what, ours in (("value", ys), ("gradient", gs), ("Hessian-vector product", hs)):
        for i, a in enumerate(ours):
            a = np.asarray(a.data if isinstance(a, Tensor) else a)
            theirs, row = taken(row, a)
            scale = np.abs(theirs).max(initial=1e-3)
            np.testing.assert_allclose(a, theirs, rtol, rtol * scale, err_msg=f"{what} {i}, beside {cases[name][0]}")
    assert not row.size, "other outputs than the peer's"


@pytest.mark.parametrize(("key", "draws", "static"), FUNCTIONS, ids=lambda p: getattr(p, "__name__", ""))
def test_what_is_made_of_ops_is_right(key, draws, static):
    """The functions of ours; NumPy's are in test_derivatives.py."""
    def op(*xs):
        return call(key, *xs, **static)
    check_op(op, *Sample(key, draws, static).inputs())


def test_every_op_has_a_twin():
    ours = {key for key in [*table, *composites.values()] if not getattr(key, "__module__", "").startswith("test")}
    ours = {spelled(key) for key in {*ours, *composites} if key in everything} | {spelled(key) for key in everything}
    recorded = {name.split(" ")[0] for name in cases}
    assert ours - recorded - WITHOUT.keys() == set(), "record it (references/operators.py), or say why not in WITHOUT"
    assert recorded & WITHOUT.keys() == set()


def test_what_is_without_or_loose_exists():
    assert (WITHOUT.keys() | LOOSE.keys()) <= {spelled(key) for key in [*table, *composites, *composites.values()]}


def test_nothing_is_pickled_and_little_is_stored():
    assert (HERE / "operators.npz").stat().st_size < 600_000
    assert {peer for peer, _ in cases.values()} == {"torch", "jax", "mpmath"}


