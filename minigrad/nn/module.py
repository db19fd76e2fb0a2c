"""Module: what holds parameters. Everything it knows of itself comes from one ordered walk over its attributes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ..batching import Batched
from ..graph import changed
from ..tensor import Parameter, Tensor
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
        try:
            if self._pre_hooks or self._post_hooks or self._backward_hooks:
                return self._call_hooked(args, kwargs)
            return self.forward(*args, **kwargs)
        except (ValueError, TypeError, IndexError) as error:
            self._blame(error, args)
            raise

    def _blame(self, error, args):
        """Let the message say in which layer it happened: every module on the way out knows a longer name."""
        if not hasattr(error, "raised_in"):
            if len(error.args) != 1 or not isinstance(error.args[0], str):
                return
            given = ", ".join(f"{x.dtype} {x.shape}" for x in args if hasattr(x, "shape") and hasattr(x, "dtype"))
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

        Raises ValueError naming what is missing, unexpected or of another shape, and then changes nothing.
        strict=False ignores missing and unexpected names, not shapes.
        """
        for name, module in self.named_modules():
            module._infer_from(state, f"{name}." if name else "")
        mine = {n: v for n, v in self._walk() if not isinstance(v, Module)}
        missing = [n for n in mine if n not in state]
        unexpected = [n for n in state if n not in mine]
        shapes = [f"{n}: {np.shape(state[n])} for {np.shape(v)}" for n, v in mine.items()
                  if n in state and np.shape(state[n]) != np.shape(v)]
        problems = [f"{what}: {', '.join(names)}" for what, names in (
            ("missing", missing if strict else []), ("unexpected", unexpected if strict else []),
            ("other shapes", shapes)) if names]
        if problems:
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

    def _infer_from(self, state, prefix):
        """Take sizes that are not known yet from a state that is about to be loaded."""

    # ---- switches ----
    def train(self, mode: bool = True) -> Module:
        """Put this module and all below it in training mode (dropout drops, batch norm measures); returns it."""
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
        children = [(n, v) for n, v in self._children() if isinstance(v, Module) or _holds_modules(v)]
        if not children:
            return f"{type(self).__name__}({self.extra_repr()})"
        lines = [f"({n}): {v!r}".replace("\n", "\n  ") for n, v in children]
        return f"{type(self).__name__}({self.extra_repr()}\n  " + "\n  ".join(lines) + "\n)"


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


def _holds_modules(value):
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return any(isinstance(v, Module) for v in items)


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
        for m in modules:
            self.append(m)

    def _children(self):
        others = [(n, v) for n, v in vars(self).items() if n != "_list"]  # of a subclass, or set from outside
        return [(str(i), m) for i, m in enumerate(self._list)] + others

    def append(self, module: Module) -> ModuleList:
        """Add a module at the end; returns the list."""
        if not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__} holds modules, not {type(module).__name__} ({module!r:.60}); "
                            "wrap a function in nn.Lambda")
        self._list.append(module)
        return self

    def __len__(self): return len(self._list)
    def __iter__(self): return iter(self._list)
    def __getitem__(self, i): return type(self)(self._list[i]) if isinstance(i, slice) else self._list[i]


class Sequential(ModuleList):
    """Modules one after the other: ``Sequential(a, b)(x)`` is ``b(a(x))``."""

    def __init__(self, *modules):
        super().__init__(modules[0] if len(modules) == 1 and isinstance(modules[0], (list, tuple)) else modules)

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
    """Merge the axes from ``start_dim`` on: (N, C, H, W) -> (N, C * H * W)."""

    def __init__(self, start_dim: int = 1):
        self.start_dim = start_dim

    def forward(self, x):
        from ..functional import flatten
        return flatten(x, self.start_dim)
