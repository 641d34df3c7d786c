"""What a sweep did, in a sentence and as a JSON-able document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .drive import Sweep
from .estimate import in_words
from .expansion import Work
from .outcome import Ended


def document(
    sweep: Sweep, work: Work, failures: Sequence[Ended], found: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Returns what ``sweep --json`` prints."""
    return {
        "planned": sweep.planned,
        "skipped": sweep.skipped,
        **sweep.counts,
        "seconds": sweep.seconds,
        "not_started": sweep.planned - sweep.settled,
        "running_elsewhere": sweep.elsewhere,
        "left_out": dict(work.left_out),
        "failures": [
            {"run_id": one.run_id, "run": str(one.run), "message": one.message} for one in failures
        ],
        "results": list(found),
    }


def summary(sweep: Sweep) -> str:
    """Returns how a sweep ended in one sentence."""
    left = sweep.planned - sweep.settled
    counts = {"skipped": sweep.skipped, **sweep.counts, "not started": left}
    shown = [f"{count:,} {name}" for name, count in counts.items() if count]
    some = ", ".join(shown) or "nothing to do"
    return f"{sweep.planned:,} runs planned: {some}, in {in_words(sweep.seconds)}."
