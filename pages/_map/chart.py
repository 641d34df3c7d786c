"""The heat map of the Map: a click opens a cell, shift and a click collect it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from pages._map import by_probes, collected, heat
from pages._map.heat import VERDICTS, Look
from pages._map.matrix import AXES_OF, Places, laid_out
from pages._map.space import TITLES, VERDICT, Shown
from pages._shared import units
from ttr_core.lab import Metric, metrics

MAPS, PULL, WHOLE = "map-maps", "map-pull", "map-whole"
LEAST, PULLED = 900, 1200
"""Pixels that the heat map has at least, and on a phone: there it is pulled sideways anyway, the
page is not, and the names of its columns need as much."""

SMALL = 0.27
"""So small all of it is on a phone at once, for an overview."""

STYLE = (
    f".st-key-{MAPS} {{ overflow-x: auto; -webkit-user-select: none; user-select: none }}"
    f".st-key-{MAPS} > div {{ min-width: {LEAST}px }}"
    f"@media (max-width: 640px) {{ .st-key-{MAPS} > div {{ min-width: {PULLED}px }}"
    f" .stMain:has(.{WHOLE}[open]) .st-key-{MAPS} {{ overflow-x: clip }}"
    f" .stMain:has(.{WHOLE}[open]) .st-key-{MAPS} svg.marks {{ zoom: {SMALL} }} }}"
    f".{WHOLE} {{ font-size: 0.875rem }}"
    f"@media (min-width: 641px) {{ .{WHOLE} {{ display: none }} }}"
    f".st-key-{PULL} {{ display: none }}"
    f"@media (max-width: {LEAST}px) {{ .st-key-{PULL} {{ display: flex }} }}"
)  # no text: shift and a click would select it

DRAWN = ["key", "spec", "verdict", "strength", "about", "dot", "collected"]
SHOWN = {"best_shown": "best", "mean_shown": "mean", "std_shown": "std"}
"""Column -> the column whose values it writes as people read them."""

ALWAYS = (("spec", "spec"), ("verdict", "verdict"), ("about", "in the literature, or why not"))
OF_RUNS = (
    ("mean_shown", "mean of that spec"), ("std_shown", "standard deviation"), ("n", "runs"),
    ("still_rising", "runs still rising"), ("rates", "learning rates tried"),
)  # fmt: skip
OF_PROBES = (("told", "probes"), ("more", "more of them"), ("age", "measured"))

TURN = 0.46  # so far into the colors of results both inks are as easy to read


def heed(shown: Shown) -> None:
    """Does what a click has asked for before anything is drawn, so that it is drawn only once."""
    chosen = st.session_state.get(_key(shown))
    if chosen:
        collected.clicked(shown.facet, _specs(chosen, "collect"))
        _open(chosen)
    else:  # it was not on the page until now
        collected.forget_clicks(shown.facet)


def show(table: pd.DataFrame, shown: Shown) -> None:
    """Shows the heat map."""
    layout, cells = laid_out(table, shown.facet, shown.hide)
    if not len(cells):
        st.info("Nothing is a layer here: show the hidden rows and columns above.")
        return
    look = _look(table, shown, layout)
    st.html(f"<style>{STYLE}</style>")
    with st.container(key=PULL):
        st.caption(":material/swipe: The map is wider than this screen: pull it sideways.")
        st.html(
            f"<details class='{WHOLE}'><summary>All of it at once, small</summary>"
            "Two fingers make it larger.</details>"
        )
    with st.container(key=MAPS):
        event: Any = st.vega_lite_chart(
            heat.filled(look, _drawn(cells, look, shown)),
            key=_key(shown),
            on_select="rerun",
            selection_mode=["open", "collect"],
            alt=f"{TITLES[look.rows]} by {TITLES[AXES_OF[shown.facet][1]]} for each "
            f"{TITLES[shown.facet].lower()}: {_said(cells)}",
        )
    _open(event)


def _look(table: pd.DataFrame, shown: Shown, layout: Places) -> Look:
    metric = metrics().get(shown.metric)
    domain, scale = ((0.0, 1.0), "linear") if metric is None else _span(table, metric, shown)
    head = (("reached" if shown.probes else "best_shown", f"{'' if shown.probes else 'best '}"
             f"{shown.metric.replace('_', ' ')}"),)  # fmt: skip
    rest = (*head, *(OF_PROBES if shown.probes else OF_RUNS))
    if metric is None:
        rest = OF_PROBES if shown.probes else ()
    return Look(
        AXES_OF[shown.facet][0],
        layout,
        shown.metric,
        "" if metric is None else _bar(metric),
        domain,
        scale,
        metric is None or metric.rises,
        metric is not None and metric.share,
        st.context.theme.type == "dark",
        (*ALWAYS, *rest),
    )


def _bar(metric: Metric) -> str:
    unit = "" if metric.share or not metric.unit else f", {metric.unit}"
    return f"{metric.title}{unit}"


def _span(table: pd.DataFrame, metric: Metric, shown: Shown) -> tuple[tuple[float, float], str]:
    if metric.bounds is not None:
        return metric.bounds, "linear"
    values = pd.to_numeric(table["best"], errors="coerce").dropna()
    if shown.probes:
        return by_probes.span(values)
    if metric.rises:
        domain = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    else:
        values = values[values > 0]
        domain = (float(values.min()), float(values.quantile(0.9))) if len(values) else (0.1, 1.0)
    return domain, units.color(metric)


def _drawn(cells: pd.DataFrame, look: Look, shown: Shown) -> pd.DataFrame:
    """Returns the rows of the heat map as they are sent to the browser."""
    named = (cells["standing"] + ": " + cells["known_as"]).str.removesuffix(": ")
    cells = cells.assign(
        strength=_strengths(cells, look.metric),
        about=cells["reason"].where(cells["reason"] != "", named).replace("", "–"),
        dot=cells["known_as"] != "",
        collected=cells["spec"].isin(collected.collected()),
        deep=_depths(cells, look),
    )
    cells = _written(cells, metrics().get(look.metric))
    results = [] if look.metric == VERDICT else ["best"]
    told = [name for name, _ in look.tips if name not in DRAWN]
    return cells[[look.rows, *DRAWN, "deep", *results, *told]].reset_index(drop=True)


def _written(cells: pd.DataFrame, metric: Metric | None) -> pd.DataFrame:
    """Adds the columns of `SHOWN`."""
    if metric is None:
        return cells
    return cells.assign(
        **{
            new: pd.to_numeric(cells[old]).map(metric.shown)
            for new, old in SHOWN.items()
            if old in cells
        }
    )


def _strengths(cells: pd.DataFrame, metric: str) -> pd.Series:
    """How strongly verdicts are drawn: fully on a map of verdicts, faintly beside results."""
    strong = (0.85, 0.85, 0.85, 0.25) if metric == VERDICT else (0.0, 0.3, 0.3, 0.15)
    strengths = cells["verdict"].map(dict(zip(VERDICTS, strong, strict=True)))
    # A tint above the color of a result would make another color of it.
    return strengths if metric == VERDICT else strengths.where(cells["best"].isna(), 0.0)


def _depths(cells: pd.DataFrame, look: Look) -> list[str]:
    """Says which cells have a dark color, *yes*, and which a bright one, *no*; else nothing."""
    if look.metric == VERDICT:
        return ["" if verdict == "undefined" else "no" for verdict in cells["verdict"]]
    low, high = (_place(end, look.scale) for end in look.domain)
    values = pd.to_numeric(cells["best"], errors="coerce").astype(float)
    parts = [(_place(value, look.scale) - low) / (high - low) for value in values]
    return [
        "" if math.isnan(part) else "yes" if (part if look.rises else 1 - part) < TURN else "no"
        for part in parts
    ]


def _place(value: float, scale: str) -> float:
    """Returns where a value stands on a scale, up to a linear map."""
    if scale == "log" and not math.isnan(value):
        return math.log(value) if value > 0 else -math.inf
    return math.copysign(math.log1p(abs(value)), value) if scale == "symlog" else value


def _key(shown: Shown) -> str:
    return f"map.{shown.facet}"


def _specs(event: Mapping[str, Any], way: str) -> Sequence[str]:
    """Returns the specs of the cells that the heat map says were chosen this way."""
    return [chosen["spec"] for chosen in event["selection"].get(way, [])]


def _open(event: Mapping[str, Any]) -> None:
    for spec in _specs(event, "open"):
        collected.open_cell(spec)


def _said(cells: pd.DataFrame) -> str:
    counts = cells["verdict"].value_counts()
    return ", ".join(f"{count} {name}" for name, count in counts.items())
