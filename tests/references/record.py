"""Record what PyTorch computes, so that the tests need no PyTorch.

    python tests/references/record.py          # needs torch; rewrites the .npz files beside it

The cases are defined here, for the recorder and for tests/test_parity.py alike. Both build them from the same names
(minigrad's are torch's) and the same numbers, which come from raw PCG64 bits: NumPy keeps that stream fixed for good,
unlike the distributions drawn from it. The only difference is that torch's Linear keeps its weight transposed.
"""

from __future__ import annotations

import itertools
import json
import math
import platform
import zlib
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
STEPS, TRAINING_STEPS = 12, 100


def uniform(key: str, *shape: int, low: float = -1.0, high: float = 1.0) -> np.ndarray:
    """Float64 numbers that depend on ``key`` and ``shape`` alone."""
    bits = np.random.PCG64(zlib.crc32(key.encode())).random_raw(math.prod(shape))
    return low + (high - low) * (bits >> np.uint64(11)).reshape(shape) * 2.0**-53


def integers(key: str, *shape: int, below: int) -> np.ndarray:
    """Int64 numbers from 0 to ``below`` - 1."""
    return uniform(key, *shape, low=0, high=below).astype(np.int64)


# ---- layers: name -> (class, arguments, input shape) ----
LAYERS = {
    "linear": ("Linear", {"in_features": 4, "out_features": 3}, (5, 4)),
    "linear-no-bias": ("Linear", {"in_features": 4, "out_features": 3, "bias": False}, (5, 4)),
    "linear-one-row": ("Linear", {"in_features": 4, "out_features": 3}, (4,)),
    "linear-batched": ("Linear", {"in_features": 4, "out_features": 3}, (2, 3, 4)),
    "maxpool": ("MaxPool2d", {"kernel_size": 2}, (2, 3, 6, 7)),
    "maxpool-stride": ("MaxPool2d", {"kernel_size": (3, 2), "stride": (1, 2)}, (2, 2, 6, 7)),
    "maxpool-overlap": ("MaxPool2d", {"kernel_size": 3, "stride": 1, "padding": 1}, (2, 2, 4, 5)),
    "maxpool-dilation": (
        "MaxPool2d", {"kernel_size": 2, "stride": 1, "padding": (1, 0), "dilation": (2, 3)}, (2, 2, 6, 7)),
    "avgpool": ("AvgPool2d", {"kernel_size": 2}, (2, 3, 6, 7)),
    "avgpool-pad": ("AvgPool2d", {"kernel_size": 3, "stride": 2, "padding": 1}, (2, 2, 6, 7)),
    "avgpool-pad-uncounted": (
        "AvgPool2d", {"kernel_size": (3, 2), "stride": 2, "padding": 1, "count_include_pad": False}, (2, 2, 6, 7)),
    "layernorm": ("LayerNorm", {"normalized_shape": 5}, (4, 5)),
    "layernorm-image": ("LayerNorm", {"normalized_shape": (3, 4), "eps": 1e-2}, (2, 2, 3, 4)),
    "layernorm-plain": ("LayerNorm", {"normalized_shape": 5, "elementwise_affine": False}, (2, 3, 5)),
    "layernorm-no-bias": ("LayerNorm", {"normalized_shape": (5,), "bias": False}, (4, 5)),
    "relu": ("ReLU", {}, (3, 4)),
    "leaky-relu": ("LeakyReLU", {}, (3, 4)),
    "leaky-relu-steep": ("LeakyReLU", {"negative_slope": 0.3}, (3, 4)),
    "sigmoid": ("Sigmoid", {}, (3, 4)),
    "tanh": ("Tanh", {}, (3, 4)),
    "gelu": ("GELU", {}, (3, 4)),
    "gelu-tanh": ("GELU", {"approximate": "tanh"}, (3, 4)),
    "softmax": ("Softmax", {"dim": -1}, (3, 4)),
    "softmax-channels": ("Softmax", {"dim": 1}, (2, 3, 4)),
    "log-softmax": ("LogSoftmax", {"dim": -1}, (3, 4)),
    "log-softmax-rows": ("LogSoftmax", {"dim": 0}, (3, 4)),
}
for _name, _extra, _shape in (
    ("plain", {}, (2, 4, 6, 5)),
    ("no-bias", {"bias": False}, (2, 4, 6, 5)),
    ("stride", {"stride": 2}, (2, 4, 7, 8)),
    ("stride-pair", {"stride": (1, 3), "padding": (2, 0)}, (2, 4, 5, 8)),
    ("padding", {"padding": 2}, (2, 4, 4, 5)),
    ("same", {"padding": "same"}, (2, 4, 5, 4)),
    ("same-even", {"kernel_size": (2, 4), "padding": "same"}, (2, 4, 5, 6)),
    ("same-dilation", {"kernel_size": (3, 2), "padding": "same", "dilation": (2, 3)}, (2, 4, 6, 7)),
    ("valid", {"padding": "valid", "stride": 2}, (2, 4, 6, 5)),
    ("dilation", {"dilation": (2, 1), "stride": (2, 1)}, (2, 4, 8, 5)),
    ("groups", {"groups": 2, "padding": 1}, (2, 4, 4, 5)),
    ("depthwise", {"groups": 4, "out_channels": 8, "stride": 2}, (2, 4, 6, 5)),
    ("1x1", {"kernel_size": 1}, (2, 4, 3, 4)),
    ("1x1-stride-padding", {"kernel_size": 1, "stride": 2, "padding": 1}, (2, 4, 3, 4)),
    ("whole-image", {"kernel_size": (4, 5)}, (3, 4, 4, 5)),
    ("one-image-one-channel", {"in_channels": 1, "out_channels": 1}, (1, 1, 4, 4)),
):
    LAYERS[f"conv-{_name}"] = ("Conv2d", {"in_channels": 4, "out_channels": 2, "kernel_size": 3, **_extra}, _shape)

