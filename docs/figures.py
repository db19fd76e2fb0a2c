"""Draw the pictures of the documentation into docs/images: python docs/figures.py (wants minigrad[plot,viz]).

The figures of docs/misprints.md also print what they drew, and the page quotes it; a test compares.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from minigrad import Parameter, Tensor, optim

IMAGES = Path(__file__).parent / "images"
BLUE, RED, GREEN, ORANGE, PURPLE = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7"  # Okabe & Ito's palette
INK, FAINT = "#222222", "#999999"


def chain_rule():
    """y = sin(x^2) x after backward, every value keeping its gradient."""
    from minigrad import viz
    x = Tensor(np.float64(1.5), requires_grad=True)
    a = x * x
    b = np.sin(a)
    y = b * x
    for t in (a, b, y):
        t.retain_grad()
    y.backward(retain_graph=True)
    picture = viz.draw(y, names={"x": x, "a": a, "b": b, "y": y}, direction="LR", legend=False, tooltips=False)
    viz.save(picture, IMAGES / "chain_rule")


# ---- the misprints: functions to descend, and the formulas as printed ----
def bowl(x, y):
    return x * x / 20 + y * y


def saddle(x, y):
    return x * x - y * y


START, STEPS = (-7.0, 2.0), 30


def descend(make, function=bowl, start=START, steps=STEPS):
    """The points of an optimizer of minigrad's, the start and one a step: an array (steps + 1, 2)."""
    w = Parameter(np.array(start))
    optimizer, path = make([w]), [w.data.copy()]
    for _ in range(steps):
        optimizer.zero_grad()
        function(w[0], w[1]).backward()
        optimizer.step()
        path.append(w.data.copy())
    return np.array(path)


def printed(rule, steps=STEPS):
    """The points of a formula w - rule(g, t, state) on the bowl, as it is printed somewhere."""
    w, state, path = np.array(START), {"m": np.zeros(2), "v": np.zeros(2)}, [np.array(START)]
    with np.errstate(invalid="ignore"):
        for t in range(1, steps + 1):
            w = w - rule(np.array([w[0] / 10, 2 * w[1]]), t, state)
            path.append(w)
    return np.array(path)


def adam_with_a_minus(g, t, s, lr=0.3, b1=0.9, b2=0.999, eps=1e-8):
    """The printed sign, with M_{t-1} where M_0 is printed."""
    s["m"] = b1 * s["m"] - (1 - b1) * g
    s["v"] = b2 * s["v"] + (1 - b2) * g * g
    return lr / np.sqrt(s["v"] + eps) * np.sqrt(1 - b2**t) / (1 - b1**t) * s["m"]


def adam_to_the_letter(g, t, s):
    """The printed sign and the printed M_0, which is zero: the momentum forgets everything."""
    s["m"] = 0 * s["m"]
    return adam_with_a_minus(g, t, s)


def adam_with_two_minuses(g, t, s, lr=0.3, b1=0.9, b2=0.999):
    s["m"] = b1 * s["m"] - (1 - b1) * g
    s["v"] = b2 * s["v"] - (1 - b2) * g * g
    s.setdefault("v^", []).append(s["v"] / (1 - b2**t))
    return lr * s["m"] / (1 - b1**t) / np.sqrt(s["v^"][-1])


def adam_uncorrected(g, t, s, lr=0.3, b1=0.9, b2=0.999, eps=1e-8):
    s["m"] = b1 * s["m"] + (1 - b1) * g
    s["v"] = b2 * s["v"] + (1 - b2) * g * g
    return lr * s["m"] / (np.sqrt(s["v"]) + eps)


def adam(params):
    return optim.Adam(params, lr=0.3)


# ---- the figures: each draws into axes (None: only computes) and gives the lines that it prints ----
def misprint_adam_climbs(axes=None):
    paths = {"correct": descend(adam), "minus, with $M_{t-1}$": printed(adam_with_a_minus),
             "minus, with $M_0$ (to the letter)": printed(adam_to_the_letter)}
    if axes is not None:
        left, right = axes
        contours(left, bowl, (-18, 3), (-4, 13))
        for (name, path), style in zip(paths.items(), STYLES):
            left.plot(*path.T, **style, markevery=3)
            right.plot(bowl(*path.T), **style, markevery=3, label=name)
        left.plot(*START, "*", color=INK, markersize=11, zorder=5)
        left.annotate("start", START, (-6.4, 2.3), color=INK, bbox={"fc": "white", "ec": "none", "pad": 1})
        left.set(xlabel="x", ylabel="y", title="The paths on x²/20 + y²")
        right.set(xlabel="step", yscale="log", ylim=(3e-2, 1e4), title="The loss")
        right.legend(loc="upper left")
    return [f"{name.replace('$', '').replace('{', '').replace('}', ''):<34} f: {bowl(*path[0]):.2f} -> "
            f"{bowl(*path[-1]):.4f} after {STEPS} steps, at ({path[-1][0]:.4f}, {path[-1][1]:.4f})"
            for name, path in paths.items()]


