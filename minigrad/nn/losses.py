"""Losses as modules: the functions of `minigrad.functional` with their settings."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from .. import functional as F
from ..tensor import Tensor
from .activations import Functional


class Loss(Functional):
    """A loss with its settings; ``reduction`` is among them. Weights of classes are buffers, as PyTorch's."""

    def _factors(self, **arrays):
        for name, array in arrays.items():
            if array is None:
                setattr(self, name, None)
            else:
                self.register_buffer(name, array.numpy() if isinstance(array, Tensor) else array)

    def extra_repr(self):
        """The settings that are not the default; no arrays."""
        default = {p.name: p.default for p in inspect.signature(type(self).__init__).parameters.values()}
        shown = [(name, getattr(self, name)) for name in self.settings if name not in self._buffers]
        return ", ".join(f"{name}={value!r}" for name, value in shown if repr(value) != repr(default.get(name)))


# ---- one class of many ----
class CrossEntropyLoss(Loss):
    """-log softmax(logits)[target] from logits (N, C) or (N, C, ...); see `functional.cross_entropy`."""

    function = staticmethod(F.cross_entropy)

    def __init__(self, weight=None, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0):
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing must be between 0 and 1, got {label_smoothing}")
        self.ignore_index, self.reduction, self.label_smoothing = (ignore_index, F.check_reduction(reduction),
                                                                   label_smoothing)
        self._factors(weight=weight)


class NLLLoss(Loss):
    """-input[target] from log-probabilities (N, C) or (N, C, ...)."""

    function = staticmethod(F.nll_loss)

    def __init__(self, weight=None, ignore_index: int = -100, reduction: str = "mean"):
        self.ignore_index, self.reduction = ignore_index, F.check_reduction(reduction)
        self._factors(weight=weight)


class KLDivLoss(Loss):
    """t (log(t) - input) for log-probabilities; reduction="batchmean" gives the divergence."""

    function = staticmethod(F.kl_div)

    def __init__(self, reduction: str = "mean", log_target: bool = False):
        self.reduction, self.log_target = F.check_reduction(reduction, "batchmean"), log_target


class MultiMarginLoss(Loss):
    """sum over i != target of max(0, margin - input[target] + input[i])^p / C. Crammer & Singer 2001."""

    function = staticmethod(F.multi_margin_loss)

    def __init__(self, p: int = 1, margin: float = 1.0, weight=None, reduction: str = "mean"):
        self.p, self.margin, self.reduction = p, margin, F.check_reduction(reduction)
        self._factors(weight=weight)


class CategoricalHingeLoss(Loss):
    """max(0, 1 + max((1 - t) x) - sum(t x)), for one-hot targets. Keras."""

    function = staticmethod(F.categorical_hinge_loss)

    def __init__(self, reduction: str = "mean"):
        self.reduction = F.check_reduction(reduction)


class CategoricalFocalLoss(Loss):
    """-sum of alpha t (1 - p)^gamma log(p), p = softmax(logits). Lin et al. 2017."""

    function = staticmethod(F.categorical_focal_loss)

    def __init__(self, alpha=0.25, gamma: float = 2.0, reduction: str = "mean"):
        self.alpha, self.gamma, self.reduction = alpha, gamma, F.check_reduction(reduction)


# ---- yes or no ----
class BCELoss(Loss):
    """-(t log(p) + (1 - t) log(1 - p)) of probabilities."""

    function = staticmethod(F.binary_cross_entropy)

    def __init__(self, weight=None, reduction: str = "mean"):
        self.reduction = F.check_reduction(reduction)
        self._factors(weight=weight)


class BCEWithLogitsLoss(Loss):
    """-(t log sigmoid(x) + (1 - t) log(1 - sigmoid(x))) from logits; see the function for the weights."""

    function = staticmethod(F.binary_cross_entropy_with_logits)

    def __init__(self, weight=None, reduction: str = "mean", pos_weight=None):
        self.reduction = F.check_reduction(reduction)
        self._factors(weight=weight, pos_weight=pos_weight)


