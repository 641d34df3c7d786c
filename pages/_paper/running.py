"""What is missing of a claim: how much, how long, the button that runs it, and how far that is.

The runs go into the queue of the server's workers like any others. Which of them are on their way
is asked of that queue, so that every browser sees the same, and a reload loses nothing.
"""

from __future__ import annotations

import streamlit as st

from experiments_db.claims import TAG, Thesis
from experiments_db.errors import how_many_of
from experiments_db.run.jobs import WAITING, Job
from experiments_db.run.room import UNLIMITED
from experiments_db.run.supervisor import Supervisor
from experiments_db.store import Store
from experiments_db.sweeps import in_words
from pages._paper.evidence_of import Evidence
from pages._shared import ui
from ttr_core import RequestError

LOOK_SECONDS = 1.5


def show(store: Store, claim: Thesis, found: Evidence) -> None:
    """Shows what is missing, and runs it when asked to."""
    if not found.missing:
        return
    supervisor = None if store.readonly else ui.supervisor()
    if supervisor is None:
        st.caption(_amount(found))
        return
    active = bool(_jobs(supervisor, found))
    st.fragment(_progress, run_every=LOOK_SECONDS if active else None)(
        supervisor, claim, found, active
    )


def _amount(found: Evidence) -> str:
    left = len(found.missing)
    took = "an unknown time" if found.seconds is None else f"about {in_words(found.seconds)}"
    others = ui.count_of(found.sharing, "other claim")
    shared = f", shared with {others}" if found.sharing else ""
    runs = ui.count_of(found.total, "run")
    return f"Your store lacks {left} of its {runs}{shared}: {took} on one processor."


def _jobs(supervisor: Supervisor, found: Evidence) -> list[Job]:
    """Returns the jobs of the missing runs that have not ended."""
    return [job for job in _asked_for(supervisor, found) if not job.ended]


def _asked_for(supervisor: Supervisor, found: Evidence) -> list[Job]:
    wanted = [run.config for run in found.missing]
    return [job for job in supervisor.jobs() if job.config in wanted]


def _failed(supervisor: Supervisor, found: Evidence) -> None:
    """Shows why the last of the missing runs failed, where one did."""
    ended = [job.message for job in _asked_for(supervisor, found) if job.status == "failed"]
    if ended:
        st.text(f"A run failed: {ended[-1]}"[:500])


def _progress(supervisor: Supervisor, claim: Thesis, found: Evidence, active: bool) -> None:
    """Shows the button, or how far its runs are; reruns by itself while they work."""
    jobs, left = _jobs(supervisor, found), len(found.missing)
    if active != bool(jobs):
        st.rerun()  # with what they have found, or to look again and again while they work
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if not jobs:
            _failed(supervisor, found)
            st.button(
                "Run what is missing",
                key=f"run.{claim.name}",
                icon=":material/play_arrow:",
                on_click=_start,
                args=(supervisor, found),
                help="In processes of their own, one after another; they go on when you leave.",
            )
            st.caption(_amount(found))
            return
        st.button(
            "Stop",
            key=f"stop.{claim.name}",
            icon=":material/stop:",
            on_click=_stop,
            args=(supervisor, found),
            help="What has ended is kept.",
        )
        taken = left if supervisor.room == UNLIMITED else len(_asked_for(supervisor, found))
        ended = taken - len(jobs)
        before = min(map(supervisor.before, jobs))
        waits = f" · {ui.waiting(before)}" if all(job.status == WAITING for job in jobs) else ""
        st.progress(
            ended / left,
            text=f"{ended} of {ui.count_of(left, 'run has', 'runs have')} ended{waits}",
        )


def _start(supervisor: Supervisor, found: Evidence) -> None:
    session = ui.session_id()
    for number, run in enumerate(found.missing):
        try:
            supervisor.start(run.experiment, tags=(TAG,), keep=True, session=session)
        except RequestError as error:
            said = f"{how_many_of(number, len(found.missing), 'run')} on their way. {error}"
            st.toast(said, icon=":material/error:", duration="long")
            return


def _stop(supervisor: Supervisor, found: Evidence) -> None:
    for job in _jobs(supervisor, found):
        job.cancel()
