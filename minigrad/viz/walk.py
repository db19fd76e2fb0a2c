"""A backward pass that tells everything: what arrives at each node, what its rules make of it, and where that goes.

It walks as `graph.pullback` does, with the same rules, and a test holds both equal to the bit; but it keeps every
message. Each thing that can be done wrong is one short method, which `broken` does wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ..graph import Node, _saved, cast, outputs_first, unbroadcast
from ..tensor import Tensor

__all__ = ["TOLERANCE", "Arrival", "Backward", "Product", "Visit", "check_saved", "differences", "fitted", "jacobian",
           "rule_of", "seed"]

TOLERANCE = 1e-3  # relative: from there on a gradient and its central differences do not agree


@dataclass
class Product:
    """A vector-Jacobian product: the rule of input ``index`` of ``node``, from g to what is sent to that input.

    raw: what the rule gave; sent: the same without what broadcasting had added (summed: over which axes), in x's dtype.
    rule: the function, which a faulty walk may have in place of the table's; `rules.rule_text` tells it.
    """

    node: Node
    index: int
    to: Node
    raw: np.ndarray
    sent: np.ndarray
    summed: tuple[int, ...] = ()
    rule: Callable | None = None


@dataclass
class Arrival:
    """A message at a node: the product it is, or None for the seed and for what was there ``before``."""

    product: Product | None
    value: np.ndarray
    before: bool = False
    lost: bool = False  # it came too late, or was overwritten: a faulty walk does that


@dataclass
class Visit:
    """A node on the way back: what arrived, its sum g, g as a hook changed it, and what is sent on."""

    node: Node
    arrivals: list[Arrival]
    g: np.ndarray
    hooked: bool = False
    products: list[Product] = field(default_factory=list)


class Backward:
    """The chain rule from ``seeds`` ({node: gradient}) on, with every message kept: ``visits``, in their order.

    before: {leaf: the ``.grad`` that it already has}, to which what arrives is added. ``grads`` and all g are as in
    `graph.pullback`: of a complex value, the conjugate of what ``.grad`` holds. Raises RuntimeError as `backward` does
    where values were freed or changed; nothing is freed here, and no ``.grad`` is touched.
    """

    def __init__(self, seeds: Mapping[Node, np.ndarray], before: Mapping[Node, np.ndarray] | None = None):
        self.visits: list[Visit] = []
        self.grads: dict[Node, np.ndarray] = {}
        arrivals: dict[Node, list[Arrival]] = {}
        for node, g in seeds.items():
            self._arrive(arrivals, Arrival(None, np.asarray(g).conj()), node)
        visited = set()
        for node in self.order(seeds):
            if node not in arrivals:
                continue
            visit = self._visit(node, arrivals)
            visited.add(node)
            values = _saved(node)
            for i, (parent, x) in enumerate(zip(node.parents, values[1:])):
                rule = self.rule(node, i)
                if parent is None or not parent.requires_grad or rule is None:
                    continue
                raw = np.asarray(rule(visit.g, *values, **node.static))
                product = Product(node, i, parent, raw, *self.fit(raw, np.asarray(x), node), rule)
                visit.products.append(product)
                arrival = Arrival(product, product.sent, lost=parent in visited)
                if arrival.lost:
                    arrivals[parent].append(arrival)
                else:
                    self._arrive(arrivals, arrival, parent)
        for leaf in sorted((n for n in arrivals if n not in visited), key=lambda n: n.born):
            self._visit(leaf, arrivals, (before or {}).get(leaf))

    def _arrive(self, arrivals, arrival, node):
        there = arrivals.setdefault(node, [])
        old = self.grads.get(node)
        self.grads[node] = arrival.value if old is None else self.add(old, arrival.value)
        if old is not None and self.grads[node] is arrival.value:  # overwritten
            for earlier in there:
                earlier.lost = True
        there.append(arrival)

    def _visit(self, node, arrivals, before=None):
        g = self.grads[node]
        for hook in node.hooks:
            g = hook(g)
        self.grads[node] = g
        if before is not None:  # after the hooks, as backward does
            there = Arrival(None, np.asarray(before).conj(), before=True)
            self.grads[node] = self.add(there.value, g)
            there.lost = self.grads[node] is g
            arrivals[node].insert(0, there)
        visit = Visit(node, arrivals[node], self.grads[node], hooked=bool(node.hooks))
        self.visits.append(visit)
        return visit

    # ---- what can be done wrong ----
    def order(self, roots: Iterable[Node]) -> list[Node]:
        """Every operation after all that use it: then its gradient is complete when its rules run."""
        return outputs_first(roots)

    def rule(self, node: Node, index: int):
        """The rule of the table."""
        return rule_of(node, index)

    def fit(self, raw: np.ndarray, x: np.ndarray, node: Node) -> tuple[np.ndarray, tuple[int, ...]]:
        """(the gradient in x's shape and dtype, the axes that were summed): broadcasting undone."""
        return fitted(raw, x, node)

    def add(self, old: np.ndarray, new: np.ndarray) -> np.ndarray:
        """The gradient of a value that is used more than once is the sum over its uses."""
        return old + new


def rule_of(node: Node, index: int) -> Callable | None:
    """The table's rule for one input of a node."""
    rules = node.op.rules
    return rules[index] if isinstance(rules, tuple) else next(r for i, r in enumerate(rules) if i == index)


def fitted(raw: np.ndarray, x: np.ndarray, node: Node) -> tuple[np.ndarray, tuple[int, ...]]:
    """(what a rule gave for x, in x's shape and dtype; the axes that were summed for it)."""
    summed, d = (), raw
    if d.shape != x.shape:
        if not node.op.broadcasts:
            raise ValueError(f"a rule of {node.op.name} gave shape {d.shape} for an input of shape {x.shape}")
        lead = d.ndim - x.ndim
        summed = (*range(lead), *(lead + i for i, n in enumerate(x.shape) if n == 1 != d.shape[lead + i]))
        d = unbroadcast(d, x.shape)
    return (cast(d, x.dtype) if d.dtype != x.dtype else d), summed


def check_saved(nodes: Iterable[Node], who: str) -> None:
    """Raise RuntimeError where a value that a walk needs was freed by backward, or changed in place."""
    for node in nodes:
        if node.values is None:
            raise RuntimeError(f"{who}: backward has freed the values of this graph. Call {who}(loss) before "
                               "loss.backward(), keep them with loss.backward(retain_graph=True), or compute the "
                               "loss again")
        _saved(node)


def seed(loss: Tensor, gradient, who: str) -> np.ndarray:
    """Where a walk back from ``loss`` begins: gradient, or 1 of a number. ValueError for a wrong shape."""
    if gradient is None:
        if loss.size != 1:
            raise ValueError(f"{who}: a walk from shape {loss.shape} needs gradient=, the gradient of the final "
                             "result with respect to it; or reduce to one number first, with t.sum() or t.mean()")
        return np.ones(loss.shape, loss.dtype)
    g = np.asarray(gradient.data if isinstance(gradient, Tensor) else gradient, loss.dtype)
    if g.shape != loss.shape:
        raise ValueError(f"{who}: gradient has shape {g.shape}, but the Tensor has {loss.shape}")
    return g


def jacobian(node: Node, index: int) -> np.ndarray:
    """The local Jacobian d(y) / d(x) of one input, (y.size, x.size): the rule, asked once for every entry of y."""
    y, *inputs = map(np.asarray, _saved(node))
    rule = rule_of(node, index)
    rows = []
    for k in range(y.size):
        e = np.zeros(y.size, y.dtype)
        e[k] = 1
        d = np.asarray(rule(e.reshape(y.shape), *node.values, **node.static))
        rows.append(fitted(d, inputs[index], node)[0].reshape(-1))
    return np.array(rows).reshape(y.size, inputs[index].size)


# ---- another opinion: central differences through the recorded graph ----
@dataclass
class Difference:
    """What central differences say of d(result) / d(x) at a node.

    direction: None where all entries were moved one by one (``values`` has x's shape), else the unit vector along which
    x was moved as a whole. exact: what backward says of the same. error: the relative error of both, inf where g has
    another shape than x. kink: whether the differences to the left and to the right disagree, so that there is no
    derivative to compare with.
    """

    values: np.ndarray
    exact: np.ndarray
    direction: np.ndarray | None
    error: float
    kink: bool = False


LARGE = 2000  # entries of a result that take as long to compute as to call the operation


class _Replay:
    """The recorded graph computed again in double precision, with the value of one node moved."""

    def __init__(self, seeds):
        self.seeds = {node: np.asarray(g) for node, g in seeds.items()}
        self.order = outputs_first(seeds)[::-1]
        self.values, self.users = {}, {}
        for node in self.order:
            for parent, x in zip(node.parents, _saved(node)[1:]):
                if parent is not None:
                    self.users.setdefault(parent, []).append(node)
                    if parent.op is None:
                        self.values.setdefault(parent, _double(x))
        for node in self.order:
            self.values[node] = self._compute(node, {})
        self.agrees = all(_close(self.values[n], n.values[0]) for n in self.order)
        self.ops = 0

    def _compute(self, node, moved):
        inputs = [moved[p] if p in moved else self.values[p] if p is not None else _double(v)
                  for p, v in zip(node.parents, node.values[1:])]
        static = {k: np.float64 if _is_narrow(v) else v for k, v in node.static.items()}
        return np.asarray(node.op.forward(*inputs, **static))

    def downstream(self, node):
        """The nodes that change with it, in order."""
        seen, stack = set(), [node]
        while stack:
            for user in self.users.get(stack.pop(), ()):
                if user not in seen:
                    seen.add(user)
                    stack.append(user)
        return sorted(seen, key=lambda n: n.born)

    def result(self, node, value, after):
        moved = {node: np.asarray(value)}
        for user in after:
            moved[user] = self._compute(user, moved)
        self.ops += sum(1 + self.values[user].size / LARGE for user in after)
        return sum(float(np.sum(np.real(np.conj(g) * moved.get(root, self.values.get(root, 0)))))
                   for root, g in self.seeds.items())

    def size(self):
        """How large what is added up in a result is: rounding errors are in proportion to it."""
        return sum(float(np.sum(np.abs(g * self.values.get(root, 0)))) for root, g in self.seeds.items())


def _double(x):
    x = np.asarray(x)
    return x.astype(np.float64) if x.dtype.kind == "f" else x


def _is_narrow(dtype):
    """Whether a static argument is a real dtype of fewer digits than float64: astype would round what is compared."""
    return isinstance(dtype, (type, np.dtype)) and np.dtype(dtype).kind == "f" and np.dtype(dtype).itemsize < 8


def _close(a, b):
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and (a.dtype.kind not in "fc" or bool(np.allclose(a, b, 1e-3, 1e-5, equal_nan=True)))


def differences(seeds: Mapping[Node, np.ndarray], grads: Mapping[Node, np.ndarray], entries: int = 8,
                budget: int = 400_000, seed: int = 0) -> dict[Node, Difference]:
    """{node: `Difference`} for the nodes of ``grads`` with real values, leaves first; as many as the budget allows.

    A value with at most ``entries`` numbers is moved number by number, a larger one along one random direction. The
    graph is computed again in float64 from its leaves. budget: how many small operations may be computed. There is none
    where computing it again gives other values (an operation that draws numbers inside, or large rounding errors), nor
    where the differences are not finite.
    """
    with np.errstate(all="ignore"):
        replay = _Replay(seeds)
        if not replay.agrees:
            return {}
        chance, found = np.random.default_rng(seed), {}
        for node in sorted(grads, key=lambda n: (n.op is not None, -n.born)):
            x = replay.values.get(node)
            if x is None or x.dtype.kind != "f" or not x.size:
                continue
            if replay.ops > budget:
                break
            rounding = _rounding(replay, node, grads)
            found[node] = _difference(replay, node, x, np.asarray(grads[node]), entries, chance, rounding)
    return {node: difference for node, difference in found.items() if difference is not None}


def _rounding(replay, node, grads):
    """How much of a gradient may be rounding errors of the sum that it is: that of a bias before batch norm is all."""
    sent = [np.asarray(grads[user]) for user in set(replay.users.get(node, ())) if user in grads]
    total = sum(float(np.abs(g[np.isfinite(g)]).sum()) for g in sent)
    return np.finfo(np.asarray(grads[node]).dtype).eps * total


def _difference(replay, node, x, g, entries, chance, rounding):
    after, single, whole = replay.downstream(node), x.size <= entries, g.shape == x.shape
    here = replay.result(node, x, after)
    step = 1e-5 * max(1.0, float(np.abs(x[np.isfinite(x)]).max(initial=0)))

    def directions(n):
        moves = chance.standard_normal((n, *x.shape))
        return moves / np.sqrt((moves ** 2).sum(axis=tuple(range(1, moves.ndim)), keepdims=True))

    def slopes(moves, step):
        """Central ones, those of g, and by how much those to the right and to the left differ."""
        up, down = (np.array([replay.result(node, x + s * step * m, after) for m in moves]) for s in (1, -1))
        exact = np.array([np.sum(g.real * m) if whole else np.nan for m in moves])
        return (up - down) / (2 * step), exact, np.abs(up - 2 * here + down) / step

    def scale(*sizes):
        usual = float(np.linalg.norm(g)) / x.size ** 0.5  # of a slope: along one direction it may be near 0 by chance
        return max(1e-12, 1e-7 * replay.size(), rounding / TOLERANCE, *(
            float(np.abs(s).max(initial=0, where=~np.isnan(s))) for s in (usual, *sizes)))

    def straight(values, exact, gap):
        return gap.max() <= 0.02 * scale(values, exact)

    def error(values, exact, gap):
        return float(np.abs(values - exact).max() / scale(values, exact, gap)) if whole else np.inf

    def lasting(moves):
        """The slopes of a smaller step, with the gaps that are no smaller for it: those of kinks."""
        wider, (values, exact, gap) = slopes(moves, step)[2], slopes(moves, step / 8)
        return values, exact, np.where(gap > wider / 3, gap, 0)

    def explained(values, exact, gap):
        """Whether kinks of these gaps may be all that is between the slopes. Those of many entries partly cancel."""
        off = np.abs(values - exact)
        if not single:
            return bool(np.linalg.norm(off) <= 4 * np.linalg.norm(gap))
        return bool((off <= gap / 2 + TOLERANCE * scale(values, exact)).all())
    moves = np.eye(x.size).reshape(x.size, *x.shape) if single else directions(1)
    found, kink = slopes(moves, step), False
    if not straight(*found):  # bent, in which case the gap is in proportion to the step, or a kink
        kink = bool(lasting(moves)[2].any())
        found = slopes(moves, step / 8)
    if whole and not error(*found) <= TOLERANCE:
        finer = [f for k in range(2, 9) if straight(*(f := slopes(moves, step / 8 ** k)))]
        agreeing = [f for f in finer if error(*f) <= TOLERANCE]
        kink = not agreeing and explained(*lasting(moves if single else directions(8)))
        if agreeing:
            found = agreeing[0]
        elif finer and not kink and not straight(*found):
            found = finer[0]
    values, exact, _ = found
    if not np.isfinite(values).all():
        return None
    if single:
        return Difference(values.reshape(x.shape), exact.reshape(x.shape), None, error(*found), kink)
    return Difference(values, exact, moves[0], error(*found), kink)
