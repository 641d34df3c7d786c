"""Tasks: what layers are asked to do. A new task is one class in one file, imported here."""

from .base import TASKS, Batch, EvaluatedTask, Evaluation, Task, TrainedTask, generator, task
from .mqar import MQAR
from .recall import Recall
from .regression import Regression

__all__ = [
    "MQAR",
    "TASKS",
    "Batch",
    "EvaluatedTask",
    "Evaluation",
    "Recall",
    "Regression",
    "Task",
    "TrainedTask",
    "generator",
    "task",
]
