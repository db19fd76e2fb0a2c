"""Every example runs, prints what it promises, and stays short."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from nightly import NIGHTLY

ROOT = Path(__file__).parent.parent
QUICK = ["--quick", "picture.png"]
ARGUMENTS = {"03_mnist_mlp": ["digits", "2"], "04_mnist_cnn": ["digits", "1"], "08_dropout_vs_dropconnect": QUICK,
             "09_resnet_stochastic_depth": QUICK, "10_char_rnn_sru_lstm_gru": QUICK, "11_ensemble": QUICK,
             "12_subword_language_model": QUICK}
NEEDS = {"12_subword_language_model": "sentencepiece"}
LONGER = {"09_resnet_stochastic_depth": 90, "11_ensemble": 70, "12_subword_language_model": 95}  # with their pictures
PROMISES = {
    "01_scalar_chain_rule": "second derivative -16.157551, third -20.343963",
    "02_xor": "predictions [0. 1. 1. 0.]",
    "03_mnist_mlp": "epoch 2  loss",
    "04_mnist_cnn": "most often taken for another",
    "05_optimizers": "conjugate gradients, step 2: [0. 0.]",
    "06_newton_rosenbrock": "is the saddle",
    "07_full_batch_race": "L-BFGS by hand: loss ",
    "08_dropout_vs_dropconnect": "DropConnect gaussian",
    "09_resnet_stochastic_depth": "             50%                2.75",
    "10_char_rnn_sru_lstm_gru": "SRU, 2 layers: The ",
    "11_ensemble": "3 snapshots of one training",
    "12_subword_language_model": "unigram: The ",
    "13_loss_landscape": "of the way is in it",
    "14_broken_backprop": "from loss (lost: 4), e",
}


@pytest.mark.parametrize("path", [path for path in sorted((ROOT / "examples").glob("[0-9]*.py"))
                                  if NIGHTLY or path.stem not in ("09_resnet_stochastic_depth", "11_ensemble")],
                         ids=lambda p: p.stem)
def test_example(path, tmp_path):
    assert len(path.read_text().splitlines()) < LONGER.get(path.stem, 60)
    if path.stem in NEEDS:
        pytest.importorskip(NEEDS[path.stem])
    arguments = ARGUMENTS.get(path.stem, [])
    done = run(path, arguments, tmp_path)
    assert done.returncode == 0, done.stderr
    assert PROMISES[path.stem] in done.stdout
    left = [p.name for p in tmp_path.iterdir()]
    assert left == [a for a in arguments if a.endswith(".png")], "only what was asked for"


def run(path, arguments, folder, *first):
    """The example, run in this folder; modules of the folders ``first`` are found before others."""
    given = [sys.executable, "-W", "error", "-W", "ignore:builtin type:DeprecationWarning", str(path), *arguments]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (*first, ROOT)))}
    return subprocess.run(given, cwd=folder, env=env, capture_output=True, encoding="utf-8", timeout=120)


def test_a_missing_extra_is_named(tmp_path):
    (tmp_path / "sentencepiece.py").write_text("raise ImportError('as if it were not installed')")
    done = run(ROOT / "examples" / "12_subword_language_model.py", ["--quick"], tmp_path, tmp_path)
    assert done.returncode == 1 and 'pip install "minigrad[text]"' in done.stderr
