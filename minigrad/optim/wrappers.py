"""What goes around an optimizer: lookahead, sharpness, accumulation, noise, decay; Ranger.

A wrapper takes an optimizer, or another wrapper, and is used like one: ``Lookahead(Adam(model.parameters()))``.
"""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable
from numbers import Real

import numpy as np

from .. import graph
from ..mode import enable_grad
from ..random import default_generator
from ..tensor import Tensor
from .adam import RAdam
from .adam_variants import QHAdam, SAdam
from .optimizer import Optimizer


def _given_gradients(wrapper):
    if wrapper.needs_graph:
        raise TypeError(f"{type(wrapper).__name__} changes the gradients that the closure computes, but "
                        f"{wrapper.optimizer!r:.40} takes them from the loss itself")


class Wrapper:
    """The base class. A step is the optimizer's, with something before, around or after it.

    options: its hyper-parameters, attributes that `repr` shows and `state_dict` saves. kept: further attributes to
    save. slots: attributes to save that are {parameter: array}. What is not said here is asked of the optimizer.

    stepped: whether the last step reached the weights; not where `Accumulate` only adds up or `SkipNonFinite` leaves it
    out. Then no wrapper around it counts, averages, decays or draws. Parameters that do not require grad stand still.
    """

    options: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    slots: tuple[str, ...] = ()
    projects = False  # whether the optimizer and its hooks see other parameters than the groups hold

    def __init__(self, optimizer: Optimizer | Wrapper):
        if not isinstance(optimizer, (Optimizer, Wrapper)):
            raise TypeError(f"{type(self).__name__} wraps an optimizer, got {optimizer!r:.60}")
        self.optimizer = optimizer
        for name in self.slots:
            setattr(self, name, {})

    def step(self, closure: Callable | None = None):
        """One step; returns the loss if there is a closure, which clears the gradients and computes it and them."""
        return self.optimizer.step(closure)

    # ---- the optimizer's ----
    param_groups = property(lambda self: self.optimizer.param_groups)
    gradient_hooks = property(lambda self: self.optimizer.gradient_hooks)
    defaults = property(lambda self: self.optimizer.defaults)
    state = property(lambda self: self.optimizer.state)
    stepped = property(lambda self: getattr(self.optimizer, "stepped", True))
    needs_graph = property(lambda self: self.optimizer.needs_graph)
    lr = property(lambda self: self.optimizer.lr, lambda self, lr: setattr(self.optimizer, "lr", lr),
                  doc="The first group's learning rate. Setting it sets every group's.")

    def add_param_group(self, group: dict) -> None:
        """Add parameters to the optimizer."""
        self.optimizer.add_param_group(group)

    def check(self, group: dict) -> None:
        """Raise ValueError for hyper-parameters out of the optimizer's range."""
        self.optimizer.check(group)

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        self.optimizer.zero_grad()

    def parameters(self) -> list[Tensor]:
        """The parameters of all groups, in order."""
        return [p for group in self.param_groups for p in group["params"]]

    def _trained(self):
        return [p for p in self.parameters() if p.requires_grad]

    def _groups(self):
        return {p: group for group in self.param_groups for p in group["params"]}

    def _inside(self):
        """The wrappers and the optimizer that are inside this one, from outside to inside."""
        return [self.optimizer, *(self.optimizer._inside() if isinstance(self.optimizer, Wrapper) else ())]

    def _needs_lr(self):
        for group in self.param_groups:
            if "lr" not in group:
                raise TypeError(f"{type(self).__name__} needs an optimizer with a learning rate, got "
                                f"{self.optimizer!r:.60}")

    def state_summary(self) -> dict:
        """What the optimizer's says."""
        return self.optimizer.state_summary()

    def state_dict(self) -> dict:
        """A copy of the wrapper's state and, under "optimizer", of the optimizer's."""
        order = {p: i for i, p in enumerate(self.parameters())}
        return {"wrapper": type(self).__name__, "optimizer": self.optimizer.state_dict(),
                **{name: copy.deepcopy(getattr(self, name)) for name in self.options + self.kept},
                **{name: {order[p]: a.copy() for p, a in getattr(self, name).items()} for name in self.slots}}

    def load_state_dict(self, state: dict) -> None:
        """Take over what `state_dict` gave; ValueError if it is another wrapper's or for other parameters."""
        name, params = type(self).__name__, self.parameters()
        wanted = {"wrapper", "optimizer", *self.options, *self.kept, *self.slots}
        if state.get("wrapper") != name or set(state) != wanted:
            raise ValueError(f"this state is {state.get('wrapper') or 'a plain optimizer'}'s, not {name}'s")
        if any(int(i) >= len(params) for s in self.slots for i in state[s]):
            raise ValueError(f"this state is for more than the {len(params)} parameters that {name} has")
        slots = {s: {(p := params[int(i)]): np.array(a, p.dtype, order="C") for i, a in state[s].items()}
                 for s in self.slots}
        for slot, arrays in slots.items():
            for p, a in arrays.items():
                if a.shape != p.shape:
                    raise ValueError(f"{slot} of a parameter {p.shape} has shape {a.shape}")
        self.optimizer.load_state_dict(state["optimizer"])
        for key in self.options + self.kept:
            setattr(self, key, copy.deepcopy(state[key]))
        for slot, arrays in slots.items():
            setattr(self, slot, arrays)

    def __repr__(self):
        options = [f"{name}={getattr(self, name)}" for name in self.options]
        return f"{type(self).__name__}({', '.join([repr(self.optimizer), *options])})"

    def _limit(self, **limits):
        """_limit(k=(1, math.inf)): raise ValueError for what is out of its limits, or not a number."""
        for name, (least, most) in limits.items():
            value = getattr(self, name)
            if not isinstance(value, Real):
                raise TypeError(f"{type(self).__name__}: {name} must be a number, got {value!r}")
            if not least <= value <= most or math.isinf(value):
                most = "" if math.isinf(most) else f" and at most {most}"
                raise ValueError(f"{type(self).__name__}: {name} must be at least {least}{most}, got {value}")

    @contextlib.contextmanager
    def _hooked(self, hook, place=None):
        """Inside, the method ``hook`` is the last of the gradient hooks, or the one before hook number ``place``."""
        hooks = self.gradient_hooks
        hooks.insert(len(hooks) if place is None else place, hook)
        try:
            yield
        finally:
            hooks.remove(hook)


