"""XOR, the smallest problem a linear model cannot solve: a training loop with nothing hidden.

Reads: minigrad/nn/dense.py and minigrad/optim/momentum.py.
"""

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn, optim
from minigrad import functional as F

mg.manual_seed(0)
x = Tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
y = Tensor([[0], [1], [1], [0]])


def train(model, steps=2000):
    optimizer = optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    for step in range(1, steps + 1):
        loss = F.binary_cross_entropy_with_logits(model(x), y)  # forward
        optimizer.zero_grad()  # gradients add up until told otherwise
        loss.backward()  # the chain rule fills .grad
        optimizer.step()  # downhill
        if step in (1, 10, 100, 1000, steps):
            print(f"  step {step:>4}  loss {loss.item():.4f}")
    with mg.no_grad():
        return F.sigmoid(model(x)).numpy()


print("a line cannot separate XOR:")
print("  predictions", train(nn.Dense(2, 1)).round(2).ravel())

print("one hidden layer can:")
p = train(nn.Sequential(nn.Dense(2, 4), nn.Tanh(), nn.Dense(4, 1)))
print("  predictions", p.round(2).ravel())
assert np.array_equal(p > 0.5, y.numpy() == 1)
