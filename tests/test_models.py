"""minigrad.models: shapes, recipes, errors; that they learn; what chance does in them; text written by a model."""

import numpy as np
import pytest

import minigrad
from minigrad import Tensor, checkpoint, data, functional, models, nn, optim, train

RNG = np.random.default_rng(0)


def images(*shape):
    return Tensor(RNG.random(shape, np.float32))


RECIPES = [
    ("lenet5", {"size": 8, "activation": "relu", "pooling": "max"}, (2, 1, 8, 8)), ("lenet5", {}, (2, 1, 28, 28)),
    ("lenet5", {"channels": 3, "size": 32, "classes": 4}, (2, 3, 32, 32)),
    ("resnet", {"width": 4}, (2, 1, 8, 8)), ("resnet", {"channels": 3, "classes": 4, "width": 2}, (2, 3, 28, 28)),
    ("resnet", {"blocks": 2, "width": 4, "shortcut": "B", "survival": 0.5, "mode": "row"}, (2, 1, 9, 9)),
    *[("char_rnn", {"alphabet": "abc é", "hidden": 6, "embedding": 4, "kind": k}, None) for k in models.RECURRENT]]


@pytest.mark.parametrize(("name", "arguments", "shape"), RECIPES)
@pytest.mark.parametrize("suffix", checkpoint.SUFFIXES)
def test_a_file_rebuilds_its_model(tmp_path, suffix, name, arguments, shape):
    model = models.build(name, **arguments).eval()
    x = np.array([[0, 4, 2], [1, 1, 3]]) if shape is None else images(*shape)
    copy = checkpoint.load(checkpoint.save(tmp_path / f"m{suffix}", model)).build()
    y = model(x)
    np.testing.assert_array_equal(copy(x).data, y.data)
    assert y.dtype == np.float32
    assert y.shape == ((2, 5, 3) if shape is None else (2, arguments.get("classes", 10)))
    assert copy.recipe == model.recipe
    state = nn.torch_state_dict(model)
    nn.load_torch_state_dict(copy, state)
    assert all(np.array_equal(v, copy.state_dict()[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize(("name", "arguments", "shape"), RECIPES)
def test_the_same_generator_gives_the_same_weights(name, arguments, shape):
    a, b, c = (models.build(name, **arguments, generator=np.random.default_rng(s)).state_dict() for s in (1, 1, 2))
    assert all(np.array_equal(a[k], b[k]) for k in a)
    assert any(not np.array_equal(a[k], c[k]) for k in a)


def test_lenet_is_as_large_as_the_papers_but_for_what_its_docstring_says():
    sizes = [sum(p.size for p in layer.parameters()) for layer in models.lenet5(size=32)]
    assert [s for s in sizes if s] == [156, 2416, 48120, 10164, 850]  # C3 of the paper: 1516; S2, S4: 12 and 32
    assert models.lenet5(size=28)[6](images(1, 16, 5, 5)).shape == (1, 120, 1, 1)


def test_resnet_is_as_large_as_the_papers():
    """Table 6: 20 layers with 0.27 million weights, 56 with 0.85."""
    for blocks, millions in ((3, 0.27), (9, 0.85)):
        count = sum(p.size for p in models.resnet(3, 32, blocks=blocks, width=16).parameters())
        assert round(count / 1e6, 2) == millions
    model = models.resnet(blocks=3)
    assert sum(isinstance(m, (nn.Conv2d, nn.Dense)) for m in model.modules()) == 20
    assert len(list(models.resnet(shortcut="B").parameters())) == len(list(models.resnet().parameters())) + 6


def test_resnet_drops_later_blocks_more_often():
    model = models.resnet(blocks=3, survival=0.5)
    drops = [m.p for m in model.modules() if isinstance(m, nn.StochasticDepth)]
    np.testing.assert_allclose(drops, np.arange(1, 10) / 18)
    assert {m.mode for m in model.modules() if isinstance(m, nn.StochasticDepth)} == {"batch"}
    plain = [m.p for m in models.resnet().modules() if isinstance(m, nn.StochasticDepth)]
    assert plain == [0, 0, 0]


def test_a_dropped_block_is_its_shortcut():
    minigrad.manual_seed(0)
    block = models.BasicBlock(2, 4, 2, "A", drop=1.0)
    x = images(3, 2, 6, 6)
    y = block(x)
    np.testing.assert_array_equal(y.data[:, 1:3], x.data[:, :, ::2, ::2])
    assert not y.data[:, [0, 3]].any()
    assert block.eval()(x).data[:, [0, 3]].any()


@pytest.mark.parametrize(("call", "text"), [
    (lambda: models.lenet5(activation="gelu"), r"activation is one of 'tanh', 'relu', not 'gelu'"),
    (lambda: models.lenet5(pooling="min"), r"pooling is one of 'average', 'max', not 'min'"),
    (lambda: models.lenet5(size=3), r"3 x 3 pixels are too small"),
    (lambda: models.resnet(shortcut="C"), r"shortcut is one of 'A', 'B', not 'C'"),
    (lambda: models.resnet(blocks=0), r"blocks and width must be at least 1, got 0 and 8"),
    (lambda: models.resnet(survival=0), r"survival must be above 0 and at most 1, got 0"),
    (lambda: models.resnet(mode="column"), r"mode is 'row' or 'batch', not 'column'"),
    (lambda: models.BasicBlock(4, 2), r"2 channels, but its input has 4"),
    (lambda: models.char_rnn("aab"), r"each character once"),
    (lambda: models.char_rnn(""), r"each character once"),
    (lambda: models.char_rnn("ab", kind="cnn"), r"kind is one of 'rnn', 'lstm', 'gru', 'sru', not 'cnn'"),
    (lambda: models.char_rnn("ab").encode("abd!"), r"not in the alphabet: '!d'"),
    (lambda: models.char_rnn("ab").sample("", 3), r"prefix must hold a character"),
    (lambda: models.char_rnn("ab").sample("a", -1), r"must not be negative, got -1 and 1.0"),
    (lambda: models.char_rnn("ab").sample("a", 1, -0.5), r"must not be negative, got 1 and -0.5"),
    (lambda: models.build("vgg"), r"no model called 'vgg'; there are mlp, cnn, lenet5, resnet, char_rnn")])
def test_what_cannot_be_is_said(call, text):
    with pytest.raises(ValueError, match=text):
        call()


# ---- they learn ----
@pytest.mark.parametrize(("name", "arguments"), [
    ("lenet5", {}), ("lenet5", {"activation": "relu", "pooling": "max"}), ("resnet", {"width": 4}),
    ("resnet", {"width": 4, "shortcut": "B", "survival": 0.8, "mode": "row"})])
def test_they_learn_digits(name, arguments):
    pytest.importorskip("sklearn")
    minigrad.manual_seed(0)
    model = models.build(name, size=8, **arguments)
    train.fit(model, data.digits(), optim.Adam(model.parameters(), lr=0.01), epochs=4, batch_size=32, progress=False,
              schedule="onecycle")
    assert train.evaluate(model, data.digits(train=False)).accuracy > 0.9


@pytest.mark.parametrize("kind", models.RECURRENT)
def test_a_character_model_learns_a_text_and_writes_it(kind):
    text = "abcabd" * 20
    model = models.char_rnn("abcd", 8, 16, kind=kind, generator=np.random.default_rng(0))
    index = model.encode(text)
    x = np.lib.stride_tricks.sliding_window_view(index, 13)
    history = train.fit(model, (x[:, :-1], x[:, 1:]), optim.Adam(model.parameters(), lr=0.03), epochs=12,
                        batch_size=32, progress=False, generator=np.random.default_rng(0))
    assert history[-1].loss < 0.3 < history[0].loss
    assert history[-1].accuracy is None
    assert model.sample("abcabd", 12, temperature=0) == "abcabd" * 3
    assert model.training


# ---- text ----
def test_indices_and_text():
    model = models.char_rnn("ab é")
    np.testing.assert_array_equal(model.encode("é ba"), [3, 2, 1, 0])
    assert model.decode(model.encode("baé a")) == "baé a"
    assert model.encode("").shape == (0,)


@pytest.mark.parametrize("kind", models.RECURRENT)
def test_a_text_can_be_read_in_pieces(kind):
    model = models.char_rnn("abc", 4, 6, 2, kind, generator=np.random.default_rng(0))
    index = np.array([[0, 1, 2, 1, 0], [2, 2, 1, 0, 0]])
    whole = model(index)
    first, state = model.step(index[:, :2])
    rest, _ = model.step(index[:, 2:], state)
    np.testing.assert_allclose(np.concatenate([first.data, rest.data], 1).swapaxes(1, 2), whole.data, atol=1e-6)
    assert functional.cross_entropy(whole, index).shape == ()


def test_samples_follow_the_softmax_of_the_logits():
    model = models.char_rnn("abcd", 4, 6, generator=np.random.default_rng(0))
    for p in model.parameters():
        p.data *= 4
    logits = model(np.array([[1]])).data[0, :, 0].astype(np.float64)
    for temperature in (0.5, 1.0, 3.0):
        chance, n = np.random.default_rng(1), 1000
        drawn = [model.sample("b", 1, temperature, chance)[1] for _ in range(n)]
        p = np.exp(logits / temperature) / np.exp(logits / temperature).sum()
        shares = np.array([drawn.count(c) for c in "abcd"]) / n
        assert np.all(np.abs(shares - p) < 4.5 * np.sqrt(p * (1 - p) / n))
    assert model.sample("b", 1, 0)[1] == "abcd"[logits.argmax()]


def test_samples_are_reproducible_and_start_with_the_prefix():
    model = models.char_rnn("abcd", generator=np.random.default_rng(0))
    once, again, other = (model.sample("dab", 30, generator=np.random.default_rng(s)) for s in (1, 1, 2))
    assert once == again != other
    assert once.startswith("dab")
    assert len(once) == 33
    minigrad.manual_seed(5)
    once = model.sample("a", 20)
    minigrad.manual_seed(5)
    assert model.sample("a", 20) == once
    assert model.sample("ab", 0) == "ab"


def test_sampling_has_no_dropout_and_restores_every_mode():
    model = models.char_rnn("abcd", layers=2, dropout=0.9, generator=np.random.default_rng(0))
    model.dense.eval()
    assert model.sample("a", 9, 0) == model.sample("a", 9, 0)
    assert model.rnn.training
    assert not model.dense.training
