"""Module: what holds parameters. Everything it knows of itself comes from one ordered walk over its attributes."""

from __future__ import annotations

import math
import operator
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from ..batching import Batched
from ..graph import changed, ticks
from ..methods import asked_of_to
from ..random import default_generator
from ..tensor import Parameter, Tensor
from ..tree import holds_module
from .hooks import Hooks


class Module(Hooks):
    """The base of all layers and models: set attributes in ``__init__``, compute in ``forward``.

    Attributes that are Parameters, Modules, or lists, tuples and dicts of them are found in the order they were set and
    named by their path, like "features.0.weight". An object that appears twice is counted once.
    """

    training = True
    torch_transposed: tuple[str, ...] = ()  # parameters that are the transpose of PyTorch's
    _buffers: tuple[str, ...] = ()

    def forward(self, *args, **kwargs):
        """What the module computes; called by ``module(...)``."""
        raise NotImplementedError(f"{type(self).__name__} has no forward")

    def __call__(self, *args, **kwargs):
        since = next(ticks)
        try:
            hooked = self._pre_hooks or self._post_hooks or self._backward_hooks
            y = self._call_hooked(args, kwargs) if hooked else self.forward(*args, **kwargs)
        except np.exceptions.AxisError as error:
            named = ValueError(str(error))
            self._blame(named, args)
            raise named from error
        except (ValueError, TypeError, IndexError, AttributeError) as error:
            if any(getattr(error, "obj", self) is x for x in args if not hasattr(x, "dtype")):
                foreign = TypeError("a Tensor or an array is wanted: Tensor(x), or np.asarray(x, np.float32)")
                self._blame(foreign, args)
                raise foreign from error
            self._blame(error, args)
            raise
        self._sign(y, since)
        return y

    def _sign(self, y, since):
        """Note on the nodes of a result which module made it, and when: pictures group by that what was born since."""
        while isinstance(y, Batched):
            y = y.value
        if isinstance(y, Tensor):
            if y.node is not None and y.node.op is not None and y.node.born > since:
                y.node.calls = (*y.node.calls, (weakref.ref(self), since, next(ticks)))
        elif isinstance(y, (tuple, list, dict)):
            for part in y.values() if isinstance(y, dict) else y:
                self._sign(part, since)

    def _blame(self, error, args):
        """Let the message say in which layer it happened: every module on the way out knows a longer name."""
        if not hasattr(error, "raised_in"):
            if len(error.args) != 1 or not isinstance(error.args[0], str):
                return
            given = ", ".join(_what(x) for x in args)
            error.raised_in = self, error.args[0] + (f" [its input: {given}]" if given else "")
        layer, text = error.raised_in
        path = next((name for name, m in self.named_modules() if m is layer), "")
        error.args = (f"in {path} ({type(layer).__name__}): {text}" if path else f"in {type(layer).__name__}: {text}",)

    # ---- the walk ----
    def _walk(self, prefix="") -> Iterator[tuple[str, object]]:
        """(dotted name, Module or Parameter or buffer), parents before children, in the order of definition."""
        yield prefix, self
        for name, value in self._children():
            path = f"{prefix}.{name}" if prefix else name
            if name in self._buffers:
                yield path, value.data if isinstance(value, Tensor) else value
            else:
                yield from _walk_value(path, value)

    def _children(self):
        return vars(self).items()

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """(name, module) for this module, "", and all below it."""
        return _unique((n, v) for n, v in self._walk() if isinstance(v, Module))

    def modules(self) -> Iterator[Module]:
        """This module and all below it."""
        return (m for _, m in self.named_modules())

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """(name, parameter), shared ones once, under their first name."""
        return _unique((n, v) for n, v in self._walk() if _is_parameter(v))

    def parameters(self) -> Iterator[Parameter]:
        """All parameters, shared ones once: what an optimizer takes."""
        return (p for _, p in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, np.ndarray]]:
        """(name, array) of the state that is saved but not trained, like running means."""
        return _unique((n, v) for n, v in self._walk() if isinstance(v, np.ndarray))

    def buffers(self) -> Iterator[np.ndarray]:
        """The arrays that are saved but not trained."""
        return (b for _, b in self.named_buffers())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of the modules right below this one, be they in a list or dict or not."""
        return _unique(pair for name, value in self._children() for pair in _modules_in(name, value))

    def children(self) -> Iterator[Module]:
        """The modules right below this one."""
        return (m for _, m in self.named_children())

    def get_submodule(self, target: str) -> Module:
        """The module of this name, like "features.0"; AttributeError if there is none."""
        for name, value in self._walk():
            if name == target and isinstance(value, Module):
                return value
        raise AttributeError(f"{type(self).__name__} has no module named {target!r}; it has "
                             f"{', '.join([name for name, _ in self.named_modules()][1:]) or 'none'}")

    def register_buffer(self, name: str, array) -> None:
        """Set attribute ``name`` to an array that belongs to the state: saved and loaded, but not trained."""
        self._buffers = (*self._buffers, name)
        setattr(self, name, np.asarray(array))

    # ---- state ----
    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all parameters and buffers by name; shared ones under each of their names."""
        return {name: np.array(v.data if isinstance(v, Tensor) else v)
                for name, v in self._walk() if not isinstance(v, Module)}

    def load_state_dict(self, state: dict, strict: bool = True) -> None:
        """Take over the values of ``state``, cast to each parameter's dtype.

        Raises ValueError naming what is missing, unexpected or of another shape, and then changes nothing, in lazy
        layers and random generators neither.
        strict=False ignores missing and unexpected names, not shapes.
        """
        if not isinstance(state, Mapping):
            raise TypeError(f"load_state_dict takes the dict that state_dict gave, not {state!r:.60}; of a file, "
                            "checkpoint.load(path).restore(model)")
        undo = self._infer_sizes(state)
        mine = {n: v for n, v in self._walk() if not isinstance(v, Module)}
        missing = [n for n in mine if n not in state]
        unexpected = [n for n in state if n not in mine]
        shapes = [f"{n}: {np.shape(state[n])} for {np.shape(v)}" for n, v in mine.items()
                  if n in state and np.shape(state[n]) != np.shape(v)]
        problems = [f"{what}: {', '.join(names)}" for what, names in (
            ("missing", missing if strict else []), ("unexpected", unexpected if strict else []),
            ("other shapes", shapes)) if names]
        if any(np.ndim(v) == 2 and np.shape(state.get(n)) == np.shape(v)[::-1] != np.shape(v) for n, v in mine.items()):
            problems.append("the transpose would fit: nn.load_torch_state_dict is for PyTorch's weights, "
                            "load_state_dict for minigrad's")
        if problems:
            undo()
            raise ValueError(f"this state does not fit {type(self).__name__}; {'; '.join(problems)}")
        for name, value in mine.items():
            if name in state:
                new = np.array(state[name].numpy() if isinstance(state[name], Tensor) else state[name], value.dtype,
                               order="C")
                if isinstance(value, Tensor):
                    value.data = new
                else:
                    value[...] = new
                    changed(value)

    def _infer_sizes(self, state):
        """Build the lazy layers for ``state``. Returns a function that takes it back."""
        lazy = [(name, m) for name, m in self.named_modules() if type(m)._infer_from is not Module._infer_from]
        before = [(vars(m), dict(vars(m))) for _, m in lazy]
        values = [(p, p.data) for _, now in before for p in now.values() if _is_parameter(p)]
        held = [default_generator(), *(g for _, now in before for g in now.values())] if lazy else []
        states = [(g, g.bit_generator.state) for g in held if isinstance(g, np.random.Generator)]

        def undo():
            for live, now in before:
                live.clear()
                live.update(now)
            for p, value in values:
                if p.data is not value:
                    p.data = value
            for generator, drawn in states:
                generator.bit_generator.state = drawn
        state = {name: value for name, value in state.items() if np.size(value)}  # of lazy layers not yet built: none
        try:
            for name, module in lazy:
                module._infer_from(state, f"{name}." if name else "")
        except ValueError:
            undo()
            raise
        return undo

    def _infer_from(self, state, prefix):
        """Take sizes that are not known yet from a state that is about to be loaded."""

    # ---- switches ----
    def train(self, mode: bool = True) -> Module:
        """Put this module and all below it in training mode (dropout drops, batch norm measures); returns it."""
        if not isinstance(mode, (bool, np.bool_)):
            raise TypeError(f"train takes True or False, not {mode!r}: model.train(), model.eval(); training itself is "
                            "minigrad.train.fit(model, data, optimizer)")
        for m in self.modules():
            m.training = mode
        return self

    def eval(self) -> Module:
        """Put this module and all below it in evaluation mode; returns it."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Module:
        """Freeze or unfreeze all parameters; returns the module."""
        for p in self.parameters():
            p.requires_grad = requires_grad
        return self

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for p in self.parameters():
            p.grad = None

    def astype(self, dtype) -> Module:
        """Cast all parameters and floating-point buffers, in place; returns the module."""
        for m in self.modules():
            for name in m._buffers:
                if getattr(m, name).dtype.kind == "f":
                    setattr(m, name, getattr(m, name).astype(dtype))
        for p in self.parameters():
            p.data, p.grad = p.data.astype(dtype), None
        return self

    def to(self, target=None, *, device=None, dtype=None) -> Module:
        """`astype` as PyTorch writes it, ``model.to(np.float64)``; nothing to do for "cpu", the only device."""
        dtype = asked_of_to(target, device, dtype)
        return self if dtype is None else self.astype(dtype)

    def cpu(self) -> Module:
        """This module: there is no other device."""
        return self

    def __getattr__(self, name):
        instead = _ELSEWHERE.get(name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}"
                             + (f": use {instead}" if instead else ""))

    def apply(self, function: Callable[[Module], object]) -> Module:
        """Call ``function`` with every module, children first, e.g. to initialize weights; returns the module."""
        for m in reversed([*self.modules()]):
            function(m)
        return self

    # ---- how it looks ----
    def extra_repr(self) -> str:
        """The arguments shown in the module's repr."""
        return ""

    def __repr__(self):
        children = [(n, v) for n, v in self._children() if holds_module(v)]
        if not children:
            return f"{type(self).__name__}({self.extra_repr()})"
        lines = [f"({n}): {v!r}".replace("\n", "\n  ") for n, v in children]
        return f"{type(self).__name__}({self.extra_repr()}\n  " + "\n  ".join(lines) + "\n)"


