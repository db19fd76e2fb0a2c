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
    picture = viz.draw(y, names={"x": x, "a": a, "b": b, "y": y}, direction="LR", legend=False)
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


def misprints():
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot
    style = {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 11,
             "lines.markersize": 4, "lines.linewidth": 1.4, "legend.frameon": True, "legend.framealpha": 0.9,
             "legend.edgecolor": "none", "axes.edgecolor": INK, "text.color": INK, "axes.labelcolor": INK}
    for draw in MISPRINTS:
        with pyplot.rc_context(style):
            figure, axes = pyplot.subplots(1, 2, figsize=(10, 3.9), layout="constrained")
            lines = draw(axes)
            figure.savefig(IMAGES / f"{draw.__name__}.png", dpi=110, metadata={"Software": None})
            pyplot.close(figure)
        print(draw.__name__, *lines, sep="\n    ")


if __name__ == "__main__":
    if "misprints" in sys.argv[1:] or len(sys.argv) == 1:
        misprints()
    if "chain_rule" in sys.argv[1:] or len(sys.argv) == 1:
        chain_rule()
