"""Functions of a reproducing-kernel space: known by inner products, not by features."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from ...named import Params
from ..letters import Letters
from ..story import QUERY, STEP, Criterion, Equation, Story, key, now, target
from ..terms import (
    ONE,
    Form,
    Let,
    Letter,
    Named,
    Numeral,
    Term,
    circle,
    matrix,
    solved,
    stacked,
    times,
    total,
)
from .base import FeatureModel, Memory

if TYPE_CHECKING:
    from ..spec import Spec


class KernelModel(FeatureModel):
    r"""Trait: a function of the reproducing-kernel space of $\kappa$.

    Its features are those of the keys of its own sequence, whitened: with $L L^\top =
    \kappa(K, K)$ over all of them, $\phi(x) = L^{-1} \kappa(K, x)$. On seen keys every fit, step
    and norm is then that of the space itself (the representer theorem). A key in the span of
    earlier ones adds no feature.
    """

    phrase: ClassVar[str] = "a function class with a kernel"

    @abc.abstractmethod
    def gram(self, a: Tensor, b: Tensor, params: Params) -> Tensor:
        """Returns kappa(a, b), [..., A, K] and [..., B, K] -> [..., A, B]."""

    @property
    @abc.abstractmethod
    def formula(self) -> str:
        """kappa(a, b) in LaTeX."""

    @property
    def features_where(self) -> str:
        return rf"\kappa(a, b) = \phi(a)^\top \phi(b) = {self.formula}"

    def written_kernel(self, a: Term, b: Term) -> Term:
        """Returns kappa(a, b) of keys and queries."""
        return Named("kappa", r"\kappa({0}, {1})", (a, b), self.features_where)

    def _attended(self, goal: Criterion, update: Equation) -> Story:
        """Returns the story of coefficients for every pair."""
        alpha = now("alpha", r"\alpha_i", "i")
        said = total(alpha * self.written_kernel(key("i"), QUERY))
        return Story(goal, (update,), said)

    def summed(self, on: Letters) -> Story:
        if not on.explicit:
            return super().summed(on)
        each = stacked(times(on.gamma, target("i")), bare=True)
        return self._attended(
            Criterion(on.fit, on.free, STEP), Equation("alpha", r"\alpha_i", each)
        )

    def fitted(self, on: Letters, ridge: float) -> Story:
        keys, values = Letter("seen.k", "K_t"), Letter("seen.v", "V_t")
        gram, eye = self.written_kernel(keys, keys), Numeral(ridge) * Letter("eye.T", "I")
        if on.gamma == ONE:
            alpha = solved(gram + eye, values, ridge)
        else:
            gamma = Let(r"\gamma_t", stacked(on.gamma))
            root = Form(r"\sqrt{{{0}}}", torch.sqrt, (gamma,))
            wide = Form(r"\mathrm{{Diag}}({0})", torch.diag, (root,))
            inside = matrix(matrix(wide, gram), wide) + eye
            alpha = circle(root, solved(inside, circle(root, values), ridge))
        return self._attended(self.fit_goal(on, ridge), Equation("alpha", r"\alpha", alpha))

    def objection(self, spec: Spec) -> str | None:
        other = [s.name for s in spec.optimizer.signals if s.width.endswith("key")]
        if other:
            return (
                f"{self.name} is spanned by the keys of its sequence; {spec.optimizer} brings keys "
                f"of its own (signal {other[0]!r}), which need not lie among them."
            )
        return super().objection(spec)

    def inner_products(self, a: Tensor, b: Tensor, params: Params) -> Tensor:
        return self.gram(a, b, params)

    def squares(self, x: Tensor, params: Params) -> Tensor:
        """Returns kappa(x, x), the squared norm of the features, [..., K] -> [..., 1]."""
        one = x[..., None, :]
        return self.gram(one, one, params)[..., 0]

    def given(self, params: Params, keys: Tensor) -> Params:
        gram = self.gram(keys, keys, params)
        kept = _independent(gram.detach())
        square = gram * kept.mT * kept + torch.diag_embed(1 - kept[..., 0])
        return {**params, "keys": keys, "kept": kept, "factor": torch.linalg.cholesky(square)}

    def init(self, key_dim: int, value_dim: int, like: Tensor, params: Params) -> Memory:
        return {"S": like.new_zeros(like.shape[-2], value_dim)}

    def predict(
        self, memory: Memory, x: Tensor, params: Params, center: Tensor | None = None
    ) -> Tensor:
        against = params["kept"] * self.gram(params["keys"], x, params)  # (... T X)
        phi = torch.linalg.solve_triangular(params["factor"], against, upper=False)
        predicted: Tensor = phi.mT @ memory["S"]
        return predicted

    def penalty(self, memory: Memory) -> Tensor:
        return memory["S"].square().sum()

    def memory_size(self, key_dim: int, value_dim: int) -> int:
        return key_dim + value_dim


SPANNED = 1e-13
"""Share of a key's squared norm outside the span of others, below which it counts as within."""


def _independent(gram: Tensor) -> Tensor:
    """Returns 1 for every key that lies outside the span of the earlier ones, [..., T, 1]."""
    left, own = gram.clone(), gram.diagonal(dim1=-2, dim2=-1)
    kept = []
    for t in range(gram.shape[-1]):
        pivot = left[..., t, t]
        keep = pivot > SPANNED * own[..., t]
        column = left[..., :, t] * torch.where(keep, pivot, 1.0).rsqrt()[..., None]
        column = column * keep[..., None]
        left = left - column[..., :, None] * column[..., None, :]
        kept.append(keep)
    return torch.stack(kept, -1).to(gram.dtype)[..., None]
