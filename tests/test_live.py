"""Live curves in the terminal and as files, and TensorBoard's event files, read back here byte by byte."""

from __future__ import annotations

import re
import struct
import sys
import types

import numpy as np
import pytest

from minigrad import Tensor, callbacks, cli, nn, optim, train
from minigrad.train import Epoch, History
from minigrad.viz import MissingExtra, live

ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def history(epochs=6, validation=True, accuracy=True):
    """Losses 2, 1, 0.5, ...; of the validation 0.1 more."""
    def epoch(i):
        loss, share = 2.0 ** (2 - i), 1 - 0.5 ** i
        return Epoch(i, loss, share if accuracy else None, loss + 0.1 if validation else None,
                     share - 0.1 if validation and accuracy else None, 0.1, 1.0, 10.0)
    return History([epoch(i) for i in range(1, epochs + 1)])


def train_a_little(epochs, extra=(), folder=None, resume=None):
    chance = np.random.default_rng(0)
    x = chance.normal(size=(32, 3)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)
    model = nn.Sequential(nn.Linear(3, 2, generator=np.random.default_rng(1)))
    optimizer = optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    made = [e(optimizer) for e in extra]
    h = train.fit(model, (x, y), optimizer, epochs=epochs, batch_size=16, validation=(x, y), progress=False,
                  callbacks=made, checkpoint=folder, resume=resume, generator=np.random.default_rng(2))
    return model, h, made


class Screen:
    """A terminal as far as the live picture needs one: rows of text, a cursor, and the codes that move it."""

    def __init__(self, columns, rows):
        self.columns, self.rows, self.row, self.column = columns, rows, 0, 0
        self.lines, self.raw = [""], ""

    def isatty(self):
        return True

    def flush(self):
        pass

    def write(self, text):
        self.raw += text
        for piece in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|[^\x1b]", text):
            if piece == "\n":
                self.row, self.column = self.row + 1, 0
            elif piece == "\r":
                self.column = 0
            elif piece[0] != "\x1b":
                line = self.line().ljust(self.column)
                self.lines[self.row] = line[:self.column] + piece + line[self.column + 1:]
                self.column += 1
            elif piece.endswith("A"):
                self.row -= int(piece[2:-1])
            elif piece == "\x1b[J":
                self.lines[self.row:] = [self.line()[:self.column]]
            else:
                assert piece.endswith("m"), f"{piece!r} moves what this screen does not know"
            assert self.row >= 0 and self.column <= self.columns
            self.line()

    def line(self):
        self.lines += [""] * (self.row + 1 - len(self.lines))
        return self.lines[self.row]

    def text(self):
        return "\n".join(line.rstrip() for line in self.lines).rstrip()


@pytest.fixture
def screen(monkeypatch):
    def put(columns=100, rows=30):
        made = Screen(columns, rows)
        monkeypatch.setattr(sys, "stderr", made)
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("LINES", str(rows))
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.delenv("NO_COLOR", raising=False)
        return made
    return put


# ---- the picture as text ----
@pytest.mark.parametrize("width, height", [(24, 7), (39, 8), (63, 9), (64, 9), (79, 10), (120, 11)])
@pytest.mark.parametrize("epochs", [1, 2, 37])
def test_lines_are_as_wide_as_the_terminal_at_most(width, height, epochs):
    pytest.importorskip("plotext")
    for colour in (True, False):
        lines = live.picture(history(epochs), width, height, colour=colour).split("\n")
        assert max(len(ESCAPES.sub("", line)) for line in lines) <= width
        assert ("\x1b" in "".join(lines)) == colour
        assert 2 * height + 1 >= len(lines) >= height


def test_the_picture_says_the_last_values_and_is_to_scale():
    pytest.importorskip("plotext")
    text = live.picture(history(), 110, 10, colour=False)
    assert "loss  ⠒ training 0.0625  o validation 0.1625" in text
    assert "accuracy  ⠒ training 98.44%  o validation 88.44%" in text
    assert "2.1000┤o" in text  # the largest, of the validation, at the top and the first epoch
    assert "0.0625┤" in text and "1.0813┤" in text  # the smallest, and the middle
    assert re.search(r"1 +2 +3 +4 +5 +6", text)


