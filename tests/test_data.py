"""minigrad.data: files and their corruption, downloads from a local server, datasets, batches, transforms."""

from __future__ import annotations

import gc
import gzip
import hashlib
import http.server
import io
import itertools
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import tracemalloc
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad.data as data
from minigrad import is_grad_enabled, nn, no_grad, optim, train
from minigrad.data import datasets, files
from minigrad.functional import cross_entropy
from minigrad.random import default_generator, manual_seed
from minigrad.tensor import Tensor

needs_mnist = pytest.mark.skipif(
    not os.environ.get("MINIGRAD_DATA"), reason="MINIGRAD_DATA is not set: real MNIST not tested"
)
IDX_CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx_bytes(array, shape=None):
    shape = array.shape if shape is None else shape
    header = struct.pack(f">BBBB{len(shape)}I", 0, 0, IDX_CODES[array.dtype.str[1:]], len(shape), *shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def write(path, content):
    path.write_bytes(content)
    return path


def sha256(content):
    return hashlib.sha256(content).hexdigest()


# --- IDX ---


@pytest.mark.parametrize("code", IDX_CODES)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_read_idx_every_dtype(tmp_path, code, pack):
    array = np.arange(24).reshape(2, 3, 4).astype(code)
    found = data.read_idx(write(tmp_path / "a", pack(idx_bytes(array))))
    assert found.dtype == np.dtype(code) and found.dtype.isnative
    np.testing.assert_array_equal(found, array)
    found[0] = 0  # the result is the caller's own


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "starts with nothing"),
        (b"\0\0", "starts with 00 00"),
        (b"<!DOCTYPE html>", "not an IDX file"),
        (b"\0\0\x07\x01\0\0\0\1x", "not an IDX file"),
        (b"\0\0\x08\0x", "claims 0 dimensions"),
        (b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"x", "claims 255 dimensions"),
        (b"\0\0\x08\x03\0\0\0\1", "truncated in the header"),
        (idx_bytes(np.zeros((2, 3), "u1"), shape=(0, 3)), "empty dimension"),
        (idx_bytes(np.zeros((2, 3), "u1"))[:-1], "only 5 follow"),
        (idx_bytes(np.zeros((2, 3), "u1")) + b"x", "trailing bytes"),
        (idx_bytes(np.zeros((2, 3), "f8"), shape=(2**32 - 1,) * 3), "4294967295"),
        (gzip.compress(idx_bytes(np.zeros((2, 3), "u1"), shape=(2**32 - 1,) * 3), mtime=0), "at most"),
        (gzip.compress(idx_bytes(np.zeros((2, 3), "u1"))[:-1], mtime=0), "only 5 follow"),
        (gzip.compress(idx_bytes(np.zeros((2, 3), "u1")) + b"x", mtime=0), "trailing bytes"),
        (gzip.compress(b"<!DOCTYPE html>", mtime=0), "not an IDX file"),
        (b"\x1f\x8b" + b"junk" * 9, "broken gzip data"),
    ],
)
def test_read_idx_refuses(tmp_path, content, message):
    path = write(tmp_path / "broken", content)
    with pytest.raises(data.CorruptFileError, match=message) as caught:
        data.read_idx(path)
    assert str(path) in str(caught.value)
    assert issubclass(data.CorruptFileError, ValueError)


def test_read_idx_every_truncation_and_every_damaged_byte(tmp_path):
    array = np.arange(40, dtype="u1").reshape(4, 10)
    content = gzip.compress(idx_bytes(array), mtime=0)
    for length in range(len(content)):
        with pytest.raises(data.CorruptFileError):
            data.read_idx(write(tmp_path / "short", content[:length]))
    silent = []
    for position in range(len(content)):
        for flip in (0x01, 0x80, 0xFF):
            damaged = bytearray(content)
            damaged[position] ^= flip
            try:
                found = data.read_idx(write(tmp_path / "damaged", bytes(damaged)))
            except data.CorruptFileError:
                continue
            silent.append(position)
            np.testing.assert_array_equal(found, array)
    # what may pass carries no content: gzip's time and system bytes, padding bits; never its checksum and length
    assert max(silent) < len(content) - 8


class CountingReader(io.BytesIO):
    delivered = 0

    def read(self, size=-1):
        chunk = super().read(size)
        self.delivered += len(chunk)
        return chunk


def test_read_idx_gzip_bomb_is_not_unpacked(tmp_path):
    bomb = idx_bytes(np.zeros((2, 3), "u1")) + bytes(50_000_000)
    path = write(tmp_path / "bomb.gz", gzip.compress(bomb, 1))
    with pytest.raises(data.CorruptFileError, match="trailing bytes"):
        data.read_idx(path)
    reader = CountingReader(bomb)
    with pytest.raises(data.CorruptFileError, match="trailing bytes"):
        files._parse_idx(reader, path, 10**9)
    assert reader.delivered == 4 + 8 + 6 + 1


def test_read_idx_honest_header_of_a_bomb_hits_max_bytes(tmp_path):
    path = write(tmp_path / "big.gz", gzip.compress(idx_bytes(np.zeros(1_000_000, "u1"))))
    assert data.read_idx(path).shape == (1_000_000,)
    with pytest.raises(data.CorruptFileError, match="at most 999,999"):
        data.read_idx(path, max_bytes=999_999)


# --- MNIST from files ---


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A folder with a miniature MNIST, whose hashes take the place of the real ones; no MINIGRAD_DATA."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "tiny"
    folder.mkdir()
    for part, n in (("train", 6), ("t10k", 3)):
        images = rng.integers(0, 256, (n, 28, 28)).astype("u1")
        images[0, 0, :2] = 0, 255
        labels = np.arange(n, dtype="u1")
        for name, array in ((f"{part}-images-idx3-ubyte.gz", images), (f"{part}-labels-idx1-ubyte.gz", labels)):
            content = gzip.compress(idx_bytes(array), mtime=0)
            write(folder / name, content)
            monkeypatch.setitem(datasets.MNIST_SHA256, name, sha256(content))
    monkeypatch.delenv("MINIGRAD_DATA", raising=False)
    return folder


TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"


def test_mnist_from_root(tiny, tmp_path):
    train = data.MNIST(root=tiny, cache=tmp_path / "cache", mirrors=[])
    assert (train.x.dtype, train.x.shape, train.y.dtype) == (np.float32, (6, 1, 28, 28), np.int64)
    raw = data.read_idx(tiny / TRAIN_IMAGES)
    np.testing.assert_array_equal(train.x[:, 0], (raw / 255).astype(np.float32))
    assert train.x.min() == 0 and train.x.max() == 1
    assert train.y.tolist() == [0, 1, 2, 3, 4, 5]
    assert train.classes == tuple("0123456789") and train.train
    assert len(data.MNIST(train=False, root=str(tiny))) == 3
    assert not (tmp_path / "cache").exists()


def test_mnist_from_environment(tiny, monkeypatch, tmp_path):
    monkeypatch.setenv("MINIGRAD_DATA", str(tiny))
    assert len(data.MNIST(root=tmp_path / "nothing here", mirrors=[])) == 6
    assert len(data.load("mnist")) == len(data.load("auto")) == 6


def test_mnist_transform(tiny):
    assert data.MNIST(root=tiny, transform=data.Flatten())[:2][0].shape == (2, 784)


def test_mnist_torchvision_argument_order_is_explained():
    with pytest.raises(TypeError, match="root="):
        data.MNIST("some/folder")


