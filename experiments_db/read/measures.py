"""Metrics as columns: what the tasks declare, as SQL, as names of statistics, as text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ttr_core.lab import PACE, STATISTICS, STILL_RISING, TASKS, VALIDATION, Metric, metrics

from ..errors import StoreError
from ..store.records import RELEASED


def column(name: str, table: str = "results") -> str:
    """Returns the SQL of a metric: its column, or its entry in the JSON of all metrics."""
    if name in RELEASED:
        return f"{table}.{name}"
    return f"TRY_CAST({table}.metrics ->> '$.{name}' AS DOUBLE)"


def added() -> dict[str, str]:
    """Returns what the released schema has no column for, with its SQL.

    The metrics that tasks declare, the pace of a training, and whether its curve still rose.
    """
    names = (*(name for name in metrics() if name not in RELEASED), *pace())
    return {name: column(name) for name in names} | {STILL_RISING: f"{column(STILL_RISING)} > 0"}


def pace() -> tuple[str, ...]:
    """Returns the names of what every training notes of its way."""
    return tuple(one.name for one in PACE)


def mains() -> tuple[str, ...]:
    """Returns the names of the metrics by which the tasks compare layers."""
    return tuple(dict.fromkeys(cls.main().name for cls in TASKS.values()))


def main_of(task: str) -> Metric:
    """Returns the metric by which a task compares layers.

    Raises:
        StoreError: no task has this name here.
    """
    if task not in TASKS:
        raise StoreError(
            f"Task {task!r} is unknown to this program, so its runs cannot be compared; known: "
            f"{', '.join(TASKS)}."
        )
    return TASKS[task].main()


def metric_of(name: str) -> Metric | None:
    """Returns the metric that a column holds: itself, a statistic of it, or its validation.

    Example:
        >>> metric_of("error_std").name, metric_of("error_before").name, metric_of("steps")
        ('error', 'error_before', None)
    """
    known = {**metrics(), **{one.name: one for one in PACE}}
    bare = name.removeprefix(VALIDATION)
    stem, _, last = bare.rpartition("_")
    found = known.get(bare) or (known.get(stem) if last in STATISTICS else None)
    return None if name.endswith("_n") and bare not in known else found


def with_unit(name: str, value: Any) -> Any:
    """Returns a cell as people read it where its column holds a metric, else as it is."""
    metric = metric_of(name)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return metric.shown(value) if metric is not None and number else value


def present(names: Iterable[str]) -> tuple[str, ...]:
    """Returns the declared metrics that are among these names, those that compare layers first."""
    given = set(names)
    return tuple(name for name in metrics() if name in given)
