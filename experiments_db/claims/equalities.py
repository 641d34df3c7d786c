"""The paper's identities as claims: computed on the spot, in float64."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from ttr_core.tools import EXACT, IDENTITIES, Equality, growth

from . import figures
from .claim import Finding, Ruling, Scale, Thesis, Word
from .found import Found
from .party import Party

STREAMS = 5
SOURCE = "TTR (https://arxiv.org/abs/2501.12352)"
PLAYED = {
    "one-gradient-step": "layer=linear-attention&compare=mesa-layer",
    "one-newton-step": "layer=mesa-layer&compare=linear-attention",
    "gating": "spec=Gate+|+Linear+|+Hebbian&compare=linear-attention",
    "delta-rule": "layer=deltanet&compare=linear-attention",
    "gated-delta-rule": "layer=gated-deltanet&compare=deltanet",
    "longhorn": "layer=longhorn-exact&compare=deltanet",
    "local-constant": "layer=qknorm-attention&compare=linear-attention",
    "local-linear": "layer=local-linear-attention&compare=softmax-attention",
}
"""Identity -> the state of Explore that shows its layer, beside the one that it is told from."""


@dataclass(frozen=True)
class Equal(Thesis):
    """That a layer and the regression it is said to be give the same outputs.

    Args:
        identity: both sides.
    """

    identity: Equality = IDENTITIES[0]

    def contenders(self, scale: Scale) -> tuple[Party, ...]:
        return ()

    def judged(self, found: Found, scale: Scale) -> Finding:
        errors = [self.identity.error(seed) for seed in range(STREAMS)]
        table = pd.DataFrame({"stream": range(STREAMS), "relative error": errors})
        same = max(errors) <= EXACT
        said = f"Both sides differ by {max(errors):.1e} at most, in float64."
        return Finding(Ruling(Word.HOLDS if same else Word.FAILS, said), table, n=STREAMS)


LINES = {"exact": "least squares", "bound": "its bound", "summed": "linear attention"}


@dataclass(frozen=True)
class Bounded(Thesis):
    """That least squares answers within its bound, and linear attention grows with the past."""

    def contenders(self, scale: Scale) -> tuple[Party, ...]:
        return ()

    def judged(self, found: Found, scale: Scale) -> Finding:
        streams = pd.concat(
            pd.DataFrame(growth(seed)).assign(stream=seed) for seed in range(STREAMS)
        )
        means = streams.groupby("step", as_index=False)[list(LINES)].mean()
        within = bool((streams["exact"] <= streams["bound"]).all())
        early, late = (rows.mean() for rows in (means.iloc[:WINDOW], means.iloc[-WINDOW:]))
        times = {name: late[name] / early[name] for name in LINES}
        longer = late["step"] / early["step"]
        said = (
            f"Least squares is within the bound at {'every step' if within else 'not every step'} "
            f"of {STREAMS} streams. While the past grows {longer:.1f}-fold, linear attention's "
            f"output grows {times['summed']:.1f}-fold and that of least squares "
            f"{times['exact']:.2f}-fold; the bound comes to {late['bound']:.0f}."
        )
        holds = within and times["summed"] > 0.5 * longer and times["exact"] < GROWN
        verdict = Ruling(Word.HOLDS if holds else Word.FAILS, said)
        lines = {
            label: means[["step", name]].rename(columns={name: "value"})
            for name, label in LINES.items()
        }
        chart = figures.error_lines(lines, title="norm of the output")
        return Finding(verdict, means[means["step"] % WINDOW == 0], chart, n=STREAMS)


WINDOW, GROWN = 16, 1.5
"""Steps that a mean is over at each end, and a growth that still counts as none."""

STABLE = Bounded(
    "stability-bound",
    "What least squares answers is bounded by |q| times the sum of |v| |k| over the least "
    "eigenvalue of the keys' covariance; without the inverse, in linear attention, it can grow "
    "with the past.",
    f"{SOURCE}, Eq. 13 and appendix A",
    "layer=linear-attention&compare=mesa-layer&regression.process=linear",
)

CLAIMS: tuple[Thesis, ...] = (
    *(
        Equal(one.name, one.sentence, f"{SOURCE}, {one.source}", PLAYED[one.name], identity=one)
        for one in IDENTITIES
    ),
    STABLE,
)
