"""Three optimizers from one start: what they learn, and their ways through the loss's landscape.

    python examples/13_loss_landscape.py            the numbers
    python examples/13_loss_landscape.py pictures   and the pictures in that folder (by matplotlib: the extra plot)

Reads: minigrad/viz/landscape.py and minigrad/viz/boundary.py.
"""

import sys
from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad import data, nn, optim
from minigrad import functional as F
from minigrad.viz import boundary, landscape

x, y = data.moons(200, noise=0.2, seed=0).arrays
OPTIMIZERS = {"momentum": lambda w: optim.SGD(w, lr=0.2, momentum=0.9), "Adam": lambda w: optim.Adam(w, lr=0.02),
              "L-BFGS": lambda w: optim.LBFGS(w, line_search_fn="strong_wolfe", max_iter=1)}
paths, models = [], {}
for name, make in OPTIMIZERS.items():
    mg.manual_seed(1)  # the same start for all
    model = models[name] = nn.Sequential(nn.Dense(2, 16), nn.Tanh(), nn.Dense(16, 16), nn.Tanh(), nn.Dense(16, 2))
    optimizer = make(model.parameters())

    def closure(model=model, optimizer=optimizer):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(mg.Tensor(x)), y)
        loss.backward()
        return loss
    path = landscape.Path(model, name)
    with path.watch(optimizer):  # the weights before the first step, and after each
        for _ in range(30 if name == "L-BFGS" else 100):
            optimizer.step(closure)
    paths.append(path)

# The plane in which the three move most, of all those in the space of the weights. It does not show everything.
plane = landscape.surface(lambda: F.cross_entropy(model(mg.Tensor(x)), y), model, "pca", points=31, paths=paths)
print(f"{len(plane.centre)} weights; two directions hold {sum(plane.explained):.0%} of what the paths vary")
for way in plane.trails:
    print(f"{way.name:>8}  loss {way.true[0]:.3f} -> {way.true[-1]:.4f}, at the nearest point of the plane "
          f"{way.plane[-1]:.4f}; {landscape.share(way.shown)} of the way is in it")

# Between two solutions: is there a hill on the straight line?
line = landscape.interpolate(lambda: F.cross_entropy(model(mg.Tensor(x)), y), model, models["Adam"], models["momentum"],
                             ends=("momentum", "Adam"))
between = line.losses[(line.x >= 0) & (line.x <= 1)]
print(f"from momentum's solution straight to Adam's: at most {np.max(between):.3f}")

if len(sys.argv) > 1:
    folder = Path(sys.argv[1])
    around = landscape.surface(lambda: F.cross_entropy(model(mg.Tensor(x)), y), model)  # random, filter-normalised
    print("wrote", landscape.draw(plane, folder / "paths.png"), landscape.draw(line, folder / "between.png"),
          landscape.draw(around, folder / "around.png"), landscape.relief(around, folder / "relief.png"),
          boundary.draw(models["Adam"], x, y, folder / "boundary.png", title="Two moons, by Adam"))
