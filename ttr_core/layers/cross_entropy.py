"""Cross-entropy fused with the product that makes its logits, a tile of answers at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import RequestError
from ..precision import accumulated, automatic_casts, full_precision

TILE = 2**18
"""Logits held at once: a tile that stays in a core's cache (1 MiB in float32)."""

BAND = 2**17
"""Those that go into the gradient of the embedding at once, a product whose sum over answers is
the faster the shorter it is."""

WIDE_TILE = 2**24
"""The same elsewhere: as many as keep an accelerator busy (64 MiB in float32)."""


def cross_entropy(
    hidden: Tensor, embedding: Tensor, labels: Tensor, products: torch.dtype | None = None
) -> Tensor:
    r"""Returns the mean cross-entropy of answers without ever holding all of their logits.

    $$L = \frac{1}{N} \sum_n \left( \log \sum_j e^{h_n \cdot e_j} - h_n \cdot e_{y_n} \right)$$

    Use it wherever a loss at labeled positions is trained: most of a training step on a small
    model is logits, their softmax and its gradient, each N x vocabulary numbers. Here a tile of
    logits becomes its share of both gradients at once, and is dropped; the backward pass only
    scales them.

    Args:
        hidden: h [.., D], what is multiplied with the embedding.
        embedding: e [vocabulary, D].
        labels: y [..], integers from 0 to the vocabulary - 1, as many as there are h.
        products: the type in which h and e are multiplied, and their gradients made; sums and
            exponentials are in float32 or better. None: that of automatic casts, else that of h.

    Returns:
        A scalar; in float32 where the products are in half precision.

    Raises:
        RequestError: there is no answer, or as many labels as h are not given; in the backward
            pass, when a gradient of its gradient is asked for.

    Example:
        >>> import torch
        >>> e, y = torch.eye(4), torch.tensor([0, 1])
        >>> round(cross_entropy(8 * e[y], e, y).item(), 4)
        0.001
    """
    rows, asked = hidden.reshape(-1, hidden.shape[-1]), labels.reshape(-1)
    if len(rows) != len(asked) or not len(rows):
        raise RequestError(
            f"The cross-entropy takes one label for each answer and at least one; there are "
            f"{len(asked)} labels for {len(rows)} answers: give labels of shape "
            f"{tuple(hidden.shape[:-1])}."
        )
    dtype = products or _dtype(rows)
    with full_precision(rows.device):
        learned = torch.is_grad_enabled() and (rows.requires_grad or embedding.requires_grad)
        if learned:
            given = (rows, embedding, asked, dtype)
            loss: Tensor = _Fused.apply(*given)[0]  # type: ignore[no-untyped-call]
            return loss
        tiles = _tiles(rows.to(dtype), embedding.to(dtype), asked)
        return torch.stack([loss for _, _, loss in tiles]).sum() / len(rows)


@torch.no_grad()
def judged(hidden: Tensor, embedding: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the cross-entropy of each answer and whether its label is the likeliest word.

    Use it to evaluate: it holds a tile of logits at a time. Of equal logits the first counts.

    Args:
        hidden: h [.., D], what is multiplied with the embedding.
        embedding: e [vocabulary, D].
        labels: y [..], integers from 0 to the vocabulary - 1.

    Example:
        >>> import torch
        >>> e = torch.eye(4)
        >>> judged(8 * e[:2], e, torch.tensor([0, 2]))[1]
        tensor([ True, False])
    """
    rows, asked = hidden.reshape(-1, hidden.shape[-1]), labels.reshape(-1)
    losses, right = [], []
    for part in _parts(rows, embedding):
        logits = rows[part] @ embedding.mT
        losses.append(F.cross_entropy(logits, asked[part], reduction="none"))
        right.append(logits.argmax(-1) == asked[part])
    return torch.cat(losses).view_as(labels), torch.cat(right).view_as(labels)


def _parts(rows: Tensor, table: Tensor) -> list[slice]:
    """Returns which answers form each tile; one empty tile where there are none."""
    size = max(1, (TILE if rows.device.type == "cpu" else WIDE_TILE) // len(table))
    return [slice(start, start + size) for start in range(0, max(1, len(rows)), size)]


def _bands(excess: Tensor, rows: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields a tile's logits and answers, of a CPU `BAND` logits at a time."""
    whole = excess.device.type != "cpu"
    size = len(rows) if whole else max(1, BAND // excess.shape[1])
    return zip(excess.split(size), rows.split(size), strict=True)


def _dtype(rows: Tensor) -> torch.dtype:
    """Returns the type of the products: that of the automatic casts where there are any."""
    if automatic_casts(rows.device):
        return torch.get_autocast_dtype(rows.device.type)
    return rows.dtype


def _tiles(rows: Tensor, table: Tensor, labels: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Yields which answers, the probabilities of all words, and the sum of their losses.

    The largest probability is at least 1 over the vocabulary, so that its log is precise where
    that of the label's own would not be, and one exponential of each logit is enough.
    """
    for part in _parts(rows, table):
        logits = rows[part] @ table.mT
        wide = accumulated(logits.dtype)
        own = logits.gather(1, labels[part, None].long()).to(wide)
        below = logits.amax(-1, keepdim=True).to(wide) - own
        shares = torch.softmax(logits, -1, dtype=wide)
        yield part, shares, (below - shares.amax(-1, keepdim=True).log()).sum()


class _Fused(torch.autograd.Function):
    """The loss, with both gradients of its sum made in the forward pass."""

    @staticmethod
    def forward(
        rows: Tensor, embedding: Tensor, labels: Tensor, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the mean loss, and the gradients of the summed loss to h and to e."""
        low, table = rows.to(dtype), embedding.to(dtype)
        wide = accumulated(dtype)
        of_rows, losses = torch.empty_like(low), []
        of_table = torch.zeros_like(table, dtype=wide)
        for part, excess, loss in _tiles(low, table, labels):
            losses.append(loss)
            place = labels[part, None].long()
            excess.scatter_add_(1, place, excess.new_full(place.shape, -1.0))
            excess = excess.to(dtype)
            torch.mm(excess, table, out=of_rows[part])
            for some, answers in _bands(excess, low[part]):
                if wide == dtype:
                    of_table.addmm_(some.mT, answers)
                else:
                    of_table += some.mT @ answers
        return torch.stack(losses).sum() / len(rows), of_rows, of_table

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Keeps the gradients, and the inputs to know whose they are."""
        _, of_rows, of_table = output
        ctx.mark_non_differentiable(of_rows, of_table)
        ctx.save_for_backward(inputs[0], inputs[1], of_rows, of_table)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """Returns the gradients of h and e."""
        rows, embedding, of_rows, of_table = ctx.saved_tensors
        share = grads[0] / len(rows)
        given = (share, of_rows, of_table, rows, embedding)
        of_h, of_e = _Once.apply(*given)  # type: ignore[no-untyped-call]
        return of_h, of_e, None, None


class _Once(torch.autograd.Function):
    """Scales the gradients that the forward pass has made; they have no gradient themselves."""

    @staticmethod
    def forward(
        share: Tensor, of_rows: Tensor, of_table: Tensor, rows: Tensor, embedding: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Returns the gradients in the types of what they are of."""
        return (of_rows * share).to(rows.dtype), (of_table * share).to(embedding.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Keeps nothing."""

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> None:
        """Refuses."""
        raise RequestError(
            "The fused cross-entropy has a first gradient only, and the gradient of its gradient "
            "was asked for: for this, take torch.nn.functional.cross_entropy of the logits that "
            "the model returns when it is called."
        )
