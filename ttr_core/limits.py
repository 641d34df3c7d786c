"""Every size limit, in one place, and the check that runs before anything is allocated."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import LimitExceeded

MAX_DIM = 4096
MAX_HEADS = 256
MAX_BYTES = 12 * 2**30
MAX_FLOPS = 1e15
REFERENCE_FLOPS = 2e10


@dataclass(frozen=True)
class Shape:
    """Sizes of a solve: batch, heads, tokens, key, value and feature dimension."""

    batch: int
    heads: int
    length: int
    key_dim: int
    value_dim: int
    features: int


@dataclass(frozen=True)
class Estimate:
    """What a solve costs, forward only.

    Args:
        flops: floating-point operations.
        bytes: largest memory held at once, in bytes, inputs aside.
    """

    flops: float
    bytes: float


def check(what: object, estimate: Estimate, flops: float = MAX_FLOPS) -> None:
    """Refuses a computation that is too large.

    Args:
        what: what is computed; its text begins the refusal.
        estimate: what it costs.
        flops: the most operations that it may take.

    Raises:
        LimitExceeded: with the estimate and the limit.
    """
    if estimate.bytes > MAX_BYTES:
        raise LimitExceeded(
            f"{what} needs about {estimate.bytes / 2**30:.1f} GiB; the limit is "
            f"{MAX_BYTES / 2**30:.0f} GiB. Shorten the sequences or lower the batch."
        )
    if estimate.flops > flops:
        raise LimitExceeded(
            f"{what} needs about {estimate.flops:.1e} operations; the limit is {flops:.0e}. "
            "Shorten the sequences, lower the dimensions, or choose ingredients with a fast solver."
        )
