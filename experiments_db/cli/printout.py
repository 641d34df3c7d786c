"""What the command line prints: runs as JSON documents and tables, grouped over seeds, health."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ttr_core.lab import PACKED
from ttr_core.lab import metrics as declared

from ..installation import command
from ..read import measures
from ..read.export import plain

if TYPE_CHECKING:
    from ..run.jobs import Job

PACKAGES = ("torch", "duckdb", "pandas", "numpy", "streamlit", "ray")
JSON_COLUMNS = ("config", "accuracy_by", "lrs_tried", "versions", "environment", "metrics", "tags")


def dumped(document: Any) -> str:
    """Returns a document as the JSON text that the command line prints."""
    return json.dumps(plain(document), indent=2, ensure_ascii=False, allow_nan=False)


def run_document(row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a stored run under the keys that ``batch.py run --json`` promises."""
    config = row.get("config") or {}
    metrics = dict(row.get("metrics") or {})
    for name in declared():
        if name not in metrics and row.get(name) is not None:
            metrics[name] = row[name]
    kept = (
        "run_id", "status", "layer", "spec", "task", "seed", "device", "seconds",
        "seconds_to_target", "steps", "parameters", "state_size", "frame", "protocol", "lr",
        "lrs_tried", "accuracy_by", "tags", "note",
    )  # fmt: skip
    return {
        **{name: row.get(name) for name in kept},
        "metrics": metrics,
        "spec_expanded": config.get("spec"),
        "config": config,
        "message": row.get("message"),
    }


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Returns the rows of a table as JSON-able dictionaries, JSON texts parsed."""
    return [
        {name: _parsed(name, value) for name, value in row.items()}
        for row in frame.to_dict(orient="records")
    ]


def readable(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns rows for a terminal: each metric, and each statistic of it, by its own unit."""
    return [{name: measures.with_unit(name, value) for name, value in row.items()} for row in rows]


def _parsed(name: str, value: Any) -> Any:
    if name in JSON_COLUMNS and isinstance(value, str):
        return json.loads(value)
    return plain(value)


def versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that are installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def outline(report: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns a report of named parts as indented lines."""
    lines = []
    for part, values in report.items():
        shown = [f"  {name}: {_shown(value)}" for name, value in values.items()]
        lines += [part, *shown]
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{item} {name}" for name, item in value.items()) or "none"
    return "none" if value is None else str(value)


def machine() -> dict[str, Any]:
    """Returns what the machine offers, as far as it can be known without importing torch."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"platform": platform.platform(), "cores": os.cpu_count(), "usable_cores": usable}


def unrecorded(job: Job) -> dict[str, Any]:
    """Returns a job that has no row in the store under the same keys."""
    config = job.config
    row = {
        **{name: config[name] for name in ("layer", "spec", "seed", "device")},
        "run_id": job.run_id,
        "status": job.status,
        "metrics": (job.result or {}).get("metrics"),
        "task": config["task"]["name"],
        "frame": config["model"]["frame"],
        "protocol": config["train"]["protocol"],
        "config": config,
        "message": job.message,
    }
    return {**run_document(row), "existing": False}


def told(document: Mapping[str, Any], store: Path) -> str:
    """Returns a run in a few lines, with the command that finds it again.

    Args:
        document: what `run_document` returns.
        store: the file it is kept in.
    """
    name, metrics = document["layer"] or document["spec"], document["metrics"]
    known = [name for name in declared() if metrics.get(name) is not None]
    told = [f"{name} {measures.with_unit(name, metrics[name])}" for name in known]
    target = document["seconds_to_target"]
    lines = [
        f"{name} on {document['task']}, seed {document['seed']}: "
        + ", ".join([document["status"], *told]),
        f"  run         {document['run_id']}",
        f"  spec        {document['spec']} ({document['frame']} frame, {document['device']})",
        f"  time        {_seconds(document['seconds'])}, {_count(document['steps'])} "
        + ("step" if document["steps"] == 1 else "steps")
        + (f", target reached after {_seconds(target)}" if target is not None else "")
        + (f", learning rate {document['lr']:g}" if document["lr"] else ""),
        f"  size        {_count(document['parameters'])} parameters, "
        + _state(document["state_size"], metrics.get(PACKED)),
    ]
    if document["message"]:
        lines.append(f"  message     {document['message'].splitlines()[0]}")
    again = command("runs", "--db", str(store), "--where", f"run_id = '{document['run_id']}'")
    return "\n".join([*lines, f"Find it again: {again}"])


def _state(full: int | None, packed: float | None) -> str:
    if full is None:
        return "state not told"
    return f"{full:,} floats of state" + (
        "" if packed is None or packed == full else f" ({packed:,.0f} packed)"
    )


def _count(value: int | None) -> str:
    return "no" if value is None else f"{value:,}"


def _seconds(value: float | None) -> str:
    return "unknown time" if value is None else f"{value:.1f} s"