# what models of PyTorch and Keras have
_ELSEWHERE = {
    "cuda": "it as it is: minigrad computes on the CPU", "half": "model.astype(np.float16)",
    "float": "model.astype(np.float32)", "double": "model.astype(np.float64)",
    "fit": "minigrad.train.fit(model, data, optimizer)", "compile": "minigrad.train.fit(model, data, optimizer, loss)",
    "evaluate": "minigrad.train.evaluate(model, data)", "predict": "model.eval() and model(x)",
    "summary": "minigrad.nn.summary(model)", "save": "minigrad.checkpoint.save(path, model)",
    "save_weights": "minigrad.checkpoint.save(path, model)", "add": "model.append(layer)",
    "load_weights": "minigrad.checkpoint.load(path).restore(model)", "add_module": "setattr(model, name, module)",
    "register_parameter": "setattr(model, name, nn.Parameter(...))", "get_weights": "model.state_dict()",
    "set_weights": "model.load_state_dict(state)"}


def check_sizes(layer: Module, **sizes) -> None:
    """Raise TypeError or ValueError unless these are integers, none of them negative; None is not known yet."""
    for name, size in sizes.items():
        if size is not None and not isinstance(size, (int, np.integer)):
            raise TypeError(f"{type(layer).__name__}: {name} must be an integer, not {size!r:.60}")
        if size is not None and size < 0:
            raise ValueError(f"{type(layer).__name__}: {name} must be at least 0, got {size}")


