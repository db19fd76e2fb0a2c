"""AdaHessian, Sophia and the Hessian's diagonal: their papers' formulas with given signs, and others' trajectories."""

from __future__ import annotations

import numpy as np
import pytest
from references.record_hutchinson import ADAHESSIAN, HERE, INDEFINITE, SHAPES, SOPHIA, mixed, signs, starts

from minigrad import Parameter, Tensor, checkpoint, kernels, manual_seed, nn, optim
from minigrad import functional as F
from minigrad.optim import hutchinson
from minigrad.optim.hutchinson import AdaHessian, Sophia, hessian_diagonal

RECORDED = np.load(HERE / "hutchinson.npz")
BOTH = pytest.mark.parametrize("kind", [AdaHessian, Sophia])


def seeded():
    return np.random.default_rng(7)


def with_signs(optimizer, shapes=SHAPES, first=0):
    """Let z be `signs` of the step."""
    place = {p: i for i, p in enumerate(p for group in optimizer.param_groups for p in group["params"])}

    def z(p, sample):
        return signs(first + optimizer.state.get(p, {"step": 0})["step"], shapes)[place[p]].astype(p.dtype)
    optimizer._z = z
    return optimizer


def flat(params):
    return np.concatenate([p.data.ravel() for p in params])


def walk(optimizer, loss, params, steps):
    path = []
    for _ in range(steps):
        optimizer.step(loss)
        path.append(flat(params))
    return np.array(path)


def quadratic(a, dtype=np.float64):
    p = Parameter(starts([(len(a),)])[0].astype(dtype))
    a = Tensor(np.asarray(a, dtype))
    return p, lambda: (p * (a @ p)).sum() / 2


# ---- beside others and by hand ----
@pytest.mark.parametrize("name", ADAHESSIAN)
def test_adahessian_beside_torch_optimizer(name):
    params = [Parameter(w) for w in starts()]
    optimizer = with_signs(AdaHessian(params, **ADAHESSIAN[name]))
    path = walk(optimizer, lambda: mixed(*params), params, len(RECORDED[name]))
    np.testing.assert_allclose(path, RECORDED[name], rtol=1e-9)


def test_sophia_beside_optax():
    p, loss = quadratic(INDEFINITE)
    optimizer = with_signs(Sophia([p], betas=(0.0, 0.9), update_interval=1, **SOPHIA), [(4,)])
    path = walk(optimizer, loss, [p], len(RECORDED["sophia"]))
    np.testing.assert_allclose(path, RECORDED["sophia"], rtol=1e-12)
    moved = np.abs(np.diff(path, axis=0) + 0.05 * 0.1 * path[:-1]) / 0.05
    assert (moved > 1 - 1e-9).any() and (moved < 0.9).any(), "some are clipped, some are not"


def test_adahessian_by_hand():
    w, m, v = starts([(4,)])[0], 0, 0
    p, loss = quadratic(INDEFINITE)
    optimizer = with_signs(AdaHessian([p], lr=0.2, betas=(0.7, 0.8), weight_decay=0.3), [(4,)])
    for t in range(1, 7):
        z = signs(t - 1, [(4,)])[0]
        m = 0.7 * m + 0.3 * (INDEFINITE @ w)
        v = 0.8 * v + 0.2 * (z * (INDEFINITE @ z)) ** 2
        w = w - 0.2 * 0.3 * w - 0.2 * (m / (1 - 0.7 ** t)) / (np.sqrt(v / (1 - 0.8 ** t)) + 1e-4)
        optimizer.step(loss)
        np.testing.assert_allclose(p.data, w, rtol=1e-12)


def test_sophia_by_hand_takes_a_new_estimate_at_every_third_step():
    w, m, h = starts([(4,)])[0], 0, 0
    p, loss = quadratic(INDEFINITE)
    optimizer = with_signs(Sophia([p], lr=0.1, betas=(0.7, 0.8), gamma=0.3, weight_decay=0.2, update_interval=3),
                           [(4,)])
    for t in range(1, 9):
        m = 0.7 * m + 0.3 * (INDEFINITE @ w)
        if t % 3 == 1:
            z = signs(t - 1, [(4,)])[0]
            h = 0.8 * h + 0.2 * z * (INDEFINITE @ z)
        w = w - 0.1 * 0.2 * w
        w = w - 0.1 * np.clip(m / np.maximum(0.3 * h, 1e-12), -1, 1)
        optimizer.step(loss)
        np.testing.assert_allclose(p.data, w, rtol=1e-12)
        np.testing.assert_allclose(optimizer.state[p]["h"], h, rtol=1e-12)


