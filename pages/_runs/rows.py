"""The table of Runs: a row per run, or per configuration over its seeds."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from experiments_db.installation import command
from experiments_db.read import grouping, queries
from experiments_db.store import Store
from pages._runs import columns, picks
from pages._runs.filters import ORDERS, WRONG, Filters
from pages._shared import ui

CHECK_SECONDS = 4.0
ROW_HEIGHT, MOST_HEIGHT = 35, 420  # pixels


def show(store: Store, filters: Filters) -> int | None:
    """Shows the runs that pass the filters; returns how many do, or None if none can be shown."""
    try:
        version = queries.data_version(store)
        table, numbers = _read(str(store.path), version, filters, store)
    except WRONG as error:
        ui.failed("These filters cannot be used", str(error))
        return None
    total = int(numbers["runs"].sum()) if len(numbers) else 0
    _summary(numbers, total, table, filters)
    _news(store, version)
    if table.empty:
        _nothing(store, total)
        return None if total == 0 else total
    _table(table, filters, version)
    return total


def first_ids(store: Store, filters: Filters, count: int) -> list[str]:
    """Returns a run of each of the first rows; none where the table says what is wrong."""
    try:
        table, _ = _read(str(store.path), queries.data_version(store), filters, store)
    except WRONG:
        return []
    if "run_id" in table:
        return list(table["run_id"][:count])
    return [ids[0] for ids in table["run_ids"][:count]]


@st.cache_data(max_entries=20, show_spinner=False)
def _read(
    path: str, version: str, filters: Filters, _store: Store
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Returns rows and counts; ``path`` and ``version`` stand for what is in the store."""
    conditions = filters.conditions(_store)
    measure, descending = ORDERS[filters.order]
    numbers = queries.counts(_store, conditions)
    if filters.view == "configurations":
        order = measure if measure in grouping.sorted_by() else f"{measure}_mean"
        table = grouping.grouped(_store, conditions, order, descending, filters.limit)
        return queries.flattened(table), numbers
    asked = columns.names_to_read()
    return queries.listed(_store, conditions, asked, measure, descending, filters.limit), numbers


def _summary(numbers: pd.DataFrame, total: int, table: pd.DataFrame, filters: Filters) -> None:
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.caption(_counted(total, table, filters), width="content")
        for status, count in zip(numbers["status"], numbers["runs"], strict=True):
            st.badge(
                f"{ui.count(count)} {status}",
                icon=ui.STATUS_ICONS.get(status),
                color=ui.STATUS_COLORS.get(status, "gray"),  # type: ignore[arg-type]
            )


def _counted(total: int, table: pd.DataFrame, filters: Filters) -> str:
    first = f"{filters.order} first"
    more = " (more match: raise *Rows at most*)" if len(table) == filters.limit else ""
    if filters.view == "configurations":
        runs = int(table["n"].sum())
        return (
            f"{ui.count_of(len(table), 'configuration')} with "
            f"{ui.count_of(runs, 'complete run')}, "
            f"of {ui.count_of(total, 'run that matches', 'runs that match')}, {first}{more}"
        )
    if len(table) == total:
        return f"{ui.count_of(total, 'run')}, {first}"
    matching = ui.count_of(total, "run that matches", "runs that match")
    return f"{ui.count(len(table))} of {matching}, {first}{more}"


@st.fragment(run_every=CHECK_SECONDS)
def _news(store: Store, version: str) -> None:
    """Says that the store has changed; the table itself stays still while people work in it."""
    if queries.data_version(store) != version and st.button(
        "Something changed: refresh",
        icon=":material/refresh:",
        key="refresh",
        help="Runs were added, ended or edited since this table was read.",
    ):
        st.rerun()


def _nothing(store: Store, total: int) -> None:
    with st.container(border=True):
        if total:
            st.markdown("**No configuration has a complete run yet.** Look at the runs instead.")
            return
        if len(queries.ids(store)):
            st.markdown("**No run passes these filters.** Loosen them in the sidebar.")
            return
        st.markdown("**No runs yet.** Train a layer in Explore, or start one from a terminal:")
        st.code(command("run", "--layer", "deltanet", "--task", "mqar"), language="bash")
        st.page_link("pages/explore.py", label="Go to Explore", icon=":material/explore:")


def _table(table: pd.DataFrame, filters: Filters, version: str) -> None:
    members = [[i] for i in table["run_id"]] if "run_id" in table else table["run_ids"].tolist()
    before = picks.rows_of(members)
    of_runs = filters.view == "runs"
    names = columns.chosen(table)
    event = st.dataframe(
        columns.readable(table)[names],
        key=f"runs-{version}-{picks.turn()}-{hash((filters.view, *map(tuple, members)))}",
        hide_index=True,
        height=min(MOST_HEIGHT, ROW_HEIGHT * (1 + len(table)) + 3),
        placeholder="",
        column_config=columns.config(table),
        on_select="rerun",
        selection_mode="multi-row",
        selection_default={"selection": {"rows": before}},
        lazy=False,
        alt=f"{'Runs' if of_runs else 'Configurations'}, {filters.order} first",
    )
    picks.follow(members, before, event["selection"]["rows"])
    _by_keyboard(table, members, of_runs)


def _by_keyboard(table: pd.DataFrame, members: list[list[str]], of_runs: bool) -> None:
    """Offers every row by name, for those who do not use a mouse."""
    names = table["layer"].fillna(table["spec"]).tolist()
    named = {ids[0]: (name, ids) for name, ids in zip(names, members, strict=True)}

    def label(first: str) -> str:
        name, ids = named.get(first, (first, []))
        more = "" if of_runs else f" and {len(ids) - 1} more"
        return f"{name} · {first}{more}" if ids else first

    first = st.selectbox(
        "Look at",
        list(named),
        index=None,
        key="look",
        format_func=label,
        placeholder="tick rows above, or choose one here",
        help="The same as ticking its row alone, reachable by keyboard; type to search.",
    )
    if first in named and st.session_state.get("looked") != first:
        st.session_state["looked"] = first
        picks.pick(named[first][1])
        st.rerun()
