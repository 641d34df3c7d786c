"""The delta family: a step on the newest pair, with gates for more and more of it."""

from __future__ import annotations

import torch


def kda(q, k, v, decay, step):
    """Kimi Team 2025, Eq. 1: S_t = (I - beta k k^T) Diag(alpha) S_{t-1} + beta k v^T."""
    S, out = torch.zeros(k.shape[1], v.shape[1], dtype=k.dtype), []
    eye = torch.eye(k.shape[1], dtype=k.dtype)
    for t in range(len(q)):
        beta = step[t, 0]
        moved = (eye - beta * torch.outer(k[t], k[t])) @ torch.diag(decay[t].exp())
        S = moved @ S + beta * torch.outer(k[t], v[t])
        out.append(S.T @ q[t])
    return torch.stack(out)


def gated_deltaproduct(q, k, v, decay, step, extra_keys, extra_values):
    """Siems et al. 2025, Sec. 3: H_t = g prod_j (I - beta_j k_j k_j^T) H_{t-1} + ..., g once."""
    n = step.shape[1]
    H, out = torch.zeros(k.shape[1], v.shape[1], dtype=k.dtype), []
    keys = torch.cat([k, extra_keys], 1).unflatten(1, (n, -1))
    values = torch.cat([v, extra_values], 1).unflatten(1, (n, -1))
    for t in range(len(q)):
        H = decay[t, 0].exp() * H
        for j in range(n):
            error = values[t, j] - H.T @ keys[t, j]
            H = H + step[t, j] * torch.outer(keys[t, j], error)
        out.append(H.T @ q[t])
    return torch.stack(out)


RECURRENCES = {
    "kda": kda,
    "gated-deltaproduct": gated_deltaproduct,
}
