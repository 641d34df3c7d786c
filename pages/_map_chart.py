"""The heat maps of the Map: a click opens a cell, shift and a click collect it."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from pages import _map_plan
from pages._map_cells import TITLES, VERDICT, Shown
from ttr_core.spec import AXES

VERDICTS = {"layer": "#56B4E9", "slow": "#E69F00", "undefined": "#8D99A6"}
CELL_HEIGHT = 25  # pixels
ROOM = 140  # letters of names that fit beside each other in a row


def show(table: pd.DataFrame, shown: Shown) -> None:
    """Shows a heat map per choice of the facet, one below the other."""
    rows, columns = (axis for axis in AXES if axis != shown.facet)
    order = {axis: list(dict.fromkeys(table[axis])) for axis in AXES}
    domain = _domain(table, shown.metric)
    drawn = []
    for choice in order[shown.facet]:
        cells = table[table[shown.facet] == choice]
        cells = _without_empty(cells, rows, columns) if shown.hide else cells
        if len(cells):
            drawn.append((choice, cells))
    for choice, cells in drawn:
        st.subheader(choice, anchor=False)
        _heat_map(cells, choice, rows, columns, order, shown, domain)
    if not drawn:
        st.info("Nothing is a layer here: show the hidden rows and columns in the sidebar.")


def _without_empty(cells: pd.DataFrame, rows: str, columns: str) -> pd.DataFrame:
    for axis in (rows, columns):
        some = cells[cells["verdict"] != "undefined"][axis]
        cells = cells[cells[axis].isin(set(some))]
    return cells


def _domain(table: pd.DataFrame, metric: str) -> tuple[float, float]:
    if metric == "accuracy":
        return 0.0, 1.0
    values = pd.to_numeric(table["best"], errors="coerce").dropna()
    values = values[values > 0]
    return (float(values.min()), float(values.quantile(0.9))) if len(values) else (0.1, 1.0)


def _heat_map(
    cells: pd.DataFrame,
    choice: str,
    rows: str,
    columns: str,
    order: dict[str, list[str]],
    shown: Shown,
    domain: tuple[float, float],
) -> None:
    chart = _chart(cells, rows, columns, order, shown, domain)
    event: Any = st.altair_chart(
        chart,
        key=f"map.{shown.facet}.{choice}",
        on_select="rerun",
        selection_mode=["open", "collect"],
        alt=f"{TITLES[rows]} by {TITLES[columns]} for {choice}: {_said(cells)}",
    )
    chosen = event["selection"]
    _map_plan.collect(f"{shown.facet}.{choice}", [c["spec"] for c in chosen.get("collect", [])])
    if chosen.get("open"):
        _map_plan.open_cell(chosen["open"][0]["spec"])


def _said(cells: pd.DataFrame) -> str:
    counts = cells["verdict"].value_counts()
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _chart(
    cells: pd.DataFrame,
    rows: str,
    columns: str,
    order: dict[str, list[str]],
    shown: Shown,
    domain: tuple[float, float],
) -> alt.LayerChart:
    data = cells.assign(
        strength=cells["verdict"].map(_strengths(shown)),
        label=[_label(row, ROOM // cells[columns].nunique()) for row in cells.to_dict("records")],
        about=cells["reason"].where(cells["reason"] != "", cells["published"]),
    )
    base = alt.Chart(data).encode(
        x=alt.X(f"{columns}:N", sort=order[columns], axis=_axis(130, angle=-35)),
        y=alt.Y(f"{rows}:N", sort=order[rows], axis=_axis(150)),
        tooltip=_tooltip(shown),
    )
    layers = [_judged(base)]
    if shown.metric != VERDICT:
        layers.append(_results(base, shown, domain))
    text = base.mark_text(fontSize=10, cursor="pointer").encode(
        text="label:N", color=_ink(shown, domain)
    )
    drawn = alt.layer(*layers, text).resolve_scale(color="independent")
    return drawn.properties(height=alt.Step(CELL_HEIGHT))


def _axis(limit: int, angle: int = 0) -> alt.Axis:
    return alt.Axis(
        labelLimit=limit,
        labelAngle=angle,
        labelOverlap=False,
        ticks=False,
        domain=False,
        title=None,
    )


def _judged(base: alt.Chart) -> alt.Chart:
    """Every cell by its verdict, with the two ways to choose it."""
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
        stroke=alt.condition(collected, alt.value("#D55E00"), alt.value("#9AA5B1")),
        strokeWidth=alt.condition(collected, alt.value(3), alt.value(0.6)),
    )
    return drawn.add_params(opened, collected)


def _strengths(shown: Shown) -> dict[str, float]:
    """How strongly verdicts are drawn: fully on a map of verdicts, faintly under results."""
    strong = (0.75, 0.75, 0.25) if shown.metric == VERDICT else (0.0, 0.3, 0.25)
    return dict(zip(VERDICTS, strong, strict=True))


def _results(base: alt.Chart, shown: Shown, domain: tuple[float, float]) -> alt.Chart:
    error = shown.metric == "error"
    scale = alt.Scale(
        domain=list(domain), clamp=True, scheme="viridis", reverse=error,
        type="log" if error else "linear",
    )  # fmt: skip
    return (
        base.transform_filter("isValid(datum.best)")
        .mark_rect(cursor="pointer")
        .encode(color=alt.Color("best:Q", scale=scale, legend=None))
    )


def _ink(shown: Shown, domain: tuple[float, float]) -> Any:
    """Text that can be read on whatever color lies below it."""
    page = "#E6EBF0" if st.context.theme.type == "dark" else "#1B2530"
    if shown.metric == VERDICT:
        light = alt.when("datum.verdict == 'undefined'").then(alt.value(page))
        return light.otherwise(alt.value("#12171D"))
    low, high = domain
    deep = f"datum.best < {low + 0.6 * (high - low)}"
    if shown.metric == "error":
        deep = f"datum.best > {(low * high) ** 0.5}"
    nothing = alt.when("!isValid(datum.best)").then(alt.value(page))
    return nothing.when(deep).then(alt.value("#FFFFFF")).otherwise(alt.value("#12171D"))


def _label(row: dict[str, Any], length: int) -> str:
    """What stands in a cell: its published name in so many letters, or what it lacks."""
    if row["verdict"] == "undefined":
        return "×"
    names = [name for name in str(row["published"]).split(", ") if name]
    if not names:
        return "slow" if row["verdict"] == "slow" else ("·" if not row["n"] else "")
    more = f" +{len(names) - 1}" if len(names) > 1 else ""
    room = max(3, length - len(more))
    name = names[0] if len(names[0]) <= room else names[0][: room - 1] + "…"
    return name + more


def _tooltip(shown: Shown) -> list[alt.Tooltip]:
    tips = [
        alt.Tooltip("spec:N"),
        alt.Tooltip("verdict:N"),
        alt.Tooltip("about:N", title="published, or why not"),
    ]
    if shown.metric == VERDICT:
        return tips
    return [
        *tips,
        alt.Tooltip("best:Q", title=f"best {shown.metric}", format=".3g"),
        alt.Tooltip("mean:Q", title="mean of that spec", format=".3g"),
        alt.Tooltip("std:Q", title="standard deviation", format=".2g"),
        alt.Tooltip("n:Q", title="runs"),
        alt.Tooltip("rates:Q", title="learning rates tried"),
    ]
