"""The base of every ingredient: options, registration, canonical text form.

An ingredient is a frozen dataclass that *defines* one choice on one axis of the design space.
What it claims beyond its definition it claims as a *trait*: an abstract class between the family
and the choice, which adds the method that makes a shortcut possible. Solvers ask for traits.
"""

from __future__ import annotations

import abc
import dataclasses
import importlib
import inspect
import math
import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import RequestError, unknown

if TYPE_CHECKING:
    from torch import Tensor

    from ..stream import Signal
    from .spec import Spec

REGISTRY: dict[str, dict[str, type[Ingredient]]] = {}
"""family -> text name -> class, filled as classes are defined."""


@dataclass(frozen=True)
class Paper:
    """Where something was published.

    Args:
        title: the paper's title.
        authors: its authors, shortened to "First et al." when there are many.
        year: year of first publication.
        url: a stable address.
    """

    title: str
    authors: str
    year: int
    url: str

    def __str__(self) -> str:
        return f"{self.title} ({self.authors}, {self.year}) {self.url}"


@dataclass(frozen=True)
class Option:
    """One setting of an ingredient, a task or a configuration, as controls and help show it.

    Args:
        name: the keyword.
        kind: ``float``, ``int``, ``bool``, ``choice``, ``text``, ``names`` or ``map``.
        default: the value when nothing is asked.
        low: smallest valid value, or None.
        high: largest valid value, or None.
        choices: the valid values of a ``choice`` or ``map``.
        help: one sentence with the unit.
        optional: whether None is valid too (its meaning stands in ``help``).
    """

    name: str
    kind: str
    default: Any
    low: float | None
    high: float | None
    choices: tuple[Any, ...]
    help: str
    optional: bool = False


def option(
    default: Any,
    help: str,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[Any] = (),
) -> Any:
    """Declares a dataclass field that is a setting with a range and a help text."""
    metadata = {"help": help, "low": low, "high": high, "choices": tuple(choices)}
    return field(default=default, metadata=metadata)


def options_of(cls: type) -> tuple[Option, ...]:
    """Returns the settings of a dataclass whose fields were made with `option`."""
    return tuple(_option(f) for f in dataclasses.fields(cls) if "help" in f.metadata)


def _option(f: dataclasses.Field[Any]) -> Option:
    meta, annotation = f.metadata, str(f.type)
    choices = meta["choices"]
    if isinstance(f.default, Ingredient):
        kind, choices = "map", tuple(REGISTRY[f.default.family])
    elif choices:
        kind = "choice"
    elif annotation.startswith("tuple"):
        kind = "names"
    else:
        kind = next((k for k in ("bool", "int", "float") if annotation.startswith(k)), "text")
    optional = "None" in annotation
    return Option(
        f.name, kind, f.default, meta["low"], meta["high"], choices, meta["help"], optional
    )


def check_options(instance: Any) -> None:
    """Checks every setting of a dataclass against its range and casts ints given for floats.

    Raises:
        RequestError: a value of the wrong type, out of its range or not finite.
    """
    for opt in options_of(type(instance)):
        value = getattr(instance, opt.name)
        object.__setattr__(instance, opt.name, _checked(type(instance), opt, value))


def _checked(cls: type, opt: Option, value: Any) -> Any:
    where = f"{getattr(cls, 'name', cls.__name__)}.{opt.name}"
    if value is None and opt.optional:
        return None
    if opt.kind in ("choice", "text"):
        if opt.kind == "choice" and value not in opt.choices:
            raise unknown(f"value of {where}", str(value), [str(c) for c in opt.choices])
        return value
    if opt.kind == "names":
        return _names(where, value)
    if opt.kind == "map":
        return _map(where, opt, value)
    if opt.kind == "bool":
        if not isinstance(value, bool):
            raise RequestError(f"{where} is {value!r}; it must be true or false.")
        return value
    return _number(where, opt, value)


