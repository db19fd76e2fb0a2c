"""Every optimizer there is: beside the recorded paths of other libraries, and what all of them must do.

The paths are recorded by references/optimizers.py. What other libraries do not have, or have wrong, is tested against
an oracle written from the paper: ORACLES says where.
"""

from __future__ import annotations

import copy
import importlib.util
import inspect
import pickle
import pkgutil
from pathlib import Path

import numpy as np
import pytest
from references.optimizers import ALL, FILE, MATRICES, ROWS, SMALL, every_case, gradients, loss, weights
from references.record import STEPS, uniform

from minigrad import Parameter, Tensor, optim
from minigrad.optim import wrappers
from minigrad.optim.optimizer import Optimizer

HERE = Path(__file__).parent


# No rules for given gradients: these look at the loss where they like.
ELSEWHERE = {"classical": "test_classical.py", "second_order": "test_second_order.py",
             "hutchinson": "test_hutchinson.py"}


def found_classes():
    """All public Optimizer subclasses of the modules in minigrad/optim, exported or not."""
    found = {}
    for info in pkgutil.iter_modules(optim.__path__):
        if info.name in ELSEWHERE:
            continue
        module = importlib.import_module(f"minigrad.optim.{info.name}")
        for name, cls in vars(module).items():
            if (isinstance(cls, type) and issubclass(cls, Optimizer) and cls is not Optimizer
                    and cls.__module__ == module.__name__ and not name.startswith("_") and hasattr(cls, "update")):
                found[name] = cls
    return found


EVERY = found_classes()
CASES = every_case()

# Where the class is held against an oracle of its own: file and a test in it that names the class.
ORACLES = {
    "GD": "test_first_order.py::test_one_is_the_other",
    "SGDW": "test_first_order.py::test_oracle",
    "PID": "test_first_order.py::test_oracle",
    "Adan": "test_first_order.py::test_oracle",
    "AcProp": "test_first_order.py::test_oracle",
    "SAdam": "test_first_order.py::test_oracle",
    "SWATS": "test_optim_adam.py::test_swats_is_its_algorithm_and_switches",
    "LaProp": "test_optim_adaptive.py::test_the_paper_one_weight_at_a_time",
    "A2GradUni": "test_optim_adaptive.py::test_the_paper_one_weight_at_a_time",
    "A2GradInc": "test_optim_adaptive.py::test_the_paper_one_weight_at_a_time",
    "A2GradExp": "test_optim_adaptive.py::test_the_paper_one_weight_at_a_time",
    "AdamP": "test_optim_adam.py::test_adamp_is_its_algorithm",
    "Apollo": "test_optim_adam.py::test_apollo_is_its_algorithm",
    "SGDP": "test_optim_momentum.py::test_sgdp_against_the_paper",
    "PolyakSGD": "test_optim_stepfree.py::test_polyak_against_the_paper",
    "MoMo": "test_optim_stepfree.py::test_momo_against_the_paper",
    "MoMoAdam": "test_optim_stepfree.py::test_momo_adam_against_the_paper",
    "DAdaptAdamW": "test_optim_stepfree.py::test_d_adaptation_against_the_paper",
    "Prodigy": "test_optim_stepfree.py::test_prodigy_against_the_paper",
    "LARS": "test_optim_layerwise.py::test_lars",
    "LAMB": "test_optim_layerwise.py::test_lamb",
    "NovoGrad": "test_optim_layerwise.py::test_novograd",
    "Muon": "test_optim_matrix.py::test_muon_acts_on_the_singular_values_alone",
    "Shampoo": "test_optim_matrix.py::test_shampoo",
    "SOAP": "test_optim_matrix.py::test_soap",
    "NoisySGD": "test_first_order.py::test_the_noise_of_noisy_sgd_has_its_variance",
}
# Rules that look at all parameters together: a NaN in one gradient may reach every weight, groups are not independent.
GLOBAL = {"PolyakSGD", "MoMo", "MoMoAdam", "DoG", "DoWG", "DAdaptAdamW", "Prodigy", "SWATS"}
# Rules for matrices alone.
MATRIX_ONLY = {"Muon"}
RANDOM = {"NoisySGD"}  # draw noise
NO_LR = {"COCOB", "A2GradUni", "A2GradInc", "A2GradExp"}
# Where gradients whose squares are infinite leave weights that are not finite: why.
OVERFLOWS = {
    "Adafactor": "a mean of infinite squares is infinite, and it is divided by itself; so in PyTorch",
    "Ftrl": "the weights are made from the difference of infinite sums",
    "Shampoo": "no root of an infinite matrix", "SOAP": "no eigenvectors of an infinite matrix",
    "Yogi": "the sign of v - g^2, once both are infinite"}

