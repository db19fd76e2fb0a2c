"""Writing into values: what is recorded instead, what is written, and what is refused."""

from __future__ import annotations

import operator
from operator import iadd, ifloordiv, imatmul, imod, imul, ipow, isub, itruediv

import numpy as np

from .dispatch import primitive
from .graph import changed, unbroadcast
from .mode import mode


def _standing(x, v, index):
    """After x[index] = v: which elements of x are still there, and which of v (of a repeated index, the last)."""
    turn = np.zeros(x.shape, np.intp)
    order = np.arange(1, turn[index].size + 1).reshape(turn[index].shape)
    turn[index] = order
    return turn == 0, turn[index] == order


def _under(v, g):
    return unbroadcast(g.reshape((1,) * (v.ndim - g.ndim) + g.shape), v.shape)  # x[index] = v may drop axes of length 1


@primitive(lambda g, y, x, v, index: np.where(_standing(x, v, index)[0], g, 0),
           lambda g, y, x, v, index: _under(v, np.where(_standing(x, v, index)[1], g[index], 0)))
def assign(x, v, index):
    """A copy of ``x`` with ``x[index] = v``."""
    y = x.copy()
    y[index] = v
    return y


# ---- NumPy's functions that write into their first argument, and what computes the same as a new value ----
writers = {
    np.copyto: "np.where(mask, v, t), or t[...] = v", np.put: "t[np.unravel_index(i, t.shape)] = v",
    np.place: "t[mask] = v", np.putmask: "np.where(mask, v, t)", np.fill_diagonal: "t[np.diag_indices_from(t)] = v",
    np.put_along_axis: "minigrad.scatter(t, axis, indices, v)"}


class InPlace:
    """What `Tensor` inherits: a recorded value becomes a new one (t += x is t = t + x), a constant is written to."""

    __slots__ = ()

    def __iadd__(self, other): return self._write(iadd, np.add, other)
    def __isub__(self, other): return self._write(isub, np.subtract, other)
    def __imul__(self, other): return self._write(imul, np.multiply, other)
    def __itruediv__(self, other): return self._write(itruediv, np.divide, other)
    def __ifloordiv__(self, other): return self._write(ifloordiv, np.floor_divide, other)
    def __imod__(self, other): return self._write(imod, np.remainder, other)
    def __ipow__(self, other): return self._write(ipow, np.power, other)
    def __imatmul__(self, other): return self._write(imatmul, np.matmul, other)

    def _write(self, operation, function, other):
        if self._recorded_with(other) or hasattr(other, "level"):  # a value inside vmap becomes a new one
            return function(self, other)
        self._into(operation, self.plain(other))
        return self

    def _into(self, operation, *values):
        try:
            operation(self.data, *values)
        except ValueError as error:
            if not self.flags.writeable:
                raise ValueError(f"{error} [a Tensor {self.dtype} {self.shape} that is others' too, as a batch may be "
                                 "a view of its dataset: change a copy, t = t.copy()]") from None
            raise
        changed(self.data)

    def __setitem__(self, index, value):
        """``t[i] = v``, differentiable: a recorded t becomes a new value, and views taken before keep the old one."""
        if hasattr(value, "level"):
            raise TypeError("inside vmap the values of a whole batch cannot be assigned into one Tensor: start from a "
                            "value of the batch, y = x * 0, or use np.where or np.stack")
        if not self._recorded_with(value):
            self._into(operator.setitem, self.plain(index), self.plain(value))
            return
        if self.dtype.kind not in "fc":
            raise TypeError(f"a value that requires grad cannot be assigned into a Tensor of {self.dtype}")
        if self.data.base is not None if self.is_leaf else self._is_view():
            by = "" if self.is_leaf else f", made by {self.node.op.name}"
            raise RuntimeError(f"this is a view{by}: assigning a recorded value into it would not reach what it views. "
                               "Assign to that, t[i, j] = v instead of t[i][j] = v, or take a copy()")
        new = assign(self, value, index=self.plain(index))
        self._data, self.node = new.data, new.node

    def fill_(self, value):
        """``t[...] = value``, and return t."""
        self[...] = value
        return self

    def zero_(self): return self.fill_(0)
    def copy_(self, src): return self.fill_(src)
    def fill(self, value): self[...] = value
    def put(self, indices, values, mode="raise"): np.put(self, indices, values, mode)

    def write(self, function, args, kwargs):
        """Call a NumPy function that writes, into its first argument or ``out=``, and note what it wrote to."""
        tensors = []
        self.plain((args, kwargs), tensors.append)
        if mode.recording and any(t.requires_grad for t in tensors):
            name, instead = function.__name__, writers.get(function, "a new value, a = a + t, without out=")
            raise TypeError(f"np.{name} would write into an array, and an array cannot hold a graph: use {instead}")
        args, kwargs = self.plain((args, kwargs))
        y = function(*args, **kwargs)
        out = kwargs.get("out")
        for written in out if isinstance(out, tuple) else args[:1] or kwargs.values() if out is None else [out]:
            changed(written)
        return y

    def _is_view(self):
        return any(np.may_share_memory(self.data, x) for x in (self.node.values or ())[1:])

    def _recorded_with(self, other):
        """Whether a change of this value has to be recorded. A leaf refuses: its gradient is the old value's."""
        if not mode.recording or not (self.requires_grad or getattr(other, "requires_grad", False)):
            return False
        if self.requires_grad and self.is_leaf:
            raise RuntimeError("a leaf that requires grad cannot be changed in place while recording: update it under "
                               "`with no_grad():`, or compute a new value, w + v or np.where(mask, v, w)")
        return True
