"""Map: the design space, cell by cell, with what is published, tried and still open."""

import streamlit as st

from pages import _front_door, _map_cells, _map_chart, _map_plan, _ui

_front_door.enter()

store = _ui.store()
if store is not None:
    shown = _map_cells.sidebar(store)
    st.header("Map", anchor=False)
    table = _map_cells.table(store, shown)
    _map_chart.heed(table, shown)
    _map_cells.summary(table, shown)
    _map_plan.show(table)
    _map_chart.show(table, shown)
