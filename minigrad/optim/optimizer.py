"""The shell of every optimizer: parameter groups, state, hooks, and the walk over cache-sized blocks.

An optimizer itself is its paper's formula: a subclass names its ``slots``, the arrays it keeps per parameter, and
writes ``update(w, g, *slots, lr, ...)`` as plain NumPy on arrays and numbers, in place.
"""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable, Iterable
from functools import cache
from numbers import Real
from operator import is_

import numpy as np

from .. import graph, kernels
from ..mode import enable_grad
from ..tensor import Tensor

BLOCK = 131072  # elements: the formula's temporaries stay in the cache; smaller ones lose to the cost of a call
WORTH = 20_000  # weights in all, from which on a compiled formula gains more than it costs to load


class Optimizer:
    """The base class. A subclass passes its hyper-parameters on: ``super().__init__(params, lr=lr, ...)``.

    params: Parameters, (name, Parameter) pairs, or groups: dicts with "params" and hyper-parameters of their own.
    slots: names of the arrays kept per parameter, like it in shape and dtype; ``init_slot`` fills them, ``unused``
    lists those that a group does without (update gets None for them). elementwise: update treats each weight by itself,
    so it may be called on blocks; False for rules that need a whole tensor.

    update's further arguments are looked up by name: a hyper-parameter, ``beta1`` and ``beta2`` of betas, ``t``, the
    number of this step, from 1, or what `numbers` (for each parameter) and `shared` (for all together) give. numbers
    that last from step to step are named in ``kept`` and live in the parameter's state; those of all in ``common``.

    fractions: hyper-parameters that must be in [0, 1). One whose default is a tuple takes as many numbers.

    needs_graph: step's closure returns the loss and does not call backward, for the graph is walked more than once.

    Every optimizer has maximize and weight_decay: coupled, g + weight_decay * w, or, where ``decoupled`` or the
    hyper-parameter decoupled_weight_decay says so, w <- (1 - lr weight_decay) w before the step (Loshchilov & Hutter
    2017). An update that has an argument weight_decay does with it what it will.
    """

    slots: tuple[str, ...] = ()
    fractions: tuple[str, ...] = ("betas",)
    kept: tuple[str, ...] = ()
    elementwise = True
    decoupled = False
    needs_graph = False
    _told = False  # that no parameter had a gradient
    update: Callable

    def __init__(self, params, weight_decay: float = 0.0, maximize: bool = False, **hyper):
        self.defaults = {**hyper, "weight_decay": weight_decay, "maximize": maximize}
        self.state: dict[Tensor, dict] = {}
        self.common: dict = {}
        self.scheduled: dict = {}  # hyper-parameter -> (the groups' values before any schedule, those a schedule set)
        self._blocks: dict[Tensor, tuple] = {}
        self._weights: int | None = None  # counted at the first step: lazy layers are built by then
        self.param_groups: list[dict] = []
        self.gradient_hooks: list[Callable] = []
        names = list(inspect.signature(self.update).parameters)
        self._arrays, self._scalars = names[:2 + len(self.slots)], names[2 + len(self.slots):]
        if not isinstance(params, (Tensor, Iterable)):
            raise TypeError(f"{type(self).__name__} takes parameters, model.parameters(), not {params!r:.60}")
        params = [params] if isinstance(params, Tensor) else list(params)
        if not params:
            raise ValueError(f"{type(self).__name__} got no parameters: is model.parameters() empty, or used up?")
        groups = params if isinstance(params[0], dict) else [{"params": params}]
        for group in groups:
            self.add_param_group(group)
        if not any(p.requires_grad for group in self.param_groups for p in group["params"]):
            raise ValueError(f"{type(self).__name__}: no parameter requires grad, so none would ever be updated; "
                             "those of model.parameters() do, detached copies do not")
        if all(group.get("lr") == 0 for group in self.param_groups):
            warnings.warn(f"{type(self).__name__}: lr is 0, so no step would change anything, whatever a schedule "
                          "multiplies it by: give one above 0. (p.requires_grad = False freezes.)", stacklevel=3)

    def add_param_group(self, group: dict) -> None:
        """Add parameters with hyper-parameters of their own; what the group does not set is the optimizer's default."""
        name = type(self).__name__
        given = group["params"]
        params = [p[1] if isinstance(p, tuple) else p for p in ([given] if isinstance(given, Tensor) else given)]
        unknown = group.keys() - self.defaults.keys() - {"params"}
        if unknown:
            raise ValueError(f"{name} has no hyper-parameter {', '.join(sorted(unknown))}; it has "
                             f"{', '.join(self.defaults)}")
        known = {id(p) for g in self.param_groups for p in g["params"]}
        for i, p in enumerate(params):
            if not isinstance(p, Tensor) or not p.is_leaf:
                raise TypeError(f"{name} trains leaf Tensors, like those of model.parameters(); parameter {i} is "
                                f"{p!r:.60}")
            if p.dtype.kind == "c":
                raise TypeError(f"{name} trains real numbers, parameter {i} is {p.dtype}: train its real and imaginary "
                                "part, re + 1j * im")
            if id(p) in known:
                raise ValueError(f"{name}: parameter {i} {p.shape} is there twice; it would be updated twice a step")
            known.add(id(p))
        group = {k: tuple(v) if isinstance(v, list) else v for k, v in {**self.defaults, **group}.items()}
        group["params"] = params
        self.check(group)
        self.param_groups.append(group)
        self._weights = None

    def check(self, group: dict) -> None:
        """Raise ValueError for hyper-parameters out of range: `fractions` in [0, 1), others finite and not negative."""
        name = type(self).__name__
        for key, value in group.items():
            several = _lengths(type(self)).get(key)
            if several and (not isinstance(value, tuple) or len(value) != several):
                raise TypeError(f"{name}: {key} must be a tuple of {several} numbers, got {value!r}")
            if key in ("lr", "weight_decay", "eps") and not several and not isinstance(value, Real):
                raise TypeError(f"{name}: {key} must be a number, got {value!r}")
            for v in value if isinstance(value, tuple) and key in self.fractions else [value]:
                fraction = key in self.fractions
                if isinstance(v, Real) and not (v >= 0 and math.isfinite(v) and (not fraction or v < 1)):
                    raise ValueError(f"{name}: {key} must be {'in [0, 1)' if fraction else 'finite and at least 0'}, "
                                     f"got {value}")

    # ---- the step ----
    def step(self, closure: Callable | None = None):
        """Update every parameter that has a gradient. closure, if given, computes and returns the loss first."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        if self._weights is None:
            self._weights = sum(p.size for group in self.param_groups for p in group["params"])
        params, grads, knowns = [], [], []
        for group in self.param_groups:
            known = self._known(group)
            for p in group["params"]:
                g = p.grad
                if g is not None and g.size:
                    params.append(p)
                    grads.append(g.data)
                    knowns.append(known)
        for hook in self.gradient_hooks:
            grads = hook(params, grads)
        if not params:
            self._tell_once()
        shared = self.shared(params, grads, loss) if params else {}
        for p, g, known in zip(params, grads, knowns, strict=True):
            self._update(p, g, {**known, **shared} if shared else known)
        return loss

    def _tell_once(self):
        """That nothing has a gradient; of frozen parameters alone that is meant."""
        if not self._told and any(p.requires_grad and p.size for group in self.param_groups for p in group["params"]):
            self._told = True
            warnings.warn(f"{type(self).__name__}.step: no parameter has a gradient, so nothing changes. Call "
                          "loss.backward() between zero_grad() and step(); is the optimizer made of the parameters "
                          "that the model has now?", RuntimeWarning, stacklevel=3)

    def _update(self, p, g, known):
        state = self.state.setdefault(p, {"step": 0})
        t = state["step"] = state["step"] + 1
        numbers = self.numbers(known, state, t)
        if numbers or known.get("t") != t:  # most parameters of a group share them
            known = {**known, **numbers} if numbers else known
            known["t"] = t
            known["scalars"] = [known[name] for name in self._scalars]
        scalars, (coupled, decoupled), maximize = known["scalars"], known["decays"], known["maximize"]
        g = g.reshape(-1) if self.elementwise else g
        update, blocks = self._blocks_of(p, state, known)
        for part, w, *slots in blocks:
            d = g if part is None else g[part]
            if maximize:
                d = -d
            if decoupled:
                w *= 1 - known["lr"] * decoupled
            elif coupled:
                d = d + coupled * w
            update(w, d, *slots, *scalars)
        graph.changed(p.data)

    def _known(self, group):
        """What update and the shell look up by name: the group's hyper-parameters, and what follows from them."""
        lr = group.get("lr")
        if lr.__class__ is float and not 0 <= lr < math.inf:
            self.check({"lr": lr})
        known = group | {f"beta{i}": beta for i, beta in enumerate(group.get("betas", ()), 1)}
        compiled = self._weights >= WORTH and self.elementwise and kernels.chosen() == "compiled"
        known["decays"], known["unused"] = self._decays(group), self.unused(group)
        known["kind"] = compiled, known["unused"]
        return known

    def _decays(self, known):
        """The weight decay that the shell adds to the gradient, and the one by which it shrinks the weights."""
        decay = 0 if "weight_decay" in self._scalars else known["weight_decay"]
        return (0, decay) if known.get("decoupled_weight_decay", self.decoupled) else (decay, 0)

    def _blocks_of(self, p, state, known):
        """The formula, as it stands or compiled, and (slice, the weights there, the slots there) for all of p.

        A slice of None is everything. Views, made anew when p, its slots or the kernels are others.
        """
        kind, arrays, update, blocks = self._blocks.get(p, (None, (), None, None))
        if kind != known["kind"] or not all(map(is_, [p.data, *map(state.get, self.slots)], arrays)):
            if not (p.data.flags.c_contiguous and p.data.flags.writeable):
                p.data = np.array(p.data, order="C")
            arrays = [p.data]
            for s in self.slots:
                if s not in known["unused"] and state.get(s) is None:
                    state[s] = self.init_slot(s, p.data, known)
                arrays.append(None if s in known["unused"] else state[s])
            update = self.update
            if known["kind"][0]:
                w, g, *slots = self._arrays
                there = [a for a, s in zip(slots, self.slots) if s not in known["unused"]]
                update = kernels.elementwise(update, (w, g, *there), (w, *slots), p.dtype)
            if self.elementwise:
                flat = [a if a is None else a.reshape(-1) for a in arrays]
                size = p.size if known["kind"][0] else BLOCK  # a compiled loop has no temporaries
                parts = [slice(lo, lo + size) for lo in range(0, p.size, size)] if p.size > size else []
                blocks = [(part, *(a if a is None else a[part] for a in flat)) for part in parts] or [(None, *flat)]
            else:
                blocks = [(None, *arrays)]
            self._blocks[p] = known["kind"], [p.data, *map(state.get, self.slots)], update, blocks
        return update, blocks

    def numbers(self, group: dict, state: dict, t: int) -> dict:
        """What update needs besides hyper-parameters, for one parameter at its step ``t``. May change state[kept]."""
        return {}

    def shared(self, params: list[Tensor], grads: list[np.ndarray], loss) -> dict:
        """What update needs that depends on all parameters, or on the loss that the closure gave."""
        return {}

    def unused(self, group: dict) -> tuple[str, ...]:
        """The slots that this group's hyper-parameters make needless."""
        return ()

    def init_slot(self, name: str, w: np.ndarray, group: dict) -> np.ndarray:
        """The array that slot ``name`` starts with: zeros."""
        return np.zeros_like(w, order="C")

    # ---- what users touch ----
    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None

    @property
    def lr(self) -> float:
        """The first group's learning rate. Setting it sets every group's. AttributeError for a rule without one."""
        if "lr" not in self.defaults:
            raise AttributeError(f"{type(self).__name__} has no lr, it has {', '.join(self.defaults)}")
        return self.param_groups[0]["lr"]

    @lr.setter
    def lr(self, lr):
        if "lr" not in self.defaults:
            raise AttributeError(f"{type(self).__name__} has no lr to set, it has {', '.join(self.defaults)}")
        for group in self.param_groups:
            self.check({"lr": lr})
            group["lr"] = lr

    def state_dict(self) -> dict:
        """A copy of state and hyper-parameters, parameters by their position: {"state": {0: {...}}, "param_groups"}."""
        order = {p: i for i, p in enumerate(p for g in self.param_groups for p in g["params"])}
        return {"state": {order[p]: {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in s.items()}
                          for p, s in self.state.items()},
                "param_groups": [{**g, "params": [order[p] for p in g["params"]]} for g in self.param_groups],
                **({"common": dict(self.common)} if self.common else {}),
                **({"scheduled": {k: [list(v) for v in both] for k, both in self.scheduled.items()}}
                   if self.scheduled else {})}

    def load_state_dict(self, state: dict) -> None:
        """Take over what `state_dict` gave, for the same parameters in the same order; ValueError if not."""
        if "param_groups" not in state:
            raise ValueError(f"this is no optimizer's state, it has {', '.join(map(str, state))}: is it a wrapper's?")
        sizes = [len(g["params"]) for g in self.param_groups]
        given = [len(g["params"]) for g in state["param_groups"]]
        if sizes != given:
            raise ValueError(f"this state is for groups of {given} parameters, the optimizer has {sizes}")
        if any(group.keys() != saved.keys() for group, saved in zip(self.param_groups, state["param_groups"])):
            raise ValueError(f"this state has {', '.join(state['param_groups'][0])}, {type(self).__name__} has "
                             f"{', '.join(self.param_groups[0])}: is it another optimizer's?")
        groups = {p: {**g, **{k: v for k, v in saved.items() if k != "params"}}
                  for g, saved in zip(self.param_groups, state["param_groups"]) for p in g["params"]}
        params = list(groups)
        new = {}
        for i, slots in state["state"].items():
            p = params[int(i)]
            mine = {"step", *self.slots, *self.kept}
            if not {"step"} <= set(slots) <= mine:
                raise ValueError(f"this state has {sorted(slots)}, {type(self).__name__} keeps {sorted(mine)}: is it "
                                 "another optimizer's?")
            group = groups[p]
            missing = set(self.slots) - set(self.unused(group)) - slots.keys()
            if missing and slots["step"]:
                raise ValueError(f"the state of parameter {i} lacks {', '.join(sorted(missing))}")
            new[p] = dict(slots)
            for name in [s for s in self.slots if slots.get(s) is not None]:
                fresh = self.init_slot(name, p.data, group)
                new[p][name] = np.array(slots[name], fresh.dtype, order="C")
                if new[p][name].shape != fresh.shape:
                    raise ValueError(f"{name} of parameter {i} has shape {new[p][name].shape}, for a parameter of "
                                     f"shape {p.shape} it must be {fresh.shape}")
        for group, saved in zip(self.param_groups, state["param_groups"]):
            group.update({k: v for k, v in saved.items() if k != "params"})
        self.state, self._blocks, self.common = new, {}, dict(state.get("common", {}))
        self.scheduled = {k: tuple(map(list, both)) for k, both in state.get("scheduled", {}).items()}

    def state_summary(self) -> dict:
        """{position of a parameter: its shape, lr, step and the root mean square of weight, gradient and slots}."""
        def rms(a):
            return float(np.sqrt(np.mean(np.square(a, dtype=np.float64)))) if a.size else 0.0
        summary = {}
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state.get(p, {"step": 0})
                arrays = {"weight": p.data, **({} if p.grad is None else {"grad": p.grad.data}), **state}
                summary[len(summary)] = {"shape": p.shape, "lr": group.get("lr"), **{
                    k: rms(v) if isinstance(v, np.ndarray) else v for k, v in arrays.items()}}
        return {**summary, **self.common}

    def __getstate__(self):
        return {**self.__dict__, "_blocks": {}}  # a copy's arrays are others

    def __repr__(self):
        groups = [", ".join(f"{k}={v}" for k, v in g.items() if k != "params") + f" ({len(g['params'])} parameters)"
                  for g in self.param_groups]
        return f"{type(self).__name__}({'; '.join(groups)})"


