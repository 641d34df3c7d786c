"""Analyze: what a result depends on, over all comparable runs of the store."""

import streamlit as st

from pages._shared import front_door

front_door.enter()

from pages._analyze import empty, views
from pages._shared import address, ui

address.begin("analyze")

store = ui.store()
if store is not None:
    st.header("Analyze", anchor=False)
    if not views.show(store):
        empty.show(store)
    address.tell()
