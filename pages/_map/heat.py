"""How a heat map of the Map looks: one Vega-Lite specification, which serves every choice.

Altair takes a tenth of a second to write and check a chart, and the Map has one per choice of an
axis. Nothing here depends on the choice, so what Altair wrote once is kept, and only rows change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import altair as alt
import pandas as pd

from pages._map.space import VERDICT
from pages._shared import units
from ttr_core.lab import metrics

VERDICTS = {"layer": "#56B4E9", "slow": "#E69F00", "undefined": "#8D99A6"}
ROWS = "cells"
"""Under this name the specification asks for the rows of a choice."""

CELL_HEIGHT, NAMES, LETTER, SMALL_LETTER = 25, 130, 5.6, 5.2
"""Pixels: the height of a cell, the width of the names of rows, that of a letter of a name of a
row or column, that of a letter in a cell."""

LIGHT, DARK = "#1B2530", "#E6EBF0"
"""Ink on the page itself, by theme."""

BLACK, WHITE = "#12171D", "#FFFFFF"
TURN = 0.46  # so far into the colors of results both are as easy to read


@dataclass(frozen=True)
class Look:
    """All that a specification depends on.

    Args:
        rows: the axis from top to bottom.
        columns: the axis from left to right.
        row_order: choices of ``rows``, the first at the top.
        column_order: choices of ``columns``, the first at the left.
        metric: the name of a metric, or ``verdict``.
        domain: values of the metric that are drawn darkest and brightest, or the reverse.
        dark: whether the page is dark.
    """

    rows: str
    columns: str
    row_order: tuple[str, ...]
    column_order: tuple[str, ...]
    metric: str
    domain: tuple[float, float]
    dark: bool


@lru_cache(maxsize=64)
def chart(look: Look) -> dict[str, Any]:
    """Returns the Vega-Lite specification; it is shared, so nobody may change it."""
    spec = _chart(look).to_dict()
    spec.pop("config", None)  # sizes of Altair's own theme, which would override the page's
    return spec


def filled(look: Look, rows: pd.DataFrame) -> dict[str, Any]:
    """Returns the specification with the rows of one choice."""
    shown = set(rows[look.columns])
    names = [name for name in look.column_order if name in shown]
    spec = chart(look)
    slanted = {"name": "slanted", "expr": f"width < {_room(names):g}"}
    return {**spec, "params": [*spec["params"], slanted], "datasets": {ROWS: rows}}


def _room(names: Sequence[str]) -> float:
    """Returns how many pixels columns need together for their names to fit beside each other."""
    beside = [len(one) + len(other) for one, other in pairwise(names)]
    return len(names) * LETTER * (max(beside, default=0) / 2 + 1)


def _chart(look: Look) -> alt.LayerChart:
    base = alt.Chart(alt.NamedData(name=ROWS)).encode(
        x=alt.X(f"{look.columns}:N", sort=list(look.column_order), axis=_across()),
        y=alt.Y(f"{look.rows}:N", sort=list(look.row_order), axis=_down()),
        tooltip=_tooltip(look),
    )
    text = base.mark_text(fontSize=10, cursor="pointer", aria=False, text=_fitting())
    layers = [_judged(base), text.encode(color=_ink(look))]
    if look.metric != VERDICT:
        layers.insert(0, _results(base, look))
    drawn = alt.layer(*layers).resolve_scale(color="independent")
    return drawn.properties(height=alt.Step(CELL_HEIGHT))


def _axis() -> alt.Axis:
    return alt.Axis(
        labelOverlap=False,
        labelFlush=False,  # the page's theme would push the first label off the middle of its row
        labelPadding=6,
        ticks=False,
        domain=False,
        title=None,
    )


def _down() -> alt.Axis:
    axis = _axis()
    axis.labelLimit = 150
    axis.minExtent = NAMES  # so that the columns of all heat maps begin at one line
    return axis


def _across() -> alt.Axis:
    """The axis of the columns, its names slanted where they do not fit beside each other."""
    axis = _axis()
    axis.labelLimit = alt.ExprRef("slanted ? 130 : bandwidth('x') + 20")
    axis.labelAngle = alt.ExprRef("slanted ? -35 : 0")
    axis.labelAlign = alt.ExprRef("slanted ? 'right' : 'center'")
    axis.labelBaseline = alt.ExprRef("slanted ? 'middle' : 'top'")
    return axis


def _judged(base: alt.Chart) -> alt.Chart:
    """Every cell by its verdict, with its outline and the two ways to choose it."""
    opened = alt.selection_point(
        name="open", fields=["spec"], on="click[!event.shiftKey]", toggle=False, empty=False
    )
    collected = alt.selection_point(
        name="collect", fields=["spec"], on="click[event.shiftKey]", toggle="true", empty=False
    )
    drawn = base.mark_rect(cursor="pointer").encode(
        color=alt.Color(
            "verdict:N",
            scale=alt.Scale(domain=list(VERDICTS), range=list(VERDICTS.values())),
            legend=None,
        ),
        fillOpacity=alt.FillOpacity("strength:Q", scale=None, legend=None),
        stroke=alt.condition("datum.collected", alt.value("#D55E00"), alt.value("#9AA5B1")),
        strokeWidth=alt.condition("datum.collected", alt.value(3), alt.value(0.6)),
    )
    return drawn.add_params(opened, collected)


def _results(base: alt.Chart, look: Look) -> alt.Chart:
    """The color of what was reached, below the outlines."""
    metric = metrics()[look.metric]
    scale = alt.Scale(
        domain=list(look.domain), clamp=True, scheme="viridis", reverse=not metric.rises,
        type=units.color(metric),
    )  # fmt: skip
    return (
        base.transform_filter("isValid(datum.best)")
        .mark_rect(aria=False)
        .encode(color=alt.Color("best:Q", scale=scale, legend=None))
    )


def _fitting() -> alt.ExprRef:
    """The text of a cell in as many letters as it has room for, however wide the window is."""
    room = f"floor((bandwidth('x') - 4) / {SMALL_LETTER}) - length(datum.more)"
    return alt.ExprRef(f"truncate(datum.label, max(3, {room})) + datum.more")


def _ink(look: Look) -> Any:
    """Text that can be read on whatever color lies below it."""
    page = DARK if look.dark else LIGHT
    if look.metric == VERDICT:
        light = alt.when("datum.verdict == 'undefined'").then(alt.value(page))
        return light.otherwise(alt.value(BLACK))
    metric = metrics()[look.metric]
    dark, bright = look.domain if metric.rises else look.domain[::-1]
    edge = dark + TURN * (bright - dark)
    if units.color(metric) == "log":
        edge = dark ** (1 - TURN) * bright**TURN
    deep = f"datum.best {'<' if metric.rises else '>'} {edge}"
    nothing = alt.when("!isValid(datum.best)").then(alt.value(page))
    return nothing.when(deep).then(alt.value(WHITE)).otherwise(alt.value(BLACK))


def _tooltip(look: Look) -> list[alt.Tooltip]:
    tips = [
        alt.Tooltip("spec:N"),
        alt.Tooltip("verdict:N"),
        alt.Tooltip("about:N", title="in the literature, or why not"),
    ]
    if look.metric == VERDICT:
        return tips
    return [
        *tips,
        alt.Tooltip("best_shown:N", title=f"best {look.metric}"),
        alt.Tooltip("mean_shown:N", title="mean of that spec"),
        alt.Tooltip("std_shown:N", title="standard deviation"),
        alt.Tooltip("n:Q", title="runs"),
        alt.Tooltip("still_rising:Q", title="runs still rising"),
        alt.Tooltip("rates:Q", title="learning rates tried"),
    ]
