"""What the address of Explore holds, read at the start and written as a permanent link."""

from __future__ import annotations

import streamlit as st

from pages._explore import pickers, regression, training
from pages._shared import snippets, ui
from ttr_core import Option


def address_options() -> dict[str, Option]:
    """Returns every setting that the address of Explore may name."""
    return {**regression.address_options(), **training.address_options()}


def show(picked: pickers.Picked) -> None:
    """Shows links and code to take away; built only when opened, so that they are up to date."""
    with st.sidebar:
        box = st.popover(
            "Share or copy",
            icon=":material/share:",
            on_change="rerun",
            key="share",
            help="A link that names every value, and Python for this layer.",
        )
        if box.open:
            with box:
                _contents(picked)


def _contents(picked: pickers.Picked) -> None:
    st.caption("A link that names every value, also the defaults")
    st.code(ui.permalink(linked(picked)), language=None, wrap_lines=True, width=560, height=110)
    st.caption("The layer in Python")
    if picked.layer:
        st.code(snippets.layer_snippet(picked.layer), width=560)
    st.code(snippets.solve_snippet(picked.text), width=560)


def linked(picked: pickers.Picked) -> dict[str, object]:
    """Returns every value of the page by its name in the address."""
    settings = {
        key: snippets.written(st.session_state.get(key, option.default))
        for key, option in address_options().items()
    }
    compared = st.session_state.get("compare")
    return {"spec": picked.text, "layer": picked.layer, "compare": compared, **settings}
