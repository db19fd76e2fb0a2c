"""Functions of two variables that optimizers are shown on, each with what makes it hard.

A function is called with x and y, arrays or Tensors alike: gradients are autodiff's.

    rosenbrock = functions.by_name("rosenbrock")
    value, (dx, dy) = rosenbrock.value_and_grad(rosenbrock.start)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..naming import unknown
from ..tensor import Tensor

__all__ = ["FUNCTIONS", "Function", "by_name"]


@dataclass(frozen=True)
class Function:
    """A function of two variables: its formula, its minima, where to start, what to show, and rates that suit it.

    minima: all global ones, with the value ``lowest`` there; none if it has no lower bound. settings: constructor
    arguments for optimizers, by lower-case name; `theatre.tuned` finds a rate for the others.
    """

    name: str
    formula: str
    why: str
    f: Callable
    minima: tuple[tuple[float, float], ...]
    lowest: float
    start: tuple[float, float]
    window: tuple[tuple[float, float], tuple[float, float]]
    steps: int = 100
    log: bool = False  # contours at levels that grow by a factor
    settings: dict[str, dict] = field(default_factory=dict)

    def __call__(self, x, y):
        return self.f(x, y)

    def value_and_grad(self, point) -> tuple[float, np.ndarray]:
        """The value and the gradient at a point."""
        w = Tensor(np.asarray(point, np.float64), requires_grad=True)
        value = self(w[0], w[1])
        value.backward()
        return value.item(), w.grad.numpy()


def _bowl(x, y): return x ** 2 / 20 + y ** 2


def _saddle(x, y): return x ** 2 - y ** 2


def _monkey_saddle(x, y): return x ** 3 - 3 * x * y ** 2


def _plateau(x, y): return 1 - np.exp(-(x ** 2 + y ** 2) / 2)


def _rosenbrock(x, y): return (1 - x) ** 2 + 100 * (y - x ** 2) ** 2


def _beale(x, y): return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y ** 2) ** 2 + (2.625 - x + x * y ** 3) ** 2


def _himmelblau(x, y): return (x ** 2 + y - 11) ** 2 + (x + y ** 2 - 7) ** 2


def _rastrigin(x, y):
    return 20 + x ** 2 - 10 * np.cos(2 * math.pi * x) + y ** 2 - 10 * np.cos(2 * math.pi * y)


def _double_well(x, y): return (x ** 2 - 1) ** 2 + 0.3 * x + y ** 2


def _ill_conditioned(x, y): return (x ** 2 + 100 * y ** 2) / 2


_HIMMELBLAU = ((3.0, 2.0), (-2.805118086952745, 3.131312518250573), (-3.779310253377747, -3.283185991286170),
               (3.584428340330492, -1.848126526964404))
_LEFT = -1.0355787140888537  # the leftmost root of 4 x^3 - 4 x + 0.3, the derivative of the double well
_BOOK = {  # the rates of the book that the bowl is from (Saito 2016), and of what came after it
    "gd": {"lr": 0.95}, "sgd": {"lr": 0.95}, "momentum": {"lr": 0.1}, "nag": {"lr": 0.1},
    "adagrad": {"lr": 1.5, "eps": 1e-7}, "rmsprop": {"lr": 0.1, "eps": 1e-7}, "adadelta": {"lr": 1.0, "rho": 0.95},
    "adam": {"lr": 0.3}, "adamw": {"lr": 0.3}, "amsgrad": {"lr": 0.3}, "nadam": {"lr": 0.3}, "radam": {"lr": 0.3},
    "adamax": {"lr": 0.3}, "rprop": {"lr": 0.1}}
_ALL = (
    Function("bowl", "x²/20 + y²", "twenty times steeper across than along: gradient descent zigzags",
             _bowl, ((0.0, 0.0),), 0.0, (-7.0, 2.0), ((-8, 8), (-4, 4)), 30, settings=_BOOK),
    Function("saddle", "x² − y²", "downhill only sideways: from y = 0 no gradient leads away",
             _saddle, (), -math.inf, (-1.5, 1e-3), ((-2, 2), (-1, 2)), 60),
    Function("monkey-saddle", "x³ − 3xy²", "its curvature at the saddle is zero: even Newton's method is slow",
             _monkey_saddle, (), -math.inf, (1.2, 0.02), ((-1.5, 1.5), (-0.75, 1.5)), 60),
    Function("plateau", "1 − exp(−(x² + y²)/2)", "almost flat outside: gradient descent needs a huge rate to move",
             _plateau, ((0.0, 0.0),), 0.0, (-3.5, 1.8), ((-5, 5), (-3.5, 3.5)), 100),
    Function("rosenbrock", "(1 − x)² + 100 (y − x²)²", "a bent valley: easy to find, slow to follow",
             _rosenbrock, ((1.0, 1.0),), 0.0, (-1.2, 1.0), ((-2, 2), (-1, 3)), 300, log=True),
    Function("beale", "(1.5 − x + xy)² + (2.25 − x + xy²)² + (2.625 − x + xy³)²", "flat valleys, steep corners",
             _beale, ((3.0, 0.5),), 0.0, (1.0, 1.5), ((-1, 4.5), (-2, 2.5)), 200, log=True),
    Function("himmelblau", "(x² + y − 11)² + (x + y² − 7)²", "four minima, all of them zero: the path decides which",
             _himmelblau, _HIMMELBLAU, 0.0, (0.0, -0.5), ((-5, 5), (-5, 5)), 60, log=True),
    Function("rastrigin", "20 + x² − 10 cos 2πx + y² − 10 cos 2πy", "a minimum near every whole number, the best at 0",
             _rastrigin, ((0.0, 0.0),), 0.0, (-2.7, 1.8), ((-3.6, 0.8), (-0.8, 2.8)), 100),
    Function("double-well", "(x² − 1)² + 0.3x + y²", "the nearer well is the shallower: speed carries over the hill",
             _double_well, ((_LEFT, 0.0),), float(_double_well(_LEFT, 0.0)), (1.8, 1.0), ((-2, 2), (-1.5, 1.5)), 60),
    Function("ill-conditioned", "(x² + 100y²)/2", "condition 100, and the start where steepest descent zigzags most",
             _ill_conditioned, ((0.0, 0.0),), 0.0, (-10.0, 0.1), ((-11, 3), (-0.25, 0.25)), 100, log=True,
             settings={"gd": {"lr": 0.019}, "sgd": {"lr": 0.019}}))
FUNCTIONS = {function.name: function for function in _ALL}


def by_name(name: str) -> Function:
    """The function of this name, with hyphens, underscores or spaces; ValueError lists what there is."""
    key = name.lower().replace("_", "-").replace(" ", "-")
    if key not in FUNCTIONS:
        raise ValueError(unknown("function", name, FUNCTIONS, f"there are {', '.join(FUNCTIONS)}"))
    return FUNCTIONS[key]
