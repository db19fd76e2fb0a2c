"""Optimizers that divide by the Hessian's diagonal, estimated from products with random signs.

Hutchinson 1989; Bekas, Kokiopoulou & Saad 2007: for z of independent signs, +1 or -1, the expectation of z * (H z) is
diag(H), for E[z_i z_j] is 1 where i = j and 0 elsewhere. A product H z costs about two gradients, whatever the size of
H. One sample is exact for a diagonal H; else its variance in place i is the sum of H_ij^2 over j != i.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from ..graph import outputs_first
from ..mode import enable_grad
from ..random import default_generator
from ..tensor import Tensor, grad
from .adam import Betas
from .classical import _needed
from .optimizer import Optimizer
from .second_order import Objective

__all__ = ["AdaHessian", "Sophia", "hessian_diagonal"]


def hessian_diagonal(loss: Callable[[], Tensor], params: Iterable, samples: int = 1,
                     generator: np.random.Generator | None = None) -> list[np.ndarray]:
    """An estimate of diag(H), mean of z * (H z) over so many z of random signs: an array for each of ``params``.

    loss: returns a Tensor with one number, as for `Objective`. Zero for parameters that are frozen. The error falls
    with the root of samples; for a diagonal H there is none.
    """
    _check_samples("hessian_diagonal", samples)
    params = [params] if isinstance(params, Tensor) else [p[1] if isinstance(p, tuple) else p for p in params]
    objective, rng = Objective(loss, params), generator or default_generator()
    x = objective.x
    try:
        draws = (_signs(rng, len(x), x.dtype) for _ in range(samples))
        mean = sum(z * objective.hessp(x, z) for z in draws) / samples
    finally:
        objective.place(x)
    found = iter(objective.split(mean))
    return [next(found) if p.requires_grad else np.zeros_like(p.data) for p in params]


def _signs(rng, shape, dtype):
    return (2 * rng.integers(0, 2, shape, np.int8) - 1).astype(dtype)


def _check_samples(name, samples, called="samples"):
    if not isinstance(samples, (int, np.integer)) or samples < 1:
        raise ValueError(f"{name}: {called} must be a whole number, at least 1, got {samples!r}")


class _Hutchinson(Optimizer):
    """Takes the gradient and z * (H z) of the closure's loss, and hands the second to ``take`` before the update.

    z is a function of a seed in the parameter's state, drawn from generator at its first step, of the step and of the
    sample: a resumed run meets the same signs.
    """

    kept = ("seed",)
    decoupled = True
    needs_graph = True

    def __init__(self, params, *args, generator: np.random.Generator | None = None, **hyper):
        self.generator = generator
        super().__init__(params, *args, **hyper)

    def check(self, group):
        super().check(group)
        for key in ("samples", "update_interval"):
            if key in group:
                _check_samples(type(self).__name__, group[key], key)
        if group.get("eps") == 0:
            raise ValueError(f"{type(self).__name__}: eps must be positive, for curvatures can be 0; got 0")

    def step(self, closure: Callable):
        """One step. The closure returns the loss and leaves the derivatives to the optimizer, which sets ``.grad``.

        Parameters on which the loss does not depend, and frozen ones, stay as they are. Returns the loss, detached.
        """
        _needed(self, closure)
        name = type(self).__name__
        self.zero_grad()
        with enable_grad():
            loss = closure()
        if any(p.grad is not None for group in self.param_groups for p in group["params"]):
            raise RuntimeError(f"{name}: the closure has called backward: it shall only return the loss, whose graph "
                               "is still needed")
        if not isinstance(loss, Tensor) or loss.size != 1:
            raise TypeError(f"{name}: the closure must return a Tensor with a single number, got {loss!r:.60}")
        leaves = {loss.node}.union(*(node.parents for node in outputs_first([loss.node] if loss.node else [])))
        groups = {p: group for group in self.param_groups for p in group["params"]
                  if p.size and p.requires_grad and p.node in leaves}
        if not groups:
            raise RuntimeError(f"{name}: the loss does not depend on the parameters: is it computed from copies of "
                               "them?")
        due = [p for p, group in groups.items() if self.due(self.state.get(p, {"step": 0})["step"] + 1, group)]
        grads = dict(zip(groups, grad(loss, list(groups), create_graph=bool(due))))
        for p, diagonal in self._diagonal(grads, due, groups):
            state = self.state.setdefault(p, {"step": 0})
            if state.get("h") is None:
                state["h"] = self.init_slot("h", p.data, groups[p])
            self.take(state["h"], -diagonal if groups[p]["maximize"] else diagonal, groups[p])
        for p, g in grads.items():
            p.grad = Tensor(g.data)
        super().step()
        return loss.detach()

    def _diagonal(self, grads, due, groups):
        """(parameter, the mean of z * (H z) over its samples) for those that are due; z is 0 elsewhere."""
        sums = {p: np.zeros_like(p.data) for p in due}
        for sample in range(max((groups[p]["samples"] for p in due), default=0)):
            zs = {p: self._z(p, sample) for p in due if sample < groups[p]["samples"]}
            ys = [p for p in zs if grads[p].requires_grad]  # those whose gradient is constant have no curvature
            if ys:
                products = grad([grads[p] for p in ys], list(zs), retain_graph=True, gradient=[zs[p] for p in ys])
                for (p, z), product in zip(zs.items(), products):
                    sums[p] += z * product.data
        return [(p, total / groups[p]["samples"]) for p, total in sums.items()]

    def _z(self, p, sample):
        state = self.state.setdefault(p, {"step": 0})
        if "seed" not in state:
            state["seed"] = int((self.generator or default_generator()).integers(2 ** 63))
        return _signs(np.random.default_rng((state["seed"], state["step"] + 1, sample)), p.shape, p.dtype)

    def due(self, t: int, group: dict) -> bool:
        """Whether step ``t`` needs an estimate."""
        return True

    def take(self, h: np.ndarray, diagonal: np.ndarray, group: dict) -> None:
        """Put an estimate of diag(H) into the slot h."""
        raise NotImplementedError


class AdaHessian(_Hutchinson):
    """m <- beta1 m + (1 - beta1) g, v <- beta2 v + (1 - beta2) h^2, w <- w - lr m^ / (sqrt(v^)^hessian_power + eps).

    Yao et al. 2021. Adam with the curvature h = |z * (H z)| in place of the gradient in v: a step is of Newton's
    length, whatever the loss's scale. m^ and v^ are corrected for their start at zero, as Adam's.
    average_conv: where a weight has more than two axes, h is averaged over all but the first two, the kernel's, which
    calms the estimate. samples: how many z h is the mean of, before its absolute value. weight_decay is decoupled.

        optimizer.step(lambda: criterion(model(x), y))        # the closure does not call backward

    A step costs about 3 gradients (two more for every further sample) and keeps the gradient's graph while it lasts. 3
    numbers per weight. torch_optimizer's has lr=0.15 and hessian_power=0.5, and fails for weights of three axes.
    """

    slots = ("m", "v", "h")

    def __init__(self, params, lr: float = 0.1, betas: Betas = (0.9, 0.999), eps: float = 1e-4,
                 weight_decay: float = 0, hessian_power: float = 1.0, *, average_conv: bool = True, samples: int = 1,
                 generator: np.random.Generator | None = None, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, generator=generator, lr=lr, betas=betas, eps=eps,
                         hessian_power=hessian_power, average_conv=average_conv, samples=samples)

    def check(self, group):
        super().check(group)
        if not 0 <= group.get("hessian_power", 1) <= 1:
            raise ValueError(f"AdaHessian: hessian_power must be in [0, 1], got {group['hessian_power']}")

    def take(self, h, diagonal, group):
        kernel = tuple(range(2, h.ndim))
        h[...] = np.abs(diagonal)
        if kernel and group["average_conv"]:
            h[...] = h.mean(axis=kernel, keepdims=True)

    @staticmethod
    def update(w, g, m, v, h, lr, beta1, beta2, eps, hessian_power, t):
        m += (1 - beta1) * (g - m)
        v *= beta2
        v += (1 - beta2) * (h * h)
        w -= lr / (1 - beta1 ** t) * m / (np.sqrt(v / (1 - beta2 ** t)) ** hessian_power + eps)


class Sophia(_Hutchinson):
    """m <- beta1 m + (1 - beta1) g, w <- (1 - lr weight_decay) w - lr clip(m / max(gamma h, eps), -1, 1).

    At steps 1, 1 + update_interval, ... before that h <- beta2 h + (1 - beta2) z * (H z). Liu et al. 2023, algorithm 3
    with their Hutchinson estimate, Sophia-H. A flat direction is divided by little, so all advance alike; and no weight
    moves more than lr: where the curvature is negative, or changes faster than h follows, it is signed momentum.
    gamma: tune it so that 10 to 50 % of the weights are not clipped; m / max(h, eps) clipped at rho is gamma = rho and
    lr rho. For language models. samples: how many z an estimate is the mean of.

        optimizer.step(lambda: criterion(model(x), y))        # the closure does not call backward

    2 numbers per weight; one step of update_interval costs about 3 gradients and keeps the gradient's graph while it
    lasts. optax's has m / (1 - beta1^t) for m, eps=1e-8, and takes a new h at the step after.
    """

    slots = ("m", "h")

    def __init__(self, params, lr: float = 1e-4, betas: Betas = (0.965, 0.99), gamma: float = 0.01, eps: float = 1e-12,
                 weight_decay: float = 1e-4, update_interval: int = 10, *, samples: int = 1,
                 generator: np.random.Generator | None = None, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, generator=generator, lr=lr, betas=betas, gamma=gamma, eps=eps,
                         update_interval=update_interval, samples=samples)

    def due(self, t, group):
        return group["update_interval"] == 1 or t % group["update_interval"] == 1

    def take(self, h, diagonal, group):
        beta2 = group["betas"][1]
        h *= beta2
        h += (1 - beta2) * diagonal

    @staticmethod
    def update(w, g, m, h, lr, beta1, gamma, eps):
        m += (1 - beta1) * (g - m)
        w -= lr * np.clip(m / np.maximum(gamma * h, eps), -1, 1)
