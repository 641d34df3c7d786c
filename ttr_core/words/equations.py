"""A spec's objective, update and readout in LaTeX."""

from __future__ import annotations

import re

from ..space.functions import (
    Affine,
    Constant,
    FeatureModel,
    Kernel,
    KernelModel,
    LayeredModel,
    Linear,
    LocalModel,
)
from ..space.losses import Squared
from ..space.maps import Identity
from ..space.optimizers import Exact, Hebbian, Incremental, MirrorDescent, OneStep
from ..space.optimizers.rls import RLS
from ..space.readouts import Bonus, Normalized
from ..space.spec import Spec

DECAY = r"(?<![A-Za-z])a_t "  # the factor itself, not the end of a name such as beta_t


def _phi(spec: Spec, key: str) -> str:
    """How phi(key) is written: the key itself under the identity."""
    model = spec.function
    if isinstance(model, Constant):
        return "1"
    plain = isinstance(model, Linear) and isinstance(model.map, Identity)
    return key if plain else rf"\phi({key})"


def _where(spec: Spec) -> str:
    model = spec.function
    if isinstance(model, LayeredModel):
        return rf",\quad m(k) = {model.written('k')}"
    if isinstance(model, Linear) and not isinstance(model.map, Identity):
        return rf",\quad \phi(k) = {model.map.notation}"
    if isinstance(model, Kernel):
        return rf",\quad \kappa(a, b) = \phi(a)^\top \phi(b) = {model.formula}"
    if isinstance(model, LocalModel) and not isinstance(model, Affine):
        return r",\quad \psi(a)^\top \psi(b) = " + model.product
    return ""


def _gamma(spec: Spec) -> str:
    return r"\,".join(part.notation for part in spec.weights.factors())


def _model(spec: Spec) -> str:
    """What is compared with v_i."""
    if isinstance(spec.function, Constant):
        return "c"
    if isinstance(spec.function, LocalModel):
        return f"c - M {_offset(spec, 'k_i')}"
    if isinstance(spec.function, LayeredModel):
        return "m(k_i)"
    return rf"S^\top {_phi(spec, 'k_i')}"


def _offset(spec: Spec, key: str) -> str:
    """What the slopes of a local model multiply."""
    at = f"({key} - q_t)"
    return at if isinstance(spec.function, Affine) else rf"\psi{at}"


def objective(spec: Spec) -> str:
    """Returns what is minimized."""
    uniform = _gamma(spec) == "1"
    gamma = "" if uniform else r"\gamma_i^{(t)}\, "
    ridge = ""
    if isinstance(spec.optimizer, (Exact, RLS)) and not isinstance(spec.function, Constant):
        strength = spec.optimizer.ridge
        shrunk = "M" if isinstance(spec.function, LocalModel) else "S"
        if isinstance(spec.optimizer, RLS) and spec.weights.fades:
            shrunk = r"\Lambda_t^{1/2} S"
        ridge = rf" + \tfrac{{{strength:g}}}{{2}} |{shrunk}|^2" if strength else ""
    fit = rf"\tfrac12 \sum_{{i \le t}} {gamma}|v_i - {_model(spec)}|^2{ridge}"
    if not isinstance(spec.loss, Squared):
        fit = rf"\sum_{{i \le t}} {gamma}{spec.loss.notation}".replace("m(k_i)", _model(spec))
    elif isinstance(spec.optimizer, Hebbian):
        fit = rf"-\sum_{{i \le t}} {gamma}v_i^\top {_model(spec)}"
    weights = "" if uniform else rf",\qquad \gamma_i^{{(t)}} = {_gamma(spec)}"
    return fit + weights + _where(spec)


def update(spec: Spec) -> str:
    """Returns how the memory is found."""
    optimizer = spec.optimizer
    if isinstance(optimizer, Incremental):
        return _running(spec)
    gamma, key = _weighed_key(spec)
    if isinstance(spec.function, LocalModel):
        return _local(spec, gamma)
    if isinstance(spec.function, KernelModel):
        return _dual(spec, gamma)
    if isinstance(optimizer, OneStep):
        if _bare(spec):
            return rf"m_t = m_0 - \sum_{{i \le t}} {gamma}\nabla \ell_i(m_0)"
        if isinstance(spec.function, Constant):
            return rf"c_t = \sum_{{i \le t}} {gamma}v_i"
        return rf"S_t = \sum_{{i \le t}} {gamma}{key}\, v_i^\top"
    if isinstance(optimizer, Exact) and isinstance(spec.function, Constant):
        if spec.weights.per_feature:
            return r"c_t = \sum_{i \le t} \gamma_i v_i \Big/ \sum_{i \le t} \gamma_i^2"
        below = gamma or "1"
        return rf"c_t = \sum_{{i \le t}} {gamma}v_i \Big/ \sum_{{i \le t}} {below}"
    if isinstance(optimizer, Exact) and isinstance(spec.function, FeatureModel):
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


def _dual(spec: Spec, gamma: str) -> str:
    """The coefficients of a kernel's fit, one for every pair."""
    optimizer = spec.optimizer
    if not isinstance(optimizer, Exact):
        return rf"\alpha_i = {gamma}v_i"
    ridge = "I" if optimizer.ridge == 1 else f"{optimizer.ridge:g} I"
    gram = r"\kappa(K_t, K_t)"
    if not gamma:
        return rf"\alpha = \big({gram} + {ridge}\big)^{{-1}} V_t"
    root, roots = r"\sqrt{\gamma_t}", r"\mathrm{Diag}(\sqrt{\gamma_t})"
    inverse = rf"\big({roots}\, {gram}\, {roots} + {ridge}\big)^{{-1}}"
    return rf"\alpha = {root} \circ {inverse} ({root} \circ V_t)"