def misprint_adam_nan(axes=None):
    state = {"m": np.zeros(2), "v": np.zeros(2)}
    first = printed(adam_with_two_minuses, 1)
    right_path, t = descend(adam), np.arange(1, STEPS + 1)
    gradients = np.stack([right_path[:-1, 0] / 10, 2 * right_path[:-1, 1]], axis=1)
    wrong, right = [], []
    with np.errstate(invalid="ignore"):
        for i, g in enumerate(gradients, 1):  # both fed the gradients of the right path: the wrong one has no path
            adam_with_two_minuses(g, i, state)
            wrong.append(state["v^"][-1][1])
    v = 0.0
    for i, g in enumerate(gradients, 1):
        v = 0.999 * v + 0.001 * g[1] ** 2
        right.append(v / (1 - 0.999**i))
    if axes is not None:
        left, middle = axes
        left.axhspan(-20, 0, color=RED, alpha=0.12, lw=0)
        left.axhline(0, color=INK, lw=0.8)
        left.plot(t, right, **STYLES[0], label="v̂ with a plus", markevery=3)
        left.plot(t, wrong, **STYLES[1], label="v̂ with the printed minus", markevery=3)
        left.text(30, -19, "no square root here", color=RED, ha="right")
        left.set(xlabel="step", title="v̂ of y, for the same gradients", ylim=(-20, 20), xlim=(0, 31))
        left.legend(loc="upper right")
        contours(middle, bowl, (-8, 3), (-2.5, 2.5))
        middle.plot(*right_path.T, **STYLES[0], markevery=3)
        middle.plot(*START, "*", color=RED, markersize=13)
        middle.annotate("the printed formula ends here:\nits first step is (nan, nan)", START, (-4.3, 1.75), color=RED,
                        arrowprops={"arrowstyle": "->", "color": RED}, va="center",
                        bbox={"fc": "white", "ec": "none", "alpha": 0.85, "pad": 1.5})
        middle.set(xlabel="x", ylabel="y", title="The paths")
    return [f"v^ of y at step 1: printed {wrong[0]:.4f}, correct {right[0]:.4f}",
            f"the printed formula after 1 step: ({first[1][0]}, {first[1][1]})",
            f"the correct one after {STEPS}: ({right_path[-1][0]:.8f}, {right_path[-1][1]:.8f})"]


def misprint_bias_correction(axes=None):
    t = np.arange(1, 10001)
    ratio = (1 - 0.9**t) / np.sqrt(1 - 0.999**t)
    on, off = descend(adam, steps=60), printed(adam_uncorrected, 60)
    if axes is not None:
        left, right = axes
        left.plot(t, np.ones(len(t)), **{**STYLES[0], "marker": ""}, label="corrected")
        left.plot(t, ratio, **{**STYLES[1], "marker": ""}, label="not corrected")
        left.set(xscale="log", xlabel="step", ylim=(0, 8), title="Step / lr, for a gradient that stays the same")
        left.legend(loc="upper right")
        contours(right, bowl, (-8, 8), (-2.5, 2.5))
        right.plot(*on.T, **STYLES[0], markevery=3)
        right.plot(*off.T, **STYLES[1], markevery=3)
        right.plot(*START, "*", color=INK, markersize=11, zorder=5)
        right.set(xlabel="x", ylabel="y", title="60 steps on x²/20 + y²")
    top = int(np.argmax(ratio))
    lines = [f"step 1: {ratio[0]:.3f} lr, largest at step {t[top]}: {ratio[top]:.3f} lr, "
             f"step 1000: {ratio[999]:.3f} lr, step 10000: {ratio[9999]:.3f} lr"]
    for name, path in (("corrected", on), ("not corrected", off)):
        lines.append(f"{name:<14} farthest x: {path[:, 0].max():.4f}, f after 60 steps: {bowl(*path[-1]):.4f}")
    return lines


def misprint_adagrad_dies(axes=None):
    """Noisy gradients of (w - minimum)^2 / 2; the minimum moves from 0 to 5 after 2,000 steps."""
    rng = np.random.default_rng(0)
    noise, target = rng.normal(0, 1, 2400), np.where(np.arange(2400) < 2000, 0.0, 5.0)
    tracks, rates = {}, {}
    for name, make in (("AdaGrad", lambda w: optim.Adagrad(w, lr=0.5)),
                       ("RMSProp", lambda w: optim.RMSprop(w, lr=0.05, alpha=0.9))):
        w = Parameter(np.array([3.0]))
        optimizer, path, rate = make([w]), [], []
        for centre, e in zip(target, noise):
            w.grad = Tensor(w.data - centre + e)
            optimizer.step()
            path.append(w.item())
            h = next(v for k, v in optimizer.state[w].items() if k in ("h", "v"))
            rate.append(optimizer.lr / np.sqrt(h.item()))
        tracks[name], rates[name] = np.array(path), np.array(rate)
    if axes is not None:
        left, right = axes
        right.plot(target, color=FAINT, lw=1.2, label="the minimum")
        for (name, path), style in zip(tracks.items(), (STYLES[1], STYLES[0])):
            left.plot(rates[name], **{**style, "lw": 1}, markevery=300, label=name)
            right.plot(path, **{**style, "lw": 1}, markevery=50, label=name)
        left.set(xlabel="step", yscale="log", ylim=(3e-3, 1), title="Effective rate, lr / √h")
        right.set(xlabel="step", xlim=(1900, 2400), title="w, while the minimum moves")
        left.legend(loc="upper right")
        right.legend(loc="lower right")
    return [f"{name:<8} effective rate {rates[name][0]:.4f} at step 1, {rates[name][1999]:.4f} at 2000; w 100 steps "
            f"after the minimum moved to 5: {path[2100]:.3f}" for name, path in tracks.items()]


def misprint_momentum_overshoots(axes=None):
    paths = {m: descend(lambda w, m=m: optim.Momentum(w, lr=0.1, momentum=m), steps=100) for m in (0.0, 0.6, 0.9)}
    if axes is not None:
        left, right = axes
        contours(left, bowl, (-8, 5), (-2.5, 2.5))
        right.axhline(0, color=INK, lw=0.8)
        for (m, path), style in zip(paths.items(), (STYLES[2], STYLES[0], STYLES[1])):
            left.plot(*path.T, **style, markevery=5)
            right.plot(path[:, 0], **style, markevery=10, label=f"momentum {m}")
        left.plot(*START, "*", color=INK, markersize=11, zorder=5)
        left.set(xlabel="x", ylabel="y", title="The paths on x²/20 + y², lr = 0.1")
        right.set(xlabel="step", ylim=(-7.5, 8), title="x: past the minimum, and back")
        right.legend(loc="upper right")
    return [f"momentum {m}: farthest x {path[:, 0].max():+.4f}, x changes sign "
            f"{int((np.diff(np.sign(path[:, 0])) != 0).sum())} times in 100 steps, f after 30: "
            f"{bowl(*path[30]):.4f}, after 100: {bowl(*path[-1]):.2e}" for m, path in paths.items()]


