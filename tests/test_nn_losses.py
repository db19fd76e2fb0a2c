"""Losses: derivatives, extreme inputs, kinks, identities, what is refused; see also test_layers.py."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from minigrad import Tensor, grad, nn, vmap
from minigrad import functional as F
from minigrad.testing import check_hessian_symmetry, check_rule_paths, gradcheck


def rng(seed=0):
    return np.random.default_rng(seed)


def normal(*shape, seed=0):
    return rng(seed).standard_normal(shape)


def inside(*shape, seed=0):
    return rng(seed).uniform(0.1, 0.9, shape)


def shares(*shape, seed=0):
    p = inside(*shape, seed=seed)
    return p / p.sum(1, keepdims=True)


LABELS, SIGNS = np.array([2, 0, 3]), np.array([1, -1, -1])
SIGNS_2D = np.array([[1, -1, 1, -1], [-1, -1, 1, 1], [1, 1, 1, -1]])
X, T, P, Q, V = normal(3, 4), normal(3, 4, seed=1), inside(3, 4), inside(3, 4, seed=1), normal(3, 4, seed=2)
COUNTS = np.array([[0, 1, 2, 3]] * 3)
FRAMES, WORDS = normal(5, 2, 4), np.array([[1, 1], [3, 2]])


def ctc(x, **settings):
    return F.ctc_loss(F.log_softmax(x), WORDS, [5, 4], [2, 1], **settings)


# name -> (function of the floating-point inputs and a reduction, its inputs)
CASES = {
    "cross_entropy": (lambda x, **r: F.cross_entropy(x, LABELS, **r), (X,)),
    "cross_entropy of probabilities": (F.cross_entropy, (X, shares(3, 4))),
    "nll_loss": (lambda x, **r: F.nll_loss(x, LABELS, **r), (X,)),
    "kl_div": (F.kl_div, (X, Q)),
    "kl_div of logarithms": (lambda x, t, **r: F.kl_div(x, t, log_target=True, **r), (X, T)),
    "multi_margin_loss": (lambda x, **r: F.multi_margin_loss(x, LABELS, **r), (X,)),
    "multi_margin_loss p=2": (lambda x, **r: F.multi_margin_loss(x, LABELS, 2, 0.6, [1, 2, 3, 4], **r), (X,)),
    "categorical_hinge_loss": (F.categorical_hinge_loss, (X, shares(3, 4))),
    "categorical_focal_loss": (lambda x, **r: F.categorical_focal_loss(x, LABELS, **r), (X,)),
    "categorical_focal_loss of images": (
        lambda x, **r: F.categorical_focal_loss(x, np.array([[0, 3], [2, 1]]), [1, 2, 3, 4], 0.7, **r),
        (normal(2, 4, 2),)),
    "binary_cross_entropy": (F.binary_cross_entropy, (P, Q)),
    "binary_cross_entropy_with_logits": (F.binary_cross_entropy_with_logits, (X, Q)),
    "binary_focal_loss": (F.binary_focal_loss, (X, Q)),
    "binary_focal_loss gamma=0.5": (lambda x, t, **r: F.binary_focal_loss(x, t, None, 0.5, **r), (X, Q)),
    "hinge_loss": (lambda x, **r: F.hinge_loss(x, SIGNS_2D, **r), (X,)),
    "squared_hinge_loss": (lambda x, **r: F.squared_hinge_loss(x, SIGNS_2D, **r), (X,)),
    "perceptron_loss": (lambda x, **r: F.perceptron_loss(x, SIGNS_2D, **r), (X,)),
    "soft_margin_loss": (lambda x, **r: F.soft_margin_loss(x, SIGNS_2D, **r), (X,)),
    "multilabel_soft_margin_loss": (F.multilabel_soft_margin_loss, (X, Q)),
    "multilabel_margin_loss": (
        lambda x, **r: F.multilabel_margin_loss(x, np.array([[2, 0, -1, 3], [3, -1, 0, 0], [0, 1, 2, 3]]), **r), (X,)),
    "dice_loss": (F.dice_loss, (P, Q)),
    "dice_loss of rows": (lambda p, t, **r: F.dice_loss(p, t, 1, **r), (P, Q)),
    "tversky_loss": (lambda p, t, **r: F.tversky_loss(p, t, 0.3, 0.7, 1, **r), (P, Q)),
    "mse_loss": (F.mse_loss, (X, T)),
    "l1_loss": (F.l1_loss, (X, T)),
    "smooth_l1_loss": (F.smooth_l1_loss, (X, T)),
    "huber_loss": (lambda x, t, **r: F.huber_loss(x, t, delta=0.5, **r), (X, T)),
    "log_cosh_loss": (F.log_cosh_loss, (X, T)),
    "mape_loss": (F.mape_loss, (X, T)),
    "msle_loss": (F.msle_loss, (P, Q)),
    "poisson_nll_loss": (lambda x, **r: F.poisson_nll_loss(x, COUNTS, full=True, **r), (X,)),
    "poisson_nll_loss of rates": (lambda x, t, **r: F.poisson_nll_loss(x, t, False, **r), (P, Q)),
    "gaussian_nll_loss": (lambda x, t, v, **r: F.gaussian_nll_loss(x, t, v, full=True, **r), (X, T, P)),
    "margin_ranking_loss": (lambda x, y, **r: F.margin_ranking_loss(x, y, SIGNS_2D, 0.3, **r), (X, T)),
    "hinge_embedding_loss": (lambda x, **r: F.hinge_embedding_loss(x, SIGNS_2D, **r), (X,)),
    "cosine_embedding_loss": (lambda x, y, **r: F.cosine_embedding_loss(x, y, SIGNS, **r), (X, T)),
    "contrastive_loss": (lambda x, y, **r: F.contrastive_loss(x, y, np.array([0, 1, 1]), 3.0, **r), (X, T)),
    "triplet_margin_loss": (lambda a, p, n, **r: F.triplet_margin_loss(a, p, n, 2.0, swap=True, **r), (X, T, V)),
    "triplet_margin_with_distance_loss": (
        lambda a, p, n, **r: F.triplet_margin_with_distance_loss(a, p, n, lambda u, v: ((u - v) ** 2).sum(-1), **r),
        (X, T, V)),
    "nt_xent_loss": (F.nt_xent_loss, (X, T)),
    "wasserstein_loss": (lambda x, **r: F.wasserstein_loss(x, SIGNS_2D, **r), (X,)),
    "ctc_loss": (ctc, (FRAMES,)),
}


@pytest.mark.parametrize("name", CASES)
def test_derivatives(name):
    f, inputs = CASES[name]
    gradcheck(f, *inputs, order=2)
    check_hessian_symmetry(f, *inputs)
    gradcheck(lambda *xs: f(*xs, reduction="none"), *inputs)


@pytest.mark.parametrize("name", CASES)
def test_reductions(name):
    f, inputs = CASES[name]
    every = f(*inputs, reduction="none")
    assert_allclose(f(*inputs, reduction="sum"), every.sum(), 1e-12)
    if name != "ctc_loss":
        assert_allclose(f(*inputs), every.mean(), 1e-12)
    for call in (f, *(getattr(nn, m) for m in MODULES.get(name.split()[0], ()))):
        with pytest.raises(ValueError, match=r"reduction is 'mean', 'sum'.* or 'none', not 'average'"):
            call(*(inputs if call is f else ()), reduction="average")


@pytest.mark.parametrize("name", CASES)
def test_float32_stays_float32(name):
    f, inputs = CASES[name]
    xs = [Tensor(x.astype(np.float32), requires_grad=True) for x in inputs]
    y = f(*xs)
    first = grad(y.sum(), xs, create_graph=True)
    assert {v.dtype for v in [y, f(*xs, reduction="none"), *first]} == {np.dtype(np.float32)}
    if any(g.requires_grad for g in first):
        assert {g.dtype for g in grad(sum((g * g).sum() for g in first), xs)} == {np.dtype(np.float32)}
    check_rule_paths(f, *[x.data for x in xs])
    assert f(*[x.data for x in xs]).dtype == np.float32
    assert_array_equal(f(*[x.data for x in xs]), y.data)


MODULES = {
    "cross_entropy": ["CrossEntropyLoss"], "nll_loss": ["NLLLoss"], "kl_div": ["KLDivLoss"],
    "multi_margin_loss": ["MultiMarginLoss"], "categorical_hinge_loss": ["CategoricalHingeLoss"],
    "categorical_focal_loss": ["CategoricalFocalLoss"], "binary_cross_entropy": ["BCELoss"],
    "binary_cross_entropy_with_logits": ["BCEWithLogitsLoss"], "binary_focal_loss": ["BinaryFocalLoss"],
    "hinge_loss": ["HingeLoss"], "squared_hinge_loss": ["SquaredHingeLoss"], "perceptron_loss": ["PerceptronLoss"],
    "soft_margin_loss": ["SoftMarginLoss"], "multilabel_soft_margin_loss": ["MultiLabelSoftMarginLoss"],
    "multilabel_margin_loss": ["MultiLabelMarginLoss"], "dice_loss": ["DiceLoss"], "tversky_loss": ["TverskyLoss"],
    "mse_loss": ["MSELoss"], "l1_loss": ["L1Loss"], "smooth_l1_loss": ["SmoothL1Loss"], "huber_loss": ["HuberLoss"],
    "log_cosh_loss": ["LogCoshLoss"], "mape_loss": ["MAPELoss"], "msle_loss": ["MSLELoss"],
    "poisson_nll_loss": ["PoissonNLLLoss"], "gaussian_nll_loss": ["GaussianNLLLoss"],
    "margin_ranking_loss": ["MarginRankingLoss"], "hinge_embedding_loss": ["HingeEmbeddingLoss"],
    "cosine_embedding_loss": ["CosineEmbeddingLoss"], "contrastive_loss": ["ContrastiveLoss"],
    "triplet_margin_loss": ["TripletMarginLoss"],
    "triplet_margin_with_distance_loss": ["TripletMarginWithDistanceLoss"], "nt_xent_loss": ["NTXentLoss"],
    "wasserstein_loss": ["WassersteinLoss"], "ctc_loss": ["CTCLoss"],
}


def test_every_loss_is_here():
    losses = {n for n in F.__all__ if n.endswith("_loss") or "cross_entropy" in n or n == "kl_div"}
    assert {name.split()[0] for name in CASES} == set(MODULES) == losses
    modules = {m for names in MODULES.values() for m in names}
    assert modules == {n for n in nn.__all__ if n.endswith("Loss")}


# ---- extreme inputs: warnings are errors, so none of these may overflow on the way ----
HUGE = np.array([[-1e4, 1e4, 0.0, -100.0], [1e4, 1e4, 100.0, -1e4], [0.0, 0.0, 0.0, 0.0]])
SAFE = set(CASES) - {"poisson_nll_loss", "poisson_nll_loss of rates", "binary_cross_entropy"}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", sorted(SAFE))
def test_huge_inputs(name, dtype):
    """Loss, gradient and second derivative are finite for inputs from -1e4 to 1e4."""
    f, inputs = CASES[name]
    shape = inputs[0].shape
    x = Tensor(np.resize(HUGE, shape).astype(dtype), requires_grad=True)
    y = f(x, *[v.astype(dtype) for v in inputs[1:]])
    first = grad(y, x, create_graph=True)
    assert np.isfinite(y.data).all() and np.isfinite(first.data).all()
    if first.requires_grad:
        assert np.isfinite(grad((first * inputs[0].astype(dtype)).sum(), x).data).all()


@pytest.mark.parametrize("name", CASES)
def test_nan_is_not_hidden(name):
    f, inputs = CASES[name]
    with np.errstate(invalid="ignore"):  # np.logaddexp warns of it
        assert np.isnan(f(np.full_like(inputs[0], np.nan), *inputs[1:]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_certain_and_wrong(dtype):
    """The values there are right, too."""
    x, t = np.array([-1e4, 1e4, 1e4, 0], dtype), np.array([1, 1, 0, 1], dtype)
    assert_allclose(F.binary_focal_loss(x, t, None, reduction="none"), [1e4, 0, 1e4, math.log(2) / 4], 1e-6)
    assert_allclose(F.soft_margin_loss(x, 2 * t - 1, reduction="none"), [1e4, 0, 1e4, math.log(2)], 1e-6)
    assert_allclose(F.log_cosh_loss(x, 0 * x, "none"), [1e4 - math.log(2)] * 3 + [0], 1e-6)
    z = np.array([[1e4, 0, -1e4]] * 2, dtype)
    assert_allclose(F.categorical_focal_loss(z, np.array([0, 2]), 1.0, reduction="none"), [0, 2e4], 1e-6)
    assert_allclose(F.multilabel_soft_margin_loss(z, np.array([[1, 0, 0], [0, 1, 1]]), reduction="none"),
                    [math.log(2) / 3, (2e4 + math.log(2)) / 3], 1e-6)


def test_binary_cross_entropy_at_0_and_1_is_pytorchs():
    p, t = [0.0, 1, 0, 1, 1e-13, 0.5], np.array([1.0, 0, 0, 1, 1, 1])
    for dtype in (np.float32, np.float64):
        x = Tensor(np.array(p, dtype), requires_grad=True)
        y = F.binary_cross_entropy(x, t.astype(dtype), reduction="none")
        y.sum().backward()
        assert_allclose(y.data, [100, 100, 0, 0, -math.log(1e-13), math.log(2)], 1e-5, 1e-20)
        assert_allclose(x.grad.data, [-1e12, 1e12, 0, 0, -1e12, -2], 1e-6)


def test_kl_div_of_a_share_of_zero():
    x, t = Tensor(np.log([[0.5, 0.5]]), requires_grad=True), np.array([[0.0, 1.0]])
    y = F.kl_div(x, t, "batchmean")
    assert_allclose(y.item(), math.log(2))
    assert_array_equal(grad(y, x).data, -t)


# ---- kinks, as PyTorch has them ----
@pytest.mark.parametrize("f, at, value, slope", [
    (lambda x: F.l1_loss(x, np.zeros(1)), 0, 0, 0), (lambda x: F.smooth_l1_loss(x, np.zeros(1)), 1, 0.5, 1),
    (lambda x: F.smooth_l1_loss(x, np.zeros(1), beta=0.0), 0, 0, 0),
    (lambda x: F.huber_loss(x, np.zeros(1)), -1, 0.5, -1),
    (lambda x: F.margin_ranking_loss(x, np.zeros(1), np.array([1])), 0, 0, -1),
    (lambda x: F.hinge_embedding_loss(x, np.array([-1])), 1, 0, -1),
    (lambda x: F.hinge_loss(x, np.array([1])), 1, 0, 0), (lambda x: F.perceptron_loss(x, np.array([1])), 0, 0, -1),
    (lambda x: F.multi_margin_loss(np.concatenate([x, np.zeros(1)]), np.array(0)), 1, 0, 0),
    (lambda x: F.multilabel_margin_loss(np.concatenate([x, np.zeros(1)]), np.array([0, -1])), 1, 0, 0),
    (lambda x: F.gaussian_nll_loss(np.zeros(1), np.zeros(1), x, eps=1.0), 0, 0, 0.5),
])
def test_kinks(f, at, value, slope):
    x = Tensor(np.array([float(at)]), requires_grad=True)
    y = f(x)
    y.sum().backward()
    assert_allclose(y.data, value, atol=1e-15)
    assert_allclose(x.grad.data, slope, atol=1e-15)


def test_equal_vectors_have_a_gradient_of_zero():
    x = np.ones((2, 3))
    for f in (lambda a: F.contrastive_loss(a, x, np.array([0, 1])),
              lambda a: F.cosine_embedding_loss(0 * a, x, SIGNS[:2])):
        a = Tensor(x, requires_grad=True)
        g = grad(f(a), a, create_graph=True)
        assert_allclose(g.data, 0, atol=1e-15)
        assert np.isfinite(grad((g * normal(2, 3)).sum(), a).data).all()


# ---- identities ----
def test_identities():
    logits, bits = normal(6, 5), (normal(6, 5, seed=1) > 0).astype(float)
    labels = rng().integers(0, 5, 6)
    assert_allclose(F.nll_loss(F.log_softmax(logits), labels), F.cross_entropy(logits, labels))
    assert_allclose(F.categorical_focal_loss(logits, labels, 1.0, 0.0), F.cross_entropy(logits, labels))
    assert_allclose(F.categorical_focal_loss(logits, labels), F.categorical_focal_loss(logits, np.eye(5)[labels]))
    bce = F.binary_cross_entropy_with_logits(logits, bits)
    assert_allclose(F.binary_cross_entropy(F.sigmoid(logits), bits), bce)
    assert_allclose(F.binary_focal_loss(logits, bits, None, 0.0), bce)
    assert_allclose(F.binary_focal_loss(logits, bits, 0.5, 0.0), bce / 2)
    assert_allclose(F.multilabel_soft_margin_loss(logits, bits), bce)
    assert_allclose(F.soft_margin_loss(logits, 2 * bits - 1), bce)
    p = F.sigmoid(logits)
    assert_allclose(F.tversky_loss(p, bits, axis=1, eps=1e-7 / 2), F.dice_loss(p, bits, axis=1))
    x, t = 3 * normal(50), normal(50, seed=1)
    assert_allclose(F.smooth_l1_loss(x, t, beta=0.7), F.huber_loss(x, t, delta=0.7) / 0.7)
    assert_allclose(F.huber_loss(x, t, delta=100.0), F.mse_loss(x, t) / 2)
    assert_allclose(F.gaussian_nll_loss(x, t, 1.0), F.mse_loss(x, t) / 2)
    signs = np.sign(t)
    assert_allclose(F.hinge_loss(x, signs, 0.0), F.perceptron_loss(x, signs))
    assert_allclose(F.hinge_loss(x, signs, reduction="none") ** 2, F.squared_hinge_loss(x, signs, reduction="none"))
    assert_allclose(F.margin_ranking_loss(x, t, signs), F.perceptron_loss(x - t, signs))


def test_a_divergence_is_zero_only_between_equals():
    p, q = shares(20, 4), shares(20, 4, seed=1)
    assert_allclose(F.kl_div(np.log(p), p, "batchmean"), 0, atol=1e-15)
    rows = F.kl_div(np.log(p), q, "none").sum(1)
    assert (rows > 0).all()
    assert_allclose(F.kl_div(np.log(p), q, "batchmean"), rows.mean())
    assert_allclose(F.kl_div(np.log(p), np.log(q), "none", log_target=True).sum(1), rows)


def test_a_likelihood_is_greatest_at_the_truth():
    """Poisson: exp(x) = mean count. Gaussian: the mean and the variance of the data."""
    counts = rng().poisson(3.7, 400).astype(float)
    x = Tensor(np.full(400, math.log(counts.mean())), requires_grad=True)
    F.poisson_nll_loss(x, counts).backward()
    assert abs(x.grad.data.sum()) < 1e-12
    data = normal(400) * 2 + 1
    mean, var = Tensor(np.array(data.mean()), requires_grad=True), Tensor(np.array(data.var()), requires_grad=True)
    ones = np.ones(400)
    y = F.gaussian_nll_loss(mean * ones, data, var * ones, full=True)
    assert_allclose([g.item() for g in grad(y, [mean, var])], 0, atol=1e-14)
    assert_allclose(y.item(), 0.5 * (math.log(2 * math.pi * data.var()) + 1))


def test_stirling_is_near_the_factorial():
    t = np.array([2.0, 5, 20])
    found = F.poisson_nll_loss(np.zeros(3), t, full=True, reduction="none") - 1
    assert_allclose(found, [math.lgamma(v + 1) for v in t], 0.06)


def test_nt_xent_prefers_views_that_agree():
    z = normal(8, 16)
    near = F.nt_xent_loss(z, z + 0.01 * normal(8, 16, seed=1))
    assert near < F.nt_xent_loss(z, normal(8, 16, seed=2))
    assert_allclose(F.nt_xent_loss(3 * z, 0.1 * z), F.nt_xent_loss(z, z))  # lengths do not count
    same = np.ones((4, 3))
    assert_allclose(F.nt_xent_loss(same, same, reduction="none"), np.full(8, math.log(7)))
    assert F.nt_xent_loss(z[:1], z[1:2]) == 0


def test_dice_of_masks():
    a, b = np.array([1.0, 1, 0, 0]), np.array([1.0, 0, 1, 0])
    assert_allclose([F.dice_loss(a, a), F.dice_loss(a, b), F.dice_loss(a, 1 - a), F.dice_loss(0 * a, 0 * a)],
                    [0, 0.5, 1, 1], atol=1e-7)
    assert F.tversky_loss(a, np.ones(4), 1.0, 0.0) < 1e-7  # no false positives: misses count only by beta
    assert_allclose(F.tversky_loss(a, np.ones(4), 0.0, 1.0), 0.5)


def test_wasserstein_critic():
    real, fake = normal(6), normal(6, seed=1)
    loss = F.wasserstein_loss(real, np.ones(6)) + F.wasserstein_loss(fake, -np.ones(6))
    assert_allclose(loss, fake.mean() - real.mean())


# ---- CTC beside an enumeration of all paths ----
def read(path, blank):
    return tuple(k for k, _ in itertools.groupby(path) if k != blank)


@pytest.mark.parametrize("target, blank", [((1, 2), 0), ((1, 1), 0), ((2,), 0), ((), 0), ((0, 1), 2)])
def test_ctc_is_the_sum_over_all_paths(target, blank):
    log_p = F.log_softmax(normal(4, 3))
    total = sum(math.exp(sum(log_p[t, k] for t, k in enumerate(path)))
                for path in itertools.product(range(3), repeat=4) if read(path, blank) == target)
    found = F.ctc_loss(log_p, np.array(target, int), 4, len(target), blank, "sum")
    assert_allclose(found, -math.log(total))


def test_ctc_without_a_path():
    """Two equal labels need a blank between them: two steps are too few."""
    x = Tensor(normal(3, 2, 3), requires_grad=True)
    words = np.array([[1, 1], [1, 2]])
    y = F.ctc_loss(F.log_softmax(x), words, [2, 3], [2, 2], reduction="none")
    assert np.isinf(y.data[0]) and np.isfinite(y.data[1])
    y = F.ctc_loss(F.log_softmax(x), words, [2, 3], [2, 2], zero_infinity=True)
    g = grad(y, x).data
    assert y.item() > 0 and np.isfinite(g).all() and (g[:, 0] == 0).all() and (g[:, 1] != 0).any()


def test_ctc_ignores_what_is_behind_the_lengths():
    x, words = normal(6, 2, 4), np.array([[1, 2, 3], [3, 1, 2]])
    expected = F.ctc_loss(F.log_softmax(x), words, [4, 6], [2, 3], reduction="none")
    x[4:, 0], words[0, 2] = 7, -5
    assert_array_equal(F.ctc_loss(F.log_softmax(x), words, [4, 6], [2, 3], reduction="none"), expected)


@pytest.mark.parametrize("targets", [np.zeros((0, 2), int), np.zeros(0, int)])
def test_ctc_of_no_sequences(targets):
    x = Tensor(np.zeros((3, 0, 4)), requires_grad=True)
    assert F.ctc_loss(x, targets, [], [], reduction="none").shape == (0,)
    total = F.ctc_loss(x, targets, [], [], reduction="sum")
    assert total.item() == 0 and grad(total, x).shape == x.shape


# ---- modules ----
def test_weights_are_state():
    for loss in (nn.CrossEntropyLoss(np.ones(4)), nn.NLLLoss(Tensor(np.ones(4))),
                 nn.MultiMarginLoss(weight=[1, 1, 1, 1.0])):
        loss.load_state_dict({"weight": np.array([0.5, 2, 1, 0.25])})
        state = nn.torch_state_dict(loss)
        assert list(state) == ["weight"] and list(loss.parameters()) == []
        nn.load_torch_state_dict(loss, state)
        assert_allclose(loss(X, LABELS), loss.function(X, LABELS, weight=state["weight"]))
        assert loss.astype(np.float32)(X.astype(np.float32), LABELS).dtype == np.float32
    assert list(nn.BCEWithLogitsLoss(np.ones(4), "mean", np.ones(4)).state_dict()) == ["weight", "pos_weight"]
    assert nn.CrossEntropyLoss().state_dict() == {}


EXTRA = dict.fromkeys(CASES, ()) | dict.fromkeys(
    ["hinge_loss", "squared_hinge_loss", "perceptron_loss", "soft_margin_loss", "margin_ranking_loss",
     "hinge_embedding_loss", "wasserstein_loss"], (SIGNS_2D,)) | dict.fromkeys(
    ["cross_entropy", "nll_loss", "multi_margin_loss", "categorical_focal_loss"], (LABELS,)) | {
    "poisson_nll_loss": (COUNTS,), "cosine_embedding_loss": (SIGNS,), "contrastive_loss": (np.array([0, 1, 1]),),
    "multilabel_margin_loss": (np.array([[2, 0, -1, 3]] * 3),)}  # what a case has besides its floating-point inputs


@pytest.mark.parametrize("name", MODULES)
def test_modules_are_the_functions(name):
    """Also in evaluation; and what they show is what was set."""
    loss = getattr(nn, MODULES[name][0])(reduction="sum")
    assert repr(loss) == f"{MODULES[name][0]}(reduction='sum')"
    assert loss.state_dict() == {}
    inputs = [F.log_softmax(FRAMES), WORDS, [5, 4], [2, 1]] if name == "ctc_loss" else [*CASES[name][1], *EXTRA[name]]
    expected = getattr(F, name)(*inputs, reduction="sum")
    assert_array_equal(loss(*inputs), expected)
    assert_array_equal(loss.eval()(*inputs), expected)


def test_they_show_their_settings():
    assert repr(nn.TripletMarginLoss(2.0, swap=True)) == "TripletMarginLoss(margin=2.0, swap=True)"
    assert repr(nn.CrossEntropyLoss(np.ones(3), label_smoothing=0.1)) == "CrossEntropyLoss(label_smoothing=0.1)"
    assert repr(nn.MSELoss()) == "MSELoss()"


def test_a_subclass_may_have_arguments_of_its_own():
    class Scaled(nn.HuberLoss):
        def __init__(self, scale, delta=2.0):
            super().__init__(delta=delta)
            self.scale = scale

        def forward(self, input, target):
            return self.scale * super().forward(input, target)

    assert_allclose(Scaled(3.0)(X, T), 3 * F.huber_loss(X, T, delta=2.0))
    assert repr(Scaled(3.0)) == "Scaled(reduction='mean')"


def test_integer_targets_are_numbers():
    for f in (F.mse_loss, F.binary_cross_entropy_with_logits, F.l1_loss, F.binary_focal_loss):
        x, t = Tensor(X.astype(np.float32), requires_grad=True), (T > 0)
        for target in (t, t.astype(np.int64), Tensor(t.astype(np.int64))):
            y = f(x, target)
            assert y.dtype == np.float32
            assert_array_equal(y.data, f(x, t.astype(np.float32)).data)


@pytest.mark.parametrize("name", ["nll_loss", "multi_margin_loss", "hinge_loss", "huber_loss", "binary_cross_entropy",
                                  "kl_div", "cosine_embedding_loss", "triplet_margin_loss", "contrastive_loss",
                                  "gaussian_nll_loss", "categorical_focal_loss", "multilabel_margin_loss", "dice_loss",
                                  "ctc_loss", "nt_xent_loss", "cross_entropy", "poisson_nll_loss"])
def test_inside_vmap(name):
    f, inputs = CASES[name]
    stacked = [np.stack([v, v * 0.7 + 0.1]) for v in inputs]
    found = vmap(lambda *xs: f(*xs))(*[Tensor(v) for v in stacked])
    assert_allclose(found.data, [f(*[v[i] for v in stacked]) for i in range(2)], 1e-12)


# ---- what is refused ----
COLUMN = np.zeros((3, 1))


@pytest.mark.parametrize("f", [
    F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss, F.log_cosh_loss, F.mape_loss, F.msle_loss, F.kl_div,
    F.binary_cross_entropy, F.binary_cross_entropy_with_logits, F.binary_focal_loss, F.hinge_loss, F.squared_hinge_loss,
    F.perceptron_loss, F.soft_margin_loss, F.multilabel_soft_margin_loss, F.multilabel_margin_loss, F.dice_loss,
    F.tversky_loss, F.poisson_nll_loss, F.hinge_embedding_loss, F.wasserstein_loss, F.categorical_hinge_loss,
    lambda x, t: F.gaussian_nll_loss(x, t, np.ones(3)), lambda x, t: F.margin_ranking_loss(x, x, t), F.nt_xent_loss,
    lambda x, t: F.triplet_margin_loss(x, x, t), lambda x, t: F.cosine_embedding_loss(x, t, SIGNS),
    lambda x, t: F.contrastive_loss(x, t, SIGNS)])
def test_shapes_that_would_broadcast_are_refused(f):
    with pytest.raises(ValueError, match=r"\(3,\).*\(3, 1\).*must be equal \(broadcasting"):
        f(np.zeros(3), COLUMN)


@pytest.mark.parametrize("call, message", [
    (lambda: F.cross_entropy(X, LABELS[:2]),
     r"cross_entropy: class indices of shape \(2,\) for logits of shape \(3, 4\)"),
    (lambda: F.nll_loss(X, np.array([0, 1, 4])), r"nll_loss: class indices from 0 to 4, but .* have 4 classes"),
    (lambda: F.multi_margin_loss(X, np.array([0, -1, 1])), r"multi_margin_loss: class indices from -1 to 1"),
    (lambda: F.multi_margin_loss(X, np.array([0, -100, 1])), r"multi_margin_loss: class indices from -100 to 1"),
    (lambda: F.categorical_focal_loss(X, np.array([0, -100, 1])), r"categorical_focal_loss: class indices from -100"),
    (lambda: F.cross_entropy(X, LABELS, np.ones(3)), r"cross_entropy: weight has shape \(3,\), expected \(4,\)"),
    (lambda: F.nll_loss(X, LABELS, np.ones(3)), r"nll_loss: weight has shape \(3,\), expected \(4,\)"),
    (lambda: F.cross_entropy(X, LABELS, label_smoothing=1.5), r"label_smoothing must be between 0 and 1, got 1\.5"),
    (lambda: nn.CrossEntropyLoss(label_smoothing=-1), r"label_smoothing must be between 0 and 1, got -1"),
    (lambda: F.cross_entropy(X, shares(3, 4), ignore_index=1),
     r"ignore_index=1 means class indices, but the target holds"),
    (lambda: F.categorical_focal_loss(X, LABELS, gamma=-1.0), r"gamma must not be negative, got -1\.0"),
    (lambda: F.categorical_focal_loss(X, LABELS, [1, 2]), r"categorical_focal_loss: weight has shape \(2,\)"),
    (lambda: F.categorical_focal_loss(X, P[:2]), r"categorical_focal_loss: input has shape \(3, 4\), target \(2, 4\)"),
    (lambda: F.binary_cross_entropy(X, Q), r"must be probabilities, got -.*binary_cross_entropy_with_logits"),
    (lambda: F.binary_cross_entropy(P, Q, np.ones((2, 3, 4))), r"weight \(2, 3, 4\) does not broadcast .*\(3, 4\)"),
    (lambda: F.binary_cross_entropy_with_logits(X, Q, np.ones(3)),
     r"weight \(3,\) does not broadcast to the loss \(3, 4\)"),
    (lambda: F.binary_cross_entropy_with_logits(X, Q, None, np.ones(3)), r"weight \(3,\) does not broadcast"),
    (lambda: F.multi_margin_loss(X, LABELS, 3), r"p is 1 or 2, not 3"),
    (lambda: F.multi_margin_loss(normal(2, 4, 2), np.zeros((2, 2), int)),
     r"logits are \(N, C\) or \(C,\), got \(2, 4, 2\)"),
    (lambda: F.multilabel_margin_loss(X, np.full((3, 4), 4)), r"class indices from 4 to 4, but there are 4 classes"),
    (lambda: F.smooth_l1_loss(X, T, beta=-1.0), r"beta must not be negative, got -1\.0"),
    (lambda: F.huber_loss(X, T, delta=0.0), r"huber_loss: delta must be positive, got 0\.0"),
    (lambda: F.gaussian_nll_loss(X, T, -P), r"var must not be negative, got -0\."),
    (lambda: F.gaussian_nll_loss(X, T, P[0]), r"var has shape \(4,\), input \(3, 4\)"),
    (lambda: F.gaussian_nll_loss(X, T, P, eps=0.0), r"eps must be positive, got 0\.0"),
    (lambda: F.triplet_margin_loss(X, T, V, margin=0.0), r"margin must be positive, got 0\.0"),
    (lambda: F.contrastive_loss(X, T, SIGNS), r"contrastive_loss: targets must be 0 or 1, got -1"),
    (lambda: F.contrastive_loss(X, T, SIGNS_2D),
     r"target has shape \(3, 4\) for vectors of shape \(3, 4\), expected \(3,\)"),
    (lambda: F.cosine_embedding_loss(X, T, SIGNS[:1]), r"target has shape \(1,\) for vectors .* expected \(3,\)"),
    (lambda: F.nt_xent_loss(X, T, 0.0), r"temperature must be positive, got 0\.0"),
    (lambda: F.nt_xent_loss(X[0], T[0]), r"inputs must be \(N, D\), of at least one row, got \(4,\)"),
    (lambda: F.nt_xent_loss(X[:0], T[:0]), r"inputs must be \(N, D\), of at least one row, got \(0, 4\)"),
    (lambda: F.kl_div(X, Q, "batch"), r"reduction is 'mean', 'sum', 'batchmean' or 'none', not 'batch'"),
    (lambda: F.ctc_loss(X, [1, 2], 4, 2),
     r"1 sequences of up to 3 steps need as many lengths, got input_lengths \[4\]"),
    (lambda: F.ctc_loss(X, [1, 2], [3, 3], 2), r"input_lengths \[3, 3\]"),
    (lambda: F.ctc_loss(X, [1], 3, 2), r"targets of shape \(1,\) for target_lengths \[2\]"),
    (lambda: F.ctc_loss(normal(3, 2, 4), np.ones((4, 1), int), [3, 3], [2, 2]), r"targets of shape \(4, 1\) for"),
    (lambda: F.ctc_loss(X[:0], [1], 0, 1), r"1 sequences of up to 0 steps"),
    (lambda: F.ctc_loss(X, [1, 4], 3, 2), r"blank \(0\) and targets must be class indices from 0 to 3"),
    (lambda: F.ctc_loss(X, [1, 0], 3, 2), r"no target blank"),
    (lambda: F.ctc_loss(X, [1, 2], 3, 2, blank=4), r"blank \(4\)"),
    (lambda: F.ctc_loss(X[0], [1], 1, 1), r"log_probs are \(T, N, C\) or \(T, C\), got \(4,\)"),
])
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("name", ["hinge_loss", "squared_hinge_loss", "perceptron_loss", "soft_margin_loss",
                                  "hinge_embedding_loss", "wasserstein_loss"])
def test_a_target_that_is_no_sign_is_refused(name):
    with pytest.raises(ValueError, match=rf"{name}: targets must be 1 or -1, got 0"):
        getattr(F, name)(np.zeros(3), np.array([1, 0, 1]))


@pytest.mark.parametrize("call", [lambda: F.nll_loss(X, P[:, 0]), lambda: F.multilabel_margin_loss(X, X),
                                  lambda: F.multi_margin_loss(X, P[:, 0])])
def test_class_indices_are_integers(call):
    with pytest.raises(TypeError, match=r"class indices.*float64"):
        call()