def _write(p, values):
    if p.data.flags.writeable:
        p.data[...] = values
        graph.changed(p.data)
    else:
        p.data = np.array(values)


# ---- around the weights ----
class Lookahead(Wrapper):
    """Every k steps of the optimizer: slow <- slow + alpha (w - slow), w <- slow. slow starts at the first weights.

    Zhang, Lucas, Hinton & Ba 2019: k steps forward, 1 step back. Averages the zigzag out of fast weights, which then
    stand larger steps. alpha = 1 is the optimizer itself. Memory: 1 number per weight more.
    """

    options, kept, slots = ("k", "alpha"), ("count",), ("slow",)

    def __init__(self, optimizer, k: int = 5, alpha: float = 0.5):
        super().__init__(optimizer)
        self.k, self.alpha, self.count = k, alpha, 0
        self._limit(k=(1, math.inf), alpha=(0, 1))

    def step(self, closure=None):
        trained = self._trained()
        for p in trained:
            if p not in self.slow:
                self.slow[p] = p.data.copy()
        loss = self.optimizer.step(closure)
        self.count += self.stepped
        if self.stepped and self.count % self.k == 0:
            for p in trained:
                slow = self.slow[p]
                slow += self.alpha * (p.data - slow)
                _write(p, slow)
        return loss