COMPOSED = {"Ranger", "RangerQH"}  # functions that wrap one of the classes

every = pytest.mark.parametrize("name", EVERY)


def shapes_of(name):
    return MATRICES if name in MATRIX_ONLY else ALL


def parameters(shapes, dtype=np.float64):
    return [Parameter(w.astype(dtype)) for w in weights(shapes)]


def make(name, params, **arguments):
    return EVERY[name](params, **({"generator": np.random.default_rng(0)} if name in RANDOM else {}), **arguments)


def step(optimizer, params, grads, value=1.0):
    def closure():
        for p, g in zip(params, grads):
            p.grad = None if g is None else Tensor(np.asarray(g, p.dtype))
        return Tensor(np.float64(value))
    return optimizer.step(closure)


def run(optimizer, params, steps=range(4), scale=1.0):
    for i in steps:
        step(optimizer, params, [scale * g for g in gradients(i, [p.shape for p in params])], loss(i))
    return [p.data.copy() for p in params]


def same(a, b, tolerance=0.0):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_allclose(x, y, tolerance, tolerance * 1e-3)


# ---- beside other libraries ----
@pytest.fixture(scope="module")
def paths():
    with np.load(FILE, allow_pickle=False) as file:
        return dict(file)


def test_every_case_is_recorded(paths):
    assert paths.keys() == {*CASES, "versions"}
    assert "torch" in str(paths["versions"])


@pytest.mark.parametrize("key", CASES)
def test_path(paths, key):
    row, arguments, _ = CASES[key]
    params = parameters(row.shapes)
    make_it = EVERY.get(row.ours) or getattr(wrappers, row.ours)
    optimizer = make_it(params, **arguments)
    for i in range(STEPS):
        step(optimizer, params, gradients(i, row.shapes, row.sparse), loss(i))
        found, expected = np.concatenate([p.data.ravel() for p in params]), paths[key][i]
        np.testing.assert_allclose(found, expected, 10.0**-row.digits, 10.0**-row.digits * 1e-2, err_msg=f"step {i}")


def test_every_class_has_a_path_or_an_oracle():
    proven = {row.ours for row in ROWS} | ORACLES.keys()
    assert EVERY.keys() - proven == set(), "neither in references/optimizers.py nor in ORACLES"
    assert proven - EVERY.keys() == COMPOSED, "no such class"
    for name, place in ORACLES.items():
        file, test = place.split("::")
        source = (HERE / file).read_text(encoding="utf-8")
        assert f"def {test}(" in source and name in source, f"{place} is not there"


def test_every_class_is_exported():
    assert {n for n in EVERY if getattr(optim, n, None) is not EVERY[n] or n not in optim.__all__} == set()


def test_defaults_are_those_of_the_papers():
    """Literally, in references/defaults.txt: where torch.optim has the rule, all of them are its own."""
    found = {name: ", ".join(f"{k}={p.default!r}" for k, p in inspect.signature(cls).parameters.items()
                             if p.default is not p.empty and k not in ("maximize", "generator"))
             for name, cls in EVERY.items()}
    lines = (HERE / "references" / "defaults.txt").read_text(encoding="utf-8").splitlines()
    assert found == dict(line.split(": ", 1) for line in lines)


