"""The paper's identities as claims: computed on the spot, in float64."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from ttr_core.tools import EXACT, IDENTITIES, Equality

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


CLAIMS: tuple[Thesis, ...] = tuple(
    Equal(one.name, one.sentence, f"{SOURCE}, {one.source}", PLAYED[one.name], identity=one)
    for one in IDENTITIES
)
