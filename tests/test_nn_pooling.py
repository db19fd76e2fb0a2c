"""Pooling layers: indices and back, random places, globals, norms; dtypes, modes, errors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from minigrad import Tensor, grad, nn, vmap
from minigrad import functional as F
from minigrad.functional.pooling import _graham_sequence
from minigrad.testing import check_hessian_symmetry, gradcheck


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def rng(seed=0):
    return np.random.default_rng(seed)


SHAPES = {1: (2, 3, 7), 2: (2, 3, 6, 5), 3: (1, 3, 4, 5, 6)}
def made(layer, n, *args, **how):
    return lambda: getattr(nn, f"{layer}{n}d")(*args, **how), SHAPES[n]


LAYERS = {
    **{f"{name}{n}d{text}": made(name, n, *args, **how) for name, text, args, how in (
        ("MaxPool", "", (3, 2, 1), {}), ("MaxPool", ", indices", (2,), {"return_indices": True}),
        ("AvgPool", "", (3, 2, 1), {"ceil_mode": True}), ("LPPool", "", (2, 2), {}),
        ("AdaptiveAvgPool", "", (3,), {}), ("AdaptiveMaxPool", "", (3,), {"return_indices": True}),
        ("AdaptiveMaxPool", " of 1", (1,), {"return_indices": True}),
        ("GlobalAvgPool", "", (), {}), ("GlobalMaxPool", "", (), {})) for n in (1, 2, 3)},
    **{f"FractionalMaxPool{n}d, {sequence}, {overlapping}": (
        lambda n=n, sequence=sequence, overlapping=overlapping: getattr(nn, f"FractionalMaxPool{n}d")(
            None if sequence else 2, 3, return_indices=True, sequence=sequence, overlapping=overlapping,
            generator=rng()), SHAPES[n])
       for n, sequence, overlapping in itertools.product((2, 3), (None, "random", "pseudorandom"), (False, True))},
}


def first(y):
    return y[0] if isinstance(y, tuple) else y


@pytest.mark.parametrize("name", LAYERS)
def test_dtypes_and_modes(name):
    make, shape = LAYERS[name]
    layer = make()
    x = Tensor(normal(*shape).astype(np.float32), requires_grad=True)
    y = layer(x)
    g = grad((first(y) ** 2).sum(), x, create_graph=True)
    second = grad((g * g).sum(), x)
    assert {first(y).dtype, g.dtype, second.dtype} == {np.dtype(np.float32)}
    if isinstance(y, tuple):
        assert y[1].dtype == np.int64 and type(y[1]) is np.ndarray and y[1].shape == y[0].shape
        flat = x.data.reshape(*shape[:2], -1)
        assert_array_equal(np.take_along_axis(flat, y[1].reshape(*shape[:2], -1), -1).reshape(y[0].shape), y[0].data)
    assert_array_equal(first(make().eval()(x)).data, first(y).data)
    assert layer.state_dict() == {} and not [*layer.parameters()]


@pytest.mark.parametrize("name", LAYERS)
def test_derivatives(name):
    make, shape = LAYERS[name]
    x = np.random.default_rng(1).permutation(int(np.prod(shape))).reshape(shape) / 10 + 0.3  # no two alike
    x = x[:1, :2]
    gradcheck(lambda x: first(make()(x)), x, order=2)
    check_hessian_symmetry(lambda x: first(make()(x)), x)


@pytest.mark.parametrize("name", LAYERS)
def test_arrays_other_memory_and_empty_batches(name):
    make, shape = LAYERS[name]
    x = normal(*shape)
    expected = make()(Tensor(x))
    for arrange in (np.ascontiguousarray, np.asfortranarray, lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
                    lambda x: np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 0, -1)), -1, 0)):
        y = make()(arrange(x))
        assert_allclose(first(y), first(expected).data, 1e-13)
        if isinstance(y, tuple):
            assert_array_equal(y[1], expected[1])
    empty = first(make()(Tensor(np.zeros((0, *shape[1:])))))
    assert empty.shape == (0, *first(expected).shape[1:])


@pytest.mark.parametrize("name", LAYERS)
def test_vmap(name):
    make, shape = LAYERS[name]
    x = normal(4, *shape)
    y = vmap(lambda x: first(make()(x)))(Tensor(x))
    assert_allclose(y.data, np.stack([first(make()(Tensor(v))).data for v in x]), 1e-12)


def test_vmap_of_indices_and_gradients():
    x = Tensor(normal(4, 1, 2, 5, 4))
    y, index = vmap(lambda x: F.max_pool2d(x, 2, return_indices=True))(x)
    assert y.shape == index.shape == (4, 1, 2, 2, 2)
    assert_array_equal(np.asarray(index.data if isinstance(index, Tensor) else index)[1],
                       F.max_pool2d(x[1], 2, return_indices=True)[1])


# ---- ties, NaN, infinities ----
@pytest.mark.parametrize("pool", [lambda x: F.max_pool2d(x, 3, 1, 1, return_indices=True),
                                  lambda x: F.adaptive_max_pool2d(x, (2, 3), True),
                                  lambda x: F.adaptive_max_pool2d(x, 1, True),
                                  lambda x: F.fractional_max_pool2d(x, 2, 3, return_indices=True, generator=rng())])
def test_of_equal_ones_the_first_counts(pool):
    x = Tensor(np.ones((1, 1, 4, 4)), requires_grad=True)
    y, index = pool(x)
    assert_array_equal(grad(y.sum(), x).data.reshape(-1), np.bincount(index.reshape(-1), minlength=16))
    assert index.reshape(-1)[0] == 0
    x.data[0, 0, 1, 1] = x.data[0, 0, 1, 2] = np.nan
    y, index = pool(x)
    assert_array_equal(np.isnan(y.data), np.isnan(x.data.reshape(-1)[index])) and np.isnan(y.data).any()
    y, index = pool(Tensor(np.full((1, 1, 4, 4), -np.inf)))
    assert_array_equal(y.data, np.full(y.shape, -np.inf))
    assert index.min() >= 0


# ---- unpooling ----
@pytest.mark.parametrize("n", [1, 2, 3])
def test_unpooling_puts_the_largest_back(n):
    x = Tensor(normal(*SHAPES[n]))
    y, index = getattr(F, f"max_pool{n}d")(x, 2, return_indices=True)
    z = getattr(nn, f"MaxUnpool{n}d")(2)(y, index, x.shape)
    assert_array_equal(z.data, np.where(np.isin(x.data, y.data), x.data, 0))
    again, same = getattr(F, f"max_pool{n}d")(z + 10 * (z.data != 0), 2, return_indices=True)
    assert_array_equal(again.data - 10, y.data + 10 - 10)
    assert_array_equal(same, index)


def test_of_an_index_that_repeats_the_last_stays():
    x = Tensor(np.array([[[1.0, 2.0, 3.0]]]), requires_grad=True)
    y = F.max_unpool1d(x, np.array([[[4, 1, 4]]]), 2)
    assert_array_equal(y.data, [[[0, 2, 0, 0, 3, 0]]])
    assert_array_equal(grad(y.sum(), x).data, [[[0, 1, 1]]])


def test_unpooling_is_twice_differentiable():
    index = F.max_pool2d(normal(1, 2, 4, 4), 2, return_indices=True)[1]
    gradcheck(lambda x: F.max_unpool2d(x, index, 2) ** 2, normal(1, 2, 2, 2), order=2)
    x = Tensor(normal(1, 2, 2, 2).astype(np.float32))
    assert F.max_unpool2d(x, Tensor(index), 2).dtype == np.float32


# ---- global, adaptive ----
@pytest.mark.parametrize("n", [1, 2, 3])
def test_global_pooling(n):
    x, axes = normal(*SHAPES[n]), tuple(range(2, n + 2))
    for name, f in (("Avg", np.mean), ("Max", np.max)):
        layer = getattr(nn, f"Global{name}Pool{n}d")
        assert_allclose(layer()(Tensor(x)).data, f(x, axes), 1e-13)
        assert_allclose(layer(keepdims=True)(Tensor(x)).data, f(x, axes, keepdims=True), 1e-13)


def test_the_largest_of_a_whole_image_takes_no_loop_over_its_pixels():
    x = Tensor(np.zeros((1, 1, 700, 700), np.float32))
    assert nn.GlobalMaxPool2d()(x).shape == (1, 1)


# ---- norms ----
def test_lp_pooling_is_a_norm():
    x = abs(normal(2, 2, 6))
    assert_allclose(F.lp_pool1d(x, 1, 3), 3 * F.avg_pool1d(x, 3), 1e-13)
    assert_allclose(F.lp_pool1d(x, 3, 2), np.linalg.norm(x.reshape(2, 2, 3, 2), 3, axis=-1), 1e-13)
    assert_allclose(F.lp_pool1d(x, 200, 3), F.max_pool1d(x, 3), 1e-2)
    assert_allclose(F.lp_pool1d(-x, np.inf, 3), F.max_pool1d(x, 3))
    assert_allclose(F.lp_pool1d(-x, -np.inf, 3), -F.max_pool1d(-x, 3))
    assert_allclose(F.lp_pool1d(-x, 2, 3), F.lp_pool1d(x, 2, 3))


def test_lp_pooling_of_zeros_has_no_slope():
    x = Tensor(np.zeros((1, 1, 4)), requires_grad=True)
    y = F.lp_pool1d(x, 2, 2)
    g = grad(y.sum(), x, create_graph=True)
    assert_array_equal([y.data, *np.split(g.data, 2, -1)], np.zeros((3, 1, 1, 2)))
    assert_array_equal(grad(g.sum(), x).data, np.zeros((1, 1, 4)))


# ---- random places ----
@pytest.mark.parametrize("overlapping", [False, True])
@pytest.mark.parametrize("sequence", ["random", "pseudorandom"])
def test_grahams_edges(sequence, overlapping):
    for size, out in ((25, 18), (7, 7), (8, 7), (12, 7), (30, 10), (36, 25), (5, 1), (25, 9)):
        total = size - overlapping
        if total < out:
            continue
        u = rng().random((400, 1, 1))
        u[:3, 0, 0] = 0, 0.5, 1 - 1e-16
        edges = _graham_sequence(u, total, out, sequence == "random" and rng())
        steps = np.diff(edges, axis=-1)
        assert edges.shape == (400, 1, out + 1)
        assert (edges[..., 0] == 0).all() and (edges[..., -1] == total).all()
        assert set(np.unique(steps)) <= {total // out, -(-total // out)}
        kinds = len(np.unique(edges[:, 0], axis=0))
        rest = total % out
        assert kinds == 1 if not rest else kinds > 1 if sequence == "random" else kinds <= out
        if sequence == "pseudorandom":
            alpha = total / out
            expected = np.ceil(alpha * (np.arange(out + 1) + u[3:])) - np.ceil(alpha * u[3:])
            assert_array_equal(edges[3:], expected)
        else:
            assert_allclose(steps.mean(axis=(0, 1)), np.full(out, total / out), atol=0.1)  # all places alike


def test_grahams_regions_cover_the_image():
    x = Tensor(normal(3, 2, 9, 8), requires_grad=True)
    for overlapping, sequence in itertools.product((False, True), ("random", "pseudorandom")):
        for seed in range(5):
            y, index = F.fractional_max_pool2d(x, None, 6, return_indices=True, sequence=sequence,
                                               overlapping=overlapping, generator=rng(seed))
            assert y.shape == (3, 2, 6, 6)
            assert_array_equal(y.data.max((2, 3)), x.data.max((2, 3)))  # wherever it stands
            if not overlapping:
                assert all(len(set(i.reshape(-1))) == 36 for i in index.reshape(6, 36))


def test_images_have_their_own_regions_and_grahams_channels_share_them():
    x = np.broadcast_to(np.arange(20.0 * 20).reshape(20, 20), (3, 2, 20, 20))
    y = F.fractional_max_pool2d(x, None, 13, sequence="random", generator=rng())
    assert_array_equal(y[:, 0], y[:, 1])
    assert not np.array_equal(y[0], y[1])
    y = F.fractional_max_pool2d(x, 2, 13, generator=rng())
    assert not np.array_equal(y[:, 0], y[:, 1])


def test_pytorchs_windows_start_evenly_and_end_at_the_end():
    x = np.arange(12.0).reshape(1, 1, 1, 12)
    starts = [F.fractional_max_pool2d(x, 1, (1, 7), generator=rng(i))[0, 0, 0] for i in range(300)]
    assert all(s[0] == 0 and s[-1] == 11 and set(np.diff(s)) <= {1.0, 2.0} for s in starts)
    assert_allclose(np.mean(starts, axis=0), np.arange(7) * 11 / 6, atol=0.15)


def test_fractional_pooling_draws_anew_and_is_repeated_by_its_seed():
    x = Tensor(normal(2, 3, 20, 20))
    layer = nn.FractionalMaxPool2d(2, output_ratio=0.7, generator=rng())
    one, two = layer(x).data, layer.eval()(x).data
    assert one.shape == (2, 3, 14, 14) and not np.array_equal(one, two)
    assert_array_equal(nn.FractionalMaxPool2d(2, output_ratio=0.7, generator=rng())(x).data, one)
    fixed = nn.FractionalMaxPool2d(2, 14, _random_samples=normal(2, 3, 2) % 1)
    assert_array_equal(fixed(x).data, fixed(x).data)


# ---- how they look ----
@pytest.mark.parametrize("layer, text", [
    (nn.MaxPool1d(2), "MaxPool1d(2)"), (nn.AvgPool3d(2, stride=1), "AvgPool3d(2, stride=1)"),
    (nn.MaxUnpool2d(2, 3), "MaxUnpool2d(2, stride=3)"), (nn.LPPool2d(2, 3), "LPPool2d(2, 3)"),
    (nn.AdaptiveAvgPool2d((2, None)), "AdaptiveAvgPool2d((2, None))"), (nn.GlobalAvgPool2d(), "GlobalAvgPool2d()"),
    (nn.GlobalMaxPool2d(True), "GlobalMaxPool2d(keepdims=True)"),
    (nn.FractionalMaxPool2d(2, 5), "FractionalMaxPool2d(2, output_size=5)"),
    (nn.FractionalMaxPool2d(None, output_ratio=0.7, sequence="random"),
     "FractionalMaxPool2d(None, output_ratio=0.7, sequence='random', overlapping=True)"),
])
def test_repr(layer, text):
    assert repr(layer) == text


# ---- errors ----
IMAGE = np.ones((2, 3, 4, 4))
ZERO = np.zeros((2, 3, 4, 4), int)


@pytest.mark.parametrize("call, message", [
    (lambda: nn.MaxPool1d(5)(IMAGE[0]), r"max_pool1d: a window of 5 pixels does not fit into 4 \+ 0 padding"),
    (lambda: nn.MaxPool3d(2)(IMAGE), r"max_pool3d: input \(2, 3, 4, 4\) must be \(N, C, D, H, W\)"),
    (lambda: nn.MaxPool2d(2, padding=2)(IMAGE), r"max_pool2d: padding .* is more than half of the kernel \(2, 2\)"),
    (lambda: nn.MaxPool2d((2, 2, 2))(IMAGE), r"kernel_size is an int or a pair of ints"),
    (lambda: nn.MaxPool2d(2, stride=0)(IMAGE), r"stride must be at least 1"),
    (lambda: nn.AvgPool2d(2, divisor_override=0)(IMAGE), r"avg_pool2d: divisor_override must not be 0"),
    (lambda: nn.AvgPool1d(9)(IMAGE[0]), r"avg_pool1d: a window of 9 pixels"),
    (lambda: nn.LPPool2d(0, 2)(IMAGE), r"lp_pool2d: norm_type must not be 0"),
    (lambda: nn.LPPool1d(2, 5)(IMAGE[0]), r"lp_pool1d: a window of 5 pixels"),
    (lambda: nn.AdaptiveAvgPool2d(0)(IMAGE), r"output_size must be at least 1"),
    (lambda: nn.AdaptiveMaxPool2d((1, 2, 3))(IMAGE), r"output_size is an int or a pair of ints"),
    (lambda: nn.GlobalAvgPool2d()(IMAGE[0]), r"adaptive_avg_pool2d: input \(3, 4, 4\) must be \(N, C, H, W\)"),
    (lambda: nn.MaxUnpool2d(2)(IMAGE, ZERO[:1]), r"max_unpool2d: indices \(1, 3, 4, 4\) .* shape \(2, 3, 4, 4\)"),
    (lambda: nn.MaxUnpool2d(2)(IMAGE, ZERO + 64), r"indices .* from 0 to 64 must .* lie in 0..63, for images \(8, 8\)"),
    (lambda: nn.MaxUnpool2d(2)(IMAGE, ZERO - 1), r"from -1 to 0 .* lie in 0..63"),
    (lambda: nn.MaxUnpool2d(2)(IMAGE, ZERO, (10, 8)), r"output_size \(10, 8\) must be less than the stride \(2, 2\)"),
    (lambda: nn.MaxUnpool2d(2)(IMAGE, ZERO, (8,)), r"output_size is an int or a pair of ints, not \(8,\)"),
    (lambda: nn.MaxUnpool2d(2)(IMAGE[0], ZERO[0]), r"max_unpool2d: input \(3, 4, 4\) must be"),
    (lambda: nn.MaxUnpool1d(1, 1, 3)(IMAGE[0], ZERO[0]), r"nothing is left"),
    (lambda: nn.FractionalMaxPool2d(2), r"give one of output_size and output_ratio"),
    (lambda: nn.FractionalMaxPool2d(2, 3, 0.5), r"give one of output_size and output_ratio"),
    (lambda: nn.FractionalMaxPool2d(2, 3, sequence="random"), r"or, for Graham's regions, kernel_size=None and a seq"),
    (lambda: nn.FractionalMaxPool2d(None, 3), r"give kernel_size, or"),
    (lambda: F.fractional_max_pool2d(IMAGE, None, 3), r"fractional_max_pool2d: give kernel_size, or"),
    (lambda: F.fractional_max_pool2d(IMAGE, 2), r"fractional_max_pool2d: give one of output_size and output_ratio"),
    (lambda: F.fractional_max_pool2d(IMAGE, None, 3, sequence="even"), r"None, 'pseudorandom' or 'random', not 'even'"),
    (lambda: nn.FractionalMaxPool2d(2, output_ratio=1.5)(IMAGE), r"output_ratio is a number between 0 and 1 .*1.5"),
    (lambda: nn.FractionalMaxPool2d(3, 3)(IMAGE), r"\(3, 3\) windows of \(3, 3\) pixels, .* do not fit into input"),
    (lambda: nn.FractionalMaxPool2d(None, 4, sequence="random")(IMAGE), r"\(4, 4\) windows .* do not fit into input"),
    (lambda: nn.FractionalMaxPool2d(2, 2, _random_samples=np.ones((2, 3)))(IMAGE), r"_random_samples \(2, 3\) must be"),
    (lambda: nn.FractionalMaxPool2d(2, 2, _random_samples=np.full((2, 3, 2), 2))(IMAGE), r"between 0 and 1"),
    (lambda: F.fractional_max_pool2d(IMAGE, None, 2, None, False, np.ones((2, 3, 2)), sequence="random"),
     r"sequence='random' shuffles with the generator and takes no _random_samples"),
    (lambda: nn.FractionalMaxPool3d(2, 2)(IMAGE), r"fractional_max_pool3d: input \(2, 3, 4, 4\) must be"),
])
def test_errors_say_what_was_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_indices_are_integers():
    with pytest.raises(TypeError, match="max_unpool2d: indices must be integers, not float64"):
        nn.MaxUnpool2d(2)(IMAGE, IMAGE)
