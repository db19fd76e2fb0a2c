"""Files of others: what is read is what NumPy and safetensors read, and a trap is refused before it costs anything."""

from __future__ import annotations

import io
import json
import os
import struct
import tracemalloc
import warnings
import zipfile
import zlib

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from minigrad import checkpoint, formats, images, models, random
from minigrad.data import CorruptFileError, read_idx
from minigrad.formats import ModelFileError
from minigrad.train import Epoch, History


def member(array):
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def archive(path, members, how=zipfile.ZIP_STORED):
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", how) as file:
        warnings.simplefilter("ignore")  # of doubled names
        for name, content in members:
            file.writestr(name, content)
    return path


def tensors(path, header, body=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    return path


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def peak(call, error, match):
    """The most memory in use during a call that raises this error."""
    tracemalloc.start()
    try:
        with pytest.raises(error, match=match):
            call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# ---- .npz ----
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_what_numpy_writes_is_read_in_native_order(tmp_path, save):
    rng = np.random.default_rng(0)
    arrays = {"a/b": rng.random((3, 2)), "f": np.asfortranarray(rng.random((2, 3, 4), np.float32)), "n": np.int64(3),
              "big": np.arange(5, dtype=">i4"), "flag": np.array([True, False]), "none": np.zeros((0, 3)),
              "z": np.array([1 + 2j])}
    save(tmp_path / "a.npz", **arrays)
    found, text = formats.read(tmp_path / "a.npz")
    assert found.keys() == arrays.keys() and text == {}
    for name, wanted in arrays.items():
        assert_array_equal(found[name], wanted)
        assert found[name].dtype == wanted.dtype.newbyteorder("=") and found[name].flags.writeable


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    header = b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + (
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (3000000000,), }").ljust(117) + b"\n"
    squeeze, parts = zlib.compressobj(9, zlib.DEFLATED, -15), []
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("w.npy", header)
    parts += [squeeze.compress(header), squeeze.compress(bytes(10**6)), squeeze.flush()]
    packed = b"".join(parts)
    raw = bytearray(_zip_of("w.npy", packed, 3 * 10**9 + 128))
    (tmp_path / "bomb.npz").write_bytes(raw)
    load = lambda **more: lambda: checkpoint.load(tmp_path / "bomb.npz", **more)
    assert peak(load(), ModelFileError, r"bomb\.npz is .*3,000,000,128 bytes, more than max_bytes") < 10**6
    assert peak(load(max_bytes=2**40), ModelFileError, "bytes unpack to 3,000,000,128") < 10**6
    (tmp_path / "bomb.npz").write_bytes(_zip_of("w.npy", packed, 128 + 10**6))
    assert peak(load(), ModelFileError, "claims shape .3000000000,.") < 10**6
    archive(tmp_path / "zeros.npz", [("w.npy", member(np.zeros(10**6)))], zipfile.ZIP_DEFLATED)
    assert peak(lambda: checkpoint.load(tmp_path / "zeros.npz", 10**6), ModelFileError, "max_bytes=1,000,000") < 10**6
    assert not checkpoint.load(tmp_path / "zeros.npz").state["w"].any()


def _zip_of(name, packed, size):
    """An archive of one deflated member that claims to unpack to ``size`` bytes."""
    name = name.encode()
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 8, 0, 33, 0, len(packed), size, len(name), 0) + name
    central = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 8, 0, 33, 0, len(packed), size, len(name), 0, 0, 0, 0,
                          0, 0) + name
    at = len(local) + len(packed)
    return local + packed + central + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(central), at, 0)


@pytest.mark.parametrize("name", ["../x.npy", "/etc/x.npy", "a/../../x.npy", "\\x.npy", "x.txt", "folder/"])
def test_a_name_that_is_none_of_an_array_is_refused(tmp_path, name):
    with pytest.raises(ModelFileError, match="is not the name of an array"):
        formats.read(archive(tmp_path / "m.npz", [(name, member(np.ones(2)))]))
    assert [path.name for path in tmp_path.iterdir()] == ["m.npz"]


@pytest.mark.parametrize("name", ["../x", "/x", "a/..", "\\x", "a\0b"])
def test_what_would_not_be_loaded_is_not_saved(tmp_path, name):
    with pytest.raises(ValueError, match="leaves its folder"):
        checkpoint.save(tmp_path / "m.npz", {name: np.ones(2)})
    assert not list(tmp_path.iterdir())


