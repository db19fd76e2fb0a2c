"""Several models that answer together: independent ones, or snapshots of one training.

    members = []
    for seed in range(10):
        minigrad.manual_seed(seed)
        members.append(models.mlp(64))
        train.fit(members[-1], data, optim.Adam(members[-1].parameters()), epochs=15)
    print(Ensemble(members).score(test))

    snapshots = Snapshots(10)
    train.fit(model, data, optimizer, epochs=50, schedule=cyclic_cosine(5), callbacks=[snapshots])
    print(snapshots.ensemble(model).score(test))
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from . import functional as F
from .data import DataLoader
from .mode import no_grad
from .nn import Module
from .tensor import Tensor
from .train import SCHEDULES

__all__ = ["AVERAGES", "Ensemble", "Score", "Snapshots", "average_outputs", "cyclic_cosine"]


# ---- what several outputs come to ----
def _probabilities(logits):
    logs = F.log_softmax(logits, -1)
    return F.logsumexp(logs, 0) - math.log(len(logs))


def _logits(logits):
    return F.log_softmax(logits.mean(axis=0), -1)


def _vote(logits):
    plain = np.asarray(Tensor.plain(logits))
    shares = np.eye(plain.shape[-1], dtype=plain.dtype)[plain.argmax(axis=-1)].mean(axis=0)
    with np.errstate(divide="ignore"):
        return Tensor(np.log(shares))


AVERAGES: dict[str, Callable] = {"probabilities": _probabilities, "logits": _logits, "vote": _vote}


def average_outputs(logits, average: str = "probabilities") -> Tensor:
    """Log-probabilities (N, C) of all members together, from their logits (M, N, C).

    "probabilities": log mean softmax(logits). "logits": log softmax(mean logits), the geometric mean of the
    probabilities: a member that is sure weighs more. "vote": log of the share of members with that highest logit, -inf
    without one, and no gradient. Raises ValueError for another name or shape.
    """
    if average not in AVERAGES:
        raise ValueError(f"average is one of {', '.join(map(repr, AVERAGES))}, not {average!r}")
    logits = logits if hasattr(logits, "record") else Tensor(logits)
    if logits.ndim != 3 or not len(logits):
        raise ValueError(f"average_outputs: logits {logits.shape} must be (members, N, C)")
    return AVERAGES[average](logits)


class Score(NamedTuple):
    """Accuracies: the ensemble's, each member's, and of ensembles of 1, 2, ... of the members."""

    accuracy: float
    members: list[float]
    by_size: list[float]

    mean = property(lambda self: sum(self.members) / len(self.members))
    best = property(lambda self: max(self.members))


class Ensemble(Module):
    """Models that each give logits (N, C) for the same x; called, it gives their common log-probabilities (N, C).

    average: see `average_outputs`. So `train.evaluate` and cross entropy take it as they take a model, and it can be
    trained on, all members at once. members: its models, also in its state_dict. Hansen & Salamon 1990;
    Lakshminarayanan et al. 2017: the networks differ in their first weights and the order of the data alone.
    """

    def __init__(self, models: Sequence[Module], average: str = "probabilities"):
        self.members = list(models)
        if not self.members or not all(isinstance(m, Module) for m in self.members):
            raise ValueError(f"Ensemble: models must be a list of at least one Module, got {models!r:.60}")
        if average not in AVERAGES:
            raise ValueError(f"Ensemble: average is one of {', '.join(map(repr, AVERAGES))}, not {average!r}")
        self.average = average

    def forward(self, x):
        return average_outputs(np.stack([m(x) for m in self.members]), self.average)

    def extra_repr(self):
        return f"average={self.average!r}"

    def logits(self, x, batch_size: int = 1000) -> np.ndarray:
        """The members' logits (M, N, C), in evaluation mode and without a graph; the modes are restored."""
        x = np.asarray(Tensor.plain(x))
        modes = [(m, m.training) for m in self.modules()]
        try:
            self.eval()
            with no_grad():
                rows = [[m(Tensor(x[i:i + batch_size])).data for m in self.members]
                        for i in range(0, max(len(x), 1), batch_size)]
        finally:
            for m, mode in modes:
                m.training = mode
        return np.concatenate([np.stack(row) for row in rows], axis=1)

    def predict_proba(self, x, batch_size: int = 1000) -> np.ndarray:
        """The probabilities (N, C); with average="vote" the shares of the votes."""
        return np.exp(average_outputs(self.logits(x, batch_size), self.average).data)

    def predict(self, x, batch_size: int = 1000) -> np.ndarray:
        """The likeliest class (N,); of a draw between classes the first."""
        return self.predict_proba(x, batch_size).argmax(axis=-1)

    def score(self, data, batch_size: int = 1000, subsets: int = 1) -> Score:
        """Accuracies on a dataset, a DataLoader or a tuple (x, y) with labels y (N,).

        subsets: by_size is the mean over so many of each size, drawn (always the same), or over all, if they are no
        more; 1: those of the first members.
        """
        loader = data if isinstance(data, DataLoader) else DataLoader(data, batch_size)
        batches = [(self.logits(x, batch_size), np.asarray(Tensor.plain(y))) for x, y in loader]
        logits, y = np.concatenate([z for z, _ in batches], axis=1), np.concatenate([y for _, y in batches])
        if y.ndim != 1 or y.dtype.kind not in "iu":
            raise ValueError(f"score: y must be integer labels (N,), not {y.dtype} {y.shape}")

        def share(z):
            return float((average_outputs(z, self.average).data.argmax(axis=-1) == y).mean())
        each = [float((z.argmax(axis=-1) == y).mean()) for z in logits]
        by_size = [float(np.mean([share(logits[chosen]) for chosen in _subsets(len(logits), n, subsets)]))
                   for n in range(1, len(logits) + 1)]
        return Score(by_size[-1], each, by_size)


