"""Learning rates that change: each schedule is a formula of t, the number of updates (or epochs) before this one.

    optimizer = Adam(model.parameters(), lr=1e-3)
    schedule = WarmupCosine(optimizer, warmup_steps=100, decay_steps=1000)
    for x, y in loader:
        ...; optimizer.step(); schedule.step()

or ``train.fit(..., schedule=schedule, schedule_interval="step")``, which makes the steps and saves their state.

PyTorch's names, arguments and sequences where torch.optim.lr_scheduler has the schedule. All of them are closed forms,
so ``schedule.at(t)`` plots one without training and no rounding accumulates.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence

from .scheduler import ChainedScheduler, LRScheduler, ReduceLROnPlateau, SequentialLR, _require

__all__ = ["SGDR", "SWALR", "ChainedScheduler", "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts",
           "CyclicLR", "ExponentialDecay", "ExponentialLR", "HyperSchedule", "InverseSqrtLR", "InverseTimeDecay",
           "LRScheduler", "LambdaLR", "LinearLR", "MultiStepLR", "MultiplicativeLR", "Noam", "OneCycleLR",
           "PiecewiseConstant", "PolynomialLR", "ReduceLROnPlateau", "SequentialLR", "StepDecay", "StepLR",
           "WarmupConstant", "WarmupCosine", "WarmupExponential", "WarmupLinear"]


# ---- functions of your own ----
class LambdaLR(LRScheduler):
    """lr = base * lr_lambda(t). lr_lambda: one function, or one for each group."""

    chains = False

    def __init__(self, optimizer, lr_lambda: Callable[[int], float] | Sequence[Callable], last_epoch: int = -1):
        self.optimizer = optimizer
        self.lr_lambdas = self._each("lr_lambda", lr_lambda)
        super().__init__(optimizer, last_epoch)

    def formula(self, base, t, i):
        return base * self.lr_lambdas[i](t)


class MultiplicativeLR(LRScheduler):
    """lr(t) = lr(t-1) * lr_lambda(t), from t = 1. The one schedule without a closed form: `at` multiplies up.

    Later in a SequentialLR PyTorch multiplies by lr_lambda(0) besides.
    """

    restarts = False

    def __init__(self, optimizer, lr_lambda: Callable[[int], float] | Sequence[Callable], last_epoch: int = -1):
        self.optimizer = optimizer
        self.lr_lambdas = self._each("lr_lambda", lr_lambda)
        super().__init__(optimizer, last_epoch)

    def formula(self, base, t, i):
        return base * math.prod(self.lr_lambdas[i](s) for s in range(1, t + 1))

    def get_lr(self):
        t = self.last_epoch
        return [lr * f(t) if t > 0 else lr for lr, f in zip(self._now(), self.lr_lambdas)]


class HyperSchedule(LRScheduler):
    """group[name] = f(t): any hyper-parameter, as momentum, weight_decay or betas. f: one function, or one a group.

        HyperSchedule(optimizer, "weight_decay", lambda t: 0.1 * 0.99**t)
    """

    chains = False
    absolute = True

    def __init__(self, optimizer, name: str, f: Callable[[int], object] | Sequence[Callable], last_epoch: int = -1):
        if any(name not in group or name == "params" for group in optimizer.param_groups):
            known = [k for k in optimizer.param_groups[0] if k != "params"]
            raise ValueError(f"{type(optimizer).__name__} has no hyper-parameter {name!r}; it has {', '.join(known)}")
        self.key, self.optimizer = name, optimizer
        self.functions = self._each("f", f)
        super().__init__(optimizer, last_epoch)

    def formula(self, base, t, i):
        return self.functions[i](t)


# ---- steps ----
class StepLR(LRScheduler):
    """lr = base * gamma^floor(t / step_size)."""

    def __init__(self, optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1):
        _require(self, step_size > 0, f"step_size must be positive, got {step_size}")
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def factor(self, t):
        return self.gamma ** (t // self.step_size)


class MultiStepLR(LRScheduler):
    """lr = base * gamma^(number of milestones <= t). A milestone given twice counts twice."""

    def __init__(self, optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1):
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def factor(self, t):
        return self.gamma ** bisect_right(self.milestones, t)


class PiecewiseConstant(LRScheduler):
    """lr = values[number of boundaries <= t]: the learning rates themselves, one more than boundaries.

    inclusive: boundaries < t, Keras's; else as MultiStepLR and optax.
    """

    chains = False
    absolute = True

    def __init__(self, optimizer, boundaries: Sequence[int], values: Sequence[float], last_epoch: int = -1, *,
                 inclusive: bool = False):
        _require(self, len(values) == len(boundaries) + 1 and list(boundaries) == sorted(boundaries),
                 f"values must be one more than the growing boundaries, got {values} and {boundaries}")
        self.boundaries, self.values, self.inclusive = list(boundaries), list(values), inclusive
        super().__init__(optimizer, last_epoch)

    def formula(self, base, t, i):
        return self.values[bisect_right(self.boundaries, t - self.inclusive)]


class ConstantLR(LRScheduler):
    """lr = base * factor while t < total_iters, then base. (total_iters=0: PyTorch's keeps base * factor.)"""

    def __init__(self, optimizer, factor: float = 1 / 3, total_iters: int = 5, last_epoch: int = -1):
        _require(self, 0 <= factor <= 1, f"factor must be in [0, 1], got {factor}")
        self.first, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def factor(self, t):
        return self.first if t < self.total_iters else 1.0


# ---- monotone decay ----
class LinearLR(LRScheduler):
    """lr = base * (start_factor + (end_factor - start_factor) min(t / total_iters, 1))."""

    def __init__(self, optimizer, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5,
                 last_epoch: int = -1):
        _require(self, 0 < start_factor <= 1, f"start_factor must be in (0, 1], got {start_factor}")
        _require(self, 0 <= end_factor <= 1, f"end_factor must be in [0, 1], got {end_factor}")
        _require(self, total_iters > 0, f"total_iters must be positive, got {total_iters}")
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def factor(self, t):
        t = min(self.total_iters, t)
        return (self.start_factor * (self.total_iters - t) + self.end_factor * t) / self.total_iters


class ExponentialLR(LRScheduler):
    """lr = base * gamma^t; the lecture notes' base * exp(-k t) has gamma = exp(-k)."""

    def __init__(self, optimizer, gamma: float, last_epoch: int = -1):
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def factor(self, t):
        return self.gamma**t


class ExponentialDecay(LRScheduler):
    """lr = base * decay_rate^(t / decay_steps), the exponent rounded down if staircase. As Keras's."""

    def __init__(self, optimizer, decay_steps: int, decay_rate: float, staircase: bool = False, last_epoch: int = -1):
        _require(self, decay_steps > 0, f"decay_steps must be positive, got {decay_steps}")
        self.decay_steps, self.decay_rate, self.staircase = decay_steps, decay_rate, staircase
        super().__init__(optimizer, last_epoch)

    def _share(self, t):
        return t // self.decay_steps if self.staircase else t / self.decay_steps

    def factor(self, t):
        return self.decay_rate ** self._share(t)


class StepDecay(ExponentialDecay):
    """lr = base * decay_rate^floor(t / decay_steps): halved every so often, as in the lecture notes (CS231n)."""

    def __init__(self, optimizer, decay_steps: int, decay_rate: float = 0.5, last_epoch: int = -1):
        super().__init__(optimizer, decay_steps, decay_rate, True, last_epoch)


class InverseTimeDecay(ExponentialDecay):
    """lr = base / (1 + decay_rate t / decay_steps): sum lr diverges, sum lr^2 does not (Robbins & Monro 1951).

    t / decay_steps is rounded down if staircase. As Keras's.
    """

    def factor(self, t):
        return 1 / (1 + self.decay_rate * self._share(t))


class PolynomialLR(LRScheduler):
    """lr = base * (1 - t / total_iters)^power: 0 at total_iters, and from there on whatever others make of it."""

    def __init__(self, optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1):
        _require(self, total_iters > 0, f"total_iters must be positive, got {total_iters}")
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def factor(self, t):
        return ((self.total_iters - min(self.total_iters, t)) / self.total_iters) ** self.power

    def get_lr(self):
        return super().get_lr() if self.last_epoch <= self.total_iters else self._now()


class CosineAnnealingLR(LRScheduler):
    """lr = eta_min + (base - eta_min) (1 + cos(pi t / T_max)) / 2. Loshchilov & Hutter 2016, without restarts.

    After T_max it climbs back, with period 2 T_max, as PyTorch's: from its lowest points up to the first base again,
    whatever others multiplied it by. Where they brought it below eta_min it would become negative: ValueError.
    """

    def __init__(self, optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1):
        _require(self, T_max > 0, f"T_max must be positive, got {T_max}")
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def factor(self, t):
        return (1 + math.cos(math.pi * t / self.T_max)) / 2

    def floor(self, i):
        return self.eta_min

    def get_lr(self):
        t = self.last_epoch
        if t > 0 and (t - 1 - self.T_max) % (2 * self.T_max) == 0:  # lr + (base - floor) factor(t), as a base
            self.bases = [base + (lr - self.eta_min) / self.factor(t) for base, lr in zip(self.base_lrs, self._now())]
            return self.at(t)
        return super().get_lr()


class CosineAnnealingWarmRestarts(LRScheduler):
    """lr = eta_min + (base - eta_min) (1 + cos(pi t_i / T_i)) / 2, t_i the steps since the last restart.

    SGDR, Loshchilov & Hutter 2016. The cycles are T_0, T_0 T_mult, T_0 T_mult^2, ... long.
    """

    chains = False

    def __init__(self, optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1):
        _require(self, T_0 > 0 and T_0 == int(T_0), f"T_0 must be a positive integer, got {T_0}")
        _require(self, T_mult >= 1 and T_mult == int(T_mult), f"T_mult must be an integer from 1, got {T_mult}")
        self.T_0, self.T_mult, self.eta_min = int(T_0), int(T_mult), eta_min
        super().__init__(optimizer, last_epoch)

    def factor(self, t):
        length = self.T_0
        if self.T_mult == 1:
            t %= length
        while t >= length:
            t, length = t - length, length * self.T_mult
        return (1 + math.cos(math.pi * t / length)) / 2

    def floor(self, i):
        return self.eta_min


SGDR = CosineAnnealingWarmRestarts


# ---- warm-up: u = t + 1, so that the first update is not wasted on lr = 0; first=0 counts as optax does ----
class InverseSqrtLR(LRScheduler):
    """lr = base * min(u / warmup_steps, sqrt(warmup_steps / u)), u = t + 1: up to base, then as 1 / sqrt(u)."""

    def __init__(self, optimizer, warmup_steps: int = 4000, last_epoch: int = -1):
        _require(self, warmup_steps > 0, f"warmup_steps must be positive, got {warmup_steps}")
        self.warmup_steps = warmup_steps
        super().__init__(optimizer, last_epoch)

    def factor(self, t):
        return min((t + 1) / self.warmup_steps, math.sqrt(self.warmup_steps / (t + 1)))


class Noam(InverseSqrtLR):
    """lr = base * d_model^-0.5 min(u^-0.5, u warmup_steps^-1.5), u = t + 1. Vaswani et al. 2017, where base = 1."""

    def __init__(self, optimizer, d_model: int, warmup_steps: int = 4000, last_epoch: int = -1):
        _require(self, d_model > 0, f"d_model must be positive, got {d_model}")
        self.d_model = d_model
        super().__init__(optimizer, warmup_steps, last_epoch)

    def factor(self, t):
        u = t + 1
        return self.d_model**-0.5 * min(u**-0.5, u * self.warmup_steps**-1.5)


class WarmupConstant(LRScheduler):
    """lr = base * (init_factor + (1 - init_factor) u / warmup_steps) while u < warmup_steps, then base. u = t + first.

    Goyal et al. 2017. first: what the first update counts as. With 0, optax's way, it has lr = base * init_factor.
    """

    def __init__(self, optimizer, warmup_steps: int, init_factor: float = 0.0, last_epoch: int = -1, *, first: int = 1):
        _require(self, warmup_steps >= 0, f"warmup_steps must not be negative, got {warmup_steps}")
        _require(self, first in (0, 1), f"first must be 0 or 1, got {first}")
        self.warmup_steps, self.init_factor, self.first = warmup_steps, init_factor, first
        super().__init__(optimizer, last_epoch)

    def factor(self, t):
        u = t + self.first
        if u < self.warmup_steps:
            return self.init_factor + (1 - self.init_factor) * u / self.warmup_steps
        return self.after(u - self.warmup_steps)

    def after(self, u: int) -> float:
        """The factor ``u`` updates after the warm-up."""
        return 1.0


class WarmupLinear(WarmupConstant):
    """A linear warm-up, then linear down to base * end_factor at u = decay_steps, which counts from the beginning."""

    def __init__(self, optimizer, warmup_steps: int, decay_steps: int, init_factor: float = 0.0,
                 end_factor: float = 0.0, last_epoch: int = -1, *, first: int = 1):
        _require(self, decay_steps > warmup_steps,
                 f"decay_steps must be more than warmup_steps, got {decay_steps} and {warmup_steps}")
        self.length, self.end_factor = decay_steps - warmup_steps, end_factor
        super().__init__(optimizer, warmup_steps, init_factor, last_epoch, first=first)

    def after(self, u):
        left = self.length - min(u, self.length)
        return self.end_factor + (1 - self.end_factor) * left / self.length


class WarmupCosine(WarmupLinear):
    """A linear warm-up, then half a cosine down to base * end_factor at u = decay_steps. optax's, with its exponent."""

    def __init__(self, optimizer, warmup_steps: int, decay_steps: int, init_factor: float = 0.0,
                 end_factor: float = 0.0, exponent: float = 1.0, last_epoch: int = -1, *, first: int = 1):
        self.exponent = exponent
        super().__init__(optimizer, warmup_steps, decay_steps, init_factor, end_factor, last_epoch, first=first)

    def after(self, u):
        cosine = (1 + math.cos(math.pi * min(u, self.length) / self.length)) / 2
        return self.end_factor + (1 - self.end_factor) * cosine**self.exponent


class WarmupExponential(WarmupConstant):
    """A linear warm-up, then base * decay_rate^((u - transition_begin) / transition_steps). optax's.

    staircase: the exponent is rounded down. end_factor: the bound that the factor does not cross.
    """

    def __init__(self, optimizer, warmup_steps: int, transition_steps: int, decay_rate: float, init_factor: float = 0.0,
                 transition_begin: int = 0, staircase: bool = False, end_factor: float | None = None,
                 last_epoch: int = -1, *, first: int = 1):
        _require(self, transition_steps > 0, f"transition_steps must be positive, got {transition_steps}")
        _require(self, decay_rate > 0, f"decay_rate must be positive, got {decay_rate}")
        self.transition_steps, self.decay_rate, self.transition_begin = transition_steps, decay_rate, transition_begin
        self.staircase, self.end_factor = staircase, end_factor
        super().__init__(optimizer, warmup_steps, init_factor, last_epoch, first=first)

    def after(self, u):
        u = max(u - self.transition_begin, 0)
        factor = self.decay_rate ** (u // self.transition_steps if self.staircase else u / self.transition_steps)
        if self.end_factor is None:
            return factor
        return max(factor, self.end_factor) if self.decay_rate < 1 else min(factor, self.end_factor)


# ---- cycles, of the momentum too ----
class _Cycle(LRScheduler):
    """What OneCycleLR and CyclicLR share: absolute learning rates, and a momentum (or beta1) that goes against them."""

    chains = False
    absolute = True
    overwrites = False  # what later schedules take for the first lr, as PyTorch's do

    def _cycle_momentum(self, wanted, base, top):
        self.cycle_momentum = wanted
        if wanted:
            group = self.optimizer.param_groups[0]
            _require(self, "momentum" in group or "betas" in group,
                     f"{type(self.optimizer).__name__} has neither momentum nor betas: pass cycle_momentum=False")
            self.base_momentums = self._each("base_momentum", base)
            self.max_momentums = self._each("max_momentum", top)

    def _beginning(self, last_epoch=-1):
        known = self.key in self._scheduled()
        super()._beginning(last_epoch)
        if last_epoch == -1 and (self.overwrites or not known):
            self._scheduled()[self.key] = list(self.given), self._now()
        return list(self.given)

    def momentum(self, t: int, i: int) -> float:
        """The momentum of group ``i`` at ``t``."""
        raise NotImplementedError

    def _besides(self, t):
        for i, group in enumerate(self.optimizer.param_groups if self.cycle_momentum else ()):
            momentum = self.momentum(t, i)
            if "betas" in group:
                group["betas"] = momentum, *group["betas"][1:]
            else:
                group["momentum"] = momentum


class CyclicLR(_Cycle):
    """lr = base_lr + (max_lr - base_lr) triangle(t) scale: up in step_size_up steps, down in step_size_down, and again.

    Smith 2015. mode: "triangular", scale 1; "triangular2", halved every cycle; "exp_range", gamma^t; or a scale_fn of
    the cycle, from 1, or (scale_mode "iterations") of t. momentum = max_momentum - (max_momentum - base_momentum)
    triangle(t) scale.
    """

    def __init__(self, optimizer, base_lr, max_lr, step_size_up: int = 2000, step_size_down: int | None = None,
                 mode: str = "triangular", gamma: float = 1.0, scale_fn: Callable | None = None,
                 scale_mode: str = "cycle", cycle_momentum: bool = True, base_momentum: float = 0.8,
                 max_momentum: float = 0.9, last_epoch: int = -1):
        _require(self, scale_fn or mode in ("triangular", "triangular2", "exp_range"),
                 f'mode must be "triangular", "triangular2" or "exp_range", got {mode!r}')
        _require(self, scale_mode in ("cycle", "iterations"),
                 f'scale_mode must be "cycle" or "iterations", got {scale_mode!r}')
        step_size_down = step_size_up if step_size_down is None else step_size_down
        _require(self, step_size_up > 0 and step_size_down > 0,
                 f"step sizes must be positive, got {step_size_up} and {step_size_down}")
        self.optimizer = optimizer
        self.given, self.max_lrs = self._each("base_lr", base_lr), self._each("max_lr", max_lr)
        self.total_size = float(step_size_up + step_size_down)
        self.step_ratio = step_size_up / self.total_size
        self.by_cycle = scale_mode == "cycle" if scale_fn else mode != "exp_range"
        self.scale_fn = scale_fn or {"triangular": lambda x: 1.0, "triangular2": lambda x: 0.5 ** (x - 1),
                                     "exp_range": lambda x: gamma**x}[mode]
        self._cycle_momentum(cycle_momentum, base_momentum, max_momentum)
        super().__init__(optimizer, last_epoch)

    def factor(self, t):
        cycle = math.floor(1 + t / self.total_size)
        x = 1 + t / self.total_size - cycle
        height = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        return height * self.scale_fn(cycle if self.by_cycle else t)

    def formula(self, base, t, i):
        return base + (self.max_lrs[i] - base) * self.factor(t)

    def momentum(self, t, i):
        return self.max_momentums[i] - (self.max_momentums[i] - self.base_momentums[i]) * self.factor(t)


class OneCycleLR(_Cycle):
    """From max_lr / div_factor up to max_lr for pct_start of the steps, then down to the start / final_div_factor.

    Smith & Topin 2018. The momentum goes the other way, max - base - max. three_phase: down to the start in as many
    steps as up, then to the end. total_steps, or epochs and steps_per_epoch, are all t; more raise ValueError.
    Schedules that are made later begin at its first lr, as with PyTorch.
    """

    overwrites = True

    def __init__(self, optimizer, max_lr, total_steps: int | None = None, epochs: int | None = None,
                 steps_per_epoch: int | None = None, pct_start: float = 0.3, anneal_strategy: str = "cos",
                 cycle_momentum: bool = True, base_momentum=0.85, max_momentum=0.95, div_factor: float = 25.0,
                 final_div_factor: float = 1e4, three_phase: bool = False, last_epoch: int = -1):
        if total_steps is None:
            _require(self, epochs and steps_per_epoch, "give total_steps, or epochs and steps_per_epoch")
            total_steps = epochs * steps_per_epoch
        _require(self, total_steps > 0, f"total_steps must be positive, got {total_steps}")
        _require(self, 0 <= pct_start <= 1, f"pct_start must be in [0, 1], got {pct_start}")
        _require(self, anneal_strategy in ("cos", "linear"),
                 f'anneal_strategy must be "cos" or "linear", got {anneal_strategy!r}')
        self.optimizer, self.total_steps, self.anneal_strategy = optimizer, total_steps, anneal_strategy
        self.max_lrs = self._each("max_lr", max_lr)
        self.given, self.final_div_factor = [lr / div_factor for lr in self.max_lrs], final_div_factor
        peak = float(pct_start * total_steps) - 1
        self.ends = [peak, float(2 * pct_start * total_steps) - 2] if three_phase else [peak]
        self.ends.append(total_steps - 1)
        self._cycle_momentum(cycle_momentum, base_momentum, max_momentum)
        super().__init__(optimizer, last_epoch)

    def _anneal(self, t, corners):
        """Between the corners: values at t = 0 and at each of the ends."""
        _require(self, t <= self.total_steps, f"stepped {t} times, of total_steps={self.total_steps}")
        i = min(sum(t > end for end in self.ends), len(self.ends) - 1)
        begin, end = self.ends[i - 1] if i else 0.0, self.ends[i]
        share, (a, b) = (t - begin) / (end - begin) if end != begin else 1.0, corners[i:i + 2]
        if self.anneal_strategy == "linear":
            return (b - a) * share + a
        return b + (a - b) / 2 * (math.cos(math.pi * share) + 1)

    def formula(self, base, t, i):
        return self._anneal(t, [base, self.max_lrs[i], base, base / self.final_div_factor] if len(self.ends) == 3 else
                            [base, self.max_lrs[i], base / self.final_div_factor])

    def momentum(self, t, i):
        low, high = self.base_momentums[i], self.max_momentums[i]
        return self._anneal(t, [high, low, high, high])


class SWALR(LRScheduler):
    """lr = swa_lr a(t) + base (1 - a(t)): from whatever the lr is to swa_lr within anneal_epochs, then constant.

    For stochastic weight averaging (Izmailov et al. 2018). a: "linear", t / anneal_epochs; "cos", half a cosine.
    """

    restarts = False

    def __init__(self, optimizer, swa_lr, anneal_epochs: int = 10, anneal_strategy: str = "cos", last_epoch: int = -1):
        _require(self, anneal_strategy in ("cos", "linear"),
                 f'anneal_strategy must be "cos" or "linear", got {anneal_strategy!r}')
        _require(self, anneal_epochs >= 0, f"anneal_epochs must not be negative, got {anneal_epochs}")
        self.optimizer, self.anneal_epochs, self.anneal_strategy = optimizer, anneal_epochs, anneal_strategy
        self.swa_lrs = self._each("swa_lr", swa_lr)
        super().__init__(optimizer, last_epoch)

    def _annealed(self, t):
        share = min(1.0, t / self.anneal_epochs) if self.anneal_epochs else 1.0
        return (1 - math.cos(math.pi * share)) / 2 if self.anneal_strategy == "cos" else share

    def factor(self, t):
        return 1 - self._annealed(t)

    def formula(self, base, t, i):
        return self.swa_lrs[i] * self._annealed(t) + base * self.factor(t)

    def floor(self, i):
        return self.swa_lrs[i]
