"""Explore: pick three ingredients, see the layer they make, watch it work."""

import streamlit as st

from pages._explore import layer, pickers, regression, share, training
from pages._shared import controls, front_door

front_door.enter()

wrong = pickers.read_address() + controls.read_address(share.address_options())
if wrong:
    with st.container(border=True):
        st.badge("Changed in the address", icon=":material/link_off:", color="orange")
        for sentence in wrong:
            st.text(sentence)

picked = pickers.sidebar()
found = layer.show(picked)
if found.kind != layer.UNDEFINED:
    regression.show(picked, found)
    training.show(picked)
share.show(picked)