class BinaryFocalLoss(Loss):
    """-alpha_t (1 - p_t)^gamma log(p_t) from logits. Lin et al. 2017."""

    function = staticmethod(F.binary_focal_loss)

    def __init__(self, alpha: float | None = 0.25, gamma: float = 2.0, reduction: str = "mean"):
        self.alpha, self.gamma, self.reduction = alpha, gamma, F.check_reduction(reduction)


class HingeLoss(Loss):
    """max(0, margin - t x) for targets 1 or -1."""

    function = staticmethod(F.hinge_loss)

    def __init__(self, margin: float = 1.0, reduction: str = "mean"):
        self.margin, self.reduction = margin, F.check_reduction(reduction)


class SquaredHingeLoss(HingeLoss):
    """max(0, margin - t x)^2 for targets 1 or -1."""

    function = staticmethod(F.squared_hinge_loss)


class PerceptronLoss(Loss):
    """max(0, -t x) for targets 1 or -1. Rosenblatt 1958."""

    function = staticmethod(F.perceptron_loss)

    def __init__(self, reduction: str = "mean"):
        self.reduction = F.check_reduction(reduction)


class SoftMarginLoss(PerceptronLoss):
    """log(1 + exp(-t x)) for targets 1 or -1."""

    function = staticmethod(F.soft_margin_loss)


# ---- many answers at once ----
class MultiLabelSoftMarginLoss(Loss):
    """The binary cross-entropy of logits (..., C), averaged over the C labels."""

    function = staticmethod(F.multilabel_soft_margin_loss)

    def __init__(self, weight=None, reduction: str = "mean"):
        self.reduction = F.check_reduction(reduction)
        self._factors(weight=weight)


class MultiLabelMarginLoss(Loss):
    """sum of max(0, 1 - input[j] + input[i]) / C, j among the labels given, i among the others."""

    function = staticmethod(F.multilabel_margin_loss)

    def __init__(self, reduction: str = "mean"):
        self.reduction = F.check_reduction(reduction)


# ---- overlap of masks ----
class DiceLoss(Loss):
    """1 - 2 sum(t p) / (sum(t) + sum(p) + eps), for probabilities p. Keras' Dice."""

    function = staticmethod(F.dice_loss)

    def __init__(self, axis=None, eps: float = 1e-7, reduction: str = "mean"):
        self.axis, self.eps, self.reduction = axis, eps, F.check_reduction(reduction)


class TverskyLoss(Loss):
    """1 - h / (h + alpha f + beta m + eps): hits, false positives and misses. Salehi et al. 2017."""

    function = staticmethod(F.tversky_loss)

    def __init__(self, alpha: float = 0.5, beta: float = 0.5, axis=None, eps: float = 1e-7, reduction: str = "mean"):
        self.alpha, self.beta, self.axis, self.eps = alpha, beta, axis, eps
        self.reduction = F.check_reduction(reduction)


# ---- regression ----
class MSELoss(Loss):
    """(input - target)^2."""

    function = staticmethod(F.mse_loss)

    def __init__(self, reduction: str = "mean"):
        self.reduction = F.check_reduction(reduction)


class L1Loss(MSELoss):
    """|input - target|."""

    function = staticmethod(F.l1_loss)


class LogCoshLoss(MSELoss):
    """log(cosh(input - target)). Keras."""

    function = staticmethod(F.log_cosh_loss)


class SmoothL1Loss(Loss):
    """d^2 / (2 beta) where |d| < beta, else |d| - beta / 2. Girshick 2015."""

    function = staticmethod(F.smooth_l1_loss)

    def __init__(self, reduction: str = "mean", beta: float = 1.0):
        self.reduction, self.beta = F.check_reduction(reduction), beta


class HuberLoss(Loss):
    """d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2). Huber 1964."""

    function = staticmethod(F.huber_loss)

    def __init__(self, reduction: str = "mean", delta: float = 1.0):
        self.reduction, self.delta = F.check_reduction(reduction), delta


class MAPELoss(Loss):
    """100 |t - x| / max(|t|, eps): percent. Keras."""

    function = staticmethod(F.mape_loss)

    def __init__(self, eps: float = 1e-7, reduction: str = "mean"):
        self.eps, self.reduction = eps, F.check_reduction(reduction)


