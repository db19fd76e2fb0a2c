"""`primitive`: a function of arrays becomes one of Tensors too. An op of your own starts here."""

from __future__ import annotations

import functools
import inspect
import sys

import numpy as np

from .graph import rule


def primitive(*rules, broadcasts=False):
    """Decorate a function of arrays so that it takes Tensors too, with these rules (see docs/adding-an-op.md).

    Its first arguments, one for each rule, are inputs and passed by position; the others are static. A rule may call it
    on arrays (first order) or on Tensors (when the gradient is itself differentiated). Raises TypeError for a function
    with fewer arguments than rules, and for a Tensor that is passed as anything but an input.
    """
    n = len(rules)

    def enter(forward):
        usable = callable(forward) and any(map(callable, rules))
        parameters = inspect.signature(forward).parameters if usable else {}
        names = [k for k, p in parameters.items() if p.kind is not p.VAR_POSITIONAL]
        if not usable or len(names) == len(parameters) < n:
            raise TypeError("primitive wants a rule for each input: @primitive(lambda g, y, x: ...) above def f(x)")

        @functools.wraps(forward)
        def dispatch(*args, **static):
            if len(args) > n:
                if len(args) > len(parameters):
                    raise TypeError(f"{forward.__name__} has {n} rules, one for each input, but got {len(args)} inputs")
                static.update(zip(names[n:], args[n:]))
                args = args[:n]
            for k, v in static.items():
                if (hasattr(v, "node") and not hasattr(v, "level")) or k in names[:n]:  # a level: batched by vmap
                    raise TypeError(f"{forward.__name__}: {', '.join(names[:n])} must be passed by position, and "
                                    f"nothing else can be a Tensor (got {k}=)")
            for a in args:
                if type(a) is not np.ndarray and hasattr(a, "node"):
                    return a.record(dispatch, *args, **static)
            return forward(*args, **static)
        rule(dispatch, *rules, forward=forward, broadcasts=broadcasts)
        return dispatch
    return enter


def of_scipy(ufunc):
    """The name under which the composites hold our twin of a SciPy ufunc; None for what is not one.

    By name, because SciPy is imported on first use.
    """
    name = ufunc.__name__ if isinstance(ufunc, np.ufunc) else ""
    return f"scipy.special.{name}" if getattr(sys.modules.get("scipy.special._ufuncs"), name, None) is ufunc else None


_WAYS_OUT = {"core dimension": "the last axis of the first must be as long as the last but one of the second",
             "cannot reshape": "-1 stands for what is left",
             "broadcast together": "from the last axis on, lengths must be equal or 1; x[:, None] adds an axis"}


def told(error: Exception, op: str, inputs: list) -> Exception:
    """NumPy's error, which often says neither where nor to what it happened, with the op and its inputs."""
    text, plain = str(error).strip(), type(error) in (ValueError, TypeError, IndexError)
    if not (plain or type(error).__module__ == "numpy._core._exceptions"):  # a ufunc has no loop for such types
        return error
    way_out = [way for sign, way in _WAYS_OUT.items() if sign in text]
    said = any(str(x.shape) in text for x in inputs if hasattr(x, "shape"))
    if said and not way_out:
        return error
    given = ", ".join(f"{x.dtype} {x.shape}" if hasattr(x, "dtype") else f"{x!r:.40}" for x in inputs)
    named = error if plain else TypeError()
    named.args = (f"{text} [{'; '.join([f'{op} of {given}', *way_out])}]",)
    return named
