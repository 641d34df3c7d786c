"""A result that the store could not take: Explore says so, and where it lies."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest


def _page() -> None:
    import streamlit as st

    from experiments_db.run.jobs import Job
    from experiments_db.run.request import request
    from pages._explore import live

    job = Job("job-1", request(layer="deltanet", task="regression"))
    if st.session_state["ends"]:
        job.unstored = "It was kept in *runs*.results."
        job.end("finished", job.unstored)
        live._ended(job.snapshot())
    else:
        job.begin(None)
        job.say("The result is only in memory.")
        live._headline(job, job.snapshot(), 0)


@pytest.mark.parametrize(
    ("ends", "said"),
    [(True, "It was kept in *runs*.results."), (False, "The result is only in memory.")],
)
def test_a_job_whose_result_is_not_stored_says_so(ends: bool, said: str) -> None:
    page = AppTest.from_function(_page, default_timeout=30)
    page.session_state["ends"] = ends
    page.run()
    assert not page.exception
    assert said in [text.value for text in page.text]
