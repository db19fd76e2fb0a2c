"""minigrad.ensemble: what several outputs come to, how good that is, and snapshots of one training."""

import numpy as np
import pytest

import minigrad
from minigrad import Tensor, checkpoint, data, functional, models, nn, optim, train
from minigrad.ensemble import AVERAGES, Ensemble, Snapshots, average_outputs, cyclic_cosine
from minigrad.testing import gradcheck

RNG = np.random.default_rng(0)
X = RNG.standard_normal((50, 4)).astype(np.float32)
Y = X[:, :3].argmax(axis=1).astype(np.int64)


def members(n=3, dtype=np.float32):
    return [nn.Sequential(nn.Dense(4, 5, generator=np.random.default_rng(s)), nn.BatchNorm1d(5), nn.Tanh(),
                          nn.Dropout(0.5), nn.Dense(5, 3, generator=np.random.default_rng(s))).astype(dtype)
            for s in range(n)]


def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


# ---- averages ----
def test_averages_are_their_formulas():
    z = 3 * RNG.standard_normal((4, 6, 5))
    mean = softmax(z).mean(axis=0)
    np.testing.assert_allclose(np.exp(average_outputs(z).data), mean, rtol=1e-12)
    np.testing.assert_allclose(np.exp(average_outputs(z, "logits").data), softmax(z.mean(axis=0)), rtol=1e-12)
    geometric = np.exp(np.log(softmax(z)).mean(axis=0))
    np.testing.assert_allclose(softmax(z.mean(axis=0)), geometric / geometric.sum(axis=-1, keepdims=True), rtol=1e-12)
    votes = np.stack([np.bincount(column, minlength=5) for column in z.argmax(axis=2).T]) / 4
    np.testing.assert_allclose(np.exp(average_outputs(z, "vote").data), votes, rtol=1e-12)


def test_they_differ_where_they_should():
    z = np.log(np.array([[[0.98, 0.01, 0.01]], [[0.3, 0.4, 0.3]], [[0.3, 0.4, 0.3]]]))
    assert [int(average_outputs(z, a).data.argmax()) for a in ("probabilities", "logits", "vote")] == [0, 0, 1]
    z = np.log(np.array([[[1e-9, 1 - 1e-9]], [[0.9, 0.1]], [[0.9, 0.1]]]))
    assert [int(average_outputs(z, a).data.argmax()) for a in ("probabilities", "logits", "vote")] == [0, 1, 0]


@pytest.mark.parametrize("average", AVERAGES)
def test_one_member_is_itself(average):
    z = RNG.standard_normal((1, 6, 5))
    assert np.array_equal(average_outputs(z, average).data.argmax(axis=-1), z[0].argmax(axis=-1))
    if average != "vote":
        np.testing.assert_allclose(np.exp(average_outputs(z, average).data), softmax(z[0]), rtol=1e-12)


@pytest.mark.parametrize("average", ["probabilities", "logits"])
def test_large_logits_do_not_overflow_and_gradients_are_those_of_the_formula(average):
    z = Tensor(RNG.standard_normal((3, 2, 4)), requires_grad=True)
    gradcheck(lambda z: average_outputs(z, average), z)
    big = average_outputs(1e4 * RNG.standard_normal((3, 2, 4)), average).data
    assert np.isfinite(big).all()


def test_the_mean_probability_is_never_worse_than_the_mean_loss():
    """Jensen: -log of the mean is at most the mean of -log."""
    z, y = 2 * RNG.standard_normal((5, 40, 3)), RNG.integers(0, 3, 40)
    each = np.mean([functional.cross_entropy(Tensor(m), y).item() for m in z])
    for average in ("probabilities", "logits"):
        assert functional.cross_entropy(average_outputs(z, average), y).item() <= each


# ---- ensembles ----
@pytest.mark.parametrize("average", AVERAGES)
def test_an_ensemble_evaluates_as_a_model(average):
    e = Ensemble(members(), average)
    loss, accuracy, predictions = train.evaluate(e, (X, Y))
    np.testing.assert_allclose(predictions, e.predict_proba(X), atol=1e-6)
    np.testing.assert_allclose(predictions.sum(axis=1), 1, rtol=1e-5)
    assert accuracy == e.score((X, Y)).accuracy == (e.predict(X) == Y).mean()
    assert e.predict_proba(X).dtype == np.float32
    with np.errstate(divide="ignore"):
        assert loss == pytest.approx(-np.log(e.predict_proba(X)[np.arange(50), Y]).mean(), rel=1e-5)


def test_scores_are_the_members_own():
    e = Ensemble(members(4))
    score = e.score(data.DataLoader((X, Y), 16))
    assert score.members == [train.evaluate(m, (X, Y)).accuracy for m in e.members]
    assert score.by_size == [Ensemble(e.members[:n]).score((X, Y)).accuracy for n in range(1, 5)]
    assert score.mean == pytest.approx(np.mean(score.members)) and score.best == max(score.members)
    every = e.score((X, Y), subsets=100).by_size
    assert every[0] == pytest.approx(score.mean)
    assert every[3] == score.accuracy
    pairs = [Ensemble([e.members[i], e.members[j]]).score((X, Y)).accuracy for i in range(4) for j in range(i)]
    assert every[1] == pytest.approx(np.mean(pairs))
    assert e.score((X, Y), subsets=2).by_size == e.score((X, Y), subsets=2).by_size


def test_modes_are_restored_and_batches_do_not_matter():
    e = Ensemble(members())
    e.members[1].eval()
    np.testing.assert_allclose(e.logits(X, 7), e.logits(X), atol=1e-6)
    assert e.members[0].training
    assert not e.members[1].training
    assert e.logits(X[:0]).shape == (3, 0, 3)


