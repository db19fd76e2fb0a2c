"""Starting weights. Each function fills a Tensor in place, as torch.nn.init does, and returns it.

A weight is (in, out) for a dense layer and (out, in / groups, *kernel) for a convolution; `fans` knows both. The
matrices of recurrent and attention layers are (out, in), as PyTorch's: fan_in and fan_out change places for them.
"""

from __future__ import annotations

import math

import numpy as np

from ..graph import changed
from ..mode import no_grad
from ..random import default_generator
from ..tensor import Parameter, Tensor


def fans(shape) -> tuple[int, int]:
    """(fan_in, fan_out): how many inputs a unit sums over, and how many units an input feeds."""
    if len(shape) < 2:
        raise ValueError(f"fan-in and fan-out need at least two axes, got shape {tuple(shape)}: initialize biases with "
                         "zeros_ or uniform_")
    if len(shape) == 2:
        return shape[0], shape[1]
    return shape[1] * math.prod(shape[2:]), shape[0] * math.prod(shape[2:])


GAINS = {"linear": 1.0, "identity": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4,
         **{f"conv{kind}{n}d": 1.0 for kind in ("", "_transpose") for n in (1, 2, 3)}}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps a signal's variance through a nonlinearity, by PyTorch's table.

    linear, identity, convolutions, sigmoid 1; tanh 5/3; relu sqrt(2); leaky_relu sqrt(2 / (1 + slope^2)); selu 3/4.
    """
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + (0.01 if param is None else param) ** 2))
    if nonlinearity not in GAINS:
        raise ValueError(f"no gain for {nonlinearity!r}; known: {', '.join([*GAINS, 'leaky_relu'])}")
    return GAINS[nonlinearity]


def _chance(generator):
    if generator is not None and not isinstance(generator, np.random.Generator):
        raise TypeError(f"generator is one such as np.random.default_rng(0), or None, not {generator!r:.60}; "
                        "minigrad.manual_seed(0) seeds the default one")
    return generator or default_generator()


def _fill(tensor, values):
    if tensor.is_leaf:
        tensor.data = np.array(np.broadcast_to(values, tensor.shape), tensor.dtype, order="C")
    elif tensor.data.base is None:
        raise ValueError(f"a Tensor of shape {tensor.shape} that was computed is nobody's weight: fill a parameter, or "
                         "a slice of one")
    else:  # a slice of a parameter, as PyTorch's users write
        tensor.data[...] = values
        changed(tensor.data)
    return tensor


def zeros_(tensor: Tensor) -> Tensor:
    """All 0."""
    return constant_(tensor, 0)


def ones_(tensor: Tensor) -> Tensor:
    """All 1."""
    return constant_(tensor, 1)


def constant_(tensor: Tensor, value: float) -> Tensor:
    """All ``value``."""
    return _fill(tensor, np.asarray(value))


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator=None) -> Tensor:
    """Uniform between a and b."""
    return _fill(tensor, _chance(generator).uniform(a, b, tensor.shape))


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator=None) -> Tensor:
    """Normal with this mean and standard deviation."""
    return _fill(tensor, _chance(generator).normal(mean, std, tensor.shape))


def trunc_normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0,
                  generator=None, *, rescale: bool = False) -> Tensor:
    """N(mean, std^2), what falls outside [a, b] drawn again.

    The cut makes the standard deviation smaller than std. rescale: a and b count standard deviations from the mean, and
    std is divided by what the cut leaves of it, 0.87962566 for two to either side, so that what is drawn has it, as
    Keras' VarianceScaling does (its TruncatedNormal, and PyTorch's, do not). Raises ValueError for a std that is not
    positive, and for [a, b] that is empty or without probability.
    """
    from scipy.special import ndtr, ndtri
    if not std > 0:
        raise ValueError(f"trunc_normal_: std must be positive, got {std}")
    if not a < b:
        raise ValueError(f"trunc_normal_: the cut-offs must be a < b, got a={a}, b={b}")
    if rescale:
        std = std / _truncated_std(a, b)
        a, b = mean + a * std, mean + b * std
    low, high = (a - mean) / std, (b - mean) / std
    sign = -1 if low > 0 else 1  # far to the right of the mean ndtr has no digits left
    p, q = sorted((ndtr(sign * low), ndtr(sign * high)))
    if not q > p:
        raise ValueError(f"trunc_normal_: there is no probability between a={a} and b={b} for mean={mean}, std={std}")
    z = sign * ndtri(_chance(generator).uniform(p, q, tensor.shape))
    return _fill(tensor, np.clip(mean + std * z, a, b))


def _truncated_std(a, b):
    """The standard deviation of a standard normal between a and b."""
    density = lambda x: math.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    part = (math.erf(b / math.sqrt(2)) - math.erf(a / math.sqrt(2))) / 2
    ends = [(x * density(x) if math.isfinite(x) else 0.0) for x in (a, b)]
    return math.sqrt(1 + (ends[0] - ends[1]) / part - ((density(a) - density(b)) / part) ** 2)


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator=None) -> Tensor:
    """U(-a, a), a = gain * sqrt(6 / (fan_in + fan_out)). Glorot & Bengio 2010."""
    a = gain * math.sqrt(6 / sum(fans(tensor.shape)))
    return uniform_(tensor, -a, a, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator=None) -> Tensor:
    """N(0, std^2), std = gain * sqrt(2 / (fan_in + fan_out)). Glorot & Bengio 2010."""
    return normal_(tensor, 0, gain * math.sqrt(2 / sum(fans(tensor.shape))), generator)


def _kaiming_std(tensor, a, mode, nonlinearity):
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode is 'fan_in' or 'fan_out', not {mode!r}")
    return calculate_gain(nonlinearity, a) / math.sqrt(fans(tensor.shape)[mode == "fan_out"])


def kaiming_uniform_(tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
                     generator=None) -> Tensor:
    """U(-b, b), b = gain * sqrt(3 / fan); ``a`` is the slope of leaky_relu. He et al. 2015."""
    bound = math.sqrt(3) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu",
                    generator=None) -> Tensor:
    """N(0, std^2), std = gain / sqrt(fan); ``a`` is the slope of leaky_relu. He et al. 2015."""
    return normal_(tensor, 0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def lecun_uniform_(tensor: Tensor, generator=None) -> Tensor:
    """U(-a, a), a = sqrt(3 / fan_in). LeCun et al. 1998."""
    return kaiming_uniform_(tensor, nonlinearity="linear", generator=generator)


def lecun_normal_(tensor: Tensor, generator=None) -> Tensor:
    """N(0, 1 / fan_in). LeCun et al. 1998."""
    return kaiming_normal_(tensor, nonlinearity="linear", generator=generator)


def variance_scaling_(tensor: Tensor, scale: float = 1.0, mode: str = "fan_in", distribution: str = "truncated_normal",
                      generator=None) -> Tensor:
    """Mean 0, variance scale / n. Keras' VarianceScaling, of which its other initializers are cases.

    mode: n is fan_in, fan_out, or their mean, fan_avg. distribution: truncated_normal, cut off at two standard
    deviations (`trunc_normal_` with rescale), untruncated_normal, or uniform. Keras' lecun, glorot and he normals are
    truncated: scale 1 fan_in, 1 fan_avg, 2 fan_in; PyTorch's, and the functions above, are not.
    """
    if not scale > 0:
        raise ValueError(f"variance_scaling_: scale must be positive, got {scale}")
    fan_in, fan_out = fans(tensor.shape)
    modes = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
    if mode not in modes:
        raise ValueError(f"variance_scaling_: mode is one of {', '.join(modes)}, not {mode!r}")
    std = math.sqrt(scale / max(modes[mode], 1))
    if distribution == "uniform":
        return uniform_(tensor, -math.sqrt(3) * std, math.sqrt(3) * std, generator)
    if distribution == "untruncated_normal":
        return normal_(tensor, 0, std, generator)
    if distribution == "truncated_normal":
        return trunc_normal_(tensor, 0, std, generator=generator, rescale=True)
    raise ValueError("variance_scaling_: distribution is one of truncated_normal, untruncated_normal, uniform, not "
                     f"{distribution!r}")


def orthogonal_(tensor: Tensor, gain: float = 1.0, generator=None) -> Tensor:
    """gain * Q with orthonormal rows or columns, of the weight as a matrix (first axis, the rest). Saxe et al. 2013."""
    if tensor.ndim < 2:
        raise ValueError(f"an orthogonal weight needs at least two axes, got shape {tensor.shape}")
    rows, cols = tensor.shape[0], tensor.size // max(tensor.shape[0], 1)
    return _fill(tensor, gain * _orthonormal(rows, cols, generator).reshape(tensor.shape))


def _orthonormal(rows, cols, generator):
    q, r = np.linalg.qr(_chance(generator).standard_normal((max(rows, cols), min(rows, cols))))
    q = q * np.sign(np.diag(r))  # uniform over orthogonal matrices (Mezzadri 2007)
    return q if rows >= cols else q.T


def delta_orthogonal_(tensor: Tensor, gain: float = 1.0, generator=None) -> Tensor:
    """A convolution (out, in, *kernel), in <= out, that is gain * Q in the kernel's middle and 0 elsewhere.

    It keeps the norm of each pixel, and so of a deep stack of images. Xiao et al. 2018.
    """
    out, into, *kernel = _convolution("delta_orthogonal_", tensor)
    if into > out:
        raise ValueError(f"delta_orthogonal_: a weight {tensor.shape} from {into} channels to fewer, {out}, cannot "
                         "keep their norm")
    values = np.zeros(tensor.shape)
    values[(..., *(k // 2 for k in kernel))] = gain * _orthonormal(out, into, generator)
    return _fill(tensor, values)


def _convolution(name, tensor):
    if tensor.ndim not in (3, 4, 5):
        raise ValueError(f"{name}: a convolution's weight is (out, in / groups, *kernel) with 1, 2 or 3 kernel axes; "
                         f"got shape {tensor.shape}")
    return tensor.shape


def eye_(tensor: Tensor) -> Tensor:
    """1 on the diagonal of a matrix, 0 elsewhere: a dense layer passes its inputs on, as many as there are units."""
    if tensor.ndim != 2:
        raise ValueError(f"eye_: an identity has two axes, got shape {tensor.shape}; dirac_ is for convolutions")
    return _fill(tensor, np.eye(*tensor.shape))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """The identity as a convolution (out, in / groups, *kernel): a group's channel i becomes its output i.

    1 in the middle of the kernel (of an even one, right of it), for as many channels as there are on both sides.
    """
    out, into, *kernel = _convolution("dirac_", tensor)
    if groups < 1 or out % groups:
        raise ValueError(f"dirac_: the {out} outputs of a weight {tensor.shape} do not divide into groups={groups}")
    values = np.zeros(tensor.shape)
    values[(..., *(k // 2 for k in kernel))] = np.tile(np.eye(out // groups, into), (groups, 1))
    return _fill(tensor, values)


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator=None) -> Tensor:
    """N(0, std^2) with the share ``sparsity`` of each column, rounded up, set to 0. Martens 2010.

    A column of a dense weight (in, out) is what one unit listens to, and so every unit has the same few inputs, as in
    the paper. (PyTorch's weight is the transpose; its sparse_ thins out what one input feeds.)
    """
    if tensor.ndim != 2:
        raise ValueError(f"sparse_: the weight needs two axes, got shape {tensor.shape}")
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparse_: sparsity is a share between 0 and 1, got {sparsity}")
    chance = _chance(generator)
    values = chance.normal(0, std, tensor.shape)
    order = chance.permuted(np.broadcast_to(np.arange(tensor.shape[0])[:, None], tensor.shape), axis=0)
    return _fill(tensor, np.where(order < math.ceil(sparsity * tensor.shape[0]), 0, values))


he_uniform_, he_normal_ = kaiming_uniform_, kaiming_normal_
glorot_uniform_, glorot_normal_ = xavier_uniform_, xavier_normal_
truncated_normal_, identity_ = trunc_normal_, eye_


def torch_default_(weight: Tensor, bias: Tensor | None, generator=None) -> None:
    """PyTorch's default for linear and convolution layers: weight and bias U(-a, a), a = 1 / sqrt(fan_in)."""
    a = 1 / math.sqrt(max(fans(weight.shape)[0], 1))
    uniform_(weight, -a, a, generator)
    if bias is not None:
        uniform_(bias, -a, a, generator)


def lsuv_(model, *inputs, tol: float = 0.1, max_iter: int = 10, generator=None):
    """Layer-sequential unit variance: the outputs of every layer have variance 1 on this batch. Mishkin & Matas 2016.

    Each weight with at least two axes becomes orthogonal; then, from the first layer to the last, it is divided by the
    standard deviation of its layer's output, until that is within ``tol`` of variance 1, at most max_iter times. Biases
    stay as they are. model: a Module; its layers are those that hold a parameter named weight, in the order in which
    ``model(*inputs)`` calls them. Returns model. Raises ValueError for a layer whose output does not vary.
    """
    order, seen = [], {}
    handles = [m.register_forward_hook(lambda m, args, y: order.append(m)) for m in model.modules()]
    with no_grad():
        try:
            model(*inputs)
        finally:
            for handle in handles:
                handle.remove()
        layers = [m for m in dict.fromkeys(order)
                  if isinstance(getattr(m, "weight", None), Parameter) and m.weight.ndim >= 2]
        for layer in layers:
            orthogonal_(layer.weight, generator=generator)
        for layer in layers:
            handle = layer.register_forward_hook(lambda m, args, y: seen.update(variance=float(np.var(y.data))))
            try:
                for _ in range(max_iter + 1):
                    model(*inputs)
                    variance = seen["variance"]
                    if not (math.isfinite(variance) and variance > 0):
                        raise ValueError(f"lsuv_: the output of {layer!r} has variance {variance} on this batch, which "
                                         "no weight's size can bring to 1")
                    if abs(variance - 1) < tol:
                        break
                    _fill(layer.weight, layer.weight.data / math.sqrt(variance))
            finally:
                handle.remove()
    return model


def by_name(name: str):
    """The function of this name, with or without its underscore: "he_normal" is `he_normal_`, as Keras writes it.

    Raises ValueError, which lists them, for one that there is not.
    """
    known = {n.rstrip("_"): f for n, f in globals().items() if n.endswith("_") and not n.startswith("_")
             and n not in ("torch_default_", "lsuv_")}
    if name.rstrip("_") not in known:
        raise ValueError(f"no initializer called {name!r}; there are {', '.join(sorted(known))}")
    return known[name.rstrip("_")]
