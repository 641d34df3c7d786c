"""From what a person asks to an Experiment: names, settings, ranges and sizes are checked here.

Everything wrong ends in a `RequestError` that says what was asked, what is valid and what to
change, before anything is allocated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import pydantic

import ttr_core as ttr
from ttr_core import (
    FRAMES,
    ModelConfig,
    NoFastSolver,
    RequestError,
    caution,
    from_settings,
    how_many,
    options_of,
    unknown,
)
from ttr_core.lab import (
    TASKS,
    Experiment,
    Task,
    TrainConfig,
    check_sizes,
    digest,
    fingerprint,
    resolve_device,
    task,
)

from ..errors import StoreError, required
from ..installation import command
from ..store.writes import clean_note, clean_tags
from . import settings

MAX_TEXT, MAX_SETTINGS, MAX_SEED = 2000, 100, 2**31 - 1

Short = Annotated[str, pydantic.Field(max_length=MAX_TEXT)]


class Request(pydantic.BaseModel):
    """A request as it came in, before any name in it is looked up."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True)

    layer: Short | None = None
    spec: Short | None = None
    module: Short | None = None
    task: Short = "mqar"
    frame: Short | None = None
    sets: Annotated[dict[Short, Short], pydantic.Field(max_length=MAX_SETTINGS)] = {}
    seed: Annotated[int, pydantic.Field(ge=0, le=MAX_SEED)] = 0
    device: Short = "auto"


def request(
    layer: str | None = None,
    spec: str | None = None,
    task: str = "mqar",
    frame: str | None = None,
    sets: Iterable[str] | Mapping[str, Any] = (),
    seed: int = 0,
    device: str = "auto",
    module: str | None = None,
) -> Experiment:
    """Checks a request and returns the experiment that it asks for.

    Args:
        layer: the name of a published layer; exclusive with ``spec`` and ``module``.
        spec: the text of a spec, such as ``"Gate | Linear | SGD"``.
        task: the name of a task.
        frame: ``standard``, ``paper`` or ``published``; by default ``published`` for a layer and
            ``standard`` for a spec.
        sets: settings as ``key=value`` texts or as a mapping. Keys are ``layer.*``, ``task.*``,
            ``train.*`` and ``model.*``; the prefix may be left out where one group has the key.
        seed: the seed, from 0 to 2^31 - 1.
        device: ``auto``, ``cpu`` or ``cuda``.
        module: the name of a user's module by its content (`ttr_core.lab.module_name`), for who
            gives its file to a worker; nothing else takes such a name.

    Raises:
        RequestError: with what was asked, what is valid and what to change.
    """
    given = settings.parsed(sets)
    try:
        checked = Request(
            layer=layer, spec=spec, module=module, task=task, frame=frame, sets=given, seed=seed,
            device=device,
        )  # fmt: skip
    except pydantic.ValidationError as error:
        raise RequestError(_said(error)) from None
    return _Plan(_canonical(checked)).experiment()


def check_labels(tags: Iterable[str], note: str) -> None:
    """Refuses tags or a note that a run could not keep, before it is run.

    Raises:
        RequestError: says which and why.
    """
    try:
        clean_tags(list(tags))
        clean_note(note)
    except StoreError as error:
        raise RequestError(str(error)) from None


def usual_frame(layer: str | None) -> str:
    """Returns the frame where none is asked for: a published layer's own, else the standard one.

    The command line, plans and the app all ask here.

    Args:
        layer: the name of a published layer, or None for a spec.
    """
    return "published" if layer else "standard"


def _canonical(asked: Request) -> Request:
    """Returns the request with the catalog's own name of its layer: one layer, one fingerprint."""
    if asked.layer is None or asked.layer not in ttr.catalog:
        return asked
    return asked.model_copy(update={"layer": ttr.catalog[asked.layer].name})


def config_hash(config: Mapping[str, Any]) -> str:
    """Returns the hash of what decides the run of a configuration (`ttr_core.lab.fingerprint`).

    The order of its keys does not matter.

    Example:
        >>> config_hash({"a": 1, "b": 2}) == config_hash({"b": 2, "a": 1})
        True
    """
    return digest(fingerprint(config))


def layer_text(text: str) -> str:
    """Returns the canonical text of a layer: a catalog name as it is, a spec normalized.

    Raises:
        RequestError: the name is unknown, or the spec does not parse or is not a layer.
    """
    return str(_spec(text)) if "|" in text else ttr.catalog[text].name


