"""Rules on large arrays: the table's own expressions, compiled, give what NumPy gives; what cannot be, NumPy does.

The list of what compiles is below, so that none is lost unnoticed.
"""

from __future__ import annotations

import importlib
import importlib.util
import linecache
import math
import os
import subprocess
import sys
import types

import numpy as np
import pytest
from samples import call, samples
from test_threads import taking

from minigrad import Tensor, functional, kernels
from minigrad.functional import activations
from minigrad.graph import Each, Op, pullback, table
from minigrad.kernels import compiled
from minigrad.kernels.text import lambda_text

numba = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="needs Numba, the extra fast")
ours = importlib.import_module("minigrad.kernels.rules")  # `kernels.rules` is the function
SHAPE, LARGE = (6, 7, 5, 4), 800

# name of the op: the inputs whose rules become loops
COMPILED = {"divide": [1], "remainder": [1], "reciprocal": [0], "square": [0], "sqrt": [0], "exp2": [0], "expm1": [0],
            "log2": [0], "log10": [0], "log1p": [0], "logaddexp": [0, 1], "sin": [0], "cos": [0], "tan": [0],
            "arcsin": [0], "arccos": [0], "arctan": [0], "sinh": [0], "cosh": [0], "tanh": [0], "clip": [0],
            "erf": [0], "erfc": [0], "erfcx": [0], "erfi": [0], "erfinv": [0], "erfcinv": [0], "dawsn": [0],
            "ndtr": [0], "ndtri": [0], "sigmoid": [0], "logit": [0], "entr": [0], "huber": [0, 1], "expi": [0],
            "exp1": [0], "fresnel": [0], "exp10": [0], "boxcox": [0], "boxcox1p": [0],
            "inv_boxcox": [0], "inv_boxcox1p": [0], "cbrt": [0], "fabs": [0], "fmod": [1], "copysign": [0],
            "heaviside": [1], "arcsinh": [0], "arccosh": [0], "arctanh": [0], "degrees": [0], "rad2deg": [0],
            "radians": [0], "deg2rad": [0], "relu": [0], "leaky_relu": [0]}
ONE_STEP = {"subtract": [1], "multiply": [0, 1], "divide": [0], "negative": [0], "exp": [0], "log": [0],
            "where": [1, 2]}  # loops only to share the work among threads
KEYS = {key: key.__name__.strip("_") for key in samples
        if key in table and key.__name__.strip("_") in {**COMPILED, **ONE_STEP}}


@pytest.fixture(autouse=True)
def from_fewer_elements(monkeypatch):
    monkeypatch.setattr(kernels, "LARGE", LARGE)


@pytest.fixture
def ran(monkeypatch):
    """The rules whose loops have run."""
    found, expression = [], compiled.expression

    def watched(rule, arrays, dtype):
        loop = expression(rule, arrays, dtype)

        def run(*args):
            loop(*args)
            found.append(rule)
        return loop and run
    monkeypatch.setattr(compiled, "expression", watched)
    ours._compiled.cache_clear()
    yield found
    ours._compiled.cache_clear()


def permuted(x, order):
    """x with its axes in this order in memory, from the outermost."""
    return np.ascontiguousarray(x.transpose(order)).transpose(np.argsort(order))


def drawn(point, dtype, order=(0, 1, 2, 3)):
    """The sample's inputs, repeated until they fill SHAPE."""
    return [permuted(np.resize(x, SHAPE), order) for x in point.inputs(dtype)]


def gradients(y, kernel, seed=0):
    """Of the leaves of y, from a drawn gradient with y's order in memory."""
    g = np.random.default_rng(seed).standard_normal(y.shape).astype(y.dtype)
    order = sorted(range(y.ndim), key=lambda i: -y.data.strides[i])
    with kernels.using(kernel), np.errstate(all="ignore"):
        return list(pullback({y.node: permuted(g, order)}, retain_graph=True).values())


