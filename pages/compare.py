"""Compare: up to eight runs or configurations side by side."""

import streamlit as st

from pages._compare import chosen, shown
from pages._shared import address, front_door, ui

front_door.enter()
address.begin("compare")

store = ui.store()
if store is not None:
    st.header("Compare", anchor=False)
    shown.show(store, chosen.controls())
    address.tell()
