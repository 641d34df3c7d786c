"""Explore: pick three ingredients, see the layer they make, watch it work."""

import streamlit as st

from pages._explore import layer, pickers, regression, share, training
from pages._shared import address, front_door

front_door.enter()
address.begin("explore")

wrong = share.read_address()
if wrong:
    with st.container(border=True):
        st.badge("Changed in the address", icon=":material/link_off:", color="orange")
        for sentence in wrong:
            st.text(sentence)

sidebar = pickers.sidebar()
upper = layer.show(sidebar.picked)
constants = regression.show(sidebar.picked, upper.verdict)
layer.show_equations(upper, str(constants.spec))
sidebar.say_drawn(constants.spec, regression.how(upper.verdict))
if not sidebar.picked.wrong:
    training.show(sidebar.picked)
share.show(sidebar.picked)
address.tell()
