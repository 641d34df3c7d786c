"""Loads what the pages need before the first visitor asks for one: PyTorch alone takes a second."""

from __future__ import annotations

import gc
import importlib
import pkgutil

import streamlit as st

import pages


@st.cache_resource(show_spinner=False)
def load() -> None:
    """Imports every part of every page, once in a process; who comes meanwhile waits for it.

    Two visitors who imported the same circle of modules at once could meet a half of one.
    """
    for part in pkgutil.walk_packages(pages.__path__, f"{pages.__name__}."):
        if part.name.split(".")[1].startswith("_"):  # a page itself is a script, and would run
            importlib.import_module(part.name)


def prepare() -> None:
    """Loads, and leaves what is loaded out of every collection of garbage from then on.

    Streamlit collects all of it after each run of a script, which takes .16 s among the objects
    of the libraries, none of which ever goes away.
    """
    load()
    gc.collect()
    gc.freeze()
