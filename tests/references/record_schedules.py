"""Record the learning rates of PyTorch's, optax's and Keras's schedules, so that the tests need none of them.

    KERAS_BACKEND=torch JAX_ENABLE_X64=1 python tests/references/record_schedules.py    # rewrites schedules.npz

The cases are defined here, for the recorder and for tests/test_schedules.py alike: functions of a namespace of
schedules (torch.optim.lr_scheduler, or minigrad.optim.schedules), an optimizer, and x, which every number goes through.

PyTorch computes most learning rates from the one before, so its roundings add up. Each sequence is therefore recorded
twice: as it is, and from the very same code with extended-precision numbers (and float64 cosines), where they do not.
"""

from __future__ import annotations

import contextlib
import json
import math
import platform
import types
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
STEPS = 200
LRS = 0.1, 0.003  # of two groups


def bumpy(t):
    """A factor that is no formula."""
    return 1 + 0.5 * math.sin(t)


def shrinking(t):
    """Close to 1 and never 0."""
    return 0.97 + 0.02 * math.cos(t)


def metric(t):
    """A loss that falls, stands still, is NaN once, and rises."""
    return math.nan if t == 70 else max(math.exp(-t / 15), 0.04) + 0.02 * math.sin(1.7 * t) + max(t - 120, 0) * 1e-3


