"""The four pictures of Analyze, with their words, tables and files."""

from __future__ import annotations

from collections.abc import Callable

import altair as alt
import pandas as pd
import streamlit as st

from experiments_db.errors import StoreError
from experiments_db.read import analyzing, effects, noted, queries
from experiments_db.store import Store
from pages._analyze import inquiry, plots
from pages._analyze.inquiry import Inquiry
from pages._shared import address, palette, saved, ui
from ttr_core import AXES
from ttr_core.lab import Metric

ROWS = 40  # of a chart with a row per layer


def show(store: Store) -> bool:
    """Shows what the address asks for; returns whether there are any runs."""
    path = str(store.path)
    try:
        version = queries.data_version(store)
        with analyzing.CompleteRuns(store) as reading:
            asked = inquiry.inquired(inquiry.comparable(path, version, reading))
            if asked is None:
                _wrong()
                return False
            table = inquiry.best(path, version, reading, asked.among, asked.metric)
        VIEWS[asked.view](store, asked, table)
    except StoreError as error:
        ui.failed("The store could not be read", str(error))
    _wrong()
    return True


def _wrong() -> None:
    for sentence in address.problems():
        st.text(sentence)


def _costs(store: Store, asked: Inquiry, table: pd.DataFrame) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        if len(table):
            own = inquiry.setting(table, asked.among.task)
            table = table[table["setting"] == own]
        cost = inquiry.one_of("analyze.cost", "cost", inquiry.COSTS)
        st.segmented_control(
            "Against", list(inquiry.COSTS), required=True, key="analyze.cost",
            format_func=lambda name: name.capitalize(),
        )  # fmt: skip
        axis = inquiry.one_ingredient("analyze.kind", AXES[2])
        st.segmented_control("Color by", AXES, required=True, key="analyze.kind")
        log = inquiry.switch("analyze.log", asked.metric, table["mean"])
    data = _with_errors(table[table[cost] > 0], asked.metric)
    if data.empty:
        st.caption("No run has noted both.")
        return
    data = data.assign(kind=_kinds(data, axis))
    if log:
        data = data.assign(
            missing=plots.missing(data["mean"], asked.metric),
            low=plots.missing(data["low"], asked.metric),
            high=plots.missing(data["high"], asked.metric),
        )
    best = analyzing.front(data, cost, asked.metric)
    across = (cost, inquiry.COSTS[cost])
    title = f"{asked.metric.title} against {across[1]}; front: {', '.join(best['name'])}"
    _draw(plots.costs(data, best, across, axis, asked.metric), "cost", title)
    error = " with one standard error" if data["se"].notna().any() else ""
    words = f"A point is a configuration, the mean over n runs{error}, at the best of its learning "
    words += "rates; those that would lie on each other stand side by side."
    if best[cost].nunique() > 1:  # a front of one place is no line
        words += f" The dashed front, which has most for least: {', '.join(best['name'])}."
    _counted(data, words)
    names = {"name": "layer", cost: across[1], "mean": asked.metric.name}
    _table(data, [*names, "se", "n", "runs", "rates", "spec", "sizes"], "cost")


def _settings(store: Store, asked: Inquiry, table: pd.DataFrame) -> None:
    by = analyzing.varied(table, inquiry.FIRST) if len(table) else []
    if not by:
        st.caption(
            "No layer has two points: run one task setting with several pairs, lengths or widths, "
            "such as `pairs: [4, 8, 16]` in a plan. *Beyond training* has tests on other sizes."
        )
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        setting = inquiry.one_of("analyze.by", "setting", by)
        st.selectbox("Against", by, key="analyze.by", width=180)
        data = analyzing.against(table, setting)
        rests = list(data["rest"].value_counts().index)
        rest = inquiry.one_of("analyze.rest", "rest", rests)
        if len(rests) > 1:
            st.selectbox("With", rests, key="analyze.rest", width=320)
        data = _picked(data[data["rest"] == rest], asked.metric)
    title = setting.partition(".")[2].replace("_", " ")
    _drawn_lines(data, title, asked.metric, [], "Each point is trained at its place, all else the")


