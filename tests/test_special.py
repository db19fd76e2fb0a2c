"""Elementwise and special functions at special points: against known values, at kinks, far out, and refused."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from scipy import special

from minigrad import Tensor, grad
from minigrad.derivatives import elementwise as E
from minigrad.derivatives import special as S
from minigrad.testing import gradcheck


def slopes(f, *xs):
    """d(sum f)/dx for each x."""
    leaves = [Tensor(np.array(x, np.float64), requires_grad=True) for x in xs]
    y = f(*leaves)
    gs = [g.data.tolist() for g in grad(y, leaves, gradient=np.ones(y.shape))]
    return gs if len(gs) > 1 else gs[0]


def ufuncs():
    for name in S.__all__:
        if isinstance(getattr(special, name, None), np.ufunc):
            yield name


# ---- SciPy's own functions take Tensors ----
@pytest.mark.parametrize("name", [*ufuncs(), "log1p", "expm1", "exp2", "cbrt", "round"])
def test_scipys_ufunc_of_a_tensor_is_ours(name):
    theirs = getattr(special, name)
    n = theirs.nin
    inputs = [*([2] if name in ("yn", "kn", "expn") else [0.6] * (n > 1)), *[0.7] * (n - 2), np.array([0.3, 0.4])]
    inputs = [2.5, 1.5, inputs[-1]] if name == "hyp1f1" else inputs
    t = Tensor(inputs[-1], requires_grad=True)
    ys, expected = theirs(*inputs[:-1], t), theirs(*inputs)
    for y, e in zip(ys, expected) if type(expected) is tuple else [(ys, expected)]:
        assert isinstance(y, Tensor) and y.requires_grad
        np.testing.assert_allclose(y.data, e, rtol=1e-13)


def test_a_scipy_ufunc_without_a_rule_is_refused():
    with pytest.raises(TypeError, match=r"mathieu_a has no derivative rule.*t\.detach\(\)"):
        special.mathieu_a(1, Tensor([1.0], requires_grad=True))


def test_public_names_are_functions_with_a_formula():
    for module in (S, E):
        assert sorted(module.__all__) == module.__all__
        for name in module.__all__:
            assert getattr(module, name).__doc__


# ---- first and second derivatives, computed by mpmath with 40 digits ----
@pytest.mark.parametrize(("f", "x", "first", "second"), [
    (S.erf, 0.5, 0.8787825789354448, -0.8787825789354448),
    (S.erfc, 10.0, -4.197656231354417e-44, 8.395312462708834e-43),
    (S.erfcx, 30.0, -0.0006258354105074841, 4.165309238445888e-05),
    (S.erfcx, -20.0, -4.1771757518113154e+175, 1.6729588886004316e+177),
    (S.erfi, 1.5, 10.705763460652479, 32.11729038195744),
    (S.dawsn, 5.0, -0.021340744242768356, 0.009139293579129872),
    (S.erfinv, 0.999, 198.93951776442475, 184171.54985278228),
    (S.erfcinv, 1e-12, -97321105893.54887, 9.551013739178229e+22),
    (S.ndtr, -5.0, 1.4867195147342977e-06, 7.433597573671489e-06),
    (S.log_ndtr, -40.0, 40.02496884720726, -0.9993773316214086),
    (S.log_ndtr, 0.0, 0.7978845608028654, -0.6366197723675814),
    (S.log_ndtr, 20.0, 5.520948362159764e-88, -1.1041896724319529e-86),
    (S.ndtri, 1e-05, 22327.74323019863, -2126167979.9193468),
    (S.log_expit, 300.0, 5.148200222412013e-131, -5.148200222412013e-131),
    (S.logit, 1e-20, 1e+20, -1e+40),
    (S.entr, 0.25, 0.38629436111989063, -4.0),
    (S.gamma, -2.5, -1.0428235924606153, -10.167930811390322),
    (S.gammaln, 1.0, -0.5772156649015329, 1.6449340668482264),
    (S.digamma, 1.0, 1.6449340668482264, -2.4041138063191885),
    (S.digamma, -2.5, 9.539246644989124, -0.1082040516417274),
    (S.rgamma, 0.0, 1.0, 1.1544313298030657),
    (S.rgamma, -3.0, -6.0, 15.073412021181605),
    (S.rgamma, 2.0, -0.42278433509846713, -0.4661874728435735),
    (S.expi, 3.0, 6.69517897439589, 4.46345264959726),
    (S.exp1, 1.0, -0.36787944117144233, 0.7357588823428847),
    (S.spence, 1.0, -1.0, 0.5),
    (S.spence, 1.0000001, -0.9999999500000033, 0.4999999333333408),
    (S.spence, 3.0, -0.5493061443340549, 0.10798640550036076),
    (S.exprel, 0.0, 0.5, 0.3333333333333333),
    (S.exprel, 1e-05, 0.5000033333458334, 0.3333358333433334),
    (S.exprel, -700.0, 2.040816326530612e-06, 5.830903790087464e-09),
    (np.sinc, 0.0, 0, -3.289868133696453),
    (np.sinc, 0.0001, -0.0003289868101226756, -3.2898680362873622),
    (np.sinc, 2.0, 0.5, -0.5),
    (np.i0, 3.0, 3.9533702174026093, 3.5630025133974876),
    (S.j0, 2.0, -0.5767248077568734, 0.06447162473720103),
    (S.j1, 0.0, 0.5, 0),
    (S.y0, 2.0, 0.10703243154093754, -0.5638918884202139),
    (S.y1, 2.0, 0.5638918884202139, -0.2016716205544038),
    (S.i1, 0.0, 0.5, 0),
    (S.i0e, 100.0, -0.00020022627396642996, 3.011017681557421e-06),
    (S.i1e, 100.0, -0.00019721525628487254, 2.9355501838043295e-06),
    (S.expi, 711.0, 8.540966775991551e+305, 8.528954164492267e+305),
    (lambda x: S.binom(200.0, x), 203.0, -2.426534837881994e-07, 2.1318965703713027e-06),
    (lambda x: S.poch(x, 2.0), 0.0, 1.0, 2.0),
    (lambda x: S.poch(x, 5.0), -3.0, -6.0, 10.0),
    (lambda x: S.poch(x, 172.0), -3.0, -1.515645446983919e+303, -1.1733580050737474e+304),
    (S.k0, 2.0, -0.13986588181652243, 0.18382681365779466),
    (S.k1, 2.0, -0.18382681365779466, 0.26674575909955034),
    (np.cbrt, 8.0, 0.08333333333333333, -0.006944444444444444),
    (np.arcsinh, 1.0, 0.7071067811865476, -0.3535533905932738),
    (np.arccosh, 2.0, 0.5773502691896257, -0.3849001794597505),
    (np.arctanh, 0.5, 1.3333333333333333, 1.7777777777777777),
    (lambda x: S.polygamma(0, x), 1.0, 1.6449340668482264, -2.4041138063191885),
    (lambda x: S.polygamma(2, x), 0.5, 97.40909103400244, -771.4742498266672),
    (lambda x: S.multigammaln(x, 3), 3.0, 2.0487253108421775, 1.5302258897966878),
    (lambda x: S.betaln(x, 2.5), 0.5, -2.886294361119891, 4.539868133696453),
    (lambda x: S.gammainc(2.5, x), 2.0, 0.2879518214036696, -0.0719879553509174),
    (lambda x: S.gammaincc(0.5, x), 50.0, -1.538919725341284e-23, 1.5543089225946966e-23),
    (lambda x: S.betainc(2.5, 0.75, x), 0.5, 0.6579700492858666, 2.3028951725005333),
    (lambda x: S.expn(0, x), 2.0, -0.10150146242745951, 0.16916910404576588),
    (lambda x: S.expn(3, x), 2.0, -0.03753426182049045, 0.04890051070806112),
    (lambda x: S.sici(x)[0], 0.0, 1.0, 0),
    (lambda x: S.sici(x)[1], 2.0, -0.2080734182735712, -0.35061200427605527),
    (lambda x: S.shichi(x)[0], 0.0, 1.0, 0),
    (lambda x: S.shichi(x)[1], 2.0, 1.8810978455418157, 0.8728812811526016),
    (lambda x: S.boxcox(2.5, x), 0.0, 0.41979435265923737, 0.2564357830898465),
    (lambda x: S.inv_boxcox(0.75, x), 0.0, -0.5954062546723148, 0.7628642637989033),
    (lambda x: S.jv(2.5, x), 3.0, 0.13379318824566178, -0.17070357259041158),
    (lambda x: S.kve(1.5, x), 300.0, -0.00012180621118397506, 6.130510628896434e-07),
    (lambda x: np.real(S.lambertw(x)), 0.0, 1.0, -2.0),
    (lambda x: S.pseudo_huber(x, 0.5), 1.5, 0.004163777159960366, -0.0077650740939210205),
])
def test_derivatives_at_known_points(f, x, first, second):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing overflows on the way
        t = Tensor(np.array(x), requires_grad=True)
        d = grad(f(t), t, create_graph=True)
        dd = grad(d, t)
    np.testing.assert_allclose(d.item(), first, rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(dd.item(), second, rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize(("f", "x", "expected"), [
    (np.sinc, 0.0, [1, 0, -math.pi ** 2 / 3, 0, math.pi ** 4 / 5]),
    (S.exprel, 0.0, [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5]),
    (S.spence, 1.0, [0, -1, 1 / 2, -2 / 3, 3 / 2]),
    (S.gammaln, 1.0, [0, -0.5772156649015329, 1.6449340668482264, -2.4041138063191885, 6.493939402266829]),
    (S.j0, 0.0, [1, 0, -1 / 2, 0, 3 / 8]),
    (S.erf, 0.0, [0, 1.1283791670955126, 0, -2.2567583341910251, 0]),
    (lambda x: np.real(S.lambertw(x)), 0.0, [0, 1, -2, 9, -64]),
])
def test_orders_up_to_the_fourth(f, x, expected):
    t = Tensor(np.array(x), requires_grad=True)
    found = [f(t)]
    for _ in range(4):
        found.append(grad(found[-1], t, create_graph=True))
    np.testing.assert_allclose([y.item() for y in found], expected, rtol=1e-12, atol=1e-12)


# ---- kinks and edges ----
@pytest.mark.parametrize(("f", "xs", "expected"), [
    (np.cbrt, [[0.0, 8.0]], [math.inf, 1 / 12]),
    (np.fabs, [[-2.0, 0.0, 3.0]], [-1, 0, 1]),
    (np.hypot, [[0.0, 3.0], [0.0, 4.0]], [[0, 0.6], [0, 0.8]]),
    (np.hypot, [[3e200], [4e200]], [[0.6], [0.8]]),
    (np.arctan2, [[0.0, 0.0], [0.0, -2.0]], [[0, -0.5], [0, 0]]),
    (np.arctan2, [[3e-200], [4e-200]], [[1.6e199], [-1.2e199]]),
    (np.fmod, [[5.5, -5.5], [2.0, 2.0]], [[1, 1], [-2, 2]]),
    (np.copysign, [[1.0, -1.0, 0.0], [-2.0, -2.0, -2.0]], [[-1, 1, 0], [0, 0, 0]]),
    (np.heaviside, [[-1.0, 0.0, 1.0], [5.0, 5.0, 5.0]], [[0, 0, 0], [0, 1, 0]]),
    (np.fmax, [[1.0, 2.0, math.nan, 4.0], [1.0, 1.0, 3.0, math.nan]], [[0.5, 1, 0, 1], [0.5, 0, 1, 0]]),
    (np.fmin, [[1.0, 2.0, math.nan, 4.0], [1.0, 1.0, 3.0, math.nan]], [[0.5, 0, 0, 1], [0.5, 1, 1, 0]]),
    (np.nan_to_num, [[1.0, math.nan, math.inf, -math.inf]], [1, 0, 0, 0]),
    (np.nextafter, [[1.0], [2.0]], [[1], [0]]),
    (np.round, [[0.4, 0.5, 2.5]], [0, 0, 0]),
    (np.arctanh, [[0.0, 1.0]], [1, math.inf]),
    (np.arccosh, [[1.0]], [math.inf]),
    (S.xlogy, [[0.0, 0.0, 2.0], [0.0, 3.0, 1.0]], [[0, math.log(3), 0], [0, 0, 2]]),
    (S.xlog1py, [[0.0, 0.0, 2.0], [-1.0, 2.0, 0.0]], [[0, math.log(3), 0], [0, 0, 2]]),
    (S.entr, [[0.0, 1.0]], [math.inf, -1]),
    (S.rel_entr, [[0.0, 0.0, 2.0], [0.0, 1.0, 2.0]], [[1, -math.inf, 1], [0, 0, -1]]),
    (S.kl_div, [[0.0, 0.0, 2.0], [0.0, 1.0, 2.0]], [[0, -math.inf, 0], [1, 1, 0]]),
    (S.huber, [[1.0, 1.0, 1.0], [0.5, 1.0, -3.0]], [[0, 0, 2], [0.5, 1, -1]]),
    (S.pseudo_huber, [[0.0, 3.0], [0.0, 0.0]], [[0, 0], [0, 0]]),
    (S.i0e, [[0.0]], [0]),
    (S.i1e, [[0.0]], [0.5]),
    (S.erfinv, [[-1.0, 1.0]], [math.inf, math.inf]),
    (S.ndtri, [[0.0, 1.0]], [math.inf, math.inf]),
    (S.logit, [[0.0, 0.5, 1.0]], [math.inf, 4, math.inf]),
    (S.gammasgn, [[-0.5, 2.0]], [0, 0]),
    (lambda x: S.gammainc(1, x), [[0.0, 1.0]], [1, math.exp(-1)]),
    (lambda x: S.betainc(1, 1, x), [[0.0, 0.5, 1.0]], [1, 1, 1]),
    (lambda x: S.log_ndtr(x), [[-1e9, 1e9]], [1e9, 0]),
    (lambda x: S.expn(3, x), [[0.0]], [-1]),
    (E.rsqrt, [[0.0, 4.0]], [-math.inf, -1 / 16]),
    (S.logit, [[-0.5, 1.5]], [math.nan, math.nan]),
    (S.binom, [[2.0, 5.0, 3.0], [3.0, 5.0, -2.0]], [[1 / 3, 137 / 60, 0], [-1 / 3, -137 / 60, -1 / 20]]),
    (S.poch, [[0.0, -3.0, -1.0], [2.0, 5.0, 0.5]], [[1, -6, 2 * math.sqrt(math.pi)], [0, 0, 0]]),
    (lambda z: S.poch(z, np.array([2.0, 2.0, 3.0])), [[-3.0, -1.0, -5.0]], [-5, -1, 47]),
    (lambda k: S.boxcox(0.0, k), [[0.5, 2.0]], [4, 0.25]),
    (lambda k: S.boxcox1p(-1.0, k), [[0.5, 2.0]], [4, 0.25]),
    (lambda x: S.sici(x)[0], [[math.inf, -math.inf]], [0, 0]),
    (lambda x: S.sici(x)[1], [[math.inf]], [0]),
    (S.spence, [[math.inf]], [0]),
    (np.logaddexp2, [[math.inf, 1.0, -math.inf], [0.0, -math.inf, 2.0]], [[1, 1, 0], [0, 0, 1]]),
])
def test_kinks_and_edges(f, xs, expected):
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(slopes(f, *xs), expected, rtol=1e-14)


def test_second_derivatives_where_the_first_meets_a_mask():
    for f, xs in ((np.hypot, (0.0, 0.0)), (np.arctan2, (0.0, 0.0)), (S.xlogy, (0.0, 0.0)), (S.xlog1py, (0.0, -1.0)),
                  (S.rel_entr, (0.0, 0.0)), (S.kl_div, (0.0, 0.0)), (S.pseudo_huber, (0.0, 0.0)),
                  (S.log_ndtr, (300.0,)), (S.log_ndtr, (-300.0,)), (S.rgamma, (300.0,)), (S.spence, (1e300,)),
                  (S.spence, (math.inf,)), (S.i0e, (1e10,)), (S.i0e, (-1e300,)), (S.i1e, (1e10,)), (S.i1e, (-1e300,)),
                  (np.logaddexp2, (math.inf, 0.0)), (lambda k: S.boxcox(0.0, k), (0.5,)), (np.sinc, (1e200,))):
        leaves = [Tensor(np.array(x), requires_grad=True) for x in xs]
        for d in grad(f(*leaves), leaves, create_graph=True):
            for second in grad(d, leaves, retain_graph=True) if d.requires_grad else ():
                assert math.isfinite(second.item()), f


def test_a_length_of_0_is_flat_to_the_second_order():
    for f in (np.hypot, np.arctan2, S.pseudo_huber):
        leaves = [Tensor(np.array(0.0), requires_grad=True) for _ in range(2)]
        for d in grad(f(*leaves), leaves, create_graph=True):
            assert [h.item() for h in grad(d, leaves, retain_graph=True)] == [0, 0], f


def test_sinc_far_out_in_float32():
    x = Tensor(np.array([1e20, 1e30], np.float32), requires_grad=True)
    d = grad(np.sinc(x).sum(), x)
    assert d.dtype == np.float32 and (np.abs(d.data) < 1e-19).all()


# ---- several outputs, other dtypes, names without an entry in the table ----
def test_divmod_and_modf_are_tuples_like_numpys():
    x = Tensor(np.array([-2.75, 2.75]), requires_grad=True)
    for ours, numpys in ((np.divmod(x, 2.0), np.divmod(x.data, 2.0)), (np.modf(x), np.modf(x.data))):
        assert type(ours) is tuple
        for a, b in zip(ours, numpys, strict=True):
            np.testing.assert_array_equal(a.data, b)
    np.testing.assert_array_equal(grad(np.modf(x)[0].sum(), x).data, 1)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(np.modf(Tensor([math.inf]))[0].data, 0)


def test_float_power_computes_in_float64():
    x = Tensor([2.0], requires_grad=True)
    y = np.float_power(x, 3)
    g = grad(y.sum(), x)
    assert (y.dtype, y.item(), g.dtype, g.item()) == (np.float64, 8, np.float32, 12)


def test_nan_to_num_replaces_the_parts_of_a_complex_number_one_by_one():
    z = Tensor(np.array([complex(1, math.nan), complex(math.inf, 2), complex(3, 4)]), requires_grad=True)
    y = np.nan_to_num(z, posinf=9.0)
    np.testing.assert_array_equal(y.data, [1, 9 + 2j, 3 + 4j])
    np.testing.assert_array_equal(grad((y.real + y.imag).sum(), z).data, [1, 1j, 1 + 1j])


def test_nan_to_num_leaves_its_input_alone():
    a = np.array([math.nan, 1.0])
    np.nan_to_num(Tensor(a), copy=False)
    assert np.isnan(a[0])


def test_real_if_close_drops_small_imaginary_parts_only():
    z = Tensor(np.array([1 + 1e-15j]), requires_grad=True)
    assert np.real_if_close(z).dtype == np.float64 and np.real_if_close(z * 1j).dtype == np.complex128


def test_integer_and_python_parameters_keep_float32():
    x = Tensor([0.5, 0.25], requires_grad=True)
    for f in (lambda x: S.jv(2, x), lambda x: S.expn(2, x), lambda x: S.gammainc(2.0, x), lambda x: S.kn(1, x),
              lambda x: S.betainc(2, 0.5, x), lambda x: S.polygamma(9, x), lambda x: S.multigammaln(x + 1, 2),
              lambda x: S.hyp2f1(1, 2, 3, x), lambda x: S.zeta(2, x), lambda x: S.xlogy(2, x),
              lambda x: S.kl_div(x, 0.75), lambda x: S.poch(x, 0.5), lambda x: special.xlogy(x, 2.0)):
        assert f(x).dtype == grad(f(x).sum(), x).dtype == np.float32
    assert S.kl_div(x.data, 0.75).dtype == np.float32 and S.jv(2, 0.5).dtype == np.float64
    assert S.kl_div(x, np.float64(0.75)).dtype == S.kl_div(0.75, x.astype(np.float64)).dtype == np.float64


def test_functions_made_of_others():
    x, a = np.array([0.3, 0.7, 1.1]), np.array([2.0, 3.0, 1.5])
    for f in (E.rsqrt, E.sec, E.csc, E.cot, lambda x: S.polygamma(3, x), lambda x: S.multigammaln(1 + x, 2),
              lambda x: S.jv(0.5, x), lambda x: S.gammainc(0.5, x), lambda x: S.zeta(1.5, x),
              lambda x: S.hyp1f1(0.5, 1.5, x)):
        gradcheck(f, x)
    gradcheck(E.lerp, x, a, np.array(0.25))
    np.testing.assert_allclose(S.polygamma(3, x), special.polygamma(3, x), rtol=1e-13)
    np.testing.assert_allclose(S.multigammaln(a, 3), special.multigammaln(a, 3), rtol=1e-13)
    np.testing.assert_allclose(E.lerp(x, a, 0.5), (x + a) / 2)


def test_locally_constant_functions_give_plain_arrays():
    x = Tensor([1.0, math.inf], requires_grad=True)
    for f in (np.spacing, np.isposinf, np.isneginf, np.isreal, np.iscomplex):
        assert type(f(x)) is np.ndarray


# ---- refused ----
@pytest.mark.parametrize(("f", "argument"), [
    (lambda a: S.jv(a, 1.0), "v"), (lambda a: S.gammainc(a, 1.0), "a"), (lambda a: S.betainc(1.0, a, 0.5), "b"),
    (lambda a: S.zeta(a, 2.0), "x"), (lambda a: special.iv(a, 2.0), "v"), (lambda a: S.hyp2f1(1.0, 2.0, a, 0.5), "c"),
])
def test_the_derivative_with_respect_to_a_parameter_is_refused_by_name(f, argument):
    a = Tensor(1.5, requires_grad=True)
    assert math.isfinite(f(a).item())
    with pytest.raises(NotImplementedError, match=rf"derivative with respect to {argument}: .*{argument}\.detach"):
        f(a).backward()


def test_bad_parameters_are_named():
    x = Tensor([1.5], requires_grad=True)
    for n in (-1, 0.5):
        with pytest.raises(ValueError, match=f"polygamma: n is .*not {n}"):
            S.polygamma(n, x)
    with pytest.raises(ValueError, match=r"multigammaln with d=4 is defined for a > 1\.5, got 1\.5"):
        S.multigammaln(x, 4)
    for f in (S.kn, S.yn, special.kn, special.yn):
        assert f(np.array([1.0, 2.0]), x).requires_grad
        with pytest.raises(ValueError, match=rf"{f.__name__}: the order n must be an integer, not 2\.5"):
            f(2.5, x)
    with pytest.raises(TypeError, match="2 inputs"):
        S.erf(x, x)
    with pytest.raises(TypeError, match="round of a Tensor does not support out="):
        np.round(x, out=np.zeros(1))
