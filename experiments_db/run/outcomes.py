"""What the store is told about a job: at its start, while it runs, at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..store import Live, NewRun, Outcome, Store
from ..store.weights import file_of
from .environment import environment
from .request import config_hash, spec_text

if TYPE_CHECKING:
    from ttr_core.lab import Experiment

    from .jobs import Job

ERROR_CHARS = 20_000


def new_run(
    experiment: Experiment,
    config: dict[str, Any],
    tags: Sequence[str],
    where: Mapping[str, Any] | None = None,
) -> NewRun:
    """Returns the row that marks a run as running.

    Args:
        experiment: what runs.
        config: its config.
        tags: its labels.
        where: the versions and the machine that it runs with; by default those of this process.
    """
    return NewRun(
        config=config,
        config_hash=config_hash(config),
        layer=config["layer"],
        spec=", ".join(spec_text(text) for text in experiment.model.layers),
        frame=config["model"]["frame"],
        task=config["task"]["name"],
        seed=config["seed"],
        device=config["device"],
        protocol=experiment.task.protocol or config["train"]["protocol"],
        tags=tuple(tags),
        environment=dict(environment() if where is None else where),
        seconds=experiment.train.seconds,
    )


def live(job: Job, run_id: str) -> Live:
    """Returns what a heartbeat says about a running job."""
    now = job.snapshot()
    return Live(
        run_id=run_id,
        step=now.step,
        steps=now.steps,
        loss=now.loss,
        metrics=_known({now.metric.name: now.value}),
        curve=[list(point) for point in now.losses],
    )


def orders(job: Job, place: Mapping[str, int], store: Store | None) -> dict[str, int | str]:
    """Returns what a worker is told beside the job: its GPU, and where weights are to lie."""
    if store is None or job.run_id is None or not job.weights:
        return dict(place)
    return {**place, "weights": str(file_of(store.path, job.run_id))}


def outcome(job: Job, status: str, message: str = "") -> Outcome:
    """Returns the final row: the worker's own result, or what was seen before it was lost."""
    result = job.result or _seen(job)
    return Outcome(
        status=status,
        metric=job.experiment.task.main(),
        metrics=result.get("metrics") or {},
        accuracy_by=result.get("accuracy_by") or {},
        curves=result.get("curves") or {},
        tables=result.get("tables") or {},
        steps=result.get("steps"),
        seconds=result.get("seconds"),
        seconds_to_target=result.get("seconds_to_target"),
        parameters=result.get("parameters"),
        state_size=result.get("state_size"),
        lr=result.get("lr"),
        lrs_tried=result.get("lrs_tried") or [],
        error=message[-ERROR_CHARS:] or None,
    )


def _seen(job: Job) -> dict[str, Any]:
    now, started = job.snapshot(), job.last("started") or {}
    return {
        "metrics": _known(
            {
                "loss": now.loss,
                now.metric.name: now.value,
                "cpu_seconds": job.limit if job.over_limit else None,
            }
        ),
        "curves": {
            "train_loss": [list(point) for point in now.losses],
            now.metric.name: list(now.values),
        },
        "steps": now.step,
        "seconds": now.seconds,
        "parameters": started.get("parameters"),
        "state_size": started.get("state_size"),
        "lr": (job.progress or {}).get("lr"),
    }


def _known(metrics: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if value is not None}