def _beyond(store: Store, asked: Inquiry, table: pd.DataFrame) -> None:
    found = own = None
    if len(table):
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            setting, size = inquiry.setting_and_size(table, asked.among.task)
            found = noted.tested_beyond(store, asked.among, setting, size, asked.metric)
            found = found[found["series"].isin(set(table["series"]))]  # at the best of its rates
            own = [str(c) for c in found if c not in noted.TESTED]
            if own and len(found):
                found = _picked(found, asked.metric)
    if found is None or not own:
        st.caption("These runs have noted no tests on other sizes.")
        return
    places = found[own].drop_duplicates().sort_values(own).itertuples(index=False)
    word = {tuple(place): " / ".join(f"{x:g}" for x in place) for place in places}
    data = found.assign(x=[word[tuple(row)] for row in found[own].itertuples(index=False)])
    title = " / ".join(own).replace("_", " ")
    _drawn_lines(
        data,
        title,
        asked.metric,
        list(word.values()),
        "Each run is tested at every place, all else the",
    )


def _drawn_lines(
    data: pd.DataFrame, title: str, metric: Metric, ordered: list[str], words: str
) -> None:
    if data.empty:
        st.caption("Choose a layer.")
        return
    data = _with_errors(data, metric)
    said = f"{metric.title} against {title} of {', '.join(dict.fromkeys(data['name']))}"
    _draw(plots.lines(data, title, metric, ordered), "lines", said)
    error = " with one standard error" if data["se"].notna().any() else ""
    _counted(data, f"{words} same; means over n runs{error}.", bool(ordered))
    _table(data, ["name", "x", "mean", "se", "n", "spec"], "lines")


