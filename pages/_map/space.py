"""The cells of the Map: every triple of listed ingredients, with what the runs reached there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

import ttr_core as ttr
from experiments_db.atlas import Atlas, beside, charted
from experiments_db.errors import StoreError
from experiments_db.installation import command
from experiments_db.read import cells, queries
from experiments_db.store import Store
from pages._map import by_probes
from pages._shared import address, params, ui
from ttr_core import AXES, options_of
from ttr_core.lab import TASKS, Metric, metrics
from ttr_core.words import STANDINGS, called, place

VERDICT = "verdict"
TITLES = {"weights": "Weights", "function": "Function class", "optimizer": "Optimizer"}


@dataclass(frozen=True)
class Setting:
    """What runs must share to be compared.

    Args:
        task: name of the task.
        options: the task's settings, JSON text.
        protocol: protocol of comparison.
        frame: surroundings of the layers.
    """

    task: str
    options: str
    protocol: str
    frame: str


OF_ATLAS = "Probes, without training"
"""What stands among the runs for the atlas."""


@dataclass(frozen=True)
class Shown:
    """What the Map shows.

    Args:
        facet: the axis that has a group of columns per choice.
        metric: the name of one that a task declares, or ``verdict``.
        setting: what the runs share; None where probes are shown.
        hide: whether choices without any layer are left out.
    """

    facet: str
    metric: str
    setting: Setting | None
    hide: bool

    @property
    def probes(self) -> bool:
        """Whether the atlas is shown, and no runs."""
        return self.setting is None


def asked_for(store: Store) -> Shown:
    """Shows the controls and returns what they hold."""
    try:
        found = _settings(str(store.path), queries.data_version(store), store)
    except StoreError as error:
        ui.failed("The store could not be read", str(error))
        found = []
    names = {_label(setting): setting for setting, _ in found}
    counts = {_label(setting): count for setting, count in found}
    address.take(_params([OF_ATLAS, *names]))
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        color = st.selectbox(
            "Results of",
            [OF_ATLAS, *names],
            key="map.setting",
            format_func=lambda name: f"{name} ({counts[name]})" if name in counts else name,
            help="What the probes found of every cell, or runs of one task setting, protocol and "
            "frame, which alone are compared. In parentheses: complete runs, of any training.",
            width=330,
        )
        setting = names.get(color or "")
        metric = _metric(setting)
        facet = st.segmented_control(
            "Columns for each",
            AXES,
            format_func=lambda axis: TITLES[axis],
            required=True,
            key="map.facet",
            help="The other two axes are the rows, and the columns of each group.",
        )
        hide = st.toggle(
            "Hide rows and columns without a layer",
            key="map.hide",
            help="Leave out what is defined and too slow, or reads nothing back, all along.",
        )
    return Shown(facet or "optimizer", metric, setting, hide)


def _params(settings: list[str]) -> dict[str, params.Param]:
    """Returns how what the Map shows is read from the address."""
    labels = tuple((title, axis) for axis, title in TITLES.items())
    return {
        "map.facet": params.OneOf("axis", AXES, "optimizer", labels),
        "map.setting": params.first_of("setting of runs", settings),
        "map.hide": params.Switch(),
    }


def _metric(setting: Setting | None) -> str:
    own = by_probes.colors()
    if setting is not None:
        task = TASKS[setting.task]
        main = task.main().name
        own = (main, *(one.name for one in task.metrics if one.name != main))
    colors, key = (*own, VERDICT), f"map.color.{'probes' if setting is None else own[0]}"
    address.take({key: params.OneOf("color", colors, own[0])})
    chosen = st.selectbox(
        "Color",
        colors,
        key=key,
        format_func=lambda name: name.replace("_", " "),
        help="What is known of each cell, or whether it is a layer at all.",
        width=190,
    )
    return chosen or own[0]


def metric_of(shown: Shown) -> Metric | None:
    """Returns the metric that colors the Map, or None where verdicts do."""
    return None if shown.metric == VERDICT else metrics()[shown.metric]


@st.cache_data(max_entries=20, show_spinner=False)
def _settings(path: str, version: str, _store: Store) -> list[tuple[Setting, int]]:
    found = cells.task_settings(_store)
    return [
        (Setting(row.task, row.setting, row.protocol, row.frame), int(row.runs))
        for row in found.itertuples()
        if row.task in TASKS  # a task of another installation: nobody here can read its settings
    ]


def _label(setting: Setting) -> str:
    """A setting in words: the options that differ from the task's defaults."""
    options = json.loads(setting.options)
    defaults = {o.name: o.default for o in options_of(TASKS[setting.task])}
    changed = [
        f"{name}={value}"
        for name, value in options.items()
        if name != "name" and value != defaults.get(name)
    ]
    parts = [setting.task, *changed, f"{setting.frame} frame", setting.protocol]
    return " · ".join(parts)


