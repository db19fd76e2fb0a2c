"""Nested containers as flat lists, and back."""

from __future__ import annotations

import collections

import pytest

from minigrad import Parameter, nn, tree

Pair = collections.namedtuple("Pair", "a b")


def test_leaves_have_paths_in_order():
    t = {"w": [1, (2, None)], 3: Pair(4, {"x": 5})}
    assert list(tree.leaves(t)) == [("['w'][0]", 1), ("['w'][1][0]", 2), ("[3][0]", 4), ("[3][1]['x']", 5)]
    assert list(tree.leaves(7)) == [("", 7)] and list(tree.leaves(None)) == list(tree.leaves({})) == []


def test_rebuild_keeps_types():
    t = collections.OrderedDict(w=[1, (2, None)], p=Pair(3, {"x": 4}))
    new = tree.transform(lambda v: v * 10, t)
    assert new == collections.OrderedDict(w=[10, (20, None)], p=Pair(30, {"x": 40}))
    assert type(new) is collections.OrderedDict and type(new["p"]) is Pair and type(new["w"][1]) is tuple
    assert tree.transform(lambda a, b: a + b, [1, {"x": 2}], [10, {"x": 20}]) == [11, {"x": 22}]


def test_a_module_is_the_dict_of_its_trained_parameters():
    model = nn.Sequential(nn.Dense(2, 3), nn.Dense(3, 1))
    model[1].weight.requires_grad = False
    assert [path for path, _ in tree.leaves([model])] == ["[0]['0.weight']", "[0]['0.bias']", "[0]['1.bias']"]
    assert tree.transform(lambda p: p.shape, model) == {"0.weight": (2, 3), "0.bias": (3,), "1.bias": (1,)}


def test_matching():
    assert tree.matching({"b": 1, "a": [2]}, {"a": [0], "b": 0}, "it") == [2, 1]
    with pytest.raises(ValueError, match=r"it must have the same structure.*\['a'\]\[1\]"):
        tree.matching({"a": [1]}, {"a": [1, 2]}, "it")


def test_substituted_puts_back():
    model = nn.Sequential(nn.Dense(2, 3), nn.ReLU(), nn.Dense(3, 1))
    before = dict(model.named_parameters())
    new = {name: Parameter(p.data * 2) for name, p in before.items()}
    with pytest.raises(ZeroDivisionError), tree.substituted(tree.Parameters(model), new):
        assert dict(model.named_parameters()) == new
        model.later = 1
        raise ZeroDivisionError
    assert dict(model.named_parameters()) == before and model.later == 1
