"""What the cell that is picked on the Map has learned in runs, and what theorems say of it."""

from __future__ import annotations

from typing import Any

import streamlit as st

from experiments_db.errors import StoreError
from experiments_db.read import queries
from experiments_db.read.learned import best_known, skills_told
from experiments_db.store import Store
from pages._shared import theorems

CELL = "map.cell"


def show(store: Store) -> None:
    """Shows it of the picked cell, if there is one."""
    spec = st.session_state.get(CELL)
    if not spec:
        return
    try:
        version = queries.data_version(store)
        said = skills_told(_known(str(store.path), version, store).get(spec, {}))
    except StoreError:  # the page has said so
        said = ""
    parts = [f"In runs it {said}." if said else "No run has tried what it can learn."]
    st.caption(" ".join([*parts, theorems.of_cell(spec)]))


@st.cache_data(max_entries=2, show_spinner=False)
def _known(path: str, version: str, _store: Store) -> dict[str, dict[str, Any]]:
    return best_known(_store).to_dict("index")
