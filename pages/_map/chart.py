"""The heat maps of the Map: a click opens a cell, shift and a click collect it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any, Literal

import pandas as pd
import streamlit as st

from pages._map import collected, heat
from pages._map.heat import VERDICTS, Look
from pages._map.space import TITLES, VERDICT, Shown
from ttr_core import AXES
from ttr_core.lab import Metric, metrics

MAPS = "map-maps"
NO_TEXT = "-webkit-user-select: none; user-select: none"  # or shift and a click select text
FILLING, CELL_WIDTH = 6, 130
"""So many columns fill the page; fewer have this many pixels each, and maps stand in a row."""

DRAWN = ["spec", "verdict", "strength", "about", "label", "more", "collected"]
SHOWN = {"best_shown": "best", "mean_shown": "mean", "std_shown": "std"}
"""Column -> the column whose values it writes as people read them."""

RESULTS = ["best", *SHOWN, "n", "still_rising", "rates"]


def heed(table: pd.DataFrame, shown: Shown) -> None:
    """Does what a click has asked for before anything is drawn, so that it is drawn only once."""
    for choice in table[shown.facet].unique():
        chosen = st.session_state.get(_key(shown, choice))
        if chosen:
            collected.clicked(_name(shown, choice), _specs(chosen, "collect"))
            _open(chosen)
        else:  # it was not on the page until now
            collected.forget_clicks(_name(shown, choice))


def show(table: pd.DataFrame, shown: Shown) -> None:
    """Shows a heat map per choice of the facet, one below the other."""
    look = _look(table, shown)
    drawn = list(_cells(table, shown, look))
    st.html(f"<style>.st-key-{MAPS} {{{NO_TEXT}}}</style>")
    with st.container(key=MAPS):
        for small, some in groupby(drawn, lambda one: _across(one[1], look) < FILLING):
            with st.container(horizontal=small, vertical_alignment="top"):
                for choice, cells in some:
                    _titled(cells, choice, look, shown)
    if not drawn:
        st.info("Nothing is a layer here: show the hidden rows and columns in the sidebar.")


def _look(table: pd.DataFrame, shown: Shown) -> Look:
    rows, columns = (axis for axis in AXES if axis != shown.facet)
    return Look(
        rows,
        columns,
        tuple(table[rows].unique()),
        tuple(table[columns].unique()),
        shown.metric,
        _domain(table, shown.metric),
        st.context.theme.type == "dark",
    )


def _cells(table: pd.DataFrame, shown: Shown, look: Look) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yields each choice that has something to show, with its cells as they are drawn."""
    named = (table["standing"] + ": " + table["known_as"]).str.removesuffix(": ")
    about = table["reason"].where(table["reason"] != "", named).replace("", "–")
    mine = table["spec"].isin(collected.collected())
    table = table.assign(strength=_strengths(table, shown.metric), about=about, collected=mine)
    table = _written(table.join(_labels(table, shown.metric)), metrics().get(shown.metric))
    for choice, cells in table.groupby(shown.facet, sort=False):
        cells = _without_empty(cells, look.rows, look.columns) if shown.hide else cells
        if len(cells):
            yield str(choice), cells


def _written(table: pd.DataFrame, metric: Metric | None) -> pd.DataFrame:
    """Adds the columns of `SHOWN`."""
    if metric is None:
        return table
    return table.assign(
        **{new: pd.to_numeric(table[old]).map(metric.shown) for new, old in SHOWN.items()}
    )


def _without_empty(cells: pd.DataFrame, rows: str, columns: str) -> pd.DataFrame:
    for axis in (rows, columns):
        some = cells[cells["verdict"] != "undefined"][axis]
        cells = cells[cells[axis].isin(set(some))]
    return cells


def _domain(table: pd.DataFrame, name: str) -> tuple[float, float]:
    metric = metrics().get(name)
    if metric is None or metric.bounds is not None:
        return (0.0, 1.0) if metric is None or metric.bounds is None else metric.bounds
    values = pd.to_numeric(table["best"], errors="coerce").dropna()
    if metric.rises:
        return (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    values = values[values > 0]
    return (float(values.min()), float(values.quantile(0.9))) if len(values) else (0.1, 1.0)


def _strengths(table: pd.DataFrame, metric: str) -> pd.Series:
    """How strongly verdicts are drawn: fully on a map of verdicts, faintly beside results."""
    strong = (0.85, 0.85, 0.25) if metric == VERDICT else (0.0, 0.3, 0.25)
    strengths = table["verdict"].map(dict(zip(VERDICTS, strong, strict=True)))
    # A tint above the color of a result would make another color of it.
    return strengths if metric == VERDICT else strengths.where(table["best"].isna(), 0.0)


def _titled(cells: pd.DataFrame, choice: str, look: Look, shown: Shown) -> None:
    with st.container(width=_width(_across(cells, look)), gap="xsmall"):
        st.subheader(choice, anchor=False)
        _heat_map(cells, choice, look, shown)


def _heat_map(cells: pd.DataFrame, choice: str, look: Look, shown: Shown) -> None:
    results = [] if shown.metric == VERDICT else RESULTS
    data = cells[[look.rows, look.columns, *DRAWN, *results]].reset_index(drop=True)
    event: Any = st.vega_lite_chart(
        heat.filled(look, data),
        key=_key(shown, choice),
        on_select="rerun",
        selection_mode=["open", "collect"],
        alt=f"{TITLES[look.rows]} by {TITLES[look.columns]} for {choice}: {_said(cells)}",
    )
    _open(event)


def _across(cells: pd.DataFrame, look: Look) -> int:
    return int(cells[look.columns].nunique())


def _width(across: int) -> Literal["stretch"] | int:
    return "stretch" if across >= FILLING else heat.NAMES + CELL_WIDTH * across


def _name(shown: Shown, choice: str) -> str:
    return f"{shown.facet}.{choice}"


def _key(shown: Shown, choice: str) -> str:
    return f"map.{_name(shown, choice)}"


def _specs(event: Mapping[str, Any], way: str) -> list[str]:
    """Returns the specs of the cells that a heat map says were chosen this way."""
    return [chosen["spec"] for chosen in event["selection"].get(way, [])]


def _open(event: Mapping[str, Any]) -> None:
    for spec in _specs(event, "open"):
        collected.open_cell(spec)


def _said(cells: pd.DataFrame) -> str:
    counts = cells["verdict"].value_counts()
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _labels(cells: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Returns what stands in each cell, as columns ``label`` and ``more``."""
    columns = (cells["verdict"], cells["known_as"], cells["n"], cells["best"])
    texts = [_label(*cell, metric) for cell in zip(*columns, strict=True)]
    return pd.DataFrame(texts, columns=["label", "more"], index=cells.index, dtype="str")


def _label(verdict: str, known_as: str, runs: float, best: float, metric: str) -> tuple[str, str]:
    """What stands in a cell and how many names more it has.

    It is what a cell is known as, which may be cut to fit, or what the runs reached there, or what
    it lacks.
    """
    if verdict == "undefined":
        return "×", ""
    names = known_as.split(", ") if known_as else []
    if names:
        return names[0], f" +{len(names) - 1}" if names[1:] else ""
    if not runs:
        return ("slow" if verdict == "slow" else "·"), ""
    return ("" if metric == VERDICT else metrics()[metric].shown(best)), ""
