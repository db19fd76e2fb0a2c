"""What happens after each epoch of `train.fit`: stop, save, log, measure. Named as Keras', with its arguments.

    stop = callbacks.EarlyStopping(patience=5, restore_best_weights=True)
    train.fit(model, data, optimizer, epochs=100, validation=valid, callbacks=[stop, callbacks.CSVLogger("log.csv")])

A callback is any function of the model and the `train.History`; one that returns True ends the training, after the
others were called too. What they remember is saved and resumed by ``fit(checkpoint=folder)``, to the bit, and
forgotten when another training begins. monitor: "loss", "accuracy", "val_loss", "val_accuracy", or a function of the
model and the history that gives a number. mode: whether "min" or "max" is better; "auto" is "max" for accuracies.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import math
import os
import time
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from . import checkpoint, optim
from .nn import Module
from .train import History, around_step

__all__ = ["CSVLogger", "EarlyStopping", "GradNormMonitor", "GradientHistogram", "LearningRateScheduler",
           "ModelCheckpoint", "ReduceLROnPlateau", "SwapEMA", "TensorBoard", "TerminateOnNaN", "WeightHistogram"]

Monitor = str | Callable[[Module, History], float]
COLUMNS = ("loss", "accuracy", "val_loss", "val_accuracy")


class _Remembering:
    """kept: the attributes that are saved. `_forget` gives them the values they have before the first epoch."""

    kept: tuple[str, ...] = ()

    def __init__(self):
        self._forget()

    def _forget(self):
        pass

    def state_dict(self) -> dict:
        """A copy of what it remembers: numbers, and lists and dicts of numbers and arrays."""
        return {name: copy.deepcopy(getattr(self, name)) for name in self.kept}

    def load_state_dict(self, state: dict) -> None:
        """Take over what `state_dict` gave."""
        for name in self.kept:
            setattr(self, name, state[name])


class _Monitoring(_Remembering):
    def __init__(self, monitor, mode):
        super().__init__()
        if isinstance(monitor, str) and monitor not in COLUMNS:
            raise ValueError(f"{type(self).__name__}: monitor is one of {', '.join(COLUMNS)}, or a function, not "
                             f"{monitor!r}")
        if mode not in ("auto", "min", "max"):
            raise ValueError(f'{type(self).__name__}: mode is "auto", "min" or "max", not {mode!r}')
        self.monitor = monitor
        self.mode = mode if mode != "auto" else "max" if "accuracy" in str(monitor) else "min"
        self.worst = math.inf if self.mode == "min" else -math.inf

    def measure(self, model: Module, history: History) -> float:
        """What is monitored, of the last epoch. Raises ValueError where this training has no such number."""
        if callable(self.monitor):
            return float(self.monitor(model, history))
        value = getattr(history[-1], self.monitor)
        if value is None:
            known = [name for name in COLUMNS if getattr(history[-1], name) is not None]
            raise ValueError(f"{type(self).__name__}: this training has no {self.monitor}, but {', '.join(known)}"
                             + ("; val_... needs fit(validation=...)" if "val_loss" not in known else ""))
        return value

    def load_state_dict(self, state: dict) -> None:
        """Take over what `state_dict` gave. Raises ValueError if its best is no number."""
        if isinstance(state.get("best"), (dict, list, str)):
            raise ValueError(f"{type(self).__name__}: best is {state['best']!r:.60}, not a number")
        super().load_state_dict(state)

    def better(self, value: float, than: float, by: float = 0.0) -> bool:
        """Whether ``value`` is: NaN never is."""
        return value < than - by if self.mode == "min" else value > than + by


# ---- when to end ----
class EarlyStopping(_Monitoring):
    """Stop when ``monitor`` has not improved by more than min_delta for ``patience`` epochs.

    baseline: a value that must be reached, or the epochs count as without improvement. start_from_epoch: epochs at the
    beginning that are not looked at. restore_best_weights: at the end the model gets the weights of the best epoch,
    buffers like running means too (Keras': the same, whether it stopped or the epochs ran out; not after Ctrl-C, when
    ``restore(model)`` does it). best_epoch: counted from 1. To keep averages of the weights, put it into `SwapEMA`.
    """

    kept = ("wait", "stopped_epoch", "best", "best_epoch", "best_weights")

    def __init__(self, monitor: Monitor = "val_loss", min_delta: float = 0.0, patience: int = 0, mode: str = "auto",
                 baseline: float | None = None, restore_best_weights: bool = False, start_from_epoch: int = 0):
        super().__init__(monitor, mode)
        if patience < 0 or not math.isfinite(min_delta):
            raise ValueError(f"EarlyStopping: patience must be at least 0 and min_delta finite, got {patience} and "
                             f"{min_delta}")
        self.min_delta, self.patience, self.baseline = abs(min_delta), patience, baseline
        self.restore_best_weights, self.start_from_epoch = restore_best_weights, start_from_epoch

    def _forget(self):
        self.wait, self.stopped_epoch, self.best, self.best_epoch, self.best_weights = 0, 0, None, 0, {}

    @property
    def stopped(self) -> bool:
        """Whether it has ended the training."""
        return self.stopped_epoch > 0

    def __call__(self, model, history):
        epoch = len(history)
        if epoch == 1:
            self._forget()
        if epoch <= self.start_from_epoch:
            return False
        value = self.measure(model, history)
        if not self.best_epoch:  # the first is the best so far, even if it is NaN
            self._keep(model, epoch)
        self.wait += 1
        if self.better(value, self.worst if self.best is None else self.best, self.min_delta):
            self.best = value
            self._keep(model, epoch)
            if self.baseline is None or self.better(value, self.baseline, self.min_delta):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 1:
            self.stopped_epoch = epoch
        return self.stopped

    def _keep(self, model, epoch):
        self.best_epoch = epoch
        if self.restore_best_weights:
            self.best_weights = model.state_dict()

    def restore(self, model: Module) -> None:
        """Give ``model`` the best weights so far, if they are kept."""
        if self.best_weights:
            model.load_state_dict(self.best_weights)

    def on_train_end(self, model: Module, history: History) -> None:
        """Called by fit."""
        self.restore(model)


class TerminateOnNaN:
    """Stop when the epoch's loss, its validation loss or a weight is NaN or infinite.

    fit itself raises Diverged, before the step, when the training's loss is. This ends without an error after what fit
    does not look at: the validation, and the last step.
    """

    def __call__(self, model, history):
        values = [v for v in (history[-1].loss, history[-1].val_loss) if v is not None]
        return not (np.isfinite(values).all() and all(np.isfinite(p.data).all() for p in model.parameters()))


# ---- files ----
class ModelCheckpoint(_Monitoring):
    """Save the model every ``save_freq`` epochs, or of those the best alone, as `checkpoint.save` does.

    filepath: its suffix is .safetensors or .npz; may hold fields, as in "runs/{epoch:03d}-{val_loss:.3f}.npz".
    initial_value_threshold: what the first must better. optimizer: its state is saved too. metadata: for the files,
    beside the epoch and its numbers. fit's own ``checkpoint`` keeps the best epoch by `History.best` and all that a
    resumption needs; this is for other measures and for more files.
    """

    kept = ("best",)

    def __init__(self, filepath: str | os.PathLike[str], monitor: Monitor = "val_loss", save_best_only: bool = False,
                 mode: str = "auto", save_freq: int = 1, initial_value_threshold: float | None = None, *,
                 optimizer=None, metadata: dict | None = None):
        super().__init__(monitor, mode)
        if save_freq < 1:
            raise ValueError(f"ModelCheckpoint: save_freq must be at least 1, got {save_freq}")
        if Path(filepath).suffix not in checkpoint.SUFFIXES:
            raise ValueError(f"ModelCheckpoint: {filepath} must end in {' or '.join(checkpoint.SUFFIXES)}")
        self.filepath, self.save_best_only, self.save_freq = os.fspath(filepath), save_best_only, save_freq
        self.initial_value_threshold, self.optimizer, self.metadata = initial_value_threshold, optimizer, metadata or {}

    def _forget(self):
        self.best = None

    def __call__(self, model, history):
        if len(history) == 1:
            self._forget()
        if len(history) % self.save_freq:
            return
        if self.save_best_only:
            value, best = self.measure(model, history), self.initial_value_threshold
            best = self.best if self.best is not None else self.worst if best is None else best
            if not self.better(value, best):
                return
            self.best = value
        numbers = {name: getattr(history[-1], name) for name in ("epoch", *COLUMNS)}
        known = {name: value for name, value in numbers.items() if value is not None}
        try:
            path = self.filepath.format(**known)
        except KeyError as error:
            raise ValueError(f"ModelCheckpoint: {self.filepath} has a field {error}, this training has "
                             f"{', '.join(known)}") from None
        checkpoint.save(path, model, self.optimizer, {**self.metadata, **known})


class CSVLogger:
    """Write the history to a CSV file after every epoch, all of it: a resumed training goes on with its table.

    `History.from_csv` reads it. So nothing is appended, and the file is whole at any time.
    """

    def __init__(self, filename: str | os.PathLike[str]):
        self.filename = filename

    def __call__(self, model, history):
        history.to_csv(self.filename)


class TensorBoard:
    """Write each epoch to event files for TensorBoard, ``tensorboard --logdir logs``; needs the extra ``tensorboard``.

    Scalars: loss and accuracy, /training and /validation, learning_rate, images_per_second; the step is the epoch, from
    1. histogram_freq: every so many epochs also histograms of all parameters (weights/NAME), with ``optimizer`` of the
    gradients of the epoch's last step too (gradients/NAME), as its gradient_hooks leave them; 0 for none. What is not
    finite is left out of them. hparams: settings by name, written as a table, and with the last epoch for the
    HPARAMS page. A resumed training goes on in the same folder: what a later run repeats replaces what was there.
    ``writer``: the tensorboardX.SummaryWriter while the training runs, for more: writer.add_image(...).
    """

    def __init__(self, log_dir: str | os.PathLike[str] = "logs", histogram_freq: int = 1, optimizer=None, *,
                 hparams: dict | None = None):
        if histogram_freq < 0:
            raise ValueError(f"TensorBoard: histogram_freq must be at least 0, got {histogram_freq}")
        if optimizer is not None and not hasattr(optimizer, "gradient_hooks"):
            raise TypeError(f"TensorBoard listens to an optimizer, got {type(optimizer).__name__}")
        self.module = _tensorboard()
        self.log_dir, self.histogram_freq, self.hparams = os.fspath(log_dir), histogram_freq, dict(hparams or {})
        self.writer, self.seen = None, {}
        if optimizer is not None and histogram_freq:
            optimizer.gradient_hooks.append(self._listen)

    def _listen(self, params, grads):
        self.seen = {id(p): g for p, g in zip(params, grads)}
        return grads

    def on_epoch_begin(self, model: Module, history: History) -> None:
        """Called by fit."""
        if self.writer is None:
            self._open(len(history) + 1)

    def __call__(self, model, history):
        epoch, r = len(history), history[-1]
        if self.writer is None:  # resumed within an epoch
            self._open(epoch)
        scalars = {"loss/training": r.loss, "loss/validation": r.val_loss, "accuracy/training": r.accuracy,
                   "accuracy/validation": r.val_accuracy, "learning_rate": r.lr,
                   "images_per_second": r.images_per_second}
        for tag, value in scalars.items():
            if value is not None:
                self.writer.add_scalar(tag, value, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            for name, p in model.named_parameters():
                self._histogram(f"weights/{name}", p.data, epoch)
                if id(p) in self.seen:
                    self._histogram(f"gradients/{name}", self.seen[id(p)], epoch)
        self.writer.flush()

    def on_train_end(self, model: Module, history: History) -> None:
        """Called by fit."""
        if self.writer is not None and len(history) and self.hparams:
            values = {k: v if isinstance(v, (bool, int, float)) else str(v) for k, v in self.hparams.items()}
            last = {f"final/{name}": float(value) for name in COLUMNS
                    if (value := getattr(history[-1], name)) is not None}
            for summary in importlib.import_module("tensorboardX.summary").hparams(values, last):
                self.writer.file_writer.add_summary(summary, len(history))
            for tag, value in last.items():
                self.writer.add_scalar(tag, value, len(history))
        self.close()

    def close(self) -> None:
        """End the file; after Ctrl-C or an error, when fit does not."""
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    def _open(self, epoch):
        suffix = f".{time.time_ns()}"  # the name alone is that of the second: two runs in one would share a file
        self.writer = self.module.SummaryWriter(self.log_dir, purge_step=epoch, filename_suffix=suffix)
        if self.hparams:
            rows = [f"| {k} | {v} |".replace("\n", " ") for k, v in self.hparams.items()]
            self.writer.add_text("settings", "\n".join(["| setting | value |", "|---|---|", *rows]), epoch)

    def _histogram(self, tag, values, epoch):
        values = np.asarray(values)
        if values.dtype.kind == "c":
            values = np.abs(values)
        values = values.astype(np.float64).ravel()
        values = values[np.isfinite(values)]
        if values.size:
            self.writer.add_histogram(tag, values, epoch)


def _tensorboard():
    try:
        return importlib.import_module("tensorboardX")
    except ImportError as error:
        raise ImportError('tensorboardX is needed for TensorBoard: pip install "minigrad[tensorboard]"') from error


# ---- averages of weights ----
class SwapEMA:
    """``SwapEMA(ema, *callbacks)``: the callbacks, and at the end of the training the model, get the averaged weights.

    Keras' SwapEMAWeights, for `optim.EMA`, `optim.SWA` or another wrapper with averages. fit alone already validates
    the averages and keeps the best of them in its checkpoint, but hands callbacks the weights in training, and ends
    with them. At the end the weights are swapped; ``ema.swap()`` undoes it, to train on.
    """

    def __init__(self, optimizer, *callbacks: Callable):
        if not hasattr(optimizer, "averaged"):
            raise TypeError(f"SwapEMA: {type(optimizer).__name__} keeps no averages: wrap it, optim.EMA(optimizer)")
        self.optimizer, self.callbacks = optimizer, callbacks

    stopped = property(lambda self: any(getattr(c, "stopped", False) for c in self.callbacks))

    def __call__(self, model, history):
        if not self.optimizer.n_averaged:  # SWA before its start
            return any([c(model, history) is True for c in self.callbacks])
        with self.optimizer.averaged():
            return any([c(model, history) is True for c in self.callbacks])

    def on_epoch_begin(self, model: Module, history: History) -> None:
        """Called by fit."""
        for c in self.callbacks:
            if hasattr(c, "on_epoch_begin"):
                c.on_epoch_begin(model, history)

    def around_step(self, model: Module, history: History) -> contextlib.ExitStack:
        """Called by fit."""
        return around_step(self.callbacks, model, history)

    def on_train_end(self, model: Module, history: History) -> None:
        """Called by fit."""
        if self.optimizer.n_averaged and not self.optimizer.swapped:
            self.optimizer.swap()
        for c in self.callbacks:
            if hasattr(c, "on_train_end"):
                c.on_train_end(model, history)

    def state_dict(self) -> dict:
        """Those of its callbacks."""
        return {str(i): c.state_dict() for i, c in enumerate(self.callbacks) if hasattr(c, "state_dict")}

    def load_state_dict(self, state: dict) -> None:
        """Take over what `state_dict` gave, for the same callbacks in the same order."""
        for i, saved in state.items():
            self.callbacks[int(i)].load_state_dict(saved)


# ---- learning rates ----
class LearningRateScheduler:
    """lr <- schedule(epoch, lr), epoch from 0, before each epoch: for rules that look at the lr they had. Keras'.

    For formulas of the epoch or of the step there are `optim.schedules`: fit(schedule=...).
    """

    def __init__(self, optimizer, schedule: Callable[[int, float], float]):
        if any("lr" not in group for group in optimizer.param_groups):
            raise TypeError(f"LearningRateScheduler: {type(optimizer).__name__} has no lr to schedule")
        self.optimizer, self.schedule = optimizer, schedule

    def on_epoch_begin(self, model: Module, history: History) -> None:
        """Called by fit."""
        for group in self.optimizer.param_groups:
            new = {"lr": float(self.schedule(len(history), group["lr"]))}
            self.optimizer.check(new)
            group.update(new)

    def __call__(self, model, history):
        """Nothing is done after an epoch."""


class ReduceLROnPlateau(_Monitoring):
    """lr <- max(lr * factor, min_lr) when ``monitor`` has not improved by more than min_delta for ``patience`` epochs.

    Keras', which counts otherwise than PyTorch: the lr falls after `patience` bad epochs, not after one more, and of
    ``cooldown`` the first counts. With any monitor; by the loss, and with a relative threshold, there is
    fit(schedule=`optim.ReduceLROnPlateau`).
    """

    def __init__(self, optimizer, monitor: Monitor = "val_loss", factor: float = 0.1, patience: int = 10,
                 mode: str = "auto", min_delta: float = 1e-4, cooldown: int = 0, min_lr: float = 0.0):
        super().__init__(monitor, mode)
        self.scheduler = optim.ReduceLROnPlateau(optimizer, self.mode, factor, max(patience - 1, 0), min_delta, "abs",
                                                 max(cooldown - 1, 0), min_lr, eps=0.0)

    def __call__(self, model, history):
        if len(history) == 1:
            self.load_state_dict({"best": self.worst, "num_bad_epochs": 0, "cooldown_counter": 0})
        self.scheduler.step(self.measure(model, history))

    def state_dict(self):
        """Not the learning rate, which is in the optimizer."""
        return {name: getattr(self.scheduler, name) for name in ("best", "num_bad_epochs", "cooldown_counter")}

    def load_state_dict(self, state):
        for name, value in state.items():
            setattr(self.scheduler, name, value)


# ---- what the gradients and weights look like ----
class GradNormMonitor(_Remembering):
    """The norm of the gradient of all parameters at every step: norms; of every epoch: its mean, and its largest.

    It listens among the optimizer's gradient_hooks, behind those that are there, so that it sees what they leave:
    append clip_norm before for clipped norms, after for raw ones. ``limit``: stop when an epoch's mean is above it or
    NaN, an explosion; ``least``: when it is below, the gradient has vanished.
    """

    kept = ("norms", "mean", "largest", "ended")

    def __init__(self, optimizer, limit: float = math.inf, least: float = 0.0):
        super().__init__()
        self.limit, self.least = limit, least
        if not hasattr(optimizer, "gradient_hooks"):
            raise TypeError(f"GradNormMonitor listens to an optimizer, got {type(optimizer).__name__}")
        optimizer.gradient_hooks.append(self._listen)

    def _forget(self):
        self.norms, self.mean, self.largest, self.ended = [], [], [], False

    def _listen(self, params, grads):
        if self.ended:  # the epoch before; its norms were there to be looked at
            self.norms, self.ended = [], False
        self.norms.append(math.sqrt(sum(float(np.vdot(g, g).real) for g in grads)))
        return grads

    def __call__(self, model, history):
        if len(history) == 1:
            self.mean, self.largest = [], []
        self.mean.append(float(np.mean(self.norms)) if self.norms else math.nan)
        self.largest.append(float(np.max(self.norms)) if self.norms else math.nan)
        self.ended = True
        return bool(self.norms) and not self.least <= self.mean[-1] <= self.limit


class _Histogram(_Remembering):
    kept: tuple[str, ...] = ("epochs", "records")
    what = ""

    def __init__(self, where: str | Callable | None = None, bins: int = 40, every: int = 1):
        super().__init__()
        if bins < 1 or every < 1:
            raise ValueError(f"{type(self).__name__}: bins and every must be at least 1, got {bins} and {every}")
        self.where, self.bins, self.every = where, bins, every

    def _forget(self):
        self.epochs, self.records = [], {}

    def __call__(self, model, history):
        if len(history) == 1:
            self._forget()
        if len(history) % self.every:
            return
        named = [(n, p) for n, p in model.named_parameters() if self._wanted(n, p)]
        if not named:
            raise ValueError(f"{type(self).__name__}: where={self.where!r} selects none of the model's parameters")
        self.epochs = [*self.epochs, len(history)]
        for name, p in named:
            values = self._values(p)
            values = values[np.isfinite(values)]
            low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
            counts, edges = np.histogram(values, self.bins, (low, high) if high > low else (low - 0.5, low + 0.5))
            mean, std = (float(values.mean()), float(values.std())) if values.size else (math.nan, math.nan)
            self.records.setdefault(name, []).append({"counts": counts, "edges": edges, "mean": mean, "std": std})

    def _wanted(self, name, p):
        return self.where is None or (fnmatchcase(name, self.where) if isinstance(self.where, str)
                                      else self.where(name, p))

    def picture(self, path: str | os.PathLike[str], names: Sequence[str] | None = None) -> Path:
        """One panel for each parameter: how its numbers are spread, an epoch above the other. Returns the path.

        names: which of ``records``. Needs matplotlib; the path's suffix is the format. Raises ValueError if there is
        nothing to draw.
        """
        names = list(self.records) if names is None else list(names)
        unknown = [n for n in names if n not in self.records]
        if unknown or not names:
            raise ValueError(f"{type(self).__name__}: no records of {', '.join(unknown) or 'anything'}, there are "
                             f"{', '.join(self.records) or 'none: no epoch was finished'}")
        try:
            figures = importlib.import_module("matplotlib.figure")
        except ImportError as error:
            raise ImportError('matplotlib is needed for pictures: pip install "minigrad[plot]"') from error
        columns = min(len(names), 4)
        rows = math.ceil(len(names) / columns)
        figure = figures.Figure((3.0 * columns + 0.4, 2.6 * rows + 0.5), layout="constrained", facecolor="white")
        for i, name in enumerate(names):
            self._panel(figure.add_subplot(rows, columns, i + 1), name)
        figure.suptitle(f"{self.what}, from the first epoch (below) to the last", fontsize=11, color="#222222")
        path = Path(path)
        with checkpoint.replacing(path) as beside:
            figure.savefig(beside, format=path.suffix[1:].lower(), dpi=150)
        return path

    def _panel(self, axes, name):
        records, dark = self.records[name], np.array([0, 0.447, 0.698])
        gap = max((self.epochs[-1] - self.epochs[0]) / max(len(records) - 1, 1), 1)
        for i, (epoch, r) in enumerate(zip(self.epochs, records)):  # the later, the darker and the further behind
            colour, depth = tuple(1 - (1 - dark) * (0.35 + 0.65 * (i + 1) / len(records))), len(records) - i
            if r["std"] == 0:  # one value, like the zeros of what was not used
                axes.vlines(r["mean"], epoch, epoch + gap, color=colour, linewidth=2, zorder=depth)
                continue
            y, edges = epoch + 2.2 * gap * r["counts"] / max(r["counts"].max(), 1), r["edges"]
            axes.stairs(y, edges, baseline=epoch, fill=True, color=colour, linewidth=0, zorder=depth)
            axes.stairs(y, edges, baseline=None, color="white", linewidth=0.7, zorder=depth + 0.1)
        axes.set_title(name, fontsize=9.5, color="#222222", loc="left", parse_math=False)
        axes.set_ylabel("epoch", fontsize=8.5, color="#222222")
        axes.set_yticks(self.epochs[::math.ceil(len(self.epochs) / 6)])
        axes.locator_params(axis="x", nbins=5)
        axes.set_ylim(self.epochs[0] - 0.3 * gap, self.epochs[-1] + 2.4 * gap)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)


class WeightHistogram(_Histogram):
    """Histograms of the parameters after every ``every``-th epoch: records[name][i] is that of epoch epochs[i].

    Each is a dict of counts, edges, mean and std; what is not finite is left out. where: which parameters, a pattern
    of names as "*.weight" or a function of name and parameter. ``picture(path)`` draws them.
    """

    what = "Weights"

    def _values(self, p):
        return p.data.astype(np.float64).ravel()


class GradientHistogram(_Histogram):
    """`WeightHistogram` of the gradients in an epoch's last step, as the optimizer's gradient_hooks leave them."""

    what = "Gradients of the last step"
    def __init__(self, optimizer, where: str | Callable | None = None, bins: int = 40, every: int = 1):
        super().__init__(where, bins, every)
        self.optimizer, self.seen = optimizer, {}
        optimizer.gradient_hooks.append(self._listen)

    def _all(self):
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    def _listen(self, params, grads):
        self.seen = {id(p): g for p, g in zip(params, grads)}
        return grads

    def _values(self, p):
        g = self.seen.get(id(p))
        return np.zeros(0) if g is None else g.astype(np.float64).ravel()

    def state_dict(self):
        grads = [[i, self.seen[id(p)]] for i, p in enumerate(self._all()) if id(p) in self.seen]
        return {**super().state_dict(), "grads": grads}  # a pause may come between the last step and the epoch's end

    def load_state_dict(self, state):
        super().load_state_dict(state)
        params = self._all()
        self.seen = {id(params[i]): g for i, g in state["grads"]}
