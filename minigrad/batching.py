"""`vmap`: a function of one example, run on a whole batch without a loop.

Inside, the function sees a `Batched` where it expects an array: a value with one axis more than it shows. NumPy's
functions reach it through the same protocols that reach a Tensor; each op is then done on all examples at once, by a
rule that says where its axes have gone. An op without such a rule is done example by example, and stacked.
"""

from __future__ import annotations

import functools
import inspect
import operator
import string
import threading
from collections.abc import Callable

import numpy as np
from numpy.lib.array_utils import normalize_axis_index, normalize_axis_tuple
from numpy.lib.mixins import NDArrayOperatorsMixin

from . import primitives as P
from . import tree
from .derivatives import indexing, linalg, scans, special
from .derivatives.scans import logsumexp
from .dispatch import of_scipy
from .graph import composites, constants, table
from .inplace import assign, writers
from .methods import ArrayMethods
from .tensor import Tensor, _plain, record

rules: dict = {}  # key of the table or of the constants -> f(key, xs, batched, **static), xs with the batch first

decomposed: dict = {}  # key of the table -> the same as a function of functions in the table


class _NoArray(TypeError):
    """A value of a whole batch was asked to be an array."""


class _Levels(threading.local):
    def __init__(self):
        self.active = ()  # (level, size) of each vmap around us, the outermost first


levels = _Levels()


def batching(*keys):
    """Enter a batching rule for these keys."""
    def enter(f):
        rules.update(dict.fromkeys(keys, f))
        return f
    return enter


class Batched(NDArrayOperatorsMixin, ArrayMethods):
    """One example as a function inside `vmap` sees it: ``value``, without its first axis.

    value: a Tensor, an array, or, in a vmap within a vmap, a Batched of the outer ``level``.
    """

    __slots__ = ("is_parameter", "level", "value")
    node = None
    requires_grad = property(lambda self: getattr(self.value, "requires_grad", False))
    _data = property(lambda self: getattr(self.value, "_data", self.value))
    shape = property(lambda self: self.value.shape[1:])
    ndim = property(lambda self: self.value.ndim - 1)
    size = property(lambda self: int(np.prod(self.shape)))
    dtype = property(lambda self: self.value.dtype)

    def __init__(self, value, level):
        self.value, self.level, self.is_parameter = value, level, False

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if method == "at" or kwargs.get("out") is not None:
            raise _not_into_one(ufunc)
        if method != "__call__" or kwargs:
            return _each(getattr(ufunc, method), inputs, kwargs)
        return _record(ufunc, *inputs) if ufunc in table else self.__array_function__(ufunc, (), inputs, {})

    def __array_function__(self, function, types, args, kwargs):
        if function in writers or kwargs.get("out") is not None:
            raise _not_into_one(function)
        if function in (np.shape, np.ndim, np.size):
            return getattr(self, function.__name__)
        if function in table:
            inputs, static = table[function].bind(*args, **kwargs)
            return _record(function, *inputs, **static)
        if made := composites.get(function) or composites.get(of_scipy(function)):
            try:
                return made(*args, **kwargs)
            except _NoArray:  # it looks into what it is given
                return _each(made, args, kwargs)
        if function in rules:  # a constant along axes
            given = inspect.signature(function).bind(*args, **kwargs).arguments
            return _record(function, given.pop(next(iter(given))), **given)
        if function in constants and isinstance(function, np.ufunc):
            return _record(function, *args)
        return _each(function, args, kwargs)

    def __getitem__(self, index): return _record(operator.getitem, self, index=index)
    def __len__(self): return self.shape[0]
    __hash__ = object.__hash__

    def __setitem__(self, index, v):
        if whole(self).base is not None:
            raise RuntimeError("this is a view, or an argument of vmap's function: assigning into it would not reach "
                               "what it views. Take a copy() first")
        new = _record(assign, self, v, index=index)
        self.value, self.level = new.value, new.level

    def __bool__(self):
        values = whole(self)
        if values.any() != values.all():
            raise TypeError("inside vmap a condition cannot hold for some examples and not for others: "
                            "use np.where(condition, a, b)")
        return bool(values.all())

    def __array__(self, dtype=None, copy=None):
        raise _NoArray("inside vmap a value stands for a whole batch and cannot become an array or an index of one: "
                       "use NumPy's functions on it, np.take(Tensor(x), i, axis=0) for x[i]")

    def numpy(self):
        """Not to be had inside vmap."""
        return self.__array__()
    data = property(numpy)

    def detach(self):
        """The same values as constants."""
        return Batched(self.value.detach() if hasattr(self.value, "detach") else self.value, self.level)

    def __repr__(self):
        return f"Batched(shape={self.shape}, dtype={self.dtype}, batch={self.value.shape[0]})"


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"):  # x += y is x = x + y
    setattr(Batched, f"__i{_name}__", getattr(Batched, f"__{_name}__"))


