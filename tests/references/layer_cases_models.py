"""Models of minigrad.models beside the same modules put together in PyTorch: names, shapes, results."""

from __future__ import annotations

import numpy as np
from references.layers import Case
from references.record import uniform

from minigrad import models, nn

TEXT = np.array([[0, 3, 1, 1, 2], [4, 0, 2, 3, 3]])


def lenet5(torch, channels, size, squash, pool):
    kernel, pads = (5, (2 if size < 32 else 0, 0)) if size >= 16 else (3, (1, 1))
    side = size
    for pad in pads:
        side = (side + 2 * pad - kernel + 1) // 2
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(channels, 6, kernel, padding=pads[0]), squash(), pool(2), nn.Conv2d(6, 16, kernel, padding=pads[1]),
        squash(), pool(2), nn.Conv2d(16, 120, side), squash(), nn.Flatten(), nn.Linear(120, 84), squash(),
        nn.Linear(84, 3))


def lenet5_ours(*args, **kwargs):
    """As a function of the images alone: gradients of 20,000 weights would fill the file."""
    model = models.lenet5(*args, **kwargs).astype(np.float64)
    nn.load_torch_state_dict(model, {k: uniform(k, *v.shape, low=-0.3, high=0.3)
                                     for k, v in nn.torch_state_dict(model).items()})
    return lambda x: model(x)


def lenet5_theirs(torch, *args):
    model = lenet5(torch, *args).double()
    model.load_state_dict({k: torch.tensor(uniform(k, *v.shape, low=-0.3, high=0.3))
                           for k, v in model.state_dict().items()})
    return lambda x: model(x)


def resnet(torch, blocks, width, shortcut):
    """He et al. 2016, section 4.2."""
    nn, relu = torch.nn, torch.relu

    class Block(nn.Module):
        def __init__(self, before, maps, stride):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(before, maps, 3, stride, 1, bias=False), nn.BatchNorm2d(maps)
            self.conv2, self.bn2 = nn.Conv2d(maps, maps, 3, 1, 1, bias=False), nn.BatchNorm2d(maps)
            self.stride, self.zeros, self.downsample = stride, (maps - before) // 2, None
            if shortcut == "B" and stride != 1:
                self.downsample = nn.Sequential(nn.Conv2d(before, maps, 1, stride, bias=False), nn.BatchNorm2d(maps))

        def forward(self, x):
            y = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
            if self.downsample is not None:
                return relu(y + self.downsample(x))
            x = x[:, :, ::self.stride, ::self.stride]
            return relu(y + nn.functional.pad(x, (0, 0, 0, 0, self.zeros, self.zeros)))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(1, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
            for stage in range(3):
                before, maps = width * 2 ** max(stage - 1, 0), width * 2**stage
                setattr(self, f"layer{stage + 1}", nn.Sequential(*[
                    Block(maps if k else before, maps, 2 if stage and not k else 1) for k in range(blocks)]))
            self.fc = nn.Linear(4 * width, 3)

        def forward(self, x):
            x = self.layer3(self.layer2(self.layer1(relu(self.bn1(self.conv1(x))))))
            return self.fc(x.mean((2, 3)))
    return Net()


def char_rnn(torch, kind, layers):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = torch.nn.Embedding(5, 3)
            self.rnn = getattr(torch.nn, kind)(3, 4, layers, batch_first=True)
            self.dense = torch.nn.Linear(4, 5)

        def forward(self, index):
            return self.dense(self.rnn(self.embedding(index))[0]).transpose(1, 2)
    return Net()


CASES = [
    Case("lenet5 as printed", lambda: lenet5_ours(size=8, classes=3),
         lambda torch: lenet5_theirs(torch, 1, 8, torch.nn.Tanh, torch.nn.AvgPool2d), ((2, 1, 8, 8),)),
    Case("lenet5 of 28 pixels", lambda: lenet5_ours(classes=3),
         lambda torch: lenet5_theirs(torch, 1, 28, torch.nn.Tanh, torch.nn.AvgPool2d), ((1, 1, 28, 28),)),
    Case("lenet5 relu max", lambda: lenet5_ours(2, 8, 3, "relu", "max"),
         lambda torch: lenet5_theirs(torch, 2, 8, torch.nn.ReLU, torch.nn.MaxPool2d), ((2, 2, 8, 8),)),
    *[Case(f"resnet {shortcut}{blocks} {'training' if training else 'evaluation'}",
           lambda b=blocks, s=shortcut: models.resnet(classes=3, blocks=b, width=2, shortcut=s),
           lambda torch, b=blocks, s=shortcut: resnet(torch, b, 2, s), ((3, 1, 6, 6),), training=training, buffers=True)
      for shortcut, blocks, training in (("A", 1, True), ("B", 1, True), ("A", 2, False), ("B", 2, False))],
    *[Case(f"char_rnn {kind} {layers}",
           lambda k=kind, n=layers: models.char_rnn("abcde", 3, 4, n, k.lower()),
           lambda torch, k=kind, n=layers: char_rnn(torch, k, n), (TEXT,))
      for kind, layers in (("RNN", 1), ("LSTM", 1), ("LSTM", 2), ("GRU", 1))],
]
