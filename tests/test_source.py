"""minigrad.source: the line, and the expression in it, that recorded a node."""

import sys

import numpy as np
import pytest

from minigrad import Tensor, functional, nn
from minigrad.source import here, line, place

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
    exec("y = x * 2", scope)
    found = line(scope["y"].node.where)
    assert (found.file, found.number, found.text) == ("<string>", 1, "")
    assert line(None) is None and place(None) == ""
    assert leaf(1.0).node.where is None, "a leaf can be pickled"


def test_here_is_the_callers_line():
    found = line(here(1))
    assert (found.text, found.function) == ("found = line(here(1))", "test_here_is_the_callers_line")
