"""Layers and losses as functions: derivatives to the second order, extreme inputs, kinks, dtypes, memory order."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from minigrad import Tensor, grad
from minigrad import functional as F
from minigrad.testing import check_adjoint, check_hessian_symmetry, check_rule_paths, gradcheck


def rng(seed=0):
    return np.random.default_rng(seed)


def normal(*shape, seed=0):
    return rng(seed).standard_normal(shape)


def apart(*shape, seed=0):
    """All different and none near zero: away from every kink and tie."""
    n = math.prod(shape)
    return ((rng(seed).permutation(n) - n // 2 + 0.5) / 4).reshape(shape)


LABELS, IMAGE_LABELS = np.array([2, 0, 3]), np.array([[0, 3], [2, 1]])
EMBEDDED = np.array([[0, 2], [2, 3], [2, 0]])
WEIGHT = np.array([0.5, 2.0, 1.0, 0.25])
STATISTICS = np.array([[0.3, -0.2], [0.5, 1.5]])


def weight(x):
    return WEIGHT.astype(x.dtype)


def statistics(x):
    return STATISTICS.astype(x.dtype)


def probabilities(*shape):
    p = rng(5).uniform(0.1, 1, shape)
    return p / p.sum(axis=1, keepdims=True)


# name -> (function, inputs); the part of the name before the first space is the function's
CASES = {
    "linear": (F.linear, (normal(3, 4), normal(4, 2), normal(2))),
    "linear of one row": (F.linear, (normal(4), normal(4, 2), normal(2))),
    "linear of three axes, no bias": (F.linear, (normal(2, 3, 4), normal(4, 2))),
    "relu": (F.relu, (apart(3, 4),)),
    "leaky_relu": (F.leaky_relu, (apart(3, 4),)),
    "leaky_relu steep": (lambda x: F.leaky_relu(x, 0.3), (apart(3, 4),)),
    "tanh": (F.tanh, (normal(3, 4),)),
    "sigmoid": (F.sigmoid, (normal(3, 4),)),
    "erf": (F.erf, (normal(3, 4),)),
    "gelu": (F.gelu, (normal(3, 4),)),
    "gelu by tanh": (lambda x: F.gelu(x, "tanh"), (normal(3, 4),)),
    "softplus": (F.softplus, (normal(3, 4),)),
    "softplus steep": (lambda x: F.softplus(x, 3.0, 1.5), (normal(3, 4),)),
    "logsigmoid": (F.logsigmoid, (normal(3, 4),)),
    "softmax": (F.softmax, (normal(3, 4),)),
    "softmax of channels": (lambda x: F.softmax(x, axis=1), (normal(2, 3, 2),)),
    "log_softmax": (F.log_softmax, (normal(3, 4),)),
    "log_softmax of rows": (lambda x: F.log_softmax(x, axis=0), (normal(3, 4),)),
    "gumbel_softmax": (lambda x: F.gumbel_softmax(x, 0.7, generator=rng()), (normal(3, 4),)),
    "gumbel_softmax of rows": (lambda x: F.gumbel_softmax(x, axis=0, generator=rng()), (normal(3, 4),)),
    "logsumexp": (F.logsumexp, (normal(3, 4),)),
    "logsumexp of rows": (lambda x: F.logsumexp(x, axis=1, keepdims=True), (normal(3, 4),)),
    "mse_loss": (F.mse_loss, (normal(3, 4), normal(3, 4, seed=1))),
    "mse_loss none": (lambda x, t: F.mse_loss(x, t, "none"), (normal(3, 4), normal(3, 4, seed=1))),
    "binary_cross_entropy_with_logits": (F.binary_cross_entropy_with_logits, (normal(3, 4), rng(1).random((3, 4)))),
    "binary_cross_entropy_with_logits weighted": (
        lambda x, t: F.binary_cross_entropy_with_logits(x, t, weight(x), 2 * weight(x), "sum"),
        (normal(3, 4), rng(1).random((3, 4)))),
    "cross_entropy": (F.cross_entropy, (normal(3, 4), LABELS)),
    "cross_entropy of one row": (F.cross_entropy, (normal(4), np.array(2))),
    "cross_entropy none": (lambda z: F.cross_entropy(z, LABELS, reduction="none"), (normal(3, 4),)),
    "cross_entropy of images": (lambda z: F.cross_entropy(z, IMAGE_LABELS, reduction="none"), (normal(2, 4, 2),)),
    "cross_entropy with everything": (
        lambda z: F.cross_entropy(z, IMAGE_LABELS, WEIGHT, 1, "mean", 0.1), (normal(2, 4, 2),)),
    "cross_entropy with probabilities": (F.cross_entropy, (normal(3, 4), probabilities(3, 4))),
    "cross_entropy with probabilities and everything": (
        lambda z, p: F.cross_entropy(z, p, weight(z), label_smoothing=0.1), (normal(2, 4, 2), probabilities(2, 4, 2))),
    "embedding": (lambda w: F.embedding(EMBEDDED, w), (normal(4, 3),)),
    "normalize": (F.normalize, (normal(2, 3, 2),)),
    "normalize by sum": (lambda x: F.normalize(x, 1.0, axis=-1), (apart(2, 3),)),
    "cosine_similarity": (F.cosine_similarity, (normal(3, 4), normal(3, 4, seed=1))),
    "cosine_similarity of short ones": (lambda x, y: F.cosine_similarity(x, y, 0, 10.0),
                                        (normal(3), normal(3, seed=1))),
    "pairwise_distance": (F.pairwise_distance, (normal(3, 4), normal(3, 4, seed=1))),
    "pairwise_distance p=3": (lambda x, y: F.pairwise_distance(x, y, 3.0, keepdims=True),
                              (normal(2, 3), normal(3, seed=1))),
    "conv1d": (lambda x, w, b: F.conv1d(x, w, b, 2, 1), (normal(2, 3, 7), normal(2, 3, 3), normal(2))),
    "conv1d same": (lambda x, w: F.conv1d(x, w, padding="same", groups=2), (normal(2, 4, 5), normal(2, 2, 2))),
    "conv3d": (lambda x, w, b: F.conv3d(x, w, b, (1, 2, 1), padding=(0, 1, 0)),
               (normal(1, 2, 3, 4, 3), normal(2, 2, 2, 3, 2), normal(2))),
    "conv_transpose1d": (lambda x, w, b: F.conv_transpose1d(x, w, b, 3, 1, 2), (normal(2, 3, 4), normal(3, 2, 3),
                                                                               normal(2))),
    "conv_transpose1d with more output than its stride": (
        lambda x, w: F.conv_transpose1d(x, w, None, 1, 1, 2, dilation=3), (normal(2, 3, 4), normal(3, 2, 2))),
    "conv_transpose1d with output beyond its windows": (
        lambda x, w: F.conv_transpose1d(x, w, None, 2, 0, 3, dilation=4), (normal(2, 3, 4), normal(3, 2, 2))),
    "conv_transpose2d": (F.conv_transpose2d, (normal(2, 3, 2, 4), normal(3, 2, 3, 2), normal(2))),
    "conv_transpose2d with everything": (
        lambda x, w, b: F.conv_transpose2d(x, w, b, (2, 3), (1, 0), (1, 2), 2, (2, 1)),
        (normal(1, 4, 3, 2), normal(4, 1, 3, 2), normal(2))),
    "conv_transpose3d": (lambda x, w: F.conv_transpose3d(x, w, stride=(1, 2, 1), padding=(1, 0, 0)),
                         (normal(1, 2, 2, 2, 2), normal(2, 1, 3, 2, 2))),
    "unfold": (lambda x: F.unfold(x, (2, 3), (2, 1), (1, 0), 2), (normal(2, 2, 4, 5),)),
    "fold": (lambda x: F.fold(x, (4, 5), (2, 3), (2, 1), (1, 0), 2), (normal(2, 12, 4),)),
    "conv2d": (F.conv2d, (normal(2, 3, 5, 4), normal(2, 3, 3, 2), normal(2))),
    "conv2d no bias": (F.conv2d, (normal(2, 3, 5, 4), normal(2, 3, 3, 2))),
    "conv2d strided": (lambda x, w, b: F.conv2d(x, w, b, 2, (2, 1)),
                       (normal(2, 3, 5, 6), normal(2, 3, 3, 2), normal(2))),
    "conv2d same, dilated": (lambda x, w: F.conv2d(x, w, padding="same", dilation=(1, 2)),
                             (normal(1, 2, 4, 5), normal(2, 2, 2, 3))),
    "conv2d grouped": (lambda x, w, b: F.conv2d(x, w, b, padding=1, groups=2),
                       (normal(2, 4, 3, 3), normal(6, 2, 3, 3), normal(6))),
    "conv2d 1x1": (F.conv2d, (normal(2, 3, 2, 3), normal(4, 3, 1, 1), normal(4))),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2), (apart(2, 2, 4, 5),)),
    "max_pool2d overlapping": (lambda x: F.max_pool2d(x, 3, 1, 1), (apart(2, 2, 4, 3),)),
    "max_pool2d dilated": (lambda x: F.max_pool2d(x, 2, (1, 2), 0, 2), (apart(1, 2, 5, 6),)),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 2), (normal(2, 2, 4, 5),)),
    "avg_pool2d padded": (lambda x: F.avg_pool2d(x, 3, 2, 1), (normal(1, 2, 4, 5),)),
    "avg_pool2d padded, uncounted": (lambda x: F.avg_pool2d(x, (3, 2), 2, 1, False, False), (normal(1, 2, 4, 5),)),
    "max_pool1d": (lambda x: F.max_pool1d(x, 3, 2, 1, 1, True), (apart(2, 2, 6),)),
    "max_pool3d": (lambda x: F.max_pool3d(x, 2, (1, 2, 1)), (apart(1, 2, 3, 4, 3),)),
    "avg_pool1d": (lambda x: F.avg_pool1d(x, 2, 2, 1, True), (normal(2, 2, 5),)),
    "avg_pool1d uncounted": (lambda x: F.avg_pool1d(x, 3, 2, 1, True, False), (normal(2, 2, 6),)),
    "avg_pool3d": (lambda x: F.avg_pool3d(x, (1, 2, 2)), (normal(1, 2, 2, 4, 3),)),
    "adaptive_avg_pool1d": (lambda x: F.adaptive_avg_pool1d(x, 3), (normal(2, 2, 5),)),
    "adaptive_avg_pool2d": (lambda x: F.adaptive_avg_pool2d(x, (2, None)), (normal(2, 2, 4, 3),)),
    "adaptive_avg_pool2d uneven": (lambda x: F.adaptive_avg_pool2d(x, (3, 7)), (normal(1, 2, 5, 4),)),
    "adaptive_avg_pool3d": (lambda x: F.adaptive_avg_pool3d(x, (2, 1, 2)), (normal(1, 2, 3, 4, 2),)),
    "adaptive_max_pool1d": (lambda x: F.adaptive_max_pool1d(x, 3), (apart(2, 2, 5),)),
    "adaptive_max_pool2d": (lambda x: F.adaptive_max_pool2d(x, (None, 4)), (apart(1, 2, 2, 6),)),
    "adaptive_max_pool2d even": (lambda x: F.adaptive_max_pool2d(x, 2), (apart(1, 2, 4, 6),)),
    "adaptive_max_pool3d": (lambda x: F.adaptive_max_pool3d(x, (2, 1, 2)), (apart(1, 2, 3, 4, 2),)),
    "flatten": (F.flatten, (normal(2, 3, 2),)),
    "dropout": (lambda x: F.dropout(x, 0.3, generator=rng()), (normal(3, 4),)),
    "dropout with a mask": (lambda x: F.dropout(x, 0.3, mask=np.array([True, False, True, True])), (normal(3, 4),)),
    "drop_connect": (lambda x, w, b: F.drop_connect(x, w, b, 0.4, generator=rng()),
                     (normal(3, 4), normal(4, 2), normal(2))),
    "drop_connect per example": (lambda x, w: F.drop_connect(x, w, None, 0.4, True, rng()),
                                 (normal(3, 4), normal(4, 2))),
    "batch_norm": (lambda x, w, b: F.batch_norm(x, None, None, w, b, True), (normal(4, 2), normal(2), normal(2))),
    "batch_norm of images": (lambda x, w, b: F.batch_norm(x, *statistics(x), w, b, True),
                             (normal(2, 2, 2, 3), normal(2), normal(2))),
    "batch_norm of sequences": (lambda x: F.batch_norm(x, training=True, eps=0.1), (normal(3, 2, 2),)),
    "batch_norm in evaluation": (lambda x, w, b: F.batch_norm(x, *statistics(x), w, b),
                                 (normal(2, 2, 2, 3), normal(2), normal(2))),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, 4, w, b), (normal(3, 4), normal(4), normal(4))),
    "layer_norm of images": (lambda x, w: F.layer_norm(x, (2, 3), w, eps=0.1), (normal(2, 2, 2, 3), normal(2, 3))),
}


def test_every_function_has_a_case():
    """Here, or in the tests of an area that calls it, or its layer."""
    here = {name.split()[0] for name in CASES}
    assert here <= set(F.__all__)
    tests = Path(__file__).parent
    texts = "".join(p.read_text(encoding="utf-8") for pattern in (
        "test_images_ops.py", "test_nn_*.py", "test_parity.py", "references/layer_cases_*.py")
        for p in tests.glob(pattern))
    modules = {name.lower() for name in re.findall(r"\bnn\.(\w+)", texts)}
    others = {"one_hot", "lp_pool3d", "max_unpool3d"}  # made by the same few lines as those in two dimensions
    assert [n for n in F.__all__ if n not in here | others and n.replace("_", "") not in modules
            and not re.search(rf"\bF\.{n}\b", texts)] == []


@pytest.mark.parametrize("name", CASES)
def test_derivatives(name):
    f, inputs = CASES[name]
    gradcheck(f, *inputs, order=2)
    check_hessian_symmetry(f, *inputs)


def leaves(inputs, dtype, order="K"):
    return [Tensor(x.astype(dtype, order), requires_grad=True) if x.dtype.kind == "f" else x for x in inputs]


@pytest.mark.parametrize("name", CASES)
def test_float32_stays_float32(name):
    f, inputs = CASES[name]
    inputs = leaves(inputs, np.float32)
    xs = [x for x in inputs if isinstance(x, Tensor)]
    y = f(*inputs)
    first = grad(y.sum(), xs, create_graph=True)
    second = grad(sum((g * g).sum() for g in first), xs) if any(g.requires_grad for g in first) else []
    assert {t.dtype for t in [y, *first, *second]} == {np.dtype(np.float32)}
    check_rule_paths(f, *[x.astype(np.float32) if x.dtype.kind == "f" else x for x in CASES[name][1]])


@pytest.mark.parametrize("name", CASES)
def test_arrays_give_the_same_values_as_tensors(name):
    f, inputs = CASES[name]
    y = f(*inputs)
    assert_array_equal(y.data if isinstance(y, Tensor) else y, f(*leaves(inputs, np.float64)).data)


def batch_innermost(x):
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 0, -1)), -1, 0)


@pytest.mark.parametrize("name", [n for n, (_, inputs) in CASES.items() if inputs[0].ndim > 1])
def test_memory_order_does_not_matter(name):
    """The batch innermost, as convolutions leave it, or first, or everything reversed: the numbers are the same."""
    f, inputs = CASES[name]

    def run(arrange):
        xs = leaves(inputs, np.float64)
        xs[0] = Tensor(arrange(xs[0].data), requires_grad=True)
        y = f(*xs)
        c = normal(*y.shape, seed=9)
        floating = [x for x in xs if isinstance(x, Tensor)]
        first = grad((c * y * y).sum(), floating, create_graph=True, retain_graph=True)
        last = grad(y, floating, gradient=arrange(c) if y.ndim > 1 else c, retain_graph=True)
        return [y, *first, *grad(sum((g * g).sum() for g in first), floating), *last]
    expected = run(np.ascontiguousarray)
    for arrange in (batch_innermost, np.asfortranarray, lambda x: np.repeat(x, 2, axis=-1)[..., ::2]):
        for found, value in zip(run(arrange), expected):
            assert_allclose(found.data, value.data, 1e-12, 1e-14)


# ---- extreme inputs: warnings are errors, so none of these may overflow on the way ----
HUGE = np.array([-1e4, -100.0, 0.0, 100.0, 1e4])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("f, value, slope", [
    (F.sigmoid, [0, 0, 0.5, 1, 1], [0, 0, 0.25, 0, 0]),
    (F.tanh, [-1, -1, 0, 1, 1], [0, 0, 1, 0, 0]),
    (F.softplus, [0, 0, math.log(2), 100, 1e4], [0, 0, 0.5, 1, 1]),
    (F.relu, [0, 0, 0, 100, 1e4], [0, 0, 0, 1, 1]),
    (F.leaky_relu, [-100, -1, 0, 100, 1e4], [0.01, 0.01, 0.01, 1, 1]),
    (F.gelu, [0, 0, 0, 100, 1e4], [0, 0, 0.5, 1, 1]),
    (lambda x: F.gelu(x, "tanh"), [0, 0, 0, 100, 1e4], [0, 0, 0.5, 1, 1]),
    (F.logsigmoid, [-1e4, -100, -math.log(2), 0, 0], [1, 1, 0.5, 0, 0]),
    (F.erf, [-1, -1, 0, 1, 1], [0, 0, 2 / math.sqrt(math.pi), 0, 0]),
], ids="sigmoid tanh softplus relu leaky_relu gelu gelu-tanh logsigmoid erf".split())
def test_activations_of_huge_inputs(f, value, slope, dtype):
    x = Tensor(HUGE.astype(dtype), requires_grad=True)
    y = f(x)
    y.sum().backward()
    assert_allclose(y.data, value, 1e-6, 1e-30)
    assert_allclose(x.grad.data, slope, 1e-6, 1e-30)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_and_cross_entropy_of_huge_logits(dtype):
    z = Tensor(np.array([[1e4, -1e4, 0], [-1e4, -1e4, -1e4], [1e4, 1e4, 0]], dtype), requires_grad=True)
    p = [[1, 0, 0], [1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0]]
    assert_allclose(F.softmax(z).data, p, 1e-6)
    half, third = -math.log(2), -math.log(3)
    assert_allclose(F.log_softmax(z).data, [[0, -2e4, -1e4], [third] * 3, [half, half, half - 1e4]], 1e-6)
    loss = F.cross_entropy(z, np.array([1, 0, 0]), reduction="none")
    assert_allclose(loss.data, [2e4, math.log(3), math.log(2)], 1e-6)
    (g,) = grad([loss], [z], create_graph=True, gradient=[np.ones(3, dtype)])
    assert_allclose(g.data, np.array(p) - [[0, 1, 0], [1, 0, 0], [1, 0, 0]], 1e-6, 1e-7)
    assert np.isfinite(grad((g * g).sum(), z).data).all()


@pytest.mark.parametrize("kwargs", [{}, {"weight": np.array([1.0, 2.0, 3.0])}])
def test_cross_entropy_of_masked_logits(kwargs):
    """-inf takes a class out of the choice: probability 0, gradient 0, and the others as if it were not there."""
    z = Tensor(np.array([[1.0, -np.inf, 2.0], [-np.inf, 0.5, -np.inf]]), requires_grad=True)
    loss = F.cross_entropy(z, np.array([0, 1]), reduction="none", **kwargs)
    assert_allclose(loss.data, [math.log(1 + math.e), 0], atol=1e-15)
    loss.sum().backward()
    q = 1 / (1 + math.exp(-1))
    assert_allclose(z.grad.data, [[-q, 0, q], [0, 0, 0]], atol=1e-15)
    assert_allclose(F.softmax(z).data, [[1 - q, 0, q], [0, 1, 0]])
    assert_allclose(F.log_softmax(z).data, [[math.log(1 - q), -np.inf, math.log(q)], [-np.inf, 0, -np.inf]])


def test_logsumexp_of_infinities():
    x = Tensor(np.array([[-np.inf, -np.inf], [-np.inf, 3.0], [1e4, 1e4]]), requires_grad=True)
    y = F.logsumexp(x, axis=1)
    assert_allclose(y.data, [-np.inf, 3, 1e4 + math.log(2)])
    y.sum().backward()
    assert_allclose(x.grad.data, [[0, 0], [0, 1], [0.5, 0.5]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_binary_cross_entropy_of_huge_logits(dtype):
    x, t = Tensor(HUGE.astype(dtype), requires_grad=True), np.array([1, 0, 1, 1, 0], dtype)
    loss = F.binary_cross_entropy_with_logits(x, t, reduction="none")
    assert_allclose(loss.data, [1e4, 0, math.log(2), 0, 1e4], 1e-6, 1e-30)
    loss.sum().backward()
    assert_allclose(x.grad.data, [-1, 0, -0.5, 0, 1], 1e-6, 1e-30)


# ---- kinks ----
@pytest.mark.parametrize("f, slope", [(F.relu, 0), (F.leaky_relu, 0.01), (lambda x: F.leaky_relu(x, 0.3), 0.3)])
def test_slope_at_the_kink(f, slope):
    x = Tensor(np.array([0.0, -0.0, 1e-300, -1e-300]), requires_grad=True)
    f(x).sum().backward()
    assert_array_equal(x.grad.data, [slope, slope, 1, slope])


@pytest.mark.parametrize("kwargs, expected", [
    ({"kernel_size": 2}, [[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]),
    ({"kernel_size": 2, "stride": 1}, [[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0]]),
    ({"kernel_size": 3, "stride": 2, "padding": 1}, [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]),
])
def test_the_first_of_equal_maxima_takes_the_gradient(kwargs, expected):
    x = Tensor(np.full((1, 1, 4, 4), 7.0), requires_grad=True)
    F.max_pool2d(x, **kwargs).sum().backward()
    assert_array_equal(x.grad.data[0, 0], expected)


def test_max_pool_hands_on_nan_and_its_gradient():
    x = np.arange(16.0).reshape(1, 1, 4, 4)
    x[0, 0, 0, 1] = np.nan
    x = Tensor(x, requires_grad=True)
    y = F.max_pool2d(x, 2)
    assert_array_equal(y.data[0, 0], [[np.nan, 7], [13, 15]])
    y.sum().backward()
    assert_array_equal(x.grad.data[0, 0], [[0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0], [0, 1, 0, 1]])


def test_padding_of_max_pool_takes_no_gradient():
    """Also where it is equal to what it surrounds."""
    x = Tensor(np.full((1, 1, 2, 2), -np.inf), requires_grad=True)
    F.max_pool2d(x, 2, 1, 1).sum().backward()
    assert_array_equal(x.grad.data[0, 0], [[4, 2], [2, 1]])


def test_adaptive_max_pool_gives_the_first_of_equal_maxima_the_gradient():
    x = Tensor(np.full((1, 1, 5), 7.0), requires_grad=True)
    F.adaptive_max_pool1d(x, 3).sum().backward()
    assert_array_equal(x.grad.data[0, 0], [1, 1, 0, 1, 0])  # of the windows 0-1, 1-3, 3-4


def test_lengths_of_zeros_have_no_gradient():
    x, other = Tensor(np.array([[0.0, 0.0], [3.0, 4.0]]), requires_grad=True), np.ones((2, 2))
    y = F.pairwise_distance(x, np.array([[0.0, 0.0], [0.0, 0.0]]), eps=0.0)
    assert_allclose(y.data, [0, 5])
    assert_allclose(grad(y.sum(), x).data, [[0, 0], [0.6, 0.8]])
    y = F.cosine_similarity(x, other)
    assert_allclose(y.data, [0, 7 / (5 * math.sqrt(2))])
    assert np.isfinite(grad(y.sum(), x).data).all()
    assert_allclose(F.normalize(x).data, [[0, 0], [0.6, 0.8]])
    assert_allclose(grad(F.normalize(x, eps=0.1).sum(), x).data[0], [10, 10])  # eps stands for the length


def test_softplus_is_the_identity_above_its_threshold():
    x = Tensor(np.array([1.0, 1.5]), requires_grad=True)
    y = F.softplus(x, 2.0, 2.5)
    assert_allclose(y.data, [math.log1p(math.exp(2)) / 2, 1.5])
    assert_allclose(grad(y.sum(), x).data, [1 / (1 + math.exp(-2)), 1])


@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_softplus_of_infinities(beta):
    x = Tensor(np.array([np.inf, -np.inf]), requires_grad=True)
    y = F.softplus(x, beta)
    first = grad(y.sum(), x, create_graph=True)
    assert_array_equal([y.data, first.data, grad(first.sum(), x).data], [[np.inf, 0], [1, 0], [0, 0]])


# ---- what the functions are ----
@pytest.mark.parametrize("f, expected", [  # PyTorch's
    (lambda x: F.avg_pool1d(x, 2, 2, 1, True), [0.5, 2.5, 4.5]),
    (lambda x: F.avg_pool1d(x, 2, 2, 1, True, False), [1, 2.5, 4.5]),
    (lambda x: F.avg_pool1d(x, 2, 2, 0, True), [1.5, 3.5, 5]),
    (lambda x: F.avg_pool1d(x, 3, 3, 1, True), [1, 4]),
    (lambda x: F.max_pool1d(x, 2, 2, 0, 1, True), [2, 4, 5]),
    (lambda x: F.max_pool1d(x, 2, 2), [2, 4]),
    (lambda x: F.adaptive_avg_pool1d(x, 3), [1.5, 3, 4.5]),
    (lambda x: F.adaptive_max_pool1d(x, 3), [2, 4, 5]),
    (lambda x: F.conv_transpose1d(x[..., :2], np.array([[[1.0, 2.0, 3.0]]]), None, 2, 1, 1), [2, 5, 4, 6]),
    (lambda x: F.conv_transpose1d(x[..., :2], np.array([[[1.0, 2.0]]]), None, 1, 1, 2, 1, 3), [2, 0, 2, 4, 0]),
    (lambda x: F.conv_transpose1d(x[..., :2], np.array([[[1.0, 2.0]]]), np.array([1.0]), 1, 0, 2, 1, 3),
     [2, 3, 1, 3, 5, 1, 1]),
], ids=range(11))
def test_small_sequences(f, expected):
    assert_allclose(f(np.array([[[1.0, 2.0, 3.0, 4.0, 5.0]]])), [[expected]], 1e-14)


def test_transposed_convolution_is_the_adjoint():
    how = {"stride": (2, 3), "padding": (1, 0), "groups": 2, "dilation": (1, 2)}
    w, x, g = normal(4, 3, 2, 3), normal(2, 6, 5, 9), normal(2, 4, 3, 2)
    check_adjoint(lambda x: F.conv2d(x, w, **how), lambda g: F.conv_transpose2d(g, w, output_padding=(1, 1), **how),
                  x, g)


def test_fold_is_the_adjoint_of_unfold():
    """And unfold is im2col, its rows ordered as the weights of a convolution are."""
    x, w = normal(2, 3, 5, 4), normal(2, 3, 3, 2)
    columns = F.unfold(x, (3, 2), padding=1, stride=(2, 1))
    check_adjoint(lambda x: F.unfold(x, (3, 2), padding=1, stride=(2, 1)),
                  lambda g: F.fold(g, (5, 4), (3, 2), padding=1, stride=(2, 1)), x, normal(*columns.shape))
    y = F.conv2d(x, w, padding=1, stride=(2, 1))
    assert_allclose((w.reshape(2, -1) @ columns).reshape(y.shape), y, 1e-12)


def test_embedding_leaves_the_padding_row_alone():
    w = Tensor(normal(4, 3), requires_grad=True)
    for padding in (2, -2):
        y = F.embedding(EMBEDDED, w, padding)
        assert_array_equal(y.data, w.data[EMBEDDED])
        assert_array_equal(grad(y.sum(), w).data, np.array([2, 0, 0, 1])[:, None] * np.ones(3))
    assert_array_equal(F.embedding([1, 1], w).data, w.data[[1, 1]])
    assert F.embedding(np.zeros((0, 2), int), w).shape == (0, 2, 3)


def test_gumbel_softmax_draws_from_the_softmax():
    p = np.array([0.1, 0.2, 0.7])
    logits = Tensor(np.broadcast_to(np.log(p), (20000, 3)).copy(), requires_grad=True)
    draws = F.gumbel_softmax(logits, 0.1, hard=True, generator=rng())
    assert set(np.unique(draws.data)) == {0, 1}
    assert_array_equal(draws.data.sum(axis=1), 1)
    assert_allclose(draws.data.mean(axis=0), p, atol=0.02)
    soft = F.gumbel_softmax(logits, 0.1, generator=rng())
    c = normal(20000, 3)
    assert_array_equal(grad((draws * c).sum(), logits).data, grad((soft * c).sum(), logits).data)  # straight through
    columns = F.gumbel_softmax(normal(3, 4), hard=True, axis=0, generator=rng())
    assert_array_equal(columns.data.sum(axis=0), 1)


def test_dropout_with_a_mask_of_ones_and_zeros():
    mask = np.array([1, 0, 1])
    for m in (mask, mask > 0, Tensor(mask)):
        y = F.dropout(np.full((2, 3), 3, np.float32), 0.25, mask=m)
        assert y.dtype == np.float32
        assert_array_equal(y.data if isinstance(y, Tensor) else y, [[4, 0, 4]] * 2)
    assert_array_equal(F.dropout(np.ones(3), 0.0, mask=mask), mask)
    assert_array_equal(F.dropout(np.ones(3), 0.25, training=False, mask=mask), 1)


def test_cross_entropy_of_nothing_is_nan_without_a_gradient():
    """As PyTorch: a batch in which every target is ignored must not put NaN into the weights."""
    for smoothing in (0, 0.1):
        z = Tensor(normal(3, 4), requires_grad=True)
        loss = F.cross_entropy(z, np.full(3, -100), label_smoothing=smoothing)
        assert np.isnan(loss.item())
        loss.backward()
        assert_array_equal(z.grad.data, np.zeros((3, 4)))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.int64])
@pytest.mark.parametrize("as_tensor", [False, True])
def test_class_indices_of_any_integer_type(dtype, as_tensor):
    z, labels = normal(3, 4), LABELS.astype(dtype)
    found = F.cross_entropy(Tensor(z), Tensor(labels) if as_tensor else labels)
    expected = -np.log(np.exp(z[np.arange(3), LABELS]) / np.exp(z).sum(axis=1)).mean()
    assert_allclose(found.item(), expected, 1e-14)


@pytest.mark.parametrize("ignore_index", [-100, -1, 3, 255])
def test_ignored_targets_count_neither_above_nor_below(ignore_index):
    z, counts = normal(4, 4), np.array([True, False, True, True])
    labels = np.where(counts, [2, 0, 1, 0], ignore_index)
    found = F.cross_entropy(Tensor(z), labels, ignore_index=ignore_index)
    assert_allclose(found.item(), F.cross_entropy(Tensor(z[counts]), labels[counts]).item(), 1e-14)


def test_one_hot():
    y = F.one_hot(np.array([[2, 0], [1, 1]]), 3)
    assert y.dtype == np.float32
    assert_array_equal(y, [[[0, 0, 1], [1, 0, 0]], [[0, 1, 0], [0, 1, 0]]])
    assert F.one_hot(np.zeros((0, 2), np.uint8), 3).shape == (0, 2, 3)
    with pytest.raises(ValueError, match=r"one_hot: indices from -1 to 5, but num_classes is 3"):
        F.one_hot([0, 5, -1], 3)
    with pytest.raises(ValueError, match=r"indices from 0 to 3"):
        F.one_hot([0, 3], 3)
    with pytest.raises(TypeError, match=r"one_hot: indices must be integers, not float64"):
        F.one_hot([0.0, 1.0], 3)


def test_dropout_scales_what_it_keeps():
    x = np.full((200, 300), 3.0)
    y = F.dropout(Tensor(x), 0.3, generator=rng()).data
    kept = y != 0
    assert_allclose(y[kept], 3 / 0.7)
    assert abs(kept.mean() - 0.7) < 4 * math.sqrt(0.3 * 0.7 / x.size)


def test_dropout_multiplies_the_gradient_by_the_same_mask():
    x = Tensor(normal(50, 40), requires_grad=True)
    y = F.dropout(x, 0.5, generator=rng())
    y.sum().backward()
    assert_allclose(x.grad.data * x.data, y.data)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_dropout_of_nothing_and_everything(p):
    x = Tensor(normal(3, 4), requires_grad=True)
    y = F.dropout(x, p, generator=rng())
    y.sum().backward()
    assert_array_equal(y.data, x.data * (1 - p))
    assert_array_equal(x.grad.data, np.full((3, 4), 1 - p))


def test_dropout_draws_again_each_time_and_from_the_generator_it_is_given():
    x, one, other = np.ones((20, 20)), rng(1), rng(1)
    masks = [F.dropout(x, 0.5, generator=one) for _ in range(2)]
    assert (masks[0] != masks[1]).any()
    for mask in masks:
        assert_array_equal(F.dropout(x, 0.5, generator=other), mask)


def test_batch_norm_leaves_the_running_statistics_alone_in_evaluation():
    mean, var = STATISTICS.copy()
    F.batch_norm(Tensor(normal(4, 2)), mean, var)
    assert_array_equal([mean, var], STATISTICS)
    F.batch_norm(Tensor(normal(4, 2)), mean, var, training=True, momentum=1.0)
    assert_allclose([mean, var], [normal(4, 2).mean(axis=0), normal(4, 2).var(axis=0, ddof=1)])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_normalization_survives_a_large_offset(dtype):
    """The variance is not computed as mean(x^2) - mean(x)^2, which cancels."""
    x = (1000 + normal(64, 8)).astype(dtype)
    for y in (F.batch_norm(x, training=True), F.layer_norm(x.T, 64).T):
        assert_allclose(y.mean(axis=0), 0, atol=1e-3)
        assert_allclose(y.var(axis=0), 1, atol=1e-3)


@pytest.mark.parametrize("f, shape", [
    (lambda x: F.linear(x, normal(4, 3), normal(3)), (0, 4)),
    (lambda x: F.linear(x, normal(4, 3), normal(3)), (2, 0, 4)),
    (lambda x: F.conv2d(x, normal(3, 4, 2, 2), normal(3)), (0, 4, 5, 5)),
    (lambda x: F.max_pool2d(x, 2), (0, 4, 5, 5)),
    (lambda x: F.avg_pool2d(x, 2, padding=1), (0, 4, 5, 5)),
    (lambda x: F.conv_transpose1d(x, normal(4, 2, 3)), (0, 4, 5)),
    (lambda x: F.unfold(x, 2), (0, 4, 5, 5)),
    (lambda x: F.adaptive_avg_pool2d(x, 3), (0, 4, 5, 5)),
    (lambda x: F.adaptive_max_pool2d(x, 3), (0, 4, 5, 5)),
    (F.normalize, (0, 4)),
    (F.flatten, (0, 4, 5)),
    (F.softmax, (0, 4)),
    (F.log_softmax, (0, 4)),
    (F.gelu, (0, 4)),
    (lambda x: F.batch_norm(x, *STATISTICS), (0, 2, 3, 3)),
    (lambda x: F.layer_norm(x, 4), (0, 4)),
    (lambda x: F.cross_entropy(x, np.zeros(0, int), reduction="none"), (0, 4)),
    (lambda x: F.cross_entropy(x, np.zeros(0, int), reduction="sum"), (0, 4)),
], ids="linear linear-3d conv2d max_pool2d avg_pool2d conv_transpose unfold adaptive_avg adaptive_max "
       "normalize flatten softmax log_softmax gelu batch_norm layer_norm ce-none "
       "ce-sum".split())
def test_an_empty_batch(f, shape):
    x = Tensor(np.zeros(shape), requires_grad=True)
    y = f(x)
    y.sum().backward()
    assert y.size == 0 or y.item() == 0
    assert x.grad.shape == shape


# ---- errors ----
IMAGE, KERNEL = np.ones((2, 3, 5, 5)), np.ones((4, 3, 3, 3))


@pytest.mark.parametrize("call, message", [
    (lambda: F.linear(np.ones((2, 4)), np.ones((3, 5))), r"linear: input \(2, 4\).*weight \(3, 5\)"),
    (lambda: F.linear(np.ones((2, 4)), np.ones((3, 5)), np.ones(5)), r"linear: input \(2, 4\).*weight \(3, 5\)"),
    (lambda: F.linear(np.ones((6, 2, 4)), np.ones((3, 5))), r"linear: input .*4\).*weight \(3, 5\)"),
    (lambda: F.linear(np.array(1.0), np.ones((3, 5))), r"linear: input \(\)"),
    (lambda: F.conv2d(IMAGE[:, :1], KERNEL), r"input has 1 channels, weight \(4, 3, 3, 3\) expects 3.*\(N, C, H, W\)"),
    (lambda: F.conv2d(IMAGE[0], KERNEL), r"input \(3, 5, 5\) must be \(N, C, H, W\)"),
    (lambda: F.conv2d(IMAGE, KERNEL[0]), r"weight \(3, 3, 3\) \(O, C, kH, kW\)"),
    (lambda: F.conv2d(np.ones((2, 9, 5, 5)), KERNEL, groups=3), r"4 output channels do not divide into 3 groups"),
    (lambda: F.conv2d(IMAGE, KERNEL, stride=0), r"stride must be at least 1, got 0"),
    (lambda: F.conv2d(IMAGE, KERNEL, stride=(1, 2, 3)), r"stride is an int or a pair"),
    (lambda: F.conv2d(IMAGE, KERNEL, dilation=1.5), r"dilation|iterable"),
    (lambda: F.conv2d(IMAGE, KERNEL, padding=-1), r"padding must not be negative, got -1"),
    (lambda: F.conv2d(IMAGE, KERNEL, padding="full"), r"'same' or 'valid', not 'full'"),
    (lambda: F.conv2d(IMAGE, KERNEL, stride=2, padding="same"), r"padding='same' is for stride 1"),
    (lambda: F.conv2d(IMAGE, KERNEL, dilation=3), r"window of 7 pixels does not fit into 5 \+ 0"),
    (lambda: F.conv1d(IMAGE, KERNEL), r"conv1d: input .* must be \(N, C, L\), weight .* \(O, C, k\)"),
    (lambda: F.conv3d(IMAGE, KERNEL), r"conv3d: input .* must be \(N, C, D, H, W\)"),
    (lambda: F.conv1d(np.ones((1, 1, 5)), np.ones((1, 1, 2)), stride=(1, 2)), r"stride is an int or 1 of ints"),
    (lambda: F.conv_transpose2d(IMAGE, KERNEL), r"has 3 channels, weight \(4, 3, 3, 3\) expects 4"),
    (lambda: F.conv_transpose2d(IMAGE[0], KERNEL), r"weight .* \(C, O, kH, kW\)"),
    (lambda: F.conv_transpose2d(IMAGE, KERNEL[:3], output_padding=1), r"output_padding 1 .* less than the stride"),
    (lambda: F.conv_transpose2d(IMAGE[:, :, :1], KERNEL[:3], padding=2), r"padding .* leaves \[-1, 3\]"),
    (lambda: F.unfold(IMAGE, 6), r"unfold: no window of kernel \(6, 6\)"),
    (lambda: F.unfold(IMAGE[0], 2), r"unfold: input \(3, 5, 5\) must be"),
    (lambda: F.fold(np.ones((1, 8, 9)), 5, 2), r"fold: input \(1, 8, 9\) must be \(N, C \* 4, 16\)"),
    (lambda: F.adaptive_avg_pool2d(IMAGE, 0), r"output_size must be at least 1"),
    (lambda: F.adaptive_max_pool2d(IMAGE, (1, 2, 3)), r"output_size is an int or a pair"),
    (lambda: F.adaptive_avg_pool1d(IMAGE, 2), r"adaptive_avg_pool1d: input .* must be \(N, C, L\)"),
    (lambda: F.embedding(np.array([0.0]), np.ones((2, 3))), r"indices must be integers, not float64"),
    (lambda: F.embedding(np.array([0, 2]), np.ones((2, 3))), r"from 0 to 2, but weight \(2, 3\) has rows 0 to 1"),
    (lambda: F.embedding(np.array([-1, 1]), np.ones((2, 3))), r"indices from -1 to 1"),
    (lambda: F.embedding(np.array([0]), np.ones((2, 3)), 2), r"padding_idx is 2"),
    (lambda: F.gumbel_softmax(np.ones(3), 0.0), r"tau must be positive, got 0"),
    (lambda: F.dropout(np.ones(2), 1.5, mask=np.ones(2)), r"between 0 and 1, got 1.5"),
    (lambda: F.max_pool2d(IMAGE[0], 2), r"max_pool2d: input \(3, 5, 5\) must be \(N, C, H, W\)"),
    (lambda: F.max_pool2d(IMAGE, 0), r"kernel_size must be at least 1"),
    (lambda: F.max_pool2d(IMAGE, 2, padding=2), r"more than half of the kernel"),
    (lambda: F.max_pool2d(IMAGE, 6), r"max_pool2d: a window of 6 pixels does not fit"),
    (lambda: F.avg_pool2d(IMAGE[0], 2), r"avg_pool2d: input \(3, 5, 5\)"),
    (lambda: F.batch_norm(np.ones((1, 3)), training=True), r"more than one value per channel, got input \(1, 3\)"),
    (lambda: F.batch_norm(np.ones((1, 3, 1, 1)), training=True), r"more than one value per channel"),
    (lambda: F.layer_norm(np.ones((2, 3)), 2), r"layer_norm: input \(2, 3\) does not end in .*\(2,\)"),
    (lambda: F.cross_entropy(np.ones((2, 3)), np.array([0, 3])), r"class indices from 0 to 3.*3 classes \(0 to 2\)"),
    (lambda: F.cross_entropy(np.ones((2, 3)), np.array([-1, 2])), r"class indices from -1 to 2"),
    (lambda: F.cross_entropy(np.ones((2, 3)), np.array([0, 3]), ignore_index=0), r"class indices from 0 to 3"),
    (lambda: F.cross_entropy(np.ones((2, 3)), np.array([0])), r"indices of shape \(1,\) for logits .*expected \(2,\)"),
    (lambda: F.cross_entropy(np.ones((2, 3)), np.array([[0], [1]])), r"indices of shape \(2, 1\)"),
    (lambda: F.cross_entropy(np.ones(3), np.array([0, 1, 2])), r"indices of shape \(3,\) for logits .*expected \(\)"),
    (lambda: F.cross_entropy(np.ones((2, 3, 4)), np.zeros((2, 3), int)), r"expected \(2, 4\)"),
    (lambda: F.cross_entropy(np.ones((2, 3)), np.ones(2)), r"probabilities of shape \(2,\).*must be integers"),
    (lambda: F.cross_entropy(np.ones((2, 3)), np.array([0, 1]), reduction="avg"), r"reduction is .*not 'avg'"),
    (lambda: F.mse_loss(np.ones((2, 1)), np.ones(2)), r"mse_loss: input has shape \(2, 1\), target \(2,\)"),
    (lambda: F.mse_loss(np.ones(2), np.ones(2), "max"), r"reduction is .*not 'max'"),
    (lambda: F.binary_cross_entropy_with_logits(np.ones((2, 1)), np.ones(2)), r"target \(2,\); they must be equal"),
    (lambda: F.gelu(np.ones(2), "erf"), r"approximate is 'none' or 'tanh', not 'erf'"),
    (lambda: F.dropout(np.ones(2), 1.5), r"between 0 and 1, got 1.5"),
    (lambda: F.dropout(np.ones(2), -0.1, training=False), r"between 0 and 1, got -0.1"),
    (lambda: F.drop_connect(np.ones((2, 3)), np.ones((3, 1)), p=2), r"between 0 and 1, got 2"),
])
def test_errors_say_what_was_wrong(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()
