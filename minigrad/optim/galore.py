"""GaLore: an optimizer that sees projections of the gradients, so that its state is small."""

from __future__ import annotations

import contextlib
import math

import numpy as np

from ..mode import enable_grad
from ..tensor import Parameter, Tensor
from .multi import _asks_elsewhere
from .optimizer import Optimizer
from .wrappers import Wrapper, _write


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
    projects = True

    def __init__(self, optimizer, rank: int = 128, update_proj_gap: int = 200, scale: float = 1.0):
        super().__init__(optimizer)
        if not (isinstance(optimizer, Optimizer) and optimizer.elementwise) or optimizer.state or (
                _asks_elsewhere(optimizer)):
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
        groups = self._groups()
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
