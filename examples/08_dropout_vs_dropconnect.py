"""A network too large for 200 digits, trained bare, with Dropout and with DropConnect: what each is worth.

    python examples/08_dropout_vs_dropconnect.py                a table, in half a minute
    python examples/08_dropout_vs_dropconnect.py curves.png     and a picture (by matplotlib: the extra plot)
    python examples/08_dropout_vs_dropconnect.py --quick        two seeds and few epochs: it runs, and says nothing

Reads: minigrad/nn/dropout.py, DropConnect in nn/dense_variants.py, functional/regularization.py.
"""
import sys

import numpy as np

import minigrad as mg
from minigrad import data, nn, optim, train
from minigrad import functional as F

quick, paths = "--quick" in sys.argv, [a for a in sys.argv[1:] if a.endswith(".png")]
seeds, epochs, known, h = (2 if quick else 10), (4 if quick else 60), 200, 128
x, y = (np.concatenate([getattr(data.digits(part), which) for part in (True, False)]) for which in "xy")
kinds = {"none": lambda: [nn.Dense(h, h), nn.ReLU()],
         "Dropout": lambda: [nn.Dense(h, h), nn.ReLU(), nn.Dropout(0.5)],  # drops what a unit says
         "DropConnect": lambda: [nn.DropConnect(h, h, 0.5, activation=F.relu)]}  # drops what it hears, weight by weight
losses, accuracy = {kind: np.empty((seeds, epochs, 2)) for kind in kinds}, {}
for seed in range(seeds):
    order = np.random.default_rng(seed).permutation(len(x))  # for every kind the same digits
    old, new = (x[order[:known]], y[order[:known]]), (x[order[known:]], y[order[known:]])
    for kind, layer in kinds.items():
        mg.manual_seed(seed)
        model = nn.Sequential(nn.Flatten(), nn.Dense(64, h), nn.ReLU(), *layer(), nn.Dense(h, 10))
        optimizer = optim.Adam(model.parameters(), lr=2e-3)
        for epoch in range(epochs):
            train.fit(model, old, optimizer, batch_size=20, progress=False)
            losses[kind][seed, epoch] = [train.evaluate(model, part).loss for part in (old, new)]
        for inference in ("mean", "gaussian") if kind == "DropConnect" else ("",):
            model[3].inference = inference  # with the mean weights, or a draw of what all masks together give
            accuracy.setdefault(f"{kind} {inference}".strip(), []).append(train.evaluate(model, new).accuracy)

print(f"{known} digits to train on, {len(x) - known:,} to test; {seeds} seeds: mean and standard deviation, mean "
      f"gain with its standard error\n\n{'':22}test accuracy       gain in points   better in")
for kind, found in accuracy.items():
    a, gain = 100 * np.array(found), 100 * (np.array(found) - accuracy["none"])
    print(f"{kind:<22}{a.mean():.2f} ± {a.std(ddof=1):.2f} %" + (kind != "none") * (
        f"{gain.mean():+12.2f} ± {gain.std(ddof=1) / seeds ** 0.5:.2f}{(gain > 0).sum():8} of {seeds}"))

for path in paths:
    import pictures
    figure, (left, right) = pictures.panels("Loss on new digits; dashed: on the known", "Accuracy on new digits, %")
    for i, (kind, found) in enumerate(losses.items()):
        pictures.curve(left, range(1, epochs + 1), found[:, :, 1], i, kind)
        pictures.curve(left, range(1, epochs + 1), found[:, :, 0], i, dashed=True)
    left.set(ylim=(0, 0.8), xlabel="epoch")
    pictures.dots(right, {kind.replace(" ", "\n"): 100 * np.array(a) for kind, a in accuracy.items()}, (0, 1, 2, 2))
    pictures.save(figure, path, legend=left, title=f"A network too large for {known} digits, {seeds} seeds")
