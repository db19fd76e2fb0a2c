"""One formula, two speeds: what is compiled is the formula's own text, and gives what the formula gives."""

from __future__ import annotations

import importlib.util
import inspect
import itertools
import linecache
import os
import subprocess
import sys

import numpy as np
import pytest
from nightly import NIGHTLY
from test_threads import taking

import minigrad as mg
from minigrad import Parameter, Tensor, functional, kernels, optim
from minigrad.kernels import compiled
from minigrad.optim.optimizer import WORTH, Optimizer

numba = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="needs Numba, the extra fast")
ELEMENTWISE = [c for _, c in sorted(vars(optim).items()) if inspect.isclass(c) and issubclass(c, Optimizer)
               and c.elementwise and not c.needs_graph
               and isinstance(inspect.getattr_static(c, "update", None), staticmethod)]
SWITCHES = {"SGD": [{"momentum": 0.9}, {"momentum": 0.9, "nesterov": True, "dampening": 0}, {"weight_decay": 0.1}],
            "Adam": [{"amsgrad": True}, {"weight_decay": 0.1, "decoupled_weight_decay": True},
                     {"maximize": True, "epsilon_hat": True}],
            "RMSprop": [{"momentum": 0.9, "centered": True}], "AdaBound": [{"amsbound": True}]}


def run(cls, arguments, kernel, dtype, steps=3):
    """Weights and slots after some steps, weights enough to be worth compiling."""
    rng = np.random.default_rng(1)
    params = [Parameter(rng.standard_normal(shape).astype(dtype)) for shape in ((WORTH,), (3, 4), ())]
    with kernels.using(kernel), np.errstate(over="ignore", divide="ignore"):
        np.random.default_rng(0)
        keywords = {"generator": np.random.default_rng(2)} if "generator" in inspect.signature(cls).parameters else {}
        optimizer = cls(params, **arguments, **keywords)
        for _ in range(steps):
            for p in params:
                p.grad = Tensor(rng.standard_normal(p.shape).astype(dtype) * (rng.random(p.shape) < 0.9))
            optimizer.step(lambda: Tensor(np.asarray(1.5, dtype)))
    return [p.data for p in params] + [a for p in params for a in optimizer.state[p].values()
                                       if isinstance(a, np.ndarray)]


@numba
@pytest.mark.parametrize("cls, arguments, dtype", [
    pytest.param(c, given, dtype, id=f"{c.__name__}-{n}-{dtype}") for i, c in enumerate(ELEMENTWISE)
    for dtype in (["float32", "float64"] if NIGHTLY or i % 3 == 0 else ["float32"])  # each is compiled: 0.3 s
    for n, given in enumerate([{}, *SWITCHES.get(c.__name__, [])])])
def test_compiled_optimizers_do_what_their_formulas_do(cls, arguments, dtype, monkeypatch):
    monkeypatch.setattr(compiled, "refused", {})
    kernels.elementwise.cache_clear()
    fast = run(cls, arguments, "compiled", dtype)
    assert compiled.refused == {}, "every elementwise update is to compile"
    slow = run(cls, arguments, "reference", dtype)
    assert len(fast) == len(slow) > 2
    for a, b in zip(fast, slow):
        assert a.dtype == b.dtype == np.dtype(dtype)
        # most are equal to the bit; powers and exponentials differ in the last one, Numba's from NumPy's
        units = (2000 if cls is optim.Ftrl else 8) * np.finfo(dtype).eps  # Ftrl takes one root from another
        np.testing.assert_allclose(a, b, units, units)


@numba
def test_adam_is_equal_to_the_bit():
    for a, b in zip(run(optim.Adam, {}, "compiled", "float32", 20), run(optim.Adam, {}, "reference", "float32", 20)):
        np.testing.assert_array_equal(a, b)


