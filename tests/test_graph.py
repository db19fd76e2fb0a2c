"""The chain rule over graphs: shapes of graphs, what is kept in memory and for how long, hooks, modes, orders."""

from __future__ import annotations

import gc
import re
import threading
import tracemalloc
import weakref

import numpy as np
import pytest

from minigrad import Tensor, enable_grad, grad, is_grad_enabled, no_grad, primitive
from minigrad.graph import Each, Node, outputs_first, rule, table, unbroadcast
from minigrad.tensor import record


def leaf(value, name=None):
    return Tensor(np.array(value, np.float64), requires_grad=True, name=name)


@pytest.fixture
def without_gc():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


# ---- shapes of graphs ----
def test_diamond():
    x = leaf(3.0)
    a = x * 2
    (a * a + np.exp(a)).backward()
    assert x.grad.item() == pytest.approx(8 * 3 + 2 * np.exp(6))


def test_a_value_used_many_times_collects_from_all():
    x = leaf([1.0, 2.0])
    (x + x * 3 + np.sum(x) * x + x[0] * x[1]).sum().backward()
    np.testing.assert_allclose(x.grad.data, [1 + 3 + 3 + 3 + 2 * 2, 1 + 3 + 3 + 3 + 2 * 1])


def test_both_inputs_the_same():
    x = leaf([1.0, -2.0])
    for f, expected in ((lambda: x * x, 2 * x.data), (lambda: x - x, [0, 0]), (lambda: x / x, [0, 0]),
                        (lambda: x @ x, 2 * x.data), (lambda: np.concatenate([x, x]), [2, 2])):
        np.testing.assert_allclose(grad(f().sum(), x).data, expected, atol=1e-15)


def test_a_long_and_a_short_way_to_the_same_value():
    """The node must wait for its last consumer, however far away."""
    x = leaf(1.0)
    a = x * 1
    b = a
    for _ in range(10):
        b = b * 2
    (b + a).backward()
    assert x.grad.item() == 1025


def test_outputs_first_is_a_topological_order(generator):
    values = [leaf(1.0) for _ in range(3)]
    for _ in range(60):
        i, j = generator.integers(0, len(values), 2)
        values.append(values[i] + values[j])
    order = outputs_first([values[-1].node, values[-2].node])
    place = {node: k for k, node in enumerate(order)}
    assert len(place) == len(order)
    assert all(place[node] < place[p] for node in order for p in node.parents if p.op is not None)
    assert not any(p.op is not None and p not in place for node in order for p in node.parents)


def test_100_000_nodes_deep():
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y + 1e-6
    y.backward()
    assert (y.item(), x.grad.item()) == (pytest.approx(1.1), 1)
    dies = weakref.ref(y.node)
    del y
    assert dies() is None


def test_100_000_nodes_deep_to_second_order():
    x = leaf(1.0)
    y = x * x
    for _ in range(30_000):
        y = y + 1.0
    first = grad(y, x, create_graph=True)
    assert grad(first, x).item() == 2


def test_several_outputs():
    x = leaf([1.0, 2.0])
    a, b = x * 2, np.exp(x)
    g = grad([a, b], x, gradient=[np.array([1.0, 0.0]), np.array([0.0, 1.0])])
    np.testing.assert_allclose(g.data, [2, np.exp(2)])
    a, y = x * 2, x.sum()
    np.testing.assert_allclose(grad([a.sum(), a.sum()], x).data, [4, 4])
    np.testing.assert_allclose(grad([y, y, y * y], x).data, 2 + 2 * 3)  # one output behind another, one twice


def test_several_outputs_need_as_many_gradients():
    x = leaf([1.0])
    with pytest.raises(ValueError, match="argument"):
        grad([x * 2, x * 3], x, gradient=[np.ones(1)])


def test_custom_op_with_any_number_of_inputs(own_ops):
    def total(*xs):
        return sum(xs)
    rule(total, Each(lambda i, g, y, *xs: g * (i + 1)))
    a, b = leaf(1.0), leaf(1.0)
    record(total, a, b, 5.0).backward()
    assert (a.grad.item(), b.grad.item()) == (1, 2)


def test_a_rule_of_the_wrong_shape_is_reported(own_ops):
    @primitive(lambda g, y, x: g.sum())
    def doubled(x):
        return 2 * x
    x = leaf([1.0, 2.0])
    with pytest.raises(ValueError, match=r"doubled gave shape \(\).* \(2,\)"):
        doubled(x).sum().backward()