def test_kernels_are_averaged_over_on_request():
    for shape in [(2, 3, 2, 2), (2, 3, 4), (4, 3)]:
        for average in (True, False):
            p = Parameter(np.random.default_rng(0).standard_normal(shape))
            optimizer = AdaHessian([p], average_conv=average, generator=seeded())
            diagonal = 12 * p.data ** 2
            optimizer.step(lambda p=p: (p ** 4).sum())
            if average and len(shape) > 2:
                axes = tuple(range(2, len(shape)))
                diagonal = np.broadcast_to(diagonal.mean(axis=axes, keepdims=True), shape)
            np.testing.assert_allclose(optimizer.state[p]["h"], diagonal, rtol=1e-12)


# ---- the estimate ----
def test_the_diagonal_is_exact_for_a_diagonal_hessian_and_right_on_average_for_any():
    p = Parameter(np.array([1.0, -2.0, 3.0]))
    np.testing.assert_allclose(hessian_diagonal(lambda: (p ** 3).sum(), [p])[0], 6 * p.data)
    p, loss = quadratic(INDEFINITE)
    before, array = p.data.copy(), p.data
    found, = hessian_diagonal(loss, p, samples=4000, generator=seeded())
    off = (INDEFINITE ** 2).sum(axis=1) - INDEFINITE.diagonal() ** 2
    assert (np.abs(found - INDEFINITE.diagonal()) < 4 * np.sqrt(off / 4000)).all()
    assert p.data is array and np.array_equal(p.data, before) and p.grad is None


def test_the_diagonal_has_the_shapes_and_dtypes_of_the_parameters_given():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    model[0].bias.requires_grad = False
    params, x = list(model.parameters()), np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    found = hessian_diagonal(lambda: (model(Tensor(x)) ** 2).sum(), model.parameters(), 3)
    assert [(h.shape, h.dtype) for h in found] == [(p.shape, p.dtype) for p in params]
    assert not found[1].any() and found[0].any()
    named = hessian_diagonal(lambda: (model(Tensor(x)) ** 2).sum(), model.named_parameters())
    np.testing.assert_allclose(named[3], 10, rtol=3e-5, atol=30)


def test_the_diagonal_draws_from_the_default_generator_and_refuses_no_samples():
    p, loss = quadratic(INDEFINITE)
    manual_seed(3)
    first = hessian_diagonal(loss, [p], 2)
    manual_seed(3)
    assert np.array_equal(hessian_diagonal(loss, [p], 2), first)
    for samples in (0, 1.5):
        with pytest.raises(ValueError, match=r"hessian_diagonal: samples must be a whole number, at least 1, got"):
            hessian_diagonal(loss, [p], samples)


@BOTH
def test_samples_are_averaged(kind):
    p, loss = quadratic(INDEFINITE)
    optimizer = kind([p], samples=3000, generator=seeded())
    optimizer.step(loss)
    h = optimizer.state[p]["h"] / (0.01 if kind is Sophia else 1)
    expected = INDEFINITE.diagonal() if kind is Sophia else np.abs(INDEFINITE.diagonal())
    np.testing.assert_allclose(h, expected, atol=0.2)
    assert optimizer.state[p]["step"] == 1


@BOTH
def test_groups_may_take_different_numbers_of_samples(kind):
    p, q = Parameter(np.ones(3)), Parameter(np.ones(2))
    optimizer = kind([{"params": [p], "samples": 2}, {"params": [q]}], generator=seeded())
    optimizer.step(lambda: (p ** 2).sum() + 2 * (q ** 2).sum())
    scale = 0.01 if kind is Sophia else 1
    np.testing.assert_allclose(optimizer.state[p]["h"], 2 * scale)
    np.testing.assert_allclose(optimizer.state[q]["h"], 4 * scale)


