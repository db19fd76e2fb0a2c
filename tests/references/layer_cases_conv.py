"""Convolutions, padding, resizing and rearranging."""

from __future__ import annotations

import os

from references.layers import Case

from minigrad import functional as F
from minigrad import nn


def both(layer, text, shape, *args, **kwargs):
    """The layer of this name, here and in PyTorch."""
    return Case(f"{layer}, {text}", lambda: getattr(nn, layer)(*args, **kwargs),
                lambda t: getattr(t.nn, layer)(*args, **kwargs), (shape,))


def sized(layer, text, shape, size, *args, **kwargs):
    """A transposed convolution that is told its output_size."""
    class Ours(getattr(nn, layer)):
        def forward(self, x):
            return super().forward(x, size)

    def theirs(t):
        class Theirs(getattr(t.nn, layer)):
            def forward(self, x):
                return super().forward(x, size)
        return Theirs(*args, **kwargs)
    return Case(f"{layer}, {text}", lambda: Ours(*args, **kwargs), theirs, (shape,))


# ---- Keras, in PyTorch's arithmetic: channels last, kernels (*kernel, in, out) ----
def keras_ops():
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras
    assert keras.backend.backend() == "torch"
    return keras.ops


def depthwise(text, shape, ours, **kwargs):
    n, channels, multiplier = len(shape) - 2, shape[1], kwargs.get("depth_multiplier", 1)

    def theirs(t):
        ops = keras_ops()

        def run(x, w, b):  # w (C m, 1, *kernel)
            kernel = w.reshape(channels, multiplier, *w.shape[2:]).permute(*range(2, 2 + n), 0, 1)
            how = {k: kwargs[k] for k in ("strides", "padding", "dilation_rate") if k in kwargs}
            y = ops.depthwise_conv(x.permute(0, *range(2, n + 2), 1), kernel, data_format="channels_last", **how)
            return (y + b).permute(0, n + 1, *range(1, n + 1))
        return run

    def call(x, w, b):
        layer = getattr(nn, f"DepthwiseConv{n}d")(channels, w.shape[2:], **ours)
        layer.weight, layer.bias = w, b
        return layer(x)
    return Case(f"DepthwiseConv{n}d, {text}", lambda: call, theirs,
                (shape, (channels * multiplier, 1, *(3, 2)[:n]), (channels * multiplier,)))


def separable(text, shape, ours, **kwargs):
    n, channels, multiplier = len(shape) - 2, shape[1], kwargs.get("depth_multiplier", 1)

    def theirs(t):
        ops = keras_ops()

        def run(x, w, p, b):  # w (C m, 1, *kernel), p (O, C m, 1, ...)
            kernel = w.reshape(channels, multiplier, *w.shape[2:]).permute(*range(2, 2 + n), 0, 1)
            point = p.permute(*range(2, 2 + n), 1, 0)
            how = {k: kwargs[k] for k in ("strides", "padding", "dilation_rate") if k in kwargs}
            y = ops.separable_conv(x.permute(0, *range(2, n + 2), 1), kernel, point, data_format="channels_last", **how)
            return (y + b).permute(0, n + 1, *range(1, n + 1))
        return run

    def call(x, w, p, b):
        layer = getattr(nn, f"SeparableConv{n}d")(channels, 3, w.shape[2:], **ours)
        layer.depthwise.weight, layer.pointwise.weight, layer.pointwise.bias = w, p, b
        return layer(x)
    return Case(f"SeparableConv{n}d, {text}", lambda: call, theirs,
                (shape, (channels * multiplier, 1, *(3, 2)[:n]), (3, channels * multiplier, *(1,) * n), (3,)))


def locally_connected(t):
    """Keras 2's: for every place its own dot product with the window."""
    def run(x, w, b):
        if x.ndim == 3:
            windows = x.unfold(2, w.shape[2], 2)
            return t.einsum("nclk,ockl->nol", windows, w) + b
        windows = x.unfold(2, w.shape[2], 1).unfold(3, w.shape[3], 2)
        return t.einsum("nchwab,ocabhw->nohw", windows, w) + b
    return run


def locally(stride):
    return lambda: lambda x, w, b: F.locally_connected(x, w, b, stride)


S, P, V = (1, 2, 6), (1, 2, 5, 4), (1, 2, 3, 4, 3)  # sequences, images, volumes

