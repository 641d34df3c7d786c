"""Explore: pick three ingredients, see the layer they make, watch it work."""

import streamlit as st

from pages import _front_door, _layer, _options, _pickers, _regression, _share, _training

_front_door.enter()

wrong = _pickers.read_address() + _options.read_address(_share.address_options())
if wrong:
    with st.container(border=True):
        st.badge("Changed in the address", icon=":material/link_off:", color="orange")
        for sentence in wrong:
            st.text(sentence)

picked = _pickers.sidebar()
found = _layer.show(picked)
if found.kind != _layer.UNDEFINED:
    _regression.show(picked, found)
    _training.show(picked)
_share.show(picked)
