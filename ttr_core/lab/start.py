"""Whether a training can start: what is not finite at its first step, by name."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def loss_fault(model: nn.Module, again: Callable[[], object]) -> str:
    """Returns which tensor makes the loss of a fresh model not finite, in words.

    Args:
        model: as it was when the loss came out.
        again: computes the loss once more.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(1, 1)
        >>> _ = layer.bias.data.fill_(float("nan"))
        >>> loss_fault(layer, lambda: layer(torch.ones(1)))
        'the parameter bias is not finite from the start'
    """
    named = [(name, p.detach()) for name, p in model.named_parameters()]
    if broken := _not_finite(named):
        return f"the parameter {_listed(broken)} is not finite from the start"
    found: list[str] = []

    def note(name: str) -> Callable[[nn.Module, object, object], None]:
        def look(module: nn.Module, given: object, output: object) -> None:
            parts = output if isinstance(output, tuple) else (output,)
            tensors = [(name, part) for part in parts if isinstance(part, Tensor)]
            found.extend(_not_finite(tensors))

        return look

    inner = [(name, module) for name, module in model.named_modules() if name]
    hooks = [module.register_forward_hook(note(name)) for name, module in inner]
    try:
        with torch.no_grad():
            again()
    finally:
        for hook in hooks:
            hook.remove()
    return f"the first output that is not finite is that of {found[0]}" if found else ""


def gradient_fault(model: nn.Module) -> str:
    """Returns which gradients are not finite after a backward pass, in words, or "".

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(1, 1)
        >>> (layer(torch.ones(1)) * float("inf")).sum().backward()
        >>> gradient_fault(layer)
        'the gradient of weight (and of 1 more) is not finite'
    """
    named = [(name, p.grad) for name, p in model.named_parameters() if p.grad is not None]
    broken = _not_finite(named)
    return f"the gradient of {_listed(broken)} is not finite" if broken else ""


def _not_finite(named: list[tuple[str, Tensor]]) -> list[str]:
    """Returns the names of what is not finite; what is asked is read back once."""
    if not named:
        return []
    whole = torch.stack([x.isfinite().all() for _, x in named]).tolist()
    return [name for (name, _), fine in zip(named, whole, strict=True) if not fine]


def _listed(names: list[str]) -> str:
    more = f" (and of {len(names) - 1} more)" if len(names) > 1 else ""
    return f"{names[0]}{more}"
