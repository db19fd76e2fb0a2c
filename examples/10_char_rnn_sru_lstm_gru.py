"""Four recurrent layers read this project's documentation letter by letter: what a step brings, and what it costs.

    python examples/10_char_rnn_sru_lstm_gru.py                the table and what they write, in a minute
    python examples/10_char_rnn_sru_lstm_gru.py curves.png     and a picture (by matplotlib: the extra plot)
    python examples/10_char_rnn_sru_lstm_gru.py --quick        a few steps: it runs, and writes nonsense

Reads: minigrad/functional/recurrent.py, CharRNN in models.py.
"""
import sys
import time
from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad import functional as F
from minigrad import models, optim

quick, paths = "--quick" in sys.argv, [a for a in sys.argv[1:] if a.endswith(".png")]
steps, every, root = (4, 2, Path(__file__).parent.parent) if quick else (300, 25, Path(__file__).parent.parent)
pages = [root / "README.md", *(p for p in sorted((root / "docs").glob("*.md")) if p.name != "ops.md")]  # a long table
paragraphs = "\n\n".join(p.read_text(encoding="utf-8") for p in pages).split("\n\n")
new, old = "\n\n".join(paragraphs[::10]), "\n\n".join(p for i, p in enumerate(paragraphs) if i % 10)
print(f"{len(old):,} characters to learn from, {len(new):,} held out; {steps} steps of 16 x 64\n\n"
      "        layers  units  parameters  held-out loss  perplexity  CPU seconds")
curves, samples = {}, []
for kind, layers, hidden in (("rnn", 1, 226), ("gru", 1, 130), ("lstm", 1, 111), ("sru", 1, 245), ("sru", 2, 130)):
    mg.manual_seed(0)
    model = models.char_rnn("".join(sorted(set(old + new))), embedding=64, hidden=hidden, layers=layers, kind=kind)
    optimizer, rng = optim.Adam(model.parameters(), lr=5e-3), np.random.default_rng(0)
    index, found, spent = model.encode(old), [], 0.0
    rows = model.encode(new[:len(new) // 16 * 16]).reshape(16, -1)
    for step in range(1, steps + 1):
        start = time.process_time()
        batch = index[rng.integers(0, len(index) - 65, (16, 1)) + np.arange(65)]
        optimizer.zero_grad()
        F.cross_entropy(model(batch[:, :-1]), batch[:, 1:]).backward()
        optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        spent += time.process_time() - start
        if step % every == 0:
            with mg.no_grad():
                found.append((step, spent, F.cross_entropy(model(rows[:, :-1]), rows[:, 1:]).item()))
    name = kind.upper() + f", {layers} layers" * (layers > 1)
    samples.append(f"\n{name}: {model.sample('The ', 120, temperature=0.7, generator=rng)}")
    curves[name] = np.array(found).T
    print(f"{kind.upper():<8}{layers:>6}{hidden:>7}{sum(p.size for p in model.parameters()):>12,}{found[-1][2]:>15.3f}"
          f"{np.exp(found[-1][2]):>12.2f}{spent:>13.1f}")
print(*samples, sep="\n")

for path in paths:
    import pictures
    figure, axes = pictures.panels("Loss of held-out text, by steps", "The same, by CPU seconds of training")
    for i, (kind, (at, seconds, loss)) in enumerate(curves.items()):
        pictures.curve(axes[0], at, loss, i, kind)
        pictures.curve(axes[1], seconds, loss, i)
    axes[0].set(xlabel="step")
    axes[1].set(xlabel="CPU second", ylim=axes[0].get_ylim())
    pictures.save(figure, path, legend=axes[0], title="Character models of about 100,000 weights")