CASES = [
    both("Conv1d", "plain", (2, 2, 5), 2, 3, 3),
    both("Conv1d", "stride, padding, dilation", S, 2, 3, 2, stride=2, padding=2, dilation=3),
    both("Conv1d", "same, even kernel", S, 2, 2, 4, padding="same"),
    both("Conv1d", "groups, no bias", (2, 4, 5), 4, 6, 3, groups=2, bias=False),
    both("Conv1d", "circular", S, 2, 2, 3, padding=2, padding_mode="circular"),
    both("Conv2d", "plain", (2, 2, 4, 3), 2, 3, 3),
    both("Conv2d", "1x1", P, 2, 3, 1),
    both("Conv2d", "stride and padding", P, 2, 3, (3, 2), stride=(2, 1), padding=(1, 2)),
    both("Conv2d", "dilation", P, 2, 2, 2, dilation=(3, 2)),
    both("Conv2d", "groups", (2, 4, 3, 2), 4, 6, 3, padding=1, groups=2),
    both("Conv2d", "depthwise", P, 2, 4, 3, groups=2, bias=False),
    both("Conv2d", "same, dilated", (1, 2, 3, 4), 2, 2, (2, 3), padding="same", dilation=(1, 2)),
    both("Conv2d", "valid", (1, 2, 3, 3), 2, 2, 2, padding="valid"),
    both("Conv2d", "reflect", P, 2, 2, 3, padding=(2, 1), padding_mode="reflect"),
    both("Conv2d", "replicate, stride", P, 2, 2, 3, stride=2, padding=(1, 2), padding_mode="replicate"),
    both("Conv2d", "circular, same, even kernel", (1, 2, 3, 4), 2, 2, (2, 4), padding="same", padding_mode="circular"),
    both("Conv3d", "plain", V, 2, 2, 2),
    both("Conv3d", "everything", V, 2, 4, (2, 3, 1), stride=(1, 2, 2), padding=(1, 1, 0), dilation=(2, 1, 1), groups=2),
    both("Conv3d", "replicate", (1, 2, 2, 3, 1), 2, 1, 3, padding=1, padding_mode="replicate"),

    both("ConvTranspose1d", "plain", (2, 2, 3), 2, 3, 3),
    both("ConvTranspose1d", "stride, padding, output_padding", S, 2, 3, 4, stride=3, padding=1, output_padding=2),
    both("ConvTranspose1d", "output_padding below the dilation", S, 2, 2, 2, padding=1, output_padding=2, dilation=3),
    both("ConvTranspose2d", "plain", (2, 2, 2, 3), 2, 3, 2),
    both("ConvTranspose2d", "everything", (1, 4, 2, 2), 4, 2, (3, 2), stride=(2, 3), padding=(1, 0),
         output_padding=(1, 2), groups=2, dilation=(2, 1)),
    both("ConvTranspose2d", "no bias", (1, 2, 2, 2), 2, 1, 3, stride=2, padding=1, bias=False),
    sized("ConvTranspose2d", "output_size", (1, 2, 3, 2), (6, 3), 2, 2, 3, stride=2, padding=1),
    both("ConvTranspose3d", "plain", (1, 2, 2, 2, 2), 2, 1, 2),
    both("ConvTranspose3d", "strided", (1, 2, 2, 1, 2), 2, 2, (3, 2, 2), stride=(1, 2, 1), padding=(1, 0, 0),
         output_padding=(0, 1, 0), groups=2),

    depthwise("plain", P, {}),
    depthwise("multiplier, stride", (1, 2, 4, 3), {"depth_multiplier": 2, "stride": 2}, depth_multiplier=2, strides=2),
    depthwise("same, dilated", P, {"padding": "same", "dilation": 2}, padding="same", dilation_rate=2),
    depthwise("sequences", S, {"depth_multiplier": 3}, depth_multiplier=3),
    separable("plain", P, {}),
    separable("multiplier, stride", (1, 2, 4, 3), {"depth_multiplier": 2, "stride": 2}, depth_multiplier=2, strides=2),
    separable("same", (1, 2, 3, 4), {"padding": "same"}, padding="same"),
    separable("sequences", S, {"depth_multiplier": 2}, depth_multiplier=2),
    Case("locally_connected, sequences", locally(2), locally_connected, ((2, 2, 5), (3, 2, 3, 2), (3, 2))),
    Case("locally_connected, images", locally((1, 2)), locally_connected,
         ((2, 1, 3, 5), (2, 1, 2, 3, 2, 2), (2, 2, 2))),

    both("Unfold", "plain", P, 2),
    both("Unfold", "everything", P, (3, 2), dilation=(1, 2), padding=(1, 0), stride=2),
    both("Fold", "plain", (1, 8, 12), (4, 5), 2),
    both("Fold", "everything", (2, 12, 6), (5, 6), (3, 2), dilation=(1, 2), padding=(1, 1), stride=(3, 2)),

    both("Upsample", "nearest", P, scale_factor=2),
    both("Upsample", "nearest, smaller", P, size=(3, 7)),
    both("Upsample", "linear", S, scale_factor=1.5, mode="linear"),
    both("Upsample", "bilinear", P, size=(7, 3), mode="bilinear"),
    both("Upsample", "bilinear, corners", P, scale_factor=(2, 1.5), mode="bilinear", align_corners=True),
    both("Upsample", "bicubic", P, size=(3, 6), mode="bicubic"),
    both("Upsample", "trilinear", (1, 1, 2, 3, 2), scale_factor=2, mode="trilinear"),
    both("UpsamplingNearest2d", "scale", P, scale_factor=3),
    both("UpsamplingBilinear2d", "size", P, size=(8, 3)),
    both("PixelShuffle", "2", (1, 8, 2, 3), 2),
    both("PixelUnshuffle", "3", (2, 1, 6, 3), 3),

    *[both(f"{kind}Pad{n}d", text, shape, padding, *more)
      for kind, more in (("Zero", ()), ("Constant", (2.5,)), ("Reflection", ()), ("Replication", ()), ("Circular", ()))
      for n, shape, text, padding in ((1, S, "pair", (3, 1)), (2, (1, 1, 4, 3), "int", 1),
                                      (2, (2, 1, 3, 4), "four", (1, 3, 0, 2)),
                                      (3, (1, 1, 3, 2, 3), "six", (1, 2, 1, 0, 2, 1)))],
    both("ZeroPad2d", "negative", P, (1, -2, -1, 0)),
    both("ReplicationPad1d", "no batch", (2, 5), 1),
]
