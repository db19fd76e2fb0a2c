"""Small networks for digits and text. Each remembers how it was made, so that a file of its weights can rebuild it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from . import functional as F
from .mode import no_grad
from .nn import (
    GRU,
    LSTM,
    RNN,
    SRU,
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    MaxPool2d,
    Module,
    ReLU,
    Sequential,
    StochasticDepth,
    Tanh,
    init,
)
from .random import default_generator
from .tensor import Tensor

__all__ = ["MODELS", "BasicBlock", "CharRNN", "ResNet", "build", "char_rnn", "cnn", "lenet5", "mlp", "resnet"]


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
        layers += [Conv2d(before, maps, kernel, padding=padding), *[BatchNorm2d(maps)] * bool(batch_norm), ReLU(),
                   MaxPool2d(2)]
        before, side = maps, (side + 2 * padding - kernel + 1) // 2
        if side < 1:
            raise ValueError(f"cnn: images of {size} x {size} pixels are too small for {len(filters)} convolutions "
                             "and poolings")
    layers += [Flatten(), Dense(before * side * side, hidden), ReLU(), *[Dropout(dropout)] * bool(dropout)]
    model = _start(Sequential(*layers, Dense(hidden, classes)), generator)
    return _remember(model, "cnn", channels=channels, size=size, classes=classes, filters=list(filters), hidden=hidden,
                     dropout=dropout, batch_norm=batch_norm)


def lenet5(channels: int = 1, size: int = 28, classes: int = 10, activation: str = "tanh", pooling: str = "average",
           generator: np.random.Generator | None = None) -> Sequential:
    """LeNet-5: convolutions to 6 and 16 maps, each pooled, then to 120, and Dense layers of 84 and ``classes``.

    Images (N, channels, size, size) -> logits (N, classes). LeCun et al. 1998, with their tanh and averages, or
    activation="relu", pooling="max" as is usual now. size 28 is padded to the paper's 32; images of fewer than 16
    pixels get kernels of 3x3 with padding. Not as in the paper: every map sees all maps before it, the averages have
    no weights, tanh is not stretched, and the output is Dense, not distances to drawn digits. generator: as for `mlp`.
    Raises ValueError for other names, and if nothing is left of the image.
    """
    squash = _named("lenet5", "activation", activation, {"tanh": Tanh, "relu": ReLU})
    pool = _named("lenet5", "pooling", pooling, {"average": AvgPool2d, "max": MaxPool2d})
    kernel, padding = (5, (2 if size < 32 else 0, 0)) if size >= 16 else (3, (1, 1))
    layers, before, side = [], channels, size
    for maps, pad in zip((6, 16), padding):
        layers += [Conv2d(before, maps, kernel, padding=pad), squash(), pool(2)]
        before, side = maps, (side + 2 * pad - kernel + 1) // 2
    if side < 1:
        raise ValueError(f"lenet5: images of {size} x {size} pixels are too small")
    layers += [Conv2d(before, 120, side), squash(), Flatten(), Dense(120, 84), squash(), Dense(84, classes)]
    model = _start(Sequential(*layers), generator, "relu" if activation == "relu" else "linear")
    return _remember(model, "lenet5", channels=channels, size=size, classes=classes, activation=activation,
                     pooling=pooling)


def _named(model, argument, name, choices):
    if name not in choices:
        raise ValueError(f"{model}: {argument} is one of {', '.join(map(repr, choices))}, not {name!r}")
    return choices[name]


# ---- residual networks ----
class BasicBlock(Module):
    """relu(shortcut(x) + StochasticDepth(bn2(conv2(relu(bn1(conv1(x))))))): 3x3 kernels. He et al. 2016.

    Where the shape changes: shortcut "A" takes every stride-th pixel and adds maps of zeros, half before and half
    behind; "B" is a 1x1 convolution and batch norm, `downsample` as in torchvision. drop: the probability that
    training drops the branch, of a whole batch ("batch") or row by row ("row").
    """

    def __init__(self, in_channels: int, channels: int, stride: int = 1, shortcut: str = "A", drop: float = 0.0,
                 mode: str = "batch"):
        _named("BasicBlock", "shortcut", shortcut, {"A": 0, "B": 0})
        self.conv1 = Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = BatchNorm2d(channels)
        self.conv2 = Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = BatchNorm2d(channels)
        self.stride, self.more = stride, channels - in_channels
        if self.more < 0:
            raise ValueError(f"BasicBlock: {channels} channels, but its input has {in_channels}, which is more")
        self.downsample = None
        if shortcut == "B" and (stride != 1 or self.more):
            self.downsample = Sequential(Conv2d(in_channels, channels, 1, stride, bias=False), BatchNorm2d(channels))
        self.depth = StochasticDepth(drop, mode)

    def forward(self, x):
        return F.relu(self.depth.added(
            self._way(x), lambda: self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))))

    def _way(self, x):
        if self.downsample is not None:
            return self.downsample(x)
        if self.stride != 1:
            x = x[:, :, ::self.stride, ::self.stride]
        if not self.more:
            return x
        before = self.more // 2
        return np.pad(x, ((0, 0), (before, self.more - before), (0, 0), (0, 0)))


class ResNet(Module):
    """A 3x3 convolution, three stages of ``blocks`` `BasicBlock`s, the mean over all pixels, and a Dense layer.

    The stages have width, 2 width and 4 width maps; the second and third begin with stride 2. Submodules are called as
    in torchvision. survival, shortcut, mode: see `resnet`.
    """

    def __init__(self, channels: int, classes: int, blocks: int, width: int, shortcut: str, survival: float, mode: str):
        self.conv1, self.bn1 = Conv2d(channels, width, 3, 1, 1, bias=False), BatchNorm2d(width)
        layer, before = 0, width
        for stage in range(3):
            maps, row = width * 2**stage, []
            for k in range(blocks):
                layer += 1
                drop = 1 - F.survival_probability(layer, 3 * blocks, survival)
                row.append(BasicBlock(before, maps, 2 if stage and not k else 1, shortcut, drop, mode))
                before = maps
            setattr(self, f"layer{stage + 1}", Sequential(*row))
        self.fc = Dense(before, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean(axis=(2, 3)))


def resnet(channels: int = 1, size: int = 28, classes: int = 10, blocks: int = 1, width: int = 8, shortcut: str = "A",
           survival: float = 1.0, mode: str = "batch", generator: np.random.Generator | None = None) -> ResNet:
    """The residual network of He et al. 2016 for small images: 6 blocks + 2 layers; theirs: blocks from 3, width=16.

    Images (N, channels, size, size), of any size, -> logits (N, classes). shortcut: "A" without weights, as theirs
    on CIFAR, or "B", 1x1 convolutions. survival: with which probability the last block is kept in training; block l of
    L with 1 - l / L (1 - survival), 1 for no stochastic depth (Huang et al. 2016: 0.5). mode: a block is dropped for
    the whole "batch", as theirs, or for each "row". generator: as for `mlp`.
    """
    if blocks < 1 or width < 1:
        raise ValueError(f"resnet: blocks and width must be at least 1, got {blocks} and {width}")
    if not 0 < survival <= 1:
        raise ValueError(f"resnet: survival must be above 0 and at most 1, got {survival}")
    model = _start(ResNet(channels, classes, blocks, width, shortcut, survival, mode), generator)
    return _remember(model, "resnet", channels=channels, size=size, classes=classes, blocks=blocks, width=width,
                     shortcut=shortcut, survival=survival, mode=mode)


# ---- characters ----
RECURRENT = {"rnn": RNN, "lstm": LSTM, "gru": GRU, "sru": SRU}


class CharRNN(Module):
    """The next character from those before: Embedding, a recurrent layer, Dense.

    forward: indices (N, T) -> logits (N, characters, T), as `functional.cross_entropy` takes them with targets (N, T):
    the same text one character later. See `char_rnn`.
    """

    def __init__(self, alphabet: str, embedding: int, hidden: int, layers: int, kind: str, dropout: float,
                 generator: np.random.Generator | None):
        if len(set(alphabet)) != len(alphabet) or not alphabet:
            raise ValueError(f"char_rnn: the alphabet must hold each character once, like ''.join(sorted(set(text))), "
                             f"got {alphabet!r:.60}")
        self.alphabet = alphabet
        self.embedding = Embedding(len(alphabet), embedding, generator=generator)
        self.rnn = _named("char_rnn", "kind", kind, RECURRENT)(embedding, hidden, layers, batch_first=True,
                                                              dropout=dropout, generator=generator)
        self.rnn.generator = None  # dropout draws as all layers do
        self.dense = Dense(hidden, len(alphabet), generator=generator)

    def forward(self, index):
        return np.swapaxes(self.step(index)[0], 1, 2)

    def step(self, index, state=None):
        """Logits (N, T, characters) and the state after them, from which the next call can go on."""
        y, state = self.rnn(self.embedding(index), state)
        return self.dense(y), state

    def encode(self, text: str) -> np.ndarray:
        """The index of each character (T,). Raises ValueError for those that are not in the alphabet."""
        place = {c: i for i, c in enumerate(self.alphabet)}
        unknown = sorted(set(text) - place.keys())
        if unknown:
            raise ValueError(f"these characters are not in the alphabet: {''.join(unknown)!r}")
        return np.array([place[c] for c in text], np.int64)

    def decode(self, index) -> str:
        """The text of these indices (T,)."""
        return "".join(self.alphabet[i] for i in np.asarray(Tensor.plain(index)).reshape(-1))

    def sample(self, prefix: str, length: int, temperature: float = 1.0,
               generator: np.random.Generator | None = None) -> str:
        """``prefix`` and ``length`` more characters, each drawn from softmax(logits / temperature).

        temperature: below 1 the likelier are preferred; 0 takes the likeliest. Without dropout; the mode is restored.
        """
        if not prefix:
            raise ValueError("sample: prefix must hold a character to begin with")
        if length < 0 or not temperature >= 0:
            raise ValueError(f"sample: length and temperature must not be negative, got {length} and {temperature}")
        chance, modes = generator or default_generator(), [(m, m.training) for m in self.modules()]
        index, drawn = self.encode(prefix), []
        try:
            self.eval()
            with no_grad():
                state = None
                for _ in range(length):
                    logits, state = self.step(index[None], state)
                    drawn.append(_draw(logits.data[0, -1].astype(np.float64), temperature, chance))
                    index = np.array(drawn[-1:])
        finally:
            for m, mode in modes:
                m.training = mode
        return prefix + self.decode(drawn)


def _draw(logits, temperature, chance):
    if temperature == 0:
        return int(logits.argmax())
    shares = np.cumsum(np.exp((logits - logits.max()) / temperature))
    return int(np.searchsorted(shares, chance.random() * shares[-1], side="right"))


def char_rnn(alphabet: str, embedding: int = 32, hidden: int = 128, layers: int = 1, kind: str = "lstm",
             dropout: float = 0.0, generator: np.random.Generator | None = None) -> CharRNN:
    """A character model with a recurrent layer: kind "rnn", "lstm", "gru" or "sru". Sutskever et al. 2011.

    alphabet: the characters it knows, each once, in the order of its indices. ``model.encode(text)`` gives the indices
    to train on, ``model.sample("The ", 100)`` writes. dropout: between the layers. generator: draws the weights.
    """
    model = CharRNN(alphabet, embedding, hidden, layers, kind, dropout, generator)
    return _remember(model, "char_rnn", alphabet=alphabet, embedding=embedding, hidden=hidden, layers=layers, kind=kind,
                     dropout=dropout)


MODELS = {"mlp": mlp, "cnn": cnn, "lenet5": lenet5, "resnet": resnet, "char_rnn": char_rnn}


def build(name: str, **arguments) -> Module:
    """The model of that name in `MODELS`, with that function's arguments. Raises ValueError for any other name."""
    if name not in MODELS:
        raise ValueError(f"no model called {name!r}; there are {', '.join(MODELS)}")
    return MODELS[name](**arguments)


def _start(model: Module, generator, nonlinearity: str = "relu") -> Module:
    """He's normal weights before a ReLU (or for another nonlinearity), and LeCun's before the logits; no bias."""
    layers = [m for m in model.modules() if isinstance(m, (Dense, Conv2d))]
    for layer in layers:
        before_logits = layer is layers[-1]
        init.kaiming_normal_(layer.weight, nonlinearity="linear" if before_logits else nonlinearity,
                             generator=generator)
        if layer.bias is not None:
            init.zeros_(layer.bias)
    return model


def _remember(model, name, **arguments):
    model.recipe = {"name": name, "arguments": arguments}
    return model
