"""Schedules beside PyTorch's, optax's and Keras's sequences (references/record_schedules.py), formulas, resumption."""

from __future__ import annotations

import json
import math
import signal

import numpy as np
import pytest
from references.record_schedules import CASES, HERE, KERAS, LRS, OPTAX, STEPS, metric, optimizer_of, sequence

import minigrad
from minigrad import Parameter, Tensor, data, nn, optim, train
from minigrad import functional as F
from minigrad.optim import schedules

RECORDED = np.load(HERE / "schedules.npz")
each = pytest.mark.parametrize("name", CASES)
PURE = [n for n in CASES if not n.startswith(("Reduce", "by hand")) and n.removeprefix("ChainedScheduler ") not in (
    "floor", "absolute", "cosine", "ended")]


def made(name, lrs=LRS):
    optimizer = optimizer_of(name, optim, [Parameter(np.zeros(1)) for _ in lrs], lrs)
    return CASES[name](schedules, optimizer, float), optimizer


def sgd(lr=0.1, momentum=0.9):
    return optim.SGD([Parameter(np.zeros(1))], lr=lr, momentum=momentum)


def run(schedule, optimizer, name, steps):
    found = []
    for t in steps:
        schedule.step(metric(t)) if "Plateau" in name else schedule.step()
        found.append([{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups])
    return found


def lrs_of(schedule, optimizer, n=STEPS):
    found = [optimizer.lr]
    for _ in range(n):
        schedule.step()
        found.append(optimizer.lr)
    return np.array(found)


def relative(a, b):
    return abs(a - b) / np.where(b == 0, 1, abs(b))


# ---- beside the others ----
@each
@pytest.mark.filterwarnings("ignore:SGD.step. no parameter has a gradient", "ignore:Adam.step. no parameter has")
def test_two_hundred_steps_are_pytorchs(name):
    """To 1e-15: as PyTorch computes them, or would without the roundings that add up in its recurrences.

    Where several change the lr, each finds its base from what the others left, and ours add up a little too; most where
    a cosine comes from its lowest point, 1 - cos(pi / T_max).
    """
    schedule, optimizer = made(name)
    found = sequence(schedule, optimizer, "by hand" in name, "Plateau" in name)
    plain, wide = (relative(found, RECORDED[f"{kind} {name}"]) for kind in ("plain", "wide"))
    assert np.minimum(plain, wide).max() < (5e-14 if "cosine" in name else 5e-15 if "Chained" in name else 1e-15)
    assert plain.max() < 5e-14


@pytest.mark.parametrize("name", OPTAX)
def test_warm_ups_are_optaxs(name):
    arguments, expected = OPTAX[name][0], RECORDED[f"optax {name}"]
    optimizer = sgd(LRS[0])
    cls = getattr(schedules, name.split()[0])
    schedule = cls(optimizer, **arguments, **({} if "values" in arguments else {"first": 0}))
    np.testing.assert_allclose(lrs_of(schedule, optimizer), expected, rtol=1e-14, atol=1e-18)
    if "values" not in arguments:  # by default the first update is the second of optax
        optimizer = sgd(LRS[0])
        np.testing.assert_allclose(lrs_of(cls(optimizer, **arguments), optimizer)[:-1], expected[1:], rtol=1e-14)


@pytest.mark.parametrize("name", KERAS)
def test_decays_are_keras(name):
    optimizer = sgd(LRS[0])
    arguments = KERAS[name][0] | ({"inclusive": True} if "values" in KERAS[name][0] else {})
    schedule = getattr(schedules, name.split()[0])(optimizer, **arguments)
    np.testing.assert_allclose(lrs_of(schedule, optimizer), RECORDED[f"keras {name}"], rtol=1e-14)


def test_what_was_recorded():
    assert json.loads(str(RECORDED["versions"]))["torch"]
    assert set(RECORDED.files) == {"versions", *(f"{kind} {n}" for n in CASES for kind in ("plain", "wide")),
                                   *(f"optax {n}" for n in OPTAX), *(f"keras {n}" for n in KERAS)}


# ---- formulas ----
@pytest.mark.parametrize("make, formula", [
    (lambda o: schedules.StepDecay(o, 7), lambda t: 0.5 ** math.floor(t / 7)),
    (lambda o: schedules.StepDecay(o, 7, 0.3), lambda t: 0.3 ** math.floor(t / 7)),
    (lambda o: schedules.ExponentialLR(o, math.exp(-0.03)), lambda t: math.exp(-0.03 * t)),
    (lambda o: schedules.InverseTimeDecay(o, 1, 0.2), lambda t: 1 / (1 + 0.2 * t)),
    (lambda o: schedules.ExponentialDecay(o, 10, 0.5), lambda t: 0.5 ** (t / 10)),
    (lambda o: schedules.Noam(o, 64, 40), lambda t: 64**-0.5 * min((t + 1) ** -0.5, (t + 1) * 40**-1.5)),
    (lambda o: schedules.InverseSqrtLR(o, 40), lambda t: (t + 1) / 40 if t < 40 else math.sqrt(40 / (t + 1))),
    (lambda o: schedules.WarmupConstant(o, 10), lambda t: min(1, (t + 1) / 10)),
    (lambda o: schedules.WarmupConstant(o, 10, 0.2), lambda t: min(1, 0.2 + 0.8 * (t + 1) / 10)),
    (lambda o: schedules.WarmupConstant(o, 0), lambda t: 1),
    (lambda o: schedules.WarmupLinear(o, 10, 60),
     lambda t: (t + 1) / 10 if t < 10 else max(0, (60 - (t + 1)) / 50)),
    (lambda o: schedules.WarmupLinear(o, 10, 60, end_factor=0.1, first=0),
     lambda t: t / 10 if t < 10 else max(0.1, 1 - 0.9 * (t - 10) / 50)),
    (lambda o: schedules.WarmupCosine(o, 10, 60),
     lambda t: (t + 1) / 10 if t < 10 else (1 + math.cos(math.pi * min(1, (t - 9) / 50))) / 2),
    (lambda o: schedules.WarmupExponential(o, 10, 5, 1.5, end_factor=4.0, first=0),
     lambda t: t / 10 if t < 10 else min(1.5 ** ((t - 10) / 5), 4.0)),
])
def test_formulas(make, formula):
    optimizer = sgd(0.2)
    found = lrs_of(make(optimizer), optimizer, 80)
    np.testing.assert_allclose(found, [0.2 * formula(t) for t in range(81)], rtol=1e-13, atol=1e-17)


def test_noam_is_inverse_sqrt_in_other_words():
    a, b = sgd(1.0), sgd(512**-0.5 * 30**-0.5)
    np.testing.assert_allclose(lrs_of(schedules.Noam(a, 512, 30), a), lrs_of(schedules.InverseSqrtLR(b, 30), b),
                               rtol=1e-14)


@pytest.mark.parametrize("name", ["WarmupConstant", "WarmupLinear", "WarmupCosine", "WarmupExponential", "Noam",
                                  "InverseSqrtLR"])
def test_warm_up_never_trains_with_zero(name):
    more = {"WarmupLinear": {"decay_steps": 99}, "WarmupCosine": {"decay_steps": 99}, "Noam": {"d_model": 8},
            "WarmupExponential": {"transition_steps": 5, "decay_rate": 0.5}}.get(name, {})
    optimizer = sgd()
    found = lrs_of(getattr(schedules, name)(optimizer, warmup_steps=8, **more), optimizer, 8)
    assert (found > 0).all() and (np.diff(found[:8]) > 0).all()
    if name.startswith("Warmup"):
        optimizer = sgd()
        getattr(schedules, name)(optimizer, warmup_steps=8, first=0, **more)
        assert optimizer.lr == 0


@pytest.mark.parametrize("name", PURE)
def test_at_knows_every_t_without_a_step(name):
    schedule, optimizer = made(name)
    expected = [schedule.at(t) for t in range(150)]
    if "goes on" in name:  # what the one before leaves is not known beforehand
        expected = expected[:50]
    found = [schedule.get_last_lr()]
    for _ in expected[1:]:
        schedule.step()
        found.append(schedule.get_last_lr())
    np.testing.assert_allclose(found, expected, rtol=1e-14)
    assert found[-1] == [g["lr"] for g in optimizer.param_groups]


def test_the_plateau_has_no_future():
    with pytest.raises(TypeError, match="depends on the metrics"):
        schedules.ReduceLROnPlateau(sgd()).at(3)


def test_plateau_takes_tensors_and_waits():
    optimizer = sgd()
    schedule = schedules.ReduceLROnPlateau(optimizer, patience=1)
    for loss, expected in ((1.0, 0.1), (Tensor(0.5), 0.1), (math.nan, 0.1), (0.5, 0.01)):
        schedule.step(loss)
        assert optimizer.lr == pytest.approx(expected, rel=1e-15)


# ---- other hyper-parameters ----
def test_any_hyper_parameter_has_a_schedule():
    optimizer = sgd()
    decay = schedules.HyperSchedule(optimizer, "weight_decay", lambda t: 0.1 * 0.5**t)
    momentum = schedules.HyperSchedule(optimizer, "momentum", lambda t: min(0.5 + t / 10, 0.9))
    rate = schedules.StepLR(optimizer, 2)
    for t in range(6):
        assert optimizer.param_groups[0]["weight_decay"] == 0.1 * 0.5**t == decay.get_last_lr()[0]
        assert optimizer.param_groups[0]["momentum"] == min(0.5 + t / 10, 0.9)
        assert optimizer.lr == pytest.approx(0.1 * 0.1 ** (t // 2))
        decay.step(), momentum.step(), rate.step()
    adam = optim.Adam([{"params": [Parameter(np.zeros(1))]}, {"params": [Parameter(np.zeros(1))]}])
    schedules.HyperSchedule(adam, "betas", [lambda t: (0.5, 0.9), lambda t: (0.6, 0.99)])
    assert [g["betas"] for g in adam.param_groups] == [(0.5, 0.9), (0.6, 0.99)]


def test_a_value_out_of_range_is_refused():
    with pytest.raises(ValueError, match="weight_decay must be finite"):
        schedules.HyperSchedule(sgd(), "weight_decay", lambda t: -1.0)
    with pytest.raises(ValueError, match="lr must be finite"):
        schedules.LambdaLR(sgd(), lambda t: math.nan)
    with pytest.raises(ValueError, match="no hyper-parameter 'dampness'; it has lr"):
        schedules.HyperSchedule(sgd(), "dampness", lambda t: 1)


# ---- resumption ----
@each
@pytest.mark.parametrize("optimizer_first", [True, False])
def test_a_schedule_resumed_is_the_schedule_itself_to_the_bit(name, optimizer_first):
    whole, optimizer = made(name)
    run(whole, optimizer, name, range(47))
    state, trained = json.loads(json.dumps(whole.state_dict())), optimizer.state_dict()
    expected = run(whole, optimizer, name, range(47, 160))
    schedule, optimizer = made(name)
    if optimizer_first:
        optimizer.load_state_dict(trained)
        schedule.load_state_dict(state)
    else:
        schedule.load_state_dict(state)
        optimizer.load_state_dict(trained)
    assert run(schedule, optimizer, name, range(47, 160)) == expected


LATER = {
    "StepLR": lambda o, **k: schedules.StepLR(o, 3, **k),
    "ExponentialLR": lambda o, **k: schedules.ExponentialLR(o, 0.9, **k),
    "CosineAnnealingLR": lambda o, **k: schedules.CosineAnnealingLR(o, 30, **k),
    "LambdaLR": lambda o, **k: schedules.LambdaLR(o, lambda t: 0.9**t, **k),
    "MultiplicativeLR": lambda o, **k: schedules.MultiplicativeLR(o, lambda t: 0.9, **k),
    "OneCycleLR": lambda o, **k: schedules.OneCycleLR(o, 0.4, 50, **k)}


@pytest.mark.parametrize("make", LATER.values(), ids=LATER)
def test_last_epoch_goes_on_from_the_first_lr(make):
    a, b = sgd(), sgd()
    whole = lrs_of(make(a), a, 40)
    lrs_of(make(b), b, 9)
    schedule = make(b, last_epoch=9)
    assert schedule.last_epoch == 10
    np.testing.assert_allclose(lrs_of(schedule, b, 30), whole[10:], rtol=1e-14)


def test_last_epoch_needs_to_know_the_first_lr():
    trained, resumed = sgd(), sgd()
    lrs_of(schedules.StepLR(trained, 3), trained, 4)
    state = trained.state_dict()
    del state["scheduled"]
    resumed.load_state_dict(state)
    with pytest.raises(ValueError, match=r"StepLR: last_epoch=4 goes on from the lr before .* now it is \[0.01"):
        schedules.StepLR(resumed, 3, last_epoch=4)
    assert resumed.lr == pytest.approx(0.01)
    schedule = schedules.StepLR(resumed, 3)
    schedule.load_state_dict(schedules.StepLR(sgd(), 3).state_dict())
    assert resumed.lr == 0.1
    assert schedules.StepLR(resumed, 3, last_epoch=4).base_lrs == [0.1]
    schedules.PiecewiseConstant(resumed, [3, 8], [0.3, 0.2, 0.1], last_epoch=4)
    assert resumed.lr == 0.2
    schedules.HyperSchedule(resumed, "weight_decay", lambda t: t / 100, last_epoch=4)
    assert resumed.param_groups[0]["weight_decay"] == 0.05


def test_another_schedules_state_is_refused():
    schedule = schedules.StepLR(sgd(), 3)
    with pytest.raises(ValueError, match="is it another schedule's"):
        schedule.load_state_dict(schedules.ReduceLROnPlateau(sgd()).state_dict())
    with pytest.raises(ValueError, match="2 parameter groups, the optimizer has 1"):
        schedule.load_state_dict(made("StepLR")[0].state_dict())
    with pytest.raises(ValueError, match="this state has 2 schedulers, this ChainedScheduler 4"):
        made("ChainedScheduler four")[0].load_state_dict(made("ChainedScheduler")[0].state_dict())


def test_the_optimizers_state_knows_the_first_lr():
    """Which is what PyTorch's resume wants: the optimizer's state, and a new schedule from last_epoch."""
    one, other = sgd(0.1), sgd(0.1)
    lrs_of(schedules.ExponentialLR(one, 0.9), one, 10)
    other.load_state_dict(json.loads(json.dumps(one.state_dict())))
    assert other.lr == pytest.approx(0.1 * 0.9 ** 10)
    resumed = schedules.ExponentialLR(other, 0.9, last_epoch=9)
    assert other.lr == pytest.approx(0.1 * 0.9 ** 10) and resumed.base_lrs == [0.1]
    sgd().load_state_dict(one.state_dict())


# ---- several, and by hand ----
def test_a_later_schedule_starts_from_the_first_lr_unless_it_was_set_by_hand():
    optimizer = sgd(0.1)
    lrs_of(schedules.ExponentialLR(optimizer, 0.5), optimizer, 5)
    assert schedules.CosineAnnealingWarmRestarts(optimizer, 10).base_lrs == [0.1]
    optimizer.lr = 0.3
    assert schedules.CosineAnnealingWarmRestarts(optimizer, 10).base_lrs == [0.3]
    assert optimizer.lr == 0.3


def test_a_wrapper_and_its_optimizer_have_one_first_lr():
    optimizer = sgd(0.1)
    wrapper = optim.EMA(optim.Lookahead(optimizer))
    lrs_of(schedules.ExponentialLR(wrapper, 0.5), optimizer, 5)
    assert schedules.StepLR(optimizer, 3).base_lrs == schedules.StepLR(wrapper.optimizer, 3).base_lrs == [0.1]


def test_what_is_made_after_a_one_cycle_begins_at_its_first_lr():
    optimizer = sgd()
    schedules.OneCycleLR(optimizer, 0.5, 20)
    assert schedules.ConstantLR(optimizer, 0.1).base_lrs == [0.02]
    optimizer = sgd()
    before = schedules.ConstantLR(optimizer, 0.1)
    schedules.CyclicLR(optimizer, 0.01, 0.2)
    assert schedules.StepLR(optimizer, 3).base_lrs == before.base_lrs == [0.1]
    optimizer = sgd()
    schedules.CyclicLR(optimizer, 0.01, 0.2)
    assert schedules.StepLR(optimizer, 3).base_lrs == [0.01]


def test_a_lr_set_after_the_end_of_a_polynomial_stays():
    optimizer = sgd()
    schedule = schedules.PolynomialLR(optimizer, 3)
    assert lrs_of(schedule, optimizer, 5)[-1] == 0
    optimizer.lr = 0.05
    assert lrs_of(schedule, optimizer, 3).tolist() == [0.05] * 4


@pytest.mark.parametrize("make", [lambda o: schedules.StepLR(o, 3), schedules.ReduceLROnPlateau,
                                  lambda o: optim.lr_find(abs, o, [(1,)])])
def test_without_a_learning_rate_there_is_no_schedule(make):
    with pytest.raises(TypeError, match="COCOB has no lr"):
        make(optim.COCOB([Parameter(np.zeros(2))]))


def test_a_cosine_does_not_become_negative():
    optimizer = sgd()
    chained = schedules.ChainedScheduler([schedules.CosineAnnealingLR(optimizer, 40, eta_min=0.05),
                                          schedules.ExponentialLR(optimizer, 0.97)])
    with pytest.raises(ValueError, match=r"lr must be finite and at least 0, got -0.0014"):
        lrs_of(chained, optimizer)


def test_nested_combinations():
    optimizer = sgd()
    inner = schedules.SequentialLR(optimizer, [schedules.ConstantLR(optimizer, 0.5, 99),
                                               schedules.ExponentialLR(optimizer, 0.9)], [3])
    outer = schedules.SequentialLR(optimizer, [schedules.LinearLR(optimizer, 0.1, total_iters=4), inner], [4])
    expected = [0.1, 0.325, 0.55, 0.775, 0.5, 0.5, 0.5, 1, 0.9, 0.81]
    np.testing.assert_allclose(lrs_of(outer, optimizer, 9), 0.1 * np.array(expected), rtol=1e-14)
    optimizer = sgd()
    chained = schedules.ChainedScheduler([schedules.ExponentialLR(optimizer, 0.9),
                                          schedules.ConstantLR(optimizer, 0.5, 2)])
    outer = schedules.SequentialLR(optimizer, [schedules.ConstantLR(optimizer, 1.0), chained], [3])
    np.testing.assert_allclose(lrs_of(outer, optimizer, 6), [0.1, 0.1, 0.1, 0.05, 0.045, 0.081, 0.0729], rtol=1e-14)


def test_a_rate_out_of_range_changes_no_group():
    optimizer = made("StepLR")[1]
    with pytest.raises(ValueError, match="at least 0, got -1"):
        schedules.LambdaLR(optimizer, [lambda t: 0.5, lambda t: -1 / LRS[1]])
    assert [g["lr"] for g in optimizer.param_groups] == list(LRS)


def test_groups_added_later_are_refused():
    optimizer = sgd()
    schedule = schedules.StepLR(optimizer, 3)
    optimizer.add_param_group({"params": [Parameter(np.zeros(2))]})
    with pytest.raises(ValueError, match="made for 1 parameter groups, the optimizer has 2"):
        schedule.step()


@pytest.mark.parametrize("make, text", [
    (lambda o: schedules.StepLR(o, 0), "step_size must be positive, got 0"),
    (lambda o: schedules.ConstantLR(o, 2.0), "factor must be in"),
    (lambda o: schedules.LinearLR(o, 0.0), "start_factor"),
    (lambda o: schedules.LinearLR(o, 0.5, 1.5), "end_factor"),
    (lambda o: schedules.LinearLR(o, total_iters=0), "total_iters"),
    (lambda o: schedules.PolynomialLR(o, 0), "total_iters"),
    (lambda o: schedules.CosineAnnealingLR(o, 0), "T_max"),
    (lambda o: schedules.CosineAnnealingWarmRestarts(o, 2.5), "T_0"),
    (lambda o: schedules.CosineAnnealingWarmRestarts(o, 2, 0), "T_mult"),
    (lambda o: schedules.CyclicLR(o, 0.1, 0.2, mode="square"), "mode"),
    (lambda o: schedules.CyclicLR(o, 0.1, [0.2, 0.3]), "max_lr has 2 values for 1"),
    (lambda o: schedules.CyclicLR(o, 0.1, 0.2, 0), "step sizes"),
    (lambda o: schedules.OneCycleLR(o, 0.1), "total_steps"),
    (lambda o: schedules.OneCycleLR(o, 0.1, 9, pct_start=1.5), "pct_start"),
    (lambda o: schedules.OneCycleLR(o, 0.1, 9, anneal_strategy="step"), "anneal_strategy"),
    (lambda o: lrs_of(schedules.OneCycleLR(o, 0.1, 9), o, 10), "stepped 10 times, of total_steps=9"),
    (lambda o: schedules.OneCycleLR(optim.Adagrad([Parameter(np.zeros(1))]), 0.1, 9), "cycle_momentum=False"),
    (lambda o: schedules.ReduceLROnPlateau(o, "least"), "mode"),
    (lambda o: schedules.ReduceLROnPlateau(o, factor=1.0), "factor"),
    (lambda o: schedules.ReduceLROnPlateau(o, threshold_mode="both"), "threshold_mode"),
    (lambda o: schedules.SWALR(o, 0.1, -1), "anneal_epochs"),
    (lambda o: schedules.SequentialLR(o, [schedules.StepLR(o, 3)], [3]), "milestone"),
    (lambda o: schedules.SequentialLR(o, [schedules.ReduceLROnPlateau(o)], []), "metric"),
    (lambda o: schedules.SequentialLR(o, [], []), "no schedulers"),
    (lambda o: schedules.ChainedScheduler([schedules.StepLR(o, 3), schedules.StepLR(sgd(), 3)]), "one optimizer"),
    (lambda o: schedules.LambdaLR(o, [abs, abs]), "lr_lambda has 2"),
    (lambda o: schedules.PiecewiseConstant(o, [3], [0.1]), "one more than"),
    (lambda o: schedules.WarmupLinear(o, 9, 9), "more than warmup_steps"),
    (lambda o: schedules.WarmupConstant(o, 9, first=2), "first must be 0 or 1"),
    (lambda o: schedules.Noam(o, 0), "d_model"),
])
def test_wrong_arguments_are_named(make, text):
    with pytest.raises(ValueError, match=text):
        make(sgd())


# ---- in train.fit ----
X = np.random.default_rng(0).standard_normal((96, 6)).astype(np.float32)
Y = X[:, :3].argmax(axis=1).astype(np.int64)


def network():
    return nn.Sequential(nn.Dense(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Dense(8, 3))


def fitted(make, epochs=5, optimizer=optim.SGD, **options):
    minigrad.manual_seed(0)
    model = network()
    optimizer = optimizer(model.parameters(), lr=0.1, momentum=0.9)
    schedule = make(optimizer)
    options = {"batch_size": 16, "generator": np.random.default_rng(1), "validation": (X, Y), **options}
    history = train.fit(model, (X, Y), optimizer, epochs=epochs, schedule=schedule, progress=False, **options)
    return ([p.data.tobytes() for p in model.parameters()], [g for g in optimizer.state_dict()["param_groups"]],
            schedule.state_dict(), history["lr"], history["val_loss"])


IN_FIT = {
    "StepLR": (lambda o: schedules.StepLR(o, 2), "epoch"),
    "OneCycleLR": (lambda o: schedules.OneCycleLR(o, 0.4, 30), "step"),
    "SequentialLR": (lambda o: schedules.SequentialLR(o, [
        schedules.LinearLR(o, 0.1, total_iters=7), schedules.CosineAnnealingLR(o, 9)], [7]), "step"),
    "ChainedScheduler": (lambda o: schedules.ChainedScheduler([
        schedules.CosineAnnealingLR(o, 2), schedules.ExponentialLR(o, 0.9)]), "epoch"),
    "MultiplicativeLR": (lambda o: schedules.MultiplicativeLR(o, lambda t: 0.9), "step"),
    "ReduceLROnPlateau": (lambda o: schedules.ReduceLROnPlateau(o, patience=0, threshold=0.2), "epoch"),
    "HyperSchedule": (lambda o: schedules.HyperSchedule(o, "weight_decay", lambda t: 0.1 * 0.5**t), "epoch"),
}


@pytest.mark.parametrize("make, interval", IN_FIT.values(), ids=IN_FIT)
def test_fit_steps_a_schedule_and_resumes_it_to_the_bit(make, interval, tmp_path):
    whole = fitted(make, schedule_interval=interval)
    optimizer = sgd()
    schedule = make(optimizer)
    for epoch, lr in enumerate(whole[3]):
        for _ in range(6 if interval == "step" else 1):
            expected = optimizer.lr
            schedule.step(*[whole[4][epoch]] * isinstance(schedule, schedules.ReduceLROnPlateau))
        assert lr == expected
    assert schedule.state_dict() == whole[2]
    assert {k: v for k, v in whole[1][0].items() if k != "params"} == {
        k: v for k, v in optimizer.param_groups[0].items() if k != "params"}
    for stop in (1, 3):
        fitted(make, schedule_interval=interval, checkpoint=tmp_path, callbacks=[
            lambda _, history, stop=stop: len(history) == stop])
        assert fitted(make, schedule_interval=interval, resume=tmp_path) == whole


@pytest.mark.parametrize("at", [4, 12, 15])
@pytest.mark.parametrize("name", ["OneCycleLR", "ReduceLROnPlateau"])
def test_fit_resumes_a_schedule_inside_an_epoch(name, at, tmp_path):
    make, interval = IN_FIT[name]
    steps = []

    class Interrupted(optim.SGD):
        def step(self, closure=None):
            super().step(closure)
            steps.append(1)
            if len(steps) == at:
                signal.raise_signal(signal.SIGINT)
    whole = fitted(make, schedule_interval=interval)
    fitted(make, optimizer=Interrupted, schedule_interval=interval, checkpoint=tmp_path)
    assert len(steps) == at
    assert fitted(make, optimizer=Interrupted, schedule_interval=interval, resume=tmp_path) == whole


def test_a_schedule_in_fit_goes_on_from_what_a_callback_sets():
    optimizers = []

    def make(optimizer):
        optimizers.append(optimizer)
        return schedules.ExponentialLR(optimizer, 0.5)

    def halve(model, history):
        if len(history) == 2:
            optimizers[-1].lr *= 0.1
    assert fitted(make, callbacks=[halve])[3] == pytest.approx([0.1, 0.05, 0.0025, 0.00125, 0.000625])


def test_the_plateau_goes_by_the_loss_in_training_without_a_validation():
    state = fitted(schedules.ReduceLROnPlateau, epochs=1, validation=None)[2]
    assert 0.5 < state["best"] < 2


def test_fit_refuses_a_schedule_that_does_not_fit(tmp_path):
    with pytest.raises(ValueError, match="this StepLR is of another optimizer"):
        fitted(lambda o: schedules.StepLR(sgd(), 2))
    with pytest.raises(ValueError, match="ReduceLROnPlateau needs the loss of an epoch"):
        fitted(schedules.ReduceLROnPlateau, schedule_interval="step")
    with pytest.raises(ValueError, match=r'must be "epoch" or "step", got .batch'):
        fitted(lambda o: schedules.StepLR(o, 2), schedule_interval="batch")
    model = network()
    with pytest.raises(TypeError, match=r"a name, a function or an LRScheduler, got 0\.1"):
        train.fit(model, (X, Y), optim.SGD(model.parameters()), schedule=0.1)
    fitted(lambda o: schedules.StepLR(o, 2), epochs=1, checkpoint=tmp_path)
    with pytest.raises(ValueError, match="is it another schedule's"):
        fitted(schedules.ReduceLROnPlateau, resume=tmp_path)
    with pytest.raises(ValueError, match="was trained with an LRScheduler: resume it with the same"):
        train.fit(model, (X, Y), optim.SGD(model.parameters()), batch_size=16, resume=tmp_path, progress=False)


# ---- the range test ----
def quadratic(lr=0.5, curvature=4.0):
    w = Parameter(np.array([3.0, -2.0]))
    return w, optim.SGD([w], lr=lr), lambda batch: curvature / 2 * (w * w).sum()


def test_lr_find_suggests_a_rate_that_learns():
    w, optimizer, loss = quadratic()
    found = optim.lr_find(loss, optimizer, [(0,)], start=1e-5, end=10)
    assert 1e-3 < found.suggestion < 2 / 4  # beyond that it diverges
    assert len(found.lrs) == len(found.losses) < 100  # it stopped there
    np.testing.assert_allclose(found.lrs, 1e-5 * 1e6 ** (np.arange(len(found.lrs)) / 99), rtol=1e-12)
    assert found.losses[0] == 26.0
    assert np.array_equal(w.data, [3, -2]) and w.grad is None and optimizer.lr == 0.5 and not optimizer.state


def test_lr_find_leaves_no_trace():
    minigrad.manual_seed(0)
    own = np.random.default_rng(5)
    model = network()
    model.append(nn.Dropout(0.1, generator=own))
    optimizer = optim.Adam([{"params": model.parameters()}, {"params": [Parameter(np.zeros(1))], "lr": 0.5}])
    transform = data.Compose([data.AddNoise(0.1, np.random.default_rng(3))])
    loader = data.DataLoader((X, Y), 16, shuffle=True, generator=np.random.default_rng(4), transform=transform)
    schedule = schedules.CosineAnnealingLR(optimizer, 30)

    def some_steps():
        for x, y in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            schedule.step()

    def everything():
        state = optimizer.state_dict()
        draws = [minigrad.default_generator(), own, loader.generator, transform.transforms[0].generator]
        return [{n: v.tobytes() for n, v in model.state_dict().items()}, state["param_groups"],
                {i: {k: np.asarray(v).tobytes() for k, v in s.items()} for i, s in state["state"].items()},
                [g.bit_generator.state for g in draws], [m.training for m in model.modules()],
                [p.grad.data.tobytes() for p in model.parameters()]]
    some_steps()
    model[0].eval()
    before, arrays = everything(), [p.data for p in model.parameters()]
    found = optim.lr_find(model, optimizer, loader, start=1e-5, steps=30)
    assert everything() == before
    assert all(p.data is array for p, array in zip(model.parameters(), arrays))
    assert np.isfinite(found.losses[:3]).all() and 1e-5 <= found.suggestion <= 10
    again = optim.lr_find(model, optimizer, loader, start=1e-5, steps=30)
    assert np.array_equal(found.losses, again.losses)
    some_steps()


def test_lr_find_restores_after_an_error_too():
    w, optimizer, _ = quadratic()
    calls = []

    def step(batch):
        calls.append(batch)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return (w * w).sum()
    with pytest.raises(KeyboardInterrupt):
        optim.lr_find(step, optimizer, [(0,)], start=0.1)
    assert np.array_equal(w.data, [3, -2]) and optimizer.lr == 0.5


def test_lr_find_keeps_the_groups_proportions():
    a, b = Parameter(np.ones(1)), Parameter(np.ones(1))
    optimizer, seen = optim.SGD([{"params": [a], "lr": 0.2}, {"params": [b], "lr": 0.02}]), []

    def step(batch):
        seen.append([g["lr"] for g in optimizer.param_groups])
        return (a * a + b * b).sum()
    optim.lr_find(step, optimizer, [(0,)], steps=5, end=1e-3)
    np.testing.assert_allclose([x / y for x, y in seen], 10)
    assert seen[0][0] == 1e-7


def test_lr_find_says_what_is_wrong():
    w, optimizer, loss = quadratic()
    with pytest.raises(ValueError, match="0 < start < end"):
        optim.lr_find(loss, optimizer, [(0,)], start=1, end=0.1)
    with pytest.raises(ValueError, match="no batches"):
        optim.lr_find(loss, optimizer, [])
    with pytest.raises(ValueError, match="too large, or the data not finite"):
        optim.lr_find(lambda batch: (w * math.nan).sum(), optimizer, [(0,)], start=0.1)
    with pytest.raises(ValueError, match="loss goes with a Module"):
        optim.lr_find(loss, optimizer, [(0,)], F.cross_entropy)
