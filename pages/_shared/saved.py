"""Numbers behind a picture, to be saved."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import pandas as pd
import streamlit as st

from experiments_db.read import export


def downloads(table: pd.DataFrame, name: str, page: str) -> None:
    """Shows the buttons that save a table as CSV, as Parquet and as a page for any browser.

    Args:
        table: without an index that says something.
        name: of the file, without its ending.
        page: of the page, so that keys of two pages are not the same.
    """
    with st.container(horizontal=True, gap="small"):
        for label, suffix in (("CSV", "csv"), ("Parquet", "parquet"), ("HTML", "html")):
            st.download_button(
                label,
                partial(_written, table, suffix),  # when somebody asks for it
                f"{name}.{suffix}",
                key=f"{page}.{name}.{suffix}",
                icon=":material/download:",
                on_click="ignore",
                help=f"The {name} as a .{suffix} file; a chart's own menu saves it as PNG or SVG.",
            )


def _written(table: pd.DataFrame, suffix: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return export.write(table, Path(folder) / f"table.{suffix}").read_bytes()
