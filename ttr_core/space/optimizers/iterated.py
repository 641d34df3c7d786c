"""Optimizers that take some steps toward a ridge fit, each time anew: the ladder to `Exact`."""

from __future__ import annotations

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from ..functions import LinearModel, Memory
from ..ingredient import Ingredient
from ..letters import Letters
from ..newton import Objective
from ..option import option
from ..story import QUERY, Criterion, Equation, Story
from ..terms import HALF, Form, Let, inner, outer, square, total
from .base import Retrospective
from .polynomial_steps import stepped

if TYPE_CHECKING:
    from ..spec import Spec

TINY = 1e-30  # added to |H|^2 and to divisors, which are 0 where no pair counts yet

Applied = Callable[[Tensor], Tensor]
"""H x, [..., F, N] -> [..., F, N]."""


class Iterations(Retrospective):
    r"""Trait: n steps toward $(H_t + \lambda_t I)^{-1}$, with $\lambda_t = a |H_t|_F$.

    $$H_t = \sum_{i \le t} \gamma_i^{(t)} \phi(k_i) \phi(k_i)^\top, \qquad
    R_t = \sum_{i \le t} \gamma_i^{(t)} \phi(k_i) v_i^\top$$

    The norm bounds the spectrum, so that no step overshoots and the condition number is at most
    1 + 1 / a whatever the past. Where the steps are the same for every right-hand side they are
    taken from the query, $y_t = R_t^\top p_n(H_t)\, \phi(q_t)$, and not from the values.
    """

    phrase: ClassVar[str] = "an optimizer that takes some steps toward a ridge fit"
    iterations: int
    ridge: float
    needs: ClassVar[tuple[type[Ingredient], ...]] = (LinearModel,)
    examples: ClassVar[tuple[dict[str, Any], ...]] = ()  # by their names, not in the grid
    recursion: ClassVar[str]  # of the steps, a pattern of H and R in LaTeX

    @abc.abstractmethod
    def approach(self, product: Applied, right: Tensor, norm: Tensor) -> Tensor:
        """Returns the solution after all steps, of the shape of ``right``.

        Args:
            product: of H with what it is given.
            right: right-hand sides, [..., F, N].
            norm: |H|_F, [..., 1, 1].
        """

    def solved(self, gram: Tensor, right: Tensor) -> Tensor:
        """Returns the same for H given as matrices, [..., F, F]."""
        norm = (gram.square().sum((-2, -1), keepdim=True) + TINY).sqrt()
        if self.shares is None:
            return self.approach(lambda x: gram @ x, right, norm)
        size = 2 / (2 * self.ridge + 1)
        return stepped(gram / norm, right / norm, size, self.ridge, self.shares)

    @property
    def shares(self) -> tuple[float, ...] | None:
        """How far each step goes beyond the last two; None where that follows the right-hand side.

        Of steps of the size 2 / (2 lambda + |H|_F), for whatever right-hand side.
        """
        return None

    def objection(self, spec: Spec) -> str | None:
        if reason := super().objection(spec):
            return reason
        assert isinstance(spec.function, LinearModel)
        if spec.function.intercepts:
            return (
                f"{self.name} takes steps under a ridge, and none shrinks the intercept of "
                f"{spec.function}, whose fit is one division: take Exact."
            )
        return None

    def minimize(self, loss: Objective, init: Memory, penalty: Objective) -> Memory:
        slope, zero = torch.func.grad(loss), {"S": torch.zeros_like(init["S"])}
        right = -slope(zero)["S"]
        hessian = torch.func.jacrev(slope)(zero)["S"]["S"][:, 0, :, 0]  # alike for every channel
        norm = (hessian.square().sum() + TINY).sqrt()[None, None]
        return {"S": self.approach(lambda s: slope({"S": s})["S"] + right, right, norm)}

    def story(self, on: Letters) -> Story:
        gamma, phi = on.weighed
        gram, moment = Let("H_t", total(gamma * outer(phi, phi))), Let("R_t", on.sum)
        pattern = self.recursion + rf",\quad \lambda_t = {self.ridge:g} |{{0}}|_F"
        last = rf"S^{{({self.iterations})}}"
        reached = Let(last, Form(pattern, self.solved, (gram, moment)), "S^{(n)}")
        goal = HALF * square(on.free) - inner(on.free, reached)
        said = on.function.written_answer(on.now, QUERY)
        update = Equation("memory", on.now.tex(), reached)
        return Story(Criterion(goal, on.free), (update,), said)


