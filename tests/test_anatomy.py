"""viz.anatomy: which boxes a graph has, what they are called, and which call of which module they belong to."""

import pickle
import time

import numpy as np
import pytest

import minigrad
from minigrad import Tensor, functional, nn
from minigrad.viz.anatomy import Anatomy, static_text


def x(*shape, name="x"):
    return Tensor(np.ones(shape, np.float32), name=name)


def titles(anatomy):
    return [call.title for call in anatomy.calls]


def inside(anatomy, path):
    """Names or operations of what belongs to the innermost call of this path."""
    return [anatomy.name(key) or getattr(getattr(key, "op", None), "name", "constant") for key in anatomy.nodes
            if (call := anatomy.call(key)) is not None and call.path == path]


def test_nested_modules_are_a_tree_of_calls():
    model = nn.Sequential(nn.Sequential(nn.Dense(2, 3), nn.Tanh()), nn.Dense(3, 1))
    anatomy = Anatomy(model(x(4, 2)).sum(), model)
    assert titles(anatomy) == ["Sequential()", "0: Sequential()", "0.0: Dense(2, 3)", "0.1: Tanh()", "1: Dense(3, 1)"]
    assert [call.depth for call in anatomy.calls] == [0, 1, 2, 2, 1]
    assert [call.path for call in anatomy.calls if call.parent is anatomy.calls[0]] == ["0", "1"]
    assert inside(anatomy, "0.0") == ["0.0.weight", "0.0.bias", "affine"]
    assert inside(anatomy, "0.1") == ["tanh"]
    outside = [key for key in anatomy.nodes if anatomy.call(key) is None]
    assert [anatomy.name(key) for key in outside] == ["x", None], "and the sum"
    assert anatomy.calls[3].around == (anatomy.calls[0], anatomy.calls[1], anatomy.calls[3])
    assert repr(anatomy.calls[3]) == "Call(0.1: Tanh())"


def test_inputs_come_before_what_uses_them_and_every_use_is_an_edge():
    a = Tensor(2.0, requires_grad=True)
    y = a * a + a
    anatomy = Anatomy(y)
    order = list(anatomy.nodes)
    assert [anatomy.kind(key) for key in order] == ["parameter", "operation", "result"]
    assert all(order.index(source) < order.index(node) for source, node in anatomy.edges)
    assert len(anatomy.edges) == 4
    assert float(anatomy.value(order[1])) == 4


def test_a_module_called_several_times_is_several_calls_whose_weights_belong_to_neither():
    layer = nn.Dense(3, 3)
    anatomy = Anatomy(layer(layer(x(2, 3))), variables={"layer": layer})
    assert titles(anatomy) == ["layer: Dense(3, 3), call 1 of 2", "layer: Dense(3, 3), call 2 of 2"]
    assert [anatomy.call(node).number for node in anatomy.inputs] == [1, 2]
    assert [anatomy.call(p.node) for p in layer.parameters()] == [None, None]


class Tied(nn.Module):
    def __init__(self):
        self.first, self.second = nn.Dense(3, 3, bias=False), nn.Dense(3, 3, bias=False)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(np.tanh(self.first(x)))


def test_shared_weights_belong_to_the_call_around_their_users():
    model = Tied()
    anatomy = Anatomy(model(x(2, 3)), model)
    assert anatomy.call(model.first.weight.node).title == "Tied()"
    assert anatomy.name(model.first.weight.node) == "first.weight"


def test_a_call_that_gives_a_tuple_is_one_call():
    lstm = nn.LSTM(3, 4)
    y, (h, c) = lstm(x(5, 2, 3))
    anatomy = Anatomy((y.sum() + h.sum()) + c.sum(), lstm)
    assert titles(anatomy) == [f"LSTM({lstm.extra_repr()})"]
    inner = [node for node in anatomy.inputs if anatomy.call(node) is anatomy.calls[0]]
    assert len(anatomy.inputs) - len(inner) == 5, "three sums and two additions"
    assert all(anatomy.call(p.node) is anatomy.calls[0] for p in lstm.parameters())
    assert titles(Anatomy(lstm(x(5, 2, 3))[1][1].sum(), lstm)) == [f"LSTM({lstm.extra_repr()})"], "a part suffices"


class Two(nn.Module):
    def __init__(self):
        self.first, self.second = nn.Dense(3, 1), nn.Dense(3, 2)

    def forward(self, x):
        return {"first": self.first(x), "second": [self.second(x)]}


def test_a_call_that_gives_a_dict_is_one_call():
    model = Two()
    ys = model(x(4, 3))
    anatomy = Anatomy(ys["first"].sum() + ys["second"][0].sum(), model)
    assert titles(anatomy) == ["Two()", "first: Dense(3, 1)", "second: Dense(3, 2)"]
    assert [call.depth for call in anatomy.calls] == [0, 1, 1]


def test_calls_inside_of_vmap_are_calls():
    model = nn.Sequential(nn.Dense(2, 3), nn.Tanh())
    anatomy = Anatomy(minigrad.vmap(model)(x(4, 2)).sum(), model)
    assert titles(anatomy) == ["Sequential()", "0: Dense(2, 3)", "1: Tanh()"] and inside(anatomy, "1") == ["tanh"]


