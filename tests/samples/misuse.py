"""What people do wrong: short programs, what minigrad says to them, and what they ought to be.

A case is a function of ``wrong``. Its name says what is wrong; ``with wrong(*state):`` holds the mistake, what is above
leads to it, what is below is the program mended, which must run. ``state`` is what the mistake must leave as it was.
"""

from __future__ import annotations

import contextlib
import copy
import io
import shlex
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

import minigrad
import minigrad.images
from minigrad import Parameter, Tensor, cli, data, nn, no_grad, optim, train
from minigrad import functional as F
from minigrad.mode import mode


# ---- how they are run ----
@dataclass
class Case:
    """``area``, the program ``run``, what it raises or warns (``kind``), and words that must be in the message."""

    area: str
    run: Callable[[Wrong], None]
    kind: type[Exception]
    words: tuple[str, ...]
    name: str = field(init=False)

    def __post_init__(self):
        self.name = self.run.__name__


@dataclass
class Wrong:
    """``with wrong(*state)`` catches what is raised or warned in the block, and notes what it changed."""

    said: list[Exception] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def __call__(self, *state):
        before = frozen(state)
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            try:
                yield
            except Exception as error:
                self.said.append(error)
        self.said += [w.message for w in heard]
        after = frozen(state)
        self.changed += sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


class Refused(Exception):
    """What a command wrote before it ended with an error."""


def command(line: str) -> None:
    """Run ``minigrad ...`` as a shell would; Refused, with what it told, unless it succeeds."""
    told, code = io.StringIO(), 0
    with contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.StringIO()):
        try:
            code = cli.main(shlex.split(line)[1:])
        except SystemExit as end:
            code = end.code
    if code:
        raise Refused(told.getvalue().splitlines()[-1])


MEMORIES = {"_blocks", "_weights"}  # of an optimizer: views and counts that follow from the rest


def frozen(state: tuple) -> dict[str, object]:
    """{path: value} of all that is in ``state``, to the bit, and of what belongs to no object."""
    around = {"generator": minigrad.default_generator(), "recording": mode.recording, "watch": mode.watch,
              "errstate": np.geterr(), "threads": threading.active_count()}
    return dict(_values((*state, around), "", set()))


def _values(x, path, seen) -> Iterator[tuple[str, object]]:
    if isinstance(x, np.ndarray):
        yield path, (x.dtype.str, x.shape, x.tobytes())
    elif isinstance(x, np.random.Generator):
        yield path, repr(x.bit_generator.state)
    elif isinstance(x, Tensor):
        yield f"{path}.requires_grad", (x.requires_grad, id(x.node))
        yield from _values([x.data, x.grad, x.name], path, seen)
    elif isinstance(x, (list, tuple, dict)):
        items = list(x.items() if isinstance(x, dict) else enumerate(x))
        yield path, [str(key) for key, _ in items]
        for key, value in items:
            yield from _values(value, f"{path}.{key if isinstance(key, (str, int)) else id(key)}", seen)
    elif isinstance(x, types.MethodType):  # state_dict, where not all of an object is meant
        yield from _values(x(), path, seen)
    elif type(x).__module__.startswith(("minigrad", "samples", "tests")) and hasattr(x, "__dict__"):
        if id(x) not in seen:
            seen.add(id(x))
            mode_of = {"training": x.training} if isinstance(x, nn.Module) else {}
            inside = {k: v for k, v in vars(x).items() if k not in MEMORIES} | mode_of
            yield from _values(dict(sorted(inside.items())) if mode_of else inside, path, seen)
    else:
        yield path, repr(x) if isinstance(x, (int, float, str, type(None))) else id(x)


cases: dict[str, Case] = {}


def case(area: str, kind: type[Exception], *words: str):
    """Enter a program: what it raises or warns, and words that its message must have."""
    def enter(run):
        found = Case(area, run, kind, words)
        assert cases.setdefault(found.name, found) is found, found.name
        return run
    return enter


# ---- what stands in for a model, its data, and threads ----
def zeros(*shape, dtype=np.float32):
    return Tensor(np.zeros(shape, dtype))


def net():
    return nn.Linear(3, 2)


def rows(n=8):
    return np.ones((n, 3), np.float32), np.arange(n) % 2


def batches(x, y):
    return data.DataLoader((x, y), batch_size=4)


def in_threads(*tasks):
    """Runs the tasks at once, and raises what the first of them that failed has raised."""
    with ThreadPoolExecutor(len(tasks)) as pool:
        for future in [pool.submit(task) for task in tasks]:
            future.result()


HELPERS = (zeros, net, rows, batches, in_threads)


# ---- shapes ----
@case("shapes", ValueError, "(8, 1, 28, 28)", "(784, 10)", "flattened")
def images_into_a_layer_of_rows(wrong):
    model, x = nn.Linear(784, 10), zeros(8, 1, 28, 28)
    with wrong(model):
        model(x)
    model(F.flatten(x))


@case("shapes", ValueError, "(2, 4, 26, 26)", "flattened")
def flatten_forgotten_after_a_convolution(wrong):
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Linear(4 * 26 * 26, 10))
    with wrong(model):
        model(zeros(2, 1, 28, 28))
    model.insert(2, nn.Flatten())
    model(zeros(2, 1, 28, 28))


@case("shapes", ValueError, "(8, 28, 28, 1)", "28 channels", "(N, C, H, W)")
def channels_last_images(wrong):
    conv, x = nn.Conv2d(1, 4, 3), zeros(8, 28, 28, 1)
    with wrong(conv):
        conv(x)
    conv(x.transpose(0, 3, 1, 2))


@case("shapes", ValueError, "(3, 32, 32)", "(N, C, H, W)")
def an_image_without_a_batch(wrong):
    conv, x = nn.Conv2d(3, 4, 3), zeros(3, 32, 32)
    with wrong(conv):
        conv(x)
    conv(x[None])


@case("shapes", ValueError, "(8, 28, 28)", "(N, C, H, W)")
def gray_images_without_a_channel(wrong):
    conv, x = nn.Conv2d(1, 4, 3), zeros(8, 28, 28)
    with wrong(conv):
        conv(x)
    conv(x[:, None])


@case("shapes", ValueError, "(2, 28, 28)", "(N, C, H, W)")
def pooling_without_a_batch(wrong):
    pool = nn.MaxPool2d(2)
    with wrong(pool):
        pool(zeros(2, 28, 28))
    pool(zeros(1, 2, 28, 28))


@case("shapes", ValueError, "7 pixels", "5")
def a_kernel_larger_than_the_image(wrong):
    conv = nn.Conv2d(1, 4, 7)
    with wrong(conv):
        conv(zeros(2, 1, 5, 5))
    nn.Conv2d(1, 4, 7, padding="same")(zeros(2, 1, 5, 5))


@case("shapes", ValueError, "(2, 3)", "(4, 5)")
def matrices_that_do_not_fit(wrong):
    a, b = Tensor(np.ones((2, 3)), requires_grad=True), np.ones((4, 5))
    with wrong(a):
        a @ b
    a @ b[:3]


@case("shapes", ValueError, "(3,)", "(4,)", "equal or 1")
def sums_of_vectors_that_do_not_fit(wrong):
    a, b = Tensor([1, 2, 3], requires_grad=True), Tensor([1, 2, 3, 4])
    with wrong(a, b):
        a + b
    a + b[:3]


@case("shapes", ValueError, "(6,)", "(4,2)", "-1")
def reshape_to_another_size(wrong):
    t = Tensor(np.arange(6.0), requires_grad=True)
    with wrong(t):
        t.reshape(4, 2)
    t.reshape(3, 2)


@case("shapes", ValueError, "(5,)", "(4, 3)")
def a_bias_of_another_size(wrong):
    x, weight, bias = zeros(2, 4), zeros(4, 3), zeros(5)
    with wrong(x, weight, bias):
        F.linear(x, weight, bias)
    F.linear(x, weight, bias[:3])


@case("shapes", ValueError, "(2, 1)", "(4, 3)")
def a_bias_for_each_row_that_broadcasts_silently(wrong):
    x, weight, bias = zeros(2, 4), zeros(4, 3), zeros(2, 1)
    with wrong(x, weight, bias):
        F.linear(x, weight, bias)
    F.linear(x, weight, bias[0, 0] + np.zeros(3, np.float32))


@case("shapes", ValueError, "(8, 1)", "(8,)", "broadcasting")
def targets_without_the_last_axis_for_mse(wrong):
    output, target = Tensor(np.ones((8, 1)), requires_grad=True), np.ones(8)
    with wrong(output):
        F.mse_loss(output, target)
    F.mse_loss(output, target[:, None])


@case("shapes", ValueError, "(8, 1)", "(8,)", "broadcasting")
def labels_without_the_last_axis_for_binary_cross_entropy(wrong):
    output, target = Tensor(np.ones((8, 1)), requires_grad=True), np.ones(8)
    with wrong(output):
        F.binary_cross_entropy_with_logits(output, target)
    F.binary_cross_entropy_with_logits(output[:, 0], target)


