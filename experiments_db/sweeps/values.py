"""What a key of a plan may hold: one value, a list of values, or a range of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import pydantic

from ..run.request import Short

MAX_VALUES = 10_000

Finite = Annotated[float, pydantic.Field(allow_inf_nan=False)]


class Range(pydantic.BaseModel):
    """Numbers from one to another, both included.

    Args:
        first: the first one (``from`` in a plan).
        last: the largest one (``to``).
        step: the distance between two, by default 1.
        count: how many, instead of a step.
        scale: ``linear``, or ``log`` for equal ratios, which needs a count.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    first: Finite = pydantic.Field(alias="from")
    last: Finite = pydantic.Field(alias="to")
    step: Annotated[float, pydantic.Field(gt=0, allow_inf_nan=False)] | None = None
    count: Annotated[int, pydantic.Field(ge=2, le=MAX_VALUES)] | None = None
    scale: Literal["linear", "log"] = "linear"

    @pydantic.model_validator(mode="after")
    def _fits(self) -> Range:
        if self.last < self.first:
            raise ValueError(f"`to` is {self.last:g}, below `from`, which is {self.first:g}")
        if self.step is not None and self.count is not None:
            raise ValueError("give `step` or `count`, not both")
        if self.scale == "log" and (self.count is None or self.first <= 0):
            raise ValueError("a log scale needs `count` and a `from` above 0")
        if self.size > MAX_VALUES:
            raise ValueError(f"these are more than {MAX_VALUES:,} values")
        return self

    @property
    def size(self) -> int:
        """How many numbers it has; one more than there may be, where that are too many."""
        if self.count is not None:
            return self.count
        steps = (self.last - self.first) / (self.step or 1.0)  # infinite beyond the largest float
        return math.floor(steps + 1e-9) + 1 if steps < MAX_VALUES else MAX_VALUES + 1

    def texts(self) -> tuple[str, ...]:
        """Returns the numbers as text."""
        return tuple(_text(self._at(i)) for i in range(self.size))

    def _at(self, place: int) -> float:
        if self.count is None:
            return self.first + place * (self.step or 1.0)
        share = place / (self.count - 1)
        if self.scale == "log":
            ratio = self.last / self.first
            if math.isfinite(ratio):
                return float(self.first * ratio**share)
            return math.exp((1 - share) * math.log(self.first) + share * math.log(self.last))
        span = self.last - self.first
        if math.isfinite(span):
            return self.first + share * span
        return (1 - share) * self.first + share * self.last


def _kind(value: Any) -> str:
    if isinstance(value, (dict, Range)):
        return "range"
    return "list" if isinstance(value, (list, tuple)) else "one"


Values = Annotated[
    Annotated[Short, pydantic.Tag("one")]
    | Annotated[
        tuple[Short, ...], pydantic.Field(min_length=1, max_length=MAX_VALUES), pydantic.Tag("list")
    ]
    | Annotated[Range, pydantic.Tag("range")],
    pydantic.Discriminator(_kind),
]
"""One value, a list of them, or a range."""


def size(values: str | Sequence[str] | Range) -> int:
    """Returns how many values there are, without making them."""
    if isinstance(values, Range):
        return values.size
    return 1 if isinstance(values, str) else len(values)


def texts(values: str | Sequence[str] | Range) -> tuple[str, ...]:
    """Returns the values as text.

    Example:
        >>> texts(Range.model_validate({"from": 1e-4, "to": 1e-2, "count": 3, "scale": "log"}))
        ('0.0001', '0.001', '0.01')
    """
    if isinstance(values, Range):
        return values.texts()
    return (values,) if isinstance(values, str) else tuple(values)


def _text(number: float) -> str:
    return str(int(number)) if number == int(number) else f"{number:.7g}"