def spec_text(text: str) -> str:
    """Returns the spec of a layer given by name or spec, with the defaults left out."""
    return str(ttr.catalog[text].spec) if text in ttr.catalog else text


def _spec(text: str) -> ttr.Spec:
    return ttr.Spec.parse(text).check()


class _Plan:
    """One request on its way to an experiment."""

    def __init__(self, asked: Request) -> None:
        self._asked = asked
        self._task = _known_task(asked.task)
        self._spec = self._asked_spec()
        self._given = self._spec
        self._values: dict[str, dict[str, Any]] = {"task": {}, "train": {}, "model": {}}
        for key, text in asked.sets.items():
            self._set(key, text)
        _check_used(self._task, self._values)

    @property
    def _changed(self) -> bool:
        return self._spec != self._given

    def experiment(self) -> Experiment:
        """Puts the checked parts together."""
        chosen = task(self._asked.task, self._values["task"])
        train = from_settings(TrainConfig, self._values["train"], "setting of train")
        model = self._model()
        experiment = Experiment(
            task=chosen,
            model=model,
            train=train,
            seed=self._asked.seed,
            device=resolve_device(self._asked.device),
            layer=self._asked.layer if model.layers == (self._asked.layer,) else None,
        )
        _check_layers(experiment)
        _check_protocol(experiment)
        _check_schedule(experiment)
        check_sizes(experiment)
        return experiment

    def _asked_spec(self) -> ttr.Spec | None:
        layer, spec, module = self._asked.layer, self._asked.spec, self._asked.module
        given = sum(one is not None for one in (layer, spec, module))
        if given != 1:
            said = {0: "neither was", 2: "both were"}.get(given, f"{given} were")
            raise RequestError(
                f"A run needs one of --layer NAME and --spec TEXT (or --module FILE:Class); {said} "
                f"given. `{command('layers')}` lists the names."
            )
        if module is not None:
            return None
        if layer is not None and "|" in layer:
            raise RequestError(f"{layer[:80]!r} is a spec, no name of a layer: give it as --spec.")
        if spec is not None and "|" not in spec and spec in ttr.catalog:
            raise RequestError(f"{spec!r} is the name of a layer, no spec: give it as --layer.")
        return _spec(spec) if spec is not None else ttr.catalog[str(layer)].spec

    def _set(self, key: str, text: str) -> None:
        group, name = settings.placed(key, self._groups())
        if group == "layer" and self._spec is not None:
            self._spec = settings.turned(self._spec, name, text)
        elif (group, name) == ("model", "layers"):
            self._values["model"]["layers"] = settings.split_names(text)
        else:
            self._values[group][name] = text

    def _groups(self) -> dict[str, list[str]]:
        return {
            "layer": [] if self._spec is None else list(settings.dials(self._spec)),
            "task": [opt.name for opt in self._task.options()],
            "train": [opt.name for opt in options_of(TrainConfig)],
            "model": [opt.name for opt in options_of(ModelConfig)],
        }

    def _model(self) -> ModelConfig:
        values = dict(self._values["model"])
        stacked = values.pop("layers", None)
        if stacked is not None and self._changed:
            raise RequestError(
                "layer.* and model.layers exclude each other: write the changed options into the "
                "specs that model.layers lists."
            )
        if self._asked.module is not None:
            return self._own_model(self._asked.module, stacked, values)
        values["frame"] = self._frame(values.pop("frame", None))
        own = str(self._spec) if self._changed or self._asked.spec else str(self._asked.layer)
        layers = tuple(layer_text(text) for text in stacked or (own,))
        bare = [text for text in layers if text not in ttr.catalog]
        if bare and values["frame"] == "published":
            raise RequestError(
                f"Only published layers have a published frame, and {bare[0]} is a spec: give "
                "--frame standard or --frame paper."
            )
        usual = max(len(layers), ModelConfig.depth)
        stack = {"depth": usual, **values, "layers": layers}
        model: ModelConfig = from_settings(ModelConfig, stack, "setting of model")
        if model.depth < len(layers):
            raise RequestError(
                f"model.depth is {model.depth}, but model.layers names {len(layers)} layers: raise "
                "model.depth or name fewer."
            )
        return model

    def _own_model(self, module: str, stacked: object, values: dict[str, Any]) -> ModelConfig:
        """Returns the model of a user's module, which is its own frame: what is published of it."""
        if not self._task.trained:
            raise RequestError(
                f"Task {self._task.name} evaluates three ingredients, and a module is code: give "
                f"--task {', '.join(name for name, one in TASKS.items() if one.trained)}."
            )
        if stacked is not None or self._asked.frame or "frame" in values:
            raise RequestError(
                "--module stands alone in its model and brings its own frame: leave out --frame "
                "and model.layers (model.depth stacks it)."
            )
        own = {**values, "frame": "published", "layers": (module,)}
        model: ModelConfig = from_settings(ModelConfig, own, "setting of model")
        return model

    def _frame(self, set_frame: str | None) -> str:
        asked = self._asked.frame
        if asked and set_frame and asked != set_frame:
            raise RequestError(
                f"--frame {asked} and model.frame={set_frame} disagree: give one of them."
            )
        frame = asked or set_frame or usual_frame(self._asked.layer)
        if frame not in FRAMES:
            ModelConfig(frame=frame)  # one that a claim asks for, or none
        return self._own_frame() if frame == "published" and self._changed else frame

    def _own_frame(self) -> str:
        """Returns the name of the published layer's frame, for a layer with other options."""
        entry = ttr.catalog[str(self._asked.layer)] if self._asked.layer else None
        named = [name for name, known in FRAMES.items() if entry and known == entry.frame]
        if not named:
            raise RequestError(
                f"{self._spec} is not what was published, so that frame published does not fit: "
                "give --frame standard or --frame paper."
            )
        return named[0]