def test_a_leaf_that_a_module_makes_can_still_be_pickled():
    class Start(nn.Module):
        def forward(self):
            return Tensor([1.0, 2.0], requires_grad=True)
    assert pickle.loads(pickle.dumps(Start()())).tolist() == [1, 2]


def test_keyword_arguments_are_told_as_they_are_written():
    t = Tensor(np.ones((3, 4)), requires_grad=True)
    nodes = [t[:, 0].node, t[1, ..., ::2].node, t.reshape(4, 3).node, t.copy().node, t.sum(axis=0).node, t.sum().node,
             t.var(axis=(0, 1), ddof=1).node]
    assert [static_text(node.static) for node in nodes] == [
        "[:, 0]", "[1, ..., ::2]", "", "", "axis=0", "", "axis=(0, 1), ddof=1"]


def test_a_module_that_returns_its_input_leaves_no_call():
    model = nn.Sequential(nn.Dense(2, 2), nn.Dropout(0.5)).eval()
    anatomy = Anatomy(model(x(1, 2)), model)
    assert titles(anatomy) == ["Sequential()", "0: Dense(2, 2)"]


def test_functions_alone_have_no_calls():
    w = Tensor(np.ones((2, 2)), requires_grad=True, name="w")
    anatomy = Anatomy(functional.relu(np.ones((1, 2)) @ w).sum())
    assert anatomy.calls == [] and {anatomy.call(key) for key in anatomy.nodes} == {None}
    assert anatomy.line(next(iter(anatomy.inputs))).text.startswith("anatomy = Anatomy(")
    assert anatomy.line(w.node) is None


def test_what_backward_recorded_belongs_to_no_call():
    model = nn.Sequential(nn.Dense(2, 3), nn.Tanh())
    loss = (model(x(4, 2)) ** 2).sum()
    forward = set(Anatomy(loss, model).inputs)
    gs = minigrad.grad(loss, list(model.parameters()), create_graph=True)
    anatomy = Anatomy([loss, *gs], model)
    later = [node for node in anatomy.inputs if node not in forward]
    assert later and {anatomy.call(node) for node in later} == {None}
    assert len(anatomy.calls) == 3 and inside(anatomy, "1") == ["tanh"]
    assert inside(anatomy, "0") == ["0.weight", "0.bias", "affine"]


def test_parameters_in_a_penalty_stay_with_their_module():
    layer = nn.Dense(2, 3)
    y = layer(x(1, 2)).sum() + (layer.weight ** 2).sum()
    assert inside(Anatomy(y, layer), "") == ["weight", "bias", "affine"]


def test_an_input_that_wants_a_gradient_is_not_the_first_layers():
    image = Tensor(np.ones((1, 2), np.float32), requires_grad=True)
    layer = nn.Dense(2, 1)
    anatomy = Anatomy(layer(image), variables={"image": image, "layer": layer})
    assert anatomy.call(image.node) is None and anatomy.call(layer.weight.node) is not None


def test_frozen_parameters_and_buffers_stay_with_their_module():
    model = nn.Sequential(nn.Dense(2, 3).requires_grad_(False), nn.BatchNorm1d(3)).eval()
    anatomy = Anatomy(model(Tensor(np.ones((4, 2), np.float32), requires_grad=True, name="x")), model)
    assert set(inside(anatomy, "0")) == {"0.weight", "0.bias", "affine"}
    assert anatomy.kind(model[0].weight.node) == "constant"


def test_modules_that_nobody_named_still_name_their_parameters():
    def made():
        model = nn.Sequential(nn.Dense(2, 3), nn.ReLU())
        return model, model(x(1, 2)).sum()
    model, loss = made()
    anatomy = Anatomy(loss)
    assert [anatomy.name(p.node) for p in model.parameters()] == ["0.weight", "0.bias"]
    assert titles(anatomy) == ["Sequential()", "0: Dense(2, 3)", "1: ReLU()"]


def test_a_module_that_is_gone_is_still_a_call():
    loss = nn.Dense(2, 3)(x(1, 2)).sum()
    anatomy = Anatomy(loss)
    assert titles(anatomy) == ["module()"] and anatomy.calls[0].module is None


def test_many_calls_are_found_quickly():
    cell, h = nn.Dense(2, 2), x(1, 2)
    for _ in range(4_000):
        h = np.tanh(cell(h))
    started = time.process_time()
    anatomy = Anatomy(h, cell)
    assert time.process_time() - started < 3, "0.1 s alone"
    assert len(anatomy.calls) == 4_000 and anatomy.calls[-1].number == 4_000
    assert sum(anatomy.call(node) is None for node in anatomy.inputs) == 4_000, "every tanh"


def test_without_a_graph_the_caller_is_named():
    with pytest.raises(ValueError, match=r"explain: nothing was recorded behind this Tensor"):
        Anatomy(x(1), who="explain")
    with pytest.raises(TypeError, match=r"player: a graph is drawn of Tensors, not of ndarray"):
        Anatomy(np.ones(2), who="player")
