"""The command line: ``minigrad train``, ``predict``, ``graph``, ``compare``, ``theatre``: each a few lines of Python.

train::

    model = models.mlp()
    history = train.fit(model, data.load("mnist"), optim.Adam(model.parameters(), lr=5e-3), epochs=5)
    print(train.evaluate(model, data.load("mnist", train=False)).accuracy)

train --live --tensorboard --report::

    watching = [live.Curves("curves.png"), callbacks.TensorBoard("logs", optimizer=optimizer), signals.Recorder(model)]
    history = train.fit(model, data.load("mnist"), optimizer, epochs=5, callbacks=watching)
    report.write("runs/mlp-mnist")  # from the files of a run, at any time

predict::

    model = checkpoint.load("runs/mlp-mnist/model.safetensors").build()
    digit = images.like_mnist(images.read("seven.png"))
    print(model(Tensor(digit[None, None])).argmax())

graph::

    model, batch = models.mlp(), Tensor(np.zeros((2, 1, 28, 28), np.float32))
    loss = functional.cross_entropy(model(batch), np.array([0, 1]))
    viz.save(viz.draw(loss, model), "graph")

player::

    viz.player(loss, "runs/player.html", model)

compare::

    runs = theatre.race(functions.by_name("bowl"), ["sgd", "momentum", "adam"])
    theatre.write(runs, "runs/compare-bowl")
    print(theatre.table(runs))

compare --data::

    runs = race.race(race.problem("digits", "mlp"), ["sgd", "adam", "lbfgs", "newton-cg"], budget=400)
    viz.race.write(runs, "runs/compare-mlp-digits")
    print(race.table(runs))

theatre::

    stage.page("runs/theatre.html", "rosenbrock", ["momentum", "adam:0.02", "newton", "lbfgs"])

gallery::

    broken.gallery("runs/gallery.html")
    print(broken.table())
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import json
import math
import os
import platform
import shlex
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from . import __version__, optim
from .formats import read_json
from .naming import unknown
from .progress import Terminated

__all__ = ["LEARNING_RATES", "main"]

LEARNING_RATES = {  # the best of a few on MNIST in five epochs of the one-cycle schedule, whose peak they are
    "sgd": 0.5, "momentum": 0.1, "nag": 0.1, "adagrad": 0.1, "rmsprop": 3e-3, "adadelta": 3.0, "adam": 5e-3}
TRAIN = {"model": "mlp", "data": "auto", "optimizer": "adam", "lr": None, "epochs": None, "batch_size": None, "seed": 0,
         "schedule": "onecycle", "augment": None, "validation": 0.1}
EPOCHS = {"mnist": {"mlp": 5, "cnn": 3, "lenet5": 3, "resnet": 2},
          "digits": {"mlp": 15, "cnn": 15, "lenet5": 15, "resnet": 8}}
BATCH_SIZE = {"mnist": 128, "digits": 32}
AUGMENT = {"mnist": 1, "digits": 0}
SCHEDULES = ("constant", "linear", "cosine", "onecycle")
COMPARED = "sgd,momentum,nag,adagrad,rmsprop,adadelta,adam"
RACED = "sgd,momentum,adam,lbfgs,newton-cg"
RACE = {"model": "mlp", "samples": None, "hidden": None, "l2": 0.0, "dtype": "float64", "budget": 400, "tuning": 1.0,
        "target": 1e-3, "seeds": 1}
RECORDS = 60  # of activations and gradients, that a training with --report keeps
CHECKPOINTS = ("last.safetensors", "previous.safetensors")
LARGEST = 1024  # pixels along a side of a model's images
INTERRUPTED = 130  # what a shell expects after Ctrl-C


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line (default: the process's) and return its exit code.

    0 done, 1 an error, told in one line, 130 after Ctrl-C. Raises SystemExit as argparse does: 2 for wrong usage, 0
    after --help and --version.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 0
    try:
        return options.run(options)
    except KeyboardInterrupt:
        _tell("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output is gone: nobody is left to be told
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, ValueError, ArithmeticError, ImportError) as error:
        if not getattr(error, "on_all_ranks", False):  # where rank 0, which raised it, tells it
            _tell("error: " + "; ".join(line.strip() for line in str(error).splitlines() if line.strip()))
        return 1


def _tell(text):
    print(f"minigrad: {text}", file=sys.stderr, flush=True)


def _say(text=""):
    print(text, flush=True)  # progress goes to stderr: in a file, both shall be in order


def _wrapped(text):
    return textwrap.fill(text, 79, subsequent_indent="  ", break_on_hyphens=False)


# ---- train ----
def _train(options) -> int:
    from . import checkpoint, data, distributed, train
    from .nn.summary import summary
    from .random import manual_seed
    world = distributed.init() if options.distributed else distributed.World.alone()
    say = _say if world.first else lambda *_: None
    settings = _settings(options)
    manual_seed(settings["seed"])
    # the first rank downloads, where something has to be
    name = settings["data"] = world.from_first(lambda: data.load(settings["data"]).name.lower())
    everything = data.load(name)
    test = data.load(name, train=False)
    _complete(settings, name)
    folder = Path(options.resume or options.out or world.from_first(lambda: _new_folder(settings)))
    resume = options.resume and folder
    if resume and world.from_first(lambda: not any((folder / name).exists() for name in CHECKPOINTS)):
        resume = None
        if world.first:
            _tell(f"{folder} has no checkpoint yet: this begins at the beginning")
    train_set, valid_set = _split(everything, settings)
    shape, classes = everything.x.shape[1:], list(everything.classes)
    batch_size = None if settings["batch_size"] == "all" else settings["batch_size"]
    model = _model(settings["model"], shape, len(classes))
    optimizer = optim.by_name(settings["optimizer"])(model.parameters(), lr=settings["lr"])
    say(f"data: {everything.name}, {len(train_set):,} images to train, {len(valid_set or ()):,} to validate, "
         f"{len(test):,} to test")
    say(f"\n{summary(model, shape, batch_size=batch_size or len(train_set))}\n")
    say(f"{type(optimizer).__name__}, lr {settings['lr']:g} ({settings['schedule']}), batches of "
         f"{settings['batch_size']}, seed {settings['seed']}\n")
    title = f"{settings['model']} on {everything.name}"
    steps = settings["epochs"] * math.ceil(len(train_set) / (batch_size or len(train_set)))
    code = INTERRUPTED
    with contextlib.ExitStack() as stack:
        watching = []
        if world.first:
            watching = [_Configuration(folder, settings),
                        *_watching(options, folder, title, model, optimizer, steps, settings, stack)]
        try:
            history = train.fit(
                model, train_set, optimizer, epochs=settings["epochs"], batch_size=batch_size, validation=valid_set,
                transform=data.RandomTranslate(settings["augment"]) if settings["augment"] else None,
                schedule=settings["schedule"], checkpoint=folder, every=options.every, resume=resume,
                metadata={"data": name, "classes": classes, "input_shape": list(shape)},
                callbacks=watching, distributed=world)
        except Terminated as ended:
            history, code = ended.history, ended.code
    if not world.first:
        return code if history.interrupted else 0
    history.to_csv(folder / "history.csv")
    if history.interrupted:
        again = [f"--{name}" for name in ("live", "tensorboard", "report") if getattr(options, name)]
        again += ["--every", str(options.every)] if options.every else []
        start = f"mpiexec -n {world.size} minigrad train --distributed" if world.size > 1 else "minigrad train"
        say(f"to go on where this stopped: {' '.join([start, '--resume', shlex.quote(str(folder)), *again])}")
        return code
    best = checkpoint.load(folder / "model.safetensors")
    result = train.evaluate(best.build(), test)
    _pictures(folder, title, history, test, result)
    _draw(model, shape, folder / "graph", title)
    if options.report:
        from .viz import report
        report.write(folder)
    say(f"\ntest accuracy {result.accuracy:.2%} on {len(test):,} images (loss {result.loss:.4f}), "
         f"the model of epoch {best.metadata['epoch']}")
    names = " ".join(sorted(p.name for p in folder.iterdir() if p.is_file() and p.name[0] != "."))
    say(_wrapped(f"written to {folder}: {names}"))
    say(f"try: minigrad predict {folder / 'model.safetensors'} test:0")
    return 0


class _Configuration:
    """Writes the settings once the folder is this training's own."""

    def __init__(self, folder, settings):
        self.folder, self.settings = folder, {**settings, "minigrad": __version__, "numpy": np.__version__}

    def on_train_begin(self, model, history):
        from .checkpoint import replacing
        with replacing(self.folder / "config.json") as beside:
            beside.write_text(json.dumps(self.settings, indent=2) + "\n")

    def __call__(self, model, history):
        pass


