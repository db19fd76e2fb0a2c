"""The same training steps written by hand in NumPy: what a careful person writes who needs no framework.

The CNN keeps its images batch-innermost, (C, H, W, N), saves the columns of the forward pass for the weight gradient,
and knows that nobody needs the gradient of the images.
"""

from __future__ import annotations

import numpy as np


def adam(w, g, m, v, lr, beta1, beta2, eps, t):
    m += (1 - beta1) * (g - m)
    v += (1 - beta2) * (g * g - v)
    w -= lr / (1 - beta1 ** t) * m / (np.sqrt(v / (1 - beta2 ** t)) + eps)


class Trainer:
    """Adam in blocks that stay in the cache, over a list of weights."""

    def __init__(self, weights, block=16384):
        self.weights, self.block, self.t = weights, block, 0
        self.state = [(np.zeros_like(w), np.zeros_like(w)) for w in weights]

    def update(self, grads):
        self.t += 1
        for w, g, (m, v) in zip(self.weights, grads, self.state):
            flat = [a.reshape(-1) for a in (w, g, m, v)]
            for lo in range(0, w.size, self.block):
                adam(*(a[lo:lo + self.block] for a in flat), 1e-3, 0.9, 0.999, 1e-8, self.t)


def softmax_cross_entropy(z, y):
    """The mean loss and its gradient."""
    rows = np.arange(len(y))
    z = z - z.max(axis=1, keepdims=True)
    e = np.exp(z)
    s = e.sum(axis=1, keepdims=True)
    loss = (np.log(s[:, 0]) - z[rows, y]).mean()
    e /= s
    e[rows, y] -= 1
    e /= len(y)
    return loss, e


class MLP(Trainer):
    """784-256-128-10 with ReLU."""

    def __init__(self, weights):
        super().__init__([w.copy() for w in weights])

    def step(self, x, y):
        w1, b1, w2, b2, w3, b3 = self.weights
        h1 = np.maximum(x @ w1 + b1, 0)
        h2 = np.maximum(h1 @ w2 + b2, 0)
        loss, g3 = softmax_cross_entropy(h2 @ w3 + b3, y)
        gw3, gb3 = h2.T @ g3, g3.sum(axis=0)
        g2 = g3 @ w3.T
        g2 *= h2 > 0
        gw2, gb2 = h1.T @ g2, g2.sum(axis=0)
        g1 = g2 @ w2.T
        g1 *= h1 > 0
        gw1, gb1 = x.T @ g1, g1.sum(axis=0)
        self.update([gw1, gb1, gw2, gb2, gw3, gb3])
        return loss


def im2col(x, k):
    """(C, H, W, N) -> (C * k * k, H' * W' * N)."""
    c, h, w, n = x.shape
    h, w = h - k + 1, w - k + 1
    cols = np.empty((c, k, k, h, w, n), x.dtype)
    for i in range(k):
        for j in range(k):
            cols[:, i, j] = x[:, i:i + h, j:j + w]
    return cols.reshape(c * k * k, h * w * n)


def col2im(cols, shape, k):
    c, h, w, n = shape
    h, w = h - k + 1, w - k + 1
    cols = cols.reshape(c, k, k, h, w, n)
    x = np.zeros(shape, cols.dtype)
    for i in range(k):
        for j in range(k):
            x[:, i:i + h, j:j + w] += cols[:, i, j]
    return x


def conv_relu_pool(x, w, b):
    """A valid 5x5 convolution, ReLU, 2x2 max pooling; and what the way back needs."""
    cols = im2col(x, 5)
    z = w.reshape(len(w), -1) @ cols
    z += b[:, None]
    np.maximum(z, 0, out=z)
    z = z.reshape(len(w), x.shape[1] - 4, x.shape[2] - 4, x.shape[3])
    quarters = [z[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]
    y = np.maximum(np.maximum(quarters[0], quarters[1]), np.maximum(quarters[2], quarters[3]))
    return y, (cols, z, y)


def back_conv_relu_pool(g, w, saved):
    """The gradients of weights and bias, and of the convolution's output."""
    cols, z, y = saved
    gz = np.empty_like(z)
    g = g * (y > 0)
    free = np.ones(y.shape, bool)
    for i in (0, 1):
        for j in (0, 1):
            hit = z[:, i::2, j::2] == y
            hit &= free
            free ^= hit
            np.multiply(g, hit, out=gz[:, i::2, j::2])
    gz = gz.reshape(len(w), -1)
    return (gz @ cols.T).reshape(w.shape), gz.sum(axis=1), gz


class CNN(Trainer):
    """conv5x5(16)-relu-pool-conv5x5(32)-relu-pool-128-10."""

    def __init__(self, weights):
        super().__init__([w.copy() for w in weights])

    def step(self, x, y):
        """x: (N, 1, 28, 28)."""
        w1, b1, w2, b2, w3, b3, w4, b4 = self.weights
        h1, saved1 = conv_relu_pool(np.ascontiguousarray(x.transpose(1, 2, 3, 0)), w1, b1)
        h2, saved2 = conv_relu_pool(h1, w2, b2)
        flat = h2.reshape(-1, x.shape[0])
        h3 = np.maximum(flat.T @ w3 + b3, 0)
        loss, g4 = softmax_cross_entropy(h3 @ w4 + b4, y)
        gw4, gb4 = h3.T @ g4, g4.sum(axis=0)
        g3 = g4 @ w4.T
        g3 *= h3 > 0
        gw3, gb3 = flat @ g3, g3.sum(axis=0)
        gw2, gb2, gz2 = back_conv_relu_pool((w3 @ g3.T).reshape(h2.shape), w2, saved2)
        gw1, gb1, _ = back_conv_relu_pool(col2im(w2.reshape(len(w2), -1).T @ gz2, h1.shape, 5), w1, saved1)
        self.update([gw1, gb1, gw2, gb2, gw3, gb3, gw4, gb4])
        return loss
