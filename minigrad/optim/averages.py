"""Averages of the weights: EMA, SWA, Schedule-Free, a model of them, and its batch norms."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterator

import numpy as np

from ..mode import no_grad
from ..nn.module import Module
from .wrappers import Wrapper, _write


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
        self.count += self.stepped
        if self.stepped and self.due():
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
    weights. The average of a frozen weight goes on, towards that weight. Memory: 1 number per weight more.
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
    of other weights. A frozen weight counts in every mean, as any. Memory: 1 number per weight more.
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


class ScheduleFree(Wrapper):
    """z <- z + the optimizer's step at y, x <- (1 - c) x + c z, y <- (1 - beta) z + beta x; c = lr^2 / sum of lr^2.

    Gradients are taken at y and the result is x, an average that does without a schedule. Defazio et al. 2024. Wrap
    SGD without momentum, or Adam(W) with betas=(0, ...): beta takes the place of momentum. lr: larger than with a
    schedule; it may warm up, and c uses the largest so far of the group, to the power weight_lr_power (without an lr:
    1, so x is the mean of all z).

    The weights are y in training and x after ``eval()``: call ``train()`` and ``eval()`` as on the model (with batch
    norm, `update_bn` after eval). Both give what they gave before, to the bit. Weights without a gradient, and so the
    frozen, keep y, z and x. Memory: 2 numbers per weight more.
    """

    options = "beta", "weight_lr_power"
    kept = "training", "weight_sum", "lr_max"
    slots = "z", "x"

    def __init__(self, optimizer, beta: float = 0.9, weight_lr_power: float = 2.0):
        super().__init__(optimizer)
        self.beta, self.weight_lr_power = beta, weight_lr_power
        self.training = True
        self.weight_sum: list[float] = []  # of each group
        self.lr_max: list[float] = []
        self._limit(beta=(0, 1), weight_lr_power=(0, math.inf))

    def step(self, closure=None):
        if not self.training:
            raise RuntimeError("ScheduleFree: the weights are the averages; train() first")
        before = {p: p.data.copy() for p in self._trained()}
        loss = self.optimizer.step(closure)
        for i, group in enumerate(self.param_groups if self.stepped else ()):
            c = self._share(i, group.get("lr", 1.0))
            for p in group["params"]:
                if p in before and p.grad is not None:
                    y = before[p]
                    if p not in self.z:
                        self.z[p], self.x[p] = y.copy(), y.copy()
                    z, x = self.z[p], self.x[p]
                    z += p.data - y
                    x += c * (z - x)
                    self._show(p)
        return loss

    def _share(self, i, lr):
        """c of group i."""
        if i == len(self.lr_max):
            self.lr_max.append(0.0)
            self.weight_sum.append(0.0)
        self.lr_max[i] = max(self.lr_max[i], lr)
        weight = self.lr_max[i] ** self.weight_lr_power
        self.weight_sum[i] += weight
        return weight / self.weight_sum[i] if self.weight_sum[i] else 0.0

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