def _number(where: str, opt: Option, value: Any) -> float | int:
    wanted = "a whole number" if opt.kind == "int" else "a number"
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise RequestError(f"{where} is {value!r}; it must be {wanted}{_range(opt)}.")
    if opt.kind == "int" and value != int(value):
        raise RequestError(f"{where} is {value!r}; it must be a whole number{_range(opt)}.")
    below = opt.low is not None and value < opt.low
    if below or (opt.high is not None and value > opt.high):
        raise RequestError(f"{where} is {value!r}; it must be {wanted}{_range(opt)}.")
    return int(value) if opt.kind == "int" else float(value)


def _range(opt: Option) -> str:
    if opt.low is None and opt.high is None:
        return ""
    if opt.high is None:
        return f" of at least {opt.low}"
    if opt.low is None:
        return f" of at most {opt.high}"
    return f" from {opt.low} to {opt.high}"


def _names(where: str, value: Any) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, (list, tuple)) or not all(isinstance(i, str) for i in items):
        raise RequestError(f"{where} is {value!r}; it must be a list of names.")
    return tuple(items)


def _map(where: str, opt: Option, value: Any) -> Ingredient:
    family = opt.default.family
    if isinstance(value, Ingredient) and value.family == family:
        return value
    if isinstance(value, str) and value in REGISTRY[family]:
        return REGISTRY[family][value]()
    raise unknown(f"value of {where}", str(value), REGISTRY[family])


def from_settings(cls: type, settings: Mapping[str, Any], kind: str) -> Any:
    """Builds a dataclass from user settings, whose values may be text.

    Args:
        cls: a frozen dataclass whose fields were made with `option`.
        settings: name -> value; text is cast to the kind of the setting.
        kind: what to call the settings in an error, such as ``"setting of task mqar"``.

    Raises:
        UnknownName: a setting that ``cls`` does not have.
        RequestError: a value of the wrong type or out of range.
    """
    known = {opt.name: opt for opt in options_of(cls)}
    for name in settings:
        if name not in known:
            raise unknown(kind, str(name), known)
    return cls(**{name: _cast(cls, known[name], value) for name, value in settings.items()})


def _cast(cls: type, opt: Option, value: Any) -> Any:
    if isinstance(value, list) and opt.kind == "names":
        return tuple(value)
    if not isinstance(value, str):
        return value
    text = value.strip()
    where = f"{getattr(cls, 'name', cls.__name__)}.{opt.name}"
    if opt.optional and text.lower() in ("none", "null", ""):
        return None
    if opt.kind == "bool":
        if text.lower() not in ("true", "false"):
            raise RequestError(f"{where} is {text!r}; it must be true or false.")
        return text.lower() == "true"
    if opt.kind == "names":
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if opt.kind == "choice":
        return next((c for c in opt.choices if str(c) == text), text)
    if opt.kind in ("int", "float"):
        return _parsed_number(where, opt, text)
    return text


def _parsed_number(where: str, opt: Option, text: str) -> float | int:
    try:
        number = float(text)
    except ValueError:
        wanted = "a whole number" if opt.kind == "int" else "a number"
        raise RequestError(f"{where} is {text!r}; it must be {wanted}{_range(opt)}.") from None
    whole = math.isfinite(number) and number == int(number)
    return int(number) if opt.kind == "int" and whole else number