# ---- what every optimizer promises ----
@BOTH
def test_a_run_resumes_to_the_bit_also_through_a_file(kind, tmp_path):
    def start():
        params = [Parameter(w) for w in starts()]
        return params, kind(params, lr=0.01, generator=seeded()), lambda: mixed(*params)
    params, optimizer, loss = start()
    walk(optimizer, loss, params, 4)
    checkpoint.save(tmp_path / "run.npz", {str(i): p for i, p in enumerate(params)}, optimizer)
    expected = walk(optimizer, loss, params, 9)
    params, optimizer, loss = start()
    optimizer.generator = np.random.default_rng(123)  # not drawn from again
    saved = checkpoint.load(tmp_path / "run.npz")
    for p, w in zip(params, saved.state.values()):
        p.data[...] = w
    optimizer.load_state_dict(saved.optimizer)
    assert np.array_equal(walk(optimizer, loss, params, 9), expected)


@BOTH
def test_float32_stays_float32_and_follows_float64(kind):
    paths = {}
    for dtype in (np.float32, np.float64):
        p, loss = quadratic(INDEFINITE, dtype)
        optimizer = kind([p], lr=0.01, generator=seeded())
        paths[dtype] = walk(optimizer, loss, [p], 5)
        assert paths[dtype].dtype == dtype
        assert all(a.dtype == dtype for a in optimizer.state[p].values() if isinstance(a, np.ndarray))
    np.testing.assert_allclose(paths[np.float32], paths[np.float64], rtol=1e-5)


@BOTH
def test_maximize_is_minimizing_the_negative(kind):
    p, loss = quadratic(INDEFINITE)
    up = walk(kind([p], maximize=True, generator=seeded()), loss, [p], 5)
    q, loss = quadratic(-INDEFINITE)
    assert np.array_equal(up, walk(kind([q], generator=seeded()), loss, [q], 5))


@BOTH
def test_weight_decay_is_decoupled(kind):
    p = Parameter(np.array([2.0, -3.0]))
    kind([p], lr=0.1, weight_decay=0.5).step(lambda: (0 * p).sum())  # a gradient of zero, and constant
    np.testing.assert_allclose(p.data, [2 * 0.95, -3 * 0.95])


@BOTH
def test_frozen_and_unused_parameters_stay(kind):
    used, frozen, unused, empty = (Parameter(np.ones(n)) for n in (2, 2, 2, 0))
    frozen.requires_grad = False
    optimizer = kind([used, frozen, unused, empty], weight_decay=0.1)
    unused.grad = Tensor(np.ones(2))  # left from before: not of this loss
    for _ in range(3):
        optimizer.step(lambda: ((used * frozen) ** 2).sum() + empty.sum())
    assert (used.data < 1).all() and used.grad is not None and not used.grad.requires_grad
    assert (frozen.data == 1).all() and (unused.data == 1).all() and unused.grad is None
    assert set(optimizer.state) == {used}


def test_parameters_that_come_late_have_steps_of_their_own():
    p, q = Parameter(np.ones(2)), Parameter(np.ones(2))
    optimizer = Sophia([p, q], betas=(0.9, 0.0), update_interval=3, generator=seeded())
    optimizer.step(lambda: (p ** 2).sum())
    optimizer.step(lambda: ((p * q) ** 2).sum())  # due for q alone
    np.testing.assert_allclose(optimizer.state[p]["h"], 2)
    np.testing.assert_allclose(optimizer.state[q]["h"], 2, rtol=1e-3)
    assert (optimizer.state[p]["step"], optimizer.state[q]["step"]) == (2, 1)


@BOTH
def test_it_returns_the_loss_before_and_works_in_no_grad_and_under_hooks(kind):
    from minigrad import no_grad
    p = Parameter(np.array([3.0]))
    optimizer = kind([p], lr=0.1)
    optimizer.gradient_hooks.append(lambda params, grads: [0 * g for g in grads])
    with no_grad():
        loss = optimizer.step(lambda: (p ** 2).sum())
    assert loss.item() == 9 and not loss.requires_grad
    np.testing.assert_allclose(p.data, 3, rtol=1e-4)