def test_the_state_holds_all_members(tmp_path):
    e, other = Ensemble(members()), Ensemble(members(3)[::-1])
    path = checkpoint.save(tmp_path / "e.safetensors", e)
    other.load_state_dict(checkpoint.load(path).state)
    np.testing.assert_array_equal(other.predict_proba(X), e.predict_proba(X))
    assert "members.2.4.weight" in e.state_dict()


def test_an_ensemble_can_be_trained_as_one():
    e = Ensemble(members())
    history = train.fit(e, (X, Y), optim.Adam(e.parameters(), lr=0.05), epochs=25, batch_size=25, progress=False)
    assert history[-1].loss < 0.7 * history[0].loss


@pytest.mark.parametrize(("call", "text"), [
    (lambda: Ensemble([]), r"a list of at least one Module, got \[\]"),
    (lambda: Ensemble(members(), "mean"), r"average is one of 'probabilities', 'logits', 'vote', not 'mean'"),
    (lambda: average_outputs(np.zeros((3, 2))), r"logits \(3, 2\) must be \(members, N, C\)"),
    (lambda: average_outputs(np.zeros((3, 2, 2)), "mean"), r"not 'mean'"),
    (lambda: Ensemble(members()).score((X, X)), r"integer labels \(N,\), not float32 \(50, 4\)"),
    (lambda: Snapshots(0), r"T_0 must be a positive integer, got 0"),
    (lambda: Snapshots(2, last=0), r"last must be a positive integer, got 0"),
    (lambda: Snapshots(2).ensemble(nn.Dense(1, 1)), r"the first is, after 2 epochs"),
    (lambda: cyclic_cosine(0), r"cycles must be a positive integer, got 0")])
def test_what_cannot_be_is_said(call, text):
    with pytest.raises(ValueError, match=text):
        call()


# ---- snapshots ----
def test_the_cyclic_rate_is_sgdrs():
    p = minigrad.Parameter(np.zeros(1))
    optimizer = optim.SGD([p], lr=0.4)
    schedule, rates = optim.CosineAnnealingWarmRestarts(optimizer, 5), []
    for _ in range(20):
        rates.append(optimizer.lr)
        schedule.step()
    np.testing.assert_allclose([0.4 * cyclic_cosine(4)(t / 20) for t in range(20)], rates, rtol=1e-9)


@pytest.mark.parametrize(("settings", "epochs"), [
    ({"T_0": 2}, [2, 4, 6, 8, 10, 12, 14]), ({"T_0": 2, "T_mult": 2}, [2, 6, 14]), ({"T_0": 3, "last": 2}, [9, 12]),
    ({"T_0": 2, "T_mult": 3}, [2, 8]), ({"T_0": 20}, [])])
def test_snapshots_are_taken_at_the_restarts(settings, epochs):
    model, snapshots = nn.Dense(1, 1), Snapshots(**settings)
    for _ in range(2):
        for n in range(1, 15):
            model.weight.data[...] = n
            assert snapshots(model, [None] * n) is None
        assert snapshots.epochs == epochs
        assert [s["weight"].item() for s in snapshots.states] == epochs
    if "last" not in settings:
        optimizer = optim.SGD(model.parameters(), lr=1.0)
        schedule = optim.CosineAnnealingWarmRestarts(optimizer, settings["T_0"], settings.get("T_mult", 1))
        rates = [r for r, in (schedule.at(t) for t in range(15))]
        assert [t for t in range(1, 15) if rates[t] > rates[t - 1]] == epochs


def snapped(epochs=6, stop=0, **options):
    minigrad.manual_seed(0)
    model, snapshots = members(1)[0], Snapshots(2)
    train.fit(model, (X, Y), optim.SGD(model.parameters(), lr=0.2), epochs=epochs, batch_size=10, progress=False,
              schedule=cyclic_cosine(3), callbacks=[snapshots, lambda model, history: len(history) == stop], **options)
    return model, snapshots


@pytest.mark.parametrize("stop", [1, 2, 3, 4])
def test_snapshots_are_resumed_to_the_bit(tmp_path, stop):
    model, snapshots = snapped()
    snapped(stop=stop, checkpoint=tmp_path)
    again, its = snapped(resume=tmp_path)
    assert its.epochs == snapshots.epochs == [2, 4, 6]
    for a, b in zip([*its.states, again.state_dict()], [*snapshots.states, model.state_dict()], strict=True):
        assert all(a[k].tobytes() == b[k].tobytes() for k in b)


def test_the_ensemble_of_snapshots_has_their_weights_and_none_of_the_models():
    model, snapshots = snapped()
    e = snapshots.ensemble(model, "logits")
    assert len(e.members) == 3
    assert e.average == "logits"
    for member, state in zip(e.members, snapshots.states):
        assert all(np.array_equal(v, state[k]) for k, v in member.state_dict().items())
        assert not {id(p) for p in member.parameters()} & {id(p) for p in model.parameters()}
    assert len({m.state_dict()["0.weight"].tobytes() for m in e.members}) == 3


def test_five_networks_are_better_than_one_on_digits():
    pytest.importorskip("sklearn")
    train_set, test = data.digits(), data.digits(train=False)
    found = []
    for seed in range(5):
        minigrad.manual_seed(seed)
        found.append(models.mlp(64, (16,)))
        train.fit(found[-1], train_set, optim.Adam(found[-1].parameters(), lr=0.01), epochs=4, batch_size=64,
                  progress=False)
    score = Ensemble(found).score(test)
    assert score.accuracy > score.mean