def test_what_is_not_there_is_not_drawn():
    pytest.importorskip("plotext")
    alone = live.picture(history(validation=False, accuracy=False), 80, 9, colour=False)
    assert "accuracy" not in alone and "validation" not in alone and "o" not in alone.replace("loss", "")
    odd = history(3)
    odd[2].val_loss = float("nan")
    assert "validation nan" in live.picture(odd, 120, 9, colour=False)
    for r in odd:
        r.loss = r.val_loss = float("inf")
    assert "no finite value" in live.picture(odd, 100, 9, colour=False)
    flat = History([Epoch(i, 0.25, None, None, None, None, 1.0, 1.0) for i in (1, 2)])
    assert "0.2500" in live.picture(flat, 40, 9, colour=False)


def test_bad_input_is_named(tmp_path):
    with pytest.raises(ValueError, match="history is empty"):
        live.picture(History())
    with pytest.raises(ValueError, match=r"needs 24 columns and 7 rows, got 20 and 8"):
        live.picture(history(), 20, 8)
    with pytest.raises(ValueError, match="nothing to draw on"):
        live.Curves(terminal=False)
    with pytest.raises(ValueError, match=r"curves\.txt"):
        live.Curves(tmp_path / "curves.txt")


def test_a_missing_extra_is_named_before_the_training(monkeypatch, screen):
    screen()
    monkeypatch.setitem(sys.modules, "plotext", None)
    with pytest.raises(MissingExtra, match=r'pip install "minigrad\[live\]"'):
        live.Curves()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtra, match=r'pip install "minigrad\[plot\]"'):
        live.Curves("curves.svg", terminal=False)


# ---- in the terminal ----
def test_the_picture_is_redrawn_in_place_below_what_is_printed(screen):
    pytest.importorskip("plotext")
    shown, whole = screen(110), history(4)
    curves = live.Curves()
    for i in range(1, 5):
        print(f"epoch {i} is done", file=sys.stderr)
        curves(None, History(whole.records[:i]))
        sys.stderr.write("\repoch 9 50%|###  |\r" + " " * 20 + "\r")  # a bar that comes and goes
    assert [line.rstrip() for line in shown.lines[:5]] == [*(f"epoch {i} is done" for i in range(1, 5)), ""]
    assert shown.text().count("loss") == 1
    curves.on_train_end(None, whole)
    print("done", file=sys.stderr)
    assert shown.text().endswith("done") and "epoch 4 is done\nloss" in shown.text()
    final = ESCAPES.sub("", live.picture(whole, 109, 11))
    assert "\n".join(line.rstrip() for line in final.split("\n")) in shown.text()
    curves.close()
    assert shown.text().endswith("done")


def test_what_is_printed_meanwhile_is_wiped_away_from_the_picture(screen):
    pytest.importorskip("plotext")
    shown = screen()
    with live.Curves() as curves:
        curves(None, history(2))
        print("a warning", file=sys.stderr)
        print("of two lines", file=sys.stderr)
        curves(None, history(3))
    assert shown.text().startswith("a warning\nof two lines") and shown.text().count("┌") == 2


@pytest.mark.parametrize("columns, rows, panels", [(40, 24, 2), (40, 14, 1), (100, 12, 2), (100, 11, 2)])
def test_the_picture_fits_the_terminal(screen, columns, rows, panels):
    pytest.importorskip("plotext")
    shown = screen(columns, rows)
    with live.Curves() as curves:
        curves(None, history())
        assert len(shown.lines) <= rows and shown.text().count("┌") == panels


@pytest.mark.parametrize("change", [{"TERM": "dumb"}, {"COLUMNS": "20"}, {"LINES": "10"}])
def test_a_terminal_that_cannot_show_it_stays_silent(screen, monkeypatch, change):
    pytest.importorskip("plotext")
    shown = screen()
    for name, value in change.items():
        monkeypatch.setenv(name, value)
    with live.Curves() as curves:
        curves(None, history())
    assert shown.raw == ""


