"""What the cells reach against their numbers of state, and which of them nothing beats."""

from __future__ import annotations

import altair as alt
import pandas as pd
import streamlit as st

from experiments_db.read.analyzing import front
from pages._map import by_probes
from pages._map.space import Shown
from ttr_core.lab import metrics

HEIGHT, GRAY, BLUE, BRIGHT = 200, "#8A94A0", "#0072B2", "#56B4E9"
STATE = "numbers of state, 16 entries in a key"
DRAWN = ["spec", "state_size", "mean", "reached", "name"]


def show_front(table: pd.DataFrame, shown: Shown) -> None:
    """Shows the front of the metric that colors the Map, where there is one."""
    metric = metrics().get(shown.metric)
    if not shown.probes or metric is None:
        return
    known = table[table["best"].notna() & (table["state_size"] > 0)].rename(
        columns={"best": "mean"}
    )
    if known.empty:
        return
    names = known["known_as"].str.split(", ").str[0].str.removeprefix("= ")
    known = known.assign(name=names.where(names != "", known["spec"]))
    best = front(known.sort_values("known_as", key=lambda x: x == ""), "state_size", metric)
    x = alt.X("state_size:Q", title=STATE, scale=alt.Scale(type="log", nice=False))
    y = _reached(known["mean"], shown.metric.replace("_", " "))
    tips = [
        alt.Tooltip("spec:N"), alt.Tooltip("name:N", title="in the literature"),
        alt.Tooltip("reached:N", title=shown.metric.replace("_", " ")),
        alt.Tooltip("state_size:Q", title="numbers of state"),
    ]  # fmt: skip
    blue = BRIGHT if st.context.theme.type == "dark" else BLUE
    points = alt.Chart(known[DRAWN]).mark_point(filled=True, size=28, opacity=0.45, color=blue)
    line = alt.Chart(best[DRAWN]).mark_line(
        interpolate="step-after", color=GRAY, strokeDash=[4, 3], point={"color": "#D55E00"}
    )
    layers = [points.encode(x=x, y=y, tooltip=tips), line.encode(x=x, y=y, tooltip=tips)]
    drawn = alt.LayerChart(layer=layers).properties(height=HEIGHT)
    st.altair_chart(drawn, alt=f"{shown.metric.replace('_', ' ')} against {STATE}")
    found = "; ".join(
        f"{row.name} {metric.number(row.mean)} with {row.state_size:,.0f}"
        for row in best[["name", "mean", "state_size"]].itertuples(index=False)
    )
    st.caption(
        "Blue: a cell; the stronger the color, the more of them lie there. Dashed, orange: what "
        f"nothing with as small a state beats: {found}."
    )


def _reached(values: pd.Series, title: str) -> alt.Y:
    """Returns the axis of what cells reach; one that is bent says so, and has fourfold marks."""
    kind = by_probes.span(values)[1]
    bent = kind == "symlog"
    marks = by_probes.fourfold(float(values.max())) if bent else alt.Undefined
    return alt.Y(
        "mean:Q",
        title=[title, "logarithmic above 1"] if bent else title,  # two lines: it is a low picture
        scale=alt.Scale(type=kind, zero=False),  # type: ignore[arg-type]
        axis=alt.Axis(values=marks),
    )
