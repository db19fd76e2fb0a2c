"""A residual network that leaves out some of its blocks at random while it learns: what that saves, and what it costs.

    python examples/09_resnet_stochastic_depth.py                a table, in less than a minute
    python examples/09_resnet_stochastic_depth.py errors.png     and a picture (by matplotlib: the extra plot)
    python examples/09_resnet_stochastic_depth.py --quick        one seed, two epochs: it runs, and says nothing

Reads: StochasticDepth in minigrad/nn/dropout.py, functional/regularization.py; for more blocks and maps models.resnet.
"""
import sys
import time

import numpy as np

import minigrad as mg
from minigrad import data, nn, optim, train
from minigrad import functional as F

quick, paths = "--quick" in sys.argv, [a for a in sys.argv[1:] if a.endswith(".png")]
seeds, epochs, every, known, maps, blocks = (1, 2, 1, 100, 4, 4) if quick else (3, 40, 4, 400, 12, 8)
x, y = (np.concatenate([getattr(data.digits(part), which) for part in (True, False)]) for which in "xy")


class Block(nn.Module):
    """relu(x + branch(x)), in training with probability ``survival``, else x. Huang et al. 2016, mode "batch"."""

    def __init__(self, survival):
        self.survival, layers = survival, []
        for _ in range(2):
            layers += [nn.Conv2d(maps, maps, 3, padding=1, bias=False), nn.BatchNorm2d(maps), nn.ReLU()]
        self.branch = nn.Sequential(*layers[:-1])

    def forward(self, x):
        if not self.training:
            return F.relu(x + self.survival * self.branch(x))  # what the branch is worth in the mean
        if mg.random.default_generator().random() < self.survival:
            return F.relu(x + self.branch(x))
        return x  # not computed at all, forward or backward; x >= 0 after the ReLU before


def run(last, seed):
    """Test errors in %, CPU seconds an epoch, and each block's gradient norm where it is there, first epoch's mean."""
    mg.manual_seed(seed)
    survival = [F.survival_probability(block, blocks, last) for block in range(1, blocks + 1)]  # 1 - l/L (1 - last)
    body = [Block(p) for p in survival]
    model = nn.Sequential(nn.Conv2d(1, maps, 3, padding=1), nn.ReLU(), *body, nn.AvgPool2d(2), nn.Flatten(),
                          nn.Dense(16 * maps, 10))
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    schedule = optim.CosineAnnealingLR(optimizer, epochs)
    rng = np.random.default_rng(seed)
    old, new = np.split(rng.permutation(len(x)), [known])
    errors, seconds, norms = [], 0.0, []
    for epoch in range(epochs):
        model.train()
        start = time.process_time()
        for rows in np.split(rng.permutation(old), range(50, known, 50)):
            optimizer.zero_grad()
            F.cross_entropy(model(x[rows]), y[rows]).backward()
            if epoch == 0:
                norms.append([np.sqrt(sum((p.grad.data ** 2).sum() for p in b.parameters() if p.grad is not None))
                              for b in body])
            optimizer.step()
        seconds += (time.process_time() - start) / epochs
        schedule.step()
        if (epoch + 1) % every == 0:
            errors.append(100 - 100 * train.evaluate(model, (x[new], y[new])).accuracy)
    norms = np.array(norms)
    return errors, seconds, norms.sum(axis=0) / np.maximum((norms > 0).sum(axis=0), 1)


print(f"{known} digits to train on, {len(x) - known:,} to test; {blocks} blocks of 2 convolutions, {seeds} seeds\n\n"
      "last block is there   expected blocks   test error, %      CPU s an epoch   gradient, first / last block")
runs = {}
for last in (1.0, 0.5):
    errors, seconds, norms = map(np.array, zip(*(run(last, seed) for seed in range(seeds))))
    runs[last] = errors, norms
    there = sum(F.survival_probability(block, blocks, last) for block in range(1, blocks + 1))
    print(f"{last:>16.0%}{there:>20.2f}{errors[:, -1].mean():>14.2f} ± {errors[:, -1].std(ddof=seeds > 1):.2f}"
          f"{seconds.mean():>16.2f}{norms.mean(axis=0)[0] / norms.mean(axis=0)[-1]:>24.2f}")

for path in paths:
    import pictures
    figure, (left, right) = pictures.panels("Error on new digits, %", "Gradient norm by block, first epoch")
    for i, (last, (errors, norms)) in enumerate(runs.items()):
        pictures.curve(left, range(every, epochs + 1, every), errors, i, f"last block there: {last:.0%}")
        pictures.curve(right, range(1, blocks + 1), norms, i)
    left.set(xlabel="epoch", ylim=(0, 12))
    right.set(xlabel="block", ylim=(0, None), xticks=range(1, blocks + 1))
    pictures.save(figure, path, legend=left, title=f"{blocks} residual blocks, {known} digits, {seeds} seeds")
