"""What the lists of a plan hold: layers, specs, stacks of several, tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pydantic

import ttr_core as ttr

from ..run.request import Short, layer_text
from . import holes
from .values import Values


class Entry(pydantic.BaseModel):
    """One item of a list in a plan: what it is, and settings with their values."""

    model_config = pydantic.ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, Values]

    key: ClassVar[str] = "name"
    field: ClassVar[str] = "layers"
    """The list of the plan that it stands in."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _from_name(cls, raw: Any) -> Any:
        return {cls.key: raw} if isinstance(raw, str) else raw

    @property
    def settings(self) -> dict[str, Any]:
        """The settings, each with one value, a list or a range."""
        return self.__pydantic_extra__

    def with_settings(self, more: Mapping[str, Any]) -> Entry:
        """Returns the entry with some settings replaced."""
        own = {self.key: getattr(self, self.key)}
        return type(self).model_validate({**own, **self.settings, **more})


class LayerEntry(Entry):
    """A published layer, and options of its ingredients."""

    name: Short
    optional: ClassVar[bool] = False

    def told(self, filled: Mapping[str, str]) -> str:
        """Returns the text of one of its models."""
        return self.name

    def asked(self, told: str) -> dict[str, Any]:
        """Returns what a request says of the model of a text."""
        return {"layer": told}


class Offered(LayerEntry):
    """A layer of ``layers: all``: left out where a task cannot take it."""

    optional: ClassVar[bool] = True


class SpecEntry(Entry):
    """A spec, possibly with places in braces, and values for these and for its options."""

    key: ClassVar[str] = "spec"
    field: ClassVar[str] = "specs"
    spec: Short

    def told(self, filled: Mapping[str, str]) -> str:
        """Returns the text of one of its models, its places in braces filled."""
        return holes.filled(self.spec, filled)

    def asked(self, told: str) -> dict[str, Any]:
        """Returns what a request says of the model of a text."""
        return {"spec": told}


TWO_LAYERS = "Input should be a list of two layers or more, such as [deltanet, softmax-attention]"


class StackEntry(Entry):
    """Different layers on top of each other, by their names or specs, the first one below."""

    key: ClassVar[str] = "stack"
    field: ClassVar[str] = "stacks"
    stack: tuple[Short, ...]

    @pydantic.model_validator(mode="before")
    @classmethod
    def _from_name(cls, raw: Any) -> Any:
        if not isinstance(raw, list) or len(raw) < 2:
            raise ValueError(TWO_LAYERS)
        return {cls.key: raw}

    def told(self, filled: Mapping[str, str]) -> str:
        """Returns the text of its model."""
        return ", ".join(map(layer_text, self.stack))

    def asked(self, told: str) -> dict[str, Any]:
        """Returns what a request says of it: the usual frame is that of specs where one is."""
        bare = [text for text in self.stack if text not in ttr.catalog]
        first = {"spec": bare[0]} if bare else {"layer": self.stack[0]}
        return {**first, "stack": told}


ModelEntry = LayerEntry | SpecEntry | StackEntry
"""What a model is made of."""


class TaskEntry(Entry):
    """A task and its settings."""

    field: ClassVar[str] = "tasks"
    name: Short
