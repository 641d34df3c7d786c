"""Non-stationary processes for online regression: keys, values and what is to be predicted."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

PROCESSES = ("linear", "switching", "piecewise-linear", "repeated", "text")
CHANGING = ("linear", "switching", "piecewise-linear", "repeated")  # those with a second rule
SPEEDS = {"fast-slow": (0.9, 0.999), "slow-fast": (0.999, 0.9)}


@dataclass(frozen=True)
class World:
    """Settings of a process.

    Args:
        process: one of `PROCESSES`.
        length: T, the number of predictions.
        dim: D, the size of keys and values.
        switch: share of the length after which the relation changes; 1 never.
        noise: standard deviation of each coordinate's noise.
        correlation: correlation of the noise between coordinates, in [0, 1].
        condition: condition number of the keys' covariance.
        drift: radians by which the linear maps turn at every step.
        order: which speed comes first (``switching``).
        regions: number of linear maps (``piecewise-linear``).
        distinct: number of keys (``repeated``).
        words: what is read (``text``).
    """

    process: str
    length: int
    dim: int
    switch: float
    noise: float
    correlation: float
    condition: float
    drift: float
    order: str
    regions: int
    distinct: int
    words: tuple[str, ...]

    @property
    def switch_step(self) -> int:
        """Index of the first token of the second regime; T or more if there is none."""
        changes = self.switch < 1 and self.process in CHANGING
        return round(self.switch * self.length) if changes else self.length + 1


@dataclass(frozen=True)
class Draw:
    """Drawn sequences; step t reads k_t, v_t and q_t = k_{t+1} and predicts ``target`` = v_{t+1}.

    Args:
        k: keys, [..., T, D].
        v: values, [..., T, D].
        q: the next keys, [..., T, D].
        target: the next values, [..., T, D].
        oracle: the prediction of one who knows the process but not its noise, [..., T, D].
    """

    k: Tensor
    v: Tensor
    q: Tensor
    target: Tensor
    oracle: Tensor


def draw(world: World, sequences: int, copies: int, generator: torch.Generator) -> Draw:
    """Draws ``copies`` independent runs of each of ``sequences`` instances of a process.

    Copies share the relation (the linear maps) but neither keys nor noise, so that what is
    fitted on one copy can be tested on another.

    Returns:
        Tensors of shape [copies, sequences, T, D].
    """
    drawn = {"switching": _switching, "repeated": _repeated, "text": _text}
    return drawn.get(world.process, _regression)(world, sequences, copies, generator)


def given(keys: Tensor, values: Tensor) -> Draw:
    """Returns pairs that somebody brings, [T + 1, K] and [T + 1, V], as one sequence."""
    k, v = keys[None, None], values[None, None]
    return Draw(k[:, :, :-1], v[:, :, :-1], k[:, :, 1:], v[:, :, 1:], v[:, :, 1:])


def _noise(world: World, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Gaussian noise of unit variance whose coordinates share a part [..., D]."""
    own = torch.randn(shape, generator=generator)
    shared = torch.randn(*shape[:-1], 1, generator=generator)
    rho = world.correlation
    return world.noise * (math.sqrt(1 - rho) * own + math.sqrt(rho) * shared)


def _switching(world: World, sequences: int, copies: int, generator: torch.Generator) -> Draw:
    """The paper's process: k_{t+1} = a k_t + noise, v_t = k_{t+1} / |k_{t+1}|."""
    shape = (world.length + 2, copies, sequences, world.dim)
    noise = _noise(world, shape, generator)
    first, second = SPEEDS[world.order]
    speeds = [first if t < world.switch_step else second for t in range(world.length + 1)]
    keys = [noise[0] / math.sqrt(1 - first**2)]  # stationary from the start
    for t, speed in enumerate(speeds):
        keys.append(speed * keys[-1] + noise[t + 1])
    path = torch.stack(keys, 2)  # (copies, sequences, T + 2, D)
    units = F.normalize(path, dim=-1)
    q = path[:, :, 1:-1]
    return Draw(
        path[:, :, :-2], units[:, :, 1:-1], q, units[:, :, 2:], F.normalize(q, dim=-1)
    )  # fmt: skip