@st.cache_resource(show_spinner="Judging every triple…")
def _cells() -> dict[tuple[str, str, str], dict[str, Any]]:
    """Every place on the map with its first listed spec, verdict and published names."""
    known: dict[tuple[str, str, str], dict[str, Any]] = {}
    for cell in ttr.grid():
        where = place(ttr.Spec.parse(cell.spec))
        if where not in known:
            known[where] = _judged(cell)
    names: dict[tuple[str, str, str], list[str]] = {}
    for name, entry in ttr.catalog.items():
        names.setdefault(place(entry.spec), []).append(name)
        if place(entry.spec) not in known:
            known[place(entry.spec)] = _judged(ttr.cell(entry.spec))
    for where, found in known.items():
        found["published"] = names.get(where, [])
        if found["published"]:
            found["known_as"] = [called(name) for name in found["published"]]
            found["standing"] = STANDINGS[0]
    return known


def _judged(cell: ttr.Cell) -> dict[str, Any]:
    """What is said of a cell; an equal layer's name is marked."""
    mark = "= " if cell.standing == STANDINGS[1] else ""
    return {
        "spec": cell.spec,
        "verdict": cell.verdict,
        "reason": cell.reason,
        "standing": cell.standing,
        "known_as": [mark + name for name in cell.known_as],
    }


@st.cache_data(max_entries=4096, show_spinner=False)
def _place(text: str) -> tuple[str, str, str] | None:
    try:
        return place(ttr.Spec.parse(text))
    except ttr.RequestError:  # stored by another version of the project
        return None


def table(store: Store, shown: Shown) -> pd.DataFrame:
    """Returns a row per cell: what is said of it, and what its runs, or the probes, have found."""
    setting, rows = shown.setting, _rows()
    if setting is None:
        own = by_probes.colors()[0] if shown.metric == VERDICT else shown.metric
        atlas, broken = _atlas(store)
        if broken:
            ui.failed("What was measured here could not be read", broken)
        return by_probes.with_probes(rows, atlas, own)
    try:
        version = queries.data_version(store)
        metric = metric_of(shown) or TASKS[setting.task].main()
        best = _reached(str(store.path), version, store, setting, metric)
    except StoreError as error:
        ui.failed("The store could not be read", str(error))
        best = pd.DataFrame(columns=[*AXES, "n", "best", "mean", "std", "still_rising", "rates"])
    return rows.merge(best, how="left", on=list(AXES)).fillna({"n": 0})


def _atlas(store: Store) -> tuple[Atlas, str]:
    """Returns what the probes found, and why what was measured here is left out, if it is."""
    try:
        return beside(store), ""
    except StoreError as error:
        return charted(), str(error)


