"""minigrad.metrics: by hand-counted examples, and by scikit-learn's definitions written out."""

import numpy as np
import pytest

from minigrad import Tensor
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
    (lambda: top_k_accuracy([0], np.ones((1, 3)), 4), r"1\.\.3"),
    (lambda: top_k_accuracy([0, 1], np.ones((1, 3))), r"\(2,\)"),
])
def test_what_does_not_fit_is_said(call, message):
    with pytest.raises(ValueError, match=message):
        call()
