"""minigrad.checkpoint: what is saved comes back to the bit, and what is not a model is said to be none."""

import inspect
import json
import struct
import threading

import numpy as np
import pytest

import minigrad
from minigrad import checkpoint, functional, models, nn, optim
from minigrad.checkpoint import ModelFileError

SUFFIXES = pytest.mark.parametrize("suffix", checkpoint.SUFFIXES)
RNG = np.random.default_rng(0)
X, Y = minigrad.Tensor(RNG.standard_normal((16, 8)).astype(np.float32)), RNG.integers(0, 3, 16)


def small(seed=0):
    minigrad.manual_seed(seed)
    return nn.Sequential(nn.Dense(8, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dense(6, 3))


def steps(model, optimizer, count):
    for _ in range(count):
        optimizer.zero_grad()
        functional.cross_entropy(model(X), Y).backward()
        optimizer.step()


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], strict=True)


@SUFFIXES
def test_weights_buffers_and_metadata_come_back(tmp_path, suffix):
    model = small()
    steps(model, optim.SGD(model.parameters(), 0.1), 2)
    note = {"words": "ünïcode \"quoted\"", "pair": (1, 2.5), "deep": {"n": None, "yes": True}, 7: "integer key"}
    path = checkpoint.save(tmp_path / f"new/folder/m{suffix}", model, metadata={"note": note, "array": np.arange(3)})
    back = checkpoint.load(path)
    assert_same(back.state, model.state_dict())
    assert back.state["1.num_batches_tracked"].shape == ()
    assert back.metadata["note"] == note
    assert back.metadata["array"].tolist() == [0, 1, 2]
    assert back.metadata["minigrad"] == minigrad.__version__
    assert back.optimizer is None
    other = small(1)
    back.restore(other)
    assert_same(other.state_dict(), model.state_dict())


@SUFFIXES
@pytest.mark.parametrize("name", [
    n for n, kind in vars(optim).items() if isinstance(kind, type) and issubclass(kind, optim.Optimizer)
    and n not in ("Optimizer", "Muon", "PolyakSGD", "MoMo", "MoMoAdam", "LBFGS")  # which want matrices, or the loss
    and not kind.needs_graph
    and "lr" in inspect.signature(kind).parameters])
def test_an_optimizer_goes_on_as_if_there_had_been_no_file(tmp_path, suffix, name):
    def start():
        model = small()
        return model, getattr(optim, name)(model.parameters(), lr=0.01)
    model, optimizer = start()
    steps(model, optimizer, 2)
    path = checkpoint.save(tmp_path / f"m{suffix}", model, optimizer)
    copy, its_optimizer = start()
    checkpoint.load(path).restore(copy, its_optimizer)
    assert repr(its_optimizer) == repr(optimizer)
    steps(model, optimizer, 2)
    steps(copy, its_optimizer, 2)
    assert_same(copy.state_dict(), model.state_dict())


@SUFFIXES
@pytest.mark.parametrize(("name", "arguments", "shape"), [
    ("mlp", {"in_features": 12, "hidden": (5, 4), "classes": 3, "dropout": 0.1}, (2, 1, 3, 4)),
    ("cnn", {"size": 8, "filters": (2, 3), "hidden": 4, "batch_norm": True}, (2, 1, 8, 8)),
    ("cnn", {"size": 28, "filters": (2, 2), "hidden": 4}, (2, 1, 28, 28))])
def test_a_file_rebuilds_its_model(tmp_path, suffix, name, arguments, shape):
    model = models.build(name, **arguments).eval()
    path = checkpoint.save(tmp_path / f"m{suffix}", model)
    copy = checkpoint.load(path).build()
    x = minigrad.Tensor(RNG.random(shape, np.float32))
    assert not copy.training
    np.testing.assert_array_equal(copy(x).data, model(x).data)


def test_dtypes_and_layouts_survive(tmp_path):
    state = {"f64": np.arange(6.0).reshape(2, 3).T, "strided": np.arange(10, dtype=np.float32)[::3],
             "big": np.arange(3, dtype=">f4"), "flag": np.array([True, False]), "i": np.array(3, np.int64),
             "empty": np.zeros((0, 2), np.float32)}
    for suffix in checkpoint.SUFFIXES:
        back = checkpoint.load(checkpoint.save(tmp_path / f"s{suffix}", state)).state
        for name, value in state.items():
            np.testing.assert_array_equal(back[name], value)
            assert back[name].dtype == value.dtype.newbyteorder("=")
            assert back[name].shape == value.shape


def test_other_programs_can_read_and_write_the_files(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    model = small()
    path = checkpoint.save(tmp_path / "m.safetensors", model, optim.Adam(model.parameters()))
    assert_same(safetensors.load_file(path), model.state_dict())
    safetensors.save_file(model.state_dict(), tmp_path / "theirs.safetensors", {"format": "pt", "n": "not {json"})
    back = checkpoint.load(tmp_path / "theirs.safetensors")
    assert back.metadata == {"format": "pt", "n": "not {json"}
    assert_same(back.state, model.state_dict())
    with pytest.raises(ModelFileError, match="does not say which"):
        back.build()


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = checkpoint.save(tmp_path / "m.npz", small())
    before = path.read_bytes()

    def full(file, **_):
        file.write(b"half")
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match=r"No space left.*m\.npz"):
        checkpoint.save(path, small(1))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.npz"]


