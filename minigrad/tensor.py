"""Tensor: an array and, when it is part of a graph, its node. Recording, and NumPy's protocols so np.exp(t) works."""

from __future__ import annotations

from collections.abc import Callable
from operator import getitem

import numpy as np

from .dispatch import of_scipy, told
from .graph import Node, cast, changed, composites, constants, pullback, table
from .hooks import Handle
from .inplace import InPlace, writers
from .methods import ArrayMethods, on_cpu
from .mode import accumulating, backward_pass, mode


def record(key, *inputs, **static):
    """Run the op that the table holds for ``key`` on arrays; leave a node if an input belongs to a graph."""
    op = table[key]
    values, parents, tracked = [], [], False
    for x in inputs:
        if isinstance(x, Tensor):
            values.append(x._data)
            node = x.node
            parents.append(node)
            if node is not None and node.requires_grad:
                tracked = True
        else:
            if hasattr(x, "record"):
                return x.record(key, *inputs, **static)  # inside vmap
            values.append(np.asarray(x, np.float32) if type(x) is list or type(x) is tuple else x)
            parents.append(None)
    try:
        y = op.forward(*values, **static)
    except (ValueError, TypeError, IndexError) as error:
        raise told(error, op.name, values) from None
    if type(y) is not np.ndarray: y = np.asarray(y)
    t = _new(Tensor)
    t._data = y
    t.node = Node(op, parents, (y, *values), static, y.shape) if tracked and mode.recording else None
    if mode.watch is not None: mode.watch.forward(op, values, t)
    return t


def _plain(x, value=lambda t: t.data):
    """``x`` with arrays in place of its Tensors, also inside tuples, lists and dicts."""
    if isinstance(x, Tensor):
        return value(x)
    if type(x) is dict:
        return {k: _plain(v, value) for k, v in x.items()}
    return type(x)(_plain(v, value) for v in x) if type(x) in (list, tuple) else x


