"""Pooling of sequences, images and volumes: one number for each window."""

from __future__ import annotations

import math

import numpy as np

from .. import primitives
from ..derivatives.indexing import add_along_axis
from ..random import default_generator
from ..tensor import Tensor, _plain
from .conv import Size, _check_fits, _check_images, _ints, _padding, _positive
from .dense import _detach


def _pooling(name, n, x, kernel_size, stride, padding, dilation=1, ceil_mode=False):
    """The keywords of the pooling primitives."""
    _check_images(name, x, n)
    kernel = _positive(kernel_size, "kernel_size", n)
    stride = kernel if stride is None else _positive(stride, "stride", n)
    dilation = _positive(dilation, "dilation", n)
    padding = _padding(padding, kernel, stride, dilation)
    if any(sum(p) > k for p, k in zip(padding, kernel)):
        raise ValueError(f"{name}: padding {padding} is more than half of the kernel {kernel}")
    if ceil_mode:
        padding = tuple(map(_ceil, x.shape[2:], kernel, stride, padding, dilation))
    _check_fits(name, x, kernel, padding, dilation)
    return {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}


def _ceil(size, kernel, stride, padding, dilation):
    """More padding on the right, for a last window that is cut off; it must start in the image, or left of it."""
    span, (left, right) = dilation * (kernel - 1) + 1, padding
    last = -(-(size + left + right - span) // stride) * stride  # where it starts
    last -= stride * (last >= size + left)
    return left, right + max(last + span - size - left - right, 0)


def _max_pool(name, n, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices):
    window = _pooling(name, n, input, kernel_size, stride, padding, dilation, ceil_mode)
    y = primitives.max_pool(input, **window)
    return (y, _indices(_positions(input.shape), input, y, window)) if return_indices else y


def _positions(shape):
    """Each pixel's place in its image read line by line: PyTorch's indices."""
    return np.broadcast_to(np.arange(math.prod(shape[2:])).reshape(1, 1, *shape[2:]), shape)


def _indices(positions, x, y, window):
    return _plain(primitives.pool_take(positions, _detach(x), _detach(y), **window))


def max_pool1d(input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size | str = 0,
               dilation: Size = 1, ceil_mode: bool = False, return_indices: bool = False) -> Tensor:
    """`max_pool2d` of sequences (N, C, L)."""
    return _max_pool("max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size | str = 0,
               dilation: Size = 1, ceil_mode: bool = False, return_indices: bool = False) -> Tensor:
    """The largest value of every window, ``stride`` apart (default: kernel_size); padding counts as -inf.

    ceil_mode: where windows do not fit evenly, one more that is cut off at the end. return_indices: also an array of
    where it stood, the first of equal ones, as row * W + column: what `max_unpool2d` takes.
    """
    return _max_pool("max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size | str = 0,
               dilation: Size = 1, ceil_mode: bool = False, return_indices: bool = False) -> Tensor:
    """`max_pool2d` of volumes (N, C, D, H, W)."""
    return _max_pool("max_pool3d", 3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _avg_pool(name, n, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor=None):
    window = _pooling(name, n, input, kernel_size, stride, padding, ceil_mode=ceil_mode)
    total, pads = primitives.window_sum(input, **window), window["padding"]
    if divisor is not None:
        if not divisor:
            raise ValueError(f"{name}: divisor_override must not be 0")
        return total / divisor
    if not any(map(any, pads)) or (count_include_pad and not ceil_mode):
        return total / math.prod(window["kernel"])
    shape = input.shape[2:]
    if count_include_pad:  # but not what ceil_mode has added
        given = _padding(padding, window["kernel"], window["stride"], window["dilation"])
        shape = [m + sum(p) for m, p in zip(shape, given)]
        window["padding"] = tuple((0, sum(p) - sum(q)) for p, q in zip(pads, given))
    return total / primitives.window_sum(np.ones((1, 1, *shape), input.dtype), **window)


def avg_pool1d(input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size | str = 0,
               ceil_mode: bool = False, count_include_pad: bool = True) -> Tensor:
    """`avg_pool2d` of sequences (N, C, L)."""
    return _avg_pool("avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool2d(input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size | str = 0,
               ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None) -> Tensor:
    """The mean of every window, stride apart (default: kernel_size); padding counts as zeros unless told otherwise.

    ceil_mode: where windows do not fit evenly, one more that is cut off at the end: a mean over what is left of it.
    divisor_override: by what to divide every sum instead.
    """
    return _avg_pool("avg_pool2d", 2, input, kernel_size, stride, padding, ceil_mode, count_include_pad,
                     divisor_override)


def avg_pool3d(input: Tensor, kernel_size: Size, stride: Size | None = None, padding: Size | str = 0,
               ceil_mode: bool = False, count_include_pad: bool = True, divisor_override: int | None = None) -> Tensor:
    """`avg_pool2d` of volumes (N, C, D, H, W)."""
    return _avg_pool("avg_pool3d", 3, input, kernel_size, stride, padding, ceil_mode, count_include_pad,
                     divisor_override)


def _lp_pool(name, n, input, norm_type, kernel_size, stride, ceil_mode):
    if not norm_type:
        raise ValueError(f"{name}: norm_type must not be 0")
    if math.isinf(norm_type):
        sign = math.copysign(1, norm_type)
        return sign * _max_pool(name, n, sign * abs(input), kernel_size, stride, 0, 1, ceil_mode, False)
    mean = _avg_pool(name, n, input ** norm_type, kernel_size, stride, 0, ceil_mode, True)
    total, zero = mean * math.prod(_positive(kernel_size, "kernel_size", n)), _detach(mean) == 0
    return np.where(zero, 0, np.where(zero, 1, total) ** (1 / norm_type))


def lp_pool1d(input: Tensor, norm_type: float, kernel_size: Size, stride: Size | None = None,
              ceil_mode: bool = False) -> Tensor:
    """`lp_pool2d` of sequences (N, C, L)."""
    return _lp_pool("lp_pool1d", 1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(input: Tensor, norm_type: float, kernel_size: Size, stride: Size | None = None,
              ceil_mode: bool = False) -> Tensor:
    """(sum of x^p)^(1/p) of every window, p = norm_type; inf: the largest |x|. Where the sum is 0 the gradient is 0.

    x^p, not |x|^p, as in PyTorch: for odd p a negative sum gives NaN. With ceil_mode a window that is cut off counts
    its mean for every pixel that is missing.
    """
    return _lp_pool("lp_pool2d", 2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(input: Tensor, norm_type: float, kernel_size: Size, stride: Size | None = None,
              ceil_mode: bool = False) -> Tensor:
    """`lp_pool2d` of volumes (N, C, D, H, W)."""
    return _lp_pool("lp_pool3d", 3, input, norm_type, kernel_size, stride, ceil_mode)


# ---- as many windows as asked for: number i of m reaches from floor(i n / m) to ceil((i + 1) n / m) ----
def _adaptive(name, n, x, output_size):
    _check_images(name, x, n)
    wanted = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * n
    return _positive([m if k is None else k for m, k in zip(x.shape[2:], wanted)] + [*wanted[n:]], "output_size", n)


def _adaptive_avg_pool(name, n, x, output_size):
    out = _adaptive(name, n, x, output_size)
    for axis, (size, m) in enumerate(zip(x.shape[2:], out), 2):
        if m == size:
            continue
        if size % m == 0:
            x = x.reshape(*x.shape[:axis], m, size // m, *x.shape[axis + 1:]).mean(axis=axis + 1)
            continue
        (index, within), ones = _windows(size, m), (1,) * (x.ndim - 1 - axis)
        taken = np.take(x, index.reshape(-1), axis=axis).reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1:])
        total = np.where(within.reshape(*index.shape, *ones), taken, 0).sum(axis=axis + 1)
        x = total / within.sum(axis=1, dtype=x.dtype).reshape(-1, *ones)
    return x


def _windows(size, out):
    """Each window's pixels as a row, all as long as the longest; shorter ones repeat their last, not ``within``."""
    i = np.arange(out)
    first, last = i * size // out, -(-(i + 1) * size // out)
    index = first[:, None] + np.arange((last - first).max())
    return np.minimum(index, last[:, None] - 1), index < last[:, None]


def adaptive_avg_pool1d(input: Tensor, output_size) -> Tensor:
    """The means of ``output_size`` windows that cover (N, C, L), as equal as possible."""
    return _adaptive_avg_pool("adaptive_avg_pool1d", 1, input, output_size)


def adaptive_avg_pool2d(input: Tensor, output_size) -> Tensor:
    """(N, C, H, W) -> (N, C, *output_size): the means of windows that cover the image; None keeps an axis."""
    return _adaptive_avg_pool("adaptive_avg_pool2d", 2, input, output_size)


def adaptive_avg_pool3d(input: Tensor, output_size) -> Tensor:
    """`adaptive_avg_pool2d` of volumes (N, C, D, H, W)."""
    return _adaptive_avg_pool("adaptive_avg_pool3d", 3, input, output_size)


def _adaptive_max_pool(name, n, x, output_size, return_indices):
    out = _adaptive(name, n, x, output_size)
    if max(out) == 1:
        y, index = _largest(x)
        return (y, index) if return_indices else y
    kernel, positions = [], _positions(x.shape)
    for axis, (size, m) in enumerate(zip(x.shape[2:], out), 2):
        index = _windows(size, m)[0]
        kernel.append(index.shape[1])
        if size % m:  # lay the windows side by side
            x, positions = (np.take(v, index.reshape(-1), axis=axis) for v in (x, positions))
    window = {"kernel": tuple(kernel), "stride": tuple(kernel), "padding": ((0, 0),) * n, "dilation": (1,) * n}
    y = primitives.max_pool(x, **window)
    return (y, _indices(positions, x, y, window)) if return_indices else y


def _largest(x):
    """The largest value of every image, and where it stands."""
    flat, one = x.reshape(*x.shape[:2], math.prod(x.shape[2:])), (*x.shape[:2], *(1,) * (x.ndim - 2))
    index = np.argmax(_detach(flat), axis=-1, keepdims=True)
    return np.take_along_axis(flat, index, -1).reshape(*one), index.reshape(one)


def adaptive_max_pool1d(input: Tensor, output_size, return_indices: bool = False) -> Tensor:
    """The largest values of ``output_size`` windows that cover (N, C, L), as equal as possible."""
    return _adaptive_max_pool("adaptive_max_pool1d", 1, input, output_size, return_indices)


def adaptive_max_pool2d(input: Tensor, output_size, return_indices: bool = False) -> Tensor:
    """(N, C, H, W) -> (N, C, *output_size): the largest values of windows that cover the image; None keeps an axis.

    return_indices: also where they stood, as `max_pool2d`.
    """
    return _adaptive_max_pool("adaptive_max_pool2d", 2, input, output_size, return_indices)


def adaptive_max_pool3d(input: Tensor, output_size, return_indices: bool = False) -> Tensor:
    """`adaptive_max_pool2d` of volumes (N, C, D, H, W)."""
    return _adaptive_max_pool("adaptive_max_pool3d", 3, input, output_size, return_indices)


# ---- back to where the largest values stood ----
def _max_unpool(name, n, input, indices, kernel_size, stride, padding, output_size):
    _check_images(name, input, n)
    kernel, padding = _positive(kernel_size, "kernel_size", n), _ints(padding, "padding", n)
    stride = kernel if stride is None else _positive(stride, "stride", n)
    size = [(m - 1) * s + k - 2 * p for m, s, k, p in zip(input.shape[2:], stride, kernel, padding)]
    if output_size is not None:
        wanted = _positive(tuple(output_size)[-n:], "output_size", n)
        if len(output_size) not in (n, n + 2) or any(abs(w - m) >= s for w, m, s in zip(wanted, size, stride)):
            raise ValueError(f"{name}: output_size {tuple(output_size)} must be less than the stride {stride} away "
                             f"from {tuple(size)}")
        size = wanted
    if min(size) < 1:
        raise ValueError(f"{name}: of input {input.shape}, kernel {kernel} and padding {padding} nothing is left")
    index, total = np.asarray(_plain(indices)), math.prod(size)
    if index.dtype.kind not in "iu":
        raise TypeError(f"{name}: indices must be integers, not {index.dtype}")
    if index.shape != input.shape or np.any((index < 0) | (index >= total)):
        raise ValueError(f"{name}: indices {index.shape} from {index.min(initial=0)} to {index.max(initial=0)} must "
                         f"have the input's shape {input.shape} and lie in 0..{total - 1}, for images {tuple(size)}")
    lead, count = input.shape[:2], math.prod(input.shape[2:])
    index, order = index.reshape(*lead, count), np.arange(count)
    last = np.zeros((*lead, total), np.intp)  # of every pixel: which input comes there, the last if there are several
    np.put_along_axis(last, index, order, -1)
    values = np.where(np.take_along_axis(last, index, -1) == order, input.reshape(*lead, count), 0)
    return add_along_axis(values, index, axis=-1, n=total).reshape(*lead, *size)


def max_unpool1d(input: Tensor, indices, kernel_size: Size, stride: Size | None = None, padding: Size = 0,
                 output_size=None) -> Tensor:
    """`max_unpool2d` of sequences (N, C, L)."""
    return _max_unpool("max_unpool1d", 1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(input: Tensor, indices, kernel_size: Size, stride: Size | None = None, padding: Size = 0,
                 output_size=None) -> Tensor:
    """Zeros with ``input`` put back to the ``indices`` of `max_pool2d`: a partial inverse of it. Zeiler et al. 2011.

    H' = (H - 1) stride - 2 padding + kernel, or output_size. Of an index that repeats the last stays, and only that one
    has a gradient. Raises ValueError for indices outside of the image.
    """
    return _max_unpool("max_unpool2d", 2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(input: Tensor, indices, kernel_size: Size, stride: Size | None = None, padding: Size = 0,
                 output_size=None) -> Tensor:
    """`max_unpool2d` of volumes (N, C, D, H, W)."""
    return _max_unpool("max_unpool3d", 3, input, indices, kernel_size, stride, padding, output_size)


# ---- windows at random places ----
def _fractional(name, n, x, kernel_size, output_size, output_ratio, return_indices, samples, sequence, overlapping,
                generator):
    _check_images(name, x, n)
    size, out = x.shape[2:], _fractional_size(name, n, x, output_size, output_ratio)
    if sequence not in (None, "pseudorandom", "random"):
        raise ValueError(f"{name}: sequence is None, 'pseudorandom' or 'random', not {sequence!r}")
    if (kernel_size is None) != (sequence is not None):
        raise ValueError(f"{name}: give kernel_size, or, for Graham's regions, kernel_size=None and a sequence")
    if sequence == "random" and samples is not None:
        raise ValueError(f"{name}: sequence='random' shuffles with the generator and takes no _random_samples")
    kernel = (1 + overlapping,) * n if sequence else _positive(kernel_size, "kernel_size", n)
    if any(m + k - 1 > s for m, k, s in zip(out, kernel, size)):
        raise ValueError(f"{name}: {out} windows of {kernel} pixels, each further on, do not fit into input {x.shape}")
    generator = generator or default_generator()
    lead = x.shape[:1] if sequence else x.shape[:2]  # whose windows are the same
    if samples is None:
        samples = generator.random((*lead, *(1,) * (2 - len(lead)), n), _real(x.dtype))
    samples = np.asarray(_plain(samples), _real(x.dtype))
    if samples.shape not in {(*x.shape[:2], n), (x.shape[0], 1, n)} or np.any((samples < 0) | (samples > 1)):
        raise ValueError(f"{name}: _random_samples {samples.shape} must be {(*x.shape[:2], n)}, between 0 and 1")
    order = (1, 0) if n == 2 else range(n)  # PyTorch's: columns before rows, but (D, H, W) of volumes
    places = []  # for each axis (N, C or 1, windows, pixels of a window)
    for s, m, k, axis in zip(size, out, kernel, order):
        u = samples[..., axis, None]
        if sequence is None:
            first = _torch_sequence(u, s, m, k)
            last = first + k - 1
        else:
            edges = _graham_sequence(u, s - overlapping, m, sequence == "random" and generator)
            first, last = edges[..., :-1], edges[..., 1:] - (not overlapping)
        tap = np.arange((last - first).max(initial=0) + 1)
        places.append(np.minimum(first[..., None] + tap, last[..., None]))
    y, index = _largest_of(x, places)
    return (y, index) if return_indices else y


def _real(dtype):
    return np.float32 if dtype == np.float32 else np.float64


def _fractional_size(name, n, x, output_size, output_ratio):
    if (output_size is None) == (output_ratio is None):
        raise ValueError(f"{name}: give one of output_size and output_ratio")
    if output_size is None:
        ratio = tuple(output_ratio) if np.ndim(output_ratio) else (output_ratio,) * n
        if len(ratio) != n or not all(0 < r < 1 for r in ratio):
            raise ValueError(f"{name}: output_ratio is a number between 0 and 1 or {n} of them, not {output_ratio!r}")
        output_size = tuple(int(m * r) for m, r in zip(x.shape[2:], ratio))
    return _positive(output_size, "output_size", n)


def _torch_sequence(u, size, out, kernel):
    """Where windows start: floor(a (i + u)) - floor(a u) with a = (size - kernel) / (out - 1); the last at the end."""
    if out == 1:
        return np.full(u.shape, size - kernel)
    a = u.dtype.type(size - kernel) / u.dtype.type(out - 1)
    first = ((np.arange(out, dtype=u.dtype) + u) * a).astype(np.intp) - (u * a).astype(np.intp)
    first[..., -1] = size - kernel
    return first


def _graham_sequence(u, total, out, generator):
    """0 = a_0 < ... < a_out = total in steps of floor(total / out) and one more, shuffled or evenly spread."""
    if generator:
        steps = np.arange(out) < total % out
        steps = generator.permuted(np.broadcast_to(steps, (*u.shape[:-1], out)), axis=-1) + total // out
        return np.concatenate([np.zeros_like(steps[..., :1]), np.cumsum(steps, -1)], -1)
    i = np.arange(out + 1) * total  # ceil(alpha (i + u)) - ceil(alpha u), alpha = total / out, exact at the end
    return (i // out + np.ceil((i % out + u * total) / out) - np.ceil(u * total / out)).astype(np.intp)


def _largest_of(x, places):
    """The largest value of every window, whose pixels have these places along the axes, and where it stands."""
    size, n, lead = x.shape[2:], len(places), x.shape[:2]
    flat = x.reshape(*lead, math.prod(size))
    values, best, index = _plain(_detach(flat)), None, None
    for tap in np.ndindex(*(p.shape[-1] for p in places)):
        at = 0
        for k, (p, t) in enumerate(zip(places, tap)):
            at = at * size[k] + p[..., t].reshape(*p.shape[:2], *(1,) * k, p.shape[2], *(1,) * (n - 1 - k))
        at = np.broadcast_to(at.reshape(*at.shape[:2], math.prod(at.shape[2:])), (*lead, math.prod(at.shape[2:])))
        here = np.take_along_axis(values, at, -1)
        if best is None:
            best, index = here, at
        else:
            more = ~(here <= best) & (best == best)  # NaN is the largest
            best, index = np.where(more, here, best), np.where(more, at, index)
    shape = (*lead, *(p.shape[2] for p in places))
    return np.take_along_axis(flat, index, -1).reshape(*shape), index.reshape(shape)


def fractional_max_pool2d(input: Tensor, kernel_size: Size | None, output_size: Size | None = None, output_ratio=None,
                          return_indices: bool = False, _random_samples=None, *, sequence: str | None = None,
                          overlapping: bool = True, generator=None) -> Tensor:
    """The largest values of windows at random places: (N, C, H, W) -> (N, C, *output_size). Graham 2014.

    PyTorch's: windows of kernel_size that start at floor(a (i + u)) - floor(a u), a = (H - k) / (H' - 1), u uniform,
    for every channel its own. _random_samples: these u, (N, C, 2), of columns and of rows. output_ratio, between 0 and
    1: H' = floor(ratio H). return_indices: also where they stood, as `max_pool2d`.

    Graham's, with kernel_size=None: edges 0 = a_0 < ... < a_H' in steps of floor(alpha) and ceil(alpha), and regions
    from a_{i-1} to a_i (overlapping) or a_i - 1, for every image its own. alpha = H / H', or (H - 1) / H' if
    overlapping: they cover the image exactly. sequence: 'pseudorandom', a_i = ceil(alpha (i + u)) - ceil(alpha u), or
    'random', the same steps shuffled.
    """
    return _fractional("fractional_max_pool2d", 2, input, kernel_size, output_size, output_ratio, return_indices,
                       _random_samples, sequence, overlapping, generator)


def fractional_max_pool3d(input: Tensor, kernel_size: Size | None, output_size: Size | None = None, output_ratio=None,
                          return_indices: bool = False, _random_samples=None, *, sequence: str | None = None,
                          overlapping: bool = True, generator=None) -> Tensor:
    """`fractional_max_pool2d` of volumes (N, C, D, H, W); _random_samples (N, C, 3) of D, H and W."""
    return _fractional("fractional_max_pool3d", 3, input, kernel_size, output_size, output_ratio, return_indices,
                       _random_samples, sequence, overlapping, generator)
