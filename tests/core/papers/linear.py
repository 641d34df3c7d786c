"""Running sums and their decays."""

from __future__ import annotations

import torch


def linear_attention(q, k, v):
    """Katharopoulos et al. 2020 without normalizer: S <- S + k v^T; y = S^T q."""
    S, out = torch.zeros(k.shape[1], v.shape[1], dtype=k.dtype), []
    for t in range(len(q)):
        S = S + torch.outer(k[t], v[t])
        out.append(S.T @ q[t])
    return torch.stack(out)


def normalized(q, k, v, phi):
    """Katharopoulos et al. 2020, Eq. 18-20: y = phi(q)^T S / (phi(q)^T Z), with 1e-6 below."""
    f = len(phi(k[0]))
    S, Z, out = torch.zeros(f, v.shape[1], dtype=k.dtype), torch.zeros(f, dtype=k.dtype), []
    for t in range(len(q)):
        S = S + torch.outer(phi(k[t]), v[t])
        Z = Z + phi(k[t])
        out.append(phi(q[t]) @ S / (phi(q[t]) @ Z + 1e-6))
    return torch.stack(out)


def linear_attention_elu(q, k, v):
    """Katharopoulos et al. 2020, Eq. 7: phi(x) = elu(x) + 1."""
    return normalized(q, k, v, lambda x: torch.where(x > 0, x + 1, torch.exp(x)))


def dpfp(q, k, v):
    """Schlag et al. 2021, nu = 1: phi_i(x) = relu([x, -x])_i relu([x, -x])_(i + 1)."""

    def phi(x):
        r = [torch.relu(c) for c in (*x, *(-x))]
        return torch.stack([r[i] * r[(i + 1) % len(r)] for i in range(len(r))])

    return normalized(q, k, v, phi)


def retnet(q, k, v, head):
    """Sun et al. 2023, Eq. 6: S_n = gamma S_{n-1} + K_n^T V_n, gamma = 1 - 2^(-5 - head)."""
    gamma = 1 - 2.0 ** (-5 - head)
    S, out = torch.zeros(k.shape[1], v.shape[1], dtype=k.dtype), []
    for n in range(len(q)):
        S = gamma * S + torch.outer(k[n], v[n])
        out.append(q[n] @ S)
    return torch.stack(out)


def gla(q, k, v, decay):
    """Yang et al. 2023, Eq. 3: S_t = Diag(alpha_t) S_{t-1} + k_t v_t^T."""
    S, out = torch.zeros(k.shape[1], v.shape[1], dtype=k.dtype), []
    for t in range(len(q)):
        S = torch.diag(decay[t].exp()) @ S + torch.outer(k[t], v[t])
        out.append(S.T @ q[t])
    return torch.stack(out)


def power_retention(q, k, v, decay):
    """Buckman et al. 2025: A_ti = (q_t . k_i)^2 prod_{j > i} g_j, o = A v / sum A; 1e-6 below."""
    out = []
    for t in range(len(q)):
        g = torch.stack([decay[i + 1 : t + 1].sum().exp() for i in range(t + 1)])
        A = (k[: t + 1] @ q[t]) ** 2 * g
        out.append(A @ v[: t + 1] / (A.sum() + 1e-6))
    return torch.stack(out)


RECURRENCES = {
    "power-retention": power_retention,
    "linear-attention": linear_attention,
    "linear-attention-elu": linear_attention_elu,
    "dpfp": dpfp,
    "retnet": retnet,
    "gla": gla,
}