class Tensor(ArrayMethods, InPlace):
    """A multi-dimensional array that remembers how it was computed, so that `backward` can apply the chain rule.

    data: Python numbers and lists become float32; arrays keep their dtype and share their memory.
    requires_grad: make it a leaf, to whose ``.grad`` `backward` adds. Floating-point dtypes only; the gradient with
    respect to a complex z is dL/d(real z) + i dL/d(imag z), PyTorch's convention: L falls along -grad.
    name: shown in pictures and messages.
    """

    __slots__ = ("__weakref__", "_data", "node")

    def __init__(self, data, requires_grad=False, dtype=None, name=None, device=None):
        if isinstance(data, Tensor):
            data = data.numpy()
        self._data, self.node = np.asarray(data, dtype, device=device and on_cpu(device)), None
        if self.dtype.kind not in "biufc":
            raise TypeError(f"a Tensor holds numbers or booleans, not dtype {self.dtype} ({data!r:.60})")
        if dtype is None and not isinstance(data, (np.ndarray, np.generic)):
            self._data = self.data.astype(np.complex64 if self.dtype.kind == "c" else np.float32)
        self.requires_grad = requires_grad
        if name is not None:
            self.name = name

    plain, record = staticmethod(_plain), staticmethod(record)
    is_leaf = property(lambda self: self.node is None or self.node.op is None)

    @property
    def data(self) -> np.ndarray:
        """The array. Settable, with an array or a Tensor that does not require grad, behind the graph's back."""
        return self._data

    @data.setter
    def data(self, value):
        value = np.asarray(_values(value))
        if value is self._data:
            changed(value)  # t.data -= x writes in place, then comes here
        elif self.node is not None and self.is_leaf:
            self.node.shape = value.shape
        self._data = value

    @property
    def requires_grad(self) -> bool:
        """Whether a gradient flows here. Settable on a leaf."""
        return self.node is not None and self.node.requires_grad

    @requires_grad.setter
    def requires_grad(self, wanted):
        if not self.is_leaf:
            raise RuntimeError("requires_grad can be changed on a leaf only; t.detach() gives this value as a constant")
        if wanted and self.dtype.kind not in "fc":
            raise TypeError(f"only floating-point Tensors can require grad, this one is {self.dtype}: "
                            "use t.astype(np.float32) first")
        if self.node is not None:
            self.node.requires_grad = bool(wanted)
        elif wanted:
            self.node = Node(None, (), None, None, self.shape)

    @property
    def name(self) -> str | None:
        """A name for pictures and messages. Settable."""
        return None if self.node is None else self.node.name

    @name.setter
    def name(self, name):
        if name is not None and self.node is None:
            self.node = Node(None, (), None, None, self.shape)
            self.node.requires_grad = False
        if self.node is not None:
            self.node.name = name

    @property
    def grad(self) -> Tensor | None:
        """The accumulated gradient, or None: of leaves, and of others after `retain_grad`. Settable."""
        return None if self.node is None else self.node.grad

    @grad.setter
    def grad(self, g):
        if g is not None:
            if not self.requires_grad:
                raise RuntimeError("this Tensor does not require grad, so it cannot hold one")
            g = g if isinstance(g, Tensor) else Tensor(g, dtype=self.dtype)
            if g.shape != self.shape:
                raise ValueError(f"a gradient of shape {g.shape} for a Tensor of shape {self.shape}")
        if self.node is not None:
            self.node.grad = g

    # ---- differentiation ----
    def backward(self, gradient=None, retain_graph: bool | None = None, create_graph: bool = False) -> None:
        """Add d(self)/d(leaf) to ``.grad`` of every leaf behind this Tensor.

        gradient: of the final result with respect to self; needed unless self is a single number. retain_graph: keep
        the saved values for another backward (default: create_graph). create_graph: give the gradients a graph too.
        """
        found = _pull([self], [gradient], None, retain_graph, create_graph)
        with accumulating:
            for node, g in found.items():
                node.grad = g if node.grad is None else node.grad + g

    def register_hook(self, hook: Callable) -> Handle:
        """Call ``hook(g)`` with this Tensor's complete gradient; what it returns, unless None, replaces g.

        A leaf's run once nothing else uses it, while backward goes on. Calling the handle returned removes the hook.
        """
        if not self.requires_grad:
            raise RuntimeError("a Tensor that does not require grad gets no gradient: its hook would never run")
        node, shape = self.node, self.shape

        def call(g):
            new = hook(_tensor(g).conj())
            if new is not None and np.shape(new) != shape:
                raise ValueError(f"a hook changed a gradient's shape from {shape} to {np.shape(new)}")
            return g if new is None else cast(_tensor(new).conj() if isinstance(g, Tensor) else np.conj(_plain(new)),
                                              g.dtype)

        def remove():
            node.hooks = [h for h in node.hooks if h is not call]
        node.hooks = [*node.hooks, call]
        return Handle(remove)

    def retain_grad(self) -> None:
        """Have `backward` fill ``.grad`` although this is not a leaf."""
        if not self.requires_grad:
            raise RuntimeError("a Tensor that does not require grad gets no gradient to retain")
        self.node.retains_grad = True

    def zero_grad(self) -> None:
        """Forget the accumulated gradient."""
        self.grad = None

    def detach(self) -> Tensor:
        """The same array as a constant: no gradient flows through it."""
        return _wrap(self.data, None)

    def requires_grad_(self, requires_grad=True) -> Tensor:
        """Set `requires_grad` and return this Tensor."""
        self.requires_grad = requires_grad
        return self

    # ---- out of the graph ----
    def numpy(self) -> np.ndarray:
        """The array itself, not a copy. Raises TypeError if the Tensor requires grad."""
        if self.requires_grad:
            raise TypeError("a Tensor that requires grad does not turn into an array, for that would cut it out of the "
                            "graph: use t.detach().numpy(), or np.stack to put Tensors into one")
        return self.data

    def __array__(self, dtype=None, copy=None): return np.array(self.numpy(), dtype, copy=copy)

    def __deepcopy__(self, memo):
        if not self.is_leaf:
            raise RuntimeError("only leaves can be deep-copied: use t.detach(), or t.copy() to stay in the graph")
        return type(self)(self.data.copy(), self.requires_grad, name=self.name)

    def __repr__(self):
        extra = [np.array2string(self.data, separator=", ", prefix="tensor(")]
        extra += [f"dtype={self.dtype}"] * (self.dtype != np.float32) + [f"name={self.name!r}"] * bool(self.name)
        extra += ["requires_grad=True"] * self.requires_grad if self.is_leaf else [f"op={self.node.op.name}"]
        return f"tensor({', '.join(extra)})"

    # ---- NumPy's protocols: np.exp(t) lands in the first, np.sum(t) in the second ----
    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        if method != "__call__":
            raise TypeError(f"np.{ufunc.__name__}.{method} has no derivative rule: use np.sum, np.prod, np.max, ...")
        if out is not None:  # array += t: fine for a constant, but an array cannot hold a graph
            return self.write(ufunc, inputs, {"out": out, **kwargs})
        if kwargs:
            raise TypeError(f"np.{ufunc.__name__} of a Tensor does not support {', '.join(kwargs)}=: use np.where, or "
                            "t.astype(dtype)")
        return record(ufunc, *inputs) if ufunc in table else self.__array_function__(ufunc, (), inputs, {})

    def __array_function__(self, function, types, args, kwargs):
        if function in table:
            inputs, static = table[function].bind(*args, **kwargs)
            return record(function, *inputs, **{k: _values(v) for k, v in static.items()})
        if made := composites.get(function) or composites.get(of_scipy(function)):
            return made(*args, **kwargs)
        if function in writers or kwargs.get("out") is not None:
            return self.write(function, args, kwargs)
        if function in constants:
            return function(*_plain(args), **_plain(kwargs))
        try:
            return function(*_values(args), **_values(kwargs))
        except TypeError as error:
            if "t.detach()" not in str(error):
                raise
            raise TypeError(f"{function.__name__} has no derivative rule, so a Tensor that requires grad cannot go "
                            "through it: use t.detach(), or add a rule (docs/adding-an-op.md)") from None

    # ---- operators ----
    def __add__(self, other): return record(np.add, self, other)
    def __radd__(self, other): return record(np.add, other, self)
    def __sub__(self, other): return record(np.subtract, self, other)
    def __rsub__(self, other): return record(np.subtract, other, self)
    def __mul__(self, other): return record(np.multiply, self, other)
    def __rmul__(self, other): return record(np.multiply, other, self)
    def __truediv__(self, other): return record(np.divide, self, other)
    def __rtruediv__(self, other): return record(np.divide, other, self)
    def __floordiv__(self, other): return record(np.floor_divide, self, other)
    def __rfloordiv__(self, other): return record(np.floor_divide, other, self)
    def __mod__(self, other): return record(np.remainder, self, other)
    def __rmod__(self, other): return record(np.remainder, other, self)
    def __pow__(self, other): return record(np.power, self, other)
    def __rpow__(self, other): return record(np.power, other, self)
    def __matmul__(self, other): return record(np.matmul, self, other)
    def __rmatmul__(self, other): return record(np.matmul, other, self)
    def __neg__(self): return record(np.negative, self)
    def __pos__(self): return record(np.positive, self)
    def __abs__(self): return record(np.absolute, self)
    def __getitem__(self, index): return record(getitem, self, index=_plain(index))


