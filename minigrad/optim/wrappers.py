"""What goes around an optimizer: averages, lookahead, sharpness, accumulation; hooks on the gradient; groups; Ranger.

A wrapper takes an optimizer, or another wrapper, and is used like one: ``Lookahead(Adam(model.parameters()))``.
"""

from __future__ import annotations

import contextlib
import copy
import fnmatch
import math
from collections.abc import Callable, Iterator

import numpy as np

from .. import graph
from ..mode import enable_grad, no_grad
from ..nn.module import Module
from ..random import default_generator
from ..tensor import Parameter, Tensor
from .adam import Adam, RAdam
from .adam_variants import QHAdam
from .optimizer import Optimizer


class Wrapper:
    """The base class. A step is the optimizer's, with something before, around or after it.

    options: its hyper-parameters, attributes that `repr` shows and `state_dict` saves. kept: further attributes to
    save. slots: attributes to save that are {parameter: array}. What is not said here is asked of the optimizer.
    """

    options: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    slots: tuple[str, ...] = ()

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
        slots = {s: {params[int(i)]: np.array(a, order="C") for i, a in state[s].items()} for s in self.slots}
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
            if not least <= value <= most or math.isinf(value):
                most = "" if math.isinf(most) else f" and at most {most}"
                raise ValueError(f"{type(self).__name__}: {name} must be at least {least}{most}, got {value}")

    @contextlib.contextmanager
    def _hooked(self, hook):
        hooks = self.gradient_hooks
        hooks.append(hook)
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
        for p in self.parameters():
            if p not in self.slow:
                self.slow[p] = p.data.copy()
        loss = self.optimizer.step(closure)
        self.count += 1
        if self.count % self.k == 0:
            for p in self.parameters():
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
        self.rho, self.adaptive, self.eps = rho, adaptive, eps
        self._limit(rho=(0, math.inf))
        self._before: list | None = None

    def step(self, closure=None, perturbed: Callable | None = None):
        if closure is None:
            raise TypeError("SAM needs the gradient at two points: step(closure), or first_step() and second_step()")

        def both():
            loss = closure()
            self.first_step()
            try:
                (perturbed or closure)()
            finally:
                self._return()
            return loss
        return self.optimizer.step(both)

    def first_step(self) -> None:
        """Climb from w to w + e with the gradients there are."""
        if self._before is not None:
            raise RuntimeError("SAM: first_step() was called twice, second_step() brings the weights back")
        params = [p for p in self.parameters() if p.grad is not None]
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


class ScheduleFree(Wrapper):
    """z <- z + the optimizer's step at y, x <- (1 - c) x + c z, y <- (1 - beta) z + beta x; c = lr^2 / sum of lr^2.

    Gradients are taken at y and the result is x, an average that does without a schedule. Defazio et al. 2024. Wrap
    SGD without momentum, or Adam(W) with betas=(0, ...): beta takes the place of momentum. lr: larger than with a
    schedule; it may warm up, and c uses the largest so far, to the power weight_lr_power.

    The weights are y in training and x after ``eval()``: call ``train()`` and ``eval()`` as on the model (with batch
    norm, `update_bn` after eval). Both give what they gave before, to the bit. Memory: 2 numbers per weight more.
    """

    options = "beta", "weight_lr_power"
    kept = "training", "weight_sum", "lr_max"
    slots = "z", "x"

    def __init__(self, optimizer, beta: float = 0.9, weight_lr_power: float = 2.0):
        super().__init__(optimizer)
        self.beta, self.weight_lr_power = beta, weight_lr_power
        self.training, self.weight_sum, self.lr_max = True, 0.0, 0.0
        self._limit(beta=(0, 1), weight_lr_power=(0, math.inf))

    def step(self, closure=None):
        if not self.training:
            raise RuntimeError("ScheduleFree: the weights are the averages; train() first")
        before = [(p, p.data.copy()) for p in self.parameters()]
        loss = self.optimizer.step(closure)
        self.lr_max = max(self.lr_max, self.lr)
        weight = self.lr_max ** self.weight_lr_power
        self.weight_sum += weight
        c = weight / self.weight_sum if self.weight_sum else 0.0
        for p, y in before:
            if p not in self.z:
                self.z[p], self.x[p] = y.copy(), y.copy()
            z, x = self.z[p], self.x[p]
            z += p.data - y
            x += c * (z - x)
            self._show(p)
        return loss

    def train(self, mode: bool = True) -> ScheduleFree:
        """Put y, where gradients belong, into the weights (mode=False: x); returns self."""
        if mode != self.training:
            self.training = mode
            for p in self.z:
                self._show(p)
        return self

    def eval(self) -> ScheduleFree:
        """Put x, the result, into the weights; returns self."""
        return self.train(False)

    def _show(self, p):
        z, x = self.z[p], self.x[p]
        _write(p, z + self.beta * (x - z) if self.training else x)


