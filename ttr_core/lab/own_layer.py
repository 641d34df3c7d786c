"""A user's module before and after its training: does it keep to the contract, what is it near to.

The contract: a class of one argument, ``d_model``, that maps [B, T, d_model] to the same, causally.
It may have a method ``read(q, k, v)``, [B, T, d_model] each: its regression alone, with which it is
compared with the cells of the catalog on the same streams.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import RequestError
from ..layers.own_module import OwnModule, load_module
from ..layers.published import catalog
from ..solvers import attention_map
from .tasks import Constants

LENGTH, NEAREST = 32, 5
"""Tokens of a random stream, and layers that are named as near."""

CAUSAL, LINEAR = 1e-3, 1e-3
"""The most that outputs may move, relative to their size, and still count as unmoved, as linear."""

READ, INPUTS = "values of read(q, k, v)", "inputs"


@dataclass(frozen=True)
class OwnMap:
    """What the outputs of a user's module draw on.

    Args:
        weights: [T, T], the mean over channels.
        of: what it is linear in, in words.
        exact: whether one weight per pair of tokens says all, for every channel.

    Example:
        >>> import torch
        >>> OwnMap(torch.eye(2), "inputs", True).rows()[0]
        {'query': 0, 'token': 0, 'weight': 1.0}
    """

    weights: Tensor
    of: str
    exact: bool

    def rows(self) -> list[dict[str, Any]]:
        """Returns its weights as rows: query, earlier token or itself, weight."""
        rows = self.weights.tolist()
        return [
            {"query": t, "token": i, "weight": w}
            for t, row in enumerate(rows)
            for i, w in enumerate(row[: t + 1])
        ]


def check_module(module: OwnModule, length: int = LENGTH, seed: int = 0) -> None:
    """Tries a fresh module on random inputs.

    Args:
        module: that of the user.
        length: T.
        seed: decides the inputs.

    Raises:
        RequestError: it raises something, its outputs are of another shape or not finite, or an
            output depends on later inputs.
    """
    source = torch.Generator().manual_seed(seed)
    x = torch.randn(2, length, module.d_model, generator=source)
    later = torch.randn(2, length, module.d_model, generator=source)
    y = _tried(module, x)
    if not bool(y.isfinite().all()):
        raise RequestError(
            f"{module.name} returned numbers that are not finite for standard normal inputs: its "
            f"first at token {int((~y.isfinite()).any(-1).any(0).nonzero()[0])}."
        )
    for cut in range(1, length):  # at each: a mask may be forgotten inside chunks alone
        other = _tried(module, torch.cat([x[:, :cut], later[:, cut:]], 1))
        moved = _gap(other[:, :cut], y[:, :cut])
        if moved > CAUSAL:
            raise RequestError(
                f"{module.name} looks ahead: other inputs from token {cut} on move its outputs "
                f"before it by {moved:.2g} of their size. A layer here is causal."
            )


@torch.no_grad()
def _tried(module: OwnModule, x: Tensor) -> Tensor:
    """Returns its outputs, each time with the same random numbers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return module.forward(x)


def _gap(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / (1e-12 + b.norm()))