def _what(x):
    if hasattr(x, "shape") and hasattr(x, "dtype"):
        return f"{x.dtype} {x.shape}"
    if isinstance(x, tuple):
        return f"a tuple of {len(x)}: output and state of a recurrent layer, or values and indices? One is wanted"
    return f"{x!r:.60} ({type(x).__name__})"


def _is_parameter(value):
    return isinstance(value, Parameter) or (isinstance(value, Batched) and value.is_parameter)  # inside vmap


def _walk_value(path, value):
    if isinstance(value, Module):
        yield from value._walk(path)
    elif _is_parameter(value):
        yield path, value
    elif isinstance(value, (list, tuple, dict)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _walk_value(f"{path}.{key}", item)


def _modules_in(path, value):
    if isinstance(value, Module):
        yield path, value
    elif isinstance(value, (list, tuple, dict)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _modules_in(f"{path}.{key}", item)


def _unique(pairs):
    seen = set()
    for name, value in pairs:
        if id(value) not in seen:
            seen.add(id(value))
            yield name, value


class ModuleList(Module):
    """A list of modules, named "0", "1", ...: index, iterate, append. (A plain list as an attribute works too.)"""

    def __init__(self, modules=()):
        self._list = []
        self.extend(modules)

    def _children(self):
        others = [(n, v) for n, v in vars(self).items() if n != "_list"]  # of a subclass, or set from outside
        return [(str(i), m) for i, m in enumerate(self._list)] + others

    def _check(self, module):
        if not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__} holds modules, not {type(module).__name__} ({module!r:.60}); " + (
                f"make one, {module.__name__}(...)" if isinstance(module, type) else "wrap a function in nn.Lambda"))
        return module

    def append(self, module: Module) -> ModuleList:
        """Add a module at the end; returns the list."""
        return self.insert(len(self), module)

    def extend(self, modules: Iterable[Module]) -> ModuleList:
        """Add several at the end; returns the list."""
        for m in [*modules]:
            self.append(m)
        return self

    def insert(self, index: int, module: Module) -> ModuleList:
        """Add a module before ``index``; returns the list."""
        self._list.insert(index, self._check(module))
        return self

    def __len__(self): return len(self._list)
    def __iter__(self): return iter(self._list)
    def __getitem__(self, i):
        try:
            return type(self)(self._list[i]) if isinstance(i, slice) else self._list[i]
        except IndexError:
            raise IndexError(f"there is no module {i} in a {type(self).__name__} of {len(self)} modules") from None

    def __setitem__(self, i: int, module: Module): self._list[operator.index(i)] = self._check(module)
    def __delitem__(self, i: int | slice): del self._list[i]


