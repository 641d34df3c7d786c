"""The literature's spread: what several papers publish for the same layer, beside ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from ttr_core.lab import TASKS

from . import figures
from .claim import Finding, Ruling, Scale, Thesis, Word
from .found import Found
from .intervals import Interval
from .party import Party, trained_as

RECALLED = TASKS["mqar"].main().name

DELTANET_PAPER = "DeltaNet paper (https://arxiv.org/abs/2406.06484)"
MESANET_PAPER = "MesaNet paper (https://arxiv.org/abs/2506.05233)"


@dataclass(frozen=True)
class Reduction:
    """A training of associative recall that takes the place of a published one.

    Args:
        task: settings of the task.
        model: and of the model.
        steps: of training.
        seeds: how many.
    """

    task: Mapping[str, str]
    model: Mapping[str, str]
    steps: int
    seeds: int


@dataclass(frozen=True)
class Beside(Thesis):
    """Published values of layers with ours; no verdict, for ours is smaller.

    Args:
        published: layer -> what each source has, as a share.
        sizes: by the scale.
        reduced: what ours leaves out, in a sentence.
    """

    published: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    sizes: Mapping[Scale, Reduction] = field(default_factory=dict)
    reduced: str = ""

    def contenders(self, scale: Scale) -> tuple[Party, ...]:
        return tuple(_trained(layer, self.sizes[scale]) for layer in self.published)

    def judged(self, found: Found, scale: Scale) -> Finding:
        ours = {layer: found.mean(layer, RECALLED) for layer in self.published}
        rows = [
            {"layer": layer, "ours": mean.mean, "± 95 %": mean.half, "n": mean.n,
             **{_short(source): value for source, value in self.published[layer].items()}}
            for layer, mean in ours.items()
        ]  # fmt: skip
        told = "; ".join(
            f"{layer} {ours[layer].mean:.3f} (published {_span(self.published[layer])})"
            for layer in ours
        )
        points: dict[str, Interval] = {}
        for layer, mean in ours.items():
            points[f"{layer}, ours"] = mean
            for source, value in self.published[layer].items():
                points[f"{layer}, {_short(source)}"] = Interval(value, 0.0, 1)
        chart = figures.mean_shares(points, RECALLED)
        verdict = Ruling(Word.REDUCED, f"{self.reduced} Ours: {told}.")
        return Finding(verdict, pd.DataFrame(rows), chart, found.n, found.cpu_seconds)


def _short(source: str) -> str:
    return source.partition(" (")[0]


def _span(values: Mapping[str, float]) -> str:
    low, high = min(values.values()), max(values.values())
    return f"{low:.3f}" if low == high else f"{low:.3f} to {high:.3f}"


def _trained(layer: str, size: Reduction) -> Party:
    return Party(
        layer,
        {
            "layers": [layer],
            "tasks": [{"name": "mqar", **size.task}],
            "model": {"frame": "published", **size.model},
            "train": {"steps": str(size.steps), "lr": "0.003", "target": "none"},
            "seeds": [str(seed) for seed in range(size.seeds)],
        },
    )


MAD = {
    "softmax-attention": {DELTANET_PAPER: 0.941, MESANET_PAPER: 1.0},
    "gla": {DELTANET_PAPER: 0.808, MESANET_PAPER: 1.0},
    "deltanet": {DELTANET_PAPER: 1.0, MESANET_PAPER: 1.0},
    "gated-deltanet": {MESANET_PAPER: 1.0},
}
"""In-context recall; the table of MesaNet averages it with the noisy kind."""

MAD_TASK = {"pairs": "8", "seq_len": "128", "vocab_size": "18"}
MAD_SIZES: Mapping[Scale, Reduction] = {
    "quick": Reduction(MAD_TASK, {"d_model": "32", "heads": "1"}, 300, 1),
    "paper": Reduction(
        MAD_TASK, {"d_model": "128", "heads": "1", "depth": "2", "mlp": "2"}, 2000, 3
    ),
}
LEDGER = {
    "seed 123, batches of 64 x 4": 0.9622, "seed 124, batches of 64 x 4": 0.9644,
    "seed 123, batches of 128 x 2": 0.9536, "seed 124, batches of 128 x 2": 0.9582,
    "seed 125, batches of 128 x 2": 0.8833,
}  # fmt: skip
"""Of Gated DeltaNet with 16,384 numbers of state."""

RECALL_SIZES: Mapping[Scale, Reduction] = {
    "quick": Reduction(
        {"pairs": "16", "seq_len": "128", "vocab_size": "1024"},
        {"d_model": "64", "heads": "2"},
        400,
        1,
    ),
    "paper": Reduction(
        {"pairs": "64", "seq_len": "256", "vocab_size": "8192"},
        {"d_model": "128", "heads": "2", "depth": "2"},
        3000,
        3,
    ),
}

CLAIMS: tuple[Thesis, ...] = (
    Beside(
        "mad",
        "On MAD's in-context recall papers publish .808 to 1 for GLA and .941 to 1 for softmax "
        "attention: the same layer, the same benchmark.",
        f"{DELTANET_PAPER}; {MESANET_PAPER}",
        trained_as(_trained("gla", MAD_SIZES["quick"])),
        published=MAD,
        sizes=MAD_SIZES,
        reduced="MAD trains two layers with MLPs of width 128 on 66 settings of six tasks, 200 "
        "epochs each; here it is one setting of associative recall of its size (8 pairs in 128 "
        "tokens), one rate and fewer steps.",
    ),
    Beside(
        "mqar-gdn",
        "Gated DeltaNet of width 128 answers 88 to 96 % of multi-query recall over a mixture of 4 "
        "to 256 pairs; one seed in five loses half of the hardest part.",
        "a ledger of five runs (https://github.com/BankBro/zoology)",
        trained_as(_trained("gated-deltanet", RECALL_SIZES["quick"])),
        published={"gated-deltanet": LEDGER},
        sizes=RECALL_SIZES,
        reduced="Published is the average over the mixture, at width 128 with two heads and 8192 "
        "words, after four epochs; here it is one number of pairs, one rate and fewer steps.",
    ),
)
