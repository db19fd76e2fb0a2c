"""Ten networks asked together: is the committee better than its members, and what does it cost?

    python examples/11_ensemble.py                a table, in half a minute
    python examples/11_ensemble.py sizes.png      and a picture (by matplotlib: the extra plot)
    python examples/11_ensemble.py --quick        few networks and epochs: it runs, and says nothing

Reads: minigrad/ensemble.py.
"""
import sys

import numpy as np

import minigrad as mg
from minigrad import data, models, optim, train
from minigrad.ensemble import Ensemble, Snapshots, cyclic_cosine

quick, paths = "--quick" in sys.argv, [a for a in sys.argv[1:] if a.endswith(".png")]
repeats, size, epochs, known = (2, 3, 2, 300) if quick else (5, 10, 20, 300)
x, y = (np.concatenate([getattr(data.digits(part), which) for part in (True, False)]) for which in "xy")


def trained(digits, epochs, seed, cycles=1, callbacks=()):
    """A network, its learning rate falling to 0 along a cosine, ``cycles`` times."""
    mg.manual_seed(seed)
    model = models.mlp(64, hidden=(64,))
    optimizer = optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    train.fit(model, digits, optimizer, epochs=epochs, batch_size=32, schedule=cyclic_cosine(cycles),
              progress=False, callbacks=callbacks)
    return model


scores = {name: [] for name in ("probabilities", "logits", "vote", "snapshots", "one network, as long as all")}
for repeat in range(repeats):  # everything again, on other digits
    order = np.random.default_rng(repeat).permutation(len(x))
    old, new = ((x[rows], y[rows]) for rows in np.split(order, [known]))
    members = [trained(old, epochs, size * repeat + i) for i in range(size)]
    for average in ("probabilities", "logits", "vote"):
        scores[average].append(Ensemble(members, average).score(new, subsets=40))
    snapshots = Snapshots(epochs)  # one training as long as those of all members, kept at the end of each cycle
    model = trained(old, epochs * size, 1000 + repeat, size, [snapshots])
    scores["snapshots"].append(snapshots.ensemble(model).score(new))
    scores["one network, as long as all"].append(Ensemble([trained(old, epochs * size, 2000 + repeat)]).score(new))

singles = 100 * np.array([score.members for score in scores["probabilities"]])  # (repeats, size)
print(f"{known} digits to train on, {len(x) - known:,} to test; {size} networks, {repeats} times: mean accuracy in %, "
      f"points gained\nover the mean member, with their standard error\n\n"
      f"{'the mean member':<40}{singles.mean():.2f}\n"
      f"{'the best member, known only afterwards':<40}{singles.max(axis=1).mean():.2f}")
for name, found in scores.items():
    accuracy = 100 * np.array([score.accuracy for score in found])
    gain = accuracy - singles.mean(axis=1)
    name = f"{size} networks, mean of the {name}" if name in ("probabilities", "logits") else {
        "vote": f"{size} networks, vote", "snapshots": f"{size} snapshots of one training"}.get(name, name)
    print(f"{name:<40}{accuracy.mean():.2f}{gain.mean():+8.2f} ± {gain.std(ddof=1) / repeats ** 0.5:.2f}")

for path in paths:
    import pictures
    figure, (left, right) = pictures.panels("Gain over the mean member by networks asked, points", "Accuracy, %")
    for i, (name, label) in enumerate((("probabilities", "independent"), ("snapshots", "snapshots of one training"))):
        gains = 100 * np.array([score.by_size for score in scores[name]]) - singles.mean(axis=1, keepdims=True)
        pictures.curve(left, range(1, size + 1), gains, i, label)
    left.set(xlabel="networks", xticks=range(1, size + 1))
    labels = ("their mean\nprobability", *" ", "", "snapshots", "one, trained\nas long")
    rows = {label: [100 * s.accuracy for s in found] for label, found in zip(labels, scores.values()) if label.strip()}
    pictures.dots(right, {"members": singles.ravel(), **rows}, (2, 0, 1, 3))
    pictures.save(figure, path, legend=left, title=f"Networks 64-64-10, {known} digits; bands: {repeats} repetitions")
