"""Runs: every run in the store; filter, group, look closer, tag, archive, export."""

import streamlit as st

from pages._runs import actions, details, filters, picks, rows
from pages._shared import front_door, ui

front_door.enter()

store = ui.store()
if store is not None:
    asked = filters.sidebar(store)
    st.header("Runs", anchor=False)
    actions.undo_bar(store)
    total = rows.show(store, asked)
    if total is not None:
        actions.show(store, asked, total)
    if picks.picked():
        details.show(store, picks.picked())