@pytest.mark.parametrize("where", ["root", "environment"])
@pytest.mark.parametrize("damage", ["truncated", "flipped byte", "another file"])
def test_corrupt_file_of_the_user_is_an_error(tiny, tmp_path, monkeypatch, where, damage):
    good = (tiny / TRAIN_IMAGES).read_bytes()
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1
    other = (tiny / TRAIN_LABELS).read_bytes()
    bad = {"truncated": good[:-100], "flipped byte": bytes(flipped), "another file": other}
    folder = tmp_path / "mine"
    folder.mkdir()
    write(folder / TRAIN_IMAGES, bad[damage])
    options = {"root": folder}
    if where == "environment":
        monkeypatch.setenv("MINIGRAD_DATA", str(folder))
        options = {}
    with pytest.raises(data.CorruptFileError) as caught:
        data.MNIST(cache=tiny, mirrors=[tiny.as_uri()], **options)  # good copies elsewhere do not hide it
    for part in (str(folder / TRAIN_IMAGES), sha256(good), sha256(bad[damage]), "replace it"):
        assert part in str(caught.value)
    assert (folder / TRAIN_IMAGES).read_bytes() == bad[damage]
    if where == "environment":
        with pytest.raises(data.CorruptFileError):
            data.load("auto")


def test_mnist_not_available_says_where_it_looked(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path / "env"))
    with pytest.raises(data.DatasetNotAvailable) as caught:
        data.MNIST(root=tmp_path / "root", cache=tmp_path / "cache", download=False)
    for part in (TRAIN_IMAGES, "download=False", *(str(tmp_path / place) for place in ("env", "root", "cache"))):
        assert part in str(caught.value)
    assert "set MINIGRAD_DATA" in str(caught.value)
    assert isinstance(caught.value, OSError)


# --- downloads ---


class Server(http.server.ThreadingHTTPServer):
    """Serves what ``pages`` maps a path to; a page in ``cut`` breaks off half-way. ``asked`` lists the requests."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages, self.cut, self.asked = {}, set(), []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        page = self.server.pages.get(self.path)
        if page is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page[: len(page) // 2] if self.path in self.server.cut else page)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    pytest.importorskip("pooch")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def mirror(server, tiny):
    for path in tiny.iterdir():
        server.pages[f"/good/{path.name}"] = path.read_bytes()
    return f"{server.url}/good/"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_download_with_progress_then_cache(server, mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    cache = tmp_path / "cache"
    assert len(data.MNIST(cache=cache, mirrors=[mirror])) == 6
    shown = sys.stderr.getvalue()
    assert f"{TRAIN_IMAGES}: 100%" in shown and f"{TRAIN_LABELS}: 100%" in shown
    assert server.asked == [f"/good/{TRAIN_IMAGES}", f"/good/{TRAIN_LABELS}"]
    assert sorted(path.name for path in cache.iterdir()) == [TRAIN_IMAGES, TRAIN_LABELS]

    assert len(data.MNIST(cache=cache, mirrors=[mirror])) == len(data.MNIST(cache=cache, download=False)) == 6
    assert len(server.asked) == 2


def test_download_into_root(mirror, tmp_path):
    data.MNIST(train=False, root=tmp_path / "root", cache=tmp_path / "cache", mirrors=[mirror])
    assert len(list((tmp_path / "root").iterdir())) == 2
    assert not (tmp_path / "cache").exists()


def test_download_from_file_url(tiny, tmp_path):
    pytest.importorskip("pooch")
    mirrors = [(tmp_path / "nothing here").as_uri(), tiny.as_uri()]
    assert len(data.MNIST(cache=tmp_path / "cache", mirrors=mirrors)) == 6


def test_download_dead_mirror_then_next(server, mirror, tmp_path):
    dead = "http://127.0.0.1:9"  # the discard port: refused
    assert len(data.MNIST(cache=tmp_path, mirrors=[dead, f"{server.url}/missing", mirror], timeout=2)) == 6
    assert server.asked[:2] == [f"/missing/{TRAIN_IMAGES}", f"/good/{TRAIN_IMAGES}"]


def test_download_wrong_content_then_next_mirror(server, mirror, tiny, tmp_path):
    server.pages[f"/login/{TRAIN_IMAGES}"] = b"<html>please sign in</html>"
    mirrors = [f"{server.url}/login", mirror]
    path = data.fetch(TRAIN_IMAGES, datasets.MNIST_SHA256[TRAIN_IMAGES], mirrors, tmp_path / "cache")
    assert path.read_bytes() == (tiny / TRAIN_IMAGES).read_bytes()
    assert server.asked == [f"/login/{TRAIN_IMAGES}", f"/good/{TRAIN_IMAGES}"]


@pytest.mark.parametrize("failure", ["wrong", "cut", "missing", "refused"])
def test_failed_download_leaves_nothing_and_says_why(server, mirror, tmp_path, failure):
    page = f"/good/{TRAIN_IMAGES}"
    if failure == "wrong":
        server.pages[page] = b"<html>please sign in</html>"
    elif failure == "cut":
        server.cut.add(page)
    elif failure == "missing":
        del server.pages[page]
    else:
        mirror = "http://127.0.0.1:9/"
    with pytest.raises(data.DatasetNotAvailable) as caught:
        data.MNIST(cache=tmp_path / "cache", mirrors=[mirror], timeout=2)
    for part in (f"{mirror}{TRAIN_IMAGES}", str(tmp_path / "cache"), "MINIGRAD_DATA"):
        assert part in str(caught.value)
    kinds = {"wrong": "ValueError", "missing": "HTTPError", "cut": "ChunkedEncodingError", "refused": "ConnectionError"}
    assert f": {kinds[failure]}" in caught.value.reason and "\n" not in caught.value.reason
    assert not list((tmp_path / "cache").iterdir())


def test_mirror_that_never_answers_is_given_up(mirror, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        mirrors = [f"http://127.0.0.1:{silent.getsockname()[1]}"]
        with pytest.raises(data.DatasetNotAvailable, match="ReadTimeout"):
            data.MNIST(cache=tmp_path, mirrors=mirrors, timeout=0.1)
        assert len(data.MNIST(cache=tmp_path, mirrors=[*mirrors, mirror], timeout=0.1)) == 6


def test_corrupt_cache_is_downloaded_again(server, mirror, tiny, tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    bad = write(cache / TRAIN_IMAGES, b"half a file")
    with pytest.raises(data.CorruptFileError, match="download=True"):
        data.MNIST(cache=cache, download=False)
    with pytest.raises(data.DatasetNotAvailable):
        data.MNIST(cache=cache, mirrors=[f"{server.url}/missing"])
    assert len(data.MNIST(cache=cache, mirrors=[mirror])) == 6
    assert bad.read_bytes() == (tiny / TRAIN_IMAGES).read_bytes()


def test_download_without_pooch_names_the_extra(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r'needs pooch: pip install "minigrad\[data\]", or set MINIGRAD_DATA'):
        data.MNIST()
    with pytest.raises(ImportError, match=r'downloading train.* pip install "minigrad\[data\]"'):
        data.MNIST(cache=tmp_path, mirrors=[tiny.as_uri()])
    assert len(data.MNIST(root=tiny)) == 6


# --- Fashion-MNIST, CIFAR-10, text ---


@pytest.fixture
def fashion(tiny, monkeypatch):
    """A miniature Fashion-MNIST: MNIST's names, other content."""
    folder = tiny.parent / "fashion-mnist"
    folder.mkdir()
    for path in tiny.iterdir():
        array = data.read_idx(path)
        content = gzip.compress(idx_bytes(255 - array if array.ndim == 3 else array), mtime=0)
        write(folder / path.name, content)
        monkeypatch.setitem(datasets.FASHION_MNIST_SHA256, path.name, sha256(content))
    return folder