def _subsets(members, n, count):
    if count == 1:
        return [list(range(n))]
    if math.comb(members, n) <= count:
        return [list(c) for c in itertools.combinations(range(members), n)]
    chance = np.random.default_rng(0)
    return [sorted(chance.choice(members, n, replace=False)) for _ in range(count)]


# ---- snapshots of one training ----
def cyclic_cosine(cycles: int) -> Callable[[float], float]:
    """For fit(schedule=...): cos from 1 to 0, ``cycles`` times over the training, step by step. Huang et al. 2017.

    lr(t) = lr / 2 (cos(pi (t mod c) / c) + 1), c = steps / cycles, t = 0, 1, ...: `optim.SGDR` with T_0 = c.
    """
    if cycles < 1 or cycles != int(cycles):
        raise ValueError(f"cyclic_cosine: cycles must be a positive integer, got {cycles}")
    return lambda done: SCHEDULES["cosine"](done * cycles % 1)


class Snapshots:
    """A callback that keeps the weights at the end of every cycle: after T_0 epochs, T_0 T_mult more, and so on.

    For snapshot ensembles, Huang et al. 2017: at each restart of the learning rate (`cyclic_cosine`, or
    `optim.CosineAnnealingWarmRestarts` with these T_0 and T_mult in epochs) the model is in another minimum, and all
    together cost one training. last: how many to keep, the latest ones; None for all. states: the state_dicts; epochs:
    when they were taken, counted from 1. Buffers, as those of batch norm, are in them.
    """

    def __init__(self, T_0: int, T_mult: int = 1, last: int | None = None):
        for name, value in (("T_0", T_0), ("T_mult", T_mult), ("last", 1 if last is None else last)):
            if value < 1 or value != int(value):
                raise ValueError(f"Snapshots: {name} must be a positive integer, got {value}")
        self.T_0, self.T_mult, self.last = int(T_0), int(T_mult), last
        self.states: list[dict] = []
        self.epochs: list[int] = []

    def __call__(self, model, history):
        epoch = len(history)
        if epoch == 1:
            self.states, self.epochs = [], []
        if self._is_end(epoch):
            keep = slice(None if self.last is None else -self.last, None)
            self.states = [*self.states, model.state_dict()][keep]
            self.epochs = [*self.epochs, epoch][keep]

    def _is_end(self, epoch):
        if self.T_mult == 1:
            return epoch % self.T_0 == 0
        end, length = self.T_0, self.T_0
        while end < epoch:
            length *= self.T_mult
            end += length
        return end == epoch

    def ensemble(self, model: Module, average: str = "probabilities") -> Ensemble:
        """The snapshots as copies of ``model``. Raises ValueError before the first."""
        if not self.states:
            raise ValueError(f"Snapshots: none was taken: the first is, after {self.T_0} epochs")
        members = [copy.deepcopy(model) for _ in self.states]
        for member, state in zip(members, self.states):
            member.load_state_dict(state)
        return Ensemble(members, average)

    def state_dict(self) -> dict:
        """The snapshots so far."""
        return {"states": list(self.states), "epochs": list(self.epochs)}

    def load_state_dict(self, state: dict) -> None:
        """Take over what `state_dict` gave."""
        self.states, self.epochs = list(state["states"]), list(state["epochs"])