class MSLELoss(MAPELoss):
    """(log(1 + t) - log(1 + x))^2. Keras."""

    function = staticmethod(F.msle_loss)


class PoissonNLLLoss(Loss):
    """exp(x) - t x, or x - t log(x + eps) with log_input=False."""

    function = staticmethod(F.poisson_nll_loss)

    def __init__(self, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean"):
        self.log_input, self.full, self.eps, self.reduction = log_input, full, eps, F.check_reduction(reduction)


class GaussianNLLLoss(Loss):
    """(log(v) + (input - target)^2 / v) / 2 with v = max(var, eps), for (input, target, var)."""

    function = staticmethod(F.gaussian_nll_loss)

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean"):
        self.full, self.eps, self.reduction = full, eps, F.check_reduction(reduction)


# ---- pairs and triplets ----
class MarginRankingLoss(Loss):
    """max(0, margin - t (input1 - input2)), for (input1, input2, t)."""

    function = staticmethod(F.margin_ranking_loss)

    def __init__(self, margin: float = 0.0, reduction: str = "mean"):
        self.margin, self.reduction = margin, F.check_reduction(reduction)


class CosineEmbeddingLoss(MarginRankingLoss):
    """1 - cos where the target is 1, max(0, cos - margin) where it is -1, for (input1, input2, target)."""

    function = staticmethod(F.cosine_embedding_loss)


class HingeEmbeddingLoss(Loss):
    """A distance where the target is 1, max(0, margin - distance) where it is -1."""

    function = staticmethod(F.hinge_embedding_loss)

    def __init__(self, margin: float = 1.0, reduction: str = "mean"):
        self.margin, self.reduction = margin, F.check_reduction(reduction)


class ContrastiveLoss(HingeEmbeddingLoss):
    """D^2 / 2 where the target is 0 (similar), max(0, margin - D)^2 / 2 where it is 1, for (input1, input2, target).

    D: the distance of the inputs. Hadsell et al. 2006.
    """

    function = staticmethod(F.contrastive_loss)


class TripletMarginLoss(Loss):
    """max(0, |a - p + eps|_p - |a - n + eps|_p + margin), for (anchor, positive, negative)."""

    function = staticmethod(F.triplet_margin_loss)

    def __init__(self, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6, swap: bool = False,
                 reduction: str = "mean"):
        self.margin, self.p, self.eps, self.swap = margin, p, eps, swap
        self.reduction = F.check_reduction(reduction)


class TripletMarginWithDistanceLoss(Loss):
    """max(0, d(a, p) - d(a, n) + margin) for any distance d; by default `functional.pairwise_distance`."""

    function = staticmethod(F.triplet_margin_with_distance_loss)

    def __init__(self, *, distance_function: Callable | None = None, margin: float = 1.0, swap: bool = False,
                 reduction: str = "mean"):
        self.distance_function, self.margin, self.swap = distance_function, margin, swap
        self.reduction = F.check_reduction(reduction)


class NTXentLoss(Loss):
    """-log softmax(cosines / temperature)[the other view], for two views (N, D) each. SimCLR, Chen et al. 2020."""

    function = staticmethod(F.nt_xent_loss)

    def __init__(self, temperature: float = 0.5, reduction: str = "mean"):
        self.temperature, self.reduction = temperature, F.check_reduction(reduction)


class WassersteinLoss(Loss):
    """-t x for a critic's scores x and targets 1 (real) or -1 (generated). Arjovsky et al. 2017."""

    function = staticmethod(F.wasserstein_loss)

    def __init__(self, reduction: str = "mean"):
        self.reduction = F.check_reduction(reduction)


# ---- sequences ----
class CTCLoss(Loss):
    """-log of the probability of all paths that read as the target. Graves et al. 2006.

    For (log_probs, targets, input_lengths, target_lengths).
    """

    function = staticmethod(F.ctc_loss)

    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False):
        self.blank, self.reduction, self.zero_infinity = blank, F.check_reduction(reduction), zero_infinity
