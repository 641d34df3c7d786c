"""Numbers that are none: what comes before them is kept, what comes after is marked."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

from ..named import Carried
from ..precision import readable
from ..space.spec import Spec
from ..stream import Signal, Stream


def sound(spec: Spec, x: Stream) -> tuple[Stream, Tensor | None]:
    """Returns a stream that is finite, and where it is not what was given.

    Solvers take many tokens at once, where one that is infinite or NaN would reach those before it
    as a product with zero. From the first such token of a head on, all are replaced. A log decay
    may be -inf: it forgets everything.

    Args:
        spec: whose signals they are.
        x: a stream at H heads, with as many queries as keys.

    Returns:
        The stream, and where its tokens were replaced, [B, H, T]; None if none was.
    """
    signals = {signal.name: signal for signal in spec.signals}
    if readable(x.k) and _all_sound(x, signals):
        return x, None
    good = x.q.isfinite().all(-1) & x.k.isfinite().all(-1) & x.v.isfinite().all(-1)
    for name, s in x.signals.items():
        fine = s < math.inf if signals[name].logarithmic else s.isfinite()
        good = good & fine.all(-1)
    spoiled = (~good).cumsum(2) > 0
    if readable(spoiled) and not spoiled.any():
        return x, None
    at = spoiled[..., None]
    idle = {name: s.masked_fill(at, signals[name].idle) for name, s in x.signals.items()}
    q, k, v = (z.masked_fill(at, 0) for z in (x.q, x.k, x.v))
    return Stream(q, k, v, idle), spoiled


def _all_sound(x: Stream, signals: Mapping[str, Signal]) -> bool:
    """Whether no token need be replaced; False where it takes more to tell.

    A sum is finite only if all its terms are, and costs a fiftieth of asking each of them; beside
    terms of -inf it is -inf only if no other is infinite or NaN.
    """
    if not all(math.isfinite(z.detach().sum().item()) for z in (x.q, x.k, x.v)):
        return False
    for name, s in x.signals.items():
        total = s.detach().sum().item()
        if not (math.isfinite(total) or (signals[name].logarithmic and total == -math.inf)):
            return False
    return True


def marked(y: Tensor, state: Carried, spoiled: Tensor | None) -> tuple[Tensor, Carried]:
    """Returns outputs that are NaN where tokens were replaced, and a state that is, after them.

    Args:
        y: outputs, [B, H, T, V].
        state: after the last token, [B, H, ...] each.
        spoiled: where tokens were replaced, [B, H, T], or None.
    """
    if spoiled is None:
        return y, state
    last = spoiled[:, :, -1]
    after = {
        name: s.masked_fill(last.view(*last.shape, *[1] * (s.dim() - 2)), math.nan)
        if s.is_floating_point()
        else s
        for name, s in state.items()
    }
    return y.masked_fill(spoiled[..., None], math.nan), after
