"""Bad programs: each is told what is wrong, changes nothing, and runs when it is mended; and docs/misuse.md says so."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from samples import misuse

import minigrad
from minigrad import Tensor, nn, optim
from minigrad import functional as F

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "misuse.md").read_text(encoding="utf-8")
VERSIONS = re.search(r"Python (\S+), NumPy (\S+)\)", PAGE).groups()


@pytest.mark.parametrize("name", misuse.cases)
def test_a_mistake_is_told_and_changes_nothing(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    case, wrong = misuse.cases[name], misuse.Wrong()
    case.run(wrong)  # what is below the mistake is the program mended; warnings are errors
    (said,) = wrong.said
    assert isinstance(said, case.kind), repr(said)
    for word in case.words:
        assert word in str(said)
    assert wrong.changed == []


@pytest.mark.parametrize("name", [*misuse.fine, *misuse.unknowable])
def test_what_is_no_mistake_runs(name):
    {**misuse.fine, **misuse.unknowable}[name]()


def test_there_are_many():
    assert len(misuse.cases) >= 120
    assert all(case.words for case in misuse.cases.values())


# ---- that the test would notice ----
def test_a_change_of_the_state_is_noticed():
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    optimizer = optim.Adam(model.parameters())
    (model(np.eye(3, dtype=np.float32)) ** 2).sum().backward()
    changes = {
        "weight": lambda: model[0].weight.data.__setitem__((0, 0), -0.0),
        "grad": lambda: setattr(model[0].weight, "grad", None),
        "requires_grad": lambda: model[0].requires_grad_(False),
        "buffer": lambda: model[1].running_mean.__iadd__(1e-7),
        "training": lambda: model[1].eval(),
        "hook": lambda: model.register_forward_hook(print),
        "lr": lambda: setattr(optimizer, "lr", 0.5),
        "state": lambda: optimizer.state.__setitem__(model[0].bias, {"step": 1}),
        "generator": lambda: minigrad.default_generator().random(),
        "recording": lambda: minigrad.no_grad().__enter__(),
    }
    recording = misuse.mode.recording
    for what, change in changes.items():
        wrong = misuse.Wrong()
        try:
            with wrong(model, optimizer):
                change()
            assert wrong.changed, what
        finally:
            misuse.mode.recording = recording
    wrong = misuse.Wrong()
    with wrong(model, optimizer):
        model[0](np.eye(3, dtype=np.float32))
    assert wrong.said == wrong.changed == []


# ---- threads ----
def at_once(n, task):
    """Runs task(i) in n threads that begin together."""
    gate, failures = threading.Barrier(n), []

    def run(i):
        gate.wait()
        try:
            task(i)
        except BaseException as error:
            failures.append(error)
    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert failures == []


@pytest.fixture
def eager():
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_inference_from_eight_threads_is_serial(eager, generator):
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
                          nn.Linear(4 * 5 * 5, 10), nn.Dropout(0.5)).eval()
    batches = generator.standard_normal((8, 6, 1, 12, 12)).astype(np.float32)
    expected, found = [model(x).data.tobytes() for x in batches], {}

    def task(i):
        for round in range(5):
            found[i, round] = model(batches[i]).data.tobytes()
    at_once(8, task)
    assert all(found[i, round] == expected[i] for i in range(8) for round in range(5))


def test_gradients_of_many_threads_add_up(eager):
    for _ in range(5):
        w = Tensor(np.zeros(20_000), requires_grad=True)  # long enough for NumPy to let others run
        at_once(8, lambda i, w=w: [(w * 2.0 ** i).sum().backward() for _ in range(10)])
        np.testing.assert_array_equal(w.grad.data, 10 * 255.0)  # exact in any order


def test_statistics_of_many_threads_are_all_counted(eager):
    """Each batch moves the running mean from m to m / 2 + 1 / 2, so in any order it is 1 - 2^-n."""
    x = np.ones((2, 20_000))
    for _ in range(12):
        norm = nn.BatchNorm1d(20_000, momentum=0.5, dtype=np.float64)
        at_once(4, lambda i, norm=norm: [norm(x) for _ in range(5)])
        np.testing.assert_array_equal(norm.running_mean, 1 - 2.0 ** -20)
        assert norm.num_batches_tracked == 20


# ---- warnings come once ----
def test_a_step_without_gradients_is_told_once():
    p = nn.Parameter(np.ones(2))
    optimizer = optim.SGD([p], lr=0.1)
    with pytest.warns(RuntimeWarning, match="no parameter has a gradient") as told:
        optimizer.step(), optimizer.step()
    assert len(told) == 1 and p.data.tolist() == [1, 1]
    frozen = optim.SGD([p], lr=0.1)
    p.requires_grad = False
    frozen.step()  # is meant


def test_a_group_of_rate_0_beside_another_is_meant():
    p, q = nn.Parameter(np.ones(2)), nn.Parameter(np.ones(2))
    optim.SGD([{"params": [p], "lr": 0.0}, {"params": [q]}], lr=0.1)
    with pytest.warns(UserWarning, match="lr is 0"):
        optim.SGD([p, q], lr=0.0)


# ---- where more than one thing can be wrong ----
@pytest.mark.parametrize("bias", [(2, 1), (1, 3), (1,), (5,)])
def test_only_a_bias_of_the_right_shape_is_added(bias):
    with pytest.raises(ValueError, match=r"expected \(3,\)"):
        F.linear(np.ones((2, 4)), Tensor(np.ones((4, 3))), Tensor(np.ones(bias)))


def test_the_names_of_others_are_told_only():
    t, model = Tensor([1, 2]), nn.Linear(3, 2)
    for x, names in ((t, ("exp", "cuda", "unsqueeze")), (model, ("cuda", "fit"))):
        for name in names:
            assert not hasattr(x, name) and name not in dir(x)
    assert "sum" in dir(t) and {"weight", "to"} <= set(dir(model))


# ---- the page ----
def test_the_page_is_up_to_date():
    here = f"{sys.version_info[0]}.{sys.version_info[1]}", ".".join(np.__version__.split(".")[:2])
    if here != VERSIONS:
        pytest.skip(f"the page is of Python {VERSIONS[0]} and NumPy {VERSIONS[1]}, whose messages change")
    done = subprocess.run([sys.executable, ROOT / "docs" / "misuse.py", "--print"], check=True, capture_output=True,
                          encoding="utf-8")
    assert done.stdout == PAGE, "run: python docs/misuse.py"


def test_every_program_stands_on_the_page():
    """On any version."""
    for name in [*misuse.cases, *misuse.fine, *misuse.unknowable]:
        assert f"| {name.replace('_', ' ')} |" in PAGE, "run: python docs/misuse.py"
    for helper in misuse.HELPERS:
        assert inspect.getsource(helper) in PAGE
