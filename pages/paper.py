"""Paper: what papers claim, what the runs say of it, and how to see it for oneself."""

import streamlit as st

from pages._shared import front_door

front_door.enter()

from pages._paper import cards, chosen_claims
from pages._shared import address, ui

address.begin("paper")

store = ui.store()
if store is not None:
    st.header("Paper", anchor=False)
    picked = chosen_claims.take_over()
    for sentence in address.problems():
        st.text(sentence)
    cards.show(store, picked)
    address.tell()
