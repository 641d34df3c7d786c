"""What goes into a store and what comes out of a claim."""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..errors import StoreError

if TYPE_CHECKING:
    from ttr_core.lab import Metric

POINTS = 500
"""Points kept of a curve of a run that ended."""

LIVE_POINTS = 100
"""Points kept of the curve in a heartbeat."""

LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
"""For random names: no letter looks like another."""

ENDED = ("finished", "diverged", "failed", "cancelled")
"""Statuses that a driver writes; a run without one is ``running`` or ``interrupted``."""

COMPLETE = ("finished", "diverged")
"""Statuses that answer a claim: the run need not be repeated."""

USED_UP = r"^The time of (\S+) s was used up"
"""How a run ends its last words that its time cut short; no part of its configuration says so."""

HAD_SECONDS = f"TRY_CAST(regexp_extract(results.message, '{USED_UP}', 1) AS DOUBLE)"
"""The most seconds that such a run was given, else nothing."""

CUT_SHORT = f"coalesce(results.status = 'finished' AND {HAD_SECONDS} IS NOT NULL, false)"
"""Whether a run ended as its time was used up: who gives more time has no answer in it, and it
pools with none that did not."""

RELEASED = ("accuracy", "error", "loss")
"""Metrics with a column of their own in the released schema; the others stand in ``metrics``."""

STATUSES = (*ENDED, "running", "interrupted")
"""Every status that a query may show."""

Points = Sequence[Sequence[float | None]] | Sequence[float | None]
"""Pairs ``[step, value]``, or values alone, which stand at steps 0, 1, 2, ..."""


@dataclass(frozen=True)
class NewRun:
    """A run as it is asked for.

    Args:
        config: everything that defines the run, JSON-able; its ``task``, ``model`` and ``train``
            settings can be filtered by.
        config_hash: the fingerprint of ``config``; runs that share it are repetitions.
        layer: the published layer's name, or None for a bare spec.
        spec: the spec's text, as asked.
        frame: ``standard``, ``paper`` or ``published``.
        task: the task's name.
        seed: the seed.
        device: the resolved device.
        protocol: the protocol of comparison that the run belongs to.
        tags: tags from the start.
        environment: facts about the machine and its software, JSON-able; the versions among
            them (:data:`experiments_db.store.writes.VERSIONS`) are kept apart.
        seconds: the most seconds that it is given, or None; no part of what is stored.
    """

    config: Mapping[str, Any]
    config_hash: str
    layer: str | None
    spec: str
    frame: str
    task: str
    seed: int
    device: str
    protocol: str = "quick"
    tags: Sequence[str] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None


@dataclass(frozen=True)
class Claim:
    """The answer to a claim: either the run is yours, or somebody has it.

    Args:
        run_id: the new run's id, or None if a live or complete run has this configuration.
        existing: that run's id, or None.
        status: the status of the run that the answer names.
    """

    run_id: str | None
    existing: str | None
    status: str


@dataclass(frozen=True)
class Outcome:
    """How a run ended. Numbers that do not apply stay None.

    Args:
        status: one of ``finished``, ``diverged``, ``failed``, ``cancelled``.
        metrics: name -> number; those of `RELEASED` become columns, too.
        accuracy_by: accuracy by group, JSON-able.
        curves: name -> curve, thinned to :data:`POINTS` points when stored.
        tables: name -> rows, JSON-able.
        steps: optimizer steps taken.
        seconds: wall-clock seconds.
        seconds_to_target: seconds until the target accuracy.
        parameters: number of parameters.
        state_size: floats of state at the run's own sizes.
        lr: the learning rate used.
        lrs_tried: what the search for it tried, JSON-able.
        error: the error and the worker's last lines on standard error.
        metric: what the task is judged by, or None: its curve has a last and a best value.
    """

    status: str
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    accuracy_by: Mapping[str, Any] = field(default_factory=dict)
    curves: Mapping[str, Points] = field(default_factory=dict)
    tables: Mapping[str, Any] = field(default_factory=dict)
    steps: int | None = None
    seconds: float | None = None
    seconds_to_target: float | None = None
    parameters: int | None = None
    state_size: int | None = None
    lr: float | None = None
    lrs_tried: Any = None
    error: str | None = None
    metric: Metric | None = None


