"""Training and evaluation: ``history = fit(model, data, Adam(model.parameters()), epochs=5)``."""

from __future__ import annotations

import contextlib
import copy
import csv
import io
import itertools
import math
import operator
import os
import shutil
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from . import checkpoint as files
from . import functional as F
from .data import DataLoader
from .formats import read_text
from .mode import enable_grad, no_grad
from .nn import Module
from .optim import Accumulate, LRScheduler, MultiOptimizer, Optimizer, ReduceLROnPlateau, Wrapper
from .progress import Progress, Terminated, Whole
from .random import default_generator, drawing_from, generators_of
from .tensor import Tensor

if TYPE_CHECKING:
    from .distributed import World

__all__ = ["SCHEDULES", "Diverged", "Epoch", "Evaluation", "History", "evaluate", "fit"]


HISTORY_BYTES = 2**26  # half a million epochs


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


def _epoch(values):
    """The Epoch of these values, from a file. Raises ValueError for what are no numbers."""
    epoch = Epoch(**values)
    for f in fields(Epoch):
        value = getattr(epoch, f.name)
        if not (isinstance(value, (int, float)) or (value is None and "None" in f.type)):
            raise ValueError(f"{f.name} of epoch {epoch.epoch!r:.20} is {value!r:.60}")
    if epoch.epoch != epoch.epoch // 1:
        raise ValueError(f"there is no epoch {epoch.epoch}")
    epoch.epoch = int(epoch.epoch)
    return epoch


@dataclass
class History:
    """A list of `Epoch`; ``history["loss"]`` is a column of it. interrupted: a signal ended the training."""

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
        """Read what `to_csv` wrote, exactly. Raises FileNotFoundError, or ValueError for another table."""
        names, text, records = [f.name for f in fields(Epoch)], read_text(path, HISTORY_BYTES, "history"), []
        try:
            head, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
            if head != names:
                raise ValueError(f"its columns are {head!s:.200}, not {names}")
            for row in filter(None, rows):
                if len(row) != len(names):
                    raise ValueError(f"a line has {len(row)} columns, not {len(names)}")
                records.append(_epoch({k: float(v) if v else None for k, v in zip(names, row)}))
        except (csv.Error, ValueError) as error:
            raise ValueError(f"{path} is not a history: {error}") from error
        return cls(records)


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
                seen.add((loss or F.cross_entropy)(output, y).item(), len(y), _correct(output, y))
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


def _correct(output, y):
    """How many labels are right; None where there are no labels."""
    labels = output.ndim == 2 and y.ndim == 1 and y.dtype.kind in "iu"
    return int((output.data.argmax(axis=1) == y.data).sum()) if labels else None


@dataclass
class _Sums:
    """Running totals of an epoch."""

    rows: int = 0
    total: float = 0.0
    correct: int | None = 0
    seconds: float = 0.0
    lr: float | None = None

    def add(self, loss, rows, correct):
        self.rows, self.total = self.rows + rows, self.total + loss * rows
        self.correct = None if self.correct is None or correct is None else self.correct + correct

    loss = property(lambda self: self.total / max(self.rows, 1))
    accuracy = property(lambda self: None if self.correct is None else self.correct / max(self.rows, 1))
    speed = property(lambda self: self.rows / self.seconds if self.seconds else 0.0)


