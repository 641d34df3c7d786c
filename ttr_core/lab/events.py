"""What a run reports while it goes: JSON-able events, so that they cross process boundaries."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import unknown

EVENTS: dict[str, type[Event]] = {}
"""Event name -> class, filled as classes are defined."""

Curve = list[list[float]]


@dataclass(frozen=True)
class Event:
    """One message of a run.

    Example:
        >>> Event.from_dict({"event": "evaluated", "step": 25, "metrics": {"loss": 8.1}})
        Evaluated(step=25, metrics={'loss': 8.1})
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        EVENTS[cls.__name__.lower()] = cls

    def to_dict(self) -> dict[str, Any]:
        """Returns ``{"event": name, field: value, ...}``, ready for JSON."""
        return {"event": type(self).__name__.lower(), **dataclasses.asdict(self)}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Event:
        """Builds the event that `to_dict` wrote; fields it does not know are refused.

        Example:
            >>> Event.from_dict(Evaluated(25, {"loss": 8.1}).to_dict())
            Evaluated(step=25, metrics={'loss': 8.1})
        """
        name = str(data.get("event"))
        if name not in EVENTS:
            raise unknown("event", name, EVENTS)
        fields = {f.name for f in dataclasses.fields(EVENTS[name])}
        for key in data:
            if key != "event" and key not in fields:
                raise unknown(f"field of event {name}", key, fields)
        return EVENTS[name](**{key: value for key, value in data.items() if key != "event"})


@dataclass(frozen=True)
class Started(Event):
    """The run has begun.

    Args:
        parameters: learned numbers in the model.
        state_size: numbers in its memory at the task's length, all layers and heads; None where a
            user's module does not say.
        flops_per_token: floating point operations of one token's forward pass.
        steps: steps at most.

    Example:
        >>> Started(parameters=4096, state_size=64, flops_per_token=1e4, steps=9).to_dict()["event"]
        'started'
    """

    parameters: int
    state_size: int | None
    flops_per_token: float
    steps: int


@dataclass(frozen=True)
class Progress(Event):
    """Where the run stands.

    Args:
        step: steps done (of the learning rate at work, when several are tried).
        steps: steps at most.
        loss: loss of the last batch, in nats; None where nothing is trained.
        lr: the rate at work; None where nothing is trained.
        tokens_per_second: tokens read per second of training so far.
        seconds: since the start of the run.

    Example:
        >>> Progress(25, 600, 8.1, 0.01, tokens_per_second=1e4, seconds=2.5).to_dict()["step"]
        25
    """

    step: int
    steps: int
    loss: float | None
    lr: float | None
    tokens_per_second: float
    seconds: float


@dataclass(frozen=True)
class Evaluated(Event):
    """A look at the validation set: the metrics that the task declares, by name.

    Args:
        step: steps done.
        metrics: name -> value on the validation set.

    Example:
        >>> Evaluated(25, {"loss": 8.1}).metrics["loss"]
        8.1
    """

    step: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class Finished(Event):
    """The end of a run, with all that is kept of it.

    Args:
        status: ``finished``, ``diverged`` or ``cancelled``.
        metrics: name -> number, on the test set.
        accuracy_by: what -> value -> the main metric (accuracy, where tokens are answers), such
            as ``{"gap": {"2-3": 1.0}}``.
        steps: steps done by the learning rate that counts.
        seconds: of the whole run.
        seconds_to_target: training time until the target, or None.
        parameters: learned numbers in the model.
        state_size: numbers in its memory at the task's length, or None as in `Started`.
        lr: the learning rate that counts; None where nothing is trained.
        lrs_tried: every learning rate tried.
        curves: name -> [[step, value], ...].
        tables: name -> rows.
        message: one sentence where there is something to say.

    Example:
        >>> end = Finished("finished", {"loss": 8.1}, {}, 600, 9.5, None, 4096, 64, 0.01)
        >>> end.status, end.message
        ('finished', '')
    """

    status: str
    metrics: dict[str, float | None]
    accuracy_by: dict[str, dict[str, float]]
    steps: int
    seconds: float
    seconds_to_target: float | None
    parameters: int
    state_size: int | None
    lr: float | None
    lrs_tried: list[float] = field(default_factory=list)
    curves: dict[str, Curve] = field(default_factory=dict)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    message: str = ""
