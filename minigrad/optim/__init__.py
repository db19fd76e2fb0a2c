"""Optimizers: each is its paper's formula in a shell that owns the loop, the groups, the hooks and the state."""

from .adam import Adam
from .adaptive import Adadelta, Adagrad, RMSprop
from .momentum import NAG, SGD, Momentum
from .optimizer import Optimizer, clip_grad_norm_, clip_grad_value_, clip_norm, clip_value

__all__ = ["NAG", "SGD", "Adadelta", "Adagrad", "Adam", "Momentum", "Optimizer", "RMSprop", "by_name",
           "clip_grad_norm_", "clip_grad_value_", "clip_norm", "clip_value"]


def by_name(name: str) -> type[Optimizer]:
    """The optimizer class of this name, in any case and with or without hyphens; ValueError lists what there is."""
    known = {n.lower(): c for n, c in globals().items() if isinstance(c, type) and issubclass(c, Optimizer)
             and c is not Optimizer}
    key = name.lower().replace("-", "").replace("_", "")
    if key not in known:
        raise ValueError(f"no optimizer called {name!r}; there are {', '.join(sorted(known))}")
    return known[key]