def _check_used(asked: type[Task], values: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuses settings of a model and a training for a task that has neither."""
    unused = [f"{group}.{name}" for group in ("train", "model") for name in values[group]]
    unused = [key for key in unused if key != "model.layers"]  # who is asked: `_check_layers`
    if asked.trained or not unused:
        return
    own = ", ".join(f"task.{option.name}" for option in asked.options())
    raise RequestError(
        f"Task {asked.name} trains nothing, so that {' and '.join(unused[:4])} would do nothing: "
        f"leave {'it' if len(unused) == 1 else 'them'} out. It takes layer.* and {own}."
    )


def _check_protocol(experiment: Experiment) -> None:
    """Refuses a run of the standard protocol that does not keep to it, as a plan does."""
    train = experiment.train
    if not experiment.task.trained or train.protocol != "standard":
        return
    for name, kept, asked in (("lr", "auto", train.lr), ("seconds", None, train.seconds)):
        if asked != kept:
            raise RequestError(
                f"train.protocol=standard tries every rate for all steps, but train.{name} is "
                f"{asked}: give train.{name}={str(kept).lower()}, or train.protocol=quick."
            )


def _check_schedule(experiment: Experiment) -> None:
    """Refuses what would begin after a training's last step; the defaults fit any number of them.

    A configuration that is stored is read whatever it says: who asks anew is told.
    """
    train, usual = experiment.train, TrainConfig()
    wrong = {
        "warmup": "its learning rate would never reach its peak",
        "eval_every": "the validation set would be looked at once, after the last step",
    }
    for name, what in wrong.items():
        asked = getattr(train, name)
        if experiment.task.trained and asked > max(train.steps, getattr(usual, name)):
            raise RequestError(
                f"train.{name} is {asked:,}, and the training has {how_many(train.steps, 'step')} "
                f"at most: {what}. Give train.{name}={train.steps} or less, or raise train.steps."
            )


def _check_layers(experiment: Experiment) -> None:
    """Refuses layers that the task cannot take: slow ones in training, several in an evaluation."""
    if not experiment.task.trained and len(experiment.specs) != 1:
        raise RequestError(
            f"Task {experiment.task.name} evaluates one layer, but model.layers has "
            f"{len(experiment.specs)}: give one, or choose a task that trains."
        )
    for spec in experiment.specs if experiment.task.trained else ():
        if reason := caution(spec):
            raise NoFastSolver(
                f"{spec} is defined but too slow to train: {reason}. Choose another ingredient "
                f"(`{command('grid')}` lists the fast ones) or a task without training."
            )


def _known_task(name: str) -> type[Task]:
    if name not in TASKS:
        raise unknown("task", name, TASKS)
    return TASKS[name]


def _said(error: pydantic.ValidationError) -> str:
    lines = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"]) or "request"
        lines.append(f"{where} is {str(problem['input'])[:80]!r}; {required(problem['msg'])}.")
    return "\n".join(lines)
