"""Attention, embeddings, relatives of the dense layer, shortcuts and merges."""

from __future__ import annotations

import numpy as np
from references.layers import Case
from references.record import uniform

from minigrad import functional as F
from minigrad import nn

KEEP = np.array([[1, 0, 1, 1], [0, 1, 1, 0], [1, 1, 1, 1]], bool)  # (L, S)
DEAD = np.array([[1, 0, 1, 1], [0, 0, 0, 0], [1, 1, 0, 1]], bool)  # one row that sees nothing
BIAS = np.where(KEEP, uniform("attention bias", 3, 4), -np.inf)
PAD = np.array([[0, 0, 0, 1], [0, 0, 1, 1]], bool)  # (N, S), True for padding
INDEX = np.array([[1, 4, 1], [0, 2, 4]])
FLAT, OFFSETS = np.array([1, 4, 1, 0, 2, 4, 4]), np.array([0, 3, 3, 4])  # the second bag is empty


def calling(module, forward):
    """The module, with forward(module's own, *args) in the place of its forward."""
    own = module.forward
    module.forward = lambda *args: forward(own, *args)
    return module


def exactly(t, call):
    """PyTorch's attention in its plain form: of the others only this one can be differentiated twice."""
    def run(*args):
        with t.nn.attention.sdpa_kernel(t.nn.attention.SDPBackend.MATH):
            return call(*args)
    return run


def masks_for(t, kwargs):
    return {k: t.tensor(v) if isinstance(v, np.ndarray) else v for k, v in kwargs.items()}


def sdpa(name, inputs, **kwargs):
    return Case(f"sdpa, {name}", lambda: lambda q, k, v: F.scaled_dot_product_attention(q, k, v, **kwargs),
                lambda t: exactly(t, lambda q, k, v: t.nn.functional.scaled_dot_product_attention(
                    q, k, v, **masks_for(t, kwargs))), inputs)


def layer(name, inputs, ours, theirs, kwargs, fixed):
    """A module called with these masks. fixed: its weights are not inputs of the comparison, to keep the file small."""
    def values(state):
        return {k: uniform(f"{name} fixed {k}", *v.shape, low=-0.6, high=0.6) for k, v in state.items()}

    def spread(own, xs, kwargs):  # one input is query, key and value
        return own(*(xs * 3 if len(xs) == 1 and name.startswith("MHA") else xs), **kwargs)

    def our_side():
        module = calling(ours(), lambda own, *xs: spread(own, xs, kwargs))
        if not fixed:
            return module
        nn.load_torch_state_dict(module.astype(np.float64), values(nn.torch_state_dict(module)))
        return lambda *xs: module(*xs)

    def their_side(t):
        module = calling(theirs(t), lambda own, *xs: exactly(t, lambda *xs: spread(own, xs, masks_for(t, kwargs)))(*xs))
        if not fixed:
            return module
        module.double().load_state_dict({k: t.tensor(v) for k, v in values(module.state_dict()).items()})
        return lambda *xs: module(*xs)
    return Case(name, our_side, their_side, inputs)


def mha(name, inputs, settings, fixed=True, **kwargs):
    return layer(f"MHA, {name}", inputs, lambda: nn.MultiheadAttention(4, 2, **settings),
                 lambda t: t.nn.MultiheadAttention(4, 2, **settings), kwargs, fixed)


def torch_settings(t, settings):
    return {k: t.nn.functional.silu if callable(v) else v for k, v in settings.items()}


def encoder_layer(name, inputs, settings, fixed=True, **kwargs):
    return layer(f"EncoderLayer, {name}", inputs, lambda: nn.TransformerEncoderLayer(4, 2, 3, 0.0, **settings),
                 lambda t: t.nn.TransformerEncoderLayer(4, 2, 3, 0.0, **torch_settings(t, settings)), kwargs, fixed)


def encoder(name, inputs, settings, norm, fixed=True, **kwargs):
    return layer(f"Encoder, {name}", inputs,
                 lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 3, 0.0, **settings), 2,
                                               nn.LayerNorm(4) if norm else None),
                 lambda t: t.nn.TransformerEncoder(t.nn.TransformerEncoderLayer(4, 2, 3, 0.0, **settings), 2,
                                                   t.nn.LayerNorm(4) if norm else None, enable_nested_tensor=False),
                 kwargs, fixed)