def misprint_saddle(axes=None):
    paths = {y: descend(lambda w: optim.SGD(w, lr=0.1), saddle, (1.0, y), 80) for y in (0.0, 1e-6, 1e-3)}
    escape = {y: int(np.argmax(np.abs(p[:, 1]) > 1)) for y, p in paths.items()}
    newton = np.array([1.0, 1e-6]) - np.linalg.solve(np.diag([2.0, -2.0]), [2.0, -2e-6])
    if axes is not None:
        left, right = axes
        contours(left, saddle, (-1.3, 1.3), (-1.3, 1.3))
        for (y, path), style in zip(paths.items(), (STYLES[1], STYLES[0], STYLES[2])):
            inside = path[np.abs(path[:, 1]) < 1.3]
            left.plot(*inside.T, **style, markevery=2)
            if y:
                right.plot(np.abs(path[:, 1]), **style, markevery=8, label=f"from (1, {y:g})")
            else:
                right.plot(np.full(len(path), 2e-8), **style, markevery=8, label="from (1, 0): exactly 0")
        left.set(xlabel="x", ylabel="y", title="The paths on x² − y²", aspect="equal")
        right.axhline(1, color=INK, lw=0.8, ls=":")
        right.set(xlabel="step", yscale="log", ylim=(1e-8, 1e5), title="|y|, the way out")
        right.legend(loc="upper left")
    return [*(f"from (1, {y:g}): " + (f"|y| > 1 at step {escape[y]}" if escape[y] else
            f"at ({paths[y][-1][0]:.2e}, {paths[y][-1][1]:g}) after 80 steps, on the saddle") for y in paths),
            f"Newton's method from (1, 1e-06): ({newton[0]:g}, {newton[1]:g}) after 1 step, on the saddle"]


MISPRINTS = (misprint_adam_climbs, misprint_adam_nan, misprint_bias_correction, misprint_adagrad_dies,
             misprint_momentum_overshoots, misprint_saddle)
STYLES = [{"color": BLUE, "marker": "o", "ls": "-"}, {"color": RED, "marker": "s", "ls": "--"},
          {"color": GREEN, "marker": "^", "ls": "-."}]


def contours(ax, function, xs, ys):
    x, y = np.meshgrid(np.linspace(*xs, 200), np.linspace(*ys, 200))
    z = function(x, y)
    ax.contour(x, y, z if z.min() < 0 else np.sqrt(z), 14, colors=FAINT, linewidths=0.5, linestyles="-")
    ax.set(xlim=xs, ylim=ys)


# ---- second order: docs/second-order.md ----
def newton_path(function, start, steps=1, **given):
    """The points of optim.Newton, the start and one a step."""
    return closure_path(lambda w: optim.Newton(w, **given), function, start, steps)


def closure_path(make, function, start, steps):
    w = Parameter(np.array(start))
    optimizer, path = make([w]), [w.data.copy()]
    for _ in range(steps):
        optimizer.step(lambda: function(w[0], w[1]))
        path.append(w.data.copy())
    return np.array(path)


def second_order_newton(axes=None):
    on_bowl = {"gradient descent, lr = 0.95": descend(lambda w: optim.SGD(w, lr=0.95)),
               "L-BFGS": closure_path(lambda w: optim.LBFGS(w, max_iter=1, line_search_fn="strong_wolfe"), bowl,
                                      START, 8),
               "Newton": newton_path(bowl, START, solver="exact")}
    start = (1.0, 0.3)
    on_saddle = {"Newton": newton_path(saddle, start, solver="exact"),
                 "Newton, damping 4": newton_path(saddle, start, 3, solver="exact", damping=4.0),
                 "trust region (trust-krylov)": newton_path(saddle, start, 3, solver="trust-krylov", max_iter=1)}
    if axes is not None:
        left, right = axes
        contours(left, bowl, (-8, 3), (-3.6, 2.6))
        for (name, path), style in zip(on_bowl.items(), (STYLES[2], STYLES[1], STYLES[0])):
            left.plot(*path.T, **style, label=name)
        left.plot(*START, "*", color=INK, markersize=11, zorder=5)
        left.set(xlabel="x", ylabel="y", title="x²/20 + y²: one step")
        left.legend(loc="lower left", fontsize=9)
        contours(right, saddle, (-1.3, 1.3), (-0.8, 3.4))
        for (name, path), style in zip(on_saddle.items(), STYLES):
            right.plot(*path.T, **style, label=name)
        right.plot(*start, "*", color=INK, markersize=11, zorder=5)
        right.set(xlabel="x", ylabel="y", title="x² − y²: to the saddle, or past it")
        right.legend(loc="upper left", fontsize=9)
    lines = [f"bowl    {name:<28} f: {bowl(*path[-1]):.1e} after {len(path) - 1} step{'s' * (len(path) > 2)}"
             for name, path in on_bowl.items()]
    return lines + [f"saddle  {name:<28} at ({path[-1][0]:.4f}, {path[-1][1]:.4f}) after {len(path) - 1} "
                    f"step{'s' * (len(path) > 2)}" for name, path in on_saddle.items()]


def double_well(x, y):
    return (x * x - 1) ** 2 + 0.3 * x + y * y


