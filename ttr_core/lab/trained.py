"""A trained model on one sequence: what it is asked, what it answers, what it draws on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import RequestError
from ..layers.model import SequenceModel
from ..layers.own_module import OwnModule
from ..solvers import attention_map, sampled_map
from .experiment import Experiment
from .memory import streams
from .tasks import TrainedTask

MOST_TOKENS = 128
"""Tokens of a map, from the first on."""


@dataclass(frozen=True)
class TrainedView:
    """A trained model on one sequence of its test set.

    Args:
        tokens: T of them.
        asked: positions at which an answer is asked, in order.
        labels: the right answers.
        answers: the model's.
        maps: what each output draws on, [T, T] for each layer, the mean over its heads.

    Example:
        >>> import torch
        >>> from ttr_core.lab import TrainedView
        >>> TrainedView((4, 7, 4), (2,), (7,), (7,), (torch.eye(3),)).sources()
        (1,)
    """

    tokens: tuple[int, ...]
    asked: tuple[int, ...]
    labels: tuple[int, ...]
    answers: tuple[int, ...]
    maps: tuple[Tensor, ...]

    @classmethod
    def of_weights(cls, weights: Iterable[tuple[int, int, float]]) -> TrainedView:
        """Returns a view of a map alone, on a sequence that asks nothing.

        Args:
            weights: as `weights` returns them.
        """
        known = list(weights)
        length = 1 + max((t for t, _, _ in known), default=-1)
        drawn = torch.zeros(length, length)
        for t, i, weight in known:
            drawn[t, i] = weight
        return cls((0,) * length, (), (), (), (drawn,))

    def weights(self, layer: int) -> list[tuple[int, int, float]]:
        """Returns what each output draws on: token, earlier token or itself, weight.

        Args:
            layer: from 0; a weight that is no number is 0.
        """
        rows = self.maps[layer].nan_to_num().tolist()
        return [(t, i, x) for t, row in enumerate(rows) for i, x in enumerate(row[: t + 1])]

    def sources(self) -> tuple[int | None, ...]:
        """Returns where the right answer of each question stood last; None where it never did."""
        found: list[int | None] = []
        for position, label in zip(self.asked, self.labels, strict=True):
            places = [i for i, token in enumerate(self.tokens[:position]) if token == label]
            found.append(places[-1] if places else None)
        return tuple(found)


def rebuilt(experiment: Experiment, weights: Mapping[str, Tensor]) -> SequenceModel:
    """Returns the model of an experiment with its trained weights.

    Args:
        experiment: what was run.
        weights: the tensors of the model by name, as ``state_dict`` gives them.

    Raises:
        RequestError: they are not those of this model.
    """
    task = experiment.task
    if not isinstance(task, TrainedTask):
        raise RequestError(f"Task {task.name} trains nothing, so it has no weights.")
    model = task.model(experiment.model)
    own = model.state_dict()
    wrong = [n for n in {*own, *weights} if n not in own or n not in weights]
    wrong += [n for n in own if n in weights and own[n].shape != weights[n].shape]
    if wrong:
        raise RequestError(
            f"These weights are not of this model: {', '.join(sorted(wrong)[:5])} differ. They may "
            "be of another version of it; run it anew."
        )
    model.load_state_dict(dict(weights))
    return model.requires_grad_(False).eval()


def looked_at(experiment: Experiment, weights: Mapping[str, Tensor], index: int = 0) -> TrainedView:
    """Shows a trained model one sequence of its test set.

    Args:
        experiment: what was run.
        weights: of the model, by name.
        index: which sequence of the test set, from 0.

    Raises:
        RequestError: the weights are not of this model, or the task has no view of one sequence.

    Example:
        >>> import ttr_core as ttr
        >>> from ttr_core.lab import Experiment, looked_at
        >>> task = ttr.task("mqar", {"pairs": 2, "seq_len": 16, "vocab_size": 32})
        >>> run = Experiment(task, ttr.ModelConfig(layers=("deltanet",), d_model=8))
        >>> model = run.model
        >>> weights = ttr.SequenceModel(model, task.vocab_size, length=16).state_dict()
        >>> view = looked_at(run, weights)
        >>> len(view.tokens), len(view.asked), view.maps[0].shape
        (16, 2, torch.Size([16, 16]))
    """
    model, task = rebuilt(experiment, weights), experiment.task
    assert isinstance(task, TrainedTask)
    batch = task.held_out("test", index + 1).rows(slice(index, None))
    tokens, asked = batch.tokens, batch.positions[0]
    if tokens.dim() != 2 or asked.unique().numel() < asked.numel():
        raise RequestError(
            f"Task {task.name} has more than one token at a place, or asks one place several "
            "times: there is no view of it. Its results are its metrics and tables."
        )
    with torch.no_grad():
        answers = model(tokens, asked[None])[0].argmax(-1)
    order = asked.argsort()
    counts = torch.ones_like(asked, dtype=torch.bool) if batch.asked is None else batch.asked[0]
    order = order[(asked[order] < MOST_TOKENS) & counts[order]]
    return TrainedView(
        tuple(tokens[0, :MOST_TOKENS].tolist()),
        tuple(asked[order].tolist()),
        tuple(batch.labels[0][order].tolist()),
        tuple(answers[order].tolist()),
        _maps(model, tokens[:, :MOST_TOKENS]),
    )


def _maps(model: SequenceModel, tokens: Tensor) -> tuple[Tensor, ...]:
    found = []
    for module in model.modules():
        if isinstance(module, OwnModule):
            raise RequestError(f"{module.name} is a user's module: its map stands with its run.")
    for _, layer, stream, params in streams(model, tokens):
        weights = (
            attention_map(layer.spec, stream, params)
            if layer.spec.linear_in_v
            else sampled_map(layer.spec, stream, params).weights
        )
        found.append(weights[0].mean(0).detach())
    return tuple(found)