@dataclass(frozen=True)
class Live:
    """What a driver knows of a run in progress.

    Args:
        run_id: the run.
        step: optimizer steps taken.
        steps: steps planned.
        loss: last training loss.
        metrics: name -> last value on the validation set.
        curve: the training loss so far, thinned when stored.
    """

    run_id: str
    step: int = 0
    steps: int | None = None
    loss: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    curve: Points = ()


def new_run_id(now: datetime) -> str:
    """Returns a name that sorts by time and is nobody else's."""
    letters = "".join(secrets.choice(LETTERS) for _ in range(6))
    return f"{now:%Y%m%d-%H%M%S}-{now.microsecond // 1000:03d}-{letters}"


def utc_now() -> datetime:
    """Returns the time as the store keeps it: UTC, without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)


def thinned(
    curve: Points, points: int, name: str = "curve"
) -> tuple[list[int], list[float | None]]:
    """Returns the steps and values of a curve, evenly thinned, first and last always kept.

    Raises:
        StoreError: it is neither pairs nor numbers.

    Example:
        >>> thinned([[1, 0.5], [2, 0.4], [3, 0.3]], 2)
        ([1, 3], [0.5, 0.3])
        >>> thinned([0.5, 0.4, 0.3], 500)
        ([0, 1, 2], [0.5, 0.4, 0.3])
    """
    kept = list(range(len(curve)))
    if len(curve) > points:
        kept = [round(i * (len(curve) - 1) / (points - 1)) for i in range(points)]
    try:
        pairs = [_pair(i, curve[i]) for i in kept]
    except (TypeError, ValueError) as error:
        raise StoreError(f"{name!r} is neither [step, value] pairs nor numbers.") from error
    return [step for step, _ in pairs], [value for _, value in pairs]


def summary(
    curves: Mapping[str, Points], metric: Metric | None = None
) -> dict[str, float | int | None]:
    """Returns the last and the best value of the curve that counts, and where the best stands.

    Args:
        curves: name -> curve.
        metric: whose curve counts.

    Example:
        >>> from ttr_core.lab import Metric
        >>> curve = [[20, 0.5], [40, 0.9], [60, 0.9], [80, 0.8]]
        >>> summary({"found": curve}, Metric("found", "higher"))
        {'last': 0.8, 'best': 0.9, 'best_step': 40}
    """
    if metric is None or not curves.get(metric.name):
        return {"last": None, "best": None, "best_step": None}
    curve = curves[metric.name]
    steps, values = thinned(curve, len(curve), metric.name)
    finite = [i for i, value in enumerate(values) if value is not None and math.isfinite(value)]
    best = max(finite, key=lambda i: metric.merit(values[i]), default=None)
    at = (None, None) if best is None else (values[best], steps[best])
    return {"last": values[-1], "best": at[0], "best_step": at[1]}


def storable(text: str, name: str) -> str:
    """Returns a text as it is, if it can be stored.

    Raises:
        StoreError: it holds half of a character: a surrogate without its other half, as in a file
            name or a paste that is not UTF-8.

    Example:
        >>> storable("größer", "The note")
        'größer'
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise StoreError(
            f"{name} cannot be stored: its character {error.start + 1} is {text[error.start]!a}, "
            "half of a character. Remove it."
        ) from None
    return text


def mended(value: Any) -> Any:
    r"""Returns a value whose texts can all be stored: what cannot is written as an escape.

    For what a run says at its end, of which nothing may be refused.

    Example:
        >>> mended({"said": "caf\udce9"})
        {'said': 'caf\\udce9'}
    """
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, Mapping):
        return {mended(str(key)): mended(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [mended(item) for item in value]
    return value


def as_json(value: Any, name: str) -> str:
    """Returns a value as strict JSON text: NaN and infinities, which JSON lacks, become null.

    Raises:
        StoreError: something in it has no JSON form.
    """
    try:
        return json.dumps(_finite(value, name), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise StoreError(f"{name!r} cannot be stored as JSON: {error}.") from error


def _pair(place: int, point: Any) -> tuple[int, float | None]:
    step, value = point if isinstance(point, Sequence) else (place, point)
    return int(step), None if value is None else float(value)


def _finite(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        return {storable(str(key), name): _finite(item, name) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item, name) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return storable(value, name) if isinstance(value, str) else value
