"""The chain rule on one number, step by step, and the same derivative by three other ways.

Reads: minigrad/graph.py, `pullback`.
"""

import math

import numpy as np

import minigrad as mg
from minigrad import Tensor

x = Tensor(np.float64(1.5), requires_grad=True, name="x")
a = x * x
b = np.sin(a)  # NumPy's own function: a Tensor records it
y = b * x
for t in (a, b):
    t.retain_grad()  # normally only leaves keep their gradient
y.backward()

print(f"y = sin(x^2) * x at x = {x.item()}:  y = {y.item():.6f}")
print()
print("backward, from y to x, each line upstream times local:")
print(f"  dy/db = x                    = {b.grad:.6f}")
print(f"  dy/da = dy/db * cos(a)       = {b.grad:.6f} * {math.cos(a.item()):.6f} = {a.grad:.6f}")
print(f"  dy/dx = dy/da * 2x + b       = {a.grad:.6f} * {2 * x.item():.6f} + {b:.6f} = {x.grad:.6f}")
print("          (x is used three times, so three contributions are added: x*x is two of them)")
print()


def f(x):
    return np.sin(x * x) * x


h = 1e-6
by_hand = 2 * x.item() ** 2 * math.cos(x.item() ** 2) + math.sin(x.item() ** 2)
differences = (f(x.item() + h) - f(x.item() - h)) / (2 * h)
print(f"dy/dx  minigrad {x.grad:.9f}   by hand {by_hand:.9f}   finite differences {differences:.9f}")

# The rules ran on plain arrays. With create_graph they run on Tensors, and the derivative has a graph of its own.
g = mg.grad(f(x), x, create_graph=True)
gg = mg.grad(g, x, create_graph=True)
ggg = mg.grad(gg, x)
print(f"and on: second derivative {gg:.6f}, third {ggg:.6f}")