def assert_close(fast, slow, units=16):
    assert fast.dtype == slow.dtype and fast.shape == slow.shape
    eps = units * np.finfo(fast.dtype).eps
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(fast, slow, eps, eps)


def values(point, dtype):
    """A sample's inputs once as arrays and, where it has two, once each with a number in one's place."""
    inputs = drawn(point, dtype, (1, 2, 3, 0))
    yield inputs
    if len(inputs) == 2 and isinstance(point.key, np.ufunc):
        for i in range(2):
            if inputs[i].dtype.kind == "f":
                yield [x.flat[0].item() if i == j else x for j, x in enumerate(inputs)]


def differentiated(key, inputs):
    """The inputs, as Tensors where loops are of their gradients."""
    name = KEYS[key]
    which = COMPILED.get(name, []) + ONE_STEP.get(name, [])
    return [Tensor(x, True) if i in which and isinstance(x, np.ndarray) and x.dtype.kind in "fc" else x
            for i, x in enumerate(inputs)]


# ---- the table ----
@numba
@pytest.mark.parametrize("key", [pytest.param(key, id=name) for key, name in KEYS.items()])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_compiled_rules_give_what_the_rules_give(key, dtype):
    for point in samples[key]:
        if any(x.size == 0 for x in point.inputs()):
            continue  # nothing to repeat
        static = {k: v for k, v in point.static.items() if np.ndim(v) == 0}
        if key is np.clip:
            static = {"a_min": -1e9, "a_max": 1e9} | static  # NumPy 2.0 wants both
        for inputs in values(point, dtype):
            y = call(key, *differentiated(key, inputs), **static)
            for part in y if isinstance(y, (tuple, list)) else [y]:
                if not isinstance(part, Tensor):
                    continue  # of numbers alone
                found = [gradients(part, kernel) for kernel in ("compiled", "reference")]
                assert len(found[0]) == len(found[1]) > 0
                for fast, slow in zip(*found):
                    assert_close(fast, slow)
                    assert fast.strides == slow.strides


@numba
@pytest.mark.parametrize("key", [pytest.param(key, id=name) for key, name in KEYS.items()])
def test_none_that_was_compiled_before_is_refused_now(key, ran):
    point = samples[key][0]
    inputs = drawn(point, np.float32)
    y = call(key, *differentiated(key, inputs), **point.static)
    gradients(y, "compiled")
    assert {y.node.op.rules[i] for i in COMPILED.get(KEYS[key], [])} <= set(ran), compiled.refused


@numba
def test_the_list_is_whole():
    assert {**COMPILED, **ONE_STEP}.keys() == set(KEYS.values())
    assert sum(map(len, [*COMPILED.values(), *ONE_STEP.values()])) == 67


@numba
@pytest.mark.parametrize("key", [pytest.param(key, id=name) for key, name in KEYS.items()])
def test_not_a_number_infinity_and_zero(key):
    """Where NumPy's rule gives them, and nowhere else."""
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 1e-30, -1e30], np.float32)
    point, n = samples[key][0], len(special)
    kinds = [x.dtype.kind for x in point.inputs(np.float32)]
    if not set(kinds) <= set("fb"):
        pytest.skip("of integers or complex numbers")
    grid = np.meshgrid(*[special] * len(kinds), indexing="ij")
    inputs = [np.resize(x.ravel(), (n * n, 8)).astype("?" if k == "b" else x.dtype) for x, k in zip(grid, kinds)]
    with np.errstate(all="ignore"):
        y = call(key, *differentiated(key, inputs), **point.static)
    for part in y if isinstance(y, (tuple, list)) else [y]:
        for fast, slow in zip(*(gradients(part, kernel) for kernel in ("compiled", "reference"))):
            assert_close(fast, slow)


