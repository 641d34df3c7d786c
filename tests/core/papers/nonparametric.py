"""Local regression: softmax attention and its kin."""

from __future__ import annotations

import math

import torch


def softmax_attention(q, k, v):
    """Vaswani et al. 2017, Eq. 1, causal: softmax(Q K^T / sqrt(d)) V."""
    rows = [torch.softmax(k[: t + 1] @ q[t] / math.sqrt(k.shape[1]), 0) for t in range(len(q))]
    return torch.stack([row @ v[: len(row)] for row in rows])


def qknorm_attention(q, k, v):
    """Henry et al. 2020: softmax(g q^ k^T) V; the inputs are q^, k^ and g = 1 / sqrt(d)."""
    g, out = k.shape[1] ** -0.5, []
    for t in range(len(q)):
        e = [torch.exp(g * (q[t] @ k[i])) for i in range(t + 1)]
        out.append(sum(e_i * v_i for e_i, v_i in zip(e, v, strict=False)) / sum(e))
    return torch.stack(out)


def forgetting_transformer(q, k, v, decay):
    """Lin et al. 2025, Eq. 5-6: the logits gain d_ij = sum of log f from j + 1 to i."""
    log_f, out = decay[:, 0], []
    for i in range(len(q)):
        d = torch.stack([log_f[j + 1 : i + 1].sum() for j in range(i + 1)])
        out.append(torch.softmax(k[: i + 1] @ q[i] / math.sqrt(k.shape[1]) + d, 0) @ v[: i + 1])
    return torch.stack(out)


def local_linear_attention(q, k, v):
    """TTR Eq. 52-54; the slope's ridge is rows e_j of the design (Zuo et al. 2025).

    It is 1 beside a unit key that matches, whose weight here is e^(1 / sqrt(d)).
    """
    d, out = k.shape[1], []
    prior = torch.eye(d + 1, dtype=k.dtype)[1:] * math.exp(0.5 / math.sqrt(d))
    for t in range(len(q)):
        s = torch.exp(k[: t + 1] @ q[t] / math.sqrt(d)).sqrt()[:, None]
        X = torch.cat([torch.ones(t + 1, 1, dtype=k.dtype), k[: t + 1] - q[t]], 1)
        X = torch.cat([s * X, prior])
        V = torch.cat([s * v[: t + 1], torch.zeros(d, v.shape[1], dtype=v.dtype)])
        out.append(torch.linalg.lstsq(X, V).solution[0])
    return torch.stack(out)


def alibi(q, k, v, head, heads):
    """Press et al. 2021: softmax(q K^T / sqrt(d) + m [-(t - 1), .., 0]), m = 2^(-8 h / H)."""
    m, out = 2.0 ** (-8 * (head + 1) / heads), []
    for t in range(len(q)):
        bias = m * torch.arange(-t, 1, dtype=k.dtype)
        out.append(torch.softmax(k[: t + 1] @ q[t] / math.sqrt(k.shape[1]) + bias, 0) @ v[: t + 1])
    return torch.stack(out)


def sliding_window_attention(q, k, v):
    """Beltagy et al. 2020, Sec. 3.1, causal: softmax over the newest 64 pairs."""
    out = []
    for t in range(len(q)):
        seen = slice(max(0, t - 63), t + 1)
        out.append(torch.softmax(k[seen] @ q[t] / math.sqrt(k.shape[1]), 0) @ v[seen])
    return torch.stack(out)


RECURRENCES = {
    "alibi": alibi,
    "sliding-window-attention": sliding_window_attention,
    "softmax-attention": softmax_attention,
    "qknorm-attention": qknorm_attention,
    "forgetting-transformer": forgetting_transformer,
    "local-linear-attention": local_linear_attention,
}
