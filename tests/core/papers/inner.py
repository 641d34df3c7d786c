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


def omeganet(q, k, v, decay, importance, step, W1, W2):
    """Behrouz et al. 2025, Eq. 9: M_t = alpha M_{t-1} - eta grad of a window's weighted loss."""

    def f(x, W1, W2):
        return F.gelu(powers(x) @ W1) @ W2

    M, out = [W1, W2], []
    for t in range(len(q)):
        if t % CHUNK == 0:
            start = M
        grads = gradient(windowed(f, k, v, importance, t, start), start)
        M = [decay[t].exp() * m - 0.01 * step[t] * g for m, g in zip(M, grads, strict=True)]
        out.append(f(q[t], *M))
    return torch.stack(out)


def atlas(q, k, v, decay, importance, step, momentum, W1, W2):
    """Behrouz et al. 2025, Eq. 32-33: S_t = theta S_{t-1} + grad, M_t = alpha M - eta NS5(S_t)."""

    def f(x, W1, W2):
        return F.gelu(x @ W1) @ W2

    M, out = [W1, W2], []
    S = [torch.zeros_like(w) for w in M]
    for t in range(len(q)):
        if t % CHUNK == 0:
            start = M
        grads = gradient(windowed(f, k, v, importance, t, start), start)
        S = [momentum[t] * s + g for s, g in zip(S, grads, strict=True)]
        M = [decay[t].exp() * m - 0.03 * step[t] * ns5(s) for m, s in zip(M, S, strict=True)]
        out.append(f(q[t], *M))
    return torch.stack(out)


def lact(q, k, v, step, momentum, W0, W1, W2):
    """Zhang et al. 2025: o = W1 (silu(W0 q) * W2 q); a chunk is applied, then W + .05 NS5(dW)."""
    W, out = [W0.T, W1.T, W2.T], []
    first = [w.norm(dim=1, keepdim=True) for w in W]
    last = [torch.zeros_like(w) for w in W]
    for start in range(0, len(q), CHUNK):
        w0, w1, w2 = W
        here = slice(start, start + CHUNK)
        out.append((F.silu(q[here] @ w0.T) * (q[here] @ w2.T)) @ w1.T)
        gate, up, lr = w0 @ k[here].T, w2 @ k[here].T, step[here]
        back = w1.T @ v[here].T
        sigma = torch.sigmoid(gate)
        d1 = v[here].T @ (lr * (F.silu(gate) * up).T)
        d0 = (back * up * sigma * (1 + gate * (1 - sigma))) @ (lr * k[here])
        d2 = (back * F.silu(gate)) @ (lr * k[here])
        last = [d + momentum[here].mean() * z for d, z in zip((d0, d1, d2), last, strict=True)]
        W = [w + 0.05 * tuned(z) for w, z in zip(W, last, strict=True)]
        W = [w / w.norm(dim=1, keepdim=True) * n for w, n in zip(W, first, strict=True)]
    return torch.cat(out)


def tuned(G):
    """The same with coefficients of their own for every step, as LaCT has them."""
    X = G / ((G**2).sum() + 1e-14).sqrt()
    for a, b, c in (
        (4.0848, -6.8946, 2.9270), (3.9505, -6.3029, 2.6377), (3.7418, -5.5913, 2.3037),
        (2.8769, -3.1427, 1.2046), (2.8366, -3.0525, 1.2012),
    ):  # fmt: skip
        A = X @ X.T
        X = a * X + (b * A + c * A @ A) @ X
    return X


def powers(x):
    """phi with phi(x) . phi(y) = 1 + x.y + (x.y)^2 / 2, coefficients 1 / i! of x^(i)."""
    rows, columns = torch.triu_indices(x.shape[-1], x.shape[-1])
    weight = torch.full_like(x[..., rows], 0.5**0.5).masked_fill(rows < columns, 1.0)
    pairs = x[..., rows] * x[..., columns] * weight
    return torch.cat([torch.ones_like(x[..., :1]), x, pairs], -1)


def windowed(f, k, v, weight, t, M):
    """The loss of the newest 8 pairs."""
    seen = slice(max(0, t - 7), t + 1)
    return (weight[seen, 0] * (f(k[seen], *M) - v[seen]).square().sum(-1)).sum() / 2


def ns5(G):
    """Jordan et al. 2024: five quintic steps from G / |G|."""
    X = G / ((G**2).sum() + 1e-14).sqrt()
    for _ in range(5):
        A = X.T @ X
        X = 3.4445 * X + X @ (-4.7750 * A + 2.0315 * A @ A)
    return X


def squared(answer, value):
    return (answer - value) @ (answer - value) / 2


def gradient(loss, weights):
    return torch.autograd.grad(loss, weights, create_graph=True)


RECURRENCES = {
    "ttt-linear": ttt_linear,
    "ttt-mlp": ttt_mlp,
    "titans": titans,
    "omeganet": omeganet,
    "atlas": atlas,
    "lact": lact,
    "moneta": moneta,
    "yaad": yaad,
    "memora": memora,
}
