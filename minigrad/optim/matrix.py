"""Preconditioners that see a weight as the matrix it is: Muon, Shampoo, SOAP."""

from __future__ import annotations

import math

import numpy as np

from .optimizer import Optimizer


class Muon(Optimizer):
    """m <- momentum m + (1 - momentum) g, O = NS(d), w <- (1 - lr weight_decay) w - lr scale O, where
    d = momentum m + (1 - momentum) g (nesterov) or m. NS: X <- d / |d|, then ns_steps times
    X <- a X + (b S + c S S) X with S = X X^T.

    Jordan et al. 2024. Newton and Schulz' iteration takes every singular value of d to about 1 without computing one,
    so that the step moves all directions of a matrix alike, where momentum alone moves along the few largest. For the
    hidden matrices of a network; give vectors, embeddings and the last layer to AdamW. Memory: 1 number per weight.

    adjust_lr_fn: scale is sqrt(max(1, rows / columns)) for None or "original", as Jordan's, and
    0.2 sqrt(max(rows, columns)) for "match_rms_adamw", a step of AdamW's size, so that its lr fits too (Liu et al.
    2025). As PyTorch's, which iterates in bfloat16; here it is w's dtype. ns_coefficients=(1.5, -0.5, 0) converges to
    singular values of exactly 1, the default comes close to 1 faster.
    """

    slots = ("m",)
    fractions = ("momentum",)
    elementwise = False
    decoupled = True

    def __init__(self, params, lr: float = 1e-3, weight_decay: float = 0.1, momentum: float = 0.95,
                 nesterov: bool = True, ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
                 eps: float = 1e-7, ns_steps: int = 5, adjust_lr_fn: str | None = None, *, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, momentum=momentum, nesterov=nesterov,
                         ns_coefficients=ns_coefficients, eps=eps, ns_steps=ns_steps, adjust_lr_fn=adjust_lr_fn)

    def check(self, group):
        super().check(group)
        for i, p in enumerate(group.get("params", ())):
            if p.ndim != 2:
                raise ValueError(f"Muon is for matrices, parameter {i} is {p.shape}: give it to AdamW, "
                                 "as in MultiOptimizer(Muon(matrices), AdamW(others)); partition(model) divides them")
        if group.get("adjust_lr_fn") not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Muon: adjust_lr_fn is 'original' or 'match_rms_adamw', got {group['adjust_lr_fn']!r}")
        if not 0 <= group.get("ns_steps", 0) < 100:
            raise ValueError(f"Muon: ns_steps must be below 100, got {group['ns_steps']}")

    def numbers(self, group, state, t):
        return {"as_adamw": group["adjust_lr_fn"] == "match_rms_adamw"}

    @staticmethod
    def update(w, g, m, lr, momentum, nesterov, ns_coefficients, eps, ns_steps, as_adamw):
        m += (1 - momentum) * (g - m)
        share = momentum if nesterov else 1.0
        x = share * m + (1 - share) * g
        a, b, c = ns_coefficients
        rows, columns = w.shape
        if rows > columns:
            x = x.T
        x = x / max(np.linalg.norm(x), eps)
        for _ in range(ns_steps):
            s = x @ x.T
            x = a * x + (b * s + c * (s @ s)) @ x
        if rows > columns:
            x = x.T
        w -= lr * (0.2 * math.sqrt(max(rows, columns)) if as_adamw else math.sqrt(max(1, rows / columns))) * x


