"""Wrappers that leave out a step whose gradients are not finite: SkipNonFinite, and loss scaling for float16."""

from __future__ import annotations

import math

import numpy as np

from ..tensor import Tensor
from .wrappers import Wrapper, _given_gradients


class _Skipped(Exception):
    """A step is to be left out: raised by a hook that comes before those that draw, count or write weights."""


class SkipNonFinite(Wrapper):
    """Leaves a step out if any gradient has a NaN or an infinity, as if it had not been called; ``skipped`` counts.

    It looks at what the gradient hooks have left, and may stand anywhere among the wrappers. max_consecutive: so many
    in a row may be left out, the next raises FloatingPointError; None for any number.
    """

    options, kept = ("max_consecutive",), ("skipped", "consecutive")
    stepped = True

    def __init__(self, optimizer, max_consecutive: int | None = None):
        super().__init__(optimizer)
        self.max_consecutive, self.skipped, self.consecutive = max_consecutive, 0, 0

    def step(self, closure=None):
        noted, losses = _noting(closure)
        self.stepped = False
        try:
            with self._hooked(self._look, self._after_the_users()):
                loss = self.optimizer.step(noted)
        except _Skipped:
            self.skipped, self.consecutive = self.skipped + 1, self.consecutive + 1
            if self.max_consecutive is not None and self.consecutive > self.max_consecutive:
                raise FloatingPointError(f"{self.consecutive} gradients in a row were not finite") from None
            return losses[0] if losses else None
        self.stepped = super().stepped
        if self.stepped:
            self.consecutive = 0
        return loss

    def _after_the_users(self):
        """The place in gradient_hooks after the user's, before those of wrappers, which draw, count or write."""
        hooks = self.gradient_hooks
        users = [i for i, hook in enumerate(hooks) if not isinstance(getattr(hook, "__self__", None), Wrapper)
                 or isinstance(hook.__self__, GradScaler)]
        return users[-1] + 1 if users else 0

    def _look(self, params, grads):
        if not _finite(grads):
            raise _Skipped
        return grads


class GradScaler(Wrapper):
    """Loss scaling: ``scaler.scale(loss).backward()`` multiplies the gradients by a scale, ``step`` divides by it.

    Micikevicius et al. 2018: what float16 computes loses gradients below 6e-8. Keep the weights in float32 and turn to
    float16 in the forward pass, ``p.astype(np.float16)``. A step with a gradient that is NaN or infinite is left out
    and the scale multiplied by backoff_factor; after growth_interval good ones in a row, by growth_factor. As
    torch.amp.GradScaler, with unscale_ (before the gradient hooks) and update in step; RuntimeError without scale.
    """

    options = "growth_factor", "backoff_factor", "growth_interval"
    kept = "current_scale", "growth_tracker"
    stepped = True

    def __init__(self, optimizer, init_scale: float = 65536.0, growth_factor: float = 2.0, backoff_factor: float = 0.5,
                 growth_interval: int = 2000):
        super().__init__(optimizer)
        _given_gradients(self)
        self.current_scale, self.growth_tracker = init_scale, 0
        self.growth_factor, self.backoff_factor, self.growth_interval = growth_factor, backoff_factor, growth_interval
        self._limit(current_scale=(1e-30, math.inf), growth_factor=(1, math.inf), backoff_factor=(1e-30, 1),
                    growth_interval=(1, math.inf))
        self._scaled = False
        self._finite: bool | None = None

    def scale(self, loss: Tensor) -> Tensor:
        """loss times the scale, in float32 or better: what backward is called on."""
        self._scaled = True
        return loss * np.float32(self.current_scale)

    def get_scale(self) -> float:
        """The scale now."""
        return self.current_scale

    def step(self, closure=None):
        noted, losses = _noting(closure)
        self._finite, self.stepped = None, False
        try:
            with self._hooked(self._unscale, 0):
                self.optimizer.step(noted)
            self.stepped = super().stepped
        except _Skipped:
            if self._finite is not False:  # it is another wrapper's
                raise
        if self._finite is not None:
            self._scaled = False
            self.growth_tracker = self.growth_tracker + 1 if self._finite else 0
            if not self._finite:
                self.current_scale *= self.backoff_factor
            elif self.growth_tracker == self.growth_interval:
                self.current_scale, self.growth_tracker = self.current_scale * self.growth_factor, 0
        return losses[0] if losses else None

    def _unscale(self, params, grads):
        if not self._scaled:
            raise RuntimeError("GradScaler: call scale(loss).backward() before step(), not loss.backward()")
        self._finite = _finite(grads)
        if not self._finite:
            raise _Skipped
        return [(g / np.float32(self.current_scale)).astype(g.dtype) for g in grads]


def _finite(grads):
    return all(np.isfinite(g).all() for g in grads)


def _noting(closure):
    """closure, and the list of the losses that it will have returned."""
    losses: list = []

    def noted(*batch):
        losses.append(closure(*batch))
        return losses[-1]
    return None if closure is None else noted, losses
