"""Parity beside what Grazzi et al. publish: whose steps reach 2 can track it, others cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from . import figures
from .claim import Finding, Ruling, Scale, Thesis, Word
from .found import Found
from .intervals import Interval
from .party import Party, trained_as

PUBLISHED = {"steps to 1": ("Uniform | Linear | SGD", 0.017),
             "steps to 2": ("Uniform | Linear | SGD(link=twice_sigmoid)", 1.0)}  # fmt: skip
"""DeltaNet's scaled accuracy beyond 40 bits, best of some seeds."""

SEEDS_AT: Mapping[Scale, int] = {"quick": 1, "paper": 5}


def _contender(label: str, scale: Scale) -> Party:
    return Party(
        label,
        {
            "specs": [PUBLISHED[label][0]],
            "tasks": [{"name": "words", "group": "Z2", "seq_len": "40"}],
            "model": {"d_model": "64", "heads": "4", "depth": "1"},
            "train": {"steps": "2000", "batch_size": "64", "lr": "0.003", "target": "none"},
            "seeds": [str(seed) for seed in range(SEEDS_AT[scale])],
        },
    )


@dataclass(frozen=True)
class Tracked(Thesis):
    """The settings are those of examples/parity.yaml, whose runs count here."""

    def contenders(self, scale: Scale) -> tuple[Party, ...]:
        return tuple(_contender(label, scale) for label in PUBLISHED)

    def judged(self, found: Found, scale: Scale) -> Finding:
        rows = []
        for label, (_, published) in PUBLISHED.items():
            last = [
                table["scaled_accuracy"].iloc[-1] for table in found.tables(label, "generalization")
            ]
            rows.append({
                "layer": f"DeltaNet, {label}", "best": max(last), "all": last, "n": len(last),
                "published": published,
            })  # fmt: skip
        table = pd.DataFrame(rows)
        points = {row["layer"]: Interval.of(row["all"]) for row in rows}
        beside = ", ".join(
            f"{row['best']:.2f} for {row['layer'].removeprefix('DeltaNet, ')} (published "
            f"{row['published']:.2f})" for row in rows
        )  # fmt: skip
        said = (
            "One layer of width 64 instead of two of 128, 2,000 steps of 64 instead of 20,000 of "
            f"256. Scaled accuracy at 161 to 256 bits, best of {rows[0]['n']}: {beside}."
        )
        chart = figures.mean_shares(points, "scaled accuracy at 161 to 256 bits")
        return Finding(Ruling(Word.REDUCED, said), table, chart, found.n, found.cpu_seconds)


CLAIMS: tuple[Thesis, ...] = (
    Tracked(
        "parity",
        "DeltaNet whose steps reach 2 tracks parity beyond the lengths it was trained at; with "
        "steps to 1 it does not.",
        "Grazzi et al., 2024 (https://arxiv.org/abs/2411.12537)",
        trained_as(_contender("steps to 2", "quick")),
        evidence=("parity.parquet",),
    ),
)
