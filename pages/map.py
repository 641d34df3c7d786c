"""Map: the design space, cell by cell, with what is published, measured, tried and still open."""

import streamlit as st

from pages._shared import front_door

front_door.enter()

from pages._map import chart, collected, skills, space, state_front
from pages._shared import address, ui

if address.begin("map"):
    collected.forget_clicks()

store = ui.store()
if store is not None:
    st.header("Map", anchor=False)
    shown = space.asked_for(store)
    table = space.table(store, shown)
    collected.take_over(table)
    chart.heed(shown)
    space.summary(table, shown, store)
    for sentence in address.problems():
        st.text(sentence)
    chart.show(table, shown)
    left, right = st.columns([3, 2], gap="large")
    with left:
        state_front.show_front(table, shown)
    with right:
        collected.show(table, shown.setting)
        skills.show(store)
    address.tell()
