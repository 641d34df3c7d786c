"""The published recurrences in their papers' own notation, written from the equations.

Each takes one head's q, k, v [T, d] and its signals by name, and returns the outputs [T, d]. None
of them uses anything of ttr_core: they are the second witness.
"""

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


def mesa_layer(q, k, v):
    """von Oswald et al. 2023, Eq. 5-7: Sherman-Morrison on R_0 = lambda I, here lambda = 1."""
    R = torch.eye(k.shape[1], dtype=k.dtype)
    VK, out = torch.zeros(v.shape[1], k.shape[1], dtype=k.dtype), []
    for t in range(len(q)):
        Rk = R @ k[t]
        R = R - torch.outer(Rk, Rk) / (1 + k[t] @ Rk)
        VK = VK + torch.outer(v[t], k[t])
        out.append(VK @ R @ q[t])
    return torch.stack(out)


def local_linear_attention(q, k, v):
    """TTR Eq. 52-54; the slope's ridge of 1 is rows e_j of the design (Zuo et al. 2025)."""
    d, out = k.shape[1], []
    prior = torch.eye(d + 1, dtype=k.dtype)[1:]
    for t in range(len(q)):
        s = torch.exp(k[: t + 1] @ q[t] / math.sqrt(d)).sqrt()[:, None]
        X = torch.cat([torch.ones(t + 1, 1, dtype=k.dtype), k[: t + 1] - q[t]], 1)
        X = torch.cat([s * X, prior])
        V = torch.cat([s * v[: t + 1], torch.zeros(d, v.shape[1], dtype=v.dtype)])
        out.append(torch.linalg.lstsq(X, V).solution[0])
    return torch.stack(out)


def intention(q, k, v):
    """Garnelo and Czarnecki 2023, Sec. 3, causal: Q (K^T K + alpha I)^-1 K^T V of each prefix."""
    alpha, out = torch.eye(k.shape[1], dtype=k.dtype), []
    for t in range(1, len(q) + 1):
        K, V = k[:t], v[:t]
        out.append(q[t - 1] @ torch.linalg.inv(K.T @ K + alpha) @ K.T @ V)
    return torch.stack(out)


RECURRENCES = {
    "softmax-attention": softmax_attention,
    "qknorm-attention": qknorm_attention,
    "forgetting-transformer": forgetting_transformer,
    "linear-attention": linear_attention,
    "linear-attention-elu": linear_attention_elu,
    "dpfp": dpfp,
    "retnet": retnet,
    "gla": gla,
    "deltanet": deltanet,
    "gated-deltanet": gated_deltanet,
    "longhorn-exact": longhorn_exact,
    "kaczmarz": kaczmarz,
    "mesa-layer": mesa_layer,
    "local-linear-attention": local_linear_attention,
    "intention": intention,
}
