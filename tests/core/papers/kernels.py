"""Kernel regression, its one-step form, and local regression beyond the line."""

from __future__ import annotations

import math

import torch


def kernel_regression(q, k, v):
    """TTR Eq. 43 with a ridge of 0.1, kappa = exp(-2 |a - b|^2): dense solves of each prefix."""

    def kappa(a, b):
        return torch.exp(-2 * ((a[:, None] - b[None]) ** 2).sum(-1))

    out = []
    for t in range(1, len(q) + 1):
        K = kappa(k[:t], k[:t]) + 0.1 * torch.eye(t, dtype=k.dtype)
        out.append(v[:t].T @ torch.linalg.inv(K) @ kappa(k[:t], q[t - 1 : t])[:, 0])
    return torch.stack(out)


def soft(q, k, v):
    """Lu et al. 2021, Eq. 3, causal: sum_i exp(-|q - k_i|^2 / (2 sqrt d)) v_i."""
    d, out = k.shape[1], []
    for t in range(len(q)):
        squares = ((q[t] - k[: t + 1]) ** 2).sum(1)
        weights = torch.exp(-squares / (2 * math.sqrt(d)))
        out.append(sum(w * v_i for w, v_i in zip(weights, v, strict=False)))
    return torch.stack(out)


def local_quadratic_attention(q, k, v):
    """TTR, higher-order local polynomials: least squares on [1, z, z z^T], ridge rows below.

    The ridge is 1 beside a unit key that matches, whose weight here is e^2.
    """
    d, out = k.shape[1], []
    prior = torch.eye(1 + d + d * d, dtype=k.dtype)[1:] * math.e
    for t in range(len(q)):
        s = torch.exp(2 * k[: t + 1] @ q[t]).sqrt()[:, None]
        z = k[: t + 1] - q[t]
        X = torch.cat([torch.ones_like(s), z, (z[:, :, None] * z[:, None]).flatten(1)], 1)
        X = torch.cat([s * X, prior])
        V = torch.cat([s * v[: t + 1], torch.zeros(d + d * d, v.shape[1], dtype=v.dtype)])
        Q, R = torch.linalg.qr(X)
        out.append(torch.linalg.solve_triangular(R, Q.T @ V, upper=True)[0])
    return torch.stack(out)


def sigma_intention(q, k, v):
    """Garnelo and Czarnecki 2023, causal: softmax(Q (K^T K / t + alpha I)^-1 K^T) V, alpha 0.01."""
    alpha, out = 0.01 * torch.eye(k.shape[1], dtype=k.dtype), []
    for t in range(1, len(q) + 1):
        K, V = k[:t], v[:t]
        out.append(torch.softmax(q[t - 1] @ torch.linalg.inv(K.T @ K / t + alpha) @ K.T, 0) @ V)
    return torch.stack(out)


RECURRENCES = {
    "kernel-regression": kernel_regression,
    "soft": soft,
    "local-quadratic-attention": local_quadratic_attention,
    "sigma-intention": sigma_intention,
}