# ---- batch norm: two training steps, then evaluation: name -> (class, arguments, input shape) ----
NORMS = {
    "batchnorm1d": ("BatchNorm1d", {"num_features": 3}, (5, 3)),
    "batchnorm1d-sequence": ("BatchNorm1d", {"num_features": 3, "eps": 1e-2}, (4, 3, 2)),
    "batchnorm2d": ("BatchNorm2d", {"num_features": 3}, (2, 3, 3, 2)),
    "batchnorm2d-momentum": ("BatchNorm2d", {"num_features": 2, "momentum": 0.7}, (3, 2, 2, 2)),
    "batchnorm2d-average": ("BatchNorm2d", {"num_features": 2, "momentum": None}, (3, 2, 2, 2)),
    "batchnorm2d-not-affine": ("BatchNorm2d", {"num_features": 2, "affine": False}, (3, 2, 2, 2)),
    "batchnorm1d-not-tracking": ("BatchNorm1d", {"num_features": 3, "track_running_stats": False}, (5, 3)),
    "batchnorm1d-not-tracking-average": (
        "BatchNorm1d", {"num_features": 3, "track_running_stats": False, "momentum": None}, (5, 3)),
}

# ---- losses: name -> (class, arguments, input shape, target), the target an array ----
LOSSES = {}
_WEIGHT, _REDUCTIONS = [0.5, 2.0, 1.0, 0.25, 3.0], ("mean", "sum", "none")
for _shape in ((6, 5), (3, 5, 2)):
    _rows, _dims = (_shape[0], *_shape[2:]), f"{len(_shape)}d"
    _labels = integers("labels", *_rows, below=5)
    _p = uniform("probabilities", *_shape, low=0.1)
    for _weight, _smooth, _reduction in itertools.product((False, True), (0.0, 0.1), _REDUCTIONS):
        _kwargs = {"label_smoothing": _smooth, "reduction": _reduction} | ({"weight": _WEIGHT} if _weight else {})
        _name = f"{_dims}-{'weighted-' * _weight}{'smoothed-' * bool(_smooth)}{_reduction}"
        LOSSES[f"ce-{_name}"] = ("CrossEntropyLoss", _kwargs, _shape, _labels)
        LOSSES[f"ce-ignore-{_name}"] = (
            "CrossEntropyLoss", {**_kwargs, "ignore_index": int(_labels.flat[0])}, _shape, _labels)
        LOSSES[f"ce-probabilities-{_name}"] = ("CrossEntropyLoss", _kwargs, _shape, _p / _p.sum(axis=1, keepdims=True))
