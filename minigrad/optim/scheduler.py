"""The shell of every schedule, and those without a formula of t: by the loss, one after another, several at once."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence


class LRScheduler:
    """The base class: lr(t) = floor + (base - floor) factor(t), for every group with its own base and floor.

    base: the group's lr before the first schedule, as in PyTorch, or what it was set to by hand since. t = last_epoch:
    0 for the first update, one more after each `step`. A subclass writes `factor`, or `formula` as a whole. With
    last_epoch given it begins at last_epoch + 1, of an optimizer whose base is known from an earlier schedule; across
    a pause use `state_dict`. ``train.fit(schedule=...)`` does that, and the steps.

    Whoever else changes the lr in between is respected where PyTorch respects it (``chains``): the base becomes the
    one that leads to that lr, and the schedule goes on from there. That is how schedules are combined.
    """

    key = "lr"  # the hyper-parameter that is scheduled
    chains = True
    absolute = False  # the formula knows no base
    restarts = True  # in a SequentialLR: from the base, not from the lr that the schedule before it left
    kept = ("last_epoch", "base_lrs", "bases", "last_lr")

    def __init__(self, optimizer, last_epoch: int = -1):
        if not hasattr(optimizer, "param_groups"):
            raise TypeError(f"{type(self).__name__} schedules an optimizer, not {optimizer!r:.60}")
        self.optimizer = optimizer
        self.base_lrs = self._beginning(last_epoch)
        self.bases, self.last_lr = list(self.base_lrs), list(self.base_lrs)
        self.last_epoch = last_epoch
        if last_epoch == -1:
            self.step()
        else:
            self.last_epoch += 1
            self._write(self.at(self.last_epoch))

    # ---- the formula ----
    def factor(self, t: int) -> float:
        """What (base - floor) is multiplied by at ``t``: a pure function."""
        return 1.0

    def floor(self, i: int) -> float:
        """What factor 0 leaves of group ``i``'s learning rate."""
        return 0.0

    def formula(self, base: float, t: int, i: int) -> float:
        """The lr of group ``i`` at ``t``: a pure function of the base, t and the constructor's arguments."""
        floor = self.floor(i)
        return floor + (base - floor) * self.factor(t)

    def at(self, t: int) -> list[float]:
        """The learning rates at any ``t``, without a step; as long as nobody else changes them."""
        return [self.formula(base, t, i) for i, base in enumerate(self.bases)]

    # ---- the steps ----
    def step(self) -> None:
        """Set the learning rates for the next update: to be called after ``optimizer.step()``."""
        self.last_epoch += 1
        self._write(self.get_lr())

    def get_lr(self) -> list[float]:
        """The learning rates at last_epoch."""
        t = self.last_epoch
        for i, (lr, last) in enumerate(zip(self._now(), self.last_lr) if self.chains else ()):
            if lr != last:
                self.bases[i] = self._base_of(lr, t, i)
        return self.at(t)

    def _base_of(self, lr, t, i):
        """The base from which the formula would have given ``lr`` just before ``t``."""
        factor, floor = self.factor(t - 1) if t > 0 else 1, self.floor(i)
        return floor + (lr - floor) / factor if factor else self.bases[i]

    def get_last_lr(self) -> list[float]:
        """The learning rate of each group that the last `step` set."""
        return list(self.last_lr)

    def restart(self) -> None:
        """Begin again at t = 0."""
        self.bases = list(self.base_lrs) if self.restarts else self._now()
        self.last_epoch = 0
        self._write(self.at(0))

    # ---- across a pause ----
    def state_dict(self) -> dict:
        """What changes while it runs: numbers and lists of numbers. The constructor's arguments are not in it."""
        return {k: list(v) if isinstance(v := getattr(self, k), list) else v for k in self.kept}

    def load_state_dict(self, state: dict) -> None:
        """Take over what `state_dict` gave, and set the learning rates to what they were; ValueError if another's."""
        if state.keys() != set(self.kept):
            raise ValueError(f"this state has {sorted(state)}, {type(self).__name__} keeps {sorted(self.kept)}: is it "
                             "another schedule's?")
        if len(state["last_lr"]) != len(self.optimizer.param_groups):
            raise ValueError(f"this state is for {len(state['last_lr'])} parameter groups, the optimizer has "
                             f"{len(self.optimizer.param_groups)}")
        for k, v in state.items():
            setattr(self, k, list(v) if isinstance(v, (list, tuple)) else v)
        if "base_lrs" in state and not self.absolute:
            self._scheduled()[self.key] = list(self.base_lrs), self._now()
        self._write(self.last_lr)

    # ---- the optimizer's groups ----
    def _now(self):
        return [group[self.key] for group in self.optimizer.param_groups]

    def _scheduled(self):
        """{hyper-parameter: (the groups' values before the first schedule, those that the last step of any set)}."""
        optimizer = self.optimizer
        while hasattr(optimizer, "optimizer"):  # of all wrappers around one optimizer it is the same
            optimizer = optimizer.optimizer
        return vars(optimizer).setdefault("scheduled", {})

    def _beginning(self, last_epoch=-1):
        """What the groups had before the first schedule. Where it is not what a schedule set: what they have."""
        groups = self.optimizer.param_groups
        if any(self.key not in group for group in groups):
            raise TypeError(f"{type(self.optimizer).__name__} has no {self.key} to schedule, it has "
                            f"{', '.join(k for k in groups[0] if k != 'params')}")
        now = self._now()
        first, last = self._scheduled().get(self.key, ([], []))
        if last_epoch == -1:
            first = [first[i] if i < len(first) and last[i] == v else v for i, v in enumerate(now)]
        elif len(first) != len(now):
            if not self.absolute:
                raise ValueError(f"{type(self).__name__}: last_epoch={last_epoch} goes on from the {self.key} "
                                 f"before the first schedule, which is not known; now it is {now}: leave last_epoch "
                                 "out and load the schedule's state_dict")
            first = now
        self._scheduled()[self.key] = first, now
        return list(first)

    def _write(self, values):
        groups = self.optimizer.param_groups
        if len(values) != len(groups):
            raise ValueError(f"{type(self).__name__} was made for {len(values)} parameter groups, the optimizer has "
                             f"{len(groups)} now: add the groups first")
        for value in values:
            self.optimizer.check({self.key: value})
        for group, value in zip(groups, values):
            group[self.key] = value
        self.last_lr = list(values)
        scheduled = self._scheduled()
        scheduled[self.key] = scheduled.get(self.key, (self.last_lr,))[0], list(values)
        self._besides(self.last_epoch)

    def _besides(self, t):
        """Whatever else is set at ``t``."""

    def _each(self, name, value):
        """One number for every group."""
        n = len(self.optimizer.param_groups)
        values = list(value) if isinstance(value, (list, tuple)) else [value] * n
        if len(values) != n:
            raise ValueError(f"{type(self).__name__}: {name} has {len(values)} values for {n} parameter groups")
        return values

    def __repr__(self):
        return f"{type(self).__name__}(last_epoch={self.last_epoch}, {self.key}={self.last_lr})"


