"""Curves of a comparison: means with bands, the raw ones faint, names at their ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import pandas as pd

from pages._shared import charts, ends, units
from ttr_core.lab import Metric, metrics

HEIGHT, LINE = 260, 22  # pixels: of a chart, and of a side in its legend
NARROW, ERROR = 330, "standard error"  # pixels below which its legend has no room for the words
PLOT = 150  # pixels between the ends of its vertical axis


@dataclass(frozen=True)
class Drawn:
    """What a comparison shows.

    Args:
        ids: the runs by which its sides are asked for.
        over_seeds: whether each stands for its configuration over seeds.
        smoothing: see `comparing.mean_curves`.
        log_x: steps by their logarithm.
        log_y: values by their logarithm.
    """

    ids: tuple[str, ...]
    over_seeds: bool
    smoothing: float
    log_x: bool
    log_y: bool


def compared_chart(
    data: pd.DataFrame, name: str, labels: Sequence[str], asked: Drawn
) -> alt.LayerChart:
    """Draws one curve of every side.

    Args:
        data: as `comparing.mean_curves` returns it, of one curve.
        name: of the curve.
        labels: all sides in order, so that each has one color on every chart.
        asked: how to draw.
    """
    metric = metrics().get(name)
    unit = units.unit_of(name)
    said = {label: _legend(data[data["side"] == label], label, metric, unit) for label in labels}
    data = data.assign(side=data["side"].map(said))
    if asked.log_y:
        data = data[data["value"] > 0].assign(low=data["low"].where(data["low"] > 0, data["value"]))
    if asked.log_x:
        data = data[data["step"] > 0]
    log = alt.Scale(type="log")
    legend = _of_sides()
    x = alt.X("step:Q", title="step", scale=_across(data, asked.log_x))
    color = alt.Color("side:N", scale=alt.Scale(domain=list(said.values())), legend=legend)
    base = alt.Chart(data).encode(x=x, color=color)
    scale = log if asked.log_y else units.scale(metric)
    y = alt.Y("smooth:Q", title=units.curve_title(name), scale=scale, axis=units.axis(metric))
    band = base.mark_area(opacity=0.18).encode(y=alt.Y("low:Q", scale=scale), y2=alt.Y2("high:Q"))
    line = base.mark_line(strokeWidth=2).encode(
        y=y,
        strokeDash=alt.StrokeDash(
            "side:N",
            scale=alt.Scale(domain=list(said.values()), range=charts.dashes(len(said))),
            legend=legend,
        ),
        tooltip=[
            alt.Tooltip("side:N"),
            alt.Tooltip("step:Q"),
            alt.Tooltip("value:Q", format=".4g"),
            alt.Tooltip("n:Q"),
        ],
    )
    raw = base.mark_line(strokeWidth=1, opacity=0.3).encode(y=alt.Y("value:Q", scale=scale))
    layers = [band, raw, line] if asked.smoothing else [band, line]
    if len(data):
        tips = _ends(data, {text: label for label, text in said.items()}, metric, asked)
        layers += [*ends.leaders(tips, color.copy()), ends.labels(tips, x, color.copy(), scale)]
    return alt.LayerChart(layer=layers).properties(height=HEIGHT + LINE * len(labels))


def _of_sides() -> alt.Legend:
    return alt.Legend(
        title=None, orient="bottom", columns=1, labelLimit=alt.ExprRef("min(340, width)"),
        labelExpr=f"width < {NARROW} ? replace(datum.label, '{ERROR}', '±') : datum.label",
        symbolType="stroke", symbolSize=300,
        symbolFillColor="transparent", symbolOpacity=1, symbolStrokeWidth=2,
    )  # fmt: skip


def _across(data: pd.DataFrame, log: bool) -> alt.Scale:
    """Returns the scale of steps, with room for names to the right of the last one."""
    if data.empty:
        return alt.Scale()
    low, high = float(data["step"].min()), float(data["step"].max())
    if log:
        domain = [low, high * (high / low) ** ends.ROOM if high > low else 2 * high]
        return alt.Scale(type="log", domain=domain, nice=False)
    return alt.Scale(domain=[low, high + max(high - low, 1.0) * ends.ROOM], nice=False)


def _ends(
    data: pd.DataFrame, names: dict[str, str], metric: Metric | None, asked: Drawn
) -> pd.DataFrame:
    """Returns where the lines end, and where their names stand.

    That is in one column to the right of the longest line, where no other line passes, and not on
    each other.
    """
    tips = data.loc[data.groupby("side", sort=False)["step"].idxmax()]
    log = asked.log_y
    low, high = float(data["low"].min()), float(data["high"].max())
    if metric is not None and metric.bounds is not None and not log:
        low, high = metric.bounds
    places = list(tips["smooth"])
    if log:
        places, low, high = [math.log(x) for x in places], math.log(low), math.log(high)
    high = max(high, low + 1e-9)
    held = ends.apart(places, low, high, PLOT)
    return tips.assign(
        end=[math.exp(x) for x in held] if log else held,
        text=[names[side] for side in tips["side"]],
        from_step=tips["step"],
        step=int(data["step"].max()),
    )


def _legend(data: pd.DataFrame, label: str, metric: Metric | None, unit: str) -> str:
    """Returns a side's name with the runs behind it and the standard error of its last point."""
    if data.empty:
        return f"{label} (no curve)"
    last = data.loc[data["step"].idxmax()]
    size = last["high"] - last["value"]
    said = f"{size:.2g} {unit}".rstrip() if metric is None else metric.shown(size)
    error = f", {ERROR} {said}" if last["n"] > 1 else ""
    return f"{label} (n = {last['n']:.0f}{error})"
