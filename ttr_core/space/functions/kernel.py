"""Functions of a reproducing-kernel space: as many coefficients as pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from ...named import Params
from ..option import SHARPNESSES, option
from ..sharpness import Comparison
from .kernel_model import KernelModel

if TYPE_CHECKING:
    from ..spec import Spec


@dataclass(frozen=True)
class Kernel(KernelModel, Comparison):
    r"""A function of the space that a kernel spans: any smooth map, not only a linear one.

    $$m(x) = \sum_{i \le t} \alpha_i\, \kappa(k_i, x), \qquad
    |m|^2 = \sum_{ij} \alpha_i^\top \alpha_j\, \kappa(k_i, k_j)$$

    The memory is all past pairs. Fitted exactly it is kernel ridge regression (kernel regression,
    kernelized Intention); one step from zero is kernel attention without a denominator (SOFT);
    steps on the newest pair are the kernel delta rule.

    Args:
        kernel: ``gaussian`` $\exp(-s |a-b|^2 / 2)$, ``exponential`` $\exp(s (a^\top b - 1))$,
            ``polynomial`` $(1 + s\, a^\top b)^p$ or ``linear`` $s\, a^\top b$.
        scale: s, the sharpness, as in `ExpKernel`: a Gaussian of bandwidth $s^{-1/2}$, in units of
            |k|. At 4 unit keys at right angles are alike by exp(-4) = 2 %; None takes
            $1/\sqrt{K}$, for keys that are not normalized.
        degree: p, of the polynomial alone.

    Reference: Test-time regression: a unifying framework for designing sequence models with
    associative memory (Wang, Shi and Fox, 2025) https://arxiv.org/abs/2501.12352
    """

    kernel: str = option(
        "gaussian",
        "what compares two keys",
        choices=("gaussian", "exponential", "polynomial", "linear"),
    )
    scale: float | None = option(
        4.0, "sharpness of the kernel; none: 1 / sqrt(K)", 1e-6, 1000.0, tune=SHARPNESSES
    )
    degree: int = option(2, "degree of the polynomial kernel", low=1, high=8)

    revision: ClassVar[int] = 2  # the exponential kernel's factor exp(-s)
    scale_range: ClassVar[tuple[float, float]] = (0.01, 256.0)

    def scale_start(self, spec: Spec) -> float:
        return 4.0

    @property
    def compares(self) -> bool:
        return self.kernel != "linear"  # of a line the scale is no sharpness

    def gram(self, a: Tensor, b: Tensor, params: Params) -> Tensor:
        rows, columns = (z.square().sum(-1, keepdim=True) / 2 for z in (a, b))
        return self._kappa(a @ b.mT, rows + columns.mT, self.sharpness(a, params))

    def squares(self, x: Tensor, params: Params) -> Tensor:
        square = x.square().sum(-1, keepdim=True)
        return self._kappa(square, square, self.sharpness(x, params))

    def _kappa(self, product: Tensor, norms: Tensor, scale: Tensor | float) -> Tensor:
        """Returns the kernel from the products of keys and the mean of their squared norms."""
        if self.kernel == "linear":
            return scale * product
        if self.kernel == "polynomial":
            return (1 + scale * product) ** self.degree
        return (scale * (product - (1 if self.kernel == "exponential" else norms))).exp()

    @property
    def formula(self) -> str:
        over = r" / \sqrt{K}" if self.scale is None else ""
        factor = f"{self.scale:g} " if self.scale not in (None, 1) else ""
        if self.kernel == "gaussian":
            below = r"2 \sqrt{K}" if self.scale is None else "2"
            return rf"\exp(-{factor}|a - b|^2 / {below})"
        product = rf"{factor}a^\top b{over}"
        below = rf"{factor}(a^\top b - 1){over}"
        return {
            "exponential": rf"\exp({below})",
            "polynomial": rf"(1 + {product})^{{{self.degree}}}",
            "linear": product,
        }[self.kernel]