def second_order_safeguards(axes=None):
    """Plain Newton, and three ways to keep it from going uphill."""
    start = (0.3, 1.0)
    paths = {"plain": newton_path(double_well, start, 8, solver="exact"),
             "line search": newton_path(double_well, start, 8, solver="exact", line_search="armijo"),
             "damping 5": newton_path(double_well, start, 8, solver="exact", damping=5.0),
             "trust region": newton_path(double_well, start, 8, solver="trust-exact", max_iter=1)}
    if axes is not None:
        left, right = axes
        contours(left, double_well, (-1.6, 1.6), (-0.6, 1.3))
        for (name, path), style in zip(paths.items(), ({**STYLES[1], "lw": 4, "alpha": 0.5, "markersize": 8}, STYLES[0],
                                                     STYLES[2], FOURTH)):
            left.plot(*path.T, **style)
            right.plot([double_well(*p) for p in path], **style, label=name)
        left.plot(*start, "*", color=INK, markersize=11, zorder=5)
        left.set(xlabel="x", ylabel="y", title="(x² − 1)² + 0.3 x + y²: two valleys")
        right.set(xlabel="step", title="f")
        right.legend(loc="upper right")
    return [f"{name:<13} ({path[-1][0]:.4f}, {path[-1][1]:.4f}) after 8 steps, f = {double_well(*path[-1]):.4f}"
            for name, path in paths.items()]


def digits(samples):
    from minigrad import data
    found = data.load("digits", train=True)
    return found.x[:samples].reshape(-1, 64).astype(np.float64), found.y[:samples]


def network(hidden=16, seed=0):
    """64-hidden-10 with tanh, of float64."""
    import minigrad as mg
    from minigrad import nn
    mg.manual_seed(seed)
    model = nn.Sequential(nn.Dense(64, hidden), nn.Tanh(), nn.Dense(hidden, 10))
    for p in model.parameters():
        p.data = p.data.astype(np.float64)
    return model


def peak_memory(run):
    """The most bytes that ``run()`` had at a time beyond what was there before: tracemalloc's peak."""
    import gc
    import tracemalloc
    gc.collect()
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def memory_of_steps(hidden, make, steps=12, closure=True):
    """Peak bytes of ``steps`` steps on 32 digits, and how many weights there were."""
    from minigrad import functional as F
    model, (x, y) = network(hidden), digits(32)
    params = list(model.parameters())
    start = [p.data.copy() for p in params]

    def run():
        for p, w in zip(params, start):
            p.data[...] = w
        optimizer = make(params)
        for _ in range(steps):
            if closure:
                optimizer.step(lambda: F.cross_entropy(model(x), y))
            else:
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
    with np.errstate(all="ignore"):
        run()  # what is imported and cached for good does not count
        for p in params:
            p.grad = None
        return peak_memory(run), sum(p.size for p in params)


def second_order_memory(axes=None, sizes=(1, 4, 16, 64, 256, 1024), largest=1300):
    makers = {"SGD": (lambda w: optim.SGD(w, lr=0.01), False), "Adam": (lambda w: optim.Adam(w, lr=1e-4), False),
              "L-BFGS, m = 10": (lambda w: optim.LBFGS(w, max_iter=3, history_size=10, line_search_fn="strong_wolfe"),
                                 True),
              "L-BFGS, m = 30": (lambda w: optim.LBFGS(w, max_iter=3, history_size=30, line_search_fn="strong_wolfe"),
                                 True),
              "Newton-CG": (lambda w: optim.Newton(w, max_iter=1), True),
              "Newton, exact": (lambda w: optim.Newton(w, solver="exact", damping=10.0), True)}
    found = {name: np.array([(n, peak) for h in sizes if name != "Newton, exact" or 75 * h + 10 <= largest
                             for peak, n in [memory_of_steps(h, make, 3 if name == "Newton, exact" else 12, closure)]])
             for name, (make, closure) in makers.items()}
    if axes is not None:
        left, right = axes
        styles = (STYLES[2], FOURTH, STYLES[0], {**STYLES[0], "marker": "v", "ls": ":"},
                  {"color": ORANGE, "marker": "P", "ls": "-"}, STYLES[1])
        for (name, points), style in zip(found.items(), styles):
            left.plot(points[:, 0], points[:, 1] / 1e6, **style, label=name)
            right.plot(points[:, 0], points[:, 1] / 8 / points[:, 0], **style)
        n = np.array([1e3, 1e5])
        left.plot(n, 8 * n * n / 1e6, color=RED, lw=0.8, ls=":")
        left.text(1.5e4, 4e3, "H alone, 8n² bytes", color=RED, ha="right", va="bottom", fontsize=9)
        left.set(xscale="log", yscale="log", xlabel="weights n", title="Peak of a few steps, MB")
        right.set(xscale="log", yscale="log", xlabel="weights n", title="The same, in float64 numbers per weight")
        left.legend(loc="upper left", fontsize=8)
        left.set_ylim(5e-3, 1e6)
    return [f"{name:<16} " + ", ".join(f"{int(n):,}: {peak / 1e6:.3g} MB" for n, peak in points)
            + f"; {points[-1, 1] / 8 / points[-1, 0]:.3g} numbers per weight at the last"
            for name, points in found.items()]


def train(make, size, budget, model, x, y, seed=0):
    """[(passes over the data, loss on all of it)]: step(closure) on batches of ``size``, until the budget is used.

    A pass is as many gradients of single examples as there are examples.
    """
    import minigrad as mg
    from minigrad import functional as F
    optimizer, rng, used = make(model.parameters()), np.random.default_rng(seed), 0
    with mg.no_grad():
        curve = [(0.0, F.cross_entropy(model(x), y).item())]
    while used < budget * len(x) and np.isfinite(curve[-1][1]):
        order = rng.permutation(len(x)) if size < len(x) else np.arange(len(x))
        for i in range(0, len(x), size):
            batch = order[i:i + size]

            def closure(batch=batch):
                nonlocal used
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x[batch]), y[batch])
                loss.backward()
                used += len(batch)
                return loss
            with np.errstate(all="ignore"):
                optimizer.step(closure)
        with mg.no_grad(), np.errstate(all="ignore"):
            curve.append((used / len(x), F.cross_entropy(model(x), y).item()))
    return np.array(curve)


