"""Reading a trained model: its task's metrics, by group, and at other lengths and loads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..errors import RequestError
from ..layers.model import SequenceModel
from .tasks import Batch, TrainedTask

EVAL_ROWS = 64  # sequences evaluated at once, which bounds the memory of the logits


@torch.no_grad()
def measured(task: TrainedTask, model: SequenceModel, batch: Batch) -> dict[str, Tensor]:
    """Returns each metric of the task for every answer of a batch [B, P], a part at a time.

    Where sequences have unequally many questions, what is asked is in one row [N].
    """
    parts = [_asked(task.measure(model, part), part) for part in batch.split(EVAL_ROWS)]
    if task.main().name not in parts[0]:
        raise RequestError(
            f"Task {task.name} declares the metric {task.main().name}, but measures "
            f"{', '.join(parts[0]) or 'nothing'}: measure it, too."
        )
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def means(task: TrainedTask, model: SequenceModel, batch: Batch) -> dict[str, float]:
    """Returns each metric of the task over a batch."""
    return _means(measured(task, model, batch))


def tested(
    task: TrainedTask, model: SequenceModel, batch: Batch
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Returns each metric over a batch, and the main one by the values of each group."""
    each = measured(task, model, batch)
    main = each[task.main().name]
    groups = _asked(batch.groups, batch)
    return _means(each), {name: by_value(main, group) for name, group in groups.items()}


def generalization(
    task: TrainedTask, model: SequenceModel, device: str, stop: Callable[[], bool]
) -> list[dict[str, Any]]:
    """Returns the metrics of a trained model on its task and on the variants of it."""
    rows = []
    base, variants = task.settings(), task.variants()
    shown = [n for n in base if any(v.settings()[n] != base[n] for v in variants)]
    for variant in (task, *variants):
        if stop():
            break
        # the longer, the fewer: some layers take time in the square of the length or worse
        count = max(1, EVAL_ROWS * task.seq_len // max(task.seq_len, variant.seq_len))
        batch = variant.held_out("test", count, device)
        row = {name: variant.settings()[name] for name in shown}
        answers = batch.labels.numel() if batch.asked is None else int(batch.asked.sum())
        rows.append({**row, **means(variant, model, batch), "answers": answers})
    return rows


def by_value(each: Tensor, group: Tensor) -> dict[str, float]:
    """Returns the mean by the value of a group; large values share bins of a power of two.

    Example:
        >>> by_value(torch.tensor([1.0, 0.0, 1.0]), torch.tensor([0, 5, 7]))
        {'0': 1.0, '4-7': 0.5}
    """
    bins: dict[tuple[int, int], list[float]] = {}
    for value, one in zip(group.flatten().tolist(), each.flatten().tolist(), strict=True):
        low = 1 << max(value.bit_length() - 1, 0) if value else 0
        bins.setdefault((low, max(2 * low - 1, low)), []).append(float(one))
    named = {f"{a}-{b}" if a != b else str(a): bins[a, b] for a, b in sorted(bins)}
    return {name: sum(some) / len(some) for name, some in named.items()}


def _asked(each: Mapping[str, Tensor], batch: Batch) -> dict[str, Tensor]:
    """Returns what is asked of [B, P]."""
    return {name: x if batch.asked is None else x[batch.asked] for name, x in each.items()}


def _means(each: dict[str, Tensor]) -> dict[str, float]:
    return {name: x.float().mean().item() for name, x in each.items()}
