"""Random programs: the rules of the table in the company of each other, 1,000 of them right to second order.

A program is the source of a Python function, a line a step: what fails can be read, and run. Some steps are written
here (broadcasting, reductions, shapes, indexing, products), the others are ops at one of their samples
(tests/samples) with the inputs replaced by earlier values of the program, squashed to where the op is smooth.
"""

from __future__ import annotations

import math

import nightly
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from references.ours import everything
from references.twins import spelled
from samples import call, calls
from samples.core import complex_normal, inside, nonzero, normal, positive

from minigrad import Tensor
from minigrad import functional as F
from minigrad.functional import relu, sigmoid, softmax
from minigrad.graph import table
from minigrad.testing import GradientError, gradcheck

PARTS, EACH = 25, 24  # 600 programs, a third of them a day
LARGEST = 48  # numbers in a value
STEPS = [
    "np.sin({a})", "np.tanh({a})", "np.exp(-{a} * {a})", "np.arctan({a})", "np.square({a})", "sigmoid({a})", "-{a}",
    "1 / (1 + {a} ** 2)", "np.sqrt(1 + {a} * {a})", "np.log1p({a} ** 2)", "np.cos(2 * {a})", "np.sinh(np.tanh({a}))",
    "{a} + {b}", "{a} * {b}", "{a} - {b}", "{a} / (1.5 + np.square({b}))", "np.hypot({a}, 1 + {b} * {b})",
    "np.logaddexp({a}, {b})", "np.arctan2({a}, 2 + np.tanh({b}))", "(1.5 + np.tanh({a})) ** np.sin({b})",
    "{a}.sum(axis={i})", "{a}.mean(axis={i}, keepdims=True)", "np.var({a}, axis={i}, keepdims=True)",
    "np.prod(1 + np.sin({a}) / 2, axis={i})", "logsumexp({a}, axis={i})", "softmax({a}, axis={i})", "{a}.sum()",
    "np.cumsum({a}, axis={i})", "np.einsum('...i,...i->...', {a}, {a})", "{a}[..., 0] * {a}[..., -1]",
    "np.reshape({a}, -1)", "{a}.T", "np.swapaxes({a}, 0, {i})", "{a}[None]", "{a}[..., None]", "np.flip({a}, {i})",
    "np.concatenate([{a}, {a} * {a}], axis={i})", "np.stack([{a}, np.sin({a})], axis={i})", "{a}[::-1]",
    "{a}[[0, 0, -1]]", "{a}[0]", "np.broadcast_to({a}, (2,) + {a}.shape)", "np.repeat({a}, 2, axis={i})",
    "np.roll({a}, 1, axis={i})", "np.reshape({a}, -1)[np.arange({n}) % 3 == 0]", "np.matmul({a}, {c})",
]
KINKED = [  # and what must not be near 0; s is a slope over all elements, for copies of a number are ties
    ("np.abs({a} - 0.1)", "{a} - 0.1"), ("relu({a} + 0.1)", "{a} + 0.1"),
    ("np.maximum({a}, {b} + 0.3)", "{a} - {b} - 0.3"), ("np.minimum({a}, {b} - 0.3)", "{a} - {b} + 0.3"),
    ("np.where({a} > {b} + 0.2, {a}, {b} * {b})", "{a} - {b} - 0.2"),
    ("np.clip({a}, -0.5, 0.7)", "np.stack([{a} + 0.5, {a} - 0.7])"),
    ("np.max({a} + {s}, axis={i})", "np.diff(np.sort({a} + {s}, axis={i}), axis={i})"),
    ("np.min({a} - {s}, axis={i}, keepdims=True)", "np.diff(np.sort({a} - {s}, axis={i}), axis={i})"),
    ("np.sort({a} + {s}, axis={i})", "np.diff(np.sort({a} + {s}, axis={i}), axis={i})"),
]
SINGULAR = "np.linalg.", "np.corrcoef"  # where numbers of the program are equal, so it stays near the sample
NAMES = {"np": np, "call": call, "relu": relu, "sigmoid": sigmoid, "softmax": softmax, "logsumexp": F.logsumexp,
         **{spelled(k).replace("[", "_").rstrip("]"): k for k in everything if not spelled(k).startswith("np.")}}


def usable(sample):
    inputs = sample.inputs()
    return any(x.dtype.kind in "fc" for x in inputs) and all(0 < x.size <= LARGEST for x in inputs)


usables = {spelled(key): [s for s in found if usable(s)] for key, found in everything.items()}
usables = {name: usables[name] for name in sorted(usables) if usables[name]}


