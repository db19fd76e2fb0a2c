"""The derivative table, continued: Fourier transforms, those of `np.fft`.

The matrix of a transform is symmetric, so it is its own rule; around it the input is cut, or padded with zeros, to n.
rfft leaves away the half of a spectrum that mirrors the other: what stands for two elements counts twice (`_mirrored`).
"""

from __future__ import annotations

import numpy as np

from ..graph import rule
from ..primitives import pad
from .composed import composite


def _fit(d, x, axis):
    """``d`` cut, or padded with zeros, to x's length along ``axis``."""
    axis, missing = axis % x.ndim, x.shape[axis] - d.shape[axis]
    if missing <= 0:
        return d[(slice(None),) * axis + (slice(x.shape[axis]),)]
    return pad(d, pad_width=[(0, missing if i == axis else 0) for i in range(x.ndim)])


def _mirrored(n, x, axis):
    """Which frequencies along ``axis`` stand for themselves and for one left away: neither 0 nor n / 2."""
    k = np.arange(n // 2 + 1)
    return ((0 < k) & (2 * k < n)).reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])


def _rfft_rule(g, y, x, n=None, axis=-1, norm=None):
    n = x.shape[axis] if n is None else n
    return _fit(np.fft.hfft(np.where(_mirrored(n, x, axis), 0.5 * g, g), n, axis, norm), x, axis)


def _irfft_rule(g, y, x, n=None, axis=-1, norm=None):
    d = np.fft.ihfft(g, None, axis, norm)
    return _fit(np.where(_mirrored(y.shape[axis], x, axis), 2 * d, d), x, axis)


rule(np.fft.fft, lambda g, y, x, n=None, axis=-1, norm=None: _fit(np.fft.fft(g, None, axis, norm), x, axis))
rule(np.fft.ifft, lambda g, y, x, n=None, axis=-1, norm=None: _fit(np.fft.ifft(g, None, axis, norm), x, axis))
rule(np.fft.rfft, _rfft_rule)
rule(np.fft.irfft, _irfft_rule)  # the imaginary parts at frequencies 0 and n / 2 are passed over, and get 0
rule(np.fft.fftshift, lambda g, y, x, axes=None: np.fft.ifftshift(g, axes))
rule(np.fft.ifftshift, lambda g, y, x, axes=None: np.fft.fftshift(g, axes))

# ---- made of these ----
_swapped = {None: "forward", "backward": "forward", "forward": "backward"}


@composite(np.fft.hfft)
def _hfft(a, n=None, axis=-1, norm=None):
    return np.fft.irfft(np.conjugate(a), n, axis, _swapped.get(norm, norm))


@composite(np.fft.ihfft)
def _ihfft(a, n=None, axis=-1, norm=None):
    return np.conjugate(np.fft.rfft(a, n, axis, _swapped.get(norm, norm)))


def _family(end, default):
    """The four transforms of several axes: ``last`` along the last of these, ``many`` along the others."""
    for name, many, last in (("fft", np.fft.fft, np.fft.fft), ("ifft", np.fft.ifft, np.fft.ifft),
                             ("rfft", np.fft.fft, np.fft.rfft), ("irfft", np.fft.ifft, np.fft.irfft)):
        _along_axes(getattr(np.fft, name + end), default, many, last)


def _along_axes(function, default, many, last):
    back = last is np.fft.irfft  # to what is real: the last axis at the end, and of a length of its own

    @composite(function)
    def made(a, s=None, axes=default, norm=None):
        axes = list(range(-(a.ndim if s is None else len(s)), 0) if axes is None else axes)
        if (s is not None and len(s) != len(axes)) or (last is not many and not axes):
            raise ValueError(f"{function.__name__} wants a length for each of its axes, got s={s} and axes={axes}")
        lengths = [a.shape[i] if n == -1 else n for n, i in zip([-1] * len(axes) if s is None else s, axes)]
        if back and s is None:
            lengths[-1] = None
        for transform, n, axis in list(zip([many] * (len(axes) - 1) + [last], lengths, axes))[::1 if back else -1]:
            a = transform(a, n, axis, norm)
        return a


_family("2", (-2, -1))
_family("n", None)