def test_members_that_are_double_encrypted_or_packed_otherwise(tmp_path):
    one, path = member(np.ones(2)), tmp_path / "m.npz"
    with pytest.raises(ModelFileError, match="two members have one name"):
        formats.read(archive(path, [("a.npy", one), ("a.npy", member(np.zeros(2)))]))
    for how in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with pytest.raises(ModelFileError, match="another way than stored or deflated"):
            formats.read(archive(path, [("a.npy", one)], how))
    raw = bytearray(archive(path, [("a.npy", one)]).read_bytes())
    raw[raw.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(raw)
    with pytest.raises(ModelFileError, match="encrypted"):
        formats.read(path)
    raw = bytearray(archive(path, [("a.npy", one)]).read_bytes())
    raw[raw.index(np.ones(2).tobytes()) + 6] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ModelFileError, match=r"m\.npz is .*CRC"):
        formats.read(path)


def test_members_that_overlap(tmp_path):
    """Many names for the same bytes, as in Fifield 2019."""
    path, one = tmp_path / "m.npz", member(np.zeros(10**5))
    raw = archive(path, [("a.npy", one)], zipfile.ZIP_DEFLATED).read_bytes()
    at = raw.index(b"PK\1\2")
    entries = b"".join(raw[at:].split(b"PK\5\6")[0].replace(b"a.npy", f"{c}.npy".encode()) for c in "abcdefgh")
    path.write_bytes(raw[:at] + entries + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 8, 8, len(entries), at, 0))
    with pytest.raises(ModelFileError, match=r"overlap|truncated or damaged"):
        formats.read(path)


