"""What the store has of the trainings of a search."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ttr_core.lab import PACE, RISE_AT_FALL, STILL_RISING, VALIDATION, Metric

from ..store import Store
from ..store.records import COMPLETE, CUT_SHORT
from .trainings import Training


@dataclass(frozen=True)
class Reached:
    """How a training ended. What diverged or failed has reached nothing.

    Args:
        status: finished, diverged or failed.
        validation: score on the validation set, from 0 to 1.
        test: score on the test set.
        rising: whether its curve still rose when the rate began to fall, or had too few looks to
            tell.
        rise: by how much it rose then; None where nothing tells.
        steps: steps taken.
        start: steps until half of the way to the best score, if it came so far.
        cpu_seconds: of the processor.
        run_id: its name in the store.
        message: what there is to say.
    """

    status: str
    validation: float = 0.0
    test: float = 0.0
    rising: bool = False
    rise: float | None = None
    steps: int = 0
    start: int | None = None
    cpu_seconds: float = 0.0
    run_id: str = ""
    message: str = ""

    def came_to_rest(self, most: int) -> bool:
        """Whether it ended well before its steps were used up.

        Args:
            most: steps that it was given.
        """
        return self.status == "finished" and self.steps < most


class Ledger:
    """Trainings by what they are: complete ones never change, so each is read once.

    What failed counts as an answer, or a search would ask for it for ever: delete the run, and it
    is asked anew.

    Args:
        store: where the runs are.
        metric: what the task is judged by.
        beside: where more of them are, such as those of files that a dry run looks at.
    """

    def __init__(self, store: Store, metric: Metric, beside: Store | None = None) -> None:
        self._stores = [one for one in (store, beside) if one is not None]
        self._metric = metric
        self._known: dict[str, Reached] = {}
        self._counted: set[str] = set()
        self._adopted: set[str] = set()

    @property
    def cpu_seconds(self) -> float:
        """Processor seconds of all that was asked for and is there."""
        return sum(one.cpu_seconds for one in self._counting())

    @property
    def failed(self) -> tuple[Reached, ...]:
        """What failed of it, the oldest first."""
        lost = [one for one in self._counting() if one.status == "failed"]
        return tuple(sorted(lost, key=lambda one: one.run_id))

    def __len__(self) -> int:
        return len(self._counted)

    def _counting(self) -> list[Reached]:
        return [self._known[name] for name in sorted(self._counted)]

    def known(self, asked: Iterable[Training]) -> dict[Training, Reached]:
        """Returns how those of some trainings ended that the store has; they count from now on."""
        found = self.seen(asked)
        self._counted |= {one.planned.config_hash for one in found}
        return found

    def seen(self, asked: Iterable[Training]) -> dict[Training, Reached]:
        """Returns how those of some trainings ended that the store has, and counts none of them."""
        hashes = {one: one.planned.config_hash for one in asked}
        unknown = {name for name in hashes.values() if name not in self._known}
        for store in self._stores:
            lost = {name for name, one in self._known.items() if one.status == "failed"}
            self._read(store, {name for name in unknown if name in lost or name not in self._known})
        return {one: self._known[name] for one, name in hashes.items() if name in self._known}

    def adopt(self, tags: Sequence[str]) -> None:
        """Tags all runs that count, whatever they were made for.

        Who looks for the tags then finds all that counts, and not only what was missing. A store
        that is read-only stays as it is: what was found is told all the same.

        Args:
            tags: those of the search.
        """
        if self._stores[0].readonly:
            return
        told = {one.run_id for one in self._counting()} - self._adopted
        if lacking := self._lacking(told, tags):
            self._stores[0].tag(lacking, tags)
        self._adopted |= told

    def _lacking(self, told: set[str], tags: Sequence[str]) -> list[str]:
        """Returns the runs that lack one of some tags: where none does, nothing is written.

        What somebody deleted since it was read has none, and needs none.
        """
        sql = """
            SELECT run_id FROM runs WHERE run_id IN (SELECT unnest($told::VARCHAR[])) EXCEPT
            SELECT run_id FROM tags WHERE list_contains($tags::VARCHAR[], tag)
            GROUP BY run_id HAVING count(*) = len(list_distinct($tags::VARCHAR[]))
        """
        if not told:
            return []
        with self._stores[0].open() as connection:
            found = connection.execute(sql, {"told": sorted(told), "tags": list(tags)})
            return [run_id for (run_id,) in found.fetchall()]

    def _read(self, store: Store, hashes: set[str]) -> None:
        if not hashes:
            return
        sql = f"""
            SELECT config_hash, run_id, results.status, metrics, steps, message
            FROM runs
            JOIN results USING (run_id)
            WHERE config_hash IN (SELECT unnest($hashes::VARCHAR[]))
                AND list_contains($settled::VARCHAR[], results.status) AND NOT {CUT_SHORT}
            QUALIFY row_number() OVER (
                PARTITION BY config_hash ORDER BY results.status = 'failed', run_id) = 1
        """
        given = {"hashes": list(hashes), "settled": [*COMPLETE, "failed"]}
        with store.open() as connection:
            rows = connection.execute(sql, given).fetchall()
        for config_hash, run_id, status, metrics, steps, message in rows:
            told = json.loads(metrics or "{}")
            self._known[config_hash] = self._reached(run_id, status, told, steps or 0, message)

    def _reached(
        self, run_id: str, status: str, told: Mapping[str, Any], steps: int, message: str | None
    ) -> Reached:
        well, name = status == "finished", self._metric.name
        return Reached(
            status,
            validation=(self._metric.score(told.get(VALIDATION + name)) or 0.0) if well else 0.0,
            test=(self._metric.score(told.get(name)) or 0.0) if well else 0.0,
            rising=well and told.get(STILL_RISING) != 0,
            rise=told.get(RISE_AT_FALL),
            steps=steps,
            start=told.get(PACE[0].name),
            cpu_seconds=float(told.get("cpu_seconds") or 0.0),
            run_id=run_id,
            message=(message or "").strip().partition("\n")[0],
        )
