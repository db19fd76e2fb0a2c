"""Nested containers: values anywhere in dicts, lists, tuples and modules, seen as one flat list and put back."""

from __future__ import annotations

import contextlib
import copy
import threading
from collections.abc import Callable, Iterator

from .tensor import Parameter, Tensor


class Parameters(dict):
    """What a module is to a tree: {dotted name: parameter}, of its parameters that require grad."""

    def __init__(self, module):
        super().__init__((name, p) for name, p in module.named_parameters() if p.requires_grad)
        self.module = module


def is_module(x) -> bool:
    """Whether x is a module."""
    return hasattr(x, "named_parameters")


def holds_module(tree) -> bool:
    """Whether there is a module in ``tree``."""
    items = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, (list, tuple)) else ()
    return is_module(tree) or any(map(holds_module, items))


def opened(tree):
    """``tree`` with `Parameters` in the place of its modules, as they are now."""
    if is_module(tree):
        return Parameters(tree)
    return _rebuilt(tree, opened) if isinstance(tree, (dict, list, tuple)) else tree


def _rebuilt(tree, function):
    """A container like ``tree`` of ``function(item)`` for its items."""
    if isinstance(tree, dict):
        new = {} if isinstance(tree, Parameters) else copy.copy(tree)
        new.update((key, function(item)) for key, item in tree.items())
        return new
    new = [function(item) for item in tree]
    return type(tree)(*new) if hasattr(tree, "_fields") else type(tree)(new)


def leaves(tree, path: str = "") -> Iterator[tuple[str, object]]:
    """(path, value) of everything in ``tree`` that is no container: ``leaves({"w": [a, b]})`` has ['w'][0], ['w'][1].

    Containers are dicts, lists, tuples, named tuples, modules, and None, which is empty.
    """
    tree = Parameters(tree) if is_module(tree) else tree
    if isinstance(tree, (dict, list, tuple)):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from leaves(value, f"{path}[{key!r}]")
    elif tree is not None:
        yield path, tree


def rebuild(tree, values: Iterator, module: Callable = lambda parameters, new: new):
    """A tree like ``tree`` with its leaves taken from the iterator ``values``; a module becomes a dict by name.

    module: called as ``module(parameters, {name: value})`` for what stands in the place of a module.
    """
    tree = Parameters(tree) if is_module(tree) else tree
    if isinstance(tree, (dict, list, tuple)):
        new = _rebuilt(tree, lambda item: rebuild(item, values, module))
        return module(tree, new) if isinstance(tree, Parameters) else new
    return None if tree is None else next(values)


def transform(function: Callable, tree, *others):
    """``tree`` with ``function`` applied to its leaves, and to those at the same places of ``others``."""
    return rebuild(tree, iter([function(*vs) for vs in zip(*([v for _, v in leaves(t)] for t in (tree, *others)))]))


def matching(tree, like, what: str) -> list:
    """The leaves of ``tree``, which must have the structure of ``like``. Raises ValueError naming what differs."""
    have, want = dict(leaves(tree)), dict(leaves(like))
    if have.keys() != want.keys():
        odd = sorted(path or "the whole" for path in have.keys() ^ want.keys())
        raise ValueError(f"{what} must have the same structure as its counterpart; only one has {', '.join(odd[:5])}"
                         f"{' ...' if len(odd) > 5 else ''}")
    return [have[path] for path in want]


# ---- other values in the place of a module's parameters ----
one_at_a_time = threading.RLock()  # a module has one set of parameters at a time, whatever the thread
_now = threading.local()


def substitutions() -> tuple:
    """The substitutions that are in force in this thread, the outermost first."""
    return getattr(_now, "active", ())


@contextlib.contextmanager
def substituted(parameters: Parameters, new: dict):
    """Their module with other values, {name: value}, in place of these parameters until the block ends.

    Raises TypeError if one of them is held where no walk over attributes, lists, tuples and dicts can exchange it.
    """
    values = {id(p): as_parameter(new[name]) for name, p in parameters.items()}
    with one_at_a_time:
        before, put, met = substitutions(), [], set()
        try:
            for m in [*parameters.module.modules()]:
                for name, old in list(vars(m).items()):
                    value = _swapped(old, values, met)
                    if value is not old:
                        put.append((m, name, old))
                        vars(m)[name] = value
            missed = [name for name, p in parameters.items() if id(p) not in met]
            if missed:
                raise TypeError(f"parameters {', '.join(missed)} are held by something that their exchange cannot "
                                "reach: keep them in attributes, lists, tuples or dicts")
            _now.active = (*before, (parameters, new))
            yield parameters.module
        finally:
            _now.active = before
            for m, name, old in put:
                vars(m)[name] = old


def _swapped(v, values, met):
    """``v`` with the values of these ids exchanged; v itself if there are none in it."""
    if id(v) in values:
        met.add(id(v))
        return values[id(v)]
    if isinstance(v, (dict, list, tuple)):
        items = list(v.values() if isinstance(v, dict) else v)
        swapped = [_swapped(item, values, met) for item in items]
        if any(a is not b for a, b in zip(swapped, items)):
            left = iter(swapped)
            return _rebuilt(v, lambda _: next(left))
    return v


def as_parameter(x):
    """A Tensor as the Parameter that a module's walk looks for: the same array, the same place in the graph."""
    if isinstance(x, Parameter):
        return x
    if not isinstance(x, Tensor):  # inside vmap
        x.is_parameter = True
        return x
    p = Parameter.__new__(Parameter)
    p._data, p.node = x._data, x.node
    return p
