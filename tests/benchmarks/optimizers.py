"""A step of every optimizer on the 235,146 float32 weights of the MNIST MLP, beside PyTorch's default optimizer.

    python tests/benchmarks/optimizers.py                       all
    python tests/benchmarks/optimizers.py Adam SGD              some

numpy: the formulas as they stand; compiled: the same text as a loop (minigrad.kernels.using), where it is elementwise.

Everything runs in a process of its own, and the processes of a row take turns. A row gives the medians and the
median of the ratios, turn by turn, with the middle half of them. Without PyTorch or Numba their columns stay empty.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import pkgutil
import time

import numpy as np
from turns import Worker, ratio, serve, take_turns

SHAPES = ((784, 256), (256,), (256, 128), (128,), (128, 10), (10,))
TWINS = {n: (n, {}) for n in ("SGD", "ASGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam",
                              "RAdam", "RMSprop", "Rprop", "Muon")}
TWINS |= {"Momentum": ("SGD", {"momentum": 0.9}), "NAG": ("SGD", {"momentum": 0.9, "nesterov": True}),
          "NAdamW": ("NAdam", {"decoupled_weight_decay": True, "weight_decay": 1e-4})}
MATRIX_ONLY = {"Muon"}
OTHERS = ("classical", "wrappers", "schedules")  # modules whose steps are not a rule on given gradients


def classes():
    from minigrad import optim
    from minigrad.optim.optimizer import Optimizer
    found = {}
    for info in pkgutil.iter_modules(optim.__path__):
        if info.name not in OTHERS:
            module = importlib.import_module(f"minigrad.optim.{info.name}")
            found |= {n: c for n, c in vars(module).items() if isinstance(c, type) and issubclass(c, Optimizer)
                      and hasattr(c, "update") and c.__module__ == module.__name__ and not n.startswith("_")}
    return found


def arrays(name):
    rng = np.random.default_rng(0)
    shapes = [s for s in SHAPES if len(s) == 2 or name not in MATRIX_ONLY]
    return [(0.05 * rng.standard_normal((2, *s))).astype(np.float32) for s in shapes]


# ---- a worker: asked to take so many steps, it answers with the seconds of one ----
def ours(name):
    from minigrad import Parameter, Tensor
    cls = classes()[name]
    params = [Parameter(w) for w, _ in arrays(name)]
    for p, (_, g) in zip(params, arrays(name)):
        p.grad = Tensor(g)
    optimizer = cls(params)
    if name in TWINS:
        return optimizer.step
    loss = Tensor(np.float32(1.0))
    closure = lambda: loss  # the gradients are there already, but some rules want the loss
    return lambda: optimizer.step(closure)


def torchs(name):
    import torch
    twin, arguments = TWINS[name]
    params = [torch.nn.Parameter(torch.tensor(w)) for w, _ in arrays(name)]
    for p, (_, g) in zip(params, arrays(name)):
        p.grad = torch.tensor(g)
    return getattr(torch.optim, twin)(params, **arguments).step


def prepare(kind, name):
    import warnings
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    step = torchs(name) if kind == "torch" else ours(name)
    for _ in range(3):
        step()

    def seconds(count):
        start = time.perf_counter()
        for _ in range(count):
            step()
        return (time.perf_counter() - start) / count
    return {}, seconds


# ---- the one that asks ----
def row(name, kinds, turns):
    """kind -> seconds of each turn, or what went wrong."""
    workers = {kind: Worker(__file__, [kind, name], environment={
        "MINIGRAD_KERNELS": "compiled" if kind == "compiled" else "reference"})
        for kind in kinds if kind != "torch" or name in TWINS}
    ready = {kind: w for kind, w in workers.items() if w.ready}
    counts = {kind: max(1, int(0.02 / max(w.ask(3), 1e-5))) for kind, w in ready.items()}
    found = take_turns(ready, counts.get, turns)
    complaints = {kind: w.end() for kind, w in workers.items()}
    whole = {kind: np.array(s) for kind, s in found.items() if len(s) == turns}
    return whole, {k: c for k, c in complaints.items() if k not in whole}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--turns", type=int, default=25)
    parser.add_argument("--worker", nargs=2, metavar=("KIND", "NAME"))
    asked = parser.parse_args()
    if asked.worker:
        return serve(lambda: prepare(*asked.worker))
    there = classes()
    names = [n for n in there if n.lower() in {m.lower() for m in asked.names}] if asked.names else list(there)
    kinds = ["numpy"]
    for kind, module in (("compiled", "numba"), ("torch", "torch")):
        if importlib.util.find_spec(module):
            kinds.append(kind)
        else:
            print(f"{module} is not installed: its column stays empty")
    print(f"{'ms a step':<20}" + "".join(f"{k:>9}" for k in kinds) + "   ratios to torch, and their middle halves")
    ratios = {kind: [] for kind in kinds if kind != "torch"}
    refused = {}
    for name in names:
        elementwise = there[name].elementwise
        seconds, complaints = row(name, [k for k in kinds if k != "compiled" or elementwise], asked.turns)
        text = "".join(f"{np.median(seconds[k]) * 1e3:>9.3f}" if k in seconds else f"{'-':>9}" for k in kinds)
        for kind in ratios:
            if kind in seconds and "torch" in seconds:
                low, middle, high = ratio(seconds[kind], seconds["torch"])
                ratios[kind].append((middle, name, elementwise))
                text += f"   {kind} {middle:.2f} ({low:.2f} to {high:.2f})"
        print(f"{name:<20}{text}{'' if elementwise else '   whole tensors'}", flush=True)
        refused |= {f"{name}, {kind}": why for kind, why in complaints.items()}
    for kind, found in ratios.items():
        some = [r for r, _, elementwise in found if elementwise]
        if some:
            worst = max(found)
            print(f"{kind}: median ratio of {len(some)} elementwise rules {np.median(some):.2f}, the largest "
                  f"{max(some):.2f}; of all {worst[0]:.2f} ({worst[1]})")
    for where, why in refused.items():
        print(f"{where} did not run: {why}")


if __name__ == "__main__":
    main()
