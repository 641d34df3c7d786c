"""The lab: tasks, their metrics, training and experiments, as events and data."""

from ..layers.own_module import check_class, is_module, module_name
from .clean_pairs import ReadBack, reads_back
from .curve import PACE, RISE, RISE_AT_FALL, STILL_RISING
from .devices import DEVICES, gpus, one_thread, resolve_device, take_gpu
from .events import Evaluated, Event, Finished, Progress, Started
from .experiment import Experiment
from .identity import RunIdentity, digest, fingerprint, identity, outdated
from .metric import PACKED, STATISTICS, VALIDATION, Metric
from .own_layer import AdmittedModule
from .probes import PROBES, Measured, Probe
from .protocol import AFTER_FIRST_ROUND, RATES, SEEDS, TrainConfig
from .sizes import check_sizes, too_long
from .students_t import student
from .tasks import (
    MQAR,
    TASKS,
    Batch,
    Constants,
    EvaluatedTask,
    Evaluation,
    Knob,
    LabeledTask,
    Prepared,
    Recall,
    Regression,
    Task,
    TrainedTask,
    knobs,
    metrics,
    task,
)
from .trained import TrainedView, looked_at
from .training import train
from .vitals import LENGTHS as VITAL_LENGTHS
from .vitals import VitalSigns, all_vital_signs, vital_signs

__all__ = [
    "AFTER_FIRST_ROUND",
    "DEVICES",
    "MQAR",
    "PACE",
    "PACKED",
    "PROBES",
    "RATES",
    "RISE",
    "RISE_AT_FALL",
    "SEEDS",
    "STATISTICS",
    "STILL_RISING",
    "TASKS",
    "VALIDATION",
    "VITAL_LENGTHS",
    "AdmittedModule",
    "Batch",
    "Constants",
    "Evaluated",
    "EvaluatedTask",
    "Evaluation",
    "Event",
    "Experiment",
    "Finished",
    "Knob",
    "LabeledTask",
    "Measured",
    "Metric",
    "Prepared",
    "Probe",
    "Progress",
    "ReadBack",
    "Recall",
    "Regression",
    "RunIdentity",
    "Started",
    "Task",
    "TrainConfig",
    "TrainedTask",
    "TrainedView",
    "VitalSigns",
    "all_vital_signs",
    "check_class",
    "check_sizes",
    "digest",
    "fingerprint",
    "gpus",
    "identity",
    "is_module",
    "knobs",
    "looked_at",
    "metrics",
    "module_name",
    "one_thread",
    "outdated",
    "reads_back",
    "resolve_device",
    "student",
    "take_gpu",
    "task",
    "too_long",
    "train",
    "vital_signs",
]