def test_no_color_is_heeded(screen, monkeypatch):
    pytest.importorskip("plotext")
    for value, coloured in (("", True), ("1", False)):
        shown = screen()
        monkeypatch.setenv("NO_COLOR", value)
        with live.Curves() as curves:
            curves(None, history())
        assert ("\x1b[38;5;" in shown.raw) == coloured


def test_nothing_is_printed_where_no_terminal_is(capsys):
    train_a_little(2, [lambda _: live.Curves()])
    assert capsys.readouterr() == ("", "")


def test_the_file_shows_each_epoch_and_is_never_half_written(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    path, seen = tmp_path / "deep" / "curves.svg", []

    def look(model, h):
        assert [p.name for p in path.parent.iterdir()] == ["curves.svg"]
        seen.append(path.read_text(encoding="utf-8"))
        assert seen[-1].rstrip().endswith("</svg>")
    train_a_little(3, [lambda _: live.Curves(path, terminal=False, title="<here>"), lambda _: look])
    assert len(set(seen)) == 3 and "<!-- &lt;here&gt; -->" in seen[0]


# ---- TensorBoard ----
def crc_table():
    table = list(range(256))
    for _ in range(8):
        table = [n >> 1 ^ (0x82F63B78 if n & 1 else 0) for n in table]
    return table


CRC = crc_table()


def masked_crc(data):
    """CRC-32C, Castagnoli's, rotated and shifted as in the framing of TFRecord."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def events(folder):
    """All events of a folder's files, in the order of their writing; every checksum is checked."""
    from tensorboardX.proto.event_pb2 import Event
    found = []
    for path in sorted(folder.rglob("events.out.tfevents.*"), key=lambda p: p.stat().st_mtime_ns):
        raw = path.read_bytes()
        while raw:
            length, check = struct.unpack("<QI", raw[:12])
            assert masked_crc(raw[:8]) == check
            body, (check,) = raw[12:12 + length], struct.unpack("<I", raw[12 + length:16 + length])
            assert len(body) == length and masked_crc(body) == check
            found.append(Event.FromString(body))
            raw = raw[16 + length:]
    return found


def values(folder):
    return {(v.tag, e.step): v for e in events(folder) for v in e.summary.value}


def test_checksums_are_those_of_the_standard():
    crc = masked_crc(b"123456789")
    plain = (crc - 0xA282EAD8) & 0xFFFFFFFF
    assert (plain >> 17 | plain << 15) & 0xFFFFFFFF == 0xE3069283


def test_tensorboard_gets_every_number_of_the_history(tmp_path):
    pytest.importorskip("tensorboardX")
    _, h, _ = train_a_little(3, [lambda _: callbacks.TensorBoard(tmp_path, histogram_freq=0)])
    written = values(tmp_path)
    columns = {"loss/training": "loss", "loss/validation": "val_loss", "accuracy/training": "accuracy",
               "accuracy/validation": "val_accuracy", "learning_rate": "lr", "images_per_second": "images_per_second"}
    assert set(written) == {(tag, i) for tag in columns for i in (1, 2, 3)}
    for (tag, step), value in written.items():
        assert value.simple_value == pytest.approx(getattr(h[step - 1], columns[tag]), rel=1e-6)


def test_histograms_hold_the_weights_and_the_last_steps_gradients(tmp_path):
    pytest.importorskip("tensorboardX")
    kept = {}

    def keep(params, grads):
        kept.update({p.shape: np.array(g, np.float64) for p, g in zip(params, grads)})
        return grads

    def board(optimizer):
        optimizer.gradient_hooks.append(keep)
        return callbacks.TensorBoard(tmp_path, 2, optimizer)
    model, _, _ = train_a_little(4, [board])
    written = {k: v.histo for k, v in values(tmp_path).items() if v.HasField("histo")}
    names = [f"{kind}/{name}" for kind in ("weights", "gradients") for name, _ in model.named_parameters()]
    assert set(written) == {(name, step) for name in names for step in (2, 4)}
    for name, p in model.named_parameters():
        for kind, array in (("weights", p.data.astype(np.float64)), ("gradients", kept[p.shape])):
            told = written[f"{kind}/{name}", 4]
            assert (told.num, told.min, told.max) == (array.size, array.min(), array.max())
            assert told.sum_squares == pytest.approx(np.square(array).sum())
            assert sum(told.bucket) == array.size


def test_a_resumed_training_goes_on_with_its_steps(tmp_path):
    pytest.importorskip("tensorboardX")
    board = [lambda _: callbacks.TensorBoard(tmp_path / "logs", histogram_freq=0)]
    train_a_little(2, board, tmp_path / "run")
    _, h, _ = train_a_little(5, board, tmp_path / "run", tmp_path / "run")
    losses = [(e.step, v.simple_value) for e in events(tmp_path / "logs") for v in e.summary.value
              if v.tag == "loss/training"]
    assert losses == [(i, pytest.approx(h[i - 1].loss, rel=1e-6)) for i in range(1, 6)]
    starts = [e.step for e in events(tmp_path / "logs") if e.HasField("session_log")]
    assert starts == [1, 3]  # from where TensorBoard forgets what an earlier run wrote


def test_settings_are_written_as_a_table_and_as_hyper_parameters(tmp_path):
    pytest.importorskip("tensorboardX")
    settings = {"lr": 0.5, "name": "<b>", "nesterov": True, "sizes": (3, 4)}
    _, h, _ = train_a_little(2, [lambda _: callbacks.TensorBoard(tmp_path, 0, hparams=settings)])
    written = values(tmp_path)
    table = next(v for (tag, _), v in written.items() if tag.startswith("settings")).tensor.string_val[0].decode()
    assert "| lr | 0.5 |" in table and "| sizes | (3, 4) |" in table
    assert written["final/val_loss", 2].simple_value == pytest.approx(h[-1].val_loss, rel=1e-6)
    assert any(tag == "_hparams_/session_start_info" for tag, _ in written)


def test_numbers_that_are_not_finite_are_left_out_of_histograms(tmp_path):
    pytest.importorskip("tensorboardX")
    model = nn.Linear(2, 2)
    model.weight.data[...] = [[1, np.nan], [np.inf, 3]]
    model.bias.data[...] = np.nan
    board = callbacks.TensorBoard(tmp_path)
    board(model, history(1))
    board.close()
    told = {tag: v.histo for (tag, _), v in values(tmp_path).items() if v.HasField("histo")}
    assert list(told) == ["weights/weight"] and (told["weights/weight"].num, told["weights/weight"].sum) == (2, 4)


def test_the_command_line_writes_both(tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    pytest.importorskip("tensorboardX")
    for name in ("_pictures", "_draw"):
        monkeypatch.setattr(cli, name, lambda *_: None)
    folder = tmp_path / "run"
    options = ["--batch-size", "all", "--out", str(folder), "--live", "--tensorboard"]
    assert cli.main(["train", "--data", "digits", "--epochs", "2", *options]) == 0
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    written, history = values(folder / "tensorboard"), History.from_csv(folder / "history.csv")
    assert written["loss/training", 2].simple_value == pytest.approx(history[1].loss, rel=1e-6)
    assert ("gradients/1.weight", 2) in written
    assert cli.main(["train", "--resume", str(folder), "--epochs", "3", "--tensorboard"]) == 0
    assert {step for tag, step in values(folder / "tensorboard") if tag == "loss/training"} == {1, 2, 3}


def test_tensorboard_refuses_what_it_cannot_use(monkeypatch):
    with pytest.raises(ImportError, match=r'pip install "minigrad\[tensorboard\]"'):
        monkeypatch.setitem(sys.modules, "tensorboardX", None)
        callbacks.TensorBoard()
    monkeypatch.setitem(sys.modules, "tensorboardX", types.ModuleType("tensorboardX"))
    with pytest.raises(ValueError, match="histogram_freq must be at least 0, got -1"):
        callbacks.TensorBoard(histogram_freq=-1)
    with pytest.raises(TypeError, match="listens to an optimizer, got Tensor"):
        callbacks.TensorBoard(optimizer=Tensor(1.0))
