"""What moves a model's weights in training, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch
from torch import Tensor, nn


class Trainer(Protocol):
    """What training asks of an optimizer of PyTorch's kind."""

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The weights by their rates."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients."""

    def step(self) -> Any:
        """Moves the weights along their gradients."""


def adamw(model: nn.Module, lr: float, weight_decay: float, device: str) -> Trainer:
    """Returns AdamW, which decays matrices and leaves vectors and numbers alone.

    Args:
        model: what is trained.
        lr: the learning rate.
        weight_decay: the decay of matrices.
        device: ``cpu`` or ``cuda``.

    Source: Decoupled Weight Decay Regularization (Loshchilov and Hutter, 2017)
    https://arxiv.org/abs/1711.05101
    """
    return _adamw(_trained(model), lr, weight_decay, device)


def muon(model: nn.Module, lr: float, weight_decay: float, device: str) -> Trainer:
    r"""Returns Muon for the matrices of linear maps, and AdamW for all else.

    Each matrix moves along its momentum with all singular values made alike, at the length of an
    AdamW step, $.2 \sqrt{\max(A, B)}$ times the rate, so that rates and decays carry over.

    Args:
        model: what is trained.
        lr: the learning rate of both.
        weight_decay: the decay of matrices.
        device: ``cpu`` or ``cuda``.

    Source: Muon is Scalable for LLM Training (Liu et al., 2025) https://arxiv.org/abs/2502.16982
    Deviation: maps to a single number (a gate of one head) have one singular value and go to
    AdamW; the projections to q, k and v are one matrix.
    """
    maps = [m.weight for m in model.modules() if isinstance(m, nn.Linear) and len(m.weight) > 1]
    own = {id(weight) for weight in maps}
    others = [p for p in _trained(model) if id(p) not in own]
    along = torch.optim.Muon(
        [weight for weight in maps if weight.requires_grad],
        lr=lr,
        weight_decay=weight_decay,
        adjust_lr_fn="match_rms_adamw",
    )
    return Together(along, _adamw(others, lr, weight_decay, device))


TRAINERS: dict[str, Callable[[nn.Module, float, float, str], Trainer]] = {
    "adamw": adamw,
    "muon": muon,
}


class Together:
    """Optimizers that move a share of the weights each.

    Args:
        trainers: each with weights of its own.
    """

    def __init__(self, *trainers: Trainer) -> None:
        self._trainers = trainers

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The weights of all, by their rates."""
        return [group for trainer in self._trainers for group in trainer.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the gradients of all."""
        for trainer in self._trainers:
            trainer.zero_grad(set_to_none)

    def step(self) -> None:
        """Moves the weights of all."""
        for trainer in self._trainers:
            trainer.step()


def _trained(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.requires_grad]


def _adamw(
    parameters: Iterable[Tensor], lr: float, weight_decay: float, device: str
) -> torch.optim.AdamW:
    every = list(parameters)
    groups = [
        {"params": [p for p in every if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in every if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=lr, fused=device in ("cpu", "cuda"))
