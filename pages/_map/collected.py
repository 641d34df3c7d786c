"""What is collected on the Map: a plan for a sweep, and the way to a cell without a mouse."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st
import yaml

from experiments_db.installation import command

MAX_COLLECTED = 200
PLAN = "plan.yaml"


def open_cell(spec: str) -> None:
    """Goes to Explore with a spec."""
    st.switch_page("pages/explore.py", query_params={"spec": spec})


def collect(chart: str, specs: Sequence[str]) -> bool:
    """Notes which cells of one heat map are collected; returns whether that is news."""
    charts: dict[str, list[str]] = st.session_state.setdefault("map.charts", {})
    if charts.get(chart, []) == list(specs):
        return False
    charts[chart] = list(specs)
    return True


def collected() -> list[str]:
    """Returns every collected spec, by mouse or by keyboard, in order."""
    charts = st.session_state.get("map.charts", {}).values()
    typed = st.session_state.get("map.typed", [])
    return list(dict.fromkeys([*typed, *(spec for specs in charts for spec in specs)]))


def show(table: pd.DataFrame) -> None:
    """Shows the picker of cells and, once some are collected, their plan."""
    layers = table[table["verdict"] != "undefined"]
    names = dict(zip(layers["spec"], layers["known_as"], strict=True))
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        spec = st.selectbox(
            "Cell",
            list(names),
            index=None,
            format_func=lambda text: f"{text}  ({names[text]})" if names[text] else text,
            key="map.cell",
            placeholder="type a part of a spec or of a published name",
            help="The same as clicking a cell below. There, a click opens the cell in Explore, and "
            "shift and a click collect it into a plan.",
            width=560,
        )
        opened = st.button(
            "Open in Explore", icon=":material/explore:", disabled=spec is None, key="map.open"
        )
        st.button(
            "Collect",
            icon=":material/add:",
            disabled=spec is None,
            on_click=_type,
            args=(spec,),
            key="map.add",
            help="Adds the cell to the plan.",
        )
    if opened and spec:
        open_cell(spec)
    specs = collected()[:MAX_COLLECTED]
    with st.container():  # also without a plan: what comes and goes would redraw all below it
        if specs:
            _plan(specs)


def _type(spec: str | None) -> None:
    if spec is not None:
        st.session_state.setdefault("map.typed", []).append(spec)


def _clear() -> None:
    st.session_state["map.typed"] = []


def _plan(specs: list[str]) -> None:
    """Shows the plan of the collected cells, to save and run from a terminal."""
    text = plan(specs)
    with st.container(border=True):
        title = "1 cell collected" if len(specs) == 1 else f"{len(specs)} cells collected"
        st.subheader(title, anchor=False)
        st.code(text, language="yaml", height="content" if text.count("\n") <= 12 else 320)
        st.code(command("sweep", PLAN), language="bash")
        with st.container(horizontal=True, gap="small"):
            st.download_button(
                "Save the plan",
                text,
                file_name=PLAN,
                mime="application/yaml",
                icon=":material/download:",
                key="map.save",
                on_click="ignore",
            )
            if st.session_state.get("map.typed"):
                st.button("Drop those added by name", on_click=_clear, key="map.clear")
        st.caption("Shift and a click on a collected cell drop it again.")


def plan(specs: Sequence[str]) -> str:
    """Returns the plan that runs these specs on associative recall, as YAML."""
    wanted = {
        "specs": list(specs),
        "tasks": [{"name": "mqar", "pairs": 8, "seq_len": 64}],
        "seeds": [0],
    }
    return yaml.safe_dump(wanted, sort_keys=False, width=100)