# name -> schedule. "adam" in a name: of Adam, else of SGD with momentum.
CASES = {
    "LambdaLR": lambda s, o, x: s.LambdaLR(o, bumpy),
    "LambdaLR two": lambda s, o, x: s.LambdaLR(o, [bumpy, lambda t: x(0.95) ** t]),
    "MultiplicativeLR": lambda s, o, x: s.MultiplicativeLR(o, shrinking),
    "StepLR": lambda s, o, x: s.StepLR(o, 30),
    "StepLR 7": lambda s, o, x: s.StepLR(o, step_size=7, gamma=x(0.83)),
    "MultiStepLR": lambda s, o, x: s.MultiStepLR(o, [30, 80, 80, 150], gamma=x(0.3)),
    "ConstantLR": lambda s, o, x: s.ConstantLR(o, factor=x(1 / 3)),
    "ConstantLR 40": lambda s, o, x: s.ConstantLR(o, factor=x(0.3), total_iters=40),
    "LinearLR": lambda s, o, x: s.LinearLR(o, start_factor=x(1 / 3)),
    "LinearLR 60": lambda s, o, x: s.LinearLR(o, start_factor=x(1.0), end_factor=x(0.05), total_iters=60),
    "ExponentialLR": lambda s, o, x: s.ExponentialLR(o, gamma=x(0.97)),
    "PolynomialLR": lambda s, o, x: s.PolynomialLR(o),
    "PolynomialLR 150": lambda s, o, x: s.PolynomialLR(o, total_iters=x(150), power=x(2.0)),
    "CosineAnnealingLR": lambda s, o, x: s.CosineAnnealingLR(o, T_max=50),
    "CosineAnnealingLR floor": lambda s, o, x: s.CosineAnnealingLR(o, 180, eta_min=x(1e-3)),
    "CosineAnnealingWarmRestarts": lambda s, o, x: s.CosineAnnealingWarmRestarts(o, 30),
    "CosineAnnealingWarmRestarts 2": lambda s, o, x: s.CosineAnnealingWarmRestarts(o, 11, T_mult=2, eta_min=1e-4),
    "CyclicLR": lambda s, o, x: s.CyclicLR(o, 0.01, 0.1, step_size_up=20),
    "CyclicLR triangular2": lambda s, o, x: s.CyclicLR(o, [0.01, 0.02], [0.1, 0.3], 20, 13, mode="triangular2"),
    "CyclicLR exp_range adam": lambda s, o, x: s.CyclicLR(o, 0.01, 0.1, 15, mode="exp_range", gamma=0.99),
    "CyclicLR own": lambda s, o, x: s.CyclicLR(o, 0.01, 0.1, 15, scale_fn=lambda c: 1 / c, cycle_momentum=False),
    "CyclicLR own iterations": lambda s, o, x: s.CyclicLR(o, 0.01, 0.1, 15, scale_fn=lambda t: 0.99**t,
                                                          scale_mode="iterations"),
    "OneCycleLR": lambda s, o, x: s.OneCycleLR(o, 0.1, total_steps=STEPS),
    "OneCycleLR linear adam": lambda s, o, x: s.OneCycleLR(o, [0.1, 0.3], epochs=20, steps_per_epoch=11,
                                                           anneal_strategy="linear", pct_start=0.21, div_factor=10),
    "OneCycleLR three": lambda s, o, x: s.OneCycleLR(o, 0.1, STEPS, three_phase=True, final_div_factor=1e3),
    "OneCycleLR lr only": lambda s, o, x: s.OneCycleLR(o, 0.1, STEPS, pct_start=0.0, cycle_momentum=False),
    "ReduceLROnPlateau": lambda s, o, x: s.ReduceLROnPlateau(o),
    "ReduceLROnPlateau rel": lambda s, o, x: s.ReduceLROnPlateau(o, factor=0.5, patience=3, threshold=0.01, cooldown=4,
                                                                 min_lr=[1e-4, 1e-3]),
    "ReduceLROnPlateau abs": lambda s, o, x: s.ReduceLROnPlateau(o, "max", 0.7, 2, 0.01, "abs", 1, 1e-3, 1e-3),
    "ReduceLROnPlateau max": lambda s, o, x: s.ReduceLROnPlateau(o, "max", patience=5),
    "ReduceLROnPlateau min abs": lambda s, o, x: s.ReduceLROnPlateau(o, "min", patience=0, threshold_mode="abs"),
    "SWALR": lambda s, o, x: s.SWALR(o, swa_lr=x(0.05)),
    "SWALR linear": lambda s, o, x: s.SWALR(o, [x(0.02), x(0.01)], anneal_epochs=70, anneal_strategy="linear"),
    "SWALR at once": lambda s, o, x: s.SWALR(o, x(0.05), anneal_epochs=0),
    "SequentialLR": lambda s, o, x: s.SequentialLR(o, [
        s.ConstantLR(o, x(0.1), total_iters=20), s.ExponentialLR(o, gamma=x(0.98))], milestones=[20]),
    "SequentialLR warm-up": lambda s, o, x: s.SequentialLR(o, [
        s.LinearLR(o, x(0.01), total_iters=10), s.CosineAnnealingLR(o, 100), s.StepLR(o, 20, x(0.5)),
        s.CosineAnnealingWarmRestarts(o, 9)], [10, 110, 170]),
    "SequentialLR that goes on": lambda s, o, x: s.SequentialLR(o, [
        s.ExponentialLR(o, x(0.97)), s.SWALR(o, x(0.02), 30)], [50]),
    "SequentialLR cycles": lambda s, o, x: s.SequentialLR(o, [
        s.PolynomialLR(o, 60), s.CyclicLR(o, 0.01, 0.1, 13)], [40]),
    "SequentialLR after a cycle": lambda s, o, x: s.SequentialLR(o, [
        s.OneCycleLR(o, 0.5, total_steps=20), s.ConstantLR(o, x(0.1), total_iters=1000)], [20]),
    "ChainedScheduler": lambda s, o, x: s.ChainedScheduler([
        s.ConstantLR(o, x(0.1), total_iters=20), s.ExponentialLR(o, gamma=x(0.98))]),
    "ChainedScheduler four": lambda s, o, x: s.ChainedScheduler([
        s.LinearLR(o, x(0.1), total_iters=20), s.StepLR(o, 30, x(0.5)), s.MultiStepLR(o, [25, 95], x(0.6)),
        s.PolynomialLR(o, x(210), x(1.5))], optimizer=o),
    "ChainedScheduler floor": lambda s, o, x: s.ChainedScheduler([
        s.CosineAnnealingLR(o, 220, eta_min=x(1e-3)), s.LinearLR(o, x(0.1), total_iters=20)]),
    "ChainedScheduler cosine": lambda s, o, x: s.ChainedScheduler([
        s.CosineAnnealingLR(o, 20), s.ExponentialLR(o, x(0.97))]),
    "ChainedScheduler ended": lambda s, o, x: s.ChainedScheduler([s.LambdaLR(o, bumpy), s.PolynomialLR(o, x(150))]),
    "ChainedScheduler absolute": lambda s, o, x: s.ChainedScheduler([
        s.ExponentialLR(o, gamma=x(0.98)), s.LambdaLR(o, bumpy), s.ExponentialLR(o, gamma=x(0.99))]),
    "by hand StepLR": lambda s, o, x: s.StepLR(o, 30, x(0.5)),
    "by hand LinearLR": lambda s, o, x: s.LinearLR(o, x(0.1), total_iters=120),
    "by hand CosineAnnealingLR": lambda s, o, x: s.CosineAnnealingLR(o, 220, eta_min=x(1e-3)),
    "by hand CosineAnnealingLR 50": lambda s, o, x: s.CosineAnnealingLR(o, 50, eta_min=x(1e-3)),
    "by hand PolynomialLR": lambda s, o, x: s.PolynomialLR(o, x(70)),
    "by hand LambdaLR": lambda s, o, x: s.LambdaLR(o, bumpy),
    "by hand SequentialLR": lambda s, o, x: s.SequentialLR(o, [
        s.LinearLR(o, x(0.1), total_iters=20), s.ExponentialLR(o, x(0.99))], [20]),
}


def sequence(schedule, optimizer, by_hand: bool, plateau: bool) -> np.ndarray:
    """The learning rates, and the first group's momentum, of the updates 0 to 200: (201, 3). by_hand: halved once."""
    found = []
    for t in range(STEPS + 1):
        first = optimizer.param_groups[0]
        momentum = first["betas"][0] if "betas" in first else first["momentum"]
        found.append([*(float(g["lr"]) for g in optimizer.param_groups), float(momentum)])
        optimizer.step()
        if by_hand and t == 77:
            for g in optimizer.param_groups:
                g["lr"] = g["lr"] * 0.5
        if t < STEPS:
            schedule.step(metric(t)) if plateau else schedule.step()
    return np.array(found)