def test_threads_that_save_to_one_path_leave_one_whole_file(tmp_path):
    path, states = tmp_path / "m.safetensors", [{"w": np.full(20_000, i, np.float32)} for i in range(8)]
    threads = [threading.Thread(target=checkpoint.save, args=(path, state)) for state in states]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(checkpoint.load(path).state["w"].tolist())) == 1
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


# ---- files that are no models ----
@SUFFIXES
def test_every_truncation_is_an_error_that_names_the_file(tmp_path, suffix):
    whole = checkpoint.save(tmp_path / f"m{suffix}", small()).read_bytes()
    path = tmp_path / f"cut{suffix}"
    for size in [*range(0, len(whole), 97), len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(ModelFileError, match=r"cut\."):
            checkpoint.load(path)
    if suffix == ".safetensors":
        with pytest.raises(ModelFileError, match="truncated"):
            checkpoint.load(path)


@SUFFIXES
@pytest.mark.parametrize("content", [b"", b"hello, this is text", b"\x89PNG\r\n" + b"\0" * 50, b"\xff" * 64,
                                     struct.pack("<Q", 2) + b"{}trailing", struct.pack("<Q", 9) + b'{"a": 12}',
                                     struct.pack("<Q", 1 << 40) + b"{}"])
def test_other_files_are_not_models(tmp_path, suffix, content):
    path = tmp_path / f"other{suffix}"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"other\."):
        checkpoint.load(path)


def test_pickles_are_not_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return pytest.fail, ("a pickle was run",)
    np.savez(tmp_path / "trap.npz", a=np.array([Trap()], object))
    with pytest.raises(ModelFileError, match="pickle"):
        checkpoint.load(tmp_path / "trap.npz")


def test_a_file_of_another_model_says_what_differs(tmp_path):
    path = checkpoint.save(tmp_path / "m.npz", small())
    with pytest.raises(ModelFileError, match=r"m\.npz: .*unexpected: 0\.weight.*shapes: 1\.weight"):
        checkpoint.load(path).restore(models.mlp(8, (6,), 3))
    path = checkpoint.save(tmp_path / "m.npz", models.mlp(8, (6,), 3))
    with pytest.raises(ModelFileError, match=r"m\.npz: .*missing: 0\.weight"):
        checkpoint.load(path).restore(small())
    path = checkpoint.save(tmp_path / "m.npz", small())
    wider = nn.Sequential(nn.Dense(9, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dense(6, 3))
    with pytest.raises(ModelFileError, match=r"0\.weight: \(8, 6\) for \(9, 6\)"):
        checkpoint.load(path).restore(wider)


def test_another_optimizers_state_is_refused(tmp_path):
    model = small()
    path = checkpoint.save(tmp_path / "m.npz", model, optim.Adam(model.parameters()))
    with pytest.raises(ModelFileError, match="state of Adam, the optimizer is SGD"):
        checkpoint.load(path).restore(model, optim.SGD(model.parameters(), 0.1))
    path = checkpoint.save(tmp_path / "m.npz", model)
    with pytest.raises(ModelFileError, match="no optimizer"):
        checkpoint.load(path).restore(model, optim.SGD(model.parameters(), 0.1))


@pytest.mark.parametrize("recipe", [{"name": "mlp", "arguments": {"hidden": "x"}}, {"name": "mlp", "arguments": 3},
                                    {"name": "os.system"}, {"name": "mlp", "arguments": {"no_such": 1}}, "mlp", None])
def test_a_recipe_that_is_none_builds_nothing(tmp_path, recipe):
    path = checkpoint.save(tmp_path / "m.npz", models.mlp(4, (2,), 3), metadata={"model": recipe})
    with pytest.raises(ModelFileError):
        checkpoint.load(path).build()


def test_what_cannot_be_saved_is_said_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"\.safetensors or \.npz"):
        checkpoint.save(tmp_path / "m.pkl", small())
    with pytest.raises(TypeError, match="metadata/why cannot be stored: set"):
        checkpoint.save(tmp_path / "m.npz", small(), metadata={"why": {1, 2}})
    with pytest.raises(ValueError, match="minigrad's own"):
        checkpoint.save(tmp_path / "m.npz", {"optimizer/x": np.zeros(1)})
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="cannot be written") as caught:
        checkpoint.save(tmp_path / "file" / "m.npz", small())
    assert str(tmp_path / "file" / "m.npz") in str(caught.value)


def test_what_is_not_there_is_not_found(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.npz"):
        checkpoint.load(tmp_path / "gone.npz")
    with pytest.raises(FileNotFoundError):
        checkpoint.load(tmp_path.with_suffix(".npz"))


def test_metadata_is_json_in_plain_sight(tmp_path):
    path = checkpoint.save(tmp_path / "m.safetensors", models.mlp(4, (2,), 3))
    raw = path.read_bytes()
    header = json.loads(raw[8:8 + struct.unpack("<Q", raw[:8])[0]])
    assert json.loads(header["__metadata__"]["model"])["arguments"]["hidden"] == [2]


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_a_flipped_byte_is_a_model_file_error_or_nothing(tmp_path, suffix):
    path, rng = tmp_path / f"m{suffix}", np.random.default_rng(0)
    model = models.mlp(in_features=4, hidden=[3], classes=2)
    checkpoint.save(path, model, optim.Adam(model.parameters()))
    whole, refused = path.read_bytes(), 0
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        path.write_bytes(damaged[:rng.integers(1, len(whole))] if rng.random() < 0.2 else damaged)
        try:
            checkpoint.load(path).build()
        except checkpoint.ModelFileError:
            refused += 1
    assert refused > 60