# ---- what each of them must do ----
@every
def test_made_with_nothing_but_parameters_it_steps_and_says_what_it_is(name):
    params = parameters(shapes_of(name))
    optimizer = make(name, params)
    before = [p.data.copy() for p in params]
    run(optimizer, params, range(4))
    assert any(not np.array_equal(p.data, b) for p, b in zip(params, before))
    assert all(p.data.shape == b.shape and np.isfinite(p.data).all() for p, b in zip(params, before))
    assert repr(optimizer).startswith(f"{name}(") and "parameters)" in repr(optimizer)
    assert all(optimizer.state[p]["step"] == 4 for p in params)
    assert name in NO_LR or optimizer.lr == optimizer.param_groups[0]["lr"] >= 0
    summary = optimizer.state_summary()
    assert len([k for k in summary if isinstance(k, int)]) == len(params)
    text = " ".join(base.__doc__ for base in EVERY[name].__mro__[:2])
    assert "memory" in text.lower() or "per weight" in text, "the docstring says what it needs per weight"


@every
def test_float32_stays_float32(name):
    params = parameters(shapes_of(name), np.float32)
    optimizer = make(name, params)
    run(optimizer, params)
    assert all(p.dtype == np.float32 for p in params)
    arrays = {k: v for s in optimizer.state.values() for k, v in s.items() if isinstance(v, np.ndarray)}
    assert {k: v.dtype for k, v in arrays.items() if v.dtype == np.float64} == {}
    double = parameters(shapes_of(name))
    if name not in RANDOM:
        for p, q in zip(run(optimizer, params, range(0)), run(make(name, double), double)):
            np.testing.assert_allclose(p, q, 2e-3, 2e-3)


@every
def test_a_run_resumed_from_its_state_is_the_run_itself_to_the_bit(name):
    shapes = shapes_of(name)
    whole = parameters(shapes)
    expected = run(make(name, whole), whole, range(8))
    first = parameters(shapes)
    optimizer = make(name, first)
    run(optimizer, first, range(4))
    state = optimizer.state_dict()
    kept = copy.deepcopy(state)
    second = [Parameter(p.data.copy()) for p in first]
    resumed = make(name, second)
    resumed.load_state_dict(state)
    assert all(np.array_equal(a, b) for a, b in zip(run(resumed, second, range(4, 8)), expected))
    run(optimizer, first, range(4, 6))
    np.testing.assert_equal(state, kept)  # neither run reached into the saved state


@every
@pytest.mark.parametrize("again", [copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))],
                         ids=["deepcopy", "pickle"])
def test_a_copy_goes_on_like_the_original(name, again):
    params = parameters(shapes_of(name))
    optimizer = make(name, params)
    run(optimizer, params, range(3))
    others, other = again((params, optimizer))
    same(run(other, others, range(3, 6)), run(optimizer, params, range(3, 6)))


@every
def test_a_cleared_state_is_a_new_start(name):
    if name in GLOBAL | RANDOM | {"AdaBound", "AMSBound"}:
        pytest.skip("it keeps more than the state of each parameter")
    params = parameters(shapes_of(name))
    optimizer = make(name, params)
    run(optimizer, params, range(3))
    optimizer.state.clear()
    fresh = [Parameter(p.data.copy()) for p in params]
    same(run(optimizer, params, range(3, 6)), run(make(name, fresh), fresh, range(3, 6)))


@every
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_empty_parameters_are_no_trouble(name, shape):
    if name in MATRIX_ONLY and len(shape) != 2:
        pytest.skip("for matrices")
    shapes = shapes_of(name)
    whole, alone, empty = parameters(shapes), parameters(shapes), Parameter(np.zeros(shape))
    optimizer, other = make(name, [empty, *whole]), make(name, alone)
    for i in range(3):
        grads = gradients(i, shapes)
        step(optimizer, [empty, *whole], [np.zeros(shape), *grads])
        step(other, alone, grads)
    same([p.data for p in whole], [p.data for p in alone])
    optimizer.load_state_dict(optimizer.state_dict())