for _reduction in _REDUCTIONS:
    LOSSES[f"mse-{_reduction}"] = ("MSELoss", {"reduction": _reduction}, (3, 4), uniform("target", 3, 4))
    for _extra in ({}, {"weight": uniform("weight", 3, 4, low=0).tolist()}, {"pos_weight": [0.5, 1, 2, 5]},
                   {"weight": [0.5, 1, 2, 0], "pos_weight": [3.0]}):
        LOSSES["-".join(["bce", *_extra, _reduction])] = (
            "BCEWithLogitsLoss", {"reduction": _reduction, **_extra}, (3, 4), uniform("target", 3, 4, low=0))
for _reduction in ("sum", "none"):  # the mean is NaN
    LOSSES[f"ce-all-ignored-{_reduction}"] = ("CrossEntropyLoss", {"reduction": _reduction}, (3, 5), np.full(3, -100))
    LOSSES[f"ce-all-ignored-weighted-smoothed-{_reduction}"] = (
        "CrossEntropyLoss", {"reduction": _reduction, "weight": _WEIGHT, "label_smoothing": 0.1, "ignore_index": 2},
        (3, 5), np.full(3, 2))
LOSSES["ce-one-row"] = ("CrossEntropyLoss", {}, (5,), np.array(3))
LOSSES["ce-images"] = ("CrossEntropyLoss", {"label_smoothing": 0.2, "weight": _WEIGHT, "ignore_index": 1}, (2, 5, 2, 2),
                       integers("labels of images", 2, 2, 2, below=5))
LOSSES["ce-hard-targets"] = ("CrossEntropyLoss", {}, (4, 5), np.eye(5)[[0, 3, 1, 1]])

# ---- optimizers: name -> (class, arguments) ----
OPTIMIZERS = {
    f"{cls.lower()}{''.join(f'-{k}={v}' for k, v in kwargs.items())}": (cls, kwargs) for cls, kwargs in (
        ("SGD", {"lr": 0.1}),
        ("SGD", {"lr": 0.1, "weight_decay": 0.1}),
        ("SGD", {"lr": 0.1, "maximize": True}),
        ("SGD", {"lr": 0.1, "momentum": 0.9}),
        ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5}),
        ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
        ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1, "maximize": True}),
        ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1, "maximize": True}),
        ("Adagrad", {}),
        ("Adagrad", {"lr": 0.3, "lr_decay": 0.1}),
        ("Adagrad", {"lr": 0.3, "initial_accumulator_value": 0.5}),
        ("Adagrad", {"lr": 0.3, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.1,
                     "maximize": True}),
        ("RMSprop", {}),
        ("RMSprop", {"lr": 0.1, "alpha": 0.8}),
        ("RMSprop", {"lr": 0.1, "centered": True}),
        ("RMSprop", {"lr": 0.1, "momentum": 0.9}),
        ("RMSprop", {"lr": 0.1, "momentum": 0.9, "centered": True, "weight_decay": 0.1, "maximize": True}),
        ("Adadelta", {}),
        ("Adadelta", {"lr": 0.5, "rho": 0.7}),
        ("Adadelta", {"weight_decay": 0.1, "maximize": True}),
        ("Adam", {}),
        ("Adam", {"lr": 0.1, "betas": (0.8, 0.95)}),
        ("Adam", {"lr": 0.1, "amsgrad": True, "betas": (0.8, 0.5)}),
        ("Adam", {"lr": 0.1, "weight_decay": 0.1}),
        ("Adam", {"lr": 0.1, "weight_decay": 0.1, "amsgrad": True, "maximize": True}),
    )}
