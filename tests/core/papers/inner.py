"""Networks trained within the layer: gradients by torch.autograd, a token at a time."""

from __future__ import annotations

import torch
import torch.nn.functional as F

CHUNK = 16  # tokens whose gradients are taken at the memory before them


def ttt_linear(q, k, v, step, W1, b1, gamma, beta, shift):
    """Sun et al. 2024, Sec. 2.4-2.7: f(x) = x + LN(x W + b), the loss against v."""

    def f(x, W, b):
        return x + F.layer_norm(x @ W + b, x.shape, gamma, beta, 1e-6)

    return mini_batches(f, q, k, v, step, [W1, b1], shift, 1.0)


def ttt_mlp(q, k, v, step, W1, b1, W2, b2, gamma, beta, shift):
    """Sun et al. 2024, Sec. 2.7: f(x) = x + LN(gelu(x W1 + b1) W2 + b2)."""

    def f(x, W1, b1, W2, b2):
        z = F.gelu(x @ W1 + b1, approximate="tanh") @ W2 + b2
        return x + F.layer_norm(z, x.shape, gamma, beta, 1e-6)

    return mini_batches(f, q, k, v, step, [W1, b1, W2, b2], shift, 1.0)


def mini_batches(f, q, k, v, step, W, shift, base):
    """W_t = W_0 - sum_{s <= t} eta_{t, s} grad_s, eta = max(1 / (t + 1) + tau_t, 0) lr_s / d."""
    out = []
    for t in range(len(q)):
        j = t % CHUNK
        if j == 0:
            start, past = W, []
        past.append((step[t, 0], gradient(squared(f(k[t], *start), v[t]), start)))
        row = (1 / (j + 1) + shift[j]).clamp_min(0) * base / k.shape[1]
        W = [w - sum(row * lr * g[i] for lr, g in past) for i, w in enumerate(start)]
        out.append(f(q[t], *W))
    return torch.stack(out)


def titans(q, k, v, decay, step, momentum, W1, W2, gamma, beta):
    """Behrouz et al. 2024, Eq. 13-14: S = eta S - theta grad, M = (1 - alpha) M + S."""

    def f(x, W1, W2):
        return x + F.layer_norm(F.gelu(x @ W1) @ W2, x.shape, gamma, beta, 1e-6)

    M, out = [W1, W2], []
    S = [torch.zeros_like(w) for w in M]
    for t in range(len(q)):
        if t % CHUNK == 0:
            start = M
        grads = gradient(squared(f(k[t], *start), v[t]), start)
        S = [momentum[t] * s - 0.1 * step[t] * g for s, g in zip(S, grads, strict=True)]
        M = [decay[t].exp() * m + s for m, s in zip(M, S, strict=True)]
        out.append(f(q[t], *M))
    return torch.stack(out)


def yaad(q, k, v, decay, step, delta, W1, W2, gamma, beta):
    """Behrouz et al. 2025: the l2 gradient up to the threshold, delta times the l1 one beyond."""

    def loss(r, t):
        return r @ r / 2 if r.norm() <= delta[t, 0] else delta[t, 0] * r.norm()

    return retained(q, k, v, decay, step, [W1, W2], gamma, beta, loss, lambda A: A, rate=1.0)


def moneta(q, k, v, decay, step, W1, W2, gamma, beta):
    """Behrouz et al. 2025: p = 3, q = 4, W = A / |A|_q^(q - 2)."""

    def loss(r, t):
        return ((r**2 + 1e-6) ** 1.5).sum() / 3

    def power(A):
        return A / ((A**4).sum() + 1e-3) ** 0.5

    return retained(q, k, v, decay, step, [W1, W2], gamma, beta, loss, power)


def memora(q, k, v, decay, step, W1, W2, gamma, beta):
    """Behrouz et al. 2025: W = softmax(alpha log W - eta grad), here over the inputs."""
    return retained(
        q, k, v, decay, step, [W1, W2], gamma, beta,
        lambda r, t: r @ r / 2, lambda A: torch.softmax(A, 0),
    )  # fmt: skip


def retained(q, k, v, decay, step, A, gamma, beta, loss, mirror, rate=0.01):
    """A_t = alpha_t A_{t-1} - eta_t grad, the gradient at the memory before the chunk."""

    def f(x, W1, W2):
        return x + F.layer_norm(F.gelu(x @ W1) @ W2, x.shape, gamma, beta, 1e-6)

    W, out = [mirror(a) for a in A], []
    for t in range(len(q)):
        if t % CHUNK == 0:
            start = W
        grads = gradient(loss(f(k[t], *start) - v[t], t), start)
        A = [decay[t].exp() * a - rate * step[t] * g for a, g in zip(A, grads, strict=True)]
        W = [mirror(a) for a in A]
        out.append(f(q[t], *W))
    return torch.stack(out)


def squared(answer, value):
    return (answer - value) @ (answer - value) / 2


def gradient(loss, weights):
    return torch.autograd.grad(loss, weights, create_graph=True)


RECURRENCES = {
    "ttt-linear": ttt_linear,
    "ttt-mlp": ttt_mlp,
    "titans": titans,
    "moneta": moneta,
    "yaad": yaad,
    "memora": memora,
}
