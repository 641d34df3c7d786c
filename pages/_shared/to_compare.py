"""The way to Compare from wherever runs are picked."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from experiments_db.read.comparing import MOST

RUN = "compare.run"


def compare_link(run_ids: Sequence[str]) -> None:
    """Shows a link to Compare with the first of some runs."""
    more = f"The first {MOST} of them, each" if len(run_ids) > MOST else "Each"
    st.page_link(
        "pages/compare.py",
        label="Compare these",
        icon=":material/compare_arrows:",
        query_params=[(RUN, run_id) for run_id in run_ids[:MOST]],
        help=f"{more} over the seeds of its configuration.",
    )