def optimizer_of(name, module, parameters, lrs):
    """SGD or Adam with two groups."""
    groups = [{"params": [p], "lr": lr} for p, lr in zip(parameters, lrs)]
    return module.Adam(groups) if "adam" in name else module.SGD(groups, momentum=0.9)


# ---- ours: warm-ups and decays of optax and Keras, as (class, arguments, what they are called there) ----
OPTAX = {
    "WarmupConstant": ({"warmup_steps": 30}, "warmup_constant_schedule", {"warmup_steps": 30}),
    "WarmupCosine": ({"warmup_steps": 30, "decay_steps": 150, "init_factor": 0.1, "end_factor": 0.05, "exponent": 1.5},
                     "warmup_cosine_decay_schedule", {"warmup_steps": 30, "decay_steps": 150, "exponent": 1.5}),
    "WarmupExponential": ({"warmup_steps": 30, "transition_steps": 20, "decay_rate": 0.6, "init_factor": 0.1,
                           "transition_begin": 15, "end_factor": 0.05}, "warmup_exponential_decay_schedule",
                          {"warmup_steps": 30, "transition_steps": 20, "decay_rate": 0.6, "transition_begin": 15}),
    "WarmupExponential staircase": (
        {"warmup_steps": 10, "transition_steps": 20, "decay_rate": 0.6, "init_factor": 0.1, "staircase": True},
        "warmup_exponential_decay_schedule",
        {"warmup_steps": 10, "transition_steps": 20, "decay_rate": 0.6, "staircase": True}),
    "PiecewiseConstant": ({"boundaries": [30, 90], "values": [0.1, 0.05, 0.01]}, "piecewise_constant_schedule",
                          {"boundaries_and_scales": {30: 0.5, 90: 0.2}}),
}
KERAS = {
    "ExponentialDecay": ({"decay_steps": 30, "decay_rate": 0.7}, "ExponentialDecay"),
    "ExponentialDecay staircase": ({"decay_steps": 30, "decay_rate": 0.7, "staircase": True}, "ExponentialDecay"),
    "InverseTimeDecay": ({"decay_steps": 30, "decay_rate": 0.7}, "InverseTimeDecay"),
    "InverseTimeDecay staircase": ({"decay_steps": 30, "decay_rate": 0.7, "staircase": True}, "InverseTimeDecay"),
    "PiecewiseConstant": ({"boundaries": [30, 90], "values": [0.1, 0.05, 0.01]}, "PiecewiseConstantDecay"),
}


def record_torch():
    import torch
    from torch.optim import lr_scheduler, swa_utils
    found, worst = {}, {}
    schedules = types.SimpleNamespace(**vars(lr_scheduler), SWALR=swa_utils.SWALR)
    wide = types.SimpleNamespace(**vars(math))
    wide.cos = lambda angle: np.longdouble(math.cos(float(angle)))
    for name, make in CASES.items():
        for kind, x in (("plain", float), ("wide", np.longdouble)):
            parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in LRS]
            with contextlib.ExitStack() as stack:
                for module in (lr_scheduler, swa_utils) if kind == "wide" else ():
                    stack.callback(setattr, module, "math", module.math)
                    module.math = wide
                optimizer = optimizer_of(name, torch.optim, parameters, [x(lr) for lr in LRS])
                found[f"{kind} {name}"] = sequence(make(schedules, optimizer, x), optimizer, "by hand" in name,
                                                   "Plateau" in name)
        a, b = found[f"plain {name}"], found[f"wide {name}"]
        worst[name] = float((abs(a - b) / np.where(b == 0, 1, abs(b))).max())
    for name, error in sorted(worst.items(), key=lambda pair: -pair[1])[:8]:
        print(f"torch's own roundings: {name} {error:.1e}")
    return found


def record_others():
    import keras
    import optax
    found = {}
    for name, (ours, theirs, arguments) in OPTAX.items():
        values = {"init_value": LRS[0] * ours.get("init_factor", 0 if "values" not in ours else 1)}
        if name != "PiecewiseConstant":
            values["peak_value"] = LRS[0]
            if "end_factor" in ours:
                values["end_value"] = LRS[0] * ours["end_factor"]
        schedule = getattr(optax, theirs)(**values, **arguments)
        found[f"optax {name}"] = np.array([float(schedule(np.int64(t))) for t in range(STEPS + 1)])
    keras.backend.set_floatx("float64")
    for name, (arguments, theirs) in KERAS.items():
        first = {} if "values" in arguments else {"initial_learning_rate": LRS[0]}
        schedule = getattr(keras.optimizers.schedules, theirs)(**first, **arguments)
        found[f"keras {name}"] = np.array([float(schedule(t)) for t in range(STEPS + 1)])
    return found, {"optax": optax.__version__, "keras": keras.__version__}


def main():
    import torch
    others, versions = record_others()
    versions |= {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()}
    found = record_torch() | others
    np.savez_compressed(HERE / "schedules.npz", versions=np.array(json.dumps(versions)), **found)
    print(f"{json.dumps(versions)}\n{len(found)} sequences, {(HERE / 'schedules.npz').stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    main()
