"""Boxes that are filled when they are opened.

A browser takes a second of its processor to color the code in boxes that nobody has opened.
"""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st


@st.fragment
def expander(label: str, icon: str, key: str, fill: Callable[[], object]) -> None:
    """Shows an expander; opening it runs nothing else of the page.

    Args:
        label: of it.
        icon: beside the label.
        key: of its state, of no other control.
        fill: shows what is in it.
    """
    box = st.expander(label, icon=icon, key=key, on_change="rerun")
    if box.open:
        with box:
            fill()


@st.fragment
def popover(label: str, icon: str, key: str, help: str, fill: Callable[[], object]) -> None:
    """Shows a button that opens a box, as `expander` does.

    Args:
        label: of the button.
        icon: beside the label.
        key: of its state, of no other control.
        help: what is in it.
        fill: shows what is in it.
    """
    box = st.popover(label, icon=icon, key=key, help=help, on_change="rerun")
    if box.open:
        with box:
            fill()
