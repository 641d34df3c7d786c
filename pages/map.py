"""Map: the design space, cell by cell, with what is published, tried and still open."""

import streamlit as st

from pages._map import chart, collected, space
from pages._shared import front_door, ui

front_door.enter()

store = ui.store()
if store is not None:
    shown = space.sidebar(store)
    st.header("Map", anchor=False)
    table = space.table(store, shown)
    chart.heed(table, shown)
    space.summary(table, shown)
    collected.show(table)
    chart.show(table, shown)
