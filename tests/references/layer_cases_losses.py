"""Losses."""

from __future__ import annotations

import os
from functools import partial

import numpy as np
from references.layers import Case
from references.record import uniform

from minigrad import functional as F
from minigrad import nn

REDUCTIONS = ("mean", "sum", "none")
WEIGHT = np.array([0.5, 2.0, 1.0, 0.25])
LABELS, IMAGE_LABELS = np.array([2, 0, 3]), np.array([[0, 3], [2, 1]])
SIGNS = np.array([1, -1, -1, 1, -1])
SIGNS_2D = np.where(uniform("signs", 4, 3) > 0, 1, -1)
NEVER = "PyTorch cannot differentiate it twice"
SINGLE = {"tolerance": 1e-6, "why": "Keras turns to float32 on the way"}
LINEAR = "piecewise linear: the second derivative is 0"


def wide(name, *shape):
    return uniform(name, *shape, low=-4.0, high=4.0)


def probabilities(name, *shape):
    return uniform(name, *shape, low=0.05, high=0.95)


def shares(name, *shape):
    p = probabilities(name, *shape)
    return p / p.sum(1, keepdims=True)


def both(name, inputs, label="", reductions=REDUCTIONS, order=2, why="", **settings):
    """The module of this name on both sides, with all reductions at once; arrays among the settings as tensors."""
    def theirs(torch):
        given = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in settings.items()}
        return lambda *xs: tuple(getattr(torch.nn, name)(**given, reduction=r)(*xs) for r in reductions)
    text = label or ", ".join(f"{k}={v}" for k, v in settings.items())
    return Case(f"{name}({text})", lambda: lambda *xs: tuple(
        getattr(nn, name)(**settings, reduction=r)(*xs) for r in reductions), theirs, inputs, order=order, why=why)


def other(name, ours, theirs, inputs, reductions=REDUCTIONS, **looseness):
    """Our loss, a class to be given a reduction, beside an expression: (torch, *inputs) -> the loss of each element."""
    return Case(name, lambda: lambda *xs: tuple(ours(reduction=r)(*xs) for r in reductions), lambda torch: lambda *xs:
                tuple(reduced(theirs(torch, *xs), r) for r in reductions), inputs, **looseness)


def reduced(loss, reduction):
    return loss if reduction == "none" else getattr(loss, reduction)()


def keras(function, *, rows=False, **settings):
    """A loss of Keras, (target, prediction) -> loss. rows: of every element, by giving it as a row of its own."""
    def theirs(torch, x, t):
        os.environ["KERAS_BACKEND"] = "torch"
        import keras
        loss = getattr(keras.losses, function)
        return loss(t[..., None], x[..., None], **settings) if rows else loss(t, x, **settings)
    return theirs


# ---- from the papers ----
def categorical_hinge(torch, x, t):
    return torch.relu(1 + ((1 - t) * x).amax(1) - (t * x).sum(1))


def binary_focal(alpha, gamma):
    """Lin et al. 2017, equation 5, on logits."""
    def theirs(torch, x, t):
        p = torch.sigmoid(x)
        balance = 1 if alpha is None else torch.where(t == 1, alpha, 1 - alpha)
        p_t = torch.where(t == 1, p, 1 - p)
        return -balance * (1 - p_t) ** gamma * p_t.log()
    return theirs


def categorical_focal(alpha, gamma):
    def theirs(torch, x, t):
        p = torch.softmax(x, 1).gather(1, t[:, None])[:, 0]
        return -(torch.tensor(alpha)[t] if np.ndim(alpha) else alpha) * (1 - p) ** gamma * p.log()
    return theirs


def tversky(alpha, beta, axis):
    """Salehi et al. 2017, equation 3."""
    def theirs(torch, p, t):
        total = (lambda v: v.sum()) if axis is None else (lambda v: v.sum(axis))
        hits = total(p * t)
        return 1 - hits / (hits + alpha * total(p * (1 - t)) + beta * total((1 - p) * t) + 1e-7)
    return theirs


def contrastive(margin):
    """Hadsell et al. 2006, equation 4."""
    def theirs(torch, a, b, y):
        d = (a - b).norm(dim=-1)
        return (1 - y) * d**2 / 2 + y * (margin - d).clamp(min=0) ** 2 / 2
    return theirs