def test_fashion_mnist_from_root(fashion):
    train, test = data.FashionMNIST(root=fashion), data.FashionMNIST(train=False, root=fashion)
    assert (train.x.dtype, train.x.shape, train.y.dtype) == (np.float32, (6, 1, 28, 28), np.int64) and len(test) == 3
    assert train.name == "FashionMNIST" and len(train.classes) == 10 and train.classes[9] == "ankle boot"
    assert train.x.max() == 1 and data.FashionMNIST(root=fashion, transform=data.Flatten())[:2][0].shape == (2, 784)


def test_fashion_mnist_and_mnist_share_names_but_not_a_folder(fashion, tiny, tmp_path, monkeypatch):
    together = tmp_path / "all"
    (together / "fashion-mnist").mkdir(parents=True)
    for path in tiny.iterdir():
        (together / path.name).write_bytes(path.read_bytes())
    monkeypatch.setenv("MINIGRAD_DATA", str(together))
    with pytest.raises(data.DatasetNotAvailable, match="MINIGRAD_DATA to one with it in its fashion-mnist"):
        data.FashionMNIST(download=False, cache=tmp_path / "cache")
    for path in fashion.iterdir():
        (together / "fashion-mnist" / path.name).write_bytes(path.read_bytes())
    np.testing.assert_allclose(data.load("fashion-mnist").x, 1 - data.load("mnist").x, atol=1e-7)
    with pytest.raises(data.CorruptFileError, match="another file"):
        data.FashionMNIST(root=tiny)


def test_fashion_mnist_has_its_own_cache(fashion, monkeypatch, tmp_path):
    pooch = pytest.importorskip("pooch")
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "home" / name)
    assert len(data.FashionMNIST(mirrors=[fashion.as_uri()])) == 6
    assert len(list((tmp_path / "home" / "minigrad" / "fashion-mnist").iterdir())) == 2
    assert len(data.FashionMNIST(download=False)) == 6


def cifar_bytes(n, seed):
    records = np.random.default_rng(seed).integers(0, 256, (n, 3073)).astype("u1")
    records[:, 0] %= 10
    return records


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    monkeypatch.delenv("MINIGRAD_DATA", raising=False)
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for i in range(1, 6):
        write(folder / f"data_batch_{i}.bin", cifar_bytes(2, i).tobytes())
    write(folder / "test_batch.bin", cifar_bytes(3, 0).tobytes())
    return folder


def test_cifar10_records(cifar, monkeypatch):
    train, test = data.CIFAR10(root=cifar), data.CIFAR10(train=False, root=cifar.parent)
    assert (train.x.dtype, train.x.shape, train.y.dtype) == (np.float32, (10, 3, 32, 32), np.int64)
    raw = cifar_bytes(2, 3)
    assert train.y[4:6].tolist() == raw[:, 0].tolist() and train.classes[int(train.y[0])]
    for channel, row, column in ((0, 0, 0), (1, 2, 5), (2, 31, 31)):
        assert train.x[5, channel, row, column] == np.float32(raw[1, 1 + 1024 * channel + 32 * row + column] / 255)
    assert len(test) == 3 and not test.train and len(test.classes) == 10 and test.classes[6] == "frog"
    monkeypatch.setenv("MINIGRAD_DATA", str(cifar.parent))
    np.testing.assert_array_equal(data.load("cifar-10", train=False, transform=data.Flatten())[:][0].shape, (3, 3072))


@pytest.mark.parametrize(("content", "message"), [
    (b"", "0 bytes are not whole records of 3,073"), (b"x" * 3074, "3,074 bytes are not whole"),
    (b"\x0b" + bytes(3072), r"a label of 11, not 0\.\.9"),
])
def test_cifar10_refuses(cifar, content, message):
    write(cifar / "test_batch.bin", content)
    with pytest.raises(data.CorruptFileError, match=f"test_batch.bin: {message}"):
        data.CIFAR10(train=False, root=cifar)


def test_cifar10_not_there(cifar, tmp_path):
    (cifar / "data_batch_4.bin").unlink()
    with pytest.raises(data.DatasetNotAvailable, match=r"cifar-10-batches-bin lacks data_batch_4\.bin"):
        data.CIFAR10(root=cifar)
    with pytest.raises(data.DatasetNotAvailable, match=r"looked in .*nowhere.*\n.*cifar-10-binary\.tar\.gz"):
        data.CIFAR10(root=tmp_path / "nowhere")
    with pytest.raises(TypeError, match="root="):
        data.CIFAR10("folder")


def test_char_text():
    text = data.CharText("hello world", length=4)
    assert text.vocabulary == tuple(" dehlorw") == text.classes and len(text) == 7
    x, y = text[2]
    assert text.decode(x) == "llo " and text.decode(y) == "lo w" and x.dtype == y.dtype == np.int64
    for x, y in (text[i] for i in range(len(text))):
        np.testing.assert_array_equal(x[1:], y[:-1])
    assert text.decode(text.encode("world")) == "world"
    assert np.shares_memory(text.x, text.y)  # not a copy of the text for each character of a window
    apart = data.CharText("hello world", length=3, step=3)
    assert [text.decode(x) for x, _ in (apart[i] for i in range(len(apart)))] == ["hel", "lo ", "wor"]
    more = data.CharText("dello", length=2, vocabulary=text.vocabulary)
    assert more.x.max() < 8 and text.decode(more.x[0]) == "de"
    batch, _ = next(iter(data.DataLoader(text, 3, shuffle=True)))
    assert batch.shape == (3, 4)


@pytest.mark.parametrize(("arguments", "message"), [
    (("abc", 3), "3 characters is too short for windows of 3"), (("abc", 0), "length=0, step=1"),
    (("abc", 1, 0), "length=1, step=0"), (("abcd", 2, 1, "abc"), "not in the vocabulary: 'd'"),
    (("abcd", 2, 1, ["ab", "c"]), "different single characters"),
    (("ab", 1, 1, "aab"), "different single characters"),
])
def test_char_text_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        data.CharText(*arguments)


def test_sine():
    made = data.sine(101, noise=0)
    assert made.x.shape == made.y.shape == (101, 1) and made.x.dtype == made.y.dtype == np.float32
    np.testing.assert_allclose(made.y, np.sin(made.x), atol=1e-6)
    np.testing.assert_allclose(made.x[[0, 50, 100], 0], [-np.pi, 0, np.pi], atol=1e-6)
    noisy = data.sine(20_000, noise=0.3, seed=0)
    np.testing.assert_allclose((noisy.y - np.sin(noisy.x)).std(), 0.3, rtol=0.03)
    np.testing.assert_array_equal(noisy.y, data.sine(20_000, 0.3, generator=np.random.default_rng(0)).y)
    with pytest.raises(ValueError, match="noise"):
        data.sine(noise=-1)


# --- real MNIST ---


@needs_mnist
def test_real_mnist():
    train, test = data.MNIST(download=False), data.load("mnist", train=False)
    assert train.x.shape == (60000, 1, 28, 28) and test.x.shape == (10000, 1, 28, 28)
    assert train.x.dtype == np.float32 and train.x.min() == 0 and train.x.max() == 1
    assert np.bincount(train.y).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(test.y).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert train.x.mean(dtype=np.float64) == pytest.approx(0.1307, abs=5e-5)
    assert train.x.std(dtype=np.float64) == pytest.approx(0.3081, abs=5e-5)
    assert train.y[:5].tolist() == [5, 0, 4, 1, 9]