@case("shapes", ValueError, "(8, 9)", "(8, 10)")
def one_hot_targets_of_another_width(wrong):
    logits, target = zeros(8, 10), np.eye(9, dtype=np.float32)[[0, 1, 2, 3, 4, 5, 6, 7]]
    with wrong(logits):
        F.cross_entropy(logits, target)
    F.cross_entropy(logits, F.one_hot(target.argmax(axis=1), 10))


@case("shapes", ValueError, "(8, 10)", "one-hot")
def one_hot_integers_where_labels_are_wanted(wrong):
    logits, target = zeros(8, 10), np.eye(10, dtype=np.int64)[[0, 1, 2, 3, 4, 5, 6, 7]]
    with wrong(logits):
        F.cross_entropy(logits, target)
    F.cross_entropy(logits, target.argmax(axis=1))


@case("shapes", ValueError, "(8, 1)", "(8,)")
def labels_in_a_column(wrong):
    logits, labels = zeros(8, 10), np.zeros((8, 1), int)
    with wrong(logits):
        F.cross_entropy(logits, labels)
    F.cross_entropy(logits, labels[:, 0])


@case("shapes", ValueError, "(7,)", "(8, 10)")
def fewer_labels_than_rows(wrong):
    logits, labels = zeros(8, 10), np.zeros(7, int)
    with wrong(logits):
        F.cross_entropy(logits, labels)
    F.cross_entropy(logits[:7], labels)


@case("shapes", ValueError, "(8, 5)", "(N, 3)")
def batch_norm_of_another_width(wrong):
    norm = nn.BatchNorm1d(3)
    with wrong(norm):
        norm(zeros(8, 5))
    nn.BatchNorm1d(5)(zeros(8, 5))


@case("shapes", ValueError, "(8, 3, 4, 4)", "(N, 3)")
def batch_norm_for_vectors_given_images(wrong):
    norm, x = nn.BatchNorm1d(3), zeros(8, 3, 4, 4)
    with wrong(norm):
        norm(x)
    nn.BatchNorm2d(3)(x)


@case("shapes", ValueError, "(8, 5)", "(4,)")
def layer_norm_of_another_width(wrong):
    norm = nn.LayerNorm(4)
    with wrong(norm):
        norm(zeros(8, 5))
    nn.LayerNorm(5)(zeros(8, 5))


@case("shapes", ValueError, "(2,)", "(3,)")
def a_gradient_of_another_shape(wrong):
    w = Tensor([1, 2, 3], requires_grad=True)
    y = w * 2
    with wrong(w, y):
        y.backward(gradient=np.ones(2))
    y.backward(gradient=np.ones(3))


@case("shapes", ValueError, "(2,)", "(3,)")
def a_grad_set_by_hand_of_another_shape(wrong):
    w = Tensor([1, 2, 3], requires_grad=True)
    with wrong(w):
        w.grad = np.ones(2)
    w.grad = np.ones(3)


@case("shapes", ValueError, "(2, 4)", "(2, 3)", "give one that fits")
def a_residual_that_changes_the_width(wrong):
    block = nn.Residual(nn.Linear(3, 4))
    with wrong(block):
        block(zeros(2, 3))
    nn.Residual(nn.Linear(3, 4), nn.Linear(3, 4))(zeros(2, 3))


@case("shapes", ValueError, "(2, 3)", "(2, 4)")
def branches_that_do_not_stack(wrong):
    a, b = zeros(2, 3), zeros(2, 4)
    with wrong(a, b):
        np.stack([a, b])
    np.concatenate([a, b], axis=1)


@case("shapes", ValueError, "axis 2", "2")
def an_axis_that_is_not_there(wrong):
    t = Tensor(np.ones((2, 3)), requires_grad=True)
    with wrong(t):
        t.sum(axis=2)
    t.sum(axis=-1)


@case("shapes", IndexError, "5", "3")
def an_index_that_is_not_there(wrong):
    t = Tensor([1, 2, 3], requires_grad=True)
    with wrong(t):
        t[5]
    t[-1]


@case("shapes", ValueError, "(7, 2, 4)", "(T, N, 5)")
def a_sequence_without_its_features(wrong):
    lstm = nn.LSTM(5, 6)
    with wrong(lstm):
        lstm(zeros(7, 2, 4))
    lstm(zeros(7, 2, 5))


@case("shapes", TypeError, "tuple of 2", "One is wanted")
def an_lstm_in_a_sequential(wrong):
    lstm, linear = nn.LSTM(5, 6), nn.Linear(6, 2)
    model = nn.Sequential(lstm, linear)
    with wrong(model):
        model(zeros(7, 2, 5))
    output, _ = lstm(zeros(7, 2, 5))
    linear(output)


@case("shapes", ValueError, "(5,)", "batch")
def one_sample_into_flatten(wrong):
    flatten, x = nn.Flatten(), zeros(5)
    with wrong(flatten, x):
        flatten(x)
    flatten(x[None])


@case("shapes", ValueError, "(2, 3)", "(4, 3)")
def assigned_values_that_do_not_fit(wrong):
    w = Tensor(np.ones((4, 3)), requires_grad=True)
    y = w * 2
    with wrong(w, y):
        y[:3] = np.ones((2, 3))
    y[:2] = np.ones((2, 3))


# ---- dtypes ----
@case("dtypes", TypeError, "int64", "astype(np.float32)")
def integer_weights(wrong):
    with wrong():
        Tensor(np.array([1, 2, 3]), requires_grad=True)
    Tensor(np.array([1, 2, 3]), dtype=np.float32, requires_grad=True)


@case("dtypes", TypeError, "int64", "astype(np.float32)")
def requires_grad_set_on_integers(wrong):
    t = Tensor(np.array([1, 2, 3]))
    with wrong(t):
        t.requires_grad_()
    t.astype(np.float32).requires_grad_()


@case("dtypes", TypeError, "bool", "astype(np.float32)")
def a_mask_that_requires_grad(wrong):
    mask = np.array([True, False])
    with wrong():
        Tensor(mask, requires_grad=True)
    Tensor(mask.astype(np.float32), requires_grad=True)


@case("dtypes", ValueError, "(8,)", "(8, 10)", "integers")
def labels_as_floats_in_cross_entropy(wrong):
    logits, labels = zeros(8, 10), np.zeros(8, np.float32)
    with wrong(logits):
        F.cross_entropy(logits, labels)
    F.cross_entropy(logits, labels.astype(int))


@case("dtypes", TypeError, "float32", "integers")
def labels_as_floats_in_nll(wrong):
    log_p, labels = F.log_softmax(zeros(8, 10)), np.zeros(8, np.float32)
    with wrong(log_p):
        F.nll_loss(log_p, labels)
    F.nll_loss(log_p, labels.astype(int))


@case("dtypes", TypeError, "float32", "integers")
def floats_into_an_embedding(wrong):
    table = nn.Embedding(10, 4)
    with wrong(table):
        table(zeros(8))
    table(np.zeros(8, int))


@case("dtypes", TypeError, "float64", "integers")
def one_hot_of_floats(wrong):
    with wrong():
        F.one_hot(np.array([0.0, 1.0]), 3)
    F.one_hot(np.array([0, 1]), 3)


@case("dtypes", TypeError, "<U1", "numbers")
def strings_in_a_tensor(wrong):
    with wrong():
        Tensor(["a", "b"])
    Tensor([ord("a"), ord("b")])


@case("dtypes", TypeError, "object", "numbers")
def an_array_of_objects(wrong):
    with wrong():
        Tensor(np.array([1.5, None]))
    Tensor(np.array([1.5, np.nan]))


@case("dtypes", TypeError, "None")
def nothing_in_a_tensor(wrong):
    with wrong():
        Tensor(None)
    Tensor([])


@case("dtypes", ValueError, "inhomogeneous")
def a_ragged_list(wrong):
    with wrong():
        Tensor([[1, 2], [3]])
    Tensor([[1, 2], [3, 0]])


@case("dtypes", TypeError, "requires grad", "np.stack")
def a_tensor_of_a_list_of_tensors(wrong):
    a, b = Tensor(1.0, requires_grad=True), Tensor(2.0, requires_grad=True)
    with wrong(a, b):
        Tensor([a, b])
    np.stack([a, b])


@case("dtypes", TypeError, "requires grad", "np.stack")
def an_array_of_tensors(wrong):
    a, b = Tensor(1.0, requires_grad=True), Tensor(2.0, requires_grad=True)
    with wrong(a, b):
        np.array([a, b])
    np.stack([a, b])


@case("dtypes", TypeError, "bool", "~")
def minus_a_mask(wrong):
    mask = Tensor(np.array([True, False]))
    with wrong(mask):
        opposite = -mask
    opposite = ~mask.data  # noqa: F841


@case("dtypes", TypeError, "'float31'")
def a_dtype_that_is_not_there(wrong):
    with wrong():
        Tensor([1, 2], dtype="float31")
    Tensor([1, 2], dtype="float32")