def whole(x):
    """The array of all examples behind a Batched; any other value as an array."""
    while isinstance(x, Batched):
        x = x.value
    return np.asarray(_plain(x))


def _not_into_one(function):
    return TypeError(f"inside vmap np.{function.__name__} would write a whole batch into one array: use a new "
                     "value, h = h + x instead of h += x")


# ---- how an op is applied ----
def _level(xs):
    """The highest level of vmap among ``xs``, also inside tuples, lists and dicts; 0 if there is none."""
    return max((x.level if isinstance(x, Batched) else _level(x.values() if type(x) is dict else x)
                for x in xs if isinstance(x, (Batched, tuple, list, dict))), default=0)


def _apply(key, *xs, **static):
    if key in table and _level(static.values()):
        return _record(key, *xs, **static)
    return record(key, *xs, **static) if key in table else key(*map(_plain, xs), **static)


def _record(key, *inputs, **static):
    """Apply an op to every example: by its batching rule, else one by one."""
    if key in decomposed:
        return decomposed[key](*inputs, **static)
    level = _level(inputs)
    if _level(static.values()) or not level:
        return _each(functools.partial(_apply, key), inputs, static)
    batched = [isinstance(x, Batched) and x.level == level for x in inputs]
    xs = [x.value if b else x for x, b in zip(inputs, batched)]
    rule = rules.get(key) or (elementwise if _is_elementwise(key) else None)
    y = rule and rule(key, xs, batched, **static)
    if y is None:
        return _each(functools.partial(_apply, key), inputs, static)
    return y if isinstance(y, Batched) and y.level == level else Batched(y, level)


def _is_elementwise(key):
    """Of the ops that broadcast, ufuncs and ours are; of a user's nobody knows."""
    return isinstance(key, np.ufunc) or (
        table[key].broadcasts and str(getattr(key, "__module__", "")).startswith(("numpy", "minigrad.")))


def _each(function, args, kwargs):
    """``function`` example by example, its results stacked: slow, and right for everything."""
    level = _level((args, kwargs))
    size = next((n for k, n in levels.active if k == level), None)
    if size is None:
        raise RuntimeError("a value from inside vmap was kept, and used after vmap had ended")
    if size == 0:
        raise ValueError(f"vmap of no examples: {getattr(function, '__name__', 'an op')} is done one by one")
    results = [function(*_example(i, level, args), **_example(i, level, kwargs)) for i in range(size)]
    return tree.transform(lambda *ys: Batched(np.stack(ys), level), *results)


def _example(i, level, x):
    if isinstance(x, Batched):
        return (x.value[i] if x.dtype.kind in "fc" else _plain(x.value)[i]) if x.level == level else x
    if type(x) is dict:
        return {k: _example(i, level, v) for k, v in x.items()}
    return type(x)(_example(i, level, v) for v in x) if type(x) in (list, tuple) else x


Batched.record = staticmethod(_record)


