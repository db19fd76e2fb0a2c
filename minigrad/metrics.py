"""How good predictions are. The truth comes first, as in scikit-learn; everything is a plain NumPy array."""

from __future__ import annotations

import itertools
import math

import numpy as np

from .tensor import Tensor

__all__ = ["Mean", "accuracy", "average_precision", "balanced_accuracy", "calibration_curve", "confusion_matrix",
           "dice", "expected_calibration_error", "iou", "mean_absolute_error", "mean_squared_error", "perplexity",
           "precision_recall_f1", "psnr", "r2_score", "roc_auc", "root_mean_squared_error", "ssim", "top_k_accuracy"]


def _array(x):
    return x.detach().numpy() if isinstance(x, Tensor) else np.asarray(x)


def _labels(name, x):
    x = _array(x)
    if x.ndim == 2 and x.shape[1] == 1:
        raise ValueError(f"{name}: {x.shape} is one column, whose largest is always the first: reshape labels to (N,), "
                         "and make labels of a single score by a threshold, scores.reshape(-1) > 0")
    if x.ndim == 2 and x.dtype.kind == "f" and np.isnan(x).any():
        raise ValueError(f"{name}: scores are NaN, which is no largest")
    if x.ndim != 2 and x.dtype.kind == "f" and not (x == np.floor(x)).all():
        odd = x[x != np.floor(x)]
        raise ValueError(f"{name}: labels must be whole numbers, got {odd.flat[0]:g}: are they probabilities?")
    return x.argmax(axis=1) if x.ndim == 2 else x


def _pair(name, truth, predicted):
    truth, predicted = _labels(name, truth), _labels(name, predicted)
    if truth.shape != predicted.shape or truth.ndim != 1 or not len(truth):
        raise ValueError(f"{name}: truth {truth.shape} and predicted {predicted.shape} must be labels (N,), or scores "
                         "(N, C), of the same N > 0")
    return truth, predicted


def accuracy(truth, predicted) -> float:
    """The share of equal labels. Each argument is labels (N,), or scores (N, C) whose largest counts.

    Raises ValueError if the lengths differ or are 0.
    """
    truth, predicted = _pair("accuracy", truth, predicted)
    return float((truth == predicted).mean())


def top_k_accuracy(truth, scores, k: int = 5) -> float:
    """The share of rows of ``scores`` (N, C) whose ``k`` largest include the label in ``truth`` (N,).

    Raises ValueError for shapes that do not fit, or k not in 1..C.
    """
    truth, scores = _array(truth), _array(scores)
    if scores.ndim != 2 or truth.shape != scores.shape[:1] or not len(truth):
        raise ValueError(f"top_k_accuracy: labels {truth.shape} must be (N,) and scores {scores.shape} (N, C), N > 0")
    if not 1 <= k <= scores.shape[1]:
        raise ValueError(f"top_k_accuracy: k must be in 1..{scores.shape[1]}, the number of classes, got {k}")
    truth = _known("top_k_accuracy", truth, scores)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return float((best == truth[:, None]).any(axis=1).mean())


def confusion_matrix(truth, predicted, classes: int | None = None) -> np.ndarray:
    """Counts (C, C): row the true class, column the predicted one. Arguments as for `accuracy`.

    classes: C; by default one more than the largest label. Raises ValueError for labels that are not in 0..C-1.
    """
    truth, predicted = _pair("confusion_matrix", truth, predicted)
    largest = int(max(truth.max(), predicted.max()))
    classes = largest + 1 if classes is None else classes
    if truth.dtype.kind not in "iub" or predicted.dtype.kind not in "iub":
        raise ValueError(f"confusion_matrix: labels must be integers, got {truth.dtype} and {predicted.dtype}")
    if largest >= classes or min(truth.min(), predicted.min()) < 0:
        raise ValueError(f"confusion_matrix: labels must lie in 0..{classes - 1}, got "
                         f"{min(truth.min(), predicted.min())}..{largest}")
    flat = truth.astype(np.int64) * classes + predicted.astype(np.int64)
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes)


