"""What our ops are called elsewhere: for the name of `spelled`, a function of the peer's arrays, static as ours.

The peers are imported where their table is asked for, so that only the recorder needs them.
"""

from __future__ import annotations

import functools
import math
import operator
import sys

import numpy as np


def spelled(key):
    """The name of an op: ``np.linalg.inv`` for one of NumPy's, ``x[index]``, and ``erf`` for one of ours."""
    if isinstance(key, str) or key is operator.getitem:
        return key if isinstance(key, str) else "x[index]"
    module = getattr(key, "__module__", None) or "numpy"
    if isinstance(key, np.ufunc) or module.split(".")[0] == "numpy":
        path = module.removeprefix("numpy").removeprefix("._core").removeprefix(".")
        return ".".join(["np", *([path] if path and not path.startswith("_") else []), key.__name__])
    outputs = getattr(getattr(sys.modules[module], key.__name__, None), "outputs", ())
    return f"{key.__name__}[{outputs.index(key)}]" if key in outputs else key.__name__


def _axes(x, axis):
    return tuple(range(x.ndim)) if axis is None else axis


SAME = """
    add subtract multiply divide remainder floor_divide negative positive reciprocal square sqrt absolute sign floor
    ceil trunc exp exp2 expm1 log log2 log10 log1p logaddexp logaddexp2 sin cos tan arcsin arccos arctan sinh cosh
    tanh maximum minimum where fmod hypot arctan2 arcsinh arccosh arctanh rad2deg deg2rad sinc fmax fmin copysign
    matmul real imag angle float_power vdot inner outer kron ravel flipud fliplr fix atleast_1d atleast_2d
    atleast_3d
""".split()


