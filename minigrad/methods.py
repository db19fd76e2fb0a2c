"""The methods of NumPy's arrays, for Tensors: each is NumPy's function of the same name."""

from __future__ import annotations

import functools
import operator

import numpy as np


def on_cpu(device) -> str:
    """"cpu", the only device there is; ValueError for another."""
    if str(device) != "cpu":
        raise ValueError(f'there is no device {str(device)!r}: minigrad computes on the CPU, with NumPy. Use "cpu", or '
                         "leave it out")
    return "cpu"


def asked_of_to(target=None, device=None, dtype=None):
    """The dtype that ``.to(...)`` was asked for, of whatever it takes in PyTorch; None if it was the CPU alone."""
    if target is not None and dtype is None:
        try:
            dtype, target = np.dtype(target if isinstance(target, type) else getattr(target, "dtype", target)), None
        except TypeError:
            if not isinstance(target, str):
                raise TypeError(f'to takes a dtype like np.float64, or "cpu", not {target!r:.60}') from None
    for place in (target, device):
        if place is not None:
            on_cpu(place)
    return dtype


_ONE = "one number is wanted: t.sum(), t.mean() or t[i]; t.tolist() gives all"


class ArrayMethods:
    """What `Tensor` inherits: ``t.sum(axis=0)`` is ``np.sum(t, axis=0)``. argmax, any and all give plain arrays."""

    __slots__ = ()

    def __dir__(self): return [name for name in super().__dir__() if name not in _ELSEWHERE]

    shape = property(lambda self: self._data.shape)
    ndim = property(lambda self: self._data.ndim)
    size = property(lambda self: self._data.size)
    dtype = property(lambda self: self._data.dtype)
    itemsize = property(lambda self: self._data.itemsize)
    nbytes = property(lambda self: self._data.nbytes)
    strides = property(lambda self: self._data.strides)
    flags = property(lambda self: self._data.flags)
    T = property(lambda self: np.transpose(self))
    mT = property(lambda self: np.swapaxes(self, -1, -2))

    real = property(lambda self: np.real(self))
    imag = property(lambda self: np.imag(self))

    def conj(self): return np.conjugate(self) if self.dtype.kind == "c" else self
    def conjugate(self): return self.conj()
    def item(self, *index): return self._number(lambda a: a.item(*index), _ONE)
    def tolist(self): return self.data.tolist()
    def tobytes(self, order="C"): return self.numpy().tobytes(order)
    def __float__(self): return self._number(float, _ONE)
    def __int__(self): return self._number(int, _ONE)
    def __complex__(self): return self._number(complex, _ONE)
    def __bool__(self): return self._number(bool, "of a.any() and a.all() say which")
    def __index__(self): return self._number(operator.index, "int(t) makes an index of one number")
    def __len__(self): return self._number(len, "one number has no length and is no sequence; t.size is 1")

    def _number(self, function, way_out):
        data = self.data
        try:
            return function(data)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{error} [a Tensor {self.dtype} {self.shape}; {way_out}]") from None

    # comparisons are plain arrays: constants of the graph
    def __eq__(self, other): return self.data == self.plain(other)
    def __ne__(self, other): return self.data != self.plain(other)
    def __lt__(self, other): return self.data < self.plain(other)
    def __le__(self, other): return self.data <= self.plain(other)
    def __gt__(self, other): return self.data > self.plain(other)
    def __ge__(self, other): return self.data >= self.plain(other)
    __hash__ = object.__hash__

    def __iter__(self): return (self[i] for i in range(len(self)))
    def __divmod__(self, other): return np.divmod(self, other)
    def __rdivmod__(self, other): return np.divmod(other, self)
    def __contains__(self, x): return bool(np.any(self == x))
    def __format__(self, spec): return format(self.item(), spec) if spec else str(self)

    def sum(self, axis=None, *, keepdims=False): return self.record(np.sum, self, axis=axis, keepdims=keepdims)
    def mean(self, axis=None, *, keepdims=False): return self.record(np.mean, self, axis=axis, keepdims=keepdims)
    def prod(self, axis=None, *, keepdims=False): return self.record(np.prod, self, axis=axis, keepdims=keepdims)
    def max(self, axis=None, *, keepdims=False): return self.record(np.max, self, axis=axis, keepdims=keepdims)
    def min(self, axis=None, *, keepdims=False): return self.record(np.min, self, axis=axis, keepdims=keepdims)
    def var(self, axis=None, *, ddof=0, keepdims=False):
        return self.record(np.var, self, axis=axis, ddof=ddof, keepdims=keepdims)

    def std(self, axis=None, *, ddof=0, keepdims=False):
        return self.record(np.std, self, axis=axis, ddof=ddof, keepdims=keepdims)

    def any(self, axis=None, *, keepdims=False): return np.any(self, axis=axis, keepdims=keepdims)
    def all(self, axis=None, *, keepdims=False): return np.all(self, axis=axis, keepdims=keepdims)
    def argmax(self, axis=None, *, keepdims=False): return np.argmax(self, axis=axis, keepdims=keepdims)
    def argmin(self, axis=None, *, keepdims=False): return np.argmin(self, axis=axis, keepdims=keepdims)
    def argsort(self, axis=-1, kind=None): return np.argsort(self, axis=axis, kind=kind)
    def argpartition(self, kth, axis=-1): return np.argpartition(self, kth, axis=axis)
    def nonzero(self): return np.nonzero(self)
    def searchsorted(self, v, side="left", sorter=None): return np.searchsorted(self, v, side, sorter)

    def cumsum(self, axis=None): return np.cumsum(self, axis=axis)
    def cumprod(self, axis=None): return np.cumprod(self, axis=axis)
    def take(self, indices, axis=None, *, mode="raise"): return np.take(self, indices, axis=axis, mode=mode)
    def compress(self, condition, axis=None): return np.compress(condition, self, axis)
    def choose(self, choices, *, mode="raise"): return np.choose(self, choices, mode=mode)
    def repeat(self, repeats, axis=None): return np.repeat(self, repeats, axis)

    def reshape(self, *shape, order=None):
        if order is None:
            return self.record(np.reshape, self, shape=_one_or_many(shape))
        return self.record(np.reshape, self, shape=_one_or_many(shape), order=order)

    def ravel(self, order=None): return self.reshape(-1, order=order)
    def flatten(self, order=None): return self.reshape(-1, order=order)
    def transpose(self, *axes): return self.record(np.transpose, self, axes=_one_or_many(axes) if axes else None)
    def swapaxes(self, axis1, axis2): return self.record(np.swapaxes, self, axis1=axis1, axis2=axis2)
    def squeeze(self, axis=None): return self.record(np.squeeze, self, axis=axis)
    def astype(self, dtype, *, copy=True): return np.astype(self, dtype) if copy or self.dtype != dtype else self

    def to(self, target=None, *, device=None, dtype=None):
        """This with another dtype, as PyTorch writes it: ``t.to(np.float64)``; itself on the CPU, the only device."""
        dtype = asked_of_to(target, device, dtype)
        return self if dtype is None else self.astype(dtype, copy=False)

    def cpu(self): return self
    device = property(lambda self: "cpu")
    def copy(self, order="K"): return np.copy(self, order=order)
    def clip(self, min=None, max=None): return np.clip(self, min, max)
    def round(self, decimals=0): return np.round(self, decimals)
    def dot(self, other): return np.dot(self, other)
    def diagonal(self, offset=0, axis1=0, axis2=1): return np.diagonal(self, offset, axis1, axis2)
    def trace(self, offset=0, axis1=0, axis2=1): return np.trace(self, offset, axis1, axis2)

    def sort(self, axis=-1):
        """Refused: NumPy's method changes the array and returns nothing, PyTorch's returns values and indices."""
        raise TypeError("t.sort() would sort in place: use np.sort(t), or np.take_along_axis(t, t.argsort(), -1)")

    def partition(self, kth, axis=-1):
        """Refused, as `sort` is."""
        raise TypeError("t.partition() would change the Tensor in place: use np.partition(t, kth)")

    def view(self, *args):
        """Refused: NumPy's takes a dtype, PyTorch's a shape."""
        raise TypeError("t.view() means one thing in NumPy and another in PyTorch: use t.reshape(shape), "
                        "t.astype(dtype), or t.detach().numpy().view(dtype) for other eyes on the same bytes")


