"""Which parameters: groups with and without decay, frozen ones, and those for one of several optimizers."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable

from ..nn.module import Module
from ..tensor import Tensor


def no_decay(model: Module, weight_decay: float = 0.01,
             mask: Callable[[str, Tensor], bool] | None = None) -> list[dict]:
    """Parameter groups: those to decay, and with weight_decay 0 biases, vectors, scalars and the norms' parameters.

    ``AdamW(no_decay(model, 0.1), lr=1e-3)``. mask(name, p): True for those to decay, in place of that rule.
    """
    norms = _own_parameters(model, "Norm")

    def rule(name, p):
        return p.ndim > 1 and id(p) not in norms and name.rpartition(".")[2] != "bias"
    groups = {True: [], False: []}
    for name, p in model.named_parameters():
        groups[bool((mask or rule)(name, p))].append(p)
    return [{"params": params, "weight_decay": weight_decay if decays else 0.0}
            for decays, params in groups.items() if params]


def partition(model: Module, mask: Callable[[str, Tensor], bool] | None = None) -> tuple[list[Tensor], list[Tensor]]:
    """(the parameters for which mask(name, p) is true, the others), each for an optimizer of its own.

    mask=None takes the matrices of hidden layers, as `Muon` wants them: all but embeddings', norms' and the last one.

        matrices, others = partition(model)
        optimizer = MultiOptimizer(Muon(matrices, lr=0.02), AdamW(others, lr=3e-4))
    """
    others = _own_parameters(model, "Norm") | _own_parameters(model, "Embedding")
    others |= {id(p) for p in [p for p in model.parameters() if p.ndim == 2][-1:]}
    chosen: dict[bool, list] = {True: [], False: []}
    for name, p in model.named_parameters():
        chosen[bool(mask(name, p) if mask else p.ndim == 2 and id(p) not in others)].append(p)
    return chosen[True], chosen[False]


def _own_parameters(model, kind):
    """The ids of the parameters of layers whose class has ``kind`` in its name; not of the layers inside them."""
    layers = [m for m in model.modules() if kind in type(m).__name__]
    return {id(p) for m in layers for p in vars(m).values() if isinstance(p, Tensor)}


def freeze(model: Module, *patterns: str) -> list[str]:
    """Let the parameters of these names be, "layers.0.*" or all: no gradient, no step, no decay. Returns their names.

    Their state in the optimizer and its wrappers is kept for `unfreeze`; EMA and SWA go on averaging them. Batch norm's
    running statistics go on: ``layer.eval()``.
    """
    return _set_frozen(model, patterns, True)


def unfreeze(model: Module, *patterns: str) -> list[str]:
    """Undo `freeze`."""
    return _set_frozen(model, patterns, False)


def _set_frozen(model, patterns, frozen):
    named = list(model.named_parameters())
    for pattern in patterns:
        if not fnmatch.filter([name for name, _ in named], pattern):
            raise ValueError(f"no parameter is called {pattern!r}; there are {', '.join(name for name, _ in named)}")
    chosen = [(n, p) for n, p in named if not patterns or any(fnmatch.fnmatchcase(n, x) for x in patterns)]
    for _, p in chosen:
        if frozen:
            p.grad = None  # one that is left would still be stepped along
        p.requires_grad = not frozen
    return [name for name, _ in chosen]
