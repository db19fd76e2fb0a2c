"""Damaged files for everything that minigrad reads: each is refused in words of ours, or read as others read it.

    python tests/fuzz/campaign.py --files 10000 --seed 0 [--format idx] [--workers 2] [--guided]
    python tests/fuzz/campaign.py --replay fuzz-failures/idx-0-17

A table tells, for each format, how many files were refused, read, gave another exception or a warning (crashes), took
over TIME_LIMIT seconds (hangs) or were read as something else (wrong); what memory grew by, and the slowest. A file
that fails is kept with the seed that made it. ``--guided`` keeps files that reach new lines and damages them further.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import gzip
import io
import json
import math
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parent))
import mutations

from minigrad import callbacks, checkpoint, cli, data, formats, images, models, nn, optim, train
from minigrad.data import CorruptFileError, read_idx
from minigrad.random import seeded
from minigrad.viz import report, signals

TIME_LIMIT = 10  # seconds for a file
MEMORY_LIMIT = 2**30  # bytes of address space beyond what a worker begins with
FOLDERS = ("run", "resume", "predict")  # formats of several files
PICTURE = 4_000_000  # pixels; a larger one is not compared


class Wrong(AssertionError):
    """A file was read as something else than what it holds, or refused though it is whole."""


class Hang(BaseException):
    """A file took longer than TIME_LIMIT."""


# ---- whole files to begin with ----
def corpus(folder: Path) -> dict[str, list[dict[str, bytes]]]:
    """{format: inputs}, an input is {file name: bytes}; made in ``folder``, and always the same."""
    with seeded(0):
        return {kind: [{path.name: path.read_bytes() for path in paths} for paths in inputs]
                for kind, inputs in _made(folder).items()}


def _made(folder):
    from PIL import Image
    rng, made = np.random.default_rng(0), collections.defaultdict(list)

    def file(kind, name, content):
        (folder / name).write_bytes(content)
        made[kind].append([folder / name])
    for i, a in enumerate((rng.integers(0, 255, (3, 4, 5), np.uint8), np.arange(7, dtype=">i4"), rng.random((2, 2)))):
        code = {"u1": 8, "i4": 12, "f8": 14}[a.dtype.str[1:]]
        content = bytes([0, 0, code, a.ndim, *np.array(a.shape, ">u4").tobytes()]) + a.astype(
            a.dtype.newbyteorder(">")).tobytes()
        file("idx", f"{i}.idx", content)
        file("idx.gz", f"{i}.idx.gz", gzip.compress(content, mtime=0))
    model = models.mlp(6, (4,), 3)
    optimizer = optim.Adam(model.parameters())
    for suffix in checkpoint.SUFFIXES:
        made[suffix[1:]].append([checkpoint.save(folder / f"m{suffix}", model, optimizer, {"note": [1, (2.5, None)]})])
    header = json.dumps({"w": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]},
                         "b": {"dtype": "BOOL", "shape": [2], "data_offsets": [12, 14]},
                         "__metadata__": {"format": "pt"}}).encode()
    file("safetensors", "bf16.safetensors", len(header).to_bytes(8, "little") + header + rng.bytes(12) + b"\1\0")
    arrays = {"a": rng.random((3, 2)), "deep/b": np.arange(4, dtype=">i2"), "c": np.array([True, False]),
              "f": np.asfortranarray(rng.random((2, 3), np.float32)), "zero": np.zeros((0, 2))}
    np.savez(folder / "plain.npz", **arrays)
    np.savez_compressed(folder / "packed.npz", **arrays, big=np.zeros(5000))
    made["npz"] += [[folder / "plain.npz"], [folder / "packed.npz"]]
    grey = rng.integers(0, 255, (20, 16), np.uint8)
    for i, a in enumerate((grey, np.asfortranarray(rng.random((5, 6, 3))), grey.astype(">u2"), grey > 100)):
        np.save(folder / f"{i}.npy", a)
        made["npy"].append([folder / f"{i}.npy"])
    colour = Image.fromarray(rng.integers(0, 255, (20, 16, 3), np.uint8))
    pictures = {"grey": Image.fromarray(grey), "alpha": Image.fromarray(rng.integers(0, 255, (9, 7, 4), np.uint8)),
                "few": colour.quantize(8), "deep": Image.fromarray(grey.astype(np.uint16) * 257),
                "bits": colour.convert("1")}
    for name, picture in pictures.items():
        options = {"transparency": 3} if name == "few" else {}
        picture.save(folder / f"{name}.png", **options)
        made["png"].append([folder / f"{name}.png"])
    exif = Image.Exif()
    exif[0x0112] = 6
    for name, picture, options in (("grey", pictures["grey"], {}), ("turned", colour, {"exif": exif}),
                                   ("steps", colour, {"progressive": True})):
        picture.save(folder / f"{name}.jpg", **options)
        made["jpg"].append([folder / f"{name}.jpg"])
    for name, validated in (("with", (0.25, 0.5)), ("without", (None, None))):
        history = train.History([train.Epoch(i, 1 / i, 0.1 * i, *validated, 1e-3, 0.5, 1e4) for i in (1, 2, 3)])
        history.to_csv(folder / f"{name}.csv")
        made["csv"].append([folder / f"{name}.csv"])
    made["json"].append([_settings(folder)])
    made["run"].append(_run(folder / "run"))
    made["resume"].append(_resumable(folder / "resume"))
    few = {"mlp": {"in_features": 4, "hidden": [3], "classes": 2, "dropout": 0.1}, "cnn": {
        "size": 8, "filters": [2], "hidden": 3, "batch_norm": True}, "lenet5": {"size": 12}, "resnet": {
            "width": 2, "shortcut": "B"}, "char_rnn": {"alphabet": "abé", "embedding": 2, "hidden": 3}}
    digit = np.zeros((20, 20), np.uint8)
    digit[4:16, 9:12] = 255
    (folder / "predict").mkdir()
    np.save(folder / "predict" / "digit.npy", digit)
    told = {"classes": list("abc"), "input_shape": [1, 8, 8], "data": "digits"}
    for name in ("mlp", "cnn"):  # each in a folder of its own, under the name that the reader looks for
        model = models.build(name, classes=3, **({"in_features": 64} if name == "mlp" else {"size": 8, "filters": [2]}))
        path = checkpoint.save(folder / "predict" / name / "m.safetensors", model, metadata=told)
        made["predict"].append([path, folder / "predict" / "digit.npy"])
    for name, arguments in few.items():
        made["recipe"].append([checkpoint.save(folder / f"{name}.safetensors", models.build(name, **arguments))])
    return made


def _settings(folder):
    settings = {**cli.TRAIN, "data": "digits", "lr": 5e-3, "epochs": 2, "batch_size": 128, "augment": 0}
    (folder / "config.json").write_text(json.dumps({**settings, "minigrad": "0.1.0", "numpy": np.__version__}))
    return folder / "config.json"


def _run(folder):
    """What minigrad train leaves, as far as others read it."""
    digits = data.load("digits")
    model = models.mlp(64, (8,), 10)
    history = train.fit(
        model, digits, optim.Adam(model.parameters()), epochs=2, validation=digits, checkpoint=folder, progress=False,
        schedule="onecycle", callbacks=[signals.Recorder(model, every=8)],
        metadata={"data": "digits", "classes": list(digits.classes), "input_shape": [1, 8, 8]})
    history.to_csv(folder / "history.csv")
    _settings(folder)
    return [folder / name for name in ("config.json", "history.csv", "model.safetensors", "last.safetensors")]


def _training(folder, epochs, **more):
    """A training with state in all places; the model after it."""
    rng = np.random.default_rng(0)
    x, y = rng.random((24, 4), np.float32), rng.integers(0, 3, 24)
    with seeded(1):
        model = nn.Sequential(nn.Dense(4, 3), nn.Dropout(0.2), nn.Dense(3, 3))
        optimizer = optim.Adam(model.parameters(), lr=1e-2)
        train.fit(model, (x, y), optimizer, epochs=epochs, batch_size=8, progress=False, callbacks=[
            callbacks.EarlyStopping("loss", patience=5)], generator=np.random.default_rng(3), **more)
    return model


def _resumable(folder):
    _training(folder, 2, checkpoint=folder)
    return [folder / "last.safetensors"]


# ---- damage ----
def damaged(kind: str, seed: int, index: int, inputs: list[dict[str, bytes]]) -> dict[str, bytes]:
    """The input of this number: it depends on nothing else."""
    rng = np.random.default_rng([seed, index, *kind.encode()])
    one = dict(mutations.choice(rng, inputs))
    name = mutations.choice(rng, sorted(one))
    suffix = name.split(".", 1)[1]
    if suffix == "safetensors" and (kind == "recipe" or (kind in FOLDERS and rng.random() < 0.6)):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(one[name])
            with contextlib.suppress(ValueError, RecursionError):  # of --guided
                mutations.metadata(rng, path, {"recipe": "model", "resume": "training"}.get(kind))
            one[name] = path.read_bytes()
        return one
    others = [other[name] for other in inputs if name in other] or [one[name]]
    if kind not in FOLDERS:
        others = [content for other in inputs for content in other.values()]
    one[name] = mutations.mutated(rng, suffix, one[name], others)
    if kind == "run" and rng.random() < 0.05:
        del one[name]
    return one


# ---- what must come of it: "refused" or "read", else an exception ----
def judge(kind: str, folder: Path) -> str:
    """Give the files in ``folder`` to the reader of this format."""
    path = folder if kind in FOLDERS else next(folder.iterdir())
    kinds = {"idx": CorruptFileError, "idx.gz": CorruptFileError, "safetensors": checkpoint.ModelFileError,
             "npz": checkpoint.ModelFileError, "recipe": checkpoint.ModelFileError,
             "run": (ValueError, FileNotFoundError), "resume": (ValueError, FileNotFoundError)}
    try:
        READERS[kind](path)
    except Wrong:
        raise
    except kinds.get(kind, ValueError) as error:
        if str(folder) not in str(error):
            raise
        return "refused"
    return "read"


def _same(got, wanted, what):
    if got.dtype != wanted.dtype.newbyteorder("=") or got.shape != wanted.shape or (
            got.tobytes() != wanted.astype(got.dtype).tobytes()):
        raise Wrong(f"{what}: {got.dtype}{got.shape} for {wanted.dtype}{wanted.shape}, or other values")


def _idx(path):
    content, wanted = path.read_bytes(), None
    with contextlib.suppress(Exception):
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        dtype = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}[content[2]]
        shape = np.frombuffer(content, ">u4", content[3], 4).tolist()
        body = np.frombuffer(content, np.uint8, offset=4 + 4 * content[3])
        whole = len(body) == math.prod(shape) * np.dtype(dtype).itemsize > 0
        if content[:2] == b"\0\0" and 0 < content[3] <= 64 and whole:
            wanted = body.view(dtype).reshape(shape)
    try:
        got = read_idx(path)
    except CorruptFileError:
        if wanted is not None:
            raise Wrong("a whole file was refused") from None
        raise
    if wanted is None:
        raise Wrong("a damaged file was read")
    _same(got, wanted, "idx")


def _safetensors(path):
    got, text = formats.read(path)
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8:8 + length])
    if text != header.pop("__metadata__", {}) or set(got) != set(header):
        raise Wrong("other names or texts")
    dtypes = {"F64": "f8", "F32": "f4", "F16": "f2", "BOOL": "?", "C64": "c8", "BF16": "u2"}
    for name, entry in header.items():
        kind = entry["dtype"]
        begin, end = entry["data_offsets"]
        body = content[8 + length + begin:8 + length + end]
        wanted = np.frombuffer(body, dtypes.get(kind) or f"{kind[0].lower()}{int(kind[1:]) // 8}")
        if kind == "BF16":
            wanted = np.frombuffer(b"".join(b"\0\0" + body[i:i + 2] for i in range(0, len(body), 2)), "<f4")
        _same(got[name], wanted.reshape(entry["shape"]), name)
    checkpoint.load(path)


def _npz(path):
    got, text = formats.read(path)
    with warnings.catch_warnings(), np.load(path, allow_pickle=False) as archive:
        warnings.simplefilter("ignore")
        names = set(archive.files) - {formats.JSON_IN_NPZ}
        if names != set(got) or json.loads(str(archive[formats.JSON_IN_NPZ]) if formats.JSON_IN_NPZ in archive.files
                                           else "{}") != text:
            raise Wrong("other names or texts")
        for name in names:
            _same(got[name], archive[name], name)
    checkpoint.load(path)


def _npy(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            wanted = np.load(path, allow_pickle=False)
        except Exception:
            wanted = None
    got = formats.read_npy(path)
    if wanted is None:
        raise Wrong("NumPy refuses it")
    _same(got, wanted, "npy")
    _is_grey(images.read(path))


def _is_grey(image):
    if image.ndim != 2 or image.dtype != np.float32 or not (0 <= image.min() and image.max() <= 1.0001):
        raise Wrong(f"{image.dtype}{image.shape} from {image.min()} to {image.max()} is no image")


def _picture(path):
    from PIL import Image, ImageOps
    got = images.read(path)
    _is_grey(got)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(path.read_bytes())) as image:
            if image.mode.startswith("I") or got.size > PICTURE:
                return
            image = ImageOps.exif_transpose(image).convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    wanted = np.asarray(Image.alpha_composite(white, image).convert("L")) / np.float32(255)
    if wanted.shape != got.shape or np.abs(wanted - got).max() > 0.02:
        raise Wrong("Pillow sees another picture")


def _csv(path):
    history = train.History.from_csv(path)
    text = path.read_bytes().decode()
    if '"' in text:
        return
    rows = [line.split(",") for line in io.StringIO(text, newline=None).read().split("\n")[1:] if line]
    for epoch, row in zip(history, rows, strict=True):
        for got, cell in zip(vars(epoch).values(), row, strict=True):
            wanted = float(cell) if cell else None
            if got != wanted and not (got != got and wanted != wanted):
                raise Wrong(f"{got} for {cell!r}")


def _config(path):
    got = cli._saved_settings(path.parent)
    if got != json.loads(path.read_bytes().decode()):
        raise Wrong("other settings")
    for key, value in {k: got[k] for k in cli.TRAIN}.items():  # as if it had been asked for
        options = cli._parser().parse_args(["train", f"--{key.replace('_', '-')}", str(value)])
        if getattr(options, key) != value:
            raise Wrong(f"{key}={value!r}")
    report._settings(path.parent)


def _report(folder):
    parts = [part for section in report.sections(folder) for part in section.parts]
    with tempfile.TemporaryDirectory() as pictures:
        for part in parts:
            if not isinstance(part, report.Figure):
                report._part(part, Path(pictures), "x")


def _resume(folder):
    try:
        model = _training(folder, 3, resume=folder)
    except train.Diverged:  # as numbers like these should
        return
    except ValueError as error:
        if "this state does not fit Sequential" in str(error):  # the weights that EarlyStopping would bring back
            return
        raise
    if any(p.data.dtype != np.float32 for p in model.parameters()):
        raise Wrong("other dtypes")


def _recipe(path):
    loaded = checkpoint.load(path)
    state = loaded.build().state_dict()
    if state.keys() != loaded.state.keys() or any(state[k].tobytes() != loaded.state[k].tobytes() for k in state):
        raise Wrong("other weights")


def _predict(folder):
    """The command: what it says on stderr is its error."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()) as out:
        code = cli.main(["predict", str(folder / "m.safetensors"), str(folder / "digit.npy")])
    if code:
        raise ValueError(said.getvalue())
    if not out.getvalue().count("%"):
        raise Wrong(f"it said {out.getvalue()!r}")