@every
def test_unknown_arguments_are_refused(name):
    with pytest.raises(TypeError, match="momentun"):
        make(name, parameters(shapes_of(name)), momentun=0.9)
    group = {"params": parameters(shapes_of(name)), "momentun": 0.9}
    with pytest.raises(ValueError, match="momentun"):
        make(name, [group])


@every
@pytest.mark.parametrize("kind", ["zero", "zero at first", "zero after", "huge", "sparse", "tiny", "overflowing"])
def test_weights_stay_finite(name, kind):
    shapes = shapes_of(name)
    params = parameters(shapes, np.float32 if kind == "overflowing" else np.float64)
    optimizer = make(name, params)
    for i in range(6):
        grads = gradients(i, shapes)
        if kind == "zero" or (kind == "zero at first" and i < 2) or (kind == "zero after" and i > 1):
            grads = [np.zeros(s) for s in shapes]
        elif kind == "huge":
            grads = [1e30 * g for g in grads]
        elif kind == "overflowing":
            grads = [np.clip(1e22 * g, -1e25, 1e25) for g in grads]  # their squares are infinite
        elif kind == "tiny":
            grads = [1e-30 * g for g in grads]
        elif kind == "sparse":
            grads = [np.where(uniform(f"mask {i} {s}", *s) > 0.6, g, 0) for g, s in zip(grads, shapes)]
        with np.errstate(all="ignore"):
            step(optimizer, params, grads)
    finite = all(np.isfinite(p.data).all() for p in params)
    assert finite is (kind != "overflowing" or name not in OVERFLOWS)


@every
def test_zero_gradients_move_nothing(name):
    """Without decay, from the first step on."""
    shapes = shapes_of(name)
    params = parameters(shapes)
    optimizer = make(name, params, **({"weight_decay": 0.0} if takes(name, "weight_decay") else {}))
    for _ in range(3):
        step(optimizer, params, [np.zeros(s) for s in shapes])
    moved = any(not np.array_equal(p.data, w) for p, w in zip(params, weights(shapes)))
    assert moved is (name in MOVED_BY_NOTHING)


MOVED_BY_NOTHING = {
    "ASGD": "its lambd is a decay of its own", "Fromage": "the root shrinks the weights",
    "Ftrl": "the weights are made from the sums of gradients alone: their start is forgotten",
    "NoisySGD": "the noise", "Yogi": "the averages start at initial_accumulator"}


def takes(name, argument):
    return argument in inspect.signature(EVERY[name].__init__).parameters


@every
def test_a_nan_stays_in_its_parameter(name):
    shapes = shapes_of(name)
    params = parameters(shapes)
    optimizer = make(name, params)
    grads = gradients(1, shapes)
    grads[1].flat[0] = np.nan
    with np.errstate(all="ignore"):
        run(optimizer, params, [0])
        step(optimizer, params, grads)
        run(optimizer, params, [2])
    bad = [bool(np.isnan(p.data).any()) for p in params]
    if name in GLOBAL:
        assert bad[1]
    elif EVERY[name].elementwise:
        assert [int(np.isnan(p.data).sum()) for p in params] == [0, 1] + [0] * (len(params) - 2)
    else:
        assert bad == [False, True] + [False] * (len(params) - 2)


@every
def test_it_gives_the_closures_loss(name):
    params = parameters(shapes_of(name))
    assert step(make(name, params), params, gradients(0, shapes_of(name)), 2.5).item() == 2.5


@every
def test_maximize_is_the_negated_gradient(name):
    if not takes(name, "maximize"):
        pytest.skip("it has no maximize")
    shapes = shapes_of(name)
    decay = {"weight_decay": 0.0} if takes(name, "weight_decay") else {}
    up, down = parameters(shapes), parameters(shapes)
    a, b = make(name, up, maximize=True, **decay), make(name, down, **decay)
    for i in range(3):
        step(a, up, gradients(i, shapes), -loss(i))
        step(b, down, [-g for g in gradients(i, shapes)], loss(i))
    same([p.data for p in up], [p.data for p in down])


