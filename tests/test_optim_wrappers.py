"""Wrappers around optimizers, gradient hooks, groups and averages: each against its definition written out here."""

from __future__ import annotations

import copy
import functools
import math

import numpy as np
import pytest

from minigrad import Parameter, Tensor, checkpoint, manual_seed, nn, optim, train
from minigrad import optim as W
from minigrad.optim.adam import Adam, AdamW, RAdam
from minigrad.optim.adam_variants import QHAdam

SHAPES = (), (3,), (4, 3), (3, 5)


def weights(shapes=SHAPES, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    return [Parameter(np.asarray(rng.standard_normal(s), dtype)) for s in shapes]


def give_gradients(params, seed):
    rng = np.random.default_rng(seed)
    for p in params:
        p.grad = Tensor(np.asarray(rng.standard_normal(p.shape), p.dtype))


def bowl(optimizer, params):
    """A closure: the loss sum c w^2 / 2 with some c, so its gradient depends on where the weights are."""
    def closure():
        optimizer.zero_grad()
        loss = sum(((0.5 + i) * p * p).sum() for i, p in enumerate(params)) / 2
        loss.backward()
        return loss
    return closure


def run(optimizer, params, seeds):
    """Steps alternating between given gradients and closures."""
    for seed in seeds:
        give_gradients(params, seed)
        if seed % 2 and not has_sam(optimizer):
            optimizer.step()
        else:
            optimizer.step(bowl(optimizer, params))
    return [p.data.copy() for p in params]


def has_sam(optimizer):
    while isinstance(optimizer, W.Wrapper):
        if isinstance(optimizer, W.SAM):
            return True
        optimizer = getattr(optimizer, "optimizer", None)
    return False


def same(found, expected, rtol=1e-12):
    for f, e in zip(found, expected, strict=True):
        np.testing.assert_allclose(getattr(f, "data", f), getattr(e, "data", e), rtol=rtol, atol=1e-14)


def adam(ps):
    return Adam(ps, lr=0.1)


class Scaled(W.GradScaler):
    """It must be told that the gradients are scaled."""

    def step(self, closure=None):
        self.scale(Tensor(1.0))
        return super().step(closure)


EVERY = {
    "lookahead": lambda ps: W.Lookahead(adam(ps), k=2),
    "sam": lambda ps: W.SAM(adam(ps)),
    "asam": lambda ps: W.SAM(optim.SGD(ps, lr=0.1, momentum=0.9), rho=0.5, adaptive=True),
    "ema": lambda ps: W.EMA(adam(ps), 0.9),
    "swa": lambda ps: W.SWA(adam(ps), start=2, every=2),
    "schedule-free": lambda ps: W.ScheduleFree(Adam(ps, lr=0.1, betas=(0.0, 0.9))),
    "accumulate": lambda ps: W.Accumulate(adam(ps), 2),
    "skip": lambda ps: W.SkipNonFinite(adam(ps)),
    "noise": lambda ps: W.GradientNoise(adam(ps), generator=np.random.default_rng(3)),
    "decay": lambda ps: W.WeightDecay(adam(ps), 0.1, lambda p: p.ndim > 1),
    "coupled decay": lambda ps: W.WeightDecay(adam(ps), 0.1, decoupled=False),
    "galore": lambda ps: W.GaLore(AdamW(ps, lr=0.1, weight_decay=0.1), rank=2, update_proj_gap=3),
    "ranger": lambda ps: W.Ranger(ps, lr=0.1, k=2),
    "rangerqh": lambda ps: W.RangerQH(ps, lr=0.1, k=2),
    "rangerva": lambda ps: W.RangerVA(ps, lr=0.1, k=2),
    "sadam": lambda ps: W.SAdam(ps, lr=0.1, amsgrad=True, weight_decay=0.1),
    "all": lambda ps: W.SkipNonFinite(W.EMA(W.Lookahead(W.SAM(W.WeightDecay(W.GradientNoise(
        adam(ps), generator=np.random.default_rng(3)), 0.1)), k=2), 0.9)),
    "around accumulate": lambda ps: W.SAM(W.SkipNonFinite(W.Accumulate(W.Lookahead(adam(ps), k=2), 2))),
    "mechanic": lambda ps: W.Mechanic(Adam(ps, lr=0.1), s_init=1e-2),
    "trust ratio": lambda ps: W.TrustRatio(adam(ps)),
    "scaler": lambda ps: Scaled(adam(ps), 64.0, growth_interval=3),
    "multi": lambda ps: W.MultiOptimizer(W.Lookahead(adam(ps[:2]), k=2), optim.Muon(ps[2:], lr=0.1)),
    "around multi": lambda ps: W.EMA(W.Lookahead(W.Accumulate(W.SkipNonFinite(W.MultiOptimizer(
        optim.Muon(ps[2:3], lr=0.1), W.GaLore(adam(ps[3:]), rank=2), adam(ps[:2]))), 2), k=2), 0.9),
    "galore inside": lambda ps: W.Lookahead(W.SkipNonFinite(W.GaLore(adam(ps), rank=2, update_proj_gap=3)), k=2),
}
every = pytest.mark.parametrize("make", EVERY.values(), ids=EVERY.keys())


# ---- all of them ----
@every
@pytest.mark.parametrize("at", [3, 4])
def test_a_run_resumed_from_its_state_is_the_run_itself_to_the_bit(make, at, tmp_path):
    whole = weights()
    expected = run(make(whole), whole, range(8))
    first = weights()
    optimizer = make(first)
    run(optimizer, first, range(at))
    state, second = optimizer.state_dict(), [Parameter(p.data.copy()) for p in first]
    kept = copy.deepcopy(state)
    checkpoint.save(tmp_path / "run.npz", {}, optimizer)
    for loaded in (state, checkpoint.load(tmp_path / "run.npz").optimizer):
        third = [Parameter(p.data.copy()) for p in second]
        resumed = make(third)
        resumed.load_state_dict(loaded)
        found = run(resumed, third, range(at, 8))
        assert all(np.array_equal(a, b) for a, b in zip(found, expected))
    run(optimizer, first, range(3))
    np.testing.assert_equal(state, kept)  # no run reached into the saved state


@every
def test_float32_stays_float32(make):
    params = weights(dtype=np.float32)
    optimizer = make(params)
    run(optimizer, params, range(5))
    assert all(p.dtype == np.float32 and np.isfinite(p.data).all() for p in params)

    def arrays(state):
        for v in state.values() if isinstance(state, dict) else state if isinstance(state, list) else ():
            yield from [v] if isinstance(v, np.ndarray) else arrays(v)
    assert all(a.dtype == np.float32 for a in arrays(optimizer.state_dict()))


@pytest.mark.parametrize("make", [make for name, make in EVERY.items() if "multi" not in name])
def test_it_is_used_like_an_optimizer(make):
    params = weights()
    optimizer = make(params)
    inner = optimizer
    while isinstance(inner, W.Wrapper):
        inner = inner.optimizer
    assert optimizer.param_groups is inner.param_groups and optimizer.gradient_hooks is inner.gradient_hooks
    assert optimizer.lr == 0.1
    optimizer.lr = 0.05
    assert inner.lr == 0.05
    with pytest.raises(ValueError, match="lr must be finite"):
        optimizer.check({"lr": -1.0})
    loss = optimizer.step(bowl(optimizer, params))
    assert loss.item() == pytest.approx(sum(((0.5 + i) * p.data ** 2).sum() / 2 for i, p in enumerate(weights())))
    assert optimizer.state_summary()[0]["lr"] == 0.05 and not optimizer.gradient_hooks
    assert repr(optimizer).startswith(type(optimizer).__name__ + "(")
    optimizer.zero_grad()
    assert all(p.grad is None for p in params)
    optimizer.add_param_group({"params": weights([(2, 2)]), "lr": 1.0})
    assert [p.shape for g in optimizer.param_groups for p in g["params"]] == [*SHAPES, (2, 2)]
    give_gradients(params, 0)
    optimizer.step(bowl(optimizer, params))


def test_repr():
    assert repr(W.Lookahead(optim.Momentum(weights(), lr=0.5), 3)) == (
        "Lookahead(Momentum(lr=0.5, momentum=0.9, weight_decay=0, maximize=False (4 parameters)), k=3, alpha=0.5)")


@pytest.mark.parametrize("make", [make for name, make in EVERY.items() if name != "sadam"])
def test_a_state_of_another_is_refused_and_changes_nothing(make):
    params = weights()
    optimizer = make(params)
    other = optim.SGD(params, lr=0.3) if isinstance(optimizer, W.EMA) else W.EMA(adam(params), 0.5)
    run(other, params, range(2))
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(ValueError, match="this state"):
        optimizer.load_state_dict(other.state_dict())
    np.testing.assert_equal(optimizer.state_dict(), before)


def test_a_state_for_other_parameters_is_refused_and_one_of_another_dtype_cast():
    params, few, half = weights(), weights()[:3], weights(dtype=np.float32)
    whole = W.Lookahead(adam(params))
    whole.step(bowl(whole, params))
    with pytest.raises(ValueError, match="this state is for more than the 3 parameters that Lookahead has"):
        W.Lookahead(adam(few)).load_state_dict(whole.state_dict())
    other = W.Lookahead(adam(half))
    other.load_state_dict(whole.state_dict())
    assert all(a.dtype == np.float32 for a in other.slow.values())


# ---- Lookahead and Ranger ----
def test_lookahead_is_k_steps_forward_and_one_back():
    params, twins = weights(), weights()
    a, b = W.Lookahead(adam(params), k=3, alpha=0.4), adam(twins)
    slow = [q.data.copy() for q in twins]
    for step in range(1, 10):
        give_gradients(params, step), give_gradients(twins, step)
        a.step(), b.step()
        if step % 3 == 0:
            slow = [0.6 * s + 0.4 * q.data for s, q in zip(slow, twins)]
            for s, q in zip(slow, twins):
                q.data = s.copy()
        same(params, twins)


def test_lookahead_of_alpha_one_is_the_optimizer():
    params, twins = weights(), weights()
    same(run(W.Lookahead(adam(params), 2, 1.0), params, range(7)), run(adam(twins), twins, range(7)))


def test_lookahead_starts_from_the_weights_at_its_first_step():
    p = Parameter(np.zeros(2))
    optimizer = W.Lookahead(optim.SGD([p], lr=1.0), k=1)
    p.data = np.full(2, 4.0)  # a model loaded after the optimizer was made
    p.grad = Tensor(np.ones(2))
    optimizer.step()
    same([p], [np.full(2, 3.5)])


@pytest.mark.parametrize("ranger, inner", [
    (W.Ranger, lambda ps: RAdam(ps, betas=(0.95, 0.999), eps=1e-5)),
    (W.RangerQH, lambda ps: QHAdam(ps, nus=(0.7, 1.0))),
    (W.RangerVA, lambda ps: W.SAdam(ps, betas=(0.95, 0.999), amsgrad=True))])
def test_rangers_are_compositions(ranger, inner):
    params, twins = weights(), weights()
    same(run(ranger(params), params, range(13)), run(W.Lookahead(inner(twins), 6), twins, range(13)), 0)


@pytest.mark.parametrize("amsgrad", [False, True])
def test_sadam(amsgrad):
    params = weights()
    expected = [p.data.copy() for p in params]
    optimizer = W.SAdam(params, 0.1, (0.9, 0.8), amsgrad=amsgrad, smooth=5)
    m, v, top = ([np.zeros(s) for s in SHAPES] for _ in range(3))
    for t in range(1, 13):
        give_gradients(params, t)
        optimizer.step()
        for i, p in enumerate(params):
            g = p.grad.data
            m[i], v[i] = 0.9 * m[i] + 0.1 * g, 0.8 * v[i] + 0.2 * g * g
            top[i] = np.maximum(top[i], v[i]) if amsgrad else v[i]
            below = np.log(1 + np.exp(5 * np.sqrt(top[i]))) / 5
            expected[i] = expected[i] - 0.1 * math.sqrt(1 - 0.8 ** t) / (1 - 0.9 ** t) * m[i] / below
    same(params, expected)


# ---- SAM ----
@pytest.mark.parametrize("adaptive", [False, True])
def test_sam_takes_the_gradient_uphill(adaptive):
    params = weights()
    w = [p.data.copy() for p in params]
    optimizer = W.SAM(optim.SGD(params, lr=0.1), rho=0.5, adaptive=adaptive)
    closure = bowl(optimizer, params)
    for _ in range(3):
        optimizer.step(closure)
        g = [(0.5 + i) * x for i, x in enumerate(w)]
        scale = [np.abs(x) if adaptive else np.ones_like(x) for x in w]
        norm = math.sqrt(sum((s * y) @ (s * y) if y.ndim == 1 else ((s * y) ** 2).sum() for s, y in zip(scale, g)))
        there = [x + 0.5 * s * s * y / norm for x, s, y in zip(w, scale, g)]
        w = [x - 0.1 * (0.5 + i) * t for i, (x, t) in enumerate(zip(w, there))]
        same(params, w)


def test_sam_in_two_calls_or_with_two_closures_is_sam_in_one():
    runs = []
    for way in ("one", "two", "closures"):
        params = weights()
        optimizer = W.SAM(adam(params))
        closure, calls = bowl(optimizer, params), []
        for _ in range(3):
            if way == "one":
                optimizer.step(closure)
            elif way == "two":
                closure()
                optimizer.first_step()
                closure()
                optimizer.second_step()
            else:
                optimizer.step(closure, perturbed=lambda c=closure, seen=calls: seen.append(c()))
        assert len(calls) == (3 if way == "closures" else 0)
        runs.append([p.data for p in params])
    same(runs[0], runs[1], 0), same(runs[0], runs[2], 0)


def test_sam_of_rho_zero_is_the_optimizer_and_a_zero_gradient_is_no_nan():
    params, twins = weights(), weights()
    a, b = W.SAM(adam(params), rho=0), adam(twins)
    a.step(bowl(a, params)), b.step(bowl(b, twins))
    same(params, twins, 0)
    p = Parameter(np.zeros(2))
    optimizer = W.SAM(optim.SGD([p]))
    optimizer.step(bowl(optimizer, [p]))
    assert (p.data == 0).all()


def test_sam_goes_downhill_first_where_it_climbs():
    params, twins = weights(), weights()
    a, b = W.SAM(optim.SGD(params, lr=0.1), 0.5), W.SAM(optim.SGD(twins, lr=0.1, maximize=True), 0.5)

    def negated():
        b.zero_grad()
        (-sum(((0.5 + i) * p * p).sum() for i, p in enumerate(twins)) / 2).backward()
    a.step(bowl(a, params)), b.step(negated)
    same(params, twins)


def test_sam_brings_the_weights_back_if_the_closure_fails():
    params = weights()
    optimizer = W.SAM(adam(params))
    closure = bowl(optimizer, params)

    def fails():
        raise KeyError("second")
    with pytest.raises(KeyError):
        optimizer.step(closure, perturbed=fails)
    same(params, weights(), 0)
    optimizer.step(closure)
    with pytest.raises(TypeError, match=r"needs the gradient at two points: step\(closure\)"):
        optimizer.step()
    with pytest.raises(RuntimeError, match="comes after first_step"):
        optimizer.second_step()
    optimizer.first_step()
    with pytest.raises(RuntimeError, match="called twice"):
        optimizer.first_step()


# ---- Schedule-Free ----
def test_schedule_free_weighs_each_group_by_its_own_rate():
    a, b, alone = (Parameter(np.ones(2)) for _ in range(3))
    both = W.ScheduleFree(optim.SGD([{"params": [a], "lr": 0.0}, {"params": [b], "lr": 0.1}]))
    one = W.ScheduleFree(optim.SGD([alone], lr=0.1))
    for _ in range(50):
        both.step(bowl(both, [a, b])), one.step(bowl(one, [a, alone]))
    both.eval(), one.eval()
    assert (a.data == 1).all() and np.array_equal(b.data, alone.data) and (np.abs(b.data) < 0.1).all()


@pytest.mark.parametrize("inner", [lambda ps: optim.SGD(ps, lr=0.1), lambda ps: AdamW(ps, 0.1, (0.0, 0.9))])
def test_schedule_free(inner):
    params, twins = weights(), weights()
    optimizer, plain = W.ScheduleFree(inner(params), beta=0.8, weight_lr_power=1), inner(twins)
    z = [p.data.copy() for p in params]
    x, y, total = list(z), list(z), 0.0
    for step, lr in enumerate([0.05, 0.1, 0.08, 0.02]):
        optimizer.lr = plain.lr = lr
        give_gradients(params, step), give_gradients(twins, step)
        optimizer.step()
        for q, here in zip(twins, y):
            q.data = here.copy()
        plain.step()
        total += max([0.05, 0.1][:step + 1])  # the largest lr so far
        c = max([0.05, 0.1][:step + 1]) / total
        z = [a + q.data - b for a, b, q in zip(z, y, twins)]
        x = [(1 - c) * a + c * b for a, b in zip(x, z)]
        y = [0.2 * a + 0.8 * b for a, b in zip(z, x)]
        same(params, y)
        trained = [p.data.copy() for p in params]
        assert optimizer.eval() is optimizer
        same(params, x)
        assert optimizer.eval().train().train() is optimizer
        same(params, trained, 0)


def test_schedule_free_leaves_weights_without_a_gradient_where_they_are():
    p, q = weights(((3,), (3,)))
    optimizer = W.ScheduleFree(optim.SGD([p, q], lr=0.1))
    run(optimizer, [p, q], range(3))
    q.grad, y, z, x = None, q.data.copy(), optimizer.z[q].copy(), optimizer.x[q].copy()
    give_gradients([p], 0)
    optimizer.step()
    same([q, optimizer.z[q], optimizer.x[q]], [y, z, x], 0)


def test_schedule_free_of_beta_zero_is_the_mean_of_sgds_path():
    params, twins = weights(), weights()
    a, b = W.ScheduleFree(optim.SGD(params, lr=0.1), beta=0), W.SWA(optim.SGD(twins, lr=0.1))
    run(a, params, range(5)), run(b, twins, range(5))
    same(params, twins)
    a.eval(), b.swap()
    same(params, twins)
    with pytest.raises(RuntimeError, match=r"train\(\) first"):
        a.step()


@pytest.mark.filterwarnings("ignore:SGD. lr is 0")
def test_schedule_free_at_a_rate_of_zero_stands_still():
    params = weights()
    optimizer = W.ScheduleFree(optim.SGD(params, lr=0.0))
    run(optimizer, params, range(2))
    same(params, weights(), 0)


# ---- averages ----
def test_ema_and_swa_are_their_sums():
    params, twins = weights(), weights()
    a, b = W.EMA(adam(params), 0.9), W.SWA(adam(twins), start=2, every=3)
    with pytest.raises(RuntimeError, match="nothing is averaged yet"):
        a.swap()
    average, seen = None, []
    for step in range(1, 10):
        give_gradients(params, step), give_gradients(twins, step)
        a.step(), b.step()
        now = [p.data.copy() for p in params]
        average = now if average is None else [0.9 * x + 0.1 * y for x, y in zip(average, now)]
        seen += [now] if step in (5, 8) else []
    with a.averaged(), b.averaged():
        same(params, average)
        same(twins, [(x + y) / 2 for x, y in zip(*seen)])
        with pytest.raises(RuntimeError, match=r"swap\(\) back first"):
            a.step()
    same(params, now, 0), same(twins, now, 0)


def test_averaged_model_and_its_batch_norm():
    rng = np.random.default_rng(0)
    model = nn.Sequential(nn.Dense(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Dense(4, 2))
    for make, expected in ((None, lambda a: sum(a) / 4), (W.get_ema_avg_fn(0.5), lambda a: functools.reduce(
            lambda x, y: 0.5 * x + 0.5 * y, a))):
        averaged, seen = W.AveragedModel(model, make), []
        for _ in range(4):
            for p in model.parameters():
                p.data = p.data + rng.standard_normal(p.shape).astype(np.float32)
            model(Tensor(rng.standard_normal((5, 3)).astype(np.float32)))  # its statistics move
            averaged.update_parameters(model)
            seen.append([p.data.copy() for p in model.parameters()])
        same(averaged.module.parameters(), [expected(a) for a in zip(*seen)], 1e-5)
        assert averaged.n_averaged == 4 and len(averaged.state_dict()) == len(model.state_dict()) + 1
        same([a for _, a in averaged.module.named_buffers()], [a for _, a in model.named_buffers()], 0)
    batches = [rng.standard_normal((n, 3)).astype(np.float32) for n in (6, 6, 6)]
    averaged.eval()
    averaged.module[0].train()
    W.update_bn([(Tensor(b), None) for b in batches], averaged)
    norm, dense = averaged.module[1], averaged.module[0]
    hidden = [b @ dense.weight.data + dense.bias.data for b in batches]
    np.testing.assert_allclose(norm.running_mean, np.mean([h.mean(0) for h in hidden], 0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(norm.running_var, np.mean([h.var(0, ddof=1) for h in hidden], 0), rtol=1e-5)
    assert norm.momentum == 0.1 and norm.num_batches_tracked == 3
    assert dense.training and not norm.training and not averaged.training
    buffers = W.AveragedModel(model, use_buffers=True)
    for value in (1.0, 3.0):
        model[1].running_mean[...] = value
        buffers.update_parameters(model)
    assert (buffers.module[1].running_mean == 2).all()
    W.update_bn(iter(()), nn.Dense(1, 1))  # nothing to measure


# ---- gradients ----
def test_accumulated_small_batches_are_the_big_batch():
    rng = np.random.default_rng(0)
    x, y = Tensor(rng.standard_normal((24, 3))), Tensor(rng.standard_normal((24, 2)))
    models = [nn.Sequential(nn.Dense(3, 8, dtype=np.float64), nn.Tanh(), nn.Dense(8, 2, dtype=np.float64))
              for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    small, big = W.Accumulate(Adam(models[0].parameters()), 4), Adam(models[1].parameters())
    for _ in range(3):
        for i in range(0, 24, 6):
            small.zero_grad()
            nn.MSELoss()(models[0](x[i:i + 6]), y[i:i + 6]).backward()
            before = models[0][0].weight.data.copy()
            small.step()
            assert np.array_equal(before, models[0][0].weight.data) == (i < 18)
        big.zero_grad()
        nn.MSELoss()(models[1](x), y).backward()
        big.step()
        same(models[0].parameters(), models[1].parameters(), 1e-10)


def test_what_is_left_at_the_end_is_flushed():
    p, q = Parameter(np.zeros(2)), Parameter(np.ones(1))
    optimizer = W.Accumulate(optim.SGD([p, q], lr=1.0), 4)
    for g in (1.0, 3.0):
        p.grad = Tensor(np.full(2, g))
        optimizer.step()
    assert (p.data == 0).all()
    optimizer.flush(), optimizer.flush()
    same([p, q], [np.full(2, -2.0), np.ones(1)])
    with pytest.raises(TypeError, match="SAM needs the gradient at two points"):
        inside = W.Accumulate(W.SAM(adam([p])), 1)
        inside.step(bowl(inside, [p]))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_step_with_a_bad_gradient_never_was(bad):
    params, twins = weights(), weights()
    a, b = W.SkipNonFinite(W.Lookahead(adam(params), 2), max_consecutive=2), W.Lookahead(adam(twins), 2)
    for step in range(6):
        give_gradients(params, step), give_gradients(twins, step)
        if step in (2, 4):
            params[1].grad.data[0] = bad
        else:
            b.step()
        a.step()
    same(params, twins, 0)
    assert a.skipped == 2 and a.consecutive == 0
    params[2].grad.data[:] = bad

    def closure():
        return "the loss"
    assert a.step(closure) == a.step(closure) == "the loss"
    with pytest.raises(FloatingPointError, match="3 gradients in a row were not finite"):
        a.step()
    same(params, twins, 0)
    a.gradient_hooks.append(W.zero_nans())
    a.gradient_hooks.append(lambda params, grads: [np.clip(g, -1, 1) for g in grads])
    a.step()
    assert a.skipped == 5 and all(np.isfinite(p.data).all() for p in params)


def test_zero_nans():
    g = W.zero_nans()([None], [np.array([np.nan, 2, -np.inf], np.float32)])[0]
    assert g.tolist() == [0, 2, -np.inf] and g.dtype == np.float32


def test_noise_has_the_variance_it_says():
    p = Parameter(np.zeros(20000))
    optimizer = W.GradientNoise(optim.SGD([p], lr=1.0), 0.3, 0.55, np.random.default_rng(0))
    for t in range(4):
        p.data, p.grad = np.zeros(20000), Tensor(np.full(20000, 5.0))
        optimizer.step()
        assert p.data.mean() == pytest.approx(-5, abs=0.02)
        assert p.data.var() == pytest.approx(0.3 / (1 + t) ** 0.55, rel=0.05)


def test_weight_decay_around_an_optimizer():
    for decoupled, kind in ((True, AdamW), (False, Adam)):
        for maximize in (False, True):
            params, twins = weights(), weights()
            a = W.WeightDecay(Adam(params, 0.1, maximize=maximize), 0.3, lambda p: p.ndim > 1, decoupled)
            b = kind([{"params": twins[:2], "weight_decay": 0.0}, {"params": twins[2:], "weight_decay": 0.3}], 0.1,
                     maximize=maximize)
            same(run(a, params, range(5)), run(b, twins, range(5)))


def test_adaptive_clipping():
    rng = np.random.default_rng(0)
    for shape, units in (((4,), [...]), ((), [...]), ((4, 3), [(slice(None), i) for i in range(3)]),
                         ((2, 3, 2, 2), [0, 1]), ((2, 3, 2), [0, 1])):
        p = Parameter(np.asarray(rng.standard_normal(shape)))
        for scale in (1e-4, 1.0):
            g = np.asarray(scale * rng.standard_normal(shape))
            found = W.clip_adaptive(0.1)([p], [g])[0]
            for u in units:
                most = 0.1 * max(np.linalg.norm(p.data[u]), 1e-3)
                norm = np.linalg.norm(g[u])
                np.testing.assert_allclose(found[u], g[u] * min(1, most / norm))
    zero = Parameter(np.zeros((2, 2)))
    found = W.clip_adaptive(0.1)([zero, zero], [np.ones((2, 2)), np.zeros((2, 2))])
    np.testing.assert_allclose(np.linalg.norm(found[0], axis=0), 1e-4)
    assert (found[1] == 0).all()
    with pytest.raises(ValueError, match="clipping and eps must be positive, got 0 and"):
        W.clip_adaptive(0)


def test_centralized_gradients_keep_the_mean_of_every_units_weights():
    params = weights(((3,), (4, 3), (2, 3, 2, 2)))
    optimizer = optim.SGD(params, lr=0.1, momentum=0.9)
    optimizer.gradient_hooks.append(W.centralize())
    before = [p.data.copy() for p in params]
    for step in range(3):
        give_gradients(params, step)
        optimizer.step()
    assert not np.isclose(before[0].mean(), params[0].data.mean())
    np.testing.assert_allclose(before[1].mean(0), params[1].data.mean(0))
    np.testing.assert_allclose(before[2].mean((1, 2, 3)), params[2].data.mean((1, 2, 3)))


# ---- GaLore ----
@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (3, 3)])
@pytest.mark.parametrize("decoupled", [False, True])
def test_galore(shape, decoupled):
    p = weights([shape])[0]
    w = p.data.copy()
    optimizer = W.GaLore((AdamW if decoupled else Adam)([p], 0.1, eps=1e-2, weight_decay=0.2), 2, 3, 0.5)
    m = v = 0
    for t in range(1, 8):
        give_gradients([p], t)
        optimizer.step()
        g = p.grad.data if decoupled else p.grad.data + 0.2 * w
        if t % 3 == 1:
            u, _, vt = np.linalg.svd(g)
        left = shape[0] <= shape[1]
        r = u[:, :2].T @ g if left else g @ vt[:2].T
        m, v = 0.9 * m + 0.1 * r, 0.999 * v + 0.001 * r * r
        n = m / (1 - 0.9 ** t) / (np.sqrt(v / (1 - 0.999 ** t)) + 1e-2)
        w = (1 - 0.1 * 0.2) * w if decoupled else w
        w = w - 0.1 * 0.5 * (u[:, :2] @ n if left else n @ vt[:2])
        same([p], [w], 1e-9)
    state = next(iter(optimizer.state.values()))
    assert state["m"].shape == ((2, shape[1]) if left else (shape[0], 2))


def test_galore_of_full_rank_moves_as_sgd_and_small_ones_are_trained_as_they_are():
    params, twins = weights(((3, 3), (4,), (2, 6))), weights(((3, 3), (4,), (2, 6)))
    same(run(W.GaLore(optim.SGD(params, lr=0.1), rank=2), params[1:], range(4)),
         run(optim.SGD(twins, lr=0.1), twins[1:], range(4)), 0)
    p, q = weights([(4, 6)])[0], weights([(4, 6)])[0]
    a, b = W.GaLore(optim.SGD([p], lr=0.1), rank=1, update_proj_gap=1), optim.SGD([q], lr=0.1)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        p.grad = q.grad = Tensor(np.outer(rng.standard_normal(4), rng.standard_normal(6)))  # of rank 1: nothing is lost
        a.step(), b.step()
    same([p], [q])


def test_galore_refuses_what_it_cannot_wrap():
    from minigrad.optim.layerwise import LAMB
    params = weights()
    used = adam(params)
    run(used, params, range(1))
    for bad in (LAMB(params), used, W.EMA(adam(params)), optim.classical.SVRG(params, lr=0.1, n=2),
                optim.NAG(params, lookahead=True)):
        with pytest.raises(TypeError, match="GaLore wraps a new optimizer that treats each weight by itself"):
            W.GaLore(bad)
    with pytest.raises(TypeError, match="does not reach through GaLore"):
        W.WeightDecay(W.EMA(W.GaLore(adam(params))), 0.1)
    first, second = W.GaLore(adam(params), rank=2), W.GaLore(adam(params), rank=3)
    with pytest.raises(ValueError, match="this state is of rank 2, GaLore has 3"):
        second.load_state_dict(first.state_dict())


def test_a_bad_gradient_inside_galore_is_skipped():
    params = weights()
    optimizer = W.SkipNonFinite(W.GaLore(adam(params), rank=2))
    give_gradients(params, 0)
    params[2].grad.data[0, 0] = np.nan
    optimizer.step()
    same(params, weights(), 0)
    give_gradients(params, 0)
    optimizer.step()
    assert optimizer.skipped == 1 and all(np.isfinite(p.data).all() for p in params)


# ---- which parameters ----
def test_no_decay():
    model = nn.Sequential(nn.Dense(3, 4), nn.LayerNorm((2, 4)), nn.BatchNorm1d(4), nn.Dense(4, 2))
    decayed, rest = W.no_decay(model, 0.1)
    assert [p is q for p, q in zip(decayed["params"], (model[0].weight, model[3].weight))] == [True, True]
    assert len(rest["params"]) == 6 and (decayed["weight_decay"], rest["weight_decay"]) == (0.1, 0)
    before = [p.data.copy() for p in model.parameters()]
    optimizer = AdamW(W.no_decay(model, 0.1), lr=0.5)
    for p in model.parameters():
        p.grad = Tensor(np.zeros(p.shape, np.float32))
    optimizer.step()
    for p, q in zip(model.parameters(), before):
        np.testing.assert_allclose(p.data, q * (0.95 if p is model[0].weight or p is model[3].weight else 1))
    masked = W.no_decay(model, 0.1, lambda name, p: name.startswith("0."))
    assert [len(g["params"]) for g in masked] == [2, 6]
    assert len(W.no_decay(nn.Dense(2, 2, bias=False))) == 1


def test_freezing():
    model = nn.Sequential(nn.Dense(3, 4), nn.Dense(4, 2))
    optimizer = Adam(model.parameters(), weight_decay=0.1)
    x = Tensor(np.ones((2, 3), np.float32))
    model(x).sum().backward()
    assert W.freeze(model, "0.*") == ["0.weight", "0.bias"]
    before = [p.data.copy() for p in model.parameters()]
    for _ in range(2):
        optimizer.step()
        optimizer.zero_grad()
        model(x).sum().backward()
    assert [np.array_equal(p.data, b) for p, b in zip(model.parameters(), before)] == [True, True, False, False]
    W.unfreeze(model)
    assert all(p.requires_grad for p in model.parameters())
    with pytest.raises(ValueError, match=r"no parameter is called '2.\*'; there are 0.weight, 0.bias"):
        W.freeze(model, "2.*")


@every
@pytest.mark.parametrize("from_the_start", [False, True])
def test_frozen_weights_stand_still_whatever_wraps(make, from_the_start):
    params = weights()
    optimizer = make(params)
    run(optimizer, params, range(0 if from_the_start else 3))
    frozen, trained = params[::2], params[1::2]
    for p in frozen:
        p.grad, p.requires_grad = None, False
    before, moving = [p.data.copy() for p in frozen], [p.data.copy() for p in trained]
    for seed in range(5):
        give_gradients(trained, seed)
        optimizer.step(bowl(optimizer, params))
    same(frozen, before, 0)
    assert not any(np.array_equal(p.data, w) for p, w in zip(trained, moving))
    for p in frozen:
        p.requires_grad = True
    run(optimizer, params, range(4))
    assert not any(np.array_equal(p.data, w) for p, w in zip(frozen, before))


def test_averages_of_frozen_weights_go_on():
    p, q = weights(((3,), (3,)))
    optimizer = W.EMA(optim.SGD([p, q], lr=0.1), 0.5)
    run(optimizer, [p, q], range(3))
    p.grad, p.requires_grad, average = None, False, optimizer.average[p].copy()
    give_gradients([q], 3)
    optimizer.step()
    same([optimizer.average[p]], [(average + p.data) / 2])


# ---- steps that were not taken ----
SKIPPING = {
    "inside": lambda o: W.WeightDecay(noise(W.SkipNonFinite(o)), 0.5),
    "outside": lambda o: W.SkipNonFinite(W.WeightDecay(noise(o), 0.5)),
    "between": lambda o: W.WeightDecay(W.SkipNonFinite(noise(W.WeightDecay(o, 0.1, decoupled=False))), 0.5),
    "averages": lambda o: W.SWA(W.EMA(W.Lookahead(W.SkipNonFinite(o), k=2), 0.9), every=2),
    "schedule-free": lambda o: W.ScheduleFree(W.SkipNonFinite(o)),
    "mechanic": lambda o: W.Mechanic(W.SkipNonFinite(o)),
    "trust ratio": lambda o: W.TrustRatio(W.SkipNonFinite(o)),
    "around": lambda o: W.SkipNonFinite(W.Mechanic(W.ScheduleFree(W.TrustRatio(W.EMA(W.Lookahead(o, k=2)))))),
    "twice": lambda o: W.EMA(W.SkipNonFinite(W.WeightDecay(W.SkipNonFinite(noise(o)), 0.5)), 0.9),
}


def noise(optimizer):
    return W.GradientNoise(optimizer, generator=np.random.default_rng(5))


@pytest.mark.parametrize("make", SKIPPING.values(), ids=SKIPPING.keys())
@pytest.mark.parametrize("inner", [adam, lambda ps: W.MultiOptimizer(adam(ps[:2]), optim.Muon(ps[2:]))])
def test_a_skipped_step_never_was_in_any_order(make, inner):
    params, twins = weights(), weights()
    a, b = make(inner(params)), make(inner(twins))
    for step in range(8):
        give_gradients(params, step), give_gradients(twins, step)
        if step in (0, 3, 4):
            params[2].grad.data[0, 0] = np.nan
        else:
            b.step()
        a.step()
        assert a.stepped == (step not in (0, 3, 4))
    same(params, twins, 0)
    found, expected = a.state_dict(), b.state_dict()

    def without_counts(state):
        return {k: without_counts(v) if isinstance(v, dict) else v for k, v in state.items() if k != "skipped"}
    np.testing.assert_equal(without_counts(found), without_counts(expected))


def test_a_skipped_step_leaves_out_what_was_accumulated():
    for make in (lambda o: W.SkipNonFinite(W.Accumulate(o, 2)), lambda o: W.Accumulate(W.SkipNonFinite(o), 2)):
        params, twins = weights(), weights()
        a, b = make(adam(params)), make(adam(twins))
        for step in range(8):
            give_gradients(params, step), give_gradients(twins, step)
            if step == 3:
                params[1].grad.data[0] = np.inf
            a.step()
            if step not in (2, 3):
                b.step()
        same(params, twins, 0)


def test_calls_that_only_accumulate_do_not_break_a_row_of_bad_gradients():
    params = weights()
    optimizer = W.SkipNonFinite(W.Accumulate(adam(params), 2), max_consecutive=1)
    give_gradients(params, 0)
    params[1].grad.data[0] = np.nan
    gradients = [p.grad for p in params]
    with pytest.raises(FloatingPointError, match="2 gradients in a row were not finite"):
        for _ in range(4):
            for p, g in zip(params, gradients):
                p.grad = g
            optimizer.step()


def test_what_is_around_sees_through_accumulate_and_the_scaler_that_a_step_was_skipped():
    params = weights()
    average = W.EMA(W.Accumulate(W.SkipNonFinite(adam(params)), 1))
    skip = W.SkipNonFinite(W.GradScaler(adam(params)))
    skip.gradient_hooks.append(lambda params, grads: [g / 0 for g in grads])
    for optimizer in (average, skip):
        give_gradients(params, 0)
        params[1].grad.data[0] = np.inf if optimizer is average else 1.0
        if optimizer is skip:
            optimizer.optimizer.scale(Tensor(1.0))
        with np.errstate(divide="ignore"):
            optimizer.step()
        assert not optimizer.stepped
    assert average.count == 0 and skip.skipped == 1 and skip.optimizer.get_scale() == 65536
    same(params, weights(), 0)


def test_wrappers_around_accumulate_count_its_steps():
    params, twins = weights(), weights()
    a = W.SWA(W.ScheduleFree(W.Lookahead(W.Accumulate(optim.SGD(params, lr=0.1), 2), k=2)), every=2)
    b = W.Accumulate(W.SWA(W.ScheduleFree(W.Lookahead(optim.SGD(twins, lr=0.1), k=2)), every=2), 2)
    for step in range(9):
        give_gradients(params, step), give_gradients(twins, step)
        a.step(), b.step()
        assert a.stepped == b.stepped == (step % 2 == 1)
    same(params, twins, 0)
    same(a.average.values(), b.optimizer.average.values(), 0)


@pytest.mark.parametrize("make", [W.SkipNonFinite, W.SAM, W.EMA, W.Lookahead])
def test_closures_that_get_an_example_go_through(make):
    p = Parameter(np.array([3.0]))
    optimizer = make(optim.classical.SVRG([p], lr=0.1, n=2, generator=np.random.default_rng(0)))
    for _ in range(80):
        optimizer.step(lambda i: ((p - i) ** 2).sum())
    assert p.data[0] == pytest.approx(0.5, abs=0.2)


# ---- without a learning rate ----
def test_optimizers_without_a_learning_rate():
    for make in (optim.COCOB, optim.A2GradUni):
        params, twins = weights(), weights()
        optimizer = W.ScheduleFree(make(params), beta=0)
        assert not hasattr(optimizer, "lr")
        with pytest.raises(AttributeError, match="has no lr"):
            optimizer.lr = 1.0
        mean = W.SWA(make(twins))
        for step in range(5):
            give_gradients(params, step), give_gradients(twins, step)
            optimizer.step(), mean.step()
        optimizer.eval(), mean.swap()
        same(params, twins, 1e-9)
        for needs in (lambda o: W.WeightDecay(o, 0.1), W.TrustRatio):
            with pytest.raises(TypeError, match="needs an optimizer with a learning rate, got "):
                needs(make(weights()))
        coupled = W.WeightDecay(make(params), 0.1, decoupled=False)
        run(W.SkipNonFinite(W.EMA(W.Lookahead(W.SAM(coupled)))), params, range(3))


# ---- schedules around and inside ----
def test_a_wrapper_and_its_optimizer_have_one_first_learning_rate():
    params = weights()
    inner = optim.SGD(params, lr=0.1)
    params[0].grad = np.zeros(params[0].shape)
    outer = W.EMA(W.Lookahead(inner))
    schedule = optim.StepLR(outer, 1, 0.5)
    outer.step(), schedule.step()
    assert inner.lr == 0.05
    assert optim.StepLR(inner, 1, 0.5).base_lrs == schedule.base_lrs == [0.1]


# ---- several optimizers as one ----
def test_multi_optimizer_is_each_of_them_on_its_own():
    params, twins = weights(), weights()
    multi = W.MultiOptimizer(adam(params[:2]), optim.Muon(params[2:], lr=0.02))
    a, b = adam(twins[:2]), optim.Muon(twins[2:], lr=0.02)
    for _ in range(6):
        loss = multi.step(bowl(multi, params))
        for o in (a, b):
            o.zero_grad()
        expected = sum(((0.5 + i) * p * p).sum() for i, p in enumerate(twins)) / 2
        expected.backward()
        a.step(), b.step()
        assert loss.item() == expected.item()
    same(params, twins, 0)
    assert multi.param_groups == [*multi.optimizers[0].param_groups, *multi.optimizers[1].param_groups]
    assert set(multi.state) == set(params) and list(multi.state_summary()) == [0, 1, 2, 3]
    assert [row["shape"] for row in multi.state_summary().values()] == [*SHAPES]
    assert multi.lr == 0.1 and multi.defaults["lr"] == 0.1 and multi.defaults["momentum"] == 0.95
    multi.lr = 0.5
    assert a.lr == 0.1 and [o.lr for o in multi.optimizers] == [0.5, 0.5]
    assert repr(multi).startswith("MultiOptimizer(Adam(lr=0.5, ") and "Muon(lr=0.5" in repr(multi)
    multi.zero_grad()
    assert all(p.grad is None for p in params)
    with pytest.raises(ValueError, match="lr must be finite and at least 0, got -1"):
        multi.lr = -1
    assert multi.lr == 0.5


def test_hooks_of_a_multi_optimizer_see_all_parameters_and_leave_the_gradients():
    params, twins = weights(), weights()
    multi = W.MultiOptimizer(optim.SGD(params[:1], lr=0.1), optim.SGD(params[1:], lr=0.1))
    whole = optim.SGD(twins, lr=0.1)
    for o in (multi, whole):
        o.gradient_hooks.append(optim.clip_norm(0.5))
    give_gradients(params, 0), give_gradients(twins, 0)
    given = [p.grad for p in params]
    multi.step(), whole.step()
    same(params, twins, 0)
    assert all(p.grad is g for p, g in zip(params, given))
    multi.optimizers[0].gradient_hooks.append(lambda params, grads: [0 * g for g in grads])
    before = params[0].data.copy()
    multi.step()
    assert np.array_equal(before, params[0].data)

    def fails(params, grads):
        raise KeyError("hook")
    multi.gradient_hooks.append(fails)
    with pytest.raises(KeyError):
        multi.step()
    assert all(p.grad is g for p, g in zip(params, given))


def test_multi_optimizer_refuses():
    params = weights()
    with pytest.raises(TypeError, match="MultiOptimizer got no optimizers"):
        W.MultiOptimizer()
    with pytest.raises(TypeError, match="MultiOptimizer wraps optimizers, got "):
        W.MultiOptimizer(params)
    with pytest.raises(ValueError, match="has 1 parameters that another one has too"):
        W.MultiOptimizer(adam(params[:2]), adam(params[1:]))
    for alone in (W.EMA(W.SAM(adam(params[:2]))), optim.classical.SteepestDescent(params[:2]),
                  optim.NAG(params[:2], lookahead=True)):
        with pytest.raises(TypeError, match=r"MultiOptimizer runs the closure once, .* needs it at points of its own"):
            W.MultiOptimizer(alone, adam(params[2:]))
    multi = W.MultiOptimizer(optim.NAG(params[:2]), optim.COCOB(params[2:]))
    with pytest.raises(TypeError, match=r"multi.optimizers\[i\].add_param_group"):
        multi.add_param_group({"params": weights()})
    multi.lr = 0.3
    assert multi.lr == 0.3 and "lr" not in multi.param_groups[1]
    assert not hasattr(W.MultiOptimizer(optim.COCOB(params)), "lr")
    before = copy.deepcopy(multi.state_dict())
    other = W.MultiOptimizer(optim.NAG(params[:2], lr=0.7), adam(params[2:])).state_dict()
    for state in (other, {**other, "optimizers": other["optimizers"][:1]}, adam(params).state_dict()):
        with pytest.raises(ValueError, match="this state"):
            multi.load_state_dict(state)
        np.testing.assert_equal(multi.state_dict(), before)


def test_optimizers_in_a_multi_optimizer_get_the_loss():
    params, twins = weights(), weights()
    multi, alone = W.MultiOptimizer(optim.MoMo(params, lr=1.0)), optim.MoMo(twins, lr=1.0)
    for _ in range(3):
        multi.step(bowl(multi, params)), alone.step(bowl(alone, twins))
    same(params, twins, 0)


def network():
    return nn.Sequential(nn.Dense(4, 8), nn.LayerNorm(8), nn.Tanh(), nn.Dense(8, 8), nn.Tanh(), nn.Dense(8, 3))


class Embedding(nn.Module):
    def __init__(self):
        self.weight = Parameter(np.zeros((5, 4), np.float32))


def test_partition():
    model = nn.Sequential(Embedding(), *network())
    matrices, others = W.partition(model)
    names = {id(p): name for name, p in model.named_parameters()}
    assert [names[id(p)] for p in matrices] == ["1.weight", "4.weight"]
    assert len(others) == 7 and not {id(p) for p in matrices} & {id(p) for p in others}
    first, rest = W.partition(model, lambda name, p: name.startswith("1."))
    assert [names[id(p)] for p in first] == ["1.weight", "1.bias"] and len(rest) == 7
    with pytest.raises(ValueError, match=r"give it to AdamW, as in MultiOptimizer\(Muon\(matrices\), AdamW"):
        optim.Muon(model.parameters())


def test_multi_optimizer_in_fit_under_wrappers_schedules_and_resumed_from_files(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 4)).astype(np.float32)
    y = (x @ rng.standard_normal((4, 3))).argmax(1)

    def make(seed=0):
        manual_seed(seed)
        model = network()
        matrices, others = W.partition(model)
        multi = W.MultiOptimizer(optim.Muon(matrices, lr=0.05), AdamW(others, lr=0.02))
        return model, W.EMA(W.Accumulate(W.SkipNonFinite(multi), 2), 0.9), multi

    def fit(model, optimizer, epochs, **more):
        return train.fit(model, (x, y), optimizer, epochs=epochs, batch_size=10, schedule="cosine", progress=False,
                         generator=np.random.default_rng(1), **more)
    whole, optimizer, multi = make()
    history = fit(whole, optimizer, 30)
    assert history[-1].loss < 0.3 * history[0].loss and optimizer.n_averaged == 90
    assert [g["lr"] for g in multi.param_groups] == [0.05, 0.02]
    half, first, _ = make()

    def stop(model, history):
        return len(history) == 15
    fit(half, first, 30, checkpoint=tmp_path, callbacks=[stop])
    resumed, second, _ = make(7)
    fit(resumed, second, 30, resume=tmp_path)
    assert all(np.array_equal(p.data, q.data) for p, q in zip(whole.parameters(), resumed.parameters()))
    same(optimizer.average.values(), second.average.values(), 0)
    schedule = optim.StepLR(optimizer, 1, 0.5)
    schedule.step()
    assert [g["lr"] for g in multi.param_groups] == [0.025, 0.01]


# ---- Mechanic, trust ratio ----
class Deaf(optim.SGD):
    """It runs no gradient hooks."""

    def step(self, closure=None):
        return None


def test_mechanic_is_its_formula():
    params = weights()
    start = [p.data.copy() for p in params]
    w, s, r, m, v = [p.copy() for p in start], *(np.full(3, x) for x in (1e-2, 0.0, 0.0, 0.0))
    optimizer = W.Mechanic(optim.SGD(params, lr=1.0), weight_decay=0.1, s_init=1e-2, num_betas=3)
    beta, total = np.array([0.9, 0.99, 0.999]), [0.0] * 4
    for t in range(20):
        give_gradients(params, t)
        g = [p.grad.data for p in params]
        optimizer.step()
        norm = [math.sqrt(sum((a * a).sum() for a in x)) for x in (g, w)]
        decayed = [a + 0.1 * s.sum() * norm[0] / (norm[1] + 1e-8) * b for a, b in zip(g, w)]
        gain = [(x0 - x) / (s.sum() + 1e-8) for x0, x in zip(start, w)]
        h = sum((a * b).sum() for a, b in zip(decayed, gain))
        r = beta * r + np.clip(h, -m, m) * s
        m = np.maximum(beta * m, abs(h) + 1e-8)
        v = beta ** 2 * v + h * h
        s = (1e-2 / 3 * m + np.maximum(0, r)) / (np.sqrt(v) + 1e-8)
        total = [d + a for d, a in zip(gain, g)]
        w = [x0 - s.sum() * d for x0, d in zip(start, total)]
        same(params, w, 1e-8)


def test_mechanic_finds_the_rate():
    losses = []
    for lr in (1e-3, 1.0, 10.0):
        params = weights()
        optimizer = W.Mechanic(optim.SGD(params, lr=lr))
        for _ in range(300):
            loss = optimizer.step(bowl(optimizer, params))
        losses.append(loss.item())
    assert max(losses) < 1e-2
    up, down = weights(), weights()
    a, b = W.Mechanic(optim.SGD(up, lr=1.0, maximize=True)), W.Mechanic(optim.SGD(down, lr=1.0))
    for seed in range(5):
        give_gradients(up, seed), give_gradients(down, seed)
        for p in up:
            p.grad.data[...] *= -1
        a.step(), b.step()
    same(up, down, 0)
    with pytest.raises(TypeError, match="does not reach through GaLore"):
        W.Mechanic(W.GaLore(adam(params)))
    with pytest.raises(TypeError, match="Mechanic needs an optimizer that runs gradient hooks"):
        W.Mechanic(Deaf(params)).step()


def test_the_trust_ratio_makes_adamw_lamb_and_sgd_lars():
    params, twins = weights(((3,), (4, 3))), weights(((3,), (4, 3)))
    a, b = W.TrustRatio(AdamW(params, lr=0.1, weight_decay=0.1, eps=1e-6)), optim.LAMB(
        twins, lr=0.1, weight_decay=0.1, eps=1e-6)
    for step in range(6):
        give_gradients(params, step), give_gradients(twins, step)
        a.step(), b.step()
    same(params, twins)
    params = weights()
    w = [p.data.copy() for p in params]
    optimizer = W.TrustRatio(optim.SGD(params, lr=0.5, weight_decay=0.1), 0.01, 1e-3)
    for step in range(3):
        give_gradients(params, step)
        optimizer.step()
        u = [p.grad.data + 0.1 * x for p, x in zip(params, w)]
        w = [x - 0.5 * 0.01 * np.linalg.norm(x) / (np.linalg.norm(d) + 1e-3) * d for x, d in zip(w, u)]
        same(params, w)
    zero = Parameter(np.zeros(2))
    optimizer = W.TrustRatio(optim.SGD([zero], lr=0.5))
    for gradient, expected in ((0.0, 0.0), (1.0, -0.5)):
        zero.grad = Tensor(np.full(2, gradient))
        optimizer.step()
        same([zero], [np.full(2, expected)])
    optimizer.lr = 0.0
    optimizer.step()
    same([zero], [np.full(2, -0.5)])


# ---- loss scaling ----
def test_loss_scaling_keeps_small_float16_gradients():
    def loss_of(p, tiny):
        return (p.astype(np.float16) * np.float16(tiny)).astype(np.float32).sum() * 1e-6
    p = Parameter(np.ones(3, np.float32))
    scaler = W.GradScaler(optim.SGD([p], lr=1.0), growth_interval=2)
    scaler.gradient_hooks.append(lambda params, grads: [*map(np.abs, grads)])  # sees them unscaled
    loss_of(p, 1e-3).backward()
    assert (p.grad.data == 0).all()
    with pytest.raises(RuntimeError, match=r"call scale\(loss\).backward\(\) before step"):
        scaler.step()
    for _ in range(2):
        scaler.zero_grad()
        scaler.scale(loss_of(p, 1e-3)).backward()
        scaler.step()
    np.testing.assert_allclose(1 - p.data, 2e-9 * np.ones(3), atol=1.2e-7)
    np.testing.assert_allclose(p.grad.data / 65536, 1e-9, rtol=1e-2)
    q = Parameter(np.ones(2, np.float16))
    half = W.GradScaler(optim.SGD([q], lr=1.0))
    half.scale(Tensor(1.0))
    q.grad = Tensor(np.full(2, 32768, np.float16))
    half.step()
    assert q.data.tolist() == [0.5, 0.5] and q.dtype == np.float16  # the scale itself is beyond float16
    assert scaler.get_scale() == 131072 and p.dtype == p.grad.dtype == np.float32


def test_a_step_whose_scaled_gradients_overflow_is_left_out_and_the_scale_halved():
    for wrap in (lambda o: o, W.SkipNonFinite, lambda o: W.WeightDecay(W.SkipNonFinite(o), 0.5)):
        for inner in (lambda o: o, W.SkipNonFinite, lambda o: W.WeightDecay(o, 0.5)):
            params = weights()
            scaler = W.GradScaler(inner(adam(params)), 8.0)
            optimizer = W.EMA(wrap(scaler))
            give_gradients(params, 0)
            params[1].grad.data[0] = np.inf
            scaler.scale(Tensor(1.0))
            optimizer.step()
            same(params, weights(), 0)
            assert scaler.get_scale() == 4.0 and not optimizer.stepped and optimizer.count == 0
            give_gradients(params, 0)
            scaler.scale(Tensor(1.0))
            optimizer.step()
            assert optimizer.stepped and optimizer.count == 1


def test_a_scaled_run_is_the_run_itself():
    params, twins = weights(), weights()
    a, b = W.GradScaler(adam(params), growth_interval=2), adam(twins)
    a.gradient_hooks.append(optim.clip_norm(0.5)), b.gradient_hooks.append(optim.clip_norm(0.5))

    def closure():
        a.zero_grad()
        loss = sum(((0.5 + i) * p * p).sum() for i, p in enumerate(params)) / 2
        a.scale(loss).backward()
        return loss
    for _ in range(5):
        a.step(closure), b.step(bowl(b, twins))
    same(params, twins)
    assert a.get_scale() == 4 * 65536


# ---- more hooks ----
def test_clip_block_rms_and_chain():
    a, b = np.array([3.0, 4.0, 0.0, 0.0]), np.full((2, 2), 0.1)
    found = W.clip_block_rms(0.5)([None] * 3, [a, b, np.zeros(0)])
    same(found, [a / 5, b, np.zeros(0)])
    with pytest.raises(ValueError, match="threshold must be positive, got 0"):
        W.clip_block_rms(0)
    p = weights([(2, 3)])[0]
    g = np.array([[np.nan, 3.0, 4.0], [0.0, 0.0, 0.0]])
    same(W.chain(W.zero_nans(), optim.clip_norm(1.0))([p], [g]), [np.array([[0, 0.6, 0.8], [0, 0, 0]])])
    assert W.chain()([p], [g])[0] is g


# ---- what is refused ----
@pytest.mark.parametrize("make, message", [
    (lambda o: W.Lookahead(o, k=0), "Lookahead: k must be at least 1, got 0"),
    (lambda o: W.Lookahead(o, alpha=1.5), "Lookahead: alpha must be at least 0 and at most 1, got 1.5"),
    (lambda o: W.SAM(o, rho=-1), "SAM: rho must be at least 0, got -1"),
    (lambda o: W.EMA(o, math.nan), "EMA: decay must be at least 0 and at most 1, got nan"),
    (lambda o: W.SWA(o, every=0), "SWA: every must be at least 1, got 0"),
    (lambda o: W.ScheduleFree(o, beta=2), "ScheduleFree: beta must be at least 0 and at most 1, got 2"),
    (lambda o: W.Accumulate(o, 0), "Accumulate: steps must be at least 1, got 0"),
    (lambda o: W.GradientNoise(o, -1), "GradientNoise: eta must be at least 0, got -1"),
    (lambda o: W.WeightDecay(o, math.inf), "WeightDecay: weight_decay must be at least 0, got inf"),
    (lambda o: W.GaLore(o, 0), "GaLore: rank must be at least 1, got 0"),
    (lambda o: W.Mechanic(o, num_betas=0), "Mechanic: num_betas must be at least 1, got 0"),
    (lambda o: W.TrustRatio(o, -1), "TrustRatio: trust_coefficient must be at least 0, got -1"),
    (lambda o: W.GradScaler(o, math.nan), "GradScaler: current_scale must be at least 1e-30, got nan"),
    (lambda o: W.SAdam(weights(), smooth=0), "SAdam: smooth must be positive, got 0"),
    (lambda o: W.get_ema_avg_fn(1.5), r"decay must be in \[0, 1\], got 1.5"),
])
def test_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make(optim.SGD(weights()))


def test_a_wrapper_wraps_an_optimizer():
    with pytest.raises(TypeError, match="Lookahead: k must be a number, got '5'"):
        W.Lookahead(adam(weights()), "5")
    with pytest.raises(TypeError, match="Lookahead wraps an optimizer, got "):
        W.Lookahead(weights())


# ---- DP-SGD ----
def test_private_gradients_are_clipped_one_by_one():
    model = nn.Sequential(nn.Dense(3, 4, dtype=np.float64), nn.Tanh(), nn.Dense(4, 2, dtype=np.float64))
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((6, 3)), rng.standard_normal((6, 2))

    def loss(model, x, y):
        return ((model(x) - y) ** 2).sum()
    total, norms = [0.0] * 4, []
    for i in range(6):
        model.zero_grad()
        loss(model, Tensor(x[i]), Tensor(y[i])).backward()
        g = [p.grad.data for p in model.parameters()]
        norms.append(math.sqrt(sum((a * a).sum() for a in g)))
        total = [t + a * min(1, 2.5 / norms[-1]) for t, a in zip(total, g)]
    assert W.private_gradients(loss, model, x, y, max_norm=2.5, noise_multiplier=0) == np.mean(np.array(norms) > 2.5)
    assert 0 < np.mean(np.array(norms) > 2.5) < 1
    same([p.grad.data for p in model.parameters()], [t / 6 for t in total], 1e-10)
    drawn = []
    for seed in range(300):
        W.private_gradients(loss, model, x, y, max_norm=2.5, noise_multiplier=3, generator=np.random.default_rng(seed))
        drawn.append(model[0].weight.grad.data)
    np.testing.assert_allclose(np.std(drawn), 3 * 2.5 / 6, rtol=0.05)
    np.testing.assert_allclose(np.mean(drawn, 0), total[0] / 6, atol=0.3)
    with pytest.raises(ValueError, match="max_norm must be positive and noise_multiplier at least 0, got 0 and 1"):
        W.private_gradients(loss, model, x, y, max_norm=0)
