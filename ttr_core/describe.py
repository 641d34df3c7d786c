"""A spec in LaTeX, words and numbers; used by the app, the command line and the docs alike."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any

import torch

from .feature_maps import Identity
from .functions import Constant, Linear, LinearModel, LocalModel
from .limits import Shape
from .optimizers import Exact, Hebbian, Incremental, OneStep
from .published import catalog
from .readouts import Normalized
from .solvers import resolve, solve
from .spec import Spec, triples
from .stream import LINKS, Stream
from .weights import MemorylessWeights

DECAY = r"(?<![A-Za-z])a_t "  # the factor itself, not the end of a name such as beta_t


@dataclass(frozen=True)
class Description:
    """What there is to say about a layer.

    Args:
        text: its canonical text.
        names: published names at this very point.
        objective: what is minimized, in LaTeX.
        update: how the memory is found, in LaTeX.
        read: how the output is read, in LaTeX.
        words: the same in sentences.
        forgets: what becomes of old pairs.
        state_size: numbers held over all heads, a formula in T, d and H.
        cost: operations per head, a formula.
        solver: the fastest solver's name.
        same_as: texts of listed points that are the same layer.
        neighbors: the nearest published layers, each with what differs.
    """

    text: str
    names: tuple[str, ...]
    objective: str
    update: str
    read: str
    words: str
    forgets: str
    state_size: str
    cost: str
    solver: str
    same_as: tuple[str, ...]
    neighbors: tuple[tuple[str, str], ...]

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as plain values."""
        return asdict(self)


def describe(spec: Spec) -> Description:
    """Describes a layer.

    Raises:
        IncompatibleSpec: ``spec`` is not a layer.

    Example:
        >>> import ttr_core as ttr
        >>> ttr.describe(ttr.Spec.parse("Gate | Linear | SGD")).names
        ('gated-deltanet',)
    """
    solver = resolve(spec)
    return Description(
        text=str(spec),
        names=catalog.of(spec),
        objective=_objective(spec),
        update=_update(spec),
        read=_read(spec),
        words=_words(spec),
        forgets=_forgets(spec),
        state_size=solver.state_formula(spec),
        cost=solver.cost,
        solver=solver.name,
        same_as=same_as(spec),
        neighbors=neighbors(spec),
    )


def state_size(spec: Spec, key_dim: int, value_dim: int, length: int) -> int:
    """Returns how many numbers one head's memory holds after ``length`` tokens."""
    shape = Shape(1, 1, length, key_dim, value_dim, spec.feature_size(key_dim))
    return resolve(spec).state_size(spec, shape)


def neighbors(spec: Spec, most: int = 4) -> tuple[tuple[str, str], ...]:
    """Returns the published layers that differ in the fewest axes, each with what differs."""
    axes, found = [f.name for f in fields(spec)], []
    for name, entry in catalog.items():
        changed = [a for a in axes if getattr(entry.spec, a) != getattr(spec, a)]
        if changed:
            what = ", ".join(f"{getattr(entry.spec, a)} for {getattr(spec, a)}" for a in changed)
            found.append((len(changed), name, what))
    found.sort(key=lambda item: item[0])
    closest = found[0][0] if found else 0
    return tuple((name, what) for count, name, what in found if count == closest)[:most]


def same_as(spec: Spec) -> tuple[str, ...]:
    """Returns the listed points whose outputs and signals are those of ``spec``.

    Found by running both on one generic sequence in float64, so it is never a stale claim.
    """
    alike = (other for other in _listed_layers() if _signals(other) == _signals(spec))
    return tuple(str(other) for other in alike if other != spec and _equal(other, spec))


def _signals(spec: Spec) -> tuple[str, ...]:
    return tuple(sorted(f"{s.name}:{s.width}:{s.link}" for s in spec.signals))


@lru_cache(maxsize=1)
def _listed_layers() -> tuple[Spec, ...]:
    return tuple(spec for spec in triples() if not spec.objections())


@lru_cache(maxsize=4096)
def _output(spec: Spec) -> torch.Tensor:
    """The layer's output on one generic sequence, its signals drawn by their names."""
    generator = torch.Generator().manual_seed(0)

    def draw(width: int) -> torch.Tensor:
        return torch.randn(1, 1, 6, width, generator=generator, dtype=torch.float64)

    q, k, v = draw(3), draw(3), draw(2)
    signals = {}
    for signal in spec.signals:
        generator.manual_seed(sum(map(ord, signal.name)))
        signals[signal.name] = LINKS[signal.link](draw(spec.signal_width(signal, 3, 2)))
    return solve(spec, Stream(q, k, v, signals)).detach()


