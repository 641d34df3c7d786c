"""Pictures of claims, fit for a page and for a file: Altair, which writes SVG and PNG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from .intervals import Interval

if TYPE_CHECKING:
    import altair as alt

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#666666", "#000000")
"""Okabe and Ito's, which color-blind readers can tell apart."""
DASHES = ((1, 0), (7, 3), (2, 2), (9, 3, 2, 3))
RULE = "#7F8A96"
SIZE = {"width": 560, "height": 260}


def _scales(labels: list[str], known: Sequence[str] = ()) -> tuple[alt.Scale, alt.Scale]:
    """Returns colors and dashes of some lines; a dash repeats what color says."""
    import altair as alt

    places = [list(known or labels).index(label) for label in labels]
    colors = [COLORS[i % len(COLORS)] for i in places]
    dashes = [list(DASHES[(i + i // len(COLORS)) % len(DASHES)]) for i in places]
    return alt.Scale(domain=labels, range=colors), alt.Scale(domain=labels, range=dashes)


def error_lines(
    lines: Mapping[str, pd.DataFrame],
    rule: int | None = None,
    title: str = "squared error",
    known: Sequence[str] = (),
) -> alt.LayerChart:
    """Draws the error of every step, on a logarithmic axis.

    Args:
        lines: columns step and value, by label.
        rule: a step that is marked.
        title: of what is no error.
        known: all labels of which some are drawn: each keeps its color in every picture.
    """
    import altair as alt

    data = pd.concat([line.assign(layer=label) for label, line in lines.items()])
    data = data[data["value"] > 0]
    color, dash = _scales(list(lines), known)
    errors = alt.Scale(type="log", nice=False)
    powers = alt.Axis(format="~g", tickCount=5, labelFlush=False)
    below = alt.Legend(
        orient="bottom", columns=1, labelLimit=300, symbolType="stroke", symbolSize=300
    )
    drawn = (
        alt.Chart(data)
        .mark_line(strokeWidth=1.8)
        .encode(
            x=alt.X("step:Q", title="step", axis=alt.Axis(grid=False), scale=alt.Scale(nice=False)),
            y=alt.Y("value:Q", title=title, scale=errors, axis=powers),
            color=alt.Color("layer:N", scale=color, title=None, legend=below),
            strokeDash=alt.StrokeDash("layer:N", scale=dash, title=None, legend=below),
        )
    )
    marks = pd.DataFrame({"step": [] if rule is None else [rule]})
    line = alt.Chart(marks).mark_rule(strokeDash=[4, 4], color=RULE).encode(x="step:Q")
    return alt.LayerChart(layer=[line, drawn]).properties(**SIZE)


def mean_shares(points: Mapping[str, Interval], title: str) -> alt.LayerChart:
    """Draws means of shares over seeds with their intervals, one a row.

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
    return _rows(rows, title, alt.Scale(domain=[0, 1], clamp=True), 1.0)


def ratios(rows: Iterable[Mapping[str, object]], title: str) -> alt.LayerChart:
    """Draws ratios of errors with their intervals, one a row, on a logarithmic axis.

    Args:
        rows: layer, mean, low and high.
        title: of the axis.
    """
    import altair as alt

    return _rows(list(rows), title, alt.Scale(type="log", nice=False), 1.0)


def _rows(
    rows: Sequence[Mapping[str, object]], title: str, scale: alt.Scale, mark: float
) -> alt.LayerChart:
    """Draws a point with its interval in each row, and a line where nothing differs."""
    import altair as alt

    axis = alt.Axis(labelLimit=230, title=None)
    place = alt.Y("layer:N", sort=[str(row["layer"]) for row in rows], axis=axis)
    base = alt.Chart(pd.DataFrame(rows))
    bars = base.mark_rule(strokeWidth=2, color=COLORS[0]).encode(
        x=alt.X("low:Q", scale=scale, title=title), x2="high:Q", y=place
    )
    dots = base.mark_point(filled=True, size=70, opacity=1, color=COLORS[0]).encode(
        x=alt.X("mean:Q", scale=scale, title=title, axis=alt.Axis(tickCount=5, format="~g")),
        y=place,
    )
    line = alt.Chart(pd.DataFrame({"at": [mark]})).mark_rule(strokeDash=[4, 4], color=RULE)
    return alt.LayerChart(layer=[line.encode(x="at:Q"), bars, dots]).properties(
        width=SIZE["width"], height=alt.Step(24)
    )