# --- digits, load ---


def test_digits_split_is_fixed_stratified_and_complete():
    load_digits = pytest.importorskip("sklearn.datasets").load_digits
    train, test = data.digits(), data.digits(train=False)
    assert len(train) + len(test) == 1797
    assert train.x.shape[1:] == (1, 8, 8) and train.x.dtype == np.float32 and train.y.dtype == np.int64
    assert train.x.min() == 0 and train.x.max() == 1
    per_class = np.bincount(load_digits().target)
    np.testing.assert_array_equal(np.bincount(test.y), per_class // 5)
    both = np.concatenate([train.x, test.x]).reshape(1797, 64) * 16
    np.testing.assert_array_equal(both[np.lexsort(both.T)], (raw := load_digits().data)[np.lexsort(raw.T)])
    np.testing.assert_array_equal(test.x, data.digits(train=False).x)
    np.testing.assert_array_equal(np.bincount(data.digits(False, test_size=0.5).y), per_class // 2)
    assert data.digits(transform=data.Flatten())[:3][0].shape == (3, 64)


@pytest.mark.parametrize("test_size", [0, 1, 1.5, float("nan")])
def test_digits_test_size(test_size):
    with pytest.raises(ValueError, match="between 0 and 1"):
        data.digits(test_size=test_size)


def test_digits_without_sklearn_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r'needs scikit-learn: pip install "minigrad\[data\]"'):
        data.digits()


def test_load_auto_announces_the_fallback(server, tiny, tmp_path, monkeypatch, capsys):
    pytest.importorskip("sklearn")
    monkeypatch.setattr(datasets, "MNIST_MIRRORS", (f"{server.url}/missing",))
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache")
    assert data.load().name == "digits"
    said = capsys.readouterr()
    host = server.url.removeprefix("http://")
    assert f"MNIST is not reachable ({host}: HTTPError), using scikit-learn's digits" in said.err and not said.out
    with pytest.raises(data.DatasetNotAvailable):
        data.load("mnist")


def test_load_auto_without_pooch(tiny, monkeypatch, capsys):
    pytest.importorskip("sklearn")
    monkeypatch.setitem(sys.modules, "pooch", None)
    assert len(data.load("auto", train=False)) == len(data.digits(train=False))
    assert 'pip install "minigrad[data]"' in capsys.readouterr().err


def test_load_names():
    with pytest.raises(ValueError, match="unknown dataset 'cifar'; known are auto, mnist, fashion-mnist, cifar-10"):
        data.load("cifar")


def test_import_is_light():
    code = (
        "import sys, minigrad.data\n"
        "print(*{'pooch', 'sklearn', 'tqdm', 'requests', 'scipy', 'urllib.request'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""


# --- ArrayDataset ---


def numbered(n=10, **options):
    return data.ArrayDataset(np.arange(2 * n, dtype=np.float32).reshape(n, 2), np.arange(n), **options)


def test_array_dataset_indexing():
    dataset = numbered()
    assert len(dataset) == 10
    x, y = dataset[3]
    assert x.tolist() == [6, 7] and y == 3 and y.ndim == 0
    assert dataset[-1][1] == 9 and dataset[np.int64(2)][1] == 2
    assert dataset[2:8:3][1].tolist() == [2, 5]
    assert dataset[[5, 1, 1]][1].tolist() == [5, 1, 1]
    assert dataset[np.array([4, -1])][0].tolist() == [[8, 9], [18, 19]]
    assert dataset[dataset.y > 7][1].tolist() == [8, 9]
    assert dataset[[]][0].shape == (0, 2)
    assert np.shares_memory(dataset[2:4][0], dataset.x)
    assert [int(y) for _, y in dataset] == list(range(10))


@pytest.mark.parametrize("index", [10, -11, np.array([10]), np.ones(9, bool), np.array([0.5])])
def test_array_dataset_index_out_of_range(index):
    with pytest.raises(IndexError):
        numbered()[index]


@pytest.mark.parametrize("index", [(0, 1), 1.0, None, "x", np.zeros((2, 2), int)])
def test_array_dataset_index_of_the_wrong_type(index):
    with pytest.raises(TypeError, match="index with an integer"):
        numbered()[index]


def test_array_dataset_transform_sees_batches_and_spares_y():
    seen = []
    dataset = numbered(transform=lambda x: seen.append(x.shape) or x * 10)
    assert dataset[1][0].tolist() == [20, 30] and dataset[1:3][1].tolist() == [1, 2]
    assert seen == [(1, 2), (2, 2)]
    assert dataset.x[1].tolist() == [2, 3]


def test_array_dataset_refuses():
    with pytest.raises(ValueError, match=r"same first dimension, got shapes \[\(3,\), \(4,\)\]"):
        data.ArrayDataset(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="same first dimension"):
        data.ArrayDataset(np.float32(1))
    with pytest.raises(ValueError, match="at least one"):
        data.ArrayDataset()
    with pytest.raises(AttributeError, match="no y"):
        _ = data.ArrayDataset(np.zeros(3)).y


def test_array_dataset_repr_and_subset():
    dataset = numbered(classes="ab", name="pairs")
    assert repr(dataset) == "pairs(float32 (10, 2), int64 (10,))"
    part = dataset.subset([1, 3])
    assert part.y.tolist() == [1, 3] and part.classes == ("a", "b") and part.name == "pairs"


def test_random_split():
    parts = data.random_split(numbered(), [0.65, 0.35], np.random.default_rng(0))
    assert [len(part) for part in parts] == [7, 3]
    assert sorted(np.concatenate([part.y for part in parts])) == list(range(10))
    again = data.random_split(numbered(), [7, 3], np.random.default_rng(0))
    assert [part.y.tolist() for part in parts] == [part.y.tolist() for part in again]
    assert parts[0].y.tolist() != sorted(parts[0].y)
    assert [len(part) for part in data.random_split(numbered(1), [1])] == [1]


@pytest.mark.parametrize("lengths", [[5, 4], [0.5, 0.4], [5.5, 4.5], [11, -1], [1.5, -0.5]])
def test_random_split_refuses(lengths):
    with pytest.raises(ValueError, match="adding up to 10"):
        data.random_split(numbered(), lengths)


# --- toy sets ---

TOYS = [data.xor, data.spiral, data.moons, data.circles, data.blobs]


@pytest.mark.parametrize("make", TOYS)
def test_toy_sets(make):
    made = make(60, seed=3)
    assert made.x.shape == (60, 2) and made.x.dtype == np.float32 and made.y.dtype == np.int64
    counts = np.bincount(made.y)
    assert len(counts) == len(made.classes) and set(counts) == {60 // len(counts)}
    np.testing.assert_array_equal(made.x, make(60, generator=np.random.default_rng(3)).x)
    assert not np.array_equal(made.x, make(60, seed=4).x)
    manual_seed(5)
    first = make(60)
    assert not np.array_equal(first.x, make(60).x)
    manual_seed(5)
    np.testing.assert_array_equal(first.x, make(60).x)
    assert len(make(7)) == 7 and len(make(1)) == 1


@pytest.mark.parametrize("make", TOYS)
def test_toy_sets_refuse(make):
    with pytest.raises(ValueError, match="n and classes must be positive"):
        make(0)
    with pytest.raises(ValueError, match="noise"):
        make(noise=-0.1)
    with pytest.raises(ValueError, match="seed or generator, not both"):
        make(seed=0, generator=np.random.default_rng(0))


def test_toy_sets_formulas():
    table = data.xor(4, noise=0)
    assert table.x.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]] and table.y.tolist() == [0, 1, 1, 0]

    arms = data.spiral(12, classes=4, noise=0)
    np.testing.assert_allclose(np.hypot(*arms.x.T), np.repeat([1 / 3, 2 / 3, 1], 4), rtol=1e-6)
    np.testing.assert_allclose(arms.x[-1], [np.sin(1.5 * np.pi + 4), np.cos(1.5 * np.pi + 4)], rtol=1e-6)

    moons = data.moons(6, noise=0)
    np.testing.assert_allclose(moons.x[::2], [[1, 0], [0, 1], [-1, 0]], atol=1e-7)
    np.testing.assert_allclose(moons.x[1::2], [[0, 0.5], [1, -0.5], [2, 0.5]], atol=1e-7)

    rings = data.circles(8, noise=0, factor=0.25)
    np.testing.assert_allclose(np.hypot(*rings.x.T), np.where(rings.y, 0.25, 1), rtol=1e-6)
    np.testing.assert_allclose(rings.x[::2], [[1, 0], [0, 1], [-1, 0], [0, -1]], atol=1e-7)

    np.testing.assert_allclose(data.blobs(4, classes=4, noise=0).x, [[4, 0], [0, 4], [-4, 0], [0, -4]], atol=1e-6)


def test_toy_noise_is_its_standard_deviation():
    for make in (data.xor, data.moons, data.circles, data.blobs):
        residual = make(20_000, noise=0.3, seed=0).x - make(20_000, noise=0, seed=0).x
        np.testing.assert_allclose(residual.std(axis=0), 0.3, rtol=0.03)


@pytest.mark.parametrize("order", ["C", "F", "reversed", "swapped"])
@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.uint64])
def test_rows_by_number_in_whatever_way_they_lie(order, dtype):
    x = np.arange(60.0).reshape(10, 2, 3)
    held = {"C": x, "F": np.asfortranarray(x), "reversed": x[::-1].copy()[::-1], "swapped": x.astype(">f8")}[order]
    rows = np.array([7, 0, 7, 3], dtype) if dtype == np.uint64 else np.array([7, 0, 7, -7], dtype)
    (found,) = data.ArrayDataset(held)[rows]
    assert found.tolist() == [x[i].tolist() for i in (7, 0, 7, 3)] and found.dtype == held.dtype
    assert not np.shares_memory(found, held)
    with pytest.raises(IndexError):
        data.ArrayDataset(held)[np.array([10], dtype)]