def second_order_batches(axes=None, samples=500, budget=60):
    x, y = digits(samples)
    kinds = {"full batch, strong Wolfe": (lambda w: optim.LBFGS(w, max_iter=5, history_size=10,
                                                          line_search_fn="strong_wolfe"), samples),
             "batches of 32, strong Wolfe": (lambda w: optim.LBFGS(w, max_iter=1, history_size=10,
                                                             line_search_fn="strong_wolfe"), 32),
             "batches of 32, lr = 0.1": (lambda w: optim.LBFGS(w, lr=0.1, max_iter=1, history_size=10), 32),
             "batches of 32, lr = 1 (default)": (lambda w: optim.LBFGS(w, max_iter=1, history_size=10), 32),
             "batches of 32, Adam, lr = 0.01": (lambda w: optim.Adam(w, lr=0.01), 32)}
    curves = {name: train(make, size, budget, network(), x, y) for name, (make, size) in kinds.items()}
    true, noise = change_of_gradient(x, y)
    if axes is not None:
        left, right = axes
        styles = (STYLES[0], STYLES[1], {"color": ORANGE, "marker": "P", "ls": ":"}, FOURTH, STYLES[2])
        for (name, curve), style in zip(curves.items(), styles):
            left.plot(*curve.T, **style, markevery=max(1, len(curve) // 12), label=name)
        left.set(xlabel="passes over the data", yscale="log", ylim=(1e-4, 1e3), title="Loss on all 500 digits")
        left.legend(loc="upper right", fontsize=8)
        right.plot(true, **{**STYLES[0], "marker": ""}, label="the slope's change, the batch the same")
        right.plot(noise, **{**STYLES[1], "marker": ""}, label="the batch's change, the weights the same")
        right.set(xlabel="step", yscale="log", ylim=(4e-3, 2), title="What y is made of, batches of 32")
        right.legend(loc="lower left", fontsize=9)
    below = {name: curve[curve[:, 1] < 1e-3, 0] for name, curve in curves.items()}
    return [f"{name:<32} {curve[-1, 1]:9.1e} after {curve[-1, 0]:.0f} passes" +
            (f", below 1e-3 after {below[name][0]:.0f}" if len(below[name]) else "") for name, curve in curves.items()
            ] + [f"median |change of the batch| / |change of the slope|: {np.median(noise / true):.1f}"]


def change_of_gradient(x, y, size=32, steps=150):
    """(|g_B'(w') - g_B'(w)|, |g_B'(w) - g_B(w)|), whose sum is y, over steps of SGD from w to w', batch B to B'."""
    import minigrad as mg
    from minigrad import functional as F
    model, rng = network(), np.random.default_rng(0)
    params, found = list(model.parameters()), []

    def gradient(batch):
        return np.concatenate([g.data.ravel() for g in mg.grad(F.cross_entropy(model(x[batch]), y[batch]), params)])
    batch = rng.permutation(len(x))[:size]
    for _ in range(steps):
        after = rng.permutation(len(x))[:size]
        g, other = gradient(batch), gradient(after)
        i = 0
        for p in params:
            p.data = p.data - 0.1 * g[i:i + p.size].reshape(p.shape)
            i += p.size
        found.append((np.linalg.norm(gradient(after) - other), np.linalg.norm(other - g)))
        batch = after
    return np.array(found).T


def second_order_cost(axes=None, samples=500, decay=1e-3):
    """Logistic regression on digits, 650 weights: what is left of the loss above its minimum."""
    from minigrad import functional as F
    x, y = digits(samples)
    w, b = Parameter(np.zeros((64, 10))), Parameter(np.zeros(10))

    def loss():
        return F.cross_entropy(x @ w + b, y) + decay * ((w * w).sum() + (b * b).sum())

    def fresh():
        w.data, b.data = np.zeros((64, 10)), np.zeros(10)
        return [w, b]
    lowest = optim.minimize(loss, fresh(), "trust-exact", tol=1e-10).fun
    curves = {}
    for lr in (0.3, 1.0, 3.0):
        optimizer, curve = optim.SGD(fresh(), lr=lr), []
        for step in range(1001):
            optimizer.zero_grad()
            value = loss()
            curve.append((step, step + 1, value.item()))
            value.backward()
            optimizer.step()
        if "gradient descent" not in curves or curve[-1][2] < curves["gradient descent"][-1, 2]:
            curves["gradient descent"], rate = np.array(curve), lr
    for name, method in (("L-BFGS", "L-BFGS-B"), ("Newton-CG", "newton-cg")):
        result = optim.minimize(loss, fresh(), method, tol=1e-9, options={"maxiter": 300})
        curves[name] = np.array([(h.iteration, h.gradient_equivalents, h.loss) for h in result.history])
    optimizer, curve = optim.Newton(fresh(), solver="exact", line_search="armijo"), []
    for step in range(8):
        spent = optimizer.evaluations + 2 * 650 * step + 1
        curve.append((step, spent, optimizer.step(loss).item()))
    curves["exact Newton"] = np.array(curve)
    if axes is not None:
        for ax, column, label in zip(axes, (0, 1), ("step + 1", "gradient-equivalents")):
            for (name, curve), style in zip(curves.items(), (STYLES[2], STYLES[0], FOURTH, STYLES[1])):
                gap = np.maximum(curve[:, 2] - lowest, 1e-16)
                seen = gap > 1e-11
                ax.plot(curve[seen, column] + (column == 0), gap[seen], **style, label=name,
                        markevery=max(1, int(seen.sum()) // 10))
            ax.set(xscale="log", yscale="log", xlabel=label, ylim=(1e-11, 5),
                   title="Loss above its minimum, by " + ("what it costs" if column else "steps"))
        axes[1].legend(loc="lower left", fontsize=9)
    lines = [f"the minimum is {lowest:.8f}; gradient descent at the best of lr = 0.3, 1, 3: {rate:g}"]
    for name, curve in curves.items():
        within = np.flatnonzero(curve[:, 2] - lowest < 1e-6)
        lines.append(f"{name:<18}" + (f"within 1e-6 after {int(curve[within[0], 0])} steps, "
                                      f"{int(curve[within[0], 1]):,} gradient-equivalents" if len(within) else
                                      f"{curve[-1, 2] - lowest:.1e} above it after {int(curve[-1, 0]):,} steps"))
    return lines


def second_order_fit(axes=None):
    """A decaying cosine, its four parameters found from 60 noisy points."""
    rng, t = np.random.default_rng(0), np.linspace(0, 6, 60)
    truth = (2.0, 0.4, 3.0, 0.5)

    def curve(p, t=t):
        return p[0] * np.exp(-p[1] * t) * np.cos(p[2] * t + p[3])
    data = curve(truth) + 0.1 * rng.standard_normal(len(t))
    found = {}
    for where, start in (("near", (1.5, 0.2, 2.8, 0.3)), ("far", (0.5, 1.0, 2.0, 0.0))):
        for name, given in (("Gauss-Newton", {"method": "gauss-newton"}), ("Levenberg-Marquardt", {"method": "lm"})):
            p = Parameter(np.array(start))
            with np.errstate(all="ignore"):
                found[where, name] = optim.least_squares(lambda p=p: curve(p) - data, [p], max_iter=30, **given)
    if axes is not None:
        left, right = axes
        left.plot(t, data, "o", color=FAINT, label="data")
        for (key, result), style in zip(list(found.items())[2:], (STYLES[1], STYLES[0])):
            left.plot(t, curve(result.x), **{**style, "marker": ""}, label=key[1])
        left.set(xlabel="t", ylim=(-2.2, 3.2), title="a exp(−b t) cos(c t + d), from the far start")
        left.legend(loc="upper right", fontsize=9)
        styles = [{**STYLES[i], "ls": ls} for ls in ("-", ":") for i in (1, 0)]
        for ((where, name), result), style in zip(found.items(), styles):
            right.plot([h.loss for h in result.history], **style, label=f"{name}, {where}")
        right.set(xlabel="iteration", yscale="log", ylim=(0.1, 3e3), title="Sum of squares / 2")
        right.legend(loc="upper right", fontsize=9)
    return [f"{where:<5} {name:<20} cost {r.cost:.4f} at the best point, {len(r.history)} Jacobians"
            for (where, name), r in found.items()]


def second_order_misbehaving():
    """What minimize answers for losses that are not as it wants them. No picture."""
    losses = {"NaN beyond 0": (lambda x: x - 4 * np.log(x), 9.0), "NaN at the start": (lambda x: np.sqrt(x), -1.0),
              "a cliff at 1": (lambda x: np.where(x < 1, 1e6, 0) + (x - 0.9) ** 2, 3.0),
              "without end": (lambda x: -x * x, 1.0), "a kink": (lambda x: np.abs(x - 2), 0.0),
              "from a kink": (lambda x: np.abs(x), 0.0)}
    lines = []
    for name, (loss, start) in losses.items():
        for method in ("L-BFGS-B", "Newton-CG"):
            x = Parameter(np.array([start]))
            with np.errstate(all="ignore"):
                result = optim.minimize(lambda x=x, loss=loss: loss(x).sum(), [x], method)
            ours = str(result.message) if str(result.message)[0].islower() else ""  # SciPy's own differ by its version
            lines.append(f"{name:<17}{method:<10} {'success' if result.success else 'failed '}  x = {x.item():<9.4g}  "
                         f"{ours}".rstrip())
    return lines


def second_order_spectrum():
    """The Hessian of a small network on its way, drawn by viz.curvature."""
    from minigrad import functional as F
    from minigrad.viz import curvature
    x, y = digits(200)
    model = network(hidden=6)
    params = list(model.parameters())

    def loss():
        return F.cross_entropy(model(x), y)
    lines = []
    for iterations in (0, 10, 60):
        if iterations:
            optim.minimize(loss, params, options={"maxiter": iterations - 10 * (iterations > 10)})
        largest, smallest = optim.extreme_eigenvalues(loss, params)
        density = optim.spectral_density(loss, params)
        lines.append(f"after {iterations:>2} iterations: loss {loss().item():.4f}, eigenvalues from "
                     f"{smallest.values[0]:.4f} to {largest.values[0]:.4f}, "
                     f"{int((density.eigenvalues < -1e-6 * largest.values[0]).sum())} of {len(density.eigenvalues)} "
                     "below zero")
        if iterations == 10:
            curvature.spectrum(loss, params, IMAGES / "second_order_spectrum.png", "64-6-10 after 10 iterations")
    return lines


def second_order_race():
    """What minigrad compare --data digits --model mlp --hidden 32 draws, and its table."""
    from minigrad import race
    from minigrad.viz import race as pictures
    runs = race.race(race.problem("digits", "mlp", 300, hidden=[32]), ["sgd", "momentum", "adam", "lbfgs", "newton-cg"])
    pictures.losses(runs, IMAGES / "second_order_race.png")
    return [line for line in race.table(runs).splitlines() if line]


SECOND_ORDER = (second_order_newton, second_order_safeguards, second_order_memory, second_order_batches,
                second_order_cost, second_order_fit)
FOURTH = {"color": PURPLE, "marker": "D", "ls": (0, (3, 1, 1, 1))}


# ---- layers and regularizers: docs/layers.md ----
def layers_fractional(axes=None, seeds=5, known=400, epochs=20):
    """Fractional max pooling: how the regions lie, and a small CNN with it, its predictions averaged over draws."""
    import minigrad as mg
    from minigrad import data, nn, train
    from minigrad import functional as F
    found, counts = {}, {}
    x = np.arange(25.0)[None, None, None].repeat(25, axis=2)
    for sequence in ("random", "pseudorandom"):
        mg.manual_seed(0)
        edges = [F.fractional_max_pool2d(Tensor(x), None, (18, 18), sequence=sequence, overlapping=False).data[0, 0, 0]
                 for _ in range(12)]  # of an image of column numbers the largest is the region's last column
        found[sequence] = np.array(edges) + 1
    x, y = (np.concatenate([getattr(data.digits(part), which) for part in (True, False)]) for which in "xy")
    draws, sizes = 12, (1, 2, 3, 4, 6, 8, 12)
    pools = {"max, 8-4-2": (nn.MaxPool2d(2), nn.MaxPool2d(2)),
             "fixed regions, 8-6-4": (nn.AdaptiveMaxPool2d(6), nn.AdaptiveMaxPool2d(4)),
             "fractional, 8-6-4": tuple(nn.FractionalMaxPool2d(None, n, sequence="random") for n in (6, 4))}
    for name, (first, second) in pools.items():
        for seed in range(seeds):
            mg.manual_seed(seed)
            old, new = np.split(np.random.default_rng(seed).permutation(len(x)), [known])
            model = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), first, nn.Conv2d(16, 32, 3, padding=1),
                                  nn.ReLU(), second, nn.Flatten(), nn.Dense(128 if name.startswith("max") else 512, 10))
            train.fit(model, (x[old], y[old]), optim.Adam(model.parameters(), lr=3e-3), epochs=epochs, batch_size=50,
                      schedule="cosine", progress=False)
            p = np.cumsum([train.evaluate(model, (x[new], y[new])).predictions for _ in range(draws)], axis=0)
            counts.setdefault(name, []).append([100 * (p[n - 1].argmax(axis=1) == y[new]).mean() for n in sizes])
    if axes is not None:
        left, right = axes
        for row, (edges, colour) in enumerate(zip(found.values(), (RED, BLUE))):
            for k, ends in enumerate(edges):
                starts = np.concatenate([[0], ends[:-1]])
                left.barh([13.5 * row + k] * len(ends), ends - starts - 0.12, left=starts + 0.06, height=0.7,
                          color=[colour if e - s > 1 else FAINT for s, e in zip(starts, ends)])
        left.set(xlabel="pixel", yticks=(5.5, 19), yticklabels=("random", "pseudo-\nrandom"), xlim=(0, 25),
                 title="25 pixels in 18 regions, 12 draws each; coloured: of 2")
        left.invert_yaxis()
        for (name, values), style in zip(counts.items(), (STYLES[0], STYLES[2], STYLES[1])):
            mean, values = np.mean(values, axis=0), np.array(values)
            right.plot(sizes, mean, **style, label=name)
            right.fill_between(sizes, values.min(axis=0), values.max(axis=0), color=style["color"], alpha=0.13, lw=0)
        right.set(xlabel="draws whose predictions are averaged", title=f"Accuracy of a CNN, {known} digits, %")
        right.legend(loc="lower right", fontsize=9)
    widths = np.diff(found["random"], prepend=0, axis=1)
    lines = [f"25 pixels in 18 regions: {(widths == 2).sum(axis=1)[0]} of 2 and {(widths == 1).sum(axis=1)[0]} of 1"]
    for name, values in counts.items():
        values = np.array(values)
        lines.append(f"{name:<22} {values[:, 0].mean():.2f} ± {values[:, 0].std(ddof=1):.2f} %" + (
            f", {values[:, -1].mean():.2f} ± {values[:, -1].std(ddof=1):.2f} % with {draws} draws averaged"
            if name.startswith("fractional") else ""))
    return lines


def layers_init():
    """What comes out of 10 layers, and what comes back, by initialization. Drawn by viz.activations."""
    from minigrad.viz import activations
    lines = []
    for activation in ("tanh", "relu"):
        activations.histograms(IMAGES / f"layers_init_{activation}.png", activation)
        for run in activations.signals(activation):
            last, norms = run.outputs[-1], [np.linalg.norm(g) for g in run.gradients]
            lines.append(f"{activation:<5} {run.name:<12} std of layer 10's outputs {last.std():7.2g}   gradient norm, "
                         f"layer 1 {norms[0]:7.2g}, layer 10 {norms[-1]:7.2g}")
    return lines


def layers_vanishing():
    """Gradients of 20 layers, and six layers that train or do not."""
    from minigrad.nn import init
    from minigrad.viz import activations
    activations.vanishing(IMAGES / "layers_vanishing.png")
    lines = []
    for name in ("sigmoid", "tanh", "relu"):
        run = activations.layers(activations.FOLKLORE.get(name, init.he_normal_), name, 20)
        norms, losses = [np.linalg.norm(g) for g in run.gradients], activations.plateau(name)
        lines.append(f"{name:<8} layer 1's gradient / layer 20's: {norms[0] / norms[-1]:8.1e}   six layers, loss after "
                     f"100 steps {losses[100]:.4f}, after 500 {losses[-1]:.4f}")
    return lines


def layers_recurrent_times(steps=64, batch=16, features=128, repeats=15):
    """Forward and backward of one layer, by the processor's clock. No picture."""
    import time

    from minigrad import nn
    x, lines = np.random.default_rng(0).standard_normal((steps, batch, features), np.float32), []
    for kind in (nn.RNN, nn.GRU, nn.LSTM, nn.SRU):
        layer, found = kind(features, features), []
        for _ in range(repeats):
            start = time.process_time()
            layer(Tensor(x, requires_grad=True))[0].sum().backward()
            found.append(time.process_time() - start)
        weights = sum(p.size for p in layer.parameters())
        lines.append(f"{kind.__name__:<5} {1e3 * np.median(found):5.1f} ms, {weights:,} weights")
    return lines


def layers_examples():
    """Examples 08 to 12 draw themselves; five minutes."""
    import subprocess
    for example, name in (("08_dropout_vs_dropconnect", "dropout"), ("09_resnet_stochastic_depth", "depth"),
                          ("10_char_rnn_sru_lstm_gru", "characters"), ("11_ensemble", "ensemble"),
                          ("12_subword_language_model", "pieces")):
        subprocess.run([sys.executable, Path(__file__).parent.parent / "examples" / f"{example}.py",
                        IMAGES / f"layers_{name}.png"], check=True)


def landscape():
    """Three optimizers' paths in the landscape of their loss, by example 13."""
    import shutil
    import subprocess
    import tempfile
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, Path(__file__).parent.parent / "examples" / "13_loss_landscape.py", folder],
                       check=True)
        shutil.copy(Path(folder) / "paths.png", IMAGES / "landscape_paths.png")