def precision_recall_f1(truth, predicted, classes: int | None = None, *, average: str | None = None) -> tuple:
    """Three arrays (C,), one value per class; where there is nothing to divide by it is 0. Arguments as above.

    precision: of those said to be c, the share that is c; recall: of those that are c, the share found; f1: their
    harmonic mean. average: three numbers instead, "macro" the mean over classes, "weighted" that weighted by how many
    there are of each, "micro" from the counts of all classes together, which makes all three the accuracy. Without
    ``classes`` the mean is over those that occur.
    """
    counts = confusion_matrix(truth, predicted, classes)
    right, said, are = np.diag(counts), counts.sum(axis=0), counts.sum(axis=1)
    ratios = [(right, said), (right, are), (2 * right, said + are)]
    counted = np.ones(len(are), bool) if classes is not None else said + are > 0
    return tuple(_averaged("precision_recall_f1", *ratio, are, counted, average) for ratio in ratios)


def _averaged(name, over, under, weight, counted, average):
    """over / under for each class, 0 where that is 0 / 0, or their average."""
    if average not in (None, "macro", "micro", "weighted"):
        raise ValueError(f"{name}: average is None, 'macro', 'micro' or 'weighted', not {average!r}")
    if average == "micro":
        return float(over.sum() / max(under.sum(), 1))
    each = over / np.maximum(under, 1)
    if average is None:
        return each
    return float(each[counted].mean() if average == "macro" else np.average(each, weights=weight))


def balanced_accuracy(truth, predicted) -> float:
    """The mean of the classes' recalls: each class that occurs in truth counts alike, however rare it is."""
    truth, predicted = _pair("balanced_accuracy", truth, predicted)
    return float(np.mean([(predicted[truth == label] == label).mean() for label in np.unique(truth)]))


# ---- overlap of areas ----
def iou(truth, predicted, classes: int | None = None, *, average: str | None = None):
    """Intersection over union, Jaccard's index: |A and B| / |A or B| of each class's area, (C,). Labels of any shape.

    The areas are counted over the whole batch; 0 where there is neither. average: as for `precision_recall_f1`, but
    the mean is over classes that occur, also if ``classes`` is given.
    """
    right, said, are = _areas("iou", truth, predicted, classes)
    return _averaged("iou", right, said + are - right, are, said + are > 0, average)


def dice(truth, predicted, classes: int | None = None, *, average: str | None = None):
    """2 |A and B| / (|A| + |B|) of each class's area, which is F1: 2 IoU / (1 + IoU). Otherwise as `iou`. Dice 1945."""
    right, said, are = _areas("dice", truth, predicted, classes)
    return _averaged("dice", 2 * right, said + are, are, said + are > 0, average)


def _areas(name, truth, predicted, classes):
    truth, predicted = _array(truth), _array(predicted)
    if truth.shape != predicted.shape:
        raise ValueError(f"{name}: truth {truth.shape} and predicted {predicted.shape} must be labels of one shape")
    counts = confusion_matrix(truth.ravel(), predicted.ravel(), classes)
    return np.diag(counts), counts.sum(axis=0), counts.sum(axis=1)


# ---- ranking by scores ----
def _scored(name, truth, scores):
    """Whether each is positive, and its score."""
    truth, scores = _array(truth), _array(scores)
    if truth.ndim != 1 or truth.shape != scores.shape:
        raise ValueError(f"{name}: truth {truth.shape} and scores {scores.shape} must both be (N,)")
    if not np.isin(truth, (0, 1)).all():
        raise ValueError(f"{name}: for scores (N,) the truth must be 0 or 1, got {np.unique(truth)[:5]}")
    if np.isnan(scores).any():
        raise ValueError(f"{name}: scores must not be NaN")
    return truth == 1, scores


