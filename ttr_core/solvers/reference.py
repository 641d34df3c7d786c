"""The oracle: the definition of a spec, executed literally in float64.

One head, one token at a time; gradients by automatic differentiation; no closed form, no chunk,
no loop shared with any solver. Everything else is tested against this.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from ..named import Params, part
from ..space.functions import LinearModel, Memory
from ..space.optimizers import Incremental, Retrospective
from ..space.readouts import Mixes, ReadsBefore
from ..space.spec import Spec
from ..space.weights import MemorylessWeights, RunningWeights
from ..stream import Stream
from .problem import TINY


def reference(spec: Spec, x: Stream, params: Mapping[str, Tensor]) -> Tensor:
    """Returns y, [B, H, Tq, V], in float64.

    Args:
        spec: a layer.
        x: the sequences; every tensor has H heads.
        params: the spec's parameters by their full names, head first.
    """
    wide = x.map(lambda z: z.double())
    slow = {name: p.double() if p.is_floating_point() else p for name, p in params.items()}
    batch, heads = wide.k.shape[:2]
    rows = []
    for b in range(batch):
        for h in range(heads):
            one = wide.map(partial(_one, b=b, h=h))
            own = {name: p[h : h + 1] for name, p in slow.items()}
            rows.append(_outputs(spec, one, own))
    return torch.stack(rows).view(batch, heads, wide.q.shape[2], wide.value_dim)


def _outputs(spec: Spec, x: Stream, params: Params) -> Tensor:
    """Returns what is read from one head's fit, [Tq, V]; a normalizer is a second fit, to ones."""
    run = _running if isinstance(spec.optimizer, Incremental) else _retrospective
    normalizer = None
    if spec.readout.divides:
        ones = Stream(x.q, x.k, torch.ones_like(x.v[..., :1]), x.signals)
        normalizer = run(spec, ones, params)
    said = spec.readout(run(spec, x, params), normalizer)
    if not isinstance(spec.readout, Mixes):
        return said
    signals = {n: s[0, 0, x.length - x.q.shape[2] :] for n, s in x.signals.items()}
    share = spec.readout.share(signals)
    plain = _retrospective(spec.with_axis("optimizer", spec.readout.beside), x, params)
    return share * said + (1 - share) * plain


def _one(z: Tensor, b: int, h: int) -> Tensor:
    return z[b : b + 1, h : h + 1]


def _running(spec: Spec, x: Stream, params: Params) -> Tensor:
    """Returns what one pass reads; where pairs end, each token's from a pass over those within."""
    weights = spec.weights
    assert isinstance(weights, RunningWeights)
    if weights.reach is None:
        return _incremental(spec, x, params)
    spec, first, outputs = spec.with_axis("weights", weights.inside), x.length - x.q.shape[2], []
    for row in range(x.q.shape[2]):
        end = first + row + 1
        cut = slice(max(0, end - weights.reach), end)
        signals = {name: s[:, :, cut] for name, s in x.signals.items()}
        query = x.q[:, :, row : row + 1]
        window = Stream(query, x.k[:, :, cut], x.v[:, :, cut], signals)
        outputs.append(_incremental(spec, window, params))
    return torch.cat(outputs)


def _incremental(spec: Spec, x: Stream, params: Params) -> Tensor:
    optimizer, weights = spec.optimizer, spec.weights
    assert isinstance(optimizer, Incremental) and isinstance(weights, MemorylessWeights)
    own = spec.function.given(part(params, "function"), x.k)
    log_decay, importance = weights.recency(x, part(params, "weights"))
    memory = spec.function.init(x.key_dim, x.value_dim, x.k, own)
    state = optimizer.begin(memory)
    learned = {name: p[0] for name, p in part(params, "optimizer").items()}
    outputs, first = [], x.length - x.q.shape[2]
    for t in range(x.length):
        previous = memory
        if log_decay is not None:
            memory, state = optimizer.forget(memory, state, log_decay[0, 0, t].exp())
        # Where a step divides by a weight of 0, it has its limit.
        weight = x.k.new_ones(()) if importance is None else importance[0, 0, t, 0] + TINY
        signals = {name: s[0, 0, t] for name, s in x.signals.items()} | {"importance": weight}

        def loss(
            m: Memory,
            key: Tensor | None = None,
            value: Tensor | None = None,
            back: int = 0,
            t: int = t,
        ) -> Tensor:
            if (at := t - back) < 0:
                return x.k.new_zeros(())
            key = x.k[0, 0, at] if key is None else key
            value = x.v[0, 0, at] if value is None else value
            guess = spec.function.predict(m, key[None, None, None], own)[0, 0, 0]
            error = spec.loss(guess, value, {name: s[0, 0, at] for name, s in x.signals.items()})
            return error if importance is None else (importance[0, 0, at, 0] + TINY) * error

        memory, state = optimizer.update(memory, state, loss, learned | signals, previous)
        if t >= first:
            query = x.q[:, :, t - first : t - first + 1]
            if isinstance(spec.readout, ReadsBefore):
                pair = _newest(spec, x, params, t, query)
                outputs.append(spec.function.predict(previous, query, own) + weight * pair)
            else:
                outputs.append(spec.function.predict(memory, query, own))
    return torch.cat(outputs, 2)[0, 0]


def _newest(spec: Spec, x: Stream, params: Params, t: int, query: Tensor) -> Tensor:
    """Returns what the pair of token t adds where the memory is read before it."""
    assert isinstance(spec.readout, ReadsBefore) and isinstance(spec.function, LinearModel)
    own = part(params, "function")
    key, value = x.k[:, :, t : t + 1], x.v[:, :, t : t + 1]
    q, k = spec.function.features(query, own), spec.function.features(key, own)
    return spec.readout.newest(q, k, part(params, "readout")) * value


def _retrospective(spec: Spec, x: Stream, params: Params) -> Tensor:
    optimizer, function = spec.optimizer, spec.function
    assert isinstance(optimizer, Retrospective)
    own = function.given(part(params, "function"), x.k)
    weights = spec.weights.matrix(x, part(params, "weights"))[0, 0]
    init = function.init(x.key_dim, x.value_dim, x.k, own)
    outputs, first = [], x.length - x.q.shape[2]
    for row in range(x.q.shape[2]):
        seen = first + row + 1
        keys, values, gamma = x.k[:, :, :seen], x.v[:, :, :seen], weights[row, :seen]
        signals = {name: s[:, :, :seen] for name, s in x.signals.items()}
        query = x.q[:, :, row : row + 1]  # a local model is fitted around it, then read at it

        def loss(
            m: Memory,
            keys: Tensor = keys,
            values: Tensor = values,
            gamma: Tensor = gamma,
            signals: Params = signals,
            center: Tensor = query,
        ) -> Tensor:
            if gamma.shape[-1] == 1 and not spec.weights.per_feature:
                predicted = function.predict(m, keys, own, center=center)
                return (gamma[:, 0] * spec.loss(predicted, values, signals)).sum()
            assert isinstance(function, LinearModel)
            decayed = gamma * function.features(keys, own)  # (1 1 t F), a vector weight
            return spec.loss(decayed @ m["S"], values, signals).sum()

        memory = optimizer.minimize(loss, init, function.penalty)
        outputs.append(function.predict(memory, query, own, center=query))
    return torch.cat(outputs, 2)[0, 0]