def plain_module(t, forward, **shapes):
    """A torch module of parameters of these shapes: what it computes is written out here, after the paper."""
    module = t.nn.Module()
    for name, shape in shapes.items():
        module.register_parameter(name, t.nn.Parameter(t.zeros(shape)))
    module.forward = lambda *xs: forward(*xs, **dict(module.named_parameters()))
    return module


def positions(t, length, dim):
    """After PyTorch's tutorial."""
    at = t.arange(length, dtype=t.float64).unsqueeze(1)
    rate = t.exp(t.arange(0, dim, 2, dtype=t.float64) * (-np.log(10000.0) / dim))
    pe = t.zeros(length, dim, dtype=t.float64)
    pe[:, 0::2] = t.sin(at * rate)
    pe[:, 1::2] = t.cos(at * rate)[:, :dim // 2]
    return pe


def bag(name, weighted=False, **settings):
    """EmbeddingBag of FLAT and OFFSETS, or of INDEX where offsets are not given."""
    ragged = settings.pop("ragged", True)
    index, rest = (FLAT, (OFFSETS,)) if ragged else (INDEX, (None,))
    if settings.get("include_last_offset"):
        rest = (np.append(OFFSETS, len(FLAT)),)
    def call(array):
        return lambda own, *weights: own(array(index), None if rest[0] is None else array(rest[0]), *weights)
    return Case(f"EmbeddingBag, {name}", lambda: calling(nn.EmbeddingBag(5, 3, **settings), call(np.asarray)),
                lambda t: calling(t.nn.EmbeddingBag(5, 3, **settings), call(t.tensor)),
                (index.shape,) if weighted else (), order=1,
                why="PyTorch cannot differentiate an EmbeddingBag twice")


def keras_twin(make, shapes):
    """A Keras layer as a torch module with parameters of these names, in the order of the layer's weights."""
    def theirs(t):
        import os
        os.environ["KERAS_BACKEND"] = "torch"
        layer = make()
        built = []
        def forward(*xs, **params):
            if not built:
                layer.build(tuple(xs[0].shape) if len(xs) == 1 else [tuple(x.shape) for x in xs])
                built.append(True)
            return layer.stateless_call(list(params.values()), [], xs[0] if len(xs) == 1 else list(xs))[0]
        return plain_module(t, forward, **shapes)
    return theirs


def einsum_dense(equation, inputs, sizes, output_shape, bias_axes, shapes):
    def make():
        import keras
        return keras.layers.EinsumDense(equation, output_shape=output_shape, bias_axes=bias_axes, dtype="float64")
    return Case(f"EinsumDense {equation}, bias_axes={bias_axes}",
                lambda: nn.EinsumDense(equation, sizes, output_shape, bias_axes), keras_twin(make, shapes), inputs)


def keras_merge(name, ours, inputs, **settings):
    def theirs(t):
        import os
        os.environ["KERAS_BACKEND"] = "torch"
        import keras
        layer = getattr(keras.layers, name)(**settings, dtype="float64")
        return lambda *xs: layer(list(xs))
    return Case(f"{name} of {len(inputs)} {inputs[0]} {settings or ''}".strip(), ours, theirs, inputs)


def highway(t, features, act):
    """Srivastava, Greff and Schmidhuber 2015, equation 3."""
    class Highway(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.block = t.nn.Sequential(t.nn.Linear(features, features), act)
            self.gate = t.nn.Linear(features, features)

        def forward(self, x):
            gate = t.sigmoid(self.gate(x))
            return self.block(x) * gate + x * (1 - gate)
    return Highway()


def residual(t, block, shortcut=None):
    class Residual(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.block = block
            if shortcut is not None:
                self.shortcut = shortcut

        def forward(self, x):
            return self.block(x) + (x if shortcut is None else self.shortcut(x))
    return Residual()


class Tied(nn.Module):
    def __init__(self):
        self.emb = nn.Embedding(5, 3)
        self.mix = nn.Linear(3, 3)
        self.head = nn.TiedLinear(self.emb, bias=True)

    def forward(self):
        return self.head(np.tanh(self.mix(self.emb(INDEX))))


def torch_tied(t):
    class Tied(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.emb, self.mix, self.head = t.nn.Embedding(5, 3), t.nn.Linear(3, 3), t.nn.Linear(3, 5)
            self.head.weight = self.emb.weight

        def forward(self):
            return self.head(t.tanh(self.mix(self.emb(t.tensor(INDEX)))))
    return Tied()


QKV = ((3, 4), (4, 4), (4, 2))
BATCH = ((2, 3, 4), (2, 4, 4), (2, 4, 2))
SELF, CROSS = ((3, 2, 4),), ((3, 2, 4), (4, 2, 4), (4, 2, 4))  # (L, N, E), (S, N, E)
HALVES = np.repeat(KEEP[None], 4, 0) & ~np.eye(3, 4, 1, bool)  # (N * heads, L, S)
LATER = ~np.tri(3, dtype=bool)
PAD3 = PAD[:, 1:]

CASES = [
    sdpa("2-D", QKV),
    sdpa("two batch axes, one broadcast", ((2, 1, 3, 2), (1, 2, 4, 2), (2, 2, 4, 1))),
    sdpa("boolean mask", QKV, attn_mask=KEEP),
    sdpa("a query that sees nothing", QKV, attn_mask=DEAD),
    sdpa("a mask for each example", BATCH, attn_mask=np.stack([KEEP, DEAD])),
    sdpa("float mask with -inf", QKV, attn_mask=BIAS),
    Case("sdpa, differentiated mask", lambda: F.scaled_dot_product_attention,
         lambda t: exactly(t, t.nn.functional.scaled_dot_product_attention), (*QKV, (3, 4))),
    sdpa("causal", QKV, is_causal=True),
    sdpa("causal, more queries than keys", ((5, 3), (3, 3), (3, 2)), is_causal=True),
    sdpa("scale", QKV, scale=0.3),
    sdpa("shared heads", ((4, 3, 2), (2, 3, 2), (2, 3, 2)), enable_gqa=True),

    mha("self", SELF, {}, False),
    mha("batch_first", ((2, 3, 4), (2, 4, 4), (2, 4, 4)), {"batch_first": True}),
    mha("kdim and vdim", ((3, 2, 4), (4, 2, 3), (4, 2, 5)), {"kdim": 3, "vdim": 5}, False),
    mha("add_bias_kv, add_zero_attn", SELF, {"add_bias_kv": True, "add_zero_attn": True}, False,
        attn_mask=np.where(LATER, -np.inf, 0.3)),
    mha("one sequence", ((3, 4), (5, 4), (5, 4)), {}),
    mha("one sequence, self, each head", ((3, 4),), {}, average_attn_weights=False),
    mha("no bias", SELF, {"bias": False}),
    mha("vdim, no bias, batch_first", ((2, 3, 4), (2, 4, 4), (2, 4, 5)), {"vdim": 5, "bias": False,
                                                                          "batch_first": True}),
    mha("add_bias_kv", SELF, {"add_bias_kv": True}, attn_mask=LATER, key_padding_mask=PAD3),
    mha("add_zero_attn", SELF, {"add_zero_attn": True}, key_padding_mask=PAD3, average_attn_weights=False),
    mha("without weights", SELF, {}, need_weights=False),
    mha("without weights, a query that sees nothing", CROSS, {}, need_weights=False, attn_mask=~DEAD),
    mha("attn_mask", SELF, {}, attn_mask=~KEEP[:, 1:]),
    mha("float attn_mask", SELF, {}, attn_mask=BIAS[:, 1:]),
    mha("a mask for each head", SELF, {}, attn_mask=~HALVES[..., :3]),
    mha("key_padding_mask", SELF, {}, key_padding_mask=PAD3),
    mha("key_padding_mask of one sequence", ((3, 4),), {}, key_padding_mask=PAD3[1]),
    mha("float key_padding_mask", SELF, {}, key_padding_mask=uniform("padding bias", 2, 3)),
    mha("both masks", SELF, {}, key_padding_mask=PAD3, attn_mask=LATER),
    mha("both float masks", SELF, {}, key_padding_mask=uniform("padding bias", 2, 3),
        attn_mask=np.where(LATER, -np.inf, 0.2)),
    mha("causal", SELF, {}, attn_mask=LATER, is_causal=True),
    mha("causal, without weights", SELF, {}, attn_mask=LATER, is_causal=True, need_weights=False),

    encoder_layer("norm last", SELF, {}),
    encoder_layer("norm_first, gelu, batch_first", ((2, 3, 4),), {"norm_first": True, "activation": "gelu",
                                                                  "batch_first": True}),
    encoder_layer("no bias, eps", SELF, {"bias": False, "layer_norm_eps": 1e-2}),
    encoder_layer("one sequence, norm_first", ((3, 4),), {"norm_first": True}),
    encoder_layer("activation a function", SELF, {"activation": lambda x: x * F.sigmoid(x)}),
    encoder_layer("masks", SELF, {}, src_mask=LATER, src_key_padding_mask=PAD3),
    encoder_layer("causal", SELF, {}, src_mask=LATER, is_causal=True),
    encoder("two layers", SELF, {"bias": False}, False, False),
    encoder("norm, norm_first, masks, batch_first", ((2, 3, 4),), {"norm_first": True, "batch_first": True}, True,
            mask=np.where(LATER, -np.inf, 0), src_key_padding_mask=np.where(PAD3, -np.inf, 0)),

    Case("PositionalEncoding", lambda: nn.PositionalEncoding(6), lambda t: lambda x: x + positions(t, 5, 6)[:, None],
         ((5, 2, 6),)),
    Case("PositionalEncoding, batch_first, odd", lambda: nn.PositionalEncoding(5, batch_first=True),
         lambda t: lambda x: x + positions(t, 3, 5), ((2, 3, 5),)),
    Case("PositionalEmbedding", lambda: nn.PositionalEmbedding(7, 4), lambda t: plain_module(
        t, lambda x, weight: x + weight[:3, None], weight=(7, 4)), ((3, 2, 4),)),
    Case("PositionalEmbedding, batch_first", lambda: nn.PositionalEmbedding(3, 4, batch_first=True),
         lambda t: plain_module(t, lambda x, weight: x + weight, weight=(3, 4)), ((2, 3, 4),)),

    Case("Embedding", lambda: calling(nn.Embedding(5, 3), lambda own: own(INDEX)),
         lambda t: calling(t.nn.Embedding(5, 3), lambda own: own(t.tensor(INDEX))), ()),
    Case("Embedding, padding_idx", lambda: calling(nn.Embedding(5, 3, padding_idx=-1), lambda own: np.sin(own(INDEX))),
         lambda t: calling(t.nn.Embedding(5, 3, padding_idx=-1), lambda own: t.sin(own(t.tensor(INDEX)))), ()),
    Case("Embedding, max_norm", lambda: calling(nn.Embedding(5, 3, max_norm=0.7), lambda own: np.sin(own(INDEX))),
         lambda t: calling(t.nn.Embedding(5, 3, max_norm=0.7), lambda own: t.sin(own(t.tensor(INDEX)))), ()),
    Case("Embedding, max_norm in another norm", lambda: calling(nn.Embedding(5, 3, None, 0.6, 1.0),
                                                                lambda own: np.sin(own(INDEX))),
         lambda t: calling(t.nn.Embedding(5, 3, None, 0.6, 1.0), lambda own: t.sin(own(t.tensor(INDEX)))), ()),
    Case("Embedding and TiedLinear", Tied, torch_tied, ()),
    bag("mean"),
    bag("sum", mode="sum"),
    bag("max", mode="max"),
    bag("mean, padding_idx", padding_idx=4),
    bag("max, padding_idx", mode="max", padding_idx=1),
    bag("2-D", ragged=False),
    bag("2-D sum, padding_idx", ragged=False, mode="sum", padding_idx=-1),
    bag("last offset", include_last_offset=True),
    bag("weighted", weighted=True, mode="sum"),
    bag("weighted 2-D", weighted=True, ragged=False, mode="sum"),
    bag("max_norm", max_norm=0.7),

    Case("Bilinear", lambda: nn.Bilinear(3, 4, 2), lambda t: t.nn.Bilinear(3, 4, 2), ((5, 3), (5, 4))),
    Case("Bilinear, no bias, 3-D", lambda: nn.Bilinear(2, 3, 4, bias=False),
         lambda t: t.nn.Bilinear(2, 3, 4, bias=False), ((2, 3, 2), (2, 3, 3))),
    Case("bilinear of vectors", lambda: F.bilinear, lambda t: t.nn.functional.bilinear, ((3,), (2,), (4, 3, 2), (4,))),
    Case("Maxout", lambda: nn.Maxout(3, 2, 4), lambda t: plain_module(
        t, lambda x, weight, bias: (t.einsum("ni,iok->nok", x, weight) + bias).amax(-1), weight=(3, 2, 4), bias=(2, 4)),
         ((5, 3),)),
    Case("Maxout, no bias, 3-D", lambda: nn.Maxout(3, 2, bias=False), lambda t: plain_module(
        t, lambda x, weight: t.einsum("nli,iok->nlok", x, weight).amax(-1), weight=(3, 2, 2)), ((2, 4, 3),)),
    einsum_dense("ab,bc->ac", ((4, 3),), 3, 2, "c", {"weight": (3, 2), "bias": (2,)}),
    einsum_dense("abc,cd->abd", ((2, 4, 3),), (None, 3), (None, 5), None, {"weight": (3, 5)}),
    einsum_dense("...x,xy->...y", ((2, 2, 4, 3),), 3, 2, "y", {"weight": (3, 2), "bias": (2,)}),
    einsum_dense("abc,cde->abde", ((2, 4, 3),), (4, 3), (4, 2, 3), "de", {"weight": (3, 2, 3), "bias": (2, 3)}),
    einsum_dense("abc,cd->abd", ((2, 4, 3),), (4, 3), (4, 2), "b", {"weight": (3, 2), "bias": (4, 1)}),
    einsum_dense("abc,bcd->abd", ((2, 4, 3),), (4, 3), (4, 2), "bd", {"weight": (4, 3, 2), "bias": (4, 2)}),

    Case("Residual", lambda: nn.Residual(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3))),
         lambda t: residual(t, t.nn.Sequential(t.nn.Linear(3, 4), t.nn.Tanh(), t.nn.Linear(4, 3))), ((5, 3),)),
    Case("Residual with a shortcut", lambda: nn.Residual(nn.Conv2d(1, 2, 3, padding=1, bias=False),
                                                       nn.Conv2d(1, 2, 1, bias=False)),
         lambda t: residual(t, t.nn.Conv2d(1, 2, 3, padding=1, bias=False), t.nn.Conv2d(1, 2, 1, bias=False)),
         ((2, 1, 3, 3),)),
    Case("Highway", lambda: nn.Highway(3), lambda t: highway(t, 3, t.nn.ReLU()), ((5, 3),)),
    Case("Highway with a block of its own, 3-D",
         lambda: nn.Highway(3, nn.Sequential(nn.Linear(3, 3), nn.Tanh())),
         lambda t: highway(t, 3, t.nn.Tanh()), ((2, 4, 3),)),
    keras_merge("Add", nn.Add, ((3, 2), (3, 2), (3, 2))),
    keras_merge("Concatenate", nn.Concat, ((3, 2), (3, 4))),
    keras_merge("Concatenate", lambda: nn.Concat(dim=1), ((2, 1, 3), (2, 4, 3)), axis=1),
    Case("Unflatten", lambda: nn.Unflatten(1, (2, 3)), lambda t: t.nn.Unflatten(1, (2, 3)), ((4, 6),)),
    Case("Unflatten, -1", lambda: nn.Unflatten(-2, (2, -1)), lambda t: t.nn.Unflatten(-2, (2, -1)), ((3, 8, 2),)),
    Case("ModuleDict", lambda: calling(nn.ModuleDict({"a": nn.Linear(3, 2), "b": nn.Tanh()}), lambda own, x: x),
         lambda t: calling(t.nn.ModuleDict({"a": t.nn.Linear(3, 2), "b": t.nn.Tanh()}), lambda own, x: x), ((2, 3),)),
]
