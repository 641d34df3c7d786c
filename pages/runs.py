"""Runs: every run in the store; filter, look closer, tag, export."""

import streamlit as st

from pages import _front_door, _run_details, _run_filters, _run_table, _ui

_front_door.enter()

store = _ui.store()
if store is not None:
    filters = _run_filters.sidebar(store)
    st.header("Runs", anchor=False)
    picked = _run_table.show(store, filters)
    if picked:
        _run_details.show(store, picked)