def _size(xs, batched):
    return next(x.shape[0] for x, b in zip(xs, batched) if b)


def _spread(xs, batched):
    """All of them batched: what is the same for all examples is broadcast."""
    n = _size(xs, batched)
    return [x if b else np.broadcast_to(Tensor(x) if np.isscalar(x) else x, (n, *np.shape(x)))
            for x, b in zip(xs, batched)]


def elementwise(key, xs, batched, **static):
    """The batching rule of what broadcasts."""
    n = max(np.ndim(x) - b for x, b in zip(xs, batched))
    return _apply(key, *(_pad_axes(x, n) if b else x for x, b in zip(xs, batched)), **static)


def _pad_axes(x, n):
    """(B, ...) with axes of length 1 after the first, until an example has n axes."""
    return x if x.ndim > n else x.reshape(x.shape[0], *(1,) * (n + 1 - x.ndim), *x.shape[1:])


# ---- axes: each is one further back ----
def _axes(axis, n):
    """Axes of an example of n axes as axes of the batch; None: all."""
    return tuple(a + 1 for a in (range(n) if axis is None else normalize_axis_tuple(axis, max(n, 1)) if n else ()))


@batching(np.sum, np.mean, np.prod, np.max, np.min, np.var, np.std, np.flip, np.any, np.all)
def over_axes(key, xs, batched, axis=None, **static):
    """The batching rule of reductions and others over one axis, several or all."""
    return _apply(key, *xs, axis=_axes(axis, xs[0].ndim - 1), **static)


@batching(np.argmax, np.argmin)
def _first_of(key, xs, batched, axis=None, keepdims=False):
    axis = axis if axis is None else operator.index(axis)
    if axis is None:
        y = key(_plain(xs[0]).reshape(xs[0].shape[0], -1), axis=1)
        return y.reshape(-1, *(1,) * (xs[0].ndim - 1)) if keepdims else y
    return key(_plain(xs[0]), axis=_axes(axis, xs[0].ndim - 1)[0], keepdims=keepdims)


def along(default):
    """The batching rule of ops along one axis; axis=None flattens."""
    def rule(key, xs, batched, axis=default, **static):
        xs = _spread(xs, batched)
        if axis is None:
            return _apply(key, *(x.reshape(x.shape[0], -1) for x in xs), axis=1, **static)
        return _apply(key, *xs, axis=normalize_axis_index(axis, xs[0].ndim - 1) + 1, **static)
    return rule


batching(np.nanmax, np.nanmin, logsumexp)(over_axes)
batching(np.concatenate, np.take_along_axis, indexing.add_along_axis)(along(0))
batching(np.argsort, np.fft.fft, np.fft.ifft, np.fft.rfft, np.fft.irfft, scans.logcumsumexp)(along(-1))
batching(np.cumsum, np.cumprod)(along(None))
batching(np.real, np.imag, np.round, np.around, np.sinc, np.i0, np.nan_to_num, special.sigmoid,
         special.lambertw)(elementwise)


@batching(np.clip)
def _clip(key, xs, batched, **bounds):
    if all(np.ndim(b) < xs[0].ndim for b in bounds.values()):
        return _apply(key, *xs, **bounds)


@batching(np.roll)
def _roll(key, xs, batched, shift, axis=None):
    if axis is not None:
        axes = [normalize_axis_index(a, xs[0].ndim - 1) + 1 for a in np.atleast_1d(axis).tolist()]
        return np.roll(xs[0], shift, tuple(axes))


@batching(np.fft.fftshift, np.fft.ifftshift)
def _fftshift(key, xs, batched, axes=None):
    return _apply(key, *xs, axes=_axes(axes, xs[0].ndim - 1))


@batching(np.stack)
def _stack(key, xs, batched, axis=0):
    xs = _spread(xs, batched)
    return _apply(key, *xs, axis=normalize_axis_index(axis, xs[0].ndim) + 1)


