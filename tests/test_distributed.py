"""minigrad.distributed: N ranks do what one does; and a rank that fails ends all, with its name.

The functions `ranks_*` are programs: their text runs under mpiexec, and what they assert ends the job if it is not so.
"""

from __future__ import annotations

import inspect
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
from nightly import NIGHTLY

import minigrad
from minigrad import Tensor, data, distributed, models, nn, optim, train
from minigrad import functional as F
from minigrad.distributed import World, all_reduce
from minigrad.distributed import world as module
from minigrad.ensemble import Ensemble
from minigrad.tensor import grad

ROOT = Path(minigrad.__file__).parents[1]
PRELUDE = """
import os, re, signal, sys, threading, time, warnings
import numpy as np
import pytest
import minigrad
from minigrad import Tensor, data, distributed, models, nn, optim, train
from minigrad import functional as F
from minigrad.distributed import World, all_reduce
from minigrad.ensemble import Ensemble
from minigrad.tensor import grad
world = distributed.init()
"""
world = None  # of the programs


def mpiexec():
    pytest.importorskip("mpi4py", reason="needs mpi4py: pip install 'minigrad[mpi]'")
    beside = Path(sys.executable).parent / "mpiexec"
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        pytest.skip("needs mpiexec: pip install 'minigrad[mpi]'")
    return found


