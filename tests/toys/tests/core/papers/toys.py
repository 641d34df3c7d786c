"""A toy."""

from __future__ import annotations

import torch


def toy_layer(q, k, v, decay, step):
    """Nobody 2026: S <- a S + beta k (v - S^T k)^T."""
    S, out = torch.zeros(k.shape[1], v.shape[1], dtype=k.dtype), []
    for t in range(len(q)):
        S = decay[t].exp() * S + step[t] * torch.outer(k[t], v[t] - S.T @ k[t])
        out.append(S.T @ q[t])
    return torch.stack(out)


RECURRENCES = {"toy-layer": toy_layer}
