"""The vital signs of a fresh layer in its frames, measured when somebody asks."""

from __future__ import annotations

from typing import Any

import streamlit as st

import ttr_core as ttr
from pages._explore.asked import Picked
from pages._shared import ui
from ttr_core.lab import vital_signs

LENGTHS = (64, 1024)  # tokens for gradients: what answers within seconds
NAMES = {
    "scale": "size of the outputs",
    "match": "recall of a pair just written (cosine)",
    "half_life_low": "shortest half-life (tokens)",
    "half_life_high": "longest half-life (tokens)",
    "step_low": "smallest step",
    "step_high": "largest step",
    **{f"input_gradient_{n}": f"gradient to the inputs over {n} tokens" for n in LENGTHS},
    **{f"parameter_gradient_{n}": f"gradient to the parameters over {n} tokens" for n in LENGTHS},
    "parts": "token at which float32 and float64 part",
}


@st.cache_data(max_entries=200, show_spinner="Measuring fresh layers")
def measured(layer: str, frames: tuple[str, ...]) -> list[dict[str, Any]]:
    """Returns what is measured of a layer in each frame, under the names shown."""
    with ui.computing():
        signs = {frame: vital_signs(layer, frame, LENGTHS).to_dict() for frame in frames}
    return [
        {"": shown, **{frame: _written(row.get(name)) for frame, row in signs.items()}}
        for name, shown in NAMES.items()
    ]


def show(picked: Picked) -> None:
    """Offers the vital signs of a layer that can be trained."""
    with st.popover("Fresh", icon=":material/monitor_heart:", help="What it does untrained."):
        st.markdown("**Before anything is learned**")
        st.caption("One head, d = 64, one seed. The whole catalog: docs/catalog.md.")
        if not st.toggle("Measure it", key="vitals", help="Takes some seconds."):
            return
        frames = tuple(f for f in ttr.FRAMES if picked.layer or f != "published")
        st.table(measured(picked.layer or picked.text, frames))


def _written(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