@case("dtypes", TypeError, "complex", "real")
def complex_numbers_to_an_optimizer(wrong):
    z = Tensor(np.array([1 + 1j]), requires_grad=True)
    with wrong(z):
        optim.SGD([z], lr=0.1)
    re, im = Parameter([1.0]), Parameter([1.0])
    optim.SGD([re, im], lr=0.1)


@case("dtypes", RuntimeError, "real number")
def backward_of_a_complex_number(wrong):
    z = Tensor(np.array(1 + 1j), requires_grad=True)
    y = z * z
    with wrong(z):
        y.backward()
    np.abs(y).backward()


@case("dtypes", TypeError, "str", "Tensor")
def a_string_into_a_layer(wrong):
    model = nn.Linear(3, 2)
    with wrong(model):
        model("image.png")
    model(zeros(1, 3))


@case("dtypes", TypeError, "list", "Tensor")
def a_list_into_a_layer(wrong):
    model = nn.Linear(3, 2)
    with wrong(model):
        model([[1.0, 2.0, 3.0]])
    model(Tensor([[1.0, 2.0, 3.0]]))


@case("dtypes", TypeError, "float32", "'1'")
def a_number_and_a_string(wrong):
    t = Tensor([1.0, 2.0], requires_grad=True)
    with wrong(t):
        t + "1"
    t + float("1")


# ---- devices ----
@case("devices", ValueError, "cuda", "CPU")
def a_tensor_on_cuda(wrong):
    with wrong():
        Tensor([1, 2], device="cuda")
    Tensor([1, 2], device="cpu")


@case("devices", ValueError, "cuda:0", "CPU")
def a_tensor_sent_to_cuda(wrong):
    t = Tensor([1, 2], requires_grad=True)
    with wrong(t):
        t.to("cuda:0")
    assert t.to("cpu") is t


@case("devices", AttributeError, "cuda", "CPU")
def tensor_cuda(wrong):
    t = Tensor([1, 2], requires_grad=True)
    with wrong(t):
        t.cuda()
    t.cpu()


@case("devices", ValueError, "cuda", "CPU")
def a_model_sent_to_cuda(wrong):
    model = nn.Linear(3, 2)
    with wrong(model):
        model.to("cuda")
    assert model.to("cpu") is model


@case("devices", AttributeError, "cuda", "CPU")
def model_cuda(wrong):
    model = nn.Linear(3, 2)
    with wrong(model):
        model.cuda()
    model.cpu()


@case("devices", ValueError, "mps", "CPU")
def a_model_sent_to_mps(wrong):
    model = nn.Linear(3, 2)
    with wrong(model):
        model.to(device="mps")
    model.to(np.float64)


@case("devices", ValueError, "cuda", "CPU")
def a_parameter_on_cuda(wrong):
    with wrong():
        Parameter([1, 2], device="cuda")
    Parameter([1, 2])


@case("devices", TypeError, "'device'")
def a_layer_on_cuda(wrong):
    with wrong():
        nn.Linear(3, 2, device="cuda")
    nn.Linear(3, 2)


@case("devices", ValueError, "'fast'", "CPU")
def to_something_else(wrong):
    t = Tensor([1, 2])
    with wrong(t):
        t.to("fast")
    t.to(np.float64)


# ---- names of other frameworks ----
@case("names of other frameworks", AttributeError, "np.exp(t)")
def tensor_exp(wrong):
    t = Tensor([1, 2])
    with wrong(t):
        t.exp()
    np.exp(t)


@case("names of other frameworks", AttributeError, "np.expand_dims")
def tensor_unsqueeze(wrong):
    t = Tensor([1, 2])
    with wrong(t):
        t.unsqueeze(0)
    np.expand_dims(t, 0)


@case("names of other frameworks", AttributeError, "transpose")
def tensor_permute(wrong):
    t = zeros(2, 3, 4)
    with wrong(t):
        t.permute(2, 0, 1)
    t.transpose(2, 0, 1)


@case("names of other frameworks", TypeError, "reshape")
def tensor_view(wrong):
    t = zeros(2, 3)
    with wrong(t):
        t.view(3, 2)
    t.reshape(3, 2)


@case("names of other frameworks", AttributeError, "astype(np.float64)")
def tensor_double(wrong):
    t = zeros(2, 3)
    with wrong(t):
        t.double()
    t.astype(np.float64)


@case("names of other frameworks", TypeError, "sort", "np.sort")
def tensor_sort(wrong):
    t = Tensor([2, 1], requires_grad=True)
    with wrong(t):
        t.sort()
    np.sort(t)


@case("names of other frameworks", AttributeError, "fit", "minigrad.train.fit")
def model_fit(wrong):
    model = nn.Linear(3, 2)
    with wrong(model):
        model.fit(np.zeros((4, 3), np.float32), np.zeros(4, int), epochs=1)
    x, y = np.zeros((4, 3), np.float32), np.zeros(4, int)
    train.fit(model, (x, y), optim.SGD(model.parameters(), lr=0.1), progress=False)


@case("names of other frameworks", TypeError, "no arguments")
def relu_in_place(wrong):
    with wrong():
        nn.ReLU(True)
    nn.ReLU()


# ---- data ----
@case("data", train.Diverged, "nan", "NaN or infinity", "clean the data")
def nan_in_the_images(wrong):
    model, (x, y) = net(), rows()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    x[3, 1] = np.nan
    with wrong(model, optimizer):
        train.fit(model, batches(x, y), optimizer, progress=False)
    train.fit(model, (np.nan_to_num(x), y), optimizer, progress=False)


@case("data", train.Diverged, "inf", "targets")
def infinity_in_the_targets(wrong):
    model, (x, _) = net(), rows()
    optimizer, target = optim.SGD(model.parameters(), lr=0.1), np.ones((8, 2), np.float32)
    target[3, 1] = np.inf
    with wrong(model, optimizer):
        train.fit(model, batches(x, target), optimizer, loss=F.mse_loss, progress=False)
    train.fit(model, (x, np.nan_to_num(target, posinf=1)), optimizer, loss=F.mse_loss, progress=False)


@case("data", ValueError, "(0, 3)", "empty")
def an_empty_dataset(wrong):
    x, y = rows()
    with wrong(x, y):
        data.DataLoader((x[:0], y[:0]), batch_size=4)
    data.DataLoader((x, y), batch_size=4)


@case("data", ValueError, "(0, 2)", "empty", "reduction='sum'")
def the_mean_loss_of_an_empty_batch(wrong):
    model = net()
    with wrong(model):
        F.cross_entropy(model(zeros(0, 3)), np.zeros(0, int))
    F.cross_entropy(model(zeros(1, 3)), np.zeros(1, int))


@case("data", ValueError, "1 to 10", "0 to 9")
def labels_from_1_to_10(wrong):
    logits, labels = zeros(10, 10), np.arange(1, 11)
    with wrong(logits):
        F.cross_entropy(logits, labels)
    F.cross_entropy(logits, labels - 1)


@case("data", ValueError, "-1", "0 to 9")
def a_negative_label(wrong):
    logits, labels = zeros(2, 10), np.array([3, -1])
    with wrong(logits):
        F.cross_entropy(logits, labels)
    F.cross_entropy(logits, labels, ignore_index=-1)


@case("data", ValueError, "0 to 2", "2 classes")
def more_classes_than_outputs(wrong):
    model, x, y = net(), np.ones((6, 3), np.float32), np.arange(6) % 3
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with wrong(model, optimizer):
        train.fit(model, batches(x, y), optimizer, progress=False)
    model = nn.Linear(3, 3)
    train.fit(model, (x, y), optim.SGD(model.parameters(), lr=0.1), progress=False)


@case("data", ValueError, "(8, 3)", "(7,)", "first dimension")
def x_and_y_of_different_lengths(wrong):
    x, y = rows()
    with wrong(x, y):
        data.DataLoader((x, y[:7]), batch_size=4)
    data.DataLoader((x[:7], y[:7]), batch_size=4)


@case("data", ValueError, "batch_size", "0")
def batch_size_0(wrong):
    with wrong():
        data.DataLoader(rows(), batch_size=0)
    data.DataLoader(rows(), batch_size=None)


@case("data", ValueError, "batch_size", "-1")
def a_negative_batch_size(wrong):
    with wrong():
        data.DataLoader(rows(), batch_size=-1)
    data.DataLoader(rows(), batch_size=None)


@case("data", TypeError, "batch_size", "0.5")
def half_a_batch(wrong):
    with wrong():
        data.DataLoader(rows(), batch_size=0.5)
    data.DataLoader(rows(), batch_size=4)


@case("data", ValueError, "(1, 3)", "eval()", "larger batch")
def batch_norm_of_one_row(wrong):
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    with wrong(model):
        model(zeros(1, 3))
    model.eval()(zeros(1, 3))