@every
def test_every_group_has_its_own_rate(name):
    """Two groups are two optimizers, unless the rule looks at all."""
    if name in GLOBAL | NO_LR | RANDOM:
        pytest.skip("the rule looks at all parameters, or has no rate")
    shapes = shapes_of(name)[:2]
    both, apart = parameters(shapes), parameters(shapes)
    lr = make(name, parameters(shapes)).lr
    together = make(name, [{"params": both[0]}, {"params": both[1], "lr": lr / 3}])
    alone = [make(name, [apart[0]]), make(name, [apart[1]], lr=lr / 3)]
    for i in range(4):
        grads = gradients(i, shapes)
        step(together, both, grads, loss(i))
        for optimizer, p, g in zip(alone, apart, grads):
            step(optimizer, [p], [g], loss(i))
    same([p.data for p in both], [p.data for p in apart])


@every
def test_an_elementwise_rule_does_not_care_for_the_order_of_the_weights(name):
    if not EVERY[name].elementwise or name in RANDOM:
        pytest.skip("not elementwise")
    order = np.argsort(uniform("order", 40))
    plain, mixed = [Parameter(uniform("long", 40))], [Parameter(uniform("long", 40)[order])]
    a, b = make(name, plain), make(name, mixed)
    for i in range(4):
        g = uniform(f"long gradient {i}", 40)
        step(a, plain, [g], loss(i))
        step(b, mixed, [g[order]], loss(i))
    same([plain[0].data[order]], [mixed[0].data], 1e-9 if name in GLOBAL else 0)


@every
def test_hyper_parameters_out_of_range_are_refused(name):
    betas = (*make(name, parameters(shapes_of(name))).defaults.get("betas", ())[:-1], 1.5)
    for argument, value in (("lr", -1.0), ("eps", -1.0), ("betas", betas), ("weight_decay", -0.1),
                            ("lr", float("nan")), ("momentum", -0.5)):
        if takes(name, argument) and (name, argument) != ("Adafactor", "eps"):
            with pytest.raises(ValueError, match=argument):
                make(name, parameters(shapes_of(name)), **{argument: value})


# ---- oracles: one weight at a time, as the paper says ----
def sgdw(w, grads, lr=0.1, momentum=0.9, weight_decay=0.1):
    """Loshchilov & Hutter 2017, algorithm 1, with PyTorch's velocity."""
    v = None
    for g in grads:
        v = g if v is None else momentum * v + g
        w = w - lr * v - lr * weight_decay * w
        yield w


def pid(w, grads, lr=0.1, momentum=0.9, integral=5.0, derivative=10.0):
    """An et al. 2018: a derivative of nothing at the first step."""
    i, d, last = 0.0, 0.0, None
    for g in grads:
        i = momentum * i + g
        d = 0.0 if last is None else momentum * d + (1 - momentum) * (g - last)
        last = g
        w = w - lr * (g + integral * i + derivative * d)
        yield w


def adan(w, grads, lr=0.1, betas=(0.9, 0.8, 0.7), eps=1e-2, weight_decay=0.1):
    """Xie et al. 2022, algorithm 1; the paper's betas are one minus these."""
    b1, b2, b3 = (1 - b for b in betas)
    m = v = n = 0.0
    last = grads[0]
    for t, g in enumerate(grads, 1):
        m = (1 - b1) * m + b1 * g
        v = (1 - b2) * v + b2 * (g - last)
        n = (1 - b3) * n + b3 * (g + (1 - b2) * (g - last)) ** 2
        root = (n / (1 - (1 - b3) ** t)) ** 0.5 + eps
        w = (w - lr / root * (m / (1 - (1 - b1) ** t) + (1 - b2) * v / (1 - (1 - b2) ** t))) / (1 + lr * weight_decay)
        last = g
        yield w