def _local(spec: Spec, gamma: str) -> str:
    """The fit of a constant and a slope around the query."""
    if not isinstance(spec.optimizer, Exact):
        slope = rf"M_t = \sum_{{i \le t}} {gamma}v_i {_offset(spec, 'k_i')}^\top"
        return rf"c_t = \sum_{{i \le t}} {gamma}v_i,\qquad {slope}"
    ridge, power = rf" + {spec.optimizer.ridge:g} I", "-1"
    if spec.optimizer.ridge in (0, 1):
        ridge, power = (" + I", "-1") if spec.optimizer.ridge else ("", "+")
    curved = not isinstance(spec.function, Affine)
    far = r"(\psi_i - \bar \psi_t)" if curved else r"(k_i - \bar k_t)"
    joint = rf"\sum_{{i \le t}} {gamma}(v_i - \bar v_t) {far}^\top"
    gram = rf"\sum_{{i \le t}} {gamma}{far} {far}^\top{ridge}"
    means = [
        rf"\bar {z}_t = \sum_{{i \le t}} {gamma}{z}_i \Big/ \sum_{{i \le t}} {gamma or '1'}"
        for z in ("v", r"\psi" if curved else "k")
    ]
    read = r"\bar v_t - M_t \bar \psi_t" if curved else r"\bar v_t + M_t (q_t - \bar k_t)"
    means += [rf"\psi_i = {_offset(spec, 'k_i')}"] if curved else []
    slope = rf"M_t = {joint} \Big({gram}\Big)^{{{power}}}"
    return r",\qquad ".join([slope, f"c_t = {read}", *means])


def _bare(spec: Spec) -> bool:
    """Whether only the gradient can be written: the residual has no form of its own."""
    return isinstance(spec.function, LayeredModel) or not isinstance(spec.loss, Squared)


def _running(spec: Spec) -> str:
    """The optimizer's own recurrence with the factors that are 1 left out."""
    text = (spec.optimizer.in_gradients if _bare(spec) else "") or spec.optimizer.notation
    if isinstance(spec.optimizer, MirrorDescent):
        text = text.replace(r"\mu(A_t)", spec.optimizer.mirror_notation)
    names = {signal.name.split(".")[0] for signal in spec.weights.signals}
    decays = spec.weights.fades
    if isinstance(spec.optimizer, RLS):
        text = _ridged(text, spec.optimizer, decays)
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
        text = text.replace(r"\hat m", "a_t m_{t-1}" if kept.startswith("(") else "m_{t-1}")
    if "decay" not in names:  # the fixed rate of Decay, which its weights call gamma
        text = re.sub(r"(?<![A-Za-z])a_t(?=[ )])", r"\\gamma", text)
    if not isinstance(spec.function, LayeredModel):
        text = re.sub(r"(?<![A-Za-z\\])[mW]_", "S_", text)
    return re.sub(r"\\phi\((k_[^)]+)\)", lambda key: _phi(spec, key[1]), text)


def _ridged(text: str, optimizer: RLS, decays: bool) -> str:
    """A recurrence with its ridge as a number, and what becomes of it under decays."""
    strength = "" if optimizer.ridge == 1 else f"{optimizer.ridge:g} "
    text = text.replace(r"\lambda \Lambda_t", strength + (r"\Lambda_t" if decays else "I"))
    fading = r",\quad \Lambda_t = a_t \Lambda_{t-1} \text{ with one axis in turn restored to } 1"
    return text + fading if decays else text


def read(spec: Spec) -> str:
    """Returns how the output is read."""
    if isinstance(spec.readout, Normalized):
        return _normalized(spec, spec.readout)
    if isinstance(spec.readout, Bonus):
        return _bonus(spec)
    if isinstance(spec.function, Constant):
        return "y_t = c_t" if not isinstance(spec.optimizer, Incremental) else r"y_t = S_t^\top 1"
    if isinstance(spec.function, LocalModel):
        return "y_t = m_t(q_t) = c_t"
    if isinstance(spec.function, KernelModel) and not isinstance(spec.optimizer, Incremental):
        return r"y_t = \sum_{i \le t} \alpha_i\, \kappa(k_i, q_t)"
    if isinstance(spec.function, FeatureModel):
        return rf"y_t = S_t^\top {_phi(spec, 'q_t')}"
    return r"y_t = m_t(q_t)"


def _normalized(spec: Spec, readout: Normalized) -> str:
    query = _phi(spec, "q_t")
    mean = isinstance(spec.function, Constant) and isinstance(spec.optimizer, OneStep)
    above = "c_t" if mean else rf"S_t^\top {query}"
    below = readout.divisor(rf"z_t^\top {query}")
    total = r"\sum_{i \le t} " + "".join(_weighed_key(spec))
    return rf"y_t = \frac{{{above}}}{{{below}}},\quad z_t = {total}"


def _bonus(spec: Spec) -> str:
    query, key = _phi(spec, "q_t"), _phi(spec, "k_t")
    names = {signal.name.split(".")[0] for signal in spec.weights.signals}
    weight = "b_t " if "importance" in names else ""
    return rf"y_t = S_{{t-1}}^\top {query} + {weight}\big({query}^\top (u \circ {key})\big)\, v_t"
