"""The top of Runs: curves of the picked runs, or of the first ones, before the table."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from experiments_db.errors import StoreError
from experiments_db.store import Store
from pages._shared import compared, mean_lines, ui
from pages._shared.mean_lines import Drawn

FIRST, MOST = 5, 6
"""Rows whose curves are drawn while none is picked, and picked ones at most."""

HEIGHT = 440  # pixels: the same with one curve and with `MOST`, so that nothing below it moves
KEY = "runs-curves"
STACKED = f"""<style>@media (max-width: 640px) {{
  .st-key-{KEY}, div:has(> .st-key-{KEY}) {{ height: 820px !important }}
}}</style>"""
"""On a phone the curves stand below each other."""


def reserved() -> DeltaGenerator:
    """Returns where the curves go, which is as tall without them."""
    st.html(STACKED)
    return st.container(height=HEIGHT, border=False, key=KEY)


def show(store: Store, picked: Sequence[str], first: Sequence[str], over_seeds: bool) -> None:
    """Draws the curves of the picked runs, or of the first ones.

    Args:
        store: where they are.
        picked: the ids of the picked runs.
        first: those of the first rows, which stand in while none is picked.
        over_seeds: whether each stands for its configuration, with a band over its seeds.
    """
    ids = tuple(picked or first)[:MOST]
    try:
        sides, _, data = compared.sides_and_curves(store, ids, over_seeds)
    except StoreError as error:
        ui.failed("The store could not be read", str(error))
        return
    labels = [side.label for side in sides]
    st.caption(_said(len(picked), len(labels), over_seeds))
    if data.empty:
        st.caption("No curves are stored for these.")
        return
    asked = Drawn(ids, over_seeds, 0.0, False, False)
    names = sorted(dict.fromkeys(data["name"]), key=lambda name: name == "train_loss")
    for column, name in zip(st.columns(min(2, len(names))), names, strict=False):
        column.altair_chart(
            mean_lines.compared_chart(data[data["name"] == name], name, labels, asked),
            key=f"first.{name}",
            alt=f"{name} of {', '.join(labels)}",
        )


def _said(picked: int, shown: int, over_seeds: bool) -> str:
    one, several = ("configuration", "configurations") if over_seeds else ("run", "runs")
    mean = ", the mean over seeds with one standard error" if over_seeds else ""
    if picked == 1:
        return f"The picked {one}{mean}."
    if not picked:
        return f"The first {shown} {several}{mean}: tick rows below to draw others."
    more = f"{shown} of {picked} picked" if picked > MOST else "The picked"
    return f"{more} {several}{mean}."
