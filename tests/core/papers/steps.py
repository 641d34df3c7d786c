"""Several steps per token."""

from __future__ import annotations

import torch


def deltaproduct(q, k, v, step, extra_keys, extra_values):
    """Siems et al. 2025: H_{t,j} = (I - beta k k^T) H_{t,j-1} + beta k v^T for j = 1..n."""
    n = step.shape[1]
    H, out = torch.zeros(k.shape[1], v.shape[1], dtype=k.dtype), []
    eye = torch.eye(k.shape[1], dtype=k.dtype)
    keys = [k, *extra_keys.chunk(n - 1, 1)]
    values = [v, *extra_values.chunk(n - 1, 1)]
    for t in range(len(q)):
        for j in range(n):
            key, value, beta = keys[j][t], values[j][t], step[t, j]
            H = (eye - beta * torch.outer(key, key)) @ H + beta * torch.outer(key, value)
        out.append(H.T @ q[t])
    return torch.stack(out)


RECURRENCES = {"deltaproduct": deltaproduct}