READERS = {"idx": _idx, "idx.gz": _idx, "safetensors": _safetensors, "npz": _npz, "npy": _npy, "png": _picture,
           "jpg": _picture, "csv": _csv, "json": _config, "run": _report, "resume": _resume, "recipe": _recipe,
           "predict": _predict}


def outcome(kind: str, files: dict[str, bytes], folder: Path) -> tuple[str, float, str]:
    """("refused", "read", "crash", "hang" or "wrong"; seconds; a traceback of the last three)."""
    def over(*_):
        raise Hang
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, TIME_LIMIT)
    start = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found, told = judge(kind, folder), ""
    except Hang:
        found, told = "hang", traceback.format_exc()
    except Wrong:
        found, told = "wrong", traceback.format_exc()
    except BaseException:
        found, told = "crash", traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return found, time.perf_counter() - start, told


# ---- the campaign ----
WATCHED = tuple(str(Path(module.__file__)) for module in (formats, checkpoint, images, train, report, models))


def _lines(seen, fresh):
    """A trace function that notes lines of the readers that were not seen before."""
    def inside(frame, event, _):
        place = frame.f_code.co_filename, frame.f_lineno
        if event == "line" and place not in seen:
            seen.add(place)
            fresh.append(place)
        return inside
    return lambda frame, event, _: inside if frame.f_code.co_filename in WATCHED else None