@case("data", ValueError, "0..7", "8")
def a_sampler_that_yields_rows_that_are_not_there(wrong):
    loader = data.DataLoader(rows(), batch_size=4, sampler=[1, 2, 8])
    with wrong(loader):
        next(iter(loader))
    next(iter(data.DataLoader(rows(), batch_size=4, sampler=[0, 1, 7])))


@case("data", TypeError, "sampler", "1.5")
def a_sampler_that_yields_fractions(wrong):
    loader = data.DataLoader(rows(), batch_size=4, sampler=[0, 1.5])
    with wrong(loader):
        next(iter(loader))
    next(iter(data.DataLoader(rows(), batch_size=4, sampler=[0, 1])))


@case("data", ValueError, "shuffle", "sampler")
def shuffle_beside_a_sampler(wrong):
    with wrong():
        data.DataLoader(rows(), shuffle=True, sampler=[1, 2])
    data.DataLoader(rows(), sampler=[1, 2])


@case("data", TypeError, "generator", "default_rng(0)")
def a_seed_where_a_generator_is_wanted(wrong):
    with wrong():
        data.DataLoader(rows(), shuffle=True, generator=0)
    data.DataLoader(rows(), shuffle=True, generator=np.random.default_rng(0))


@case("data", TypeError, "generator", "(x, y)")
def a_generator_as_a_dataset(wrong):
    pairs = ((x, y) for x, y in zip(*rows()))
    with wrong():
        data.DataLoader(pairs, batch_size=4)
    data.DataLoader(rows(), batch_size=4)


@case("data", TypeError, "zip", "(x, y)")
def batches_that_can_be_used_once(wrong):
    model, pairs = net(), zip(*rows())
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with wrong(model, optimizer):
        train.fit(model, pairs, optimizer, epochs=2, progress=False)
    train.fit(model, rows(), optimizer, epochs=2, progress=False)


@case("data", ValueError, "(x, y)", "1 arrays")
def images_without_labels_to_fit(wrong):
    model, (x, y) = net(), rows()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with wrong(model, optimizer):
        train.fit(model, data.DataLoader(x), optimizer, progress=False)
    train.fit(model, (x, y), optimizer, progress=False)


@case("data", ValueError, "10", "[0.5, 0.6]")
def a_split_into_more_than_there_is(wrong):
    dataset = data.ArrayDataset(*rows(10))
    with wrong(dataset):
        data.random_split(dataset, [0.5, 0.6])
    data.random_split(dataset, [0.5, 0.5])


@case("data", IndexError, "8", "8 samples")
def a_sample_that_is_not_there(wrong):
    dataset = data.ArrayDataset(*rows(8))
    with wrong(dataset):
        dataset[8]
    dataset[7]


@case("data", ValueError, "read-only", "t.copy()")
def writing_into_a_batch(wrong):
    x, y = rows()
    x_batch, _ = next(iter(data.DataLoader((x, y), batch_size=4)))
    with wrong(x, y):
        x_batch[0] = 0
    x_batch = x_batch.copy()
    x_batch[0] = 0


@case("data", TypeError, "'mnist'", "data.load")
def a_path_as_data(wrong):
    model = net()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with wrong(model, optimizer):
        train.fit(model, "mnist", optimizer, progress=False)
    train.fit(model, rows(), optimizer, progress=False)


@case("data", ValueError, "'minst'", "mnist")
def a_dataset_misspelt(wrong):
    with wrong():
        data.load("minst")
    data.ArrayDataset(*rows())


@case("data", ValueError, "epochs", "-1")
def a_negative_number_of_epochs(wrong):
    model = net()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with wrong(model, optimizer):
        train.fit(model, rows(), optimizer, epochs=-1, progress=False)
    train.fit(model, rows(), optimizer, epochs=1, progress=False)


# ---- optimizers ----
@case("optimizers", ValueError, "lr", "-0.1")
def a_negative_learning_rate(wrong):
    model = net()
    with wrong(model):
        optim.SGD(model.parameters(), lr=-0.1)
    optim.SGD(model.parameters(), lr=0.1)


@case("optimizers", ValueError, "lr", "inf")
def an_infinite_learning_rate(wrong):
    model = net()
    with wrong(model):
        optim.SGD(model.parameters(), lr=float("inf"))
    optim.SGD(model.parameters(), lr=0.1)


@case("optimizers", ValueError, "lr", "nan")
def a_learning_rate_that_is_not_a_number(wrong):
    model = net()
    with wrong(model):
        optim.Adam(model.parameters(), lr=float("nan"))
    optim.Adam(model.parameters(), lr=0.001)


@case("optimizers", TypeError, "lr", "'0.1'")
def a_learning_rate_as_text(wrong):
    model = net()
    with wrong(model):
        optim.SGD(model.parameters(), lr="0.1")
    optim.SGD(model.parameters(), lr=float("0.1"))


@case("optimizers", UserWarning, "lr is 0", "above 0")
def a_learning_rate_of_0(wrong):
    model = net()
    with wrong(model):
        optim.SGD(model.parameters(), lr=0)
    optim.SGD(model.parameters(), lr=0.1)


@case("optimizers", ValueError, "lr", "-1")
def a_learning_rate_set_negative_later(wrong):
    model = net()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with wrong(model, optimizer):
        optimizer.lr = -1
    optimizer.lr = 0.01


@case("optimizers", ValueError, "lr", "nan")
def a_learning_rate_set_in_a_group(wrong):
    model = net()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    F.cross_entropy(model(rows()[0]), rows()[1]).backward()
    optimizer.param_groups[0]["lr"] = float("nan")
    with wrong(model, optimizer):
        optimizer.step()
    optimizer.param_groups[0]["lr"] = 0.1
    optimizer.step()


@case("optimizers", ValueError, "betas", "[0, 1)", "1.5")
def betas_out_of_range(wrong):
    model = net()
    with wrong(model):
        optim.Adam(model.parameters(), betas=(0.9, 1.5))
    optim.Adam(model.parameters(), betas=(0.9, 0.999))


@case("optimizers", TypeError, "betas", "2 numbers", "0.9")
def one_beta(wrong):
    model = net()
    with wrong(model):
        optim.Adam(model.parameters(), betas=0.9)
    optim.Adam(model.parameters(), betas=(0.9, 0.999))


@case("optimizers", ValueError, "momentum", "-0.9")
def a_negative_momentum(wrong):
    model = net()
    with wrong(model):
        optim.SGD(model.parameters(), lr=0.1, momentum=-0.9)
    optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


@case("optimizers", ValueError, "weight_decay", "-0.01")
def a_negative_weight_decay(wrong):
    model = net()
    with wrong(model):
        optim.AdamW(model.parameters(), weight_decay=-0.01)
    optim.AdamW(model.parameters(), weight_decay=0.01)


@case("optimizers", ValueError, "momentun", "momentum")
def a_hyper_parameter_misspelt_in_a_group(wrong):
    model = net()
    with wrong(model):
        optim.SGD([{"params": model.parameters(), "momentun": 0.9}], lr=0.1)
    optim.SGD([{"params": model.parameters(), "momentum": 0.9}], lr=0.1)


@case("optimizers", ValueError, "twice")
def a_parameter_in_two_groups(wrong):
    model = net()
    with wrong(model):
        optim.SGD([{"params": model.parameters()}, {"params": [model.bias], "lr": 0.01}], lr=0.1)
    optim.SGD([{"params": [model.weight]}, {"params": [model.bias], "lr": 0.01}], lr=0.1)


@case("optimizers", ValueError, "no parameters", "used up")
def parameters_used_up(wrong):
    model = net()
    parameters = model.parameters()
    size = sum(p.size for p in parameters)
    with wrong(model):
        optim.SGD(parameters, lr=0.1 / size)
    optim.SGD(model.parameters(), lr=0.1 / size)


@case("optimizers", ValueError, "no parameters", "empty")
def a_model_without_parameters(wrong):
    model = nn.Sequential(nn.Flatten(), nn.ReLU())
    with wrong(model):
        optim.SGD(model.parameters(), lr=0.1)
    model.append(nn.Linear(4, 2))
    optim.SGD(model.parameters(), lr=0.1)


@case("optimizers", TypeError, "model.parameters()")
def parameters_without_the_call(wrong):
    model = net()
    with wrong(model):
        optim.SGD(model.parameters, lr=0.1)
    optim.SGD(model.parameters(), lr=0.1)


@case("optimizers", TypeError, "model.parameters()", "Dense")
def a_model_where_parameters_are_wanted(wrong):
    model = net()
    with wrong(model):
        optim.SGD(model, lr=0.1)
    optim.SGD(model.parameters(), lr=0.1)


@case("optimizers", TypeError, "leaf", "parameter 0")
def a_result_where_parameters_are_wanted(wrong):
    w = Tensor([1, 2], requires_grad=True)
    scaled = w * 0.1
    with wrong(w):
        optim.SGD([scaled], lr=0.1)
    optim.SGD([w], lr=0.1)