def nt_xent(temperature):
    """Chen et al. 2020, equation 1, pair by pair."""
    def theirs(torch, a, b):
        z, n = torch.cat([a, b]), len(a)
        s = torch.stack([torch.stack([z[i] @ z[k] / z[i].norm() / z[k].norm() for k in range(2 * n)])
                         for i in range(2 * n)]) / temperature
        return torch.stack([-torch.log(s[i, (i + n) % (2 * n)].exp() / sum(
            s[i, k].exp() for k in range(2 * n) if k != i)) for i in range(2 * n)])
    return theirs


# ---- CTC ----
def ctc(label, targets, lengths, sizes, shape=(6, 2, 4), **settings):
    def theirs(torch):
        rest = torch.tensor(targets), torch.tensor(lengths), torch.tensor(sizes)
        return lambda x: tuple(torch.nn.functional.ctc_loss(torch.log_softmax(x, -1), *rest, reduction=r, **settings)
                               for r in REDUCTIONS)
    return Case(f"CTCLoss({label})", lambda: lambda x: tuple(
        nn.CTCLoss(reduction=r, **settings)(F.log_softmax(x), targets, lengths, sizes) for r in REDUCTIONS),
        theirs, (shape,), order=1, why=NEVER)


X, T = wide("losses input", 4, 3), wide("losses target", 4, 3)
LOGITS, IMAGES = wide("losses logits", 3, 4), wide("losses images", 2, 4, 2)
BITS = (uniform("bits", 4, 3) > 0).astype(np.int64)
P, Q = probabilities("losses p", 4, 3), probabilities("losses q", 4, 3)
VECTORS = ((5, 3), (5, 3))
ONE_HOT = np.eye(4)[LABELS]