@numba
@pytest.mark.parametrize("n", [1, 2, 3])
def test_threads_share_the_loops(ran, n, monkeypatch):
    monkeypatch.setattr(kernels.threads, "SHARED", 0)
    x = Tensor(permuted(np.random.default_rng(0).standard_normal(SHAPE), (2, 0, 1, 3)), True)
    with taking(n):
        for y in (np.tanh(x), -x, x * 2.0, np.where(x.data > 0, x, 1.0)):
            (slow,) = gradients(y, "reference")
            kernels.threads.each(str, range(4))  # awake, where there are more than one
            (fast,) = gradients(y, "compiled")
            np.testing.assert_array_equal(fast, slow)
            assert fast.strides == slow.strides
    assert len(ran) == 1 if n == 1 else len(ran) > 4


# ---- when they are asked ----
@numba
def test_small_arrays_and_the_reference_run_the_rules_as_they_stand(monkeypatch):
    monkeypatch.setattr(compiled, "expression", lambda *_: pytest.fail("a loop was asked for"))
    ours._compiled.cache_clear()
    small, large = (Tensor(np.linspace(0, 1, n), True) for n in (LARGE - 1, LARGE))
    np.testing.assert_array_equal(*(gradients(np.tanh(small), k)[0] for k in ("reference", "compiled")))
    gradients(np.tanh(large), "reference")
    op = table[np.tanh]
    with kernels.using("reference"):
        assert kernels.rules_of(op) is op.rules
    with pytest.raises(pytest.fail.Exception):
        gradients(np.tanh(large), "compiled")


@numba
def test_a_gradient_with_a_graph_is_of_the_rules(monkeypatch):
    monkeypatch.setattr(compiled, "expression", lambda *_: pytest.fail("a loop was asked for"))
    ours._compiled.cache_clear()
    x = Tensor(np.linspace(0, 1, LARGE), True)
    with kernels.using("compiled"):
        np.tanh(x).sum().backward(create_graph=True)
    np.testing.assert_allclose(x.grad.data, 1 - np.tanh(x.data) ** 2, 1e-12)


@numba
def test_an_op_of_any_number_of_inputs_keeps_its_rule():
    with kernels.using("compiled"):
        assert all(kernels.rules_of(op) is op.rules for op in table.values() if type(op.rules) is Each)


@numba
@pytest.mark.parametrize("shapes", [(SHAPE, ()), (SHAPE, (1,)), (SHAPE, (5, 1)), ((6, 7, 1, 4), (7, 5, 1)),
                                    ((1, *SHAPE), SHAPE)])
@pytest.mark.parametrize("op", [np.divide, np.logaddexp, np.fmod, np.multiply])
def test_inputs_of_different_shapes(op, shapes):
    r = np.random.default_rng(0)
    y = op(*(Tensor(r.uniform(0.5, 2, s), True) for s in shapes))
    for (fast, slow), s in zip(zip(*(gradients(y, kernel) for kernel in ("compiled", "reference"))), shapes):
        np.testing.assert_allclose(fast, slow, 1e-10)
        assert fast.shape == s


@numba
@pytest.mark.parametrize("dtypes", [("f4", "f8"), ("f8", "f4"), ("f2", "f2"), ("f4", "i4"), ("c8", "c8"), ("f4", "c16"),
                                    ("g", "g")])
def test_inputs_of_other_dtypes(dtypes):
    r = np.random.default_rng(0)
    a, b = (r.uniform(1, 3, LARGE).astype(d) for d in dtypes)
    y = np.divide(*(Tensor(x, True) if x.dtype.kind in "fc" else x for x in (a, b)))
    for fast, slow in zip(*(gradients(y, kernel) for kernel in ("compiled", "reference"))):
        np.testing.assert_array_equal(fast, slow, strict=True)


@numba
@pytest.mark.parametrize("dtype", [np.complex64, np.complex128, np.float32])
@pytest.mark.parametrize("op", [np.imag, np.real, np.conjugate, np.absolute, np.sign])
def test_complex_numbers(op, dtype):
    r = np.random.default_rng(0)
    z = r.standard_normal(LARGE) + 1j * r.standard_normal(LARGE)
    y = op(Tensor((z.real if np.dtype(dtype).kind == "f" else z).astype(dtype), True))
    for fast, slow in zip(*(gradients(y, kernel) for kernel in ("compiled", "reference"))):
        np.testing.assert_array_equal(fast, slow, strict=True)


