"""What is no regression: long convolutions."""

from __future__ import annotations

import torch


def orchid(q, k, v, mixture, amplitude, fade, rate, phase):
    """Karami and Ghodsi 2024, Sec. 3, causal: y = (h + h(x)) * v, term by term."""
    h, out = [], []  # h[lag], one number per filter
    for lag in range(len(v)):
        waves = amplitude @ torch.sin(rate * lag + phase)
        h.append(torch.exp(-torch.exp(fade) * lag) * waves)
    for t in range(len(v)):
        s = mixture[: t + 1].mean(0)
        out.append(sum((h[t - i][0] + s @ h[t - i][1:]) * v[i] for i in range(t + 1)))
    return torch.stack(out)


def higher_order_linear_attention(q, k, v):
    """Zhang et al. 2025: sum_i (q^T M_i q_i) v_i; `test_made_pairs` has M_i q_i, which are k."""
    return torch.stack([(k[: t + 1] @ q[t]) @ v[: t + 1] for t in range(len(q))])


RECURRENCES = {"higher-order-linear-attention": higher_order_linear_attention, "orchid": orchid}