# ---- averages ----
class _Averaging(Wrapper):
    kept = "count", "n_averaged", "swapped"
    slots = ("average",)

    def __init__(self, optimizer):
        super().__init__(optimizer)
        self.count = self.n_averaged = 0
        self.swapped = False

    def due(self) -> bool:
        """Whether this step's weights are averaged in."""
        raise NotImplementedError

    def rate(self) -> float:
        """How far the average moves towards the weights."""
        raise NotImplementedError

    def step(self, closure=None):
        if self.swapped:
            raise RuntimeError(f"{type(self).__name__}: the weights are the averages; swap() back first")
        loss = self.optimizer.step(closure)
        self.count += 1
        if self.due():
            for p in self.parameters():
                if p not in self.average:
                    self.average[p] = p.data.copy()
                self.average[p] += self.rate() * (p.data - self.average[p])
            self.n_averaged += 1
        return loss

    def swap(self) -> None:
        """Exchange the weights and their averages; once more to undo it."""
        if not self.n_averaged:
            raise RuntimeError(f"{type(self).__name__}: nothing is averaged yet")
        for p in self.average:
            p.data, self.average[p] = self.average[p], p.data
        self.swapped = not self.swapped

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """``with ema.averaged(): evaluate(...)``: the weights are the averages inside."""
        self.swap()
        try:
            yield
        finally:
            self.swap()


class EMA(_Averaging):
    """average <- decay average + (1 - decay) w after each of the optimizer's steps; starts at w after the first.

    The exponential moving average of the weights, about the last 1 / (1 - decay) of them (Ruppert 1988; as PyTorch's
    AveragedModel with get_ema_avg_fn). The optimizer never sees it: ``averaged()`` or ``swap()`` puts it into the
    weights. Memory: 1 number per weight more.
    """

    options = ("decay",)

    def __init__(self, optimizer, decay: float = 0.999):
        super().__init__(optimizer)
        self.decay = decay
        self._limit(decay=(0, 1))

    def due(self):
        return True

    def rate(self):
        return 1 - self.decay


class SWA(_Averaging):
    """The plain mean of the weights after every ``every``-th step beyond ``start``: stochastic weight averaging.

    Izmailov et al. 2018: a high constant lr (SWALR) walks around a wide minimum, whose middle generalises better than
    any point of the walk. At the end ``swap()``, and `update_bn` if the model has batch norm: its statistics are those
    of other weights. Memory: 1 number per weight more.
    """

    options = "start", "every"

    def __init__(self, optimizer, start: int = 0, every: int = 1):
        super().__init__(optimizer)
        self.start, self.every = start, every
        self._limit(start=(0, math.inf), every=(1, math.inf))

    def due(self):
        return self.count > self.start and (self.count - self.start) % self.every == 0

    def rate(self):
        return 1 / (self.n_averaged + 1)


