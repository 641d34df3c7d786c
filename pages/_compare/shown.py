"""The picture of a comparison: numbers with their errors, what differs, curves with bands."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from experiments_db.errors import StoreError
from experiments_db.read import comparing
from experiments_db.read.comparing import Side
from experiments_db.store import Store
from pages._compare.chosen import BASELINE
from pages._shared import address, compared, mean_lines, saved, ui
from pages._shared.mean_lines import Drawn
from ttr_core.lab import Metric


def show(store: Store, asked: Drawn) -> None:
    """Shows what is asked for, or how to ask."""
    if not asked.ids:
        _nothing()
        return
    try:
        sides, missing, data = compared.sides_and_curves(
            store, asked.ids, asked.over_seeds, asked.smoothing
        )
    except StoreError as error:
        ui.failed("The store could not be read", str(error))
        return
    for run_id in missing:
        st.text(f"The store has no run {run_id[:80]} any more; the others are shown.")
    if not sides:
        _nothing()
        return
    for sentence in comparing.unlike(sides):
        st.text(sentence)
    _curves(data, sides, asked)
    _numbers(sides)
    _settings(sides)


def _nothing() -> None:
    with st.container(border=True):
        st.markdown("**Nothing to compare yet.** Tick runs in Runs, then *Compare these*.")
        st.page_link("pages/runs.py", label="Go to Runs", icon=":material/table_rows:")


def _numbers(sides: Sequence[Side]) -> None:
    metric = comparing.judging_metric(sides)
    if metric is None:
        st.text("They are of different tasks, so no number compares them.")
        return
    labels = {side.asked: side.label for side in sides}
    if address.value(BASELINE) not in labels:
        address.put(BASELINE, next(iter(labels)))
    baseline = st.selectbox(
        "Baseline", list(labels), format_func=labels.__getitem__, key=BASELINE, width=320
    )
    table = comparing.summary(sides, metric, labels[baseline])
    title = f"{metric.title}, mean and standard error over n runs"
    st.dataframe(_written(table, metric), alt=title, placeholder="–")
    saved.downloads(table.reset_index(names="side"), "comparison", "compare")


def _written(table: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """Returns the numbers as people read them, errors in the unit of what they are errors of."""

    def both(said: str, error: float) -> str:
        return said if said == "–" or pd.isna(error) else f"{said} ± {metric.shown(error)}"

    return pd.DataFrame(
        {
            "n": [n if n == runs else f"{n} of {runs}" for n, runs in table[["n", "runs"]].values],
            metric.title: list(map(both, map(metric.shown, table["mean"]), table["se"])),
            "To the baseline": [
                both(_apart(difference, metric), error)
                for difference, error in table[["difference", "difference_se"]].values
            ],
        },
        index=table.index,
    ).astype(str)


def _apart(difference: float, metric: Metric) -> str:
    """Returns how far two values are apart, shares in points, not in percent of one of them."""
    if pd.isna(difference):
        return "–"
    if metric.share:
        return f"{100 * difference:+.2f} points"
    return f"{difference:+.4g} {metric.unit}".rstrip()


def _curves(data: pd.DataFrame, sides: Sequence[Side], asked: Drawn) -> None:
    if data.empty:
        st.caption("No curves are stored for these.")
        return
    names = list(dict.fromkeys(data["name"]))
    labels = [side.label for side in sides]
    with st.grid(min(2, len(names))):
        for name in names:
            st.altair_chart(
                mean_lines.compared_chart(data[data["name"] == name], name, labels, asked),
                key=f"compare.{name}",
                alt=f"{name} of {', '.join(labels)}, mean and one standard error over runs",
            )
    saved.downloads(data, "curves", "compare")


def _settings(sides: Sequence[Side]) -> None:
    table = comparing.differing(sides)
    st.subheader("What differs", anchor=False)
    if table.empty:
        st.caption("Nothing but the seed.")
    else:
        st.dataframe(table, alt="Settings that are not the same in all of them")
