"""A language model of this project's documentation: of its characters, and of the pieces SentencePiece cuts it into.

    python examples/12_subword_language_model.py               the table and what they write, in less than a minute
    python examples/12_subword_language_model.py pieces.png    and a picture (by matplotlib: the extra plot)
    python examples/12_subword_language_model.py --quick       a few steps: it runs, and writes nonsense

Needs sentencepiece: pip install "minigrad[text]". Reads: minigrad/nn/recurrent.py (SRU), nn/embedding.py.
"""
import io
import sys
import time
from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad import functional as F
from minigrad import nn, optim

try:
    from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
except ImportError:
    sys.exit('sentencepiece is needed to cut text into pieces: pip install "minigrad[text]"')

quick, paths = "--quick" in sys.argv, [a for a in sys.argv[1:] if a.endswith(".png")]
steps, every, root = (4, 2, Path(__file__).parent.parent) if quick else (400, 50, Path(__file__).parent.parent)
pages = [root / "README.md", *(p for p in sorted((root / "docs").glob("*.md")) if p.name != "ops.md")]  # a long table
paragraphs = "\n\n".join(p.read_text(encoding="utf-8") for p in pages).split("\n\n")
new, old = "\n\n".join(paragraphs[::10]), "\n\n".join(p for i, p in enumerate(paragraphs) if i % 10)


def train_pieces(kind):
    """unigram: what makes the text likeliest (Kudo 2018); bpe: the most frequent pairs merged (Sennrich 2016)."""
    file, characters = io.BytesIO(), "".join(sorted(set(old + new) - {"\n", " "}))
    SentencePieceTrainer.train(  # its pieces put together again are the text, to the last space
        sentence_iterator=iter(old.splitlines()), model_writer=file, model_type=kind, vocab_size=400, minloglevel=2,
        hard_vocab_limit=False, required_chars=characters, user_defined_symbols=["\n"], add_dummy_prefix=False,
        normalization_rule_name="identity", remove_extra_whitespaces=False)
    return SentencePieceProcessor(model_proto=file.getvalue())


class Language(nn.Module):
    def __init__(self, size, h=128):
        self.embed, self.rnn, self.out = nn.Embedding(size, h), nn.SRU(h, h, 2, dropout=0.4), nn.Dense(h, size)

    def forward(self, index, state=None):  # (T, N) -> logits (T * N, size), and the state to go on from
        y, state = self.rnn(self.embed(index), state)
        return self.out(y).reshape(index.size, -1), state


print(f"{len(old):,} characters to learn from, {len(new):,} held out; {steps} steps of 16 x 64 pieces\n\n"
      "pieces     kinds  characters each  perplexity a character: least  last  CPU s")
curves, samples = {}, []
for kind in ("char", "unigram", "bpe"):
    mg.manual_seed(0)
    cut, rng, start = train_pieces(kind), np.random.default_rng(0), time.process_time()
    known, test = np.array(cut.encode(old)), np.array(cut.encode(new))
    rows = test[:len(test) // 16 * 16].reshape(16, -1).T  # held out, as 16 texts
    model, found = Language(cut.get_piece_size()), []
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    for step in range(1, steps + 1):
        index = known[rng.integers(0, len(known) - 65, 16) + np.arange(65)[:, None]]
        optimizer.zero_grad()
        F.cross_entropy(model.train()(index[:-1])[0], index[1:].reshape(-1)).backward()
        optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % every == 0:
            with mg.no_grad():
                nats = F.cross_entropy(model.eval()(rows[:-1])[0], rows[1:].reshape(-1)).item()
            found.append(np.exp(nats * len(test) / len(new)))  # of a character: pieces of any length compare
    print(f"{kind:<9}{cut.get_piece_size():>7}{len(old) / len(known):>17.2f}{min(found):>31.2f}{found[-1]:>6.2f}"
          f"{time.process_time() - start:>9.1f}")
    curves[kind], index, state = (len(old) / len(known), found), cut.encode("The "), None
    with mg.no_grad():
        while len(cut.decode(index)) < 160:
            logits, state = model.eval()(np.array(index if state is None else index[-1:])[:, None], state)
            p = F.softmax(logits[-1] / 0.7, axis=-1).data.astype(np.float64)
            index.append(int(rng.choice(len(p), p=p / p.sum())))
    samples.append(f"\n{kind}: {cut.decode(index)}")
print(*samples, sep="\n")

for path in paths:
    import pictures
    figure, (left, right) = pictures.panels("Perplexity a character, held-out text, by steps", "The same, by text read")
    for i, (kind, (size, found)) in enumerate(curves.items()):
        at = np.arange(every, steps + 1, every)
        pictures.curve(left, at, found, i, kind)
        pictures.curve(right, at * 16 * 64 * size / 1e3, found, i)
    left.set(xlabel="step of 16 x 64 pieces")
    right.set(xlabel="thousand characters")
    pictures.save(figure, path, legend=left)
