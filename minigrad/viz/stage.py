"""The optimizer theatre as a page: a race over a function of two variables, to be walked step by step.

    stage.page("theatre.html", "rosenbrock", ["momentum", "adam:0.02", "newton", "lbfgs"])

Nothing is recorded. The page runs minigrad's own formulas, their text put into JavaScript by javascript.py, so every
start, rate and number of steps can be tried in it; derivatives come from the function's own expression as well, on
numbers that carry them along. What is no formula for each weight (Newton's method, L-BFGS, Barzilai-Borwein, line
searches) is written twice, here in pages/stage.js; tests hold all paths equal to those of `theatre.descend`.
"""

from __future__ import annotations

import inspect
import math
import os
import textwrap
from collections.abc import Iterable, Sequence
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from urllib.parse import urlencode

import numpy as np

from .. import optim
from ..optim import Optimizer, classical, second_order
from ..race import RATES, optimizers
from ..tensor import Parameter
from . import javascript
from . import page as pages
from .functions import FUNCTIONS, Function, by_name
from .javascript import Untranslatable
from .theatre import APART, AS_TAUGHT, FAR, _has_rate, _kind, _rate

__all__ = ["DEFAULT", "code", "page", "refused"]

DEFAULT = ("sgd", "momentum", "adagrad", "adam", "newton", "lbfgs")
STEPS = 2000  # at most in one race
TWINS = {  # written again in pages/stage.js -> what of them the page shows
    optim.Newton: (optim.Newton._exact,), optim.LBFGS: (optim.LBFGS.direction, second_order.two_loops),
    classical.SteepestDescent: (classical.SteepestDescent.direction, classical.armijo),
    classical.ConjugateGradient: (classical.ConjugateGradient.direction,),
    classical.BarzilaiBorwein: (classical.BarzilaiBorwein.step,)}
SHELL = {optim.NAG}  # a step of their own that by default is the shell's
VELOCITIES = {optim.Momentum: ("v", 1), optim.NAG: ("v", 1), optim.SGD: ("v", -1), optim.SGDW: ("v", -1),
              optim.RMSprop: ("buf", -1), optim.PID: ("i", -1), optim.AdEMAMix: ("m1", -1)}  # 1: it is itself the step
SQUARES = {"v", "h", "s", "u", "n", "v_max"}  # slots that are averages, sums or maxima of squares, or of sizes
OTHERS = {optim.AccSGD: "v", optim.Adan: "v", optim.AdaMod: "s", optim.MADGRAD: "s", optim.Rprop: "s"}  # that are not


def page(path: str | os.PathLike[str], function: str | Function = "bowl", optimizers: Sequence[str] = DEFAULT,
         language: str = "en", *, start: tuple[float, float] | None = None, steps: int | None = None) -> Path:
    """Write the theatre as one file, and return its path. What is named here is the race that it begins with.

    function: a name, or a `Function` of yours, whose f is a def with one expression. optimizers: up to 28 names, or
    name:rate; a rate that is not given is the function's, or what `theatre.tuned` would find. start: (x, y). steps: up
    to 2000. language: "en" or "ko".
    Raises ValueError for what is unknown or has no translation (`refused` says why), TypeError for what is no name.
    """
    if not isinstance(function, (str, Function)):
        raise TypeError(f"function must be a name or a Function, got {function!r:.80}")
    given = function if isinstance(function, Function) else by_name(function)
    begin = {"function": given.name, "race": ",".join(_racers(optimizers))}
    if start is not None:
        point = tuple(start) if isinstance(start, Iterable) else ()
        if len(point) != 2 or not all(isinstance(v, Real) and abs(v) < FAR for v in point):
            raise ValueError(f"start must be two numbers below {FAR:g} in size, got {start!r:.80}")
        begin["start"] = ",".join(repr(float(v)) for v in point)
    if steps is not None:
        if not isinstance(steps, Integral) or isinstance(steps, bool) or not 1 <= steps <= STEPS:
            raise ValueError(f"steps must be a whole number from 1 to {STEPS}, got {steps!r:.80}")
        begin["steps"] = int(steps)
    return pages.write(path, "stage", {"begin": urlencode(begin, safe=",:")}, "minigrad: Optimizer theatre", language,
                       script=code((*FUNCTIONS.values(), given)))


def _racers(optimizers):
    names = [optimizers] if isinstance(optimizers, str) else list(optimizers or ())
    if not names:
        raise ValueError("theatre: no optimizer was named")
    if len(names) > APART:
        raise ValueError(f"theatre: {len(names)} optimizers were named, but a page tells at most {APART} apart")
    return map(_racer, names)


def _racer(text):
    if not isinstance(text, str):
        raise TypeError(f"an optimizer is named as name or name:rate, got {text!r:.80}")
    name, _, rate = text.partition(":")
    kind = _kind(name)
    if kind.__name__ in refused():
        raise ValueError(f"{kind.__name__} cannot run in a page: {refused()[kind.__name__]}; theatre.race draws it")
    if rate and not _has_rate(kind):
        raise ValueError(f"{text}: {kind.__name__} finds its steps itself, it has no rate to set")
    if rate and not 0 < _rate(name, rate) < math.inf:
        raise ValueError(f"{text}: the rate must be positive")
    return f"{kind.__name__}:{_rate(name, rate)!r}" if rate else kind.__name__