@case("optimizers", ValueError, "requires grad")
def detached_copies_where_parameters_are_wanted(wrong):
    model = net()
    with wrong(model):
        optim.SGD([p.detach() for p in model.parameters()], lr=0.1)
    optim.SGD(model.parameters(), lr=0.1)


@case("optimizers", TypeError, "parameter 0", "weight", "model.parameters()")
def a_state_dict_where_parameters_are_wanted(wrong):
    model = net()
    with wrong(model):
        optim.SGD(model.state_dict(), lr=0.1)
    optim.SGD(model.parameters(), lr=0.1)


@case("optimizers", RuntimeWarning, "no parameter has a gradient", "backward()")
def a_step_before_backward(wrong):
    model = net()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    loss = F.cross_entropy(model(rows()[0]), rows()[1])
    with wrong(model):
        optimizer.step()
        optimizer.step()
    loss.backward()
    optimizer.step()


@case("optimizers", RuntimeWarning, "no parameter has a gradient", "zero_grad()")
def zero_grad_between_backward_and_step(wrong):
    model = net()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    F.cross_entropy(model(rows()[0]), rows()[1]).backward()
    with wrong(model.state_dict):
        optimizer.zero_grad()
        optimizer.step()
    F.cross_entropy(model(rows()[0]), rows()[1]).backward()
    optimizer.step()


@case("optimizers", RuntimeWarning, "no parameter has a gradient", "the model has now")
def an_optimizer_of_parameters_that_were_replaced(wrong):
    model = net()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    model.weight, model.bias = Parameter(np.ones((3, 2))), Parameter(np.zeros(2))
    F.cross_entropy(model(rows()[0]), rows()[1]).backward()
    with wrong(model):
        optimizer.step()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    optimizer.step()


@case("optimizers", TypeError, "Dense", "optimizer")
def a_schedule_of_a_model(wrong):
    model = net()
    with wrong(model):
        optim.schedules.StepLR(model, 10)
    optim.schedules.StepLR(optim.SGD(model.parameters(), lr=0.1), 10)


@case("optimizers", ValueError, "'cosin'", "cosine")
def a_schedule_misspelt(wrong):
    model = net()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    with wrong(model, optimizer):
        train.fit(model, rows(), optimizer, schedule="cosin", progress=False)
    train.fit(model, rows(), optimizer, schedule="cosine", progress=False)


@case("optimizers", ValueError, "adma", "adam")
def an_optimizer_misspelt(wrong):
    model = net()
    with wrong(model):
        optim.by_name("adma")(model.parameters())
    optim.by_name("adam")(model.parameters())


@case("optimizers", TypeError, "LBFGS", "closure")
def lbfgs_without_a_closure(wrong):
    model = net()
    optimizer = optim.LBFGS(model.parameters())
    with wrong(model, optimizer):
        optimizer.step()

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(rows()[0]), rows()[1])
        loss.backward()
        return loss
    optimizer.step(closure)


@case("optimizers", TypeError, "LBFGS", "None", "must return the loss")
def a_closure_that_returns_nothing(wrong):
    model = net()
    optimizer = optim.LBFGS(model.parameters())

    def closure():
        optimizer.zero_grad()
        F.cross_entropy(model(rows()[0]), rows()[1]).backward()
    with wrong(model.state_dict, optimizer.state_dict):
        optimizer.step(closure)
    optimizer.step(lambda: closure() or F.cross_entropy(model(rows()[0]), rows()[1]))


@case("optimizers", ValueError, "betas", "momentum", "another optimizer's")
def the_state_of_another_optimizer(wrong):
    model = net()
    adam, sgd = optim.Adam(model.parameters()), optim.SGD(model.parameters(), lr=0.1)
    with wrong(model, sgd):
        sgd.load_state_dict(adam.state_dict())
    optim.Adam(model.parameters()).load_state_dict(adam.state_dict())


@case("optimizers", ValueError, "[2]", "[4]")
def the_state_of_another_models_optimizer(wrong):
    small, large = net(), nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    saved, optimizer = optim.Adam(small.parameters()).state_dict(), optim.Adam(large.parameters())
    with wrong(large, optimizer):
        optimizer.load_state_dict(saved)
    optim.Adam(small.parameters()).load_state_dict(saved)


@case("optimizers", ValueError, "no optimizer's state")
def a_models_state_for_an_optimizer(wrong):
    model = net()
    optimizer = optim.Adam(model.parameters())
    with wrong(model, optimizer):
        optimizer.load_state_dict(model.state_dict())
    optimizer.load_state_dict(optimizer.state_dict())


@case("optimizers", ValueError, "max_norm", "0")
def clipping_to_nothing(wrong):
    model = net()
    F.cross_entropy(model(rows()[0]), rows()[1]).backward()
    with wrong(model):
        optim.clip_grad_norm_(model.parameters(), 0)
    optim.clip_grad_norm_(model.parameters(), 1)


@case("optimizers", TypeError, "SGD", "Adam(model.parameters())")
def the_class_in_place_of_an_optimizer(wrong):
    model = net()
    with wrong(model):
        train.fit(model, rows(), optim.SGD, progress=False)
    train.fit(model, rows(), optim.SGD(model.parameters(), lr=0.1), progress=False)


@case("optimizers", TypeError, "'adam'", "Adam(model.parameters())")
def the_name_in_place_of_an_optimizer(wrong):
    model = net()
    with wrong(model):
        train.fit(model, rows(), "adam", progress=False)
    train.fit(model, rows(), optim.by_name("adam")(model.parameters()), progress=False)


@case("optimizers", ValueError, "optimizer", "another model")
def fit_with_the_optimizer_of_another_model(wrong):
    model, other = net(), net()
    optimizer = optim.SGD(other.parameters(), lr=0.1)
    with wrong(model, other, optimizer):
        train.fit(model, rows(), optimizer, progress=False)
    train.fit(model, rows(), optim.SGD(model.parameters(), lr=0.1), progress=False)


# ---- differentiation ----
@case("differentiation", RuntimeError, "depends on nothing that requires grad", "requires_grad=True")
def a_loss_that_needs_no_gradient(wrong):
    x = Tensor([1, 2, 3])
    with wrong(x):
        (x ** 2).sum().backward()
    x = Tensor([1, 2, 3], requires_grad=True)
    (x ** 2).sum().backward()


@case("differentiation", RuntimeError, "depends on nothing that requires grad", "item()")
def a_loss_made_a_tensor_again(wrong):
    model, (x, y) = net(), rows()
    loss = F.cross_entropy(model(x), y)
    with wrong(model):
        Tensor(loss.item()).backward()
    loss.backward()


@case("differentiation", RuntimeError, "no_grad")
def backward_of_what_was_computed_under_no_grad(wrong):
    model, (x, y) = net(), rows()
    with no_grad():
        loss = F.cross_entropy(model(x), y)
    with wrong(model):
        loss.backward()
    F.cross_entropy(model(x), y).backward()


@case("differentiation", RuntimeError, "nothing is recorded under no_grad()")
def no_grad_left_open(wrong):
    w, guard = Tensor([1, 2, 3], requires_grad=True), no_grad()
    guard.__enter__()
    with wrong(w):
        (w ** 2).sum().backward()
    guard.__exit__(None, None, None)
    (w ** 2).sum().backward()


@case("differentiation", RuntimeError, "a second time", "retain_graph=True")
def backward_twice(wrong):
    w = Tensor([1, 2, 3], requires_grad=True)
    loss = (w ** 2).sum()
    loss.backward()
    with wrong(w):
        loss.backward()
    loss = (w ** 2).sum()
    loss.backward(retain_graph=True)
    loss.backward()


@case("differentiation", RuntimeError, "a second time", "add the losses")
def two_losses_of_one_hidden_value(wrong):
    w = Tensor([1, 2, 3], requires_grad=True)
    hidden = np.exp(w)
    hidden.sum().backward()
    with wrong(w):
        (hidden ** 2).sum().backward()
    hidden = np.exp(w)
    (hidden.sum() + (hidden ** 2).sum()).backward()


@case("differentiation", RuntimeError, "a second time", "compute the loss again")
def a_hidden_state_carried_on(wrong):
    cell, x = nn.RNNCell(3, 4), zeros(2, 3)
    h = cell(x)
    h.sum().backward()
    with wrong(cell):
        cell(x, h).sum().backward()
    cell(x, h.detach()).sum().backward()


@case("differentiation", RuntimeError, "changed in place", "copy()")
def a_saved_value_changed(wrong):
    x = np.array([1.0, 2.0])
    t, w = Tensor(x), Tensor([3, 4], requires_grad=True)
    loss = (w * t).sum()
    t += 1
    with wrong(w, t):
        loss.backward()
    loss = (w * t).sum()
    t = t.copy()
    t += 1
    loss.backward()


