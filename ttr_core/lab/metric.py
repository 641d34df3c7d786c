"""A metric: a number that tasks report, declared once and read wherever it is shown or compared."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

WAYS = ("higher", "lower")
SHARE = "share"
"""The unit of what lies between 0 and 1 and is shown in percent."""

TAKEN = (
    "run_id", "status", "layer", "spec", "frame", "task", "seed", "device", "protocol", "steps",
    "steps_planned", "seconds", "seconds_to_target", "steps_to_target", "parameters", "state_size",
    "lr", "lrs_tried", "metrics", "accuracy_by", "last", "best", "best_step", "n", "diverged",
    "seeds", "run_ids", "config", "config_hash", "config_group", "series", "parts", "superseded",
    "tags", "note", "starred", "archived", "message", "started_at", "finished_at", "beat_at",
    "host", "pid", "driver", "versions", "environment", "cpu_seconds", "train_seconds",
    "tokens_per_second", "still_rising", "rise_at_fall", "packed_state_size", "cut_short",
)  # fmt: skip
"""Names that a run has already."""

SQL = (
    "all", "analyse", "analyze", "and", "any", "array", "as", "asc", "asymmetric", "both",
    "case", "cast", "check", "collate", "column", "constraint", "create", "default",
    "deferrable", "desc", "describe", "distinct", "do", "else", "end", "except", "false",
    "fetch", "for", "foreign", "from", "group", "having", "in", "initially", "intersect",
    "into", "lambda", "lateral", "leading", "limit", "not", "null", "offset", "on", "only",
    "or", "order", "pivot", "pivot_longer", "pivot_wider", "placing", "primary", "qualify",
    "references", "returning", "select", "show", "some", "summarize", "symmetric", "table",
    "then", "to", "trailing", "true", "union", "unique", "unpivot", "using", "variadic", "when",
    "where", "window", "with",
)  # fmt: skip
"""Words of the language in which runs are asked for: no column of theirs can be called so."""

PACKED = "packed_state_size"
"""The metric of a run that counts its state with one half of symmetric matrices."""

VALIDATION = "validation_"
"""Before the name of a metric: its last value on the validation set."""

STATISTICS = ("mean", "std", "min", "max", "n", "median")
"""What is made of a metric over several runs; ``NAME_STATISTIC`` is no name of a metric."""


@dataclass(frozen=True)
class Metric:
    r"""A number that a task reports of a layer, with all that a reader of it must know.

    Its score is the share of the way from the worst to the best value,
    $(x - low) / (high - low)$, or 1 minus that where lower is better.

    Args:
        name: under which it is reported and stored; lower case, ``a`` to ``z``, digits, ``_``.
        better: ``higher`` or ``lower``.
        low: the least value there can be, or None.
        high: the largest, or None. A trained task's main metric has both: its targets and its
            windows of learning rates are shares of the way between them.
        unit: ``share`` (0 to 1, shown in percent), or what stands behind the number, or nothing.
        help: one sentence.

    Raises:
        ValueError: a name that is taken or no name, another way, bounds in the wrong order.

    Example:
        >>> angle = Metric("distance", "lower", 0.0, 3.2, "rad")
        >>> angle.shown(0.12345), angle.better_of(0.1, 0.2), angle.score(0.8)
        ('0.1235 rad', 0.1, 0.75)
        >>> Metric("accuracy", unit="share").shown(0.9778)
        '97.78 %'
    """

    name: str
    better: str = "higher"
    low: float | None = None
    high: float | None = None
    unit: str = ""
    help: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.name) or self.name in TAKEN:
            raise ValueError(
                f"A metric is called {self.name!r}; it needs a name of a to z, digits and _ that "
                f"is none of {', '.join(TAKEN)}."
            )
        if self.name in SQL or self.name.startswith(VALIDATION):
            why = "a word of SQL" if self.name in SQL else "what training reports"
            raise ValueError(f"A metric is called {self.name!r}; that is {why}: call it otherwise.")
        if self.name.rpartition("_")[0] and self.name.rpartition("_")[2] in STATISTICS:
            raise ValueError(
                f"A metric is called {self.name!r}; that is a statistic of "
                f"{self.name.rpartition('_')[0]!r}: end it otherwise."
            )
        if self.better not in WAYS:
            raise ValueError(f"{self.name}.better is {self.better!r}; it must be higher or lower.")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"{self.name} goes from {self.low} to {self.high}; low < high is due.")

    @property
    def title(self) -> str:
        """The name as a heading."""
        return self.name.replace("_", " ").capitalize()

    @property
    def rises(self) -> bool:
        """Whether higher is better."""
        return self.better == "higher"

    @property
    def share(self) -> bool:
        """Whether it is shown in percent."""
        return self.unit == SHARE

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The least and the largest value, or None where one of them is open."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    def shown(self, value: float | None) -> str:
        """Returns a value of the metric, or a spread of its values, as people read it."""
        if value is None or math.isnan(value):
            return "–"
        return f"{self.number(value)} {'%' if self.share else self.unit}".rstrip()

    def number(self, value: float) -> str:
        """Returns a value without its unit, for a column that names it."""
        return f"{100 * value:.2f}".rstrip("0").rstrip(".") if self.share else f"{value:.4g}"

    def merit(self, value: float | None) -> float:
        """Returns a number that grows as the value gets better; minus infinity for none."""
        if value is None or math.isnan(value):
            return -math.inf
        return value if self.rises else -value

    def better_of(self, first: float | None, second: float | None) -> float | None:
        """Returns the better of two values."""
        return max(first, second, key=self.merit)

    def score(self, value: float | None) -> float | None:
        """Returns where a value stands from the worst, 0, to the best, 1; None where unbounded."""
        if value is None or self.bounds is None:
            return None
        low, high = self.bounds
        part = (value - low) / (high - low)
        return part if self.rises else 1 - part