def test_windows_are_not_all_copied_for_a_few():
    text = data.CharText("ab" * 50_000, 64)
    tracemalloc.start()
    try:
        text[np.array([0, 99, 5])]
        assert tracemalloc.get_traced_memory()[1] < 100_000  # all would be 50 MB
    finally:
        tracemalloc.stop()


# --- DataLoader ---


def labels(loader):
    return [batch[-1].data.tolist() for batch in loader]


@pytest.mark.parametrize(
    ("batch_size", "drop_last", "sizes"),
    [
        (1, False, [1] * 10),
        (3, False, [3, 3, 3, 1]),
        (3, True, [3, 3, 3]),
        (5, True, [5, 5]),
        (10, True, [10]),
        (99, False, [10]),
        (99, True, [10]),
        (None, True, [10]),
        (np.int64(4), False, [4, 4, 2]),
    ],
)
@pytest.mark.parametrize("shuffle", [False, True])
def test_loader_batches(batch_size, drop_last, sizes, shuffle):
    loader = data.DataLoader(numbered(), batch_size, shuffle, drop_last)
    batches = labels(loader)
    assert [len(batch) for batch in batches] == sizes and len(loader) == len(sizes)
    seen = list(itertools.chain(*batches))
    assert len(set(seen)) == len(seen) == sum(sizes)
    if not shuffle:
        assert seen == list(range(sum(sizes)))


@given(n=st.integers(1, 40), batch_size=st.integers(1, 50), drop_last=st.booleans(), seed=st.integers(0, 9))
def test_loader_length_and_rows_agree(n, batch_size, drop_last, seed):
    loader = data.DataLoader(numbered(n), batch_size, True, drop_last, np.random.default_rng(seed))
    batches = [(x.data, y.data) for x, y in loader]
    assert len(batches) == len(loader) >= 1
    for x, y in batches:
        np.testing.assert_array_equal(x[:, 0], 2 * y)
    if not drop_last:
        assert sorted(np.concatenate([y for _, y in batches])) == list(range(n))


def test_loader_yields_tensors_of_the_datasets_dtypes():
    x, y = next(iter(data.DataLoader(numbered(), 4)))
    assert isinstance(x, Tensor) and isinstance(y, Tensor)
    assert x.data.dtype == np.float32 and y.data.dtype == np.int64 and x.shape == (4, 2) and y.shape == (4,)
    assert not x.requires_grad


def test_loader_copies_only_when_shuffling():
    dataset = numbered()
    assert all(np.shares_memory(x.data, dataset.x) for x, _ in data.DataLoader(dataset, 3))
    assert not any(np.shares_memory(x.data, dataset.x) for x, _ in data.DataLoader(dataset, 3, shuffle=True))


def test_loader_seeds():
    loader = data.DataLoader(numbered(30), 7, shuffle=True, generator=np.random.default_rng(1))
    first, second = labels(loader), labels(loader)
    assert first != second
    again = data.DataLoader(numbered(30), 7, shuffle=True, generator=np.random.default_rng(1))
    assert [labels(again), labels(again)] == [first, second]

    default = data.DataLoader(numbered(30), 7, shuffle=True)
    manual_seed(2)
    epochs = labels(default), labels(default)
    manual_seed(2)
    assert (labels(default), labels(default)) == epochs and epochs[0] != epochs[1]


def test_loader_draws_once_at_the_start_of_an_iteration():
    generator = np.random.default_rng(0)
    order = np.random.default_rng(0).permutation(10).tolist()
    iterator = iter(data.DataLoader(numbered(), 4, shuffle=True, generator=generator))
    state = generator.bit_generator.state
    assert list(itertools.chain(*labels(iterator))) == order
    assert generator.bit_generator.state == state


def test_loader_iterations_are_independent_and_may_stop_early():
    loader = data.DataLoader(numbered(), 4, shuffle=True)
    threads = threading.active_count()
    for _ in loader:
        break
    assert threading.active_count() == threads
    pairs = [(a.data, b.data) for (_, a), (_, b) in zip(loader, loader)]
    for epoch in zip(*pairs):
        assert sorted(np.concatenate(epoch)) == list(range(10))


def test_loader_takes_arrays_and_other_datasets():
    x, y = np.arange(6.0), np.arange(6)
    assert labels(data.DataLoader((x, y), 4)) == labels(data.DataLoader([x, y], 4)) == [[0, 1, 2, 3], [4, 5]]
    (only,) = next(iter(data.DataLoader(x, None)))
    assert only.data.tolist() == x.tolist()

    class Squares:
        def __len__(self):
            return 5

        def __getitem__(self, index):
            numbers = np.arange(5)[index]
            return numbers, numbers**2

    assert labels(data.DataLoader(Squares(), 3)) == [[0, 1, 4], [9, 16]]


def test_loader_transform_follows_the_datasets():
    loader = data.DataLoader(numbered(transform=lambda x: x + 1), 5, transform=lambda x: x * 10)
    x, y = next(iter(loader))
    assert x.data[:2].tolist() == [[10, 20], [30, 40]] and y.data.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("batch_size", "error"), [(0, ValueError), (-3, ValueError), (True, ValueError), (2.0, TypeError), ("2", TypeError)]
)
def test_loader_refuses_batch_size(batch_size, error):
    with pytest.raises(error, match=f"batch_size must be a positive integer, or None.* got {batch_size!r}"):
        data.DataLoader(numbered(), batch_size)


