"""What the cell that is picked on the Map has learned in runs, and what theorems say of it."""

from __future__ import annotations

from typing import Any

import streamlit as st

import ttr_core as ttr
from experiments_db.errors import StoreError
from experiments_db.read import queries
from experiments_db.read.learned import best_known, skills_told, variants
from experiments_db.store import Store
from pages._shared import theorems, ui

CELL = "map.cell"


def show(store: Store) -> None:
    """Shows it of the picked cell, if there is one."""
    spec = st.session_state.get(CELL)
    if not spec:
        return
    try:
        version = queries.data_version(store)
        known, others = _known(str(store.path), version, store)
    except StoreError:  # the page has said so
        known, others = {}, {}
    said = skills_told(known.get(spec, {}))
    parts = [f"In runs it {said}." if said else "No run has tried what it can learn."]
    if spec in others:
        parts.append(f"With other options: {others[spec]}.")
    st.caption(" ".join([*map(ui.escaped, parts), theorems.of_cell(spec)]))


@st.cache_data(max_entries=2, show_spinner=False)
def _known(
    path: str, version: str, _store: Store
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Returns what each cell has learned, and what those that the grid lists have elsewhere."""
    best = best_known(_store)
    return best.to_dict("index"), variants(best, [cell.spec for cell in ttr.grid()])