# ---- shapes ----
@batching(np.reshape)
def _reshape(key, xs, batched, shape, **order):
    if not order:
        n, *size = xs[0].shape
        return xs[0].reshape(n, *np.empty(size, bool).reshape(shape).shape)  # what -1 is, also in a batch of 0


@batching(np.squeeze)
def _squeeze(key, xs, batched, axis=None):
    x, = xs
    ones = [a for a in range(1, x.ndim) if x.shape[a] == 1] if axis is None else _axes(axis, x.ndim - 1)
    return np.squeeze(x, axis=tuple(ones))


@batching(np.expand_dims)
def _expand_dims(key, xs, batched, axis):
    axes = normalize_axis_tuple(axis, xs[0].ndim - 1 + np.size(axis))
    return np.expand_dims(xs[0], tuple(a + 1 for a in axes))


@batching(np.transpose)
def _transpose(key, xs, batched, axes=None):
    n = xs[0].ndim - 1
    return np.transpose(xs[0], (0, *(_axes(None, n)[::-1] if axes is None else _axes(axes, n))))


@batching(np.swapaxes)
def _swapaxes(key, xs, batched, axis1, axis2):
    return np.swapaxes(xs[0], *(_axes(a, xs[0].ndim - 1)[0] for a in (axis1, axis2)))


@batching(np.moveaxis)
def _moveaxis(key, xs, batched, source, destination):
    return np.moveaxis(xs[0], *(_axes(a, xs[0].ndim - 1) for a in (source, destination)))


@batching(np.broadcast_to)
def _broadcast_to(key, xs, batched, shape):
    shape = tuple(np.atleast_1d(shape).tolist())
    return np.broadcast_to(_pad_axes(xs[0], len(shape)), (xs[0].shape[0], *shape))


@batching(np.copy, np.astype, P.windows, P.fold,
          *(key for key, op in table.items() if getattr(key, "__module__", "") in ("numpy.linalg", linalg.__name__)
            and type(op.rules) is tuple and len(op.rules) == 1))
def _unchanged(key, xs, batched, **static):
    return _apply(key, *xs, **static)


@batching(np.zeros_like, np.ones_like, np.empty_like)
def _like(key, xs, batched, shape=None, **static):
    return _apply(key, *xs, **static) if shape is None else None


# ---- products ----
@batching(np.matmul)
def _matmul(key, xs, batched):
    (a, b), (in_a, in_b) = xs, batched
    row, column = np.ndim(a) - in_a == 1, np.ndim(b) - in_b == 1
    if not in_b and np.ndim(b) <= 2:
        return np.matmul(a, b)
    a = np.expand_dims(a, -2) if row else a
    b = np.expand_dims(b, -1) if column else b
    n = max(a.ndim - in_a, b.ndim - in_b)
    y = np.matmul(_pad_axes(a, n) if in_a else a, _pad_axes(b, n) if in_b else b)
    y = y.squeeze(-1) if column else y
    return y.squeeze(-1 if column else -2) if row else y


@batching(np.einsum)
def _einsum(key, xs, batched, subscripts):
    new = next(c for c in string.ascii_letters if c not in subscripts)
    terms, out = subscripts.split("->")
    terms = [new * b + t for t, b in zip(terms.split(","), batched)]
    return np.einsum(f"{','.join(terms)}->{new}{out}", *xs)


# ---- indexing ----
@batching(np.take, indexing.add_taken)
def _take(key, xs, batched, axis=None, **n):
    (x, indices), n_axes = xs, np.ndim(xs[0]) - batched[0]
    if axis is None or all(batched):
        return None
    axis = normalize_axis_index(axis, n_axes)
    if batched[0]:
        return _apply(key, x, indices, axis=axis + 1, **n)
    return np.moveaxis(np.take(x, indices, axis=axis), axis, 0) if key is np.take else None