def test_loader_refuses_datasets_and_generators():
    with pytest.raises(ValueError, match=r"empty: mine\(float32 \(0, 2\)"):
        data.DataLoader(numbered(0, name="mine"))
    with pytest.raises(TypeError, match="tuple of arrays, got int"):
        data.DataLoader(3)
    with pytest.raises(TypeError, match="default_rng"):
        data.DataLoader(numbered(), generator=0)


def test_loader_sampler_decides():
    loader = data.DataLoader(numbered(), 2, sampler=[9, 0, 0, 3, 7])
    assert labels(loader) == [[9, 0], [0, 3], [7]] and len(loader) == 3
    assert labels(data.DataLoader(numbered(), 2, drop_last=True, sampler=range(5))) == [[0, 1], [2, 3]]
    assert labels(data.DataLoader(numbered(), None, sampler=range(3, 7))) == [[3, 4, 5, 6]]
    for sampler, message in ((iter([1]), "needs a length"), ([], "needs a length"),
                             ([0, 10], r"in 0\.\.9; got 2 in 0\.\.10")):
        with pytest.raises(ValueError, match=message):
            labels(data.DataLoader(numbered(), 2, sampler=sampler))
    with pytest.raises(ValueError, match="no shuffle beside it"):
        data.DataLoader(numbered(), 2, shuffle=True, sampler=[1])


def test_weighted_sampler():
    weights = np.array([1, 0, 3, 6])
    sampler = data.WeightedSampler(weights, 20_000, generator=np.random.default_rng(0))
    assert len(sampler) == 20_000
    np.testing.assert_allclose(np.bincount(list(sampler), minlength=4) / 20_000, weights / 10, atol=0.02)
    assert list(sampler) != list(sampler)
    assert sorted(data.WeightedSampler(weights, 3, replace=False)) == [0, 2, 3]
    manual_seed(4)
    first = list(data.WeightedSampler(weights, 9))
    manual_seed(4)
    assert list(data.WeightedSampler(weights, 9)) == first
    y = np.array([0] * 90 + [1] * 10)
    loader = data.DataLoader((y, y), 1000, sampler=data.WeightedSampler(1 / np.bincount(y)[y], 1000))
    assert 400 < sum(map(sum, labels(loader))) < 600
    for arguments, message in ((([1, -1], 2), "not negative"), (([0, 0], 2), "one positive"),
                               (([[1.0]], 1), r"\(1, 1\)"), (([1, 0], 2, False), "cannot draw 2 of 1 rows"),
                               (([1], 0), "cannot draw 0")):
        with pytest.raises(ValueError, match=message):
            data.WeightedSampler(*arguments)


# --- DataLoader(prefetch=...) ---


class Jitter:
    """Adds noise, and remembers how often."""

    def __init__(self, generator=None):
        self.generator, self.calls = generator, 0

    def __call__(self, x):
        self.calls += 1
        return x + self.generator.standard_normal(x.shape) * self.calls


def own(kind=np.random.PCG64):
    return np.random.Generator(kind(5))


def shared():
    generator = own()
    return data.Compose([data.AddNoise(1.0, generator), lambda x: x * 3, data.AddNoise(0.5, generator)])


CHANCES = {
    "none": lambda: None,
    "function": lambda: lambda x: x * 2,
    "own": lambda: data.AddNoise(1.0, own()),
    "Mersenne": lambda: data.AddNoise(1.0, own(np.random.MT19937)),
    "default": lambda: data.AddNoise(1.0),
    "nested": lambda: data.Compose([data.AddNoise(1.0, own()), data.Compose([lambda x: x + 1, data.AddNoise(0.1)])]),
    "shared": shared,
}


def epochs(prefetch, transform, inside=None, draw=False, stop=3, **options):
    """The bytes of two and a half epochs, the second left after ``stop`` batches, and what is drawn afterwards."""
    manual_seed(3)
    dataset = numbered(23, transform=inside)
    loader = data.DataLoader(dataset, 4, transform=transform, prefetch=prefetch, **options)
    found = []
    for last in (None, stop, None):
        for i, batch in enumerate(loader, 1):
            found += [(t.data.tobytes(), t.dtype, t.data.flags.writeable) for t in batch]
            if draw:
                found.append(default_generator().random())
            if i == last:
                break
        found.append(default_generator().bit_generator.state["state"])
    found.append(str([g.bit_generator.state for g in (getattr(transform, "generator", None),) if g]))
    return found, getattr(transform, "calls", None)


@pytest.mark.parametrize("chance", CHANCES)
@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"shuffle": True, "drop_last": True},
                                     {"sampler": range(20, 1, -1)}], ids=str)
@pytest.mark.parametrize("prefetch", [1, 3, 50])
def test_prefetch_changes_no_bit(chance, options, prefetch):
    (expected, _), (found, _) = (epochs(n, CHANCES[chance](), CHANCES["own"](), **options) for n in (0, prefetch))
    assert found == expected


@pytest.mark.parametrize("make", [lambda: None, lambda: data.AddNoise(1.0, own()), lambda: Jitter(own())],
                         ids=["none", "own", "state"])
def test_prefetch_is_not_disturbed_by_who_draws_from_the_default_generator(make):
    (expected, calls), (found, ahead) = (epochs(n, make(), draw=True, stop=None, shuffle=True) for n in (0, 2))
    assert found == expected and ahead == calls  # and what a transform remembers is its own, not a copy's


@pytest.mark.parametrize("chance", ["default", "nested"])
def test_prefetch_ends_where_others_draw_from_the_same_generator(chance):
    expected, _ = epochs(0, CHANCES[chance](), draw=True, shuffle=True)
    with pytest.warns(RuntimeWarning, match=r"something else draws.*generator=np\.random") as caught:
        found, _ = epochs(2, CHANCES[chance](), draw=True, shuffle=True)
    assert found == expected and len(caught) == 3 and {w.filename for w in caught} == {__file__}


def test_prefetch_notices_a_new_seed_and_a_new_generator():
    def run(prefetch, reseed):
        manual_seed(1)
        transform = data.AddNoise(1.0)
        loader, found = data.DataLoader(numbered(), 2, transform=transform, prefetch=prefetch), []
        for i, (x, _) in enumerate(loader):
            found.append(x.data.tobytes())
            if i == 1:
                reseed(transform)
        return found

    for reseed in (lambda t: manual_seed(7), lambda t: setattr(t, "generator", own())):
        expected = run(0, reseed)
        with pytest.warns(RuntimeWarning, match="prefetch ends"):
            assert run(2, reseed) == expected


def test_prefetch_of_several_iterations_at_once():
    def run(prefetch, transform, generator=None):
        loader = data.DataLoader(numbered(), 3, True, generator=own(), transform=transform, prefetch=prefetch)
        return [(a.data.tobytes(), b.data.tobytes()) for (a, _), (b, _) in zip(loader, loader)]

    assert run(2, None) == run(0, None)
    expected = run(0, data.AddNoise(1.0, own()))
    with pytest.warns(RuntimeWarning, match="prefetch ends"):
        assert run(2, data.AddNoise(1.0, own())) == expected