# A misplaced epsilon is too small to see at its default.
OPTIMIZERS |= {f"{n}-eps=0.01": (c, {**k, "eps": 1e-2}) for n, (c, k) in OPTIMIZERS.items() if c != "SGD"}
PARAMETERS = [uniform("a scalar"), uniform("a vector", 3), uniform("a matrix", 4, 3)]


def gradients(step: int) -> list[np.ndarray]:
    """What the optimizers are given: of growing and shrinking size, and always zero for one weight."""
    grads = [uniform(f"{step} {w.shape}", *w.shape) * 10.0 ** (step % 4 - 2) for w in PARAMETERS]
    grads[2][1, 1] = 0
    return grads


# ---- training: name -> (model, optimizer, arguments) ----
def mlp(nn):
    return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))


def cnn(nn):
    return nn.Sequential(
        nn.Conv2d(1, 4, 5, padding=2), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(8 * 7 * 7, 10))


# In float32 a rounding can decide a relu or a maximum, and the path jumps. Forty paths of torch from weights that were
# moved by one unit in the last place stayed within 6e-5 of float64 with these learning rates; with larger ones not.
TRAINING = {
    "mlp-sgd": (mlp, "SGD", {"lr": 0.01, "momentum": 0.9}),
    "mlp-adam": (mlp, "Adam", {"lr": 5e-4}),
    "cnn-sgd": (cnn, "SGD", {"lr": 0.003, "momentum": 0.9}),
    "cnn-adam": (cnn, "Adam", {"lr": 5e-3}),
}
DTYPES = ("float32", "float64")