def _equal(a: Spec, b: Spec) -> bool:
    return torch.allclose(_output(a), _output(b), rtol=1e-9, atol=1e-9)


def _phi(spec: Spec, key: str) -> str:
    """How phi(key) is written: the key itself under the identity."""
    model = spec.function
    if isinstance(model, Constant):
        return "1"
    plain = isinstance(model, Linear) and isinstance(model.map, Identity)
    return key if plain else rf"\phi({key})"


def _where(spec: Spec) -> str:
    model = spec.function
    if isinstance(model, Linear) and not isinstance(model.map, Identity):
        return rf",\quad \phi(k) = {model.map.notation}"
    return ""


def _gamma(spec: Spec) -> str:
    return r"\,".join(part.notation for part in spec.weights.factors())


def _model(spec: Spec) -> str:
    """What is compared with v_i."""
    if isinstance(spec.function, Constant):
        return "c"
    if isinstance(spec.function, LocalModel):
        return "c - M (k_i - q_t)"
    return rf"S^\top {_phi(spec, 'k_i')}"


def _objective(spec: Spec) -> str:
    uniform = _gamma(spec) == "1"
    gamma = "" if uniform else r"\gamma_i^{(t)}\, "
    ridge = ""
    if isinstance(spec.optimizer, Exact) and not isinstance(spec.function, Constant):
        strength = spec.optimizer.ridge
        shrunk = "M" if isinstance(spec.function, LocalModel) else "S"
        ridge = rf" + \tfrac{{{strength:g}}}{{2}} |{shrunk}|^2" if strength else ""
    fit = rf"\tfrac12 \sum_{{i \le t}} {gamma}|v_i - {_model(spec)}|^2{ridge}"
    if isinstance(spec.optimizer, Hebbian):
        fit = rf"-\sum_{{i \le t}} {gamma}v_i^\top {_model(spec)}"
    weights = "" if uniform else rf",\qquad \gamma_i^{{(t)}} = {_gamma(spec)}"
    return fit + weights + _where(spec)


def _update(spec: Spec) -> str:
    optimizer = spec.optimizer
    if isinstance(optimizer, Incremental):
        return _running(spec)
    gamma, key = _weighed_key(spec)
    if isinstance(spec.function, LocalModel):
        return _local(spec, gamma)
    if isinstance(optimizer, OneStep):
        if isinstance(spec.function, Constant):
            return rf"c_t = \sum_{{i \le t}} {gamma}v_i"
        return rf"S_t = \sum_{{i \le t}} {gamma}{key}\, v_i^\top"
    if isinstance(optimizer, Exact) and isinstance(spec.function, Constant):
        if spec.weights.per_feature:
            return r"c_t = \sum_{i \le t} \gamma_i v_i \Big/ \sum_{i \le t} \gamma_i^2"
        below = gamma or "1"
        return rf"c_t = \sum_{{i \le t}} {gamma}v_i \Big/ \sum_{{i \le t}} {below}"
    if isinstance(optimizer, Exact) and isinstance(spec.function, LinearModel):
        strength = "" if optimizer.ridge == 1 else f"{optimizer.ridge:g} "
        ridge = rf" + {strength}I" if optimizer.ridge else ""
        power = "-1" if optimizer.ridge else "+"
        gram = rf"\sum_{{i \le t}} {gamma}{key} {key}^\top{ridge}"
        return rf"S_t = \Big({gram}\Big)^{{{power}}} \sum_{{i \le t}} {gamma}{key}\, v_i^\top"
    return rf"m_t = {optimizer.notation}"


def _weighed_key(spec: Spec) -> tuple[str, str]:
    """The weight of a pair and its features; a weight per feature stands within the features."""
    key = _phi(spec, "k_i")
    if spec.weights.per_feature:
        return "", rf"(\gamma_i^{{(t)}} \circ {key})"
    return "" if _gamma(spec) == "1" else r"\gamma_i^{(t)} ", key


def _local(spec: Spec, gamma: str) -> str:
    """The fit of a constant and a slope around the query."""
    if not isinstance(spec.optimizer, Exact):
        slope = rf"M_t = \sum_{{i \le t}} {gamma}v_i (k_i - q_t)^\top"
        return rf"c_t = \sum_{{i \le t}} {gamma}v_i,\qquad {slope}"
    ridge, power = rf" + {spec.optimizer.ridge:g} I", "-1"
    if spec.optimizer.ridge in (0, 1):
        ridge, power = (" + I", "-1") if spec.optimizer.ridge else ("", "+")
    far = r"(k_i - \bar k_t)"
    joint = rf"\sum_{{i \le t}} {gamma}(v_i - \bar v_t) {far}^\top"
    gram = rf"\sum_{{i \le t}} {gamma}{far} {far}^\top{ridge}"
    means = [
        rf"\bar {z}_t = \sum_{{i \le t}} {gamma}{z}_i \Big/ \sum_{{i \le t}} {gamma or '1'}"
        for z in "vk"
    ]
    slope = rf"M_t = {joint} \Big({gram}\Big)^{{{power}}}"
    return r",\qquad ".join([slope, r"c_t = \bar v_t + M_t (q_t - \bar k_t)", *means])


