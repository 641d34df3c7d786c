"""The lab: tasks, training and experiments, as events and data."""

from .experiment import Experiment, resolve_device
from .sizes import check_sizes
from .tasks import TASKS, Regression, Task, task
from .training import RATES, SEEDS, TrainConfig

__all__ = [
    "RATES",
    "SEEDS",
    "TASKS",
    "Experiment",
    "Regression",
    "Task",
    "TrainConfig",
    "check_sizes",
    "resolve_device",
    "task",
]
