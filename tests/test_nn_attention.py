"""Attention, embeddings, positions, relatives of the dense layer, shortcuts and merges: what they promise beyond being
equal to their references."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from minigrad import Tensor, grad, nn, no_grad, optim, vmap
from minigrad import functional as F

L, N, E, HEADS = 5, 3, 8, 2


def rng(seed=0):
    return np.random.default_rng(seed)


def normal(*shape, seed=0, dtype=np.float64):
    return rng(seed).standard_normal(shape).astype(dtype)


def leaf(*shape, seed=0):
    return Tensor(normal(*shape, seed=seed), requires_grad=True)


def double(module):
    return module.astype(np.float64)


def attention(**settings):
    return double(nn.MultiheadAttention(E, HEADS, generator=rng(), **settings))


def encoder(layers=2, **settings):
    settings = {"dropout": 0.0, "generator": rng()} | settings
    return double(nn.TransformerEncoder(nn.TransformerEncoderLayer(E, HEADS, 16, **settings), layers))


CAUSAL = {
    "sdpa": lambda x: F.scaled_dot_product_attention(x.swapaxes(0, 1), x.swapaxes(0, 1), x.swapaxes(0, 1),
                                                     is_causal=True).swapaxes(0, 1),
    "MultiheadAttention": lambda x: attention()(x, x, x, is_causal=True)[0],
    "MultiheadAttention, mask": lambda x: attention()(x, x, x, attn_mask=~np.tri(L, dtype=bool))[0],
    "TransformerEncoder": lambda x: encoder()(x, is_causal=True),
    "TransformerEncoder, norm_first": lambda x: encoder(norm_first=True)(x, is_causal=True),
    "TransformerEncoder, float mask": lambda x: encoder()(x, mask=np.where(np.tri(L), 0, -np.inf)),
}


# ---- what is masked is not seen ----
@pytest.mark.parametrize("name", CAUSAL)
def test_the_future_does_not_leak(name):
    x = leaf(L, N, E)
    y = CAUSAL[name](x)
    for i in range(L):
        g, = grad((y[i] * normal(N, E, seed=1)).sum(), [x], retain_graph=True)
        assert not g.data[i + 1:].any()
        assert all(g.data[j].any() for j in range(i + 1))


def test_without_a_mask_everything_is_seen():
    x = leaf(L, N, E)
    g, = grad((encoder()(x)[0] * normal(N, E, seed=1)).sum(), [x])
    assert all(row.any() for row in g.data)


@pytest.mark.parametrize("kind", ["boolean", "float"])
@pytest.mark.parametrize("norm_first", [False, True])
def test_padding_is_not_seen(kind, norm_first):
    padding = np.arange(L) >= np.array([[L], [3], [1]])  # lengths 5, 3, 1
    mask = padding if kind == "boolean" else np.where(padding, -np.inf, 0)
    model = encoder(norm_first=norm_first)
    x = leaf(L, N, E)
    kept = ~padding.T[..., None]
    y = model(x, src_key_padding_mask=mask)
    g, = grad((y * normal(L, N, E, seed=1) * kept).sum(), [x])
    assert not g.data[padding.T].any() and g.data[~padding.T].all()
    alone = model(x[:3, 1])  # the second sequence without its padding
    assert_allclose(y.data[:3, 1], alone.data, rtol=1e-12, atol=1e-12)


def test_examples_do_not_see_each_other():
    x = leaf(L, N, E)
    g, = grad((encoder()(x)[:, 1] * normal(L, E, seed=1)).sum(), [x])
    assert not g.data[:, [0, 2]].any() and g.data[:, 1].all()


def test_a_query_that_sees_nothing_gets_zeros_and_passes_no_gradient():
    q, k, v = leaf(3, 4), leaf(5, 4, seed=1), leaf(5, 2, seed=2)
    seen = np.arange(3)[:, None] > 0  # nothing by the first query
    for mask in (seen, np.where(seen, 0, -np.inf)):
        y = F.scaled_dot_product_attention(q, k, v, mask)
        assert not y.data[0].any() and y.data[1:].all()
        assert not any(g.data.any() for g in grad(y[0].sum(), [q, k, v]))
    y, weights = attention()(*[leaf(3, N, E, seed=s) for s in range(3)], key_padding_mask=np.ones((N, 3), bool))
    assert not weights.data.any() and not y.data.any()  # the biases start at 0


def test_masks_are_one_another():
    q, k, v = normal(2, L, 4), normal(2, L, 4, seed=1), normal(2, L, 3, seed=2)
    expected = F.scaled_dot_product_attention(Tensor(q), k, v, is_causal=True).data
    for mask in (np.tri(L, dtype=bool), np.where(np.tri(L), 0, -np.inf), np.where(np.tri(L), 0, -np.inf)[None]):
        assert_allclose(F.scaled_dot_product_attention(Tensor(q), k, v, mask).data, expected, rtol=1e-14)
    m, x = attention(), Tensor(normal(L, N, E))
    a, b = (m(x, x, x, **given)[0].data for given in ({"is_causal": True}, {"attn_mask": ~np.tri(L, dtype=bool)}))
    assert_array_equal(a, b)
    pad = np.arange(L) >= np.array([[3], [4], [5]])
    given = [m(x, x, x, key_padding_mask=p, is_causal=True)[0].data for p in (pad, np.where(pad, -np.inf, 0))]
    assert_allclose(*given, rtol=1e-13)


# ---- what attention is ----
def test_weights_are_shares_and_the_output_is_their_mean_of_the_values():
    x = Tensor(normal(L, N, E))
    m = attention()
    _, each = m(x, x, x, average_attn_weights=False)
    assert each.shape == (N, HEADS, L, L) and (each.data > 0).all()
    assert_allclose(each.data.sum(-1), 1, rtol=1e-14)
    y, averaged = m(x, x, x)
    assert_allclose(averaged.data, each.data.mean(1), rtol=1e-14)
    without, none = m(x, x, x, need_weights=False)
    assert none is None
    assert_array_equal(without.data, y.data)
    v = (x.data @ m.in_proj_weight.data[2 * E:].T).reshape(L, N, HEADS, E // HEADS)
    heads = np.einsum("nhls,snhd->lnhd", each.data, v).reshape(L, N, E)
    assert_allclose(y.data, heads @ m.out_proj.weight.data, rtol=1e-12)


def test_scale_zero_takes_the_mean_and_a_great_one_the_best():
    q, k, v = (Tensor(normal(L, 4, seed=s)) for s in range(3))
    flat = F.scaled_dot_product_attention(q, k, v, scale=0.0)
    assert_allclose(flat.data, np.tile(v.data.mean(0), (L, 1)), rtol=1e-13)
    sharp = F.scaled_dot_product_attention(q, k, v, scale=1e4)
    assert_allclose(sharp.data, v.data[(q.data @ k.data.T).argmax(1)], rtol=1e-13)


def test_large_scores_do_not_overflow():
    q = Tensor(np.float32([[1e18, 0], [0, -1e18]]))
    y = F.scaled_dot_product_attention(q, q, Tensor(np.eye(2, dtype=np.float32)), scale=1.0)
    assert_array_equal(y.data, np.eye(2, dtype=np.float32))


def test_shared_heads_are_repeated_heads():
    q, k, v = Tensor(normal(2, 6, L, 4)), Tensor(normal(2, 3, L, 4, seed=1)), Tensor(normal(2, 3, L, 2, seed=2))
    y = F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
    for head in range(6):
        one = F.scaled_dot_product_attention(q[:, head], k[:, head // 2], v[:, head // 2])
        assert_allclose(y.data[:, head], one.data, rtol=1e-13)


@pytest.mark.parametrize("norm_first", [False, True])
def test_without_positions_order_means_nothing(norm_first):
    model, order = encoder(norm_first=norm_first), rng(3).permutation(L)
    x = normal(L, N, E)
    assert_allclose(model(Tensor(x[order])).data, model(Tensor(x)).data[order], rtol=1e-10, atol=1e-12)
    for positions in (nn.PositionalEncoding(E), double(nn.PositionalEmbedding(L, E, generator=rng(1)))):
        gap = model(positions(Tensor(x[order]))).data - model(positions(Tensor(x))).data[order]
        assert abs(gap).max() > 1e-3


@pytest.mark.parametrize("settings", [{}, {"add_bias_kv": True, "add_zero_attn": True}, {"kdim": 3, "vdim": 4}])
def test_batch_first_and_no_batch_axis(settings):
    m = attention(**settings)
    first = attention(**settings, batch_first=True)
    q, k, v = (Tensor(normal(L, N, d, seed=s)) for s, d in enumerate((E, m.kdim, m.vdim)))
    y, w = m(q, k, v)
    y1, w1 = first(*(x.swapaxes(0, 1) for x in (q, k, v)))
    assert_allclose(y1.data.swapaxes(0, 1), y.data, rtol=1e-12)
    assert_allclose(w1.data, w.data, rtol=1e-12)
    for n in range(N):
        yn, wn = m(q[:, n], k[:, n], v[:, n])
        assert_allclose(yn.data, y.data[:, n], rtol=1e-12)
        assert_allclose(wn.data, w.data[n], rtol=1e-12)


def test_self_attention_is_one_projection_of_what_three_would_be():
    m, x = attention(), leaf(L, N, E)
    packed = grad(m(x, x, x)[0].sum() * 3, [x, m.in_proj_weight])
    apart = grad(m(x, x * 1, x * 1)[0].sum() * 3, [x, m.in_proj_weight])
    for a, b in zip(packed, apart):
        assert_allclose(a.data, b.data, rtol=1e-10, atol=1e-12)


def test_attention_inside_vmap():
    m, x = attention(batch_first=True), Tensor(normal(N, L, E))
    assert_allclose(vmap(lambda s: m(s, s, s, is_causal=True)[0])(x).data, m(x, x, x, is_causal=True)[0].data,
                    rtol=1e-12)
    masks = rng(1).random((N, L, L)) < 0.5  # for some examples with queries that see nothing
    masks[0, 0] = False
    each = vmap(lambda s, mask: F.scaled_dot_product_attention(s, s, s, mask))(x, masks)
    assert_allclose(each.data, F.scaled_dot_product_attention(x, x, x, masks).data, rtol=1e-12)
    pad = np.arange(L) >= np.array([[3], [0], [5]])
    for mask in (pad, np.where(pad, -np.inf, 0)):
        each = vmap(lambda s, mask: m(s, s, s, key_padding_mask=mask, is_causal=True)[0])(x, mask)
        assert_allclose(each.data, m(x, x, x, key_padding_mask=mask, is_causal=True)[0].data, rtol=1e-12, atol=1e-14)


def test_masks_may_be_tensors_and_lists():
    m, x = attention(), Tensor(normal(2, N, E))
    expected = m(x, x, x, attn_mask=np.array([[False, True], [False, False]]))[0].data
    lists = [[False, True], [False, False]], [[0.0, -np.inf], [0.0, 0.0]]
    for mask in (*lists, *(Tensor(np.array(a)) for a in lists)):
        assert_allclose(m(x, x, x, attn_mask=mask)[0].data, expected, rtol=1e-13)
        pad = mask[:1] * N if isinstance(mask, list) else mask[[0] * N]
        assert_allclose(m(x, x, x, key_padding_mask=pad, attn_mask=mask)[1].data[..., 1], 0)
    bias = leaf(2, 2)
    assert grad(m(x, x, x, attn_mask=bias)[0].sum() * 3, [bias])[0].data.all()


# ---- dropout ----
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("settings", [{}, {"kdim": 3, "vdim": 5}, {"add_bias_kv": True, "add_zero_attn": True}])
def test_attention_of_no_examples(settings, batch_first):
    m = nn.MultiheadAttention(E, HEADS, batch_first=batch_first, **settings)
    shapes = [(0, L, n) if batch_first else (L, 0, n) for n in (E, m.kdim, m.vdim)]
    xs = [Tensor(np.zeros(s, np.float32), requires_grad=True) for s in shapes]
    y, weights = m(*xs, key_padding_mask=np.zeros((0, L), bool), is_causal=True)
    assert y.shape == shapes[0] and weights.shape == (0, L, L + 2 * ("add_zero_attn" in settings))
    assert [g.shape for g in grad(y.sum(), xs)] == shapes


@pytest.mark.parametrize("norm_first", [True, False])
def test_an_encoder_of_no_examples(norm_first):
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(E, HEADS, 16, norm_first=norm_first), 2, nn.LayerNorm(E))
    x = Tensor(np.zeros((L, 0, E), np.float32))
    assert model(x).shape == model.layers[0](x).shape == x.shape


def test_dropout_of_the_weights_is_right_on_average():
    q, k, v = (Tensor(normal(3, 4, seed=s)) for s in range(3))
    generator = rng(1)
    draws = [F.scaled_dot_product_attention(q, k, v, dropout_p=0.4, generator=generator).data for _ in range(4000)]
    expected = F.scaled_dot_product_attention(q, k, v).data
    error = np.std(draws, axis=0) / np.sqrt(len(draws))
    assert (abs(np.mean(draws, axis=0) - expected) < 5 * error).all() and (error > 0).all()
    assert not F.scaled_dot_product_attention(q, k, v, dropout_p=1.0).data.any()


@pytest.mark.parametrize("make", [
    lambda g: nn.MultiheadAttention(E, HEADS, 0.5, generator=g),
    lambda g: nn.TransformerEncoder(nn.TransformerEncoderLayer(E, HEADS, 16, 0.5, generator=g), 2),
    lambda g: nn.PositionalEncoding(E, 0.5, generator=g), lambda g: nn.PositionalEmbedding(L, E, 0.5, generator=g)])
def test_dropout_drops_in_training_only_and_follows_the_generator(make):
    x = Tensor(normal(L, N, E, dtype=np.float32))

    def run(module):
        y = module(x, x, x)[0] if isinstance(module, nn.MultiheadAttention) else module(x)
        return y.data
    a, b = make(rng(1)), make(rng(1))
    first = run(a)
    assert_array_equal(first, run(b))
    assert (run(a) != first).any()
    assert_array_equal(run(a.eval()), run(a))


def test_layers_of_an_encoder_have_their_own_weights_and_drop_apart():
    generator = rng(1)
    layer = nn.TransformerEncoderLayer(E, HEADS, 16, 0.5, generator=generator)
    model = nn.TransformerEncoder(layer, 3, nn.LayerNorm(E))
    names = [n for n, _ in model.named_parameters()]
    assert len(names) == 3 * 12 + 2 and "layers.2.self_attn.out_proj.weight" in names
    assert not {id(p) for p in layer.parameters()} & {id(p) for p in model.parameters()}
    assert_array_equal(model.layers[0].linear1.weight.data, model.layers[2].linear1.weight.data)
    assert all(m.dropout1.generator is generator and m.self_attn.generator is generator for m in model.layers)


# ---- all layers: dtype, state, repr ----
LAYERS = {
    "MultiheadAttention": (lambda: nn.MultiheadAttention(E, HEADS, 0.1, add_bias_kv=True), ((L, N, E),) * 3),
    "MultiheadAttention, kdim": (lambda: nn.MultiheadAttention(E, HEADS, kdim=3, vdim=4),
                                 ((L, N, E), (4, N, 3), (4, N, 4))),
    "TransformerEncoder": (lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(E, HEADS, 16, activation="gelu"), 2,
                                                         nn.LayerNorm(E)), ((L, N, E),)),
    "PositionalEncoding": (lambda: nn.PositionalEncoding(E, 0.1), ((L, N, E),)),
    "PositionalEmbedding": (lambda: nn.PositionalEmbedding(9, E, 0.1), ((L, N, E),)),
    "Embedding": (lambda: nn.Embedding(7, E, padding_idx=1, max_norm=1.0), ([[0, 1], [6, 5]],)),
    "EmbeddingBag": (lambda: nn.EmbeddingBag(7, E), ([[0, 1], [6, 5]],)),
    "EmbeddingBag, max": (lambda: nn.EmbeddingBag(7, E, mode="max", max_norm=1.0), ([0, 1, 5], [0, 2])),
    "Bilinear": (lambda: nn.Bilinear(3, 4, 2), ((N, 3), (N, 4))),
    "Maxout": (lambda: nn.Maxout(E, 4, 3), ((N, E),)),
    "EinsumDense": (lambda: nn.EinsumDense("abc,cd->abd", 3, 4, "d"), ((N, L, 3),)),
    "TiedLinear": (lambda: nn.TiedLinear(nn.Embedding(7, E), bias=True), ((N, E),)),
    "Residual": (lambda: nn.Residual(nn.Linear(E, E)), ((N, E),)),
    "Highway": (lambda: nn.Highway(E), ((N, E),)),
    "Add": (nn.Add, ((N, E), (N, E))),
    "Concat": (nn.Concat, ((N, E), (N, 2))),
    "Unflatten": (lambda: nn.Unflatten(-1, (2, -1)), ((N, E),)),
}


def inputs(shapes, dtype):
    return [Tensor(normal(*s, seed=i, dtype=dtype)) if isinstance(s, tuple) else np.array(s)
            for i, s in enumerate(shapes)]


def outputs(module, xs):
    y = module(*xs)
    return [v for v in (y if isinstance(y, tuple) else (y,))]


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_stays(name, dtype):
    make, shapes = LAYERS[name]
    module = make().astype(dtype)
    xs = inputs(shapes, dtype)
    for x in xs:
        if isinstance(x, Tensor):
            x.requires_grad = True
    ys = outputs(module, xs)
    assert all(y.dtype == dtype for y in ys)
    wanted = [x for x in xs if isinstance(x, Tensor)] + [*module.parameters()]
    assert all(g.dtype == dtype for g in grad(sum(y.sum() for y in ys), wanted))


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("through", ["state_dict", "torch_state_dict"])
def test_state_goes_round(name, through):
    make, shapes = LAYERS[name]
    a, b, xs = make().eval(), make().eval(), inputs(shapes, np.float32)
    if through == "state_dict":
        b.load_state_dict(a.state_dict())
    else:
        nn.load_torch_state_dict(b, nn.torch_state_dict(a))
    for y, z in zip(outputs(a, xs), outputs(b, xs)):
        assert_array_equal(y.data, z.data)
    assert repr(a) == repr(b) and repr(a).startswith(type(a).__name__)
    assert_array_equal(outputs(copy.deepcopy(a), xs)[0].data, outputs(a, xs)[0].data)


WITH_WEIGHTS = [n for n in LAYERS if n not in ("Add", "Concat", "Unflatten", "PositionalEncoding")]


@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_the_derivative_with_respect_to_a_module_is_that_of_its_parameters(name):
    make, shapes = LAYERS[name]
    module, xs = double(make()).eval(), inputs(shapes, np.float64)
    found = grad(lambda m: (outputs(m, xs)[0] ** 2).sum())(module)
    expected = grad((outputs(module, xs)[0] ** 2).sum(), [*module.parameters()])
    for (key, _), g in zip(module.named_parameters(), expected):
        assert_allclose(found[key].data, g.data, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_the_generator_decides_the_weights(name):
    makers = {
        "MultiheadAttention": lambda g: nn.MultiheadAttention(E, HEADS, add_bias_kv=True, generator=g),
        "MultiheadAttention, kdim": lambda g: nn.MultiheadAttention(E, HEADS, kdim=3, generator=g),
        "TransformerEncoder": lambda g: nn.TransformerEncoderLayer(E, HEADS, 16, generator=g),
        "PositionalEmbedding": lambda g: nn.PositionalEmbedding(9, E, generator=g),
        "Embedding": lambda g: nn.Embedding(7, E, generator=g),
        "EmbeddingBag": lambda g: nn.EmbeddingBag(7, E, generator=g),
        "EmbeddingBag, max": lambda g: nn.EmbeddingBag(7, E, mode="max", generator=g),
        "Bilinear": lambda g: nn.Bilinear(3, 4, 2, generator=g),
        "Maxout": lambda g: nn.Maxout(E, 4, 3, generator=g),
        "EinsumDense": lambda g: nn.EinsumDense("abc,cd->abd", 3, 4, "d", generator=g),
        "TiedLinear": lambda g: nn.TiedLinear(nn.Embedding(7, E, generator=g)),
        "Residual": lambda g: nn.Residual(nn.Linear(E, E, generator=g)),
        "Highway": lambda g: nn.Highway(E, generator=g),
    }
    a, b, c = (makers[name](rng(seed)).state_dict() for seed in (1, 1, 2))
    assert all((a[k] == b[k]).all() for k in a) and any((a[k] != c[k]).any() for k in a)


def test_attention_starts_as_pytorchs():
    m = nn.MultiheadAttention(64, 4, add_bias_kv=True, generator=rng())
    bound = np.sqrt(6 / (64 + 3 * 64))
    assert 0.99 * bound < abs(m.in_proj_weight.data).max() <= bound
    assert abs(m.out_proj.weight.data).max() <= 1 / 8
    assert not m.in_proj_bias.data.any() and not m.out_proj.bias.data.any()
    assert 0.09 < m.bias_k.data.std() < 0.16  # sqrt(2 / (64 + 64)) = 0.125
    assert m.out_proj.torch_transposed == ("weight",) and m.in_proj_weight.shape == (192, 64)


# ---- positions ----
def test_positional_encoding_turns_with_the_position():
    pe = F.positional_encoding(50, 8, dtype=np.float64)
    assert pe[0].tolist() == [0, 1] * 4
    assert_allclose(pe[3, :4], [np.sin(3), np.cos(3), np.sin(0.3), np.cos(0.3)], rtol=1e-14)
    assert_allclose((pe * pe).sum(1), 4, rtol=1e-14)
    products = pe @ pe.T  # of the difference of positions alone
    for k in range(1, 5):
        assert_allclose(np.diagonal(products, k), products[0, k], rtol=1e-12)
    assert F.positional_encoding(3, 5).shape == (3, 5) and F.positional_encoding(3, 5).dtype == np.float32


def test_positional_embedding_learns_only_what_it_used():
    layer = double(nn.PositionalEmbedding(7, E))
    g, = grad(layer(Tensor(normal(3, N, E))).sum(), [layer.weight])
    assert (g.data[:3] == N).all() and not g.data[3:].any()
    assert 0.01 < layer.weight.data.std() < 0.03


# ---- embeddings ----
def test_padding_of_an_embedding():
    layer = double(nn.Embedding(5, 3, padding_idx=-2, generator=rng()))
    assert layer.padding_idx == 3 and not layer.weight.data[3].any() and layer.weight.data[:3].all()
    g, = grad((layer([3, 0, 3, 4]) ** 2).sum() + layer([3]).sum(), [layer.weight])
    assert not g.data[[1, 2, 3]].any() and g.data[[0, 4]].all()


def test_a_row_used_often_gets_the_sum():
    layer = double(nn.Embedding(4, 2))
    g, = grad(layer(np.array([1, 1, 3, 1])).sum(), [layer.weight])
    assert g.data[:, 0].tolist() == [0, 3, 0, 1]


@pytest.mark.parametrize("cls", [nn.Embedding, nn.EmbeddingBag])
def test_from_pretrained(cls):
    table = normal(5, 3)
    frozen, free = cls.from_pretrained(table), cls.from_pretrained(Tensor(table), freeze=False, padding_idx=2)
    index = np.array([[0, 2], [4, 2]])
    assert not frozen(index).requires_grad and free(index).requires_grad and frozen.weight.dtype == np.float64
    assert_array_equal(free.weight.data, table)  # padding too
    free.weight.data[0] = 0
    assert table[0].all()
    with pytest.raises(ValueError, match=r"pretrained embeddings are floating-point numbers \(num, dim\), not int64"):
        cls.from_pretrained(np.arange(6).reshape(2, 3))


def test_max_norm_shortens_what_is_used_in_place():
    layer = double(nn.Embedding.from_pretrained([[3.0, 4.0], [0.3, 0.4], [6.0, 8.0]], max_norm=1.0))
    layer.weight.requires_grad = True
    early = (layer.weight ** 2).sum()
    y = layer([0, 1])
    assert_allclose(y.data, [[0.6, 0.8], [0.3, 0.4]], rtol=1e-6)
    assert_allclose(layer.weight.data, [[0.6, 0.8], [0.3, 0.4], [6, 8]], rtol=1e-6)
    assert_allclose(grad(early, [layer.weight])[0].data, [[6, 8], [0.6, 0.8], [12, 16]])  # of the values before


def test_bags_are_means_sums_and_maxima_of_embeddings():
    index, ends = rng(2).integers(0, 6, 9), [0, 2, 2, 9]
    for mode, reduce in (("mean", np.mean), ("sum", np.sum), ("max", np.max)):
        bag = double(nn.EmbeddingBag(6, 3, mode=mode, generator=rng()))
        y = bag(index, np.array(ends[:-1]))
        rows = [bag.weight.data[index[a:b]] for a, b in itertools.pairwise(ends)]
        assert_allclose(y.data, [reduce(r, axis=0) if len(r) else np.zeros(3) for r in rows], rtol=1e-14)
        assert bag(np.zeros(0, int), np.array([0, 0])).data.tolist() == [[0] * 3] * 2
        assert bag(np.zeros((2, 3), int)).shape == (2, 3)


def test_bags_can_be_differentiated_twice():
    bag = double(nn.EmbeddingBag(4, 2, mode="sum", generator=rng()))
    index, offsets, w = np.array([0, 1, 1, 3]), np.array([0, 3]), leaf(4)
    g, = grad((bag(index, offsets, w) ** 2).sum(), [w], create_graph=True)
    h, = grad(g.sum(), [w])
    rows = bag.weight.data[index]
    gram = rows @ rows.T * (np.array([0, 0, 0, 1])[:, None] == np.array([0, 0, 0, 1]))
    assert_allclose(h.data, 2 * gram.sum(0), rtol=1e-12)


# ---- shared weights ----
class Tied(nn.Module):
    def __init__(self):
        self.emb = nn.Embedding(6, 4, generator=rng())
        self.head = nn.TiedLinear(self.emb)

    def forward(self, index):
        return self.head(np.tanh(self.emb(index)))


def test_a_tied_weight_is_one_parameter():
    model = double(Tied())
    assert [n for n, _ in model.named_parameters()] == ["emb.weight"]
    assert list(model.state_dict()) == ["emb.weight", "head.weight"]
    model.load_state_dict(double(Tied()).state_dict())
    for m in (model, copy.deepcopy(model)):
        assert m.head.weight is m.emb.weight
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    F.cross_entropy(model(np.array([1, 2])), np.array([2, 3])).backward()
    optimizer.step()
    assert model.head.weight is model.emb.weight and model.emb.weight.dtype == np.float64


def test_the_gradient_of_a_tied_weight_is_that_of_both_uses():
    model = double(Tied())
    apart, index = nn.Linear(4, 6, bias=False, dtype=np.float64), np.array([1, 5, 1])
    apart.weight.data = model.emb.weight.data.T.copy()
    weight = normal(3, 6)
    tied, = grad((model(index) * weight).sum(), [model.emb.weight])
    a, b = grad((apart(np.tanh(model.emb(index))) * weight).sum(), [model.emb.weight, apart.weight])
    assert_allclose(tied.data, a.data + b.data.T, rtol=1e-12)


def test_a_tied_dense_leads_back():
    there = nn.Dense(5, 2, generator=rng())
    back = nn.TiedLinear(there, bias=True)
    assert back(there(Tensor(normal(3, 5, dtype=np.float32)))).shape == (3, 5)
    assert len([*nn.Sequential(there, back).parameters()]) == 3


# ---- relatives of the dense layer ----
def test_bilinear_is_linear_in_each():
    m = double(nn.Bilinear(3, 4, 2, bias=False))
    a, b, c = Tensor(normal(N, 3)), Tensor(normal(N, 3, seed=1)), Tensor(normal(N, 4, seed=2))
    assert_allclose(m(2 * a + b, c).data, (2 * m(a, c) + m(b, c)).data, rtol=1e-12)
    assert_allclose(m(a, c).data, np.stack([((a.data @ w) * c.data).sum(1) for w in m.weight.data], 1), rtol=1e-12)


def test_maxout_of_one_piece_is_dense_and_two_make_the_absolute_value():
    one, dense = double(nn.Maxout(3, 2, 1)), double(nn.Dense(3, 2))
    dense.weight.data, dense.bias.data = one.weight.data[..., 0], one.bias.data[..., 0]
    x = Tensor(normal(N, 3))
    assert_allclose(one(x).data, dense(x).data, rtol=1e-13)
    two = double(nn.Maxout(1, 1, 2, bias=False))
    two.weight.data[...] = [[[1, -1]]]
    assert_array_equal(two(x[:, :1]).data, abs(x.data[:, :1]))


@pytest.mark.parametrize("equation", ["ab,bc->ac", "...b,bc->...c"])
def test_einsum_dense_is_dense(equation):
    m, dense = double(nn.EinsumDense(equation, 3, 4, "c")), double(nn.Dense(3, 4))
    dense.weight, dense.bias = m.weight, m.bias
    x = Tensor(normal(N, 3))
    assert_allclose(m(x).data, dense(x).data, rtol=1e-13)
    assert abs(m.weight.data).max() <= 1 / np.sqrt(3)


# ---- containers ----
def test_module_dict():
    heads = nn.ModuleDict({"a": nn.Linear(3, 2), "b": nn.ReLU()})
    heads["c"] = nn.Linear(2, 1)
    assert list(heads) == list(heads.keys()) == ["a", "b", "c"] and len(heads) == 3 and "b" in heads
    assert [n for n, _ in heads.named_parameters()] == ["a.weight", "a.bias", "c.weight", "c.bias"]
    assert dict(heads.items())["b"] is heads["b"] is [*heads.values()][1]
    assert heads.pop("b") is not None and list(heads) == ["a", "c"]
    del heads["c"]
    heads.update([("d", nn.Dropout())])
    assert "(d): Dropout(p=0.5)" in repr(heads) and not heads.eval()["d"].training
    heads.clear()
    assert not len(heads)


def test_parameter_list_and_dict():
    class Model(nn.Module):
        def __init__(self):
            self.ws = nn.ParameterList([normal(2), Tensor(normal(3))])
            self.named = nn.ParameterDict({"b": normal(1)})
    m = Model()
    m.ws.append(np.ones(4)).extend([np.ones(5)])
    m.ws[0] = np.zeros(2)
    m.named["a"] = nn.Parameter(np.ones(6))
    assert [n for n, _ in m.named_parameters()] == ["ws.0", "ws.1", "ws.2", "ws.3", "named.b", "named.a"]
    assert [p.size for p in m.parameters()] == [2, 3, 4, 5, 1, 6] and all(p.requires_grad for p in m.parameters())
    assert len(m.ws) == 4 and [p.size for p in m.ws] == [2, 3, 4, 5] and len(m.ws[1:3]) == 2
    assert repr(m.ws) == "ParameterList((2,), (3,), (4,), (5,))" and repr(m.named) == "ParameterDict(b: (1,), a: (6,))"
    other = Model()
    other.ws.append(np.zeros(4)).append(np.zeros(5))
    other.named["a"] = np.zeros(6)
    other.load_state_dict(m.state_dict())
    assert_array_equal(other.ws[2].data, 1)


def test_a_residual_block_that_does_nothing_is_the_identity():
    block = nn.Residual(nn.Linear(E, E, dtype=np.float64))
    for p in block.parameters():
        nn.init.zeros_(p)
    x = leaf(N, E)
    y = block(x)
    assert_array_equal(y.data, x.data)
    assert_array_equal(grad(y.sum(), [x])[0].data, 1)


def test_a_highway_is_between_the_identity_and_its_block():
    x = Tensor(normal(N, E))
    for bias, expected in ((-800.0, lambda m: x), (800.0, lambda m: m.block(x)),
                           (0.0, lambda m: (x + m.block(x)) / 2)):
        m = double(nn.Highway(E, gate_bias=bias, generator=rng()))
        if bias == 0:
            nn.init.zeros_(m.gate.weight)
        assert_allclose(m(x).data, expected(m).data, rtol=1e-12)
    assert (nn.Highway(E).gate.bias.data == -2).all()
    image = nn.Highway(2, nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 1), gate_bias=-3)
    assert image(Tensor(np.ones((1, 2, 4, 4), np.float32))).shape == (1, 2, 4, 4) and (image.gate.bias.data == -3).all()


def test_merges():
    a, b = leaf(N, 2), leaf(N, 3, seed=1)
    assert_array_equal(nn.Concat()(a, b).data, np.concatenate([a.data, b.data], 1))
    assert nn.Concat(0)([a, a, a]).shape == (3 * N, 2)
    assert_array_equal(nn.Add()([a, a, a]).data, a.data + a.data + a.data)
    assert_array_equal(nn.Add()(a).data, a.data)
    assert_array_equal(grad(nn.Add()(a, a).sum(), [a])[0].data, 2)


def test_unflatten_undoes_flatten():
    x = Tensor(normal(N, 2, 3, 4))
    for sizes in ((2, 3, 4), (2, -1, 4), (-1, 3, 4)):
        assert_array_equal(nn.Sequential(nn.Flatten(), nn.Unflatten(1, sizes))(x).data, x.data)


# ---- what is refused ----
X = Tensor(normal(L, N, E))


@pytest.mark.parametrize("call, error, message", [
    (lambda: F.scaled_dot_product_attention(X, X, X, np.ones((N, E), bool), is_causal=True), ValueError, r"two masks"),
    (lambda: F.scaled_dot_product_attention(X, X[..., :4], X), ValueError,
     r"query \(5, 3, 8\), key \(5, 3, 4\) and value \(5, 3, 8\) must be \(\.\.\., L, E\)"),
    (lambda: F.scaled_dot_product_attention(X, X, X, np.ones((2, 2), bool)), ValueError,
     r"a mask of \(2, 2\) does not broadcast to the scores, \(5, 3, 3\)|shape mismatch"),
    (lambda: F.scaled_dot_product_attention(X[0], X[0], X[0], np.ones((4, 3, 3), bool)), ValueError,
     r"a mask of \(4, 3, 3\) does not broadcast to the scores, \(3, 3\)"),
    (lambda: F.scaled_dot_product_attention(X, X, X, np.ones((3, 3), int)), TypeError, r"booleans or floating.*int64"),
    (lambda: F.scaled_dot_product_attention(X, X, X, dropout_p=1.5), ValueError, r"between 0 and 1, got 1.5"),
    (lambda: F.scaled_dot_product_attention(X, X[:2], X[:2], enable_gqa=True), ValueError, r"the heads of query"),
    (lambda: nn.MultiheadAttention(E, 3), ValueError, r"embed_dim 8 does not divide into 3 heads"),
    (lambda: nn.MultiheadAttention(E, 2, 1.5), ValueError, r"between 0 and 1, got 1.5"),
    (lambda: nn.MultiheadAttention(4, 2)(X, X, X), ValueError,
     r"query, key and value .*\(5, 3, 8\).* must be \(L, N, 4\), \(S, N, 4\), \(S, N, 4\)"),
    (lambda: nn.MultiheadAttention(E, 2, batch_first=True)(X, X[:4], X[:4]), ValueError, r"must be \(N, L, 8\)"),
    (lambda: nn.MultiheadAttention(E, 2)(X, X[:4], X), ValueError, r"must be \(L, N, 8\)"),
    (lambda: nn.MultiheadAttention(E, 2)(X, X, X[0]), ValueError, r"must be \(L, N, 8\)"),
    (lambda: attention()(X, X, X, attn_mask=np.ones((3, 5), bool)), ValueError,
     r"attn_mask is \(3, 5\), but must be \(5, 5\) or \(6, 5, 5\)"),
    (lambda: attention()(X, X, X, key_padding_mask=np.ones((5, 3), bool)), ValueError,
     r"key_padding_mask is \(5, 3\), but must be \(3, 5\)"),
    (lambda: attention()(X, X, X, key_padding_mask=np.ones(5, bool)), ValueError, r"must be \(3, 5\)"),
    (lambda: attention()(X[0], X[0], X[0], key_padding_mask=np.ones((1, 3), bool)), ValueError, r"must be \(3,\)"),
    (lambda: attention()(X, X, X, key_padding_mask=np.ones((3, 5), int)), TypeError, r"booleans or floating"),
    (lambda: nn.TransformerEncoderLayer(E, 2, activation="tanh"), ValueError,
     r"'relu', 'gelu' or a function, not 'tanh'"),
    (lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(E, 2, 4), 0), ValueError, r"at least 1, got 0"),
    (lambda: nn.PositionalEncoding(4)(X), ValueError, r"PositionalEncoding: input \(5, 3, 8\) must be \(L, N, 4\) or"),
    (lambda: nn.PositionalEmbedding(4, E)(X), ValueError, r"a sequence of 5, but only 4 positions"),
    (lambda: nn.Embedding(5, 3, padding_idx=5), ValueError, r"padding_idx is 5, but there are rows 0 to 4"),
    (lambda: nn.Embedding(5, 3, max_norm=0.0), ValueError, r"max_norm must be positive, got 0.0"),
    (lambda: nn.Embedding(5, 3, max_norm=1.0)([5]), ValueError, r"indices from 5 to 5"),
    (lambda: nn.Embedding(5, 3)([0.5]), TypeError, r"indices must be integers, not float64"),
    (lambda: nn.EmbeddingBag(5, 3, mode="min"), ValueError, r"mode is 'mean', 'sum' or 'max', not 'min'"),
    (lambda: nn.EmbeddingBag(5, 3)([0, 1]), ValueError, r"offsets must be integers that rise from 0 to at most 2"),
    (lambda: nn.EmbeddingBag(5, 3)([0, 1], [0, 2, 1]), ValueError, r"offsets must be integers that rise from 0"),
    (lambda: nn.EmbeddingBag(5, 3)([0, 1], [1]), ValueError, r"offsets must be integers that rise from 0"),
    (lambda: nn.EmbeddingBag(5, 3)([[0, 1]], [0]), ValueError, r"indices \(1, 2\) must be \(bags, n\) without"),
    (lambda: nn.EmbeddingBag(5, 3)([[0, 1]], None, np.ones((1, 2))), ValueError,
     r"per_sample_weights are for mode='sum'"),
    (lambda: nn.Bilinear(3, 4, 2)(X[..., :3], X), ValueError, r"bilinear: inputs \(5, 3, 3\) and \(5, 3, 8\) must be"),
    (lambda: nn.Maxout(3, 2, 0), ValueError, r"pieces must be at least 1, got 0"),
    (lambda: nn.Maxout(3, 2)(X), ValueError, r"does not end in the 3 features"),
    (lambda: nn.TiedLinear(nn.ReLU()), TypeError,
     r"shares the 2-D weight of a layer like Embedding, and ReLU\(\) has none"),
    (lambda: nn.TiedLinear(nn.Embedding(5, 3))(X), ValueError, r"does not end in the 3 features"),
    (lambda: nn.EinsumDense("ab->a", 3, 4), ValueError, r"must be like 'abc,cd->abd' .*not 'ab->a'"),
    (lambda: nn.EinsumDense("ab,bc->ac", None, 4), ValueError, r"do not give the size of b"),
    (lambda: nn.EinsumDense("ab,bc->ac", 3, 4, "b"), ValueError, r"bias_axes 'b', but b is not in the output"),
    (lambda: nn.EinsumDense("ab,bc->ab", 3, 4), ValueError, r"axis b is 3 and 4"),
    (lambda: nn.EinsumDense("ab,bc->ac", (1, 2, 3), 4), ValueError, r"3 sizes \(1, 2, 3\) for the axes 'ab'"),
    (lambda: nn.Residual(nn.Linear(E, 2))(X.astype(np.float32)), ValueError,
     r"the block makes \(5, 3, 2\) of \(5, 3, 8\), but the shortcut gives \(5, 3, 8\)"),
    (lambda: nn.Highway(E, nn.Linear(E, 2))(X.astype(np.float32)), ValueError, r"block and gate make \(5, 3, 2\) and"),
    (lambda: nn.Add()(X, X[..., :3]), ValueError, r"Add: shapes \[\(5, 3, 8\), \(5, 3, 3\)\] do not fit together"),
    (lambda: nn.Concat(0)(X, X[..., :3]), ValueError, r"must be alike but for axis 0"),
    (lambda: nn.Add()(), ValueError, r"Add of nothing"),
    (lambda: nn.Unflatten(1, (2, 2))(X), ValueError, r"axis 1 of input \(5, 3, 8\) does not unfold into \(2, 2\)"),
    (lambda: nn.Unflatten(1, (2, -1))(X), ValueError, r"does not unfold into \(2, -1\)"),
    (lambda: nn.Unflatten(3, (2, 2))(X), ValueError, r"has no axis 3"),
    (lambda: nn.Unflatten(1, (-1, -1)), ValueError, r"must not be negative, but for one -1"),
    (lambda: nn.ModuleDict({"a": abs}), TypeError, r"ModuleDict holds modules, not builtin_function_or_method"),
    (lambda: nn.ModuleDict({"a.b": nn.ReLU()}), ValueError, r"a name is a string without dots, not 'a\.b'"),
])
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ---- and it learns ----
def test_a_causal_encoder_learns_to_say_what_came_two_steps_before():
    generator, words, length = rng(5), 6, 8

    class Model(nn.Module):
        def __init__(self):
            self.emb = nn.Embedding(words, 16, generator=generator)
            self.positions = nn.PositionalEncoding(16, batch_first=True)
            self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(
                16, 2, 32, 0.0, batch_first=True, norm_first=True, generator=generator), 1, nn.LayerNorm(16))
            self.head = nn.TiedLinear(self.emb)

        def forward(self, index):
            return self.head(self.encoder(self.positions(self.emb(index)), is_causal=True))
    model = Model()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    for _ in range(250):
        text = generator.integers(0, words, (32, length))
        optimizer.zero_grad()
        z = model(text)[:, 2:]
        F.cross_entropy(z.reshape(-1, words), text[:, :-2].reshape(-1)).backward()
        optimizer.step()
    text = generator.integers(0, words, (64, length))
    with no_grad():
        right = model(text)[:, 2:].argmax(-1) == text[:, :-2]
    assert right.mean() > 0.95