class AveragedModel(Module):
    """A copy of ``model`` whose parameters are averages of the model's: ``update_parameters(model)`` takes them in.

    avg_fn(average, current, n): the new average of arrays after n before it; None for the plain mean (SWA),
    `get_ema_avg_fn` for the exponential one. The first update copies. Buffers are copied, or, with use_buffers,
    averaged too. As PyTorch's.
    """

    def __init__(self, model: Module, avg_fn: Callable | None = None, use_buffers: bool = False):
        self.module, self.avg_fn, self.use_buffers = copy.deepcopy(model), avg_fn, use_buffers
        self.register_buffer("n_averaged", np.zeros((), np.int64))

    def forward(self, *args, **kwargs):
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Average the weights that ``model`` has now."""
        n = int(self.n_averaged)
        for p, q in zip(self.module.parameters(), model.parameters(), strict=True):
            _write(p, self._mean(p.data, q.data, n))
        for (_, a), (_, b) in zip(self.module.named_buffers(), model.named_buffers(), strict=True):
            a[...] = self._mean(a, b, n) if self.use_buffers and a.dtype.kind == "f" else b
        self.n_averaged += 1

    def _mean(self, a, b, n):
        return b if n == 0 else a + (b - a) / (n + 1) if self.avg_fn is None else self.avg_fn(a, b, n)


def get_ema_avg_fn(decay: float = 0.999) -> Callable:
    """An avg_fn for `AveragedModel`: decay average + (1 - decay) w."""
    if not 0 <= decay <= 1:
        raise ValueError(f"decay must be in [0, 1], got {decay}")
    return lambda average, current, n: decay * average + (1 - decay) * current


def update_bn(loader, model: Module) -> None:
    """Measure the running statistics of ``model``'s batch norms anew, over one pass through ``loader``.

    For averaged weights. Each batch weighs the same. loader gives inputs, or tuples that begin with them.
    """
    norms = [m for m in model.modules() if getattr(m, "running_mean", None) is not None]
    if not norms:
        return
    modes, momenta = [(m, m.training) for m in model.modules()], [m.momentum for m in norms]
    try:
        model.train()
        for m in norms:
            m.running_mean[...], m.running_var[...], m.num_batches_tracked[...] = 0, 1, 0
            m.momentum = None
        with no_grad():
            for batch in loader:
                model(batch[0] if isinstance(batch, (tuple, list)) else batch)
    finally:
        for m, momentum in zip(norms, momenta):
            m.momentum = momentum
        for m, mode in modes:
            m.training = mode


# ---- around the gradient ----
class Accumulate(Wrapper):
    """One step of the optimizer for every ``steps`` calls, with the mean of their gradients.

    Equal to one step on the union of the batches, if they are of one size and the loss is a mean over examples; batch
    norm still sees small ones. Clear the gradients before every batch, as always. ``flush()`` steps with what there
    is, at the end of an epoch. Memory: 1 number per weight more. The optimizer gets no closure: SAM, which needs
    one, goes around Accumulate, all other wrappers inside.
    """

    options, kept, slots = ("steps",), ("count",), ("sums",)

    def __init__(self, optimizer, steps: int):
        super().__init__(optimizer)
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


class _Skipped(Exception):
    """A step is to be left out: raised by a hook, before anything has changed."""


class SkipNonFinite(Wrapper):
    """Leaves a step out if any gradient has a NaN or an infinity, as if it had not been called; ``skipped`` counts.

    It looks at what the gradient hooks have left. max_consecutive: so many in a row may be left out,
    the next raises FloatingPointError; None for any number.
    """

    options, kept = ("max_consecutive",), ("skipped", "consecutive")

    def __init__(self, optimizer, max_consecutive: int | None = None):
        super().__init__(optimizer)
        self.max_consecutive, self.skipped, self.consecutive = max_consecutive, 0, 0

    def step(self, closure=None):
        losses = []

        def noted():
            losses.append(closure())
            return losses[-1]
        try:
            with self._hooked(self._look):
                loss = self.optimizer.step(noted if closure is not None else None)
        except _Skipped:
            self.skipped, self.consecutive = self.skipped + 1, self.consecutive + 1
            if self.max_consecutive is not None and self.consecutive > self.max_consecutive:
                raise FloatingPointError(f"{self.consecutive} gradients in a row were not finite") from None
            return losses[0] if losses else None
        self.consecutive = 0
        return loss

    @staticmethod
    def _look(params, grads):
        if not all(np.isfinite(g).all() for g in grads):
            raise _Skipped
        return grads


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
    optimizer, whatever decay it has itself. Parameters without a gradient are left alone. See also `no_decay`.
    """

    options = "weight_decay", "decoupled"

    def __init__(self, optimizer, weight_decay: float, mask: Callable[[Tensor], bool] | None = None,
                 decoupled: bool = True):
        super().__init__(optimizer)
        while isinstance(optimizer, Wrapper):
            if isinstance(optimizer, GaLore):
                raise TypeError("WeightDecay does not reach through GaLore: give its optimizer a weight_decay")
            optimizer = optimizer.optimizer
        self.weight_decay, self.mask, self.decoupled = weight_decay, mask, decoupled
        self._limit(weight_decay=(0, math.inf))

    def step(self, closure=None):
        with self._hooked(self._decay):  # between the closure and the update
            return self.optimizer.step(closure)

    def _decay(self, params, grads):
        groups = {p: group for group in self.param_groups for p in group["params"]}
        new = []
        for p, g in zip(params, grads):
            if self.mask is None or self.mask(p):
                if self.decoupled:
                    _write(p, (1 - groups[p]["lr"] * self.weight_decay) * p.data)
                else:  # the optimizer turns the sign of what it maximizes
                    g = g + (-self.weight_decay if groups[p]["maximize"] else self.weight_decay) * p.data
            new.append(g)
        return new