def torch_twins():
    """PyTorch's."""
    import torch
    from torch.nn import functional as tf
    L, S = torch.linalg, torch.special

    def reduction(f):
        return lambda x, axis=None, keepdims=False: f(x, dim=_axes(x, axis), keepdim=keepdims)

    def prod(x, axis=None, keepdims=False):
        for i in sorted({a % x.ndim for a in np.atleast_1d(_axes(x, axis))}, reverse=True):
            x = x.prod(dim=int(i), keepdim=keepdims)
        return x

    def spread(f):
        return lambda x, axis=None, ddof=0, keepdims=False: f(x, dim=_axes(x, axis), correction=ddof, keepdim=keepdims)

    def along(f):
        return lambda x, axis=None: f(x.reshape(-1), dim=0) if axis is None else f(x, dim=axis)

    def quantile(f):
        return lambda x, q, axis=None, keepdims=False, method="linear": f(
            x, torch.as_tensor(q, dtype=x.dtype), dim=axis, keepdim=keepdims, interpolation=method)

    def transform(name):
        if name.endswith(("2", "n")):
            return lambda x, s=None, axes=None, norm=None: getattr(torch.fft, name)(
                x, s, axes if axes is not None or name.endswith("n") else (-2, -1), norm)
        return lambda x, n=None, axis=-1, norm=None: getattr(torch.fft, name)(x, n, axis, norm)

    def clip(x, a_min=None, a_max=None):
        return torch.clamp(x, *(None if v is None else torch.as_tensor(v) for v in (a_min, a_max)))

    def convolution(x, w, b=None, *, stride, padding, dilation, groups):
        x = tf.pad(x, [n for pair in reversed(padding) for n in pair])
        conv = (tf.conv1d, tf.conv2d, tf.conv3d)[x.ndim - 3]
        return conv(x, w, b, stride, 0, dilation, groups)

    def adjoint(f, shape, g):
        """What the linear f sends to g, sent back."""
        x = torch.zeros(shape, dtype=g.dtype, requires_grad=True)
        return torch.autograd.grad(f(x), x, g, create_graph=True)[0]

    def conv_input_grad(g, w, *, shape, **how):
        return adjoint(lambda x: convolution(x, w.conj(), **how), shape, g)

    def conv_weight_grad(x, g, *, shape, **how):
        return adjoint(lambda w: convolution(x.conj(), w, **how), shape, g)

    def window_sum(x, *, kernel, stride, padding, dilation):
        x = tf.pad(x, [n for pair in reversed(padding) for n in pair])
        return windows(x, size=kernel, stride=stride, dilation=dilation).sum(tuple(range(-len(kernel), 0)))

    def sylvester(a, b, q):
        (m, _), (n, _) = a.shape, b.shape
        k = torch.kron(a, torch.eye(n, dtype=b.dtype)) + torch.kron(torch.eye(m, dtype=a.dtype), b.mT.contiguous())
        return L.solve(k, q.reshape(-1)).reshape(m, n)

    def of_matrix(f):
        def matrix_function(x):
            w, v = L.eig(x)
            y = v * f(w)[..., None, :] @ L.inv(v)
            return y if x.is_complex() else y.real
        return matrix_function

    def piecewise(x, *masks):
        parts = [x * x, -x, 3 * torch.ones_like(x), 0 * x]
        y = parts[len(masks)]
        for mask, part in zip(masks, parts):
            y = torch.where(mask, part, y)
        return y

    def max_pool(x, *, kernel, stride, padding, dilation):
        x = tf.pad(x, [n for pair in reversed(padding) for n in pair], value=-math.inf)
        return (tf.max_pool1d, tf.max_pool2d, tf.max_pool3d)[x.ndim - 3](x, kernel, stride, 0, dilation)

    def windows(x, *, size, stride, dilation):
        for i, (n, s, d) in enumerate(zip(size, stride, dilation)):
            x = x.unfold(i - len(size) - i, d * (n - 1) + 1, s)[..., ::d]
        return x

    def index(x, index):
        each = index if isinstance(index, tuple) else (index,)
        if any(isinstance(i, slice) and (i.step or 1) < 0 for i in each):
            raise NotImplementedError("torch has no negative steps")
        as_torch = [torch.as_tensor(np.asarray(i)) if isinstance(i, (list, range, np.ndarray)) else i for i in each]
        return x[tuple(as_torch)] if isinstance(index, tuple) else x[as_torch[0]]

    def scatter_add(g, *, index, shape):
        return torch.zeros(shape, dtype=g.dtype).index_put_(
            tuple(torch.as_tensor(np.asarray(i)) for i in (index if isinstance(index, tuple) else (index,))), g, True)

    def average(a, weights=None):
        return a.mean() if weights is None else (a * weights).sum() / weights.sum()

    # as tests/samples/linalg.py calls them: of the Hermitian part, and without the phase of complex vectors
    def hermitian(x):
        return (x + x.mH) / 2

    def phased(w, v):
        return w, v / v[..., :1, :] if v.is_complex() else v

    def unphased(u, s, vh):
        return (u / u[..., :1, :], s, vh * u[..., :1, :].mT) if u.is_complex() else (u, s, vh)

    def real_if_real(x, *ys):
        return ys if x.is_complex() or ys[0].imag.any() else [y.real for y in ys]

    def lu(a):
        p, lower, upper = L.lu(a)
        return p.real, lower, upper

    def lstsq(a, b, rcond=None):
        x, (m, n) = L.lstsq(a, b, driver="gelsd").solution, a.shape
        rest = ((b - a @ x).abs() ** 2).sum(0).reshape(b.shape[1:] or (1,))
        return x, rest if m > n else a.real[:0, 0], L.svdvals(a)

    return {
        **{f"np.{n}": getattr(torch, n) for n in SAME}, **{f"np.fft.{n}": transform(n) for n in (
            "fft ifft rfft irfft hfft ihfft fft2 ifft2 rfft2 irfft2 fftn ifftn rfftn irfftn").split()},
        "np.power": torch.pow, "np.rint": torch.round, "np.degrees": torch.rad2deg, "np.radians": torch.deg2rad,
        "np.conjugate": torch.conj, "np.fabs": torch.abs, "np.i0": S.i0, "np.clip": clip,
        "np.cbrt": lambda x: x.sign() * x.abs() ** (1 / 3), "np.copy": torch.clone,
        "np.round": torch.round, "np.around": torch.round,
        "np.heaviside": torch.heaviside, "np.ldexp": lambda x, i: x * 2.0 ** i.double(),
        "np.nan_to_num": lambda x, nan=0.0, posinf=None, neginf=None: torch.nan_to_num(x, nan, posinf, neginf),
        **{f"np.{n}": reduction(getattr(torch, n)) for n in "sum mean amax amin nansum nanmean".split()},
        "np.max": reduction(torch.amax), "np.min": reduction(torch.amin), "np.prod": prod,
        "np.var": spread(torch.var), "np.std": spread(torch.std),
        "np.ptp": lambda x, axis=None, keepdims=False: reduction(torch.amax)(x, axis, keepdims)
        - reduction(torch.amin)(x, axis, keepdims),
        "np.cumsum": along(torch.cumsum), "np.cumprod": along(torch.cumprod),
        "logcumsumexp": along(torch.logcumsumexp), "logsumexp": reduction(torch.logsumexp),
        "cummax": lambda x, axis=-1: torch.cummax(x, axis), "cummin": lambda x, axis=-1: torch.cummin(x, axis),
        "np.sort": lambda x, axis=-1, **_: x.reshape(-1).sort().values if axis is None else x.sort(dim=axis).values,
        "topk": lambda x, k, axis=-1, largest=True, sorted=True: torch.topk(x, k, axis, largest, sorted),
        "kthvalue": lambda x, k, axis=-1, keepdims=False: torch.kthvalue(x, k, axis, keepdims),
        "np.quantile": quantile(torch.quantile), "np.nanquantile": quantile(torch.nanquantile),
        "np.diff": lambda x, n=1, axis=-1: torch.diff(x, n, axis), "np.average": average,
        "np.cov": lambda x, bias=False: torch.cov(x, correction=0 if bias else 1), "np.corrcoef": torch.corrcoef,
        "np.gradient": lambda x: list(torch.gradient(x)) if x.ndim > 1 else torch.gradient(x)[0],
        "np.trapezoid": lambda y, x=None, dx=1.0, axis=-1: torch.trapezoid(y, x, dim=axis) if x is not None
        else torch.trapezoid(y, dx=dx, dim=axis),
        # shape
        "np.reshape": lambda x, shape: x.reshape(shape), "np.expand_dims": lambda x, axis: x.unsqueeze(axis),
        "np.squeeze": lambda x, axis=None: x.squeeze() if axis is None else x.squeeze(axis),
        "np.transpose": lambda x, axes=None: x.permute(tuple(reversed(range(x.ndim))) if axes is None else axes),
        "np.swapaxes": lambda x, axis1, axis2: x.swapaxes(axis1, axis2),
        "np.moveaxis": lambda x, source, destination: x.movedim(source, destination),
        "np.flip": lambda x, axis=None: x.flip(_axes(x, axis) if not isinstance(axis, int) else (axis,)),
        "np.broadcast_to": lambda x, shape: x.broadcast_to(shape),
        "np.concatenate": lambda *xs, axis=0: torch.cat(xs, axis),
        "np.stack": lambda *xs, axis=0: torch.stack(xs, axis),
        "np.vstack": lambda *xs: torch.vstack(xs), "np.hstack": lambda *xs: torch.hstack(xs),
        "np.dstack": lambda *xs: torch.dstack(xs), "np.column_stack": lambda *xs: torch.column_stack(xs),
        "np.tile": lambda x, reps: x.tile(reps),
        "np.repeat": lambda x, repeats, axis=None: torch.repeat_interleave(x, torch.as_tensor(repeats), axis),
        "np.roll": lambda x, shift, axis=None: x.roll(shift, axis),
        "np.rot90": lambda x, k=1, axes=(0, 1): x.rot90(k, axes),
        "np.tril": lambda x, k=0: x.tril(k), "np.triu": lambda x, k=0: x.triu(k), "np.diag": lambda x, k=0: x.diag(k),
        "np.diagflat": lambda x, k=0: x.diagflat(k),
        "np.diagonal": lambda x, offset=0, axis1=0, axis2=1: x.diagonal(offset, axis1, axis2),
        "np.trace": lambda x, offset=0, axis1=0, axis2=1: x.diagonal(offset, axis1, axis2).sum(-1),
        "np.split": lambda x, indices_or_sections, axis=0: list(
            torch.tensor_split(x, indices_or_sections, dim=axis)),
        "np.array_split": lambda x, indices_or_sections, axis=0: list(
            torch.tensor_split(x, indices_or_sections, dim=axis)),
        "np.hsplit": lambda x, n: list(torch.hsplit(x, n)), "np.vsplit": lambda x, n: list(torch.vsplit(x, n)),
        "np.dsplit": lambda x, n: list(torch.dsplit(x, n)),
        "x[index]": index, "scatter_add": scatter_add,
        "np.take": lambda x, i, axis=None: x.reshape(-1)[i.long()] if axis is None else torch.stack(
            [x.select(axis, int(j)) for j in i.reshape(-1)], axis).unflatten(axis, i.shape) if i.ndim else x.select(
            axis, int(i)),
        "np.take_along_axis": lambda x, i, axis=-1: torch.take_along_dim(x, i.long(), axis),
        "add_along_axis": lambda g, i, axis, n: adjoint(lambda x: torch.take_along_dim(x, i.long() % n, axis), [
            n if a == axis % g.ndim else m for a, m in enumerate(g.shape)], g),
        "add_taken": lambda g, i, axis, n: adjoint(lambda x: x.index_select(axis, i.long().reshape(-1) % n).reshape(
            g.shape), [*g.shape[:axis], n, *g.shape[axis + i.ndim:]], g),
        "gather": lambda x, dim, index: torch.gather(x, dim, torch.tensor(index)),
        "scatter": lambda x, src, dim, index: torch.scatter(x, dim, torch.tensor(index), src),
        "index_add": lambda x, v, dim, index, alpha=1: torch.index_add(x, dim, torch.tensor(index), v, alpha=alpha),
        "index_copy": lambda x, v, dim, index: torch.index_copy(x, dim, torch.tensor(index), v),
        "index_select": lambda x, dim, index: torch.index_select(x, dim, torch.tensor(index)),
        "masked_fill": lambda x, mask, value: torch.masked_fill(x, torch.tensor(mask), value),
        "masked_select": lambda x, mask: torch.masked_select(x, torch.tensor(mask)),
        "diag_embed": torch.diag_embed, "lerp": torch.lerp, "rsqrt": torch.rsqrt,
        "sec": lambda x: 1 / x.cos(), "csc": lambda x: 1 / x.sin(), "cot": lambda x: 1 / x.tan(),
        "assign": lambda x, v, index: x.index_put((torch.as_tensor(np.asarray(index)),), v)
        if isinstance(index, (np.ndarray, list)) and not (isinstance(index, list) and len(set(index)) < len(index))
        else _not(index),
        # products
        "np.dot": lambda a, b: torch.dot(a, b) if a.ndim == b.ndim == 1 else a * b if not a.ndim * b.ndim else (
            torch.matmul(a, b) if b.ndim < 3 else _not(b)),
        "np.tensordot": lambda a, b, axes=2: torch.tensordot(a, b, axes), "np.einsum": lambda *xs, subscripts:
        torch.einsum(subscripts, *xs), "np.cross": lambda a, b, axis=-1: L.cross(a, b, dim=axis),
        "np.linalg.cross": lambda a, b, axis=-1: L.cross(a, b, dim=axis),
        "np.vecdot": lambda a, b, axis=-1: L.vecdot(a, b, dim=axis),
        "np.linalg.vecdot": lambda a, b, axis=-1: L.vecdot(a, b, dim=axis),
        "np.linalg.multi_dot": lambda *xs: L.multi_dot(xs[0] if isinstance(xs[0], (list, tuple)) else xs),
        "np.linalg.outer": torch.outer, "np.linalg.matmul": torch.matmul,
        "np.linalg.tensordot": lambda a, b, axes=2: torch.tensordot(a, b, axes),
        "np.matrix_transpose": lambda x: x.mT, "np.linalg.matrix_transpose": lambda x: x.mT,
        "np.linalg.diagonal": lambda x, offset=0: L.diagonal(x, offset=offset),
        "np.linalg.trace": lambda x, offset=0: L.diagonal(x, offset=offset).sum(-1),
        "np.matvec": lambda a, x: (a @ x.unsqueeze(-1)).squeeze(-1),
        "np.vecmat": lambda x, a: (x.conj().unsqueeze(-2) @ a).squeeze(-2),
        "cdist": lambda a, b, p=2: L.vector_norm(a[..., :, None, :] - b[..., None, :, :], p, -1),
        "lu": lu,
        "solve_triangular": lambda a, b, lower=False, unit_diagonal=False: L.solve_triangular(
            a, b, upper=not lower, unitriangular=unit_diagonal),
        "cho_solve": lambda c, b, lower: torch.cholesky_solve(b, c.tril() if lower else c.triu(), upper=not lower),
        # linear algebra
        **{f"np.linalg.{n}": getattr(L, n) for n in "inv det slogdet".split()}, "np.linalg.tensorinv": L.tensorinv,
        "np.linalg.solve": L.solve, "np.linalg.cholesky": lambda x, upper=False: L.cholesky(hermitian(x), upper=upper),
        "np.linalg.eigh": lambda x, UPLO="L": phased(*L.eigh(hermitian(x), UPLO=UPLO)),
        "np.linalg.eigvalsh": lambda x, UPLO="L": L.eigvalsh(hermitian(x), UPLO=UPLO),
        "np.linalg.eig": lambda x: phased(*real_if_real(x, *L.eig(x))),
        "np.linalg.eigvals": lambda x: real_if_real(x, L.eigvals(x))[0],
        "np.linalg.qr": lambda x, mode="reduced": L.qr(x, mode),
        "np.linalg.svd": lambda x, full_matrices=True, compute_uv=True, hermitian=False: unphased(
            *L.svd(x, full_matrices)) if compute_uv else L.svdvals(x),
        "np.linalg.svdvals": L.svdvals, "np.linalg.matrix_power": lambda x, n: L.matrix_power(x, n),
        "np.linalg.pinv": lambda x, rcond=None, hermitian=False, rtol=None: L.pinv(x, hermitian=hermitian),
        "np.linalg.lstsq": lstsq, "np.unique": lambda x, axis=None, **_: x.reshape(-1).sort().values
        if axis is None else _not(axis),
        "np.linalg.norm": lambda x, ord=None, axis=None, keepdims=False: L.norm(x, ord, axis, keepdims),
        "np.linalg.matrix_norm": lambda x, ord="fro", keepdims=False: L.matrix_norm(x, ord, keepdim=keepdims),
        "np.linalg.vector_norm": lambda x, ord=2, axis=None, keepdims=False: L.vector_norm(x, ord, axis, keepdims),
        "np.linalg.cond": lambda x, p=None: L.cond(x, p), "expm": L.matrix_exp,
        "logm": of_matrix(torch.log), "sqrtm": of_matrix(torch.sqrt), "solve_sylvester": sylvester,
        "np.piecewise": piecewise, "matrix_exp": L.matrix_exp,
        "np.linalg.tensorsolve": lambda a, b, axes=None: L.tensorsolve(a, b, dims=axes),
        # special
        **{n: getattr(S, n) for n in ("erf erfc erfcx erfinv ndtr log_ndtr ndtri logit xlogy xlog1py entr gammaln "
                                      "digamma i0 i0e i1 i1e").split()},
        "sigmoid": torch.sigmoid, "log_expit": tf.logsigmoid, "exp10": lambda x: 10**x,
        "zeta": S.zeta, "polygamma": lambda x, n: S.polygamma(n, x), "multigammaln": S.multigammaln,
        # networks
        "_affine": lambda x, w, b: x @ w + b, "relu": torch.relu, "softplus": tf.softplus,
        "_leaky_relu": lambda x, slope=0.01: tf.leaky_relu(x, slope), "_gelu": tf.gelu,
        "_standardize": lambda x, w, b, axes, eps: (x - x.mean(axes, keepdim=True)) / torch.sqrt(
            x.var(axes, correction=0, keepdim=True) + eps) * w + b,
        "softmax": lambda x, axis=-1: torch.softmax(x, axis),
        "log_softmax": lambda x, axis=-1: torch.log_softmax(x, axis),
        "_index_cross_entropy": lambda z, t, mean: tf.cross_entropy(z, t.long(), reduction="mean" if mean else "none"),
        "conv": convolution, "_conv_bias": convolution, "conv_input_grad": conv_input_grad,
        "conv_weight_grad": conv_weight_grad, "max_pool": max_pool, "windows": windows, "window_sum": window_sum,
        "fold": lambda g, *, shape, **how: adjoint(
            lambda x: windows(x, size=g.shape[-len(shape):], **how), (*g.shape[:-2 * len(shape)], *shape), g),
        "window_spread": lambda g, *, shape, **how: adjoint(lambda x: window_sum(x, **how), shape, g),
        "pad": lambda x, pad_width, constant_values=0: tf.pad(
            x, np.broadcast_to(pad_width, (x.ndim, 2))[::-1].reshape(-1).tolist(), value=constant_values),
        "np.pad": lambda x, pad_width, mode="constant", constant_values=0: tf.pad(
            x, np.broadcast_to(pad_width, (x.ndim, 2))[::-1].reshape(-1).tolist(), value=constant_values)
        if mode == "constant" else _not(mode),
        "np.lib.stride_tricks.sliding_window_view": lambda x, window_shape, axis=None: x.unfold(
            0 if axis is None else axis, window_shape, 1) if isinstance(window_shape, int) else _not(window_shape),
        "take_pixels": lambda x, index: torch.gather(x, 2, index.long()[:, None].expand(-1, x.shape[1], -1)),
        "put_pixels": lambda g, index, size: torch.zeros(*g.shape[:2], size, dtype=g.dtype).scatter_add(
            2, index.long()[:, None].expand(-1, g.shape[1], -1), g),
    }