@numba
def test_not_a_number_infinity_and_zero_are_as_in_numpy():
    grads = np.zeros(WORTH, np.float32)
    grads[:5] = np.nan, np.inf, -np.inf, 1e30, -0.0
    for name in ("Adam", "AMSGrad", "Adamax", "Lion", "Rprop", "ADOPT"):
        found = []
        for kernel in ("compiled", "reference"):
            p = Parameter(np.ones(WORTH, np.float32))
            optimizer = getattr(optim, name)([p])
            with kernels.using(kernel), np.errstate(all="ignore"):
                for _ in range(3):
                    p.grad = Tensor(grads)
                    optimizer.step()
            found.append(p.data)
        np.testing.assert_array_equal(*found, err_msg=name)


@numba
def test_small_models_are_not_compiled(monkeypatch):
    monkeypatch.setattr(kernels, "elementwise", None)
    p = Parameter(np.ones(WORTH - 1))
    optimizer = optim.SGD([p], lr=1.0)
    p.grad = Tensor(p.data)
    with kernels.using("compiled"):
        optimizer.step()
    assert not p.data.any()


@numba
def test_the_choice_may_change_between_steps():
    p = Parameter(np.ones(WORTH))
    optimizer = optim.SGD([p], lr=0.5)
    for kernel in ("compiled", "reference", "compiled"):
        p.grad = Tensor(np.ones(WORTH))
        with kernels.using(kernel):
            optimizer.step()
    assert (p.data == -0.5).all()


def adam_like(w, g, m, top, lr, beta, eps, clip, t):
    """The docstring is no statement of the loop."""
    if clip:
        eps = eps + 1
    m += (1 - beta) * (g - m)
    if top is not None:
        top[...] = np.maximum(top, m)
        m = top
    if t == 1:
        w -= lr * g
        return
    w -= lr * np.where(m > 0, np.clip(m, -1, 1), 0) / (np.sqrt(m * m) + eps)


def test_the_text_of_a_loop():
    text = compiled.loop_text(adam_like, ("w", "g", "m", "top"), ("w", "m", "top"))
    before, _, loop = text.partition("    for _i in range(w.size):\n")
    assert "eps = eps + 1" in before and "number0 = as_dtype(1 - beta)" in before
    assert "m_kept = m_" in loop and "m[_i] = m_kept" in loop and "top_ = np.maximum(top_, m_)" in loop
    assert "lr" not in loop and "None" not in text, "numbers are cast once, what is None is known"
    without = compiled.loop_text(adam_like, ("w", "g", "m"), ("w", "m", "top"))
    assert "top_" not in without and "m_kept" not in without


@numba
@pytest.mark.parametrize("t", [1, 2])
@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("top", [False, True])
def test_every_kind_of_statement(t, clip, top):
    rng = np.random.default_rng(0)
    arrays = dict(zip("wgm", rng.standard_normal((3, 50))))
    copies = {k: a.copy() for k, a in arrays.items()}
    tops = [rng.standard_normal(50) if top else None] * 2
    tops = [a if a is None else a.copy() for a in tops]
    names = ("w", "g", "m", "top")[:3 + top]
    loop = kernels.elementwise(adam_like, names, ("w", "m", "top"), np.dtype("float64"))
    assert loop is not adam_like
    loop(*arrays.values(), tops[0], 0.1, 0.9, 1e-3, clip, t)
    adam_like(*copies.values(), tops[1], 0.1, 0.9, 1e-3, clip, t)
    for name in arrays:
        np.testing.assert_array_equal(arrays[name], copies[name], err_msg=name)
    if top:
        np.testing.assert_array_equal(*tops)


def mean(w, g, lr):
    w -= lr * np.mean(g)


def first(w, g, lr):
    w -= lr * g[0]


def again(w, g, lr):
    w -= lr * g
    lr = lr / 2
    w -= lr * g


def moved(w, g, v, lr):
    if lr > 1:
        w = v
    w -= lr * g


@numba
@pytest.mark.parametrize("formula, why", [(mean, "np.mean(g) is not of single elements"),
                                          (first, "g[0] is not of single elements"), (again, "lr is set again"),
                                          (moved, "w stands for another array in the end")])
def test_what_has_no_counterpart_runs_as_it_stands(formula, why, monkeypatch):
    monkeypatch.setattr(compiled, "refused", {})
    names = tuple(inspect.signature(formula).parameters)[:-1]
    assert kernels.elementwise(formula, names, names[:1], np.dtype("float32")) is formula
    assert [text for text in compiled.refused.values()] == [why]