class GaLore(Wrapper):
    """R = P^T G, the optimizer's step for R, w <- w + scale P step: it sees r x n numbers in place of m x n.

    P: the first ``rank`` left singular vectors of the gradient, taken anew every update_proj_gap steps; for m > n it
    is the right ones, and R = G P. Zhao et al. 2024: gradients of large layers are of low rank, so Adam's moments can
    be small while all weights train (scale: 0.25 in the paper). Vectors and matrices of at most that rank are trained
    as they are. Memory: the optimizer's 2 n r in place of 2 n m, and m r.

    The optimizer is new, elementwise and goes by gradients alone, not by weights: SGD, Adam, Lion, ... Its
    weight_decay is applied here, to the whole weights; gradient hooks see R.
    """

    options, kept = ("rank", "update_proj_gap", "scale"), ("count",)

    def __init__(self, optimizer, rank: int = 128, update_proj_gap: int = 200, scale: float = 1.0):
        super().__init__(optimizer)
        if not isinstance(optimizer, Optimizer) or not optimizer.elementwise or optimizer.state:
            raise TypeError(f"GaLore wraps a new optimizer that treats each weight by itself, got {optimizer!r:.60}")
        self.rank, self.update_proj_gap, self.scale, self.count = rank, update_proj_gap, scale, 0
        self._limit(rank=(1, math.inf), update_proj_gap=(1, math.inf), scale=(0, math.inf))
        self.basis: dict[Tensor, np.ndarray] = {}
        self._small: dict[Tensor, Parameter] = {}

    def step(self, closure=None):
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        groups = {p: group for group in self.param_groups for p in group["params"]}
        with self._projected() as pairs:
            for p, small in pairs:
                _write(small, 0)
                small.grad = None
                if p.grad is not None:
                    small.grad = Tensor(self._down(p, self._decayed(p, groups[p])))
            self.optimizer.step(None if closure is None else lambda: loss)
        self.count += 1
        for p, small in pairs:
            if p.grad is not None:
                group, w = groups[p], p.data
                if group["weight_decay"] and self._decouples(group):
                    w = (1 - group["lr"] * group["weight_decay"]) * w
                basis = self.basis[p]
                change = basis @ small.data if p.shape[0] <= p.shape[1] else small.data @ basis.T
                _write(p, w + self.scale * change)
        return loss

    def _decouples(self, group):
        return group.get("decoupled_weight_decay", self.optimizer.decoupled)

    def _decayed(self, p, group):
        decay = 0 if self._decouples(group) else group["weight_decay"]
        return p.grad.data + (-decay if group["maximize"] else decay) * p.data if decay else p.grad.data

    def _down(self, p, g):
        left = p.shape[0] <= p.shape[1]
        if p not in self.basis or (self.count % self.update_proj_gap == 0 and np.isfinite(g).all()):
            u, _, vt = np.linalg.svd(g if np.isfinite(g).all() else np.zeros_like(g), full_matrices=False)
            self.basis[p] = np.ascontiguousarray(u[:, :self.rank] if left else vt[:self.rank].T)
        return self.basis[p].T @ g if left else g @ self.basis[p]

    @contextlib.contextmanager
    def _projected(self):
        """Inside, the optimizer's groups hold the small parameters."""
        pairs, lists = [], [group["params"] for group in self.param_groups]
        for group in self.param_groups:
            group["params"] = [self._shrunk(p, pairs) for p in group["params"]]
        try:
            yield pairs
        finally:
            for group, params in zip(self.param_groups, lists):
                group["params"] = params

    def _shrunk(self, p, pairs):
        if p.ndim != 2 or min(p.shape) <= self.rank:
            return p
        if p not in self._small:
            m, n = p.shape
            self._small[p] = Parameter(np.zeros((self.rank, n) if m <= n else (m, self.rank), p.dtype))
        pairs.append((p, self._small[p]))
        return self._small[p]

    def state_dict(self):
        order = {p: i for i, p in enumerate(self.parameters())}
        with self._projected():
            state = super().state_dict()
        return {**state, "basis": {order[p]: a.copy() for p, a in self.basis.items()}}

    def load_state_dict(self, state):
        state, params = dict(state), self.parameters()
        basis = {params[int(i)]: np.array(a, order="C") for i, a in state.pop("basis", {}).items()}
        if state.get("rank") != self.rank and state.get("wrapper") == "GaLore":
            raise ValueError(f"this state is of rank {state.get('rank')}, GaLore has {self.rank}")
        with self._projected():
            super().load_state_dict(state)
        self.basis = basis

    def state_summary(self):
        """What the optimizer's says of the small parameters."""
        with self._projected():
            return super().state_summary()