def acprop(w, grads, lr=0.1, betas=(0.9, 0.8), eps=1e-2):
    """Zhuang et al. 2021, algorithm 2: the denominator is the last step's."""
    b1, b2 = betas
    m = s = 0.0
    for t, g in enumerate(grads, 1):
        w = w - lr * g / ((s / (1 - b2 ** (t - 1))) ** 0.5 + eps if t > 1 else 1)
        m = b1 * m + (1 - b1) * g
        s = b2 * s + (1 - b2) * (g - m) ** 2 + eps
        yield w


def sadam(w, grads, lr=0.1, betas=(0.9, 0.8), amsgrad=True, smooth=5.0):
    """Tong, Liang & Bi 2019; the softplus as it is defined."""
    m = v = top = 0.0
    for t, g in enumerate(grads, 1):
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g * g
        top = max(top, v) if amsgrad else v
        w = w - lr * (1 - betas[1] ** t) ** 0.5 / (1 - betas[0] ** t) * m * smooth / np.log(
            1 + np.exp(smooth * top**0.5))
        yield w


@pytest.mark.parametrize("name, oracle", [("SGDW", sgdw), ("PID", pid), ("Adan", adan), ("AcProp", acprop),
                                          ("SAdam", sadam)])
def test_oracle(name, oracle):
    params = parameters(SMALL)
    arguments = {p.name: p.default for p in inspect.signature(oracle).parameters.values() if p.default is not p.empty}
    optimizer = make(name, params, **arguments)
    grads = [np.concatenate([np.ravel(g) for g in gradients(i, SMALL)]) for i in range(STEPS)]
    start = np.concatenate([np.ravel(w) for w in weights(SMALL)])
    expected = zip(*(oracle(w, [g[k] for g in grads]) for k, w in enumerate(start)))
    for i, row in enumerate(expected):
        step(optimizer, params, gradients(i, SMALL))
        np.testing.assert_allclose(np.concatenate([p.data.ravel() for p in params]), row, 1e-12, 1e-14)


def test_the_noise_of_noisy_sgd_has_its_variance():
    w = [Parameter(np.zeros(200_000))]
    optimizer = make("NoisySGD", w, lr=1.0, eta=0.04, gamma=0.5)
    for t in range(1, 4):
        before = w[0].data.copy()
        step(optimizer, w, [np.ones(200_000)])
        noise = before - w[0].data - 1
        assert abs(noise.mean()) < 5 * 0.2 / 200_000**0.5
        assert np.var(noise) == pytest.approx(0.04 / t**0.5, rel=0.02)


# ---- identities ----
def both_paths(first, second, tolerance=1e-12, shapes=SMALL, steps=range(8)):
    """Two optimizers, as (class name, arguments) or functions of parameters, go the same way."""
    found = []
    for given in (first, second):
        params = parameters(shapes)
        optimizer = given(params) if callable(given) else make(given[0], params, **given[1])
        found.append(run(optimizer, params, steps))
    same(*found, tolerance)