# ---- grad() and backward() ----
def test_backward_fills_leaves_only():
    x = leaf([1.0, 2.0])
    y = x * 2
    z = (y * y).sum()
    z.backward()
    assert y.grad is None and z.grad is None
    np.testing.assert_array_equal(x.grad.data, 8 * x.data)


def test_backward_accumulates_and_zero_grad_forgets():
    x = leaf(3.0)
    for expected in (6, 12, 18):
        (x * x).backward()
        assert x.grad.item() == expected
    x.zero_grad()
    assert x.grad is None


def test_grad_of_intermediate_values_leaves_grad_alone():
    x = leaf([1.0, 2.0])
    y = x * 3
    z = (y * y).sum()
    gy, gx = grad(z, [y, x])
    np.testing.assert_array_equal(gy.data, 2 * y.data)
    np.testing.assert_array_equal(gx.data, 18 * x.data)
    assert x.grad is None and y.grad is None


def test_grad_of_one_intermediate_value_and_its_own_gradient():
    x = leaf(2.0)
    y = x * 3
    assert grad(y, y).item() == 1
    assert isinstance(grad(y, [y], retain_graph=True), list)


def test_grad_where_nothing_leads_is_zero():
    x, other = leaf([1.0, 2.0]), leaf(np.ones((3, 1)))
    g = grad(x.sum(), [x, other])
    np.testing.assert_array_equal(g[1].data, np.zeros((3, 1)))
    assert other.grad is None


def test_what_nobody_needs_is_not_computed(own_ops):
    calls = []

    def counted(which):
        return lambda g, y, a, b: calls.append(which) or g

    @primitive(counted("a"), counted("b"), broadcasts=True)
    def add(a, b):
        return a + b
    a, b, constant = leaf(1.0), leaf(2.0), Tensor(3.0)
    add(add(a, constant), add(b, constant)).backward()
    assert sorted(calls) == ["a", "a", "a", "b"]
    calls.clear()
    grad(add(add(a, constant), add(b, constant)), b)
    assert calls == ["b", "a"]
    calls.clear()
    middle = add(a, constant)
    grad(add(middle, b), middle)
    assert calls == ["a"]


def test_backward_of_many_numbers_needs_a_gradient():
    x = leaf([1.0, 2.0])
    with pytest.raises(RuntimeError, match=r"shape \(2,\) needs gradient=.*t\.sum\(\)"):
        (x * 2).backward()
    with pytest.raises(ValueError, match=r"gradient has shape \(3,\), but the Tensor has \(2,\)"):
        (x * 2).backward(np.ones(3))
    (x * 2).backward(np.array([1.0, 10.0]))
    np.testing.assert_array_equal(x.grad.data, [2, 20])
    (x[:1] * 2).backward()  # of size 1 it is clear
    np.testing.assert_array_equal(x.grad.data, [4, 20])


def test_what_depends_on_nothing_says_so():
    with pytest.raises(RuntimeError, match=r"depends on nothing that requires grad\. Is requires_grad=True missing"):
        Tensor(1.0).backward()
    x = leaf(1.0)
    with no_grad(), pytest.raises(RuntimeError, match=r"nothing is recorded under no_grad\(\)"):
        (x * 2).backward()
    with pytest.raises(RuntimeError, match="does not require grad: set requires_grad=True before"):
        grad(x * 2, Tensor(1.0))


def test_gradients_share_memory_with_nothing():
    """Of add the rules hand on g itself, of sum a read-only view: an in-place step would reach the others."""
    for create_graph in (False, True):
        a, b, c = leaf([1.0, 2.0]), leaf([3.0, 4.0]), leaf([5.0, 6.0])
        seed = Tensor(np.ones(2))
        y = a + b + c.reshape(1, 2)[0]
        y.backward(seed, create_graph=create_graph)
        arrays = [a.grad.data, b.grad.data, c.grad.data, seed.data, a.data, b.data, c.data, y.data]
        assert not any(np.shares_memory(p, q) for i, p in enumerate(arrays) for q in arrays[:i])
        assert all(p.flags.writeable for p in arrays)
        more = grad(y, [a, b, c], gradient=seed, create_graph=create_graph, retain_graph=True) if create_graph else []
        arrays += [g.data for g in more]
        assert not any(np.shares_memory(p, q) for i, p in enumerate(arrays) for q in arrays[:i])


