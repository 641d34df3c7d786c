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


def gated_deltanet_2(q, k, v, decay, erase, write):
    """Hatamizadeh et al. 2026: S = (I - k (b o k)^T) Diag(a) S + k (w o v)^T."""
    S, out = torch.zeros(k.shape[1], v.shape[1], dtype=k.dtype), []
    eye = torch.eye(k.shape[1], dtype=k.dtype)
    for t in range(len(q)):
        moved = (eye - torch.outer(k[t], erase[t] * k[t])) @ torch.diag(decay[t].exp())
        S = moved @ S + torch.outer(k[t], write[t] * v[t])
        out.append(S.T @ q[t])
    return torch.stack(out)


def fg2_gdn(q, k, v, decay, erase, write):
    """Sun et al. 2026: S = (I - k~ k~^T) Diag(a) S + k~ v~^T, k~ = sqrt(b_k) o k, v~ alike."""
    S, out = torch.zeros(k.shape[1], v.shape[1], dtype=k.dtype), []
    eye = torch.eye(k.shape[1], dtype=k.dtype)
    for t in range(len(q)):
        key, value = erase[t] ** 0.5 * k[t], write[t] ** 0.5 * v[t]
        S = (eye - torch.outer(key, key)) @ torch.diag(decay[t].exp()) @ S
        S = S + torch.outer(key, value)
        out.append(S.T @ q[t])
    return torch.stack(out)


def comba(q, k, v, decay, step, feedback):
    """Hu et al. 2025: S = S alpha (I - beta p k^T) + beta v k^T with p = sigmoid(d) k."""
    S, out = torch.zeros(v.shape[1], k.shape[1], dtype=k.dtype), []
    for t in range(len(q)):
        alpha, beta, p = decay[t, 0].exp(), step[t, 0], torch.sigmoid(feedback) * k[t]
        S = alpha * S
        S = S - beta * torch.outer(S @ p, k[t]) + beta * torch.outer(v[t], k[t])
        out.append(S @ q[t])
    return torch.stack(out)


def rwkv7(q, k, v, decay, rate, stretch, mix):
    """Peng et al. 2025, Eq. 16-17: S = S (diag(w) - kappa^T (a o kappa)) + v^T k~, S [V, K]."""
    S, out = torch.zeros(v.shape[1], k.shape[1], dtype=k.dtype), []
    for t in range(len(q)):
        kappa = k[t] * stretch / (k[t] * stretch).norm()
        kept = torch.diag(decay[t].exp()) - torch.outer(kappa, rate[t] * kappa)
        replaced = torch.lerp(k[t], k[t] * rate[t], mix)
        S = S @ kept + torch.outer(v[t], replaced)
        out.append(S @ q[t])
    return torch.stack(out)


def efla(q, k, v, step):
    """Lei et al. 2025: S = (I - a k k^T) S + a k v^T, a = (1 - exp(-beta |k|^2)) / |k|^2."""
    S, out = torch.zeros(k.shape[1], v.shape[1], dtype=k.dtype), []
    for t in range(len(q)):
        square = k[t] @ k[t]
        a = (1 - torch.exp(-step[t, 0] * square)) / square
        S = S - a * torch.outer(k[t], k[t] @ S) + a * torch.outer(k[t], v[t])
        out.append(S.T @ q[t])
    return torch.stack(out)


def kaczmarz_linear_attention(q, k, v, decay, step):
    """Zou et al. 2026: S = gamma S + eta / (|k|^2 + eps) k (v - gamma S^T k)^T."""
    S, out = torch.zeros(k.shape[1], v.shape[1], dtype=k.dtype), []
    for t in range(len(q)):
        S = decay[t, 0].exp() * S
        beta = step[t, 0] / (k[t] @ k[t] + 1e-6)
        S = S + beta * torch.outer(k[t], v[t] - S.T @ k[t])
        out.append(S.T @ q[t])
    return torch.stack(out)