class Watched:
    """Twelve rows; says what it prepares, and how many of its batches exist at once."""

    def __init__(self, fail=None):
        self.fail, self.alive, self.most, self.prepared = fail, 0, 0, [threading.Event() for _ in range(12)]
        self.lock = threading.Lock()

    def __len__(self):
        return 12

    def __getitem__(self, rows):
        i = rows.start
        if self.fail == i:
            self.explode(i)
        batch = np.full((1, 3), i)
        with self.lock:
            self.alive += 1
            self.most = max(self.most, self.alive)
        weakref.finalize(batch, self.gone)
        self.prepared[i].set()
        return (batch,)

    def gone(self):
        with self.lock:
            self.alive -= 1

    def explode(self, i):
        raise OSError(f"row {i}")


def ended(threads):
    """Whether the threads that were not there before come to an end."""
    for thread in set(threading.enumerate()) - threads:
        thread.join(10)
    return set(threading.enumerate()) <= threads


@pytest.mark.parametrize("prefetch", [1, 3])
def test_prefetch_prepares_so_many_batches_and_no_more(prefetch):
    dataset, threads = Watched(), set(threading.enumerate())
    for i, _ in enumerate(data.DataLoader(dataset, 1, prefetch=prefetch)):
        if i + prefetch < 12:
            assert dataset.prepared[i + prefetch].wait(10), "while the loop holds batch i"
        assert not any(event.is_set() for event in dataset.prepared[i + prefetch + 1:])
    assert i == 11 and dataset.most <= prefetch + 2
    assert set(threading.enumerate()) <= threads, "an epoch that ends takes its thread along"


@pytest.mark.parametrize("fail", [0, 1, 5, 11])
def test_prefetch_raises_where_the_batch_would_have_come(fail):
    threads, seen, iterator = set(threading.enumerate()), [], iter(data.DataLoader(Watched(fail), 1, prefetch=3))
    with pytest.raises(OSError, match=f"row {fail}") as caught:
        for (x,) in iterator:
            seen.append(int(x.data[0, 0]))
    assert seen == list(range(fail)) and "explode" in [entry.name for entry in caught.traceback]
    assert list(iterator) == [] and ended(threads)


def test_prefetch_leaves_generators_where_an_error_left_them():
    def run(prefetch):
        generator = own()

        def fail(x):
            if x[0, 0] > 20:
                raise ArithmeticError
            return x

        transform = data.Compose([data.AddNoise(0.01, generator), fail])
        with pytest.raises(ArithmeticError):
            list(data.DataLoader(numbered(20), 3, transform=transform, prefetch=prefetch))
        return generator.bit_generator.state

    assert run(2) == run(0)


def test_prefetch_leaves_no_thread_behind():
    threads, loader = set(threading.enumerate()), data.DataLoader(Watched(), 1, prefetch=2)
    iter(loader)
    assert set(threading.enumerate()) <= threads, "nothing begins before the first batch is asked for"
    for _ in loader:
        break
    assert ended(threads)
    iterator = iter(loader)
    next(iterator)
    iterator.close()
    assert ended(threads)
    circle = [iter(loader)]
    circle.append(circle)
    next(circle[0])
    del circle
    gc.collect()
    assert ended(threads)


def test_prefetch_takes_numpys_and_our_modes_along():
    recording = []

    def invert(x):
        recording.append(is_grad_enabled())
        return 1 / x

    x = np.array([4.0, 2.0, 0.0, 1.0])
    loader = data.DataLoader(x, 1, transform=invert, prefetch=1)
    with np.errstate(divide="ignore"), no_grad():
        assert [batch[0].data.item() for batch in loader] == [0.25, 0.5, np.inf, 1]
    assert recording == [False] * 4
    seen = []
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        seen.extend(batch[0].data.item() for batch in loader)
    with pytest.raises(RuntimeWarning, match="divide by zero"):  # these tests make errors of warnings
        seen.extend(batch[0].data.item() for batch in loader)
    assert seen == [0.25, 0.5] * 2 and recording[4:] == [True] * len(recording[4:])


def test_prefetch_refuses_what_it_cannot_foresee():
    for prefetch, error in ((-1, ValueError), (True, ValueError), (1.5, TypeError), (None, TypeError)):
        with pytest.raises(error, match=rf"prefetch must be an integer from 0 on, got {prefetch}"):
            data.DataLoader(numbered(), prefetch=prefetch)

    def secretly(x):
        return x + default_generator().random()

    with pytest.raises(ValueError, match=r"needs its generator as the attribute `generator`"):
        list(data.DataLoader(numbered(), transform=secretly, prefetch=1))
    secretly.generator = None
    with pytest.raises(ValueError, match=r"must be an object that copy\.copy copies, unlike <function"):
        list(data.DataLoader(numbered(), transform=secretly, prefetch=1))


def test_prefetch_in_a_training_that_is_interrupted_and_resumed(tmp_path):
    x = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)
    y = np.arange(40) % 3

    def run(prefetch, at=None, **options):
        manual_seed(1)
        model = nn.Sequential(nn.Dense(6, 8), nn.Dropout(0.3), nn.Dense(8, 3))
        loader = data.DataLoader((x, y), 8, shuffle=True, transform=data.AddNoise(0.1, own()), prefetch=prefetch)
        steps = itertools.count(1)

        def loss(output, y):
            if next(steps) == at:
                os.kill(os.getpid(), signal.SIGINT)
            return cross_entropy(output, y)

        history = train.fit(model, loader, optim.Adam(model.parameters()), loss, epochs=3, progress=False, **options)
        return history.interrupted, [p.data.tobytes() for p in model.parameters()]

    whole = run(0)
    assert run(2) == whole
    assert run(2, at=8, checkpoint=tmp_path)[0]
    assert run(2, resume=tmp_path)[1] == whole[1]


# --- transforms ---


def test_compose_applies_left_to_right():
    assert data.Compose([lambda x: x + 1, lambda x: x * 2])(np.array([1, 2])).tolist() == [4, 6]


def test_to_float():
    x = data.ToFloat()(np.array([[0, 51, 255]], np.uint8))
    assert x.dtype == np.float32 and x.tolist() == [[0, np.float32(0.2), 1]]
    assert data.ToFloat(16)(np.array([8.0])).dtype == np.float32
    with pytest.raises(ValueError, match="not zero"):
        data.ToFloat(0)


def test_normalize_number_and_channels():
    x = np.array([[[[1, 3]], [[10, 30]]]], np.float32)
    np.testing.assert_array_equal(data.Normalize(1, 2)(x), [[[[0, 1]], [[4.5, 14.5]]]])
    y = data.Normalize([1, 10], [2, 20])(x)
    np.testing.assert_array_equal(y, [[[[0, 1]], [[0, 1]]]])
    assert y.dtype == np.float32 and x[0, 0, 0, 0] == 1
    assert data.Normalize((1, 2), (1, 1))(np.array([[1.0, 1.0]])).tolist() == [[0, -1]]
    assert data.Normalize(1, 2)(np.array([3, 5])).dtype == np.float32


def test_normalize_refuses():
    with pytest.raises(ValueError, match="std must be positive"):
        data.Normalize(0, [1, 0])
    with pytest.raises(ValueError, match="a number or a list"):
        data.Normalize([[1]], 1)
    with pytest.raises(ValueError, match=r"mean has 3 values.*\(2, 1, 4, 4\)"):
        data.Normalize([1, 2, 3], 1)(np.zeros((2, 1, 4, 4)))


def test_flatten():
    assert data.Flatten()(np.arange(24).reshape(2, 3, 2, 2))[1].tolist() == list(range(12, 24))
    assert data.Flatten()(np.zeros((0, 3, 4))).shape == (0, 12) and data.Flatten()(np.zeros(5)).shape == (5, 1)


