"""Hooks of modules: functions that look at, or change, what goes in and out of a module and its gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import tree
from ..batching import Batched
from ..hooks import Handle


class Hooks:
    """What `Module` inherits. Calling the handle that ``register_...`` returns removes the hook again."""

    _pre_hooks: tuple = ()
    _post_hooks: tuple = ()
    _backward_hooks: tuple = ()

    def register_forward_pre_hook(self, hook: Callable) -> Handle:
        """Call ``hook(module, args)`` before forward; what it returns, unless None, replaces the arguments."""
        return self._register("_pre_hooks", hook)

    def register_forward_hook(self, hook: Callable) -> Handle:
        """Call ``hook(module, args, output)`` after forward; what it returns, unless None, replaces the output."""
        return self._register("_post_hooks", hook)

    def register_full_backward_hook(self, hook: Callable) -> Handle:
        """Call ``hook(module, grad_input, grad_output)`` when backward has passed the module.

        Both are tuples: a gradient for each positional argument, None for what needs none, and one for each output.
        What the hook returns, unless None, replaces grad_input. (Kept apart from what else uses the same values.)
        """
        return self._register("_backward_hooks", hook)

    def _register(self, kind, hook):
        def remove():
            setattr(self, kind, tuple(h for h in getattr(self, kind) if h is not entry))

        def entry(*args):
            return hook(*args)
        setattr(self, kind, (*getattr(self, kind), entry))
        return Handle(remove)

    def _call_hooked(self, args, kwargs):
        for hook in self._pre_hooks:
            new = hook(self, args)
            if new is not None:
                args = new if isinstance(new, tuple) else (new,)
        gate = _Gate(self) if self._backward_hooks else None
        y = self.forward(*(gate.inputs(args) if gate else args), **kwargs)
        for hook in self._post_hooks:
            new = hook(self, args, y)
            y = y if new is None else new
        return gate.outputs(y) if gate else y


class _Gate:
    """Own nodes around one call: the hook is called when the gradients of all inputs have arrived."""

    def __init__(self, module):
        self.module, self.at, self.shapes, self.grad_output, self.missing = module, [], [], [], 0

    def inputs(self, args):
        """The same arguments behind one node, so that all gradients pass it together."""
        self.count = len(args)
        if any(isinstance(x, Batched) for x in args):
            raise TypeError(f"{type(self.module).__name__} has a backward hook, and these do not work inside vmap")
        self.at = [i for i, x in enumerate(args) if getattr(x, "requires_grad", False)]
        if not self.at:
            return args
        xs, new = [args[i] for i in self.at], list(args)
        self.shapes = [x.shape for x in xs]
        flat = np.concatenate([np.reshape(x, -1) for x in xs])
        flat.register_hook(self._inputs_done)
        for i, x, part in zip(self.at, xs, self._split(flat)):
            new[i] = part if part.dtype == x.dtype else part.astype(x.dtype)
        return new

    def _split(self, flat):
        ends = np.cumsum([0, *(int(np.prod(s)) for s in self.shapes)])
        return [np.reshape(flat[a:b], shape) for a, b, shape in zip(ends, ends[1:], self.shapes)]

    def outputs(self, y):
        """The same outputs, each with a hook that notes its gradient."""
        ys = [v for _, v in tree.leaves(y)]
        self.grad_output = [None] * len(ys)
        self.missing = sum(getattr(v, "requires_grad", False) for v in ys)
        return tree.rebuild(y, iter([self._watched(i, v) for i, v in enumerate(ys)]))

    def _watched(self, i, y):
        if not getattr(y, "requires_grad", False):
            return y
        y = np.reshape(y, y.shape)

        def note(g):
            self.grad_output[i] = g
            self.missing -= 1
            if not self.at and not self.missing:
                self._call((None,) * self.count)
        y.register_hook(note)
        return y

    def _inputs_done(self, g):
        grad_input = [None] * self.count
        for i, part in zip(self.at, self._split(g)):
            grad_input[i] = part
        new = self._call(tuple(grad_input))
        return None if new is None else np.concatenate([np.reshape(new[i], -1) for i in self.at])

    def _call(self, grad_input):
        given = grad_input
        for hook in self.module._backward_hooks:
            new = hook(self.module, grad_input, tuple(self.grad_output))
            if new is None:
                continue
            new = new if isinstance(new, tuple) else (new,)
            if len(new) != self.count or any(x is not None and np.shape(x) != np.shape(old)
                                             for x, old in zip(new, grad_input)):
                shapes = [[None if x is None else np.shape(x) for x in xs] for xs in (new, grad_input)]
                raise ValueError(f"a backward hook of {type(self.module).__name__} returned gradients of shapes "
                                 f"{shapes[0]} for inputs of {shapes[1]}")
            grad_input = tuple(old if x is None else x for x, old in zip(new, grad_input))
        return None if grad_input is given else grad_input
