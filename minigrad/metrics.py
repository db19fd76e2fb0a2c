"""How good predictions are. The truth comes first, as in scikit-learn; everything is a plain NumPy array."""

from __future__ import annotations

import numpy as np

from .tensor import Tensor

__all__ = ["accuracy", "confusion_matrix", "precision_recall_f1", "top_k_accuracy"]


def _array(x):
    return x.detach().numpy() if isinstance(x, Tensor) else np.asarray(x)


def _labels(x):
    x = _array(x)
    return x.argmax(axis=1) if x.ndim == 2 else x


def _pair(name, truth, predicted):
    truth, predicted = _labels(truth), _labels(predicted)
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


def precision_recall_f1(truth, predicted, classes: int | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three arrays (C,), one value per class; where there is nothing to divide by it is 0. Arguments as above.

    precision: of those said to be c, the share that is c; recall: of those that are c, the share found; f1: their
    harmonic mean.
    """
    counts = confusion_matrix(truth, predicted, classes)
    right, said, are = np.diag(counts), counts.sum(axis=0), counts.sum(axis=1)
    return right / np.maximum(said, 1), right / np.maximum(are, 1), 2 * right / np.maximum(said + are, 1)
