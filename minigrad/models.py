"""Two small networks for digits. Each remembers how it was made, so that a file of its weights can rebuild it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .nn import BatchNorm2d, Conv2d, Dense, Dropout, Flatten, MaxPool2d, Module, ReLU, Sequential, init

__all__ = ["build", "cnn", "mlp"]


def mlp(in_features: int = 784, hidden: Sequence[int] = (256, 128), classes: int = 10, dropout: float = 0.0,
        generator: np.random.Generator | None = None) -> Sequential:
    """Dense layers with ReLU between them: (N, ...) with ``in_features`` numbers each -> logits (N, classes).

    dropout: the share of each hidden layer's outputs that training drops. generator: draws the weights (He et al.
    2015); default: minigrad's own.
    """
    layers, before = [Flatten()], in_features
    for units in hidden:
        layers += [Dense(before, units), ReLU()] + [Dropout(dropout)] * bool(dropout)
        before = units
    model = _start(Sequential(*layers, Dense(before, classes)), generator)
    return _remember(model, "mlp", in_features=in_features, hidden=list(hidden), classes=classes, dropout=dropout)


def cnn(channels: int = 1, size: int = 28, classes: int = 10, filters: Sequence[int] = (16, 32), hidden: int = 128,
        dropout: float = 0.0, batch_norm: bool = False, generator: np.random.Generator | None = None) -> Sequential:
    """Convolution, ReLU and 2x2 max-pooling for each of ``filters``, then two Dense layers.

    Images (N, channels, size, size) -> logits (N, classes). The kernels are 5x5 without padding, as in LeNet-5 (LeCun
    et al. 1998), or, where images are smaller than 16 pixels, 3x3 with padding. dropout: before the last layer.
    batch_norm: after each convolution. generator: as for `mlp`. Raises ValueError if nothing is left of the image.
    """
    kernel, padding = (5, 0) if size >= 16 else (3, 1)
    layers, before, side = [], channels, size
    for maps in filters:
        layers += [Conv2d(before, maps, kernel, padding=padding), *[BatchNorm2d(maps)] * batch_norm, ReLU(),
                   MaxPool2d(2)]
        before, side = maps, (side + 2 * padding - kernel + 1) // 2
        if side < 1:
            raise ValueError(f"cnn: images of {size} x {size} pixels are too small for {len(filters)} convolutions "
                             "and poolings")
    layers += [Flatten(), Dense(before * side * side, hidden), ReLU(), *[Dropout(dropout)] * bool(dropout)]
    model = _start(Sequential(*layers, Dense(hidden, classes)), generator)
    return _remember(model, "cnn", channels=channels, size=size, classes=classes, filters=list(filters), hidden=hidden,
                     dropout=dropout, batch_norm=batch_norm)


MODELS = {"mlp": mlp, "cnn": cnn}


def build(name: str, **arguments) -> Sequential:
    """The model called "mlp" or "cnn", with that function's arguments. Raises ValueError for any other name."""
    if name not in MODELS:
        raise ValueError(f"no model called {name!r}; there are {', '.join(MODELS)}")
    return MODELS[name](**arguments)


def _start(model: Module, generator) -> Module:
    """He's normal weights before a ReLU, and LeCun's before the logits; no bias."""
    layers = [m for m in model.modules() if isinstance(m, (Dense, Conv2d))]
    for layer in layers:
        before_relu = layer is not layers[-1]
        init.kaiming_normal_(layer.weight, nonlinearity="relu" if before_relu else "linear", generator=generator)
        init.zeros_(layer.bias)
    return model


def _remember(model, name, **arguments):
    model.recipe = {"name": name, "arguments": arguments}
    return model
