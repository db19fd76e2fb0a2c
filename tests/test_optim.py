"""The shell of the optimizers: groups, hooks, state, blocks, and what it refuses. Their paths are in test_parity.py."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

from minigrad import Parameter, Tensor, nn, optim
from minigrad.optim.optimizer import BLOCK

EVERY = {
    "sgd": lambda ps: optim.SGD(ps, lr=0.1),
    "sgd, momentum": lambda ps: optim.SGD(ps, lr=0.1, momentum=0.9, dampening=0.1, weight_decay=0.01),
    "sgd, nesterov": lambda ps: optim.SGD(ps, lr=0.1, momentum=0.9, nesterov=True),
    "momentum": lambda ps: optim.Momentum(ps, lr=0.1),
    "nag": lambda ps: optim.NAG(ps, lr=0.1),
    "adagrad": lambda ps: optim.Adagrad(ps, lr=0.1, lr_decay=0.1, initial_accumulator_value=0.5),
    "rmsprop": lambda ps: optim.RMSprop(ps, lr=0.01),
    "rmsprop, all": lambda ps: optim.RMSprop(ps, lr=0.01, momentum=0.5, centered=True),
    "adadelta": lambda ps: optim.Adadelta(ps),
    "adam": lambda ps: optim.Adam(ps, lr=0.01),
    "adam, amsgrad": lambda ps: optim.Adam(ps, lr=0.01, amsgrad=True, weight_decay=0.1),
}
every = pytest.mark.parametrize("make", EVERY.values(), ids=EVERY.keys())


def weights(seed=0, dtype=np.float64, shapes=((), (3,), (4, 3))):
    rng = np.random.default_rng(seed)
    return [Parameter(np.asarray(rng.standard_normal(s), dtype)) for s in shapes]


def give_gradients(params, seed):
    rng = np.random.default_rng(seed)
    for p in params:
        p.grad = Tensor(np.asarray(rng.standard_normal(p.shape), p.dtype))


def run(optimizer, params, seeds):
    for seed in seeds:
        give_gradients(params, seed)
        optimizer.step()
    return [p.data.copy() for p in params]


# ---- every optimizer ----
@every
def test_a_run_resumed_from_its_state_is_the_run_itself_to_the_bit(make):
    whole = weights()
    expected = run(make(whole), whole, range(6))
    first = weights()
    optimizer = make(first)
    run(optimizer, first, range(3))
    state, second = optimizer.state_dict(), [Parameter(p.data.copy()) for p in first]
    kept = copy.deepcopy(state)
    resumed = make(second)
    resumed.load_state_dict(state)
    found = run(resumed, second, range(3, 6))
    assert all(np.array_equal(a, b) for a, b in zip(found, expected))
    run(optimizer, first, range(9))
    for i, slots in state["state"].items():  # neither run reached into the saved state
        assert all(np.array_equal(slots[k], kept["state"][i][k]) for k in slots)


@every
def test_float32_stays_float32(make):
    params = weights(dtype=np.float32)
    optimizer = make(params)
    run(optimizer, params, range(3))
    assert all(p.dtype == np.float32 for p in params)
    arrays = [v for s in optimizer.state.values() for v in s.values() if isinstance(v, np.ndarray)]
    assert all(a.dtype == np.float32 for a in arrays)


@every
@pytest.mark.parametrize("size", [BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 7])
def test_blocks_give_what_the_whole_gives(make, size, monkeypatch):
    blocks = weights(shapes=[(size,)])
    found = run(make(blocks), blocks, range(2))
    monkeypatch.setattr("minigrad.optim.optimizer.BLOCK", 10 * size)
    whole = weights(shapes=[(size,)])
    assert np.array_equal(found[0], run(make(whole), whole, range(2))[0])


@every
def test_memory_order_does_not_matter(make):
    plain, turned = weights(shapes=[(4, 3)]), weights(shapes=[(4, 3)])
    turned[0].data = np.asfortranarray(turned[0].data)
    a, b = make(plain), make(turned)
    for seed in range(3):
        give_gradients(plain, seed)
        turned[0].grad = Tensor(np.asfortranarray(plain[0].grad.data))
        a.step()
        b.step()
    assert np.array_equal(plain[0].data, turned[0].data)


@every
def test_maximize_is_the_negated_gradient(make):
    up, down = weights(), weights()
    a, b = make(up), make(down)
    for group in a.param_groups:
        group["maximize"], group["weight_decay"] = True, 0
    for group in b.param_groups:
        group["weight_decay"] = 0
    for seed in range(3):
        give_gradients(up, seed)
        for p, q in zip(up, down):
            q.grad = -p.grad
        a.step()
        b.step()
    assert all(np.array_equal(p.data, q.data) for p, q in zip(up, down))


@every
def test_zero_gradients_are_finite_steps_and_nan_shows(make):
    params = weights(shapes=[(3,)])
    optimizer = make(params)
    params[0].grad = Tensor(np.zeros(3))
    optimizer.step()
    assert np.isfinite(params[0].data).all()
    params[0].grad = Tensor(np.array([np.nan, 0.0, 0.0]))
    optimizer.step()
    assert np.isnan(params[0].data).tolist() == [True, False, False]


@every
def test_a_replaced_weight_is_the_one_that_is_trained(make):
    params = weights(shapes=[(3,)])
    optimizer = make(params)
    run(optimizer, params, [0])
    old = params[0].data
    params[0].data = np.ones(3)
    kept = old.copy()
    run(optimizer, params, [1])
    assert np.array_equal(old, kept)
    assert not np.array_equal(params[0].data, np.ones(3))


def test_momentum_is_sgds_for_a_constant_rate_and_not_for_a_changing_one():
    for make, other, nesterov in ((optim.Momentum, optim.SGD, False), (optim.NAG, optim.SGD, True)):
        for change, equal in ((1.0, True), (0.5, False)):
            a, b = weights(), weights()
            x, y = make(a, lr=0.1), other(b, lr=0.1, momentum=0.9, nesterov=nesterov)
            run(x, a, range(3)), run(y, b, range(3))
            x.lr = y.lr = 0.1 * change
            found, expected = run(x, a, range(3, 6)), run(y, b, range(3, 6))
            assert all(np.allclose(f, e, 1e-12, 1e-14) for f, e in zip(found, expected)) is equal


# ---- groups and steps ----
def test_groups_have_their_own_hyper_parameters():
    a, b = weights(shapes=[(2,), (2,)])
    optimizer = optim.SGD([{"params": a}, {"params": [b], "lr": 0.5}], lr=0.1)
    a.grad = b.grad = Tensor(np.ones(2))
    before = a.data.copy(), b.data.copy()
    optimizer.step()
    np.testing.assert_allclose(before[0] - a.data, 0.1)
    np.testing.assert_allclose(before[1] - b.data, 0.5)
    assert optimizer.lr == 0.1
    optimizer.lr = 0.2
    assert [g["lr"] for g in optimizer.param_groups] == [0.2, 0.2]
    extra = Parameter(np.ones(1))
    optimizer.add_param_group({"params": [("extra", extra)], "lr": 1.0})
    extra.grad = Tensor([1.0])
    optimizer.step()
    assert extra.item() == 0


def test_what_has_no_gradient_is_left_alone():
    a, b = weights(shapes=[(2,), (2,)])
    optimizer = optim.Adam([a, b])
    a.grad = Tensor(np.ones(2))
    before = b.data.copy()
    optimizer.step()
    assert np.array_equal(b.data, before) and b not in optimizer.state
    optimizer.zero_grad()
    assert a.grad is None


def test_a_closure_computes_the_loss_even_under_no_grad():
    from minigrad import no_grad
    w = Parameter(np.array([3.0]))
    optimizer = optim.SGD([w], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss
    with no_grad():
        loss = optimizer.step(closure)
    assert loss.item() == 9 and w.item() == pytest.approx(2.4)


def test_hooks_and_clipping():
    w = Parameter(np.zeros(2))
    optimizer = optim.SGD([w], lr=1.0)
    optimizer.gradient_hooks.append(optim.clip_norm(1.0))
    w.grad = Tensor(np.array([3.0, 4.0]))
    optimizer.step()
    np.testing.assert_allclose(w.data, [-0.6, -0.8])
    optimizer.gradient_hooks[:] = [optim.clip_value(0.5), lambda params, grads: [2 * g for g in grads]]
    optimizer.step()
    np.testing.assert_allclose(w.data, [-1.6, -1.8])
    assert optim.clip_grad_norm_([w], 2.5) == 5
    np.testing.assert_allclose(w.grad.data, [1.5, 2.0])
    optim.clip_grad_value_(w, 1.75)
    np.testing.assert_allclose(w.grad.data, [1.5, 1.75])
    with pytest.raises(ValueError, match="max_norm must be positive, got 0"):
        optim.clip_grad_norm_(w, 0)


def test_weight_decay_is_coupled():
    w = Parameter(np.array([2.0]))
    w.grad = Tensor(np.zeros(1))
    optim.SGD([w], lr=0.1, weight_decay=0.5).step()
    assert w.item() == pytest.approx(2 - 0.1 * 0.5 * 2)


def test_a_step_between_two_backwards_is_noticed():
    model = nn.Dense(3, 2)
    loss = (model(Tensor(np.ones((1, 3), np.float32))) ** 2).sum()
    loss.backward(retain_graph=True)
    optim.SGD(model.parameters(), lr=0.1).step()
    with pytest.raises(RuntimeError, match=r"changed in place .*before optimizer\.step\(\)"):
        loss.backward()


# ---- what is refused ----
@pytest.mark.parametrize("arguments, message", [
    ({"lr": -1.0}, "Adam: lr must be finite and at least 0, got -1.0"),
    ({"lr": float("nan")}, "lr must be finite"),
    ({"eps": float("inf")}, "eps must be finite"),
    ({"betas": (0.9, 1.0)}, r"betas must be in \[0, 1\), got \(0.9, 1.0\)"),
    ({"weight_decay": -0.1}, "weight_decay must be finite and at least 0"),
])
def test_hyper_parameters_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        optim.Adam(weights(), **arguments)


def test_parameters_that_cannot_be_trained():
    a, b = weights(shapes=[(2,), (2,)])
    with pytest.raises(ValueError, match="got no parameters"):
        optim.SGD([])
    with pytest.raises(ValueError, match=r"parameter 1 \(2,\) is there twice"):
        optim.SGD([a, a])
    with pytest.raises(ValueError, match="is there twice"):
        optim.SGD([{"params": a}, {"params": [b, a]}])
    with pytest.raises(TypeError, match="trains leaf Tensors"):
        optim.SGD([a * 2])
    with pytest.raises(TypeError, match="trains leaf Tensors"):
        optim.SGD([np.ones(2)])
    with pytest.raises(ValueError, match="no parameter requires grad, so none would ever be updated"):
        optim.SGD([Tensor(np.ones(2))])
    with pytest.raises(ValueError, match=r"SGD has no hyper-parameter momentun; it has .*momentum"):
        optim.SGD([{"params": a, "momentun": 0.9}])
    with pytest.raises(TypeError, match="momentun"):
        optim.SGD([a], momentun=0.9)
    with pytest.raises(ValueError, match="nesterov needs momentum > 0"):
        optim.SGD([a], nesterov=True)


def test_a_state_that_does_not_fit_changes_nothing():
    params = weights()
    adam = optim.Adam(params)
    run(adam, params, [0])
    state = adam.state_dict()
    sgd = optim.SGD(params, momentum=0.9)
    with pytest.raises(ValueError, match="is it another optimizer's"):
        sgd.load_state_dict(state)
    with pytest.raises(ValueError, match=r"groups of \[3\] parameters, the optimizer has \[2\]"):
        optim.Adam(params[:2]).load_state_dict(state)
    other = optim.Adam(weights(shapes=[(), (3,), (3, 4)]))
    with pytest.raises(ValueError, match=r"m of parameter 2 has shape \(4, 3\), for a parameter of shape \(3, 4\)"):
        other.load_state_dict(state)
    assert not other.state and not sgd.state


@pytest.mark.parametrize("make, other", [
    (lambda ps: optim.Momentum(ps), lambda ps: optim.SGD(ps, momentum=0.9)),  # v of the other sign, without the lr
    (lambda ps: optim.SGD(ps), lambda ps: optim.Adam(ps)),
    (lambda ps: optim.Adadelta(ps), lambda ps: optim.RMSprop(ps)),
])
def test_a_state_whose_slots_would_fit_is_refused_too(make, other):
    params = weights()
    first, second = make(params), other(params)
    run(first, params, [0])
    before = copy.deepcopy(second.defaults)
    with pytest.raises(ValueError, match="is it another optimizer's"):
        second.load_state_dict(first.state_dict())
    assert not second.state and second.defaults == before
    assert {k: v for k, v in second.param_groups[0].items() if k != "params"} == before


def test_a_loaded_state_brings_its_hyper_parameters():
    params = weights()
    first, second = optim.Adam(params, lr=0.3, betas=(0.5, 0.6)), optim.Adam(params)
    second.load_state_dict(first.state_dict())
    assert second.lr == 0.3 and second.param_groups[0]["betas"] == (0.5, 0.6)
    assert second.param_groups[0]["params"][0] is params[0]


@pytest.mark.parametrize("lr", [-1, float("nan"), float("inf")])
def test_a_rate_out_of_range_is_refused_when_it_is_set(lr):
    optimizer = optim.SGD([{"params": p} for p in weights()], lr=0.1)
    with pytest.raises(ValueError, match="SGD: lr must be finite and at least 0"):
        optimizer.lr = lr
    assert [g["lr"] for g in optimizer.param_groups] == [0.1] * 3


def test_a_group_that_is_added_is_checked():
    a, b = weights(shapes=[(2,), (2,)])
    optimizer = optim.Adam([a])
    for group, message in (({"params": a}, "is there twice"), ({"params": b, "betas": (1.0, 0.9)}, "betas"),
                           ({"params": b, "momentum": 0.9}, "no hyper-parameter momentum")):
        with pytest.raises(ValueError, match=message):
            optimizer.add_param_group(group)
    assert len(optimizer.param_groups) == 1


def test_a_hook_that_loses_a_gradient_is_an_error():
    params = weights()
    optimizer = optim.SGD(params)
    optimizer.gradient_hooks.append(lambda params, grads: grads[:-1])
    give_gradients(params, 0)
    with pytest.raises(ValueError, match="shorter"):
        optimizer.step()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_clipping_keeps_the_dtype_and_small_gradients(dtype):
    params = weights(dtype=dtype)
    give_gradients(params, 0)
    before = [p.grad.data.copy() for p in params]
    norm = np.sqrt(sum((g.astype(float) ** 2).sum() for g in before))
    assert optim.clip_grad_norm_((p for p in params), 100.0) == pytest.approx(norm, rel=1e-6)
    assert all(np.array_equal(p.grad.data, g) for p, g in zip(params, before))
    optim.clip_grad_norm_(params, 0.5)
    assert all(p.grad.dtype == dtype for p in params)
    assert optim.clip_grad_norm_(params, 1.0) == pytest.approx(0.5, rel=1e-6)
    hooked = optim.clip_norm(0.5)(params, before)
    assert all(np.allclose(p.grad.data, h, 1e-6) and h.dtype == dtype for p, h in zip(params, hooked))


@every
def test_strided_weights_and_gradients(make):
    base = np.arange(48.0).reshape(6, 8)
    strided, plain = Parameter(base[::2, ::3]), Parameter(base[::2, ::3].copy())
    a, b = make([strided]), make([plain])
    kept = base.copy()
    for seed in range(3):
        give_gradients([plain], seed)
        wide = np.zeros((3, 6))
        wide[:, ::2] = plain.grad.data
        strided.grad = Tensor(wide[:, ::2])
        a.step()
        b.step()
    assert np.array_equal(strided.data, plain.data)
    assert np.array_equal(base, kept)  # it was copied first: what it was a view of is not written to


def test_every_optimizer_is_there_by_name():
    for name in set(optim.__all__) - {"Optimizer", "by_name"}:
        kind = getattr(optim, name)
        if isinstance(kind, type) and issubclass(kind, optim.Optimizer):
            for spelling in (name, name.lower(), name.upper()):
                assert optim.by_name(spelling) is getattr(optim, name)
    with pytest.raises(ValueError, match="no optimizer called 'optimizer'"):
        optim.by_name("optimizer")


def test_by_name_takes_any_case():
    assert optim.by_name("NAG") is optim.NAG and optim.by_name("rms-prop") is optim.RMSprop
    with pytest.raises(ValueError, match=r"no optimizer called 'adamm'; did you mean adam"):
        optim.by_name("adamm")


def test_repr():
    assert repr(optim.Momentum(weights(), lr=0.5)) == (
        "Momentum(lr=0.5, momentum=0.9, weight_decay=0, maximize=False (3 parameters))")


def test_the_state_of_a_weight_in_fortran_order_is_kept():
    w, v = Parameter(np.ones((3, 2)).T), Parameter(np.ones((2, 3)))
    a, b = optim.Adam([w]), optim.Adam([v])
    assert not w.data.flags.c_contiguous
    run(a, [w], range(3)), run(b, [v], range(3))
    assert np.array_equal(w.data, v.data)
    assert np.array_equal(a.state[w]["m"], b.state[v]["m"]) and a.state[w]["m"].any()


def test_a_slot_appears_when_it_is_needed():
    w = Parameter(np.zeros(2))
    optimizer = optim.SGD([w], lr=1.0)
    w.grad = Tensor(np.ones(2))
    optimizer.step()
    optimizer.param_groups[0]["momentum"] = 0.5
    optimizer.step()
    optimizer.step()
    np.testing.assert_allclose(w.data, -1 - 1 - 1.5)


def test_frozen_parameters_wait():
    a, b = weights(shapes=[(2,), (2,)])
    b.requires_grad = False
    optimizer = optim.SGD([a, b], lr=0.1)
    (a * b).sum().backward()
    optimizer.step()
    before = b.data.copy()
    b.requires_grad = True
    (a * b).sum().backward()
    optimizer.step()
    assert not np.array_equal(b.data, before)


def test_a_parameter_that_never_required_grad_is_skipped():
    a, b = Parameter(np.ones(2)), Parameter(np.ones(2), requires_grad=False)
    optimizer = optim.SGD([a, b], lr=1.0)
    (a * b).sum().backward()
    optimizer.step()
    assert a.data.tolist() == [0, 0] and b.data.tolist() == [1, 1]


def test_numpys_numbers_are_numbers():
    w = Parameter(np.ones(1, np.float32))
    w.grad = Tensor([1.0])
    optim.SGD([w], lr=np.float32(0.5)).step()
    assert w.item() == 0.5 and w.dtype == np.float32
    with pytest.raises(ValueError, match="lr must be finite"):
        optim.SGD([w], lr=np.float32(-1))
    with pytest.raises(TypeError, match=r"lr must be a number, got '0\.1'"):
        optim.SGD([w], lr="0.1")


def test_complex_parameters_are_refused():
    """v = beta v + (1 - beta) g * g would mix real and imaginary parts."""
    z = Tensor(np.ones(2, complex), requires_grad=True)
    with pytest.raises(TypeError, match=r"Adam trains real numbers, parameter 0 is complex128.*re \+ 1j \* im"):
        optim.Adam([z])


def test_slots_that_the_user_replaces_are_the_ones_used():
    p = Parameter(np.ones(3))
    adam = optim.Adam([p], lr=0.1)
    run(adam, [p], [0, 1])
    adam.state[p]["m"] = np.zeros(3)
    p.grad = Tensor(np.zeros(3))
    before = p.data.copy()
    adam.step()
    np.testing.assert_array_equal(p.data, before)


def test_a_rule_without_a_rate_says_so():
    cocob = optim.COCOB([Parameter(np.ones(2))])
    assert not hasattr(cocob, "lr")
    with pytest.raises(AttributeError, match="COCOB has no lr, it has"):
        cocob.lr  # noqa: B018
    with pytest.raises(AttributeError, match="COCOB has no lr to set"):
        cocob.lr = 0.1
    optim.COCOB([Parameter(np.ones(2))]).load_state_dict(cocob.state_dict())


@pytest.mark.parametrize("make, message", [
    (lambda p: optim.Adam([p], 0.01, 0.9, 0.999), r"Adam: betas must be a tuple of 2 numbers, got 0.9"),
    (lambda p: optim.Adam([p], betas=(0.9,)), r"betas must be a tuple of 2 numbers, got \(0.9,\)"),
    (lambda p: optim.Adam([p], betas=(0.9, 0.99, 0.9)), "betas must be a tuple of 2"),
    (lambda p: optim.Adan([p], betas=(0.9, 0.9)), "Adan: betas must be a tuple of 3"),
    (lambda p: optim.AdEMAMix([p], betas=(0.9, 0.9)), "betas must be a tuple of 3"),
    (lambda p: optim.QHAdam([p], nus=(1,)), "nus must be a tuple of 2"),
    (lambda p: optim.Adafactor([p], eps=1e-8), "Adafactor: eps must be a tuple of 2 numbers, got 1e-08"),
    (lambda p: optim.Muon([p], ns_coefficients=(1, 2)), "ns_coefficients must be a tuple of 3"),
    (lambda p: optim.Rprop([p], etas=0.5), "etas must be a tuple of 2"),
])
def test_tuples_have_their_length(make, message):
    with pytest.raises(TypeError, match=message):
        make(Parameter(np.ones((2, 2))))


@pytest.mark.parametrize("make, message", [
    (lambda p: optim.RMSprop([p], alpha=1.5), r"RMSprop: alpha must be in \[0, 1\), got 1.5"),
    (lambda p: optim.Adadelta([p], rho=1.5), r"rho must be in \[0, 1\)"),
    (lambda p: optim.QHM([p], momentum=1.5), r"momentum must be in \[0, 1\)"),
    (lambda p: optim.Muon([p], momentum=1.5), r"momentum must be in \[0, 1\)"),
    (lambda p: optim.MADGRAD([{"params": [p], "momentum": 1.5}]), r"momentum must be in \[0, 1\)"),
    (lambda p: optim.SGD([{"params": [p], "nesterov": True}]), "nesterov needs momentum > 0 and dampening = 0, got 0"),
])
def test_averages_that_would_grow_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make(Parameter(np.ones((2, 2))))


def test_a_list_of_betas_is_a_tuple_of_them():
    p = Parameter(np.ones(2))
    adam = optim.Adam([p], betas=[0.8, 0.9])
    assert adam.param_groups[0]["betas"] == (0.8, 0.9)


@pytest.mark.parametrize("make, change, message", [
    (lambda p: optim.LAMB([p]), lambda s: s["state"][0].update(m=np.zeros((4, 3))),
     r"m of parameter 0 has shape \(4, 3\)"),
    (lambda p: optim.SM3([p]), lambda s: s["state"][0].update(bounds=np.zeros(9)), r"it must be \(7,\)"),
    (lambda p: optim.Adam([p]), lambda s: s["state"][0].pop("v"), "the state of parameter 0 lacks v"),
])
def test_states_that_do_not_fit(make, change, message):
    p = Parameter(np.ones((3, 4)))
    optimizer = make(p)
    p.grad = Tensor(np.ones((3, 4)))
    optimizer.step()
    state = optimizer.state_dict()
    change(state)
    with pytest.raises(ValueError, match=message):
        make(p).load_state_dict(state)


def test_a_state_is_cast_to_the_parameters():
    """As torch does: also what JSON made lists of."""
    double, single = Parameter(np.ones(3)), Parameter(np.ones(3, np.float32))
    adam = optim.Adam([double])
    run(adam, [double], [0, 1])
    state = json.loads(json.dumps(adam.state_dict(), default=np.ndarray.tolist))
    other = optim.Adam([single])
    other.load_state_dict(state)
    run(other, [single], [2])
    assert single.dtype == other.state[single]["m"].dtype == np.float32 and other.state[single]["step"] == 3
    again = optim.Adam([Parameter(double.data.copy())])
    again.load_state_dict(state)
    run(again, [again.param_groups[0]["params"][0]], [2])
    run(adam, [double], [2])
    np.testing.assert_array_equal(again.param_groups[0]["params"][0].data, double.data)


def test_centered_rmsprop_outlives_a_constant_gradient():
    """v - mean^2 may round to less than nothing."""
    p = Parameter(np.zeros(50, np.float32))
    rmsprop = optim.RMSprop([p], centered=True)
    p.grad = Tensor(np.random.default_rng(0).standard_normal(50).astype(np.float32))
    for _ in range(3000):
        rmsprop.step()
    assert np.isfinite(p.data).all()


def test_the_follow_the_leader_rule_takes_no_step_at_a_rate_of_0():
    p = Parameter(np.ones(3))
    ftrl = optim.Ftrl([p])
    run(ftrl, [p], [0])
    before = p.data.copy()
    ftrl.lr = 0.0
    run(ftrl, [p], [1])
    np.testing.assert_array_equal(p.data, before)

