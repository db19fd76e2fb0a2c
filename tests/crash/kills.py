"""Kill real trainings with SIGKILL at random moments, resume each, and compare what comes out with an unbroken run's.

    MINIGRAD_DATA=... python tests/crash/kills.py --kills 100 --seed 0
    python tests/crash/kills.py --data digits --kills 4 --models mlp

Every killed run is one of ``minigrad train``, of the MLP and the CNN in turn; its moment is drawn from the whole life
of the process, its start and the pictures at the end too. A run is lost if --resume does not bring it to the end, and
different if one bit is: of the weights, the optimizer's state, the generators, the best model, the losses. Of times,
which differ, nothing is compared. The exit code is 1 if there is any.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from minigrad import checkpoint, train

ROOT = Path(__file__).resolve().parents[2]
TIMES = {"seconds", "images_per_second"}
EPOCHS = {"mnist": {"mlp": 2, "cnn": 1}, "digits": {"mlp": 6, "cnn": 3}}
EVERY = {"mnist": 50, "digits": 20}


def command(*arguments):
    return [sys.executable, "-m", "minigrad", "train", *map(str, arguments)]


def start(*arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "random"}
    return subprocess.Popen(command(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                            env=environment)


def plain(value):
    """A value with its arrays as bytes, so that == compares bits, and without times."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if k not in TIMES}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return (value.dtype.str, value.shape, value.tobytes()) if isinstance(value, np.ndarray) else value


def outcome(folder):
    """All bits that a run leaves, without its times."""
    found = {}
    for name in ("last", "model"):
        saved = checkpoint.load(folder / f"{name}.safetensors")
        found[name] = {"state": plain(saved.state), "optimizer": plain(saved.optimizer),
                       "metadata": plain(saved.metadata)}
    history = train.History.from_csv(folder / "history.csv")
    rows = [{k: v for k, v in vars(r).items() if k not in TIMES} for r in history]
    return {**found, "history": rows}


def different(a, b, path=""):
    """Where two outcomes differ."""
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return [place for key in a for place in different(a[key], b[key], f"{path}/{key}")]
    return [] if a == b else [path]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the first kill; the next has the next")
    parser.add_argument("--data", choices=tuple(EPOCHS), default="mnist")
    parser.add_argument("--models", nargs="+", choices=("mlp", "cnn"), default=["mlp", "cnn"])
    parser.add_argument("--again", type=float, default=0.3, help="the share of resumed runs that are killed too")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="minigrad-kills-"))
    lost, changed, moments, kills = [], [], [], 0
    unbroken, life = {}, {}
    for model in options.models:
        run, begun = folder / model, time.perf_counter()
        arguments = ("--model", model, "--data", options.data, "--epochs", EPOCHS[options.data][model], "--every",
                     EVERY[options.data], "--seed", 0)
        program = start(*arguments, "--out", run)
        if program.wait():
            sys.exit(f"the unbroken run failed:\n{program.stderr.read()}")
        life[model], unbroken[model] = time.perf_counter() - begun, (arguments, outcome(run))
        print(f"unbroken: {model} on {options.data}, {life[model]:.1f} s", flush=True)
    seed = options.seed
    while kills < options.kills:
        model = options.models[seed % len(options.models)]
        arguments, expected = unbroken[model]
        chance, run, told = random.Random(seed), folder / f"run{seed}", []
        program = start(*arguments, "--out", run)
        while True:  # a resumed run may be killed again
            moment = chance.uniform(0, life[model])
            try:
                program.wait(moment)
            except subprocess.TimeoutExpired:
                program.send_signal(signal.SIGKILL)
                kills += 1
                moments.append(moment / life[model])
            code, error = program.wait(), program.stderr.read()
            program.stderr.close()
            told.append(f"{'killed at' if code == -signal.SIGKILL else f'ended with {code} by'} {moment:.2f} s")
            if code != -signal.SIGKILL:
                break
            # without a folder nothing was promised yet: the same command again
            again = ("--resume", run, "--every", EVERY[options.data]) if (run / "config.json").exists() else (
                *arguments, "--out", run)
            program = start(*again)
            if chance.random() >= options.again:
                code, error = program.wait(), program.stderr.read()
                program.stderr.close()
                break
        where = different(expected, outcome(run)) if code == 0 else None
        if where is None:
            lost.append(seed)
            told.append(f"LOST: {error.strip()[-300:]}")
        elif where:
            changed.append(seed)
            told.append(f"DIFFERENT: {', '.join(where[:5])}")
        print(f"seed {seed} {model}: {', '.join(told)}", flush=True)
        shutil.rmtree(run, ignore_errors=True)
        seed += 1
    shutil.rmtree(folder)
    print(f"{kills} kills of {seed - options.seed} runs (seeds {options.seed} to {seed - 1}), at "
          f"{min(moments):.0%} to {max(moments):.0%} of a run's life: {len(lost)} lost {lost or ''}, "
          f"{len(changed)} with different bits {changed or ''}")
    return 1 if lost or changed else 0


if __name__ == "__main__":
    sys.exit(main())
