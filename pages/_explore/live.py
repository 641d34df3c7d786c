"""A training run while somebody watches: its curves, beside the best one stored, and its end."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import streamlit as st

from experiments_db.errors import StoreError
from experiments_db.read import queries
from experiments_db.run.jobs import WAITING, Job, Snapshot
from experiments_db.run.supervisor import Supervisor
from experiments_db.store import Store
from pages._shared import address, charts, trained_map, ui
from ttr_core.lab import Metric

REDRAW_SECONDS = 0.7
UNNAMED = "job.unnamed"  # whether the run of this session's job is not in the address yet
StepsAndValues = tuple[tuple[int, float], ...]
GROUPS = {"gap": "tokens since it was bound", "shown": "times shown", "bound": "times bound"}
"""What a task may split its answers by, in words."""


@dataclass(frozen=True)
class BestRun:
    """The best finished run of a configuration.

    Args:
        run: its id; empty where there is none.
        losses: (step, training loss).
        values: (step, main metric on validation).
    """

    run: str = ""
    losses: StepsAndValues = ()
    values: StepsAndValues = ()


def estimate(known: Any) -> str:
    """Says how long runs of a configuration took, where some have finished."""
    if known is None or known.empty:
        return ""
    took = known[known["status"] == "finished"]["seconds"]
    if took.empty:
        return ""
    runs = f"{len(took)} run{'s' if len(took) > 1 else ''}"
    return f" · about {ui.seconds(float(took.median()))}, as {runs} before"


def best_of(store: Store, known: Any, metric: Metric) -> BestRun:
    """Returns the best finished run among those known, with its curves."""
    if known is None or known.empty or metric.name not in known:
        return BestRun()
    scores = {
        row["run_id"]: metric.score(row[metric.name])
        for row in known[known["status"] == "finished"].to_dict("records")
    }
    ranked = sorted(
        (score, run) for run, score in scores.items() if score is not None and math.isfinite(score)
    )
    return _curves(str(store.path), ranked[-1][1], metric.name, store) if ranked else BestRun()


@st.cache_data(max_entries=100, show_spinner=False)
def _curves(path: str, run: str, name: str, _store: Store) -> BestRun:
    try:
        found = queries.curves(_store, [run], ["train_loss", name])
    except StoreError:  # said already where the runs are listed
        return BestRun()

    def points(of: str) -> StepsAndValues:
        rows = found[found["name"] == of]
        return tuple(zip(rows["step"].tolist(), rows["value"].tolist(), strict=True))

    return BestRun(run, points("train_loss"), points(name))


def show(supervisor: Supervisor, job_id: str, best: BestRun) -> None:
    """Draws a job; while it works this reruns by itself, and once more when it has ended."""
    job = supervisor.watch(job_id, ui.session_id())
    if job is None:
        return
    now = job.snapshot()
    if now.run_id and st.session_state.pop(UNNAMED, False):
        address.put("run", now.run_id)
        address.write()
    with st.container(border=True, key="live"):
        _headline(job, now, supervisor.before(job))
        if now.losses or now.values:
            loss, value = st.columns(2, gap="medium")
            loss.altair_chart(
                charts.learning(now.losses, "training loss, nats", now.steps, False, best.losses),
                key="live.loss",
                alt=_said("Training loss", now.losses),
            )
            value.altair_chart(
                charts.learning(
                    now.values, now.metric.name, now.steps, now.metric.share, best.values
                ),
                key="live.metric",
                alt=_said(now.metric.title, now.values),
            )
            if best.run and best.run != now.run_id:
                st.caption(f"Gray: the best run of this configuration so far, {best.run}.")
        if now.ended:
            _ended(now)
            _by_group(job, now.metric)
            _weights(job, now, supervisor.store)
    if now.ended and st.session_state.get("drawn_to_the_end") != job_id:
        st.session_state["drawn_to_the_end"] = job_id
        st.rerun()


def _weights(job: Job, now: Snapshot, store: Store | None) -> None:
    """Draws what the trained model draws on, or says why its weights are not kept."""
    if store is None or now.run_id is None:
        return
    if said := (job.last("weights") or {}).get("said"):
        st.text(said)
    trained_map.show(store, now.run_id)


def _said(what: str, points: tuple[tuple[int, float], ...]) -> str:
    return f"{what}: {points[-1][1]:.3g} at step {points[-1][0]}" if points else f"{what}: none yet"


def _headline(job: Job, now: Snapshot, before: int) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        ui.status_badge(now.status)
        st.text(", ".join(job.experiment.model.layers))
    if now.ended:
        return
    if now.status == WAITING:
        st.caption(ui.waiting(before))
        return
    share = min(1.0, now.step / now.steps) if now.steps else 0.0
    left = "starting" if not now.step else "measuring its pace"
    if now.remaining is not None:
        left = f"at most {ui.seconds(now.remaining)} to go"
    st.progress(share, text=f"Step {now.step} of {now.steps or '…'} · {left}")
    if now.message:
        st.text(now.message)


def _ended(now: Snapshot) -> None:
    if now.status == "existing":
        st.caption("The store holds this run already; see below.")
        return
    for said in (now.error, now.unstored):
        if said:
            st.text(said)
    facts = {
        **_reached(now),
        "Steps": ui.count(now.step),
        "Time": ui.seconds(now.seconds),
        "Tokens per second": ui.count(now.tokens_per_second),
    }
    for column, (name, value) in zip(st.columns(len(facts)), facts.items(), strict=True):
        column.metric(name, value)
    if now.run_id:
        st.page_link(
            "pages/runs.py",
            label="All about this run",
            icon=":material/table_rows:",
            query_params={"run": now.run_id},
        )


def _reached(now: Snapshot) -> dict[str, str]:
    """Returns the result by its name: of a run that was cut short what it was at, if anything."""
    metric = now.metric
    if (tested := now.metrics.get(metric.name)) is not None:
        return {f"Test {metric.name}": metric.shown(tested)}
    if now.value is not None:
        return {f"Last {metric.name} on validation": metric.shown(now.value)}
    return {}


def _by_group(job: Job, metric: Metric) -> None:
    """Draws what was learned: answers by how far back they reach, or how often they were seen."""
    found = (job.result or {}).get("accuracy_by") or {}
    named = {name: by for name, by in found.items() if name in GROUPS and by}
    for name, by in named.items():
        st.caption(f"What was learned: {metric.name} by {GROUPS[name]}, on test sequences")
        st.altair_chart(
            charts.by_group(by, GROUPS[name], metric),
            key=f"live.{name}",
            alt=f"{metric.title} by {GROUPS[name]}: "
            + ", ".join(f"{value} {metric.shown(x)}" for value, x in by.items()),
        )
