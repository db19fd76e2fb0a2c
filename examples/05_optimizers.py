"""Optimizers on x²/20 + y², the bowl of every lecture: where each is after 30 steps from (-7, 2), and why.

    python examples/05_optimizers.py                 the table
    python examples/05_optimizers.py pictures        and paths, losses, learning rates, an animation in that folder
                                                     (by matplotlib and Pillow: the extras plot and image)
On other functions, and without a line of code: minigrad compare --function rosenbrock --optimizers sgd,adam:0.1

Reads: minigrad/optim/momentum.py, adaptive.py and adam.py; then classical.py for what came before.
"""

import sys

import numpy as np

from minigrad import Parameter, optim
from minigrad.optim import classical
from minigrad.viz import functions, theatre

bowl = functions.by_name("bowl")
names = ["sgd", "momentum", "nag", "adagrad", "rmsprop", "adadelta", "adam", "steepest-descent", "barzilai-borwein",
         "conjugate-gradient"]
runs = theatre.race(bowl, names)
print(theatre.table(runs))
print()

# What race does, written out for one of them.
w = Parameter(np.array(bowl.start))
optimizer = optim.SGD([w], lr=0.95)
for _ in range(30):
    optimizer.zero_grad()
    bowl(w[0], w[1]).backward()
    optimizer.step()

# Curvature is 1/10 along x and 2 along y, so one rate makes two factors a step: 1 - lr/10 and 1 - 2 lr.
print(f"SGD by hand   x = -7 * 0.905^30 = {-7 * 0.905 ** 30:.8f}   y = 2 * (-0.9)^30 = {2 * 0.9 ** 30:.8f}")
x, y = w.detach().numpy()
print(f"SGD           x = {x:.8f}                    y = {y:.8f}")

# Conjugate directions with an exact line search end a quadratic of n dimensions in n steps: here two.
v = Parameter(np.array(bowl.start))
optimizer = classical.ConjugateGradient([v], search="exact")
for step in (1, 2):
    optimizer.step(lambda: bowl(v[0], v[1]))  # a function of the parameters: the optimizer asks for what it needs
    print(f"conjugate gradients, step {step}: {v.detach().numpy().round(12) + 0}")

if len(sys.argv) > 1:
    print("wrote", *theatre.write(runs, sys.argv[1]))
