"""Searches of the store on their way: stage, rungs, front and finals, from their runs alone."""

from __future__ import annotations

from functools import partial

import altair as alt
import pandas as pd
import streamlit as st

from experiments_db.errors import StoreError
from experiments_db.installation import command
from experiments_db.read import measures, queries
from experiments_db.read.searched import PROTOCOL, Searched, searched, searches
from experiments_db.store import Store
from experiments_db.store.driver import Wish, ask_of, wish_of
from pages._shared import address, params, ui
from pages._sweep import pausing

TAG = "sweep.search"
SECONDS, SELDOM = 5.0, 15.0
"""Between two looks at the store, while a search is under way and while none is."""

PLAN = "examples/search_small.yaml"
SAID = {Wish.GO: "goes on", Wish.HOLD: "paused", Wish.STOP: "is being cancelled"}
"""What is asked of a search -> how it stands."""

HEIGHT, NEW, PUBLISHED, LINE = 240, "#0072B2", "#D55E00", "#8A94A0"
KINDS = ("new", "published")
DRAWN = ["spec", "name", "state", "mean", "kind"]


@st.cache_data(max_entries=8, show_spinner=False)
def _tags(path: str, version: str, _store: Store) -> list[str]:
    """Returns the tags of searches; ``path`` and ``version`` stand for what is stored."""
    return searches(_store)


@st.cache_data(max_entries=8, show_spinner=False)
def _searched(path: str, version: str, tag: str, _store: Store) -> Searched | None:
    return searched(_store, tag)


def take_over(store: Store) -> tuple[str, ...]:
    """Takes the search that the address names, and returns the tags there are."""
    tags = _known(store)
    address.take({TAG: params.OneOf("search", tags, tags[0] if tags else None)})
    return tags


def show(store: Store, tags: tuple[str, ...]) -> None:
    """Shows one of the searches, and looks again while it goes on.

    Args:
        store: where its runs are.
        tags: those of all searches.
    """
    st.subheader("Searches", anchor=False)
    if not tags:
        st.caption(
            "No search has run yet. It asks of many cells at once whether one holds more than what "
            "is published, and is started from a terminal:"
        )
        st.code(command("search", PLAN), language="bash")
        st.fragment(_look_for_others, run_every=SELDOM)(store, tags)
        return
    st.selectbox("Search", tags, key=TAG, width=300)
    tag = address.value(TAG) or tags[0]
    found = _looked_at(store, tag)
    if found is not None:
        every = SECONDS if found.running else SELDOM
        st.fragment(_drawn, run_every=every)(store, tag, tags, found.running)


def _look_for_others(store: Store, tags: tuple[str, ...]) -> None:
    """Draws the page anew once a search begins that it does not show."""
    if _known(store) != tags:
        st.rerun()


def _known(store: Store) -> tuple[str, ...]:
    try:
        return tuple(_tags(str(store.path), queries.data_version(store), store))
    except StoreError as error:
        ui.failed("The store could not be read", str(error))
        return ()


def _looked_at(store: Store, tag: str) -> Searched | None:
    try:
        return _searched(str(store.path), queries.data_version(store), tag, store)
    except StoreError as error:
        ui.failed("The search could not be read", str(error))
        return None


def _drawn(store: Store, tag: str, tags: tuple[str, ...], active: bool) -> None:
    _look_for_others(store, tags)
    found = _looked_at(store, tag)
    if found is None:
        return
    if found.running != active:
        st.rerun()  # to look often while it goes on, and seldom after its end
    counted = ", ".join(f"{n:,} {status}" for status, n in found.counts.items())
    wish = wish_of(store.path, found.driver) if found.driver else Wish.GO
    runs = SAID[wish] if found.running else "nothing of it is running"
    if not found.running and "interrupted" in found.counts:
        runs += "; the same command goes on where it was interrupted"
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(ui.escaped(f"Stage: {found.stage} ({runs})"), width="content")
        if found.driver and not store.readonly:
            ask = partial(_ask, store, found.driver)
            pausing.buttons(
                "sweep.searched", wish is Wish.HOLD,
                partial(ask, Wish.HOLD), partial(ask, Wish.GO), partial(ask, Wish.STOP),
                "the same command goes on with the rest.",
            )  # fmt: skip
    st.caption(
        ui.escaped(f"Task {found.task}, searched in frame {found.frame}. Runs: {counted}; ")
        + ui.escaped(f"{ui.seconds(found.cpu_seconds)} of a processor so far.")
    )
    st.page_link(
        "pages/runs.py",
        label="These runs in Runs",
        icon=":material/table_rows:",
        query_params=[("runs.tags", tag), ("runs.protocol", PROTOCOL)],
    )
    st.dataframe(found.rungs, hide_index=True, alt="The rungs: cells, rates, runs, the best cell")
    _front(found)
    _finals(found)


def _ask(store: Store, driver: str, wish: Wish) -> None:
    ask_of(store.path, driver, wish)  # one that has ended meanwhile needs nothing more


def _front(found: Searched) -> None:
    cells = found.cells
    if cells.empty:
        return
    title = measures.main_of(found.task).name
    data = cells.assign(kind=[KINDS[bool(name)] for name in cells["name"]])
    whole = alt.Axis(tickMinStep=1)
    x = alt.X("state:Q", title="numbers of state", scale=alt.Scale(zero=False), axis=whole)
    y = alt.Y("mean:Q", title=[title, "as a score in validation"])
    color = alt.Color("kind:N", title=None, scale=alt.Scale(domain=KINDS, range=[NEW, PUBLISHED]))
    tips = [
        alt.Tooltip("spec:N"), alt.Tooltip("name:N", title="in the literature"),
        alt.Tooltip("mean:Q", format=".4f"), alt.Tooltip("state:Q", title="numbers of state"),
    ]  # fmt: skip
    line = alt.Chart(data[data["front"]][DRAWN]).mark_line(
        interpolate="step-after", color=LINE, strokeDash=[4, 3]
    )
    points = alt.Chart(data[DRAWN]).mark_point(filled=True, size=50)
    layers = [line.encode(x=x, y=y), points.encode(x=x, y=y, color=color, tooltip=tips)]
    steps = found.rungs["steps"].iloc[-1]
    st.altair_chart(
        alt.LayerChart(layer=layers).properties(height=HEIGHT),
        key="sweep.search.front",
        alt=f"The cells after {steps:,} steps, their scores against their numbers of state",
    )
    best = data[data["front"]].sort_values("state")
    told = "; ".join(f"{row.spec} {row.mean:.3f} at {row.state:,.0f}" for row in best.itertuples())
    st.caption(ui.escaped(f"After {steps:,} steps no smaller state reaches as much as: {told}."))


def _finals(found: Searched) -> None:
    if found.finals.empty:
        st.caption("No finals yet: scores of the search chose what is best, and are no result.")
        return
    st.caption(
        "Finals: fresh seeds, the test set. A gain is that over the best published cell at no "
        "larger state; whether it is one is said by the report of the command, with p and bounds."
    )
    shown: pd.DataFrame = found.finals[
        ["frame", "spec", "name", "key_dim", "state", "rate", "n", "mean", "std", "gain"]
    ]
    st.dataframe(
        shown, hide_index=True, placeholder="–", alt="The finals, a row for each frame and cell"
    )
