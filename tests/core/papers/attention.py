"""Attention by other weights than softmax."""

from __future__ import annotations

import math

import torch


def sparsemax_attention(q, k, v):
    """Martins and Astudillo 2016, Alg. 1: sort z, k(z) = max{k: 1 + k z_k > sum_j<=k z_j}."""
    out = []
    for t in range(len(q)):
        z = k[: t + 1] @ q[t] / math.sqrt(k.shape[1])
        s = z.sort(descending=True).values
        size = max(n for n in range(1, t + 2) if 1 + n * s[n - 1] > s[:n].sum())
        tau = (s[:size].sum() - 1) / size
        out.append(torch.relu(z - tau) @ v[: t + 1])
    return torch.stack(out)


def stick_breaking(q, k, v):
    """Tan et al. 2024, Eq. 1-3: A_ij = b_ij prod_{i<l<j} (1 - b_lj), b = sigmoid(q.k / sqrt d).

    Token j attends to i < j; the rest is left. The catalog takes 4 off each logit.
    """
    out = []
    for j in range(len(q)):
        left, o = torch.ones((), dtype=k.dtype), torch.zeros(v.shape[1], dtype=v.dtype)
        for i in reversed(range(j)):
            b = torch.sigmoid(q[j] @ k[i] / math.sqrt(k.shape[1]) - 4)
            o, left = o + b * left * v[i], left * (1 - b)
        out.append(o)
    return torch.stack(out)


def parallax(q, k, v, probe):
    """Zuo et al. 2026, Alg. 1: o = O1 / d1 (1 + d2 / d1) - O2 / d1, s2 = r k^T unscaled."""
    out = []
    for t in range(len(q)):
        p1 = torch.exp(k[: t + 1] @ q[t] / math.sqrt(k.shape[1]))
        p2 = p1 * (k[: t + 1] @ probe[t])
        d1, d2 = p1.sum(), p2.sum()
        out.append(p1 @ v[: t + 1] / d1 * (1 + d2 / d1) - p2 @ v[: t + 1] / d1)
    return torch.stack(out)


def path_attention(q, k, v, turn_key, turn):
    """Yang et al. 2025, Eq. 3: logits q_i^T (prod_{s=i..j+1} (I - b_s w_s w_s^T)) k_j / sqrt(d)."""
    d, keys, out = k.shape[1], [], []
    for i in range(len(q)):
        w = turn_key[i] / turn_key[i].norm()
        H = torch.eye(d, dtype=k.dtype) - turn[i, 0] * torch.outer(w, w)
        keys = [*(H @ key for key in keys), k[i]]
        out.append(torch.softmax(torch.stack(keys) @ q[i] / math.sqrt(d), 0) @ v[: i + 1])
    return torch.stack(out)


def deltaformer(q, k, v, step):
    """Zhong et al. 2025: u_t = v_t - b_t softmax_{i<t}(k_t K^T / sqrt(d)) U, o = attn(q, k, u)."""
    u, out, scale = [], [], k.shape[1] ** -0.5
    for t in range(len(q)):
        said = 0.0
        if t:
            said = torch.softmax(scale * k[:t] @ k[t], 0) @ torch.stack(u)
        u.append(v[t] - step[t, 0] * said)
        out.append(torch.softmax(scale * k[: t + 1] @ q[t], 0) @ torch.stack(u))
    return torch.stack(out)


def lucid(q, k, v):
    """Duvvuri et al. 2026: softmax(Q K^T / sqrt d) P^-1 V, P = tril(e^(k~ k~^T / sqrt d - sqrt d)).

    k~ is sqrt(d) k / |k|.
    """
    d = k.shape[1]
    unit = math.sqrt(d) * k / k.norm(dim=1, keepdim=True)
    P = torch.exp(unit @ unit.T / math.sqrt(d) - math.sqrt(d)).tril()
    scores = (q @ k.T / math.sqrt(d)).masked_fill(torch.ones_like(P).triu(1) > 0, -math.inf)
    return torch.softmax(scores, 1) @ torch.linalg.inv(P) @ v


def memory_mosaics(q, k, v):
    """Zhang et al. 2024, Eq. 3-5: sum_i e^(b q.k_i) v_i / sum_i e^(b q.k_i).

    `test_made_pairs` has how keys and values are made; here b = 1 / sqrt(d).
    """
    e = [torch.exp(k[: t + 1] @ q[t] / math.sqrt(k.shape[1])) for t in range(len(q))]
    return torch.stack([e_t @ v[: len(e_t)] / e_t.sum() for e_t in e])


RECURRENCES = {
    "memory-mosaics": memory_mosaics,
    "sparsemax-attention": sparsemax_attention,
    "stick-breaking": stick_breaking,
    "parallax": parallax,
    "path-attention": path_attention,
    "deltaformer": deltaformer,
    "lucid": lucid,
}
