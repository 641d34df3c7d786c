"""How much memory an experiment will need, known before any of it is allocated."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ..errors import LimitExceeded
from ..layers.model import MAX_PARAMETERS, about
from ..limits import MAX_FLOPS, REFERENCE_FLOPS, Estimate, Lowered, Shape, check
from ..solvers import horizon, resolve
from ..space.constraints import Numeric
from ..space.spec import Spec
from .experiment import Experiment
from .tasks import EvaluatedTask, TrainedTask

FLOAT = 4  # bytes
OPTIMIZED = 4  # a parameter, its gradient and AdamW's two moments
KEPT = 24  # activations of the width of the model that a layer keeps for the backward pass
LOWERED = ("seq_len", "sequences", "dim")  # sizes of an evaluation
LOGITS = 3  # the logits, their softmax, their gradient


def check_sizes(experiment: Experiment, flops: float = MAX_FLOPS) -> None:
    """Refuses an experiment that is too large for its solver or for memory.

    Args:
        experiment: what is to be run.
        flops: the most operations of a solve; fewer where somebody waits for it.

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

        smaller = {"train.batch_size": Lowered(size, cost)}
        check("This training", cost(size), flops, smaller, experiment.device)
    elif isinstance(experiment.task, EvaluatedTask):
        _check_evaluation(experiment, experiment.task, flops)


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
    asked = task.held_out("validation", 1).positions.shape[1]
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


def _check_evaluation(experiment: Experiment, task: EvaluatedTask, flops: float) -> None:
    own = {name: getattr(task, name) for name in LOWERED}
    least = {o.name: o.constraint.low for o in task.options() if isinstance(o.constraint, Numeric)}
    for spec in experiment.specs:
        solver = resolve(spec)

        def cost(name: str, number: int, spec: Spec = spec) -> Estimate:
            asked = own | {name: number}
            dim, features = asked["dim"], spec.feature_size(asked["dim"])
            shape = Shape(asked["sequences"], 1, asked["seq_len"], dim, dim, features)
            return resolve(spec).estimate(spec, shape)

        most = min(flops, REFERENCE_FLOPS) if solver.name == "reference" else flops
        smaller = {
            f"task.{name}": Lowered(number, partial(cost, name), int(least[name] or 1))
            for name, number in own.items()
            if name in least  # a task may have one that is no setting
        }
        check(f"{spec} on {task.name}", cost("dim", task.dim), most, smaller, experiment.device)