SPAN = r"\eta_t = \tfrac{{2}}{{2 \lambda_t + |{0}|_F}}"


@dataclass(frozen=True)
class GradientDescent(Iterations):
    r"""Gradient steps of one size on the ridge regression of the whole past, from zero.

    $$S^{(n)} = S^{(n-1)} - \eta_t \big((H_t + \lambda_t I) S^{(n-1)} - R_t\big), \qquad
    S^{(0)} = \eta_t R_t, \quad \eta_t = \tfrac{2}{2 \lambda_t + |H_t|_F}$$

    The ladder from linear attention (no step: its sum, scaled) to the mesa-layer (many). The error
    falls by (1 / (1 + 2 a)) per step at the least.

    Args:
        iterations: n, products with H.
        ridge: a, the ridge over the norm of H.

    Reference: Test-time regression: a unifying framework for designing sequence models with
    associative memory (Wang, Shi and Fox, 2025) https://arxiv.org/abs/2501.12352
    """

    iterations: int = option(4, "gradient steps after the first", low=0, high=256)
    ridge: float = option(0.02, "ridge over the norm of the moments", 1e-6, 10.0)
    recursion: ClassVar[str] = (
        r"S^{{(n-1)}} - \eta_t \big(({0} + \lambda_t I) S^{{(n-1)}} - {1}\big),\quad "
        rf"S^{{{{(0)}}}} = \eta_t {{1}},\quad {SPAN}"
    )

    @property
    def shares(self) -> tuple[float, ...]:
        return (1.0,) * self.iterations

    def approach(self, product: Applied, right: Tensor, norm: Tensor) -> Tensor:
        ridge = self.ridge * norm
        size = 2 / (2 * ridge + norm)
        x = size * right
        for _ in range(self.iterations):
            x = x - size * (product(x) + ridge * x - right)
        return x


@dataclass(frozen=True)
class Chebyshev(Iterations):
    r"""The best polynomial of the moments for a spectrum known by its ends: Gated KalmaNet's solve.

    $$S^{(n)} = \omega_n \big(S^{(n-1)} - \eta_t (\bar H_t S^{(n-1)} - R_t)\big)
    + (1 - \omega_n) S^{(n-2)}, \qquad \omega_n = \frac{1}{1 - \tfrac{\rho^2}{4} \omega_{n-1}}$$

    with $\bar H_t = H_t + \lambda_t I$, $S^{(0)} = \eta_t R_t$, $S^{(-1)} = 0$, $\omega_0 = 2$ and
    $\rho = 1 / (1 + 2 a)$. No inner product is taken, so that the steps are the same for every
    right-hand side and keep their gradients in low precision. At a = 0.02 thirty steps leave 3e-4
    of the error.

    Args:
        iterations: n, products with H.
        ridge: a, the ridge over the norm of H.

    Reference: Gated KalmaNet: A Fading Memory Layer Through Test-Time Ridge Regression (Peng et
    al., 2025) https://arxiv.org/abs/2511.21016
    """

    iterations: int = option(30, "steps after the first", low=0, high=256)
    ridge: float = option(0.02, "ridge over the norm of the moments", 1e-6, 10.0)
    recursion: ClassVar[str] = (
        r"\omega_n \big(S^{{(n-1)}} - \eta_t (({0} + \lambda_t I) S^{{(n-1)}} - {1})\big) + "
        r"(1 - \omega_n) S^{{(n-2)}},\quad "
        r"\omega_n = \tfrac{{1}}{{1 - \rho^2 \omega_{{n-1}} / 4}},\quad \omega_0 = 2,\quad "
        r"\rho = \tfrac{{|{0}|_F}}{{2 \lambda_t + |{0}|_F}},\quad "
        rf"S^{{{{(0)}}}} = \eta_t {{1}},\quad S^{{{{(-1)}}}} = 0,\quad {SPAN}"
    )

    @property
    def shares(self) -> tuple[float, ...]:
        quarter, found = (1 / (1 + 2 * self.ridge)) ** 2 / 4, [2.0]
        for _ in range(self.iterations):
            found.append(1 / (1 - quarter * found[-1]))
        return tuple(found[1:])

    def approach(self, product: Applied, right: Tensor, norm: Tensor) -> Tensor:
        ridge, omega = self.ridge * norm, 2.0
        size, quarter = 2 / (2 * ridge + norm), (1 / (1 + 2 * self.ridge)) ** 2 / 4
        x, last = size * right, torch.zeros_like(right)
        for _ in range(self.iterations):
            omega = 1 / (1 - quarter * omega)
            moved = x - size * (product(x) + ridge * x - right)
            x, last = omega * moved + (1 - omega) * last, x
        return x


