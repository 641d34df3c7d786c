"""What is analyzed and how it is drawn, all of it in the address."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from experiments_db.read import analyzing, measures
from experiments_db.read.analyzing import Comparable, CompleteRuns
from pages._shared import address, params, ui
from ttr_core import AXES, options_of
from ttr_core.lab import TASKS, Metric, TrainConfig

VIEWS = {
    "cost": "State and cost",
    "settings": "Pairs, width, length",
    "beyond": "Beyond training",
    "rates": "Learning rates",
    "ingredients": "Ingredients",
}
SAME = ("analyze.setting", "analyze.size")
OF_VIEW = {
    "cost": ("analyze.setting", "analyze.cost", "analyze.kind", "analyze.log"),
    "settings": ("analyze.by", "analyze.rest", "analyze.lines"),
    "beyond": (*SAME, "analyze.lines"),
    "rates": SAME,
    "ingredients": (*SAME, "analyze.cross"),
}
"""View -> what its address says beside what all of them do."""

COSTS = {"state": "floats of state", "packed": "floats of packed state", "parameters": "parameters"}
LINES = 8
FIRST = ("task.pairs", "task.seq_len", "model.d_model")
RUNS, VIEW, METRIC = "analyze.runs", "analyze.view", "analyze.metric"


@dataclass(frozen=True)
class Inquiry:
    """What the page shows.

    Args:
        among: the runs.
        metric: what is measured.
        view: one of `VIEWS`.
    """

    among: Comparable
    metric: Metric
    view: str


def inquired(found: list[tuple[Comparable, int]]) -> Inquiry | None:
    """Takes the address over, shows the controls and returns what they hold; None without runs."""
    names = {_label(one): (one, runs) for one, runs in found}
    address.take(
        {
            RUNS: params.first_of("choice of runs", names or [None]),
            VIEW: params.first_of("view", VIEWS),
        }
    )
    if not names:
        return None
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        view = st.segmented_control(
            "Show", list(VIEWS), required=True, key=VIEW, format_func=VIEWS.__getitem__
        )
        label = st.selectbox(
            "Runs of",
            list(names),
            key=RUNS,
            width=420,
            format_func=lambda name: f"{name} ({ui.count(names[name][1])})",
            help="Only runs of one task, frame, protocol and training stand in one picture. In "
            "parentheses: complete runs, of any setting of the task.",
        )
        among = names[label or next(iter(names))][0]
        metric = _metric(among)
    view = view or next(iter(VIEWS))
    own = {*OF_VIEW[view], f"{METRIC}.{TASKS[among.task].main().name}"}
    other = {key for keys in OF_VIEW.values() for key in keys}
    address.imply({*other, *(f"{METRIC}.{name}" for name in measures.mains())} - own)
    return Inquiry(among, metric, view)


def _metric(among: Comparable) -> Metric:
    own = {metric.name: metric for metric in TASKS[among.task].metrics}
    main = TASKS[among.task].main().name
    key = f"{METRIC}.{main}"
    address.take({key: params.OneOf("metric", tuple(own), main)})
    if len(own) == 1:
        return own[main]
    return own[st.segmented_control("Measured", list(own), required=True, key=key) or main]


def choice(label: str, key: str, texts: Iterable[str], said: dict[str, str], help: str) -> str:
    """Shows a list where there is more than one text to choose from; returns the chosen one.

    Args:
        label: of the list.
        key: in the address.
        texts: what there is, the first of which is chosen where nothing is said.
        said: how each is written.
        help: what it is about.
    """
    every = [said[text] for text in texts]
    address.take({key: params.first_of(label.lower(), every)})
    if len(every) == 1:
        return str(next(iter(texts)))
    name = st.selectbox(label, every, key=key, width=320, help=help)
    return next(text for text in texts if said[text] == name)


def one_of(key: str, kind: str, values: Iterable[str], start: str | None = None) -> str:
    """Takes one of some values over from the address and returns it."""
    address.take({key: params.first_of(kind, tuple(values), start)})
    return str(address.value(key))


def several(key: str, kind: str, values: tuple[str, ...], start: tuple[str, ...]) -> list[str]:
    """Takes some of several values over from the address and returns them."""
    address.take({key: params.Several(kind, values, start, most=LINES)})
    return list(address.value(key))


def one_ingredient(key: str, start: str) -> str:
    """Takes an ingredient over from the address and returns it."""
    return one_of(key, "ingredient", AXES, start)


def told_apart(texts: Iterable[str], defaults: dict[str, Any]) -> dict[str, str]:
    """Returns how settings, JSON texts, are written: what differs among them, or from defaults.

    Example:
        >>> told_apart(['{"pairs": 4, "x": 1}', '{"pairs": 8, "x": 1}'], {})
        {'{"pairs": 4, "x": 1}': 'pairs 4', '{"pairs": 8, "x": 1}': 'pairs 8'}
    """
    read = {text: json.loads(text) for text in texts}
    keys = list(dict.fromkeys(key for one in read.values() for key in one if key != "name"))

    def value(one: dict[str, Any], key: str) -> str:
        return json.dumps(one.get(key, defaults.get(key)))

    apart = [key for key in keys if len({value(one, key) for one in read.values()}) > 1]
    return {
        text: " · ".join(f"{key} {one.get(key, defaults.get(key))}" for key in apart)
        or " · ".join(f"{key} {one[key]}" for key in one if one[key] != defaults.get(key, one[key]))
        or "as by default"
        for text, one in read.items()
    }


def setting(table: pd.DataFrame, task: str) -> str:
    """Shows what settings of the task there are to choose from; returns the chosen one."""
    defaults = {option.name: option.default for option in options_of(TASKS[task])}
    return choice(
        "Task setting",
        "analyze.setting",
        list(table["setting"].value_counts().index),
        told_apart(sorted(table["setting"].unique()), defaults),
        "Only results of one setting of the task are compared.",
    )


def setting_and_size(table: pd.DataFrame, task: str) -> tuple[str, str]:
    """As `setting`, and shows what sizes of model there are; returns the chosen ones."""
    one = setting(table, task)
    size = choice(
        "Model",
        "analyze.size",
        list(table.loc[table["setting"] == one, "sizes"].value_counts().index),
        told_apart(sorted(table["sizes"].unique()), {}),
        "Only models of one size are compared.",
    )
    return one, size


CLOSE = 0.05
"""What is missing to the best value, of half of the layers, where the axis is a logarithm."""


def switch(key: str, metric: Metric, values: pd.Series) -> bool:
    """Shows whether what is missing to the best value is drawn, where there is a best value.

    It is at first where half of the values are close to it and would lie on each other.
    """
    scores = values.map(metric.score).dropna() if metric.bounds else pd.Series(dtype=float)
    address.take({key: params.Switch(len(scores) > 1 and float(scores.median()) > 1 - CLOSE)})
    return metric.bounds is not None and st.toggle(
        "What is missing, log",
        key=key,
        help="The distance to the best value on a logarithmic axis, for layers close to it.",
    )


@st.cache_data(max_entries=20, show_spinner=False)
def comparable(path: str, version: str, _reading: CompleteRuns) -> list[tuple[Comparable, int]]:
    """Returns what there is to analyze; ``path`` and ``version`` stand for what is stored."""
    return analyzing.comparable(_reading)


@st.cache_data(max_entries=20, show_spinner=False)
def best(
    path: str, version: str, _reading: CompleteRuns, among: Comparable, metric: Metric
) -> pd.DataFrame:
    """Returns configurations at their best rate; ``path`` and ``version`` as in `comparable`."""
    return analyzing.best_of_rates(_reading, among, metric)


def _label(one: Comparable) -> str:
    """Runs in words: the settings of the training that differ from the defaults."""
    said = json.loads(one.training or "{}")
    defaults = {option.name: option.default for option in options_of(TrainConfig)}
    changed = [
        f"{name} {value}"
        for name, value in said.items()
        if value != defaults.get(name, value) and name != "protocol"
    ]
    return " · ".join([one.task, f"{one.frame} frame", one.protocol, *changed])
