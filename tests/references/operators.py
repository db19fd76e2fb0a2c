"""Record what the peers make of our ops, so that the tests need none of them.

    python tests/references/operators.py          # needs torch, jax, mpmath, autograd; rewrites the files beside it

For up to two real samples and a complex one of each op (tests/samples, ours.py): the outputs y, the gradient of
L = sum of c |y|^2 for random c, and its Hessian's product with a random vector. PyTorch is asked first; where it has no
such function, or not of this sample, mpmath, which differentiates functions of numbers with 30 digits, and JAX.
operators.npz holds one array of numbers, and what they are as JSON. Also recorded: which functions HIPS autograd
differentiates (hips.json).
"""

from __future__ import annotations

import json
import platform
import sys
import warnings
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
if __name__ == "__main__":
    sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]

from references.ours import everything  # noqa: E402
from references.record import uniform  # noqa: E402
from references.twins import jax_twins, mpmath_twins, spelled, torch_twins  # noqa: E402

SMALL, LARGE = 2, 90  # how many numbers go into a sample that is recorded


# ---- what is recorded: for the recorder and for tests/test_references.py ----
def described(x):
    """A static argument, for a name that does not depend on versions."""
    if isinstance(x, np.ndarray):
        return described(x.tolist())
    if isinstance(x, (list, tuple)):
        return f"[{', '.join(map(described, x))}]"
    return getattr(x, "__name__", None) or repr(x.item() if isinstance(x, np.generic) else x)


def case(sample):
    """The name of a sample: op, inputs, static arguments."""
    inputs = [f"{'' if x.dtype.kind == 'f' else x.dtype.kind}{list(x.shape)}" for x in sample.inputs()]
    return " ".join([spelled(sample.key), *inputs, *(f"{k}={described(v)}" for k, v in sample.static.items())])


def floating(xs):
    return [x for x in xs if getattr(x, "dtype", None) is not None and np.dtype(x.dtype).kind in "fc"]


def random(key, like):
    """Numbers for ``like``, complex if it is."""
    x = uniform(key, *like.shape)
    return x + 1j * uniform(f"{key} i", *like.shape) if np.dtype(like.dtype).kind == "c" else x


def weights(name, ys):
    return [uniform(f"{name} c{i}", *y.shape, low=0.5, high=1.5) for i, y in enumerate(ys)]


def along(name, xs):
    return [random(f"{name} v{i}", x) for i, x in enumerate(xs)]


def flat(arrays):
    """Arrays as one row of float64, a complex number as two."""
    return np.concatenate([np.zeros(0), *(np.asarray(a, np.result_type(a, float)).ravel().view(float) for a in arrays)])


def candidates(points):
    """The samples of an op that are worth recording: (real ones, complex ones)."""
    found = {False: {}, True: {}}
    for s in points:
        inputs = s.inputs()
        total = sum(x.size for x in floating(inputs))
        if SMALL <= total <= LARGE and all(x.size for x in inputs) and s.static.get("axis") != ():
            kind = any(x.dtype.kind == "c" for x in inputs)
            found[kind].setdefault(case(s), s)
    return [list(found[kind].values()) for kind in (False, True)]


# ---- the peers: each gives ys, gradients and Hessian-vector products as arrays ----
def by_torch(f, name, inputs, static):
    import torch
    torch.set_num_threads(1)
    tensors = [torch.tensor(x) for x in inputs]
    xs = [t.requires_grad_() for t in tensors if t.is_floating_point() or t.is_complex()]
    ys = f(*tensors, **static)
    ys = [y for y in (ys if isinstance(ys, (tuple, list)) else [ys]) if y.is_floating_point() or y.is_complex()]
    ys = [y.resolve_conj() for y in ys]
    numpys = [y.detach().numpy() for y in ys]
    loss = sum((torch.tensor(c) * (y * y.conj()).real).sum() for c, y in zip(weights(name, numpys), ys))
    zeros = [torch.zeros_like(x) for x in xs]
    if not loss.requires_grad:
        return numpys, *([t.detach().numpy() for t in zeros] for _ in range(2))
    gs = torch.autograd.grad(loss, xs, create_graph=True, allow_unused=True)
    gs = [z if g is None else g for g, z in zip(gs, zeros)]
    vs = along(name, [x.detach().numpy() for x in xs])
    inner = sum((g * torch.tensor(v).conj()).real.sum() for g, v in zip(gs, vs))
    hs = torch.autograd.grad(inner, xs, allow_unused=True) if inner.requires_grad else zeros
    hs = [z if h is None else h for h, z in zip(hs, zeros)]
    return numpys, *([t.detach().resolve_conj().numpy() for t in ts] for ts in (gs, hs))


