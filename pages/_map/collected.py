"""What is collected on the Map: a plan for a sweep, and the way to a cell without a mouse."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pandas as pd
import streamlit as st
import yaml

import ttr_core as ttr
from experiments_db.installation import command
from pages._map.space import Setting
from pages._shared import address, params
from ttr_core import constraints, how_many, options_of
from ttr_core.lab import TASKS

MAX_COLLECTED = 100  # more make too long an address
PLAN = "plan.yaml"
CELLS, CHARTS = "map.cells", "map.charts"


def take_over(table: pd.DataFrame) -> None:
    """Takes the collected cells over from the address, those that are layers."""
    layers = tuple(table["spec"][table["verdict"] != "undefined"])
    address.take({CELLS: params.Several("cell that is a layer", layers, most=MAX_COLLECTED)})


def open_cell(spec: str) -> None:
    """Goes to Explore with a spec, everything else there as it is."""
    rest = address.values_of("explore", without=("spec", "layer", "drawn", "run"))
    st.switch_page("pages/explore.py", query_params={**rest, "spec": spec})


def forget_clicks(chart: str | None = None) -> None:
    """Forgets what was chosen on a heat map that is new on the page, or on all of them."""
    known = st.session_state.setdefault(CHARTS, {})
    for name in [chart] if chart else list(known):
        known.pop(name, None)


def clicked(chart: str, specs: Sequence[str]) -> bool:
    """Takes a cell in or out when a heat map says that it was clicked; returns whether one was.

    A heat map keeps a list of its own, which starts anew with every visit; the address has the
    cells of all visits. A click changes the list by one cell, whichever way.
    """
    known: dict[str, list[str]] = st.session_state.setdefault(CHARTS, {})
    before, known[chart] = known.get(chart, []), list(specs)
    changed = set(before) ^ set(specs)
    if len(changed) > 1:  # the list has started anew in between
        changed = set(specs) if len(specs) == 1 else set()
    for spec in changed:
        toggle(spec)
    return bool(changed)


def toggle(spec: str) -> None:
    """Takes a cell into the plan, or out of it; what is no layer cannot be in it."""
    cells = collected()
    kept = [one for one in cells if one != spec]
    if len(kept) == len(cells) < MAX_COLLECTED and _is_layer(spec):
        kept.append(spec)
    address.put(CELLS, kept)


def _is_layer(text: str) -> bool:
    try:
        return not ttr.Spec.parse(text).objections()
    except ttr.RequestError:
        return False


def collected() -> list[str]:
    """Returns every collected cell, in order."""
    cells: list[str] = address.value(CELLS)
    return cells


def show(table: pd.DataFrame, setting: Setting | None) -> None:
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
        known = spec in collected()
        st.button(
            "Take out" if known else "Collect",
            icon=":material/remove:" if known else ":material/add:",
            disabled=spec is None,
            on_click=toggle,
            args=(spec,),
            key="map.add",
            help="Takes the cell out of the plan." if known else "Adds the cell to the plan.",
        )
    if opened and spec:
        open_cell(spec)
    specs = collected()
    with st.container():  # also without a plan: what comes and goes would redraw all below it
        if specs:
            _plan(specs, setting)


def _plan(specs: list[str], setting: Setting | None) -> None:
    """Shows the plan of the collected cells, to save and run from a terminal."""
    text = plan(specs, setting)
    with st.container(border=True):
        title = f"{how_many(len(specs), 'cell')} collected"
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
            st.page_link(
                "pages/sweep.py",
                label="Sweep these",
                icon=":material/playlist_play:",
                query_params=[("sweep.layers", ""), *(("sweep.specs", one) for one in specs)],
                help="Compose the rest of the plan on the page Sweep, run it there and watch.",
            )
            st.button(
                "Take all out", icon=":material/delete_sweep:", on_click=_clear, key="map.clear"
            )
        full = len(specs) >= MAX_COLLECTED
        st.caption(
            "Shift and a click on a collected cell take it out again; × is no layer and stays out."
            + (
                f" A plan in an address holds {MAX_COLLECTED} cells: this one is full."
                if full
                else ""
            )
        )


def _clear() -> None:
    address.reset(CELLS)


def plan(specs: Sequence[str], setting: Setting | None = None) -> str:
    """Returns the plan that runs these specs as YAML: on the task, sizes and frame on the Map.

    Args:
        specs: what to run.
        setting: what the runs on the Map share; None while nothing has run, which makes it the
            first task that trains, as it is.
    """
    if setting is None:
        setting = Setting(next(name for name, cls in TASKS.items() if cls.trained), "{}", "", "")
    said = json.loads(setting.options)
    task = {
        option.name: said.get(option.name, option.default)
        for option in options_of(TASKS[setting.task])
        if said.get(option.name, option.default) != option.default
        or isinstance(option.constraint, constraints.Whole)  # sizes are written out
    }
    wanted = {
        "specs": list(specs),
        "tasks": [{"name": setting.task, **task}],
        **({"model": {"frame": setting.frame}} if setting.frame == "paper" else {}),
        **({"protocol": setting.protocol} if setting.protocol == "standard" else {"seeds": [0]}),
    }
    return yaml.safe_dump(wanted, sort_keys=False, width=100)