# ---- pages, as a browser shows them (wants playwright and Chromium) ----
def xor():
    """(loss, names) of a network on XOR before its first step."""
    from minigrad import nn
    rng = np.random.default_rng(0)
    x, y = Tensor([[0, 0], [0, 1], [1, 0], [1, 1]]), Tensor([[0], [1], [1], [0]])
    model = nn.Sequential(nn.Dense(2, 4, generator=rng), nn.Tanh(), nn.Dense(4, 1, generator=rng))
    out = model(x)
    loss = ((out - y) ** 2).mean()
    return loss, model, {"x": x, "y": y, "out": out, "loss": loss}


def digits_cnn():
    """The same of a CNN on four digits."""
    from minigrad import data, functional, models
    few = data.load("digits")[np.arange(4)]
    model = models.cnn(size=8)
    loss = functional.cross_entropy(model(Tensor(few[0], name="images")), few[1])
    return loss, model, {"labels": few[1], "loss": loss}


def pages():
    import tempfile

    from playwright.sync_api import sync_playwright

    from minigrad import viz
    from minigrad.viz import stage
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    import browser
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        folder = Path(folder)
        loss, model, names = xor()
        viz.player(loss, folder / "player.html", model, names)
        loss, model, names = digits_cnn()
        viz.player(loss, folder / "player_cnn.html", model, names)
        stage.page(folder / "theatre.html")
        chromium = playwright.chromium.launch(executable_path=browser.program(), args=browser.ARGUMENTS)
        for name, steps, dark, height in (("player", 11, False, 800), ("player_cnn", 18, True, 800),
                                          ("theatre", 12, False, 1000)):
            page = chromium.new_page(viewport={"width": 1280, "height": height}, reduced_motion="reduce",
                                     color_scheme="dark" if dark else "light")
            page.goto((folder / f"{name}.html").as_uri())
            for _ in range(steps):
                page.keyboard.press("ArrowRight")
            page.wait_for_timeout(500)
            page.screenshot(path=IMAGES / f"seeing_{name}.png")
        chromium.close()


