"""Agreement with PyTorch, from figures recorded once (references/record.py), and with published golden numbers."""

from __future__ import annotations

import os

import numpy as np
import pytest
from references import record as recorded
from references.record import (
    HERE,
    LAYERS,
    LOSSES,
    NORMS,
    OPTIMIZERS,
    PARAMETERS,
    STEPS,
    TRAINING,
    TRAINING_STEPS,
    uniform,
)

from minigrad import Parameter, Tensor, grad, nn, optim
from minigrad import functional as F


@pytest.fixture(scope="module")
def layers():
    return dict(np.load(HERE / "layers.npz", allow_pickle=False))


@pytest.fixture(scope="module")
def paths():
    return dict(np.load(HERE / "optimizers.npz", allow_pickle=False))


@pytest.fixture(scope="module")
def losses():
    return dict(np.load(HERE / "training.npz", allow_pickle=False))


def test_every_case_is_recorded(layers, paths, losses):
    recorded_of = {name for key in layers for name in [*LAYERS, *NORMS, *LOSSES] if key.startswith(f"{name} ")}
    assert recorded_of == {*LAYERS, *NORMS, *LOSSES}
    assert paths.keys() == {*OPTIMIZERS, "versions"}
    assert losses.keys() == {f"{n} {d}" for n in TRAINING for d in recorded.DTYPES} | {"versions"}
    assert "torch" in str(layers["versions"])


# ---- layers and losses ----
def build(cls, kwargs):
    module = getattr(nn, cls)(**{k: np.array(v, np.float64) if isinstance(v, list) else v for k, v in kwargs.items()})
    module.astype(np.float64)
    for name, p in module.named_parameters():
        p.data = uniform(name, *p.shape)
    return module


def compare(layers, prefix, y, inputs):
    """Output, gradients and a Hessian-vector product, as `record.projections` takes them."""
    c = uniform(f"{prefix} c", *y.shape)
    grads = grad((c * y * y).sum(), list(inputs.values()), create_graph=True)
    along = sum((g * uniform(f"{prefix} along {n}", *g.shape)).sum() for n, g in zip(inputs, grads))
    hvp = grad(along, list(inputs.values()))
    found = {"y": y}
    for name, g, h in zip(inputs, grads, hvp):
        found |= {f"grad {name}": g, f"hvp {name}": h}
    for name, value in found.items():
        expected = layers[f"{prefix} {name}"]
        assert value.shape == expected.shape and value.dtype == np.float64
        scale = np.abs(expected).max(initial=0, where=np.isfinite(expected))
        np.testing.assert_allclose(value.data, expected, 1e-11, 1e-12 * scale, err_msg=f"{prefix} {name}")


@pytest.mark.parametrize("name", LAYERS)
def test_layer(layers, name):
    cls, kwargs, shape = LAYERS[name]
    module, x = build(cls, kwargs), Tensor(uniform(f"{name} x", *shape), requires_grad=True)
    compare(layers, name, module(x), {"x": x, **dict(module.named_parameters())})


@pytest.mark.parametrize("name", NORMS)
def test_batch_norm(layers, name):
    cls, kwargs, shape = NORMS[name]
    module = build(cls, kwargs)
    for phase in ("train 1", "train 2", "eval"):
        module.train(phase != "eval")
        x = Tensor(uniform(f"{name} {phase} x", *shape), requires_grad=True)
        compare(layers, f"{name} {phase}", module(x), {"x": x, **dict(module.named_parameters())})
        buffers = dict(module.named_buffers())
        assert {f"{name} {phase} {b}" for b in buffers} == {
            k for k in layers if k.startswith(f"{name} {phase} ") and k.split()[-1] in (
                "running_mean", "running_var", "num_batches_tracked")}
        for b, value in buffers.items():
            np.testing.assert_allclose(value, layers[f"{name} {phase} {b}"], 1e-14)


@pytest.mark.parametrize("name", LOSSES)
def test_loss(layers, name):
    cls, kwargs, shape, target = LOSSES[name]
    module, x = build(cls, kwargs), Tensor(3 * uniform(f"{name} x", *shape), requires_grad=True)
    inputs = {"x": x}
    if target.dtype.kind == "f":
        target = inputs["target"] = Tensor(target, requires_grad=True)
    compare(layers, name, module(x, target), inputs)


# ---- optimizers ----
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer(paths, name):
    cls, kwargs = OPTIMIZERS[name]
    params = [Parameter(w.copy()) for w in PARAMETERS]
    optimizer = getattr(optim, cls)(params, **kwargs)
    for step in range(STEPS):
        for p, g in zip(params, recorded.gradients(step)):
            p.grad = Tensor(g)
        optimizer.step()
        found = np.concatenate([p.data.ravel() for p in params])
        np.testing.assert_allclose(found, paths[name][step], 1e-12, 1e-15, err_msg=f"step {step}")


