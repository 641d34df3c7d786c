"""The table of Runs: newest first, its selection follows the runs and not their positions."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import pandas as pd
import streamlit as st

from experiments_db import export, queries
from experiments_db.errors import StoreError
from experiments_db.store import Store
from pages import _ui
from pages._run_filters import Filters

CHECK_SECONDS = 4.0
MAX_PICKED = 10  # curves beyond that cannot be told apart
COLUMNS = (
    "starred", "status", "layer", "spec", "task", "accuracy", "error", "loss", "steps", "seconds",
    "seconds_to_target", "frame", "seed", "tags", "note", "started_at", "run_id",
)  # fmt: skip
ALWAYS = ("status", "accuracy", "loss")  # shown even when nothing is in them yet
FORMATS = ("csv", "parquet", "json")


def show(store: Store, filters: Filters) -> list[str]:
    """Shows the runs that pass the filters and returns the ids of the picked ones."""
    _put_address()
    try:
        version = queries.data_version(store)
        table = _rows(str(store.path), version, filters, store)
        numbers = queries.counts(store)
    except StoreError as error:
        _ui.failed("The store could not be read", str(error))
        return []
    _summary(numbers, table, filters)
    _news(store, version)
    if table.empty:
        _nothing(numbers)
        return []
    picked = _table(table, version)
    _exports(store, filters, picked)
    return picked


@st.cache_data(max_entries=20, show_spinner=False)
def _rows(path: str, version: str, filters: Filters, _store: Store) -> pd.DataFrame:
    """Returns the rows; ``path`` and ``version`` stand for what is in the store."""
    return queries.runs(_store, **filters.query())


def _put_address() -> None:
    """Picks the runs that the address names, once per session."""
    if "picked" not in st.session_state:
        st.session_state["picked"] = st.query_params.get_all("run")[:MAX_PICKED]


def _summary(numbers: pd.DataFrame, table: pd.DataFrame, filters: Filters) -> None:
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        total = int(numbers["runs"].sum()) if len(numbers) else 0
        shown = f"{_ui.count(len(table))} of {_ui.count(total)} runs, newest first"
        more = " (more match: raise *Rows at most*)" if len(table) == filters.limit else ""
        st.caption(shown + more, width="content")
        for status, count in zip(numbers["status"], numbers["runs"], strict=True):
            st.badge(
                f"{count} {status}",
                icon=_ui.STATUS_ICONS.get(status),
                color=_ui.STATUS_COLORS.get(status, "gray"),  # type: ignore[arg-type]
            )


@st.fragment(run_every=CHECK_SECONDS)
def _news(store: Store, version: str) -> None:
    """Says that the store has changed; the table itself stays still while people work in it."""
    try:
        changed = queries.data_version(store) != version
    except StoreError:
        return  # the next look may succeed; the table on show is still right
    if changed and st.button(
        "Something changed: refresh",
        icon=":material/refresh:",
        key="refresh",
        help="Runs were added, ended or edited since this table was read.",
    ):
        st.rerun()


def _nothing(numbers: pd.DataFrame) -> None:
    with st.container(border=True):
        if len(numbers):
            st.markdown("**No run passes these filters.** Loosen them in the sidebar.")
            return
        st.markdown("**No runs yet.** Train a layer in Explore, or start one from a terminal:")
        st.code("python batch.py run --layer deltanet --task mqar", language="bash")
        st.page_link("pages/explore.py", label="Go to Explore", icon=":material/explore:")


def _table(table: pd.DataFrame, version: str) -> list[str]:
    ids = table["run_id"].tolist()
    wanted = set(st.session_state["picked"])
    rows = [i for i, run_id in enumerate(ids) if run_id in wanted]
    event = st.dataframe(
        _readable(table),
        key=f"runs-{version}-{hash(tuple(ids))}",
        hide_index=True,
        height=min(420, 38 + 35 * len(table)),
        placeholder="",
        column_order=[n for n in COLUMNS if n in table and (n in ALWAYS or table[n].notna().any())],
        column_config=_column_config(),
        on_select="rerun",
        selection_mode="multi-row",
        selection_default={"selection": {"rows": rows}},
        lazy=False,
        alt="Runs, newest first",
    )
    picked = [ids[i] for i in event["selection"]["rows"] if i < len(ids)]
    st.session_state["picked"] = picked
    _put_in_address(picked)
    if len(picked) > MAX_PICKED:
        st.caption(f"Showing the first {MAX_PICKED} of {len(picked)} picked runs.")
    return picked[:MAX_PICKED] if picked else _by_keyboard(ids)


def _by_keyboard(ids: list[str]) -> list[str]:
    chosen = st.selectbox(
        "Look at a run",
        ["", *ids],
        key="look",
        format_func=lambda run_id: run_id or "– tick rows above, or choose one here –",
        help="The same as ticking its row, reachable by keyboard; type to search.",
    )
    return [chosen] if chosen in ids else []


def _put_in_address(picked: list[str]) -> None:
    if st.query_params.get_all("run") == picked:
        return
    if picked:
        st.query_params["run"] = picked
    else:
        st.query_params.pop("run", None)


def _readable(table: pd.DataFrame) -> pd.DataFrame:
    starred = table["starred"].map({True: "★", False: ""})
    return table.assign(starred=starred, layer=table["layer"].fillna("–"))


def _column_config() -> dict[str, object]:
    column = st.column_config
    return {
        "starred": column.TextColumn("★", width=30, help="Starred"),
        "status": column.TextColumn("Status", width=85),
        "layer": column.TextColumn("Layer", width=150),
        "spec": column.TextColumn("Spec", width="medium"),
        "task": column.TextColumn("Task", width=80),
        "accuracy": column.ProgressColumn(
            "Accuracy",
            format="percent",
            min_value=0.0,
            max_value=1.0,
            width=110,
            help="On the test set, at the queries.",
        ),
        "error": column.NumberColumn(
            "Error", format="%.4g", width=75, help="Mean squared error, where the task has one."
        ),
        "loss": column.NumberColumn("Loss", format="%.3f", width=65),
        "steps": column.NumberColumn("Steps", width=65),
        "seconds": column.NumberColumn("Time (s)", format="%.1f", width=75),
        "seconds_to_target": column.NumberColumn(
            "To target (s)", format="%.1f", width=90, help="Time to the target accuracy."
        ),
        "frame": column.TextColumn("Frame", width=85),
        "seed": column.NumberColumn("Seed", width=50),
        "tags": column.ListColumn("Tags", width="small"),
        "note": column.TextColumn("Note", width="small"),
        "started_at": column.DatetimeColumn("Started (UTC)", format="YYYY-MM-DD HH:mm", width=130),
        "run_id": column.TextColumn("Run", width="small"),
    }


# --- export ------------------------------------------------------------------------------------


def _exports(store: Store, filters: Filters, picked: list[str]) -> None:
    what = "picked" if picked else "listed"
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.caption(f"Export the {what} runs with all their columns", width="content")
        for suffix in FORMATS:
            st.download_button(
                suffix.upper(),
                data=partial(_exported, store, filters, tuple(picked), suffix),
                file_name=f"runs.{suffix}",
                key=f"export.{suffix}",
                icon=":material/download:",
                on_click="ignore",
                help=f"As a .{suffix} file.",
            )


def _exported(store: Store, filters: Filters, picked: tuple[str, ...], suffix: str) -> bytes:
    query = {"ids": list(picked), "archived": True} if picked else filters.query()
    table = queries.runs(store, flat=True, **query)
    with tempfile.TemporaryDirectory() as folder:
        return export.write(table, Path(folder) / f"runs.{suffix}").read_bytes()