@numba
@pytest.mark.parametrize("orders", [((0, 1, 2, 3), (0, 1, 2, 3)), ((1, 2, 3, 0), (1, 2, 3, 0)),
                                    ((3, 2, 1, 0), (0, 1, 2, 3)), ((1, 0, 3, 2), (3, 0, 2, 1))])
def test_any_order_in_memory(orders):
    """y in one, g in another; gaps, and what is repeated without being copied."""
    r = np.random.default_rng(0)
    y, g = (permuted(r.standard_normal(SHAPE), order) for order in orders)
    with kernels.using("compiled"):
        (rule,) = kernels.rules_of(table[np.tanh])
        for a, b in ((y, g), (y[::2], g[::2]), (y[:, ::-1], g[:, ::-1]), (y[..., 3:-2], g[..., 3:-2]),
                     (np.broadcast_to(y[:1], SHAPE), np.broadcast_to(g[:1], SHAPE)), (y[:0], g[:0]),
                     (y[0, 0, 0, 0], g[0, 0, 0, 0]), (np.asarray(y[0, 0, 0, 0]), np.asarray(g[0, 0, 0, 0])),
                     (y[:, :1], g[:, :1])):
            d = rule(b, a, a)
            np.testing.assert_array_equal(d, b * (1 - a * a), strict=True)


@numba
def test_what_a_rule_is_given_is_left_alone():
    y, g = np.linspace(0, 1, 50), np.linspace(1, 2, 50)
    for a in (y, g):
        a.flags.writeable = False
    with kernels.using("compiled"):
        d = kernels.rules_of(table[np.tanh])[0](g, y, y)
    assert d.flags.writeable and not np.shares_memory(d, g)
    np.testing.assert_array_equal(d, g * (1 - y * y))


# ---- arguments ----
def op_of(*rules):
    """An op outside the table."""
    def forward(*_):
        raise NotImplementedError
    return Op(forward, rules, forward, False, None)


def both(rule, *args, **static):
    with kernels.using("compiled"), np.errstate(all="ignore"):
        return kernels.rules_of(op_of(rule))[0](*args, **static), rule(*args, **static)


@numba
def test_static_arguments_and_their_defaults(ran):
    g, y, x = np.random.default_rng(0).standard_normal((3, 99)).astype(np.float32)
    op = table[activations._leaky_relu]
    with kernels.using("compiled"):
        (rule,) = kernels.rules_of(op)
        for static in ({}, {"slope": 0.25}, {"slope": 0}, {"slope": 2}):
            np.testing.assert_array_equal(rule(g, y, x, **static), np.where(x > 0, g, static.get("slope", 0.01) * g),
                                          strict=True)
        assert len(ran) == 4
        for slope in (np.float32(0.25), np.full(99, 0.5, np.float32), np.asarray(0.25, np.float32)):
            np.testing.assert_array_equal(rule(g, y, x, slope=slope), np.where(x > 0, g, slope * g), strict=True)


