"""Runs: every run in the store; filter, group, look closer, tag, archive, export."""

import streamlit as st

from pages._shared import front_door

front_door.enter()

from pages._runs import actions, details, filters, first_curves, picks, rows
from pages._shared import address, ui

address.begin("runs")

store = ui.store()
if store is not None:
    picks.take_over(store)
    asked = filters.sidebar(store)
    st.header("Runs", anchor=False)
    first = rows.first_ids(store, asked, first_curves.FIRST)
    drawn = first or picks.picked()
    curves = first_curves.reserved() if drawn else None  # drawn last, when the picks are known
    total = rows.show(store, asked)
    actions.undo_bar(store)
    if total is not None:
        actions.show(store, asked, total)
    if curves is not None:
        with curves:
            first_curves.show(store, picks.picked(), first, asked.view == "configurations")
    if picks.picked():
        details.show(store, picks.picked())
    address.tell()
