"""RWKV-6, and the running sums within GateLoop and the LRU once their phases are in the frame."""

from __future__ import annotations

import torch


def rwkv6(q, k, v, decay, u):
    """Peng et al. 2024, Eq. 19-20: wkv = S_{t-1} + diag(u) k^T v; S_t = diag(w) S_{t-1} + k^T v."""
    S, out = torch.zeros(k.shape[1], v.shape[1], dtype=k.dtype), []
    for r, key, value, w in zip(q, k, v, decay.exp(), strict=True):
        kv = torch.outer(key, value)
        out.append(r @ (S + torch.diag(u) @ kv))
        S = torch.diag(w) @ S + kv
    return torch.stack(out)


def gateloop(q, k, v, decay):
    """Katsch 2023: h_t = a_t h_{t-1} + k_t v_t with the modulus of a_t; its phase is in q and k."""
    h, out = torch.zeros(k.shape[1], v.shape[1], dtype=k.dtype), []
    for t in range(len(q)):
        h = decay[t].exp() * h + torch.outer(k[t], v[t])
        out.append(q[t] @ h)
    return torch.stack(out)


def lru(q, k, v, nu):
    """Orvieto et al. 2023: h_t = exp(-exp(nu)) h_{t-1} + input; the phase is in keys or values."""
    modulus = torch.exp(-torch.exp(nu))
    h, out = torch.zeros(k.shape[1], v.shape[1], dtype=k.dtype), []
    for t in range(len(q)):
        h = modulus * h + torch.outer(k[t], v[t])
        out.append(q[t] @ h)
    return torch.stack(out)


RECURRENCES = {"rwkv6": rwkv6, "gateloop": gateloop, "lru": lru}
