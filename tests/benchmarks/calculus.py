"""What derivatives cost in units of a gradient, taking turns in one process, on the MNIST MLP 784-256-128-10.

    python tests/benchmarks/calculus.py

gradient: loss(model).backward(). The other side is in the row's name; the ratio is the median, turn by turn.
"""

from __future__ import annotations

import numpy as np
from engine import mlp, report, take_turns

import minigrad as mg
from minigrad import Tensor
from minigrad import functional as F
from minigrad.calculus import grad, hvp, jacobian, jvp, value_and_grad, vjp, vmap


def main():
    print(f"{'':<28}{'first':>10}{'second':>14}    {'ratio':>8}   (middle half)")
    r = np.random.default_rng(0)
    mg.manual_seed(0)
    model = mlp()
    for batch in (32, 128):
        x, target = Tensor(r.standard_normal((batch, 784)).astype(np.float32)), r.integers(0, 10, batch)
        v = {name: Tensor(r.standard_normal(p.shape).astype(np.float32)) for name, p in model.named_parameters()}

        def loss(m, x=x, target=target):
            return F.cross_entropy(m(x), target)

        def gradient(loss=loss):
            model.zero_grad()
            loss(model).backward()
        for name, run in (("value_and_grad", lambda loss=loss: value_and_grad(loss)(model)),
                          ("hvp", lambda loss=loss, v=v: hvp(loss, model, v)),
                          ("jvp", lambda loss=loss, v=v: jvp(loss, (model,), (v,)))):
            report(f"{name}/gradient b{batch}", *take_turns(run, gradient, 60))

    x = Tensor(r.standard_normal(784).astype(np.float32))

    def logits(x):
        return model(x[None])[0]

    def ten_vjps():
        _, pull = vjp(logits, x)
        return [pull(u) for u in np.eye(10, dtype=np.float32)]
    with mg.no_grad():
        report("jacobian/10 vjps", *take_turns(lambda: jacobian(logits)(x), ten_vjps, 60))
    images, targets = r.standard_normal((128, 784)).astype(np.float32), r.integers(0, 10, 128)

    def of_one(m, x, target):
        return F.cross_entropy(m(x[None]), np.expand_dims(target, 0))
    report("128 examples/loop", *take_turns(lambda: vmap(grad(of_one), (None, 0, 0))(model, images, targets),
                                            lambda: [grad(of_one)(model, *e) for e in zip(images, targets)], 8))


if __name__ == "__main__":
    main()
