"""Hooks of modules. (Those of Tensors are tested with backward, in test_graph.py.)"""

from __future__ import annotations

import numpy as np
import pytest

from minigrad import Tensor, grad, nn, no_grad


def leaf(*shape):
    return Tensor(np.random.default_rng(0).standard_normal(shape), requires_grad=True)


def dense():
    return nn.Dense(3, 2, dtype=np.float64)


def test_forward_hooks_see_and_replace():
    layer, x, seen = dense(), leaf(4, 3), []
    plain = layer(x).data
    remove = layer.register_forward_hook(lambda m, args, y: seen.append((m, args, y)))
    layer(x)
    assert seen[0][0] is layer and seen[0][1] == (x,) and np.array_equal(seen[0][2].data, plain)
    layer.register_forward_hook(lambda m, args, y: y * 2)
    np.testing.assert_array_equal(layer(x).data, 2 * plain)
    remove()
    layer(x)
    assert len(seen) == 2
    other = layer.register_forward_pre_hook(lambda m, args: args[0] * 0)
    np.testing.assert_array_equal(layer(x).data, 2 * np.broadcast_to(layer.bias.data, (4, 2)))
    other.remove()
    np.testing.assert_array_equal(layer(x).data, 2 * plain)


def test_backward_hook_sees_both_gradients():
    layer, x, seen = dense(), leaf(4, 3), []
    layer.register_full_backward_hook(lambda m, gi, go: seen.append((m, gi, go)))
    y = layer(x)
    g = np.arange(8.0).reshape(4, 2)
    y.backward(g)
    (module, (gi,), (go,)), = seen
    assert module is layer
    np.testing.assert_array_equal(go.data, g)
    np.testing.assert_allclose(gi.data, g @ layer.weight.data.T)
    np.testing.assert_allclose(x.grad.data, gi.data)


def test_backward_hook_replaces():
    layer, x = dense(), leaf(4, 3)
    layer.register_full_backward_hook(lambda m, gi, go: (gi[0] * 10,))
    layer(x).sum().backward()
    np.testing.assert_allclose(x.grad.data, 10 * np.ones((4, 2)) @ layer.weight.data.T)
    np.testing.assert_allclose(layer.weight.grad.data, x.data.sum(0)[:, None] * np.ones(2))


class Add(nn.Module):
    def forward(self, a, b, scale=1.0):
        return a * scale + b, a


def test_several_inputs_and_outputs():
    add, a, b, seen = Add(), leaf(3), leaf(3), []
    add.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go)))
    y, same = add(a, b, scale=2.0)
    (y.sum() + 3 * same.sum()).backward()
    (gi, go), = seen
    assert [g.data.tolist() for g in gi] == [[5, 5, 5], [1, 1, 1]]
    assert [g.data.tolist() for g in go] == [[1, 1, 1], [3, 3, 3]]
    assert a.grad.data.tolist() == [5, 5, 5] and b.grad.data.tolist() == [1, 1, 1]
    y, _ = add(a, 2.0)  # a number needs no gradient
    y.sum().backward()
    assert seen[1][0][1] is None and seen[1][1][1] is None


def test_a_first_layer_and_no_grad():
    layer, seen = dense(), []
    layer.register_full_backward_hook(lambda m, gi, go: seen.append((gi, go)))
    layer(Tensor(np.ones((4, 3)))).sum().backward()
    assert seen[0][0] == (None,) and seen[0][1][0].shape == (4, 2)
    with no_grad():
        layer(Tensor(np.ones((4, 3))))
    assert len(seen) == 1


def test_hooks_of_inner_modules_run_and_second_order_works():
    model = nn.Sequential(dense(), nn.Tanh())
    seen = []
    model[0].register_full_backward_hook(lambda m, gi, go: seen.append(go[0]))
    x = leaf(1, 3)
    g = grad(model(x).sum(), x, create_graph=True)
    np.sum(g * g).backward()
    assert x.grad is not None and len(seen) >= 1
    with_hooks = x.grad.data
    model[0]._backward_hooks = ()
    x.zero_grad()
    g = grad(model(x).sum(), x, create_graph=True)
    np.sum(g * g).backward()
    np.testing.assert_allclose(x.grad.data, with_hooks)


def test_a_wrong_replacement_is_refused():
    layer = dense()
    layer.register_full_backward_hook(lambda m, gi, go: (go[0],))
    with pytest.raises(ValueError, match=r"a backward hook of Dense returned gradients of shapes \[\(4, 2\)\]"):
        layer(leaf(4, 3)).sum().backward()


def test_hooks_are_no_state():
    layer = dense()
    layer.register_forward_hook(print)
    assert set(layer.state_dict()) == {"weight", "bias"} and "hook" not in repr(layer)


def test_tensor_hooks_can_be_removed_like_pytorchs():
    x, seen = leaf(2), []
    handle = x.register_hook(seen.append)
    handle.remove()
    x.sum().backward()
    assert seen == []


def test_two_outputs_and_no_input_that_needs_a_gradient():
    class Two(nn.Module):
        def __init__(self):
            self.w = nn.Dense(3, 2, dtype=np.float64)

        def forward(self, x):
            return self.w(x), self.w(x) * 2
    two, seen = Two(), []
    two.register_full_backward_hook(lambda m, gi, go: seen.append(go))
    a, b = two(Tensor(np.ones((1, 3))))
    (a.sum() + b.sum()).backward()
    (first, second), = seen
    assert first.data.tolist() == second.data.tolist() == [[1, 1]]


def test_none_in_a_replacement_keeps_that_gradient():
    add, a, b = Add(), leaf(3), leaf(3)
    add.register_full_backward_hook(lambda m, gi, go: (None, gi[1] * 5))
    add(a, b)[0].sum().backward()
    assert a.grad.data.tolist() == [1, 1, 1] and b.grad.data.tolist() == [5, 5, 5]


def test_a_hook_may_return_a_number_of_another_dtype():
    x = Tensor(np.float32(2), requires_grad=True)
    x.register_hook(lambda g: np.float64(3))
    assert grad(x * x, x, create_graph=True).dtype == np.float32
    (x * x).backward()
    assert x.grad.dtype == np.float32 and x.grad.item() == 3
