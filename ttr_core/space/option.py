"""Settings: the fields of a choice, a task or a configuration, made with `option`.

The command line, the controls, the docs and the text form of a spec are made from them.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..errors import unknown
from .constraints import Choice, Constraint, Flag, Names, Number, Text, Whole

C = TypeVar("C")

NONE = ("none", "null", "")
"""How text says None, of a setting that may be it."""

SHARPNESSES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
RIDGES = (0.001, 0.01, 0.1, 1.0, 10.0)
"""What tuning tries of a kernel's scale and of a ridge, wherever they are an option."""


@dataclass(frozen=True)
class Option:
    """One setting of an ingredient, a task or a configuration, as controls and help show it.

    Args:
        name: the keyword.
        constraint: what it may be.
        default: the value when nothing is asked.
        help: one sentence with the unit.
        optional: whether None is valid too (its meaning stands in ``help``).
        tune: the values that are tried where the setting is tuned; none where it is not.
        since: the version of its class in which it appeared, from 1. A run made before it knows
            nothing of it, and is the same run as one made since with its default.

    Example:
        >>> import ttr_core as ttr
        >>> option = ttr.options_of(ttr.TrainConfig)[0]
        >>> option.name, option.default
        ('lr', 0.01)
    """

    name: str
    constraint: Constraint
    default: Any
    help: str
    optional: bool = False
    tune: tuple[Any, ...] = ()
    since: int = 1

    def check(self, where: str, value: Any) -> Any:
        """Returns a valid value, cast where nothing is lost.

        Raises:
            RequestError: the value is not valid.
        """
        return None if value is None and self.optional else self.constraint.check(where, value)

    def parse(self, where: str, text: str) -> Any:
        """Returns the valid value that a text says.

        Raises:
            RequestError: it says none.
        """
        if self.optional and text.lower() in NONE:
            return None
        return self.constraint.parse(where, text)


Written = Callable[[Option, Any], bool]
"""Says whether a text writes a setting with a value out."""


def changed(option: Option, value: Any) -> bool:
    """Says whether a setting is not at its default: what a short text writes."""
    return bool(value != option.default)


def every(option: Option, value: Any) -> bool:
    """Says yes: a text with every default written out keeps its meaning when a default changes."""
    return True


def lasting(option: Option, value: Any) -> bool:
    """Says whether a setting tells a run from those made before there was the setting."""
    return option.since == 1 or changed(option, value)


def option(
    default: Any,
    help: str,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[Any] = (),
    closed: str = "both",
    constraint: Constraint | None = None,
    tune: Sequence[Any] = (),
    since: int = 1,
) -> Any:
    """Declares a dataclass field that is a setting.

    What it may be follows from the annotation (``bool``, ``int``, ``float``, ``str``,
    ``tuple[str, ...]``; ``| None`` for one that may be None) and from the range or the choices.

    Args:
        default: the value when nothing is asked.
        help: one sentence with the unit.
        low: the lower end of a number's range.
        high: the upper end of it.
        choices: the valid values, where they can be listed.
        closed: which ends of the range are valid: ``both``, ``left``, ``right`` or ``neither``.
        constraint: what the value may be, where the annotation cannot say it.
        tune: the values that are tried where the setting is tuned.
        since: the version of its class in which the setting appeared: 1 where it was there from
            the first, one more than the largest of its class where it is added to one that runs
            are stored of. Those runs are found under the default, which must be what was done
            before: to change it later raises the ``revision`` of the class.
    """
    declared = _Declared(help, low, high, tuple(choices), closed, constraint, tuple(tune), since)
    return field(default=default, metadata={"declared": declared})


@dataclass(frozen=True)
class _Declared:
    """What `option` was told; its annotation is known when the class is complete."""

    help: str
    low: float | None
    high: float | None
    choices: tuple[Any, ...]
    closed: str
    constraint: Constraint | None
    tune: tuple[Any, ...]
    since: int


def options_of(cls: type) -> tuple[Option, ...]:
    """Returns the settings of a dataclass whose fields were made with `option`.

    Args:
        cls: a dataclass, its fields made with `option`.

    Example:
        >>> import ttr_core as ttr
        >>> [option.name for option in ttr.options_of(ttr.ModelConfig)][:3]
        ['layers', 'depth', 'd_model']
    """
    return _options(cls)


@functools.cache
def _options(cls: type) -> tuple[Option, ...]:
    return tuple(_option(cls, f) for f in dataclasses.fields(cls) if "declared" in f.metadata)


def _option(cls: type, f: dataclasses.Field[Any]) -> Option:
    said: _Declared = f.metadata["declared"]
    annotation = f.type if isinstance(f.type, str) else getattr(f.type, "__name__", str(f.type))
    constraint = said.constraint or _constraint(f"{cls.__name__}.{f.name}", annotation, said)
    optional = "None" in str(f.type)
    return Option(f.name, constraint, f.default, said.help, optional, said.tune, said.since)


def _constraint(where: str, annotation: str, said: _Declared) -> Constraint:
    if said.choices:
        return Choice(said.choices)
    made = {
        "bool": Flag,
        "int": lambda: Whole(said.low, said.high, said.closed),
        "float": lambda: Number(said.low, said.high, said.closed),
        "str": Text,
        "tuple": Names,
    }
    kind = annotation.partition("|")[0].partition("[")[0].strip()
    if kind not in made:
        raise TypeError(
            f"{where} is annotated {annotation}, which does not say what it may be: annotate it "
            f"{', '.join(made)} or give option(..., constraint=...)."
        )
    return made[kind]()


def check_options(instance: object) -> None:
    """Checks every setting of a dataclass and casts ints given for floats.

    Raises:
        RequestError: a value of the wrong type, out of its range or not finite.
    """
    for opt in options_of(type(instance)):
        value = opt.check(_where(type(instance), opt), getattr(instance, opt.name))
        object.__setattr__(instance, opt.name, value)


def from_settings(cls: type[C], settings: Mapping[str, Any], kind: str) -> C:
    """Builds a dataclass from user settings, whose values may be text.

    Args:
        cls: a frozen dataclass whose fields were made with `option`.
        settings: name -> value; text is read as the setting's constraint says.
        kind: what to call the settings in an error, such as ``"setting of task mqar"``.

    Raises:
        UnknownName: a setting that ``cls`` does not have.
        RequestError: a value of the wrong type or out of range.

    Example:
        >>> import ttr_core as ttr
        >>> ttr.from_settings(ttr.TrainConfig, {"steps": "200"}, "setting of train").steps
        200
    """
    known = {opt.name: opt for opt in options_of(cls)}
    for name in settings:
        if name not in known:
            raise unknown(kind, str(name), known)
    return cls(**{name: _read(cls, known[name], value) for name, value in settings.items()})


def _read(cls: type, opt: Option, value: Any) -> Any:
    return opt.parse(_where(cls, opt), value.strip()) if isinstance(value, str) else value


def _where(cls: type, opt: Option) -> str:
    return f"{getattr(cls, 'name', cls.__name__)}.{opt.name}"