def test_gradients_own_their_memory():
    """Of sum the rule hands on a read-only view with stride 0, of reshape one that both inputs share."""
    a, b = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    (a.reshape(2, 1) + b.reshape(2, 1)).sum().backward()
    assert not np.shares_memory(a.grad.data, b.grad.data)
    for g in (a.grad, b.grad, grad(a.sum(), a), grad(a.sum(), a, create_graph=True)):
        g.data += 1
        np.testing.assert_array_equal(g.data, 2)


def test_the_seed_array_is_not_handed_out():
    x, seed = leaf([1.0, 2.0]), np.ones(2)
    x.backward(seed)
    (g,) = grad(x + 0, [x], gradient=seed)
    assert not np.shares_memory(x.grad.data, seed) and not np.shares_memory(g.data, seed)


def test_accumulation_leaves_the_old_gradient_alone():
    x = leaf([1.0])
    x.sum().backward()
    before = x.grad.data
    x.sum().backward()
    assert before[0] == 1 and x.grad.data[0] == 2


# ---- freed and kept ----
def test_a_second_backward_says_what_to_do():
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    y.backward()
    twice = r"Node\(sum, shape=\(\), test_graph.py:\d+\) a second time.*retain_graph=True"
    with pytest.raises(RuntimeError, match=twice):
        y.backward()