def _picked(data: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """Shows which layers have a line and returns theirs; at first from the best to the worst."""
    means = data.groupby("name")["mean"].mean().sort_values(ascending=not metric.rises)
    names = list(means.index)
    step = max(1.0, (len(names) - 1) / (inquiry.LINES - 3))
    spread = dict.fromkeys(names[min(len(names) - 1, round(i * step))] for i in range(6))
    picked = inquiry.several("analyze.lines", "layer", tuple(names), tuple(spread))
    st.multiselect(
        "Layers",
        names,
        key="analyze.lines",
        max_selections=inquiry.LINES,
        help="The best first; at first some from the best to the worst.",
    )
    return data[data["name"].isin(picked)]


def _rates(store: Store, asked: Inquiry, table: pd.DataFrame) -> None:
    metric = asked.metric
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        if table.empty or metric.bounds is None:
            st.caption("There is nothing to show for this metric.")
            return
        setting, size = inquiry.setting_and_size(table, asked.among.task)
    found = noted.tried_rates(store, asked.among, setting, size, metric)
    if found.empty:
        st.caption(
            "No run has tried several learning rates on this metric: *lr: auto* in a plan does."
        )
        return
    wide = noted.windows(found, metric)
    order = list(wide["name"])[-ROWS:]
    wide = wide.assign(
        window=[f"{a:.2g} to {b:.2g}" for a, b in zip(wide["low"], wide["high"], strict=True)]
    )
    data = _with_errors(found[found["name"].isin(order)], metric)
    data = data.merge(wide[["name", "low", "high", "window"]], on="name", suffixes=("_error", ""))
    inside = (data["lr"] >= data["low"]) & (data["lr"] <= data["high"])
    data = data.assign(rate=[f"{lr:.2g}" for lr in data["lr"]], inside=inside)
    _draw(
        plots.rates(data, order, metric),
        "rates",
        f"{metric.title} by learning rate of {ui.count_of(len(order), 'layer')}, the widest "
        "window first",
    )
    left = f" The {len(wide) - ROWS} widest are in the table only." if len(wide) > ROWS else ""
    _counted(
        data,
        "On the validation set, when the search left each rate. A dot: in the window, no more than "
        f"{100 * noted.WINDOW:g} points behind the best rate without a gap; at an edge of what "
        f"was tried it may be wider.{left}",
        repeated=True,
    )
    _table(wide, ["name", "best", "low", "high", "factor", "tried"], "rates")


def _ingredients(store: Store, asked: Inquiry, table: pd.DataFrame) -> None:
    metric = asked.metric
    if table.empty:
        st.caption("No run has a finite value of this metric.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        setting, size = inquiry.setting_and_size(table, asked.among.task)
        crossed = inquiry.one_of("analyze.cross", "pair of ingredients", CROSSED)
        st.segmented_control("Interaction of", list(CROSSED), required=True, key="analyze.cross")
    same = table[(table["setting"] == setting) & (table["sizes"] == size)]
    cells = effects.cells_of(same, metric)
    warned = " In the published frame each layer has its own surroundings, so that no difference "
    warned = f"{warned}is the ingredient's alone." if asked.among.frame == "published" else ""
    st.caption(
        f"{ui.count_of(len(cells), 'cell')}. An effect is the mean difference between two cells "
        "that differ in nothing but this ingredient, with n such pairs and one standard error over "
        f"them; a cell is the best of its numbers and rates, as on the Map.{warned}"
    )
    every = []
    with st.container(horizontal=True):
        for axis in AXES:
            every.append(_main_effects(effects.main_effects(cells, axis), axis, metric))
    pair = CROSSED[crossed]
    _interactions(effects.interactions(cells, *pair), pair, metric)
    saved.downloads(pd.concat(every), "effects", "analyze")


def _main_effects(found: pd.DataFrame, axis: str, metric: Metric) -> pd.DataFrame:
    with st.container(width=405, gap="xsmall"):
        st.subheader(axis.capitalize(), anchor=False)
        if found.empty:
            st.caption("No two cells differ in this ingredient alone.")
            return found
        hue = palette.INGREDIENTS[axis]
        color = hue.dark if st.context.theme.type == "dark" else hue.light
        data = _apart(found, metric)
        said = f"What each choice of {axis} adds to {found['reference'].iloc[0]}, with n"
        _draw(plots.effects(data, metric, color), f"effects.{axis}", said)
    return found.assign(ingredient=axis)


def _interactions(found: pd.DataFrame, pair: tuple[str, str], metric: Metric) -> None:
    st.subheader(f"Interaction of {pair[0]} and {pair[1]}", anchor=False)
    if found.empty:
        st.caption("There are no four cells that cross two choices of each.")
        return
    data = _apart(found, metric)
    _draw(
        plots.crossed(data, pair, metric),
        "crossed",
        f"How far the effect of {pair[0]} changes with {pair[1]}",
    )
    st.caption(
        "How much more the choice of the row adds under the choice of the column than under the "
        "reference; n is over the third ingredient."
    )


def _apart(found: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """Adds differences as people read them, with their errors and counts."""
    error = found["se"].fillna(0.0)
    scale, unit = (100, " points") if metric.share else (1, f" {metric.unit}".rstrip())
    said = [
        f"{scale * x:+.3g}{'' if pd.isna(e) else f' ± {scale * e:.2g}'}{unit}"
        for x, e in zip(found["difference"], found["se"], strict=True)
    ]
    return found.assign(
        said=said,
        count=[f"n = {n}" for n in found["n"]],
        low=found["difference"] - error,
        high=found["difference"] + error,
    )


def _with_errors(table: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """Adds the ends of one standard error, within bounds, and the value as people read it."""
    error = table["se"].fillna(0.0)
    low, high = metric.bounds or (None, None)
    said = [
        metric.shown(mean) + ("" if pd.isna(e) else f" ± {metric.shown(e)}")
        for mean, e in zip(table["mean"], table["se"], strict=True)
    ]
    return table.assign(
        said=said,
        low=(table["mean"] - error).clip(lower=low),
        high=(table["mean"] + error).clip(upper=high),
    )


def _kinds(table: pd.DataFrame, axis: str) -> list[str]:
    """Returns the choice of an ingredient of each row, the rarer ones as others."""
    number = AXES.index(axis)
    names = {spec: _bare(spec, number) for spec in table["spec"].unique()}
    kinds = table["spec"].map(names)
    common = list(kinds.value_counts().index[: plots.KINDS])
    return [kind if kind in common else plots.OTHER for kind in kinds]


def _bare(spec: str, number: int) -> str:
    found = effects.place_of(spec)
    return plots.OTHER if found is None else found[number].partition("(")[0]


def _counted(data: pd.DataFrame, words: str, repeated: bool = False) -> None:
    """Says what is on show; ``repeated`` where a run has several points."""
    runs = int(data.groupby("name")["n"].max().sum() if repeated else data["n"].sum())
    layers = data["name"].nunique()
    st.caption(f"{ui.count_of(layers, 'layer')}, n = {ui.count_of(runs, 'run')} in all. {words}")


def _draw(chart: alt.LayerChart, name: str, title: str) -> None:
    st.altair_chart(chart, key=f"analyze.{name}", alt=title[:400])


def _table(data: pd.DataFrame, columns: list[str], name: str) -> None:
    table = data[columns].reset_index(drop=True)
    with st.expander("Numbers", icon=":material/table:"):
        st.dataframe(table, hide_index=True, alt=f"The numbers of the chart: {name}")
        saved.downloads(table, name, "analyze")


CROSSED = {f"{AXES[i]} × {AXES[j]}": (AXES[i], AXES[j]) for i, j in ((0, 2), (1, 2), (0, 1))}

VIEWS: dict[str, Callable[[Store, Inquiry, pd.DataFrame], None]] = {
    "cost": _costs,
    "settings": _settings,
    "beyond": _beyond,
    "rates": _rates,
    "ingredients": _ingredients,
}
