"""Tasks: what layers are asked to do; one file per task, each loaded by itself."""

from __future__ import annotations

from ...space.ingredient import load
from .base import (
    TASKS,
    Batch,
    EvaluatedTask,
    Evaluation,
    Task,
    TrainedTask,
    generator,
    metrics,
    task,
)
from .constants import Constants, Knob, knobs
from .labeled import LabeledTask
from .mqar import MQAR
from .recall import Recall
from .regression import Prepared, Regression

load(__name__, __path__)

__all__ = [
    "MQAR",
    "TASKS",
    "Batch",
    "Constants",
    "EvaluatedTask",
    "Evaluation",
    "Knob",
    "LabeledTask",
    "Prepared",
    "Recall",
    "Regression",
    "Task",
    "TrainedTask",
    "generator",
    "knobs",
    "metrics",
    "task",
]