def _index(index):
    """The same index behind a batch axis; None where NumPy would move that axis (arrays apart from each other)."""
    parts = index if isinstance(index, tuple) else (index,)
    if any(isinstance(i, (list, range, np.ndarray)) for i in parts):
        picks = [k for k, i in enumerate(parts) if i is not None and i is not ... and not isinstance(i, slice)]
        if picks[-1] - picks[0] >= len(picks):
            return None
    return (slice(None), *parts)


@batching(operator.getitem)
def _getitem(key, xs, batched, index):
    index = _index(index)
    return index and xs[0][index]


@batching(P.scatter_add)
def _scatter_add(key, xs, batched, index, shape):
    index = _index(index)
    return index and P.scatter_add(xs[0], index=index, shape=(xs[0].shape[0], *np.atleast_1d(shape).tolist()))


@batching(assign)
def _one_by_one(key, xs, batched, **static):
    return None


@batching(P.pad)
def _pad(key, xs, batched, pad_width, **static):
    widths = np.broadcast_to(pad_width, (xs[0].ndim - 1, 2)).tolist()
    return P.pad(xs[0], pad_width=((0, 0), *map(tuple, widths)), **static)


# ---- images: more of them, or, if the weights differ, more groups ----
def _merge(x, axis):
    """(B, ...) with its batch merged into ``axis`` of an example."""
    x = np.moveaxis(x, 0, axis)
    return x.reshape(*x.shape[:axis], x.shape[axis] * x.shape[axis + 1], *x.shape[axis + 2:])


