"""Runs: every run in the store; filter, group, look closer, tag, archive, export."""

import streamlit as st

from pages._shared import front_door

front_door.enter()

from pages._runs import actions, details, filters, picks, rows
from pages._shared import address, ui

address.begin("runs")

store = ui.store()
if store is not None:
    picks.take_over(store)
    asked = filters.sidebar(store)
    st.header("Runs", anchor=False)
    actions.undo_bar(store)
    total = rows.show(store, asked)
    if total is not None:
        actions.show(store, asked, total)
    if picks.picked():
        details.show(store, picks.picked())
    address.tell()
