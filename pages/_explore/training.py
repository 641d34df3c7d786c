"""The lower part of Explore: train the layer in a worker process and watch it.

The script never trains. It asks the server's Supervisor for a job, keeps the job's name and draws
what the job reports, so that no click can interrupt a run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from experiments_db.errors import StoreError
from experiments_db.read import queries
from experiments_db.run import request
from experiments_db.run.jobs import Job
from experiments_db.run.request import usual_frame
from experiments_db.run.supervisor import Supervisor
from experiments_db.store import Store
from pages._explore import asked, live
from pages._explore.asked import Picked
from pages._shared import address, controls, late, params, snippets, ui, units
from ttr_core import FRAMES, ModelConfig, Option, RequestError, constraints, options_of
from ttr_core.lab import DEVICES, TASKS, Experiment, Metric, TrainConfig, gpus

MAIN = {
    "task": ("pairs", "seq_len", "variant"),
    "model": ("d_model", "depth"),
    "train": ("lr", "steps", "batch_size"),
}
"""The settings that stand side by side; all others wait behind *More settings*."""
ELSEWHERE = {"layers", "frame"}  # settings that have a control of their own
FRAME = Option(
    "frame",
    constraints.Choice(tuple(FRAMES)),
    None,
    "What stands around the memory. standard: the controlled comparison, and what a free choice "
    "gets unless you choose. paper: the MQAR setting of the test-time-regression paper. "
    "published: a published layer's own, and what such a layer gets unless you choose",
    optional=True,
)
FRAME_SHOWN = "pick.frame"
SEED = Option(
    "seed", constraints.Whole(0, 2**31 - 1), 0, "Decides initial weights and training batches."
)
SHOWN_RUNS = 8
KEPT = "keep.weights"
RUN_CHARS = 80


def groups(task: str) -> dict[str, tuple[Option, ...]]:
    """Returns every setting of a training run by its group."""
    model = tuple(o for o in options_of(ModelConfig) if o.name not in ELSEWHERE)
    return {"task": TASKS[task].options(), "model": model, "train": options_of(TrainConfig)}


def trained_tasks() -> list[str]:
    """Returns the names of the tasks that train something."""
    return [name for name, cls in TASKS.items() if cls.trained]


def take_over() -> None:
    """Takes the form over from the address: the task first, which decides what else it names."""
    names = tuple(trained_tasks())
    address.take({"task": params.OneOf("task", names, names[0])})
    known = groups(address.value("task"))
    named = {f"{group}.{o.name}": o for group, options in known.items() for o in options}
    frame = params.OneOf("frame", (None, *FRAMES))
    device = params.OneOf("device", DEVICES if gpus() else DEVICES[:2], DEVICES[0])
    address.take({**params.settings_of({**named, "seed": SEED}), "device": device, "frame": frame})
    address.take({"run": params.Words(RUN_CHARS)})


@dataclass(frozen=True)
class Asked:
    """A training run as the form asks for it.

    Args:
        task: the task's name.
        frame: what stands around the memory.
        sets: settings that differ from their defaults.
        seed: the seed.
        device: where it runs.
    """

    task: str
    frame: str
    sets: dict[str, Any]
    seed: int
    device: str


def show(picked: Picked) -> None:
    """Shows the form, what the store knows already, and the job of this session."""
    st.subheader("Train it", anchor=False)
    form = _form(picked)
    try:
        experiment = request.request(
            layer=picked.layer,
            spec=None if picked.layer else picked.text,
            task=form.task,
            frame=form.frame,
            sets={key: snippets.written(value) for key, value in form.sets.items()},
            seed=form.seed,
            device=form.device,
        )
    except RequestError as error:
        controls.refused(error)
        return
    store = ui.store()
    if store is None:
        return
    known = _known(store, experiment)
    job = None
    if store.readonly:
        st.caption("This server only shows what is in its store: training is off.")
    else:
        job = _train(store, experiment, known)
    if job is None and (run := address.value("run")):
        _ended_elsewhere(store, run)
    _already(known, experiment.task.main())
    _as_text(picked, form)


# --- the form ----------------------------------------------------------------------------------


def _form(picked: Picked) -> Asked:
    names = trained_tasks()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        task = st.selectbox(
            "Task",
            names,
            key="task",
            width=150,
            format_func=str.upper,
            help=TASKS[address.value("task")].summary(),
        )
        frame = _frame(picked)
        known = groups(task)
        for group, wanted in MAIN.items():
            named = {option.name: option for option in known[group]}
            for option in (named[name] for name in wanted if name in named):
                with st.container(width=_width(option)):
                    controls.control(option, f"{group}.{option.name}")
        with st.container(width=110):
            seed = controls.control(SEED, "seed")
        if found := gpus():  # else there is nothing to choose
            st.segmented_control(
                "Device",
                DEVICES,
                key="device",
                required=True,
                help=f"auto takes a GPU, {', '.join(found)}, of which each has one run at a time.",
            )
    with st.expander("More settings"):
        _more(known)
    sets = {
        f"{group}.{name}": value
        for group, options in known.items()
        for name, value in controls.values(options, group).items()
    }
    return Asked(task, frame, sets, seed, address.value("device"))


def _frame(picked: Picked) -> str:
    """Shows the frames that the layer may have, at the one in use, and returns it."""
    valid = [name for name in FRAMES if picked.layer or name != "published"]
    st.session_state[FRAME_SHOWN] = frame = asked.frame_of(picked)

    def choose() -> None:
        chosen = st.session_state[FRAME_SHOWN]
        address.put("frame", None if chosen == usual_frame(picked.layer) else chosen)

    st.segmented_control(
        "Frame",
        valid,
        key=FRAME_SHOWN,
        required=True,
        on_change=choose,
        help=FRAME.help + ". On the command line: `--frame`.",
    )
    return frame


def _width(option: Option) -> int:
    return 260 if controls.is_wide(option) else 120


def _more(known: dict[str, tuple[Option, ...]]) -> None:
    for group, options in known.items():
        rest = [option for option in options if option.name not in MAIN[group]]
        if rest:
            st.caption(group.capitalize())
            with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
                for option in rest:
                    with st.container(width=_width(option) + 20):
                        controls.control(option, f"{group}.{option.name}")


# --- start, stop, watch ------------------------------------------------------------------------


def _known(store: Store, experiment: Experiment) -> Any:
    try:
        asked = request.config_hash(experiment.config())
        return _same_config(str(store.path), queries.data_version(store), asked, store)
    except StoreError as error:
        ui.failed("The store could not be read", str(error))
        return None


@st.cache_data(max_entries=100, show_spinner=False)
def _same_config(path: str, version: str, asked: str, _store: Store) -> pd.DataFrame:
    return queries.same_config(_store, asked)


def _train(store: Store, experiment: Experiment, known: Any) -> Job | None:
    """Shows the buttons and the job that is watched, which it returns."""
    supervisor = ui.supervisor()
    if supervisor is None:
        return None
    supervisor.warm()
    job, best = _job(supervisor), live.best_of(store, known, experiment.task.main())
    active = job is not None and not job.ended
    again = known is not None and len(known) > 0
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button(
            "Train again" if again else "Train",
            key="train",
            type="primary",
            icon=":material/play_arrow:",
            disabled=active,
            on_click=_start,  # before the page is drawn again, which may take a second
            args=(supervisor, experiment, again),
            help="Trains in a process of its own; the run is stored.",
        )
        st.button(
            "Stop",
            key="stop",
            icon=":material/stop:",
            disabled=not active,
            on_click=None if job is None else job.cancel,
            help="Ends the run between two steps; what it has reached is stored.",
        )
        keep = _kept()
        steps, batch = experiment.train.steps, experiment.train.batch_size
        said = f"At most {ui.count_of(steps, 'step')} of {ui.count_of(batch, 'sequence')}"
        st.caption(f"{said}{live.estimate(known)}")
    if job is not None:
        job.keep = keep
        st.fragment(live.show, run_every=live.REDRAW_SECONDS if active else None)(
            supervisor, job.id, best
        )
    return job


def _ended_elsewhere(store: Store, run: str) -> None:
    """Says where the run is that the address names and this server does not know at work."""
    try:
        there = queries.there(store, [run])
    except StoreError as error:
        ui.failed("The store could not be read", str(error))
        return
    if not there:
        st.text(f"The store has no run {run!a}, and none of that name is at work here.")
        return
    st.page_link(
        "pages/runs.py",
        label=f"The run {ui.escaped(run)} is not at work here any more: see it in Runs",
        icon=":material/table_rows:",
        query_params={"run": run},
    )


def _kept() -> bool:
    """Shows what is kept: the run when nobody looks at it, and the weights; returns the first."""
    keep = st.toggle(
        "Keep running when I leave",
        key="keep",
        help="Otherwise a run stops a minute after nobody looks at it.",
    )
    st.toggle(
        "Keep the weights",
        key=KEPT,
        help="As a safetensors file beside the store, from which the trained model's own "
        "attention map is drawn.",
    )
    return keep


def _start(supervisor: Supervisor, experiment: Experiment, fresh: bool) -> None:
    keep = st.session_state.get("keep", False)
    try:
        job = supervisor.start(
            experiment,
            fresh=fresh,
            keep=keep,
            session=ui.session_id(),
            weights=st.session_state.get(KEPT, False),
        )
    except RequestError as error:
        st.toast(str(error), icon=":material/error:", duration="long")
        return
    st.session_state["job"], st.session_state[live.UNNAMED] = job.id, True
    address.put("run", "")  # until it has a name in the store
    st.toast(f"Training {', '.join(experiment.model.layers)}", icon=":material/play_circle:")


def _job(supervisor: Supervisor) -> Job | None:
    """Returns the job that the address names, else the one that this session has at work."""
    session = ui.watch_until_left(supervisor)
    if name := address.value("run"):
        return supervisor.watch(name, session)
    job = supervisor.watch(st.session_state.get("job", ""), session)
    over = job is None or (job.ended and not st.session_state.get(live.UNNAMED))
    return None if over else job


# --- what is known already ---------------------------------------------------------------------


def _already(known: Any, metric: Metric) -> None:
    if known is None or known.empty:
        return
    st.caption("In the store for this very configuration")
    columns = ["run_id", "status", metric.name, "loss", "steps", "seconds", "started_at"]
    st.dataframe(
        known[[c for c in columns if c in known]].head(SHOWN_RUNS),
        hide_index=True,
        alt="Runs of this configuration in the store",
        column_config={
            "run_id": "Run",
            "status": "Status",
            metric.name: units.column(metric),
            "loss": st.column_config.NumberColumn("Loss", format="%.3f"),
            "steps": "Steps",
            "seconds": st.column_config.NumberColumn("Time (s)", format="%.1f"),
            "started_at": st.column_config.DatetimeColumn("Started", format="distance"),
        },
    )


def _as_text(picked: Picked, form: Asked) -> None:
    call = (form.task, picked.layer, picked.text, form.sets, form.frame, form.seed, form.device)

    def fill() -> None:
        st.code(snippets.command(*call), language="bash", wrap_lines=True)
        st.code(snippets.run_snippet(*call), language="python")

    late.expander(
        "The same on the command line and in Python", ":material/terminal:", "as_code", fill
    )