def _require(scheduler, ok, text):
    if not ok:
        raise ValueError(f"{type(scheduler).__name__}: {text}")


# ---- what the loss says ----
class ReduceLROnPlateau(LRScheduler):
    """lr <- max(lr * factor, min_lr) when ``step(metric)`` has not improved for more than ``patience`` epochs.

    Better is: metric < best (1 - threshold) for mode "min", metric > best (1 + threshold) for "max"; with
    threshold_mode "abs", by threshold. NaN is never better. After a reduction cooldown epochs do not count. A change
    of at most eps is not made. As PyTorch's.
    """

    kept = ("last_epoch", "last_lr", "best", "num_bad_epochs", "cooldown_counter")

    def __init__(self, optimizer, mode: str = "min", factor: float = 0.1, patience: int = 10, threshold: float = 1e-4,
                 threshold_mode: str = "rel", cooldown: int = 0, min_lr=0.0, eps: float = 1e-8):
        _require(self, 0 < factor < 1, f"factor must be in (0, 1), got {factor}")
        _require(self, mode in ("min", "max"), f'mode must be "min" or "max", got {mode!r}')
        _require(self, threshold_mode in ("rel", "abs"),
                 f'threshold_mode must be "rel" or "abs", got {threshold_mode!r}')
        self.optimizer, self.mode, self.shrink, self.patience, self.eps = optimizer, mode, factor, patience, eps
        self.threshold, self.threshold_mode, self.cooldown = threshold, threshold_mode, cooldown
        self.min_lrs = self._each("min_lr", min_lr)
        self.base_lrs = self._beginning()
        self.last_epoch, self.last_lr = 0, self._now()
        self.best, self.num_bad_epochs, self.cooldown_counter = math.inf if mode == "min" else -math.inf, 0, 0

    def is_better(self, metric: float, best: float) -> bool:
        """Whether ``metric`` improves on ``best`` by more than the threshold."""
        sign = -1 if self.mode == "min" else 1
        bound = best * (1 + sign * self.threshold) if self.threshold_mode == "rel" else best + sign * self.threshold
        return metric < bound if self.mode == "min" else metric > bound

    def step(self, metrics) -> None:
        """Take note of this epoch's ``metrics``, a number, and reduce the learning rates if it is time."""
        metric = float(metrics.item() if hasattr(metrics, "item") else metrics)
        self.last_epoch += 1
        better = self.is_better(metric, self.best)
        self.best = metric if better else self.best
        self.num_bad_epochs = 0 if better else self.num_bad_epochs + 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        lrs = self._now()
        if self.num_bad_epochs > self.patience:
            smaller = [max(lr * self.shrink, least) for lr, least in zip(lrs, self.min_lrs, strict=True)]
            lrs = [new if lr - new > self.eps else lr for lr, new in zip(lrs, smaller)]
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._write(lrs)

    def at(self, t):
        """Raise TypeError: it depends on the metrics."""
        raise TypeError("ReduceLROnPlateau depends on the metrics: it has no lr at a t to come")

    restart = at