def roc_auc(truth, scores, *, multi_class: str = "ovr", average: str | None = "macro"):
    """The area under the ROC curve: the chance that a positive has a larger score than a negative, ties counting half.

    truth 0 or 1 and scores (N,); or labels 0..C-1 and scores (N, C), such as probabilities: multi_class="ovr" is each
    class's area against all others, of which average takes the mean, "macro", that weighted by how many there are,
    "weighted", or none, None, (C,). "ovo" is the mean over all pairs of classes, each seen from both, (Hand & Till
    2001), or that weighted by the pair's size. Raises ValueError if a class that is asked for does not occur.
    """
    truth, scores = _array(truth), _array(scores)
    if scores.ndim < 2:
        positive, scores = _scored("roc_auc", truth, scores)
        return _auc(positive, scores)
    if scores.ndim != 2 or truth.shape != scores.shape[:1]:
        raise ValueError(f"roc_auc: labels {truth.shape} must be (N,) and scores {scores.shape} (N,) or (N, C)")
    counts = np.bincount(_known("roc_auc", truth, scores), minlength=scores.shape[1])
    if np.isnan(scores).any():
        raise ValueError("roc_auc: scores must not be NaN")
    if average not in ("macro", "weighted", None) or multi_class not in ("ovr", "ovo") or (
            average is None and multi_class == "ovo"):
        raise ValueError("roc_auc: multi_class is 'ovr' or 'ovo' and average 'macro', 'weighted' or, for ovr, None, "
                         f"not {multi_class!r} and {average!r}")
    if multi_class == "ovr":
        areas = np.array([_auc(truth == c, scores[:, c], c) for c in range(len(counts))])
        return areas if average is None else float(np.average(areas, weights=counts if average == "weighted" else None))
    areas, sizes = [], []
    for a, b in itertools.combinations(range(len(counts)), 2):
        rows = (truth == a) | (truth == b)
        areas.append((_auc(truth[rows] == a, scores[rows, a], a) + _auc(truth[rows] == b, scores[rows, b], b)) / 2)
        sizes.append(rows.sum())
    return float(np.average(areas, weights=sizes if average == "weighted" else None))


def _auc(positive, scores, label=1):
    """By the rank sum of Mann & Whitney; equal scores share their mean rank."""
    p, n = int(positive.sum()), int((~positive).sum())
    if not p or not n:
        raise ValueError(f"roc_auc: needs samples that are {label} and others, got {p} and {n}")
    _, group, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(sizes) - (sizes - 1) / 2
    return float((ranks[group][positive].sum() - p * (p + 1) / 2) / (p * n))


def average_precision(truth, scores) -> float:
    """The sum over thresholds of (recall_k - recall_{k-1}) precision_k, from the highest score on.

    truth: 0 or 1, (N,). Equal scores are one threshold. Not the area by trapezoids, which is too good. Raises
    ValueError if nothing is positive.
    """
    positive, scores = _scored("average_precision", truth, scores)
    if not positive.any():
        raise ValueError("average_precision: truth has no 1")
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)  # of those with an equal score
    found = np.cumsum(positive[order])[last]
    return float(np.diff(found, prepend=0) @ (found / (np.flatnonzero(last) + 1)) / found[-1])


def _known(name, truth, scores):
    if truth.dtype.kind not in "iub" or not len(truth) or truth.min() < 0 or truth.max() >= scores.shape[-1]:
        raise ValueError(f"{name}: labels must be integers in 0..{scores.shape[-1] - 1}, the columns of scores "
                         f"{scores.shape}, and at least one")
    return truth.astype(np.int64)


# ---- probabilities ----
def perplexity(truth, scores, ignore_index: int = -100) -> float:
    """exp of the mean cross-entropy of logits (..., C) at the labels (...): C for one who guesses among C.

    Labels equal to ignore_index, such as padding, do not count. Logits, as for `functional.cross_entropy`, though with
    the classes last; log-probabilities are logits too. Raises ValueError for shapes and labels that do not fit.
    """
    truth, scores = _array(truth), _array(scores).astype(np.float64)
    if truth.shape != scores.shape[:-1]:
        raise ValueError(f"perplexity: labels {truth.shape} must be of the shape of scores {scores.shape} without "
                         "their last axis")
    counted = truth != ignore_index
    truth, scores = truth[counted], scores[counted]
    labels = _known("perplexity", truth, scores)
    z = scores - scores.max(axis=-1, keepdims=True)
    logs = np.log(np.exp(z).sum(axis=-1)) - np.take_along_axis(z, labels[:, None], -1)[:, 0]
    return math.exp(logs.mean()) if logs.mean() < 709 else math.inf


