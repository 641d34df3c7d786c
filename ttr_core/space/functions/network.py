"""Networks: memories whose answers are not linear in what they hold, started by training."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from ...named import Params
from ..terms import Letter, Named, Term
from .base import FunctionClass, Memory

if TYPE_CHECKING:
    from ..spec import Spec

START = "standard deviation of the fresh matrices; none: 1 / sqrt(inputs)"
SEED = "seed of the fresh matrices"


class Network(FunctionClass):
    r"""Trait: matrices, and biases, that start from learned ones; gradients alone move them.

    Fresh decays begin at a half-life of 256 tokens. Behind the norm only the direction of a matrix
    counts: a step turns it the more the smaller it has decayed, whatever the rate, and with
    half-lives of 16 or 64 tokens the steps of a chunk turn it so far that rounding doubles from
    chunk to chunk.
    """

    phrase: ClassVar[str] = "a function class that is a network"
    shortest_half_life: ClassVar[float] = 256.0

    @property
    @abc.abstractmethod
    def tensors(self) -> tuple[str, ...]:
        """The names of what it holds."""

    @abc.abstractmethod
    def written(self, key: str) -> str:
        """Returns m(key) in LaTeX."""

    def init(self, key_dim: int, value_dim: int, like: Tensor, params: Params) -> Memory:
        return {name: params[name][0].to(like) for name in self.tensors}

    def curvature(self, keys: Tensor, params: Params) -> Tensor | None:
        found: list[Tensor] = []
        with torch.inference_mode(False), torch.enable_grad():
            memory = {name: params[name].detach().clone().requires_grad_() for name in self.tensors}
            given = {name: params[name].detach().clone() for name in params}
            for key in keys.clone().unbind(-2):  # one number of each answer stands for all
                said = self.predict(memory, key[..., None, :], given)[..., 0].sum()
                slopes = torch.autograd.grad(said, list(memory.values()))
                found.append(torch.stack([z.square().flatten(1).sum(1) for z in slopes]).sum(0))
        return torch.stack(found, 1)

    @property
    def features_where(self) -> str:
        """How what the first matrix sees is defined, in LaTeX; empty where it is the key itself."""
        return ""

    def written_answer(self, memory: Term, at: Letter) -> Term:
        where = f"m(k) = {self.written('k')}"
        where += rf",\quad {self.features_where}" if self.features_where else ""
        return Named("predict", "{0}({1})", (memory, at), where)

    @property
    def written_start(self) -> str:
        return ""

    def objection(self, spec: Spec) -> str | None:
        if not spec.optimizer.by_gradients:
            return (
                f"{spec.optimizer} counts on a quadratic, and {spec.function} is not linear in "
                "its memory: it needs an optimizer that takes gradient steps."
            )
        return super().objection(spec)
