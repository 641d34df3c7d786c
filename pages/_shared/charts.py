"""Altair charts: data frames in, charts out.

Colors follow the theme of the page (`.streamlit/config.toml`: Okabe and Ito's), dashes repeat what
color says, and every chart has a name for screen readers where it is shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import altair as alt
import pandas as pd

from pages._shared import units
from ttr_core.lab import Metric

DASHES = [[1, 0], [7, 3], [2, 2], [9, 3, 2, 3], [4, 4], [12, 4], [1, 3]]


def dashes(count: int) -> list[list[int]]:
    """Returns as many dashes, which repeat what color says."""
    return [DASHES[i % len(DASHES)] for i in range(count)]


def learning(
    points: Sequence[tuple[int, float]],
    title: str,
    steps: int,
    share: bool,
    beside: Sequence[tuple[int, float]] = (),
    height: int = 190,
) -> alt.LayerChart:
    """Draws one curve of a training run on axes that do not jump while it grows.

    Args:
        points: (step, value) so far.
        title: of the vertical axis.
        steps: planned, the end of the horizontal axis.
        share: whether values are between 0 and 1.
        beside: of another run, in gray.
        height: pixels.
    """
    data = pd.DataFrame(points, columns=["step", "value"])
    other = pd.DataFrame(beside, columns=["step", "value"])
    scale = alt.Scale(domain=[0, 1]) if share else alt.Scale(zero=True)
    axis = alt.Axis(format="%") if share else alt.Axis()
    base = alt.Chart(data).encode(
        x=alt.X(
            "step:Q",
            title="step",
            scale=alt.Scale(domain=[0, max(steps, 1)]),
            axis=alt.Axis(grid=False),
        ),
        y=alt.Y("value:Q", title=title, scale=scale, axis=axis),
        tooltip=[alt.Tooltip("step:Q"), alt.Tooltip("value:Q", title=title, format=".4g")],
    )
    color = alt.ColorValue("#009E73" if share else "#3C8DC5")
    line = base.mark_line(strokeWidth=2).encode(color=color)
    last = base.transform_filter(f"datum.step == {data['step'].max() if len(data) else 0}")
    point = last.mark_point(filled=True, size=45, opacity=1).encode(color=color)
    under = alt.Chart(other).mark_line(strokeWidth=1.5, strokeDash=[5, 3], color="#7F8A96")
    before = [under.encode(base.encoding.x, base.encoding.y)] if len(other) else []
    return alt.LayerChart(layer=[*before, line, point]).properties(height=height)


def by_group(by: Mapping[str, float], title: str, metric: Metric, height: int = 130) -> alt.Chart:
    """Draws a metric by what a task splits its answers by.

    Args:
        by: values of the metric, by group in their order.
        title: of the groups.
        metric: it.
        height: pixels.
    """
    data = pd.DataFrame([(str(name), value) for name, value in by.items()], columns=["of", "value"])
    order = sorted(data["of"], key=lambda name: [int(n) for n in re.findall(r"\d+", name)])
    return (
        alt.Chart(data)
        .mark_bar(color="#009E73", size=18)
        .encode(
            x=alt.X("of:N", title=title, sort=order, axis=alt.Axis(labelAngle=0)),
            y=alt.Y(
                "value:Q", title=metric.name, scale=units.scale(metric), axis=units.axis(metric)
            ),
            tooltip=[alt.Tooltip("of:N", title=title), alt.Tooltip("value:Q", format=".4g")],
        )
        .properties(height=height)
    )
