"""Numbers behind a picture, to be saved."""

from __future__ import annotations

import io

import pandas as pd
import streamlit as st


def downloads(table: pd.DataFrame, name: str, page: str) -> None:
    """Shows the buttons that save a table as CSV and as Parquet.

    Args:
        table: without an index that says something.
        name: of the file, without its ending.
        page: of the page, so that keys of two pages are not the same.
    """
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    with st.container(horizontal=True, gap="small"):
        for label, content, suffix in (
            ("CSV", table.to_csv(index=False).encode(), "csv"),
            ("Parquet", buffer.getvalue(), "parquet"),
        ):
            st.download_button(
                label,
                content,
                f"{name}.{suffix}",
                key=f"{page}.{name}.{suffix}",
                icon=":material/download:",
                on_click="ignore",
                help=f"The {name} as a .{suffix} file; a chart's own menu saves it as PNG or SVG.",
            )
