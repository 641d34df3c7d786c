"""Tunes the published layers on the regression that Explore opens with: found_constants.py.

python -m ttr_core.tools.tunings           # compares what is found with what is written
python -m ttr_core.tools.tunings --write   # half a minute of one processor
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ..lab.tasks import Regression, found_constants
from ..lab.tasks.constants import Constants, knobs, positions
from ..lab.tasks.found_constants import FOUND, SETTINGS
from ..layers.published import catalog
from ..solvers import resolve
from ..space.spec import Spec

FILE = Path(found_constants.__file__)
WIDTH = 100  # of a line of code
CLOSE = 1e-5  # relative difference of errors: such constants are as good as one another
HEAD = '''\
"""Constants of the published layers, tuned on the regression that Explore opens with, seed 0.

Found and written by ``python -m ttr_core.tools.tunings --write``: where each knob of a layer stands
(`ttr_core.lab.tasks.constants.knobs`), in their order; None is the ingredient's own rule.
`SETTINGS`: those that are not the task's defaults.
"""

from typing import Any

SETTINGS: dict[str, Any] = {"process": "repeated", "seq_len": 128}

FOUND: dict[str, tuple[float | None, ...]] = {
'''


def asked() -> Iterator[Spec]:
    """Yields the specs of the published layers that have knobs; one that is slow is not tuned."""
    for spec in dict.fromkeys(entry.spec for entry in catalog.values()):
        if knobs(spec) and resolve(spec).name != "reference":
            yield spec


def anew(spec: Spec) -> Constants:
    """Returns a layer's constants, tuned without looking at what is written."""
    return Regression(**SETTINGS).tuning(spec, seed=0)


def as_good(spec: Spec, kept: tuple[float | None, ...]) -> bool:
    """Whether what is written for a layer is what tuning finds, or as good.

    Args:
        spec: a layer.
        kept: where its knobs stand.
    """
    found = anew(spec)
    if positions(found, spec) == kept:
        return True
    task = Regression(**SETTINGS)
    errors = [task.tuning_error(one) for one in (Constants.at(spec, kept), found)]
    return errors[0] <= errors[1] * (1 + CLOSE)


def table_text(found: Mapping[str, Iterable[float | None]]) -> str:
    """Returns the text of the file.

    Args:
        found: where the knobs of each layer stand, by its text.
    """
    return f"{HEAD}{''.join(_row(text, tuple(values)) for text, values in found.items())}}}\n"


def _row(text: str, values: tuple[float | None, ...]) -> str:
    """A line of the mapping, as the formatter would break it."""
    line = f'    "{text}": {values},'
    if len(line) <= WIDTH:
        return f"{line}\n"
    return f'    "{text}": (\n' + "".join(f"        {x},\n" for x in values) + "    ),\n"


def main(arguments: list[str]) -> int:
    """Tunes, and writes or compares; 1 if something is another than written."""
    if "--write" in arguments:
        text = table_text({str(spec): positions(anew(spec), spec) for spec in asked()})
        FILE.write_text(text, encoding="utf-8")
        return 0
    texts = {str(spec): spec for spec in asked()}
    differ = [t for t, s in texts.items() if t not in FOUND or not as_good(s, FOUND[t])]
    differ += FOUND.keys() - texts.keys()
    print("\n".join(differ) or "as written")
    return int(bool(differ))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
