"""minigrad.data.mixing and the penalty on activities: regularisers that see samples and outputs, not weights."""

import functools

import numpy as np
import pytest

import minigrad
from minigrad import Tensor, nn, optim, train
from minigrad import functional as F
from minigrad.data.mixing import MixingLoader, cutmix, mixup
from minigrad.optim.regularizers import ActivityPenalty
from minigrad.testing import gradcheck

RNG = np.random.default_rng(0)
X = RNG.standard_normal((6, 2, 5, 4)).astype(np.float32)
Y = np.array([0, 2, 1, 1, 0, 2])
ORDER = np.array([1, 2, 3, 4, 5, 0])


# ---- mixup ----
def test_mixup_is_its_formula():
    x, y = mixup(X, Y, 3, lam=0.3, order=ORDER)
    one = np.eye(3, dtype=np.float32)[Y]
    np.testing.assert_allclose(x, 0.3 * X + 0.7 * X[ORDER], rtol=1e-6)
    np.testing.assert_allclose(y, 0.3 * one + 0.7 * one[ORDER], rtol=1e-6)
    assert x.dtype == y.dtype == np.float32
    assert np.array_equal(mixup(X, one, lam=0.3, order=ORDER)[1], y)
    assert np.array_equal(mixup(X, Y, 3, lam=1.0)[0], X)


def test_mixup_of_tensors_is_tensors():
    x, y = mixup(Tensor(X), Tensor(Y), 3, lam=0.3, order=ORDER)
    assert isinstance(x, Tensor)
    assert isinstance(y, Tensor)
    assert np.array_equal(x.data, mixup(X, Y, 3, lam=0.3, order=ORDER)[0])


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_lam_has_the_mean_and_variance_of_beta(alpha):
    chance, x, y = np.random.default_rng(1), np.array([[0.0], [1.0]]), np.array([0, 1])
    drawn = np.array([mixup(x, y, 2, alpha, chance, order=[1, 0])[0][1, 0] for _ in range(3000)])
    variance = 1 / (4 * (2 * alpha + 1))
    assert abs(drawn.mean() - 0.5) < 4 * np.sqrt(variance / 3000)
    assert drawn.var() == pytest.approx(variance, rel=0.1)


# ---- cutmix ----
def test_cutmix_takes_a_box_and_its_share():
    x, y = cutmix(X, Y, 3, lam=0.75, order=ORDER, center=(2, 1))  # sides 5/2 and 4/2, rounded down: 2 x 2
    expected = X.copy()
    expected[:, :, 1:3, 0:2] = X[ORDER][:, :, 1:3, 0:2]
    one = np.eye(3)[Y]
    np.testing.assert_array_equal(x, expected)
    np.testing.assert_allclose(y, 0.8 * one + 0.2 * one[ORDER], rtol=1e-6)
    assert x.dtype == y.dtype == np.float32


@pytest.mark.parametrize(("lam", "center", "share"), [(1.0, (2, 2), 0), (0.0, (2, 2), 1), (0.0, (0, 0), 6 / 20),
                                                      (0.01, (4, 3), 6 / 20)])
def test_boxes_are_cut_at_the_edges(lam, center, share):
    _, y = cutmix(X, Y, 3, lam=lam, order=ORDER, center=center)
    taken = y[0, 2]  # the first is of class 0, what it gets of class 2
    assert taken == pytest.approx(share, abs=1e-6)
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-6)


def test_pixels_and_targets_come_in_the_same_share():
    chance = np.random.default_rng(2)
    x, y = np.zeros((2, 1, 8, 8)), np.array([0, 1])
    x[1] = 1
    for _ in range(200):
        mixed, targets = cutmix(x, y, 2, 1.0, chance, order=[1, 0])
        assert mixed[0].mean() == pytest.approx(targets[0, 1])
        assert mixed[1].mean() == pytest.approx(targets[1, 1])


# ---- the loader ----
def test_the_loader_mixes_every_batch_and_fit_takes_it():
    minigrad.manual_seed(0)
    x = RNG.standard_normal((60, 6)).astype(np.float32)
    y = x[:, :3].argmax(axis=1)
    loader = MixingLoader((x, y), functools.partial(mixup, classes=3, alpha=0.2), batch_size=16, shuffle=True)
    batches = list(loader)
    assert [b[0].shape for b in batches] == [(16, 6)] * 3 + [(12, 6)]
    assert all(np.allclose(b[1].data.sum(axis=1), 1) for b in batches)
    model = nn.Sequential(nn.Dense(6, 16), nn.ReLU(), nn.Dense(16, 3))
    history = train.fit(model, loader, optim.Adam(model.parameters(), lr=0.02), epochs=15, validation=(x, y),
                        progress=False)
    assert history[-1].val_accuracy > 0.9
    assert history[-1].accuracy is None


