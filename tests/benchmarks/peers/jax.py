"""JAX: the whole step under jit, optax' Adam. A compiled step has no parts that could be timed one by one."""

from __future__ import annotations

from importlib.metadata import version

import jax
import jax.numpy as jnp
import optax
from jax import lax

from .problem import HIDDEN, RATE

missing = {"RECORDED": "compiles whole programs", "Chain": "compiles whole programs", "LBFGS": "another line search"}


def start(threads):
    jax.config.update("jax_platforms", "cpu")


def versions():
    return {"jax": version("jax"), "optax": version("optax")}


def convolution(x, w, b, padding=0):
    y = lax.conv_general_dilated(x, w, (1, 1), [(padding, padding)] * 2)
    return y + b[:, None, None]


def pool(x, start, combine):
    return lax.reduce_window(x, start, combine, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")


def max_pool(x):
    return pool(x, -jnp.inf, lax.max)


def mean_pool(x):
    return pool(x, 0.0, lax.add) / 4


def normalized(x, scale, shift):
    mean, variance = x.mean((0, 2, 3), keepdims=True), x.var((0, 2, 3), keepdims=True)
    return (x - mean) * lax.rsqrt(variance + 1e-5) * scale[:, None, None] + shift[:, None, None]


def mlp(weights, x, squash=jax.nn.relu):
    x = x.reshape(len(x), -1)
    *hidden, last = zip(weights[::2], weights[1::2])
    for w, b in hidden:
        x = squash(x @ w + b)
    return x @ last[0] + last[1]


def cnn(weights, x):
    for w, b in zip(weights[0:4:2], weights[1:4:2]):
        x = max_pool(jax.nn.relu(convolution(x, w, b)))
    return mlp(weights[4:], x)


def norm(weights, x):
    for w, b, scale, shift in (weights[:4], weights[4:8]):
        x = max_pool(jax.nn.relu(normalized(convolution(x, w, b), scale, shift)))
    return mlp(weights[8:], x)


def lenet(weights, x):
    w1, b1, w2, b2, w3, b3, *dense = weights
    x = mean_pool(jnp.tanh(convolution(x, w1, b1, padding=2)))
    x = mean_pool(jnp.tanh(convolution(x, w2, b2)))
    return mlp(dense, jnp.tanh(convolution(x, w3, b3)), jnp.tanh)


def lstm(weights, x):
    w_ih, w_hh, b_ih, b_hh, w, b = weights
    xs = jnp.swapaxes(x[:, 0], 0, 1) @ w_ih.T + (b_ih + b_hh)

    def step(state, x):
        h, c = state
        i, f, g, o = jnp.split(x + h @ w_hh.T, 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None
    start = jnp.zeros((len(x), HIDDEN))
    (h, _), _ = lax.scan(step, (start, start), xs)
    return h @ w + b


MODELS = {"mlp": mlp, "cnn": cnn, "norm": norm, "lenet": lenet, "lstm": lstm}


class Training:
    optimizer = "Adam"

    def __init__(self, problem, variant=None, seed=0):
        model, rule = MODELS[problem.model], optax.adam(RATE)
        self.weights = [jnp.asarray(w) for w in problem.weights(seed)]
        self.state = rule.init(self.weights)

        def loss(weights, x, y):
            return optax.softmax_cross_entropy_with_integer_labels(model(weights, x), y).mean()

        @jax.jit
        def step(weights, state, x, y):
            value, grads = jax.value_and_grad(loss)(weights, x, y)
            changes, state = rule.update(grads, state, weights)
            return optax.apply_updates(weights, changes), state, value
        self.compiled = step

    def place(self, images, labels):
        return jnp.asarray(images), jnp.asarray(labels)

    def step(self, x, y):
        self.weights, self.state, self.value = self.compiled(self.weights, self.state, x, y)
        jax.block_until_ready((self.weights, self.state, self.value))

    def loss(self):
        return float(self.value)


