"""Least squares, solved."""

from __future__ import annotations

import torch


def mesa_layer(q, k, v):
    """von Oswald et al. 2023, Eq. 5-7: Sherman-Morrison on R_0 = lambda I, here lambda = 1."""
    R = torch.eye(k.shape[1], dtype=k.dtype)
    VK, out = torch.zeros(v.shape[1], k.shape[1], dtype=k.dtype), []
    for t in range(len(q)):
        Rk = R @ k[t]
        R = R - torch.outer(Rk, Rk) / (1 + k[t] @ Rk)
        VK = VK + torch.outer(v[t], k[t])
        out.append(VK @ R @ q[t])
    return torch.stack(out)


def intention(q, k, v):
    """Garnelo and Czarnecki 2023, Sec. 3, causal: Q (K^T K + alpha I)^-1 K^T V of each prefix."""
    alpha, out = torch.eye(k.shape[1], dtype=k.dtype), []
    for t in range(1, len(q) + 1):
        K, V = k[:t], v[:t]
        out.append(q[t - 1] @ torch.linalg.inv(K.T @ K + alpha) @ K.T @ V)
    return torch.stack(out)


RECURRENCES = {
    "mesa-layer": mesa_layer,
    "intention": intention,
}