def _running(spec: Spec) -> str:
    """The optimizer's own recurrence with the factors that are 1 left out."""
    text = spec.optimizer.notation
    names = {signal.name.split(".")[0] for signal in spec.weights.signals}
    decays = "decay" in names or bool(spec.weights.parameters(1, 1, 1))
    if not decays:
        text = re.sub(DECAY, "", text)
    elif spec.weights.per_feature:
        text = re.sub(DECAY, r"\\mathrm{Diag}(a_t)\\, ", text)
    if "importance" not in names:
        text = re.sub(r"(?<![A-Za-z])b_t ?", "", text)
    residual = getattr(spec.optimizer, "residual", None)
    if residual is not None:
        kept = r"S_{t-1}" if residual == "undecayed" or not decays else r"(a_t S_{t-1})"
        if spec.weights.per_feature and kept.startswith("("):
            kept = r"(\mathrm{Diag}(a_t) S_{t-1})"
        text = text.replace(r"\hat S", kept)
    if "decay" not in names:  # the fixed rate of Decay, which its weights call gamma
        text = re.sub(r"(?<![A-Za-z])a_t(?=[ )])", r"\\gamma", text)
    return text.replace(r"\phi(k_t)", _phi(spec, "k_t"))


def _read(spec: Spec) -> str:
    if isinstance(spec.readout, Normalized):
        return _normalized(spec, spec.readout)
    if isinstance(spec.function, Constant):
        return "y_t = c_t" if not isinstance(spec.optimizer, Incremental) else r"y_t = S_t^\top 1"
    if isinstance(spec.function, LocalModel):
        return "y_t = m_t(q_t) = c_t"
    if isinstance(spec.function, LinearModel):
        return rf"y_t = S_t^\top {_phi(spec, 'q_t')}"
    return r"y_t = m_t(q_t)"


def _normalized(spec: Spec, readout: Normalized) -> str:
    query = _phi(spec, "q_t")
    mean = isinstance(spec.function, Constant) and isinstance(spec.optimizer, OneStep)
    above = "c_t" if mean else rf"S_t^\top {query}"
    below = readout.divisor(rf"z_t^\top {query}")
    total = r"\sum_{i \le t} " + "".join(_weighed_key(spec))
    return rf"y_t = \frac{{{above}}}{{{below}}},\quad z_t = {total}"


def _words(spec: Spec) -> str:
    weights = " ".join(type(part).summary() for part in spec.weights.factors())
    text = (
        f"What counts: {weights} What is fitted: {type(spec.function).summary()} "
        f"How: {type(spec.optimizer).summary()}"
    )
    if spec.readout.divides:
        text += f" Read: {type(spec.readout).summary()}"
    if isinstance(spec.optimizer, Incremental) and _fades(spec):
        text += (
            " Forgetting shrinks the memory before each step, which is weight decay: the same "
            "layer is this optimizer on uniform weights with an L2 penalty of 1 - a."
        )
    return text


def _fades(spec: Spec) -> bool:
    weights = spec.weights
    decays = any(signal.name.startswith("decay") for signal in weights.signals)
    return decays or any(part.parameters(1, 1, 1) for part in weights.factors())


def _forgets(spec: Spec) -> str:
    kernel = not isinstance(spec.weights, MemorylessWeights)
    if kernel and _fades(spec):
        return "Nothing is lost, but old pairs count less, and each query picks its own."
    if kernel:
        return "Nothing is lost: every pair is kept, and each query weighs them anew."
    if isinstance(spec.optimizer, Hebbian) and _fades(spec):
        return "The memory shrinks at every token; nothing is overwritten."
    if isinstance(spec.optimizer, Incremental) and _fades(spec):
        return "The memory shrinks at every token, and each step overwrites along its key."
    if _fades(spec):
        return "Old pairs count less in a fit that is made anew at every token."
    if isinstance(spec.optimizer, Incremental) and not isinstance(spec.optimizer, Hebbian):
        return "Nothing fades; each step overwrites what the memory holds along its key."
    return "Nothing: all pairs count alike however old they are."