SAME = {
    "number in place of an input": (lambda g, y, a, b: g * b / (1 + a), True),
    "mask": (lambda g, y, x: g * (x > 0) * (x < 1), True),
    "mask and mask": (lambda g, y, x: np.where((x > 0) & ~(x > 1) | (x < -1), g * x, -g), True),
    "powers": (lambda g, y, x: g * x ** 2 + 3 * x ** 3, True),
    "numpy's numbers": (lambda g, y, x: g * x * np.pi / math.e, True),
    "names": (lambda u, z, v: u * z + np.exp(-v * v), True),
    "a default": (lambda g, y, x, n=3: g * x / n, True),
    "two calls": (lambda g, y, x: np.maximum(g, x) * np.minimum(y, x) + np.sign(x) + np.isfinite(x), True),
    "clip": (lambda g, y, x: g * np.clip(x, -0.5, 0.5), True),
    "sum of masks": (lambda g, y, x: g * ((x > 0) + (x > 0.5)), False),
    "clip of one side": (lambda g, y, x: g * np.clip(x, None, 0.5), False),
    "a ufunc that Numba lacks": (lambda g, y, x: g * np.float_power(x, 2).astype(x.dtype), False),
    "a ufunc Numba has no loop for": (lambda g, y, x: g * x + np.bitwise_count((x > 0).astype(np.int8)), False),
    "a ufunc of vectors": (lambda g, y, x: g * np.matmul(x, x), False),
    "a ufunc of two results": (lambda g, y, x: g * x * np.modf(x)[0], False),
    "a product of ints": (lambda g, y, x, n=-1: g * x * 2.0 ** n, True),
    "a power of ints": (lambda g, y, x, n=-1: g * x * 2 ** n, False),
    "a keyword alone": (lambda g, y, x, *, k=2.0: g * x * k, False),
    "any keyword": (lambda g, y, x, **s: g * x * len(s), False),
    "a sum": (lambda g, y, x: g * x.sum(), False),
    "an index": (lambda g, y, x: g * x[0], False),
    "any shape": (lambda g, y, x: (g * x).reshape(-1), False),
    "a comprehension": (lambda g, y, x: sum([g * x for _ in range(2)]), False),
    "a number alone": (lambda g, y, x: g * 0 + 1, True),
    "remainder": (lambda g, y, x: g * (x % 0.3) + x // 0.7, True),
    "complex": (lambda g, y, x: g * x * 1j, False),
}


@numba
@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_rules_say(name, dtype, ran):
    rule, compiles = SAME[name]
    inputs = np.random.default_rng(0).standard_normal((4, 50)).astype(dtype)[:rule.__code__.co_argcount
                                                                            - len(rule.__defaults__ or ())]
    try:
        with np.errstate(all="ignore"):
            expected = rule(*inputs)
    except (TypeError, AttributeError, IndexError) as error:  # as the rule does
        with pytest.raises(type(error)):
            both(rule, *inputs)
        return
    fast, _ = both(rule, *inputs)
    if expected.dtype.kind == "c":
        np.testing.assert_allclose(fast, expected, 1e-6)
        assert fast.dtype == expected.dtype
    else:
        assert_close(fast, expected)
    assert bool(ran) or not compiles, compiled.refused


@numba
def test_numbers_in_place_of_inputs(ran):
    g, x = np.random.default_rng(0).standard_normal((2, 50)).astype(np.float32)
    rule = SAME["number in place of an input"][0]
    for a, b in ((x, 2.5), (3, x), (x, 0), (1, 2.0), (x, True), (x, np.float32(2)), (x, 2**70), (x, math.inf)):
        fast, slow = both(rule, g, x, a, b)
        assert_close(fast, slow, 2)
    assert len(ran) >= 4


@numba
def test_a_variable_of_a_function_around():
    def made(k):
        return lambda g, y, x: g * x * k
    g, x = np.random.default_rng(0).standard_normal((2, 50))
    for k in (2.0, 3.0):
        np.testing.assert_array_equal(*both(made(k), g, x, x))


SLOPE = 2.0


@numba
def test_a_variable_that_changes(monkeypatch):
    """A loop would have kept what it was at first."""
    g, x = np.random.default_rng(0).standard_normal((2, 50))
    op = op_of(lambda g, y, x: g * (SLOPE * x))
    for slope in (2.0, 3.0, 2.0):
        monkeypatch.setattr(sys.modules[__name__], "SLOPE", slope)
        with kernels.using("compiled"):
            np.testing.assert_allclose(kernels.rules_of(op)[0](g, x, x), g * slope * x, 1e-15)


@numba
def test_a_variable_that_changes_from_run_to_run(tmp_path):
    """So would the file that keeps loops for the next run."""
    (tmp_path / "mine.py").write_text("""if True:
        import os
        import numpy as np
        from minigrad import Tensor, functional, kernels
        from minigrad.dispatch import primitive
        K = float(os.environ["K"])

        @primitive(lambda g, y, x: g * (K * x ** 2 + 1))
        def f(x):
            return K * x ** 3 / 3 + x

        x = Tensor(np.ones(kernels.LARGE), True)
        with kernels.using("compiled"):
            f(x).backward(np.ones(x.shape))
        print(float(x.grad.data[0]))
        """)
    for k in (1, 2):
        done = subprocess.run([sys.executable, str(tmp_path / "mine.py")], capture_output=True, text=True,
                              env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "K": str(k)})
        assert done.stdout == f"{k + 1}.0\n", done.stderr