# ---- training ----
def fit(model: Module, data, optimizer: Optimizer, loss: Callable | None = None, *, epochs: int = 1,
        batch_size: int | None = 128, validation=None, transform: Callable | None = None,
        schedule: str | Callable[[float], float] | LRScheduler | None = None, schedule_interval: str = "epoch",
        generator: np.random.Generator | None = None, checkpoint: str | os.PathLike[str] | None = None,
        every: int | None = None, resume: str | os.PathLike[str] | None = None, metadata: dict | None = None,
        progress: bool = True, callbacks: Sequence[Callable] = (), distributed: World | None = None) -> History:
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
    model.safetensors, and for all that ``resume`` needs, as last.safetensors: at the start, after each epoch, after
    ``every`` so many steps, and when a signal ends the training. The one before stays, as previous.safetensors, and
    takes the place of a damaged one. One training at a time has the folder. resume: such a folder or file, after any
    end of that training, also of the process or the machine: what follows is what would have come without, to the bit,
    up to ``epochs`` in total; where it cannot, all is left as it was. metadata: for these files.

    progress: a bar on a terminal, else a line an epoch, on stderr. callbacks: ``f(model, history)`` after each epoch,
    as those of `minigrad.callbacks`; one that returns True ends the training. Those with state_dict and
    load_state_dict are resumed too; one that is resumed ``stopped`` takes no further epoch. Where there are such
    methods, on_train_begin(model, history) is called first, on_epoch_begin(model, history) before the first step of an
    epoch, on_train_end(model, history) last, unless a signal or an error ended the training, and each step is taken
    inside the context that around_step(model, history) gives.

    distributed: ``minigrad.distributed.init()``, in a program that mpiexec started on several ranks: each takes its
    rows of every batch, and all take the steps that one rank would take with the whole batches, batch norm included.
    Rank 0's model, optimizer, generators and order hold; layers and transforms draw for each rank by itself; callbacks
    are each rank's, and one that returns True ends all; rank 0 alone writes and speaks. A checkpoint of N ranks can be
    resumed on M: the losses are the same but for rounding and for what is drawn.

    Ctrl-C ends it between two steps: the model keeps what it has learnt, the state is in the checkpoint folder, and the
    history says ``interrupted``. So does SIGTERM, but then SystemExit(143) is raised, with the ``history``. Raises
    Diverged when the loss is NaN or infinite before a step, which is not taken; a line search may try such points.
    OSError when the checkpoint cannot be written, or another training writes there: what was there stays.
    `checkpoint.ModelFileError`, or ValueError, for a ``resume`` of something else.
    """
    _check(model, optimizer, epochs)
    if isinstance(data, DataLoader):
        if transform is not None or generator is not None:
            raise ValueError("fit: a DataLoader has its own transform and generator; pass them to it")
        loader = data
    else:
        loader = DataLoader(data, batch_size, shuffle=True, generator=generator, transform=transform)
    from .distributed import World  # now, for `import minigrad` does without
    world = World.alone() if distributed is None else distributed
    if not isinstance(world, World):
        raise TypeError(f"fit: distributed is what minigrad.distributed.init() gives, not {world!r:.60}")
    if world.size > 1:
        if optimizer.needs_graph:
            raise ValueError(f"fit: {type(optimizer).__name__} walks over the graph of the loss, of which each of the "
                             f'{world.size} ranks has a part: use distributed.minimize(loss, params, "newton-cg")')
        loader = world.shard(loader)
    if isinstance(schedule, str) and schedule not in SCHEDULES:
        raise ValueError(f"fit: no schedule called {schedule!r}; there are {', '.join(SCHEDULES)}")
    schedule = SCHEDULES.get(schedule or "constant", schedule)
    run = _Run(model, optimizer, loss or F.cross_entropy, loader, epochs, schedule, schedule_interval, metadata or {},
               callbacks, world)
    if checkpoint is not None and Path(checkpoint).suffix not in files.SUFFIXES:
        run.folder, checkpoint = Path(checkpoint), Path(checkpoint) / "model.safetensors"
    if every is not None:
        if run.folder is None:
            raise ValueError(f"fit: every={every!r} is for checkpoints, so it needs checkpoint=, a folder")
        if not isinstance(every, (int, np.integer)) or isinstance(every, bool) or every < 1:
            raise ValueError(f"fit: every is a number of steps, 1 or more, got {every!r}")
        run.every = every
    with _alone(model), contextlib.ExitStack() as held:
        if run.folder is not None:
            world.from_first(lambda: held.enter_context(files.locked(run.folder)))
        world.synchronize(model, optimizer)
        held.enter_context(world.synchronized(model))
        return _train(run, validation, checkpoint, resume, Progress(progress and world.first, epochs, len(loader)))


def _check(model, optimizer, epochs):
    if not hasattr(optimizer, "param_groups"):
        raise TypeError(f"fit: optimizer is one like Adam(model.parameters()), not {optimizer!r:.60}")
    mine = {id(p) for p in model.parameters()}
    if mine and not any(id(p) in mine for group in optimizer.param_groups for p in group["params"]):
        raise ValueError(f"fit: the optimizer has none of this {type(model).__name__}'s parameters: is it another "
                         "model's, or older than these parameters?")
    if not isinstance(epochs, (int, np.integer)) or epochs < 0:
        raise ValueError(f"fit: epochs is a number of passes, an integer from 0 on, got {epochs!r}")


_in_training: dict[int, object] = {}  # the id of each model that is


@contextlib.contextmanager
def _alone(model):
    mine = object()
    if _in_training.setdefault(id(model), mine) is not mine:
        raise RuntimeError(f"fit: this {type(model).__name__} is in training already, here or in another thread, and "
                           "they would mix their gradients: train one after the other, or a copy.deepcopy(model)")
    try:
        yield
    finally:
        del _in_training[id(model)]


def _train(run, validation, checkpoint, resume, bar):
    model, optimizer, epochs, callbacks, world = run.model, run.optimizer, run.epochs, run.callbacks, run.world
    history, modes = run.history, [(m, m.training) for m in model.modules()]
    stopped, run.validation = False, validation
    if resume is None and run.folder is not None and (run.folder / "last.safetensors").exists():
        bar.say(f"{run.folder} holds another training, which this one replaces: resume= would go on with it")
    if resume is not None:
        for line in run.restore(Path(resume)):
            bar.say(line)
        stopped = world.any(any(getattr(callback, "stopped", False) for callback in callbacks))
        bar.say(f"stopped after {len(history)} epochs" if stopped else f"resumed {run.where()}"
                if len(history) < epochs else f"{len(history)} of {epochs} epochs are done")
    try:
        with run.interruptible, bar, np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for callback in callbacks:
                if hasattr(callback, "on_train_begin"):
                    callback.on_train_begin(model, history)
            with run.whole:
                run.save()  # what cannot be written is known before the first step
            while len(history) < epochs and not stopped:
                model.train()
                if not run.step:
                    for callback in callbacks:
                        if hasattr(callback, "on_epoch_begin"):
                            callback.on_epoch_begin(model, history)
                run.epoch(bar)
                measured = None, None
                run.skip_to = run.chance_now()  # validation may draw too, and is done again where it is not finished
                if validation is not None:
                    with _averages(optimizer, run.whole):
                        measured = run.validated(validation)
                with run.whole:
                    run.skip_to = None
                    run.finish_epoch(*measured)
                    if checkpoint and history.best is history[-1]:
                        with _averages(optimizer, contextlib.nullcontext()):
                            run.save_model(checkpoint)
                    bar.line(history[-1])
                try:
                    enough = any([callback(model, history) is True for callback in callbacks])
                finally:  # the epoch is done, whatever a callback raised; what they changed belongs to it
                    with run.whole:
                        run.heed_lr()
                        run.save()
                world.check(model)
                run.heed_signals()
                if world.any(enough):
                    break
    except (KeyboardInterrupt, Terminated) as signalled:
        if world.size > 1 and not run.asked:  # on this rank alone: the others wait elsewhere
            raise
        history.interrupted = True
        saved = "" if run.folder is None else f"; {run.folder} holds its last checkpoint"
        if run.folder is not None and not run.whole.broken:
            try:
                run.save()
                saved = f", and {run.folder} holds all to go on"
            except OSError as error:
                saved += f": {error}"
        ended = "terminated" if isinstance(signalled, Terminated) else "interrupted"
        bar.say(f"{ended} {run.where()}; the model keeps what it learnt{saved}")
        if isinstance(signalled, Terminated):
            signalled.history = history
            raise
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

    def __init__(self, model, optimizer, loss, loader, epochs, schedule, interval, metadata, callbacks, world):
        self.model, self.optimizer, self.loss, self.loader = model, optimizer, loss, loader
        self.epochs, self.metadata, self.callbacks, self.world = epochs, metadata, callbacks, world
        self.history, self.step, self.sums = History(), 0, _Sums()
        self.rated = [group for group in optimizer.param_groups if "lr" in group]
        self.lrs = [group["lr"] for group in self.rated]  # what the schedule gives factors of
        self.set_lrs = list(self.lrs)  # what it made of them, to notice a change from outside
        self.schedule, self.scheduler, self.interval = schedule, None, interval
        self._check_schedule()
        self.validation = None
        self.chance = None  # the generators' state at the beginning of this epoch, which decides its order
        self.skip_to = None  # after a resumption inside an epoch: the generators' state there
        self.resharded = False  # which was that of another number of ranks
        self.seed = 0  # of what the optimizer draws on all ranks in this epoch
        self.asked = None  # what a signal to any of the ranks shall raise on all
        self.folder = self.every = None  # where and after how many steps all this is saved
        self.saved = False  # so that what is in the folder is of this training
        self.whole = Whole()
        self.whole.together = world.size > 1
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
                self.chance = self.chance_now()
            if self.world.size > 1:
                self.world.spread(self._generators())
                self.seed = self.world.broadcast(zlib.crc32(repr(self.chance[0]).encode()))
            batches = iter(self.loader)
            if self.skip_to is not None:
                for _ in itertools.islice(batches, self.step):
                    pass
                self._set_chance(self.skip_to)
                if self.resharded:
                    self.world.spread(self._generators())
                self.skip_to, self.resharded = None, False
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
                if self.every and (len(self.history) * len(self.loader) + self.step) % self.every == 0:
                    self.save()
            bar.update(self.step, self.sums)
            if self.asked:
                raise self.asked
        with self.whole:
            _flush(self.optimizer)
            self.sums.seconds = self.world.broadcast(self.sums.seconds)

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
            if self.world.size > 1:
                loss = loss * self.loader.share
            if self.world.size > 1 or not first:
                value, rows, correct = self._of_all_ranks(loss.item(), len(y), _correct(output, y))
            if not first:
                if not math.isfinite(value):
                    raise Diverged(self._why(value, x, y), self.history)
                first.append((value, rows, correct))
            if self.optimizer.needs_graph:
                return loss
            if self.world.size == 1:
                loss.backward()  # also where a line search tries a point that overflows: it sees that, and goes back
                return loss
            with self.world.summed(p for group in self.optimizer.param_groups for p in group["params"]):
                loss.backward()
            return Tensor(np.asarray(value, loss.dtype))
        with enable_grad():
            if self.world.size == 1:
                self.optimizer.step(closure)
            else:  # what the optimizer draws is the same on all ranks, what the model draws is not
                own = default_generator()

                def in_own():
                    with drawing_from(own):
                        return closure()
                with drawing_from(np.random.default_rng([self.seed, self.step])):
                    self.optimizer.step(in_own)
        self.sums.add(*first[0])
        self.sums.lr = self.lr
        if self.scheduler is not None and self.interval == "step":
            self.scheduler.step()

    def _of_all_ranks(self, *loss_rows_correct):
        """The sums over ranks, and whether a signal came to any."""
        if self.world.size == 1:
            return loss_rows_correct
        numbers = [math.nan if n is None else n for n in loss_rows_correct]
        loss, rows, correct, *asked = self.world.sum(np.array([*numbers, *self._signalled()])).tolist()
        self._ask(asked)
        rows, correct = rows / self.world.copies, correct / self.world.copies
        return loss, round(rows), None if math.isnan(correct) else round(correct)

    def _signalled(self):
        return [float(self.whole.asked is error) for *_, error in Whole.SIGNALS]

    def _ask(self, asked):
        self.asked = next((error for (*_, error), ranks in zip(Whole.SIGNALS, asked) if ranks), None)

    def heed_signals(self):
        """Raise on all ranks what a signal to any shall raise. Of one rank, `whole` does."""
        if self.world.size > 1:
            self._ask(self.world.sum(np.array(self._signalled())))
            if self.asked:
                raise self.asked

    def validated(self, data):
        """(loss, accuracy) on all of the data, of which each rank takes its part."""
        loss = None if self.loss is F.cross_entropy else self.loss
        if self.world.size == 1:
            return evaluate(self.model, data, loss=loss)[:2]
        if isinstance(data, DataLoader):
            return self.world.broadcast(evaluate(self.model, data, loss=loss)[:2])
        dataset = DataLoader(data).dataset
        rows, share = self.world.part(len(dataset))
        here = evaluate(self.model, dataset[rows], loss=loss)
        n = rows.stop - rows.start
        correct = math.nan if here.accuracy is None else round(here.accuracy * n)
        loss, correct, n = self.world.sum(np.array([here.loss * share, correct, n])).tolist()
        return loss, None if math.isnan(correct) else correct / n

    def _why(self, value, x, y):
        lr = f" (lr {self.lr:.3g})" if self.rated else ""
        text = (f"the loss became {value} in epoch {len(self.history) + 1}, step {self.step + 1} of "
                f"{len(self.loader)}{lr}: ")
        for part, what in ((x, "batch itself holds"), (y, "targets hold")):
            if part.dtype.kind == "f" and not np.isfinite(part.data).all():
                return f"{text}the {what} NaN or infinity; clean the data"
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
        loaders = [self.loader, *([self.validation] if isinstance(self.validation, DataLoader) else ())]
        return generators_of(*loaders, *self.model.modules())

    def chance_now(self):
        return [g.bit_generator.state for g in self._generators()]

    def _set_chance(self, states):
        generators = self._generators()
        if len(states) != len(generators):
            raise ValueError(f"the saved training drew from {len(states)} generators, this one from {len(generators)}")
        for generator, state in zip(generators, states):
            generator.bit_generator.state = state

    def save_model(self, path):
        metadata = {**self.metadata, "epoch": len(self.history)}
        self.world.from_first(lambda: files.save(path, self.model, metadata=metadata))

    def save(self):
        """Write all that `restore` needs into the folder, if there is one."""
        if self.folder is None:
            return
        self.world.check(self.model)
        now = self.skip_to or self.chance_now()
        self.heed_lr()
        scheduler = None if self.scheduler is None else self.scheduler.state_dict()
        training = {"history": [asdict(r) for r in self.history], "epochs": self.epochs, "lrs": self.lrs,
                    "step": self.step, "schedule": scheduler,
                    "callbacks": [(kind, c.state_dict()) for kind, c in self._with_state()],
                    "division": self.loader.division, "sums": asdict(self.sums), "chance": now,
                    "chance_of_ranks": self.world.gather(now), "chance_at_epoch_start": self.chance}
        previous = self.folder / "previous.safetensors"

        def write():
            files.save(self.folder / "last.safetensors", self.model, self.optimizer,
                       {**self.metadata, "training": training}, previous if self.saved else None)
            if not self.saved:
                previous.unlink(missing_ok=True)
        self.world.from_first(write)
        self.saved = True

    def restore(self, path):
        """Go on from there, or leave all as it was. Gives what is to be said about it."""
        saved, damaged = self.world.from_first(lambda: _last(path))
        stateful = [self.model, self.optimizer, self.scheduler, *(c for _, c in self._with_state())]
        before = [(thing, copy.deepcopy(thing.state_dict())) for thing in stateful if thing is not None]
        chance = [(g.bit_generator, g.bit_generator.state) for g in self._generators()]
        try:
            notes = self._restore(saved)
            for thing, state in before:
                _check_alike(thing.state_dict(), state, type(thing).__name__)
        except BaseException as error:
            for thing, state in before:
                thing.load_state_dict(state)
            for generator, state in chance:
                generator.state = state
            if isinstance(error, Exception) and str(saved.path) not in str(error):
                raise files.ModelFileError(f"{saved.path} is no training that can be resumed ({error!r})") from error
            raise
        if damaged is not None:
            return [f"{damaged}; this goes on from {saved.path.name}", *notes]
        self.saved = self.folder is not None and saved.path.parent.resolve() == self.folder.resolve()
        if self.folder is not None and not self.saved:
            self.world.from_first(lambda: _copied(saved.path.with_name("model.safetensors"), self.folder))
        return notes

    def _restore(self, saved):
        path, training = saved.path, saved.metadata.get("training")
        if not isinstance(training, dict):
            raise files.ModelFileError(f"{path} holds a model, but no training to resume")
        was, now = tuple(training["division"]), self.loader.division
        if was != now:
            raise ValueError("{} was trained on {} rows in {} batches of {}, these are {} in {} of {}: use the same "
                             "data and batch size".format(path, *was, *now))
        if len(training["history"]) > self.epochs:
            raise ValueError(f"{path} has {len(training['history'])} epochs already, more than epochs={self.epochs}")
        if (len(training["lrs"]) != len(self.rated) or not 0 <= training["step"] <= len(self.loader)
                or not all(0 <= lr < math.inf for lr in training["lrs"])):
            raise files.ModelFileError(f"{path} is no training that can be resumed: it has learning rates "
                                       f"{training['lrs']} for {len(self.rated)} groups, in step {training['step']}")
        if (training["schedule"] is None) != (self.scheduler is None):
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
        self.history.records[:] = [_epoch(r) for r in training["history"]]
        self.step, self.sums = operator.index(training["step"]), _Sums(**training["sums"])
        _check_alike(asdict(self.sums), asdict(_Sums()), "sums")
        _check_alike([self.lrs, training["epochs"]], [self.set_lrs, self.epochs], "training")
        self.chance = training["chance_at_epoch_start"]
        if self.chance is not None:  # in the middle of an epoch: its order is drawn again from its beginning
            ranks = training["chance_of_ranks"]
            self.resharded = len(ranks) != self.world.size > 1
            self.skip_to = training["chance"] if len(ranks) != self.world.size else ranks[self.world.rank]
            self._set_chance(self.skip_to)  # or it is said now, not in the epoch
        self._set_chance(self.chance or training["chance"])
        return self._stretched(training["epochs"])

    def _stretched(self, epochs):
        """What to say when the schedule was made for so many epochs, not for these."""
        done = len(self.history) * len(self.loader) + self.step
        if self.schedule is None or epochs == self.epochs or not 0 < done < self.epochs * len(self.loader):
            return []
        was, now = (self.schedule(min(done / (n * len(self.loader)), 1.0)) for n in (epochs, self.epochs))
        return [] if was == now else [f"the schedule now spans {self.epochs} epochs, not {epochs}: the learning rate "
                                      f"goes from {was:.3g} to {now:.3g} of its largest"]

    def _with_state(self):
        return [(type(c).__name__, c) for c in self.callbacks
                if hasattr(c, "state_dict") and hasattr(c, "load_state_dict")]


def _check_alike(state, fresh, name):
    """Raise ValueError where a file has a text or a list for a number, or the like; None stands for anything."""
    if state is None or fresh is None:
        return
    if _kind(state) is not _kind(fresh):
        raise ValueError(f"{name} is {state!r:.60}, not like {fresh!r:.60}")
    if isinstance(state, dict):
        for key in state.keys() & fresh.keys():
            _check_alike(state[key], fresh[key], f"{name}, {key}")
    elif isinstance(state, (list, tuple)) and len(state) == len(fresh):
        for i, pair in enumerate(zip(state, fresh)):
            _check_alike(*pair, f"{name}, {i}")


def _kind(value):
    return next((kind for kind in (dict, str, list) if isinstance(value, kind)),
                list if isinstance(value, tuple) or (isinstance(value, np.ndarray) and value.ndim) else float)


def _copied(best, folder):
    if best.is_file():
        with files.replacing(folder / best.name) as beside:
            shutil.copyfile(best, beside)


def _last(path):
    """(the training in a file, or the last whole one in a folder, the error that another was passed over for)."""
    if not path.is_dir() and path.suffix in files.SUFFIXES:
        return files.load(path), None
    try:
        return files.load(path / "last.safetensors"), None
    except (FileNotFoundError, files.ModelFileError) as damaged:
        try:
            return files.load(path / "previous.safetensors"), damaged
        except (FileNotFoundError, files.ModelFileError):
            raise damaged from None


