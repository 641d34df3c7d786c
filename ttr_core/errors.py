"""What a user can get wrong, said so that they can put it right.

Every message holds three things: what was asked, what is required, what to change.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

LISTED, LISTED_NEAR = 60, 20
"""So many valid names are written out; of more it is said how many there are."""
LEAST, BEHIND = 0.7, 0.2
"""How alike two names must be to be near, from 0 to 1, and how much less than the nearest one."""


class RequestError(ValueError):
    """A request that cannot be met as it stands; its text says what to change.

    Example:
        >>> import ttr_core as ttr
        >>> try:
        ...     ttr.Spec.parse("Gate | Linear | SGD(residual=maybe)")
        ... except ttr.RequestError as error:
        ...     print(error)
        Unknown value of SGD.residual 'maybe'. Valid: decayed, undecayed.
    """


class UnknownName(RequestError):
    """A name that is not among the valid ones.

    Args:
        kind: what the name is for, such as ``"layer"``.
        asked: the name as it was given.
        valid: every valid name.
        meant: the valid names that this one stands for elsewhere; else those that look like it.

    Example:
        >>> import ttr_core as ttr
        >>> ttr.UnknownName("layer", "delta-net", ["deltanet", "gla"]).nearest
        ('deltanet',)
    """

    def __init__(
        self, kind: str, asked: str, valid: Iterable[str], meant: tuple[str, ...] = ()
    ) -> None:
        self.kind, self.asked, self.valid = kind, asked, tuple(valid)
        self.nearest = meant or nearest(asked, self.valid)
        hint = f" Did you mean {_either(self.nearest)}?" if self.nearest else ""
        valid_ones = (
            f"Valid: {_listed(self.valid, bool(self.nearest))}."
            if self.valid
            else f"There is no {kind} at all."
        )
        super().__init__(f"Unknown {kind} {asked!r}.{hint} {valid_ones}")


class IncompatibleSpec(RequestError):
    """Three ingredients that do not make a layer.

    Args:
        spec: the canonical text of the triple.
        objections: one sentence for each reason.
        alternatives: texts of the nearest triples that are layers.

    Example:
        >>> import ttr_core as ttr
        >>> try:
        ...     ttr.resolve("ExpKernel | Linear | SGD")
        ... except ttr.IncompatibleSpec as error:
        ...     print(error.alternatives[0])
        Uniform | Linear | SGD
    """

    def __init__(self, spec: str, objections: Iterable[str], alternatives: Iterable[str]) -> None:
        self.spec, self.objections = spec, tuple(objections)
        self.alternatives = tuple(alternatives)
        reasons = "\n  ".join(self.objections)
        change = "\n  ".join(self.alternatives) or "nothing nearby: choose another optimizer."
        super().__init__(
            f"{spec} is not a layer.\n  {reasons}\n"
            f"Layers one change away, or two where none is nearer:\n  {change}"
        )


class NoFastSolver(RequestError):
    """A well-defined layer that only the reference runs; not for training or long inputs.

    Example:
        >>> import ttr_core as ttr
        >>> try:
        ...     ttr.Spec.parse("Uniform | Linear | Exact(ridge=0)").layer()
        ... except ttr.NoFastSolver as error:
        ...     print(type(error).__name__)
        NoFastSolver
    """


class LimitExceeded(RequestError):
    """A size beyond what the project agrees to allocate or compute.

    Example:
        >>> import ttr_core as ttr
        >>> from ttr_core.limits import Estimate, check
        >>> try:
        ...     check("This", Estimate(flops=1e18, bytes=0))
        ... except ttr.LimitExceeded as error:
        ...     print(str(error).partition(";")[0])
        This needs about 1.0e+18 operations
    """


class Singular(RequestError):
    """A system of equations that has no solution in the precision it was solved in."""


def unknown(kind: str, asked: str, valid: Iterable[str]) -> UnknownName:
    """Builds the error for a name that is not among the ``valid`` ones.

    Args:
        kind: what the name is for.
        asked: the name as it was given.
        valid: every valid name.

    Example:
        >>> print(unknown("layer", "delta-net", ["deltanet", "gla"]))
        Unknown layer 'delta-net'. Did you mean 'deltanet'? Valid: deltanet, gla.
    """
    return UnknownName(kind, asked, valid)


def nearest(asked: str, valid: Iterable[str], n: int = 3) -> tuple[str, ...]:
    """Returns up to ``n`` valid names that look most like the one asked for, or that it shortens.

    Args:
        asked: the name as it was given.
        valid: every valid name.
        n: at most so many are returned.

    Example:
        >>> nearest("delta-net", ["deltanet", "retnet", "gla"], n=1)
        ('deltanet',)
        >>> nearest("SDG", ["SGD", "RLS"])
        ('SGD',)
    """
    names = {name.lower(): name for name in valid}
    wanted = asked.strip().lower()[:200]
    close = difflib.get_close_matches(wanted, names, n=n, cutoff=LEAST)
    if close:
        best = _alike(wanted, close[0])
        close = [name for name in close if _alike(wanted, name) >= best - BEHIND]
    inside = [name for name in names if len(wanted) > 2 and wanted in name]
    typed = [name for name in names if _mistyped(wanted, name)]
    short = [name for name in names if len(wanted) > 2 and _shortens(wanted, name)]
    return tuple(names[name] for name in [*dict.fromkeys([*close, *typed, *inside, *short])][:n])


def how_many(count: int, one: str, many: str = "") -> str:
    """Returns a number of things as people say it, so that one is no plural.

    Args:
        count: how many.
        one: what one is called.
        many: what several are called; by default the same with an s.

    Example:
        >>> how_many(1, "run"), how_many(2000, "run"), how_many(0, "entry", "entries")
        ('1 run', '2,000 runs', '0 entries')
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def _mistyped(asked: str, name: str) -> bool:
    """Whether one letter is another than in a name as long, or two neighbors are swapped."""
    if len(asked) != len(name):
        return False
    wrong = [i for i, (one, other) in enumerate(zip(asked, name, strict=True)) if one != other]
    if len(wrong) == 2 and wrong[1] == wrong[0] + 1:
        return asked[wrong[0]] == name[wrong[1]] and asked[wrong[1]] == name[wrong[0]]
    return len(wrong) == 1


def _shortens(asked: str, name: str) -> bool:
    """Whether a name begins as the one asked for and has all of its letters in order: lin-attn."""
    rest = iter(name)
    return asked[:1] == name[:1] and all(letter in rest for letter in asked)


def _alike(one: str, other: str) -> float:
    return difflib.SequenceMatcher(a=other, b=one).ratio()


def _listed(names: Sequence[str], near: bool) -> str:
    most = LISTED_NEAR if near and len(names) > LISTED else LISTED
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _either(names: tuple[str, ...]) -> str:
    quoted = [repr(name) for name in names]
    return quoted[0] if len(quoted) == 1 else ", ".join(quoted[:-1]) + " or " + quoted[-1]
