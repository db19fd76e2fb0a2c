"""vmap: every op on a batch equals the op example by example, also where gradients are taken inside or outside."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from samples import call, samples

import minigrad.functional as F
from minigrad import Parameter, Tensor, nn, primitive
from minigrad.batching import Batched, batching, rules, vmap
from minigrad.calculus import grad, jacobian, value_and_grad, vjp
from minigrad.graph import table
from minigrad.testing import gradcheck

r = np.random.default_rng(0)
A, X = r.standard_normal((3, 3)), r.standard_normal((5, 3))


def close(ours, expected, tol=1e-10):
    np.testing.assert_allclose(ours.data if isinstance(ours, Tensor) else ours, expected, rtol=tol, atol=tol)


# ---- every op ----
def flat(y):
    return list(y) if isinstance(y, (tuple, list)) else [y]


some = [pytest.param(s, id=f"{key.__name__.strip('_')}-{i}") for key, points in samples.items()
        for i, s in enumerate(points) if i % 3 == 0]


@pytest.mark.parametrize("sample", some)
def test_every_op_on_a_batch_is_the_op_on_each_example(sample):
    """With all inputs batched, and with each alone."""
    inputs = sample.inputs()
    moving = [i for i, x in enumerate(inputs) if x.dtype.kind in "fc"]
    for batched in ([moving] if len(moving) == 1 else [moving, *([i] for i in moving)]):
        copies = [np.stack([x, x[...], x * 1.0]) if i in batched else x for i, x in enumerate(inputs)]
        f = functools.partial(call, sample.key, **sample.static)
        ys = vmap(f, tuple(0 if i in batched else None for i in range(len(inputs))))(*copies)
        for y, expected in zip(flat(ys), flat(call(sample.key, *map(Tensor, inputs), **sample.static)), strict=True):
            expected = np.asarray(expected)
            assert y.shape == (3, *expected.shape)
            for example in y.data:
                np.testing.assert_allclose(example, expected, rtol=1e-9, atol=1e-9)


def test_different_examples_stay_apart():
    x = r.standard_normal((4, 2, 3))
    for f in (lambda x: x @ A, lambda x: A @ x.T, lambda x: np.einsum("ij,kj->ik", x, A), lambda x: np.sum(x, 0),
              lambda x: np.sum(x), lambda x: x.T.reshape(3, 2), lambda x: x[:, [2, 0]], lambda x: x[0, None, ..., ::-1],
              lambda x: np.stack([x, A[:2]], -1), lambda x: np.concatenate([x, A]), lambda x: np.max(x, axis=-1),
              lambda x: np.moveaxis(x, 0, 1), lambda x: np.swapaxes(x, 0, -1), lambda x: x[np.ix_([1, 0], [2, 2])],
              lambda x: np.where(x > 0, x, 0), lambda x: np.expand_dims(x, (0, -1)).squeeze(), lambda x: x.mean(1).T,
              lambda x: np.pad(x, 1), lambda x: np.broadcast_to(x[0], (2, 3)), lambda x: x[:, 0] @ x @ A[0],
              lambda x: np.sort(x, axis=0), lambda x: np.argmax(x, axis=1), lambda x: np.argmax(x),
              lambda x: np.zeros_like(x), lambda x: x > np.mean(x), lambda x: np.linalg.norm(x), lambda x: x.T.ravel(),
              lambda x: np.cumsum(x), lambda x: np.flip(x), lambda x: np.any(x > 1, 0), lambda x: np.trace(x @ x.T)):
        ys = vmap(f)(x)
        for y, example in zip(ys, x, strict=True):
            close(np.asarray(y), np.asarray(f(example)))


# ---- arguments ----
def test_in_dims_and_out_dims():
    close(vmap(np.dot, (None, 1))(A[0], X.T), X @ A[0])
    close(vmap(lambda x: x * 2, in_dims=1, out_dims=1)(X), 2 * X)
    close(vmap(lambda x: x * 2, in_dims=-1, out_dims=-1)(X), 2 * X)
    close(vmap(lambda x: np.outer(x, x), out_dims=2)(X), np.einsum("ni,nj->ijn", X, X))
    close(vmap(lambda x: A)(X), np.broadcast_to(A, (5, 3, 3)))  # the same for all
    y = vmap(lambda t, s: {"a": t["x"] * s, "b": [t["y"][0], 1.0]}, (0, None))({"x": X, "y": (X[:, 0],)}, 2.0)
    close(y["a"], 2 * X)
    close(y["b"][0], X[:, 0])
    close(y["b"][1], np.ones(5))
    close(vmap(lambda x, scale: x * scale)(X, scale=3.0), 3 * X)


def test_vmap_in_vmap():
    close(vmap(lambda a: vmap(lambda b: a @ b)(X))(A), A @ X.T)
    close(vmap(lambda a, b: vmap(lambda c: np.sum(a * b * c))(b), (0, None))(X, A),
          [[np.sum(a * A * c) for c in A] for a in X])
    close(vmap(vmap(lambda x: x ** 2))(X), X ** 2)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: vmap(np.add)(X, A), r"differ in their number of examples: argument 0 has 5, argument 1 has 3"),
    (lambda: vmap(np.add, (0, None, 0))(X, A), r"in_dims=\(0, None, 0\) is for 3 arguments, but there are 2"),
    (lambda: vmap(np.add, None)(X, X), "nothing is mapped"),
    (lambda: vmap(np.add)(X, 1.0), r"argument 1 of shape \(\) has no axis 0 of examples: give it None"),
    (lambda: vmap(lambda m, x: m(x))(nn.Dense(3, 2), X), r"argument 0 is a module.*give it None"),
])
def test_wrong_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_assignment_inside():
    def f(x):
        y = x * 1
        y[1] = x[0] * 10
        return y
    close(vmap(f)(X), np.stack([X[:, 0], 10 * X[:, 0], X[:, 2]], 1))


def test_conditions_must_be_the_same_for_all():
    f = vmap(lambda x: x * 2 if np.all(x > -100) else x)
    close(f(X), 2 * X)
    with pytest.raises(TypeError, match=r"use np\.where"):
        vmap(lambda x: x if x[0] > 0 else -x)(X)


def test_nothing_becomes_an_array_inside():
    for f in (np.asarray, lambda x: np.zeros(3).__setitem__(0, x[0]), lambda x: A[x.astype(int)], lambda x: x.data,
              lambda x: float(x[0])):
        with pytest.raises((TypeError, ValueError), match=r"inside vmap|setting an array element|vmap"):
            vmap(f)(X)
    seen = []
    vmap(lambda x: seen.append(x) or x)(X)
    assert repr(seen[0]) == "Batched(shape=(3,), dtype=float64, batch=5)" and isinstance(seen[0], Batched)


# ---- derivatives ----
def test_gradients_of_every_example():
    f = lambda x: np.sum(np.tanh(A @ x) ** 2)
    close(vmap(grad(f))(X), np.stack([grad(f)(x).data for x in X]))
    value, g = vmap(value_and_grad(f))(X)
    close(value, np.stack([f(x) for x in X]))
    close(g, vmap(grad(f))(X).data)
    J = jacobian(lambda x: np.tanh(A @ x))
    close(vmap(J)(X), np.stack([J(x).data for x in X]))
    # with respect to what they share
    w = A[0]
    per_example = vmap(grad(lambda w, x: np.tanh(w @ x)), (None, 0))(w, X)
    close(per_example, (1 - np.tanh(X @ w)[:, None] ** 2) * X)


def test_gradients_through_vmap():
    gradcheck(lambda x, w: vmap(lambda x: np.tanh(w @ x) * np.sum(x))(x), X, A)
    gradcheck(lambda x, w: vmap(lambda x: grad(lambda v: np.sum(np.tanh(w @ v)))(x))(x), X, A)
    gradcheck(lambda x, w: vmap(grad(lambda w, x: np.sum(np.tanh(w @ x))), (None, 0))(w, x), X, A)
    w = Parameter(A)
    np.sum(vmap(lambda x: w @ x)(X)).backward()  # closed over, and the same for all
    close(w.grad, np.ones((3, 1)) * X.sum(0))


def test_vmap_of_a_pull():
    y, pull = vjp(lambda x: np.tanh(A @ x), X[0])
    rows, = vmap(pull)(np.eye(3))
    close(rows, (1 - y.data ** 2)[:, None] * A)


def small_cnn():
    return nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dense(12, 4))


@pytest.mark.parametrize("make", [
    lambda: nn.Sequential(nn.Flatten(), nn.Dense(16, 6), nn.Tanh(), nn.Dense(6, 4)), small_cnn,
    lambda: nn.Sequential(nn.Conv2d(1, 2, 2, stride=2), nn.GELU(), nn.AvgPool2d(2), nn.Flatten(), nn.LayerNorm(2),
                          nn.Dense(2, 4))], ids=["mlp", "cnn", "norm"])
def test_per_example_gradients_of_networks(make):
    model = make().astype(np.float64)
    images, labels = r.standard_normal((6, 1, 4, 4)), r.integers(0, 4, 6)

    def loss(m, x, label):
        return F.cross_entropy(m(x[None]), np.expand_dims(label, 0))
    ours = vmap(grad(loss), (None, 0, 0))(model, images, labels)
    for i in range(6):
        one = grad(loss)(model, images[i], labels[i])
        for name, g in one.items():
            close(ours[name][i], g.data, 1e-9)
    mean = grad(lambda m: F.cross_entropy(m(Tensor(images)), labels))(model)
    for name, g in mean.items():
        close(np.mean(ours[name].data, axis=0), g.data, 1e-9)
    assert all(type(p) is Parameter for p in model.parameters())


def test_parameters_are_seen_inside():
    """Weight decay over m.parameters() inside a per-example loss."""
    model = nn.Dense(3, 1, bias=False, dtype=np.float64)
    g = vmap(grad(lambda m, x: np.sum(m(x[None])) + sum(np.sum(p * p) for p in m.parameters())), (None, 0))(model, X)
    close(g["weight"], X[:, :, None] + 2 * model.weight.data)


# ---- nothing silently wrong ----
@pytest.mark.parametrize("f", [
    lambda x: np.add(np.zeros(3), x, out=np.zeros(3)), lambda x: np.zeros(3).__iadd__(x),
    lambda x: np.add.at(np.zeros(3), [0, 1, 2], x), lambda x: np.copyto(np.zeros(3), x),
    lambda x: np.put(np.zeros(3), [0, 1, 2], x), lambda x: np.place(np.zeros(3), np.ones(3, bool), x),
    lambda x: np.putmask(np.zeros(3), np.ones(3, bool), x), lambda x: np.fill_diagonal(np.zeros((3, 3)), x),
    lambda x: np.full_like(np.ones(2), x[0]), lambda x: Tensor(np.zeros(3)).__setitem__(slice(None), x),
    lambda x: nn.BatchNorm1d(3, dtype=np.float64)(x[None] * np.ones((2, 1)))])
def test_a_batch_is_not_written_into_one_array(f):
    with pytest.raises((TypeError, ValueError), match=r"inside vmap|setting an array element|has no derivative"):
        vmap(f)(X)


def test_sums_in_a_loop():
    def f(x):
        h, k = Tensor(np.zeros(3)), x * 1
        for i in range(2):
            h += x * i
            k -= x
        return h, k
    h, k = vmap(f)(X)
    close(h, X)
    close(k, -X)


def test_assignment_across_levels_and_to_views():
    def inner(a):
        def g(b):
            q = a * 1
            q[0] = b
            return q
        return vmap(g)(np.array([10.0, 20.0, 30.0]))
    y = vmap(inner)(np.array([[1.0, 2.0], [3.0, 4.0]]))
    close(y, [[[b, a] for b in (10, 20, 30)] for a in (2, 4)])
    for view in (lambda y: y[0], lambda y: y.T, lambda y: y.reshape(-1)):
        with pytest.raises(RuntimeError, match="this is a view"):
            vmap(lambda a, view=view: view(a * 1).__setitem__(0, 9.0))(np.ones((2, 2, 3)))


def test_an_op_of_a_user_that_broadcasts_but_reduces():
    @primitive(lambda g, y, x, t: g / t * np.ones_like(x), lambda g, y, x, t: -g * np.sum(x) / (t * t), broadcasts=True)
    def test_mean(x, t):
        return np.sum(x) / t
    try:
        close(vmap(lambda x: test_mean(x, 3.0))(X), X.mean(1))
        batching(test_mean)(lambda key, xs, batched: np.sum(xs[0], axis=1) / xs[1])
        close(vmap(lambda x: test_mean(x, 3.0))(X), X.mean(1))
    finally:
        table.pop(test_mean)
        rules.pop(test_mean, None)


def test_shapes_and_lengths_inside():
    assert vmap(lambda x: np.zeros_like(x, shape=(2,)))(X).shape == (5, 2)
    close(vmap(lambda x: x[0] * len(x) + sum(v for v in x))(X), 3 * X[:, 0] + X.sum(1))
    close(vmap(lambda p: (lambda a, b, c: a * b - c)(*p))(X), X[:, 0] * X[:, 1] - X[:, 2])
    with pytest.raises(TypeError):
        vmap(lambda x: np.argmax(x, axis=(0, 1)))(np.ones((2, 3, 4)))
    y = vmap(lambda x: np.ones(2))(X).data
    y += 1  # its own memory


def test_conditions_and_static_arguments_at_two_levels():
    close(vmap(lambda a: vmap(lambda b: b if np.all(a * b < 100) else a)(X))(X), np.stack([X] * 5))
    close(vmap(lambda a: vmap(lambda b: np.clip(b, a, None))(X[:, 0]))(X[:, 1]), np.maximum(X[:, 0], X[:, 1:2]))


def test_no_examples():
    assert vmap(lambda x: x.reshape(-1) * 2)(np.zeros((0, 2, 3))).shape == (0, 6)
    with pytest.raises(ValueError, match="vmap of no examples"):
        vmap(lambda x: np.unique(x))(np.zeros((0, 3)))
    with pytest.raises(ValueError, match="chunk_size must be at least 1"):
        jacobian(np.tanh, chunk_size=0)(X[0])


def test_what_is_kept_from_inside():
    kept = []
    vmap(lambda x: kept.append(x) or x)(X)
    with pytest.raises(RuntimeError, match="used after vmap had ended"):
        np.unique(kept[0])


def test_out_dims_for_each_result():
    a, b = vmap(lambda x: (x, np.outer(x, x)), out_dims=(1, 2))(X)
    assert a.shape == (3, 5) and b.shape == (3, 3, 5)
    with pytest.raises(ValueError, match=r"out_dims=\(0, 0\) is for 2 results"):
        vmap(lambda x: x, out_dims=(0, 0))(X)
    with pytest.raises(TypeError, match="must hold one axis, or None, for each argument"):
        vmap(lambda x: x, in_dims=([0],))(X)
    close(vmap(np.multiply, in_dims=[0, None])(X, 2.0), 2 * X)


@pytest.mark.parametrize("how", [{"weight": np.array([1.0, 2.0, 0.5, 0.0])}, {"label_smoothing": 0.1},
                                 {"ignore_index": 1}, {"reduction": "sum", "weight": np.ones(4)}])
def test_cross_entropy_of_single_examples(how):
    z, labels = r.standard_normal((6, 4)), np.array([0, 1, 2, 2, 1, 0])

    def loss(z, label):
        return F.cross_entropy(z[None], np.expand_dims(label, 0), **how)
    with np.errstate(invalid="ignore"):
        ours = vmap(loss)(z, labels)
        close(ours, [loss(Tensor(a), b).item() for a, b in zip(z, labels)])
    with pytest.raises(ValueError, match="class indices from 0 to 9"):
        vmap(loss)(z, np.array([0, 1, 2, 2, 9, 0]))


def test_a_module_that_keeps_an_activation():
    class Keeps(nn.Module):
        def __init__(self):
            self.inner = nn.Dense(3, 2, dtype=np.float64)

        def forward(self, x):
            self.last = self.inner(x)
            return self.last
    model = Keeps()
    vmap(lambda x: model(x[None]))(X)
    assert list(dict(model.named_parameters())) == ["inner.weight", "inner.bias"] == list(model.state_dict())
    vmap(grad(lambda m, x: np.sum(m(x[None]))), (None, 0))(model, X)
    assert all(type(p) is Parameter for p in model.parameters())


def test_a_backward_hook_inside_is_refused():
    layer = nn.Dense(3, 2, dtype=np.float64)
    layer.register_full_backward_hook(lambda *a: None)
    with pytest.raises(TypeError, match="Dense has a backward hook, and these do not work inside vmap"):
        vmap(lambda x: layer(x[None]))(X)