@case("differentiation", RuntimeError, "changed in place", "before optimizer.step()")
def backward_after_the_step(wrong):
    model, (x, y) = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2)), rows()
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    first, second = F.cross_entropy(model(x), y), F.cross_entropy(model(x), 1 - y)
    first.backward()
    optimizer.step()
    with wrong(model, optimizer):
        second.backward()
    F.cross_entropy(model(x), 1 - y).backward()


@case("differentiation", RuntimeError, "(3,)", "gradient=", "sum()")
def backward_of_a_vector(wrong):
    w = Tensor([1, 2, 3], requires_grad=True)
    y = w ** 2
    with wrong(w):
        y.backward()
    y.sum().backward()


@case("differentiation", RuntimeError, "in place", "no_grad()")
def a_weight_changed_in_place(wrong):
    w = Tensor([1, 2, 3], requires_grad=True)
    with wrong(w):
        w -= 0.1
    with no_grad():
        w -= 0.1


@case("differentiation", RuntimeError, "in place", "np.where")
def an_element_of_a_weight_assigned(wrong):
    w = Tensor([1, 2, 3], requires_grad=True)
    with wrong(w):
        w[0] = 0
    np.where(np.arange(3) == 0, 0, w)


@case("differentiation", RuntimeError, "view", "t[i, j] = v")
def assigned_into_a_view(wrong):
    w = Tensor(np.ones((2, 3)), requires_grad=True)
    y = w * 2
    with wrong(w, y):
        y[0][1] = w[0, 0]
    y[0, 1] = w[0, 0]


@case("differentiation", TypeError, "cannot hold a graph", "without out=")
def out_of_a_tensor_that_requires_grad(wrong):
    w, out = Tensor([1, 2, 3], requires_grad=True), np.zeros(3, np.float32)
    with wrong(w, out):
        np.exp(w, out=out)
    np.exp(w)


@case("differentiation", TypeError, "cannot hold a graph", "a = a + t")
def an_array_that_sums_losses(wrong):
    w, total = Tensor([1, 2, 3], requires_grad=True), np.zeros(3, np.float32)
    with wrong(w, total):
        total += w
    total = total + w


@case("differentiation", TypeError, "t.detach().numpy()")
def numpy_of_what_requires_grad(wrong):
    w = Tensor([1, 2, 3], requires_grad=True)
    with wrong(w):
        w.numpy()
    w.detach().numpy()


@case("differentiation", TypeError, "t.detach().numpy()")
def asarray_of_what_requires_grad(wrong):
    w = Tensor([1, 2, 3], requires_grad=True)
    with wrong(w):
        np.asarray(w)
    np.asarray(w.detach())


@case("differentiation", TypeError, "(2,)", "t.sum()")
def float_of_many(wrong):
    t = Tensor([1, 2], requires_grad=True)
    with wrong(t):
        float(t)
    float(t.sum())


@case("differentiation", ValueError, "(2,)", "t.sum()", "t.tolist()")
def item_of_many(wrong):
    t = Tensor([1, 2], requires_grad=True)
    with wrong(t):
        t.item()
    t.tolist()


@case("differentiation", ValueError, "any()", "all()")
def if_of_many(wrong):
    t = Tensor([1, 2], requires_grad=True)
    with wrong(t):
        bool(t > 1)
    bool((t > 1).all())


@case("differentiation", ValueError, "(2,)", "any()", "all()")
def if_of_a_tensor_of_many(wrong):
    t = Tensor([1, 2], requires_grad=True)
    with wrong(t):
        bool(t)
    bool(t.any())


@case("differentiation", TypeError, "()", "t.size")
def len_of_a_number(wrong):
    t = Tensor(1.0)
    with wrong(t):
        len(t)
    len(t.reshape(1))


@case("differentiation", TypeError, "()", "no sequence")
def looping_over_a_number(wrong):
    t = Tensor(1.0)
    with wrong(t):
        [x for x in t]
    [x for x in t.reshape(1)]


@case("differentiation", TypeError, "float32", "int(t)")
def a_float_tensor_as_an_index(wrong):
    t = Tensor([1, 2, 3], requires_grad=True)
    with wrong(t):
        [10, 20, 30][t[0]]
    [10, 20, 30][int(t[0])]


@case("differentiation", RuntimeError, "depends on nothing", "argmax")
def a_loss_of_argmax(wrong):
    model, (x, y) = net(), rows()
    with wrong(model):
        Tensor((model(x).argmax(axis=1) != y).mean()).backward()
    F.cross_entropy(model(x), y).backward()


@case("differentiation", RuntimeError, "(3,)", "does not require grad", "before computing y")
def grad_of_what_does_not_require_grad(wrong):
    w, x = Tensor([1, 2, 3], requires_grad=True), Tensor([1, 2, 3])
    y = (w * x).sum()
    with wrong(w, x):
        minigrad.tensor.grad(y, x)
    x.requires_grad_()
    minigrad.tensor.grad((w * x).sum(), x)


@case("differentiation", RuntimeError, "leaf", "detach()")
def requires_grad_of_a_result(wrong):
    w = Tensor([1, 2, 3], requires_grad=True)
    y = w * 2
    with wrong(w, y):
        y.requires_grad = False
    y.detach()


@case("differentiation", ValueError, "(3,)", "(2,)", "hook")
def a_hook_that_changes_the_shape(wrong):
    w = Tensor([1, 2, 3], requires_grad=True)
    handle = w.register_hook(lambda g: g[:2])
    loss = (w ** 2).sum()
    with wrong(w):
        loss.backward()
    handle()
    w.register_hook(lambda g: g * 2)
    (w ** 2).sum().backward()


@case("differentiation", RuntimeError, "hook would never run")
def a_hook_on_a_constant(wrong):
    x = Tensor([1, 2, 3])
    with wrong(x):
        x.register_hook(print)
    x.requires_grad_().register_hook(lambda g: g)


@case("differentiation", RuntimeError, "retain")
def retain_grad_of_a_constant(wrong):
    x = Tensor([1, 2, 3])
    with wrong(x):
        x.retain_grad()
    (x.requires_grad_() * 2).retain_grad()


@case("differentiation", RuntimeError, "leaves", "t.detach()", "t.copy()")
def a_deep_copy_of_a_result(wrong):
    w = Tensor([1, 2, 3], requires_grad=True)
    y = w * 2
    with wrong(w, y):
        copy.deepcopy(y)
    copy.deepcopy(w), y.copy(), y.detach()


@case("differentiation", TypeError, "np.add.reduce", "np.sum")
def a_ufuncs_method(wrong):
    w = Tensor([1, 2, 3], requires_grad=True)
    with wrong(w):
        np.add.reduce(w)
    np.sum(w)


@case("differentiation", TypeError, "no derivative rule", "t.detach()")
def a_function_without_a_rule(wrong):
    w = Tensor([1, 2, 3], requires_grad=True)
    with wrong(w):
        np.histogram(w)
    np.histogram(w.detach())


@case("differentiation", TypeError, "np.where", "where")
def where_in_a_ufunc(wrong):
    w = Tensor([1, 2, 3], requires_grad=True)
    with wrong(w):
        np.exp(w, where=w > 1)
    np.where(w > 1, np.exp(w), 0)


@case("differentiation", RuntimeError, "does not require grad")
def a_grad_for_a_constant(wrong):
    x = Tensor([1, 2, 3])
    with wrong(x):
        x.grad = np.ones(3)
    x.requires_grad_().grad = np.ones(3)


@case("differentiation", RuntimeError, "create_graph=True")
def a_second_derivative_without_a_graph(wrong):
    w = Tensor([1, 2, 3], requires_grad=True)
    g = minigrad.tensor.grad((w ** 3).sum(), w)
    with wrong(w):
        g.sum().backward()
    minigrad.tensor.grad((w ** 3).sum(), w, create_graph=True).sum().backward()


@case("differentiation", TypeError, "requires grad", "np.stack")
def the_mean_of_a_list_of_losses(wrong):
    w = Tensor([1, 2, 3], requires_grad=True)
    losses = [w[0] ** 2, w[1] ** 2]
    with wrong(w):
        np.mean(losses)
    np.stack(losses).mean().backward()


@case("differentiation", TypeError, "np.put", "t[np.unravel_index(i, t.shape)] = v")
def put_into_a_result(wrong):
    w = Tensor([1, 2, 3], requires_grad=True)
    y = w * 2
    with wrong(w, y):
        np.put(y, [0], 5.0)
    y[0] = 5.0


# ---- modules ----
@case("modules", ValueError, "-1", "at least")
def a_layer_of_negative_size(wrong):
    with wrong():
        nn.Linear(-1, 3)
    nn.Linear(1, 3)


@case("modules", ValueError, "0", "at least 1")
def a_convolution_of_no_channels(wrong):
    with wrong():
        nn.Conv2d(0, 8, 3)
    nn.Conv2d(1, 8, 3)


@case("modules", ValueError, "0", "kernel_size")
def a_kernel_of_nothing(wrong):
    with wrong():
        nn.Conv2d(1, 8, 0)
    nn.Conv2d(1, 8, 1)