# ---- gradient hooks: optimizer.gradient_hooks.append(...) ----
def clip_adaptive(clipping: float = 0.01, eps: float = 1e-3) -> Callable:
    """A gradient hook: the gradient of every unit at most ``clipping`` times as long as its weights. Brock et al. 2021.

    A unit is what makes one output: a column of a Dense weight, weight[i] of a convolution, a vector as a whole.
    eps: the least length of the weights, lest those that start at 0 stay there.
    """
    if not (clipping > 0 and eps > 0):
        raise ValueError(f"clipping and eps must be positive, got {clipping} and {eps}")

    def hook(params, grads):
        new = []
        for p, g in zip(params, grads):
            most, norm = clipping * np.maximum(_unit_norm(p.data), eps), _unit_norm(g)
            new.append(np.where(norm > most, most / np.maximum(norm, np.finfo(g.dtype).tiny), g.dtype.type(1)) * g)
        return new
    return hook


def centralize() -> Callable:
    """A gradient hook: g minus its mean over every unit (see `clip_adaptive`); vectors as they are. Yong et al. 2020.

    Keeps the mean of every unit's weights as it is.
    """
    return lambda params, grads: [g if g.ndim < 2 else g - g.mean(_unit_axes(g), keepdims=True) for g in grads]


def zero_nans() -> Callable:
    """A gradient hook: NaN becomes 0, so that the other weights are trained. Infinities stay."""
    return lambda params, grads: [np.where(np.isnan(g), g.dtype.type(0), g) for g in grads]


def _unit_axes(a):
    return None if a.ndim < 2 else 0 if a.ndim == 2 else tuple(range(1, a.ndim))


def _unit_norm(a):
    return np.sqrt(np.sum(a * a, axis=_unit_axes(a), keepdims=True))


