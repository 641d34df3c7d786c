"""Verdicts: whether a spec is a layer, and what was seen where it is none to train."""

from __future__ import annotations

from enum import Enum

from ..solvers import caution
from ..space.functions import ConstantModel, LocalModel
from ..space.optimizers import Sum
from ..space.spec import Spec
from .unread_cells import UNREAD

VERDICTS = ("layer", "unread", "slow", "undefined")


class Unread(Enum):
    """What is seen where a fresh layer does not read back the pairs that it has just been given."""

    GROWN = "its answers grow to more than 100 times the size of the values"
    ALIKE = "what values add to its answers differs by less than 5 % from query to query"
    OTHER = "its answers are nearer to the values of other keys"
    SINGULAR = "its equations are singular in float32"


def verdict(spec: Spec) -> tuple[str, str]:
    """Returns ``layer``, ``unread``, ``slow`` or ``undefined``, and why it is not the first.

    A layer reads back pairs: those that were found not to are ``unread``. They run, as fast as
    others; ``slow`` is what only the reference runs, or a solver that cannot be trained with.

    Args:
        spec: any spec.

    Example:
        >>> import ttr_core as ttr
        >>> verdict(ttr.Spec.parse("Gate | Linear | SGD"))
        ('layer', '')
    """
    if reasons := spec.objections():
        return "undefined", " ".join(reasons)
    if reason := caution(spec):
        return "slow", reason
    mute = unread(spec)
    return ("unread", mute) if mute else ("layer", "")


def unread(spec: Spec) -> str | None:
    """Says why a layer cannot tell pairs from one another, or does not at first; None if it does.

    The first follows from its ingredients. The second is measured, for the cells of the grid, by
    `ttr_core.lab.reads_back`: a fresh layer in the standard frame, 20 streams of 8 clean pairs.

    Args:
        spec: a layer.

    Example:
        >>> import ttr_core as ttr
        >>> unread(ttr.Spec.parse("Gate | Linear | SGD")) is None
        True
        >>> unread(ttr.Spec.parse("Gate | Constant | SGD"))[:43]
        'it reads back no pair: neither Gate nor Con'
    """
    if one_answer(spec):
        return (
            f"it reads back no pair: neither {spec.weights} nor {spec.function} under "
            f"{spec.optimizer} compares a query with a key, so that every query gets one answer"
        )
    if str(spec) not in UNREAD:
        return None
    share, why = UNREAD[str(spec)]
    return (
        f"as it starts in the standard frame it reads back {share:.0%} of 8 clean pairs, where a "
        f"guess reads back 12 %: {Unread[why].value}"
    )


def one_answer(spec: Spec) -> bool:
    """Whether every query gets the same answer: nothing compares it with a key."""
    model = spec.function
    at_center = isinstance(model, LocalModel) and isinstance(spec.optimizer, Sum)
    return not spec.weights.asks_query and (isinstance(model, ConstantModel) or at_center)
