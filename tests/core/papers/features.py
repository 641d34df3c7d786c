"""Running sums of features."""

from __future__ import annotations

import math

import torch


def running(q, k, v, phi, divide):
    """S <- S + phi(k) v^T, z <- z + phi(k); y = phi(q)^T S / divide(phi(q)^T z)."""
    S = torch.zeros(len(phi(k[0])), v.shape[1], dtype=k.dtype)
    z, out = S[:, 0], []
    for t in range(len(q)):
        S, z = S + torch.outer(phi(k[t]), v[t]), z + phi(k[t])
        out.append(phi(q[t]) @ S / divide(phi(q[t]) @ z))
    return torch.stack(out)


def t2r_relu(q, k, v, W, b):
    """Kasai et al. 2021, Eq. 2-4: phi(x) = relu(W x + b), the divisor at least 1e-2."""
    return running(q, k, v, lambda x: torch.relu(W @ x + b), lambda s: s.clamp(min=1e-2))


def silu(q, k, v):
    """Dao and Gu 2024, Sec. 9.4.3: swish features, no normalizer."""
    return running(q, k, v, lambda x: x / (1 + torch.exp(-x)), lambda s: 1.0)


def polynomial(q, k, v):
    """Kacham et al. 2023: A_ij = (q_i . k_j)^p / (1 + sum_j (q_i . k_j)^p), p = 2, causal."""
    A = torch.tril((q @ k.T) ** 2)
    return A @ v / (1 + A.sum(1, keepdim=True))


def performer(q, k, v, rows):
    """Choromanski et al. 2020, Lemma 1 and Eq. 5: exp(w . x - |x|^2 / 2) / sqrt(m), x / d^(1/4)."""

    def phi(x):
        x = x / len(x) ** 0.25
        return torch.exp(rows @ x - x @ x / 2) / math.sqrt(len(rows))

    return running(q, k, v, phi, lambda s: s + 1e-6)


def rfa(q, k, v, rows, sigma):
    """Peng et al. 2021, Eq. 3-5: sqrt(1/D) [sin(w_i . x), cos(w_i . x)], w = sigma o w~."""

    def phi(x):
        angle = (sigma * rows) @ x
        return torch.cat([angle.sin(), angle.cos()]) / math.sqrt(len(rows))

    return running(q, k, v, phi, lambda s: s.abs().clamp(min=1.0))


def cosformer(q, k, v):
    """Qin et al. 2022, Eq. 8-10: relu(q_i) . relu(k_j) cos(pi (i - j) / 2 M), here M = 512."""
    out = []
    for i in range(len(q)):
        turn = torch.cos(torch.pi / 2 * (i - torch.arange(i + 1, dtype=k.dtype)) / 512)
        s = torch.relu(k[: i + 1]) @ torch.relu(q[i]) * turn
        out.append(s @ v[: i + 1] / s.sum().clamp(min=1e-6))
    return torch.stack(out)


def hedgehog(q, k, v, W, b):
    """Zhang et al. 2024, Eq. 6, exp[W x + b, -W x - b], each half / its sum, with 1e-12 below.

    The sums are those of HazyResearch/lolcats, src/model/feature_map.py: SoftmaxDim.
    """

    def phi(x):
        up, down = torch.exp(W @ x + b), torch.exp(-(W @ x) - b)
        return torch.cat([up / up.sum(), down / down.sum()])

    return running(q, k, v, phi, lambda s: s + 1e-12)


def based(q, k, v):
    """Arora et al. 2024, Eq. 3: 1 + s + s^2 / 2 with s = q . k / sqrt(d), normalized."""
    s = q @ k.T / math.sqrt(k.shape[1])
    A = torch.tril(1 + s + s**2 / 2)
    return A @ v / (A.sum(1, keepdim=True) + 1e-12)


def rebased(q, k, v, gamma, beta):
    """Aksenov et al. 2024, Eq. 8: ((gamma o norm(q) + beta) . (gamma o norm(k) + beta))^2 / d."""

    def norm(x):
        centered = x - x.mean(1, keepdim=True)
        return centered / torch.sqrt((centered**2).mean(1, keepdim=True) + 1e-5)

    A = torch.tril(((gamma * norm(q) + beta) @ (gamma * norm(k) + beta).T) ** 2) / k.shape[1]
    return A @ v / (A.sum(1, keepdim=True) + 1e-5)


def dijiang(q, k, v, diagonal, head):
    """Chen et al. 2024, the authors' code: S <- g S + phi(k) v^T, phi(x) = softmax(x C diag(w))."""
    d = k.shape[1]
    C = torch.stack(
        [
            math.sqrt((1 if n == 0 else 2) / d)
            * torch.cos(torch.pi * n * (2 * torch.arange(d, dtype=k.dtype) + 1) / (2 * d))
            for n in range(d)
        ]
    )
    S, out = torch.zeros(d, v.shape[1], dtype=k.dtype), []
    for t in range(len(q)):
        phi_k = torch.softmax(k[t] @ C @ torch.diag(diagonal), 0)
        S = (1 - 2.0 ** (-5 - head)) * S + torch.outer(phi_k, v[t])
        out.append(torch.softmax(q[t] @ C @ torch.diag(diagonal), 0) @ S)
    return torch.stack(out)


def skyformer(q, k, v, Z):
    """Chen et al. 2021, Eq. 4-6, causal: kappa(q, Z) (kappa(Z, Z) + 0.1 I)^-1 kappa(Z, k) v.

    The paper's exponent 1 / (2 sqrt(p)) is for keys of length sqrt(p), here 8 / 2 for unit keys.
    """

    def kappa(a, b):
        return torch.exp(-8 * ((a[:, None] - b) ** 2).sum(-1) / 2)

    inverse = torch.linalg.inv(kappa(Z, Z) + 0.1 * torch.eye(len(Z), dtype=k.dtype))
    return torch.tril(kappa(q, Z) @ inverse @ kappa(Z, k)) @ v


RECURRENCES = {
    "t2r-relu": t2r_relu,
    "silu": silu,
    "polynomial": polynomial,
    "performer": performer,
    "rfa": rfa,
    "cosformer": cosformer,
    "hedgehog": hedgehog,
    "based": based,
    "rebased": rebased,
    "dijiang": dijiang,
    "skyformer": skyformer,
}
