"""The methods of NumPy's arrays, for Tensors: each is NumPy's function of the same name."""

from __future__ import annotations

import operator

import numpy as np


class ArrayMethods:
    """What `Tensor` inherits: ``t.sum(axis=0)`` is ``np.sum(t, axis=0)``. argmax, any and all give plain arrays."""

    __slots__ = ()

    shape = property(lambda self: self._data.shape)
    ndim = property(lambda self: self._data.ndim)
    size = property(lambda self: self._data.size)
    dtype = property(lambda self: self._data.dtype)
    T = property(lambda self: np.transpose(self))
    mT = property(lambda self: np.swapaxes(self, -1, -2))

    real = property(lambda self: np.real(self))
    imag = property(lambda self: np.imag(self))

    def conj(self): return np.conjugate(self) if self._data.dtype.kind == "c" else self
    def conjugate(self): return self.conj()
    def item(self): return self.data.item()
    def tolist(self): return self.data.tolist()
    def __float__(self): return float(self.data)
    def __int__(self): return int(self.data)
    def __bool__(self): return bool(self.data)
    def __index__(self): return operator.index(self.data)
    def __len__(self): return len(self.data)
    def __iter__(self): return (self[i] for i in range(len(self)))
    def __contains__(self, x): return bool(np.any(self == x))
    def __format__(self, spec): return format(self.item(), spec) if spec else str(self)

    def sum(self, axis=None, keepdims=False): return self.record(np.sum, self, axis=axis, keepdims=keepdims)
    def mean(self, axis=None, keepdims=False): return self.record(np.mean, self, axis=axis, keepdims=keepdims)
    def prod(self, axis=None, keepdims=False): return self.record(np.prod, self, axis=axis, keepdims=keepdims)
    def max(self, axis=None, keepdims=False): return self.record(np.max, self, axis=axis, keepdims=keepdims)
    def min(self, axis=None, keepdims=False): return self.record(np.min, self, axis=axis, keepdims=keepdims)
    def var(self, axis=None, ddof=0, keepdims=False):
        return self.record(np.var, self, axis=axis, ddof=ddof, keepdims=keepdims)

    def std(self, axis=None, ddof=0, keepdims=False):
        return self.record(np.std, self, axis=axis, ddof=ddof, keepdims=keepdims)

    def any(self, axis=None, keepdims=False): return np.any(self, axis=axis, keepdims=keepdims)
    def all(self, axis=None, keepdims=False): return np.all(self, axis=axis, keepdims=keepdims)
    def argmax(self, axis=None, keepdims=False): return np.argmax(self, axis=axis, keepdims=keepdims)
    def argmin(self, axis=None, keepdims=False): return np.argmin(self, axis=axis, keepdims=keepdims)
    def argsort(self, axis=-1): return np.argsort(self, axis=axis)

    def reshape(self, *shape): return self.record(np.reshape, self, shape=_one_or_many(shape))
    def ravel(self): return self.record(np.reshape, self, shape=-1)
    def flatten(self): return self.record(np.reshape, self, shape=-1)
    def transpose(self, *axes): return self.record(np.transpose, self, axes=_one_or_many(axes) if axes else None)
    def swapaxes(self, axis1, axis2): return self.record(np.swapaxes, self, axis1=axis1, axis2=axis2)
    def squeeze(self, axis=None): return self.record(np.squeeze, self, axis=axis)
    def astype(self, dtype): return np.astype(self, dtype)
    def copy(self): return np.copy(self)
    def clip(self, min=None, max=None): return np.clip(self, min, max)
    def round(self): return np.rint(self)
    def dot(self, other): return np.dot(self, other)
    def diagonal(self, offset=0, axis1=0, axis2=1): return np.diagonal(self, offset, axis1, axis2)
    def trace(self, offset=0, axis1=0, axis2=1): return np.trace(self, offset, axis1, axis2)


def _one_or_many(numbers):
    """NumPy's ``reshape(2, 3)``, ``reshape((2, 3))`` and ``transpose(None)``, all as one argument."""
    return numbers[0] if len(numbers) == 1 else numbers