def stream(d_model: int, length: int = LENGTH, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Returns random queries, keys of norm 1 and values, [1, T, D] each.

    Args:
        d_model: D.
        length: T.
        seed: decides them.
    """
    source = torch.Generator().manual_seed(seed)
    q, k, v = torch.randn(3, 1, length, d_model, generator=source).unbind(0)
    return nn.functional.normalize(q, dim=-1), nn.functional.normalize(k, dim=-1), v


def own_map(module: OwnModule, length: int = LENGTH, seed: int = 0) -> OwnMap | None:
    """Returns the effective attention map of a user's module, if a trial shows it to be linear.

    It is tried in the values of ``read(q, k, v)``, where it has this method, and else in its
    inputs; the map is that of random inputs.

    Args:
        module: that of the user, fresh or trained.
        length: T.
        seed: decides the random inputs.

    Raises:
        RequestError: ``read`` raises something or returns another shape.
    """
    own = copy.deepcopy(module).cpu().eval()
    q, k, v = stream(module.d_model, length, seed)
    read = getattr(own.inner, "read", None)
    if read is None:
        return _linear(own.forward, v, INPUTS)

    def values(x: Tensor) -> Tensor:
        return _shaped(own.called(read, q.expand(len(x), -1, -1), k.expand(len(x), -1, -1), x), x)

    return _linear(values, v, READ)


def _shaped(y: Any, like: Tensor) -> Tensor:
    if not isinstance(y, Tensor) or y.shape != like.shape:
        shape = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
        raise RequestError(f"read(q, k, v) returned {shape}; it returns {tuple(like.shape)}.")
    return y


@torch.no_grad()
def _linear(f: Callable[[Tensor], Tensor], v: Tensor, of: str) -> OwnMap | None:
    """Returns the map of a function of [n, T, D], or None if it is not linear up to a constant."""
    zero, own, other = f(torch.zeros_like(v)), f(v), f(v.flip(1))
    mixed = f(2 * v - 3 * v.flip(1))
    if not _gap(mixed, 2 * own - 3 * other + 2 * zero) < LINEAR:
        return None
    length, width = v.shape[1:]
    found = torch.zeros(length, length)
    for channel in range(width):
        basis = torch.zeros(length, length, width)
        basis[:, :, channel] = torch.eye(length)
        found += (f(basis) - zero)[..., channel].T
    weights = found / width
    return OwnMap(weights, of, _gap(weights @ v[0], (own - zero)[0]) < LINEAR)


def nearest_layers(module: OwnModule, length: int = LENGTH, seed: int = 0) -> list[dict[str, Any]]:
    """Returns the published layers whose maps are nearest to a user's module, nearest first.

    Compared are the map of its ``read`` and those of the cells, on the same random stream, signals
    at the constants that a fresh layer starts from. The distance of maps A and B is
    |A - B| / sqrt(|A|^2 + |B|^2): 0 for equal ones, 1 for unrelated, 1.41 for opposite ones.

    Args:
        module: that of the user, fresh.
        length: T.
        seed: decides the stream and fresh tensors.

    Returns:
        Rows of layer and distance; none where it has no ``read`` that is linear in the values.
    """
    found = own_map(module, length, seed)
    if found is None or found.of != READ:
        return []
    distances = sorted(
        (_distance(found.weights, other), name)
        for name, other in _cells(module.d_model, length, seed)
        if bool(other.isfinite().all())
    )
    return [{"layer": name, "distance": far} for far, name in distances[:NEAREST]]


def _distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / (a.square().sum() + b.square().sum()).sqrt().clamp_min(1e-30))


@torch.no_grad()
def _cells(d_model: int, length: int, seed: int) -> Iterator[tuple[str, Tensor]]:
    """Yields the map of every published cell that is linear in its values."""
    q, k, v = (x[:, None].double() for x in stream(d_model, length, seed))
    for name, entry in catalog.items():
        if entry.spec.linear_in_v:
            given = entry.spec.parameters(d_model, d_model, 1)
            params = {n: p.detach().double() for n, p in given.items()}
            x = Constants.fresh(entry.spec).stream(q, k, v)
            yield name, attention_map(entry.spec, x, params)[0, 0].float()


class AdmittedModule:
    r"""A user's module that this process has loaded and tried.

    The file is run: only a worker process does it.

    Args:
        file: Python source.
        name: as `module_name` returned it.
        d_model: D, size of its inputs and outputs.

    Raises:
        RequestError: the file cannot be imported or has no such class, the module cannot be made,
            raises something, returns another shape or numbers that are not finite, or an output
            depends on later inputs.

    Example:
        >>> import tempfile, pathlib
        >>> from ttr_core.lab import AdmittedModule, module_name
        >>> file = pathlib.Path(tempfile.mkdtemp(), "mine.py")
        >>> _ = file.write_text("from torch import nn\n"
        ...     "class Mine(nn.Linear):\n"
        ...     "    def __init__(self, d_model): super().__init__(d_model, d_model)\n")
        >>> admitted = AdmittedModule(file, module_name(file, "Mine"), 8)
        >>> admitted.told()["module"]  # of the module as it is, trained or not
        [{'linear_in': 'inputs', 'exact': False}]
    """

    def __init__(self, file: Path, name: str, d_model: int) -> None:
        load_module(file, name)
        self.fresh = OwnModule(name, d_model, torch.Generator().manual_seed(0))
        check_module(self.fresh)
        self._nearest = nearest_layers(self.fresh)

    def told(self, model: nn.Module | None = None) -> dict[str, list[dict[str, Any]]]:
        """Returns what a run keeps of it, as tables: what it is linear in, near to, draws on.

        Args:
            model: a trained model, whose first layer of this kind is looked at; None for fresh.
        """
        layers = () if model is None else model.modules()
        trained = next((one for one in layers if isinstance(one, OwnModule)), self.fresh)
        found = own_map(trained)
        if found is None:
            return {"module": [{"linear_in": None, "exact": False}]}
        near = {"nearest": self._nearest} if self._nearest else {}
        facts = [{"linear_in": found.of, "exact": found.exact}]
        return {"module": facts, **near, "own_map": found.rows()}