class SAM(Wrapper):
    """e = rho g / |g|, with |g| over all parameters; the optimizer's step with the gradient at w + e, from w.

    Foret et al. 2020: sharpness-aware minimisation looks for flat minima, where a whole neighbourhood has a low loss.
    adaptive: e = rho w^2 g / |w g|, which does not see how layers are scaled (Kwon et al. 2021). Needs twice the time:
    ``step(closure)`` runs the closure at w and at w + e, and returns the loss at w; perturbed, if given, is the closure
    to run there. Without closures: backward, ``first_step()``, zero_grad and backward, ``second_step()``.
    Memory: 1 number per weight more, during the step. Batch norm's running statistics see both points.
    """

    options = "rho", "adaptive"

    def __init__(self, optimizer, rho: float = 0.05, adaptive: bool = False, *, eps: float = 1e-12):
        super().__init__(optimizer)
        _given_gradients(self)
        self.rho, self.adaptive, self.eps = rho, adaptive, eps
        self._limit(rho=(0, math.inf))
        self._before: list | None = None

    def step(self, closure=None, perturbed: Callable | None = None):
        if closure is None:
            raise TypeError("SAM needs the gradient at two points: step(closure), or first_step() and second_step()")

        def both(*batch):
            loss = closure(*batch)
            self.first_step()
            try:
                (perturbed or closure)(*batch)
            finally:
                self._return()
            return loss
        return self.optimizer.step(both)

    def first_step(self) -> None:
        """Climb from w to w + e with the gradients there are."""
        if self._before is not None:
            raise RuntimeError("SAM: first_step() was called twice, second_step() brings the weights back")
        params = [p for p in self._trained() if p.grad is not None]
        downhill = {p for group in self.param_groups if group["maximize"] for p in group["params"]}
        scaled = [np.abs(p.data) * p.grad.data if self.adaptive else p.grad.data for p in params]
        norm = math.sqrt(sum(float(np.vdot(s, s)) for s in scaled)) + self.eps
        self._before = [(p, p.data) for p in params]
        for p, s in zip(params, scaled):
            s = np.abs(p.data) * s if self.adaptive else s
            p.data = p.data + (-1 if p in downhill else 1) * self.rho / norm * s

    def second_step(self) -> None:
        """Return to w and let the optimizer step with the gradients there are now."""
        if self._before is None:
            raise RuntimeError("SAM: second_step() comes after first_step()")
        self._return()
        self.optimizer.step()

    def _return(self):
        for p, w in self._before:
            p.data = w
        self._before = None


# ---- around the gradient ----
class Accumulate(Wrapper):
    """One step of the optimizer for every ``steps`` calls, with the mean of their gradients.

    Equal to one step on the union of the batches, if they are of one size and the loss is a mean over examples; batch
    norm still sees small ones. Clear the gradients before every batch, as always. ``flush()`` steps with what there
    is, at the end of an epoch. Memory: 1 number per weight more. The optimizer gets no closure: SAM, which needs
    one, goes around Accumulate; the others best inside, where ``flush()`` reaches them. SkipNonFinite, on either side,
    leaves out all that was added up.
    """

    options, kept, slots = ("steps",), ("count",), ("sums",)
    stepped = True

    def __init__(self, optimizer, steps: int):
        super().__init__(optimizer)
        _given_gradients(self)
        self.steps, self.count = steps, 0
        self._limit(steps=(1, math.inf))

    def step(self, closure=None):
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for p in self.parameters():
            if p.grad is not None:
                if p in self.sums:
                    self.sums[p] += p.grad.data
                else:
                    self.sums[p] = np.array(p.grad.data, order="C")
        self.count += 1
        self.stepped = False
        if self.count >= self.steps:
            self.flush()
        return loss

    def flush(self) -> None:
        """Step with the mean of the gradients since the last step, however many; nothing if there are none."""
        if not self.count:
            return
        sums, count = self.sums, self.count
        self.sums, self.count = {}, 0
        for p in self.parameters():
            p.grad = Tensor(sums[p] / count) if p in sums and p.requires_grad else None
        self.optimizer.step()
        self.stepped = super().stepped