# ---- by hand ----
@numba
def test_by_hand_is_asked_first_and_may_decline(ran):
    asked = []

    def quick(g, y, x, k=1):
        asked.append(k)
        return g * 0 + 7 if k == 1 else None

    @kernels.by_hand(quick)
    def rule(g, y, x, k=1):
        return g * x * k
    g, x = np.random.default_rng(0).standard_normal((2, 50))
    for decorated in (rule, kernels.by_hand(quick)(lambda g, y, x, k=1: g * x * k)):
        op = op_of(decorated)
        with kernels.using("compiled"):
            assert (kernels.rules_of(op)[0](g, x, x) == 7).all()
            assert (kernels.rules_of(op)[0](g, x, x, k=1) == 7).all()
            np.testing.assert_allclose(kernels.rules_of(op)[0](g, x, x, k=2), g * x * 2)
        assert asked == [1, 1, 2]
        with kernels.using("reference"):
            np.testing.assert_array_equal(kernels.rules_of(op)[0](g, x, x), g * x)
        assert asked == [1, 1, 2], "NumPy's kernels are not by hand"
        asked.clear()
    assert len(ran) == 1, "what it declines is compiled"


def normalized(kernel, arrays, seed=3):
    """batch_norm's result, the statistics it keeps, and its gradients."""
    x, w, b = (Tensor(a.copy("K"), True) for a in arrays)
    mean, var = np.zeros(w.shape, w.dtype), np.ones(w.shape, w.dtype)
    with kernels.using(kernel):
        y = functional.batch_norm(x, mean, var, w, b, training=True)
        y.backward(np.random.default_rng(seed).standard_normal(y.shape).astype(y.dtype))
    return [y.data, mean, var, x.grad.data, w.grad.data, b.grad.data]


@numba
@pytest.mark.parametrize("shape", [(5, 4, 6, 3), (16, 3, 9, 8), (4, 7, 32), (3, 2, 4, 4, 4), (7, 5, 5, 5)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["batch first", "batch last"])
@pytest.mark.parametrize("n", [1, 2])
def test_normalization_is_as_exact_as_numpys(shape, dtype, order, n, monkeypatch):
    monkeypatch.setattr(kernels.normalize, "WORTH", 0)
    monkeypatch.setattr(kernels.threads, "SHARED", 0)
    monkeypatch.setattr(kernels, "LARGE", 0)
    r = np.random.default_rng(0)
    arrays = [a.astype(dtype) for a in (30 + r.standard_normal(shape), *r.standard_normal((2, shape[1])))]
    if order == "batch last":
        arrays[0] = permuted(arrays[0], (*range(1, len(shape)), 0))
    with taking(n):
        fast, slow = (normalized(kernel, arrays) for kernel in ("compiled", "reference"))
    exact = normalized("reference", [a.astype(np.longdouble) for a in arrays])
    for a, b, c in zip(fast, slow, exact):
        assert a.dtype == b.dtype == dtype and a.shape == b.shape
        error, theirs = np.abs(a - c).max(), np.abs(b - c).max()
        assert error <= 4 * theirs + 32 * np.finfo(dtype).eps * max(30, np.abs(c).max())  # 30: the mean's own rounding


# ---- one function of an array, shared ----
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (1, 2, 3, 0), (3, 0, 2, 1)])
def test_a_shared_ufunc_is_that_ufunc(dtype, order, monkeypatch):
    monkeypatch.setattr(kernels.threads, "SHARED", 0)
    x = permuted((10 * np.random.default_rng(0).standard_normal(SHAPE)).astype(dtype), order)
    maximum, exp = kernels.shared(np.maximum), kernels.shared(np.exp)
    with taking(2):
        kernels.threads.each(str, range(4))
        for a in (x, x[::2], x[:, ::-1], x[..., :1], x[0, 0, 0], x[0, 0, 0, 0]):
            for other in (0, 0.5, a):
                found, expected = maximum(a, other), np.maximum(a, other)
                np.testing.assert_array_equal(found, expected, strict=np.ndim(a) > 0)
            np.testing.assert_array_equal(exp(a), np.exp(a), strict=np.ndim(a) > 0)
        assert maximum(x, 0).strides == np.maximum(x, 0).strides