class Parameter(Tensor):
    """A Tensor that a module owns and an optimizer trains: it requires grad unless told otherwise."""

    __slots__ = ()

    def __init__(self, data, requires_grad=True, dtype=None, name=None, device=None):
        super().__init__(data, requires_grad, dtype, name, device)


def grad(y, xs, create_graph=False, retain_graph=None, gradient=None) -> Tensor | list[Tensor]:
    """d(y)/d(x) for each x in ``xs``, as Tensors (one, if xs is one Tensor); ``.grad`` is left alone.

    y: a Tensor, or a list whose vector-Jacobian products with the list ``gradient`` are added. xs: leaves or other
    values in the graph. Where y does not depend on x the gradient is zero.
    """
    ys, gradients = ([y], [gradient]) if isinstance(y, Tensor) else (list(y), gradient or [None] * len(y))
    many = [xs] if isinstance(xs, Tensor) else list(xs)
    for x in many:
        if not x.requires_grad:
            raise RuntimeError(f"grad with respect to a Tensor of shape {x.shape} that does not require grad: "
                               "set requires_grad=True before computing y")
    found = _pull(ys, gradients, {x.node for x in many}, retain_graph, create_graph)
    gs = [found[x.node] if x.node in found else _tensor(np.zeros_like(x.data)) for x in many]
    return gs[0] if isinstance(xs, Tensor) else gs


def _pull(ys, gradients, targets, retain_graph, create_graph):
    """`graph.pullback` from Tensors, with their seeds checked, to Tensors that share no memory."""
    seeds = {}
    for y, g in zip(ys, gradients, strict=True):
        if not y.requires_grad:
            raise RuntimeError("this Tensor depends on nothing that requires grad"
                               + (": nothing is recorded under no_grad()" if not mode.recording else
                                  ". Is requires_grad=True missing, or was it cut off: by item(), numpy(), detach(), "
                                  "argmax, rounding, no_grad(), or a gradient without create_graph=True?"))
        if g is None and (y.size != 1 or y.dtype.kind == "c"):
            raise RuntimeError(f"backward from shape {y.shape} needs gradient=, the gradient of the final result with "
                               "respect to it; or reduce to one real number first, with t.sum() or t.mean()")
        if g is not None and np.shape(g) != y.shape:
            raise ValueError(f"gradient has shape {np.shape(g)}, but the Tensor has {y.shape}")
        g = np.ones(y.shape, y.dtype) if g is None else g if hasattr(g, "record") else np.asarray(g, y.dtype)
        g = (_tensor(g) if create_graph else _plain(g)).conj()
        seeds[y.node] = seeds[y.node] + g if y.node in seeds else g
    retain_graph = create_graph if retain_graph is None else retain_graph
    with backward_pass(create_graph):
        found = pullback(seeds, targets, retain_graph, _lift if create_graph else None,
                         mode.watch and mode.watch.backward)
        taken = {id(_plain(g)) for g in seeds.values()}
        for node, g in found.items():  # a rule may hand on a view, or one array to two inputs
            g = found[node] = (_wrap(g, None) if type(g) is np.ndarray else _tensor(g)).conj()
            if g._data.base is not None or id(g._data) in taken:
                g = found[node] = g.copy()
            taken.add(id(g._data))
        return found


def _lift(x, node):
    return x if node is None else _wrap(x, node)


def _wrap(data, node):
    t = _new(Tensor)
    t._data = data
    t.node = node
    return t


_new = Tensor.__new__


def _tensor(x):
    return x if hasattr(x, "record") else _wrap(np.asarray(x), None)


def _values(x):
    """The same, but a Tensor that requires grad raises."""
    return _plain(x, Tensor.numpy)
