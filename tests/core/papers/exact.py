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


def mesanet(q, k, v, decay, importance):
    """von Oswald et al. 2025, Eq. 6-8: o = G (H + Lambda)^-1 q, Lambda undecayed, here 1."""
    H, eye = torch.zeros(k.shape[1], k.shape[1], dtype=k.dtype), torch.eye(k.shape[1]).double()
    G, out = torch.zeros(v.shape[1], k.shape[1], dtype=k.dtype), []
    for t in range(len(q)):
        gamma, beta = decay[t, 0].exp(), importance[t, 0]
        H = gamma * H + beta * torch.outer(k[t], k[t])
        G = gamma * G + beta * torch.outer(v[t], k[t])
        out.append(G @ torch.linalg.solve(H + eye, q[t]))
    return torch.stack(out)


def gated_kalmanet(q, k, v, decay, importance, mix):
    """Peng et al. 2025: 30 Chebyshev steps on (H + l I) x = q, l = .02 |H|_F; reads q + a (x - q).

    The spectrum is taken to lie in [l, l + |H|_F].
    """
    H = torch.zeros(k.shape[1], k.shape[1], dtype=k.dtype)
    G, out = torch.zeros(v.shape[1], k.shape[1], dtype=k.dtype), []
    for t in range(len(q)):
        gamma, beta = decay[t, 0].exp(), importance[t, 0]
        H = gamma * H + beta * torch.outer(k[t], k[t])
        G = gamma * G + beta * torch.outer(v[t], k[t])
        norm = (H * H).sum().sqrt()
        low, high = 0.02 * norm, 1.02 * norm
        rho = (high - low) / (high + low)
        last, x, omega = torch.zeros_like(q[t]), 2 / (high + low) * q[t], 2.0
        for _ in range(30):
            omega = 4 / (4 - rho**2 * omega)
            step = x - 2 / (high + low) * (H @ x + low * x - q[t])
            last, x = x, omega * step + (1 - omega) * last
        out.append(G @ (q[t] + mix[t, 0] * (x - q[t])))
    return torch.stack(out)


RECURRENCES = {
    "gated-kalmanet": gated_kalmanet,
    "mesanet": mesanet,
    "mesa-layer": mesa_layer,
    "intention": intention,
}