def _serve(pipe, kind, seed, guided):
    """In a process of its own: the inputs of the numbers that come, until none does."""
    with tempfile.TemporaryDirectory() as folder:
        inputs = corpus(Path(folder))[kind]
        for whole in inputs:  # what is loaded on the first use is no growth
            found, _, told = outcome(kind, whole, Path(folder) / "input")
            assert found == "read", f"{list(whole)}: {found}: {told}"
        size = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        most = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY_LIMIT, most))
        start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        pipe.send("ready")
        seen, fresh = set(), []
        while (index := pipe.recv()) is not None:
            files = damaged(kind, seed, index, inputs)
            fresh.clear()
            sys.settrace(_lines(seen, fresh) if guided else None)
            found, seconds, told = outcome(kind, files, Path(folder) / "input")
            sys.settrace(None)
            if guided and fresh and found in ("read", "refused"):
                inputs.append(files)
            growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start
            pipe.send((found, seconds, told, growth * 1024, files if told else None))


def campaign(kind: str, count: int, seed: int, keep: Path, first: int = 0, guided: bool = False) -> dict:
    """Run the numbers from ``first`` on, and return what came of them."""
    counts, slowest, peak, process = collections.Counter(), 0.0, 0, None
    context = multiprocessing.get_context("spawn")
    for index in range(first, first + count):
        if process is None:
            pipe, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, kind, seed, guided), daemon=True)
            process.start()
            theirs.close()
            if not pipe.poll(300) or pipe.recv() != "ready":  # EOFError if it died
                raise RuntimeError(f"{kind}: whole files are not read")
        try:
            pipe.send(index)
            if not pipe.poll(TIME_LIMIT + 50):
                raise TimeoutError
            found, seconds, told, growth, files = pipe.recv()
        except (TimeoutError, EOFError, OSError) as error:  # stuck in C, or dead
            found, seconds, growth, files = "hang" if isinstance(error, TimeoutError) else "crash", 0.0, 0, None
            told = f"the process is {'stuck' if found == 'hang' else 'dead'}"
            process.kill()
            process = None
        counts[found] += 1
        slowest, peak = max(slowest, seconds), max(peak, growth)
        if told:
            _keep(keep / f"{kind}-{seed}-{index}", kind, seed, index, files, told)
    if process is not None:
        pipe.send(None)
        process.join()
    return {"format": kind, **counts, "peak": peak, "slowest": slowest}


