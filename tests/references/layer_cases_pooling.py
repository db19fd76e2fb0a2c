"""Pooling."""

from __future__ import annotations

import numpy as np
from references.layers import Case
from references.record import uniform

from minigrad import Tensor, nn


def both(layer, text, *inputs, order=2, why="", **kwargs):
    """The layer of this name, here and in PyTorch; with return_indices, the indices too."""
    def ours():
        module = getattr(nn, layer)(**kwargs)
        return with_indices(module) if kwargs.get("return_indices") else module

    def theirs(t):
        if "_random_samples" in kwargs:
            module = getattr(t.nn, layer)(**{**kwargs, "_random_samples": t.tensor(kwargs["_random_samples"])})
        else:
            module = getattr(t.nn, layer)(**kwargs)
        if not kwargs.get("return_indices"):
            return module

        def run(x):
            y, index = module(x)
            return y, index.double()
        return run
    return Case(f"{layer}, {text}", ours, theirs, inputs, order=order, why=why)


def with_indices(module):
    def run(x):
        y, index = module(x)
        return y, Tensor(index.astype(np.float64))
    return run


def round_trip(text, shape, n, size=None, **kwargs):
    """Pooled and put back."""
    def ours():
        pool = getattr(nn, f"MaxPool{n}d")(return_indices=True, **kwargs)
        unpool = getattr(nn, f"MaxUnpool{n}d")(**kwargs)
        return lambda x: unpool(*pool(x), output_size=size)

    def theirs(t):
        pool = getattr(t.nn, f"MaxPool{n}d")(return_indices=True, **kwargs)
        unpool = getattr(t.nn, f"MaxUnpool{n}d")(**kwargs)
        return lambda x: unpool(*pool(x), output_size=size)
    return Case(f"MaxUnpool{n}d, {text}", ours, theirs, (shape,))


def keras_global(name, n, **kwargs):
    def theirs(t):
        kind, keep = t.mean if "Avg" in name else t.amax, kwargs.get("keepdims", False)
        return lambda x: kind(x, tuple(range(2, n + 2)), keepdim=keep)
    return Case(f"{name}{', keepdims' if kwargs else ''}", lambda: getattr(nn, name)(**kwargs), theirs, (SHAPES[n],))


