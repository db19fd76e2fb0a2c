"""The same work in minigrad and in other frameworks: how long, how much memory, as ratios.

    python tests/benchmarks/frameworks.py                                   all but the accuracy
    python tests/benchmarks/frameworks.py mlp cnn memory                    some of the parts below
    python tests/benchmarks/frameworks.py --json run.json --markdown run.md --picture run.png
    python tests/benchmarks/frameworks.py --render run.json                 from a file: docs/performance.md

mlp, cnn, lenet, norm (the CNN with batch normalization), lstm: a training step, and its forward, backward and update
where they can be told apart. memory: of training the CNN. engine: an op on eight elements. growth: in depth, width,
batch and image size. lbfgs: full batch. accuracy, or --to-accuracy: seconds to 98 % (MLP) and 99 % (CNN) on MNIST,
which $MINIGRAD_DATA must hold.

Every framework has a process of its own with the same number of threads, else its own defaults; they take turns round
by round. From the same weights and data the first losses must agree within 1e-3, or a framework is not timed. A value
is the median over the rounds; a ratio the median of the ratios round by round, with the middle half of them. products:
the matrix products of the step alone, by NumPy, the limit of what can be done with this BLAS. What is missing (it is in
tests/benchmarks/requirements.txt) is left out and named.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import tables
from peers.problem import OPS, Problem
from turns import Worker, take_turns


@dataclass(frozen=True)
class Kind:
    """Something that takes its turn: a file of peers/, and how it runs."""

    title: str
    file: str
    variant: str | None = None
    environment: dict[str, str] = field(default_factory=dict)


KINDS = {
    "compiled": Kind("minigrad, compiled", "ours", environment={"MINIGRAD_KERNELS": "compiled"}),
    "numpy": Kind("minigrad, NumPy", "ours", environment={"MINIGRAD_KERNELS": "reference"}),
    "torch": Kind("PyTorch", "torch"),
    "fused": Kind("PyTorch, fused Adam", "torch", "fused"),
    "jax": Kind("JAX, jit", "jax"),
    "tinygrad": Kind("tinygrad, jit", "tinygrad"),
    "mygrad": Kind("MyGrad", "mygrad"),
    "autograd": Kind("autograd", "autograd"),
    "hand": Kind("NumPy by hand", "hand"),
    "products": Kind("the products alone", "products"),
}
PLAIN = Kind("minigrad, SGD", "ours", "SGD", {"MINIGRAD_KERNELS": "reference"})  # to agree with peers without Adam
OWN = ("compiled", "numpy", "torch")

# row, measure, beside whom: at most these ratios, compiled and with NumPy alone
TARGETS = {
    ("MLP, batch 32", "step", "torch"): (0.60, 1.0), ("MLP, batch 128", "step", "torch"): (0.72, 1.0),
    ("MLP, batch 32", "step", "fused"): (0.88, 1.5), ("MLP, batch 128", "step", "fused"): (0.92, 1.3),
    ("MLP, batch 32", "step", "jax"): (0.75, 1.2), ("MLP, batch 128", "step", "jax"): (0.80, 1.2),
    ("CNN, batch 128", "step", "torch"): (0.85, 1.6),
    ("CNN, batch 128", "step", "mygrad"): (0.08, 0.14), ("CNN, batch 128", "step", "jax"): (0.28, 0.5),
    ("LeNet-5, batch 128", "step", "torch"): (1.0, 1.8),
    ("CNN with batch norm, batch 128", "step", "torch"): (1.0, 1.8),
    ("CNN to 99 %", "seconds", "torch"): (0.85, 1.6),
    ("CNN, batch 128: memory", "peak", "torch"): (1.0, 1.2),
    ("MLP, batch 32", "step", "hand"): (None, 1.05), ("MLP, batch 128", "step", "hand"): (None, 1.05),
    ("chain of 100,000", "backward", "torch"): (None, 1.0),
}


@dataclass(frozen=True)
class Row:
    """One comparison: a job, what it is asked each turn (None: as many repetitions as fill a turn), and who takes part.

    request "seed": the number of the turn. unit: of the measures. rounds: the share of the turns that it is worth.
    fresh: a new process every turn.
    """

    part: str
    name: str
    job: str
    arguments: dict
    request: object = None
    unit: str = "ms"
    kinds: tuple[str, ...] = tuple(KINDS)
    rounds: float = 1.0
    fresh: bool = False


def rows(parts, quick):
    """All of the parts, in order; quick: the smallest of each."""
    models = {"mlp": "MLP", "cnn": "CNN", "lenet": "LeNet-5", "norm": "CNN with batch norm", "lstm": "LSTM over rows"}
    for part in parts:
        if part in models:
            for batch in batches(part, quick):
                yield Row(part, f"{models[part]}, batch {batch}", "step", {"problem": asdict(Problem(part, batch))})
        elif part == "memory":
            problem = Problem("cnn", 8 if quick else 128)
            yield Row(part, f"CNN, batch {problem.batch}: memory", "memory", {"problem": asdict(problem)},
                      2 if quick else 20, "MB", tuple(k for k in KINDS if k != "products"), 0.2, True)
        elif part == "engine":
            for op in OPS[:1] if quick else OPS:
                yield Row(part, op, "engine", {"op": op}, 1, "µs", (*OWN, "mygrad", "autograd"))
        elif part == "growth":
            yield from growth(quick)
        elif part == "lbfgs":
            problem, evaluations = Problem("mlp", 100 if quick else 2000), 10 if quick else 25
            yield Row(part, f"L-BFGS, {problem.batch:,} images", "lbfgs",
                      {"problem": asdict(problem), "evaluations": evaluations}, 1, "ms", OWN, 0.3)
        elif part == "accuracy":
            for model, wanted in (("mlp", 0.98), ("cnn", 0.99)):
                yield Row(part, f"{models[model]} to {wanted:.0%}".replace("%", " %"), "accuracy",
                          {"problem": asdict(Problem(model)), "wanted": wanted, "epochs": 20}, "seed", "s", OWN, 0.2)


def batches(part, quick):
    if part == "mlp":
        return (32,) if quick else (1, 32, 128, 1024)
    return (8,) if quick else (128,)


def growth(quick):
    for depth in (10, 1000) if quick else (10, 100, 1000, 10_000, 100_000):
        yield Row("growth", f"chain of {depth:,}", "chain", {"depth": depth}, None, "ms",
                  (*OWN, "mygrad", "autograd"), 0.4)
    grown = {"width": ("mlp", (32, 128, 512, 2048), {}), "batch": ("mlp", (1, 8, 64, 512, 4096), {}),
             "size": ("cnn", (16, 28, 56, 112), {"batch": 32})}
    for what, (model, values, others) in grown.items():
        for value in values[:1] if quick else values:
            problem = Problem(**{"model": model, **others, what: value})
            yield Row("growth", f"{model.upper()}, {what} {value}", "step", {"problem": asdict(problem)}, None, "ms",
                      (*OWN, "products"), 0.4)


PARTS = ("mlp", "cnn", "lenet", "norm", "lstm", "memory", "engine", "growth", "lbfgs", "accuracy")


# ---- measuring ----
class Benchmark:
    def __init__(self, kinds, turns, threads, pythons, quick):
        self.turns, self.threads, self.pythons, self.quick = turns, threads, pythons, quick
        self.kinds, self.versions, self.absent = [], {}, {}
        for kind in kinds:
            worker = self.worker(KINDS[kind], "versions", {}, kind)
            if worker.ready:
                self.kinds.append(kind)
                self.versions |= worker.first
            why = worker.end()
            if not worker.ready:
                self.absent[kind] = why

    def worker(self, kind, job, arguments, name=None):
        n = str(self.threads)
        limits = {name: n for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
                                       "NUMBA_NUM_THREADS", "NUM_CPU_THREADS")}
        return Worker(__file__, [kind.file, kind.variant or "", n, job, json.dumps(arguments)],
                      self.pythons.get(name, sys.executable), {**limits, **kind.environment})

    def measure(self, row):
        """part, name, unit, kinds: {kind: {optimizer, losses, turns: {measure: a value each turn}}},
        absent: {kind: why}, disagree: [kind]"""
        found = {"part": row.part, "name": row.name, "unit": row.unit, "kinds": {}, "absent": {}, "disagree": []}
        kinds = [k for k in row.kinds if k in self.kinds]
        (self.fresh if row.fresh else self.lasting)(row, kinds, max(2, round(self.turns * row.rounds)), found)
        return found

    def lasting(self, row, kinds, turns, found):
        """One process for all turns."""
        workers = {k: self.worker(KINDS[k], row.job, row.arguments, k) for k in kinds}
        ready = {k: w for k, w in workers.items() if w.ready}
        self.disagree(row, {k: w.first for k, w in ready.items()}, found)
        ready = {k: w for k, w in ready.items() if k not in found["disagree"]}
        requests = {k: itertools.count() if row.request == "seed" else itertools.repeat(self.count(row, w))
                    for k, w in ready.items()}
        answers = take_turns(ready, lambda k: next(requests[k]), turns)
        for k, w in workers.items():
            why = w.end()
            if len(answers.get(k, ())) < turns:
                found["absent"].setdefault(k, short(why))
            else:
                found["kinds"][k] = {**w.first, "turns": columns(answers[k])}

    def fresh(self, row, kinds, turns, found):
        """A new process every turn: memory that has once been taken is not given back. The first one fills caches."""
        answers = {k: [] for k in kinds}
        for turn in range(turns + 1):
            for k in kinds:
                if k in found["absent"]:
                    continue
                worker = self.worker(KINDS[k], row.job, row.arguments, k)
                try:
                    answer = worker.ask(row.request)
                    if turn:
                        answers[k].append(answer)
                except RuntimeError as why:
                    found["absent"][k] = short(str(why))
                worker.end()
        found["kinds"] = {k: {"turns": columns(of)} for k, of in answers.items() if k not in found["absent"]}

    def count(self, row, worker):
        if row.request is not None:
            return row.request
        try:
            first = worker.ask(1)
        except RuntimeError:
            return 1
        return max(1, int((0.01 if self.quick else 0.1) / first["step"]))

    def disagree(self, row, first, found):
        """Notes those whose losses are not the others'; without Adam: not those of minigrad's SGD."""
        losses = {k: f["losses"] for k, f in first.items() if f.get("losses") and f["losses"][0] is not None}
        adam = next((losses[k] for k in ("torch", "numpy", *losses) if k in losses
                     and first[k]["optimizer"] == "Adam"), None)
        expected = {"Adam": adam, "SGD": None}
        if any(first[k]["optimizer"] == "SGD" for k in losses):
            plain = self.worker(PLAIN, row.job, row.arguments)
            expected["SGD"] = plain.first["losses"] if plain.ready else adam and adam[:1]
            plain.end()
        for k, of in losses.items():
            other = expected[first[k]["optimizer"]] or of
            if not np.allclose(of[:len(other)], other, rtol=1e-3):
                found["disagree"].append(k)
                found["absent"][k] = f"another computation: losses {of}, not {other}"


def columns(answers):
    return {name: [a[name] for a in answers] for name in answers[0]}


def short(why):
    return why.removeprefix("NotImplementedError: ")[:200] or "it ended early"


def machine(benchmark):
    """What it ran on."""
    model = platform.processor() or platform.machine()
    cpuinfo, meminfo = Path("/proc/cpuinfo"), Path("/proc/meminfo")
    if cpuinfo.exists():
        model = next((line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines()
                      if line.startswith("model name")), model)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = {"processor": model, "cores": cores, "threads": benchmark.threads, "system": platform.platform(),
             "python": platform.python_version(), "versions": dict(sorted(benchmark.versions.items())),
             "date": time.strftime("%Y-%m-%d"), "turns": benchmark.turns, "load": os.getloadavg()[0]}
    if meminfo.exists():
        found["memory"] = f"{int(meminfo.read_text().split()[1]) / 2**20:.0f} GB"
    worker = benchmark.worker(KINDS["products"], "peak", {})
    found["GFLOP/s"] = max(worker.ask(1)["GFLOP/s"] for _ in range(2 if benchmark.quick else 10))
    worker.end()
    return found


def run(asked):
    """All that was asked for, as it goes into the file."""
    parts = [p for p in PARTS if p in asked.parts]
    if "accuracy" in parts and not os.environ.get("MINIGRAD_DATA"):
        parts.remove("accuracy")
        print("accuracy: skipped, MINIGRAD_DATA says not where MNIST is")
    benchmark = Benchmark(asked.kinds, asked.turns, asked.threads, asked.python, asked.quick)
    result = {"titles": {k: KINDS[k].title for k in KINDS}, "machine": machine(benchmark), "rows": [],
              "absent": benchmark.absent, "targets": []}
    print("\n".join(tables.described(result)))
    for row in rows(parts, asked.quick):
        result["rows"].append(benchmark.measure(row))
        result["targets"] = targets(result["rows"])
        print("\n" + tables.terminal(result["rows"][-1], result["titles"]), flush=True)
        save(result, asked.json)  # a long run that is cut short leaves what it has
    return result


def save(result, path):
    if path:
        path.write_text(json.dumps(result, indent=1), encoding="utf-8")


def targets(found):
    """Those whose row was measured: {"row", "measure", "beside", "kind", "limit", "ratio": (25 %, 50 %, 75 %)}"""
    by_name = {row["name"]: row["kinds"] for row in found}
    judged = []
    for (name, measure, beside), limits in TARGETS.items():
        there = by_name.get(name, {})
        for kind, limit in zip(("compiled", "numpy"), limits):
            if limit is not None and kind in there and beside in there:
                judged.append({"row": name, "measure": measure, "beside": beside, "kind": kind, "limit": limit,
                               "ratio": tables.compared(there, kind, beside, measure)})
    return judged


# ---- the command ----
def pythons(text):
    name, _, path = text.partition("=")
    if name not in KINDS or not path:
        raise argparse.ArgumentTypeError(f"NAME=PATH, with a name of {', '.join(KINDS)}, not {text!r}")
    return name, path


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--to-accuracy", action="store_true", help="also the part accuracy")
    parser.add_argument("--turns", type=int, help="rounds; default 25")
    parser.add_argument("--quick", action="store_true", help="small sizes and 3 rounds: only to see that it works")
    parser.add_argument("--threads", type=int, default=2, help="of every framework; default 2")
    parser.add_argument("--kinds", type=lambda s: s.split(","), default=list(KINDS), metavar="NAME,...",
                        help=", ".join(KINDS))
    parser.add_argument("--python", type=pythons, action="append", default=[], metavar="NAME=PATH",
                        help="another interpreter for a framework")
    for kind in ("json", "markdown", "picture"):
        parser.add_argument(f"--{kind}", type=Path, metavar="FILE")
    parser.add_argument("--render", type=Path, metavar="FILE.json", help="write page and picture of an earlier run")
    asked = parser.parse_args()
    asked.turns = asked.turns or (3 if asked.quick else 25)
    asked.python = {**dict(asked.python)}
    if unknown := (set(asked.parts) - set(PARTS)) | (set(asked.kinds) - set(KINDS)):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; parts are {', '.join(PARTS)}, kinds {', '.join(KINDS)}")
    asked.parts = asked.parts or [p for p in PARTS if p != "accuracy" or asked.to_accuracy]
    asked.parts += ["accuracy"] * asked.to_accuracy
    return asked


def main():
    if sys.argv[1:2] == ["--worker"]:
        from peers import jobs
        from turns import serve
        file, variant, threads, job, given = sys.argv[2:]
        return serve(lambda: jobs.prepare(file, variant or None, int(threads), job, json.loads(given)))
    asked = arguments()
    if asked.render:
        docs = Path(__file__).parents[2] / "docs"
        result = json.loads(asked.render.read_text(encoding="utf-8"))
        asked.markdown = asked.markdown or docs / "performance.md"
        asked.picture = asked.picture or docs / "images" / "performance.png"
    else:
        result = run(asked)
        print("\n" + tables.judged(result["targets"], result["titles"]))
        save(result, asked.json)
    if asked.picture:
        tables.picture(result, asked.picture)
    if asked.markdown:
        tables.markdown(result, asked.markdown, asked.picture)
    return any(row["disagree"] for row in result["rows"])


if __name__ == "__main__":
    sys.exit(main())
