r"""Student's t: what the mean of few numbers is compared with.

For $n$ degrees of freedom and $\theta = \arctan(t / \sqrt{n})$, the share of t that lies within
$\pm t$ is a finite sum, of $(n + 1) / 2$ terms at most, all of one sign:

$$A(t) = \frac{2}{\pi} \Big(\theta + \sin\theta \big(\cos\theta + \tfrac{2}{3} \cos^3\theta +
\tfrac{2 \cdot 4}{3 \cdot 5} \cos^5\theta + \dots\big)\Big) \quad (n \text{ odd}), \qquad
A(t) = \sin\theta \big(1 + \tfrac{1}{2} \cos^2\theta + \tfrac{1 \cdot 3}{2 \cdot 4}
\cos^4\theta + \dots\big) \quad (n \text{ even})$$

Source: Handbook of Mathematical Functions (Abramowitz and Stegun, 1964), 26.7.3 and 26.7.4
"""

from __future__ import annotations

import math
from functools import lru_cache

HALVINGS = 60
"""Of a right angle: what is left is less than the last digit of a float."""


@lru_cache(maxsize=256)
def student(share: float, free: int) -> float:
    """Returns the value of Student's t that a share lies below.

    Args:
        share: between 0 and 1.
        free: degrees of freedom, 1 or more.

    Raises:
        ValueError: there is no such share, or no degree of freedom.

    Example:
        >>> round(student(0.975, 2), 3), round(student(0.025, 2), 3)
        (4.303, -4.303)
    """
    if not 0 < share < 1 or free < 1:
        raise ValueError(f"Student's t has no value for a share of {share} at {free} degrees.")
    if share < 0.5:
        return -student(1 - share, free)
    low, high = 0.0, math.pi / 2
    for _ in range(HALVINGS):
        angle = (low + high) / 2
        low, high = (angle, high) if _within(angle, free) < 2 * share - 1 else (low, angle)
    return math.sqrt(free) * math.tan(low)


def _within(angle: float, free: int) -> float:
    """Returns the share of t within plus and minus sqrt(n) tan(angle)."""
    odd, square = free % 2, math.cos(angle) ** 2
    term = total = (math.cos(angle) if free > 1 else 0.0) if odd else 1.0
    for place in range(2 + odd, free - 1, 2):
        term *= square * (place - 1) / place
        total += term
    inner = math.sin(angle) * total
    return 2 / math.pi * (angle + inner) if odd else inner
