"""minigrad.source: the line, and the expression in it, that recorded a node."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import minigrad
from minigrad import Tensor, functional, nn
from minigrad.source import file_name, here, line, place

COLUMNS = pytest.mark.skipif(sys.version_info < (3, 11), reason="Python tells columns from 3.11 on")


def leaf(*values):
    return Tensor(np.array(values), requires_grad=True)


def expression(node):
    found = line(node.where)
    return found.text[found.start:found.end]


def test_the_line_of_a_node():
    x = leaf(1.0, 2.0)
    y = np.tanh(x * 3)
    found = line(y.node.where)
    assert found.file == __file__ and found.function == "test_the_line_of_a_node"
    assert found.text == "y = np.tanh(x * 3)"
    assert str(found) == f"{__file__}, line {found.number}, in {found.function}: {found.text}"
    assert place(y.node.where) == f"test_source.py:{found.number}" and place(y.node.where) in repr(y.node)


@COLUMNS
def test_the_expression_of_a_node_also_behind_wider_characters():
    x = leaf(1.0, 2.0)
    y = np.exp(x * 3).sum() if "가é" else x
    total, exp = y.node, y.node.parents[0]
    assert [expression(n) for n in (total, exp, exp.parents[0])] == ["np.exp(x * 3).sum()", "np.exp(x * 3)", "x * 3"]
    가 = [leaf(2.0)[0] * np.float64(len("é"))]
    assert expression(가[0].node) == 'leaf(2.0)[0] * np.float64(len("é"))'


@COLUMNS
def test_an_expression_of_several_lines_has_no_columns():
    y = (leaf(1.0)
         * 2)
    assert line(y.node.where).start is None


def test_layers_and_functions_are_told_by_the_line_that_calls_them():
    model = nn.Sequential(nn.Dense(2, 3), nn.ReLU())
    h = model(Tensor([[1.0, 2.0]]))
    loss = functional.cross_entropy(h, [1])
    assert line(h.node.where).text == line(h.node.parents[0].where).text == "h = model(Tensor([[1.0, 2.0]]))"
    assert line(loss.node.where).text == "loss = functional.cross_entropy(h, [1])"


def test_where_there_is_no_source():
    scope = {"x": leaf(1.0)}
    exec(compile("y = x * 2", "<nowhere>", "exec"), scope)
    found = line(scope["y"].node.where)
    assert (found.file, found.number, found.text) == ("<nowhere>", 1, "")
    assert line(None) is None and place(None) == ""
    assert leaf(1.0).node.where is None, "a leaf can be pickled"


def test_here_is_the_callers_line():
    found = line(here(1))
    assert (found.text, found.function) == ("found = line(here(1))", "test_here_is_the_callers_line")


def test_called_by_no_python_code_an_operation_has_no_line():
    code = ("import atexit, operator\nimport numpy as np, minigrad\nx = minigrad.Tensor(1.0, requires_grad=True)\n"
            "atexit.register(np.tanh, x)\natexit.register(operator.mul, x, x)\natexit.register(x.sum)")
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stderr == ""
    assert here(10_000) is None


def test_only_files_inside_of_the_package_are_ours():
    package, scope = Path(minigrad.__file__).parent, {"x": leaf(1.0)}
    for file, mine in ((f"{package}_tools/a.py", True), (package.parent / "mine.py", True),
                       (package / "cli.py", True), (package / "nn/a.py", False)):
        exec(compile("y = x * 2", str(file), "exec"), scope)
        assert line(scope["y"].node.where).file == (str(file) if mine else __file__)


def test_a_cell_of_a_notebook_is_called_by_its_number(monkeypatch):
    def told(file):
        return ("Cell", "In[7]") if "ipykernel" in file else None
    shell = SimpleNamespace(compile=SimpleNamespace(format_code_name=told))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    scope = {"x": leaf(1.0)}
    exec(compile("\ny = x * 2", "/somewhere/ipykernel_1/123.py", "exec"), scope)
    where = scope["y"].node.where
    assert place(where) == line(where).place == "In[7]:2" and "In[7]:2" in repr(scope["y"].node)
    assert file_name("/home/me/a.py") == "a.py"
    for other in (None, SimpleNamespace()):  # no notebook, and an IPython before 8
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda other=other: other))
        assert place(where) == "123.py:2"
