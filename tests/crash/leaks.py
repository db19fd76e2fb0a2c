"""A thousand fits, and what they leave behind: open files, threads, temporary files, memory.

    python tests/crash/leaks.py --fits 1000

The exit code is 1 if the fits after the first tenth have left any, or more than 2 MB.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import os
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np

from minigrad import callbacks, data, nn, optim, train


def open_files():
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def memory():
    """Resident, in bytes."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1]) if os.path.exists("/proc/self/statm") else 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def stop(model, history):
    raise KeyboardInterrupt


def fits(count, folder):
    """All that fit can do, in turn: loaders, a checkpoint folder, resuming, an interruption, a loss that is not
    finite, another optimizer."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 1, 8, 8)).astype(np.float32), rng.integers(0, 3, 40)
    ways = [
        lambda model: {"data": (x, y), "batch_size": 20},
        lambda model: {"data": data.DataLoader((x, y), 20, prefetch=2, transform=data.RandomTranslate(1))},
        lambda model: {"data": (x, y), "batch_size": 20, "checkpoint": folder, "every": 1},
        lambda model: {"data": (x, y), "batch_size": 20, "checkpoint": folder, "resume": folder, "epochs": 2},
        lambda model: {"data": (x, y), "batch_size": 20, "callbacks": [stop], "checkpoint": folder},
        lambda model: {"data": (np.full_like(x, np.nan), y)},
        lambda model: {"data": (x, y), "optimizer": optim.LBFGS(model.parameters(), max_iter=2), "batch_size": None},
        lambda model: {"data": (x, y), "validation": (x, y), "callbacks": [callbacks.EarlyStopping(patience=1)]}]
    for way in itertools.islice(itertools.cycle(ways), count):
        model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Dense(144, 3))
        options = {"optimizer": optim.Adam(model.parameters()), "progress": False, **way(model)}
        try:
            train.fit(model, options.pop("data"), options.pop("optimizer"), **options)
        except train.Diverged:
            pass


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fits", type=int, default=1000)
    count = parser.parse_args().fits
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = str(Path(folder) / "temporary")
        os.mkdir(tempfile.tempdir)

        def state():
            return open_files(), threading.active_count(), len(os.listdir(tempfile.tempdir)), memory()
        fits(count // 10, Path(folder) / "run")
        before = state()
        fits(count - count // 10, Path(folder) / "run")
        after = state()
    print(f"{count} fits, after the first {count // 10}:")
    for name, a, b in zip(("open files", "threads", "temporary files", "bytes of memory"), before, after):
        print(f"{name:>16} {a:>14,} -> {b:>14,}")
    return 1 if any(b > a for a, b in zip(before[:3], after[:3])) or after[3] > before[3] + 2_000_000 else 0


if __name__ == "__main__":
    sys.exit(main())