@pytest.mark.parametrize("first, second", [
    (("QHAdam", {"nus": (1.0, 1.0)}), ("Adam", {})),
    (("QHAdam", {"nus": (1.0, 1.0), "betas": (0.5, 0.7), "eps": 1e-2}), ("Adam", {"betas": (0.5, 0.7), "eps": 1e-2})),
    (("QHM", {"nu": 1.0, "lr": 0.1, "momentum": 0.9}), ("SGD", {"lr": 0.1 * (1 - 0.9), "momentum": 0.9})),
    (("QHM", {"nu": 0.0, "lr": 0.1, "momentum": 0.9}), ("SGD", {"lr": 0.1})),
    (("AggMo", {"betas": (0.9,), "lr": 0.1}), ("SGD", {"lr": 0.1, "momentum": 0.9})),
    (("Lion", {"betas": (0.8, 0.8), "lr": 0.1, "weight_decay": 0.0}), ("Signum", {"beta": 0.8, "lr": 0.1})),
    (("Signum", {"beta": 0.0, "lr": 0.1}), ("SignSGD", {"lr": 0.1})),
    (("AdamW", {"weight_decay": 0.0}), ("Adam", {})),
    (("NAdamW", {"weight_decay": 0.1}), ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True})),
    (("SGDW", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.0}), ("SGD", {"lr": 0.1, "momentum": 0.9})),
    (("GD", {"lr": 0.1, "weight_decay": 0.1}), ("SGD", {"lr": 0.1, "weight_decay": 0.1})),
    (("SGDW", {"lr": 0.1, "weight_decay": 0.1}), ("SGD", {"lr": 0.1, "weight_decay": 0.1})),  # no momentum: no matter
    (("SGDP", {"lr": 0.1, "momentum": 0.9, "delta": 0.0}), ("SGD", {"lr": 0.1, "momentum": 0.9})),
    (("AdamP", {"delta": 0.0}), ("Adam", {})),
    (("AdaMod", {"beta3": 0.0, "eps": 1e-2}), ("Adam", {"eps": 1e-2, "epsilon_hat": True})),
    (("AdEMAMix", {"alpha": 0.0}), ("Adam", {})),
    (("OptimisticGD", {"alpha": 1.0, "beta": 0.0, "lr": 0.1}), ("SGD", {"lr": 0.1})),
    (("ASGD", {"lambd": 0.0, "lr": 0.1}), ("SGD", {"lr": 0.1})),
    (("Adamax", {"weight_decay": 0.0, "lr": 1e-3}), ("AdamaxW", {"weight_decay": 0.0, "lr": 1e-3})),
], ids=lambda pair: pair[0])
def test_one_is_the_other(first, second):
    both_paths(first, second)


def test_adam_without_momentum_is_rmsprop_corrected():
    a, b = parameters(SMALL), parameters(SMALL)
    adam, rms = make("Adam", a, betas=(0.0, 0.9), eps=1e-3), make("RMSprop", b, alpha=0.9)
    for i in range(8):
        root = np.sqrt(1 - 0.9 ** (i + 1))
        rms.param_groups[0] |= {"lr": 1e-3 * root, "eps": 1e-3 * root}
        same(run(adam, a, [i]), run(rms, b, [i]), 1e-12)


def test_coupled_and_decoupled_decay_differ_for_adaptive_rules():
    with pytest.raises(AssertionError):
        both_paths(("AdamW", {"weight_decay": 0.1}), ("Adam", {"weight_decay": 0.1}), 1e-6)


def test_adabound_ends_as_sgd_with_averaged_momentum():
    both_paths(("AdaBound", {"gamma": 1e15, "final_lr": 0.1}), ("QHM", {"lr": 0.1, "momentum": 0.9, "nu": 1.0}))


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_the_amsgrad_denominator_never_falls(name):
    params = parameters(SMALL)
    optimizer, last = make(name, params, amsgrad=True, betas=(0.9, 0.3)), 0
    for i in range(8):
        run(optimizer, params, [i])
        now = np.concatenate([np.ravel(optimizer.state[p]["v_max"]) for p in params])
        assert (now >= last).all()
        last = now


def test_radam_ends_as_adam():
    a, b = [Parameter(np.zeros(3))], [Parameter(np.zeros(3))]
    x, y = make("RAdam", a, betas=(0.9, 0.99)), make("Adam", b, betas=(0.9, 0.99))
    for i in range(3000):
        g = [uniform(f"{i % 7}", 3)]
        before = a[0].data.copy(), b[0].data.copy()
        step(x, a, g), step(y, b, g)
    np.testing.assert_allclose(a[0].data - before[0], b[0].data - before[1], 1e-6)


def test_lamb_goes_adams_way_as_far_as_the_weights_are_long():
    a, b = parameters(SMALL), parameters(SMALL)
    x, y = make("LAMB", a, lr=0.1, eps=1e-6), make("Adam", b, lr=0.1, eps=1e-6)
    for i in range(4):
        before = [p.data.copy() for p in a]
        for p, q in zip(a, b):
            q.data = p.data.copy()
        run(x, a, [i]), run(y, b, [i])
        for p, q, w in zip(a, b, before):
            ours, adams = p.data - w, q.data - w
            np.testing.assert_allclose(np.linalg.norm(ours), 0.1 * np.linalg.norm(w), 1e-9)
            np.testing.assert_allclose(ours / np.linalg.norm(ours), adams / np.linalg.norm(adams), 1e-9, 1e-12)