def _keep(place, kind, seed, index, files, told):
    if files is None:
        with tempfile.TemporaryDirectory() as folder:
            files = damaged(kind, seed, index, corpus(Path(folder))[kind])
    place.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (place / name).write_bytes(content)
    print(f"{place}\n{told}", file=sys.stderr, flush=True)


def replay(place: Path) -> str:
    """What comes of a file that was kept, with the traceback."""
    with tempfile.TemporaryDirectory() as folder:
        files = {path.name: path.read_bytes() for path in place.iterdir()}
        found, seconds, told = outcome(place.name.rsplit("-", 2)[0], files, Path(folder) / "input")
    return f"{place.name}: {found} after {seconds:.2f} s\n{told}"


def table(rows: list[dict]) -> str:
    """The rows of `campaign`, and their sum."""
    columns = ["refused", "read", "crash", "hang", "wrong"]
    total = {"format": "all", **{c: sum(r.get(c, 0) for r in rows) for c in columns},
             "peak": max(r["peak"] for r in rows), "slowest": max(r["slowest"] for r in rows)}
    lines = [f"{'format':12}{'files':>7}{''.join(f'{c:>9}' for c in columns)}{'memory':>10}{'slowest':>10}"]
    for row in [*rows, total]:
        counts = [row.get(c, 0) for c in columns]
        lines.append(f"{row['format']:12}{sum(counts):>7,}{''.join(f'{n:>9,}' for n in counts)}"
                     f"{row['peak'] / 2**20:>6.0f} MiB{row['slowest']:>8.2f} s")
    return "\n".join(lines)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=10_000, help="over all formats; default: 10000")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--format", choices=READERS, help="this one alone")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--guided", action="store_true", help="keep inputs that reach new lines, and go on from them")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failures"), metavar="DIR", help="for files that fail")
    parser.add_argument("--replay", type=Path, metavar="DIR", help="of one file that was kept")
    options = parser.parse_args()
    if options.replay:
        print(replay(options.replay))
        return 0
    from concurrent.futures import ThreadPoolExecutor
    kinds = [options.format] if options.format else list(READERS)
    shares = [options.files // len(kinds) + (i < options.files % len(kinds)) for i in range(len(kinds))]
    with ThreadPoolExecutor(options.workers) as pool:  # each waits for a process of its own
        rows = list(pool.map(lambda kind, count: campaign(kind, count, options.seed, options.keep,
                                                          guided=options.guided), kinds, shares))
    print(table(rows))
    return int(any(row.get(bad, 0) for row in rows for bad in ("crash", "hang", "wrong")))


if __name__ == "__main__":
    sys.exit(main())