@case("modules", ValueError, "3 input", "2 groups")
def groups_that_do_not_divide(wrong):
    with wrong():
        nn.Conv2d(3, 8, 3, groups=2)
    nn.Conv2d(4, 8, 3, groups=2)


@case("modules", TypeError, "2.5", "int")
def a_layer_of_fractional_size(wrong):
    with wrong():
        nn.Linear(3, 5 / 2)
    nn.Linear(3, 5 // 2)


@case("modules", ValueError, "1.5", "probability")
def dropout_of_more_than_all(wrong):
    with wrong():
        nn.Dropout(1.5)
    nn.Dropout(0.5)


@case("modules", ValueError, "-3")
def batch_norm_of_negative_size(wrong):
    with wrong():
        nn.BatchNorm1d(-3)
    nn.BatchNorm1d(3)


@case("modules", ValueError, "embedding_dim", "-4")
def a_table_of_negative_width(wrong):
    with wrong():
        nn.Embedding(10, -4)
    nn.Embedding(10, 4)


@case("modules", ValueError, "hidden_size", "-4")
def an_lstm_of_negative_size(wrong):
    with wrong():
        nn.LSTM(3, -4)
    nn.LSTM(3, 4)


@case("modules", ValueError, "normalized_shape", "2.5")
def layer_norm_of_a_fraction(wrong):
    with wrong():
        nn.LayerNorm(2.5)
    nn.LayerNorm(2)


@case("modules", TypeError, "'half'", "number")
def a_probability_in_words(wrong):
    with wrong():
        nn.Dropout("half")
    nn.Dropout(0.5)


@case("optimizers", ValueError, "step_size", "0")
def a_schedule_without_steps(wrong):
    optimizer = optim.SGD(net().parameters(), lr=0.1)
    with wrong(optimizer):
        optim.StepLR(optimizer, 0)
    optim.StepLR(optimizer, 10)


@case("modules", ValueError, "10", "4 heads")
def heads_that_do_not_divide(wrong):
    with wrong():
        nn.MultiheadAttention(10, 4)
    nn.MultiheadAttention(12, 4)


@case("modules", ValueError, "'avg'", "'mean'")
def a_reduction_misspelt(wrong):
    with wrong():
        nn.MSELoss(reduction="avg")
    nn.MSELoss(reduction="mean")


@case("modules", TypeError, "relu", "nn.Lambda")
def a_function_in_a_sequential(wrong):
    layer = nn.Linear(3, 4)
    with wrong(layer):
        nn.Sequential(layer, F.relu)
    nn.Sequential(layer, nn.ReLU()), nn.Sequential(layer, nn.Lambda(F.relu))


@case("modules", TypeError, "ReLU(...)")
def a_class_in_a_sequential(wrong):
    layer = nn.Linear(3, 4)
    with wrong(layer):
        nn.Sequential(layer, nn.ReLU)
    nn.Sequential(layer, nn.ReLU())


@case("modules", TypeError, "Dense", "argument")
def a_layer_called_with_two_inputs(wrong):
    model = net()
    with wrong(model):
        model(zeros(2, 3), zeros(2, 3))
    model(zeros(2, 3))


@case("modules", TypeError, "Dense", "'x'")
def a_layer_called_with_nothing(wrong):
    model = net()
    with wrong(model):
        model()
    model(zeros(2, 3))


@case("modules", NotImplementedError, "Net", "forward")
def a_module_without_forward(wrong):
    class Net(nn.Module):
        def call(self, x):
            return x
    model = Net()
    with wrong(model):
        model(zeros(2, 3))
    Net.forward = Net.call
    model(zeros(2, 3))


@case("modules", ValueError, "missing: bias", "unexpected: weights")
def a_state_with_other_names(wrong):
    model = net()
    with wrong(model):
        model.load_state_dict({"weight": np.ones((3, 2)), "weights": np.ones((3, 2))})
    model.load_state_dict({"weight": np.ones((3, 2)), "bias": np.ones(2)})


@case("modules", ValueError, "weight: (4, 2) for (3, 2)")
def a_state_of_other_shapes(wrong):
    model, other = net(), nn.Linear(4, 2)
    with wrong(model, other):
        model.load_state_dict(other.state_dict())
    model.load_state_dict(nn.Linear(3, 2).state_dict())


@case("modules", ValueError, "transpose", "nn.load_torch_state_dict")
def a_state_of_pytorch(wrong):
    model, state = net(), {"weight": np.ones((2, 3)), "bias": np.ones(2)}
    with wrong(model):
        model.load_state_dict(state)
    nn.load_torch_state_dict(model, state)


@case("modules", TypeError, "safetensors.torch.save_file")
def a_pickle_of_pytorch(wrong):
    model = net()
    with wrong(model):
        nn.load_torch_state_dict(model, "model.pt")
    nn.load_torch_state_dict(model, {"weight": np.ones((2, 3)), "bias": np.ones(2)})


@case("modules", TypeError, "model.safetensors", "checkpoint.load")
def a_path_as_a_state(wrong):
    model = net()
    with wrong(model):
        model.load_state_dict("model.safetensors")
    model.load_state_dict(model.state_dict())


@case("modules", AttributeError, "layers.7", "it has")
def a_submodule_that_is_not_there(wrong):
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    with wrong(model):
        model.get_submodule("layers.7")
    model.get_submodule("1")


@case("modules", IndexError, "7", "2 modules")
def a_layer_that_is_not_there(wrong):
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    with wrong(model):
        model[7]
    model[1]


@case("modules", ValueError, "'lineer.*'", "weight, bias")
def freezing_what_is_not_there(wrong):
    model = net()
    with wrong(model):
        optim.freeze(model, "lineer.*")
    optim.freeze(model, "weight")


@case("modules", TypeError, "0", "default_rng(0)", "manual_seed")
def a_seed_in_a_layer(wrong):
    with wrong():
        nn.Linear(3, 2, generator=0)
    nn.Linear(3, 2, generator=np.random.default_rng(0))


@case("modules", TypeError, "'eval'", "model.eval()")
def a_mode_by_name(wrong):
    model = net()
    with wrong(model):
        model.train("eval")
    model.train(False)


@case("modules", ValueError, "12", "0 to 9")
def an_index_beyond_the_table(wrong):
    table = nn.Embedding(10, 4)
    with wrong(table):
        table(np.array([3, 12]))
    table(np.array([3, 9]))


# ---- threads ----
@case("threads", RuntimeError, "fit", "already", "copy.deepcopy(model)")
def two_trainings_of_one_model(wrong):
    model = net()
    optimizer, other = optim.SGD(model.parameters(), lr=0.1), optim.SGD(model.parameters(), lr=0.1)

    def fit_beside(model, history):
        in_threads(lambda: train.fit(model, batches(*rows()), other, progress=False))
    with wrong():
        train.fit(model, batches(*rows()), optimizer, progress=False, callbacks=[fit_beside])
    train.fit(model, batches(*rows()), other, progress=False)


@case("threads", RuntimeError, "no_grad")
def a_graph_recorded_in_a_thread_under_no_grad(wrong):
    w = Tensor([1, 2, 3], requires_grad=True)

    def task():
        with no_grad():
            loss = (w ** 2).sum()
        loss.backward()
    with wrong(w):
        in_threads(task)
    in_threads(lambda: (w ** 2).sum().backward())


# ---- files and commands ----
@case("files and commands", ValueError, "model.bin", ".safetensors")
def a_checkpoint_of_an_unknown_kind(wrong):
    model = net()
    with wrong(model):
        minigrad.checkpoint.save("model.bin", model)
    minigrad.checkpoint.save("model.safetensors", model)


@case("files and commands", TypeError, "activation", "function", "JSON")
def a_function_in_the_metadata(wrong):
    model = net()
    with wrong(model):
        minigrad.checkpoint.save("model.safetensors", model, metadata={"activation": F.relu})
    minigrad.checkpoint.save("model.safetensors", model, metadata={"activation": "relu"})


@case("files and commands", FileNotFoundError, "lost.safetensors")
def a_checkpoint_that_is_not_there(wrong):
    model = net()
    minigrad.checkpoint.save("model.safetensors", model)
    with wrong(model):
        minigrad.checkpoint.load("lost.safetensors")
    minigrad.checkpoint.load("model.safetensors").restore(model)


@case("files and commands", ValueError, "weight", "(4, 2)", "(3, 2)")
def the_checkpoint_of_another_model(wrong):
    minigrad.checkpoint.save("model.safetensors", nn.Linear(4, 2))
    model = net()
    with wrong(model):
        minigrad.checkpoint.load("model.safetensors").restore(model)
    model = nn.Linear(4, 2)
    minigrad.checkpoint.load("model.safetensors").restore(model)


@case("files and commands", Refused, "'adma'", "adam")
def compare_with_an_optimizer_misspelt(wrong):
    with wrong():
        command("minigrad compare --function rosenbrock --optimizers adma --out race.svg")
    command("minigrad --help")


@case("files and commands", Refused, "'adma'", "adam")
def train_with_an_optimizer_misspelt(wrong):
    with wrong():
        command("minigrad train --optimizer adma")
    command("minigrad train --help")


@case("files and commands", Refused, "'lenet'", "lenet5")
def train_a_model_misspelt(wrong):
    with wrong():
        command("minigrad train --model lenet")
    command("minigrad train --help")


@case("files and commands", Refused, "lr", "-1")
def train_with_a_negative_learning_rate(wrong):
    with wrong():
        command("minigrad train --lr -1")
    command("minigrad train --help")


@case("files and commands", Refused, "lost.safetensors")
def predict_with_a_model_that_is_not_there(wrong):
    with wrong():
        command("minigrad predict lost.safetensors seven.npy")
    command("minigrad predict --help")


@case("files and commands", ValueError, "notes.txt")
def a_text_file_as_an_image(wrong):
    with open("notes.txt", "w", encoding="utf-8") as file:
        file.write("seven")
    with wrong():
        minigrad.images.read("notes.txt")
    np.save("seven.npy", np.eye(28, dtype=np.float32))
    minigrad.images.read("seven.npy")


@case("files and commands", ValueError, "(10, 28, 28)", "(H, W)")
def several_images_in_one_file(wrong):
    np.save("seven.npy", np.zeros((10, 28, 28), np.float32))
    with wrong():
        minigrad.images.read("seven.npy")
    np.save("seven.npy", np.load("seven.npy")[7])
    minigrad.images.read("seven.npy")


# ---- no mistakes here, though elsewhere some of it is ----
fine: dict[str, Callable[[], None]] = {}


def allowed(run):
    """Enter a program that runs, and whose docstring says what it shows."""
    fine[run.__name__] = run
    return run


@allowed
def layers_in_a_plain_list():
    """Lists, tuples and dicts of modules and parameters are found, nn.ModuleList or not."""
    class Net(nn.Module):
        def __init__(self):
            self.layers = [nn.Linear(3, 4), nn.Linear(4, 2)]

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return x
    assert next(name for name, _ in Net().named_parameters()) == "layers.0.weight"
    assert len(list(Net().parameters())) == 4


@allowed
def super_init_forgotten():
    """A module needs no call of super().__init__()."""
    class Net(nn.Module):
        def __init__(self):
            self.linear = nn.Linear(3, 2)
    assert len(list(Net().parameters())) == 2


@allowed
def one_module_twice():
    """Its parameters count once, and get the sum of both gradients."""
    layer = nn.Linear(3, 3)
    model = nn.Sequential(layer, nn.Tanh(), layer)
    assert len(list(model.parameters())) == 2
    model(zeros(2, 3)).sum().backward()


@allowed
def a_parameter_in_two_optimizers():
    """As GANs need it: each steps it, and knows nothing of the other."""
    model = net()
    optim.SGD(model.parameters(), lr=0.1), optim.Adam(model.parameters())


@allowed
def arrays_as_input():
    """Models, losses and loaders take NumPy's arrays as they are."""
    F.cross_entropy(net()(np.ones((4, 3), np.float32)), np.array([0, 1, 0, 1])).backward()


@allowed
def float64_into_float32_layers():
    """Computed in float64, as NumPy promotes: right, but slower. x.astype(np.float32) keeps to float32."""
    model = net()
    y = model(np.ones((4, 3)))
    y.sum().backward()
    assert y.dtype == np.float64 and model.weight.grad.dtype == np.float32


@allowed
def whole_numbers_into_a_layer():
    """Promoted as NumPy does, uint8 to float32 and int64 to float64. Pixels of 0 to 255 train badly: divide by 255."""
    assert net()(np.ones((4, 3), np.uint8)).dtype == np.float32
    assert net()(np.ones((4, 3), np.int64)).dtype == np.float64


@allowed
def complex_numbers_into_relu():
    """Larger is what NumPy calls larger, by the real part first. Where that is not meant: relu(z.real)."""
    assert F.relu(Tensor([-1 + 1j, 1 + 1j])).tolist() == [0, 1 + 1j]


@allowed
def integers_as_targets_of_mse():
    """Taken as numbers of the output's dtype."""
    assert F.mse_loss(zeros(3), np.array([1, 2, 3])).dtype == np.float32


@allowed
def a_tensor_is_none():
    """`is` is the question to ask: == compares element by element, with NumPy's answer."""
    t = Tensor([1, 2])
    assert t is not None and (t == None).tolist() == [False, False]  # noqa: E711


@allowed
def tensors_in_sets_and_dicts():
    """By identity, whatever their values."""
    a, b = Tensor(1.0), Tensor(1.0)
    assert len({a, b}) == 2 and {a: "a"}[a] == "a"


@allowed
def grad_of_what_is_not_in_the_graph():
    """Zeros, not None: y does not depend on it."""
    w, v = Tensor([1, 2], requires_grad=True), Tensor([3, 4], requires_grad=True)
    assert minigrad.grad((w ** 2).sum(), v).tolist() == [0, 0]


@allowed
def to_the_cpu():
    """.to("cpu"), .cpu() and device="cpu" are there for programs that run elsewhere too; .to(dtype) casts."""
    t, model = Tensor([1, 2], device="cpu"), net()
    assert t.cpu() is t.to("cpu") is t and model.cpu() is model.to("cpu") is model
    assert t.to(np.float64).dtype == model.to(np.float64).weight.dtype == np.float64


@allowed
def an_iterator_used_up():
    """for x, y in loader: begins anew each time. An iter(loader) ends, as Python's iterators do."""
    loader = batches(*rows())
    assert len(list(loader)) == len(list(loader)) == 2
    iterator = iter(loader)
    assert len(list(iterator)) == 2 and len(list(iterator)) == 0


@allowed
def inference_in_many_threads():
    """In evaluation mode a model changes nothing of itself: the bits are those of one thread. Of lazy layers, let one
    thread make the first call."""
    model, x = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU()).eval(), rows()[0]
    expected, found = model(x).data, []
    in_threads(*[lambda: found.append(model(x).data)] * 8)
    assert all(np.array_equal(y, expected) for y in found)


