"""Second order on scikit-learn's 1,797 digits: beside scikit-learn, beside raw SciPy, and what a step costs.

    python tests/benchmarks/second_order.py                 all
    python tests/benchmarks/second_order.py sklearn bridge  some of: sklearn, bridge, steps

sklearn: `minimize` and LogisticRegression(lbfgs), the same objective and the same tolerances, taking turns.
bridge: whole runs of `minimize` and of SciPy with a gradient written by hand in NumPy, equal iterations, taking turns.
steps: seconds and gradient-equivalents a step of SGD, L-BFGS, Newton-CG and exact Newton over model sizes.
One BLAS thread, one process; a ratio is the median turn by turn, with the middle half. Page faults cost both sides of
`bridge` alike: MALLOC_TRIM_THRESHOLD_=1000000000 MALLOC_MMAP_THRESHOLD_=1000000000 (glibc) takes them away.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import scipy.optimize
from engine import report, take_turns
from handwritten import softmax_cross_entropy
from threadpoolctl import threadpool_limits

import minigrad as mg
from minigrad import Parameter, data, nn, optim
from minigrad import functional as F


def digits(samples=None, dtype=np.float64):
    """All 1,797, as scikit-learn has them, divided by 16."""
    parts = [data.load("digits", train=train) for train in (True, False)]
    x = np.concatenate([p.x for p in parts]).reshape(-1, 64).astype(dtype)
    return x[:samples], np.concatenate([p.y for p in parts])[:samples]


# ---- beside scikit-learn ----
def compare_sklearn(turns=30):
    """mean cross-entropy + |W|^2 / (2 C n), the bias free: what scikit-learn minimizes for C. Both start at 0."""
    import sklearn
    from sklearn.linear_model import LogisticRegression
    x, y = digits()
    n = len(x)
    print(f"L-BFGS on logistic regression, {n} digits, 650 weights, beside scikit-learn {sklearn.__version__}")
    print(f"{'':<28}{'minigrad':>10}{'scikit-learn':>14}    {'ratio':>8}   (middle half)")
    for c in (0.01, 1.0, 100.0):
        def ours(c=c):
            w, b = Parameter(np.zeros((10, 64))), Parameter(np.zeros(10))
            result = optim.minimize(lambda: F.cross_entropy(x @ w.T + b, y) + 0.5 / (c * n) * (w * w).sum(), [w, b],
                              options={"maxiter": 1000, "gtol": 1e-4, "ftol": 64 * np.finfo(float).eps, "maxls": 50})
            return w.data, b.data, result.nit

        def theirs(c=c):
            model = LogisticRegression(C=c, tol=1e-4, max_iter=1000).fit(x, y)
            return model.coef_, model.intercept_, model.n_iter_[0]

        def loss(w, b, c=c):
            return softmax_cross_entropy(x @ w.T + b, y)[0] + 0.5 / (c * n) * (w * w).sum()
        a, b = ours(), theirs()
        report(f"C = {c:g}", *take_turns(ours, theirs, turns))
        difference = loss(*a[:2]) - loss(*b[:2])
        print(f"    iterations {a[2]} and {b[2]}, loss {loss(*b[:2]):.9f}, minigrad's {difference:+.1e}")


# ---- beside raw SciPy ----
def logistic(x, y, decay=1e-3):
    """(the loss of minigrad over its parameters, fun(vector) by hand)."""
    w, b = Parameter(np.zeros((64, 10), x.dtype)), Parameter(np.zeros(10, x.dtype))

    def by_hand(v):
        w, b = v[:640].reshape(64, 10), v[640:]
        loss, g = softmax_cross_entropy(x @ w + b, y)
        gradient = np.empty(650)
        np.matmul(x.T, g, out=gradient[:640].reshape(64, 10))
        gradient[:640] += 2 * decay * v[:640]
        gradient[640:] = g.sum(axis=0)
        return loss + decay * (v[:640] @ v[:640]), gradient
    return (lambda: F.cross_entropy(x @ w + b, y) + decay * (w * w).sum()), [w, b], by_hand


def perceptron(x, y, hidden=32):
    """The same for 64-hidden-10 with tanh."""
    mg.manual_seed(0)
    model = nn.Sequential(nn.Dense(64, hidden), nn.Tanh(), nn.Dense(hidden, 10))
    params = list(model.parameters())
    for p in params:
        p.data = p.data.astype(x.dtype)
    ends = np.cumsum([p.size for p in params])

    def by_hand(v):
        w1, b1, w2, b2 = (part.reshape(p.shape) for part, p in zip(np.split(v, ends[:-1]), params))
        h = np.tanh(x @ w1 + b1)
        loss, g = softmax_cross_entropy(h @ w2 + b2, y)
        back = g @ w2.T
        back *= 1 - h * h
        return loss, np.concatenate([(x.T @ back).reshape(-1), back.sum(axis=0), (h.T @ g).reshape(-1), g.sum(axis=0)])
    return (lambda: F.cross_entropy(model(x), y)), params, by_hand


def compare_bridge(turns=12, iterations=60):
    print(f"the bridge over raw SciPy with a gradient by hand, {iterations} iterations of L-BFGS-B from the same start")
    print(f"{'':<28}{'minigrad':>10}{'by hand':>14}    {'ratio':>8}   (middle half)")
    options = {"maxiter": iterations, "gtol": 0, "ftol": 0, "maxcor": 10}
    x, y = digits()
    for name, (loss, params, by_hand) in (("logistic, 650 weights", logistic(x, y)),
                                          ("MLP, 64-32-10 tanh", perceptron(x, y)),
                                          ("MLP, 64-128-10 tanh", perceptron(x, y, 128))):
        start = optim.Objective(loss, params).x
        ends = []

        def ours(loss=loss, params=params, start=start, ends=ends):
            optim.Objective(loss, params).place(start)
            ends.append(optim.minimize(loss, params, options=options))

        def theirs(by_hand=by_hand, start=start, ends=ends):
            ends.append(scipy.optimize.minimize(by_hand, start, jac=True, method="L-BFGS-B", options=options))
        report(name, *take_turns(ours, theirs, turns))
        assert ends[0].nit == ends[1].nit == iterations and ends[0].nfev == ends[1].nfev
        np.testing.assert_allclose(ends[0].fun, ends[1].fun, 1e-6, 1e-12)
        made_of(loss, params, by_hand, start, ends)


def made_of(loss, params, by_hand, start, ends, turns=60):
    """Where an evaluation's time goes: the gradient by hand, the engine's, and through `Objective`."""
    import resource
    objective = optim.Objective(loss, params)
    points = iter(start + 1e-3 * np.random.default_rng(0).standard_normal((turns, len(start))))

    def engine():
        mg.grad(loss(), params)

    found = np.empty((turns, 3, 2))
    for row in found:
        point = next(points)
        for i, run in enumerate((lambda: by_hand(start), engine, lambda point=point: objective.fun(point))):
            before, faults = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            run()
            row[i] = time.perf_counter() - before, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults
    objective.place(start)
    (hand, a), (engine, b), (through, _) = np.median(found, axis=0) * [1e6, 1]
    print(f"    µs an evaluation ({ends[0].nfev} of them): by hand {hand:.0f}, minigrad's loss and grad {engine:.0f} "
          f"({engine / hand:.2f}), through Objective.fun {through:.0f} ({through / hand:.2f}); page faults by hand "
          f"{a:.0f}, minigrad {b:.0f}")


# ---- what a step costs ----
def sizes(samples=500, hidden=(2, 8, 32, 128, 512), largest=1000, turns=5):
    print(f"a step on {samples} digits, MLP 64-h-10 with tanh, float64: ms, and gradient-equivalents (a product with "
          "the Hessian is two)")
    x, y = digits(samples)
    print(f"{'weights':>8}" + "".join(f"{name:>20}" for name in ("SGD", "L-BFGS", "Newton-CG", "exact Newton")))
    for h in hidden:
        row = []
        for run in (sgd, lbfgs, newton_cg, exact):
            weights = 64 * h + h + h * 10 + 10
            if run is exact and weights > largest:
                row.append(f"{'-':>20}")
                continue
            seconds = []
            for _ in range(turns):
                loss, params, _ = perceptron(x, y, h)
                start = time.perf_counter()
                steps, equivalents = run(loss, params)
                seconds.append((time.perf_counter() - start) / steps)
            row.append(f"{np.median(seconds) * 1e3:>11.2f} {equivalents / steps:>8.1f}")
        print(f"{weights:>8,}" + "".join(row), flush=True)


def sgd(loss, params, steps=30):
    optimizer = optim.SGD(params, lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    return steps, steps


def through_scipy(method, steps):
    def run(loss, params):
        result = optim.minimize(loss, params, method, options={"maxiter": steps})
        return result.nit, result.history[-1].gradient_equivalents
    return run


lbfgs, newton_cg = through_scipy("L-BFGS-B", 30), through_scipy("newton-cg", 10)


def exact(loss, params, steps=3):
    optimizer = optim.Newton(params, solver="exact", damping=1.0)
    for _ in range(steps):
        optimizer.step(loss)
    return steps, optimizer.evaluations + 2 * optimizer.products


def main():
    parts = {"sklearn": compare_sklearn, "bridge": compare_bridge, "steps": sizes}
    asked = sys.argv[1:] or list(parts)
    if unknown := set(asked) - set(parts):
        sys.exit(f"no part called {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    with threadpool_limits(1):
        for i, part in enumerate(asked):
            print(end="\n" if i else "")
            parts[part]()


if __name__ == "__main__":
    main()