@pytest.mark.parametrize("seeded", [False, True])
def test_a_pause_changes_nothing(tmp_path, seeded):
    def run(epochs, **options):
        minigrad.manual_seed(0)
        mixes = [functools.partial(mixup, classes=3), functools.partial(cutmix, classes=3)]
        loader = MixingLoader((X, Y), mixes, 2, True, generator=np.random.default_rng(5) if seeded else None)
        model = nn.Sequential(nn.Flatten(), nn.Dense(40, 3))
        train.fit(model, loader, optim.Adam(model.parameters()), epochs=epochs, progress=False, **options)
        return model.state_dict()["1.weight"].tobytes()
    whole = run(4)
    run(2, checkpoint=tmp_path)
    assert run(4, resume=tmp_path) == whole


@pytest.mark.parametrize(("call", "error", "text"), [
    (lambda: mixup(X, Y), ValueError, r"labels of shape \(6,\) must be \(N,\), with classes"),
    (lambda: mixup(X, Y, 2), ValueError, r"labels from 0 to 2 are not of 2 classes"),
    (lambda: mixup(X, Y[:2], 3), ValueError, r"mixup: 6 rows of x and 2 of y"),
    (lambda: mixup(X, Y, 3, alpha=0), ValueError, r"alpha must be positive, got 0"),
    (lambda: mixup(X, Y, 3, lam=2), ValueError, r"lam must be between 0 and 1, got 2"),
    (lambda: mixup(Y, Y, 3), TypeError, r"mixup: x must be floating-point numbers, not int64"),
    (lambda: cutmix(X[0], Y, 3), ValueError, r"cutmix: x \(2, 5, 4\) must be images"),
    (lambda: MixingLoader((X, Y), []), ValueError, r"mix must be a function")])
def test_what_cannot_be_is_said(call, error, text):
    with pytest.raises(error, match=text):
        call()


# ---- activities ----
def net(dtype=np.float64):
    return nn.Sequential(nn.Dense(4, 5, dtype=dtype, generator=np.random.default_rng(0)), nn.Tanh(),
                         nn.Dense(5, 3, dtype=dtype, generator=np.random.default_rng(1)), nn.Tanh())


@pytest.mark.parametrize("where", [nn.Tanh, (nn.Tanh, nn.ReLU), "[13]", lambda name, m: isinstance(m, nn.Tanh)])
def test_the_penalty_is_its_formula(where):
    model, x = net(), RNG.standard_normal((7, 4))
    penalty = ActivityPenalty(model, 0.3, 0.2, where=where)
    for _ in range(2):  # of the last call alone
        last = model(Tensor(x))
    first = model[1](model[0](Tensor(x)))
    model(Tensor(x))
    expected = sum(0.3 * np.abs(a.data).sum() + 0.2 * (a.data**2).sum() for a in (first, last)) / 7
    assert penalty().item() == pytest.approx(expected, rel=1e-12)
    penalty.remove()
    model(Tensor(x))
    assert penalty().item() == 0


def test_the_penalty_is_differentiable_twice():
    model, x = net(), RNG.standard_normal((3, 4))
    penalty = ActivityPenalty(model, 0.3, 0.2, where="1")

    def value(w):
        model[0].weight = w
        model(Tensor(x))
        return penalty()
    weight = model[0].weight.data.copy()
    del model[0].weight
    gradcheck(value, weight)


def test_it_makes_outputs_smaller_in_fit():
    x = RNG.standard_normal((40, 4)).astype(np.float32)
    y, sizes = x[:, :3].argmax(axis=1), []
    for strength in (0.0, 0.1):
        minigrad.manual_seed(0)
        model = nn.Sequential(nn.Dense(4, 16), nn.ReLU(), nn.Dense(16, 3))
        penalty = ActivityPenalty(model, l1=strength, where=nn.ReLU)
        train.fit(model, (x, y), optim.Adam(model.parameters(), lr=0.02), validation=(x, y), epochs=20, batch_size=20,
                  progress=False, loss=lambda output, y, penalty=penalty: F.cross_entropy(output, y) + penalty())
        sizes.append(float(np.abs(F.relu(model[0](Tensor(x))).data).mean()))
        assert penalty().dtype == np.float32
    assert sizes[1] < 0.8 * sizes[0]


def test_a_penalty_on_nothing_is_refused():
    with pytest.raises(ValueError, match=r"selects none of the model's layers: itself \(Sequential\), 0 \(Dense\)"):
        ActivityPenalty(net(), 0.1, where=nn.ReLU)
    with pytest.raises(ValueError, match=r"l1 must be finite and at least 0, got -1"):
        ActivityPenalty(net(), -1, where=nn.Tanh)
