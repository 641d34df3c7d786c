"""How the heat map of the Map looks: one Vega-Lite specification, in which only rows change.

Altair takes a tenth of a second to write and check a chart; what it wrote once is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import altair as alt
import pandas as pd

from pages._map.by_probes import fourfold
from pages._map.matrix import MARK, Places
from pages._map.space import VERDICT

VERDICTS = {"layer": "#56B4E9", "unread": "#CC79A7", "slow": "#E69F00", "undefined": "#8D99A6"}
ROWS = "cells"
"""Under this name the specification asks for the rows."""

CELL_HEIGHT, NAMES, SLANT = 13, 165, -50
"""Pixels: the height of a cell, the names of rows; degrees by which headings are slanted."""

LIGHT, DARK = "#1B2530", "#E6EBF0"
"""Ink on the page itself, by theme."""

BLACK, WHITE = "#12171D", "#FFFFFF"

SHORT = r"replace(datum.label, regexp('\\b\\w+=', 'g'), '')"
"""As `matrix.short`, in the browser: a row is known by its whole choice."""

CROWDED = 110
"""Columns beyond which their names are smaller."""

SPOTS = "windowSize()[0] < 900 || width < 800 ? 110 : 300"
"""The length of the color bar, pixels: all of it is in sight on a phone, too."""


@dataclass(frozen=True)
class Look:
    """All that a specification depends on.

    Args:
        rows: the axis from top to bottom.
        layout: what stands there and in the columns.
        metric: the name of a metric, or ``verdict``.
        title: of the color bar.
        domain: values of the metric that are drawn darkest and brightest, or the reverse.
        scale: linear, log or symlog.
        rises: whether more is better, and brighter.
        share: whether the values are shown in percent.
        dark: whether the page is dark.
        tips: column -> title of what a cell says when it is pointed at.
    """

    rows: str
    layout: Places
    metric: str
    title: str
    domain: tuple[float, float]
    scale: str
    rises: bool
    share: bool
    dark: bool
    tips: tuple[tuple[str, str], ...]


@lru_cache(maxsize=64)
def chart(look: Look) -> dict[str, Any]:
    """Returns the Vega-Lite specification; it is shared, so nobody may change it."""
    spec = _chart(look).to_dict()
    spec.pop("config", None)  # sizes of Altair's own theme, which would override the page's
    return spec


def filled(look: Look, rows: pd.DataFrame) -> dict[str, Any]:
    """Returns the specification with its rows."""
    return {**chart(look), "datasets": {ROWS: rows}}


def _chart(look: Look) -> alt.LayerChart:
    base = alt.Chart(alt.NamedData(name=ROWS)).encode(
        y=alt.Y(f"{look.rows}:N", sort=list(look.layout.rows), axis=_down()),
        tooltip=[alt.Tooltip(f"{name}:N", title=title) for name, title in look.tips],
    )
    named, headed = (base.encode(x=_across(look, part)) for part in (1, 0))
    layers = [_judged(named, look), _named(headed, look)]
    if look.metric != VERDICT:
        layers.insert(0, _results(named, look))
    drawn = alt.layer(*layers).resolve_scale(color="independent").resolve_axis(x="independent")
    return drawn.properties(height=alt.Step(CELL_HEIGHT))


def _down() -> alt.Axis:
    return alt.Axis(
        labelExpr=SHORT, labelOverlap=False, labelPadding=4, ticks=False, domain=False, title=None,
        labelFlush=False,  # the page's theme would push the first label off the middle of its row
        labelLimit=NAMES, minExtent=NAMES, labelFontSize=11,
    )  # fmt: skip


def _across(look: Look, part: int) -> alt.X:
    """The columns, with their names below, or with the headings of groups above."""
    small = 9 if look.layout.columns <= CROWDED else 7
    axis = alt.Axis(
        labelExpr=f"split(datum.label, '{MARK}')[{part}]", orient="bottom" if part else "top",
        labelAngle=-90 if part else SLANT, labelAlign="right" if part else "left",
        labelBaseline="middle", labelOverlap=False, labelFlush=False, labelLimit=150,
        labelPadding=4, ticks=False, domain=False, title=None,
        labelFontSize=small if part else 11,
        labelFontWeight="normal" if part else "bold",
    )  # fmt: skip
    scale = alt.Scale(domain=list(look.layout.keys), paddingInner=0.04, paddingOuter=0)
    return alt.X("key:N", sort=list(look.layout.keys), scale=scale, axis=axis)


def _judged(base: alt.Chart, look: Look) -> alt.Chart:
    """Every cell by its verdict, with its outline and the two ways to choose it."""
    opened = alt.selection_point(
        name="open", fields=["spec"], on="click[!event.shiftKey]", toggle=False, empty=False
    )
    collected = alt.selection_point(
        name="collect", fields=["spec"], on="click[event.shiftKey]", toggle="true", empty=False
    )
    legend = alt.Legend(title=None, orient="top") if look.metric == VERDICT else None
    drawn = base.mark_rect(cursor="pointer").encode(
        color=alt.Color(
            "verdict:N",
            scale=alt.Scale(domain=list(VERDICTS), range=list(VERDICTS.values())),
            legend=legend,
        ),
        fillOpacity=alt.FillOpacity("strength:Q", scale=None, legend=None),
        stroke=alt.condition("datum.collected", alt.value("#D55E00"), alt.value("#9AA5B1")),
        strokeWidth=alt.condition("datum.collected", alt.value(3), alt.value(0.4)),
    )
    return drawn.add_params(opened, collected)


def _results(base: alt.Chart, look: Look) -> alt.Chart:
    """The color of what was reached, below the outlines, with the one color bar."""
    scale = alt.Scale(
        domain=list(look.domain), clamp=True, scheme="viridis", reverse=not look.rises,
        type=look.scale,  # type: ignore[arg-type]  # one of Vega's own names
    )  # fmt: skip
    legend = alt.Legend(
        title=look.title, orient="top", direction="horizontal", gradientLength=alt.ExprRef(SPOTS),
        gradientThickness=9, titleOrient="left", titleLimit=500, offset=2,
        format="%" if look.share else ".3~g",
        values=fourfold(look.domain[1]) if look.scale == "symlog" else alt.Undefined,
    )  # fmt: skip
    return (
        base.transform_filter("isValid(datum.best)")
        .mark_rect(aria=False)
        .encode(color=alt.Color("best:Q", scale=scale, legend=legend))
    )


def _named(base: alt.Chart, look: Look) -> alt.Chart:
    """A dot in every cell that has a published name, in an ink that is seen on its color."""
    page = DARK if look.dark else LIGHT
    deep = alt.when("datum.deep == 'yes'").then(alt.value(WHITE))
    ink = deep.when("datum.deep == 'no'").then(alt.value(BLACK)).otherwise(alt.value(page))
    return (
        base.transform_filter("datum.dot")
        .mark_point(aria=False, cursor="pointer", size=9, filled=True, opacity=1)
        .encode(color=ink)
    )