def launched(path, n, program, *needs, arguments=()):
    """program: one of the functions here, with the functions it needs; or its text."""
    if isinstance(program, str):
        text = program
    else:
        text = "\n".join([PRELUDE, *map(inspect.getsource, [*needs, program]),
                          f"{program.__name__}{tuple(arguments)!r}"])
    path = path / "program.py"
    path.write_text(text, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", "MINIGRAD_NUM_THREADS": "1"}
    return subprocess.Popen([mpiexec(), "-n", str(n), sys.executable, "-W", "error", str(path)], env=environment,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(path, n, program, *needs, arguments=(), code=0):
    job = launched(path, n, program, *needs, arguments=arguments)
    try:
        out, err = job.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        job.kill()
        pytest.fail(f"{program} on {n} ranks hangs: {job.communicate()[1]}")
    assert (job.returncode == 0) == (code == 0), out + err
    return out + err


# ---- N ranks with batches of B / N rows do what one does with B ----
def network(seed):
    """A shared layer, batch norms, and a parameter that nothing uses."""
    g = np.random.default_rng(seed)
    shared = nn.Dense(6, 6, bias=False, generator=g)
    model = nn.Sequential(nn.Dense(4, 6, bias=False, generator=g), nn.BatchNorm1d(6), nn.Tanh(), shared, nn.Tanh(),
                          shared, nn.BatchNorm1d(6), nn.Dense(6, 3, generator=g)).astype(np.float64)
    model.unused = nn.Parameter(np.ones(3))
    return model


def trained(world, name, seed, overlap=False, epochs=2, **how):
    """Losses, and the model, of a training from this seed's weights and order: they are rank 0's."""
    rng = np.random.default_rng(5)
    x = rng.standard_normal((53, 4))
    y = x[:, :3].argmax(axis=1)
    model = network(seed)
    full = name == "LBFGS"
    optimizer = {"SGD": lambda p: optim.SGD(p, 0.1, momentum=0.9), "Adam": lambda p: optim.Adam(p, 0.01),
                 "LBFGS": lambda p: optim.LBFGS(p, max_iter=8, line_search_fn="strong_wolfe")}[name](model.parameters())
    world.synchronize(model, optimizer)
    how = {"batch_size": None if full else 10, "shuffle": not full, **how}  # 5 batches of 10 and one of 3
    loader = world.shard(data.DataLoader((x, y), generator=np.random.default_rng(seed), **how))
    losses = []
    for _ in range(epochs):
        for xs, ys in loader:
            def closure(xs=xs, ys=ys):
                optimizer.zero_grad()
                with world.synchronized(model), world.summed(model.parameters(), overlap=overlap, bucket=200):
                    loss = F.cross_entropy(model(xs), ys) * loader.share
                    loss.backward()
                return Tensor(world.sum(loss.data))
            losses.append(optimizer.step(closure).item())
    world.check(model)
    assert model.unused.grad is None
    return losses, model


def ranks_train():
    for name, overlaps in (("SGD", (False, True)), ("Adam", (False,)), ("LBFGS", (False,))):
        losses, model = trained(World.alone(), name, 0)
        for overlap in overlaps:
            mine, other = trained(world, name, world.rank, overlap)
            np.testing.assert_allclose(mine, losses, rtol=0, atol=1e-12)
            assert name != "LBFGS" or losses[-1] < losses[0] / 3
            for key, value in model.state_dict().items():
                np.testing.assert_allclose(other.state_dict()[key], value, rtol=0, atol=1e-12, err_msg=key)
            assert len(mine) == (2 if name == "LBFGS" else 12)


@pytest.mark.parametrize("n", [3] if not NIGHTLY else [2, 3, 4])
def test_losses_and_weights_are_those_of_one_rank(tmp_path, n):
    run(tmp_path, n, ranks_train, network, trained)


# ---- the pieces ----
def ranks_exchange():
    n, r = world.size, world.rank
    rng = np.random.default_rng(r)
    for dtype in (np.float16, np.float32, np.float64, np.complex64, np.int8, np.int64, np.uint32, ">f8"):
        for shape in ((), (0,), (3, 5), (100_003,)):
            x = (rng.standard_normal(shape) * 10).astype(dtype)
            y = world.sum(x)
            everyone = world.gather(y.tobytes())
            assert len(set(everyone)) == 1 and y.shape == shape and y.dtype == x.dtype, (dtype, shape)
            parts = [a.astype(np.complex128 if x.dtype.kind == "c" else np.longdouble) for a in world.gather(x)]
            expected = np.sum(parts, axis=0)
            close = 1e-2 if x.dtype == np.float16 else 1e-5 if x.dtype.itemsize < 8 or x.dtype.kind == "c" else 1e-12
            if x.dtype.kind in "fc":
                np.testing.assert_allclose(y, expected, rtol=close, atol=100 * close)
    assert world.sum(np.array([True, r == 0])).tolist() == [n, 1]
    for thing in (np.arange(6.0).reshape(2, 3).T, {"a": (1, "b"), "c": np.ones(2)}, None, np.array(3, np.int8)):
        got = world.broadcast(thing if r == 1 else "nothing", root=1)
        assert type(got) is type(thing) and str(got) == str(thing)
    assert world.gather("x" * r) == ["x" * k for k in range(n)]
    assert world.any(r == 1) and not world.any(False)
    world.barrier()
    assert [int(name.split()[1]) for name in world.names] == list(range(n)) and world.first == (r == 0)
    assert str(os.getpid()) in world.names[r] and distributed.init() is world

    def refuse():
        raise ValueError("no such order")
    raises(ValueError, "no such order", lambda: world.from_first(refuse))
    assert world.from_first(lambda: r) == 0
    raises(FileNotFoundError, "nowhere", lambda: world.from_first(lambda: open("/nowhere/at/all")))

    class Local(Exception):
        pass

    def local():
        raise Local("of one's own")
    raises(Local if r == 0 else RuntimeError, "of one's own", lambda: world.from_first(local))
    raises(TypeError, "numbers are wanted", lambda: world.sum(np.array(["a"])))

    # generators: rank 0's state decides all
    a, b = np.random.default_rng(r), np.random.Generator(np.random.Philox(r))
    world.spread([a, b, a])
    expected = np.random.default_rng(0)
    bits = expected.bit_generator.jumped(r) if r else expected.bit_generator
    drawn = a.random(4)
    assert np.array_equal(drawn, np.random.Generator(bits).random(4))
    assert len({tuple(d) for d in world.gather(drawn)}) == n
    raises(TypeError, "SFC64 cannot jump", lambda: world.spread([np.random.Generator(np.random.SFC64(0))]))

    # what must not differ
    model = nn.Sequential(nn.Dense(3, 4 if r else 5), nn.BatchNorm1d(4 if r else 5))
    raises(ValueError, r"0.weight is float32 \(3, 4\), on rank 0 float32 \(3, 5\)", lambda: world.synchronize(model))
    raises(ValueError, "0.weight has no size yet", lambda: world.synchronize(nn.Sequential(nn.Dense(4))))
    model = nn.Sequential(nn.Dense(3, 4), nn.BatchNorm1d(4))
    weight, generator = model[0].weight.data, optim.Adam(model.parameters())
    raises(ValueError, "Adam" if n > 1 else "", lambda: world.synchronize(
        model, generator if r == 0 else optim.SGD(model.parameters(), 0.1)))
    world.synchronize(model, generator)
    assert model[0].weight.data is weight
    world.check(model)
    if r == n - 1:
        model[1].bias.data[0] += 1e-7
    raises(RuntimeError, f"1.bias is another on rank {n - 1} than on rank 0", lambda: world.check(model))
    raises(RuntimeError, "parameter 3", lambda: world.check(model.parameters()))


def raises(kind, pattern, function):
    import re
    try:
        function()
    except kind as error:
        assert re.search(pattern, str(error)), error
    else:
        raise AssertionError(f"no {kind.__name__}: {pattern}")


def ranks_sum_gradients():
    for overlap in (False, True):
        check_gradients(overlap, world.size, world.rank)
    layer = nn.Dense(2, 2)
    for dtype in (np.float32, np.float64):
        layer.astype(dtype)
        with world.summed(layer.parameters()):
            (layer.bias * 0.1).sum().backward()
        np.testing.assert_allclose(layer.bias.grad.data, world.size * 0.1, rtol=1e-7 if dtype == np.float32 else 1e-15)
    p = nn.Parameter(np.ones(2 + world.rank))
    raises(ValueError, "there twice", lambda: world.summed([p, p]))
    raises(ValueError, "on rank 0", lambda: world.summed([p]))


def ranks_overlap():
    """When the first layer's gradient is complete, those of the layers behind it are on their way."""
    model = nn.Sequential(*[nn.Dense(8, 8, bias=False) for _ in range(4)])
    params, sent = list(model.parameters()), []
    world.synchronize(model)
    block = world.summed(params, overlap=True, bucket=200)
    for p in params:
        p.register_hook(lambda g: sent.append(block.sent))
    for _ in range(2):  # the second time the order is known
        sent.clear()
        with block:
            model(np.ones((2, 8), np.float32)).sum().backward()
    assert sent == [0, 1, 2, 3]


def test_gradients_leave_while_backward_runs(tmp_path):
    run(tmp_path, 2, ranks_overlap)


def check_gradients(overlap, n, r):
    """Which ranks have which gradients, and what was there before."""
    shapes = {"everywhere": (3, 2), "first": (2,), "last": (), "nowhere": (4,), "half": (5,), "complex": (2,),
              "double": (3,)}
    dtypes = {"half": np.float16, "complex": np.complex64, "double": np.float64}
    ps = {k: nn.Parameter(np.ones(shape, dtypes.get(k, np.float32))) for k, shape in shapes.items()}
    ps["frozen"] = nn.Parameter(np.ones(2), requires_grad=False)
    for again in range(3):
        before = Tensor(np.full((3, 2), 7, np.float32)) if again == 1 else None
        ps["everywhere"].grad = before
        for k in ("first", "last", "half", "complex", "double"):
            ps[k].grad = None
        with world.summed(ps.values(), overlap=overlap, bucket=16) as block:
            loss = (ps["everywhere"] * (r + 1)).sum() + (ps["half"].sum() * 2).astype(np.float32)
            loss = loss + (ps["double"] * (r + 1)).sum().astype(np.float32) + np.real(ps["complex"] * (1 - 2j)).sum()
            if r == 0:
                loss = loss + ps["first"].sum()
            if r == n - 1:
                loss = loss + ps["last"] * 3
            loss.backward()
        total = n * (n + 1) / 2
        wanted = {"everywhere": total + (7 if before is not None else 0), "first": 1, "last": 3, "half": 2 * n,
                  "complex": n * (1 + 2j), "double": total}
        for k, value in wanted.items():
            g = ps[k].grad.data
            np.testing.assert_allclose(g, np.full(shapes[k], value), rtol=1e-6, err_msg=k)
            assert g.dtype == ps[k].dtype and g.flags.writeable
        assert ps["nowhere"].grad is None and ps["frozen"].grad is None
        assert before is None or (before.data == 7).all()
    if overlap:
        assert len(block.buckets) > 3 and block.order()[0] == world.broadcast(block.order())[0]
    else:
        assert len(block.buckets) == 3  # a half travels as a single

    params = [nn.Parameter(np.ones(3, np.float32)), nn.Parameter(np.ones(2, np.float32))]
    block = world.summed(params, overlap=overlap)
    assert block is world.summed(params, overlap=overlap) and block.nbytes == 4 * (5 + 2)

    def twice():
        with world.summed(params, overlap=overlap):
            for _ in range(2):
                sum(p.sum() for p in params).backward()
    if overlap:
        raises(RuntimeError, "backward ran twice", twice)
        assert params[0].grad is None
    else:
        twice()
        assert (params[0].grad.data == 2 * n).all()

    def graph():
        with world.summed(params, overlap=overlap):
            sum((p ** 2).sum() for p in params).backward(create_graph=True)
    raises(RuntimeError, "create_graph=False", graph)

    def by_grad():
        with world.summed(params, overlap=overlap):
            grad(params[0].sum(), params[0])
    if overlap:
        raises(RuntimeError, "but not by backward", by_grad)
    for p in params:
        p.grad = None
    before = params[0].grad = Tensor(np.full(3, 5, np.float32))
    raises(RuntimeError, "create_graph=False", graph)
    assert params[0].grad is before and not params[0].node.hooks
    for _ in range(2):  # as if nothing had been
        params[0].grad = None
        with world.summed(params, overlap=overlap):
            (params[0] * np.float32(r)).sum().backward()
        assert (params[0].grad.data == n * (n - 1) / 2).all() and params[1].grad is None


def ranks_shard():
    """Together the ranks' rows are the batches of one loader, in their order."""
    n, r = world.size, world.rank
    rows = np.arange(23.0)
    make = [lambda g: {"batch_size": 5, "shuffle": True, "generator": g}, lambda g: {"batch_size": None},
            lambda g: {"batch_size": 7, "drop_last": True},
            lambda g: {"batch_size": 2, "shuffle": True, "generator": g},
            lambda g: {"batch_size": 6, "sampler": data.WeightedSampler(rows + 1, 31, generator=g)},
            lambda g: {"batch_size": 8, "shuffle": True, "generator": g, "prefetch": 2}]
    for how in make:
        one = data.DataLoader((rows, rows), **how(np.random.default_rng(0)))
        mine = world.shard(data.DataLoader((rows, rows), transform=lambda x: x + 100, **how(np.random.default_rng(r))))
        assert len(mine) == len(one) and isinstance(mine, data.DataLoader)
        for _ in range(2):
            batches = list(one)
            count = 0
            for (x, y), (whole, _) in zip(mine, batches):
                parts, shares = world.gather(y.data), world.gather(mine.share)
                if len(whole) >= n:
                    assert np.array_equal(np.concatenate(parts), whole.data)
                    assert {len(p) for p in parts} <= {len(whole) // n, len(whole) // n + 1}
                    assert mine.share == len(y) / len(whole) and world.copies == 1
                else:
                    assert all(np.array_equal(p, whole.data) for p in parts) and world.copies == n
                assert abs(sum(shares) - 1) < 1e-12 and np.array_equal(x.data, y.data + 100)
                count += 1
            assert count == len(one)
    raises(TypeError, "not list", lambda: world.shard([rows]))
    raises(TypeError, "not Sharded", lambda: world.shard(world.shard(data.DataLoader(rows))))

    def mix(x, y, generator):
        return x[::-1], y
    mixing = world.shard(data.MixingLoader((rows, rows), mix, batch_size=9, shuffle=True, drop_last=True,
                                           generator=np.random.default_rng(r)))
    assert isinstance(mixing, distributed.Sharded) and isinstance(mixing, data.MixingLoader)
    one = data.DataLoader((rows, rows), 9, True, True, generator=np.random.default_rng(0))
    for (x, y), (whole, _) in zip(mixing, one):
        assert np.array_equal(x.data, y.data[::-1])
        assert np.array_equal(np.concatenate(world.gather(y.data)), whole.data) and 0 < mixing.share < 1

    def lost(self):
        raise ValueError("no order today")
    sampler = type("Broken", (), {"__iter__": lost, "__len__": lambda self: 4})()
    raises(ValueError, "no order today", lambda: iter(world.shard(data.DataLoader((rows, rows), sampler=sampler))))


@pytest.mark.parametrize("n", [3] if not NIGHTLY else [2, 3, 4, 5, 7])
def test_what_ranks_exchange(tmp_path, n):
    run(tmp_path, n, _all, raises, ranks_exchange, check_gradients, ranks_sum_gradients, ranks_shard)


def _all():
    for program in (ranks_exchange, ranks_sum_gradients, ranks_shard):
        program()


# ---- second order, batch norm, sweeps ----
def ranks_second_order():
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((11, 4, 3)), rng.integers(0, 3, 11)
    rows, share = world.part(len(x))
    g = np.random.default_rng(1)
    model = nn.Sequential(nn.Conv1d(4, 5, 2, generator=g), nn.BatchNorm1d(5), nn.Tanh(), nn.Flatten(),
                          nn.Dense(10, 3, generator=g)).astype(np.float64)
    model[1].running_mean = None  # what the Objective asks for: nothing that changes
    params = list(model.parameters())

    def loss(rows=slice(None)):
        return F.cross_entropy(model(Tensor(x[rows])), y[rows]) + sum((p ** 2).sum() for p in params) * 0.05
    one = optim.Objective(loss, params)
    at = one.x
    v = rng.standard_normal(len(at))
    with world.synchronized(model):
        many = distributed.ShardedObjective(lambda: loss(rows), params, world, share)
        f, d = many.fun(at)
        product, hessian = many.hessp(at, v), many.hess(at)
    f1, d1 = one.fun(at)
    np.testing.assert_allclose(f, f1, rtol=1e-12)
    np.testing.assert_allclose(d, d1, rtol=0, atol=1e-12)
    np.testing.assert_allclose(product, one.hessp(at, v), rtol=0, atol=1e-11)
    np.testing.assert_allclose(hessian @ v, product, rtol=0, atol=1e-11)
    # the inputs' gradients, through the other ranks' statistics
    whole, here = (Tensor(a, requires_grad=True) for a in (x, x[rows]))
    w = rng.standard_normal((11, 4, 3))
    layer = nn.BatchNorm1d(4, dtype=np.float64)
    expected, = grad((layer(whole) ** 3 * w).sum(), [whole])
    sync = distributed.SyncBatchNorm(4, dtype=np.float64, world=world)
    got, = grad((sync(here) ** 3 * w[rows]).sum(), [here])
    np.testing.assert_allclose(got.data, expected.data[rows], rtol=0, atol=1e-11)
    for name, value in layer.named_buffers():
        np.testing.assert_allclose(getattr(sync, name), value, rtol=1e-13)
    plain = np.asarray(distributed.sync_batch_norm(world, x[rows], training=True))
    np.testing.assert_allclose(plain, np.asarray(F.batch_norm(x, training=True))[rows], rtol=0, atol=1e-12)
    # and a model that is converted
    model = nn.Sequential(nn.Dense(4, 3), nn.BatchNorm1d(3))
    model.other = {"a": [nn.BatchNorm2d(2), model[1]], "b": (nn.BatchNorm3d(1),)}
    weight = model[1].weight
    assert distributed.SyncBatchNorm.convert_sync_batchnorm(model, world) is model
    kinds = [type(m).__name__ for m in model.modules()]
    assert kinds.count("SyncBatchNorm") == 3 and model[1].weight is weight and model.other["a"][1] is model[1]
    assert np.allclose(all_reduce(np.ones(2), world), world.size)

    # full batch
    for method in ("L-BFGS-B", "Newton-CG", "trust-exact"):
        results = []
        for w, rows_, share_ in ((World.alone(), slice(None), 1.0), (world, rows, share)):
            model = nn.Sequential(nn.Dense(12, 3, generator=np.random.default_rng(0))).astype(np.float64)

            def loss(rows_=rows_, model=model):
                z = model(Tensor(x[rows_].reshape(-1, 12)))
                return F.cross_entropy(z, y[rows_]) + sum((p ** 2).sum() for p in model.parameters()) * 0.05
            steps = []
            result = distributed.minimize(loss, model.parameters(), method, share=share_, world=w, options={
                "maxiter": 15}, callback=lambda it, steps=steps: steps.append(it.loss))
            w.check(model)
            results.append((result.fun, result.x, steps))
        (f1, x1, s1), (f2, x2, s2) = results
        assert abs(f1 - f2) < 1e-12 and np.abs(x1 - x2).max() < 1e-7 and len(s1) == len(s2) > 2, method
        np.testing.assert_allclose(s1, s2, rtol=0, atol=1e-10)
    short = distributed.minimize(loss, model.parameters(), share=share, world=world,
                                 callback=lambda it: world.rank == 1)
    assert short.nit <= 1
    raises(ValueError, "add up to 1", lambda: distributed.minimize(loss, model.parameters(), share=1.0, world=world))
    if world.first:
        model[0].bias.data[0] += 1
    raises(RuntimeError, "drifted apart", lambda: distributed.minimize(loss, model.parameters(), world=world))


def ranks_sweep():
    def one(c):
        if c == 3:
            raise ZeroDivisionError("three")
        if c == 5:
            return lambda: None  # cannot be sent
        time.sleep(0.01)
        return c, os.getpid(), float(Tensor(np.ones(1)).sum().item() + nn.Dense(2, 2).weight.data[0, 0])
    results = distributed.sweep(one, iter(range(12 + world.rank)))
    alone = distributed.sweep(one, range(12), world=World.alone())
    if world.first:
        good = [i for i in range(12) if i not in (3, 5)]
        assert len(results) == 12 and [results[i][0] for i in good] == good
        assert [results[i][2] for i in good] == [alone[i][2] for i in good]  # whoever did it
        assert len({results[i][1] for i in good}) > 1
        assert results[3].error == "ZeroDivisionError: three" and "in one" in results[3].traceback
        assert results[3].where in world.names and alone[3].error == results[3].error
        assert "cannot be sent" in results[5].error
    else:
        assert results is None
    assert distributed.sweep(one, []) == ([] if world.first else None)

    x = np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32)
    y = x.argmax(axis=1)

    def fit(model):
        if model.broken:
            raise ValueError("this seed is bad")
        train.fit(model, (x, y), optim.Adam(model.parameters(), 0.05), epochs=3, batch_size=8, progress=False)

    def make():
        from minigrad.random import default_generator
        model = nn.Sequential(nn.Dense(4, 8), nn.Tanh(), nn.Dropout(0.1), nn.Dense(8, 4))
        model.broken = default_generator().bit_generator.state["state"]["inc"] == broken
        return model
    broken = np.random.default_rng(2).bit_generator.state["state"]["inc"]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        many = distributed.ensemble(make, fit, range(4))
        one = distributed.ensemble(make, fit, range(4), world=World.alone())
    if world.first:
        assert len(many) == 3 and "seed 2 (ValueError: this seed is bad)" in str(told[0].message)
        for a, b in zip(many, one):
            for k, v in a.state_dict().items():
                assert np.array_equal(v, b.state_dict()[k])
        assert Ensemble(many).score((x, y)).accuracy > 0.4
    world.barrier()


def _second():
    ranks_second_order()
    ranks_sweep()


@pytest.mark.parametrize("n", [3] if not NIGHTLY else [2, 3, 4])
def test_second_order_and_independent_work(tmp_path, n):
    run(tmp_path, n, _second, raises, ranks_second_order, ranks_sweep)


# ---- failures ----
def ranks_fail(how):
    time.sleep(0.1)
    if world.rank == 1:
        if how == "raises":
            raise ValueError("what went wrong")
        if how == "interrupted":
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        if how == "in a thread":
            threading.Thread(target=lambda: [][0]).start()
            time.sleep(5)
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "leaves":
            sys.exit(0)
        if how == "hangs":
            time.sleep(30)
    if how == "hangs":
        distributed.init(timeout=0.5)
    world.gather("here")


FAILURES = {"raises": r"rank 1 of 3 on .*, process \d+ failed(.|\n)*ValueError: what went wrong",
            "interrupted": r"rank 1 of 3 on .*, process \d+ failed(.|\n)*KeyboardInterrupt",
            "in a thread": r"rank 1 of 3 on .*, process \d+ failed(.|\n)*IndexError",
            "leaves": r"RankLost: rank [02] of 3 .* waits in gather for rank 1 of 3 .* has ended",
            "killed": r"rank 1 of 3 on .*, process \d+ died, and with it all ranks",
            "hangs": r"RankLost: rank [02] of 3 .* waits in gather for others since 0.5 s"}


@pytest.mark.parametrize("how", [how for how in FAILURES if NIGHTLY or how not in ("interrupted", "in a thread")])
def test_a_rank_that_fails_ends_all_with_its_name(tmp_path, how):
    start = time.monotonic()
    told = run(tmp_path, 3, ranks_fail, arguments=[how], code=1)
    assert re.search(FAILURES[how], told) or (how == "killed" and sys.platform != "linux"), told
    assert time.monotonic() - start < 25  # not for ever; by itself it takes 1 s, or 3
    assert (" died, and" in told) == (how == "killed")


def unread(line):
    """The bytes that were sent through a socket and not yet received."""
    import fcntl
    import termios
    return int.from_bytes(fcntl.ioctl(line, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


@pytest.mark.skipif(sys.platform != "linux", reason="has a witness on Linux alone")
def test_the_witness_names_the_first():
    """Whichever of them it was, although the others follow at once; and nobody, if the end was known."""
    program = Path(distributed.__file__).with_name("witness.py")
    for said in (b"", b"end\n"):
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(address := f"\0{os.urandom(8).hex()}")
            server.listen(3)
            witness = subprocess.Popen([sys.executable, "-I", "-S", program, str(server.fileno())], text=True,
                                       stderr=subprocess.PIPE, pass_fds=[server.fileno()])
        lines = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for i, line in enumerate(lines):
            line.connect(address)
            line.sendall(f"rank {i}\n".encode())
        lines[0].sendall(said)
        deadline = time.monotonic() + 20
        while not said and any(map(unread, lines)) and time.monotonic() < deadline:
            time.sleep(0.01)
        for i in (2, 0, 1):
            lines[i].close()
        told = witness.communicate(timeout=20)[1]
        assert told == ("" if said else "rank 2 died, and with it all ranks\n") and witness.returncode == 0


def ranks_end_apart():
    if world.first:
        time.sleep(0.3)
        print("the last one")


def test_ranks_may_end_one_after_the_other(tmp_path):
    assert "the last one" in run(tmp_path, 2, ranks_end_apart)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_reaches_ranks_that_wait(tmp_path):
    job = launched(tmp_path, 2, ranks_wait)
    assert "waiting" in job.stdout.readline()
    job.send_signal(signal.SIGINT)
    out, err = job.communicate(timeout=60)
    assert job.returncode != 0 and "KeyboardInterrupt" in err, out + err


def ranks_wait():
    if world.rank == 0:
        print("waiting", flush=True)
        world.barrier()
    time.sleep(20)


# ---- one rank, and no MPI ----
@pytest.fixture
def without_mpi(monkeypatch):
    monkeypatch.setattr(module, "_world", None)
    for name in module.LAUNCHERS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    hooks = sys.excepthook
    yield
    assert sys.excepthook is hooks


def test_without_mpi(without_mpi, capsys):
    one = distributed.init()
    assert (one.rank, one.size, one.first, one.names) == (0, 1, True, [one.name]) and distributed.init() is one
    assert re.fullmatch(r"rank 0 of 1 on .+, process \d+", one.name) and str(os.getpid()) in one.name
    a = np.arange(3)
    assert one.sum(a).tolist() == a.tolist() and one.sum(a) is not a
    assert one.broadcast(a) is a and one.gather(a) == [a] and one.any(1) and not one.any(0)
    one.barrier()
    assert one.from_first(lambda: 5) == 5
    state = np.random.default_rng(0).bit_generator.state
    generator = np.random.default_rng(0)
    one.spread([generator])
    assert generator.bit_generator.state == state
    losses, model = trained(one, "SGD", 0)
    again, _ = trained(World.alone(), "SGD", 0, shuffle=True)
    assert losses == again and len(losses) == 12
    one.check(model)
    assert capsys.readouterr().err == ""
    assert distributed.sweep(lambda c: c + 1, [1, 2]) == [2, 3]
    p = nn.Parameter(np.array([3.0]))
    assert distributed.minimize(lambda: ((p - 1) ** 2).sum(), [p]).success and abs(p.data[0] - 1) < 1e-6
    layer, plain = distributed.SyncBatchNorm(3), nn.BatchNorm1d(3)
    x = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    assert np.array_equal(layer(Tensor(x)).data, plain(Tensor(x)).data)
    with pytest.raises(ValueError, match="SyncBatchNorm: input"):
        layer(Tensor(x[:, :2]))
    with pytest.raises(RuntimeError, match=r"every seed failed(.|\n)*ZeroDivisionError"):
        distributed.ensemble(lambda: models.mlp(4), lambda m: 1 / 0, [0, 1])


def test_bytes_on_the_wire(monkeypatch):
    """Of a ring in which every rank passes on a part in every step, counted."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "benchmarks"))
    from importlib import import_module
    paper = import_module("distributed")
    for ranks in (2, 4, 8):
        data, sent = np.arange(ranks * 8.0 * ranks).reshape(ranks, ranks, 8), 0
        total = data.sum(axis=0)
        for step in range(2 * (ranks - 1)):
            moving = [data[r, (r - step) % ranks].copy() for r in range(ranks)]
            sent += moving[0].nbytes
            for r in range(ranks):
                here = data[(r + 1) % ranks, (r - step) % ranks]
                here[...] = moving[r] + (here if step < ranks - 1 else 0)
        assert all(np.array_equal(d, total) for d in data) and sent == paper.on_the_wire(data[0].nbytes, ranks)
        assert paper.ring(data[0].nbytes, ranks, 0, 1, 0) == sent
        assert paper.halving_and_doubling(80, ranks, 1, 0, 0) == paper.recursive_doubling(80, ranks, 2, 0, 0)


def test_started_by_mpiexec_without_mpi4py(without_mpi, monkeypatch):
    monkeypatch.setenv("PMI_SIZE", "2")
    with pytest.raises(ImportError, match=r'pip install "minigrad\[mpi\]"'):
        distributed.init()


def test_started_by_another_mpis_mpiexec(without_mpi, monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    mpi = types.SimpleNamespace(COMM_WORLD=types.SimpleNamespace(size=1, rank=0),
                                Get_library_version=lambda: "An MPI 1.0\n")
    monkeypatch.setattr(module, "mpi", lambda: mpi)
    with pytest.raises(OSError, match=r"4 processes were started, .* another MPI's than mpi4py's .An MPI 1.0."):
        distributed.init()


@pytest.mark.parametrize("number", [0, 1])
def test_the_programs_of_the_page(tmp_path, number):
    page = ROOT / "docs" / "distributed.md"
    if not page.exists():
        pytest.skip("not a checkout")
    program = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.S)[number]
    run(tmp_path, 2, program)
