"""What a computation may ask of its numbers: how precise they are, and whether to read them."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

HALF = (torch.float16, torch.bfloat16)


def single(x: Tensor) -> Tensor:
    """Returns a tensor in float32 if it is in half precision, and as it is otherwise.

    Example:
        >>> import torch
        >>> single(torch.ones(2, dtype=torch.bfloat16)).dtype
        torch.float32
    """
    return x.float() if x.dtype in HALF else x


def accumulated(dtype: torch.dtype) -> torch.dtype:
    """Returns the type that numbers of this type are computed in."""
    return torch.float32 if dtype in HALF else dtype


def readable(x: Tensor) -> bool:
    """Whether the values of a tensor may decide what is computed next, at no cost.

    Not on an accelerator, which would have to be waited for, nor where there are no values: on the
    ``meta`` device, while a graph is traced, and under ``torch.func``, where a tensor is many.
    """
    return (
        x.device.type == "cpu"
        and type(x) in (Tensor, nn.Parameter)
        and not torch.compiler.is_compiling()
        and torch._C._functorch.maybe_current_level() is None
    )


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Returns a context in which automatic casts to half precision, if there are any, are off."""
    if automatic_casts(device):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def automatic_casts(device: torch.device) -> bool:
    """Whether ``torch.autocast`` is on for a device."""
    kind = device.type
    return torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
