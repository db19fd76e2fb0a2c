"""Record the paths of other libraries' optimizers, so that the tests need none of them.

    python tests/references/optimizers.py    # needs torch, optax, keras, torch_optimizer; rewrites first_order.npz

A row of ROWS is one of our classes beside a reference: for every variant our arguments, and, where they are not spelled
alike, the reference's own. Gradients and weights are made from raw PCG64 bits (`record.uniform`), and have every size
from 1e-2 to 10; one weight's gradient is always zero.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != Path(__file__).parent]  # we are no `optimizers`
    sys.path.insert(0, str(Path(__file__).parent.parent))

from references.record import STEPS, uniform

FILE = Path(__file__).parent / "first_order.npz"
SMALL, ALL, MATRICES = ((), (3,), (4, 3)), ((), (3,), (4, 3), (2, 3, 2, 2)), ((4, 3), (3, 5), (3, 3))
EPS, DECAY = {"eps": 1e-2}, {"weight_decay": 0.1}


def weights(shapes) -> list[np.ndarray]:
    return [uniform(f"weight {s}", *s) for s in shapes]


def gradients(step: int, shapes, sparse=False) -> list[np.ndarray]:
    """sparse: every other row is zero, by turns."""
    grads = [uniform(f"{step} {s}", *s) * 10.0 ** (step % 4 - 2) for s in shapes]
    for g in grads:
        if g.ndim > 1:
            g.flat[4] = 0
        if sparse:
            g[step % 2::2] = 0
    return grads


def loss(step: int) -> float:
    """For the rules that look at it: it falls, with noise."""
    return float(5.0 / (1 + step) + uniform(f"loss {step}", low=0))


class Row:
    """One class beside one reference, "library.name"; each variant is (ours, theirs): theirs where the names differ,
    None for an argument that they have not.

    shapes: ALL where the rule depends on the rank. digits: agreement, relative; because: why not 12.
    """

    def __init__(self, ours, reference, *variants, shapes=SMALL, digits=12, because="", sparse=False,
                 **theirs):
        self.ours, self.reference, self.shapes, self.digits, self.because = ours, reference, shapes, digits, because
        self.sparse = sparse
        assert digits == 12 or because
        self.variants = []
        for v in variants or ({},):
            mine, extra = v if isinstance(v, tuple) else (v, {})
            their = {**translated(reference.split(".")[0], mine), **extra}
            their = {**theirs, **{k: v for k, v in their.items() if k not in theirs or theirs[k] is not None}}
            self.variants.append((mine, {k: v for k, v in their.items() if v is not None}))

    def cases(self):
        """key of the recorded path -> (ours, theirs)."""
        for mine, theirs in self.variants:
            name = ", ".join(f"{k}={v}" for k, v in mine.items())
            yield f"{self.ours}({name}) {self.reference}", mine, theirs


RENAMED = {"optax": {"lr": "learning_rate", "betas": ("b1", "b2", "b3")},
           "keras": {"lr": "learning_rate", "betas": ("beta_1", "beta_2"), "eps": "epsilon"}}


def translated(library, arguments):
    renamed, found = RENAMED.get(library, {}), {}
    for k, v in arguments.items():
        to = renamed.get(k, k)
        found |= dict(zip(to, v)) if isinstance(to, tuple) else {to: v}
    return found


WHOLE, CORRECTED = {"diagonal": False}, {"use_bias_correction": True}
KERAS_FTRL = {"lr": "learning_rate", "lr_power": "learning_rate_power", "beta": "beta",
              "initial_accumulator_value": "initial_accumulator_value", "l1": "l1_regularization_strength",
              "l2": "l2_regularization_strength", "l2_shrinkage": "l2_shrinkage_regularization_strength"}
LR, NO_B = {"learning_rate": 1e-3}, {"b1": None, "b2": None}
ROWS = [
    # ---- momentum ----
    Row("SGD", "torch.SGD", {}, DECAY, {"lr": 0.1, "momentum": 0.9}, {"lr": 0.1, "momentum": 0.9, "dampening": 0.5},
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1, "maximize": True}),
    Row("Momentum", "keras.SGD", {}, {"lr": 0.1, "momentum": 0.8}, momentum=0.9, learning_rate=0.01),
    Row("NAG", "keras.SGD", {}, {"lr": 0.1, "momentum": 0.8}, momentum=0.9, learning_rate=0.01, nesterov=True),
    Row("ASGD", "torch.ASGD", {}, DECAY, {"lr": 0.1, "lambd": 0.1, "alpha": 0.5, "t0": 3}, {"maximize": True}),
    Row("AccSGD", "torch_optimizer.AccSGD", {}, DECAY, {"lr": 0.1, "kappa": 10.0, "xi": 3.0, "small_const": 0.5}),
    Row("AggMo", "torch_optimizer.AggMo", {}, DECAY, {"lr": 0.1, "betas": (0.5, 0.9)}),
    Row("QHM", "torch_optimizer.QHM", {}, DECAY, {"lr": 0.1, "momentum": 0.9},
        ({"lr": 0.1, "momentum": 0.9, "nu": 0.5, "weight_decay": 0.1, "decoupled_weight_decay": True},
         {"weight_decay_type": "direct", "decoupled_weight_decay": None}), momentum=0.999),
    Row("SGDP", "torch_optimizer.SGDP", {}, EPS, DECAY, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1, "delta": 0.0},
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, "delta": 1.0, "wd_ratio": 0.5, "weight_decay": 0.1}, shapes=ALL),
    # ---- sign ----
    Row("SignSGD", "optax.sign_sgd", {}, **LR),
    Row("Signum", "optax.signum", {}, {"lr": 0.1, "beta": 0.5}, **LR),
    Row("Lion", "optax.lion", {"lr": 1e-3}, {"lr": 0.1, "betas": (0.5, 0.8), "weight_decay": 0.1},
        weight_decay=0.0, **LR),
    Row("Rprop", "torch.Rprop", {}, {"lr": 0.1, "etas": (0.3, 2.0), "step_sizes": (0.05, 0.2)}, {"maximize": True}),
    # ---- step-free ----
    Row("OptimisticGD", "optax.optimistic_gradient_descent", {}, {"lr": 0.1, "alpha": 0.5, "beta": 0.25}, **LR),
    Row("OptimisticAdam", "optax.optimistic_adam_v2", {}, EPS, {"lr": 0.1, "alpha": 0.5, "beta": 0.25},
        nesterov=False, **LR),
    Row("PolyakSGD", "optax.polyak_sgd", {}, ({"lr": 0.1, "f_min": 0.5, "eps": 1e-2},
        {"max_learning_rate": 0.1, "learning_rate": None})),
    Row("MoMo", "optax.momo", {}, {"lr": 0.1, "beta": 0.5, "lower_bound": 0.5}, {"adapt_lower_bound": True}),
    Row("MoMoAdam", "optax.momo_adam", {}, EPS, {"lr": 0.1, "betas": (0.5, 0.8), "lower_bound": 0.5},
        {"adapt_lower_bound": True}),
    Row("COCOB", "optax.cocob", {}, EPS, {"alpha": 2.0}),
    Row("DoG", "optax.dog", {}, EPS, DECAY),
    Row("DoWG", "optax.dowg", {}, EPS, DECAY),
    Row("DAdaptAdamW", "optax.dadapt_adamw", CORRECTED, {**EPS, **CORRECTED}, {**DECAY, **CORRECTED},
        ({"lr": 0.5, "betas": (0.8, 0.9), **CORRECTED}, {"betas": (0.8, 0.9)}), use_bias_correction=None, **NO_B),
    Row("Prodigy", "optax.prodigy", CORRECTED, {**EPS, **CORRECTED}, {**DECAY, **CORRECTED},
        ({"lr": 0.5, "betas": (0.8, 0.9), **CORRECTED}, {"betas": (0.8, 0.9)}),
        {"safeguard_warmup": True, **CORRECTED}, use_bias_correction=None, **NO_B),
    Row("A2GradUni", "torch_optimizer.A2GradUni", WHOLE, {"beta": 2.0, "lips": 3.0, **WHOLE}, diagonal=None),
    Row("A2GradInc", "torch_optimizer.A2GradInc", WHOLE, {"beta": 2.0, "lips": 3.0, **WHOLE}, diagonal=None),
    Row("A2GradExp", "torch_optimizer.A2GradExp", WHOLE, {"beta": 2.0, "lips": 3.0, "rho": 0.9, **WHOLE},
        diagonal=None),
    # ---- adaptive ----
    Row("Adagrad", "torch.Adagrad", {}, EPS, DECAY, {"lr": 0.3, "lr_decay": 0.1, "initial_accumulator_value": 0.5,
                                                     "maximize": True}),
    Row("Adagrad", "optax.adagrad", {"lr": 0.1, "initial_accumulator_value": 0.1, "eps_in_sqrt": True, **EPS},
        eps_in_sqrt=None),
    Row("Adadelta", "torch.Adadelta", {}, EPS, DECAY, {"lr": 0.5, "rho": 0.7, "maximize": True}),
    Row("RMSprop", "torch.RMSprop", {}, EPS, DECAY, {"centered": True, "eps": 1e-2},
        {"lr": 0.1, "momentum": 0.9, "centered": True, "weight_decay": 0.1, "maximize": True}),
    Row("RMSprop", "optax.rmsprop", ({"lr": 0.1, "alpha": 0.9, "eps_in_sqrt": True, **EPS}, {"decay": 0.9}),
        alpha=None),
    Row("LaProp", "optax.rmsprop", {"lr": 1e-3, "betas": (0.0, 0.999)},
        {"lr": 1e-3, "betas": (0.0, 0.999), **EPS}, betas=None, b1=None, b2=None, decay=0.999, bias_correction=True,
        eps_in_sqrt=False, eps=1e-15),
    Row("Ftrl", "keras.Ftrl", {}, *(
        (given, {**dict.fromkeys(given), **{KERAS_FTRL[k]: v for k, v in given.items()}}) for given in (
            {"lr": 0.1, "l1": 0.01, "l2": 0.1}, {"lr": 0.1, "lr_power": -0.7, "initial_accumulator_value": 0.5},
            {"lr": 0.1, "l2_shrinkage": 0.1, "beta": 0.5, "l1": 0.1}))),
    Row("SM3", "optax.sm3", {"lr": 1e-3}, {"lr": 0.1, "momentum": 0.5}, shapes=ALL[1:], **LR),
    Row("Adafactor", "torch.Adafactor", {}, {"eps": (1e-2, 1e-3)}, DECAY,
        {"lr": 0.1, "beta2_decay": -0.5, "d": 1.5, "maximize": True}, shapes=ALL),
    Row("AdaBound", "torch_optimizer.AdaBound", {}, EPS, DECAY, {"amsbound": True, "betas": (0.9, 0.5)},
        {"lr": 0.01, "final_lr": 0.5, "gamma": 0.1}),
    Row("AMSBound", "torch_optimizer.AdaBound", {}, {"betas": (0.9, 0.5), "eps": 1e-2}, amsbound=True),
    Row("AdaMod", "torch_optimizer.AdaMod", {}, EPS, DECAY, {"lr": 0.1, "beta3": 0.5}),
    # ---- Adam and its family ----
    Row("Adam", "torch.Adam", {}, EPS, DECAY, {"lr": 0.1, "amsgrad": True, "betas": (0.8, 0.5), "maximize": True}),
    Row("AMSGrad", "torch.Adam", {}, EPS, {"betas": (0.8, 0.5), "weight_decay": 0.1}, amsgrad=True),
    Row("AMSGrad", "optax.amsgrad", {"lr": 0.1, "betas": (0.8, 0.5), "correction": "before"}, correction=None),
    Row("AdamW", "torch.AdamW", {}, EPS, DECAY, {"lr": 0.1, "amsgrad": True, "betas": (0.8, 0.5), "maximize": True}),
    Row("Adam", "keras.Adam", {"epsilon_hat": True, "eps": 1e-7}, {"epsilon_hat": True, "eps": 1e-2}, epsilon_hat=None),
    Row("Adamax", "torch.Adamax", {}, EPS, DECAY, {"betas": (0.8, 0.5), "maximize": True}),
    Row("Adamax", "keras.Adamax", {"lr": 0.1, "eps_in_max": False, **EPS}, eps_in_max=None),
    Row("AdamaxW", "optax.adamaxw", {"lr": 1e-3, "weight_decay": 1e-4}, {"lr": 0.1, "eps": 1e-2, "weight_decay": 0.1}),
    Row("NAdam", "torch.NAdam", {}, EPS, DECAY, {"weight_decay": 0.1, "decoupled_weight_decay": True},
        {"lr": 0.1, "momentum_decay": 1.0, "maximize": True}),
    Row("NAdam", "keras.Nadam", {"lr": 0.1, "momentum_decay": 1.0, "eps": 1e-8}, momentum_decay=None),
    Row("NAdamW", "torch.NAdam", {"weight_decay": 0.1}, {"weight_decay": 0.1, "eps": 1e-2},
        decoupled_weight_decay=True),
    Row("RAdam", "torch.RAdam", {}, EPS, DECAY, {"weight_decay": 0.1, "decoupled_weight_decay": True},
        {"betas": (0.8, 0.7), "maximize": True}),
    Row("SparseAdam", "torch.SparseAdam", {}, EPS, {"lr": 0.1, "betas": (0.5, 0.8), "maximize": True}, shapes=ALL[1:],
        sparse=True),
    Row("AdaBelief", "optax.adabelief", {}, ({"lr": 0.1, "betas": (0.5, 0.8), "eps": 1e-8}, {"eps_root": 1e-8}),
        (EPS, {"eps_root": 1e-2}), **LR),
    Row("AdaBelief", "torch_optimizer.AdaBelief", {"weight_decay": 0.1, "eps": 1e-4}),
    Row("Yogi", "torch_optimizer.Yogi", {}, EPS, DECAY, {"lr": 0.1, "betas": (0.5, 0.8)}),
    Row("QHAdam", "torch_optimizer.QHAdam", {"nus": (1.0, 1.0)}, {"nus": (0.7, 0.9), "eps": 1e-2},
        {"nus": (0.7, 1.0), "weight_decay": 0.1}),
    Row("DiffGrad", "torch_optimizer.DiffGrad", {}, EPS, DECAY, {"lr": 0.1, "betas": (0.5, 0.8)}),
    Row("Apollo", "torch_optimizer.Apollo", {}, EPS, DECAY),
    Row("ADOPT", "optax.adopt", {}, EPS, {"lr": 0.1, "betas": (0.5, 0.8)}, **LR),
    Row("AdEMAMix", "optax.ademamix", {}, EPS, DECAY, {"lr": 0.1, "betas": (0.8, 0.9, 0.99), "alpha": 2.0}, **LR),
    Row("SimplifiedAdEMAMix", "optax.simplified_ademamix", {}, EPS, DECAY, {"lr": 0.1, "alpha": 2.0},
        learning_rate=1e-5),
    Row("AdamP", "torch_optimizer.AdamP", {}, EPS, DECAY, {"delta": 1.0, "wd_ratio": 0.5, "weight_decay": 0.1},
        {"nesterov": True}, shapes=ALL),
    Row("MADGRAD", "torch_optimizer.MADGRAD", {}, EPS, DECAY, {"lr": 0.1, "momentum": 0.5}),
    Row("NovoGrad", "optax.novograd", ({}, {"b1": 0.95, "b2": 0.98, "eps": 1e-8}),
        *({"betas": (0.9, 0.25), **more} for more in (EPS, {"eps": 1e-6, **DECAY}, {"eps": 1e-6, "lr": 0.1})),
        shapes=ALL, **LR),
    Row("Ranger", "torch_optimizer.Ranger", {}, EPS, {"k": 3, "alpha": 0.8, "lr": 0.1}, digits=5,
        because="torch_optimizer casts the weights to float32"),
    Row("RangerQH", "torch_optimizer.RangerQH", {}, EPS, {"k": 3, "alpha": 0.8, "lr": 0.1, "nus": (0.5, 0.8)}),
    # ---- layer-wise ----
    Row("LARS", "optax.lars", {}, ({"eps": 1e-2, "joint_norm": True}, {}),
        {"weight_decay": 0.1, "joint_norm": True, "nesterov": True},
        {"lr": 0.1, "momentum": 0.5, "trust_coefficient": 0.1}, shapes=ALL, learning_rate=0.01, joint_norm=None),
    Row("LARS", "torch_optimizer.LARS", {"weight_decay": 0.1, "eps": 1e-8}, shapes=ALL, momentum=0.9,
        trust_coefficient=0.001),
    Row("LAMB", "optax.lamb", {}, EPS, DECAY, {"lr": 0.1, "betas": (0.5, 0.8)}, shapes=ALL, **LR),
    Row("Fromage", "optax.fromage", {}, {"lr": 0.1}, shapes=ALL, learning_rate=0.01),
    # ---- matrices ----
    Row("Muon", "torch.Muon", {}, {"nesterov": False, "momentum": 0.8}, {"weight_decay": 0.5},
        {"adjust_lr_fn": "match_rms_adamw"}, shapes=MATRICES, digits=2,
        because="PyTorch runs the Newton-Schulz iteration in bfloat16"),
    Row("Muon", "keras.Muon", {"adjust_lr_fn": "match_rms_adamw"},
        {"adjust_lr_fn": "match_rms_adamw", "lr": 0.1, "momentum": 0.8, "nesterov": False, "weight_decay": 0.5},
        shapes=MATRICES, weight_decay=0.1, adjust_lr_fn=None, digits=4, because="Keras adds eps to the norm"),
]


def every_case():
    """key -> (row, our arguments, their arguments)."""
    found = {}
    for row in ROWS:
        for key, mine, theirs in row.cases():
            while key in found:
                key += "'"
            found[key] = row, mine, theirs
    return found


# ---- what the libraries make of them: each gives step(grads, loss) -> the weights ----
def torch_steps(module, name, kwargs, start):
    import torch
    torch.set_default_dtype(torch.float64)  # some keep numbers of theirs in the default
    params = [torch.nn.Parameter(torch.tensor(w)) for w in start]
    optimizer = getattr(module, name)(params, **kwargs)

    def step(grads, value):
        for p, g in zip(params, grads):
            p.grad = torch.tensor(g)
            if name == "SparseAdam":
                rows = np.flatnonzero(g.reshape(len(g), -1).any(axis=1))
                p.grad = torch.sparse_coo_tensor(rows[None], g[rows], g.shape)
        optimizer.step()
        return [p.detach().numpy() for p in params]
    return step


def optax_steps(name, kwargs, start):
    import jax
    jax.config.update("jax_enable_x64", True)
    import optax
    rule = getattr(optax, name, None) or getattr(optax.contrib, name)
    transform = optax.with_extra_args_support(rule(**kwargs))
    params = [jax.numpy.asarray(w) for w in start]
    state = transform.init(params)

    def step(grads, value):
        nonlocal params, state
        updates, state = transform.update([jax.numpy.asarray(g) for g in grads], state, params, value=value)
        params = optax.apply_updates(params, updates)
        return [np.asarray(p) for p in params]
    return step


def keras_steps(name, kwargs, start):
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras
    keras.config.set_floatx("float64")
    params = [keras.Variable(w, dtype="float64") for w in start]
    optimizer = getattr(keras.optimizers, name)(**kwargs)
    optimizer.build(params)

    def step(grads, value):
        optimizer.apply([keras.ops.convert_to_tensor(g, dtype="float64") for g in grads], params)
        return [keras.ops.convert_to_numpy(p) for p in params]
    return step


def steps_of(reference, kwargs, start):
    library, name = reference.split(".")
    if library == "optax":
        return optax_steps(name, kwargs, start)
    if library == "keras":
        return keras_steps(name, kwargs, start)
    import torch
    import torch_optimizer
    return torch_steps({"torch": torch.optim, "torch_optimizer": torch_optimizer}[library], name, kwargs, start)


def record():
    found, wrong = {}, []
    for key, (row, _, theirs) in every_case().items():
        try:
            step, path = steps_of(row.reference, theirs, weights(row.shapes)), []
            for i in range(STEPS):
                after = step(gradients(i, row.shapes, row.sparse), loss(i))
                assert all(np.asarray(w).dtype == np.float64 for w in after), key
                path.append(np.concatenate([np.ravel(w) for w in after]))
        except Exception as error:
            wrong.append(f"{key}: {error!r}")
            continue
        found[key] = np.array(path)
        if not np.isfinite(found[key]).all():
            wrong.append(f"{key} is not finite")
    if wrong:
        raise RuntimeError("\n".join(wrong))
    return found


def main():
    import importlib.metadata
    names = "torch optax jax keras torch_optimizer numpy".split()
    versions = {n: importlib.metadata.version(n.replace("_", "-")) for n in names}
    print(json.dumps(versions))
    found = record()
    np.savez_compressed(FILE, versions=np.array(json.dumps(versions)), **found)
    print(f"{FILE.name}: {len(found)} paths, {FILE.stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    main()
