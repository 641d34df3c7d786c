"""Sweep: compose many runs, see what is done already and how long the rest takes, run and watch."""

import streamlit as st

from pages._shared import front_door

front_door.enter()

from pages._shared import address, ui
from pages._sweep import compose, going, searches

address.begin("sweep")

store = ui.store()
if store is not None:
    st.header("Sweep", anchor=False)
    one = compose.composed()
    tags = searches.take_over(store)
    for sentence in address.problems():
        st.text(sentence)
    if one is None:
        st.caption("Choose a published layer, or type a spec.")
    else:
        going.show(store, one)
    searches.show(store, tags)
    address.tell()