class Shampoo(Optimizer):
    """H_i <- H_i + G_i G_i^T, d = g multiplied along every axis i by H_i^(-1/(2k)), w <- w - lr d.

    k axes; G_i is g as a matrix whose rows are its axis i; H_i starts at eps I. For a matrix
    d = L^(-1/4) g R^(-1/4), for a vector it is Adagrad with the whole matrix, g g^T, in place of its diagonal.
    Gupta, Koren & Singer 2018. Where Adagrad scales every weight by itself, this turns g first: it sees that rows and
    columns go together. For layers that are not too wide: it decomposes an n x n matrix for every axis of length n,
    every update_freq steps. Memory: 2 n^2 for every axis, and 1 number per weight with momentum.

    momentum: b <- momentum b + d, w <- w - lr b. With update_freq > 1 the roots are of an older H: in a direction that
    the gradient had not had by then, they still are the large eps^(-1/(2k)).
    """

    slots = ("h", "root", "buf")  # h and root: the n x n matrices of all axes, one after the other
    elementwise = False

    def __init__(self, params, lr: float = 0.1, momentum: float = 0, weight_decay: float = 0, eps: float = 1e-4,
                 update_freq: int = 1, *, maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, momentum=momentum, eps=eps, update_freq=update_freq)

    def check(self, group):
        super().check(group)
        if not group.get("eps", 1) > 0:
            raise ValueError(f"Shampoo: eps must be positive, got {group['eps']}: a power of a singular matrix is none")
        _check_every(self, "update_freq", group)

    def unused(self, group):
        return () if group["momentum"] else ("buf",)

    def init_slot(self, name, w, group):
        if name == "buf":
            return np.zeros_like(w, order="C")
        start = group["eps"] if name == "h" else 0
        return np.concatenate([start * np.eye(n, dtype=w.dtype).reshape(-1) for n in w.shape or (1,)])

    @staticmethod
    def update(w, g, h, root, buf, lr, momentum, eps, update_freq, t):
        d = g.reshape(w.shape or (1,))
        hs, roots = _matrices(h, d.shape), _matrices(root, d.shape)
        for i, matrix in enumerate(hs):
            matrix += _gram(d, i)
            if (t - 1) % update_freq == 0:
                roots[i][...] = _power(matrix, -1 / (2 * d.ndim), eps)
        for i, matrix in enumerate(roots):
            d = _along(matrix, d, i)
        d = d.reshape(w.shape)
        if buf is not None:
            buf *= momentum
            buf += d
            d = buf
        w -= lr * d