@dataclass(frozen=True)
class Ingredient(abc.ABC):  # noqa: B024 - families add the abstract methods
    """One choice on one axis: frozen, hashable, default-constructible, printed as it parses.

    A final class stands in a module of ``ttr_core`` to appear in the grid, the pickers, the
    command line and the property tests by itself; elsewhere pass ``register=True``.
    """

    family: ClassVar[str] = ""
    name: ClassVar[str] = ""
    phrase: ClassVar[str] = ""  # of a trait: completes "<family> must be ..."
    needs: ClassVar[tuple[type[Ingredient], ...]] = ()  # traits of the other ingredients
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({},)  # settings listed in the grid
    notation: ClassVar[str] = ""  # LaTeX used by describe()

    def __init_subclass__(cls, register: bool = False) -> None:
        super().__init_subclass__()
        cls.name = cls.__dict__.get("name", cls.__name__)
        ours = register or cls.__module__.startswith("ttr_core.")
        abstract = inspect.isabstract(cls) or abc.ABC in cls.__bases__
        if cls.family and ours and not abstract and cls.listed():
            REGISTRY.setdefault(cls.family, {})[cls.name] = cls

    def __post_init__(self) -> None:
        check_options(self)

    @classmethod
    def listed(cls) -> bool:
        """Whether the choice is offered by name (a product of weights is not: it is written)."""
        return True

    @classmethod
    def options(cls) -> tuple[Option, ...]:
        """Returns the settings of this choice."""
        return options_of(cls)

    @classmethod
    def summary(cls) -> str:
        """Returns the first line of the docstring."""
        return (inspect.getdoc(cls) or cls.name).splitlines()[0]

    @property
    def signals(self) -> tuple[Signal, ...]:
        """The per-token quantities that the frame must project for this choice."""
        return ()

    def parameters(self, key_dim: int, value_dim: int, heads: int) -> dict[str, Tensor]:
        """Returns the tensors of this choice, head first; learned where they require a gradient."""
        return {}

    def objection(self, spec: Spec) -> str | None:
        """Says why this choice cannot stand in ``spec``, or None."""
        for trait in self.needs:
            part = getattr(spec, trait.family)
            if not isinstance(part, trait):
                return f"{self.name} needs {trait.phrase}; {part} is not."
        return None

    def text(self, expanded: bool = False) -> str:
        """Returns the text that `Spec.parse` reads back; with every default if ``expanded``."""
        shown = [
            f"{opt.name}={_text(getattr(self, opt.name), expanded)}"
            for opt in self.options()
            if expanded or getattr(self, opt.name) != opt.default
        ]
        return f"{self.name}({', '.join(shown)})" if shown else self.name

    def __str__(self) -> str:
        return self.text()


def _text(value: Any, expanded: bool) -> str:
    if isinstance(value, Ingredient):
        return value.text(expanded)
    return value if isinstance(value, str) else repr(value)


def choices(family: str) -> tuple[type[Ingredient], ...]:
    """Returns every final class of a family, in the order of definition.

    Args:
        family: ``weights``, ``function``, ``optimizer``, ``loss``, ``readout`` or ``map``.

    Example:
        >>> import ttr_core as ttr
        >>> [c.name for c in ttr.choices("readout")]
        ['Plain', 'Normalized', 'Bonus']
    """
    if family not in REGISTRY:
        raise unknown("family of ingredients", family, REGISTRY)
    return tuple(REGISTRY[family].values())


def having(*traits: type[Ingredient]) -> str:
    """Returns the names of the choices with all of some traits of a family, for a sentence.

    Example:
        >>> from ttr_core.space.optimizers import Sum
        >>> having(Sum)
        'OneStep or Hebbian'
    """
    found = [c.name for c in choices(traits[0].family) if all(issubclass(c, t) for t in traits)]
    return " or ".join(found)


def load(package: str, folders: Iterable[str], first: Sequence[str] = ()) -> None:
    """Imports every module of a package, so that a choice is one file put there, and no list.

    Args:
        package: its name.
        folders: where its modules lie.
        first: modules whose choices are listed first; the others follow by name.
    """
    others = sorted({found.name for found in pkgutil.iter_modules(folders)} - {*first})
    place = {f"{package}.{module}": rank for rank, module in enumerate([*first, *others])}
    for module in place:
        importlib.import_module(module)
    for family, known in REGISTRY.items():
        ranked = sorted(known.items(), key=lambda item: place.get(item[1].__module__, len(place)))
        REGISTRY[family] = dict(ranked) if ranked[0][1].__module__ in place else known