def by_jax(f, name, inputs, static):
    import jax
    jax.config.update("jax_enable_x64", True)
    positions = [i for i, x in enumerate(inputs) if x.dtype.kind in "fc"]

    def outputs(xs):
        every = list(inputs)
        for i, x in zip(positions, xs):
            every[i] = x
        ys = f(*every, **static)
        return [y for y in (ys if isinstance(ys, (tuple, list)) else [ys]) if y.dtype.kind in "fc"]

    def loss(xs):
        return sum((c * (y * y.conj()).real).sum() for c, y in zip(weights(name, ys), outputs(xs)))
    xs = [jax.numpy.asarray(inputs[i]) for i in positions]
    ys = outputs(xs)
    vs = [jax.numpy.asarray(v) for v in along(name, xs)]
    gradient = lambda xs: [g.conj() for g in jax.grad(loss)(xs)]
    gs, hs = jax.jvp(gradient, (xs,), (vs,))
    return tuple([np.asarray(t) for t in ts] for ts in (ys, gs, hs))


def by_mpmath(f, name, inputs, static):
    """An elementwise function of real numbers, with its first and second partial derivatives."""
    import mpmath
    mpmath.mp.dps = 30
    positions = [i for i, x in enumerate(inputs) if x.dtype.kind == "f"]
    if any(x.dtype.kind == "c" for x in inputs):
        raise NotImplementedError("real numbers only")
    shape = np.broadcast_shapes(*(x.shape for x in inputs))
    points = list(zip(*(np.broadcast_to(x, shape).ravel().tolist() for x in inputs)))
    exact = lambda x: int(x) if isinstance(x, int) else mpmath.mpf(x)
    tupled = lambda y: y if isinstance(y, tuple) else (y,)
    n = len(tupled(f(*map(exact, points[0]), **static)))

    def partial(k, orders):
        """Of output k: the derivative of these orders in the inputs, at every point."""
        found = []
        for point in points:
            at = [exact(p) for p in point]

            def g(*moving, at=at):
                every = list(at)
                for i, x in zip(positions, moving):
                    every[i] = x
                return tupled(f(*every, **static))[k]
            moving = [at[i] for i in positions]
            value = g(*moving) if not any(orders) else mpmath.diff(g, tuple(moving), tuple(orders))
            found.append(complex(value))
        return (np.array(found) if hasattr(f, "complex") else np.real(found)).reshape(shape)

    def unit(*which):
        return [which.count(i) for i in range(len(positions))]

    def shrunk(d, like):
        while d.ndim > like.ndim:
            d = d.sum(0)
        return d.sum(tuple(i for i, m in enumerate(like.shape) if m == 1), keepdims=True).reshape(like.shape)
    ys = [partial(k, unit()) for k in range(n)]
    xs = [inputs[i] for i in positions]
    cs, vs = weights(name, ys), along(name, xs)
    first = [[partial(k, unit(i)) for i in range(len(xs))] for k in range(n)]
    gs = [shrunk(sum(2 * c * np.real(y.conj() * d[i]) for c, y, d in zip(cs, ys, first)), x) for i, x in enumerate(xs)]
    hs = [shrunk(sum(2 * c * np.real(d[i].conj() * d[j] + y.conj() * partial(k, unit(i, j))) * v
                     for k, (c, y, d) in enumerate(zip(cs, ys, first)) for j, v in enumerate(vs)), x)
          for i, x in enumerate(xs)]
    return ys, gs, hs


