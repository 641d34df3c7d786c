"""The squares of a sweep: a row for each layer, a square for each run, colored by how it stands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from experiments_db.run.jobs import Job
from experiments_db.sweeps import Ended, Planned
from ttr_core.lab import Metric

ROW, SQUARE, WIDE = 30, 44, 900
NAMES, BELOW = 210, 130
"""Pixels: of a row, of a square at most, of a row of squares, of what stands beside and below."""

LEGIBLE = 28
"""Pixels of a square that has room for its number."""

OPEN, QUEUED, RUNNING, DONE = "to run", "elsewhere", "running", "done"
COLORS = {
    QUEUED: "#B9A7D9",
    RUNNING: "#56B4E9",
    "failed": "#D55E00",
    "cancelled": "#8A94A0",
    "diverged": "#E69F00",
}
"""How a run stands that has no value -> its color; that of one to run depends on the theme."""


def how_they_stand(
    runs: Sequence[Planned],
    held: Mapping[str, str],
    results: Mapping[str, Mapping[str, Any]],
    running: Mapping[str, Job],
    ended: Mapping[str, Ended],
) -> pd.DataFrame:
    """Returns how each run of a sweep stands.

    Args:
        runs: of the plan.
        held: what the store has of them: fingerprint -> complete or running.
        results: fingerprint -> the stored result.
        running: fingerprint -> what runs here.
        ended: fingerprint -> what has ended here.

    Returns:
        Columns layer, place (task, settings and seed), state, value (of the task's main metric),
        short (the value in two figures), said (as people read it), note.
    """
    rows = []
    for run in runs:
        key, metric = run.config_hash, run.experiment.task.main()
        value = (results.get(key, {}).get("metrics") or {}).get(metric.name)
        state, note = _state(key, held, results, running, ended)
        words = [part for part in (run.task, run.setting) if part]
        rows.append(
            {
                "layer": run.layer,
                "place": " · ".join([*words, f"seed {run.experiment.seed}"]),
                "state": state,
                "value": value if state == DONE else None,
                "short": _short(metric, value),
                "said": "–" if value is None else metric.shown(value),
                "note": note,
            }
        )
    return pd.DataFrame(rows)


def _short(metric: Metric, value: float | None) -> str:
    if value is None:
        return ""
    return f"{100 * value:.0f}" if metric.share else f"{value:.2g}"


def _state(
    key: str,
    held: Mapping[str, str],
    results: Mapping[str, Mapping[str, Any]],
    running: Mapping[str, Job],
    ended: Mapping[str, Ended],
) -> tuple[str, str]:
    """Returns how a run stands, and what there is to say of it."""
    if key in running:
        now = running[key].snapshot()
        share = f"{now.step} of {now.steps} steps" if now.steps else "begins"
        return RUNNING, f"{share}  {now.measured}"
    if key in results:
        status = str(results[key]["status"])
        return (DONE, "") if status == "finished" else (status, "")
    if key in ended:
        return ended[key].status, ended[key].message.splitlines()[0] if ended[key].message else ""
    return (QUEUED, "under another driver") if held.get(key) == "running" else (OPEN, "")


def width(data: pd.DataFrame) -> int:
    """Returns the pixels that the squares and the names beside them take."""
    return round(NAMES + _side(data) * data["place"].nunique())


def _side(data: pd.DataFrame) -> float:
    return min(SQUARE, WIDE / data["place"].nunique())


def drawn_squares(data: pd.DataFrame, metric: Metric, dark: bool) -> alt.LayerChart:
    """Draws the squares: what is done by its value, all else by how it stands.

    Args:
        data: as `how_they_stand` returns it.
        metric: what the value is.
        dark: whether the page is.
    """
    layers, places = list(dict.fromkeys(data["layer"])), _in_order(data)
    name = metric.name.replace("_", " ")
    base = _placed(data, layers, places, name)
    low, high = metric.bounds or (None, None)
    domain = alt.Undefined if low is None else [low, high]
    scale = alt.Scale(domain=domain, scheme="viridis", reverse=not metric.rises)
    colors = {**COLORS, OPEN: "#39424D" if dark else "#D5DAE0"}
    line = "#0E1117" if dark else "white"
    there = [state for state in (OPEN, *COLORS) if (data["state"] == state).any()]
    state = alt.Color(
        "state:N",
        scale=alt.Scale(domain=there, range=[colors[one] for one in there]),
        legend=alt.Legend(title=None, orient="bottom", columns=3) if there else None,
    )
    open_ones = base.transform_filter(f"datum.state != '{DONE}'")
    done = base.transform_filter(f"datum.state == '{DONE}'")
    drawn = [
        open_ones.mark_rect(stroke=line).encode(color=state),
        done.mark_rect(stroke=line).encode(color=alt.Color("value:Q", scale=scale, legend=None)),
    ]
    if _side(data) > LEGIBLE:
        drawn.append(
            done.mark_text(fontSize=11).encode(text=alt.Text("short:N"), color=_ink(metric))
        )
    height = ROW * len(layers) + BELOW
    return alt.LayerChart(layer=drawn).resolve_scale(color="independent").properties(height=height)


def _placed(
    data: pd.DataFrame, layers: Sequence[str], places: Sequence[str], name: str
) -> alt.Chart:
    """Returns the rows and columns of the squares, and what is said of each."""
    return alt.Chart(data).encode(
        x=alt.X(
            "place:N",
            sort=list(places),
            title=None,
            axis=alt.Axis(
                labelAngle=-40 if len(places) > 1 else 0, labelLimit=150,
                labels=_side(data) > 20, ticks=False, labelFlush=False,
            ),
        ),
        y=alt.Y(
            "layer:N", sort=list(layers), title=None,
            axis=alt.Axis(labelLimit=190, labelOverlap=False, labelFlush=False),
        ),
        tooltip=[
            alt.Tooltip("layer:N"), alt.Tooltip("place:N", title="run"), alt.Tooltip("state:N"),
            alt.Tooltip("said:N", title=name), alt.Tooltip("note:N"),
        ],
    )  # fmt: skip


def _ink(metric: Metric) -> Any:
    """Returns the color of a number on its square: black on the light end of the scale."""
    if metric.bounds is None:
        return alt.value("white")
    low, high = metric.bounds
    test = f"datum.value {'>' if metric.rises else '<'} {low + 0.6 * (high - low)}"
    return alt.condition(test, alt.value("black"), alt.value("white"))


def _in_order(data: pd.DataFrame) -> list[str]:
    """Returns the places setting by setting, of each the seeds: a plan goes seed by seed."""
    of = data["place"].str.rpartition(" · ")[0]
    rank = {setting: place for place, setting in enumerate(dict.fromkeys(of))}
    return list(
        dict.fromkeys(data.assign(_rank=of.map(rank)).sort_values("_rank", kind="stable")["place"])
    )
