"""Training and evaluation: ``history = fit(model, data, Adam(model.parameters()), epochs=5)``."""

from __future__ import annotations

import contextlib
import csv
import itertools
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import checkpoint as files
from . import functional as F
from .data import DataLoader
from .mode import enable_grad, no_grad
from .nn import Module
from .optim import Accumulate, LRScheduler, MultiOptimizer, Optimizer, ReduceLROnPlateau, Wrapper
from .progress import Progress, Whole
from .random import default_generator

__all__ = ["SCHEDULES", "Diverged", "Epoch", "Evaluation", "History", "evaluate", "fit"]


# ---- what is known afterwards ----
@dataclass
class Epoch:
    """One epoch. loss and accuracy: means over its batches, each before its step; None where there is no such thing.

    lr: of the last step; None if the optimizer has none. seconds, images_per_second: of the training alone, without the
    validation.
    """

    epoch: int
    loss: float
    accuracy: float | None
    val_loss: float | None
    val_accuracy: float | None
    lr: float | None
    seconds: float
    images_per_second: float


@dataclass
class History:
    """A list of `Epoch`; ``history["loss"]`` is a column of it. interrupted: Ctrl-C ended the training."""

    records: list[Epoch] = field(default_factory=list)
    interrupted: bool = False

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Epoch]:
        return iter(self.records)

    def __getitem__(self, key: int | str):
        return [getattr(r, key) for r in self.records] if isinstance(key, str) else self.records[key]

    @property
    def best(self) -> Epoch:
        """The epoch of the highest validation accuracy, else lowest loss; of the training's, without validation."""
        if not self.records:
            raise ValueError("there is no best epoch before the first is done")

        def goodness(r):
            accuracy, loss = (r.accuracy, r.loss) if r.val_loss is None else (r.val_accuracy, r.val_loss)
            return -math.inf if accuracy is None else accuracy, -loss if loss == loss else -math.inf
        return max(self.records, key=goodness)

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write one line per epoch under a line of names; what is None stays empty."""
        with files.replacing(path) as beside, open(beside, "w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, [f.name for f in fields(Epoch)], lineterminator="\n")
            table.writeheader()
            table.writerows(asdict(r) for r in self.records)

    @classmethod
    def from_csv(cls, path: str | os.PathLike[str]) -> History:
        """Read what `to_csv` wrote, exactly. Raises ValueError for another table."""
        names = [f.name for f in fields(Epoch)]
        with open(path, newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            if table.fieldnames != names:
                raise ValueError(f"{path} is not a history: its columns are {table.fieldnames}, not {names}")
            rows = [{k: float(v) if v else None for k, v in row.items()} for row in table]
        return cls([Epoch(**{**row, "epoch": int(row["epoch"])}) for row in rows])


class Evaluation(NamedTuple):
    """loss: the mean. accuracy: None unless the targets are labels. predictions: probabilities (N, C), else outputs."""

    loss: float
    accuracy: float | None
    predictions: np.ndarray


class Diverged(ArithmeticError):
    """The loss became NaN or infinite. ``history``: the epochs before."""

    def __init__(self, message: str, history: History):
        super().__init__(message)
        self.history = history


# ---- learning-rate schedules: the share of training done, 0..1 -> a factor of the learning rate ----
def _cosine(done):
    return 0.5 * (1 + math.cos(math.pi * done))


def _onecycle(done, warm_up=0.3, start=0.04, end=1e-4):
    if done < warm_up:
        return start + (1 - start) * (1 - _cosine(done / warm_up))
    return end + (1 - end) * _cosine((done - warm_up) / (1 - warm_up))


SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "linear": lambda done: 1 - done,
    "cosine": _cosine,  # Loshchilov & Hutter 2016, without restarts
    "onecycle": _onecycle,  # Smith & Topin 2018; the peak is the optimizer's lr
}


# ---- evaluation ----
def evaluate(model: Module, data, batch_size: int = 1000, loss: Callable | None = None) -> Evaluation:
    """Loss, accuracy and predictions of ``model`` in evaluation mode; no graph is recorded and the mode is restored.

    data: a DataLoader, a dataset, or a tuple (x, y). loss: a mean over the batch; default: cross entropy, for which
    the predictions are probabilities.
    """
    modes = [(m, m.training) for m in model.modules()]
    loader = data if isinstance(data, DataLoader) else DataLoader(data, batch_size)
    seen, outputs = _Sums(), []
    try:
        model.eval()
        with no_grad():
            for batch in loader:
                x, y = _pair(batch)
                output = model(x)
                seen.add((loss or F.cross_entropy)(output, y).item(), output, y)
                outputs.append(output.data)
            predictions = np.concatenate(outputs)
            if loss is None:
                predictions = F.softmax(predictions, axis=1)
    finally:
        for m, mode in modes:
            m.training = mode
    return Evaluation(seen.loss, seen.accuracy, predictions)


def _pair(batch):
    if len(batch) != 2:
        raise ValueError(f"training needs batches (x, y), this data gives {len(batch)} arrays")
    return batch


@dataclass
class _Sums:
    """Running totals of an epoch."""

    rows: int = 0
    total: float = 0.0
    correct: int | None = 0
    seconds: float = 0.0
    lr: float | None = None

    def add(self, loss, output, y):
        n = len(y)
        self.rows, self.total = self.rows + n, self.total + loss * n
        if output.ndim == 2 and y.ndim == 1 and y.dtype.kind in "iu" and self.correct is not None:
            self.correct += int((output.data.argmax(axis=1) == y.data).sum())
        else:
            self.correct = None

    loss = property(lambda self: self.total / max(self.rows, 1))
    accuracy = property(lambda self: None if self.correct is None else self.correct / max(self.rows, 1))
    speed = property(lambda self: self.rows / self.seconds if self.seconds else 0.0)


# ---- training ----
def fit(model: Module, data, optimizer: Optimizer, loss: Callable | None = None, *, epochs: int = 1,
        batch_size: int | None = 128, validation=None, transform: Callable | None = None,
        schedule: str | Callable[[float], float] | LRScheduler | None = None, schedule_interval: str = "epoch",
        generator: np.random.Generator | None = None, checkpoint: str | os.PathLike[str] | None = None,
        resume: str | os.PathLike[str] | None = None, metadata: dict | None = None, progress: bool = True,
        callbacks: Sequence[Callable] = ()) -> History:
    """Train ``model`` for ``epochs`` passes over ``data``; the same seed gives the same bits, on one machine.

    data: a dataset or a tuple (x, y), which is shuffled with ``generator`` into batches of ``batch_size`` (None: all in
    one), each through ``transform``; or a DataLoader, used as it is. validation: data to `evaluate` after each epoch.
    loss: ``loss(output, y)``, a mean; default: cross entropy. schedule: a name in `SCHEDULES`, or a function of the
    share of training done, 0..1, that gives a factor of the learning rate; afterwards that is what it was before. Or
    one of the optimizer's `optim.schedules`, stepped after every "epoch" or every "step", as schedule_interval says;
    ReduceLROnPlateau by the validation's loss, else the training's. It leaves the learning rate where it led.

    Where a wrapper keeps averages (EMA, SWA, ScheduleFree), they are what is validated and saved as the best, with the
    batch norms' statistics as they are. The model ends with the weights in training: swap() or eval() of the wrapper
    shows the averages. Accumulate is flushed at the end of every epoch.

    checkpoint: a file for the weights of the best epoch (`History.best`); or a folder, for those, as
    model.safetensors, and for all that ``resume`` needs, as last.safetensors. resume: that folder or file; what follows
    is what would have come without the pause, to the bit, up to ``epochs`` in total. metadata: for these files.

    progress: a bar on a terminal, else a line an epoch, on stderr. callbacks: ``f(model, history)`` after each epoch,
    as those of `minigrad.callbacks`; one that returns True ends the training. Those with state_dict and
    load_state_dict are resumed too; one that is resumed ``stopped`` takes no further epoch. Where there are such
    methods, on_epoch_begin(model, history) is called before the first step of an epoch, on_train_end(model, history)
    last, unless Ctrl-C or an error ended the training, and each step is taken inside the context that
    around_step(model, history) gives.

    Ctrl-C ends it between two steps: the model keeps what it has learnt, the state is in the checkpoint folder, and the
    history says ``interrupted``. Raises Diverged when the loss is NaN or infinite before a step, which is not taken; a
    line search may try such points.
    """
    if isinstance(data, DataLoader):
        if transform is not None or generator is not None:
            raise ValueError("fit: a DataLoader has its own transform and generator; pass them to it")
        loader = data
    else:
        loader = DataLoader(data, batch_size, shuffle=True, generator=generator, transform=transform)
    if isinstance(schedule, str) and schedule not in SCHEDULES:
        raise ValueError(f"fit: no schedule called {schedule!r}; there are {', '.join(SCHEDULES)}")
    schedule = SCHEDULES.get(schedule or "constant", schedule)
    run = _Run(model, optimizer, loss or F.cross_entropy, loader, epochs, schedule, schedule_interval, metadata or {},
               callbacks)
    folder = None
    if checkpoint is not None and Path(checkpoint).suffix not in files.SUFFIXES:
        folder, checkpoint = Path(checkpoint), Path(checkpoint) / "model.safetensors"
    history, modes = run.history, [(m, m.training) for m in model.modules()]
    bar = Progress(progress, epochs, len(loader))
    stopped = False
    if resume is not None:
        run.restore(Path(resume))
        stopped = any(getattr(callback, "stopped", False) for callback in callbacks)
        bar.say(f"stopped after {len(history)} epochs" if stopped else f"resumed {run.where()}"
                if len(history) < epochs else f"{len(history)} of {epochs} epochs are done")
    try:
        with run.interruptible, bar, np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            while len(history) < epochs and not stopped:
                model.train()
                if not run.step:
                    for callback in callbacks:
                        if hasattr(callback, "on_epoch_begin"):
                            callback.on_epoch_begin(model, history)
                run.epoch(bar)
                measured = None, None
                if validation is not None:
                    with _averages(optimizer, run.whole):
                        measured = evaluate(model, validation, loss=loss)[:2]
                with run.whole:
                    run.finish_epoch(*measured)
                    if checkpoint and history.best is history[-1]:
                        with _averages(optimizer, contextlib.nullcontext()):
                            files.save(checkpoint, model, metadata={**run.metadata, "epoch": len(history)})
                    bar.line(history[-1])
                try:
                    enough = any([callback(model, history) is True for callback in callbacks])
                finally:  # the epoch is done, whatever a callback raised; what they changed belongs to it
                    with run.whole:
                        run.heed_lr()
                        if folder:
                            run.save(folder)
                if enough:
                    break
    except KeyboardInterrupt:
        history.interrupted = True
        if folder and not run.whole.broken:
            run.save(folder)
        bar.say(f"interrupted {run.where()}; the model keeps what it learnt")
    else:
        for callback in callbacks:
            if hasattr(callback, "on_train_end"):
                callback.on_train_end(model, history)
    finally:
        run.restore_lr()
        for m, mode in modes:
            m.training = mode
    return history


def _parts(optimizer):
    """What a wrapper wraps."""
    if isinstance(optimizer, Wrapper):
        return optimizer.optimizers if isinstance(optimizer, MultiOptimizer) else [optimizer.optimizer]
    return []


def _flush(optimizer):
    if isinstance(optimizer, Accumulate):
        optimizer.flush()
    for part in _parts(optimizer):
        _flush(part)


def _show_averages(optimizer, stack):
    """Exchange weights for the averages of the outermost wrappers that have some, until ``stack`` closes."""
    if getattr(optimizer, "n_averaged", 0):
        stack.enter_context(optimizer.averaged())
    elif hasattr(optimizer, "eval"):
        stack.callback(optimizer.train, optimizer.training)
        optimizer.eval()
    else:
        for part in _parts(optimizer):
            _show_averages(part, stack)


@contextlib.contextmanager
def _averages(optimizer, whole):
    """Inside, the weights are the averages, if a wrapper keeps any. ``whole`` guards the exchange."""
    stack = contextlib.ExitStack()
    try:
        with whole:
            _show_averages(optimizer, stack)
        yield
    finally:
        with whole:
            stack.close()


def around_step(callbacks: Iterable[Callable], model: Module, history: History) -> contextlib.ExitStack:
    """The contexts that those of the callbacks which have around_step want a step to be taken in."""
    with contextlib.ExitStack() as stack:  # which closes those that were entered, if a later one raises
        for callback in callbacks:
            if hasattr(callback, "around_step"):
                stack.enter_context(callback.around_step(model, history))
        return stack.pop_all()


class _Run:
    """The state of a training in progress: everything that an interruption must keep."""

    def __init__(self, model, optimizer, loss, loader, epochs, schedule, interval, metadata, callbacks):
        self.model, self.optimizer, self.loss, self.loader = model, optimizer, loss, loader
        self.epochs, self.metadata, self.callbacks = epochs, metadata, callbacks
        self.history, self.step, self.sums = History(), 0, _Sums()
        self.rated = [group for group in optimizer.param_groups if "lr" in group]
        self.lrs = [group["lr"] for group in self.rated]  # what the schedule gives factors of
        self.set_lrs = list(self.lrs)  # what it made of them, to notice a change from outside
        self.schedule, self.scheduler, self.interval = schedule, None, interval
        self._check_schedule()
        self.chance = None  # the generators' state at the beginning of this epoch, which decides its order
        self.skip_to = None  # after a resumption inside an epoch: the generators' state there
        self.whole = Whole()
        self.interruptible = self.whole.installed()

    def _check_schedule(self):
        schedule, name = self.schedule, type(self.schedule).__name__
        if self.interval not in ("epoch", "step"):
            raise ValueError(f'fit: schedule_interval must be "epoch" or "step", got {self.interval!r}')
        if isinstance(schedule, LRScheduler):
            if [id(g) for g in schedule.optimizer.param_groups] != [id(g) for g in self.optimizer.param_groups]:
                raise ValueError(f"fit: this {name} is of another optimizer")
            if isinstance(schedule, ReduceLROnPlateau) and self.interval == "step":
                raise ValueError(f'fit: {name} needs the loss of an epoch: schedule_interval="epoch"')
            self.lrs = schedule.base_lrs if schedule.key == "lr" else self.lrs
            self.schedule, self.scheduler = None, schedule
        elif not callable(schedule):
            raise TypeError(f"fit: schedule is a name, a function or an LRScheduler, got {schedule!r:.60}")
        elif not self.rated and schedule is not SCHEDULES["constant"]:
            raise ValueError(f"fit: {type(self.optimizer).__name__} has no learning rate: leave schedule= out")

    def epoch(self, bar):
        """The rest of this epoch's steps."""
        with self.whole:
            if self.skip_to is None:
                self.chance = [g.bit_generator.state for g in self._generators()]
            batches = iter(self.loader)
            if self.skip_to is not None:
                for _ in itertools.islice(batches, self.step):
                    pass
                self._set_chance(self.skip_to)
                self.skip_to = None
        bar.begin(len(self.history) + 1, self.step)
        before, earlier = time.perf_counter(), self.sums.seconds
        while True:
            with self.whole:  # transforms draw too: a batch that was fetched is a step that is taken
                batch = next(batches, None)
                if batch is None:
                    break
                with around_step(self.callbacks, self.model, self.history):
                    self._step(*_pair(batch))
                self.step += 1
                self.sums.seconds = earlier + time.perf_counter() - before
            bar.update(self.step, self.sums)
        with self.whole:
            _flush(self.optimizer)

    def _step(self, x, y):
        if self.schedule is not None:
            self.heed_lr()
            done = (len(self.history) * len(self.loader) + self.step) / (self.epochs * len(self.loader))
            factor = self.schedule(done)
            self._set_lrs([lr * factor for lr in self.lrs])
        first = []

        def closure():
            self.optimizer.zero_grad()
            output = self.model(x)
            loss = self.loss(output, y)
            if not first:
                value = loss.item()
                if not math.isfinite(value):
                    raise Diverged(self._why(value, x), self.history)
                first.append((value, output, y))
            if not self.optimizer.needs_graph:
                loss.backward()  # also where a line search tries a point that overflows: it sees that, and goes back
            return loss
        with enable_grad():
            self.optimizer.step(closure)
        self.sums.add(*first[0])
        self.sums.lr = self.lr
        if self.scheduler is not None and self.interval == "step":
            self.scheduler.step()

    def _why(self, value, x):
        lr = f" (lr {self.lr:.3g})" if self.rated else ""
        text = (f"the loss became {value} in epoch {len(self.history) + 1}, step {self.step + 1} of "
                f"{len(self.loader)}{lr}: ")
        if x.dtype.kind == "f" and not np.isfinite(x.data).all():
            return text + "the batch itself holds NaN or infinity; clean the data"
        smaller = f"try a smaller learning rate, like {self.lrs[0] / 10:.2g}, or " if self.rated else ""
        return f"{text}{smaller}clip gradients (optimizer.gradient_hooks.append(optim.clip_norm(1.0)))"

    def where(self):
        return f"in epoch {len(self.history) + 1} after {self.step} of {len(self.loader)} steps"

    def finish_epoch(self, val_loss, val_accuracy):
        sums = self.sums
        self.history.records.append(Epoch(len(self.history) + 1, sums.loss, sums.accuracy, val_loss, val_accuracy,
                                          sums.lr, sums.seconds, sums.speed))
        self.step, self.sums = 0, _Sums()
        self.chance = None
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(sums.loss if val_loss is None else val_loss)
        elif self.scheduler is not None and self.interval == "epoch":
            self.scheduler.step()

    # ---- the learning rate ----
    @property
    def lr(self):
        """The first group's, None if there is none."""
        return self.rated[0]["lr"] if self.rated else None

    def heed_lr(self):
        """Go on from the learning rates that a callback has set. An LRScheduler does so itself."""
        if self.schedule is None:
            return
        now = [group["lr"] for group in self.rated]
        self.lrs = [lr if new == old else new if lr == old else lr * (new / old) if old else lr
                    for lr, new, old in zip(self.lrs, now, self.set_lrs)]
        self.set_lrs = now

    def _set_lrs(self, lrs):
        for group, lr in zip(self.rated, lrs):
            group["lr"] = lr
        self.set_lrs = lrs

    def restore_lr(self):
        if self.schedule is not None:
            self._set_lrs(self.lrs)

    # ---- across a pause ----
    def _generators(self):
        """Whatever draws during training: minigrad's generator, and those of the loader, transforms and layers."""
        holders = [self.loader, getattr(self.loader, "sampler", None), *_transforms(self.loader.transform),
                   *_transforms(getattr(self.loader.dataset, "transform", None)), *self.model.modules()]
        held = [getattr(h, "generator", None) for h in holders]
        return list({id(g): g for g in [default_generator(), *held] if isinstance(g, np.random.Generator)}.values())

    def _set_chance(self, states):
        generators = self._generators()
        if len(states) != len(generators):
            raise ValueError(f"the saved training drew from {len(states)} generators, this one from {len(generators)}")
        for generator, state in zip(generators, states):
            generator.bit_generator.state = state

    def save(self, folder):
        now = [g.bit_generator.state for g in self._generators()]
        self.heed_lr()
        scheduler = None if self.scheduler is None else self.scheduler.state_dict()
        training = {"history": [asdict(r) for r in self.history], "lrs": self.lrs, "step": self.step,
                    "schedule": scheduler, "callbacks": [(kind, c.state_dict()) for kind, c in self._with_state()],
                    "steps": len(self.loader), "sums": asdict(self.sums), "chance": now,
                    "chance_at_epoch_start": self.chance}
        files.save(folder / "last.safetensors", self.model, self.optimizer,
                   {**self.metadata, "training": training})

    def restore(self, path):
        if path.is_dir() or path.suffix not in files.SUFFIXES:
            path = path / "last.safetensors"
        saved = files.load(path)
        training = saved.metadata.get("training")
        if training is None:
            raise files.ModelFileError(f"{path} holds a model, but no training to resume")
        if training["steps"] != len(self.loader):
            raise ValueError(f"{path} was trained in epochs of {training['steps']} steps, these have "
                             f"{len(self.loader)}: use the same data and batch size")
        if (training.get("schedule") is None) != (self.scheduler is None):
            raise ValueError(f"{path} was trained with{'out' if self.scheduler else ''} an LRScheduler: resume it with "
                             "the same schedule")
        if self.scheduler is not None:  # before the optimizer, which knows what others have set since
            self.scheduler.load_state_dict(training["schedule"])
        saved.restore(self.model, self.optimizer)
        self.lrs, self.set_lrs = training["lrs"], [group["lr"] for group in self.rated]
        states = list(training.get("callbacks", ()))
        for kind, callback in self._with_state():
            found = next((i for i, (saved_kind, _) in enumerate(states) if saved_kind == kind), None)
            if found is not None:
                callback.load_state_dict(states.pop(found)[1])
        self.history.records[:] = [Epoch(**r) for r in training["history"]]
        self.step, self.sums = training["step"], _Sums(**training["sums"])
        self.chance = training["chance_at_epoch_start"]
        if self.chance is not None:  # in the middle of an epoch: its order is drawn again from its beginning
            self.skip_to = training["chance"]
        self._set_chance(self.chance or training["chance"])

    def _with_state(self):
        return [(type(c).__name__, c) for c in self.callbacks
                if hasattr(c, "state_dict") and hasattr(c, "load_state_dict")]


def _transforms(transform):
    yield transform
    for t in getattr(transform, "transforms", ()):
        yield from _transforms(t)