class Sequential(ModuleList):
    """Modules one after the other: ``Sequential(a, b)(x)`` is ``b(a(x))``.

    Of a dict, ``Sequential({"first": a, "second": b})``, the modules get their names, and are attributes by them.
    """

    _names: tuple[str | None, ...] = ()  # of those in the list; None, or beyond the end: the position

    def __init__(self, *modules):
        first = modules[0] if len(modules) == 1 else None
        super().__init__(first.values() if isinstance(first, dict) else first if isinstance(first, (list, tuple))
                         else modules)
        if isinstance(first, dict):
            self._set_names(first)

    def _set_names(self, names):
        names = tuple(None if name == str(i) else name for i, name in enumerate(names))
        for name in names:
            if name is not None and (not isinstance(name, str) or not name or "." in name or name.isdigit()
                                     or hasattr(type(self), name)):
                raise ValueError(f"{type(self).__name__}: a name is a string without dots that is no number but its "
                                 f"position, and no attribute of the class, not {name!r}")
        if any(names):
            self._names = names

    def _all_names(self):
        return [*self._names, *[None] * (len(self._list) - len(self._names))]

    def _children(self):
        names = self._all_names() if self._names else ()
        rest = [(n, v) for n, v in super()._children() if n != "_names"]
        return [(name or old, v) for name, (old, v) in zip(names, rest)] + rest[len(names):]

    def __getattr__(self, name):
        if name in vars(self).get("_names", ()):
            return self._list[self._names.index(name)]
        return super().__getattr__(name)

    def __setattr__(self, name, value):
        if name in self._names:
            self[self._names.index(name)] = value
        else:
            super().__setattr__(name, value)

    def insert(self, index: int, module: Module) -> Sequential:
        """Add a module before ``index``; returns the list."""
        names = self._all_names() if self._names else None
        super().insert(index, module)
        if names is not None:
            names.insert(index, None)
            self._names = tuple(names)
        return self

    def __delitem__(self, i: int | slice):
        names = self._all_names()
        super().__delitem__(i)
        if self._names:
            del names[i]
            self._names = tuple(names)

    def __getitem__(self, i):
        part = super().__getitem__(i)
        if isinstance(i, slice) and self._names:
            part._names = tuple(self._all_names()[i])
        return part

    def forward(self, x):
        for m in self._list:
            x = m(x)
        return x


class Lambda(Module):
    """A function as a module, to stand in a Sequential."""

    def __init__(self, function: Callable):
        self.function = function

    def forward(self, *args):
        return self.function(*args)

    def extra_repr(self):
        return getattr(self.function, "__name__", repr(self.function))


class Identity(Module):
    """Gives back its input."""

    def forward(self, x):
        return x


class Flatten(Module):
    """Merge the axes from ``start_dim`` to ``end_dim``, by default the last: (N, C, H, W) -> (N, C * H * W)."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x):
        if self.end_dim == -1 and self.start_dim >= 0:
            from ..functional import flatten
            return flatten(x, self.start_dim)
        n = x.ndim
        if not -n <= self.start_dim < n or not -n <= self.end_dim < n or self.start_dim % n > self.end_dim % n:
            raise ValueError(f"Flatten: there are no axes from {self.start_dim} to {self.end_dim} in input {x.shape}")
        start, end = self.start_dim % n, self.end_dim % n + 1
        return x.reshape(*x.shape[:start], math.prod(x.shape[start:end]), *x.shape[end:])
