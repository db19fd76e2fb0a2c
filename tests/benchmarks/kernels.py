"""The compiled kernels beside their NumPy twins, at the sizes of the MNIST CNN: `python tests/benchmarks/kernels.py`.

Prints the compiled one's time as a share of NumPy's: the median, and the middle half, of so many turns.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from turns import ratio

from minigrad import kernels
from minigrad.kernels import normalize

WINDOW = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1}
POOL = (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)
AXES = {"axes": (0, 2, 3), "eps": 1e-5}


def images(batch, *shape):
    """As the kernels make them: the batch is innermost in memory."""
    rng = np.random.default_rng(sum(shape))
    return np.moveaxis(rng.standard_normal((*shape, batch), np.float32), -1, 0)


def cases(batch):
    """{name: a call}: of the first convolution (1 to 16 channels, 5x5), of the second (16 to 32), and between them."""
    made = {}
    for i, (c, o, size) in enumerate(((1, 16, 28), (16, 32, 12)), 1):
        x, g = images(batch, c, size, size), images(batch, o, size - 4, size - 4)
        w, b = np.ones((o, c, 5, 5), np.float32), np.ones(o, np.float32)
        made |= {f"convolution {i}": lambda x=x, w=w, b=b: kernels.conv(x, w, *WINDOW.values(), bias=b),
                 f"convolution {i}, weight gradient":
                     lambda x=x, g=g, w=w: kernels.conv_weight_grad(x, g, w.shape, *WINDOW.values()),
                 f"convolution {i}, input gradient":
                     lambda x=x, g=g, w=w: kernels.conv_input_grad(g, w, x.shape, *WINDOW.values())}
    del made["convolution 1, input gradient"]  # no training asks for it
    x, w = images(batch, 16, 24, 24), np.ones((1, 16, 1, 1), np.float32)
    y = kernels.max_pool(x, *POOL)
    return {**made, "max pooling": lambda: kernels.max_pool(x, *POOL),
            "max pooling, gradient": lambda: kernels.pool_put(y, x, y, *POOL),
            "batch normalization": lambda: normalize.normalize(x, w, w, **AXES)}


def seconds_of(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--threads", type=int, default=kernels.get_num_threads())
    asked = parser.parse_args()
    kernels.set_num_threads(asked.threads)
    print(f"compiled / NumPy, batch {asked.batch}, {asked.threads} threads")
    for name, call in cases(asked.batch).items():
        seconds = {"compiled": [], "reference": []}
        for _ in range(asked.turns):
            for kind, found in seconds.items():
                time.sleep(0.15)  # BLAS' threads wake, or fall asleep
                with kernels.using(kind):
                    found.append(np.median([seconds_of(call) for _ in range(8)][3:]))
        low, middle, high = ratio(*seconds.values())
        print(f"{name:<32} {middle:.2f} ({low:.2f} to {high:.2f})", flush=True)


if __name__ == "__main__":
    main()
