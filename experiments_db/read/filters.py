"""Conditions on runs as SQL with parameters: no value becomes part of the text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

COLUMNS = (
    "status", "layer", "spec", "frame", "task", "device", "protocol", "seed", "config_hash",
)  # fmt: skip
TEXT_COLUMNS = ("run_id", "layer", "spec", "task", "note")

Wanted = str | Sequence[str] | None


class Where:
    """A growing conjunction of conditions.

    ``values`` holds the parameters; ``few`` is a SELECT of ids that holds all runs which meet the
    conditions, where these name some, else None.
    """

    def __init__(self) -> None:
        self._terms: list[str] = []
        self.values: dict[str, Any] = {}
        self.few: str | None = None

    def __str__(self) -> str:
        return f"WHERE {' AND '.join(self._terms)}" if self._terms else ""

    def add(self, term: str, *values: Any) -> str:
        """Adds a condition and returns it in SQL; each ``{}`` in it stands for a value."""
        names = [f"value_{len(self.values) + i}" for i in range(len(values))]
        self._terms.append(term.format(*(f"${name}" for name in names)))
        self.values.update(zip(names, values, strict=True))
        return self._terms[-1]

    def among(self, column: str, values: str | int | Sequence[str] | Sequence[int] | None) -> None:
        """Demands that a column has one of the values; None demands nothing."""
        if values is None:
            return
        chosen = [values] if isinstance(values, (str, int)) else list(values)
        kind = "BIGINT[]" if column == "seed" else "VARCHAR[]"
        self.add(f"list_contains({{}}::{kind}, {column})", chosen)

    def one_of(self, column: str, values: str | Sequence[str]) -> None:
        """Demands that a column of ``runs`` has one of the values; nothing else needs to be read.

        As a sub-query and not as a list: of that the database reads every column of every run
        before it looks which of them it names.
        """
        chosen = [values] if isinstance(values, str) else list(values)
        told = self.add(f"{column} IN (SELECT unnest({{}}::VARCHAR[]))", chosen)
        self.few = f"SELECT run_id FROM runs WHERE {told}"

    def tagged(self, tags: str | Sequence[str] | None) -> None:
        """Demands every one of the tags."""
        if tags is not None:
            chosen = [tags] if isinstance(tags, str) else list(tags)
            self.add("list_has_all(tags, {}::VARCHAR[])", chosen)

    def set_to(self, settings: Mapping[str, Any]) -> None:
        """Demands values of settings in the config, by dotted key."""
        for key, value in settings.items():
            said: Any = value
            path = "$" + "".join(f".{json.dumps(part)}" for part in key.split("."))
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                term = "TRY_CAST(config ->> {} AS DOUBLE) = {}::DOUBLE"
            else:
                term = "coalesce(config ->> {}, 'null') = {}"
                said = value if isinstance(value, str) else json.dumps(value)
            if key != "seed":  # one config for all seeds: five times fewer to read
                term = f"config_group IN (SELECT config_group FROM configs WHERE {term})"
            self.add(term, path, said)

    def containing(self, text: str | None) -> None:
        """Demands that a text occurs in one of the columns that people read, or is a tag."""
        if text:
            places = " OR ".join(f"contains(lower({name}), {{0}})" for name in TEXT_COLUMNS)
            tag = "list_contains(list_transform(tags, lambda tag: lower(tag)), {0})"
            self.add(f"({places} OR {tag})", text.lower())


@dataclass(frozen=True)
class Conditions:
    """What runs must meet, each and every one of it; None demands nothing.

    Args:
        ids: run ids.
        status: effective statuses.
        layer: layer names.
        spec: spec texts.
        frame: frames.
        task: task names.
        device: devices.
        protocol: protocols.
        seed: seeds.
        tags: tags that a run must have, every one.
        config_hash: configurations.
        starred: only starred runs, or only others.
        settings: values that the config must have, by dotted key (``{"task.pairs": 8}``).
        text: a part of the id, layer, spec, task, note or a tag, in any case.
        archived: the archived ones too.
    """

    ids: Wanted = None
    status: Wanted = None
    layer: Wanted = None
    spec: Wanted = None
    frame: Wanted = None
    task: Wanted = None
    device: Wanted = None
    protocol: Wanted = None
    seed: int | Sequence[int] | None = None
    tags: Wanted = None
    config_hash: Wanted = None
    starred: bool | None = None
    settings: Mapping[str, Any] | None = None
    text: str | None = None
    archived: bool = False

    def where(self) -> Where:
        """Returns the conditions as SQL with parameters."""
        where = Where()
        if self.ids is not None:
            where.one_of("run_id", self.ids)
        for column in COLUMNS:
            where.among(column, getattr(self, column))
        where.tagged(self.tags)
        where.set_to(self.settings or {})
        where.containing(self.text)
        if self.starred is not None:
            where.add("starred = {}", self.starred)
        if not self.archived:
            where.add("NOT archived")
        return where
