"""The house: who imports whom, how long the core is, what `import minigrad` loads, and what is documented."""

from __future__ import annotations

import ast
import configparser
import graphlib
import importlib
import inspect
import subprocess
import sys
from importlib.util import resolve_name
from pathlib import Path

import pytest

import minigrad

ROOT = Path(minigrad.__file__).parent
FILES = {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix("__init__").rstrip("."): p
         for p in sorted(ROOT.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}

# From the bottom up: a module imports only from rooms before its own, and from its own.
ROOMS = ["naming", "source", "formats", "kernels", "graph", "dispatch", "mode", "hooks", "methods", "inplace", "tensor",
         "primitives", "derivatives", "random", "tree", "batching", "calculus", "anomaly", "functional", "nn", "optim",
         "data", "distributed", "models", "checkpoint", "metrics", "progress", "train", "callbacks", "ensemble", "race",
         "images", "testing", "viz", "cli", "__main__"]


def imports(name):
    """The modules of ours that a module imports, at its top or inside a function."""
    package = f"minigrad.{name}" if FILES[name].name == "__init__.py" else f"minigrad.{name}".rpartition(".")[0]
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            found = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package.rstrip("."))
            found = [f"{source}.{a.name}" for a in node.names]
            found = [f if source == "minigrad" or f[9:] in FILES else source for f in found]
        else:
            continue
        yield from (f[9:] for f in found if f.startswith("minigrad."))


def room(name):
    return name.split(".")[0]


def test_imports_are_seen():
    assert {"dispatch", "graph", "hooks", "mode", "methods", "inplace"} == set(imports("tensor"))
    assert {"basics", "composed"} <= {name.removeprefix("derivatives.") for name in imports("derivatives")}
    assert "primitives" in set(imports("derivatives.composed")) and "derivatives.scans" in set(imports("functional"))


def test_every_room_has_its_place():
    assert {room(name) for name in FILES if name} - set(ROOMS) == set(), "give it a place in ROOMS"


@pytest.mark.parametrize("name", [name for name in FILES if name])
def test_imports_go_down(name):
    for other in set(imports(name)) - {"__version__"}:  # of the package itself nothing else, for it imports everything
        assert room(other) in ROOMS[:ROOMS.index(room(name)) + 1], f"{name} imports {other}, which is not below it"


def test_no_import_is_circular():
    graph = {name: set(imports(name)) - {"__version__", name} for name in FILES if name}
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(graph)


def test_graph_and_rules_know_no_tensor():
    for name in ("graph", "primitives", *(n for n in FILES if n.startswith(("derivatives", "kernels")))):
        assert not {"tensor", "methods", "functional"} & set(imports(name))


def test_the_core_can_be_read_in_an_evening():
    rooms = ("graph", "tensor", "primitives", "derivatives.basics")
    lengths = {name: len(FILES[name].read_text(encoding="utf-8").splitlines()) for name in rooms}
    assert sum(lengths.values()) <= 800, lengths


def run(code):
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT.parent, check=True, capture_output=True, text=True)
    return done.stdout


def test_import_loads_numpy_only():
    loaded = set(run("import sys, minigrad; print(*{m.split('.')[0] for m in sys.modules})").split())
    assert {"minigrad", "numpy"} <= loaded
    assert not loaded & {"scipy", "graphviz", "pygraphviz", "matplotlib", "numba", "tqdm", "safetensors", "pooch",
                         "sklearn", "PIL", "pandas", "requests", "hypothesis", "pytest"}


def test_import_loads_nothing_but_numpy_the_standard_library_and_minigrad():
    """Which is why it is quick: a test that took the time would fail on a busy machine."""
    code = "import sys, numpy; before = set(sys.modules); import minigrad; print(sorted(set(sys.modules) - before))"
    loaded = {name.split(".")[0] for name in ast.literal_eval(run(code))}
    others = {name for name in loaded - sys.stdlib_module_names if not name.startswith(("_cython", "cython_"))}
    assert others == {"minigrad", "numpy"}  # numpy.random brings what Cython names for itself


def test_what_is_no_module_is_installed_too():
    config = configparser.ConfigParser()
    if not config.read(ROOT.parent / "setup.cfg", encoding="utf-8"):
        pytest.skip("not a checkout")
    installed = {path for package, globs in config["options.package_data"].items() for pattern in globs.split()
                 for path in ROOT.parent.joinpath(*package.split(".")).glob(pattern)}
    others = {path for path in ROOT.rglob("*")
              if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts}
    assert others - installed == set() and ROOT / "viz" / "pages" / "base.js" in installed


# ---- what is documented ----
def one_line(f):
    return len(inspect.getsource(f).strip().splitlines()) == 1


def public(owner, module):
    for name, value in vars(owner).items():
        value = getattr(value, "__func__", getattr(value, "fget", value))
        here = getattr(value, "__module__", None) == module and (inspect.isroutine(value) or isinstance(value, type))
        if here and not name.startswith("_"):
            yield name, value


@pytest.mark.parametrize("name", [name for name in FILES if name != "__main__"])
def test_public_names_have_docstrings(name):
    """What fits on one line is its own documentation; an override may leave it to the method it overrides, and an
    optimizer's update to its class, which quotes the formula."""
    module = importlib.import_module(f"minigrad.{name}".rstrip("."))
    assert module.__doc__
    for own, value in public(module, module.__name__):
        assert inspect.getdoc(value) or one_line(value), own
        if isinstance(value, type) and own != "ArrayMethods":  # which are NumPy's
            for method, f in public(value, module.__name__):
                inherited = any(getattr(base, method).__doc__ for base in value.__mro__ if hasattr(base, method))
                assert inherited or one_line(f) or method == "update", f"{own}.{method}"


def test_everything_exported_exists_and_is_documented():
    for name in minigrad.__all__:
        assert inspect.getdoc(getattr(minigrad, name)), name


# ---- what is never done ----
@pytest.mark.parametrize("name", FILES)
def test_nothing_is_pickled(name):
    """A pickle runs code when it is loaded."""
    for node in ast.walk(TREES[name]):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else [
            node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not {n.split(".")[0] for n in names} & {"pickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve",
                                                        "marshal"}
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert isinstance(node.value, ast.Constant) and node.value.value is False
