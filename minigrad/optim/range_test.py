"""Which learning rate to begin with: the range test."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from .. import graph
from ..functional import cross_entropy
from ..mode import enable_grad
from ..random import generators_of


class LRRange(NamedTuple):
    """What `lr_find` measured: the loss of each batch, before the update with that lr, and the lr to begin with."""

    lrs: np.ndarray
    losses: np.ndarray
    suggestion: float


def lr_find(model_or_step: Callable, optimizer, batches: Iterable, loss: Callable | None = None, *,
            start: float = 1e-7, end: float = 10.0, steps: int = 100, smoothing: float = 0.9, stop: float = 4.0,
            model=None) -> LRRange:
    """The learning-rate range test (Smith 2015): lr = start (end / start)^(i / (steps - 1)), one batch each.

    model_or_step: a Module, whose ``loss(model(x), y)`` (default: cross entropy) is minimised; or a function of a batch
    that returns the loss, whose Module, if it has buffers or draws chance, is ``model=``. batches: anything that can be
    walked over and over, like a DataLoader. Groups keep their proportions; lr is the first one's.

    The suggestion is where the loss falls most steeply against log lr: of its exponential mean (``smoothing``, without
    bias), before its minimum. The test ends when that mean exceeds ``stop`` times its minimum, or is not finite.

    Afterwards weights, buffers, gradients, optimizer and generators (minigrad's, and those of the loader, transforms
    and layers) are what they were, to the bit. ValueError if fewer than three losses are finite.
    """
    if not (0 < start < end and steps > 2):
        raise ValueError(f"lr_find needs 0 < start < end and steps > 2, got {start}, {end} and {steps}")
    if hasattr(model_or_step, "named_parameters"):
        model, minimised = model_or_step, loss or cross_entropy

        def step(x, y):
            return minimised(model(x), y)
    elif loss is not None:
        raise ValueError("lr_find: loss goes with a Module; a function of a batch returns its own loss")
    else:
        step = model_or_step
    if any("lr" not in group for group in optimizer.param_groups):
        raise TypeError(f"lr_find: {type(optimizer).__name__} has no lr to find")
    lrs, losses, means, mean = start * (end / start) ** (np.arange(steps) / (steps - 1)), [], [], 0.0
    proportions = [group["lr"] / (optimizer.lr or 1) for group in optimizer.param_groups]
    restore = _remember(model, optimizer, generators_of(batches, *(model.modules() if model is not None else ())))
    try:
        if model is not None:
            model.train()
        for lr, batch in zip(lrs, _endless(batches)):
            for group, proportion in zip(optimizer.param_groups, proportions):
                group["lr"] = float(lr * proportion)
            value = _update(step, optimizer, batch)
            mean = smoothing * mean + (1 - smoothing) * value
            means.append(mean / (1 - smoothing ** (len(means) + 1)))
            losses.append(value)
            if not math.isfinite(value) or means[-1] > stop * min(means) > 0:
                break
    finally:
        restore()
    finite = np.array([m for m in means if math.isfinite(m)])
    if len(finite) < 3:
        raise ValueError(f"lr_find: the losses were {losses}: is start={start} too large, or the data not finite?")
    slopes = np.gradient(finite)[:max(int(finite.argmin()) + 1, 1)]
    return LRRange(lrs[:len(losses)], np.array(losses), float(lrs[slopes.argmin()]))


def _update(step, optimizer, batch):
    values = []

    def closure():
        optimizer.zero_grad()
        with enable_grad():
            loss = step(*batch)
            values.append(loss.item())
            if not optimizer.needs_graph:
                loss.backward()
        return loss
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        optimizer.step(closure)
    return values[0]


def _endless(batches):
    while True:
        none = True
        for batch in batches:
            none = False
            yield batch
        if none:
            raise ValueError("lr_find: no batches, or an iterator that is used up: pass a DataLoader or a list")


def _remember(model, optimizer, generators):
    """A function that puts everything back."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    weights = [(p, p.data, p.data.copy(), p.grad) for p in params]
    chance = [(g, g.bit_generator.state) for g in generators]
    state, modes, buffers = optimizer.state_dict(), [], None
    if model is not None:
        weights += [(p, p.data, p.data.copy(), p.grad) for p in model.parameters()]
        modes, buffers = [(m, m.training) for m in model.modules()], model.state_dict()

    def restore():
        if model is not None:
            model.load_state_dict(buffers)
        for p, array, values, gradient in weights:
            np.copyto(array, values)
            p.data = array
            p.grad = gradient
            graph.changed(array)
        optimizer.load_state_dict(state)
        for module, mode in modes:
            module.training = mode
        for generator, before in chance:
            generator.bit_generator.state = before
    return restore
