"""A step on the newest pair."""

from __future__ import annotations

import torch


def deltanet(q, k, v, step):
    """Yang et al. 2024: S_t = S_{t-1} (I - beta k k^T) + beta v k^T, S [V, K]."""
    S, out = torch.zeros(v.shape[1], k.shape[1], dtype=k.dtype), []
    eye = torch.eye(k.shape[1], dtype=k.dtype)
    for t in range(len(q)):
        beta = step[t, 0]
        S = S @ (eye - beta * torch.outer(k[t], k[t])) + beta * torch.outer(v[t], k[t])
        out.append(S @ q[t])
    return torch.stack(out)


def gated_deltanet(q, k, v, decay, step):
    """Yang et al. 2024, Eq. 10: S_t = S_{t-1} alpha (I - beta k k^T) + beta v k^T."""
    S, out = torch.zeros(v.shape[1], k.shape[1], dtype=k.dtype), []
    eye = torch.eye(k.shape[1], dtype=k.dtype)
    for t in range(len(q)):
        alpha, beta = decay[t, 0].exp(), step[t, 0]
        S = alpha * S @ (eye - beta * torch.outer(k[t], k[t])) + beta * torch.outer(v[t], k[t])
        out.append(S @ q[t])
    return torch.stack(out)


def longhorn_exact(q, k, v, step):
    """Liu et al. 2024, Thm 3.1: the closed form of argmin |S - S_{t-1}|^2 + delta |S k - v|^2."""
    S, out = torch.zeros(v.shape[1], k.shape[1], dtype=k.dtype), []
    for t in range(len(q)):
        delta = step[t, 0]
        epsilon = delta / (1 + delta * (k[t] @ k[t]))
        S = S - epsilon * torch.outer(S @ k[t] - v[t], k[t])
        out.append(S @ q[t])
    return torch.stack(out)


def kaczmarz(q, k, v):
    """Wang, Shi and Fox 2025, Eq. 33: M <- M - (M k - v) k^T / |k|^2, with 1e-6 below."""
    M, out = torch.zeros(v.shape[1], k.shape[1], dtype=k.dtype), []
    for t in range(len(q)):
        beta = 1 / (k[t] @ k[t] + 1e-6)
        M = M - beta * torch.outer(M @ k[t] - v[t], k[t])
        out.append(M @ q[t])
    return torch.stack(out)


RECURRENCES = {
    "deltanet": deltanet,
    "gated-deltanet": gated_deltanet,
    "longhorn-exact": longhorn_exact,
    "kaczmarz": kaczmarz,
}
