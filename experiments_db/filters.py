"""Conditions on runs as SQL with parameters: no value becomes part of the text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

TEXT_COLUMNS = ("run_id", "layer", "spec", "task", "note")


class Where:
    """A growing conjunction of conditions, with the values of its parameters."""

    def __init__(self) -> None:
        self._terms: list[str] = []
        self.values: dict[str, Any] = {}

    def __str__(self) -> str:
        return f"WHERE {' AND '.join(self._terms)}" if self._terms else ""

    def add(self, term: str, *values: Any) -> None:
        """Adds a condition; each ``{}`` in it stands for a value."""
        names = [f"value_{len(self.values) + i}" for i in range(len(values))]
        self._terms.append(term.format(*(f"${name}" for name in names)))
        self.values.update(zip(names, values, strict=True))

    def among(self, column: str, values: str | int | Sequence[str] | Sequence[int] | None) -> None:
        """Demands that a column has one of the values; None demands nothing."""
        if values is None:
            return
        chosen = [values] if isinstance(values, (str, int)) else list(values)
        kind = "BIGINT[]" if column == "seed" else "VARCHAR[]"
        self.add(f"list_contains({{}}::{kind}, {column})", chosen)

    def tagged(self, tags: str | Sequence[str] | None) -> None:
        """Demands every one of the tags."""
        if tags is not None:
            chosen = [tags] if isinstance(tags, str) else list(tags)
            self.add("list_has_all(tags, {}::VARCHAR[])", chosen)

    def set_to(self, settings: Mapping[str, Any]) -> None:
        """Demands values of settings in the config, by dotted key."""
        for key, value in settings.items():
            path = "$" + "".join(f".{json.dumps(part)}" for part in key.split("."))
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                self.add("TRY_CAST(config ->> {} AS DOUBLE) = {}::DOUBLE", path, value)
            else:
                said = value if isinstance(value, str) else json.dumps(value)
                self.add("coalesce(config ->> {}, 'null') = {}", path, said)

    def containing(self, text: str | None) -> None:
        """Demands that a text occurs in one of the columns that people read, or is a tag."""
        if text:
            places = " OR ".join(f"contains(lower({name}), {{0}})" for name in TEXT_COLUMNS)
            tag = "list_contains(list_transform(tags, lambda tag: lower(tag)), {0})"
            self.add(f"({places} OR {tag})", text.lower())
