"""Optimizers: each is its paper's formula in a shell that owns the loop, the groups, the hooks and the state."""

from ..naming import find
from . import classical, regularizers, schedules
from .adam import Adam, Adamax, AdamaxW, AdamW, AMSGrad, NAdam, NAdamW, RAdam, SparseAdam
from .adam_variants import (
    ADOPT,
    SWATS,
    AcProp,
    AdaBelief,
    AdaBound,
    AdaMod,
    AdamP,
    Adan,
    AdEMAMix,
    AMSBound,
    Apollo,
    DiffGrad,
    OptimisticAdam,
    QHAdam,
    SAdam,
    SimplifiedAdEMAMix,
    Yogi,
)
from .adaptive import MADGRAD, SM3, A2GradExp, A2GradInc, A2GradUni, Adadelta, Adafactor, Adagrad, Ftrl, LaProp, RMSprop
from .averages import EMA, SWA, AveragedModel, ScheduleFree, get_ema_avg_fn, update_bn
from .curvature import (
    Eigenpairs,
    SpectralDensity,
    extreme_eigenvalues,
    hessian_operator,
    negative_curvature,
    spectral_density,
)
from .galore import GaLore
from .gradients import centralize, chain, clip_adaptive, clip_block_rms, private_gradients, zero_nans
from .groups import freeze, no_decay, partition, unfreeze
from .hutchinson import AdaHessian, Sophia, hessian_diagonal
from .layerwise import LAMB, LARS, Fromage, NovoGrad
from .matrix import SOAP, Muon, Shampoo
from .momentum import ASGD, GD, NAG, PID, QHM, SGD, SGDP, SGDW, AccSGD, AggMo, Momentum, NoisySGD, OptimisticGD
from .multi import MultiOptimizer
from .optimizer import Optimizer, clip_grad_norm_, clip_grad_value_, clip_norm, clip_value
from .range_test import LRRange, lr_find
from .regularizers import (
    ActivityPenalty,
    elastic_net,
    gradient_penalty,
    l1_penalty,
    l2_penalty,
    max_norm_,
    non_negative_,
    orthogonal_penalty,
    unit_norm_,
    weight_noise,
)
from .schedules import (
    SGDR,
    SWALR,
    ChainedScheduler,
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    ExponentialDecay,
    ExponentialLR,
    HyperSchedule,
    InverseSqrtLR,
    InverseTimeDecay,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiplicativeLR,
    MultiStepLR,
    Noam,
    OneCycleLR,
    PiecewiseConstant,
    PolynomialLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepDecay,
    StepLR,
    WarmupConstant,
    WarmupCosine,
    WarmupExponential,
    WarmupLinear,
)
from .second_order import LBFGS, Iteration, Newton, Objective, least_squares, minimize
from .sign import Lion, Rprop, SignSGD, Signum
from .skipping import GradScaler, SkipNonFinite
from .step_length import Mechanic, TrustRatio
from .stepfree import COCOB, DAdaptAdamW, DoG, DoWG, MoMo, MoMoAdam, PolyakSGD, Prodigy
from .wrappers import (
    SAM,
    Accumulate,
    GradientNoise,
    Lookahead,
    Ranger,
    RangerQH,
    RangerVA,
    WeightDecay,
    Wrapper,
)

__all__ = [
    "ADOPT", "ASGD", "COCOB", "EMA", "GD", "LAMB", "LARS", "LBFGS", "MADGRAD", "NAG", "PID", "QHM", "SAM", "SGD",
    "SGDP", "SGDR", "SGDW", "SM3", "SOAP", "SWA", "SWALR", "SWATS", "A2GradExp", "A2GradInc", "A2GradUni", "AMSBound",
    "AMSGrad", "AcProp", "AccSGD", "Accumulate", "ActivityPenalty", "AdEMAMix", "AdaBelief", "AdaBound", "AdaHessian",
    "AdaMod", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamP", "AdamW", "Adamax", "AdamaxW", "Adan", "AggMo",
    "Apollo", "AveragedModel", "ChainedScheduler", "ConstantLR", "CosineAnnealingLR", "CosineAnnealingWarmRestarts",
    "CyclicLR", "DAdaptAdamW", "DiffGrad", "DoG", "DoWG", "Eigenpairs", "ExponentialDecay", "ExponentialLR",
    "Fromage", "Ftrl", "GaLore", "GradScaler", "GradientNoise", "HyperSchedule", "InverseSqrtLR", "InverseTimeDecay",
    "Iteration", "LRRange", "LRScheduler", "LaProp", "LambdaLR", "LinearLR", "Lion", "Lookahead", "Mechanic", "MoMo",
    "MoMoAdam", "Momentum", "MultiOptimizer", "MultiStepLR", "MultiplicativeLR", "Muon", "NAdam", "NAdamW", "Newton",
    "Noam", "NoisySGD", "NovoGrad", "Objective", "OneCycleLR", "OptimisticAdam", "OptimisticGD", "Optimizer",
    "PiecewiseConstant", "PolyakSGD", "PolynomialLR", "Prodigy", "QHAdam", "RAdam", "RMSprop", "Ranger", "RangerQH",
    "RangerVA", "ReduceLROnPlateau", "Rprop", "SAdam", "ScheduleFree", "SequentialLR", "Shampoo", "SignSGD", "Signum",
    "SimplifiedAdEMAMix", "SkipNonFinite", "Sophia", "SparseAdam", "SpectralDensity", "StepDecay", "StepLR",
    "TrustRatio", "WarmupConstant", "WarmupCosine", "WarmupExponential", "WarmupLinear", "WeightDecay", "Wrapper",
    "Yogi", "by_name", "centralize", "chain", "classical", "clip_adaptive", "clip_block_rms", "clip_grad_norm_",
    "clip_grad_value_", "clip_norm", "clip_value", "elastic_net", "extreme_eigenvalues", "freeze", "get_ema_avg_fn",
    "gradient_penalty", "hessian_diagonal", "hessian_operator", "l1_penalty", "l2_penalty", "least_squares",
    "lr_find", "max_norm_", "minimize", "negative_curvature", "no_decay", "non_negative_", "orthogonal_penalty",
    "partition", "private_gradients", "regularizers", "schedules", "spectral_density", "unfreeze", "unit_norm_",
    "update_bn", "weight_noise", "zero_nans"]


def by_name(name: str) -> type[Optimizer]:
    """The optimizer class of this name, in any case and with or without hyphens; ValueError lists what there is."""
    known = {n.lower(): c for n, c in globals().items() if isinstance(c, type) and issubclass(c, Optimizer)
             and c is not Optimizer}
    return find("optimizer", name, known)
