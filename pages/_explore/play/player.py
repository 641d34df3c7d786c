"""The component that plays a film: plain JavaScript on canvas, which asks the server for nothing.

Its parts are read once per process and sent as text: Streamlit takes paths of installed packages
alone. A film is JSON, since unchanged JSON, unlike raw bytes, leaves what is playing alone.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import streamlit as st

from pages._explore.play.film import Film

HERE = Path(__file__).parent


def _text(*names: str) -> str:
    return "\n".join((HERE / name).read_text(encoding="utf-8") for name in names)


_player = st.components.v2.component(
    "ttr_play",
    html=_text("player.html"),
    css=_text("player.css"),
    js=_text("pictures.js", "player.js"),
)


@dataclass(frozen=True)
class Start:
    """Where playing starts.

    Args:
        step: None for the last.
        visit: another number wherever the address is to be heard again.
        beside: the layer of the second map; the first pinned one where there is none of this name.
    """

    step: int | None
    visit: int
    beside: str = ""


def show(film: Film, start: Start) -> None:
    """Plays a film.

    Args:
        film: what is played.
        start: the same as long as the browser decides which step is shown.
    """
    _player(key="play", data={**film.to_dict(), "start": asdict(start)})
