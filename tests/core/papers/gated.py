"""Running sums behind gates."""

from __future__ import annotations

import torch


def hgrn2(q, k, v, decay):
    """Qin et al. 2024, Eq. 5: h_t = Diag(f_t) h_{t-1} + (1 - f_t) v_t^T; the key is 1 - f_t."""
    h, out = torch.zeros(k.shape[1], v.shape[1], dtype=k.dtype), []
    for t in range(len(q)):
        f = decay[t].exp()
        h = f[:, None] * h + k[t][:, None] * v[t][None]
        out.append(q[t] @ h)
    return torch.stack(out)


def mamba2(q, k, v, decay, importance):
    """Dao and Gu 2024, Eq. 16 in its quadratic form: M = L o (C B^T), y = M (Delta x)."""
    total = decay[:, 0].cumsum(0)
    L = (total[:, None] - total[None]).tril().exp().tril()
    return (L * (q @ k.T)) @ (importance * v)


def mamba(q, k, v, decay, importance):
    """Gu and Dao 2023, Eq. 2: per channel c h = Abar h + Delta B x_c, y_c = C h."""
    out = torch.zeros_like(v)
    for c in range(v.shape[1]):
        h = torch.zeros_like(k[0])
        for t in range(len(q)):
            h = decay[t].exp() * h + importance[t] * k[t] * v[t, c]
            out[t, c] = (q[t] * h).sum()
    return out


def mamba3(q, k, v, decay, taps):
    """Lahoti et al. 2026, Eq. 4: h_t = a h_{t-1} + beta_t B_{t-1} x_{t-1} + gamma_t B_t x_t.

    With a = exp(Delta A), beta = (1 - lambda) Delta a and gamma = lambda Delta.
    """
    h, out = torch.zeros(k.shape[1], v.shape[1], dtype=k.dtype), []
    for t in range(len(q)):
        a, gamma, beta = decay[t].exp(), taps[t, 0], taps[t, 1] * decay[t].exp()
        h = a * h + gamma * torch.outer(k[t], v[t])
        if t:
            h = h + beta * torch.outer(k[t - 1], v[t - 1])
        out.append(q[t] @ h)
    return torch.stack(out)


def mlstm(q, k, v, decay, importance):
    """Beck et al. 2024, Eq. 19-27, stabilized by the running maximum m of App. A.2."""
    C, n = torch.zeros(v.shape[1], k.shape[1], dtype=k.dtype), torch.zeros_like(k[0])
    m, out = torch.tensor(-torch.inf), []
    for t in range(len(q)):
        log_f, log_i = decay[t, 0], importance[t, 0].log()
        new = torch.maximum(log_f + m, log_i)
        f, i, m = (log_f + m - new).exp(), (log_i - new).exp(), new
        C = f * C + i * torch.outer(v[t], k[t])
        n = f * n + i * k[t]
        out.append(C @ q[t] / torch.maximum((n @ q[t]).abs(), (-m).exp()))
    return torch.stack(out)


def longhorn(q, k, v, step):
    """Liu et al. 2024, Alg. 1: S <- (1 - Delta (x) k^2) o S + (Delta o x) (x) k, S [V, K]."""
    S, out = torch.zeros(v.shape[1], k.shape[1], dtype=k.dtype), []
    for t in range(len(q)):
        Delta = (step[t] / (1 + step[t] * k[t] @ k[t])).expand(v.shape[1])
        S = (1 - torch.outer(Delta, k[t] * k[t])) * S + torch.outer(Delta * v[t], k[t])
        out.append(S @ q[t])
    return torch.stack(out)


def rfa_gate(q, k, v, decay, importance, rows, sigma):
    """Peng et al. 2021, Sec. 3.2: S_t = g S + (1 - g) phi(k) v^T, z alike; 0.01 at least below."""

    def phi(x):
        angle = (sigma * rows) @ x
        return torch.cat([angle.sin(), angle.cos()]) / len(rows) ** 0.5

    S, z, out = 0, 0, []
    for t in range(len(q)):
        g, write = decay[t].exp(), importance[t]
        S = g * S + write * torch.outer(phi(k[t]), v[t])
        z = g * z + write * phi(k[t])
        out.append(phi(q[t]) @ S / (phi(q[t]) @ z).clamp(min=0.01))
    return torch.stack(out)


def gated_slot_attention(q, k, v, decay):
    """Zhang et al. 2024, Eq. 9: V_t = Diag(a_t) V_{t-1} + s_t v_t^T, o_t = V_t^T p_t.

    `test_made_pairs` has s = 1 - a and p, the softmax over slots, which are k and q here.
    """
    V, out = torch.zeros(k.shape[1], v.shape[1], dtype=k.dtype), []
    for t in range(len(q)):
        V = decay[t].exp()[:, None] * V + torch.outer(k[t], v[t])
        out.append(V.T @ q[t])
    return torch.stack(out)


def log_linear_attention(q, k, v, decay, levels):
    """Guo et al. 2025, Eq. 5-7: buckets of t are [t], then by the bits of t from the lowest.

    Each set bit 2^b covers that many tokens before those of the lower bits, at level b + 1.
    """
    out = []
    for t in range(len(q)):
        spans, end, rest = [(0, t, t + 1)], t, t
        while rest:
            size = rest & -rest
            spans.append((size.bit_length(), end - size, end))
            end, rest = end - size, rest - size
        o = torch.zeros(v.shape[1], dtype=v.dtype)
        for level, start, stop in spans:
            for i in range(start, stop):
                fade = decay[i + 1 : t + 1].sum().exp()
                o = o + levels[t, level] * fade * (q[t] @ k[i]) * v[i]
        out.append(o)
    return torch.stack(out)


RECURRENCES = {
    "log-linear-attention": log_linear_attention,
    "gated-slot-attention": gated_slot_attention,
    "hgrn2": hgrn2,
    "mamba": mamba,
    "mamba2": mamba2,
    "mamba3": mamba3,
    "mlstm": mlstm,
    "rfa-gate": rfa_gate,
    "longhorn": longhorn,
}