@st.cache_resource(show_spinner=False)
def _rows() -> pd.DataFrame:
    """Returns the cells as a table without results; it is shared, so nobody may change it."""
    rows = pd.DataFrame(
        [dict(zip(AXES, where, strict=True)) | cell for where, cell in _cells().items()]
    )
    joined = {
        name: [", ".join(names) for names in rows[name]] for name in ("published", "known_as")
    }
    return rows.assign(**joined)


@st.cache_data(max_entries=20, show_spinner=False)
def _reached(
    path: str, version: str, _store: Store, setting: Setting, metric: Metric
) -> pd.DataFrame:
    found = cells.cells(_store, setting.options, setting.protocol, metric.name, setting.frame)
    return _best(found, metric)


def _best(found: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """Returns the best spec of each place, with how many runs all of them have."""
    places = [_place(text) for text in found["spec"]]
    found = found.drop(columns=list(AXES), errors="ignore")
    known = found.assign(place=places).dropna(subset=["place"]).rename(columns={"spec": "ran"})
    for i, axis in enumerate(AXES):
        known[axis] = [where[i] for where in known["place"]]
    known["n"] = known.groupby(list(AXES))["n"].transform("sum")
    ordered = known.sort_values("best", ascending=not metric.rises, na_position="last")
    kept = [*AXES, "ran", "n", "best", "mean", "std", "still_rising", "rates"]
    return ordered.drop_duplicates(list(AXES))[kept]


def summary(rows: pd.DataFrame, shown: Shown, store: Store) -> None:
    """Says in two lines what is on the map."""
    layers = rows[rows["verdict"] == "layer"]
    tried = int((layers["n"] > 0).sum())
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.badge(f"{len(layers)} layers", color="blue", icon=":material/grid_view:")
        named = int((layers["known_as"] != "").sum())
        st.badge(f"{named} with a published name", color="green", icon=":material/menu_book:")
        st.badge(f"{(rows['verdict'] == 'undefined').sum()} undefined", color="gray")
        if not shown.probes:
            st.badge(f"{len(layers) - tried} unexplored", color="orange", icon=":material/explore:")
        elif len(layers) > tried:
            st.badge(f"{len(layers) - tried} not measured", color="orange")
    st.caption(_of_probes(rows, shown, store) if shown.probes else _of_runs(shown))


def _of_probes(rows: pd.DataFrame, shown: Shown, store: Store) -> str:
    """Says what the numbers of the probes are, and how old."""
    (atlas, _), metric = _atlas(store), metric_of(shown)
    if not atlas.date:
        return f"There is no atlas: `{command('atlas', '--quick')}` measures every cell."
    what = "Blue a layer, pink unread, orange slow" if metric is None else metric.help
    stale = int(rows["stale"].sum())
    old = f" {stale} are of an earlier revision." if stale else ""
    return (
        f"{ui.escaped(what.rstrip('.'))}. A dot: published; pink: unread, it "
        "reads no pair back; orange: slow; gray: undefined. "
        f"Atlas of {atlas.date}, {atlas.cpu_seconds / 60:.0f} processor minutes, no training.{old}"
    )


def _of_runs(shown: Shown) -> str:
    """Says what the results of the runs are."""
    assert shown.setting is not None
    ran = ui.escaped(_label(shown.setting))
    return (
        f"Color: {_meaning(metric_of(shown), ran)}. A dot: published; white: no run has tried it; "
        "gray: undefined. Numbers such as scales and ridges are pooled: a cell shows the best of "
        "them."
    )


def _meaning(metric: Metric | None, ran: str) -> str:
    """Says what the colors mean."""
    if metric is None:
        return "blue a layer, pink unread: it reads no pair back, orange defined but slow"
    name = ui.escaped(metric.name.replace("_", " "))
    if not metric.rises:
        return f"least {name} of {ran}, the brighter the less"
    if metric.bounds is None:
        return f"best {name} of {ran}, the brighter the more"
    dark, bright = map(metric.shown, metric.bounds)
    return f"best {name} of {ran}, dark {dark}, bright {bright}"
