"""The lower part of Runs: what the picked runs did, and what people say of them."""

from __future__ import annotations

import json
from typing import Any

import streamlit as st

import ttr_core as ttr
from experiments_db.errors import StoreError
from experiments_db.read import queries
from experiments_db.read.trained_views import own_layer
from experiments_db.store import Store
from pages._shared import snippets, trained_map, ui, units
from ttr_core import RequestError, options_of
from ttr_core.lab import TASKS, Experiment, Metric, is_module, metrics

MAX_NOTE = 2000
MAX_SHOWN = 6  # as many as have curves above the table
FACTS = (
    ("Steps", "steps", ui.count, "Optimizer steps taken."),
    ("Time", "seconds", ui.seconds, "Of the whole run."),
    (
        "Curve",
        "still_rising",
        lambda x: "still rising" if x else "flat",
        "On the validation set, when "
        "the rate began to fall: a number taken while it rises says when the training ended.",
    ),
    ("To 90 %", "steps_to_90", ui.count, "Steps until 90 % of the way to the best value."),
    ("To target", "seconds_to_target", ui.seconds, "Training time until the target was reached."),
    ("Parameters", "parameters", ui.count, "Learned numbers in the model."),
    ("State", "state_size", ui.count, "Floats of memory at the run's own sizes, all layers."),
    ("Packed", "packed_state_size", ui.count, "The same with one half of symmetric matrices."),
    ("Learning rate", "lr", lambda x: "–" if x is None else f"{x:.3g}", "Its peak."),
)


def show(store: Store, picked: list[str]) -> None:
    """Shows one run in full, or several side by side."""
    try:
        runs = queries.details(store, picked[:MAX_SHOWN])
    except StoreError as error:
        ui.failed("The store could not be read", str(error))
        return
    if not runs:
        st.text(f"The store has no run {', '.join(picked[:MAX_SHOWN])}.")
        return
    if len(runs) == 1:
        _one(store, runs[0])
    else:
        st.subheader(f"{len(runs)} runs", anchor=False)
        st.caption("Their curves are above the table; *Compare these* has numbers and differences.")
    if len(runs) == 1 and not store.readonly:
        _note(store, runs[0])


def _one(store: Store, run: dict[str, Any]) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader(ui.escaped(run["layer"] or run["spec"]), anchor=False, width="content")
        ui.status_badge(run["status"])
        st.text(run["run_id"])
    if run.get("layer"):
        st.text(run["spec"])
    if run.get("message"):
        st.code(run["message"], language=None, wrap_lines=True)
    _facts(run)
    if (own := own_layer(store, run["run_id"])) is not None:
        trained_map.show_own(own, run["run_id"])
    elif not is_module(run["spec"]):
        trained_map.show(store, run["run_id"])
    _tables(store, run)
    settings, again = st.columns([2, 3], gap="medium")
    with settings.expander("Configuration", icon=":material/tune:"):
        st.json(run["config"])
        st.download_button(
            "config.json",
            json.dumps(run["config"], indent=2),
            "config.json",
            icon=":material/download:",
            on_click="ignore",
            key="config.json",
            help="Everything that defines the run.",
        )
    with again.expander("Do it again", icon=":material/replay:", expanded=True):
        _again(run)


def _facts(run: dict[str, Any]) -> None:
    measured = [(one.title, one.name, one.shown, one.help) for one in _metrics(run)]
    known = (run.get("metrics") or {}) | {key: x for key, x in run.items() if x is not None}
    given = [fact for fact in (*measured, *FACTS) if known.get(fact[1]) is not None]
    with st.grid("auto", min_column_width=120):
        for name, key, read, help in given:
            st.metric(name, read(known[key]), help=help)


def _metrics(run: dict[str, Any]) -> tuple[Metric, ...]:
    """Returns what the run's task declares; of a task that is not here, every metric."""
    return TASKS[run["task"]].metrics if run["task"] in TASKS else tuple(metrics().values())


def _tables(store: Store, run: dict[str, Any]) -> None:
    by = queries.metrics_by(store, run["run_id"])
    tables = queries.tables(store, run["run_id"])
    if by.empty and not tables:
        return
    with st.expander("Tables", icon=":material/table:"):
        if not by.empty:
            metric = _metrics(run)[0]
            title = f"{metric.title} by group"
            st.caption(title)
            st.dataframe(
                by, hide_index=True, alt=title, column_config={"value": units.column(metric)}
            )
        for name, table in tables.items():
            if name == "own_map":  # drawn above
                continue
            st.caption(name.replace("_", " ").capitalize())
            st.dataframe(table, hide_index=True, alt=name)


# --- run it again ------------------------------------------------------------------------------


def _again(run: dict[str, Any]) -> None:
    if is_module(run["spec"]):
        st.caption("A user's module: `ttr run --module FILE:Class` runs it, where its file is.")
        return
    try:
        if len(_layers(run)) == 1:
            st.page_link(
                "pages/explore.py",
                label="Open in Explore",
                icon=":material/explore:",
                query_params=link(run),
                help="This very experiment: its layer, its settings, its seed.",
            )
        else:
            st.caption("Several layers are stacked in it, and Explore trains one.")
        st.code(_command(run), language="bash", wrap_lines=True)
    except RequestError as error:  # a run of another version, whose settings are gone
        st.caption("This version cannot read the run's configuration any more.")
        st.text(str(error))


def _settings(run: dict[str, Any]) -> dict[str, Any]:
    """Returns the run's settings that differ from their defaults, by ``group.name``."""
    experiment = Experiment.from_config(run["config"])
    found = {}
    for group in ("task", "model", "train"):
        part = getattr(experiment, group)
        for option in options_of(type(part)):
            value = getattr(part, option.name)
            if option.name not in ("layers", "frame") and value != option.default:
                found[f"{group}.{option.name}"] = value
    return found


def _layers(run: dict[str, Any]) -> list[str]:
    """Returns the layers of the model, by name or by text."""
    return list(run["config"]["model"]["layers"])


def _command(run: dict[str, Any]) -> str:
    layers, settings = _layers(run), _settings(run)
    if len(layers) > 1:
        settings["model.layers"] = layers
    name = layers[0] if layers[0] in ttr.catalog else None
    return snippets.command(run["task"], name, layers[0], settings, run["frame"], run["seed"])


def link(run: dict[str, Any]) -> dict[str, str]:
    """Returns the address of Explore for a run: all of its settings, whatever a session has."""
    said = {"spec": run["spec"], **({"layer": run["layer"]} if run["layer"] else {})}
    if TASKS[run["task"]].trained:
        said |= {"task": run["task"], "frame": run["frame"], "seed": run["seed"], **_settings(run)}
    else:  # a task without training has a part of the page of its own name
        own = {key.removeprefix("task."): value for key, value in _settings(run).items()}
        said |= {f"{run['task']}.{name}": v for name, v in {**own, "seed": run["seed"]}.items()}
    return {key: snippets.written(value) for key, value in said.items()}


# --- what people say of it ---------------------------------------------------------------------


def _note(store: Store, run: dict[str, Any]) -> None:
    key = f"note.{run['run_id']}"

    def save() -> None:
        try:
            store.set_note([run["run_id"]], st.session_state[key][:MAX_NOTE])
        except StoreError as error:
            st.session_state["edit_error"] = str(error)

    st.text_area(
        "Note",
        value=run["note"] or "",
        key=key,
        on_change=save,
        max_chars=MAX_NOTE,
        height=80,
        help="Saved when you leave the field.",
    )
