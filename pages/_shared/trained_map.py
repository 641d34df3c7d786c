"""What a trained model draws on: its attention on one test sequence, from its kept weights."""

from __future__ import annotations

import altair as alt
import pandas as pd
import streamlit as st

from experiments_db.errors import StoreError
from experiments_db.read.trained_views import OwnLayer, trained_view
from experiments_db.store import Store
from experiments_db.store.weights import file_of, kept_bytes
from pages._shared import ui
from ttr_core.lab import TrainedView

SIDE, NAMES = 420, 110  # pixels: of the map, and of what stands beside it
SEQUENCES = 8
RIGHT, WRONG = "#009E73", "#D55E00"
SPREAD = 0.999
"""The share of weights within the ends of the scale: one larger one does not pale the rest."""


def show(store: Store, run_id: str) -> None:
    """Shows what the trained model of a run draws on, where its weights are kept."""
    size = kept_bytes(store.path, run_id)
    if size is None:
        return
    st.caption("What was learned: what each output draws on, on a test sequence")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        index = st.segmented_control(
            "Sequence", range(SEQUENCES), default=0, required=True, key=f"sequence.{run_id}",
            format_func=lambda number: str(number + 1),
        )  # fmt: skip
        st.download_button(
            f"Weights, {size / 1e6:.1f} MB" if size >= 1e6 else f"Weights, {size / 1e3:.0f} kB",
            lambda: file_of(store.path, run_id).read_bytes(),
            f"{run_id}.safetensors",
            key=f"weights.{run_id}",
            icon=":material/download:",
            on_click="ignore",
            help="The tensors of the trained model by name, as safetensors.",
        )
    try:
        view = _view(str(store.path), run_id, int(index or 0), size, store)
    except (StoreError, RuntimeError, ArithmeticError) as error:
        ui.failed("This could not be drawn", str(error)[:500])
        return
    _draw(view, run_id)


@st.cache_data(max_entries=50, show_spinner="Looking at the trained model")
def _view(path: str, run_id: str, index: int, size: int, _store: Store) -> TrainedView:
    """Returns the view; ``path`` and ``size`` stand for the file that is there now."""
    with ui.computing():
        return trained_view(_store, run_id, index)


def _draw(view: TrainedView, run_id: str) -> None:
    right = sum(a == b for a, b in zip(view.answers, view.labels, strict=True))
    with st.container(horizontal=True, gap="medium"):
        for number in range(len(view.maps)):
            with st.container(width=SIDE + NAMES):
                st.altair_chart(
                    chart_of(view, number),
                    key=f"trained.{run_id}.{number}",
                    alt=f"Attention of layer {number + 1}, {right} of {len(view.asked)} right",
                )
    st.caption(
        f"Layer by layer from the input, the mean over heads; rows are queries, columns the tokens "
        f"before them. A ring is where the asked value stands, green where the answer is right "
        f"({right} of {len(view.asked)} here), orange where it is wrong."
    )


def show_own(own: OwnLayer, run_id: str) -> None:
    """Shows what a run found out of a user's module: its map, and what it is near to.

    Args:
        own: as the store has it.
        run_id: of the run.
    """
    st.caption(ui.escaped(own.sentence))
    if own.view is not None:
        with st.container(width=SIDE + NAMES):
            alt_text = f"What a user's module draws on, linear in the {own.linear_in}"
            st.altair_chart(chart_of(own.view, 0), key=f"own.{run_id}", alt=alt_text)


def chart_of(view: TrainedView, number: int) -> alt.LayerChart:
    """Draws the map of a layer on a zero-centered scale, with rings where the asked values stand.

    Args:
        view: of the trained model.
        number: which layer, from 0.
    """
    data = pd.DataFrame(view.weights(number), columns=["row", "column", "weight"])
    reach = max(float(data["weight"].abs().quantile(SPREAD)), 1e-9)
    scale = alt.Scale(
        domain=[-reach, 0, reach], range=["#B84A00", "#F7F7F7", "#0072B2"], clamp=True
    )
    axis = alt.Axis(labelOverlap=True, grid=False, ticks=False, values=list(range(0, 129, 16)))
    x = alt.X("column:O", title="token", axis=axis)
    y = alt.Y("row:O", title="query", axis=axis)
    tips = [alt.Tooltip("row:O"), alt.Tooltip("column:O"), alt.Tooltip("weight:Q", format=".3g")]
    color = alt.Color("weight:Q", scale=scale, legend=alt.Legend(title=None, gradientLength=120))
    cells = alt.Chart(data).mark_rect().encode(x=x, y=y, color=color, tooltip=tips)
    rings = pd.DataFrame(
        [
            (position, source, answer == label)
            for position, source, answer, label in zip(
                view.asked, view.sources(), view.answers, view.labels, strict=True
            )
            if source is not None
        ],
        columns=["row", "column", "right"],
    )
    stroke = alt.condition("datum.right", alt.value(RIGHT), alt.value(WRONG))
    marks = alt.Chart(rings).mark_point(size=70, strokeWidth=2, fill="transparent")
    drawn = [cells, marks.encode(x=x, y=y, stroke=stroke)]
    return alt.LayerChart(layer=drawn).properties(height=SIDE + NAMES // 2)
