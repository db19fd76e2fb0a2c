"""Writing into values: what is recorded instead, what is written, and what is refused."""

from __future__ import annotations

from operator import iadd, imul, isub, itruediv

import numpy as np

from .dispatch import primitive
from .graph import changed
from .mode import mode


def _standing(x, v, index):
    """After x[index] = v: which elements of x are still there, and which of v (of a repeated index, the last)."""
    turn = np.zeros(x.shape, np.intp)
    order = np.arange(1, turn[index].size + 1).reshape(turn[index].shape)
    turn[index] = order
    return turn == 0, turn[index] == order


def _under(v, g):
    return g.reshape((1,) * (v.ndim - g.ndim) + g.shape)  # x[index] = v may drop leading axes of length 1 from v


@primitive(lambda g, y, x, v, index: np.where(_standing(x, v, index)[0], g, 0),
           lambda g, y, x, v, index: _under(v, np.where(_standing(x, v, index)[1], g[index], 0)), broadcasts=True)
def assign(x, v, index):
    """A copy of ``x`` with ``x[index] = v``."""
    y = x.copy()
    y[index] = v
    return y


class InPlace:
    """What `Tensor` inherits: a recorded value becomes a new one (t += x is t = t + x), a constant is written to."""

    __slots__ = ()

    def __iadd__(self, other): return self._write(iadd, np.add, other)
    def __isub__(self, other): return self._write(isub, np.subtract, other)
    def __imul__(self, other): return self._write(imul, np.multiply, other)
    def __itruediv__(self, other): return self._write(itruediv, np.divide, other)

    def _write(self, operator, function, other):
        if self._recorded_with(other):
            return function(self, other)
        operator(self.data, self.plain(other))
        changed(self.data)
        return self

    def __setitem__(self, index, value):
        """``t[i] = v``, differentiable: a recorded t becomes a new value, and views taken before keep the old one."""
        if not self._recorded_with(value):
            self.data[self.plain(index)] = self.plain(value)
            changed(self.data)
            return
        if self.dtype.kind not in "fc":
            raise TypeError(f"a value that requires grad cannot be assigned into a Tensor of {self.dtype}")
        if self.data.base is not None if self.is_leaf else self._is_view():
            by = "" if self.is_leaf else f", made by {self.node.op.name}"
            raise RuntimeError(f"this is a view{by}: assigning a recorded value into it would not reach what it views. "
                               "Assign to that, t[i, j] = v instead of t[i][j] = v, or take a copy()")
        new = assign(self, value, index=self.plain(index))
        self._data, self.node = new.data, new.node

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