def _not(what):
    raise NotImplementedError(f"the peer has no {what!r:.60}")


def jax_twins():
    """JAX's: what NumPy and SciPy call it, and a few more."""
    import jax
    import jax.numpy as jnp
    import jax.scipy as jsp

    class Named(dict):
        def __missing__(self, name):
            for lead, home in (("np.", jnp), ("", jsp.special), ("", jsp.linalg), ("", jsp.signal), ("", jax.nn)):
                try:
                    if name.startswith("np.") == bool(lead):
                        return operator.attrgetter(name.removeprefix(lead))(home)
                except AttributeError:
                    pass
            raise KeyError(name)

    def listed(f):
        return lambda *xs, **static: f(list(xs), **static)

    return Named({
        **{f"np.{n}": listed(getattr(jnp, n)) for n in
           "concatenate stack vstack hstack dstack column_stack block".split()},
        "np.linalg.multi_dot": listed(jnp.linalg.multi_dot),
        "np.einsum": lambda *xs, subscripts: jnp.einsum(subscripts, *xs),
        "np.reshape": lambda x, shape: jnp.reshape(x, shape), "np.astype": lambda x, dtype: x.astype(dtype),
        "np.average": lambda a, weights=None, **static: jnp.average(a, weights=weights, **static),
        "np.clip": lambda x, a_min=None, a_max=None: jnp.clip(x, a_min, a_max),
        "np.bincount": lambda i, w, minlength=0: jnp.bincount(i, w, minlength=minlength, length=max(
            minlength, int(np.max(i)) + 1)),
        "np.choose": lambda i, *xs, **static: jnp.choose(i, list(xs), **static),
        "np.insert": lambda x, values, obj, axis=None: jnp.insert(
            x, obj if isinstance(obj, slice) else np.asarray(obj), values, axis),
        "np.select": lambda *xs, default=0: jnp.select(list(xs[:len(xs) // 2]), list(xs[len(xs) // 2:]), default),
        "np.delete": lambda x, obj, axis=None: jnp.delete(x, np.asarray(obj) if isinstance(obj, list) else obj, axis),
        "x[index]": lambda x, index: x[
            tuple(np.asarray(i) if isinstance(i, (list, range)) else i for i in index) if isinstance(index, tuple)
            else np.asarray(index) if isinstance(index, (list, range)) else index],
        "assign": lambda x, v, index: x.at[index].set(v) if not isinstance(index, list) else _not(index),
        "scatter_add": lambda g, index, shape: jnp.zeros(shape, g.dtype).at[index].add(g),
        "np.lib.stride_tricks.sliding_window_view": None,
    })


def mpmath_twins():
    """mpmath's, for functions of numbers: it differentiates in as many digits as are asked for."""
    import mpmath as m
    pi = m.pi

    ive = lambda v, x: m.besseli(v, x) * m.exp(-abs(x))
    kve = lambda v, x: m.besselk(v, x) * m.exp(x)
    lower = lambda a, x: m.gammainc(a, 0, x, regularized=True)
    upper = lambda a, x: m.gammainc(a, x, m.inf, regularized=True)
    inc = lambda a, b, x: m.betainc(a, b, 0, x, regularized=True)

    def pair(name, f, g):
        return {name: lambda x: (f(x), g(x)), f"{name}[0]": f, f"{name}[1]": g}

    def boxcox(x, lam):
        return m.log(x) if lam == 0 else (x**lam - 1) / lam

    def inv_boxcox(y, lam):
        return m.exp(y) if lam == 0 else (lam * y + 1) ** (1 / lam)

    def solved(f, *start):
        """The inverse of f in its last argument, by Newton's method."""
        def inverse(*args):
            *a, p = args
            return m.findroot(lambda x: f(*a, x) - p, start[0] if start else p)
        return inverse

    def lambertw(x, k=0):
        return m.lambertw(x, k)
    lambertw.complex = True  # also where it is real

    def huber(delta, r):
        return r * r / 2 if abs(r) <= delta else delta * (abs(r) - delta / 2)

    return {
        "erfi": m.erfi, "erfcinv": lambda x: m.erfinv(1 - x), "erfinv": m.erfinv,
        "dawsn": lambda x: m.sqrt(pi) / 2 * m.exp(-x * x) * m.erfi(x),
        "gamma": m.gamma, "loggamma": m.loggamma, "rgamma": m.rgamma, "beta": m.beta, "binom": m.binomial,
        "poch": m.rf, "betaln": lambda a, b: m.log(m.beta(a, b)), "zeta": lambda x, q: m.zeta(x, q),
        "gammainc": lower, "gammaincc": upper, "betainc": inc, "betaincc": lambda a, b, x: 1 - inc(a, b, x),
        "gammaincinv": solved(lower, 2.0), "gammainccinv": solved(upper, 2.0),
        "betaincinv": solved(inc, 0.5), "betainccinv": solved(lambda a, b, x: 1 - inc(a, b, x), 0.5),
        "j0": lambda x: m.besselj(0, x), "j1": lambda x: m.besselj(1, x), "jv": m.besselj,
        "y0": lambda x: m.bessely(0, x), "y1": lambda x: m.bessely(1, x), "yv": m.bessely,
        "i0": lambda x: m.besseli(0, x), "i1": lambda x: m.besseli(1, x), "iv": m.besseli,
        "i0e": functools.partial(ive, 0), "i1e": functools.partial(ive, 1), "ive": ive,
        "k0": lambda x: m.besselk(0, x), "k1": lambda x: m.besselk(1, x), "kv": m.besselk,
        "k0e": functools.partial(kve, 0), "k1e": functools.partial(kve, 1), "kve": kve,
        "expi": m.ei, "exp1": m.e1, "expn": m.expint, "spence": lambda x: m.polylog(2, 1 - x),
        **pair("sici", m.si, m.ci), **pair("shichi", m.shi, m.chi), **pair("fresnel", m.fresnels, m.fresnelc),
        "hyp0f1": m.hyp0f1, "hyp1f1": m.hyp1f1, "hyp2f1": m.hyp2f1,
        "exprel": lambda x: m.expm1(x) / x if x else m.mpf(1),
        "boxcox": boxcox, "boxcox1p": lambda x, lam: boxcox(1 + x, lam), "inv_boxcox": inv_boxcox,
        "inv_boxcox1p": lambda y, lam: inv_boxcox(y, lam) - 1, "lambertw": lambertw,
        "rel_entr": lambda a, b: a * m.log(a / b), "kl_div": lambda a, b: a * m.log(a / b) - a + b,
        "huber": huber, "pseudo_huber": lambda d, r: d * d * (m.sqrt(1 + (r / d) ** 2) - 1),
        "exp10": lambda x: m.mpf(10) ** x, "np.cbrt": lambda x: m.sign(x) * abs(x) ** (m.mpf(1) / 3),
    }