@pytest.mark.parametrize("ours, torchs", [(optim.Momentum, {}), (optim.NAG, {"nesterov": True})])
def test_momentum_with_lr_inside_follows_sgd_while_lr_is_constant(ours, torchs):
    a, b = ([Parameter(w.copy()) for w in PARAMETERS] for _ in range(2))
    first, second = ours(a, lr=0.1, momentum=0.9), optim.SGD(b, lr=0.1, momentum=0.9, **torchs)
    for step in range(STEPS + 1):
        if step == STEPS:
            first.lr = second.lr = 0.01
        for p, q, g in zip(a, b, recorded.gradients(step)):
            p.grad, q.grad = Tensor(g), Tensor(g)
        first.step()
        second.step()
        if step < STEPS:
            for p, q in zip(a, b):
                np.testing.assert_allclose(p.data, q.data, 1e-12)
    assert not np.allclose(a[2].data, b[2].data, 1e-3)  # and with another lr the velocities differ


@pytest.mark.parametrize("make, expected", [
    (lambda w: optim.SGD(w, lr=0.95), (-0.350393, 0.08478232)),
    (lambda w: optim.Momentum(w, lr=0.1, momentum=0.9), (0.89641386, 0.0880856)),
    (lambda w: optim.NAG(w, lr=0.1, momentum=0.9), (0.689614902, -0.000679906)),
    (lambda w: optim.Adagrad(w, lr=1.5, eps=1e-7), (-0.120162322, 2.486e-17)),
    (lambda w: optim.RMSprop(w, lr=0.1, alpha=0.99, eps=1e-7), (-0.697420310, 1.483e-08)),
    (lambda w: optim.Adadelta(w, lr=1, rho=0.95, eps=1e-6), (-6.85896095, 1.86176787)),
    (lambda w: optim.Adam(w, lr=0.3, eps=1e-8), (0.13601462, 0.31824539)),
], ids=["sgd", "momentum", "nag", "adagrad", "rmsprop", "adadelta", "adam"])
def test_thirty_steps_down_the_narrow_valley(make, expected):
    """x^2 / 20 + y^2 from (-7, 2), the picture of every textbook."""
    w = Parameter(np.array([-7.0, 2.0]))
    optimizer = make([w])
    for _ in range(30):
        optimizer.zero_grad()
        (w[0] ** 2 / 20 + w[1] ** 2).backward()
        optimizer.step()
    digits = [np.format_float_positional(v, trim="-") if abs(v) > 1e-4 else f"{v:.3e}" for v in expected]
    for found, value, text in zip(w.data, expected, digits):
        if "e" in text:
            assert f"{found:.3e}" == text
        else:
            assert abs(found - value) <= 0.5000001 * 10.0 ** -len(text.partition(".")[2])


# ---- training ----
def minigrad_losses(make, optimizer, kwargs, dtype, batches, state=None):
    model = make(nn).astype(dtype)
    if state is None:
        state = recorded.initial({n: p.shape for n, p in model.named_parameters()})
    model.load_state_dict(state, strict=False)
    optimizer, losses = getattr(optim, optimizer)(model.parameters(), **kwargs), []
    for x, labels in batches:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(Tensor(x.astype(dtype))), labels)
        loss.backward()
        optimizer.step()
        assert loss.dtype == dtype
        losses.append(loss.item())
    assert all(p.dtype == dtype for p in model.parameters())
    return np.array(losses)


@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-4), ("float64", 1e-9)])
@pytest.mark.parametrize("name", TRAINING)
def test_a_hundred_steps_of_training(losses, name, dtype, tolerance):
    make, optimizer, kwargs = TRAINING[name]
    found = minigrad_losses(make, optimizer, kwargs, dtype, (recorded.batch(i, make) for i in range(TRAINING_STEPS)))
    expected = losses[f"{name} {dtype}"]
    assert expected[-10:].mean() < 0.5 * expected[0]  # it learns: not a comparison of noise
    np.testing.assert_allclose(found, expected, tolerance, tolerance * 1e-2)


@pytest.mark.skipif("MINIGRAD_DATA" not in os.environ, reason="MINIGRAD_DATA does not say where MNIST lies")
@pytest.mark.parametrize("dtype, steps, tolerance", [("float32", 30, 1e-4), ("float64", 100, 1e-9)])
@pytest.mark.parametrize("name", TRAINING)
def test_training_on_mnist_beside_torch(name, dtype, steps, tolerance):
    """Fewer steps in float32: on real images, torch's own path leaves its float64 path by 1e-3 before the hundredth."""
    pytest.importorskip("torch", reason="beside a live torch only")
    from minigrad.data import MNIST
    make, optimizer, kwargs = TRAINING[name]
    x, y = MNIST(train=True).subset(slice(64 * steps)).arrays
    x = x.reshape(steps, 64, *((784,) if make is recorded.mlp else (1, 28, 28)))
    batches = list(zip(x, y.reshape(steps, 64)))
    state = recorded.initial({n: p.shape for n, p in make(nn).named_parameters()})
    found, expected = (f(make, optimizer, kwargs, dtype, batches, state)
                       for f in (minigrad_losses, recorded.torch_losses))
    np.testing.assert_allclose(found, expected, tolerance, tolerance)
