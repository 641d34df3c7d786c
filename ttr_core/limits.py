"""Every size limit, in one place, and the check that runs before anything is allocated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch

from .errors import LimitExceeded

MAX_DIM = 4096
MAX_HEADS = 256
MAX_BYTES = 12 * 2**30
"""Of a computation on a CPU, whose memory is others' too; on a GPU all that it has: `memory`."""

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


class Lowered(NamedTuple):
    """A size that could be lowered.

    Args:
        asked: its number.
        cost: what another number of it would cost.
        least: the smallest number that is one.
    """

    asked: int
    cost: Callable[[int], Estimate]
    least: int = 1


Smaller = Mapping[str, Lowered]
"""Sizes that could be lowered, by name."""

NO_OTHER: Smaller = {}


def memory(device: str) -> float:
    """Returns the most bytes that a computation may take on a device: all that a GPU has.

    Args:
        device: its type, such as ``cpu`` or ``cuda``.

    Example:
        >>> memory("cpu") == MAX_BYTES
        True
    """
    if device != "cuda" or not torch.cuda.is_available():
        return MAX_BYTES
    return torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory


def check(
    what: object,
    estimate: Estimate,
    flops: float = MAX_FLOPS,
    smaller: Smaller = NO_OTHER,
    device: str = "cpu",
) -> None:
    """Refuses a computation that is too large.

    Args:
        what: what is computed; its text begins the refusal.
        estimate: what it costs.
        flops: the most operations that it may take.
        smaller: the sizes of which the refusal names the largest that would do.
        device: the type of the device whose `memory` is the limit.

    Raises:
        LimitExceeded: with the estimate, the limit and the nearest sizes within it.
    """
    held = memory(device)

    def within(asked: Estimate) -> bool:
        return asked.bytes <= held and asked.flops <= flops

    def fits(cost: Callable[[int], Estimate], number: int) -> bool:
        return within(cost(number))

    if within(estimate):
        return
    if estimate.bytes > held:
        needs = f"{estimate.bytes / 2**30:.1f} GiB; the limit is {held / 2**30:.0f} GiB"
        lower = "Shorten the sequences or lower the batch."
    else:
        needs = f"{estimate.flops:.1e} operations; the limit is {flops:.0e}"
        lower = (
            "Shorten the sequences, lower the dimensions, or choose ingredients with a fast solver."
        )
    nearest = []
    for name, size in smaller.items():
        most = largest(size.asked, partial(fits, size.cost))
        if most >= size.least:
            nearest.append(f"{name}={most}")
    would = f" {' or '.join(nearest)} would do." if nearest else ""
    raise LimitExceeded(f"{what} needs about {needs}. {lower}{would}")


def largest(asked: int, fits: Callable[[int], bool]) -> int:
    """Returns the largest number below ``asked`` that fits, where all below it do; 0 for none.

    Example:
        >>> largest(1000, lambda n: n * n <= 5000)
        70
    """
    low, high = 0, asked
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
