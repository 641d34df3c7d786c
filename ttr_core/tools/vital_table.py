"""What fresh layers do: docs/vitals.csv as a section of docs/catalog.md.

The file is the table of `batch.py vitals`, kept in the repository because it takes minutes. No text
of it reaches the page: a row counts if its layer is in the catalog and its frame is known, and a
cell if it is a number.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable
from pathlib import Path

from ..layers.frame import FRAMES
from ..layers.published import catalog
from ..words import markdown as md
from .learning import Cells

FILE = "vitals.csv"
COMMANDS = f"""\
    python batch.py vitals --output docs/{FILE}
    make docs"""
NONE = "–"
GRADIENT = re.compile(r"input_gradient_(\d{1,5})")


def vital_section(file: Path) -> Iterable[str]:
    """Yields the blocks of the section; without a file it says how to make it."""
    yield "## Before they learn"
    rows, lengths = _rows(file)
    if not rows:
        yield "No vital signs are kept here yet. A command makes them, and this page anew:"
        yield COMMANDS
        return
    yield (
        "The vital signs of fresh layers: one head, d = 64, inputs whose channels have unit "
        "variance. A training starts where outputs have a sensible size, gradients neither vanish "
        "nor grow with the length, the past is kept until it is asked for, and a pair just written "
        "is answered."
    )
    yield md.bullets(_columns(lengths))
    yield "To make it again:"
    yield COMMANDS
    gradients = (f"gradients at {length:,}" for length in lengths)
    head = ("layer", "frame", "output", "recall", "half-lives", "steps", *gradients, "parts at")
    yield md.table(head, (_shown(row, lengths) for row in rows))


def _columns(lengths: Iterable[int]) -> Iterable[tuple[str, str]]:
    yield "Output", "root mean square of the outputs"
    yield (
        "Recall",
        "cosine between the right value and the answer when one of 16 pairs just written is asked "
        "for by its own key, mean over the pairs",
    )
    yield "Half-lives", "tokens after which the fastest and the slowest decay have left half"
    yield "Steps", "smallest and largest step of a token, as a share of the optimizer's rate"
    many = md.listing(f"{length:,}" for length in lengths)
    yield (
        "Gradients",
        f"norms of the gradients of a random unit mix of all outputs of {many} tokens, to the "
        "inputs (1 for a layer that changes nothing) and to all parameters; "
        f"{NONE} where that many tokens would take too long",
    )
    yield (
        "Parts at",
        "the token at which outputs in float32 and float64 differ by 1 % of their size; "
        f"{NONE} where they do not within the tokens measured",
    )


def _rows(file: Path) -> tuple[list[Cells], list[int]]:
    """Returns the rows of known layers and frames in order, and the lengths of the gradients."""
    if not file.exists():
        return [], []
    found: dict[tuple[str, str], Cells] = {}
    with file.open(encoding="utf-8", errors="replace", newline="") as lines:
        reader = csv.DictReader(lines)
        for row in reader:
            place = (row.get("layer") or "", row.get("frame") or "")
            if place[0] in set(catalog) and place[1] in FRAMES:
                found.setdefault(place, row)
        names = [GRADIENT.fullmatch(name) for name in reader.fieldnames or ()]
    lengths = sorted({int(name[1]) for name in names if name})
    order = [(layer, frame) for layer in catalog for frame in FRAMES]
    return [found[place] for place in order if place in found], lengths


def _shown(row: Cells, lengths: Iterable[int]) -> tuple[str, ...]:
    def number(name: str) -> str:
        return _number(row.get(name))

    def span(name: str) -> str:
        ends = dict.fromkeys((number(f"{name}_low"), number(f"{name}_high")))
        return " to ".join(ends)

    def pair(length: int) -> str:
        ends = (number(f"{name}_gradient_{length}") for name in ("input", "parameter"))
        return ", ".join(dict.fromkeys(ends))

    return (
        md.link(row["layer"] or ""), row["frame"] or "", number("scale"), number("match"),
        span("half_life"), span("step"), *map(pair, lengths), number("parts"),
    )  # fmt: skip


def _number(text: str | None) -> str:
    """Returns a number to three digits; what is no number is a dash, an infinite one says so."""
    try:
        number = float(text or "")
    except ValueError:
        return NONE
    if math.isnan(number):
        return NONE
    if math.isinf(number):
        return "infinite"
    return f"{number:,.0f}" if 1000 <= abs(number) < 1e6 else f"{number:.3g}"
