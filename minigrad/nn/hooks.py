"""Hooks of modules: functions that look at, or change, what goes in and out of a module and its gradients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import tree
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
        gate = _Gate(self, args) if self._backward_hooks else None
        y = self.forward(*(gate.args if gate else args), **kwargs)
        for hook in self._post_hooks:
            new = hook(self, args, y)
            y = y if new is None else new
        return gate.watch(y) if gate else y


class _Gate:
    """Own nodes around one call: the hook is called when the gradients of all inputs have arrived."""

    def __init__(self, module, args):
        self.module, self.args = module, list(args)
        self.at = [i for i, x in enumerate(args) if getattr(x, "requires_grad", False)]
        xs = [args[i] for i in self.at]
        self.shapes, self.grad_output = [x.shape for x in xs], []
        if not xs:
            return
        flat = np.concatenate([np.reshape(x, -1) for x in xs])  # one node, so that all gradients pass it together
        flat.register_hook(self._inputs_done)
        for i, x, part in zip(self.at, xs, self._split(flat)):
            self.args[i] = part if part.dtype == x.dtype else part.astype(x.dtype)

    def _split(self, flat):
        ends = np.cumsum([0, *(int(np.prod(s)) for s in self.shapes)])
        return [np.reshape(flat[a:b], shape) for a, b, shape in zip(ends, ends[1:], self.shapes)]

    def watch(self, y):
        """The same outputs, each with a hook that notes its gradient."""
        n = sum(1 for _ in tree.leaves(y))
        self.grad_output = [None] * n
        return tree.rebuild(y, (self._watched(i, v) for i, (_, v) in enumerate(tree.leaves(y))))

    def _watched(self, i, y):
        if not getattr(y, "requires_grad", False):
            return y
        y = np.reshape(y, y.shape)

        def note(g):
            self.grad_output[i] = g
            if not self.at:
                self._call((None,) * len(self.args))
        y.register_hook(note)
        return y

    def _inputs_done(self, g):
        grad_input = [None] * len(self.args)
        for i, part in zip(self.at, self._split(g)):
            grad_input[i] = part
        new = self._call(tuple(grad_input))
        return None if new is None else np.concatenate([np.reshape(new[i], -1) for i in self.at])

    def _call(self, grad_input):
        changed = False
        for hook in self.module._backward_hooks:
            new = hook(self.module, grad_input, tuple(self.grad_output))
            if new is None:
                continue
            new = new if isinstance(new, tuple) else (new,)
            for i, (x, old) in enumerate(zip(new, grad_input)):
                if len(new) != len(grad_input) or np.shape(x) != np.shape(old):
                    raise ValueError(f"a backward hook of {type(self.module).__name__} returned gradients of shapes "
                                     f"{[np.shape(v) for v in new]} for inputs of {[np.shape(v) for v in grad_input]} "
                                     f"(argument {i})")
            grad_input, changed = new, True
        return grad_input if changed else None
