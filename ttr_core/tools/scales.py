"""Where learned scales start: how well pairs on unit keys are read back at each scale.

A start is found by trial and not by rule: the same scale leaves one kernel flat and another one
without any pair. docs/scales.csv keeps what was measured, and docs/ingredients.md shows it;
``--write`` measures anew.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..solvers import solve
from ..space.sharpness import LOG_SCALE
from ..space.spec import Spec
from ..stream import Stream
from ..words import markdown as md

FOLDER = Path(__file__).resolve().parents[2] / "docs"
FILE = "scales.csv"
SCALES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
PAIRS, SIZE, SEEDS, READ = 64, 64, 4, 8  # of the pairs every eighth is read

CASES: tuple[str, ...] = (
    "ExpKernel | Constant | Exact",
    "ExpKernel | Affine | Exact",
    "ExpKernel | Quadratic | Exact",
    "ExpKernel | Linear | Exact",
    "ExpKernel | Kernel | Exact",
    "ExpKernel | Kernel | OneStep",
    "Whitened | Constant | Exact",
    "Sparsemax | Constant | OneStep",
    "StickBreaking | Constant | OneStep",
    "Probed | Constant | OneStep",
    "Reflected | Constant | Exact",
    "SelfCorrected | Constant | OneStep",
    "Decorrelated | Constant | OneStep",
    "Uniform | Kernel | Exact",
    "Uniform | Kernel | OneStep",
    "Uniform | Kernel(kernel=exponential) | OneStep",
    "Uniform | Kernel(kernel=polynomial) | OneStep",
    "Uniform | Linear(map=taylor2) | Hebbian | readout=Normalized",
    "Uniform | Linear(map=taylor2) | Exact",
    "Uniform | Linear(map=favor) | Hebbian | readout=Normalized",
    "Uniform | Linear(map=favor) | Exact",
    "Uniform | Linear(map=nystrom) | Hebbian | readout=Normalized",
    "Uniform | Linear(map=nystrom) | Exact",
    "Uniform | Linear(map=dijiang) | Hebbian",
    "Uniform | Linear(map=dijiang) | Exact",
    "Uniform | Linear(map=elu1) | Hebbian | readout=Normalized",
    "Uniform | Linear(map=elu1) | Exact",
    "Uniform | Linear(map=silu) | Hebbian",
    "Uniform | Linear(map=silu) | Exact",
)
"""What is measured: every comparison under a sum of the pairs and under an exact fit."""


@torch.no_grad()
def read_back(spec: Spec | str, scale: float, seeds: int = SEEDS) -> float:
    """Returns the mean cosine of what is read at a key with its value, after all pairs.

    Args:
        spec: what compares; all of its scales are set.
        scale: s.
        seeds: how many draws of 64 pairs of unit keys and values of size 64.

    Example:
        >>> round(read_back("ExpKernel | Constant | Exact", 16.0, seeds=1), 2)
        1.0
    """
    spec = Spec.of(spec)
    own = spec.parameters(SIZE, SIZE, 1)
    params = {n: p.double() if p.is_floating_point() else p for n, p in own.items()}
    log = torch.tensor([math.log(scale)], dtype=torch.float64)
    params |= {f"{path}.{LOG_SCALE}": log for path in spec.comparisons()}
    found = [_cosine(spec, params, seed) for seed in range(seeds)]
    return sum(found) / seeds


def _cosine(spec: Spec, params: dict[str, Tensor], seed: int) -> float:
    generator = torch.Generator().manual_seed(seed)
    shape = (1, 1, PAIRS, SIZE)
    k, v = (
        F.normalize(torch.randn(shape, generator=generator, dtype=torch.float64), dim=-1)
        for _ in range(2)
    )
    asked = range(0, PAIRS, READ)
    q = k[0, 0, asked][:, None, None]  # one query after all pairs, as many sequences as queries
    wide = (len(asked), 1, PAIRS, -1)
    signals = {
        s.name: k.new_full((*wide[:3], spec.signal_width(s, SIZE, SIZE)), s.idle)
        for s in spec.signals
    }
    y = solve(spec, Stream(q, k.expand(wide), v.expand(wide), signals), params)
    return F.cosine_similarity(y[:, 0, 0], v[0, 0, asked], dim=-1).mean().item()


def fresh_scale(spec: Spec | str) -> float:
    """Returns where the scales of a spec start on unit keys, that of the first that compares.

    Example:
        >>> fresh_scale("ExpKernel | Affine | Exact")
        4.0
    """
    spec = Spec.of(spec)
    first = next(iter(spec.comparisons().values()))
    return first.scale_start(spec) if first.scale is None else first.scale


def scales_section(file: Path) -> Iterable[str]:
    """Yields the part of docs/ingredients.md on where learned scales start.

    Args:
        file: what was measured; nothing is told where there is none.
    """
    if not file.exists():
        return
    with file.open(encoding="utf-8", newline="") as lines:
        measured = {row.pop("spec"): row for row in csv.DictReader(lines)}
    yield "## Where learned scales start"
    yield (
        "In frames with `temperature=learned` every comparison has its own scale s. Shown is the "
        f"mean cosine of what is read at a key with its value, after {PAIRS} pairs of unit keys "
        f"and values of size {SIZE}, {SEEDS} draws; **bold** at the start. Sums of the pairs want "
        "a sharp kernel; an exact fit is served by a flat one, too, and learns from it more easily."
    )
    rows = [(md.code(text), *_marked(text, measured[text])) for text in CASES if text in measured]
    yield md.table(("spec", *(f"s = {scale}" for scale in SCALES)), rows)
    yield "Measured by `python -m ttr_core.tools.scales --write`."


def _marked(text: str, row: dict[str, str]) -> Iterable[str]:
    begin = fresh_scale(text)
    for scale in SCALES:
        value = f"{float(row[str(scale)]):.2f}"
        yield f"**{value}**" if scale == begin else value


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures every case and writes the file; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m ttr_core.tools.scales", description=__doc__)
    parser.add_argument("--write", action="store_true", required=True, help="write what is found")
    parser.parse_args(arguments)
    with FOLDER.joinpath(FILE).open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(("spec", *SCALES))
        for text in CASES:
            writer.writerow((text, *(f"{read_back(text, scale):.3f}" for scale in SCALES)))
            lines.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
