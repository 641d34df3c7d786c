"""Map: the design space, cell by cell, with what is published, tried and still open."""

import streamlit as st

from pages._map import chart, collected, space
from pages._shared import address, front_door, ui

front_door.enter()
if address.begin("map"):
    collected.forget_clicks()

store = ui.store()
if store is not None:
    shown = space.sidebar(store)
    st.header("Map", anchor=False)
    table = space.table(store, shown)
    collected.take_over(table)
    chart.heed(table, shown)
    space.summary(table, shown)
    for sentence in address.problems():
        st.text(sentence)
    collected.show(table, shown.setting)
    chart.show(table, shown)
    address.tell()
