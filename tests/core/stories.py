"""Evaluates what the words say of a spec: its equations, its objective, its output.

Nothing here knows a choice or a formula: letters get their values from the stream, the parameters
and the definitions of the ingredients, terms compute the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

import ttr_core as ttr
from ttr_core.named import part
from ttr_core.space.functions import FunctionClass, KernelModel, Linear, LocalModel
from ttr_core.space.letters import Letters
from ttr_core.space.losses import Squared
from ttr_core.space.story import QUERY
from ttr_core.space.terms import Letter, Moment, Term
from ttr_core.space.weights import MemorylessWeights, RunningWeights, Uniform
from ttr_core.words.equations import output, story, window


def split(s: ttr.stream.Signal, x: Tensor) -> Any:
    """A signal's numbers per token; of several units a list of them."""
    if s.count > 1:
        units = x.unflatten(-1, (s.count, -1))
        return units[..., 0] if s.unit == "scalar" else units
    return x[:, 0] if s.unit == "scalar" else x


@dataclass
class Told:
    """One head of a spec on one sequence, token by token.

    ``past`` has a list per letter that the update defines: its value after every token. A memory
    that starts anew at each token is told on the last of its windows; `run` goes through them all.
    """

    spec: ttr.Spec
    x: ttr.Stream
    params: dict[str, Tensor]
    values: dict[str, Any] = field(default_factory=dict)
    past: dict[str, list[Any]] = field(default_factory=dict)
    head: int = 0

    earlier: list[Told] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._cut()
        self.values["heads"] = self.x.heads
        self.x = self.x.map(lambda z: z[:1, self.head : self.head + 1].double())
        self.params = {
            n: (p.detach().double() if p.is_floating_point() else p)[self.head : self.head + 1]
            for n, p in self.params.items()
        }
        self.function: FunctionClass = self.spec.function
        self.own = self.function.given(part(self.params, "function"), self.x.k)
        self.story = story(self.spec)
        self._letters()
        start = self.function.init(self.x.key_dim, self.x.value_dim, self.x.k, self.own)
        self.single = set(start) == {"S"}
        first = start["S"] if self.single else start
        self.values["start"] = first
        self.values["inputs"] = next(iter(start.values())).shape[0]
        if self.single:
            self.values["F"] = len(first)
            self.values["eye.F"] = torch.eye(len(first), dtype=torch.float64)
            self.values["eye.slopes"] = torch.eye(len(first) - 1, dtype=torch.float64)
        self.past = {e.name: [e.start(first)] for e in self.story.update}

    def _cut(self) -> None:
        """Leaves the last window; those before it are told each by itself."""
        reach = window(self.spec)
        if reach is None:
            return
        assert isinstance(self.spec.weights, RunningWeights)
        self.spec = self.spec.with_axis("weights", self.spec.weights.inside)
        ends = range(1, self.x.length + 1)
        *earlier, last = (self.x.tokens(max(0, t - reach), t) for t in ends)
        self.earlier = [Told(self.spec, x, self.params, head=self.head) for x in earlier]
        self.x = last

    def _letters(self) -> None:
        one = self.x.map(lambda z: z[0, 0])
        values = self.values
        values |= {"q": one.q, "k": one.k, "v": one.v, "head": self.head}
        for s in self.spec.signals:
            value = split(s, one.signals[s.name])
            logs = s.name.split(".")[0] == "decay"
            values[s.name] = value.exp() if logs else value
        for at in ("q", "k"):
            values[f"phi.{at}"] = self.features(values[at])
        if "extra_keys" in one.signals:
            pairs = zip(("k", "v"), ("extra_keys", "extra_values"), ("keys", "values"), strict=True)
            for first, rest, name in pairs:
                more = one.signals[rest].unflatten(-1, (-1, values[first].shape[-1]))
                values[name] = torch.cat([values[first][:, None], more], 1)
        elif any(letter.index == ("t", "j") for letter in self._all_letters()):  # one step alone
            values |= {"keys": one.k[:, None], "values": one.v[:, None]}
            values["step"] = values["step"][:, None]
        if "keys" in values:
            values["phi.keys"] = self.features(values["keys"])
        values |= {n.rpartition(".")[2]: p[0] for n, p in self.params.items()}
        weights = part(self.params, "weights")
        nus = [p[0] for n, p in sorted(weights.items()) if n.endswith("nu")]
        values |= {f"nu.{i}": p for i, p in enumerate(nus)}
        if isinstance(self.spec.weights, MemorylessWeights):
            log, _ = self.spec.weights.recency(self.x, weights)
            if log is not None:
                kept = log[0, 0].exp()
                values["kept"] = kept if self.spec.weights.per_feature else kept[:, 0]
        gamma = self.spec.weights.matrix(self.x, weights)[0, 0]
        values["gamma"] = gamma if self.spec.weights.per_feature else gamma[..., 0]
        values["root.K"] = self.x.key_dim**0.5
        values["eye.K"] = torch.eye(self.x.key_dim, dtype=torch.float64)
        if isinstance(self.function, KernelModel):
            values["kappa"] = self._kappa
        if isinstance(self.function, LocalModel):
            values["slopes"] = self.function.slopes
        values["predict"] = self._predict

    def _all_letters(self) -> list[Letter]:
        terms = (part for e in self.story.update for part in e.right.walk())
        return [part for part in terms if isinstance(part, Letter)]

    def features(self, keys: Tensor) -> Tensor:
        """phi of keys, by asking the model for the answers of unit memories."""
        if not self.function.by_features:
            return keys
        start = self.function.init(self.x.key_dim, self.x.value_dim, self.x.k[0, 0], self.own)
        unit = {"S": torch.eye(len(start["S"]), dtype=torch.float64)}
        flat = keys.reshape(1, 1, -1, keys.shape[-1])
        return self.function.predict(unit, flat, self.own)[0, 0].view(*keys.shape[:-1], -1)

    def _kappa(self, a: Tensor, b: Tensor) -> Tensor:
        rows, columns = (z.reshape(1, 1, -1, z.shape[-1]) for z in (a, b))
        gram = self.function.gram(rows, columns, self.own)[0, 0]
        return gram[0, 0] if a.dim() == b.dim() == 1 else gram

    def _predict(self, memory: Any, key: Tensor) -> Tensor:
        memory = {"S": memory} if self.single else memory
        return self.function.predict(memory, key[None, None, None], self.own)[0, 0, 0]

    def moment(self, t: int, now: dict[str, Any] | None = None) -> Moment:
        """Returns what letters stand for at token t, from 1."""
        seen = {"seen.k": self.values["k"][:t], "seen.v": self.values["v"][:t]}
        eye = {"eye.T": torch.eye(t, dtype=torch.float64)}
        past = {f"past.{n}": v for n, v in self.past.items()}
        last = {f"before.{n}": v[t - 1] for n, v in self.past.items()}
        known = now if now is not None else {n: v[t] for n, v in self.past.items()}
        this = {f"now.{n}": v for n, v in known.items()}
        return Moment({**self.values, **seen, **eye, **past, **last, **this}, {"t": t})

    def run(self) -> Tensor:
        """Follows the update token by token; returns the outputs, [T, V]."""
        said, rows = output(self.spec), []
        for t in range(1, self.x.length + 1):
            now: dict[str, Any] = {}
            for equation in self.story.update:
                self._compute(equation.name, t, now)
            for name, value in now.items():
                self.past[name].append(value)
            rows.append(said.value(self.moment(t)))
        if self.earlier:
            return torch.stack([*(one.run()[-1] for one in self.earlier), rows[-1]])
        return torch.stack(rows)

    def _compute(self, name: str, t: int, now: dict[str, Any]) -> None:
        if name in now:
            return
        right = next(e.right for e in self.story.update if e.name == name)
        for needed in needs(right):
            self._compute(needed, t, now)
        now[name] = right.value(self.moment(t, now))


def needs(term: Term) -> set[str]:
    """The letters that a term needs the present value of."""
    letters = (p.name for p in term.walk() if isinstance(p, Letter))
    return {name.removeprefix("now.") for name in letters if name.startswith("now.")}


def formula(made: Any) -> str:
    """What a choice writes of itself in LaTeX."""
    on = Letters(Uniform(), Linear(), Squared())
    written: dict[str, Callable[[], Any]] = {
        "weights": lambda: made.written(),
        "function": lambda: made.written_answer(on.free, QUERY),
        "optimizer": lambda: made.story(on).objective.term,
        "loss": lambda: made.written(on.free, on.now, "t"),
        "readout": lambda: made.written(on, on.now),
    }
    return made.notation if made.family == "map" else written[made.family]().tex()