def _regression(world: World, sequences: int, copies: int, generator: torch.Generator) -> Draw:
    """Unit keys in random order, v = W k + noise, with W that depends on time and region."""
    shape = (copies, sequences, world.length + 1, world.dim)
    keys = _keys(world, shape, generator)
    regions = world.regions if world.process == "piecewise-linear" else 1
    clean = _mapped(world, keys, regions, generator)
    values = clean + _noise(world, shape, generator)
    return Draw(
        keys[:, :, :-1], values[:, :, :-1], keys[:, :, 1:], values[:, :, 1:], clean[:, :, 1:]
    )  # fmt: skip


def _repeated(world: World, sequences: int, copies: int, generator: torch.Generator) -> Draw:
    """Unit keys that come round and round, each with a value, and with another after the switch."""
    shape, token = (2, sequences, world.distinct, world.dim), torch.arange(world.length + 1)
    keys = F.normalize(torch.randn(shape[1:], generator=generator), dim=-1)
    rules = F.normalize(torch.randn(shape, generator=generator), dim=-1)
    place, rule = token % world.distinct, (token >= world.switch_step).long()
    return _told(world, copies, keys[:, place], rules.transpose(0, 1)[:, rule, place], generator)


def _text(world: World, sequences: int, copies: int, generator: torch.Generator) -> Draw:
    """Words round and round, each a random unit vector; to each the next one is the value."""
    known = {word: i for i, word in enumerate(dict.fromkeys(world.words))}
    read = [known[world.words[t % len(world.words)]] for t in range(world.length + 2)]
    vectors = torch.randn(sequences, len(known), world.dim, generator=generator)
    path = F.normalize(vectors, dim=-1)[:, read]
    return _told(world, copies, path[:, :-1], path[:, 1:], generator)


def _told(
    world: World, copies: int, keys: Tensor, clean: Tensor, generator: torch.Generator
) -> Draw:
    """Returns keys with values that noise is added to, [sequences, T + 1, D], in every copy."""
    k, clean = (x.expand(copies, *x.shape) for x in (keys, clean))
    v = clean + _noise(world, tuple(clean.shape), generator)
    return Draw(k[:, :, :-1], v[:, :, :-1], k[:, :, 1:], v[:, :, 1:], clean[:, :, 1:])


def _keys(world: World, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Unit vectors whose covariance has the condition number, in a random basis [..., D]."""
    spread = torch.logspace(0, -math.log10(world.condition) / 2, world.dim)
    basis = torch.linalg.qr(torch.randn(world.dim, world.dim, generator=generator)).Q
    raw = torch.randn(shape, generator=generator) * spread
    return F.normalize(raw @ basis.mT, dim=-1)


def _mapped(world: World, keys: Tensor, regions: int, generator: torch.Generator) -> Tensor:
    """Applies the maps of each key's time and region [copies, sequences, T + 1, D]."""
    _, sequences, length, dim = keys.shape
    anchors = F.normalize(torch.randn(sequences, dim, regions, generator=generator), dim=1)
    region = (keys @ anchors).argmax(-1)
    angle = world.drift * torch.arange(length, dtype=torch.float32)[:, None]
    parts = []
    for start, stop in ((0, world.switch_step), (world.switch_step, length)):
        piece, where = keys[:, :, start:stop], region[:, :, start:stop]
        here = _apply(piece, where, regions, generator)
        if world.drift:
            turned = _apply(piece, where, regions, generator)
            here = angle[start:stop].cos() * here + angle[start:stop].sin() * turned
        parts.append(here)
    return torch.cat(parts, 2)


def _apply(keys: Tensor, region: Tensor, regions: int, generator: torch.Generator) -> Tensor:
    """Multiplies each key by the random map of its region, one set of maps per sequence."""
    sequences, dim = keys.shape[1], keys.shape[-1]
    maps = torch.randn(sequences, regions, dim, dim, generator=generator) / math.sqrt(dim)
    out = torch.zeros_like(keys)
    for r in range(regions):
        out = torch.where((region == r)[..., None], keys @ maps[:, r], out)
    return out