def _divide(y, n, axis):
    """The inverse of `_merge`."""
    return np.moveaxis(y.reshape(*y.shape[:axis], n, y.shape[axis] // n, *y.shape[axis + 1:]), axis, 0)


@batching(P.conv, P.conv_input_grad)
def _conv(key, xs, batched, groups, shape=None, **static):
    (x, w), n = xs, _size(xs, batched)
    if not batched[1]:
        more = {} if shape is None else {"shape": (n * shape[0], *shape[1:])}
        return _divide(key(_merge(x, 0), w, groups=groups, **more, **static), n, 0)
    x, w = _spread(xs, batched)
    more = {} if shape is None else {"shape": (shape[0], n * shape[1], *shape[2:])}
    return _divide(key(_merge(x, 1), _merge(w, 0), groups=n * groups, **more, **static), n, 1)


@batching(P.conv_weight_grad)
def _conv_weight_grad(key, xs, batched, groups, shape, **static):
    n = _size(xs, batched)
    x, g = (_merge(v, 1) for v in _spread(xs, batched))
    return _divide(key(x, g, groups=n * groups, shape=(n * shape[0], *shape[1:]), **static), n, 0)


@batching(P.max_pool, P.pool_put, P.pool_take, P.window_sum, P.window_spread)
def _pool(key, xs, batched, shape=None, **static):
    n = _size(xs, batched)
    more = {} if shape is None else {"shape": (n * shape[0], *shape[1:])}
    return _divide(key(*(_merge(x, 0) for x in _spread(xs, batched)), **more, **static), n, 0)


# ---- in and out ----
def vmap(f: Callable, in_dims=0, out_dims=0) -> Callable:
    """A function that applies ``f`` to every example of a batch: PyTorch's vmap, JAX's vmap.

    in_dims: the axis of the examples in each argument; None for an argument that is the same for all (a module, say).
    One number for all arguments, or a tuple with one entry each; an entry for a dict, list or tuple holds for all in
    it. out_dims: where the axis goes in the results: one number, or a tuple with one for each. Keyword arguments are
    the same for all.

    ``vmap(grad(loss), (None, 0, 0))(model, x, y)`` are the gradients of every single example. f may use the functions
    of functions of this package, and vmap again; conditions on values must come out the same for all examples.
    What is drawn at random inside is drawn once, for all. Raises ValueError if the examples do not agree in number.

        >>> vmap(np.dot)(np.ones((5, 3)), np.ones((5, 3))).shape
        (5,)
    """
    @functools.wraps(f, updated=())
    def mapped(*args, **kwargs):
        dims = tuple(in_dims) if isinstance(in_dims, (tuple, list)) else (in_dims,) * len(args)
        if not all(d is None or isinstance(d, (int, np.integer)) for d in dims):
            raise TypeError(f"vmap: in_dims={in_dims} must hold one axis, or None, for each argument")
        if len(dims) != len(args):
            raise ValueError(f"vmap: in_dims={in_dims} is for {len(dims)} arguments, but there are {len(args)}")
        sizes = {f"argument {i}{path}": np.shape(x)[dim] for i, (arg, dim) in enumerate(zip(args, dims))
                 if dim is not None for path, x in _examples(arg, dim, i)}
        if len(set(sizes.values())) != 1:
            raise ValueError("vmap: " + ("nothing is mapped: one of in_dims must be an axis" if not sizes else
                             "the arguments differ in their number of examples: "
                             + ", ".join(f"{k} has {n}" for k, n in sizes.items())))
        size, before = next(iter(sizes.values())), levels.active
        level = before[-1][0] + 1 if before else 1
        levels.active = (*before, (level, size))
        try:
            y = f(*(arg if dim is None else tree.transform(
                lambda x, dim=dim: Batched(np.moveaxis(_tensor(x), dim, 0), level), arg)
                for arg, dim in zip(args, dims)), **kwargs)
        finally:
            levels.active = before
        if not isinstance(out_dims, (tuple, list)):
            return tree.transform(lambda v: _out(v, level, size, out_dims), y)
        if not isinstance(y, (tuple, list)) or len(y) != len(out_dims):
            raise ValueError(f"vmap: out_dims={out_dims} is for {len(out_dims)} results")
        return type(y)(tree.transform(lambda v, d=d: _out(v, level, size, d), part) for part, d in zip(y, out_dims))
    return mapped


def _tensor(x):
    """What can carry a gradient as a Tensor, the rest as an array."""
    if isinstance(x, Batched):
        return x
    x = x if isinstance(x, Tensor) else Tensor(x)
    return x if x.dtype.kind in "fc" else x.data


def _examples(arg, dim, i):
    """The leaves of an argument that is mapped over axis ``dim``, each seen to have it."""
    if tree.is_module(arg):
        raise ValueError(f"vmap: argument {i} is a module, the same for all examples: give it None in in_dims")
    for path, x in tree.leaves(arg):
        if not -np.ndim(x) <= dim < np.ndim(x):
            raise ValueError(f"vmap: argument {i}{path} of shape {np.shape(x)} has no axis {dim} of examples: give it "
                             "None in in_dims if it is the same for all")
        yield path, x


def _out(y, level, size, dim):
    if isinstance(y, Batched) and y.level == level:
        y = y.value
    else:  # the same for all examples
        y = np.copy(np.broadcast_to(_tensor(y), (size, *np.shape(y))))
    y = np.moveaxis(y, 0, dim)
    return y if isinstance(y, (Tensor, Batched)) else Tensor(y)


def unwrap(x, active):
    """``x`` as one value with an axis for each of the ``active`` levels in front, the outermost first.

    Where x is the same for all examples it is broadcast, so that each has a gradient of its own. A level younger than
    these stays a Batched around the result.
    """
    if isinstance(x, Batched) and x.level > (active[-1][0] if active else 0):
        return Batched(np.moveaxis(unwrap(x.value, active), len(active), 0), x.level)
    if not active:
        return x
    level, size = active[-1]
    inner = x.value if isinstance(x, Batched) and x.level == level else np.broadcast_to(x, (size, *np.shape(x)))
    return unwrap(inner, active[:-1])


def wrap(x, active):
    """The inverse of `unwrap`."""
    if isinstance(x, Batched):
        return Batched(wrap(np.moveaxis(x.value, 0, len(active)), active), x.level)
    return Batched(wrap(x, active[:-1]), active[-1][0]) if active else x