# ---- which parameters ----
def no_decay(model: Module, weight_decay: float = 0.01,
             mask: Callable[[str, Tensor], bool] | None = None) -> list[dict]:
    """Parameter groups: those to decay, and with weight_decay 0 biases, vectors, scalars and the norms' parameters.

    ``AdamW(no_decay(model, 0.1), lr=1e-3)``. mask(name, p): True for those to decay, in place of that rule.
    """
    norms = {id(p) for m in model.modules() if "Norm" in type(m).__name__ for p in m.parameters()}

    def rule(name, p):
        return p.ndim > 1 and id(p) not in norms and name.rpartition(".")[2] != "bias"
    groups = {True: [], False: []}
    for name, p in model.named_parameters():
        groups[bool((mask or rule)(name, p))].append(p)
    return [{"params": params, "weight_decay": weight_decay if decays else 0.0}
            for decays, params in groups.items() if params]


def freeze(model: Module, *patterns: str) -> list[str]:
    """Let the parameters of these names be, "layers.0.*" or all: no gradient, no step, no decay. Returns their names.

    Their state in the optimizer is kept for `unfreeze`. Batch norm's running statistics go on: ``layer.eval()``.
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


# ---- compositions ----
class SAdam(Adam):
    """Adam with softplus(sqrt(v)) in place of sqrt(v) + eps, softplus(x) = log(1 + exp(smooth x)) / smooth.

    Tong, Liang & Bi 2019: eps only bounds the rates of weights whose gradients are tiny, softplus also evens them out.
    v is not corrected before the softplus. Memory: 2 numbers per weight, 3 with amsgrad.
    """

    def __init__(self, params, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), weight_decay: float = 0,
                 amsgrad: bool = False, smooth: float = 50, *, maximize: bool = False):
        Optimizer.__init__(self, params, weight_decay, maximize, lr=lr, betas=tuple(betas), amsgrad=amsgrad,
                           smooth=smooth)

    def check(self, group):
        super().check(group)
        if not group.get("smooth", 1) > 0:
            raise ValueError(f"SAdam: smooth must be positive, got {group['smooth']}")

    @staticmethod
    def update(w, g, m, v, v_max, lr, beta1, beta2, smooth, t):
        m += (1 - beta1) * (g - m)
        v *= beta2
        v += (1 - beta2) * (g * g)
        if v_max is not None:
            v_max[...] = np.maximum(v_max, v)
            v = v_max
        below = np.logaddexp(0.0, smooth * np.sqrt(v)) / smooth
        w -= lr * (1 - beta2 ** t) ** 0.5 / (1 - beta1 ** t) * m / below


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


# ---- gradients of single examples ----
def private_gradients(loss: Callable, model: Module, *batch, max_norm: float = 1.0, noise_multiplier: float = 1.0,
                      generator: np.random.Generator | None = None) -> float:
    """DP-SGD: put (sum of g_i min(1, max_norm / |g_i|) + N(0, (noise_multiplier max_norm)^2)) / n into the gradients.

    g_i is the gradient of loss(model, x_i, y_i, ...), |g_i| its norm over all parameters, n the examples in ``batch``.
    Abadi et al. 2016: no example moves the weights by more than max_norm, and noise hides that; any optimizer steps
    along it. What epsilon this comes to takes an accountant, which is not here. Returns the share that was clipped.
    """
    from ..batching import vmap
    from ..calculus import grad
    if not (max_norm > 0 and noise_multiplier >= 0):
        raise ValueError("private_gradients: max_norm must be positive and noise_multiplier at least 0, got "
                         f"{max_norm} and {noise_multiplier}")
    rng = generator or default_generator()
    each = vmap(grad(loss), (None, *[0] * len(batch)))(model, *batch)
    each = {name: g.data for name, g in each.items()}
    norms = np.sqrt(sum(np.square(g).reshape(len(g), -1).sum(1) for g in each.values()))
    scale = np.minimum(1, max_norm / np.maximum(norms, np.finfo(norms.dtype).tiny))
    for name, p in model.named_parameters():
        if name in each:
            noise = noise_multiplier * max_norm * rng.standard_normal(p.shape)
            p.grad = Tensor(((np.tensordot(scale, each[name], 1) + noise) / len(scale)).astype(p.dtype))
    return float(np.mean(norms > max_norm))