def _watching(options, folder, title, model, optimizer, steps, settings, stack):
    """The callbacks that were asked for; the stack closes them."""
    chosen = []
    if options.report:
        from .viz.signals import Recorder
        chosen.append(Recorder(model, every=max(steps // RECORDS, 1)))
    if options.tensorboard:
        from .callbacks import TensorBoard
        chosen.append(TensorBoard(folder / "tensorboard", optimizer=optimizer, hparams=settings))
        stack.callback(chosen[-1].close)
    if options.live:
        from .viz.live import Curves
        chosen.append(stack.enter_context(Curves(folder / "curves.png", title=title)))
    return chosen


def _settings(options):
    """What was asked for; with --resume, what that run was asked for."""
    given = {key: value for key, value in vars(options).items() if key in TRAIN}
    if options.resume is None:
        return {**TRAIN, **given}
    folder = Path(options.resume)
    other = sorted(given.keys() - {"epochs"}) + ["out"] * (options.out is not None)
    if other:
        raise ValueError("--resume goes on with the run's own settings; of those only --epochs can change, not "
                         + ", ".join("--" + key.replace("_", "-") for key in other))
    saved = _saved_settings(folder)
    settings = {**{key: saved[key] for key in TRAIN}, **given}
    return settings


def _saved_settings(folder):
    """What config.json says, each value as its option would take it."""
    path = folder / "config.json"
    try:
        saved = read_json(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{folder} is not the folder of a run: it has no config.json") from error
    if missing := [key for key in TRAIN if key not in saved]:
        raise ValueError(f"{path} is damaged: it lacks {', '.join(missing)}")
    named = {"model": EPOCHS["mnist"], "data": EPOCHS, "schedule": SCHEDULES}
    checks = {"optimizer": _optimizer, "lr": _positive, "epochs": _count, "batch_size": _batch_size, "seed": _seed,
              "augment": _seed, "validation": _share}
    for key in TRAIN:
        value, good = saved[key], False
        if key in named:
            good = isinstance(value, str) and value in named[key]
        elif isinstance(value, (int, float, str)) and not isinstance(value, bool):
            with contextlib.suppress(argparse.ArgumentTypeError):
                good = checks[key](str(value)) == value
        if not good:
            raise ValueError(f"{path} is damaged: {key} cannot be {value!r:.60}")
    return saved


def _new_folder(settings):
    """runs/mlp-mnist, or with the first number that makes it new."""
    name = Path("runs") / f"{settings['model']}-{settings['data']}"
    number, folder = 1, name
    while folder.exists():
        number += 1
        folder = name.with_name(f"{name.name}-{number}")
    return folder


def _complete(settings, name):
    """Defaults that depend on other settings."""
    optimizer = settings["optimizer"]
    defaults = {"epochs": EPOCHS[name][settings["model"]], "batch_size": BATCH_SIZE[name], "augment": AUGMENT[name],
                "lr": LEARNING_RATES.get(optimizer)}
    for key, value in defaults.items():
        if settings[key] is None:
            settings[key] = value
    if settings["lr"] is None:
        lr = inspect.signature(optim.by_name(optimizer)).parameters.get("lr")
        if lr is None:
            raise ValueError(f"--optimizer {optimizer} has no learning rate, and this command's schedules need one: "
                             "use it in three lines of Python, train.fit(model, data, optimizer)")
        settings["lr"] = lr.default


def _split(everything, settings):
    from .data import random_split
    held_out = round(settings["validation"] * len(everything))
    if not held_out:
        return everything, None
    chance = np.random.default_rng(settings["seed"])  # its own, so that a resumed run has the same split
    return random_split(everything, [len(everything) - held_out, held_out], chance)


def _model(name, shape, classes):
    from . import models
    if name not in EPOCHS["mnist"]:
        raise ValueError(unknown("model", name, EPOCHS["mnist"], f"there are {', '.join(EPOCHS['mnist'])}"))
    size = {"in_features": math.prod(shape)} if name == "mlp" else {"channels": shape[0], "size": shape[1]}
    return models.build(name, classes=classes, **size)


def _pictures(folder, title, history, test, result):
    from . import metrics, viz
    said = result.predictions.argmax(axis=1)
    counts = metrics.confusion_matrix(test.y, said, len(test.classes))
    try:
        viz.curves(history, folder / "curves.png", title=title)
        viz.confusion_matrix(counts, test.classes, folder / "confusion.png", title)
        viz.wrongest(test.x, test.y, said, result.predictions, folder / "wrong.png", test.classes, title=title)
    except viz.MissingExtra as error:
        _say(str(error))


def _draw(model, shape, path, title, format="svg", grad=False, **look):
    from . import functional, viz
    from .tensor import Tensor
    model.eval()
    images = Tensor(np.random.default_rng(0).random((2, *shape), np.float32), name="images")
    labels = np.arange(2)
    loss = functional.cross_entropy(model(images), labels)
    if grad:
        loss.backward(retain_graph=True)
    return viz.save(viz.draw(loss, model, {"labels": labels, "loss": loss}, title=title, **look), path, format)


# ---- predict ----
def _predict(options) -> int:
    from . import checkpoint, functional
    from .mode import no_grad
    from .tensor import Tensor
    saved = checkpoint.load(options.model)
    model = saved.build()
    shape, classes = _input_shape(saved, options.model), saved.metadata.get("classes")
    if shape[0] != 1 or shape[1] != shape[2] or not isinstance(classes, list):
        raise ValueError(f"{options.model} does not say that it takes square grey images: it was not written by "
                         "minigrad train")
    pictures = [_picture(name, shape[1], saved.metadata.get("data")) for name in options.images]
    with no_grad():
        try:
            shares = functional.softmax(model(Tensor(np.stack([p for p, _ in pictures])[:, None]))).numpy()
        except (TypeError, LookupError, AttributeError) as error:
            raise ValueError(f"{options.model} holds a model for something else: {error}") from error
    if shares.shape != (len(pictures), len(classes)):
        raise ValueError(f"{options.model} names {len(classes)} classes, its model puts out {shares.shape[1:]}")
    width = max(map(len, options.images))
    for name, (_, truth), row in zip(options.images, pictures, shares):
        best = np.argsort(-row, kind="stable")[:3]
        told = "" if truth is None else f"   (truth {classes[truth]})"
        _say(f"{name:{width}}  {classes[best[0]]}   "
             + "  ".join(f"{classes[i]} {row[i]:6.1%}" for i in best) + told)
    return 0


def _picture(name, size, dataset):
    """(the image as the model wants it, its label if it is known)."""
    from . import data, images
    if not name.startswith("test:"):
        try:
            return images.like_mnist(images.read(name), size), None
        except ValueError as error:
            raise ValueError(str(error) if name in str(error) else f"{name}: {error}") from error
    number = name.removeprefix("test:")
    test = data.load(dataset, train=False)
    if not number.isdecimal() or int(number) >= len(test):
        raise ValueError(f"{name}: the test set's images are test:0 to test:{len(test) - 1}")
    x, y = test[int(number)]
    return x[0], int(y)


# ---- graph ----
def _saved(name):
    """What minigrad train wrote to the file of this name; None for the name of a model."""
    from . import checkpoint
    return checkpoint.load(name) if Path(name).suffix in checkpoint.SUFFIXES else None


def _input_shape(saved, name, default=None):
    """Of the images that a model file was trained on. Raises ValueError if it does not say so."""
    shape = saved.metadata.get("input_shape", default)
    if not isinstance(shape, list) or len(shape) != 3 or not all(type(n) is int and 0 < n <= LARGEST for n in shape):
        raise ValueError(f"{name} does not say that it takes square grey images: it was not written by "
                         "minigrad train")
    return tuple(shape)


def _graph(options) -> int:
    out = Path(options.out)
    format = out.suffix[1:] or "svg"
    if format not in ("dot", "svg", "png", "pdf"):
        raise ValueError(f"--out {out}: the picture's name ends in .svg, .png, .pdf or .dot")
    saved = _saved(options.model)
    shape = _input_shape(saved, options.model, [1, 28, 28]) if saved else (1, 28, 28)
    model = saved.build() if saved else _model(options.model, shape, 10)
    files = _draw(model, shape, out.with_suffix(""), Path(options.model).name, format, options.grad,
                  depth=options.depth, direction=options.direction, dark=options.dark)
    _say(f"wrote {' and '.join(map(str, files))}")
    return 0


# ---- compare ----
def _compare(options) -> int:
    names = lambda default: _names(options.optimizers or default)
    given = [key for key in RACE if hasattr(options, key)]
    if options.data is None:
        if given:
            raise ValueError(f"{', '.join('--' + key for key in given)}: for a race on data, so name it: --data digits")
        return _paths(options, names(COMPARED))
    if options.function is not None:
        raise ValueError(f"--data {options.data} and --function {options.function}: give one; --data trains a network "
                         "on samples, --function walks over two variables")
    if options.steps is not None:
        raise ValueError(f"--steps {options.steps} is for --function: on --data all have the same --budget")
    return _race(options, names(RACED), {**RACE, **{key: getattr(options, key) for key in given}})


def _names(text):
    return [name.strip() for name in text.split(",") if name.strip()]


def _race(options, names, settings):
    from . import race, viz
    from .viz.race import write
    problem = race.problem(options.data, settings["model"], settings["samples"], hidden=settings["hidden"],
                           l2=settings["l2"], dtype=settings["dtype"], seed=options.seed)
    _say(_wrapped(f"{problem.title}, full batch; budget {settings['budget']:,} gradient equivalents"))
    runs = race.race(problem, names, settings["budget"], seeds=settings["seeds"], tuning=settings["tuning"],
                     target=settings["target"])
    _say(f"\n{race.table(runs, settings['target'])}\n")
    for note in race.notes(runs, settings["tuning"], settings["target"]):
        _say(_wrapped(note))
    folder = Path(options.out or Path("runs") / f"compare-{problem.model}-{problem.data}")
    _say()
    return _written(folder, lambda: write(runs, folder, options.dark, settings["target"]), viz.MissingExtra)


def _written(folder, write, missing):
    """Let write fill the folder, as far as the extras are there, and say what is in it."""
    try:
        write()
    except missing as error:
        _say(str(error))
    names = " ".join(sorted(p.name for p in folder.iterdir() if p.is_file()))
    _say(_wrapped(f"written to {folder}: {names}"))
    return 0


def _paths(options, names):
    from . import viz
    from .viz import functions, theatre
    function = functions.by_name(options.function or "bowl")
    runs = theatre.race(function, names, options.steps, options.seed)
    folder = Path(options.out or Path("runs") / f"compare-{function.name}")
    least = " or ".join(f"({x:.6g}, {y:.6g})" for x, y in function.minima)
    least = f"least at {least}" if least else "without a lower bound"
    _say(_wrapped(f"{function.name}: {function.formula} from {function.start}, {least}"))
    _say(f"\n{theatre.table(runs)}\n")
    for note in theatre.notes(runs):
        _say(_wrapped(note) + "\n")
    return _written(folder, lambda: theatre.write(runs, folder, options.dark), viz.MissingExtra)


# ---- player ----
def _player(options) -> int:
    from . import data, functional, viz
    from .random import manual_seed
    from .tensor import Tensor
    manual_seed(0)
    saved = _saved(options.model)
    test = data.load(options.data or (saved and saved.metadata.get("data")) or "auto", train=False)
    model = saved.build() if saved else _model(options.model, test.x.shape[1:], len(test.classes))
    shape = _input_shape(saved, options.model, [*test.x.shape[1:]]) if saved else test.x.shape[1:]
    if shape != test.x.shape[1:]:
        raise ValueError(f"{options.model} takes images of shape {shape}, but those of {test.name} are "
                         f"{test.x.shape[1:]}: choose others with --data")
    images, labels = test[np.arange(min(options.images, len(test)))]
    loss = functional.cross_entropy(model(Tensor(images, name="images")), labels)
    title = f"{Path(options.model).name}, {len(labels)} of {test.name}"
    page = viz.player(loss, options.out, model, {"labels": labels, "loss": loss}, title=title,
                      language=options.language)
    _say(f"wrote {page}, {page.stat().st_size / 1000:,.0f} kB: open it in a browser, it needs nothing else")
    return 0


# ---- theatre ----
def _theatre(options) -> int:
    from .viz import stage
    names = stage.DEFAULT if options.optimizers is None else _names(options.optimizers)
    page = stage.page(options.out, options.function, names, options.language, steps=options.steps)
    _say(f"wrote {page}, {page.stat().st_size / 1000:,.0f} kB: open it in a browser, it needs nothing else")
    return 0


# ---- gallery ----
def _gallery(options) -> int:
    from .viz import broken
    page = broken.gallery(options.out, options.language)
    _say(broken.table(options.seeds, language=options.language))
    _say(f"\nwrote {page}, {page.stat().st_size / 1000:,.0f} kB: open it in a browser, it needs nothing else")
    return 0


# ---- arguments ----
def _parser():
    parser = argparse.ArgumentParser(
        "minigrad", description="Train small networks on handwritten digits, use them, look at their graphs, compare "
                                "optimizers.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="""examples:
  minigrad train                          an MLP on MNIST, or on scikit-learn's digits where MNIST is out of reach
  minigrad train --model cnn --epochs 3 --live --report
  minigrad train --optimizer nag --lr 0.1 --schedule cosine --out runs/nag
  minigrad train --resume runs/nag --epochs 10
  mpiexec -n 4 minigrad train --distributed
  minigrad predict runs/nag/model.safetensors seven.png test:17
  minigrad graph --model cnn --out cnn.svg
  minigrad compare --function rosenbrock --optimizers sgd:0.001,adam,conjugate-gradient --steps 200
  minigrad compare --data digits --model mlp --optimizers adam,lbfgs,newton-cg --seeds 3
  minigrad player cnn --out cnn.html
  minigrad theatre --function rosenbrock --out rosenbrock.html
  minigrad gallery --out gallery.html

MINIGRAD_DATA names the folder of MNIST's files, if you have them.""")
    version = f"minigrad {__version__} (NumPy {np.__version__}, Python {platform.python_version()})"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(dest="command", metavar="command")
    about = "train a model on digits, and write it and pictures of the training to a folder"
    add = _command(commands, "train", _train, about)
    unset = argparse.SUPPRESS
    add("--model", choices=tuple(EPOCHS["mnist"]), default=unset, help="default: mlp, 784-256-128-10; cnn: two "
        "convolutions; lenet5, of 1998; resnet: eight layers and shortcuts")
    add("--data", choices=("auto", "mnist", "digits"), default=unset,
        help="default: auto, MNIST if it is here or can be downloaded, else scikit-learn's digits")
    add("--optimizer", type=_optimizer, default=unset, metavar="NAME",
        help=f"one of {', '.join(_optimizers())}, in any case; default: adam")
    add("--lr", type=_positive, default=unset, help="learning rate; each optimizer has its own default")
    add("--epochs", type=_count, default=unset, help="in total, also with --resume; default: 5 (cnn: 3; digits: 15)")
    add("--batch-size", type=_batch_size, default=unset, metavar="N", help="or all; default: 128 (digits: 32)")
    add("--seed", type=_seed, default=unset, help="default: 0; the same seed gives the same bits")
    add("--schedule", choices=SCHEDULES, default=unset,
        help="of the learning rate, whose largest value --lr is; default: onecycle")
    add("--augment", type=_seed, default=unset, metavar="PIXELS",
        help="shift training images at random by up to so many pixels; default: 1 (digits: 0)")
    add("--validation", type=_share, default=unset, metavar="SHARE",
        help="of the training images, held out to choose the best epoch; default: 0.1")
    add("--live", action="store_true",
        help="draw the curves after each epoch, in the terminal and as curves.png; extras live and plot")
    add("--tensorboard", action="store_true",
        help="write curves, weights and gradients to DIR/tensorboard, for tensorboard --logdir; extra tensorboard")
    add("--report", action="store_true",
        help="write DIR/report.html: settings, curves, test result, mistakes, activations, gradients, filters, loss "
             f"landscape, graph. About {RECORDS} steps are looked at closely, each for the time of a step more; the "
             "page takes 10 to 30 seconds; extra plot")
    add("--out", metavar="DIR", help="default: runs/MODEL-DATA, with a number if that exists")
    add("--resume", metavar="DIR", help="go on with the run in DIR, whatever ended it: the result is the same, to the "
        "bit")
    add("--distributed", action="store_true",
        help="on all ranks that mpiexec started, each with its part of every batch; extra mpi")
    add("--every", type=_count, metavar="STEPS", help="save all that --resume needs after so many steps too, not only "
        "after each epoch, Ctrl-C and SIGTERM")
    add = _command(commands, "predict", _predict, "tell digits in pictures")
    add("model", metavar="MODEL", help="a file that minigrad train wrote")
    add("images", metavar="IMAGE", nargs="+", help=".png, .jpg, .npy, or test:17 for that image of the test set")
    add = _command(commands, "graph", _graph, "draw the graph of a model's loss")
    add("--model", default="mlp", help="mlp, cnn, lenet5, resnet, or a file that minigrad train wrote; default: mlp")
    add("--out", default="graph.svg", metavar="FILE", help=".svg, .png, .pdf or .dot; default: graph.svg")
    add("--depth", type=_depth, default="auto", help="open so many modules inside each other, 0: none, or all; "
        "default: as many as can be read")
    add("--grad", action="store_true", help="with gradients: of the loss of two images of noise")
    add("--direction", type=str.upper, choices=("TB", "LR", "BT", "RL"), default="TB",
        help="default: TB, top to bottom")
    add("--dark", action="store_true", help="light on dark")
    add = _command(commands, "player", _player, "write a page that walks through a backward pass, node by node")
    add("model", nargs="?", default="mlp", metavar="MODEL",
        help="mlp, cnn, lenet5, resnet, or a file that minigrad train wrote; default: mlp")
    add("--data", choices=("auto", "mnist", "digits"),
        help="whose first test images it is shown; default: those it was trained on, else MNIST if it is here")
    add("--images", type=_count, default=2, metavar="N", help="default: 2")
    add("--out", default="runs/player.html", metavar="FILE", help="default: runs/player.html")
    add("--language", choices=("en", "ko"), default="en", help="it begins in; the page can change it; default: en")
    about = "race optimizers: over a function of two variables, or, with --data, on a network, full batch"
    add = _command(commands, "compare", _compare, about)
    add("--function", metavar="NAME",
        help="bowl, saddle, monkey-saddle, plateau, rosenbrock, beale, himmelblau, rastrigin, double-well or "
             "ill-conditioned; default: bowl")
    add("--data", metavar="NAME", help="digits, mnist, moons, spirals, circles, blobs or xor: not with --function")
    add("--optimizers", metavar="NAMES",
        help="with commas between: those of minigrad train --help, cocob, steepest-descent, conjugate-gradient, "
             "barzilai-borwein, sgld; with --data also lbfgs, newton-cg (newton), trust-ncg, cg, and for up to 3,000 "
             "weights bfgs, trust-krylov, trust-exact, newton-exact, none of which has a rate; name:rate sets a "
             "learning rate, else the function's own is taken, or the best of 16 between 0.0001 and 10, as the table "
             f"then says; default: {COMPARED}; with --data {RACED}")
    add("--steps", type=_count, help="with --function, each of which has its own default")
    add("--model", metavar="NAME", default=unset, help="with --data: logistic, mlp or cnn; default: mlp")
    add("--samples", type=_count, default=unset, metavar="N", help="default: 300 (mnist: 1000, toys: 200)")
    add("--hidden", type=_units, default=unset, metavar="UNITS", help="of the mlp's layers; default: 256,128")
    add("--l2", type=_penalty, default=unset, metavar="STRENGTH",
        help="add strength / 2 times the sum of squares of all weights; default: 0")
    add("--dtype", choices=("float32", "float64"), default=unset,
        help="default: float64; line searches stall where float32 rounds the loss")
    add("--budget", type=_count, default=unset, metavar="N",
        help="of gradients on all samples, for each run; a product with the Hessian counts 2; default: 400")
    add("--tuning", type=_portion, default=unset, metavar="SHARE",
        help="of the budget, with which each rate is tried; default: 1")
    add("--target", type=_positive, default=unset, metavar="LOSS",
        help="the table says who was there after how many gradients; default: 0.001")
    add("--seeds", type=_count, default=unset, metavar="K",
        help="so many starts and drawings of samples: medians in the table, bands in the pictures; default: 1")
    add("--seed", type=_seed, default=0, help="of data, start and noise, or the first of them; default: 0")
    add("--dark", action="store_true", help="light on dark")
    add("--out", metavar="DIR", help="default: runs/compare-FUNCTION or runs/compare-MODEL-DATA")
    about = "write a page in which optimizers race over a function, from any start, step by step"
    add = _command(commands, "theatre", _theatre, about)
    add("--out", default="runs/theatre.html", metavar="FILE", help="default: runs/theatre.html")
    add("--language", choices=("en", "ko"), default="en", help="it begins in; the page can change it; default: en")
    add("--function", default="bowl", metavar="NAME", help="it begins with, as in compare; default: bowl")
    add("--optimizers", metavar="NAMES",
        help="it begins with, as in compare --function; default: sgd,momentum,adagrad,adam,newton,lbfgs")
    add("--steps", type=_count, help="each function has its own default")
    about = "write a page of backward passes with one thing wrong in each, and say which of them still learn"
    add = _command(commands, "gallery", _gallery, about)
    add("--out", default="runs/gallery.html", metavar="FILE", help="default: runs/gallery.html")
    add("--language", choices=("en", "ko"), default="en", help="it begins in; the page can change it; default: en")
    add("--seeds", type=_count, default=5, metavar="K", help="networks that are trained with each fault; default: 5")
    return parser


def _command(commands, name, run, about):
    parser = commands.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
    parser.set_defaults(run=run)
    return parser.add_argument


def _optimizers():
    """Those that train this command's models: with a learning rate, and not for matrices alone."""
    kinds = {n: c for n, c in vars(optim).items() if isinstance(c, type) and issubclass(c, optim.Optimizer)}
    return sorted(n.lower() for n, c in kinds.items() if c not in (optim.Optimizer, optim.Muon)
                  and "lr" in inspect.signature(c).parameters)


def _number(convert, fits, wanted):
    def check(text):
        try:
            value = convert(text)
        except ValueError:
            value = None
        if value is None or not fits(value):
            raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
        return value
    return check


_positive = _number(float, lambda v: 0 < v < float("inf"), "a positive number")
_count = _number(int, lambda v: v > 0, "a positive whole number")
_seed = _number(int, lambda v: v >= 0, "a whole number from 0 on")
_depth = _number(lambda text: text if text in ("auto", "all") else int(text),
                 lambda v: v in ("auto", "all") or v >= 0, "a whole number from 0 on, auto or all")
_share = _number(float, lambda v: 0 <= v < 1, "a share from 0 to below 1")
_portion = _number(float, lambda v: 0 < v <= 1, "a share above 0, up to 1")
_penalty = _number(float, lambda v: 0 <= v < float("inf"), "a number from 0 on")


def _units(text):
    return tuple(map(_count, text.split(",")))


def _batch_size(text):
    return "all" if text == "all" else _count(text)


def _optimizer(text):
    try:
        return optim.by_name(text).__name__.lower()
    except ValueError as error:
        message = unknown("optimizer", text, _optimizers(), "minigrad train --help lists them")
        raise argparse.ArgumentTypeError(message) from error


if __name__ == "__main__":
    sys.exit(main())
