"""A backward pass with one thing wrong: what it computes, where central differences find it, and whether it learns.

Reads: minigrad/viz/walk.py and minigrad/viz/broken.py.
"""

import sys

import numpy as np

from minigrad import Tensor, viz
from minigrad.viz import broken

x = Tensor(np.float64(1.5), requires_grad=True)
a = x * x
y = np.sin(a) * x
print(viz.explain(y).text(80))  # every step forward and back, with the numbers put in

print("\n\nThe same kind of table of a walk that says = where += is meant:\n")
print(broken.by_key("overwrite").explain().text(80))

print("\n\nMost faults still learn XOR, which is why they are found late:\n")
print(broken.table(seeds=3))

if len(sys.argv) > 1:  # a page of all six, wrong beside right, to be played step by step
    print("\nwrote", broken.gallery(sys.argv[1]))
