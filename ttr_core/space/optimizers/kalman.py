"""Steps by a Kalman filter's gain: how unsure the memory is against how noisy the pair."""

from __future__ import annotations

import abc
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from ...named import Carried, Params, Signals
from ...stream import Signal, Stream
from ..fates import Fate
from ..functions import Memory
from ..letters import Letters
from ..newton import PairLoss
from ..option import option
from ..story import Equation, Story, before, signal, target
from ..terms import (
    ATOM,
    ONE,
    Form,
    Let,
    Letter,
    Numeral,
    Term,
    circle,
    each_squared,
    outer,
    square,
)
from ..weights import Recency
from .recurrences import variances
from .structure import Features, HistorySteps, Steps, WrittenSteps, weighed_key, weighed_pair

NOISE = Signal(
    "noise", "scalar", "softplus", 0.6931, 0.01, 10.0, "variance of the newest value's noise"
)
DRIFT = Signal(
    "drift", "scalar", "softplus", 0.6931, 0.0, 1.0, "variance that the memory gains at a token"
)
FLOOR = 0.01  # of the noise


class KalmanGain(WrittenSteps, HistorySteps):
    """Trait: a step along the newest key by what a filter gains, whose variance is its state."""

    phrase: ClassVar[str] = "an optimizer whose step is a Kalman gain"
    prior: float

    @property
    def signals(self) -> tuple[Signal, ...]:
        return (NOISE, self.drift)

    @property
    @abc.abstractmethod
    def drift(self) -> Signal:
        """The variance that the memory gains at a token."""

    @abc.abstractmethod
    def kept(self, decay: Tensor) -> Tensor:
        """Returns what is left of the variance, from what is left of the memory, [..., w]."""

    @abc.abstractmethod
    def squares(self, key: Tensor) -> Tensor:
        """Returns what the precision gains over the noise from features, [..., F]."""

    def forget(self, memory: Memory, state: Carried, decay: Tensor) -> tuple[Memory, Carried]:
        faded, _ = super().forget(memory, state, decay)
        variance = (self.kept(decay) * state["variance"]).view_as(state["variance"])
        return faded, {"variance": variance}

    def update(
        self, memory: Memory, state: Carried, loss: PairLoss, signals: Signals, previous: Memory
    ) -> tuple[Memory, Carried]:
        weight, weighed = signals["importance"], weighed_key(loss, memory)
        key, noise = weighed / weight, FLOOR + signals["noise"].squeeze()
        z = state["variance"] + signals["drift"].view_as(state["variance"])
        share = z / (noise + weight * (z * key.square()).sum())
        error = weighed_pair(loss, memory) - torch.outer(weighed, key @ memory["S"])
        after = z / (1 + weight * self.squares(key).view_as(z) / noise * z)
        return {"S": memory["S"] + share.view(-1, 1) * error}, {"variance": after}

    def resume(
        self, x: Stream, phi: Features, recency: Recency, own: Params, kept: Carried
    ) -> tuple[Steps, Carried]:
        key, noise = phi(x.k), FLOOR + x.signals["noise"]
        weight = torch.ones_like(noise) if recency.importance is None else recency.importance
        evidence = weight / noise * self.squares(key)
        keep = torch.ones_like(evidence)
        if recency.log_decay is not None:
            keep = self.kept(recency.log_decay.exp()).expand_as(evidence)
        drift, start = x.signals["drift"], torch.full_like(evidence[:, :, 0], self.prior)
        if kept:
            start = kept["variance"].view_as(start)
        after = variances(keep, drift, evidence, start)
        z = keep * torch.cat([start[:, :, None], after[:, :, :-1]], 2) + drift
        spread = (z * key.square()).sum(-1, keepdim=True)
        along = weight * z * key / (noise + weight * spread)
        return Steps(key, along, x.v), {"variance": self._carried(after[:, :, -1])}

    def _carried(self, variance: Tensor) -> Tensor:
        """Returns the last variance, [B, H, w], in the shape that `begin` gives it."""
        return variance

    @abc.abstractmethod
    def written_variance(self, on: Letters, last: Term) -> Term:
        """Returns what is left of a variance."""

    @abc.abstractmethod
    def written_squares(self, phi: Term) -> Term:
        """Returns what the precision gains over the noise."""

    def story(self, on: Letters) -> Story:
        phi, last = on.features(), before("variance", "p_{t-1}")
        z = Let("z_t", self.written_variance(on, last) + signal(r"\omega_t", "drift"))
        noise = Let("r_t", (Numeral(FLOOR) + signal(r"\nu_t", "noise")) / on.brought)
        along = Let(r"\kappa_t", Form(
            r"\frac{{{0} \circ {1}}}{{{2} + |{0}^{{1/2}} \circ {1}|^2}}", _gained, (z, phi, noise)
        ))  # fmt: skip
        error = target("t") - on.function.answer_features(on.decayed_before, phi)
        told = on.moved(outer(along, error))
        after = Form(
            r"\frac{{{0}}}{{1 + {1} {0} / {2}}}", _after, (z, self.written_squares(phi), noise)
        )
        variance = Equation("variance", "p_t", after, self._first)
        return replace(told, update=(*told.update, variance))

    def _first(self, memory: Tensor) -> Tensor:
        return self.begin({"S": memory})["variance"]