@allowed
def backward_in_many_threads():
    """.grad of shared parameters is the sum over all threads, in the order in which they end: the last bits may vary.
    So of batch norm's running statistics: every batch counts. zero_grad() and step() are for one thread, when the
    others are done."""
    model, (x, y) = net(), rows()
    in_threads(*[lambda: F.cross_entropy(model(x), y).backward()] * 8)
    total = model.weight.grad
    model.zero_grad()
    F.cross_entropy(model(x), y).backward()
    np.testing.assert_allclose(total, 8 * model.weight.grad.data, rtol=1e-6)


@allowed
def no_grad_without_brackets():
    """A decorator with or without them."""
    @no_grad
    def recorded():
        return minigrad.is_grad_enabled()
    assert not recorded() and minigrad.is_grad_enabled()


@allowed
def no_grad_in_threads():
    """It holds in its own thread, and another's begins with recording on."""
    recorded = []
    with no_grad():
        in_threads(lambda: recorded.append(minigrad.is_grad_enabled()))
    assert recorded == [True]


# ---- what nobody can know ----
unknowable: dict[str, Callable[[], None]] = {}


def silent(run):
    """Enter a program that may be meant, and whose docstring says what happens and how to tell."""
    unknowable[run.__name__] = run
    return run


@silent
def zero_grad_forgotten():
    """Gradients add up: that is how large batches are accumulated. train.fit does it all."""
    w = Tensor([1.0], requires_grad=True)
    for _ in range(2):
        (3 * w).sum().backward()
    assert w.grad.item() == 6


@silent
def eval_forgotten():
    """Dropout drops, batch norm measures, until model.eval(). train.fit and train.evaluate switch by themselves."""
    model = nn.Dropout(0.5)
    assert model.training and not model.eval().training


@silent
def a_number_taken_from_the_graph():
    """math.sin(t), float(t), round(t.item()) give Python's numbers, without a gradient: np.sin(t) keeps it."""
    y = float(Tensor(0.5, requires_grad=True))
    assert isinstance(y, float)


@silent
def x_is_x_data():
    """A plain array, so without a gradient, as t.detach() is; and writing into it changes t."""
    t = Tensor([1.0], requires_grad=True)
    x = t.data
    assert isinstance(x, np.ndarray) and x is t.data


@silent
def a_schedule_stepped_before_the_optimizer():
    """The first update takes the schedule's second learning rate. train.fit(schedule=...) steps in order."""
    optimizer = optim.SGD(net().parameters(), lr=1.0)
    optim.StepLR(optimizer, 1, gamma=0.5).step()
    assert optimizer.lr == 0.5


@silent
def softmax_before_cross_entropy():
    """cross_entropy takes logits: probabilities are logits too, but of a model that learns slowly. Leave it out."""
    logits = Tensor([[5.0, 0.0]])
    assert F.cross_entropy(F.softmax(logits), [0]).item() > F.cross_entropy(logits, [0]).item()
