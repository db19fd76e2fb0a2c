"""minigrad.metrics: by hand-counted examples, by scikit-learn, and by the papers' definitions written out slowly."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose

import minigrad.functional as F
from minigrad import Tensor, metrics
from minigrad.metrics import accuracy, confusion_matrix, precision_recall_f1, top_k_accuracy

TRUTH = [0, 0, 1, 1, 1, 2]
SAID = [0, 1, 1, 1, 2, 2]


def test_accuracy_counts_equal_labels_and_takes_scores():
    assert accuracy(TRUTH, SAID) == 4 / 6
    scores = np.eye(3)[SAID]
    assert accuracy(TRUTH, scores) == accuracy(TRUTH, Tensor(scores)) == 4 / 6


def test_confusion_matrix_has_truth_in_rows():
    counts = confusion_matrix(TRUTH, SAID)
    assert counts.tolist() == [[1, 1, 0], [0, 2, 1], [0, 0, 1]]
    assert counts[0, 1] == 1, "a 0 taken for a 1 stands in row 0, column 1"
    assert confusion_matrix(TRUTH, SAID, 5).shape == (5, 5)
    assert confusion_matrix(np.uint8([200, 200]), np.uint8([200, 0])).sum() == 2, "no overflow in small dtypes"


def test_top_k_counts_the_k_largest():
    scores = np.array([[0.1, 0.6, 0.3], [0.5, 0.2, 0.3]])
    assert [top_k_accuracy([2, 1], scores, k) for k in (1, 2, 3)] == [0.0, 0.5, 1.0]


def test_precision_recall_f1_by_hand_and_without_a_division_by_zero():
    precision, recall, f1 = precision_recall_f1(TRUTH, SAID, 4)
    assert precision.tolist() == [1, 2 / 3, 1 / 2, 0]
    assert recall.tolist() == [1 / 2, 2 / 3, 1, 0]
    np.testing.assert_allclose(f1, [2 / 3, 2 / 3, 2 / 3, 0])


@pytest.mark.parametrize(("call", "message"), [
    (lambda: accuracy([0, 1], [0]), r"truth \(2,\) and predicted \(1,\)"),
    (lambda: accuracy([], []), "N > 0"),
    (lambda: confusion_matrix([0, 3], [0, 1], 3), r"0\.\.2, got 0\.\.3"),
    (lambda: confusion_matrix([0, -1], [0, 1]), r"got -1\.\."),
    (lambda: confusion_matrix([0.0, 1.0], [0, 1]), "integers"),
    (lambda: metrics.accuracy([[0], [1], [1]], [[0.1], [0.2], [0.3]]), r"accuracy: \(3, 1\) is one column"),
    (lambda: metrics.accuracy([0, 1], [0.2, 0.8]), "labels must be whole numbers, got 0.2: are they probabilities"),
    (lambda: metrics.accuracy([0, 0], np.full((2, 3), np.nan)), "scores are NaN"),
    (lambda: metrics.top_k_accuracy([7, 9], np.eye(3)[:2], 2), r"integers in 0\.\.2"),
    (lambda: top_k_accuracy([0], np.ones((1, 3)), 4), r"1\.\.3"),
    (lambda: top_k_accuracy([0, 1], np.ones((1, 3))), r"\(2,\)"),
])
def test_what_does_not_fit_is_said(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.fixture(scope="module")
def sk():
    return pytest.importorskip("sklearn.metrics")


def rng(seed=0):
    return np.random.default_rng(seed)


def labelled(n=60, classes=5, seed=0):
    g = rng(seed)
    truth = g.integers(0, classes, n)
    return truth, np.where(g.random(n) < 0.5, truth, g.integers(0, classes, n))


# ---- labels ----
@pytest.mark.parametrize("average", [None, "macro", "micro", "weighted"])
@pytest.mark.parametrize("absent", [False, True])  # of the classes, one that never occurs
@pytest.mark.parametrize("given", [False, True])
def test_precision_recall_f1_against_scikit_learn(sk, average, absent, given):
    truth, said = labelled()
    truth, said = (np.where(x == 2, 1, x) for x in (truth, said)) if absent else (truth, said)
    ours = precision_recall_f1(truth, said, 5 if given or average is None else None, average=average)
    labels = range(5) if given or average is None else None
    theirs = sk.precision_recall_fscore_support(truth, said, average=average, labels=labels, zero_division=0)
    for mine, other in zip(ours, theirs):
        assert_allclose(mine, other, rtol=1e-14)
        assert isinstance(mine, np.ndarray if average is None else float)


def test_micro_averages_are_the_accuracy():
    assert precision_recall_f1(TRUTH, SAID, average="micro") == (4 / 6,) * 3


def test_balanced_accuracy_against_scikit_learn(sk):
    truth, said = labelled()
    assert_allclose(metrics.balanced_accuracy(truth, said), sk.balanced_accuracy_score(truth, said), rtol=1e-14)
    assert metrics.balanced_accuracy([0] * 98 + [1, 1], [0] * 100) == 0.5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that are only predicted
        assert_allclose(metrics.balanced_accuracy([0, 0, 1], [0, 2, 1]), sk.balanced_accuracy_score([0, 0, 1],
                                                                                                   [0, 2, 1]))


@pytest.mark.parametrize("average", [None, "macro", "micro", "weighted"])
def test_iou_and_dice_against_scikit_learn(sk, average):
    truth, said = (x.reshape(3, 5, 4) for x in labelled())
    assert_allclose(metrics.iou(truth, said, average=average),
                    sk.jaccard_score(truth.ravel(), said.ravel(), average=average), rtol=1e-14)
    assert_allclose(metrics.dice(truth, said, average=average),
                    sk.f1_score(truth.ravel(), said.ravel(), average=average), rtol=1e-14)


def test_iou_by_hand_leaves_absent_classes_out_of_the_mean():
    truth, said = [[0, 0, 1], [1, 1, 1]], [[0, 1, 1], [1, 1, 3]]
    assert metrics.iou(truth, said, 5).tolist() == [1 / 2, 3 / 5, 0, 0, 0]
    assert_allclose(metrics.iou(truth, said, 5, average="macro"), (1 / 2 + 3 / 5 + 0) / 3)
    i, d = metrics.iou(truth, said), metrics.dice(truth, said)
    assert_allclose(d, 2 * i / (1 + i))


# ---- ranking ----
@pytest.mark.parametrize("digits", [1, 6])  # with many ties, and with none
def test_roc_auc_and_average_precision_against_scikit_learn(sk, digits):
    g = rng(1)
    truth = g.integers(0, 2, 70)
    scores = np.round(g.standard_normal(70) + truth, digits)
    assert_allclose(metrics.roc_auc(truth, scores), sk.roc_auc_score(truth, scores), rtol=1e-13)
    assert_allclose(metrics.average_precision(truth, scores), sk.average_precision_score(truth, scores), rtol=1e-13)


def test_roc_auc_counts_pairs():
    truth, scores = np.array([0, 1, 0, 1, 1]), np.array([0.1, 0.4, 0.4, 0.8, 0.05])
    pairs = [(p > n) + (p == n) / 2 for p in scores[truth == 1] for n in scores[truth == 0]]
    assert_allclose(metrics.roc_auc(truth, Tensor(scores)), np.mean(pairs))
    assert metrics.roc_auc([0, 1], [0, 1]) == 1 and metrics.roc_auc([0, 1], [1, 0]) == 0
    assert metrics.roc_auc([False, True, True], [3, 3, 3]) == 0.5


@pytest.mark.parametrize("multi_class, average", [
    ("ovr", "macro"), ("ovr", "weighted"), ("ovr", None), ("ovo", "macro"), ("ovo", "weighted")])
@pytest.mark.parametrize("digits", [1, 9])
def test_roc_auc_of_many_classes_against_scikit_learn(sk, multi_class, average, digits):
    g = rng(2)
    truth = g.permutation(np.repeat(np.arange(4), [30, 5, 20, 25]))
    scores = np.exp(np.round(g.standard_normal((80, 4)) + np.eye(4)[truth], digits))
    scores /= scores.sum(axis=1, keepdims=True)
    assert_allclose(metrics.roc_auc(truth, scores, multi_class=multi_class, average=average),
                    sk.roc_auc_score(truth, scores, multi_class=multi_class, average=average), rtol=1e-13)


# ---- probabilities ----
def test_perplexity_is_exp_of_the_cross_entropy():
    g = rng(3)
    truth, logits = g.integers(0, 6, (4, 5)), 3 * g.standard_normal((4, 5, 6))
    expected = math.exp(F.cross_entropy(Tensor(logits.reshape(-1, 6)), truth.ravel()).item())
    assert_allclose(metrics.perplexity(truth, Tensor(logits)), expected, rtol=1e-12)
    logs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    assert_allclose(metrics.perplexity(truth, logs), expected, rtol=1e-12)
    assert_allclose(metrics.perplexity(truth, np.zeros((4, 5, 6))), 6)
    padded = truth.copy()
    padded[:, 3:] = -100
    assert_allclose(metrics.perplexity(padded, logits), metrics.perplexity(truth[:, :3], logits[:, :3]))
    assert metrics.perplexity([0], [[-1e4, 0.0]]) == math.inf
    assert_allclose(metrics.perplexity([0], [[1e4, 0.0]]), 1)


def test_calibration_by_hand():
    p = np.array([0.55, 0.65, 0.62, 0.95, 1.0, 0.91])
    truth = np.array([1, 0, 1, 1, 1, 0])
    sure, right, count = metrics.calibration_curve(truth, p, 10)
    assert count.tolist() == [0, 0, 0, 0, 0, 1, 2, 0, 0, 3]
    assert_allclose(sure[[5, 6, 9]], [0.55, 0.635, 2.86 / 3])
    assert_allclose(right[[5, 6, 9]], [1, 0.5, 2 / 3])
    assert np.isnan(sure[0]) and np.isnan(right[8])
    error = metrics.expected_calibration_error(truth, p, 10)
    assert_allclose(error, (0.45 + 2 * 0.135 + 3 * abs(2.86 / 3 - 2 / 3)) / 6)
    assert_allclose(metrics.expected_calibration_error(truth, np.stack([1 - p, p], 1), 10), error)


def slow_ece(truth, p, bins):
    error = 0.0
    for m in range(1, bins + 1):
        rows = [i for i in range(len(p)) if (m - 1) / bins < p[i].max() <= m / bins]
        if rows:
            right = np.mean([p[i].argmax() == truth[i] for i in rows])
            error += len(rows) / len(p) * abs(right - np.mean([p[i].max() for i in rows]))
    return error


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_calibration_error_against_the_papers_sum(bins):
    g = rng(4)
    p = g.dirichlet(np.ones(4), 200)
    p[:3] = np.eye(4)[:3]
    p[3] = 0.25  # a confidence that is an edge of bins
    truth = g.integers(0, 4, 200)
    assert_allclose(metrics.expected_calibration_error(truth, p, bins), slow_ece(truth, p, bins), rtol=1e-12)


def test_what_is_calibrated_has_no_error():
    g = rng(5)
    p = g.uniform(0.5, 1, 100_000)
    assert metrics.expected_calibration_error((g.random(100_000) < p).astype(int), p) < 0.01


# ---- numbers ----
@pytest.mark.parametrize("name", ["mean_absolute_error", "mean_squared_error", "root_mean_squared_error", "r2_score"])
@pytest.mark.parametrize("multioutput", ["uniform_average", "raw_values", "variance_weighted", [0.2, 0.5, 0.3]])
def test_regression_against_scikit_learn(sk, name, multioutput):
    if multioutput == "variance_weighted" and name != "r2_score":
        with pytest.raises(ValueError, match=r"'uniform_average' or a weight for each of 3 outputs, not 'variance_w"):
            getattr(metrics, name)(np.zeros((4, 3)), np.zeros((4, 3)), multioutput)
        return
    g = rng(6)
    truth = g.standard_normal((20, 3)) * [1, 5, 0.2]
    said = truth + g.standard_normal((20, 3))
    assert_allclose(getattr(metrics, name)(truth, said, multioutput),
                    getattr(sk, name)(truth, said, multioutput=multioutput), rtol=1e-12)
    assert_allclose(getattr(metrics, name)(truth[:, 0], Tensor(said[:, 0])), getattr(sk, name)(truth[:, 0], said[:, 0]))


def test_r2_of_a_constant(sk):
    truth = np.array([[1.0, 1, 3], [1, 1, 4], [1, 1, 5]])
    said = np.array([[1.0, 2, 3], [1, 1, 4], [1, 1, 6]])
    for multioutput in ("raw_values", "uniform_average", "variance_weighted"):
        assert_allclose(metrics.r2_score(truth, said, multioutput), sk.r2_score(truth, said, multioutput=multioutput))
    assert metrics.r2_score([2, 2], [2, 2]) == 1 and metrics.r2_score([2, 2], [2, 3]) == 0


# ---- images ----
def test_psnr():
    assert_allclose(metrics.psnr(np.zeros((2, 4, 4)), np.full((2, 4, 4), 0.1)), 20)
    assert_allclose(metrics.psnr(np.uint8([[0, 255]]), np.uint8([[255, 255]]), 255), 10 * math.log10(2))
    assert metrics.psnr([1.0], [1.0]) == math.inf
    x = rng(7).random((3, 8, 8))
    y = x + 0.05 * rng(8).standard_normal(x.shape)
    assert_allclose(metrics.psnr(255 * x, Tensor(255 * y), 255), metrics.psnr(x, y))


def slow_ssim(x, y, data_range, window=11, sigma=1.5):
    """Wang et al. 2004, equations 13 to 17, place by place."""
    half, weights = (window - 1) / 2, np.empty((window, window))
    for i in range(window):
        for j in range(window):
            weights[i, j] = math.exp(-((i - half) ** 2 + (j - half) ** 2) / (2 * sigma ** 2))
    weights /= weights.sum()
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    places = np.empty((x.shape[0] - window + 1, x.shape[1] - window + 1))
    for i in range(places.shape[0]):
        for j in range(places.shape[1]):
            a, b = x[i:i + window, j:j + window], y[i:i + window, j:j + window]
            ma, mb = (weights * a).sum(), (weights * b).sum()
            va, vb = (weights * (a - ma) ** 2).sum(), (weights * (b - mb) ** 2).sum()
            cov = (weights * (a - ma) * (b - mb)).sum()
            places[i, j] = (2 * ma * mb + c1) * (2 * cov + c2) / ((ma ** 2 + mb ** 2 + c1) * (va + vb + c2))
    return places


@pytest.mark.parametrize("data_range", [1.0, 255.0])
def test_ssim_against_the_papers_equations(data_range):
    g = rng(9)
    x = data_range * g.random((2, 3, 14, 17))
    y = x + 0.2 * data_range * g.standard_normal(x.shape)
    value, places = metrics.ssim(x, y, data_range, full=True)
    expected = [[slow_ssim(a, b, data_range) for a, b in zip(*both)] for both in zip(x, y)]
    assert_allclose(places, expected, rtol=1e-9)
    assert_allclose(value, np.mean(expected), rtol=1e-12)
    assert metrics.ssim(x, Tensor(y), data_range) == value == metrics.ssim(y, x, data_range)
    assert_allclose(metrics.ssim(x[0, 0], y[0, 0], data_range, window=8, sigma=2),
                    slow_ssim(x[0, 0], y[0, 0], data_range, 8, 2).mean(), rtol=1e-10)


def test_ssim_sees_structure():
    x = rng(10).random((16, 16))
    assert_allclose(metrics.ssim(x, x), 1)
    assert metrics.ssim(x, 1 - x) < -0.5
    noisy, brighter = x + 0.1 * rng(11).standard_normal(x.shape), x + 0.1
    assert_allclose(metrics.psnr(x, brighter), metrics.psnr(x, noisy), rtol=0.05)
    assert metrics.ssim(x, brighter) > metrics.ssim(x, noisy), "an error that PSNR finds as large"


# ---- over batches ----
def test_mean_of_batches_is_the_mean_of_all():
    g = rng(12)
    values, weights = g.standard_normal(50), g.random(50)
    mean = metrics.Mean()
    for rows in np.split(np.arange(50), [3, 20, 20, 48]):
        if len(rows):
            mean.update(np.average(values[rows], weights=weights[rows]), weights[rows].sum())
    assert_allclose(mean.compute(), np.average(values, weights=weights), rtol=1e-14)
    each = metrics.Mean().update(Tensor(values), weights)
    assert_allclose(each.compute(), np.average(values, weights=weights), rtol=1e-14)
    assert_allclose(each.weight, weights.sum())
    assert_allclose(metrics.Mean().update(values.reshape(5, 10), 2.0).compute(), values.mean())
    each.reset()
    assert repr(each) == "Mean(nothing yet)" and repr(each.update(2, 3)) == "Mean(2 of weight 3)"


def test_mean_keeps_what_rounding_takes():
    mean = metrics.Mean()
    for x in [1e16, 1.0, 1.0, -1e16]:
        mean.update(x)
    assert mean.compute() == 0.5
    assert math.isnan(metrics.Mean().update(1).update(math.nan).update(2).compute())
    assert metrics.Mean().update(math.inf).update(1).compute() == math.inf


@pytest.mark.parametrize(("call", "message"), [
    (lambda: precision_recall_f1(TRUTH, SAID, average="mean"), "'macro', 'micro' or 'weighted', not 'mean'"),
    (lambda: metrics.iou([[0, 1]], [0, 1]), r"iou: truth \(1, 2\) and predicted \(2,\)"),
    (lambda: metrics.dice([0.5], [0.5]), "whole numbers"),
    (lambda: metrics.roc_auc([1, 1], [0.1, 0.2]), "needs samples that are 1 and others, got 2 and 0"),
    (lambda: metrics.roc_auc([0, 2], [0.1, 0.2]), r"must be 0 or 1, got \[0 2\]"),
    (lambda: metrics.roc_auc([0, 1], [0.1, np.nan]), "NaN"),
    (lambda: metrics.roc_auc([0, 1, 1], [0.1, 0.2]), r"truth \(3,\) and scores \(2,\)"),
    (lambda: metrics.roc_auc([0, 1], np.eye(3)), r"labels \(2,\) must be \(N,\) and scores \(3, 3\)"),
    (lambda: metrics.roc_auc([0, 1], np.eye(2, 3)), "needs samples that are 2 and others, got 0 and 2"),
    (lambda: metrics.roc_auc([0, 3], np.eye(2)), r"integers in 0\.\.1"),
    (lambda: metrics.roc_auc([0, 1], np.eye(2), multi_class="all"), "not 'all' and 'macro'"),
    (lambda: metrics.average_precision([0, 0], [1, 2]), "truth has no 1"),
    (lambda: metrics.perplexity([0, 1], np.zeros((2, 3, 4))), r"labels \(2,\) .*scores \(2, 3, 4\)"),
    (lambda: metrics.perplexity([7], np.zeros((1, 3))), r"integers in 0\.\.2"),
    (lambda: metrics.perplexity([-100], np.zeros((1, 3))), "at least one"),
    (lambda: metrics.expected_calibration_error([0], [[3.0, -1.0]]), "logits go through softmax"),
    (lambda: metrics.expected_calibration_error([0, 1], [[0.5, 0.5]]), r"labels \(2,\)"),
    (lambda: metrics.calibration_curve([0], [0.5], 0), "bins must be positive, got 0"),
    (lambda: metrics.mean_squared_error([1, 2], [[1], [2]]), r"truth \(2,\) and predicted \(2, 1\)"),
    (lambda: metrics.mean_absolute_error([[1, 2]], [[1, 2]], [1, 2, 3]), "a weight for each of 2 outputs"),
    (lambda: metrics.r2_score([1], [1]), "at least two samples"),
    (lambda: metrics.psnr([1.0], [1.0, 2.0]), r"truth \(1,\) and predicted \(2,\)"),
    (lambda: metrics.psnr([1.0], [1.0], 0), "data_range must be positive, got 0"),
    (lambda: metrics.ssim(np.zeros((10, 20)), np.zeros((10, 20))), r"images \(10, 20\) .*at least 11 x 11"),
    (lambda: metrics.Mean().compute(), "before the first update"),
    (lambda: metrics.Mean().update(1, -1), "must not be negative"),
    (lambda: metrics.Mean().update(1, [1, 2]), r"a weight \(2,\) for a value \(\)"),
])
def test_what_does_not_fit_is_said_by_the_others(call, message):
    with pytest.raises(ValueError, match=message):
        call()