@dataclass(frozen=True)
class Kalman(KalmanGain):
    r"""A step by the gain of a filter with one variance for the whole memory: IsoKDN.

    $$z_t = \overline{a_t^2}\, p_{t-1} + \omega_t, \qquad
    \kappa_t = \frac{z_t\, \phi(k_t)}{r_t / b_t + z_t |\phi(k_t)|^2}, \qquad
    p_t = \frac{z_t}{1 + z_t b_t |\phi(k_t)|^2 / r_t}$$
    $$S_t = a_t S_{t-1} + \kappa_t \big(v_t - a_t S_{t-1}^\top \phi(k_t)\big)^\top,
    \qquad r_t = 0.01 + \nu_t$$

    The step is large while the memory is unsure, and falls as 1/t where nothing drifts or fades: an
    average. With a drift it settles where it can follow. Signals: ``noise`` ($\nu_t$) and
    ``drift`` ($\omega_t$).

    Args:
        prior: variance of the memory before the first token.

    Reference: Kalman Delta Networks (2026) https://arxiv.org/abs/2609.07816

    Deviation: the variance before the first token is a number (paper: learned, 1 at first).
    """

    prior: float = option(1.0, "variance of the memory before the first token", 1e-3, 1e3)
    each_feature: ClassVar[bool] = False
    examples: ClassVar[tuple[dict[str, object], ...]] = ()  # by its name, not in the grid

    @property
    def drift(self) -> Signal:
        return DRIFT

    def begin(self, memory: Memory) -> Carried:
        return {"variance": memory["S"].new_full((), self.prior)}

    def kept(self, decay: Tensor) -> Tensor:
        return decay.square().mean(-1, keepdim=True)

    def squares(self, key: Tensor) -> Tensor:
        return key.square().sum(-1, keepdim=True)

    def _carried(self, variance: Tensor) -> Tensor:
        return variance.squeeze(-1)

    def written_variance(self, on: Letters, last: Term) -> Term:
        kept = on.weights.kept("t")
        if not on.weights.per_feature:
            return squared(kept) * last
        return Form(r"\overline{{{0}^2}}", _mean_square, (kept,), (ATOM,)) * last

    def written_squares(self, phi: Term) -> Term:
        return square(phi)


@dataclass(frozen=True)
class DiagonalKalman(KalmanGain):
    r"""A step by the gain of a filter with a variance for each feature: DiagKDN.

    $$z_t = a_t^{\circ 2} \circ p_{t-1} + \omega_t, \qquad
    \kappa_t = \frac{z_t \circ \phi(k_t)}{r_t / b_t + z_t^\top \phi(k_t)^{\circ 2}}, \qquad
    p_t = \frac{z_t}{1 + F b_t\, \phi(k_t)^{\circ 2} \circ z_t / r_t}$$
    $$S_t = a_t S_{t-1} + \kappa_t \big(v_t - a_t S_{t-1}^\top \phi(k_t)\big)^\top,
    \qquad r_t = 0.01 + \nu_t$$

    As `Kalman`, with longer steps along features of which less is known. Signals: ``noise``
    ($\nu_t$) and ``drift`` ($\omega_t$, per feature).

    Args:
        prior: variance of each feature before the first token.

    Reference: Kalman Delta Networks (2026) https://arxiv.org/abs/2609.07816

    Deviation: the variance before the first token is a number (paper: learned, 1 at first).
    """

    prior: float = option(1.0, "variance of each feature before the first token", 1e-3, 1e3)
    writes: ClassVar[Fate] = Fate.ANYWHERE
    examples: ClassVar[tuple[dict[str, object], ...]] = ()  # by its name, not in the grid

    @property
    def drift(self) -> Signal:
        return replace(DRIFT, width="feature")

    def begin(self, memory: Memory) -> Carried:
        return {"variance": torch.full_like(memory["S"][:, 0], self.prior)}

    def kept(self, decay: Tensor) -> Tensor:
        return decay.square()

    def squares(self, key: Tensor) -> Tensor:
        return key.shape[-1] * key.square()

    def written_variance(self, on: Letters, last: Term) -> Term:
        kept = on.weights.kept("t")
        if not on.weights.per_feature:
            return squared(kept) * last
        return circle(each_squared(kept), last)

    def written_squares(self, phi: Term) -> Term:
        wide = Letter("F", "F")
        return Form(r"{0} {1}^{{\circ 2}} \circ", _wide_square, (wide, phi), (ATOM, ATOM))


def squared(kept: Term) -> Term:
    r"""Returns $a^2$."""
    return ONE if kept == ONE else Form("{0}^2", _square, (kept,), (ATOM,))


def _square(x: Tensor) -> Tensor:
    return x * x


def _mean_square(x: Tensor) -> Tensor:
    return x.square().mean()


def _gained(z: Tensor, phi: Tensor, noise: Tensor) -> Tensor:
    return z * phi / (noise + (z * phi.square()).sum())


def _wide_square(wide: int, phi: Tensor) -> Tensor:
    return wide * phi.square()


def _after(z: Tensor, squares: Tensor, noise: Tensor) -> Tensor:
    return z / (1 + squares * z / noise)