def training():
    """What a recorder saw of an MLP on digits whose learning rate is too high for its ReLUs."""
    from minigrad import data, manual_seed, models, train
    from minigrad.viz import signals
    manual_seed(0)
    model = models.mlp(64, (64, 32), 10)
    seen = signals.Recorder(model, every=10)
    train.fit(model, data.load("digits"), optim.Adam(model.parameters(), lr=3e-2), epochs=10, batch_size=32,
              callbacks=[seen], progress=False)
    signals.ratios(seen, IMAGES / "seeing_ratios.png")
    signals.dead_units(seen, IMAGES / "seeing_dead_units.png")


def boundaries():
    """Two moons, and where a small network sees the border."""
    from minigrad import data, manual_seed, models, train
    from minigrad.viz import boundary
    manual_seed(0)
    moons = data.moons(300, seed=0)
    model = models.mlp(2, (16, 16), 2)
    train.fit(model, moons, optim.Adam(model.parameters(), lr=1e-2), epochs=60, batch_size=32, progress=False)
    boundary.draw(model, moons.x, moons.y, IMAGES / "seeing_boundary.png", title="two moons")


def misprints():
    pictures(MISPRINTS)


def pictures(draws):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    style = {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 11,
             "lines.markersize": 4, "lines.linewidth": 1.4, "legend.frameon": True, "legend.framealpha": 0.9,
             "legend.edgecolor": "none", "axes.edgecolor": INK, "text.color": INK, "axes.labelcolor": INK}
    for draw in draws:
        with pyplot.rc_context(style):
            figure, axes = pyplot.subplots(1, 2, figsize=(10, 3.9), layout="constrained")
            lines = draw(axes)
            figure.savefig(IMAGES / f"{draw.__name__}.png", dpi=110, metadata={"Software": None})
            pyplot.close(figure)
        print(draw.__name__, *lines, sep="\n    ")


if __name__ == "__main__":
    if "misprints" in sys.argv[1:] or len(sys.argv) == 1:
        misprints()
    if "second_order" in sys.argv[1:] or len(sys.argv) == 1:
        pictures(SECOND_ORDER)
        for only_prints in (second_order_misbehaving, second_order_spectrum, second_order_race):
            print(only_prints.__name__, *only_prints(), sep="\n    ")
    if "layers" in sys.argv[1:] or len(sys.argv) == 1:
        pictures([layers_fractional])
        for draws_itself in (layers_init, layers_vanishing, layers_recurrent_times):
            print(draws_itself.__name__, *draws_itself(), sep="\n    ")
        layers_examples()
    if "chain_rule" in sys.argv[1:] or len(sys.argv) == 1:
        chain_rule()
    for draws_itself in (landscape, pages, training, boundaries):
        if draws_itself.__name__ in sys.argv[1:] or len(sys.argv) == 1:
            draws_itself()