# ---- the JavaScript of a page ----
def code(functions: Sequence[Function] = tuple(FUNCTIONS.values())) -> str:
    """FUNCTIONS, OPTIMIZERS, RATES and what they need, as JavaScript: numbers with all their digits."""
    known = {f.name: f for f in functions}
    return "\n".join(['"use strict";', javascript.HELPERS, f"const RATES = {javascript.literal(RATES)};",
                      f"const FAR = {FAR}, LOOKS = {APART}, MOST_STEPS = {STEPS};",
                      _object("FUNCTIONS", {name: _function(f) for name, f in known.items()}),
                      _object("OPTIMIZERS", _translated()[0])])


def refused() -> dict[str, str]:
    """Of the optimizers that need only a loss, those that a page cannot run, and why."""
    return dict(_translated()[1])


def _object(name, entries):
    return "\n".join([f"const {name} = {{", *(f"{javascript.literal(k)}: {v}," for k, v in entries.items()), "};"])


def _fields(plain, code):
    parts = [f"{k}: {javascript.literal(v)}" for k, v in plain.items()] + [f"{k}: {v}" for k, v in code.items()]
    return "{" + ",\n  ".join(parts) + "}"


def _function(f):
    return _fields({"name": f.name, "formula": f.formula, "why": f.why, "minima": f.minima, "lowest": float(f.lowest),
                    "start": f.start, "window": f.window, "steps": f.steps, "log": f.log, "settings": f.settings},
                   {"value": javascript.expression(f.f), "jet": javascript.expression(f.f, jets=True)})


@cache
def _translated():
    """({name: JavaScript}, {name: why there is none}), in the order in which the page lists them."""
    there, absent = {}, {}
    for kind in sorted(optimizers().values(), key=_place):
        try:
            there[kind.__name__] = _twin(kind) if kind in TWINS else _elementwise(kind)
        except Untranslatable as why:
            absent[kind.__name__] = str(why)
    return there, absent


FAMILIES = ("momentum", "adaptive", "adam", "adam_variants", "sign", "stepfree", "second_order", "classical")


def _family(kind):
    return kind.__module__.rpartition(".")[2]


def _place(kind):
    family = _family(kind)
    return FAMILIES.index(family) if family in FAMILIES else len(FAMILIES), kind.__name__.lower()


def _elementwise(kind):
    if not kind.elementwise:
        raise Untranslatable("its formula takes a whole tensor, not each weight by itself")
    own = [name for name in ("step", "_update", "shared") if getattr(kind, name) is not getattr(Optimizer, name)]
    if own and kind not in SHELL:
        raise Untranslatable(f"it does more than its formula: it has a {own[0]} of its own")
    optimizer = _made(kind)
    group = optimizer.param_groups[0]
    unused = optimizer.unused(group)
    slots = [s for s in kind.slots if s not in unused]
    momentum = VELOCITIES.get(kind, ("m", -1))
    parts = {"update": javascript.loop(kind.update, ("w", "g", *slots), ("w", *kind.slots))}
    texts = [kind.update]
    if kind.numbers is not Optimizer.numbers:
        parts["numbers"] = javascript.function(kind.numbers)
        texts.append(kind.numbers)
    if kind.init_slot is not Optimizer.init_slot:
        parts["first"] = javascript.function(kind.init_slot)
    return _fields({**_about(kind, group, texts), "slots": kind.slots, "unused": unused,
                    "scalars": optimizer._scalars, "decays": optimizer._decays(group),
                    "momentum": momentum if momentum[0] in slots else None,
                    "squares": [s for s in slots if s in SQUARES - {momentum[0], OTHERS.get(kind)}]},
                   parts)


def _twin(kind):
    return _fields({**_about(kind, _made(kind).param_groups[0], TWINS[kind]), "slots": [], "twin": True}, {})


def _made(kind, **settings):
    needs = [k for k, p in inspect.signature(kind).parameters.items()
             if k != "params" and p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    if needs:
        raise Untranslatable(f"it needs {', '.join(needs)}")
    try:
        return kind([Parameter(np.ones(2))], **AS_TAUGHT.get(kind, {}), **settings)
    except ValueError as why:
        raise Untranslatable(str(why)) from why


def _about(kind, group, texts):
    """What the page says of an optimizer, and its hyper-parameters; ``follows`` names those that start as lr."""
    group = {k: v for k, v in group.items() if k not in ("params", "maximize")}
    follows = []
    if "lr" in group:
        other = _made(kind, lr=0.0123).param_groups[0]
        follows = [k for k, v in group.items() if k != "lr" and v == group["lr"] and other.get(k) == 0.0123]
    return {"name": kind.__name__, "family": _family(kind), "about": _first_line(kind), "text": _source(texts),
            "group": group, "rate": _has_rate(kind), "follows": follows}


def _first_line(kind):
    return (inspect.getdoc(kind) or "").partition("\n\n")[0].replace("\n", " ")


def _source(functions):
    return "\n".join(textwrap.dedent(inspect.getsource(f)).replace("@staticmethod\n", "").rstrip() + "\n"
                     for f in functions).rstrip()
