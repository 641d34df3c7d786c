"""Compare: up to eight runs or configurations side by side."""

import streamlit as st

from pages._shared import front_door

front_door.enter()

from pages._compare import chosen, shown
from pages._shared import address, ui

address.begin("compare")

store = ui.store()
if store is not None:
    st.header("Compare", anchor=False)
    shown.show(store, chosen.controls())
    address.tell()