def calibration_curve(truth, probabilities, bins: int = 15) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(confidence, accuracy, count), each (bins,): a reliability diagram. Guo et al. 2017.

    probabilities (N, C), whose largest is the confidence and its class the prediction, or (N,), that of 1. Bin m holds
    confidences in ((m - 1) / bins, m / bins]; empty ones are NaN in the first two.
    """
    truth, p = _array(truth), _array(probabilities).astype(np.float64)
    p = np.stack([1 - p, p], axis=1) if p.ndim == 1 else p
    if p.ndim != 2 or truth.shape != p.shape[:1]:
        raise ValueError(f"calibration: labels {truth.shape} must be (N,), probabilities {p.shape} (N, C) or (N,)")
    if not (np.isfinite(p).all() and p.min(initial=0) >= 0 and p.max(initial=0) <= 1 + 1e-6):
        raise ValueError("calibration: probabilities must lie in 0..1; logits go through softmax first")
    if bins < 1:
        raise ValueError(f"calibration: bins must be positive, got {bins}")
    right = p.argmax(axis=1) == _known("calibration", truth, p)
    sure = np.minimum(p.max(axis=1), 1)
    which = np.clip(np.searchsorted(np.arange(1, bins + 1) / bins, sure), 0, bins - 1)
    count = np.bincount(which, minlength=bins)
    mean = lambda x: np.divide(np.bincount(which, x, bins), count, out=np.full(bins, np.nan), where=count > 0)
    return mean(sure), mean(right), count


def expected_calibration_error(truth, probabilities, bins: int = 15) -> float:
    """The mean of |accuracy - confidence| over the bins of `calibration_curve`, weighted by count. Guo et al. 2017."""
    sure, right, count = calibration_curve(truth, probabilities, bins)
    return float(np.nansum(np.abs(right - sure) * count) / count.sum())


# ---- numbers ----
def _numbers(name, truth, predicted):
    truth, predicted = (_array(x).astype(np.float64) for x in (truth, predicted))
    if truth.shape != predicted.shape or truth.ndim not in (1, 2) or not truth.size:
        raise ValueError(f"{name}: truth {truth.shape} and predicted {predicted.shape} must both be (N,) or "
                         "(N, outputs), N > 0")
    return truth, predicted


def _over_outputs(name, each, multioutput, variances=None):
    if multioutput == "raw_values":
        return np.atleast_1d(each)
    if multioutput == "uniform_average":
        return float(np.mean(each))
    if multioutput == "variance_weighted" and variances is not None:
        return float(np.average(each, weights=variances if np.any(variances) else None))
    if isinstance(multioutput, str) or np.shape(multioutput) != np.shape(each):
        raise ValueError(f"{name}: multioutput is 'raw_values', 'uniform_average'"
                         f"{', variance_weighted' if variances is not None else ''} or a weight for each of "
                         f"{np.size(each)} outputs, not {multioutput!r}")
    return float(np.average(each, weights=multioutput))


def mean_absolute_error(truth, predicted, multioutput="uniform_average"):
    """mean |truth - predicted| over N, then over outputs: the mean, multioutput's weights, or each, "raw_values"."""
    truth, predicted = _numbers("mean_absolute_error", truth, predicted)
    return _over_outputs("mean_absolute_error", np.abs(truth - predicted).mean(axis=0), multioutput)


def mean_squared_error(truth, predicted, multioutput="uniform_average"):
    """mean (truth - predicted)^2 over N, then over outputs as for `mean_absolute_error`."""
    truth, predicted = _numbers("mean_squared_error", truth, predicted)
    return _over_outputs("mean_squared_error", np.square(truth - predicted).mean(axis=0), multioutput)


def root_mean_squared_error(truth, predicted, multioutput="uniform_average"):
    """sqrt of each output's mean squared error, then over outputs as for `mean_absolute_error`."""
    truth, predicted = _numbers("root_mean_squared_error", truth, predicted)
    each = np.sqrt(np.square(truth - predicted).mean(axis=0))
    return _over_outputs("root_mean_squared_error", each, multioutput)


def r2_score(truth, predicted, multioutput="uniform_average"):
    """1 - sum (truth - predicted)^2 / sum (truth - mean)^2: 1 is perfect, 0 is as good as the mean, and worse is below.

    An output that is constant has 1 if it is met exactly, else 0. multioutput: as for `mean_absolute_error`, or
    "variance_weighted". Raises ValueError for fewer than two samples.
    """
    truth, predicted = _numbers("r2_score", truth, predicted)
    if len(truth) < 2:
        raise ValueError("r2_score: needs at least two samples")
    left, there = np.square(truth - predicted).sum(axis=0), np.square(truth - truth.mean(axis=0)).sum(axis=0)
    each = np.where(there > 0, 1 - left / np.where(there > 0, there, 1), np.where(left == 0, 1.0, 0.0))
    return _over_outputs("r2_score", each, multioutput, there)