class Program:
    """Lines of source, the values of what they name, and how many draws were thrown away near a kink."""

    def __init__(self, draw, part):
        self.lines, self.names, self.values, self.used, self.rejected = [], dict(NAMES), {}, set(), 0
        self.pick = lambda options: draw(st.sampled_from(options))
        self.generator = np.random.default_rng(draw(st.integers(0, 2**32)))
        for name in "xyz"[:self.pick((1, 2, 2, 3))]:
            shape = self.pick(((), (3,), (4,), (2, 3), (2, 1), (3, 3), (1, 4), (2, 1, 3)))
            self.values[name] = self.generator.uniform(-1.5, 1.5, shape)
        self.inputs = list(self.values)
        share = list(usables)[part::PARTS]
        for _ in range(draw(st.integers(3, 12))):
            kind = self.pick(("step", "step", "of share", "of share", "of share", "of all", "kink"))
            if kind == "step":
                self.step(self.pick(STEPS))
            elif kind == "kink":
                self.step(*self.pick(KINKED))
            else:
                self.sampled(self.pick(share if kind == "of share" else list(usables)))

    # ---- steps ----
    def operand(self, fits=lambda v: True):
        """The name of an earlier value, more often a late one."""
        names = [name for name, v in self.values.items() if v.dtype.kind == "f" and fits(v)]
        return self.pick(names[-4:] if self.pick((True, False)) else names) if names else None

    def evaluate(self, text):
        names = {**self.names, **{k: Tensor(v) for k, v in self.values.items()}}
        return eval(text, names)

    def step(self, text, away_from_zero=None):
        of_axes = any(s in text for s in ("{i}", "{c}", "[", "..."))
        a = self.operand(lambda v: v.size <= LARGEST and (v.ndim or not of_axes))
        if a is None:
            return
        x = self.values[a]
        names = {"a": a, "i": self.pick(range(-x.ndim, x.ndim)) if x.ndim else 0, "n": x.size,
                 "s": f"np.linspace(-1, 1, {x.size}).reshape({x.shape})"}

        def broadcasts(v):
            try:
                return math.prod(np.broadcast_shapes(x.shape, v.shape)) <= LARGEST
            except ValueError:
                return False
        if "{b}" in text:
            names["b"] = self.operand(broadcasts)
        if "{c}" in text:
            mates = [n for n, v in self.values.items() if v.dtype.kind == "f" and v.ndim
                     and v.shape[max(v.ndim - 2, 0)] == x.shape[-1] and (v.ndim < 3 or x.ndim < 3)]
            names["c"] = self.pick([*mates, f"{a}.mT" if x.ndim > 1 else a])
        if away_from_zero and np.abs(np.asarray(self.evaluate(away_from_zero.format(**names)))).min(initial=1) < 1e-3:
            self.rejected += 1
        else:
            self.append(text.format(**names))

    def sampled(self, name):
        """An op at a sample, with earlier values for its inputs."""
        sample = self.pick(usables[name])
        inputs = [self.squashed(d, x, name.startswith(SINGULAR)) for d, x in zip(sample.draws, sample.inputs())]
        if name == "x[index]":
            text = f"({inputs[0]})[{self.constant(sample.static['index'])}]"
        else:
            head = f"call({self.spell(name)}, " if sample.key in calls else f"{self.spell(name)}("
            statics = [f"{k}={self.constant(v)}" for k, v in sample.static.items()]
            text = f"{head}{', '.join([*inputs, *statics])})"
        self.append(text, name)

    def spell(self, name):
        return name.replace("[", "_").rstrip("]")

    def squashed(self, drawn, x, near=False):
        """An expression of x's shape and kind in the program's values, where the op is as smooth as it is at x."""
        if x.dtype.kind not in "fc":
            return self.constant(x)
        by = drawn[0] if isinstance(drawn, tuple) and drawn and callable(drawn[0]) else normal
        by = None if isinstance(drawn, np.ndarray) or near else by
        v = f"np.tanh({self.fitted(x.shape)})"
        if by is complex_normal:
            return f"({v} + 1j * np.sin({self.fitted(x.shape)}))"
        if by in (normal, inside, positive):
            return {normal: f"1.5 * {v}", inside: f"0.8 * {v}", positive: f"np.exp(0.6 * {v})"}[by]
        c = self.constant(x)
        return f"{c} * np.exp(0.5 * {v})" if by is nonzero else f"({c} + 0.05 * {v})"

    def fitted(self, shape):
        name = self.operand()
        x, n = self.values[name], math.prod(shape)
        if x.shape == shape:
            return name
        if x.size == n:
            return f"np.reshape({name}, {shape})"
        if x.ndim <= len(shape) and all(m in (1, k) for m, k in zip(x.shape[::-1], shape[::-1])):
            return f"np.broadcast_to({name}, {shape})"
        return f"np.reshape(np.reshape({name}, -1)[np.arange({n}) % {x.size}], {shape})"

    def constant(self, value):
        """Short ones as they are, others by a name."""
        parts = value if isinstance(value, tuple) else (value,)
        if all(type(v) in (int, float, bool, str, type(None), slice, type(...)) for v in parts):
            return "..." if value is ... else repr(value).replace("Ellipsis", "...").replace("inf", "np.inf")
        name = f"C{len(self.names) - len(NAMES)}"
        self.names[name] = value
        return name

    def append(self, text, op=None):
        with np.errstate(all="ignore"):  # the logarithm of 0 + 0j: what is not finite is thrown away below
            y = self.evaluate(text)
        if isinstance(y, (tuple, list)):
            i = self.pick([i for i, part in enumerate(y) if isinstance(part, Tensor) and part.size] or [None])
            if i is None:
                return
            y, text = y[i], f"{text}[{i}]"
        if not isinstance(y, Tensor) or not 0 < y.size <= 2 * LARGEST:
            return
        if not np.isfinite(y.data).all():
            self.rejected += 1
            return
        self.used.add(op)
        if y.dtype.kind == "c":
            self.line(text, y.data)
            return self.append("np.real({0}) + np.imag({0})".format(list(self.values)[-1]), op)
        size = np.abs(y.data).max()
        if size > 5:
            scale = 10 ** math.ceil(math.log10(size))
            y, text = y / scale, f"({text}) / {scale}"
        self.line(text, y.data)

    def line(self, text, value):
        name = f"v{len(self.lines)}"
        self.lines.append(f"    {name} = {text}")
        self.values[name] = value

    # ---- the whole ----
    def source(self):
        body = "\n".join(self.lines)
        ends = [name for name in self.values if not any(_mentions(line, name) for line in self.lines)
                and name not in self.inputs]
        return f"def program({', '.join(self.inputs)}):\n{body}\n    return [{', '.join(ends)}]"

    def function(self):
        names = dict(self.names)
        exec(self.source(), names)
        return lambda *xs: [np.real(y) for y in names["program"](*xs)]

    def check(self):
        gradcheck(self.function(), *(self.values[name] for name in self.inputs))

    def __repr__(self):
        """The source, and with what it is called."""
        constants = {k: v for k, v in self.names.items() if k not in NAMES}
        constants |= {k: self.values[k] for k in self.inputs}
        return "\n".join(["", *(f"{k} = {v!r}" for k, v in constants.items()), self.source()])


