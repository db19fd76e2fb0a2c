"""Convolutions, padding and resizing as layers: what they are made of, their state, their chance, their errors."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from minigrad import Tensor, grad, nn, vmap
from minigrad import functional as F
from minigrad.testing import gradcheck


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def rng():
    return np.random.default_rng(0)


SHAPES = {1: (2, 4, 6), 2: (2, 4, 6, 5), 3: (1, 4, 3, 4, 3)}
def weighted(layer, n, *args, **more):
    return lambda **how: getattr(nn, f"{layer}{n}d")(*args, **more, **how), SHAPES[n]


WEIGHTED = {
    **{f"{name}{n}d": weighted(name, n, 4, 6, 2, 2, 1, groups=2) for name in ("Conv", "ConvTranspose")
       for n in (1, 2, 3)},
    **{f"DepthwiseConv{n}d": weighted("DepthwiseConv", n, 4, 3, depth_multiplier=2) for n in (1, 2)},
    **{f"SeparableConv{n}d": weighted("SeparableConv", n, 4, 6, 3, 1, 1, 2) for n in (1, 2)},
    **{f"LocallyConnected{n}d": weighted("LocallyConnected", n, 4, 3, SHAPES[n][2:], 2, 2, 1) for n in (1, 2)},
    "Conv2d, reflect": weighted("Conv", 2, 4, 2, 3, padding=1, padding_mode="reflect"),
}
PLAIN = {
    "Unfold": (lambda: nn.Unfold(2, padding=1), SHAPES[2]),
    "Fold": (lambda: nn.Fold((3, 4), 2), (2, 8, 6)),
    "Upsample": (lambda: nn.Upsample(scale_factor=2, mode="bicubic"), SHAPES[2]),
    "UpsamplingNearest2d": (lambda: nn.UpsamplingNearest2d(3), SHAPES[2]),
    "UpsamplingBilinear2d": (lambda: nn.UpsamplingBilinear2d(scale_factor=2), SHAPES[2]),
    "PixelShuffle": (lambda: nn.PixelShuffle(2), SHAPES[2]),
    "PixelUnshuffle": (lambda: nn.PixelUnshuffle(2), (2, 3, 4, 6)),
    **{f"{name}{n}d": (lambda name=name, n=n: getattr(nn, f"{name}{n}d")(1), SHAPES[n])
       for name in ("ZeroPad", "ReflectionPad", "ReplicationPad", "CircularPad") for n in (1, 2, 3)},
    **{f"ConstantPad{n}d": (lambda n=n: getattr(nn, f"ConstantPad{n}d")(1, 2.5), SHAPES[n]) for n in (1, 2, 3)},
}


# ---- state, modes, dtypes ----
@pytest.mark.parametrize("name", WEIGHTED)
def test_weights_go_out_and_come_back(name):
    make, shape = WEIGHTED[name]
    x = normal(*shape).astype(np.float32)
    layer, other = make(generator=rng()), make()
    expected = layer(Tensor(x)).data
    assert not np.array_equal(other(Tensor(x)).data, expected)
    other.load_state_dict(layer.state_dict())
    assert_array_equal(other(Tensor(x)).data, expected)
    other = make()
    nn.load_torch_state_dict(other, nn.torch_state_dict(layer))
    assert_array_equal(other(Tensor(x)).data, expected)
    assert_array_equal(make(generator=rng())(Tensor(x)).data, expected)  # the same seed


@pytest.mark.parametrize("name", [*WEIGHTED, *PLAIN])
def test_dtypes_and_modes(name):
    make, shape = {**WEIGHTED, **PLAIN}[name]
    layer = make()
    x = Tensor(normal(*shape).astype(np.float32), requires_grad=True)
    y = layer(x)
    leaves = [x, *layer.parameters()]
    first = grad((y * y).sum(), leaves, create_graph=True)
    second = grad(sum((g * g).sum() for g in first), leaves)
    assert {t.dtype for t in (y, *first, *second)} == {np.dtype(np.float32)}
    assert_array_equal(layer.eval()(x).data, y.data)
    if name in WEIGHTED:
        assert make(dtype=np.float64)(Tensor(x.data.astype(np.float64))).dtype == np.float64
        assert make(bias=False)(x).shape == y.shape


@pytest.mark.parametrize("name", [*WEIGHTED, *PLAIN])
def test_empty_batches(name):
    make, shape = {**WEIGHTED, **PLAIN}[name]
    y = make()(Tensor(np.zeros((0, *shape[1:]), np.float32)))
    assert y.shape == (0, *make()(Tensor(np.zeros(shape, np.float32))).shape[1:])


@pytest.mark.parametrize("name", [*WEIGHTED, *PLAIN])
def test_vmap(name):
    make, shape = {**WEIGHTED, **PLAIN}[name]
    layer, x = make(), normal(3, *shape).astype(np.float32)
    y = vmap(lambda x: layer(x))(Tensor(x))
    assert_allclose(y.data, np.stack([layer(Tensor(v)).data for v in x]), 1e-4, 1e-5)


@pytest.mark.parametrize("layer, bound", [
    (lambda: nn.Conv1d(8, 100, 5, groups=2, generator=rng()), 20 ** -0.5),
    (lambda: nn.Conv3d(4, 50, 2, generator=rng()), 32 ** -0.5),
    (lambda: nn.ConvTranspose2d(30, 8, 3, groups=2, generator=rng()), 36 ** -0.5),
    (lambda: nn.DepthwiseConv2d(100, 3, depth_multiplier=2, generator=rng()), 1 / 3),
    (lambda: nn.LocallyConnected1d(5, 3, 20, 5, generator=rng()), 1 / 5),
])
def test_weights_start_uniform(layer, bound):
    layer = layer()
    for p in layer.parameters():
        assert abs(p.data).max() <= bound
    assert_allclose(layer.weight.data.std(), bound / 3 ** 0.5, 0.1)


def test_images_stay_batch_innermost():
    x = Tensor(normal(5, 2, 6, 6))
    y = nn.Conv2d(2, 3, 3, padding=1, dtype=np.float64)(x)
    for layer in (nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Conv2d(3, 2, 1, dtype=np.float64)):
        assert np.moveaxis(layer(y).data, 0, -1).flags.c_contiguous


# ---- what they are ----
@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_1x1_convolution_is_a_dense_layer_at_every_pixel(n):
    conv, dense = getattr(nn, f"Conv{n}d")(3, 5, 1, dtype=np.float64), nn.Dense(3, 5, dtype=np.float64)
    nn.load_torch_state_dict(dense, {"weight": conv.weight.data.reshape(5, 3), "bias": conv.bias.data})
    x = Tensor(normal(2, 3, 4, 5, 2)[(..., *(0,) * (3 - n))], requires_grad=True)
    y, z = conv(x), np.moveaxis(dense(np.moveaxis(x, 1, -1)), -1, 1)
    assert_allclose(y.data, z.data, 1e-11, 1e-13)
    for a, b in zip(grad((y ** 3).sum(), [x, *conv.parameters()]), grad((z ** 3).sum(), [x, *dense.parameters()])):
        assert_allclose(a.data.squeeze(), b.data.T if b.shape == (3, 5) else b.data, 1e-11, 1e-12)


@pytest.mark.parametrize("how", [{}, {"stride": 2, "padding": 1}, {"dilation": 2, "groups": 2}])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_transposed_convolution_is_the_adjoint(n, how):
    conv = getattr(nn, f"Conv{n}d")(2, 4, 3, bias=False, dtype=np.float64, **how)
    back = getattr(nn, f"ConvTranspose{n}d")(4, 2, 3, bias=False, dtype=np.float64, **how)
    back.weight = conv.weight
    x = Tensor(normal(2, 2, *(7, 6, 5)[:n]))
    y = conv(x)
    u = Tensor(normal(*y.shape, seed=1))
    assert_allclose((y * u).sum().data, (x * back(u, x.shape[2:])).sum().data, 1e-10, 1e-12)


def test_output_size_is_what_one_of_the_strides_leads_to():
    layer = nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1)
    x = Tensor(np.zeros((1, 1, 4, 4), np.float32))
    assert layer(x).shape == (1, 1, 7, 7)
    assert layer(x, (8, 7)).shape == layer(x, (1, 1, 8, 7)).shape == (1, 1, 8, 7)


def test_depthwise_and_separable_are_plain_convolutions():
    x = Tensor(normal(2, 3, 5, 4))
    layer = nn.SeparableConv2d(3, 4, (3, 2), depth_multiplier=2, dtype=np.float64)
    assert {k: v.shape for k, v in layer.state_dict().items()} == {
        "depthwise.weight": (6, 1, 3, 2), "pointwise.weight": (4, 6, 1, 1), "pointwise.bias": (4,)}
    depth, point = layer.depthwise.weight.data.reshape(3, 2, 3, 2), layer.pointwise.weight.data.reshape(4, 3, 2)
    whole = np.einsum("cmab,ocm->ocab", depth, point)
    assert_allclose(layer(x).data, F.conv2d(x, whole, layer.pointwise.bias).data, 1e-11, 1e-13)
    assert_array_equal(layer.depthwise(x).data, F.conv2d(x, layer.depthwise.weight, groups=3).data)


def test_locally_connected_with_equal_weights_is_a_convolution():
    for n in (1, 2):
        x = Tensor(normal(*SHAPES[n]))
        conv = getattr(nn, f"Conv{n}d")(4, 3, 3, 2, 1, dilation=2, dtype=np.float64)
        local = getattr(nn, f"LocallyConnected{n}d")(4, 3, SHAPES[n][2:], 3, 2, 1, 2, dtype=np.float64)
        out = local.bias.shape[1:]
        local.weight.data = np.broadcast_to(conv.weight.data[(..., *(None,) * n)], local.weight.shape)
        local.bias.data = np.broadcast_to(conv.bias.data.reshape(-1, *(1,) * n), (3, *out))
        assert_allclose(local(x).data, conv(x).data, 1e-12, 1e-13)


def test_derivatives_of_locally_connected():
    gradcheck(lambda x, w, b: F.locally_connected(x, w, b, padding=1), normal(2, 2, 3), normal(2, 2, 2, 4),
              normal(2, 4), order=2)


def test_a_convolution_is_a_product_with_unfolded_windows():
    x, conv = Tensor(normal(2, 3, 5, 6)), nn.Conv2d(3, 4, (2, 3), bias=False, padding=1, dtype=np.float64)
    y = conv.weight.reshape(4, 18) @ nn.Unfold((2, 3), padding=1)(x)
    assert_allclose(y.reshape(2, 4, 6, 6).data, conv(x).data, 1e-11, 1e-13)


def test_fold_adds_up_what_unfold_has_taken_apart():
    x = Tensor(normal(2, 3, 4, 6))
    assert_allclose(nn.Fold((4, 6), 2, stride=2)(nn.Unfold(2, stride=2)(x)).data, x.data)
    unfold, fold = nn.Unfold(3, padding=1), nn.Fold((4, 6), 3, padding=1)
    times = fold(unfold(Tensor(np.ones_like(x.data))))
    assert_allclose(fold(unfold(x)).data, (x * times).data, 1e-11, 1e-13)


@pytest.mark.parametrize("mode, numpy", [("zeros", "constant"), ("reflect", "reflect"), ("replicate", "edge"),
                                         ("circular", "wrap")])
def test_padding_modes(mode, numpy):
    x = normal(1, 2, 5, 4)
    layer = nn.Conv2d(2, 2, (4, 3), padding="same", padding_mode=mode, dtype=np.float64)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 2), (1, 1)), numpy)
    assert_allclose(layer(Tensor(x)).data, F.conv2d(padded, layer.weight, layer.bias).data, 1e-11, 1e-13)


def test_pads():
    x = Tensor(np.array([[[1.0, 2.0, 3.0]]]))
    for layer, expected in ((nn.ZeroPad1d(1), [0, 1, 2, 3, 0]), (nn.ConstantPad1d((2, 0), 9.0), [9, 9, 1, 2, 3]),
                            (nn.ReflectionPad1d((2, 1)), [3, 2, 1, 2, 3, 2]), (nn.ZeroPad1d((-1, 0)), [2, 3]),
                            (nn.ReplicationPad1d((0, 4)), [1, 2, 3, 3, 3, 3, 3]),
                            (nn.CircularPad1d((3, 1)), [1, 2, 3, 1, 2, 3, 1])):
        assert_array_equal(layer(x).data, [[expected]])
    assert nn.ZeroPad2d((1, 2, 3, 4))(Tensor(np.ones((2, 1, 3, 3)))).shape == (2, 1, 10, 6)


def test_shuffling_is_undone():
    x = Tensor(normal(2, 8, 3, 4))
    assert_array_equal(nn.PixelUnshuffle(2)(nn.PixelShuffle(2)(x)).data, x.data)


def test_siblings_are_not_each_other():
    assert not isinstance(nn.Conv2d(1, 1, 1), nn.Conv1d) and not isinstance(nn.ZeroPad2d(1), nn.ZeroPad1d)


@pytest.mark.parametrize("layer, text", [
    (nn.Conv1d(2, 3, 4), "Conv1d(2, 3, kernel_size=(4,))"),
    (nn.Conv2d(2, 3, 4, padding=1, padding_mode="circular"),
     "Conv2d(2, 3, kernel_size=(4, 4), padding=1, padding_mode='circular')"),
    (nn.ConvTranspose2d(2, 3, 4, 2, output_padding=1, bias=False),
     "ConvTranspose2d(2, 3, kernel_size=(4, 4), stride=2, output_padding=1, bias=False)"),
    (nn.DepthwiseConv2d(2, 3), "DepthwiseConv2d(2, 2, kernel_size=(3, 3), groups=2)"),
    (nn.LocallyConnected1d(2, 3, 8, 2), "LocallyConnected1d(2, 3, (8,), kernel_size=(2,))"),
    (nn.Unfold(2), "Unfold(2, dilation=1, padding=0, stride=1)"),
    (nn.Fold(4, 2), "Fold(4, 2, dilation=1, padding=0, stride=1)"),
    (nn.Upsample(scale_factor=2), "Upsample(scale_factor=2, mode='nearest')"),
    (nn.PixelShuffle(2), "PixelShuffle(2)"), (nn.PixelUnshuffle(2), "PixelUnshuffle(2)"),
    (nn.ReflectionPad2d((1, 2, 3, 4)), "ReflectionPad2d((1, 2, 3, 4))"),
    (nn.ConstantPad1d(1, 2.0), "ConstantPad1d((1, 1), value=2.0)"),
])
def test_repr(layer, text):
    assert repr(layer) == text


# ---- errors ----
def ones(*shape):
    return Tensor(np.ones(shape, np.float32))


@pytest.mark.parametrize("call, message", [
    (lambda: nn.Conv1d(4, 6, 3, groups=4), r"Conv1d: 4 input and 6 output channels must both divide into 4 groups"),
    (lambda: nn.Conv2d(4, 6, 3, groups=0), r"Conv2d: in_channels=4, out_channels=6 and groups=0 must be at least 1"),
    (lambda: nn.Conv3d(0, 6, 3), r"Conv3d: in_channels=0"),
    (lambda: nn.Conv2d(2, 2, (3, 3, 3)), r"kernel_size is an int or a pair of ints, not \(3, 3, 3\)"),
    (lambda: nn.Conv2d(2, 2, 0), r"kernel_size must be at least 1, got 0"),
    (lambda: nn.Conv2d(2, 2, 3, stride=0), r"stride must be at least 1, got 0"),
    (lambda: nn.Conv2d(2, 2, 3, padding=-1), r"padding must not be negative, got -1"),
    (lambda: nn.Conv2d(2, 2, 3, padding="full"), r"'same' or 'valid', not 'full'"),
    (lambda: nn.Conv2d(2, 2, 3, stride=2, padding="same")(ones(1, 2, 5, 5)), r"padding='same' is for stride 1"),
    (lambda: nn.Conv2d(2, 2, 3, padding_mode="wrap"), r"padding_mode is .* not 'wrap'"),
    (lambda: nn.Conv1d(2, 3, 3)(ones(1, 3, 5)), r"conv1d: input has 3 channels, weight \(3, 2, 3\) expects 2"),
    (lambda: nn.Conv1d(2, 3, 3)(ones(2, 5)), r"conv1d: input \(2, 5\) must be \(N, C, L\)"),
    (lambda: nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect")(ones(2, 5, 5)), r"conv2d: input \(2, 5, 5\)"),
    (lambda: nn.Conv3d(1, 1, 4, padding=1)(ones(1, 1, 3, 2, 1)), r"conv3d: a window of 4 pixels does not fit into 1"),
    (lambda: nn.ConvTranspose2d(2, 2, 3, stride=2, output_padding=2), r"output_padding 2 must be from 0 to less than"),
    (lambda: nn.ConvTranspose2d(2, 2, 3, padding_mode="reflect"), r"padding_mode is 'zeros', not 'reflect'"),
    (lambda: nn.ConvTranspose2d(2, 3, 3)(ones(1, 3, 4, 4)), r"conv_transpose2d: .* has 3 channels, .* expects 2"),
    (lambda: nn.ConvTranspose1d(1, 1, 3, padding=2)(ones(1, 1, 2)), r"the padding .* leaves \[0\]"),
    (lambda: nn.ConvTranspose1d(1, 1, 3, stride=2)(ones(1, 1, 2), (7,)), r"output_size \(7,\) .* \(5,\) to \(6,\)"),
    (lambda: nn.ConvTranspose2d(1, 1, 3)(ones(1, 1, 2, 2), (4,)), r"ConvTranspose2d: output_size \(4,\)"),
    (lambda: nn.DepthwiseConv2d(3, 2, depth_multiplier=0), r"DepthwiseConv2d: .*out_channels=0"),
    (lambda: nn.SeparableConv2d(2, 3, 3)(ones(1, 3, 5, 5)), r"conv2d: input has 3 channels"),
    (lambda: nn.LocallyConnected2d(1, 1, 4, 5), r"LocallyConnected2d: kernel \(5, 5\) does not fit into \(4, 4\)"),
    (lambda: nn.LocallyConnected1d(2, 1, 4, 2)(ones(1, 2, 5)), r"for \(3,\) windows, but input \(1, 2, 5\) has \(4,"),
    (lambda: nn.LocallyConnected1d(2, 1, 4, 2)(ones(1, 3, 4)), r"locally_connected: input \(1, 3, 4\) must be"),
    (lambda: nn.Unfold(4)(ones(1, 1, 3, 3)), r"unfold: no window of kernel \(4, 4\)"),
    (lambda: nn.Unfold(2)(ones(1, 3, 3)), r"unfold: input \(1, 3, 3\) must be \(N, C, H, W\)"),
    (lambda: nn.Fold(4, 2)(ones(1, 4, 8)), r"fold: input \(1, 4, 8\) must be \(N, C \* 4, 9\)"),
    (lambda: nn.Upsample()(ones(1, 1, 3, 3)), r"give one of size and scale_factor"),
    (lambda: nn.PixelShuffle(2)(ones(1, 3, 3, 3)), r"3 channels .* blocks of 2 x 2"),
    (lambda: nn.ZeroPad2d((1, 2)), r"padding is an int or 4 of ints, not \(1, 2\)"),
    (lambda: nn.ZeroPad2d(1)(ones(4)), r"ZeroPad2d: input \(4,\) must have 4 axes, or 3 without a batch"),
    (lambda: nn.ZeroPad1d(-2)(ones(1, 1, 4)), r"ZeroPad1d: padding \(-2, -2\) leaves nothing of input \(1, 1, 4\)"),
    (lambda: nn.ReflectionPad1d(3)(ones(1, 1, 3)), r"pad: pad=\(3, 3\) with mode='reflect' must be less than"),
    (lambda: nn.Conv1d(1, 1, 3, padding=4, padding_mode="circular")(ones(1, 1, 3)), r"must be at most the axis it"),
    (lambda: nn.CircularPad2d((0, 0, 4, 0))(ones(1, 1, 3, 5)), r"mode='circular' must be at most the axis it pads"),
])
def test_errors_say_what_was_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