def initial(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Weights for the names and shapes of minigrad's state_dict: uniform in +-1 / sqrt(fan_in), norms near 1 and 0."""
    state = {}
    for name, shape in shapes.items():
        values = uniform(name, *shape)
        if len(shape) > 1:
            state[name] = values / math.sqrt(shape[0] if len(shape) == 2 else math.prod(shape[1:]))
        else:
            state[name] = 0.1 * values + (1 if "weight" in name else 0)
    return state


def batch(step: int, model) -> tuple[np.ndarray, np.ndarray]:
    """28 x 28 images, a pattern per class under as much noise, and their labels; flat for the MLP."""
    n = 32 if model is mlp else 16
    labels = integers(f"labels {step}", n, below=10)
    images = 0.4 * uniform("patterns", 10, 784)[labels] + uniform(f"noise {step}", n, 784)
    return images if model is mlp else images.reshape(n, 1, 28, 28), labels


def transposed(cls: str, name: str, array: np.ndarray) -> np.ndarray:
    """Between a Linear's weight in minigrad, (in, out), and in torch, (out, in); anything else as it is."""
    return array.T if cls == "Linear" and name.endswith("weight") and array.ndim == 2 else array


# ---- what torch makes of them ----
def projections(y, inputs, prefix, cls):
    """L = sum(c y^2) has its gradients and its Hessian-vector product recorded: all second derivatives show in it."""
    import torch
    c = torch.tensor(uniform(f"{prefix} c", *y.shape))
    grads = torch.autograd.grad((c * y * y).sum(), list(inputs.values()), create_graph=True)
    along = sum((g * numbers(cls, n, f"{prefix} along {n}", g)).sum() for n, g in zip(inputs, grads))
    hvp = torch.autograd.grad(along, list(inputs.values()), allow_unused=True)
    found = {"y": y}
    for (n, x), g, h in zip(inputs.items(), grads, hvp):
        found |= {f"grad {n}": g, f"hvp {n}": torch.zeros_like(x) if h is None else h}
    return {f"{prefix} {n}": transposed(cls, n, v.detach().numpy()) for n, v in found.items()}


def numbers(cls, name, key, like):
    """`uniform` for minigrad's layout of a Tensor of ``cls``, in the layout of torch's."""
    import torch
    shape = transposed(cls, name, np.empty(tuple(like.shape))).shape
    return torch.tensor(transposed(cls, name, uniform(key, *shape)))


def torch_module(cls, kwargs):
    import torch
    arrays = {k: torch.tensor(v, dtype=torch.float64) for k, v in kwargs.items() if isinstance(v, list)}
    module = getattr(torch.nn, cls)(**{**kwargs, **arrays}).double()
    with torch.no_grad():
        for name, p in module.named_parameters():
            p.copy_(numbers(cls, name, name, p))
    return module


def record_layers():
    import torch
    found = {}
    for name, (cls, kwargs, shape) in LAYERS.items():
        module, x = torch_module(cls, kwargs), torch.tensor(uniform(f"{name} x", *shape), requires_grad=True)
        found |= projections(module(x), {"x": x, **dict(module.named_parameters())}, name, cls)
    for name, (cls, kwargs, shape) in NORMS.items():
        module = torch_module(cls, kwargs)
        for phase in ("train 1", "train 2", "eval"):
            module.train(phase != "eval")
            x = torch.tensor(uniform(f"{name} {phase} x", *shape), requires_grad=True)
            found |= projections(module(x), {"x": x, **dict(module.named_parameters())}, f"{name} {phase}", cls)
            found |= {f"{name} {phase} {n}": b.clone().numpy() for n, b in module.named_buffers()}
    for name, (cls, kwargs, shape, target) in LOSSES.items():
        module, x = torch_module(cls, kwargs), torch.tensor(3 * uniform(f"{name} x", *shape), requires_grad=True)
        inputs, t = {"x": x}, torch.tensor(target)
        if t.is_floating_point():
            inputs["target"] = t.requires_grad_()
        found |= projections(module(x, t), inputs, name, cls)
    return found


def record_optimizers():
    import torch
    found = {}
    for name, (cls, kwargs) in OPTIMIZERS.items():
        params = [torch.nn.Parameter(torch.tensor(w)) for w in PARAMETERS]
        optimizer, path = getattr(torch.optim, cls)(params, **kwargs), []
        for step in range(STEPS):
            for p, g in zip(params, gradients(step)):
                p.grad = torch.tensor(g)
            optimizer.step()
            path.append(np.concatenate([p.detach().numpy().ravel() for p in params]))
        found[name] = np.array(path)
    return found


def torch_losses(make, optimizer, kwargs, dtype, batches, state=None):
    """The losses of training in torch; ``state`` by minigrad's names and layouts."""
    import torch
    model = make(torch.nn).to(getattr(torch, dtype))
    layouts = {n: transposed("Linear", n, p.detach().numpy()).shape for n, p in model.named_parameters()}
    state = initial(layouts) if state is None else state
    model.load_state_dict({n: torch.tensor(transposed("Linear", n, v)) for n, v in state.items()}, strict=False)
    optimizer, losses = getattr(torch.optim, optimizer)(model.parameters(), **kwargs), []
    for x, labels in batches:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(torch.tensor(x.astype(dtype))), torch.tensor(labels))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return np.array(losses)


def record_training():
    return {f"{name} {dtype}": torch_losses(make, optimizer, kwargs, dtype,
                                            (batch(step, make) for step in range(TRAINING_STEPS)))
            for name, (make, optimizer, kwargs) in TRAINING.items() for dtype in DTYPES}


def main():
    import torch
    torch.set_num_threads(1)
    versions = {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()}
    print(json.dumps(versions))
    for name, record in (("layers", record_layers), ("optimizers", record_optimizers), ("training", record_training)):
        found = record()
        np.savez_compressed(HERE / f"{name}.npz", versions=np.array(json.dumps(versions)), **found)
        print(f"{name}.npz: {len(found)} arrays, {(HERE / f'{name}.npz').stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    main()