CASES = [
    # one class of many
    both("CrossEntropyLoss", (LOGITS, LABELS)),
    both("CrossEntropyLoss", (LOGITS, LABELS), "weight", weight=WEIGHT),
    both("CrossEntropyLoss", (IMAGES, IMAGE_LABELS), "everything, images",
         weight=WEIGHT, ignore_index=1, label_smoothing=0.1),
    both("CrossEntropyLoss", (IMAGES, IMAGE_LABELS), "images"),
    both("CrossEntropyLoss", (LOGITS, np.array([2, -100, 3])), "ignored"),
    both("CrossEntropyLoss", (LOGITS[0], np.array(1)), "one row", label_smoothing=0.2),
    both("CrossEntropyLoss", (LOGITS, shares("soft", 3, 4)), "probabilities"),
    both("CrossEntropyLoss", (IMAGES, shares("soft images", 2, 4, 2)), "probabilities, everything, images",
         weight=WEIGHT, label_smoothing=0.1),
    both("NLLLoss", (LOGITS, LABELS)),
    both("NLLLoss", (IMAGES, IMAGE_LABELS), "weight, ignore_index=1, images", weight=WEIGHT, ignore_index=1),
    both("NLLLoss", (LOGITS, np.array([2, -100, 3])), "ignored"),
    both("NLLLoss", (LOGITS[0], np.array(1)), "one row", weight=WEIGHT),
    both("KLDivLoss", (np.log(shares("kl", 4, 3)), shares("kl target", 4, 3)), reductions=(*REDUCTIONS, "batchmean")),
    both("KLDivLoss", (np.log(shares("kl", 4, 3)), np.log(shares("kl target", 4, 3))), log_target=True,
         reductions=(*REDUCTIONS, "batchmean")),
    both("MultiMarginLoss", (LOGITS, LABELS), order=1, why=NEVER),
    both("MultiMarginLoss", (LOGITS, LABELS), "everything", p=2, margin=0.7, weight=WEIGHT, order=1,
         why=NEVER),
    both("MultiMarginLoss", (LOGITS[0], np.array(1)), "one row", p=2, order=1, why=NEVER),
    other("CategoricalHingeLoss as Keras", nn.CategoricalHingeLoss, keras("categorical_hinge"), (LOGITS, ONE_HOT),
          **SINGLE),
    other("CategoricalHingeLoss", nn.CategoricalHingeLoss, categorical_hinge, (LOGITS, ONE_HOT)),
    other("CategoricalFocalLoss", nn.CategoricalFocalLoss, categorical_focal(0.25, 2), (LOGITS, LABELS)),
    other("CategoricalFocalLoss(weight, 1.5)", partial(nn.CategoricalFocalLoss, WEIGHT, 1.5),
          categorical_focal(WEIGHT, 1.5), (LOGITS, LABELS)),
    other("CategoricalFocalLoss as Keras", nn.CategoricalFocalLoss,
          keras("categorical_focal_crossentropy", from_logits=True), (LOGITS, shares("focal", 3, 4))),
    # yes or no
    both("BCELoss", (P, Q)), both("BCELoss", (P, Q), "weight", weight=WEIGHT[:3]),
    both("BCEWithLogitsLoss", (X, Q)), both("BCEWithLogitsLoss", (X, Q), "weight", weight=WEIGHT[:3]),
    both("BCEWithLogitsLoss", (X, Q), "weight, pos_weight", weight=WEIGHT[:3], pos_weight=WEIGHT[1:]),
    other("BinaryFocalLoss", nn.BinaryFocalLoss, binary_focal(0.25, 2), (X, BITS)),
    other("BinaryFocalLoss(None, 0.5)", partial(nn.BinaryFocalLoss, None, 0.5), binary_focal(None, 0.5), (X, BITS)),
    other("BinaryFocalLoss as Keras", partial(nn.BinaryFocalLoss, None),
          keras("binary_focal_crossentropy", rows=True, from_logits=True), (X, Q), **SINGLE),
    other("HingeLoss as Keras", nn.HingeLoss, keras("hinge", rows=True), (X, SIGNS_2D), **SINGLE),
    other("HingeLoss", nn.HingeLoss, lambda torch, x, t: torch.relu(1 - t * x), (X, SIGNS_2D)),
    other("HingeLoss(0.3)", partial(nn.HingeLoss, 0.3), lambda torch, x, t: torch.relu(0.3 - t * x), (X, SIGNS_2D)),
    other("SquaredHingeLoss as Keras", nn.SquaredHingeLoss, keras("squared_hinge", rows=True), (X, SIGNS_2D), **SINGLE),
    other("SquaredHingeLoss", nn.SquaredHingeLoss, lambda torch, x, t: torch.relu(1 - t * x) ** 2, (X, SIGNS_2D)),
    other("SquaredHingeLoss(0.3)", partial(nn.SquaredHingeLoss, 0.3), lambda torch, x, t: torch.relu(0.3 - t * x) ** 2,
          (X, SIGNS_2D)),
    other("PerceptronLoss", nn.PerceptronLoss, lambda torch, x, t: torch.relu(-t * x), (X, SIGNS_2D)),
    both("SoftMarginLoss", (X, SIGNS_2D)),
    # many answers at once
    both("MultiLabelSoftMarginLoss", (X, Q)),
    both("MultiLabelSoftMarginLoss", (X, Q), "weight", weight=WEIGHT[:3]),
    both("MultiLabelMarginLoss", (LOGITS, np.array([[2, 0, -1, 3], [3, -1, -1, -1], [0, 1, 2, 3]])), order=1,
         why=NEVER),
    both("MultiLabelMarginLoss", (LOGITS[0], np.array([3, 0, -1, 1])), "one row", order=1, why=NEVER),
    # overlap of masks
    other("DiceLoss", nn.DiceLoss, keras("dice"), (P, Q), reductions=("mean",)),
    other("DiceLoss((1,))", partial(nn.DiceLoss, (1,)), keras("dice", axis=(1,)), (P, Q)),
    other("TverskyLoss(0.3, 0.7)", partial(nn.TverskyLoss, 0.3, 0.7), tversky(0.3, 0.7, None), (P, Q),
          reductions=("mean",)),
    other("TverskyLoss(0.3, 0.7, (1,))", partial(nn.TverskyLoss, 0.3, 0.7, (1,)), tversky(0.3, 0.7, (1,)), (P, Q)),
    other("TverskyLoss as Keras, with alpha and beta exchanged", partial(nn.TverskyLoss, 0.3, 0.7, (1,)),
          keras("tversky", alpha=0.7, beta=0.3, axis=(1,)), (P, Q)),
    # regression
    both("MSELoss", (X, T)), both("L1Loss", (X, T), order=1, why=LINEAR),
    both("SmoothL1Loss", (X, T)), both("SmoothL1Loss", (X, T), beta=2.5),
    both("SmoothL1Loss", (X, T), beta=0.0, order=1, why=LINEAR),
    both("HuberLoss", (X, T)), both("HuberLoss", (X, T), delta=2.5),
    other("LogCoshLoss as Keras", nn.LogCoshLoss, keras("log_cosh", rows=True), (X, T), **SINGLE),
    other("LogCoshLoss", nn.LogCoshLoss, lambda torch, x, t: torch.log(torch.cosh(x - t)), (X, T)),
    other("MAPELoss as Keras", nn.MAPELoss, keras("mean_absolute_percentage_error", rows=True), (X, T), **SINGLE),
    other("MAPELoss", nn.MAPELoss, lambda torch, x, t: 100 * ((t - x) / t).abs(), (X, T)),
    other("MSLELoss as Keras", nn.MSLELoss, keras("mean_squared_logarithmic_error", rows=True), (P, Q), **SINGLE),
    other("MSLELoss", nn.MSLELoss,
          lambda torch, x, t: (torch.log(x.clamp(1e-7) + 1) - torch.log(t.clamp(1e-7) + 1)) ** 2, (X, Q)),
    both("PoissonNLLLoss", (X, np.array([[0, 1, 2], [3, 4, 5], [1, 0, 1], [2, 2, 7]]))),
    both("PoissonNLLLoss", (X, 4 * P), full=True),
    both("PoissonNLLLoss", (P, 4 * Q), log_input=False, full=True, eps=1e-3),
    both("GaussianNLLLoss", (X, T, P)), both("GaussianNLLLoss", (X, T, P), full=True, eps=0.4),
    both("GaussianNLLLoss", (X, T, P[:, :1]), "one variance a row"),
    both("GaussianNLLLoss", (X, T, P[:, 0]), "one variance a row, without its axis"),
    # pairs and triplets
    both("MarginRankingLoss", ((5,), (5,), SIGNS)), both("MarginRankingLoss", ((5,), (5,), SIGNS), margin=0.5),
    both("HingeEmbeddingLoss", ((5,), SIGNS)), both("HingeEmbeddingLoss", ((4, 3), SIGNS_2D), margin=0.3),
    both("CosineEmbeddingLoss", (*VECTORS, SIGNS)), both("CosineEmbeddingLoss", (*VECTORS, SIGNS), margin=0.3),
    both("CosineEmbeddingLoss", ((3,), (3,), np.array(-1)), "of one pair"),
    both("TripletMarginLoss", (*VECTORS, (5, 3))),
    both("TripletMarginLoss", (*VECTORS, (5, 3)), margin=2.0, p=3.0, swap=True),
    both("TripletMarginLoss", (*VECTORS, (5, 3)), p=1.0, eps=0.1, order=1, why=LINEAR),
    both("TripletMarginWithDistanceLoss", (*VECTORS, (5, 3)), swap=True),
    other("TripletMarginWithDistanceLoss of cosines", partial(
        nn.TripletMarginWithDistanceLoss, distance_function=lambda a, b: 1 - F.cosine_similarity(a, b), margin=0.5),
          lambda torch, a, p, n: torch.nn.functional.triplet_margin_with_distance_loss(
              a, p, n, distance_function=lambda a, b: 1 - torch.cosine_similarity(a, b), margin=0.5, reduction="none"),
          (*VECTORS, (5, 3))),
    other("ContrastiveLoss", nn.ContrastiveLoss, contrastive(1.0), (*VECTORS, (SIGNS + 1) // 2)),
    other("ContrastiveLoss(2.5)", partial(nn.ContrastiveLoss, 2.5), contrastive(2.5), (*VECTORS, (SIGNS + 1) // 2)),
    other("NTXentLoss", nn.NTXentLoss, nt_xent(0.5), ((3, 4), (3, 4))),
    other("NTXentLoss(0.1)", partial(nn.NTXentLoss, 0.1), nt_xent(0.1), ((3, 4), (3, 4))),
    other("WassersteinLoss", nn.WassersteinLoss, lambda torch, x, t: -t * x, ((5,), SIGNS)),
    # sequences
    ctc("", np.array([[1, 2, 2], [3, 1, 3]]), np.array([6, 5]), np.array([3, 2])),
    ctc("targets in a row", np.array([1, 2, 2, 3, 1]), np.array([6, 5]), np.array([3, 2])),
    ctc("blank=2", np.array([[1, 0], [0, 0]]), np.array([6, 6]), np.array([2, 0]), blank=2),
    ctc("zero_infinity", np.array([[1, 1, 1], [3, 1, 0]]), np.array([4, 6]), np.array([3, 2]), zero_infinity=True),
    ctc("one sequence", np.array([1, 2, 1]), np.array(5), np.array(3), shape=(6, 4)),
]