@pytest.mark.parametrize(("header", "why"), [
    ("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "pickle"),
    ("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,), }", "not numbers"),
    ("{'descr': '<M8[ns]', 'fortran_order': False, 'shape': (1,), }", "not numbers"),
    ("{'descr': '<U0', 'fortran_order': False, 'shape': (99999999999,), }", "not numbers"),
    ("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }", "claims shape"),
    ("{'descr': '<f8', 'fortran_order': False, 'shape': (True,), }", "claims shape"),
    ("{'descr': '<f8', 'fortran_order': False, 'shape': (0, 9223372036854775807, 9), }", "claims shape"),
    ("{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", "claims shape"),
    ("{'descr': '<f8', 'fortran_order': False, 'shape': (" + "1, " * 65 + "), }", "claims shape"),
    ("{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }", "at most|8 follow"),
    ("{'descr': '|u1', 'fortran_order': False, 'shape': (7,), }", "more follow"),
    ("{'descr': '<f8', 'fortran_order': False, 'shape': (1L,), }", r"m\.npz|m\.npy"),  # Python 2, of which NumPy warns
    ("{'descr': '\\<f8', 'fortran_order': False, 'shape': (1,), }", r"m\.npz|m\.npy"),
    ("(" * 5000, r"m\.npz|m\.npy"), ("[" * 20000, r"m\.npz|m\.npy"), ("", r"m\.npz|m\.npy")])
def test_what_a_header_may_not_say(tmp_path, header, why):
    text = header.encode() + b"\n"
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + bytes(8)
    (tmp_path / "m.npy").write_bytes(content)
    with pytest.raises(ModelFileError, match=why):
        formats.read(archive(tmp_path / "m.npz", [("w.npy", content)]))
    with pytest.raises(ValueError, match=why):
        formats.read_npy(tmp_path / "m.npy")


def test_truth_values_are_0_or_1(tmp_path):
    tensors(tmp_path / "m.safetensors", {"a": entry("BOOL", [2], 0, 2)}, b"\1\2")
    content = bytearray(member(np.array([True, False])))
    content[-1] = 2
    for path in (tmp_path / "m.safetensors", archive(tmp_path / "m.npz", [("a.npy", bytes(content))])):
        with pytest.raises(ModelFileError, match="neither 0 nor 1"):
            formats.read(path)


# ---- .safetensors ----
def test_bfloat16_is_read_as_float32(tmp_path):
    values = np.array([[1.5, -2.0, 0.25], [3.0, 0.0, -np.inf]], np.float32)
    high = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    path = tensors(tmp_path / "m.safetensors", {"none": entry("BF16", [0, 2], 0, 0), "w": entry("BF16", [2, 3], 0, 12)},
                   high)
    state = checkpoint.load(path).state
    assert_array_equal(state["w"], values, strict=True)
    assert state["none"].shape == (0, 2) and state["none"].dtype == np.float32


@pytest.mark.parametrize("header", [
    {"a": entry("F32", [2], 0, 4)}, {"a": entry("F32", [2], -8, 0)}, {"a": entry("F32", [2**32, 2**32], 0, 8)},
    {"a": entry("F32", [2], 0, 8), "b": entry("F32", [1], 4, 8)}, {"a": entry("F32", [2], 8, 0)},
    {"a": entry("F32", [2], 0, 2**63)}, {"a": entry("F8_E4M3", [8], 0, 8)}, {"a": entry("X", [8], 0, 8)},
    {"a": entry("F32", [1], 0, 4)}, {"__metadata__": {"a": 1}}, [], {"a": 3},
    b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "a": {"dtype": "I32", "shape": [2], "data_offsets"'
    b": [0, 8]}}", b'{"a":' * 10_000, b"\xff" * 20])
def test_what_a_header_of_safetensors_may_not_say(tmp_path, header):
    with pytest.raises(ModelFileError, match=r"m\.safetensors is"):
        formats.read(tensors(tmp_path / "m.safetensors", header, bytes(8)))


# ---- recipes ----
@pytest.mark.parametrize("recipe", [
    {"name": "mlp", "arguments": {"hidden": [10**6, 10**6]}}, {"name": "mlp", "arguments": {"hidden": [4000] * 99}},
    {"name": "mlp", "arguments": {"hidden": [10**4] * 9}},
    {"name": "mlp", "arguments": {"hidden": [0] * 10**5}}, {"name": "mlp", "arguments": {"in_features": 10**30}},
    {"name": "cnn", "arguments": {"batch_norm": 10**9}}, {"name": "cnn", "arguments": {"filters": [10**4, 10**4]}},
    {"name": "resnet", "arguments": {"blocks": 10**9}}, {"name": "resnet", "arguments": {"width": 10**5}},
    {"name": "lenet5", "arguments": {"size": 10**5}},
    {"name": "char_rnn", "arguments": {"alphabet": "ab", "layers": 10**9, "hidden": 1}}])
def test_a_recipe_cannot_ask_for_more_than_its_file_holds(tmp_path, recipe):
    path = checkpoint.save(tmp_path / "m.npz", models.mlp(4, (2,), 3), metadata={"model": recipe})
    loaded = checkpoint.load(path)
    assert peak(loaded.build, ModelFileError, r"m\.npz describes a model that cannot be built") < 2 * 10**7


@pytest.mark.parametrize("recipe", [{"name": np.zeros(2)}, {"name": ["mlp"]}, {"name": {}}, np.zeros(3), [[]]])
def test_a_recipe_without_a_name(tmp_path, recipe):
    path = checkpoint.save(tmp_path / "m.npz", models.mlp(4, (2,), 3), metadata={"model": recipe})
    with pytest.raises(ModelFileError, match="does not say which"):
        checkpoint.load(path).build()


def test_building_a_model_draws_nothing_from_the_default_generator(tmp_path):
    path = checkpoint.save(tmp_path / "m.npz", models.mlp(4, (2,), 3))
    before = random.default_generator().bit_generator.state
    checkpoint.load(path).build()
    assert random.default_generator().bit_generator.state == before


# ---- what is no file ----
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs here")
def test_a_fifo_a_device_and_a_folder_are_not_waited_for(tmp_path):
    readers = [(formats.read, ".npz"), (formats.read, ".safetensors"), (formats.read_npy, ".npy"), (read_idx, ".idx"),
               (images.read, ".png"), (images.read, ".npy"), (History.from_csv, ".csv"), (formats.read_json, ".json")]
    for i, (read, suffix) in enumerate(readers):
        fifo, folder, device = (tmp_path / f"{i}{what}{suffix}" for what in ("fifo", "folder", "device"))
        os.mkfifo(fifo)
        folder.mkdir()
        device.symlink_to("/dev/zero")
        for path in (fifo, folder, device):
            with pytest.raises(FileNotFoundError, match=rf"{path.name}: (it is a folder|this is no regular file)"):
                read(path)


# ---- text ----
@pytest.mark.parametrize(("content", "why"), [
    (b'{"a": 1, "a": 2}', "twice"), (b"[" * 10**5, "deep"), (b'{"a": NaN}', "NaN"), (b'{"a": -Infinity}', "Infinity"),
    (b'{"a": 1e999}', "1e999"), (b'{"a": ' + b"9" * 5000 + b"}", "digits"), (b'{"a": "\xff"}', "utf-8"),
    (b"[]", "list"), (b"", "Expecting"), (b" " * 2**20 + b"{}", "bytes"), (b'{"a": "\0"}', "control"),
    (b"{}\0", "Extra")])
def test_json_that_is_refused(tmp_path, content, why):
    (tmp_path / "c.json").write_bytes(content)
    with pytest.raises(ValueError, match=rf"c\.json is damaged: .*{why}"):
        formats.read_json(tmp_path / "c.json")


HEAD = "epoch,loss,accuracy,val_loss,val_accuracy,lr,seconds,images_per_second\n"


@pytest.mark.parametrize("line", [
    "1,1,,,,,1", "1,1,,,,,1,1,1", "1.5,1,,,,,1,1", "nan,1,,,,,1,1", "inf,1,,,,,1,1", "1,,,,,,1,1", ",1,,,,,1,1",
    "1,x,,,,,1,1", '1,"1,,,,,1,1', "1,\0,,,,,1,1", "1," + "1" * 200_000 + ",,,,,1,1"])
def test_a_history_that_is_none(tmp_path, line):
    path = tmp_path / "h.csv"
    path.write_text(HEAD + line + "\n")
    with pytest.raises(ValueError, match=r"h\.csv is not a history"):
        History.from_csv(path)


def test_histories_come_back_also_where_they_are_not_finite(tmp_path):
    history = History([Epoch(1, float("inf"), None, float("nan"), 0.5, None, 0.1, 1e300)])
    history.to_csv(tmp_path / "h.csv")
    assert repr(History.from_csv(tmp_path / "h.csv").records) == repr(history.records)
    (tmp_path / "h.csv").write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"h\.csv is damaged"):
        History.from_csv(tmp_path / "h.csv")
    with open(tmp_path / "h.csv", "wb") as file:
        file.truncate(2**26 + 1)
    with pytest.raises(ValueError, match=r"more than 67,108,864 bytes are no history"):
        History.from_csv(tmp_path / "h.csv")


# ---- pictures ----
def test_pictures_that_are_traps(tmp_path):
    Image = pytest.importorskip("PIL.Image")

    def png(width, height, body=b""):
        chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(
            ">I", zlib.crc32(kind + data))
        header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")
    path = tmp_path / "p.png"
    for size in ((10_000, 10_000), (100_000, 100_000), (2**31 - 1, 2**31 - 1), (0, 5)):
        path.write_bytes(png(*size))
        assert peak(lambda: images.read(path), ValueError, r"p\.png is not an image") < 4 * 10**6
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    with pytest.raises(ValueError, match="cannot identify"):
        images.read(path)  # Pillow would have Ghostscript run it
    Image.fromarray(np.zeros((50, 50), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"p\.png is not an image"):
        images.read(path)


def test_a_large_picture_is_the_same_strip_by_strip(tmp_path):
    Image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 255, (1500, 1400, 4), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "p.png", compress_level=0)
    alpha = pixels[..., 3:] / 255
    wanted = (pixels[..., :3] / 255 * alpha + 1 - alpha) @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(images.read(tmp_path / "p.png"), wanted, atol=1e-6)
    deep = (pixels[..., 0].astype(np.uint16) * 257)
    Image.fromarray(deep).save(tmp_path / "d.png", compress_level=0)
    np.testing.assert_allclose(images.read(tmp_path / "d.png"), deep / 65535, atol=1e-6)


# ---- IDX ----
def test_an_idx_of_zeros_is_unpacked_no_further_than_it_says(tmp_path):
    import gzip
    header = bytes([0, 0, 8, 1]) + (10).to_bytes(4, "big")
    (tmp_path / "a.gz").write_bytes(gzip.compress(header + bytes(10**8), 1))
    assert peak(lambda: read_idx(tmp_path / "a.gz"), CorruptFileError, "trailing") < 3 * 10**6
    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes([0, 0, 8, 1]) + (10**8).to_bytes(4, "big") + bytes(10**6)))
    assert peak(lambda: read_idx(tmp_path / "a.gz"), CorruptFileError, "there can be at most|truncated") < 3 * 10**6
