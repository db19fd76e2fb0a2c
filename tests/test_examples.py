"""Every example runs, prints what it promises, and stays short."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ARGUMENTS = {"03_mnist_mlp": ["digits", "2"], "04_mnist_cnn": ["digits", "2"]}
PROMISES = {
    "01_scalar_chain_rule": "second derivative -16.157551, third -20.343963",
    "02_xor": "predictions [0. 1. 1. 0.]",
    "03_mnist_mlp": "epoch 2  loss",
    "04_mnist_cnn": "most often taken for another",
    "05_optimizers": "conjugate gradients, step 2: [0. 0.]",
    "06_newton_rosenbrock": "is the saddle",
    "07_full_batch_race": "L-BFGS by hand: loss ",
}


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.stem)
def test_example(path, tmp_path):
    assert len(path.read_text().splitlines()) < 60
    done = subprocess.run([sys.executable, "-W", "error", str(path), *ARGUMENTS.get(path.stem, [])], cwd=tmp_path,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert PROMISES[path.stem] in done.stdout
    assert not list(tmp_path.iterdir()), "an example leaves nothing behind"