def graham(overlapping, sequence="pseudorandom"):
    """Graham's regions, written out: every region by itself, from edges computed with exact fractions."""
    from fractions import Fraction
    u = np.array([[0.3, 0.9], [0.62, 0.05]])

    def edges(total, out, shift):
        a = Fraction(total, out)
        up = [-((-a * (i + Fraction(float(shift)))) // 1) for i in range(out + 1)]
        return [int(e - up[0]) for e in up]

    def theirs(t):
        def run(x):
            rows = []
            for image, (v, w) in zip(x, u):
                a, b = edges(7 - overlapping, 4, w), edges(6 - overlapping, 4, v)
                rows.append(t.stack([t.stack([
                    image[:, a[i]:a[i + 1] + overlapping, b[j]:b[j + 1] + overlapping].amax((1, 2))
                    for j in range(4)], -1) for i in range(4)], -2))
            return t.stack(rows)
        return run
    name = f"FractionalMaxPool2d, Graham's pseudorandom, {'overlapping' if overlapping else 'disjoint'}"
    return Case(name, lambda: nn.FractionalMaxPool2d(None, 4, _random_samples=u[:, None], sequence=sequence,
                                                     overlapping=overlapping), theirs, ((2, 2, 7, 6),))


SHAPES = {1: (2, 2, 7), 2: (2, 2, 5, 6), 3: (1, 2, 4, 5, 3)}
S, P, V = SHAPES.values()
TIES = np.floor(3 * uniform("ties", 2, 2, 5, 6))
ONE = uniform("samples", 2, 2, 2, low=0.0, high=1.0)
NOT_TWICE = "PyTorch has no second derivative of it"

CASES = [
    both("MaxPool1d", "plain", S, kernel_size=2),
    both("MaxPool1d", "everything", S, kernel_size=3, stride=2, padding=1, dilation=2, ceil_mode=True,
         return_indices=True),
    both("MaxPool2d", "plain", P, kernel_size=2),
    both("MaxPool2d", "overlapping, padded", P, kernel_size=3, stride=(1, 2), padding=1),
    both("MaxPool2d", "dilated, indices", P, kernel_size=2, stride=1, dilation=(2, 3), return_indices=True),
    both("MaxPool2d", "ceil_mode, padded, indices", P, kernel_size=(3, 2), stride=(3, 4), padding=(0, 1),
         ceil_mode=True, return_indices=True),
    both("MaxPool2d", "ties, indices", TIES, kernel_size=3, stride=1, padding=1, return_indices=True),
    both("MaxPool3d", "plain", V, kernel_size=2),
    both("MaxPool3d", "indices", V, kernel_size=(2, 3, 2), stride=(1, 2, 1), padding=(0, 1, 1), ceil_mode=True,
         return_indices=True),

    both("AvgPool1d", "plain", S, kernel_size=3),
    both("AvgPool1d", "ceil_mode, padded", S, kernel_size=4, stride=2, padding=1, ceil_mode=True),
    both("AvgPool1d", "uncounted", S, kernel_size=3, stride=2, padding=1, count_include_pad=False),
    both("AvgPool2d", "plain", P, kernel_size=2),
    both("AvgPool2d", "ceil_mode, padded", P, kernel_size=(3, 2), stride=2, padding=1, ceil_mode=True),
    both("AvgPool2d", "ceil_mode, uncounted", P, kernel_size=3, stride=2, padding=(1, 0), ceil_mode=True,
         count_include_pad=False),
    both("AvgPool2d", "divisor", P, kernel_size=3, stride=2, padding=1, ceil_mode=True, divisor_override=5),
    both("AvgPool3d", "plain", V, kernel_size=(2, 2, 1)),
    both("AvgPool3d", "ceil_mode, padded", V, kernel_size=2, stride=(2, 3, 2), padding=(1, 0, 1), ceil_mode=True),
    both("AvgPool3d", "divisor", V, kernel_size=2, divisor_override=3),

    both("AdaptiveAvgPool1d", "3", S, output_size=3),
    both("AdaptiveAvgPool2d", "even", P, output_size=(5, 2)),
    both("AdaptiveAvgPool2d", "uneven", P, output_size=(3, 4)),
    both("AdaptiveAvgPool2d", "larger, None", P, output_size=(7, None)),
    both("AdaptiveAvgPool3d", "mixed", V, output_size=(3, None, 2)),
    both("AdaptiveMaxPool1d", "3, indices", S, output_size=3, return_indices=True),
    both("AdaptiveMaxPool2d", "even, indices", P, output_size=(5, 2), return_indices=True),
    both("AdaptiveMaxPool2d", "uneven, indices", P, output_size=(3, 4), return_indices=True),
    both("AdaptiveMaxPool2d", "larger, None", P, output_size=(7, None)),
    both("AdaptiveMaxPool2d", "1, ties, indices", TIES, output_size=1, return_indices=True),
    both("AdaptiveMaxPool2d", "ties, indices", TIES, output_size=(2, 4), return_indices=True),
    both("AdaptiveMaxPool3d", "mixed, indices", V, output_size=(3, None, 2), return_indices=True),

    *[keras_global(f"Global{kind}Pool{n}d", n) for kind in ("Avg", "Max") for n in (1, 2, 3)],
    keras_global("GlobalAvgPool2d", 2, keepdims=True),
    keras_global("GlobalMaxPool2d", 2, keepdims=True),

    both("LPPool1d", "2", S, norm_type=2, kernel_size=3, stride=2),
    both("LPPool1d", "1, of positive ones", abs(uniform("positive", 2, 2, 7)), norm_type=1, kernel_size=2),
    both("LPPool2d", "2, ceil_mode", P, norm_type=2, kernel_size=(2, 3), stride=(2, 4), ceil_mode=True),
    both("LPPool2d", "4", P, norm_type=4.0, kernel_size=2),
    both("LPPool2d", "3, of positive ones", abs(uniform("positive", 2, 2, 4, 4)), norm_type=3, kernel_size=3, stride=1),
    both("LPPool2d", "1.5, of positive ones", abs(uniform("positive", 1, 2, 4, 4)), norm_type=1.5, kernel_size=2),
    both("LPPool2d", "inf", P, norm_type=float("inf"), kernel_size=2),
    both("LPPool3d", "2", V, norm_type=2, kernel_size=2, stride=1),

    round_trip("plain", S, 1, kernel_size=2),
    round_trip("plain", P, 2, kernel_size=2),
    round_trip("padded, output_size", P, 2, size=(5, 6), kernel_size=(2, 3), stride=(2, 3), padding=(1, 0)),
    round_trip("apart, whole output_size", (2, 2, 7, 6), 2, size=(2, 2, 7, 6), kernel_size=2, stride=3),
    round_trip("output_size", V, 3, size=(4, 5, 3), kernel_size=(2, 1, 2)),

    *[both(f"FractionalMaxPool{n}d", text, shape, return_indices=True, order=1, why=NOT_TWICE,
           _random_samples=uniform(f"{n} {text}", *shape[:2], n, low=0.0, high=1.0), **kwargs)
      for n, shape, text, kwargs in (
          (2, (2, 2, 7, 6), "disjoint or so", {"kernel_size": 2, "output_size": 4}),
          (2, (2, 2, 7, 9), "overlapping", {"kernel_size": 3, "output_size": (5, 6)}),
          (2, (2, 2, 8, 9), "ratio", {"kernel_size": (2, 3), "output_ratio": (0.7, 0.5)}),
          (2, (2, 2, 5, 4), "one window", {"kernel_size": 2, "output_size": (1, 3)}),
          (3, (1, 2, 5, 6, 4), "volumes", {"kernel_size": 2, "output_size": (3, 4, 2)}),
          (3, (1, 2, 5, 6, 7), "ratio", {"kernel_size": (2, 1, 3), "output_ratio": 0.6}))],
    both("FractionalMaxPool2d", "ties", TIES, kernel_size=3, output_size=3, _random_samples=ONE, return_indices=True,
         order=1, why=NOT_TWICE),
    graham(True),
    graham(False),
]