def unknown_to_numba(w, g, lr):
    w -= lr.real * np.spacing(g) if lr.hex() else g


@numba
def test_what_numba_refuses_runs_as_it_stands(monkeypatch):
    monkeypatch.setattr(compiled, "refused", {})
    w, g = np.ones(5), np.ones(5)
    loop = kernels.elementwise(unknown_to_numba, ("w", "g"), ("w",), np.dtype("float64"))
    loop(w, g, 1.0)
    loop(w, g, 1.0)
    np.testing.assert_array_equal(w, 1 - 2 * np.spacing(1.0))
    assert list(compiled.refused) == [f"{__name__}.unknown_to_numba"]


@numba
def test_a_formula_without_a_text_runs_as_it_stands():
    scope = {}
    exec("def f(w, g, lr):\n    w -= lr * g", scope)
    assert kernels.elementwise(scope["f"], ("w", "g"), ("w",), np.dtype("float64")) is scope["f"]


def test_using():
    before = kernels.chosen()
    with kernels.using("reference"):
        assert kernels.chosen() == "reference"
    assert kernels.chosen() == before
    with pytest.raises(ValueError, match="got 'fast'"), kernels.using("fast"):
        pass


def test_compiled_needs_numba(monkeypatch):
    monkeypatch.setattr(compiled, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'minigrad\[fast\]'"), kernels.using("compiled"):
        pass


@pytest.mark.parametrize("name", ["reference", "nonsense"])
def test_the_environment_chooses(name):
    code = "import minigrad; print(minigrad.kernels.chosen())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          env={"MINIGRAD_KERNELS": name, "PYTHONPATH": ":".join(sys.path)})
    if name == "reference":
        assert done.stdout == "reference\n", done.stderr
    else:
        assert done.returncode and "MINIGRAD_KERNELS is 'nonsense'" in done.stderr


def test_importing_minigrad_leaves_numba_alone():
    code = "import sys, minigrad; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          env={"PYTHONPATH": ":".join(sys.path)})
    assert done.stdout == "False\n", done.stderr


def test_a_text_that_is_not_the_formulas_is_not_used(tmp_path, monkeypatch):
    """As when its file is edited while the program runs."""
    (tmp_path / "rules.py").write_text("def rule(w, g, lr):\n    w -= lr * g\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import rules
    assert "w_ -= number0 * g_" in compiled.loop_text(rules.rule, ("w", "g"), ("w",))
    linecache.clearcache()
    (tmp_path / "rules.py").write_text("def rule(w, g, lr):\n    w += lr * g\n")
    with pytest.raises(compiled.Untranslatable, match="its file was changed after it had been loaded"):
        compiled.loop_text(rules.rule, ("w", "g"), ("w",))


# ---- memory ----
FAULTS = """
import resource, numpy as np
from minigrad import Tensor, functional as F, models
from minigrad.kernels import memory
model, x = models.cnn(), Tensor(np.ones((128, 1, 28, 28), np.float32))
def step():
    F.cross_entropy(model(x), np.zeros(128, int)).backward()
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 5, memory.keep())
"""


def test_the_next_step_uses_the_memory_of_the_last():
    pytest.importorskip("resource")

    def faults(**environment):
        run = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True,
                             env={**os.environ, **environment})
        return run.stdout.split()
    count, kept = faults()
    if kept == "False":
        pytest.skip("no glibc here, or the environment says how it shall be")
    assert int(count) < 100 < int(faults(MALLOC_TOP_PAD_="131072")[0])  # glibc's own settings


def test_without_glibc_nothing_is_asked(monkeypatch):
    from minigrad.kernels import memory
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    assert memory.keep() is False


# ---- loops beside their twins ----
WINDOWS = [((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)),
           ((3, 2), (1, 2), ((1, 2), (0, 1)), (1, 1)),
           ((2, 3), (2, 1), ((1, 1), (2, 0)), (3, 2)),
           ((1, 5), (3, 1), ((0, 0), (4, 3)), (1, 1))]


@pytest.fixture
def twins(monkeypatch):
    """f(name, *args) -> what `reference` and what the loops give."""
    pytest.importorskip("numba")
    monkeypatch.setattr(kernels.images, "WORTH", 0)

    def both(name, *args):
        loops, called = kernels.images.loops(), []
        with monkeypatch.context() as patch:
            patch.setattr(kernels.images, "loops", lambda: called.append(name) or loops)
            ours = run_compiled(name, *args)
        assert called, "the twin was asked"
        return getattr(kernels.reference, name)(*args), ours
    return both


def run_compiled(name, *args):
    with kernels.using("compiled"):
        return getattr(kernels.images, name)(*args)


def images(shape, dtype, order, ties=False, nan=False):
    chance = np.random.default_rng(sum(shape))
    x = chance.integers(-2, 3, shape) if ties else chance.standard_normal(shape)
    x = np.where(chance.random(shape) < 0.05, np.nan, x) if nan else x
    x = x.astype(dtype)
    return kernels.reference.batch_first(kernels.reference.batch_last(x)) if order == "batch last" else x


@pytest.mark.parametrize("settings", WINDOWS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["batch first", "batch last"])
def test_loops_equal_their_twins(twins, settings, dtype, order):
    same = lambda pair: np.testing.assert_array_equal(*pair, strict=True)
    shape = (7, 3, 9, 8)
    for ties, nan in ((False, False), (True, False), (False, True), (True, True)):
        x = images(shape, dtype, order, ties, nan)
        y = kernels.reference.max_pool(x, *settings)
        g = images(y.shape, dtype, order)
        same(twins("max_pool", x, *settings))
        put = twins("pool_put", g, x, y, *settings)
        if settings is WINDOWS[0]:
            same(put)
        else:
            np.testing.assert_allclose(*put, rtol=0, atol=20 * np.finfo(dtype).eps, strict=True)
    same(twins("window_sum", images(shape, dtype, order), *settings))
    same(twins("window_spread", g, shape, *settings))


@pytest.mark.parametrize("settings", WINDOWS)
def test_threads_share_pooling(twins, settings, monkeypatch):
    monkeypatch.setattr(kernels.threads, "SHARED", 0)
    x = images((3, 5, 9, 8), np.float32, "batch last", ties=True)
    y = kernels.reference.max_pool(x, *settings)
    g = images(y.shape, np.float32, "batch first")
    calls = [("max_pool", x), ("pool_put", g, x, y), ("window_sum", x), ("window_spread", g, x.shape)]
    found = {}
    for n in (1, 2, 3):
        with taking(n):
            found[n] = [twins(*call, *settings)[1] for call in calls]
    for one, *others in zip(*found.values()):
        for other in others:
            np.testing.assert_array_equal(one, other, strict=True)


# x, output channels, kernel, stride, padding, dilation, groups
CONVS = {"one by one": ((16, 4, 5, 4), 4, (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
         "one more image than lanes": ((17, 5, 7, 9), 7, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
         "as large as the image": ((31, 4, 4, 5), 4, (4, 5), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
         "strides that leave a rest": ((33, 5, 8, 11), 6, (3, 2), (2, 3), ((0, 0), (0, 0)), (1, 1), 1),
         "strides of rows": ((40, 4, 8, 9), 5, (2, 3), (3, 1), ((0, 1), (0, 0)), (1, 1), 1),
         "strides beyond the kernel": ((64, 4, 9, 10), 4, (1, 2), (2, 4), ((0, 0), (0, 0)), (1, 1), 1),
         "dilation": ((65, 6, 9, 10), 9, (3, 2), (1, 1), ((0, 0), (0, 0)), (2, 3), 1),
         "all of it": ((18, 10, 9, 8), 14, (3, 2), (2, 1), ((2, 1), (0, 3)), (2, 2), 2),
         "much padding": ((23, 4, 2, 3), 4, (3, 3), (2, 2), ((4, 3), (2, 5)), (1, 2), 1),
         "groups": ((111, 12, 3, 4), 15, (2, 2), (1, 1), ((1, 0), (0, 1)), (1, 1), 3),
         "long rows": ((130, 4, 2, 41), 4, (2, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
         "many channels": ((16, 70, 4, 5), 33, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
         "one channel": ((20, 1, 6, 7), 8, (5, 5), (1, 1), ((2, 2), (2, 2)), (1, 1), 1),
         "to one channel": ((20, 8, 6, 7), 1, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
         "depthwise": ((19, 5, 6, 7), 10, (3, 3), (1, 2), ((1, 1), (1, 1)), (1, 1), 5),
         "one image": ((1, 4, 17, 23), 5, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
         "a few images": ((3, 4, 9, 8), 6, (3, 2), (2, 1), ((2, 1), (0, 3)), (2, 2), 2)}


def tiled(name):
    """Enough images and channels that loops are to do it."""
    (n, channels, *_), outputs, *_, groups = CONVS[name]
    return n >= 16 and min(channels, outputs) // groups >= 4


def convolutions(name, dtype, order):
    """(function, arguments) of the three."""
    shape, outputs, kernel, *how = CONVS[name]
    size = kernels.reference.output_size(shape[2:], kernel, *how[:3])
    x, g = images(shape, dtype, order), images((shape[0], outputs, *size), dtype, order)
    w, bias = images((outputs, shape[1] // how[3], *kernel), dtype, order), images((outputs,), dtype, "")
    return [("conv", (x, w, *how)), ("conv", (x, w, *how, bias)), ("conv_input_grad", (g, w, shape, *how)),
            ("conv_weight_grad", (x, g, w.shape, *how))]


def sizes(args):
    """The same of absolute values, in double precision: what a sum's rounding is measured by."""
    return [np.abs(a).astype(float) if isinstance(a, np.ndarray) else a for a in args]


class Fenced:
    """NumPy, but what `empty` gives lies between numbers that nobody may change."""

    def __init__(self):
        self.fences = []

    def __getattr__(self, name):
        return getattr(np, name)

    def empty(self, shape, dtype):
        size, fence = int(np.prod(shape)), 1024
        whole = np.full(size + 2 * fence, 123, dtype)
        self.fences += [whole[:fence], whole[fence + size:]]
        return whole[fence:fence + size].reshape(shape)


@pytest.mark.parametrize(("name", "dtype", "order"), [
    (name, dtype, order) for i, name in enumerate(CONVS)
    for j, (dtype, order) in enumerate(itertools.product([np.float32, np.float64], ["batch first", "batch last"]))
    if NIGHTLY or (i + j) % 2 == 0])
def test_convolution_equals_its_twin_on_any_number_of_threads(twins, name, dtype, order, monkeypatch):
    for function, args in convolutions(name, dtype, order):
        scale = getattr(kernels.reference, function)(*sizes(args))
        theirs, found = getattr(kernels.reference, function)(*args), []
        for n in (1, 2, 3):
            with taking(n), monkeypatch.context() as patch:
                patch.setattr(kernels.images, "np", Fenced())
                if tiled(name):
                    patch.setattr(kernels.reference, function, lambda *_: pytest.fail("loops are to do it"))
                    ours = run_compiled(function, *args)
                else:
                    ours = twins(function, *args)[1]
                assert all((fence == 123).all() for fence in kernels.images.np.fences)
            assert ours.dtype == dtype and ours.shape == theirs.shape and ours.flags.writeable
            assert (np.abs(ours - theirs) <= 4 * np.finfo(dtype).eps * scale).all(), (function, n)
            assert len(theirs) == 1 or function == "conv_weight_grad" or ours.strides[0] == ours.itemsize
            found.append(ours)
        for other in found[1:]:
            np.testing.assert_array_equal(found[0], other, function)


@pytest.mark.parametrize("name", ["all of it", "depthwise", "one image"])
def test_convolution_of_arrays_with_gaps(twins, name):
    """Neither x, g, w nor bias lie densely in memory."""
    def apart(a):
        return np.repeat(a, 2, -1)[..., ::2] if isinstance(a, np.ndarray) else a

    def one_number(a):
        return np.broadcast_to(a.reshape(-1)[0], a.shape) if isinstance(a, np.ndarray) else a
    for function, args in convolutions(name, np.float32, "batch first"):
        dense, ours = (run_compiled(function, *given) for given in (args, map(apart, args)))
        np.testing.assert_allclose(ours, dense, 1e-4, 1e-4, err_msg=function, strict=True)  # by BLAS in another order
        np.testing.assert_allclose(*twins(function, *map(one_number, args)), rtol=1e-5, atol=1e-5, strict=True)


def test_convolution_leaves_what_it_is_given_alone(twins):
    for function, args in convolutions("strides of rows", np.float32, "batch last"):
        expected = run_compiled(function, *args)
        for a in args:
            if isinstance(a, np.ndarray):
                a.flags.writeable = False
        np.testing.assert_array_equal(run_compiled(function, *args), expected)


@pytest.mark.parametrize("name", ["all of it", "groups", "long rows", "a few images"])
def test_convolutions_three_are_each_others_adjoints(twins, name):
    """<g, conv(x, w)> = <conv_input_grad(g, w), x> = <conv_weight_grad(x, g), w>."""
    (_, (x, w, *_)), _, (_, (g, *_)), _ = calls = convolutions(name, np.float64, "batch last")
    y, _, dx, dw = (twins(*call[:1], *call[1])[1] for call in calls)
    np.testing.assert_allclose([np.vdot(g, y), np.vdot(dx, x)], np.vdot(dw, w), rtol=1e-10)


def test_convolution_of_infinity_and_not_a_number(twins):
    _, (function, args), *_ = convolutions("strides that leave a rest", np.float32, "batch first")
    x = args[0].copy()
    x[0, 0, 0, 0], x[1, 1, 1, 1], x[2, 0, 7, 10] = np.nan, np.inf, np.nan  # the last is in no window
    x[32] = np.nan
    theirs, ours = twins(function, x, *args[1:])
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
    assert np.isfinite(ours[2:32]).all() and not np.isfinite(ours[:2]).all() and np.isnan(ours[32]).all()
    np.testing.assert_allclose(ours, theirs, 1e-5, 1e-5)


@pytest.mark.parametrize("nothing", [(0, 3, 4, 4), (2, 0, 4, 4)])
@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("shared", [0, 10**6])
def test_loops_of_nothing(twins, nothing, n, shared, monkeypatch):
    monkeypatch.setattr(kernels.threads, "SHARED", shared)
    x, how = np.zeros(nothing, np.float32), WINDOWS[0]
    y = kernels.reference.max_pool(x, *how)
    with taking(n):
        for pair in (twins("max_pool", x, *how), twins("pool_put", y, x, y, *how), twins("window_sum", x, *how),
                     twins("window_spread", y, x.shape, *how)):
            np.testing.assert_array_equal(*pair, strict=True)


@pytest.mark.parametrize("shape, outputs", [((0, 3, 4, 4), 2), ((2, 0, 4, 4), 2), ((2, 3, 4, 4), 0)])
@pytest.mark.parametrize("n", [1, 2])
def test_convolution_of_nothing(twins, shape, outputs, n):
    x, w, g = (np.ones(s, np.float32) for s in (shape, (outputs, shape[1], 2, 2), (shape[0], outputs, 3, 3)))
    how = (1, 1), ((0, 0), (0, 0)), (1, 1), 1
    with taking(n):
        for pair in (twins("conv", x, w, *how), twins("conv", x, w, *how, np.ones(outputs, np.float32)),
                     twins("conv_input_grad", g, w, shape, *how), twins("conv_weight_grad", x, g, w.shape, *how)):
            np.testing.assert_array_equal(*pair, strict=True)


def test_what_loops_cannot_do_numpy_does(monkeypatch):
    monkeypatch.setattr(kernels.images, "WORTH", 0)
    monkeypatch.setattr(kernels.images, "loops", lambda: pytest.fail("Numba was asked for"))
    numbers = (2,), (2,), ((0, 0),), (1,)
    assert kernels.max_pool(np.ones((2, 1, 4), np.float32), *numbers).shape == (2, 1, 2)
    assert kernels.max_pool(np.ones((2, 1, 4, 4), int), *WINDOWS[0]).dtype == int
    ones, how = np.ones((2, 1, 4, 4), np.float32), ((1, 1), ((0, 0), (0, 0)), (1, 1), 1)
    for x, w in ((ones, ones.astype(float)), (ones.astype(float), ones)):
        assert kernels.conv(x, w, *how).dtype == float
    assert kernels.conv(ones, ones, *how, np.ones(2)).tolist() == [[[[17]], [[17]]]] * 2
    assert kernels.conv(ones.astype(np.float16), ones.astype(np.float16), *how).dtype == np.float16
    assert kernels.conv(ones[0], ones[0], (1,), ((0, 0),), (1,), 1).shape == (1, 1, 1)
    monkeypatch.setattr(kernels.images, "WORTH", 1000)
    assert kernels.max_pool(np.ones((2, 1, 4, 4), np.float32), *WINDOWS[0]).shape == (2, 1, 2, 2)


def test_an_infinite_gradient_stays_where_it_belongs():
    x, g = np.arange(4.0).reshape(1, 1, 2, 2), np.full((1, 1, 1, 1), np.inf)
    for stride in ((2, 2), (1, 1)):
        put = kernels.reference.pool_put(g, x, np.full((1, 1, 1, 1), 3.0), (2, 2), stride, ((0, 0), (0, 0)), (1, 1))
        assert put.ravel().tolist() == [0, 0, 0, np.inf]


RATE = 0.5


def with_a_global(w, g):
    w[...] = w - RATE * g


@numba
def test_a_number_that_may_change_is_not_frozen(monkeypatch):
    monkeypatch.setattr(compiled, "refused", {})
    found = kernels.elementwise(with_a_global, ("w", "g"), ("w",), np.dtype("float32"))
    assert found is with_a_global and "RATE may change" in next(iter(compiled.refused.values()))


# ---- what a review found ----
def images_of(*shape, dtype=np.float32):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


@numba
@pytest.mark.parametrize("sides", [5, 40])
def test_normalization_under_vmap(sides):
    x = Tensor(images_of(3, 6, 4, sides, sides))
    for norm in (lambda x: functional.batch_norm(x, training=True), lambda x: functional.group_norm(x, 2),
                 lambda x: functional.group_norm(x, 1), functional.instance_norm,
                 lambda x: functional.layer_norm(x, (sides, sides))):
        for f in (norm, lambda x, norm=norm: mg.grad(lambda x: (norm(x) * np.cos(x)).sum())(x)):
            one_by_one = np.stack([f(x[i]).data for i in range(3)])
            np.testing.assert_allclose(mg.vmap(f)(x).data, one_by_one, rtol=1e-4, atol=1e-4)


@numba
def test_one_group_of_many_values():
    x = images_of(32, 4, 32, 32)
    ours, flat = functional.group_norm(Tensor(x), 1).data, x.reshape(32, -1).astype(np.float64)
    expected = (flat - flat.mean(1, keepdims=True)) / np.sqrt(flat.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(ours.reshape(32, -1), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n", [1, 3, 8, 11, 13])
def test_a_bias_that_does_not_fit(n):
    with pytest.raises(ValueError, match="one number for each of the 12 outputs"):
        functional.conv2d(Tensor(images_of(32, 8, 16, 16)), Tensor(images_of(12, 8, 3, 3)), Tensor(images_of(n)))


def test_a_kernel_of_nothing():
    with pytest.raises(ValueError, match="a kernel of at least 1"):
        functional.conv2d(Tensor(images_of(32, 8, 16, 16)), Tensor(images_of(12, 8, 0, 3)))


@numba
def test_arrays_that_do_not_fit_are_refused_not_read_beyond_their_end():
    how = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1}
    x, w, g = images_of(32, 8, 16, 16), images_of(12, 8, 3, 3), images_of(32, 12, 14, 14)
    with kernels.using("compiled"):
        for call in (lambda: mg.primitives.conv(x, images_of(12, 16, 3, 3), **how),
                     lambda: mg.primitives.conv_input_grad(images_of(32, 16, 14, 14), w, shape=x.shape, **how),
                     lambda: mg.primitives.conv_weight_grad(x, images_of(32, 12, 15, 15), shape=w.shape, **how),
                     lambda: mg.primitives.conv_weight_grad(x, g[:16], shape=w.shape, **how)):
            with pytest.raises(ValueError, match=r"\w"):
                call()


@numba
def test_sums_over_a_million_values_stay_exact():
    loops = kernels.images.loops()
    rows = np.stack([np.full(1_000_001, 0.1, np.float32), (1e6 + 10 * images_of(1_000_001)).astype(np.float32)])
    exact, total, mean, var = rows.astype(np.float64), *np.empty((3, 2), np.float32)
    loops.sums(rows, total)
    loops.moments(rows, mean, var)
    np.testing.assert_allclose(total, exact.sum(1), 1e-6)
    np.testing.assert_allclose(mean, exact.mean(1), 1e-6)
    np.testing.assert_allclose(var[1], exact[1].var(), 1e-5)
    g, d = images_of(2, 1_000_001), np.empty_like(rows)
    loops.normalize_input_grad(1e-5, g, rows, np.ones(2, np.float32), d)
    h = (exact[1] - exact[1].mean()) / np.sqrt(exact[1].var() + 1e-5)
    expected = (g[1] - g[1].mean(dtype=np.float64) - h * (g[1] * h).mean()) / np.sqrt(exact[1].var() + 1e-5)
    np.testing.assert_allclose(d[1], expected, atol=1e-5)


@numba
def test_large_weights_gradients_are_shared_and_do_not_depend_on_the_number_of_threads():
    x, g = images_of(32, 256, 6, 6), images_of(32, 128, 4, 4)
    found = []
    for n in (1, 2, 3):
        with taking(n), kernels.using("compiled"):
            found.append(kernels.conv_weight_grad(x, g, (128, 256, 3, 3), (1, 1), ((0, 0), (0, 0)), (1, 1), 1))
    with kernels.using("reference"):
        expected = kernels.conv_weight_grad(x, g, (128, 256, 3, 3), (1, 1), ((0, 0), (0, 0)), (1, 1), 1)
    np.testing.assert_allclose(found[0], expected, atol=1e-3)
    assert all((f == found[0]).all() for f in found)


def test_the_gradient_of_max_pooling_never_goes_into_the_padding():
    x = np.array([-np.inf, np.nan, 0, 1], np.float32).reshape(1, 1, 4, 1)
    how = (2, 1), (2, 1), ((1, 1), (0, 0)), (1, 1)
    for kind in ("reference", "compiled") if importlib.util.find_spec("numba") else ("reference",):
        with kernels.using(kind):
            y = kernels.max_pool(x, *how)
            assert kernels.pool_put(np.ones_like(y), x, y, *how).ravel().tolist() == [1, 1, 0, 1]


@numba
def test_with_numba_switched_off_numpy_does_it():
    code = """if True:
        import numpy as np
        from minigrad import functional as F, Tensor, kernels
        y = F.conv2d(Tensor(np.ones((32, 4, 20, 20), np.float32)), Tensor(np.ones((4, 4, 3, 3), np.float32)))
        assert (y.data == 36).all() and "NUMBA_DISABLE_JIT" in str(kernels.compiled.refused), kernels.compiled.refused
        """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(sys.path),
                               "MINIGRAD_KERNELS": "compiled"})
    assert done.returncode == 0, done.stderr


@numba
def test_work_shared_in_passing_does_not_keep_blas_at_rest():
    from minigrad.kernels import threads
    with taking(2):
        threads.each(str, range(4))
        kernels.settle(new_pass=True)
        assert threads.awake(), "work was shared before this pass"
        threads.share(str, 4, threads.SHARED, in_passing=True)
        kernels.settle(new_pass=True)
        assert not threads.awake() and not threads._pool.wanted