# ---- combinations ----
class _Several(LRScheduler):
    """What SequentialLR and ChainedScheduler share."""

    kept = ("last_epoch", "last_lr", "schedulers")

    def _adopt(self, schedulers, optimizer):
        self.schedulers = list(schedulers)
        _require(self, self.schedulers, "got no schedulers")
        self.optimizer = optimizer or self.schedulers[0].optimizer
        _require(self, all(s.optimizer is self.optimizer for s in self.schedulers),
                 "the schedulers must be of one optimizer")
        _require(self, not any(isinstance(s, ReduceLROnPlateau) for s in self.schedulers),
                 "ReduceLROnPlateau needs a metric, which step() has not")
        self.base_lrs = self.bases = list(self.schedulers[0].base_lrs)

    def state_dict(self):
        return {**super().state_dict(), "schedulers": [s.state_dict() for s in self.schedulers]}

    def load_state_dict(self, state):
        mine, inner = self.schedulers, state.get("schedulers", ())
        if len(inner) != len(mine):
            raise ValueError(f"this state has {len(inner)} schedulers, this {type(self).__name__} {len(mine)}")
        for scheduler, saved in zip(mine, inner):
            scheduler.load_state_dict(saved)
        super().load_state_dict({**state, "schedulers": mine})


class SequentialLR(_Several):
    """One schedule after another: the i-th from t = milestones[i-1] on, where its own t is 0.

    PyTorch's cycles write into the optimizer's groups what others read: there a OneCycleLR changes the beginning of
    the schedules before it, and one cycle the corners and momenta of another. Here each keeps its own.
    """

    def __init__(self, optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int], last_epoch: int = -1):
        self._adopt(schedulers, optimizer)
        _require(self, len(milestones) == len(self.schedulers) - 1 and list(milestones) == sorted(milestones),
                 f"{len(self.schedulers)} schedulers need one growing milestone less, got {milestones}")
        self.milestones, self.last_epoch = list(milestones), last_epoch + 1
        first = self.schedulers[bisect_right(self.milestones, 0)]
        first._write(first.base_lrs)
        first.restart()
        self.last_lr = first.get_last_lr()

    def step(self):
        self.last_epoch += 1
        i = bisect_right(self.milestones, self.last_epoch)
        scheduler = self.schedulers[i]
        if i and self.milestones[i - 1] == self.last_epoch:
            scheduler.restart()
        else:
            scheduler.step()
        self.last_lr = scheduler.get_last_lr()

    def formula(self, base, t, i):
        part = bisect_right(self.milestones, t)
        begin = self.milestones[part - 1] if part else 0
        return self.schedulers[part].formula(self.schedulers[part].base_lrs[i], t - begin, i)

    def restart(self):
        self.last_epoch = 0
        self.schedulers[0].restart()
        self.last_lr = self.schedulers[0].get_last_lr()

    def _besides(self, t):
        part = bisect_right(self.milestones, t)
        self.schedulers[part]._besides(t - (self.milestones[part - 1] if part else 0))


class ChainedScheduler(_Several):
    """All schedules at once, each going on from what the others made of the lr: factors multiply.

    One that does not go on, like LambdaLR, overrides those before it, as in PyTorch. `at` is exact where all
    multiply: not with an eta_min, beyond a T_max, or after one that overrides.
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer=None):
        self._adopt(schedulers, optimizer)
        self.last_epoch, self.last_lr = self.schedulers[-1].last_epoch, self._now()

    def step(self):
        self.last_epoch += 1
        for scheduler in self.schedulers:
            scheduler.step()
        self.last_lr = self._now()

    def formula(self, base, t, i):
        for s in self.schedulers:
            base = s.formula(base if s.chains else s.base_lrs[i], t, i)
        return base

    def restart(self):
        self.last_epoch = 0
        for scheduler in self.schedulers:
            scheduler.last_epoch, scheduler.bases = -1, list(scheduler.base_lrs)
            scheduler.last_lr = list(scheduler.base_lrs)
        self._write(self.base_lrs)
        for scheduler in self.schedulers:
            scheduler.step()
        self.last_lr = self._now()

    def _besides(self, t):
        for scheduler in self.schedulers:
            scheduler._besides(t)
