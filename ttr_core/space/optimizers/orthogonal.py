"""Matrices made orthogonal by Newton-Schulz steps, products alone: what Muon does to a gradient."""

from __future__ import annotations

from torch import Tensor

QUINTIC = ((3.4445, -4.7750, 2.0315),) * 5
TUNED = (
    (4.0848, -6.8946, 2.9270),
    (3.9505, -6.3029, 2.6377),
    (3.7418, -5.5913, 2.3037),
    (2.8769, -3.1427, 1.2046),
    (2.8366, -3.0525, 1.2012),
)
"""Coefficients a, b, c of each step: Muon's own, and those that were tuned step by step."""

TINY = 1e-14  # beside |X|^2, which is 0 before the first pair


def orthogonal(x: Tensor, steps: tuple[tuple[float, float, float], ...]) -> Tensor:
    r"""Returns matrices with all singular values near 1; a vector is returned as it is.

    $$X_0 = X / |X|_F, \qquad X_{n+1} = a X_n + (b\, X_n X_n^\top + c\, (X_n X_n^\top)^2) X_n$$

    Five steps bring singular values from 0.01 on to 0.7 to 1.2. Where X is 0 it stays 0.

    Args:
        x: [..., F, V].
        steps: coefficients a, b and c, for each step its own.

    Source: Muon: An optimizer for hidden layers in neural networks (Jordan et al., 2024)
    https://kellerjordan.github.io/posts/muon/
    """
    if x.dim() < 2:
        return x
    tall = x.shape[-2] > x.shape[-1]
    x = x / (x.square().sum((-2, -1), keepdim=True) + TINY).sqrt()
    x = x.mT if tall else x
    for a, b, c in steps:
        gram = x @ x.mT
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x.mT if tall else x


def rescaled(x: Tensor, like: Tensor) -> Tensor:
    """Returns matrices whose columns have the norms of others; a vector as it is."""
    if x.dim() < 2:
        return x
    norm, wanted = ((z.square().sum(-2, keepdim=True) + TINY).sqrt() for z in (x, like))
    scaled: Tensor = x / norm * wanted
    return scaled
