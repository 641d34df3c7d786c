"""How much memory an experiment will need, known before any of it is allocated."""

from __future__ import annotations

from ttr_core.errors import LimitExceeded
from ttr_core.experiment import Experiment
from ttr_core.limits import MAX_FLOPS, REFERENCE_FLOPS, Estimate, Shape, check
from ttr_core.model import MAX_PARAMETERS
from ttr_core.solvers import resolve
from ttr_core.tasks import EvaluatedTask, TrainedTask, generator

FLOAT = 4  # bytes
OPTIMIZED = 4  # a parameter, its gradient and AdamW's two moments
KEPT = 24  # activations of the width of the model that a layer keeps for the backward pass
LOGITS = 3  # the logits, their softmax, their gradient


def check_sizes(experiment: Experiment) -> None:
    """Refuses an experiment that is too large for its solver or for memory.

    Raises:
        LimitExceeded: with the estimate, the limit and what to lower.
    """
    if isinstance(experiment.task, TrainedTask):
        check("This training", _training(experiment, experiment.task))
    elif isinstance(experiment.task, EvaluatedTask):
        _check_evaluation(experiment, experiment.task)


def _training(experiment: Experiment, task: TrainedTask) -> Estimate:
    """Returns what one step of training holds and computes."""
    model, train, count = experiment.model, experiment.train, _parameters(experiment, task)
    if count > MAX_PARAMETERS:
        raise LimitExceeded(
            f"The model would have about {count:,} parameters; the limit is {MAX_PARAMETERS:,}. "
            "Lower model.d_model, model.depth or task.vocab_size."
        )
    tokens = train.batch_size * task.seq_len
    inner = _inner(experiment)
    kept = FLOAT * tokens * model.d_model * (KEPT + 4 * model.mlp) * model.depth
    asked = task.sample(1, generator(0, "validation")).positions.shape[1]
    logits = LOGITS * FLOAT * train.batch_size * asked * task.vocab_size
    held = OPTIMIZED * FLOAT * count * len(train.rates)
    flops = 6.0 * count * tokens + 3 * inner.flops
    return Estimate(flops, held + kept + logits + 3 * inner.bytes)


def _parameters(experiment: Experiment, task: TrainedTask) -> int:
    model = experiment.model
    layer = (6 + 2 * model.mlp) * model.d_model**2
    return task.vocab_size * model.d_model + model.depth * layer


def _inner(experiment: Experiment) -> Estimate:
    """Returns what the layers' own solvers need: operations in total, memory of every layer."""
    model, train, task = experiment.model, experiment.train, experiment.task
    dim = max(1, model.d_model // model.heads)
    length = int(task.settings()["seq_len"])
    flops = held = 0.0
    for place in range(model.depth):
        spec = experiment.specs[place % len(experiment.specs)]
        shape = Shape(train.batch_size, model.heads, length, dim, dim, spec.feature_size(dim))
        cost = resolve(spec).estimate(spec, shape)
        flops, held = flops + cost.flops, held + cost.bytes
    return Estimate(flops, held)


def _check_evaluation(experiment: Experiment, task: EvaluatedTask) -> None:
    values = task.settings()
    dim = int(values["dim"])
    for spec in experiment.specs:
        features = spec.feature_size(dim)
        shape = Shape(int(values["sequences"]), 1, int(values["seq_len"]), dim, dim, features)
        solver = resolve(spec)
        most = REFERENCE_FLOPS if solver.name == "reference" else MAX_FLOPS
        check(f"{spec} on {task.name}", solver.estimate(spec, shape), most)
