"""What Analyze shows of a store without runs: how to get some."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from experiments_db.errors import StoreError
from experiments_db.installation import checkout, command
from experiments_db.store import Store
from experiments_db.store.importing import import_runs
from pages._shared import ui

EVIDENCE = Path("docs/evidence/learning.parquet")


def show(store: Store) -> None:
    """Offers the runs behind the project's own table of results, where they are at hand."""
    with st.container(border=True):
        st.markdown(
            "**No run has ended yet.** Train a layer in Explore, run a plan, or take in the runs "
            "behind the project's table of learned recall."
        )
        repository = checkout()
        file = repository / EVIDENCE if repository else None
        if file is not None and file.exists():
            if not store.readonly:
                st.button(
                    "Load the runs of the table",
                    icon=":material/download:",
                    type="primary",
                    key="load",
                    on_click=_load,
                    args=(store, file),
                )
            st.caption("The same from a terminal:")
            st.code(command("import", str(EVIDENCE)), language="bash")
        else:
            st.caption(f"They are in the project's repository, as {EVIDENCE}; from a terminal:")
            st.code(command("import", EVIDENCE.name), language="bash")
        st.page_link("pages/explore.py", label="Go to Explore", icon=":material/explore:")
    if said := st.session_state.pop("analyze.failed", None):
        ui.failed("The runs could not be taken in", said)


def _load(store: Store, file: Path) -> None:
    try:
        import_runs(store, file)
    except StoreError as error:
        st.session_state["analyze.failed"] = str(error)
