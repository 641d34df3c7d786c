"""A composed sweep on its way: what is done already, how long the rest takes, start, hold, stop.

Which sweep a server works off is asked by the text of its plan, so that every browser that opens
the same address watches the same one, and a reload loses nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import streamlit as st

from experiments_db.errors import StoreError, how_many_of
from experiments_db.installation import command
from experiments_db.read import queries
from experiments_db.store import Store
from experiments_db.sweeps import (
    Preview,
    Served,
    Work,
    expanded,
    held,
    in_words,
    of_text,
    preview,
    report,
    results,
    times_of,
    with_followers,
)  # fmt: skip
from pages._shared import controls, saved, ui
from pages._sweep import compose, pausing, squares
from pages._sweep.compose import Composed
from ttr_core import RequestError

MOST = 500
"""Runs of a plan that the page counts, draws and starts."""

PLAN = "plan.yaml"
DRAWN_SECONDS = 1.5
KEPT = 20
"""Sweeps that are over and still remembered."""


def show(store: Store, one: Composed) -> None:
    """Shows a composed sweep, and what there is of it."""
    if one.size > MOST:
        compose.too_many(one.size, MOST)
        as_text(one)
        return
    try:
        with ui.computing():
            work = _work(one.text)
    except RequestError as error:
        controls.refused(error)
        as_text(one)
        return
    served = _known().get(_name(one))
    active = served is not None and not served.over
    st.fragment(_progress, run_every=DRAWN_SECONDS if active else None)(store, one, work, active)
    as_text(one)


def as_text(one: Composed) -> None:
    """Shows the plan and the command that runs it."""
    with st.expander("The same as a plan and a command", icon=":material/terminal:"):
        st.code(one.text, language="yaml")
        st.code(command("sweep", PLAN), language="bash")
        st.download_button(
            "Save the plan",
            one.text,
            file_name=PLAN,
            mime="application/yaml",
            icon=":material/download:",
            key="sweep.save",
            on_click="ignore",
        )


def _name(one: Composed) -> str:
    return f"sweep-{hashlib.sha256(one.text.encode()).hexdigest()[:8]}"


@st.cache_resource(max_entries=8, show_spinner="Counting the runs")
def _work(text: str) -> Work:
    return expanded(*of_text(text))


@st.cache_resource(show_spinner=False)
def _known() -> dict[str, Served]:
    """Returns the sweeps of this server by their names."""
    return {}


@st.cache_resource(max_entries=8, show_spinner=False)
def _ahead(path: str, version: str, text: str, _store: Store, _work: Work) -> Preview:
    """Returns what is to be done; ``path`` and ``version`` stand for what is stored."""
    return preview(_store, with_followers(_store, _work), jobs=1)


@st.cache_data(max_entries=8, show_spinner=False)
def _stored(
    path: str, version: str, times: tuple[tuple[str, float | None], ...], _store: Store
) -> Mapping[str, Any]:
    asked = dict(times)
    return {"held": held(_store, asked), "results": results(_store, asked)}


def _progress(store: Store, one: Composed, work: Work, active: bool) -> None:
    """Shows how the runs stand; reruns by itself while they are worked off."""
    name = _name(one)
    served = _known().get(name)
    going = served is not None and not served.over
    if active != going:
        st.rerun()  # to look again and again while it works, and no more after its end
    path = str(store.path)
    try:
        version = queries.data_version(store)
        ahead = _ahead(path, version, one.text, store, work)
        runs = ahead.work.runs
        found = _stored(path, version, tuple(times_of(runs).items()), store)
        rows = report.rows(store, runs) if found["results"] else []
    except StoreError as error:
        ui.failed("The store could not be read", str(error))
        return
    left = [run for run in runs if found["held"].get(run.config_hash) != "complete"]
    _buttons(store, ahead, name, served, len(left))
    said = ahead.lines()[:1] if going else ahead.lines()
    st.caption(ui.escaped(" · ".join(line.rstrip(".") for line in said)))
    if served is not None and served.failed:
        ui.failed("The sweep was given up", served.failed)
    running = served.running() if served is not None else {}
    ended = served.ended() if served is not None else {}
    data = squares.how_they_stand(runs, found["held"], found["results"], running, ended)
    metric = runs[0].experiment.task.main()
    stand = ", ".join(f"{n} {state}" for state, n in data["state"].value_counts().items())
    with st.container(width=squares.width(data)):
        drawn = squares.drawn_squares(data, metric, st.context.theme.type == "dark")
        st.altair_chart(drawn, key="sweep.squares", alt=f"The runs: {stand}")
    for text in dict.fromkeys(one.message for one in ended.values() if one.status == "failed"):
        st.text(f"Failed: {text}"[:500])
    _numbers(rows, name)


def _buttons(store: Store, ahead: Preview, name: str, served: Served | None, left: int) -> None:
    total = len(ahead.work.runs)
    if store.readonly:
        st.caption("This server only shows what is in its store: sweeps are off.")
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if served is None or served.over:
            st.button(
                "Start" if left == total else "Run the rest",
                key="sweep.start",
                type="primary",
                icon=":material/play_arrow:",
                disabled=not left,
                on_click=_start,
                args=(store, ahead, name),
                help="One after another in the server's workers; they go on when you leave.",
            )
        else:
            pausing.buttons(
                "sweep", served.held, served.hold, served.resume, served.stop,
                "what has ended is kept.",
            )  # fmt: skip
        seconds = served.remaining() if served is not None and not served.over else 0.0
        to_go = f", about {in_words(seconds)} to go" if seconds else ""
        paused = ", paused" if served is not None and served.held and not served.over else ""
        done = total - left
        st.progress(
            done / total, text=f"{how_many_of(done, total, 'run')} in the store{to_go}{paused}"
        )


def _start(store: Store, ahead: Preview, name: str) -> None:
    supervisor = ui.supervisor()
    if supervisor is None:
        return
    known = _known()
    for old in [key for key, one in known.items() if one.over][:-KEPT]:
        del known[old]
    before = known.get(name)
    if before is None or before.over:
        known[name] = Served(store, supervisor, ahead, (name,), ui.session_id())


def _numbers(rows: list[dict[str, Any]], name: str) -> None:
    if not rows:
        return
    st.page_link(
        "pages/runs.py",
        label="These runs in Runs",
        icon=":material/table_rows:",
        query_params=[("runs.tags", name)],
        help="Those that this page has started; others of the plan may have been there before.",
    )
    with st.expander("Numbers so far", icon=":material/table:"):
        st.dataframe(
            report.table(rows),
            column_order=report.terminal_columns(rows),
            hide_index=True,
            alt="The results of the sweep, a row per layer and setting",
        )
        saved.downloads(report.frame(rows, ".csv"), name, "sweep")