@dataclass(frozen=True)
class ConjugateGradient(Iterations):
    r"""The best memory in the span of some products of the moments: conjugate gradients.

    $$S^{(n)} = S^{(n-1)} + \alpha_n P_n, \qquad
    \alpha_n = \frac{|E_{n-1}|^2}{\langle P_n, \bar H_t P_n \rangle}, \qquad
    E_n = E_{n-1} - \alpha_n \bar H_t P_n, \qquad
    P_{n+1} = E_n + \frac{|E_n|^2}{|E_{n-1}|^2} P_n$$

    with $\bar H_t = H_t + \lambda_t I$, $S^{(0)} = 0$ and $P_1 = E_0 = R_t$. The sizes of the steps
    follow the values, so that the outputs are not linear in them. It arrives after as many steps
    as H has different eigenvalues, and stops there.

    Args:
        iterations: n, products with H.
        ridge: a, the ridge over the norm of H.

    Reference: MesaNet: Sequence Modeling by Locally Optimal Test-Time Training (von Oswald et al.,
    2025) https://arxiv.org/abs/2506.05233

    Deviation: the paper's steps are taken from the query, each query its own; these are taken
    toward the memory, from all values at once.
    """

    iterations: int = option(4, "steps from a memory of nothing on", low=1, high=256)
    ridge: float = option(0.02, "ridge over the norm of the moments", 1e-6, 10.0)
    linear_in_values: ClassVar[bool] = False
    recursion: ClassVar[str] = (
        r"S^{{(n-1)}} + \alpha_n P_n,\quad "
        r"\alpha_n = |E_{{n-1}}|^2 / \langle P_n, ({0} + \lambda_t I) P_n \rangle,\quad "
        r"E_n = E_{{n-1}} - \alpha_n ({0} + \lambda_t I) P_n,\quad "
        r"P_{{n+1}} = E_n + \tfrac{{|E_n|^2}}{{|E_{{n-1}}|^2}} P_n,\quad S^{{(0)}} = 0,\quad "
        r"P_1 = E_0 = {1}"
    )

    def approach(self, product: Applied, right: Tensor, norm: Tensor) -> Tensor:
        x, left, along = torch.zeros_like(right), right, right
        size = first = _squared(right)
        least = torch.finfo(right.dtype).eps ** 1.5
        for _ in range(self.iterations):
            moved = product(along) + self.ridge * norm * along
            goes = size > least * first  # beyond it the steps are those of rounding
            alpha = _over(size, (along * moved).sum((-2, -1), keepdim=True), goes)
            x, left = x + alpha * along, left - alpha * moved
            size, before = _squared(left), size
            along = left + _over(size, before, goes) * along
        return x


def _squared(x: Tensor) -> Tensor:
    return x.square().sum((-2, -1), keepdim=True)


def _over(above: Tensor, below: Tensor, where: Tensor) -> Tensor:
    """Returns a quotient where it counts, and 0 elsewhere, of which neither side has a slope."""
    return torch.where(where, above, 0.0) / torch.where(where, below, 1.0)
