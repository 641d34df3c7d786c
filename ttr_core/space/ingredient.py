"""The base of every ingredient: registration, traits, canonical text form.

An ingredient is a frozen dataclass that *defines* one choice on one axis of the design space.
What it claims beyond its definition it claims as a *trait*: an abstract class between the family
and the choice, which adds the method that makes a shortcut possible. Solvers ask for traits.
"""

from __future__ import annotations

import abc
import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import unknown
from .constraints import Listed
from .option import Option, Written, changed, check_options, options_of

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

    Example:
        >>> import ttr_core as ttr
        >>> ttr.catalog["gla"].paper.year
        2023
    """

    title: str
    authors: str
    year: int
    url: str

    def __str__(self) -> str:
        return f"{self.title} ({self.authors}, {self.year}) {self.url}"


@dataclass(frozen=True)
class Made(Listed):
    """A choice of a family, given itself or by its name.

    Args:
        family: ``map``, or another that stands inside of a choice.
    """

    family: str

    @property
    def values(self) -> tuple[str, ...]:
        return tuple(REGISTRY[self.family])

    def check(self, where: str, value: Any) -> Ingredient:
        if isinstance(value, Ingredient) and value.family == self.family:
            return value
        if isinstance(value, str) and value in REGISTRY[self.family]:
            return REGISTRY[self.family][value]()
        raise self.unlisted(where, value)


@dataclass(frozen=True)
class Ingredient(abc.ABC):  # noqa: B024 - families add the abstract methods
    """One choice on one axis: frozen, hashable, default-constructible, printed as it parses.

    A final class stands in a module of ``ttr_core`` to appear in the grid, the pickers, the
    command line and the property tests by itself; elsewhere pass ``register=True``.

    Example:
        >>> import ttr_core as ttr
        >>> gate = ttr.Spec.parse("Gate | Linear | SGD").weights
        >>> gate.family, gate.name, [signal.name for signal in gate.signals]
        ('weights', 'Gate', ['decay'])
    """

    family: ClassVar[str] = ""
    name: ClassVar[str] = ""
    phrase: ClassVar[str] = ""  # of a trait: completes "<family> must be ..."
    needs: ClassVar[tuple[type[Ingredient], ...]] = ()  # traits of the other ingredients
    examples: ClassVar[tuple[dict[str, Any], ...]] = ({},)  # settings listed in the grid
    notation: ClassVar[str] = ""  # its formula in LaTeX, where no terms write it
    revision: ClassVar[int] = 1  # raised when it computes otherwise under the same settings

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
    def listings(cls) -> tuple[dict[str, Any], ...]:
        """Returns the settings with which the choice stands in the grid."""
        return cls.examples

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

    def within(self) -> tuple[Ingredient, ...]:
        """Returns the choice itself and every one inside of it, such as a linear model's map."""
        values = [getattr(self, f.name) for f in fields(self)]
        held = [x for value in values for x in (value if isinstance(value, tuple) else (value,))]
        return (self, *(part for x in held if isinstance(x, Ingredient) for part in x.within()))

    def placed(self) -> dict[str, Ingredient]:
        """Returns what has parameters of its own, by the name that these stand under; "" here."""
        return {"": self}

    def text(self, shown: Written = changed) -> str:
        """Returns the text that `Spec.parse` reads back.

        Args:
            shown: which settings are written out.
        """
        values = [(opt, getattr(self, opt.name)) for opt in self.options()]
        said = [f"{opt.name}={_text(x, shown)}" for opt, x in values if shown(opt, x)]
        return f"{self.name}({', '.join(said)})" if said else self.name

    def factors(self) -> tuple[Ingredient, ...]:
        """Returns what the choice is a product of; itself unless it is one."""
        return (self,)

    def __str__(self) -> str:
        return self.text()


def _text(value: Any, shown: Written) -> str:
    if isinstance(value, Ingredient):
        return value.text(shown)
    return value if isinstance(value, str) else repr(value)


def choices(family: str) -> tuple[type[Ingredient], ...]:
    """Returns every final class of a family, in the order of definition.

    Args:
        family: ``weights``, ``function``, ``optimizer``, ``loss``, ``readout`` or ``map``.

    Raises:
        UnknownName: there is no such family.

    Example:
        >>> import ttr_core as ttr
        >>> [c.name for c in ttr.choices("readout")]
        ['Plain', 'Normalized', 'Bonus', 'Mixed']
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