def record():
    """(numbers, {case: [peer, how many numbers]}), from the first peer that knows each sample."""
    peers = [("torch", torch_twins(), by_torch), ("mpmath", mpmath_twins(), by_mpmath), ("jax", jax_twins(), by_jax)]
    numbers, cases = [], {}
    for key, points in everything.items():
        why = []
        for pool, wanted in zip(candidates(points), (2, 1)):
            taken, statics = 0, []
            pool = sorted(pool, key=lambda s: sum(x.size for x in s.inputs()) > 16)  # stable: small ones first
            for other in (True, False):  # first those whose static arguments differ
                for s in pool:
                    if taken == wanted or case(s) in cases or (other and described(list(s.static.items())) in statics):
                        continue
                    for peer, twins, compute in peers:
                        try:
                            f = twins[spelled(key)]
                        except KeyError:
                            continue
                        try:
                            with warnings.catch_warnings():
                                warnings.simplefilter("ignore")
                                found = compute(f, case(s), s.inputs(), s.static)
                        except Exception as error:
                            why.append(f"{peer}: {type(error).__name__} {error!s:.90}")
                            continue
                        row = flat([*floating(s.inputs()), *(a for part in found for a in part)])
                        if not np.isfinite(flat(a for part in found for a in part)).all():
                            why.append(f"{peer}: not finite")
                            continue
                        cases[case(s)] = [peer, row.size]
                        numbers.append(row)
                        statics.append(described(list(s.static.items())))
                        taken += 1
                        break
        if not any(name.split(" ")[0] == spelled(key) for name in cases):
            print(f"without: {spelled(key)}  {'; '.join(sorted(set(why)))[:300]}")
    return np.concatenate(numbers), cases


def hips():
    """The names of the functions for which autograd has a vector-Jacobian product."""
    import importlib
    import pkgutil

    import autograd
    from autograd.core import primitive_vjps
    modules = [importlib.import_module(m.name) for m in pkgutil.walk_packages(autograd.__path__, "autograd.")]
    names = {f: [] for f in primitive_vjps}
    for module in modules:
        for name, value in vars(module).items():
            if callable(value) and value.__hash__ and value in names:
                names[value].append(f"{module.__name__}.{name}")
    best = set()
    for f, found in names.items():
        found = [n for n in found if not any(part in n for part in ("numpy_wrapper.", "_jvps.", "_vjps."))] or found
        own = [n for n in found if n.endswith(f".{f.__name__}")] or found or [f"autograd.{f.__name__}"]
        name = own[0].removeprefix("autograd.") if own[0].startswith(("autograd.numpy", "autograd.scipy")) else own[0]
        for lead in ("_original_", "_primitive_", "numpy_wrapper."):
            name = name.replace(f".{lead}", ".")
        best.add(name)
    return sorted(best)


def main():
    import autograd
    import jax
    import mpmath
    import scipy
    import torch
    del autograd
    from importlib.metadata import version
    versions = {"torch": torch.__version__, "jax": jax.__version__, "mpmath": mpmath.__version__,
                "numpy": np.__version__, "scipy": scipy.__version__, "python": platform.python_version()}
    numbers, cases = record()
    np.savez_compressed(HERE / "operators.npz", numbers=numbers,
                        contents=np.array(json.dumps({"versions": versions, "cases": cases})))
    names = {"autograd": version("autograd"), "names": hips()}
    (HERE / "hips.json").write_text(json.dumps(names, indent=0) + "\n", encoding="utf-8")
    print(f"{len(cases)} cases of {len({name.split(' ')[0] for name in cases})} ops, "
          f"{(HERE / 'operators.npz').stat().st_size / 1024:.0f} kB; {len(names['names'])} names of autograd")


if __name__ == "__main__":
    main()
