"""Makes every address of a fresh server lead through app.py.

Streamlit runs the files of a folder named ``pages`` on its own until app.py has declared the
navigation once. The first visitor of a fresh server who opens ``/runs`` by its address would
therefore get the bare page; this runs app.py instead, which leads to the page.

A page enters before it imports anything else of the project. app.py waits until all is loaded;
a page that imported meanwhile, in another order, would meet half of a module: two threads that
import the parts of a circle wait for each other, until one of them is given what there is.
"""

from __future__ import annotations

import runpy
from pathlib import Path

import streamlit as st

APP = Path(__file__).resolve().parents[2] / "app.py"
ENTERED = "entered"
ALIKE = """<style>
[data-testid="stButtonGroup"] [role="radio"] {
  min-height: 2.5rem; /* as high as the lists beside them, so that their labels stand in a line */
}
@media (max-width: 640px) {
  [data-testid="stButtonGroup"] [role="radiogroup"] {
    flex-wrap: wrap; /* else the last ones are out of sight, and nothing says so */
  }
}
</style>"""
"""Style of all pages."""


def explore() -> None:
    """Shows Explore, which lives at the root, under the address of its name."""
    runpy.run_path(str(APP.parent / "pages" / "explore.py"), run_name="__main__")


def enter() -> None:
    """Goes on if app.py has led here, and through app.py otherwise; before a page imports more."""
    if ENTERED not in st.session_state:
        runpy.run_path(str(APP), run_name="__main__")
        st.stop()
