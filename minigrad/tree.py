"""Nested containers: values anywhere in dicts, lists, tuples and modules, seen as one flat list and put back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from .tensor import Parameter, Tensor


def is_module(x) -> bool:
    """Whether x is a module: its leaves are the parameters that require grad, by their dotted names."""
    return hasattr(x, "named_parameters")


def trained(module) -> dict[str, Parameter]:
    """The parameters of a module that require grad, by name."""
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


def leaves(tree, path: str = "") -> Iterator[tuple[str, object]]:
    """(path, value) of everything in ``tree`` that is no container: ``leaves({"w": [a, b]})`` has ['w'][0], ['w'][1].

    Containers are dicts, lists, tuples, named tuples, modules, and None, which is empty.
    """
    if is_module(tree):
        tree = trained(tree)
    if isinstance(tree, (dict, list, tuple)):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from leaves(value, f"{path}[{key!r}]")
    elif tree is not None:
        yield path, tree


def rebuild(tree, values: Iterator, module: Callable = lambda module, new: new):
    """A tree like ``tree`` with its leaves taken from the iterator ``values``; a module becomes a dict by name.

    module: called as ``module(module, {name: value})`` for what stands in the place of a module.
    """
    if is_module(tree):
        return module(tree, {name: next(values) for name in trained(tree)})
    if isinstance(tree, dict):
        return type(tree)((key, rebuild(value, values, module)) for key, value in tree.items())
    if isinstance(tree, (list, tuple)):
        new = [rebuild(value, values, module) for value in tree]
        return type(tree)(*new) if hasattr(tree, "_fields") else type(tree)(new)
    return None if tree is None else next(values)


def transform(function: Callable, tree, *others):
    """``tree`` with ``function`` applied to its leaves, and to those at the same places of ``others``."""
    return rebuild(tree, (function(*vs) for vs in zip(*([v for _, v in leaves(t)] for t in (tree, *others)))))


def matching(tree, like, what: str) -> list:
    """The leaves of ``tree``, which must have the structure of ``like``. Raises ValueError naming what differs."""
    have, want = dict(leaves(tree)), dict(leaves(like))
    if have.keys() != want.keys():
        odd = sorted(have.keys() ^ want.keys())
        raise ValueError(f"{what} must have the same structure as its counterpart; only one has {', '.join(odd[:5])}"
                         f"{' ...' if len(odd) > 5 else ''}")
    return [have[path] for path in want]


def as_parameter(x):
    """A Tensor as the Parameter that a module's walk looks for: the same array, the same place in the graph."""
    if type(x) is not Tensor:
        return x
    p = Parameter.__new__(Parameter)
    p._data, p.node = x._data, x.node
    return p


@contextlib.contextmanager
def substituted(module, new: dict):
    """``module`` with other values in place of its parameters, as {name: value}, until the block ends."""
    values = {id(p): as_parameter(new[name]) for name, p in trained(module).items()}

    def swap(v):
        if isinstance(v, dict):
            swapped = {key: swap(item) for key, item in v.items()}
            return v if all(swapped[key] is v[key] for key in v) else swapped
        if type(v) in (list, tuple):
            swapped = [swap(item) for item in v]
            return v if all(a is b for a, b in zip(swapped, v)) else type(v)(swapped)
        return values.get(id(v), v)
    put = []
    try:
        for m in module.modules():
            for name, old in list(vars(m).items()):
                if (value := swap(old)) is not old:
                    put.append((m, name, old))
                    vars(m)[name] = value
        yield module
    finally:
        for m, name, old in put:
            vars(m)[name] = old
