"""Altair charts: data frames in, charts out.

Colors follow the theme of the page (`.streamlit/config.toml`: Okabe and Ito's), dashes repeat what
color says, and every chart has a name for screen readers where it is shown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import altair as alt
import pandas as pd

from pages._shared import units
from ttr_core.lab import metrics

DASHES = [[1, 0], [7, 3], [2, 2], [9, 3, 2, 3], [4, 4], [12, 4], [1, 3]]
BASELINE = "#7F8A96"  # readable on both pages
POSITIVE, NEGATIVE = "#0072B2", "#D55E00"
DECADES = 6  # of a logarithmic axis at most
SYMBOL, LETTER = 60, 7.0  # pixels of a line in a legend with its distances, and of a letter


def curves(
    data: pd.DataFrame,
    names: Sequence[str],
    x: str,
    y: str,
    log: bool = False,
    mark_at: float | None = None,
    height: int = 340,
) -> alt.LayerChart:
    """Draws one line per series with a band around it, baselines in gray.

    Args:
        data: columns ``series``, ``step``, ``value``, ``low``, ``high``, ``baseline`` (bool).
        names: the series in their order, which decides their colors.
        x: title of the horizontal axis.
        y: title of the vertical axis.
        log: whether the vertical axis is logarithmic.
        mark_at: a step to mark with a vertical line.
        height: pixels.
    """
    exact = data["value"]
    data = (above_zero(data) if log else data).assign(exact=exact)
    layers = data[~data["baseline"]]
    scale = alt.Scale(type="log", nice=False) if log else alt.Scale(zero=False)
    axis = alt.Axis(tickCount=4, format="~g", gridOpacity=0.5)
    legend = alt.Legend(
        title=None,
        orient="top",
        columns=_beside(names),
        labelLimit=240,
        symbolType="stroke",
        symbolSize=400,
        symbolStrokeWidth=2.5,
        symbolOpacity=1,
    )
    color = alt.Color("series:N", scale=alt.Scale(domain=list(names)), legend=legend)
    dashes = alt.Scale(domain=list(names), range=_dashes(len(names)))
    base = alt.Chart(layers).encode(x=alt.X("step:Q", title=x, axis=alt.Axis(grid=False)))
    tooltip = [
        alt.Tooltip("series:N", title="layer"),
        alt.Tooltip("step:Q", title=x),
        alt.Tooltip("exact:Q", title=y, format=".4g"),
    ]
    band = base.mark_area(opacity=0.15).encode(
        y=alt.Y("low:Q", scale=scale, title=y, axis=axis),
        y2="high:Q",
        color=color,
    )
    line = base.mark_line(strokeWidth=2).encode(
        y=alt.Y("value:Q", scale=scale, title=y, axis=axis),
        color=color,
        strokeDash=alt.StrokeDash("series:N", scale=dashes, legend=legend),
        tooltip=tooltip,
    )
    drawn = [*_baselines(data[data["baseline"]], x, scale, y), band, line]
    if mark_at is not None:
        drawn.insert(0, _rule(mark_at))
    return alt.LayerChart(layer=drawn).properties(height=height)


def above_zero(data: pd.DataFrame) -> pd.DataFrame:
    """Returns curves that a logarithmic axis can show: zeros lie at its lower end.

    That is half the least of what is within `DECADES` of the largest value; an error of 0, or of
    1e-30, would leave everything else one line at the top.
    """
    columns = ["value", "low", "high"]
    shown = data.assign(**{c: data[c].astype(float).where(data[c] < math.inf) for c in columns})
    top = shown["high"].max()
    if not top > 0:  # all zero, or nothing at all
        return shown.assign(**{column: shown[column].clip(lower=1.0) for column in columns})
    values = shown["value"]
    floor = values[values > top / 10**DECADES].min() / 2
    return shown.assign(**{column: shown[column].clip(lower=floor) for column in columns})


def _beside(names: Sequence[str]) -> alt.ExprRef:
    """Returns how many names of a legend fit beside each other, however wide the window is."""
    widest = SYMBOL + LETTER * max(map(len, names), default=1)
    return alt.ExprRef(f"max(1, floor(width / {widest:g}))")


def _dashes(count: int) -> list[list[int]]:
    return [DASHES[i % len(DASHES)] for i in range(count)]


def _rule(step: float) -> alt.Chart:
    frame = pd.DataFrame({"step": [step], "what": ["switch"]})
    return (
        alt.Chart(frame)
        .mark_rule(color=BASELINE, strokeDash=[3, 3])
        .encode(x="step:Q", tooltip=[alt.Tooltip("what:N", title="at"), "step:Q"])
    )


def _baselines(data: pd.DataFrame, x: str, scale: alt.Scale, y: str) -> list[alt.Chart]:
    """Draws baselines thin and gray, each with its name at its right end."""
    if data.empty:
        return []
    ends = data.sort_values("step").groupby("series").tail(1)
    below = ends["exact"] < ends["value"]  # at the end of the axis, not where it is
    ends = ends.assign(name=ends["series"].where(~below, ends["series"] + " (below)"))
    tooltip = [alt.Tooltip("series:N", title="baseline"), alt.Tooltip("exact:Q", format=".4g")]
    line = (
        alt.Chart(data)
        .mark_line(color=BASELINE, strokeWidth=1, opacity=0.8)
        .encode(
            x="step:Q", y=alt.Y("value:Q", scale=scale, title=y), detail="series:N", tooltip=tooltip
        )
    )
    text = (
        alt.Chart(ends)
        .mark_text(color=BASELINE, align="right", baseline="bottom", dy=-7, fontSize=11)
        .encode(x="step:Q", y=alt.Y("value:Q", scale=scale), text="name:N")
    )
    return [line, text]


def heatmap(
    data: pd.DataFrame, signed: bool, middle: str = "#F4F6F8", size: int = 340
) -> alt.Chart:
    """Draws how much each past token counts for each query.

    Args:
        data: columns ``query``, ``token``, ``weight``; nothing above the diagonal.
        signed: whether some weights are negative, which then take a color of their own.
        middle: the color of nothing on a signed map, near the page's own.
        size: pixels, of both sides.
    """
    largest = float(data["weight"].abs().max() or 1.0)
    if signed:
        scale = alt.Scale(
            domain=[-largest, 0, largest], range=[NEGATIVE, middle, POSITIVE], interpolate="rgb"
        )
    else:
        scale = alt.Scale(domain=[0, largest])
    axis = alt.Axis(labelOverlap=True, labelAngle=0, ticks=False, domain=False, values=_ticks(data))
    return (
        alt.Chart(data)
        .mark_rect()
        .encode(
            x=alt.X("token:O", title="past token i", axis=axis),
            y=alt.Y("query:O", title="query t", axis=axis),
            color=alt.Color(
                "weight:Q",
                scale=scale,
                legend=alt.Legend(title=None, orient="right", gradientLength=size - 110),
            ),
            tooltip=[
                alt.Tooltip("query:O", title="query t"),
                alt.Tooltip("token:O", title="token i"),
                alt.Tooltip("weight:Q", format=".4g"),
            ],
        )
        .properties(height=size)
    )


def _ticks(data: pd.DataFrame) -> list[int]:
    last = int(data["query"].max())
    return list(range(0, last + 1, max(1, (last + 1) // 8)))


def learning(
    points: Sequence[tuple[int, float]], title: str, steps: int, share: bool, height: int = 190
) -> alt.LayerChart:
    """Draws one curve of a training run on axes that do not jump while it grows.

    Args:
        points: (step, value) so far.
        title: of the vertical axis.
        steps: planned, the end of the horizontal axis.
        share: whether values are between 0 and 1.
        height: pixels.
    """
    data = pd.DataFrame(points, columns=["step", "value"])
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
    color = alt.value("#009E73" if share else "#3C8DC5")
    line = base.mark_line(strokeWidth=2).encode(color=color)
    last = base.transform_filter(f"datum.step == {data['step'].max() if len(data) else 0}")
    point = last.mark_point(filled=True, size=45, opacity=1).encode(color=color)
    return alt.LayerChart(layer=[line, point]).properties(height=height)


def runs(data: pd.DataFrame, name: str, height: int = 260) -> alt.Chart:
    """Draws the same curve of several stored runs.

    Args:
        data: columns ``run``, ``step``, ``value``.
        name: of the curve.
        height: pixels.
    """
    names = list(dict.fromkeys(data["run"]))
    metric = metrics().get(name)
    several = alt.Legend(
        title=None, orient="bottom", labelLimit=300, columns=2, symbolType="stroke", symbolSize=400
    )
    legend = several if len(names) > 1 else None
    return (
        alt.Chart(data)
        .mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=14))
        .encode(
            x=alt.X("step:Q", title="step", axis=alt.Axis(grid=False)),
            y=alt.Y(
                "value:Q",
                title=name.replace("_", " "),
                scale=units.scale(metric),
                axis=units.axis(metric),
            ),
            color=alt.Color(
                "run:N",
                sort=names,
                scale=alt.Scale(domain=names),
                legend=legend,
            ),
            strokeDash=alt.StrokeDash(
                "run:N", scale=alt.Scale(domain=names, range=_dashes(len(names))), legend=legend
            ),
            tooltip=["run:N", "step:Q", alt.Tooltip("value:Q", format=".4g")],
        )
        .properties(height=height)
    )