def _mentions(line, name):
    text = line.split(" = ", 1)[1]
    return any(part == name for part in "".join(c if c.isalnum() or c == "_" else " " for c in text).split())


def campaign(part, examples, phases=tuple(Phase)):
    """Check so many programs, those of one part; give (ops of its share that were used, its share, rejected, steps)."""
    used, count = set(), [0, 0]

    @settings(max_examples=examples, phases=phases, derandomize=False, database=None, deadline=None,
              report_multiple_bugs=False, suppress_health_check=list(HealthCheck))
    @seed(part)
    @given(st.data())
    def run(data):
        program = Program(data.draw, part)
        if program.lines:
            try:
                program.check()
            except Exception as error:
                if "which is arbitrary" in str(error):  # the phase of eigenvectors, of which a program may make use
                    count[0] += len(program.lines)
                    return
                raise type(error)(f"{error}\nin the program{program!r}") from None
        used.update(program.used)
        count[0] += program.rejected
        count[1] += len(program.lines)
    run()
    return used, set(list(usables)[part::PARTS]), *count


@pytest.mark.parametrize("part", nightly.part(range(PARTS), 3))
def test_programs(part):
    """Each part looks after its share of the table, and borrows from all of it."""
    used, share, rejected, steps = campaign(part, EACH * max(1, settings.default.max_examples // 40))
    assert len(used & share) >= 0.6 * len(share), f"not used: {share - used}"
    assert rejected < 0.05 * steps


def test_all_of_the_table_is_in_the_programs():
    assert len(usables) >= 0.95 * len(everything)


# ---- would they notice? ----
def by_a_thousandth(rules, i):
    return tuple((lambda g, y, *xs, rule=rule, **how: 1.001 * rule(g, y, *xs, **how)) if j == i else rule
                 for j, rule in enumerate(rules))


def at_second_order_only(rules, i):
    """The value of the gradient is right, but its graph is cut at y."""
    return tuple((lambda g, y, *xs, rule=rule, **how: rule(g, getattr(y, "data", y) if hasattr(y, "node") else y,
                                                           *xs, **how)) if j == i else rule
                 for j, rule in enumerate(rules))


@pytest.mark.parametrize(("key", "i", "spoiled"), [
    (np.multiply, 1, by_a_thousandth), (np.matmul, 0, by_a_thousandth), (np.sum, 0, by_a_thousandth),
    (np.linalg.inv, 0, by_a_thousandth), (np.cumsum, 0, by_a_thousandth), (np.hypot, 0, by_a_thousandth),
    (np.tanh, 0, at_second_order_only), (np.linalg.inv, 0, at_second_order_only),
], ids=lambda p: getattr(p, "__name__", p))
def test_a_spoiled_rule_is_found(key, i, spoiled, monkeypatch):
    part = list(usables).index(spelled(key)) % PARTS
    monkeypatch.setattr(table[key], "rules", spoiled(table[key].rules, i))
    with pytest.raises(GradientError, match="in the program"), np.errstate(invalid="ignore"):
        campaign(part, 5 * EACH, phases=[Phase.generate])
