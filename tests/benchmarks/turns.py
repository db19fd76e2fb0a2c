"""Processes that take turns: what is compared runs in one of its own, and all are measured round by round.

A worker is the same file run with `--worker ...`; it calls `serve`. The one that asks holds a `Worker` for each.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

PAUSE = 0.06  # seconds


def serve(prepare: Callable[[], tuple[dict, Callable]]) -> None:
    """In a worker: ``prepare()`` gives what there is to say first, and a function from one request to its answer.

    Requests and answers are lines of JSON. What else is printed goes to stderr.
    """
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    first, answer = prepare()
    print(json.dumps(first), file=out, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), file=out, flush=True)


class Worker:
    """``python file --worker *arguments`` in a process of its own.

    first: what it said when it was ready, None if it never was; then `end` says why.
    """

    def __init__(self, file: str | os.PathLike, arguments: Sequence[str], python: str = sys.executable,
                 environment: dict[str, str] | None = None):
        paths = [*(sys.path if python == sys.executable else []), str(Path(__file__).parents[2])]  # minigrad's own
        self.complaint = ""
        self.errors = tempfile.TemporaryFile("w+")  # not a pipe: who complains at length must not wait for a reader
        self.process = subprocess.Popen([python, str(file), "--worker", *arguments], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.errors, text=True,
                                        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **(environment or {})})
        self.first = self._read()

    @property
    def ready(self) -> bool:
        return self.first is not None

    def _read(self):
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def ask(self, request):
        """Its answer. RuntimeError with its complaint if it died of the question, or before."""
        if self.errors.closed:
            raise RuntimeError(self.complaint)
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            pass
        answer = self._read()
        if answer is None:
            raise RuntimeError(self.end())
        return answer

    def end(self) -> str:
        """End it; if it died, what it complained of: from the line that names the error, two lines."""
        if not self.errors.closed:
            self.process.communicate()
            self.errors.seek(0)
            lines = [line.strip() for line in self.errors.read().splitlines() if line.strip()]
            self.errors.close()
            if self.process.returncode:
                lines = lines or [f"it ended with status {self.process.returncode}"]
                first = max((i for i, line in enumerate(lines) if "Error" in line.split(" ")[0]),
                            default=len(lines) - 1)
                self.complaint = " ".join(lines[first:first + 2])
        return self.complaint


def take_turns(workers: dict[str, Worker], request: Callable[[str], object], turns: int) -> dict[str, list]:
    """name -> its answers, one a round; who has died is asked no more and has the answers until then.

    Every round has an order of its own, so that nobody always runs after the same neighbour, and a neighbour's idle
    threads get time to fall asleep: OpenBLAS' and OpenMP's spin on for up to 30 ms.
    """
    answers, alive, order = {name: [] for name in workers}, set(workers), np.random.default_rng(0)
    for _ in range(turns):
        for name in order.permutation([name for name in workers if name in alive]).tolist():
            time.sleep(PAUSE)
            try:
                answers[name].append(workers[name].ask(request(name)))
            except RuntimeError:
                alive.remove(name)
    return answers


def middle(values: Sequence[float]) -> tuple[float, float, float]:
    """The median and the middle half: (25 %, 50 %, 75 %)."""
    return tuple(float(q) for q in np.percentile(values, [25, 50, 75]))


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float, float]:
    """`middle` of the ratios, turn by turn: they hold when the machine's speed drifts."""
    return middle(np.divide(ours, theirs))