# ---- images ----
def _images(name, truth, predicted, data_range):
    truth, predicted = (_array(x).astype(np.float64) for x in (truth, predicted))
    if truth.shape != predicted.shape or not truth.size:
        raise ValueError(f"{name}: truth {truth.shape} and predicted {predicted.shape} must be of one shape, not empty")
    if not data_range > 0:
        raise ValueError(f"{name}: data_range must be positive, got {data_range}")
    return truth, predicted


def psnr(truth, predicted, data_range: float = 1.0) -> float:
    """10 log10(data_range^2 / MSE), in decibels, over all pixels together; inf if they are equal.

    data_range: the largest minus the smallest value a pixel can have, 255 for bytes.
    """
    truth, predicted = _images("psnr", truth, predicted, data_range)
    error = np.square(truth - predicted).mean()
    return math.inf if error == 0 else float(10 * math.log10(data_range ** 2 / error))


def ssim(truth, predicted, data_range: float = 1.0, *, window: int = 11, sigma: float = 1.5, k1: float = 0.01,
         k2: float = 0.03, full: bool = False):
    """Structural similarity of images (..., H, W), from -1 to 1, equal ones: the mean over places, channels and images.

    (2 m m' + c1) (2 cov + c2) / ((m^2 + m'^2 + c1) (var + var' + c2)), c = (k data_range)^2, with means m, variances
    and covariance under a Gaussian window, wherever it fits in. full: also return the map (..., H - 10, W - 10). Wang
    et al. 2004. Raises ValueError for images smaller than the window.
    """
    x, y = _images("ssim", truth, predicted, data_range)
    if x.ndim < 2 or min(x.shape[-2:]) < window or window < 1 or not sigma > 0:
        raise ValueError(f"ssim: images {x.shape} must be (..., H, W), at least {window} x {window} as the window, "
                         f"which needs a positive sigma, here {sigma}")
    g = np.exp(-np.square(np.arange(window) - (window - 1) / 2) / (2 * sigma ** 2))
    g /= g.sum()

    def mean(a):
        for axis in (-1, -2):
            a = np.lib.stride_tricks.sliding_window_view(a, window, axis) @ g
        return a
    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    c1, c2 = (k1 * data_range) ** 2, (k2 * data_range) ** 2
    places = (2 * mx * my + c1) * (2 * cov + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    return (float(places.mean()), places) if full else float(places.mean())


# ---- over batches ----
class Mean:
    """A mean that grows batch by batch: ``mean.update(loss, len(x))``, then ``mean.compute()``.

    Values are numbers or arrays, of which each element counts; weights likewise, one for each value or one for all.
    ``weight`` is the sum of all weights so far. NaN stays NaN.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._sum, self._lost, self.weight = 0.0, 0.0, 0.0

    def update(self, value, weight=1.0) -> Mean:
        """Take in ``value`` with this weight, and return self. Raises ValueError for a weight below 0."""
        value, weight = (np.asarray(_array(v), np.float64) for v in (value, weight))
        if not (weight >= 0).all():
            raise ValueError(f"Mean: weights must not be negative, got {weight}")
        if np.broadcast_shapes(value.shape, weight.shape) != value.shape:
            raise ValueError(f"Mean: a weight {weight.shape} for a value {value.shape}; one for each, or one for all")
        weight = np.broadcast_to(weight, value.shape)
        self._add(float((value * weight).sum()))
        self.weight += float(weight.sum())
        return self

    def _add(self, x):  # Neumaier's sum: what rounding takes is kept
        total = self._sum + x
        if math.isfinite(total):
            self._lost += (self._sum - total) + x if abs(self._sum) >= abs(x) else (x - total) + self._sum
        self._sum = total

    def compute(self) -> float:
        """The mean of all that was taken in. Raises ValueError if that is nothing."""
        if not self.weight:
            raise ValueError("Mean: there is no mean before the first update with a weight")
        return (self._sum + self._lost) / self.weight

    def __repr__(self) -> str:
        return f"Mean({self.compute():.6g} of weight {self.weight:g})" if self.weight else "Mean(nothing yet)"
