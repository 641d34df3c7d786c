"""What the address of Explore holds, read at the start and written as a permanent link."""

from __future__ import annotations

from functools import partial

import streamlit as st

from pages._explore import asked, layer, regression, training
from pages._explore.asked import Picked
from pages._shared import address, snippets, ui


def read_address() -> None:
    """Takes over what the address says."""
    asked.take_over()
    address.take(regression.address_params())
    training.take_over()


def say_what_is_wrong() -> None:
    """Shows what is wrong with the address, where anything is."""
    if wrong := address.problems():
        with st.container(border=True):
            st.badge("Changed in the address", icon=":material/link_off:", color="orange")
            for sentence in wrong:
                st.text(sentence)


def show(picked: Picked) -> None:
    """Shows links and code to take away; built only when opened, so that they are up to date."""
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


def _contents(picked: Picked) -> None:
    st.caption("A link that names every value, also the defaults")
    st.code(ui.permalink(linked(picked)), language=None, wrap_lines=True, width=560, height=110)
    st.caption("The layer in Python")
    if picked.layer:
        st.code(snippets.layer_snippet(picked.layer), width=560)
    st.code(snippets.solve_snippet(picked.text), width=560)
    _home(picked)


def _home(picked: Picked) -> None:
    """Offers the layer as a file, which is written in a thread of its own where it is asked for."""
    st.caption("The layer as one file of plain PyTorch, with a test of its own")
    found = layer.judged(picked.text)
    slow = found.kind == layer.SLOW
    st.download_button(
        "Take it home",
        partial(layer_file, picked.layer or picked.text, asked.frame_of(picked)),
        file_name="layer.py",
        mime="text/x-python",
        icon=":material/download:",
        key="layer_file",
        on_click="ignore",
        disabled=slow,
        help="Runs the layer to see what it needs: some seconds. It needs nothing of this project.",
    )
    if slow:
        st.caption(f"There is no file of it. {' '.join(found.reasons)}")


@st.cache_data(max_entries=50, show_spinner=False)
def layer_file(named: str, frame: str) -> str:
    """Returns a layer in its frame as a file."""
    from ttr_core.tools import standalone_layer

    with ui.computing():
        return standalone_layer(named, frame).text


def linked(picked: Picked) -> dict[str, list[str]]:
    """Returns every value of the page by its name in the address."""
    return {**address.every_value(), "frame": [asked.frame_of(picked)]}