# ---- texts ----
def texts(*functions):
    return [(found[0], found[1] is not None) for found in map(lambda_text, functions)]


a_line = [lambda x: x + 1, lambda x: x + 2, lambda y: y + 1, lambda x, y: x, lambda x: math.sin(x), lambda x: -x]
nested = lambda x: (lambda x: x * 2)(x) + 1
several = (lambda x, y=2:
           x
           + y)
inner = [lambda x: [lambda x: x, lambda x: -x], lambda x: {**{}}]


def test_the_text_of_each_lambda_of_a_line():
    assert texts(*a_line) == [(t, True) for t in ("x + 1", "x + 2", "y + 1", "x", "math.sin(x)", "-x")]
    assert texts(nested) == [("(lambda x: x * 2)(x) + 1", True)]
    assert texts(*inner[0](1)) == [("x", True), ("-x", True)]


def test_the_text_of_a_lambda_of_several_lines():
    text, tree = lambda_text(several)
    assert text.split() == ["x", "+", "y"] and eval(compile(__import__("ast").Expression(tree), "", "eval"),
                                                    {"x": 3, "y": 4}) == 7


def test_the_text_with_a_variable_of_a_function_around():
    k = 2
    one, two = (lambda x: x * k, lambda x: x + 1)
    assert texts(one, two) == [("x * k", False), ("x + 1", True)]
    assert texts(lambda x: x ** k)[0][1] is False


def test_equal_lambdas_have_equal_texts():
    one, two = (lambda x: x * 3, lambda x: x * 3)
    assert texts(one, two) == [("x * 3", True)] * 2


def test_a_lambda_in_a_class_and_as_a_default():
    class Holder:
        f = staticmethod(lambda x: x - 1)

    def function(f=lambda x: x - 2): return f
    assert texts(Holder.f, function()) == [("x - 1", True), ("x - 2", True)]


def test_a_lambda_without_a_file():
    assert lambda_text(eval("lambda x: x")) is None
    scope = {}
    exec(compile("f = lambda x: x", "/nowhere/at/all.py", "exec"), scope)
    assert lambda_text(scope["f"]) is None


def test_a_lambda_whose_file_has_changed(tmp_path, monkeypatch):
    """Another formula than the one that runs is not to be compiled."""
    file = tmp_path / "edited.py"
    file.write_text("f = lambda x: x + 1\n")
    module = types.ModuleType("edited")
    exec(compile(file.read_text(), str(file), "exec"), vars(module))
    file.write_text("f = lambda x: x - 1\n")
    linecache.checkcache(str(file))
    assert lambda_text(module.f)[1] is None


def test_a_lambda_of_a_notebooks_cell():
    text = "f = lambda x: x * 5\n"
    linecache.cache["<cell 7>"] = len(text), None, [text], "<cell 7>"
    scope = {}
    exec(compile(text, "<cell 7>", "exec"), scope)
    assert texts(scope["f"]) == [("x * 5", True)]
