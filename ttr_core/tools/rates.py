"""How much of a computation is matrix products, and how fast this machine multiplies."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch.utils.flop_counter import FlopCounterMode

SQUARE = {"cpu": 1024, "cuda": 8192}
"""Size of the matrices whose product tells a device's rate."""

ADDED, ADDED_BATCH = torch.ops.aten.addmm_, torch.ops.aten.baddbmm_
ROUNDS = 5


def product_rate(device: str = "cpu", dtype: torch.dtype = torch.float32) -> float:
    """Returns the operations per second of a large product, in the time that `seconds` takes.

    Args:
        device: ``cpu`` or ``cuda``.
        dtype: of the matrices.
    """
    size = SQUARE[device]
    a = torch.ones(size, size, device=device, dtype=dtype)
    return 2 * size**3 / min(seconds(lambda: torch.mm(a, a), device) for _ in range(ROUNDS))


def seconds(call: Callable[[], object], device: str) -> float:
    """Returns what a call takes: processor time, or on a GPU the time until all is done.

    Some clocks of processor time advance in steps of milliseconds: a call that ends between two
    of them is repeated until the clock has moved, and the mean is returned. No time is zero.
    """
    if device != "cuda":
        start, calls, spent = time.process_time(), 0, 0.0
        while not spent:
            call()
            calls += 1
            spent = time.process_time() - start
        return spent / calls
    torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def product_count(call: Callable[[], object]) -> int:
    """Returns the operations of the matrix products of a call.

    Example:
        >>> import torch
        >>> product_count(lambda: torch.ones(4, 3) @ torch.ones(3, 5))
        120
    """
    own = {ADDED: _added, ADDED_BATCH: _added}
    with FlopCounterMode(display=False, custom_mapping=own) as counted:
        call()
    return int(counted.get_total_flops())


def _added(
    total: Sequence[int], a: Sequence[int], b: Sequence[int], out_shape: object = None, **_: object
) -> int:
    """Returns the operations of products that are added in place, which torch does not count."""
    batch = a[0] if len(a) == 3 else 1
    return int(2 * batch * a[-2] * a[-1] * b[-1])