class GradientNoise(Wrapper):
    """g <- g + N(0, eta / (1 + t)^gamma), t = 0, 1, ...: Neelakantan et al. 2015. eta: 0.01, 0.3 or 1 in the paper.

    Helps deep networks out of bad starting points. generator: minigrad's default if None, whose state is not saved
    here; one of your own is, so that a resumed run draws the same.
    """

    options, kept = ("eta", "gamma"), ("count",)

    def __init__(self, optimizer, eta: float = 0.01, gamma: float = 0.55, generator: np.random.Generator | None = None):
        super().__init__(optimizer)
        self.eta, self.gamma, self.generator, self.count = eta, gamma, generator, 0
        self._limit(eta=(0, math.inf), gamma=(0, math.inf))

    def step(self, closure=None):
        with self._hooked(self._add):
            return self.optimizer.step(closure)

    def _add(self, params, grads):
        rng, std = self.generator or default_generator(), math.sqrt(self.eta / (1 + self.count) ** self.gamma)
        self.count += 1
        return [g + std * np.asarray(rng.standard_normal(g.shape), g.dtype) for g in grads]

    def state_dict(self):
        chance = None if self.generator is None else self.generator.bit_generator.state
        return {**super().state_dict(), "generator": chance}

    def load_state_dict(self, state):
        state = dict(state)
        chance = state.pop("generator", None)
        super().load_state_dict(state)
        if chance is not None:
            self.generator = self.generator or np.random.default_rng()
            self.generator.bit_generator.state = chance


class WeightDecay(Wrapper):
    """w <- (1 - lr weight_decay) w before each step, for the parameters p for which mask(p) is true (None: all).

    Loshchilov & Hutter 2017. decoupled=False: g <- g + weight_decay w instead, the gradient of an L2 penalty. For any
    optimizer, whatever decay it has itself; TypeError for one without a learning rate, unless decoupled=False.
    Parameters without a gradient are left alone. See also `no_decay`.
    """

    options = "weight_decay", "decoupled"

    def __init__(self, optimizer, weight_decay: float, mask: Callable[[Tensor], bool] | None = None,
                 decoupled: bool = True):
        super().__init__(optimizer)
        if any(getattr(o, "projects", False) for o in self._inside()):
            raise TypeError("WeightDecay does not reach through GaLore: give its optimizer a weight_decay")
        self.weight_decay, self.mask, self.decoupled = weight_decay, mask, decoupled
        self._limit(weight_decay=(0, math.inf))
        if decoupled:
            self._needs_lr()

    def step(self, closure=None):
        with self._hooked(self._decay):  # between the closure and the update
            return self.optimizer.step(closure)

    def _decay(self, params, grads):
        groups, new = self._groups(), []
        for p, g in zip(params, grads):
            if self.mask is None or self.mask(p):
                if self.decoupled:
                    _write(p, (1 - groups[p]["lr"] * self.weight_decay) * p.data)
                else:  # the optimizer turns the sign of what it maximizes
                    g = g + (-self.weight_decay if groups[p]["maximize"] else self.weight_decay) * p.data
            new.append(g)
        return new


# ---- compositions ----
def Ranger(params, lr: float = 1e-3, alpha: float = 0.5, k: int = 6, betas: tuple[float, float] = (0.95, 0.999),
           eps: float = 1e-5, weight_decay: float = 0) -> Lookahead:
    """Lookahead around RAdam. Wright 2019."""
    return Lookahead(RAdam(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay), k, alpha)


def RangerQH(params, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), nus: tuple[float, float] = (0.7, 1.0),
             weight_decay: float = 0, k: int = 6, alpha: float = 0.5, eps: float = 1e-8) -> Lookahead:
    """Lookahead around QHAdam (Ma & Yarats 2018). Wright 2019."""
    return Lookahead(QHAdam(params, lr=lr, betas=betas, nus=nus, eps=eps, weight_decay=weight_decay), k, alpha)


def RangerVA(params, lr: float = 1e-3, alpha: float = 0.5, k: int = 6, betas: tuple[float, float] = (0.95, 0.999),
             weight_decay: float = 0, amsgrad: bool = True, smooth: float = 50) -> Lookahead:
    """Lookahead around SAdam, variance adaptive. Wright & Tong 2019."""
    return Lookahead(SAdam(params, lr=lr, betas=betas, weight_decay=weight_decay, amsgrad=amsgrad, smooth=smooth), k,
                     alpha)