@BOTH
def test_compiled_and_plain_agree(kind):
    pytest.importorskip("numba")
    paths = []
    for which in ("reference", "compiled"):
        with kernels.using(which):
            p = Parameter(np.random.default_rng(0).standard_normal(30_000))
            paths.append(walk(kind([p], lr=0.01, generator=seeded()), lambda p=p: (p ** 4).sum(), [p], 3))
            assert not any(kind.__name__ in name for name in kernels.compiled.refused)
    np.testing.assert_allclose(*paths, rtol=1e-13)


@BOTH
def test_it_trains_a_network(kind):
    manual_seed(0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 2)).astype(np.float32)
    y = (x[:, 0] * x[:, 1] > 0).astype(np.int64)
    model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))
    optimizer = kind(model.parameters(), lr=0.1 if kind is AdaHessian else 0.02)
    losses = [optimizer.step(lambda: F.cross_entropy(model(Tensor(x)), y)).item() for _ in range(150)]
    assert losses[-1] < 0.15 < losses[0]


# ---- errors ----
@BOTH
def test_errors_say_what_the_closure_must_do(kind):
    p = Parameter(np.array([1.0, 2.0]))
    optimizer = kind([p])

    def backward(**settings):
        loss = (p ** 2).sum()
        loss.backward(**settings)
        return loss
    for settings in ({}, {"retain_graph": True}):
        with pytest.raises(RuntimeError, match=r"the closure has called backward: it shall only return the loss"):
            optimizer.step(lambda settings=settings: backward(**settings))
    with pytest.raises(TypeError, match=r"needs a closure"):
        optimizer.step(None)
    with pytest.raises(TypeError, match=r"step\(\) missing 1 required positional argument: 'closure'"):
        optimizer.step()
    for wrong in (lambda: p * 2, lambda: 3.0, lambda: None):
        with pytest.raises(TypeError, match=r"must return a Tensor with a single number, got"):
            optimizer.step(wrong)
    for wrong in (lambda: Tensor(1.0), lambda: (Tensor(p.data.copy()) ** 2).sum(), lambda: (p.detach() ** 2).sum()):
        with pytest.raises(RuntimeError, match=r"the loss does not depend on the parameters"):
            optimizer.step(wrong)
    assert p.data.tolist() == [1, 2] and not optimizer.state


@pytest.mark.parametrize("kind, settings, message", [
    (AdaHessian, {"hessian_power": 1.5}, r"hessian_power must be in \[0, 1\], got 1.5"),
    (AdaHessian, {"samples": 0}, r"samples must be a whole number, at least 1, got 0"),
    (AdaHessian, {"eps": 0}, r"eps must be positive"),
    (AdaHessian, {"betas": (0.9, 1.0)}, r"betas must be in \[0, 1\)"),
    (Sophia, {"update_interval": 2.5}, r"update_interval must be a whole number, at least 1, got 2.5"),
    (Sophia, {"gamma": -1}, r"gamma must be finite and at least 0"),
    (Sophia, {"eps": 0}, r"eps must be positive")])
def test_hyper_parameters_out_of_range(kind, settings, message):
    with pytest.raises(ValueError, match=f"{kind.__name__}: {message}"):
        kind([Parameter(np.ones(2))], **settings)


def test_signs_are_signs():
    z = hutchinson._signs(seeded(), (1000,), np.float32)
    assert z.dtype == np.float32 and set(z.tolist()) == {-1.0, 1.0} and abs(z.mean()) < 0.1


@pytest.mark.parametrize("wrap", [optim.SAM, lambda o: optim.Accumulate(o, 2), optim.GradScaler,
                                  lambda o: optim.EMA(optim.SAM(o))])
def test_wrappers_that_change_gradients_refuse_it(wrap):
    with pytest.raises(TypeError, match="changes the gradients that the closure computes, but"):
        wrap(AdaHessian([Parameter(np.ones(2))]))
    with pytest.raises(TypeError, match="MultiOptimizer runs the closure once"):
        optim.MultiOptimizer(AdaHessian([Parameter(np.ones(2))]))


def test_averages_around_it():
    p = Parameter(np.array([3.0, 1.0]))
    ema = optim.EMA(AdaHessian([p]), 0.5)
    assert ema.needs_graph
    for _ in range(20):
        ema.step(lambda: (p * p).sum())
    assert np.abs(p.data).max() < 3