class SOAP(Optimizer):
    """Adam in the eigenbasis of Shampoo: g' = Q_L^T g Q_R, m <- beta1 m + (1 - beta1) g,
    v <- beta2 v + (1 - beta2) g'^2, w <- w - lr Q_L ((Q_L^T m^ Q_R) / (sqrt(v^) + eps)) Q_R^T - lr weight_decay w.

    Then L <- shampoo_beta L + (1 - shampoo_beta) g g^T, R alike with g^T g, and every precondition_frequency steps
    Q_L, Q_R become the Q of the QR decompositions of L Q_L and R Q_R: one step towards their eigenvectors. m^, v^ are
    corrected as Adam's. The first step only sets L, R and the Q, to their eigenvectors, and leaves w alone, as the
    authors' program does: in a basis made of g alone, g says nothing. Arrays of more axes are turned along each.

    Vyas et al. 2024: Shampoo is Adafactor in this basis; Adam in it is better than both, and the basis may be
    out of date, which saves most of Shampoo's time. Axes longer than max_precond_dim, and vectors unless
    precondition_1d, are not turned: Adam. Memory: 2 numbers per weight and 2 n^2 for every axis that is turned.
    shampoo_beta: None for beta2.
    """

    slots = ("m", "v", "h", "q")
    elementwise = False

    def __init__(self, params, lr: float = 3e-3, betas: tuple[float, float] = (0.95, 0.95),
                 shampoo_beta: float | None = None, eps: float = 1e-8, weight_decay: float = 0.01,
                 precondition_frequency: int = 10, max_precond_dim: int = 10000, precondition_1d: bool = False, *,
                 maximize: bool = False):
        super().__init__(params, weight_decay, maximize, lr=lr, betas=betas, shampoo_beta=shampoo_beta, eps=eps,
                         precondition_frequency=precondition_frequency, max_precond_dim=max_precond_dim,
                         precondition_1d=precondition_1d)

    def check(self, group):
        super().check(group)
        if not 0 <= (group.get("shampoo_beta") or 0) < 1:
            raise ValueError(f"SOAP: shampoo_beta must be in [0, 1), got {group['shampoo_beta']}")
        _check_every(self, "precondition_frequency", group)

    def init_slot(self, name, w, group):
        if name in ("m", "v"):
            return np.zeros_like(w, order="C")
        sizes = _turned(w.shape, group["max_precond_dim"], group["precondition_1d"])
        return np.zeros(sum(n * n for n in sizes), w.dtype)

    @staticmethod
    def update(w, g, m, v, h, q, lr, beta1, beta2, shampoo_beta, eps, weight_decay, precondition_frequency,
               max_precond_dim, precondition_1d, t):
        beta = beta2 if shampoo_beta is None else shampoo_beta
        sizes = _turned(w.shape, max_precond_dim, precondition_1d)
        hs, qs = _matrices(h, sizes), _matrices(q, sizes)
        if t > 1:
            m += (1 - beta1) * (g - m)
            turned, mean = g, m
            for i, n in enumerate(sizes):
                if n:
                    turned, mean = _along(qs[i].T, turned, i), _along(qs[i].T, mean, i)
            v *= beta2
            v += (1 - beta2) * (turned * turned)
            d = mean / (1 - beta1 ** (t - 1)) / (np.sqrt(v / (1 - beta2 ** (t - 1))) + eps)
            for i, n in enumerate(sizes):
                if n:
                    d = _along(qs[i], d, i)
            w -= lr * (d + weight_decay * w)
        for i, n in enumerate(sizes):
            if n:
                hs[i] += (1 - beta) * (_gram(g, i) - hs[i])
                if t == 1:
                    qs[i][...] = _eigenvectors(hs[i])
                elif (t - 1) % precondition_frequency == 0 and np.isfinite(hs[i]).all():
                    qs[i][...] = np.linalg.qr(hs[i] @ qs[i])[0]


def _check_every(optimizer, key, group):
    if key in group and (group[key] < 1 or group[key] != int(group[key])):
        raise ValueError(f"{type(optimizer).__name__}: {key} must be a positive integer, got {group[key]}")


def _turned(shape, longest, vectors):
    """The lengths of the axes that SOAP turns, 0 for those it does not."""
    return [n if n <= longest and (len(shape) > 1 or vectors) else 0 for n in shape]


def _matrices(flat, sizes):
    """Views of ``flat`` as one n x n matrix for every n in ``sizes``."""
    views, start = [], 0
    for n in sizes:
        views.append(flat[start:start + n * n].reshape(n, n))
        start += n * n
    return views


def _gram(a, axis):
    """A A^T of ``a`` as a matrix A whose rows are its axis ``axis``."""
    rows = np.moveaxis(a, axis, 0).reshape(a.shape[axis], -1)
    return rows @ rows.T


def _along(matrix, a, axis):
    """``a`` multiplied by ``matrix`` along ``axis``."""
    return np.moveaxis(np.tensordot(matrix, a, (1, axis)), 0, axis)


def _power(matrix, exponent, least):
    """matrix^exponent of a symmetric matrix whose eigenvalues are at least ``least``; NaN if it is not finite."""
    if not np.isfinite(matrix).all():
        return np.full_like(matrix, np.nan)
    values, vectors = np.linalg.eigh(matrix.astype(np.float64))  # a root of float32 noise would be mostly noise
    return (vectors * np.maximum(values, least) ** exponent) @ vectors.T


def _eigenvectors(matrix):
    """The eigenvectors of a symmetric matrix, of the largest eigenvalue first; NaN if it is not finite."""
    if not np.isfinite(matrix).all():
        return np.full_like(matrix, np.nan)
    return np.linalg.eigh(matrix.astype(np.float64))[1][:, ::-1]