def _one_or_many(numbers):
    """NumPy's ``reshape(2, 3)``, ``reshape((2, 3))`` and ``transpose(None)``, all as one argument."""
    return numbers[0] if len(numbers) == 1 else numbers


# ---- what PyTorch's Tensors have, and NumPy's arrays have not ----
_ELSEWHERE = {
    **{name: f"np.{name}(t)" for name in ("exp", "log", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "log1p",
                                         "expm1", "sign", "floor", "ceil", "maximum", "minimum", "square", "isnan",
                                         "isfinite", "matmul", "split", "tile", "flip", "roll", "triu", "tril")},
    **{name: f"minigrad.functional.{name}(t)" for name in ("relu", "sigmoid", "softmax", "log_softmax", "gelu")},
    **dict.fromkeys(("mm", "bmm"), "a @ b"), **dict.fromkeys(("add_", "sub_", "mul_", "div_"), "t += x, t *= x, ..."),
    "abs": "np.abs(t)", "pow": "t ** n", "add": "a + b", "sub": "a - b", "mul": "a * b", "div": "a / b",
    "unsqueeze": "np.expand_dims(t, axis)", "permute": "t.transpose(axes)", "t": "t.T", "norm": "np.linalg.norm(t)",
    "expand": "np.broadcast_to(t, shape)", "numel": "t.size", "dim": "t.ndim", "clone": "t.copy()",
    "clamp": "t.clip(min, max)", "float": "t.astype(np.float32)", "double": "t.astype(np.float64)",
    "half": "t.astype(np.float16)", "long": "t.astype(np.int64)", "int": "t.astype(np.int32)",
    "bool": "t.astype(bool)", "type": "t.astype(dtype)", "is_cuda": "t.device", "new_zeros": "np.zeros_like(t)",
    "cuda": "it as it is: minigrad computes on the CPU"}


def _absent(name, instead, self):
    raise AttributeError(f"a Tensor has no {name!r}: use {instead}")


for _name, _instead in _ELSEWHERE.items():  # properties, for __getattr__ would make every attribute slower
    setattr(ArrayMethods, _name, property(functools.partial(_absent, _name, _instead)))
