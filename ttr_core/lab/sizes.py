"""How much memory an experiment will need, known before any of it is allocated."""

from __future__ import annotations

from dataclasses import replace

from ..errors import LimitExceeded
from ..layers.model import MAX_PARAMETERS, about
from ..limits import MAX_FLOPS, REFERENCE_FLOPS, Estimate, Shape, check
from ..solvers import horizon, resolve
from .experiment import Experiment
from .tasks import EvaluatedTask, TrainedTask, generator

FLOAT = 4  # bytes
OPTIMIZED = 4  # a parameter, its gradient and AdamW's two moments
KEPT = 24  # activations of the width of the model that a layer keeps for the backward pass
LOGITS = 3  # the logits, their softmax, their gradient


def check_sizes(experiment: Experiment) -> None:
    """Refuses an experiment that is too large for its solver or for memory.

    Args:
        experiment: what is to be run.

    Raises:
        LimitExceeded: with the estimate, the limit and what to lower.

    Example:
        >>> import ttr_core as ttr
        >>> from ttr_core.lab import Experiment
        >>> check_sizes(Experiment(ttr.task("mqar"), ttr.ModelConfig()))
    """
    if isinstance(experiment.task, TrainedTask):
        task, size = experiment.task, experiment.train.batch_size

        def cost(batch_size: int) -> Estimate:
            train = replace(experiment.train, batch_size=batch_size)
            return _training(replace(experiment, train=train), task)

        check("This training", cost(size), smaller={"train.batch_size": (size, cost)})
    elif isinstance(experiment.task, EvaluatedTask):
        _check_evaluation(experiment, experiment.task)


def too_long(experiment: Experiment) -> tuple[str, ...]:
    """Returns what to say of layers that are asked for more tokens than they compute alike.

    Args:
        experiment: what is to be run.

    Example:
        >>> import ttr_core as ttr
        >>> from ttr_core.lab import Experiment
        >>> too_long(Experiment(ttr.task("mqar"), ttr.ModelConfig()))
        ()
    """
    task = experiment.task
    if not isinstance(task, TrainedTask):
        return ()
    bounds = {spec: horizon(spec) for spec, _ in experiment.model.regressions()}
    return tuple(
        f"{spec} is asked for {task.seq_len} tokens, and may amplify rounding to 1 % beyond "
        f"{most}: take task.seq_len={most} or less, or lower its rate and see `vitals`."
        for spec, most in bounds.items()
        if most is not None and task.seq_len > most
    )


def _training(experiment: Experiment, task: TrainedTask) -> Estimate:
    """Returns what one step of training holds and computes."""
    model, train = experiment.model, experiment.train
    count = about(model, task.vocab_size)
    if count > MAX_PARAMETERS:
        raise LimitExceeded(
            f"The model would have about {count:,} parameters; the limit is {MAX_PARAMETERS:,}. "
            "Lower model.d_model, model.depth or task.vocab_size."
        )
    tokens = train.batch_size * task.seq_len
    inner = _inner(experiment, task.seq_len)
    widths = sum(KEPT * frame.expand + 4 * model.mlp for _, frame in model.regressions())
    kept = FLOAT * tokens * model.d_model * widths
    asked = task.sample(1, generator(0, "validation")).positions.shape[1]
    logits = LOGITS * FLOAT * train.batch_size * asked * task.vocab_size
    held = OPTIMIZED * FLOAT * count * len(train.rates)
    flops = 6.0 * count * tokens + 3 * inner.flops
    return Estimate(flops, held + kept + logits + 3 * inner.bytes)


def _inner(experiment: Experiment, length: int) -> Estimate:
    """Returns what the layers' own solvers need: operations in total, memory of every layer."""
    model, train = experiment.model, experiment.train
    flops = held = 0.0
    for spec, frame in model.regressions():
        sizes = frame.sizes(model.d_model, model.heads, model.kv_heads)
        keys, values = sizes.key_dim, sizes.value_dim
        shape = Shape(train.batch_size, sizes.heads, length, keys, values, spec.feature_size(keys))
        cost = resolve(spec).estimate(spec, shape)
        flops, held = flops + cost.flops, held + cost.bytes
    return Estimate(flops, held)


def _check_evaluation(experiment: Experiment, task: EvaluatedTask) -> None:
    dim = task.dim
    for spec in experiment.specs:
        features = spec.feature_size(dim)
        shape = Shape(task.sequences, 1, task.seq_len, dim, dim, features)
        solver = resolve(spec)
        most = REFERENCE_FLOPS if solver.name == "reference" else MAX_FLOPS
        smaller = solver.smaller(spec, shape, "task.seq_len", "task.sequences")
        check(f"{spec} on {task.name}", solver.estimate(spec, shape), most, smaller)
