"""Pictures of claims, fit for a page and for a file: Altair, which writes SVG and PNG."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from .intervals import Interval

if TYPE_CHECKING:
    import altair as alt

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#666666", "#000000")
"""Okabe and Ito's, which color-blind readers can tell apart."""
DASHES = ((1, 0), (7, 3), (2, 2), (9, 3, 2, 3))
SIZE = {"width": 560, "height": 300}


def _scales(labels: list[str]) -> tuple[alt.Scale, alt.Scale]:
    """Returns colors and dashes of some lines; a dash repeats what color says."""
    import altair as alt

    colors = [COLORS[i % len(COLORS)] for i in range(len(labels))]
    dashes = [list(DASHES[i % len(DASHES)]) for i in range(len(labels))]
    return alt.Scale(domain=labels, range=colors), alt.Scale(domain=labels, range=dashes)


def error_lines(lines: Mapping[str, pd.DataFrame], rule: int | None = None) -> alt.LayerChart:
    """Draws the error of every step, on a logarithmic axis.

    Args:
        lines: columns step and value, by label.
        rule: a step that is marked.
    """
    import altair as alt

    data = pd.concat([line.assign(layer=label) for label, line in lines.items()])
    data = data[data["value"] > 0]
    color, dash = _scales(list(lines))
    drawn = (
        alt.Chart(data)
        .mark_line(strokeWidth=1.8)
        .encode(
            x=alt.X("step:Q", title="step"),
            y=alt.Y("value:Q", title="squared error", scale=alt.Scale(type="log")),
            color=alt.Color("layer:N", scale=color, title=None, legend=alt.Legend(labelLimit=340)),
            strokeDash=alt.StrokeDash("layer:N", scale=dash, title=None, legend=None),
        )
    )
    marks = pd.DataFrame({"step": [] if rule is None else [rule]})
    line = alt.Chart(marks).mark_rule(strokeDash=[4, 4], color="#7F8A96").encode(x="step:Q")
    return alt.LayerChart(layer=[line, drawn]).properties(**SIZE)


def mean_points(points: Mapping[str, Interval], title: str = "") -> alt.LayerChart:
    """Draws means over seeds with their intervals, one a row.

    Args:
        points: by label.
        title: of the axis.
    """
    import altair as alt

    rows = [
        {"layer": label, "mean": one.mean, "low": one.mean - half, "high": one.mean + half}
        for label, one in points.items()
        for half in (one.half if math.isfinite(one.half) else 0.0,)
    ]
    data = pd.DataFrame(rows)
    place = alt.Y("layer:N", title=None, sort=list(points), axis=alt.Axis(labelLimit=340))
    base = alt.Chart(data)
    bars = base.mark_rule(strokeWidth=2, color=COLORS[0]).encode(x="low:Q", x2="high:Q", y=place)
    dots = base.mark_point(filled=True, size=70, opacity=1, color=COLORS[0]).encode(
        x=alt.X("mean:Q", title=title or "mean over seeds, 95 % interval"), y=place
    )
    return alt.LayerChart(layer=[bars, dots]).properties(width=SIZE["width"])
