"""Record torch_optimizer's AdaHessian and optax's Sophia on given signs, so that the tests need neither.

    JAX_ENABLE_X64=1 python tests/references/record_hutchinson.py    # rewrites hutchinson.npz

What both sides share is defined here: the losses, written with what arrays of any library have, the starts, the signs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
STEPS = 8
SHAPES = ((), (3,), (4, 3), (2, 3, 2, 2))  # torch_optimizer's fails for three axes
ADAHESSIAN = {"paper": {"lr": 0.15, "hessian_power": 1.0},
              "all": {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-2, "weight_decay": 0.1, "hessian_power": 0.5}}
SOPHIA = {"lr": 0.05, "gamma": 0.4, "weight_decay": 0.1}
INDEFINITE = np.array([[4.0, 1, 0, 2], [1, 2, -1, 0], [0, -1, -3, 1], [2, 0, 1, 1]])  # a Hessian


def starts(shapes=SHAPES):
    rng = np.random.default_rng(0)
    return [np.asarray(rng.standard_normal(s)) for s in shapes]


def signs(step, shapes=SHAPES):
    """z of a step, from 0, for every parameter."""
    rng = np.random.default_rng(100 + step)
    return [np.asarray(rng.choice([-1.0, 1.0], s)) for s in shapes]


def mixed(s, v, m, k):
    """A loss whose Hessian is far from diagonal."""
    return ((m @ v - s) ** 2).sum() + (k ** 4).sum() / 4 + (k * k).sum() * s * s + (m ** 3).sum() / 3


def record_adahessian(settings):
    import torch
    import torch_optimizer
    params = [torch.tensor(w, requires_grad=True) for w in starts()]
    optimizer, path = torch_optimizer.Adahessian(params, **settings), []
    before = torch.randint_like
    try:
        for step in range(STEPS):
            given = iter(signs(step))
            torch.randint_like = lambda p, high, memory_format, given=given: torch.tensor((next(given) + 1) / 2)
            optimizer.zero_grad()
            mixed(*params).backward(create_graph=True)
            optimizer.step()
            path.append(np.concatenate([p.detach().numpy().ravel() for p in params]))
    finally:
        torch.randint_like = before
    return np.array(path)


def record_sophia():
    """Without momentum, which optax corrects for its start.

    optax takes a new h at the step after: the first has lr 0 here, and each later one is the next of algorithm 3, for
    on a quadratic h does not depend on the weights.
    """
    import jax.numpy as jnp
    import optax
    hessian = jnp.asarray(INDEFINITE)
    given = optax.GradientTransformationExtraArgs(
        lambda params: jnp.zeros((), int),
        lambda g, t, params=None, **_: ((zs[t] * (zs[t] @ hessian)), t + 1))
    zs = jnp.asarray([signs(step, [(4,)])[0] for step in range(STEPS + 1)])
    optimizer = optax.contrib.sophia(lambda t: jnp.where(t > 0, SOPHIA["lr"], 0.0), b1=0.0, b2=0.9, eps=1e-12,
                                     gamma=SOPHIA["gamma"], weight_decay=SOPHIA["weight_decay"], update_interval=1,
                                     hessian_diagonal_fn=given)
    w = jnp.asarray(starts([(4,)])[0])
    state, path = optimizer.init(w), []
    for _ in range(STEPS + 1):
        updates, state = optimizer.update(hessian @ w, state, w)
        w = optax.apply_updates(w, updates)
        path.append(np.asarray(w))
    return np.array(path)[1:]


if __name__ == "__main__":
    paths = {name: record_adahessian(settings) for name, settings in ADAHESSIAN.items()}
    np.savez(HERE / "hutchinson.npz", sophia=record_sophia(), **paths)
