"""What is compared and how it is drawn, all of it in the address."""

from __future__ import annotations

import streamlit as st

from experiments_db.read.comparing import MOST
from pages._shared import address, params
from pages._shared.mean_lines import Drawn
from pages._shared.to_compare import RUN

SIDES = ("configurations", "runs")
SMOOTHING = (0.0, 0.5, 0.8, 0.9, 0.95)
BASELINE = "compare.baseline"


def controls() -> Drawn:
    """Takes the address over, shows the controls and returns what they hold."""
    address.take(
        {
            RUN: params.Several("run", most=MOST),
            "compare.of": params.first_of("side", SIDES),
            "compare.smooth": params.first_of("smoothing", SMOOTHING),
            "compare.logx": params.Switch(),
            "compare.logy": params.Switch(),
        }
    )
    ids = tuple(address.value(RUN))
    address.take({BASELINE: params.OneOf("baseline among the runs", ("", *ids), "")})
    for sentence in address.problems():
        st.text(sentence)
    if not ids:
        return Drawn((), True, 0.0, False, False)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        of = st.segmented_control(
            "Each stands for its",
            SIDES,
            required=True,
            key="compare.of",
            format_func={"configurations": "configuration, over seeds", "runs": "run"}.__getitem__,
        )
        smooth = st.selectbox(
            "Smoothing",
            SMOOTHING,
            key="compare.smooth",
            width=110,
            help="How much of the mean so far stays at each point; the raw curve is drawn faint.",
        )
        log_x = st.toggle("Log steps", key="compare.logx")
        log_y = st.toggle("Log values", key="compare.logy", help="Values above 0 only.")
    return Drawn(ids, of != "runs", float(smooth), log_x, log_y)
