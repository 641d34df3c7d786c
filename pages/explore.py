"""Explore: pick three ingredients, see the layer they make, watch it work."""

import streamlit as st

from pages._shared import front_door

front_door.enter()

from pages._explore import (
    asked,
    ladder,
    layer,
    locks,
    pickers,
    regression,
    sequences,
    share,
    training,
)
from pages._shared import address

address.begin("explore")

share.read_address()
wrong = st.container()  # filled last: some values are known as wrong by what is drawn alone
picked = asked.parsed()
locks.say_what_is_no_knob(picked.spec)
sequences.say_what_cannot_be_read()
with st.container(horizontal=True, vertical_alignment="center", gap="small"):
    st.markdown("**Every sequence layer fits a function to the past.**")
    pickers.whole()
    sharing = st.container(width="content")
with st.container(key="explored"):
    cards = pickers.cards(picked)
    upper = layer.show(picked)
    with st.container(key="played", horizontal=True, vertical_alignment="center", gap="small"):
        ladder.show(picked)
        sequences.chooser()
        sequences.own_words()
        ladder.tell_rung(picked)
    constants = regression.show(picked, upper.verdict)
layer.show_equations(upper, str(constants.spec))
cards.say_drawn(constants, sequences.how(upper.verdict))
layer.show_more(picked, upper, str(constants.spec))
if not picked.wrong:
    training.show(picked)
with sharing:
    share.show(picked)
with wrong:
    share.say_what_is_wrong()
address.tell()