def test_one_hot():
    rows = data.OneHot(3)(np.array([2, 0]))
    assert rows.dtype == np.float32 and rows.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert data.OneHot(4)(np.zeros((2, 3), np.uint8)).shape == (2, 3, 4)
    for bad in ([3], [-1]):
        with pytest.raises(ValueError, match=r"0\.\.2, got"):
            data.OneHot(3)(np.array(bad))
    with pytest.raises(TypeError, match="float64"):
        data.OneHot(3)(np.array([1.0]))


def shifted(image, down, right, fill):
    moved = np.full_like(image, fill)
    h, w = image.shape
    for i in range(h):
        for j in range(w):
            if 0 <= i + down < h and 0 <= j + right < w:
                moved[i + down, j + right] = image[i, j]
    return moved


def test_random_translate_against_loops():
    x = np.arange(1, 1 + 50 * 2 * 4 * 5, dtype=np.float32).reshape(50, 2, 4, 5)
    moved = data.RandomTranslate(1, fill=-1, generator=np.random.default_rng(0))(x)
    assert moved.shape == x.shape and moved.dtype == np.float32
    shifts = list(itertools.product((-1, 0, 1), repeat=2))
    found = [
        [s for s in shifts if all(np.array_equal(shifted(channel, *s, -1), got) for channel, got in zip(image, after))]
        for image, after in zip(x, moved)
    ]
    assert all(len(matches) == 1 for matches in found)  # both channels of an image move together
    assert {matches[0] for matches in found} == set(shifts)


def test_random_translate_seed_zero_and_errors():
    x = np.random.default_rng(0).random((3, 1, 5, 5))
    np.testing.assert_array_equal(data.RandomTranslate(0)(x), x)
    manual_seed(1)
    first = data.RandomTranslate(2)(x)
    manual_seed(1)
    np.testing.assert_array_equal(first, data.RandomTranslate(2)(x))
    with pytest.raises(ValueError, match=r"\(N, C, H, W\), got shape \(3, 25\)"):
        data.RandomTranslate(1)(x.reshape(3, 25))
    with pytest.raises(ValueError, match="negative"):
        data.RandomTranslate(-1)


def test_add_noise():
    x = np.ones((100, 50), np.float32)
    noisy = data.AddNoise(0.5, np.random.default_rng(0))(x)
    expected = 1 + 0.5 * np.random.default_rng(0).standard_normal((100, 50))
    assert noisy.dtype == np.float32 and (x == 1).all()
    np.testing.assert_allclose(noisy, expected, rtol=1e-6)
    assert data.AddNoise(0.1)(np.array([1, 2])).dtype == np.float32
    with pytest.raises(ValueError, match="negative"):
        data.AddNoise(-1)


# --- scalers ---

FEATURE = np.array(
    [-81.977837, -78.493732, 51.682415, 45.883654, 15.080874, 90.150390, 57.606259, 64.846291, -5.383149, 130.638733]
    + [108.228715]
)
MIN_MAX = [0.000000, 0.016387, 0.628645, 0.601371, 0.456496, 0.809571, 0.656506, 0.690558, 0.360248, 1.000000, 0.894599]
STANDARD = [
    -1.707156, -1.656828, 0.223561, 0.139798, -0.305147, 0.779229, 0.309130, 0.413712, -0.600749, 1.364081, 1.040369
]  # fmt: skip


def test_scalers_against_a_recorded_table():
    np.testing.assert_allclose(data.MinMaxScaler().fit_transform(FEATURE), MIN_MAX, atol=5e-7)
    np.testing.assert_allclose(data.StandardScaler(ddof=1).fit_transform(FEATURE), STANDARD, atol=5e-7)
    population = data.StandardScaler().fit_transform(FEATURE)
    np.testing.assert_allclose(population, np.array(STANDARD) * np.sqrt(11 / 10), atol=1e-6)
    assert population.dtype == np.float64


def test_scalers_by_hand():
    x = np.array([[1, 5], [3, 5]], np.float32)
    standard = data.StandardScaler().fit(x)
    assert standard.offset_.tolist() == [2, 5] and standard.scale_.tolist() == [1, 1]
    assert standard(x).tolist() == [[-1, 0], [1, 0]] and standard(x).dtype == np.float32
    assert data.MinMaxScaler((-1, 1)).fit(x)(np.array([[2, 5], [5, 6]])).tolist() == [[0, -1], [3, 1]]


@pytest.mark.parametrize("scaler", [data.StandardScaler(1), data.MinMaxScaler(), data.MinMaxScaler((-3, 2.5))])
@pytest.mark.parametrize("shape", [(7,), (7, 3), (7, 1, 4, 4)])
def test_scalers_invert(scaler, shape):
    x = np.random.default_rng(0).normal(5, 20, shape)
    np.testing.assert_allclose(scaler.inverse_transform(scaler.fit_transform(x)), x, rtol=1e-12)
    small = x.astype(np.float32)
    assert scaler.inverse_transform(scaler.transform(small)).dtype == np.float32


@pytest.mark.parametrize("scaler", [data.StandardScaler(), data.MinMaxScaler()])
def test_scalers_keep_constant_features_finite(scaler):
    x = np.full((3, 2), 0.1)
    assert x.mean(axis=0)[0] != 0.1  # rounding: the case that would be scaled up to +-1
    assert scaler.fit_transform(x).tolist() == [[0, 0]] * 3
    np.testing.assert_array_equal(scaler.inverse_transform(scaler(x)), x)


@pytest.mark.parametrize("make", [data.StandardScaler, data.MinMaxScaler])
def test_scalers_refuse(make):
    with pytest.raises(RuntimeError, match=r"call fit\(x\) first"):
        make().transform(FEATURE)
    with pytest.raises(ValueError, match=r"features of shape \(2,\), got \(3,\)"):
        make().fit(np.zeros((4, 2))).transform(np.zeros((4, 3)))
    with pytest.raises(ValueError, match="NaN or infinity"):
        make().fit(np.array([1, np.nan]))
    with pytest.raises(ValueError, match="at least one row"):
        make().fit(np.zeros((0, 2)))


def test_scaler_arguments():
    with pytest.raises(ValueError, match="more than 1 rows, got 1"):
        data.StandardScaler(ddof=1).fit(np.ones((1, 2)))
    with pytest.raises(ValueError, match="low < high"):
        data.MinMaxScaler((1, 1))


def test_writing_to_an_unshuffled_batch_does_not_change_the_data():
    x = np.zeros((4, 2), np.float32)
    batch, _ = next(iter(data.DataLoader((x, np.zeros(4, np.int64)), batch_size=2)))
    with pytest.raises(ValueError, match="read-only"):
        batch += 1
    assert not x.any() and batch.data.base is not None


def test_prefetch_refuses_what_it_cannot_stand_in_for():
    class Rebinds:
        def __init__(self):
            self.generator = np.random.default_rng(0)

        def __call__(self, x):
            self.generator = np.random.default_rng(1)
            return x

    class Keyed:
        def __init_subclass__(cls, *, key):
            pass

    class Unkeyed(Keyed, key=1):
        def __init__(self):
            self.generator = np.random.default_rng(0)

        def __call__(self, x):
            return x
    for transform, told in ((Rebinds(), "Rebinds must keep the generator"),
                            (Unkeyed(), r"cannot stand in for .*Unkeyed")):
        with pytest.raises(ValueError, match=told):
            next(iter(data.DataLoader(np.zeros((8, 2), np.float32), 2, transform=transform, prefetch=1)))