def preconditioned(q, k, v, decay, step, squares, center, **kept):
    """2604.21100: A = e^g' A + b' k^2, r = log(A + 1e-6) - c, M = 1.5^(-r / (1 + |r|))."""
    S, A, out = torch.zeros(k.shape[1], v.shape[1], dtype=k.dtype), torch.zeros_like(k[0]), []
    for t in range(len(q)):
        A = kept["decay.squares"][t].exp() * A + squares[t] * k[t] ** 2
        r = (A + 1e-6).log() - center
        M = 1.5 ** (-r / (1 + r.abs()))
        S = decay[t].exp()[:, None] * S
        S = S + torch.outer(M * k[t], step[t] * (v[t] - S.T @ k[t]))
        out.append(S.T @ q[t])
    return torch.stack(out)


def iso_kdn(q, k, v, decay, noise, drift):
    """2609.07816: z = a / c + w, beta = z / (r + z |k|^2), c = 1 / z + |k|^2 / r; KDA's step."""
    S, c, out = torch.zeros(k.shape[1], v.shape[1], dtype=k.dtype), 1.0, []
    for t in range(len(q)):
        r, square = 0.01 + noise[t], k[t] @ k[t]
        z = (2 * decay[t]).exp().mean() / c + drift[t]
        beta, c = z / (r + z * square), 1 / z + square / r
        S = decay[t].exp()[:, None] * S
        S = S + torch.outer(beta * k[t], v[t] - S.T @ k[t])
        out.append(S.T @ q[t])
    return torch.stack(out)


def diag_kdn(q, k, v, decay, noise, drift):
    """2609.07816: z = e^2g / c + w, kappa = z o k / (r + <z, k^2>), c = 1 / z + K k^2 / r."""
    S, c, out = torch.zeros(k.shape[1], v.shape[1], dtype=k.dtype), torch.ones_like(k[0]), []
    for t in range(len(q)):
        r, square = 0.01 + noise[t], k[t] ** 2
        z = (2 * decay[t]).exp() / c + drift[t]
        kappa, c = z * k[t] / (r + z @ square), 1 / z + len(k[t]) * square / r
        S = decay[t].exp()[:, None] * S
        S = S + torch.outer(kappa, v[t] - S.T @ k[t])
        out.append(S.T @ q[t])
    return torch.stack(out)


def momentum_deltanet(q, k, v, decay, step, momentum, push):
    """Huang et al. 2026: M = mu M + eta k (S_{t-1}^T k - v)^T, S = alpha S - beta M."""
    S = torch.zeros(k.shape[1], v.shape[1], dtype=k.dtype)
    M, out = torch.zeros_like(S), []
    for t in range(len(q)):
        M = momentum[t] * M + step[t] * torch.outer(k[t], S.T @ k[t] - v[t])
        S = decay[t].exp() * S - push[t] * M
        out.append(S.T @ q[t])
    return torch.stack(out)


def residual_deltanet(q, k, v, decay, step, second_step):
    """Lai et al. 2025: r = clip(v - S_{t-1}^T k), R = alpha (I - gamma k k^T) R + gamma k r^T."""
    S = torch.zeros(k.shape[1], v.shape[1], dtype=k.dtype)
    R, out, eye = torch.zeros_like(S), [], torch.eye(k.shape[1], dtype=k.dtype)
    for t in range(len(q)):
        r = (v[t] - S.T @ k[t]).clip(-1, 1)
        alpha, beta, gamma = decay[t, 0].exp(), step[t, 0], second_step[t, 0]
        S = alpha * (eye - beta * torch.outer(k[t], k[t])) @ S + beta * torch.outer(k[t], v[t])
        R = alpha * (eye - gamma * torch.outer(k[t], k[t])) @ R + gamma * torch.outer(k[t], r)
        out.append((S + R).T @ q[t])
    return torch.stack(out)


RECURRENCES = {
    "comba": comba,
    "diag-kdn": diag_kdn,
    "efla": efla,
    "fg2-gdn": fg2_gdn,
    "gated-deltanet-2": gated_deltanet_2,
    "gated-deltaproduct": gated_deltaproduct,
    "iso-kdn": iso_kdn,
    "kaczmarz-linear-attention": kaczmarz_linear_attention,
    "kda": kda,
    "momentum-deltanet": momentum_deltanet,
    "preconditioned-deltanet": preconditioned,
    "preconditioned-kda": preconditioned,
    "residual-deltanet": residual_deltanet,
    "rwkv7": rwkv7,
}