@cache
def _lengths(cls):
    """Of the hyper-parameters that are tuples: how many numbers."""
    defaults = {name: p.default for name, p in inspect.signature(cls).parameters.items()}
    return {name: len(default) for name, default in defaults.items() if isinstance(default, tuple)}


def clip_grad_norm_(params: Iterable[Tensor] | Tensor, max_norm: float) -> float:
    """Scale all gradients so that their joint 2-norm is at most ``max_norm``; returns the norm before.

    Pascanu et al. 2013.
    """
    params = [p for p in ([params] if isinstance(params, Tensor) else params) if p.grad is not None]
    grads, norm = _clipped([p.grad.data for p in params], max_norm)
    for p, g in zip(params, grads):
        p.grad = Tensor(g)
    return norm


def clip_grad_value_(params: Iterable[Tensor] | Tensor, clip_value: float) -> None:
    """Clip every element of every gradient into [-clip_value, clip_value]."""
    for p in [params] if isinstance(params, Tensor) else params:
        if p.grad is not None:
            p.grad = Tensor(np.clip(p.grad.data, -clip_value, clip_value))


def clip_norm(max_norm: float) -> Callable:
    """A gradient hook that does what `clip_grad_norm_` does, in every step: opt.gradient_hooks.append(clip_norm(1))."""
    return lambda params, grads: _clipped(grads, max_norm)[0]


def clip_value(value: float) -> Callable:
    """A gradient hook that clips every element into [-value, value]."""
    return lambda params, grads: [np.clip(g, -value, value) for g in grads]


def _clipped(grads, max_norm):
    if not max_norm > 0:
        raise ValueError(f"max_norm must be positive, got {max_norm}")
    norm = math.sqrt(sum(float(np.vdot(g, g).real) for g in grads))
    return ([g * (max_norm / norm) for g in grads] if norm > max_norm else grads), norm
