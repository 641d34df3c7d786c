"""The test-time-regression explorer: the browser door. Start it with ``make app``."""

from pathlib import Path

import streamlit as st

from pages._shared import front_door, history, ready, sign_in

NAME = "Test-time regression explorer"
IMAGES = Path(__file__).resolve().parent / "docs" / "images"
st.set_page_config(page_title=NAME, page_icon=IMAGES / "icon.png", layout="wide")
st.logo(IMAGES / "name.svg", size="small")
st.html(front_door.ALIKE)

sign_in.let_in()
ready.load()
st.session_state[front_door.ENTERED] = True
history.keep()
st.navigation(
    [
        st.Page(
            "pages/explore.py",
            title="Explore",
            icon=":material/explore:",
            url_path="start",
            default=True,
            help="Pick three ingredients and see the layer they make.",
        ),
        st.Page(front_door.explore, title="Explore", url_path="explore", visibility="hidden"),
        st.Page(
            "pages/map.py",
            title="Map",
            icon=":material/grid_view:",
            url_path="map",
            help="The whole design space: what is published, tried and still open.",
        ),
        st.Page(
            "pages/sweep.py",
            title="Sweep",
            icon=":material/playlist_play:",
            url_path="sweep",
            help="Many runs from one plan: what is done, how long the rest takes, run and watch.",
        ),
        st.Page(
            "pages/runs.py",
            title="Runs",
            icon=":material/table_rows:",
            url_path="runs",
            help="Every run in the store: filter, look closer, tag, export.",
        ),
        st.Page(
            "pages/compare.py",
            title="Compare",
            icon=":material/compare_arrows:",
            url_path="compare",
            help="Up to eight runs or configurations side by side, over their seeds.",
        ),
        st.Page(
            "pages/analyze.py",
            title="Analyze",
            icon=":material/query_stats:",
            url_path="analyze",
            help="What results depend on: state, settings, learning rates, ingredients.",
        ),
        st.Page(
            "pages/paper.py",
            title="Paper",
            icon=":material/article:",
            url_path="paper",
            help="What papers claim, what runs say of it, and what is missing.",
        ),
        st.Page(
            "pages/guide.py",
            title="Guide",
            icon=":material/menu_book:",
            url_path="guide",
            help="Six steps from the average to an exact fit, then every ingredient.",
        ),
    ],
    position="top",
).run()
