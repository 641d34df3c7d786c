"""What a sweep did, in a sentence and as a JSON-able document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ttr_core import how_many

from .drive import Sweep
from .estimate import in_words
from .expansion import Work
from .outcome import Ended


def document(
    sweep: Sweep, work: Work, troubled: Sequence[Ended], found: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Returns what ``sweep --json`` prints."""
    return {
        "planned": sweep.planned,
        "skipped": sweep.skipped,
        **sweep.counts,
        "seconds": sweep.seconds,
        "not_started": sweep.planned - sweep.settled,
        "running_elsewhere": sweep.elsewhere(),
        "left_out": dict(work.left_out),
        "failures": [_named(one) for one in troubled if one.status == "failed"],
        "unstored": [_named(one) for one in troubled if one.unstored is not None],
        "results": list(found),
    }


def _named(ended: Ended) -> dict[str, Any]:
    return {"run_id": ended.run_id, "run": str(ended.run), "message": ended.message}


def summary(sweep: Sweep) -> str:
    """Returns how a sweep ended in one sentence."""
    left = sweep.planned - sweep.settled
    counts = {"skipped": sweep.skipped, **sweep.counts, "not started": left}
    shown = [f"{count:,} {name}" for name, count in counts.items() if count]
    some = ", ".join(shown) or "nothing to do"
    said = f"{how_many(sweep.planned, 'run')} planned: {some}, in {in_words(sweep.seconds)}."
    if others := sweep.elsewhere():
        said += f" Other processes are still making {others:,} of them: no table has them yet."
    return said