def test_retain_graph():
    x = leaf(3.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 12
    with pytest.raises(RuntimeError, match="a second time"):
        y.backward()


def test_a_shared_part_is_freed_once_for_both():
    x = leaf(2.0)
    shared = np.exp(x)
    a, b = shared * 2, shared * 3
    a.backward(retain_graph=True)
    b.backward()
    assert x.grad.item() == pytest.approx(5 * np.exp(2))
    with pytest.raises(RuntimeError, match=r"exp.*a second time"):
        (shared * 4).backward()


def test_structure_can_be_walked_after_backward():
    w = leaf(np.ones((3, 2)), name="w")
    y = np.tanh(Tensor(np.ones((1, 3)), name="x") @ w).sum()
    y.backward()
    nodes = outputs_first([y.node])
    assert [(n.op.name if n.op else "leaf", n.shape, n.name) for n in nodes] == [
        ("sum", (), None), ("tanh", (1, 2), None), ("matmul", (1, 2), None)]
    assert all(n.values is None for n in nodes)
    product = nodes[2]
    assert [p.name for p in product.parents] == ["x", "w"]
    assert re.fullmatch(r"Node\(matmul, shape=\(1, 2\), test_graph.py:\d+\)", repr(product))
    assert repr(product.parents[1]) == "Node(leaf, shape=(3, 2), w)"


def test_memory_falls_when_the_loss_goes_out_of_scope(without_gc):
    """No reference cycles: nothing waits for the collector."""
    x = leaf(np.ones(1000))
    y = np.tanh(np.exp(x) * 2)
    loss = y.sum()
    watched = [weakref.ref(loss.node), weakref.ref(y.data), weakref.ref(y.node.parents[0]),
               weakref.ref(y.node.parents[0].values[1])]
    del y
    assert all(w() is not None for w in watched)
    del loss
    assert all(w() is None for w in watched)


def test_memory_falls_after_backward_hooks_and_second_order(without_gc):
    x = leaf(np.ones(10))
    y = np.exp(x)
    y.register_hook(lambda g: g * 2)
    y.retain_grad()
    first = grad(y.sum(), x, create_graph=True)
    first.sum().backward()
    watched = [weakref.ref(v) for v in (y.node, first.node, y.data, first.data)]
    del y, first
    assert all(w() is None for w in watched)


def test_backward_frees_what_it_has_used(without_gc):
    """While it walks, so that activations and gradients need not be there at the same time."""
    x = leaf(np.ones(10))
    alive, middle = [], []

    def look(g):
        alive.append(sum(w() is not None for w in middle))
    y = x
    for _ in range(6):
        y = np.exp(y * 0.1)
        y.register_hook(look)
        middle.append(weakref.ref(y.data))
    y.sum().backward()
    assert alive == [6, 6, 5, 4, 3, 2]  # y itself is ours


def test_backward_needs_no_more_memory_than_forward_left():
    n, size, at_the_end = 30, 200_000, []  # 30 arrays of 1.6 MB
    x = leaf(np.ones(size))
    np.sin(np.sin(x)).sum().backward()  # rules are compiled by now, where they are
    x.zero_grad()
    tracemalloc.start()
    try:
        first = y = np.sin(x)
        first.register_hook(lambda g: at_the_end.append(tracemalloc.get_traced_memory()[0]))
        for _ in range(n - 1):
            y = np.sin(y)
        del first
        y = y.sum()
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        y.backward()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    one = 8 * size
    assert n * one < kept < (n + 1) * one
    assert peak < kept + 5 * one
    assert at_the_end[0] < 5 * one  # neither activations nor gradients of what is done
    assert after < 2 * one  # x.grad


def test_retained_values_stay():
    x = leaf(np.ones(10))
    y = np.exp(x)
    y.sum().backward(retain_graph=True)
    assert y.node.values is not None


# ---- hooks ----
def test_hooks_run_in_order_and_replace():
    x = leaf([1.0, 2.0])
    seen = []
    y = x * 3
    y.register_hook(lambda g: seen.append(g.data.tolist()))
    y.register_hook(lambda g: g * 10)
    y.register_hook(lambda g: seen.append(g.data.tolist()))
    (y * y).sum().backward()
    assert seen == [[6, 12], [60, 120]]
    np.testing.assert_array_equal(x.grad.data, [180, 360])


def test_a_hook_sees_the_complete_gradient_once():
    x = leaf(1.0)
    seen = []
    y = x * 2
    y.register_hook(lambda g: seen.append(g.item()))
    (y * 3 + y * 4).backward()
    assert seen == [7]


def test_hooks_of_leaves_and_removal():
    x = leaf([1.0])
    remove = x.register_hook(lambda g: -g)
    keep = []
    x.register_hook(lambda g: keep.append(g.item()))
    x.sum().backward()
    assert x.grad.item() == -1
    remove()
    remove()  # twice does no harm
    x.sum().backward()
    assert x.grad.item() == 0 and keep == [-1, 1]


def test_a_leafs_hooks_run_as_soon_as_its_gradient_is_complete():
    first, often, last, unused = leaf(2.0), leaf(3.0), leaf(5.0), leaf(7.0)
    seen = []
    for name, x in {"first": first, "often": often, "last": last, "unused": unused}.items():
        x.register_hook(lambda g, name=name: seen.append((name, g.item())))
    middle = first * often
    middle.register_hook(lambda g: seen.append(("middle", g.item())))
    top = middle * last + often
    (top + Tensor(0.0) * unused.detach()).backward()
    assert seen == [("last", 6), ("middle", 5), ("first", 15), ("often", 11)]
    assert (first.grad.item(), often.grad.item(), last.grad.item(), unused.grad) == (15, 11, 6, None)


def test_a_leaf_whose_first_use_leads_nowhere_still_has_its_hooks_run():
    x, seen = leaf([1.0, 2.0]), []
    x.register_hook(seen.append)
    mask = x * 2  # the earliest use; np.where gives a mask no gradient
    np.where(mask, x * 3, 0.0).sum().backward()
    np.testing.assert_array_equal(seen[0].data, [3, 3])
    np.testing.assert_array_equal(x.grad.data, [3, 3])


def test_a_hook_may_return_an_array_but_not_another_shape():
    x = leaf([1.0, 2.0])
    x.register_hook(lambda g: np.array([5.0, 6.0]))
    x.sum().backward()
    np.testing.assert_array_equal(x.grad.data, [5, 6])
    y = x * 1
    y.register_hook(lambda g: g.sum())
    with pytest.raises(ValueError, match=r"from \(2,\) to \(\)"):
        y.sum().backward()


def test_a_hook_is_differentiated_in_second_order():
    x = leaf(2.0)
    y = x * x
    y.register_hook(lambda g: g * x)
    first = grad(y, x, create_graph=True)  # 2 x * x
    assert grad(first, x).item() == 8


def test_constants_get_no_hooks():
    with pytest.raises(RuntimeError, match="would never run"):
        Tensor(1.0).register_hook(print)


def test_retain_grad():
    x = leaf(2.0)
    y = x * 3
    y.retain_grad()
    (y * y).backward()
    assert (y.grad.item(), x.grad.item()) == (12, 36)
    with pytest.raises(RuntimeError, match="no gradient to retain"):
        Tensor(1.0).retain_grad()


# ---- modes ----
def test_no_grad_as_block_decorator_and_nested():
    x = leaf(1.0)

    @no_grad()
    def f():
        with enable_grad():
            assert (x * 2).requires_grad
        return x * 2
    assert not f().requires_grad and is_grad_enabled()
    with no_grad():
        with no_grad():
            assert not (x * 2).requires_grad
        assert not is_grad_enabled()

    @enable_grad()
    def g():
        return x * 2
    with no_grad():
        assert g().requires_grad
    assert (x * 2).requires_grad


def test_no_grad_ends_with_an_exception():
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    assert is_grad_enabled()


def test_no_grad_can_be_entered_again():
    block = no_grad()
    with block, enable_grad(), block:
        assert not is_grad_enabled()
    assert is_grad_enabled()


def in_thread(f):
    result = []
    thread = threading.Thread(target=lambda: result.append(f()))
    thread.start()
    thread.join(10)
    return result[0]


def test_no_grad_holds_in_its_thread_only():
    with no_grad():
        assert in_thread(is_grad_enabled)
        assert not is_grad_enabled()


def test_a_decorated_function_may_run_in_two_threads_at_once():
    """Each thread must get its own mode back, whichever enters and leaves first."""
    first_is_in, second_is_in, after = threading.Event(), threading.Event(), []

    @no_grad()
    def run(body):
        body()

    def first():
        with no_grad():
            run(lambda: first_is_in.set() or second_is_in.wait(10))
            after.append(is_grad_enabled())
    thread = threading.Thread(target=first)
    thread.start()
    first_is_in.wait(10)
    run(lambda: second_is_in.set() or thread.join(10))
    assert after == [False] and is_grad_enabled()


def test_backward_in_two_threads_at_once():
    def work():
        x = leaf(np.ones(50))
        for _ in range(50):
            np.tanh(x * 2).sum().backward()
        return x.grad.data[0]
    expected = work()
    results = []
    threads = [threading.Thread(target=lambda: results.append(work())) for _ in range(4)]
    for t in threads: t.start()
    for t in threads: t.join(60)
    assert results == [expected] * 4


def test_backward_records_nothing_unless_asked_to():
    x = leaf(2.0)
    (x * x * x).backward()
    assert not x.grad.requires_grad
    g = grad(x * x * x, x)
    assert not g.requires_grad and g.is_leaf


# ---- higher orders ----
def test_third_derivative():
    x = leaf(0.5)
    y = np.sin(x) * np.exp(2 * x)
    g1 = grad(y, x, create_graph=True)
    g2 = grad(g1, x, create_graph=True)
    g3 = grad(g2, x)
    s, c, e = np.sin(0.5), np.cos(0.5), np.exp(1.0)
    assert g1.item() == pytest.approx(e * (2 * s + c))
    assert g2.item() == pytest.approx(e * (3 * s + 4 * c))
    assert g3.item() == pytest.approx(e * (2 * s + 11 * c))


def test_create_graph_accumulates_and_can_be_differentiated():
    x = leaf(3.0)
    (x * x * x).backward(create_graph=True)
    (x * x).backward(create_graph=True)
    assert x.grad.item() == 27 + 6 and x.grad.requires_grad
    second = grad(x.grad, x)
    assert second.item() == 6 * 3 + 2


def test_create_graph_inside_no_grad():
    x = leaf(3.0)
    y = x * x * x
    with no_grad():
        g = grad(y, x, create_graph=True)
        assert not is_grad_enabled()
    assert grad(g, x).item() == 18


def test_gradient_of_a_gradient_norm():
    """The penalty of WGAN-GP: first order inside a loss."""
    x = leaf([1.0, 2.0])
    g = grad((x ** 3).sum(), x, create_graph=True)
    (g * g).sum().backward()
    np.testing.assert_allclose(x.grad.data, 36 * x.data ** 3)


# ---- the pieces ----
@pytest.mark.parametrize(("shape", "to"), [((2, 3), (3,)), ((2, 3), (2, 1)), ((2, 3), ()), ((4, 2, 3), (1, 3)),
                                           ((3,), (3,)), ((0, 3), (1, 3)), ((2, 1), (2, 1)), ((5, 0), (5, 1))])
def test_unbroadcast_is_adjoint_to_broadcasting(shape, to, generator):
    g, x = generator.standard_normal(shape), generator.standard_normal(to)
    assert unbroadcast(g, to).shape == to
    assert np.vdot(unbroadcast(g, to), x) == pytest.approx(np.vdot(g, np.broadcast_to(x, shape)))


def test_a_primitive_of_ones_own(own_ops):
    @primitive(lambda g, y, x, power=2: g * power * x ** (power - 1))
    def raised(x, power=2):
        """x ** power."""
        return x ** power
    x = leaf(3.0)
    assert raised(x, power=3).item() == 27 and raised(2.0) == 4 and raised.__doc__ == "x ** power."
    assert grad(grad(raised(x, power=3), x, create_graph=True), x).item() == 18
    assert table[raised].name == "raised" and isinstance(raised(x).node, Node)
