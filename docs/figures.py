"""Draw the pictures of the documentation into docs/images: python docs/figures.py (wants minigrad[plot,viz])."""

from pathlib import Path

import numpy as np

from minigrad import Tensor, viz

IMAGES = Path(__file__).parent / "images"


def chain_rule():
    """y = sin(x^2) x after backward, every value keeping its gradient."""
    x = Tensor(np.float64(1.5), requires_grad=True)
    a = x * x
    b = np.sin(a)
    y = b * x
    for t in (a, b, y):
        t.retain_grad()
    y.backward(retain_graph=True)
    picture = viz.draw(y, names={"x": x, "a": a, "b": b, "y": y}, direction="LR", legend=False)
    viz.save(picture, IMAGES / "chain_rule")


if __name__ == "__main__":
    chain_rule()