@pytest.mark.parametrize("name, arguments", [
    ("Adam", {"eps": 0.0}), ("AdamW", {"eps": 0.0}), ("Adamax", {"eps": 0.0}), ("NAdam", {"eps": 0.0}),
    ("Adagrad", {"eps": 0.0}), ("RMSprop", {"eps": 0.0}), ("QHAdam", {"eps": 0.0}), ("LAMB", {"eps": 0.0}),
    ("Lion", {}), ("SignSGD", {}), ("Signum", {}), ("Rprop", {}), ("Fromage", {}), ("DoG", {"eps": 0.0}),
    ("DAdaptAdamW", {"eps": 0.0}), ("SM3", {"eps": 0.0})])
def test_the_size_of_the_loss_does_not_matter(name, arguments):
    """Scaling all gradients changes nothing: by a power of two, so that no rounding does either."""
    def path(scale):
        params = [Parameter(uniform("a vector", 3)), Parameter(uniform("a matrix", 4, 3))]
        optimizer = make(name, params, **arguments)
        for i in range(6):
            step(optimizer, params, [scale * uniform(f"{i} {p.shape}", *p.shape) for p in params])
        return [p.data for p in params]
    same(path(1.0), path(2.0**12), 1e-12)


def test_only_exported_shapes_are_recorded():
    assert {row.shapes for row in ROWS} <= {SMALL, ALL, ALL[1:], MATRICES}


# ---- the pages ----
def held_against(name):
    """What the page says of a class: each reference, how many paths, and how near; or its oracle."""
    said = [f"{row.reference}, {len(row.variants)} path{'s' * (len(row.variants) > 1)} to 1e-{row.digits}"
            + f" ({row.because})" * bool(row.because) for row in ROWS if row.ours == name]
    if name in ORACLES:
        said.append(f"oracle in `{ORACLES[name].split('::')[0]}`")
    return "; ".join(said)


def numbers_per_weight(name):
    """Counted on a matrix of 64 x 48."""
    params = parameters([(64, 48)])
    optimizer = make(name, params)
    run(optimizer, params, range(2))
    return sum(v.size for v in optimizer.state[params[0]].values() if isinstance(v, np.ndarray)) / (64 * 48)


def test_the_page_of_optimizers_has_a_true_line_for_each():
    page = (HERE.parent / "docs" / "optimizers.md").read_text(encoding="utf-8").split("\n### Second order\n")[0]
    lines = {line.split("`")[1]: line for line in page.splitlines() if line.startswith("| `")}
    assert lines.keys() == EVERY.keys()
    for name, line in lines.items():
        cells = [c.strip() for c in line.strip("|").split("|")]
        _, formula, paper, memory, when, against = cells
        assert formula and when and paper[-4:].isdigit(), name
        assert against == held_against(name), f"{name}: {held_against(name)}"
        number = numbers_per_weight(name)
        if memory.isdigit():
            assert int(memory) == pytest.approx(number, abs=1e-3), f"{name} keeps {number} numbers per weight"
        else:
            assert "rows" in memory and number % 1 > 1e-3, f"{name} keeps {number} numbers per weight"


def test_the_page_of_misprints_quotes_what_the_figures_print():
    spec = importlib.util.spec_from_file_location("figures", HERE.parent / "docs" / "figures.py")
    figures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(figures)
    page = (HERE.parent / "docs" / "misprints.md").read_text(encoding="utf-8")
    for draw in figures.MISPRINTS:
        assert f"```\n{chr(10).join(draw())}\n```" in page, f"{draw.__name__}: run python docs/figures.py misprints"
        assert f"images/{draw.__name__}.png" in page
