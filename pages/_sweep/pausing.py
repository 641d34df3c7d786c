"""The buttons that hold what is worked off, let it go on, and cancel it."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st


def buttons(
    key: str, held: bool, hold: Callable[[], None], resume: Callable[[], None],
    stop: Callable[[], None], kept: str,
) -> None:  # fmt: skip
    """Shows them.

    Args:
        key: of the buttons, less what each does.
        held: whether it is held now.
        hold: hands out nothing more.
        resume: goes on.
        stop: ends what runs.
        kept: what there is after that, in a sentence.
    """
    st.button(
        "Go on" if held else "Pause",
        key=f"{key}.hold",
        icon=":material/play_arrow:" if held else ":material/pause:",
        on_click=resume if held else hold,
        help="What was handed out, two runs a worker at most, goes on to its end.",
    )
    st.button(
        "Cancel",
        key=f"{key}.cancel",
        icon=":material/stop:",
        on_click=stop,
        help=f"Ends what runs; {kept}",
    )
