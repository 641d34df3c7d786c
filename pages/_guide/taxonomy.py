"""The published layers as a tree: each below the one that it is a move from."""

from __future__ import annotations

import re

import streamlit as st

from ttr_core.tools import tree


def show() -> None:
    """Shows every published layer at its place."""
    st.subheader("Who is a move from whom", anchor="families")
    st.markdown(
        "Each published layer below the one that it is a move from: what stands for what in its "
        "three ingredients, numbers left out, then the move in words. A name opens it in Explore."
    )
    st.markdown(_linked_tree())


@st.cache_data(show_spinner=False)
def _linked_tree() -> str:
    """Returns the tree as Markdown; its links lead to Explore in place of a section."""
    return re.sub(r"\]\(#([^)]+)\)", r"](explore?layer=\1)", tree())
