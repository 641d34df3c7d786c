"""Runs: every run in the store; filter, group, look closer, tag, archive, export."""

import streamlit as st

from pages import _front_door, _run_actions, _run_details, _run_filters, _run_picks, _run_table, _ui

_front_door.enter()

store = _ui.store()
if store is not None:
    filters = _run_filters.sidebar(store)
    st.header("Runs", anchor=False)
    _run_actions.undo_bar(store)
    total = _run_table.show(store, filters)
    if total is not None:
        _run_actions.show(store, filters, total)
    if _run_picks.picked():
        _run_details.show(store, _run_picks.picked())
