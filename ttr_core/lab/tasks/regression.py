"""Online regression: how well a layer's memory predicts the next value, with nothing trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ...errors import RequestError
from ...solvers import solve
from ...space.optimizers import Sum
from ...space.option import option
from ...space.readouts import Direct
from ...space.spec import Spec
from ..metric import Metric
from .base import EvaluatedTask, Evaluation, generator, quiet
from .constants import Constants, fixed, knobs, tuned
from .found_constants import FOUND, SETTINGS
from .processes import PROCESSES, SPEEDS, Draw, World, draw, given

TUNING_SEQUENCES = 8
NOT_OF_TUNING = ("sequences", "decay", "step", "scale", "ridge")
FITTING_COPIES = 4  # held-out runs of each sequence that the best fixed map is fitted to
MOST_LETTERS, MOST_WORDS = 500, 100  # of a text, and how many of its words differ
LEAST_NOISE = 1e-6  # of keys that are made of noise: the square of less is lost in float32

RowsOfNumbers = Tensor | Sequence[Sequence[float]]


@dataclass(frozen=True)
class Prepared:
    """What every layer of a process and a seed is compared on, drawn once.

    Args:
        data: the sequences that layers see, [1, sequences, T, D].
        baselines: squared error of what needs no layer by name, [sequences, T].

    Example:
        >>> task = Regression(seq_len=16, dim=4, sequences=2)
        >>> sorted(task.prepared(seed=0).baselines)
        ['fixed_linear', 'noise_floor', 'repeat_last']
    """

    data: Draw
    baselines: dict[str, Tensor]

    @classmethod
    def given(cls, keys: RowsOfNumbers, values: RowsOfNumbers) -> Prepared:
        """Takes pairs that somebody brings instead of a process, as one sequence.

        Args:
            keys: [T + 1, K], a tensor or rows of numbers; `Regression.seq_len` is then T.
            values: [T + 1, V].
        """
        data = given(*(torch.as_tensor(rows, dtype=torch.float32) for rows in (keys, values)))
        return cls(data, {"repeat_last": (data.v[0] - data.target[0]).square().sum(-1)})


@dataclass(frozen=True)
class Regression(EvaluatedTask):
    r"""Online regression on a process that changes, by one forward pass without parameters.

    At step t the memory holds the pairs $(k_i, v_i)$, $i \le t$; the query is the next key
    $q_t = k_{t+1}$ and the answer the next value $v_{t+1}$, so no step sees its own answer. The
    error of a step is $|y_t - v_{t+1}|^2$; predicting zero costs about 1.

    - ``linear``: unit keys, $v = W k +$ noise; W is replaced at the switch and may turn at every
      step. The process that tells layers apart.
    - ``switching``: the paper's Figure 2. $k_{t+1} = a k_t +$ noise with a = 0.9, then 0.999,
      and $v_t = k_{t+1} / |k_{t+1}|$. Repeating the last value is hard to beat here.
    - ``piecewise-linear``: as ``linear``, with a map for each region of the key space.
    - ``repeated``: a few random unit keys round and round, each with a random unit value, and all
      with another one from the switch on. Shows who recalls, who overwrites and who forgets.
    - ``text``: words round and round, each a random unit vector: $k_t = x_t$, $v_t = x_{t+1}$.

    A layer's signals are constants here (decay, step, ...): ``tuned`` on held-out sequences, with
    the temperature and the ridge where the spec leaves them at their default, or ``fixed``.

    Example:
        ``process=switching``: what a layer holds, is asked and should answer

        | step t | pairs held                    | query | answer |
        |--------|-------------------------------|-------|--------|
        | 0      | (k0, v0 = k1/norm)            | k1    | v1     |
        | 1      | (k0, v0) (k1, v1 = k2/norm)   | k2    | v2     |
        | 2      | (k0, v0) (k1, v1) (k2, v2)    | k3    | v3     |

    Reference: Test-time regression: a unifying framework for designing sequence models with
    associative memory (Wang, Shi and Fox, 2025) https://arxiv.org/abs/2501.12352
    Deviation: the paper leaves temperature, ridge, noise correlation and seeds open; they are
    settings here. Its talk has the two speeds in the other order (``order=slow-fast``).

    Example:
        >>> Regression(seq_len=64, dim=8).summary()
        'Online regression on a process that changes, by one forward pass without parameters.'
    """

    name: ClassVar[str] = "regression"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("error", "lower", 0.0, help="Mean squared error over steps and sequences."),
        Metric("error_before", "lower", 0.0, help="The error before the process changes."),
        Metric("error_after", "lower", 0.0, help="The error after the process has changed."),
    )

    process: str = option("linear", "What is regressed on.", choices=PROCESSES)
    seq_len: int = option(256, "Predictions in each sequence.", low=8, high=16384)
    dim: int = option(64, "Size of keys and values.", low=2, high=512)
    sequences: int = option(32, "Sequences that are averaged.", low=2, high=1024)
    switch: float | None = option(
        None, "Share of the length after which the process changes; 1 never; none: 0.25 for "
        "switching (the paper's), 0.5 otherwise.", low=0.0, high=1.0,
    )  # fmt: skip
    noise: float = option(
        0.02, "Standard deviation of each coordinate; above 0 for switching, whose keys are made "
        "of it.", low=0.0, high=10.0,
    )  # fmt: skip
    correlation: float = option(
        0.5, "Correlation of the noise between coordinates.", low=0.0, high=1.0
    )
    condition: float = option(
        10.0, "Condition number of the keys' covariance (not switching).", low=1.0, high=1e6
    )
    drift: float = option(
        0.0, "Radians by which the maps turn at every step (not switching).", low=0.0, high=1.0
    )
    order: str = option("fast-slow", "Which speed comes first (switching).", choices=tuple(SPEEDS))
    regions: int = option(4, "Linear maps (piecewise-linear).", low=1, high=16)
    distinct: int = option(
        16, "Keys that come round and round (repeated).", low=2, high=1024, since=2
    )
    text: str = option(
        "to be or not to be that is the question",
        "Words that come round and round (text), up to 500 letters.", since=2,
    )  # fmt: skip
    keys: str = option("l2", "What layers see of keys and queries.", choices=("l2", "raw"))
    normalize_output: str = option(
        "auto", "Whether outputs are scaled to the length of the values seen so far; auto: for "
        "Hebbian and OneStep, whose outputs grow.", choices=("auto", "on", "off"),
    )  # fmt: skip
    constants: str = option(
        "tuned", "Where signals, temperature and ridge come from.", choices=("tuned", "fixed")
    )
    decay: float = option(0.95, "Share kept per token (fixed).", low=1e-6, high=1.0)
    step: float | None = option(
        None, "Step size (fixed); none: a fresh layer's.", low=1e-6, high=1000.0
    )
    scale: float | None = option(
        None, "Sharpness of the kernel (fixed); none: the spec's.", low=0.0, high=1000.0
    )
    ridge: float | None = option(
        None, "Strength of the ridge (fixed); none: the spec's.", low=0.0, high=1e6
    )

    def check(self) -> None:
        """Checks that there are keys: under ``switching`` they are made of noise."""
        if self.process == "switching" and self.noise < LEAST_NOISE:
            raise RequestError(
                f"regression.noise is {self.noise:g}; under process=switching the keys are made "
                f"of noise: use {LEAST_NOISE:g} or more, or another process."
            )
        words, most = len(set(self.text.split())), MOST_LETTERS
        if self.process == "text" and not (2 <= words <= MOST_WORDS and len(self.text) <= most):
            raise RequestError(
                f"regression.text has {words} different words and {len(self.text)} letters; "
                f"process=text reads 2 to {MOST_WORDS} words in at most {most} letters."
            )

    @property
    def world(self) -> World:
        """The process with its settings."""
        usual = 0.25 if self.process == "switching" else 0.5
        return World(
            self.process, self.seq_len, self.dim, usual if self.switch is None else self.switch,
            self.noise, self.correlation, self.condition, self.drift, self.order, self.regions,
            self.distinct, tuple(self.text.split()),
        )  # fmt: skip

    @property
    def switch_step(self) -> int | None:
        """The first step whose answer is of the second regime, or None."""
        step = self.world.switch_step - 1
        return step if 0 < step < self.seq_len else None

    def data(self, seed: int = 0, split: str = "test", sequences: int | None = None) -> Draw:
        """Draws the sequences of a split [copies, sequences, T, D]; copy 0 is what layers see."""
        copies = 1 + FITTING_COPIES if split == "test" else 1
        return draw(self.world, sequences or self.sequences, copies, generator(seed, split))

    def evaluate(
        self,
        spec: Spec,
        seed: int = 0,
        device: str = "cpu",
        progress: Callable[[int, int], None] = quiet,
        constants: Constants | None = None,
        prepared: Prepared | None = None,
    ) -> Evaluation:
        """Evaluates a layer: its error at every step beside the baselines.

        Args:
            spec: the layer.
            seed: decides the sequences, the tuning ones too.
            device: where the layer is solved.
            progress: called as ``progress(done, total)`` between tries of the tuning.
            constants: those of `constants_of`, where they are known already.
            prepared: that of this seed, where it is known already.

        Returns:
            Metrics ``error`` (mean over steps and sequences), ``error_se``, ``error_before`` and
            ``error_after`` the switch, and each baseline's error; curves ``error``, ``error_se``
            and the baselines; tables ``windows`` and ``constants``.
        """
        spec.check()
        constants = constants or self.constants_of(spec, seed, device, progress)
        prepared = prepared or self.prepared(seed)
        curves = {"error": self.errors(constants, prepared.data, device), **prepared.baselines}
        return Evaluation(
            self._metrics(curves),
            {**{name: e.mean(0).tolist() for name, e in curves.items()},
             "error_se": _standard_error(curves["error"]).tolist()},
            {"windows": self._windows(curves), "constants": _listed(constants, spec)},
        )  # fmt: skip

    def prepared(self, seed: int = 0) -> Prepared:
        """Draws what layers see, and computes what needs none; no setting of layers changes it."""
        data = self.data(seed)
        seen = (x[:1].clone() for x in (data.k, data.v, data.q, data.target, data.oracle))
        return Prepared(Draw(*seen), self._baselines(data))

    def baselines(self, seed: int = 0) -> dict[str, list[float]]:
        """Returns the mean error at every step of what needs no layer.

        ``repeat_last`` answers with the newest value; ``fixed_linear`` is the linear map of the
        query that fits other runs of the same sequence best; ``noise_floor`` knows the process.
        """
        return {name: e.mean(0).tolist() for name, e in self._baselines(self.data(seed)).items()}

    def constants_of(
        self,
        spec: Spec,
        seed: int = 0,
        device: str = "cpu",
        progress: Callable[[int, int], None] = quiet,
        data: Draw | None = None,
        held: Mapping[str, float] | None = None,
    ) -> Constants:
        """Returns the spec with its constants, tuned on held-out sequences, on data, or fixed.

        Those of the published layers in `SETTINGS` are known (`FOUND`).

        Args:
            spec: the layer.
            seed: decides the sequences.
            device: where the layer is solved.
            progress: called as ``progress(done, total)`` between tries of the tuning.
            data: what is tuned on instead.
            held: values of knobs that are not tuned, by `Knob.key`.
        """
        if self.constants == "fixed":
            asked: dict[str, float | None] = {"decay": math.log(self.decay), "gamma": self.decay}
            asked |= {"step": self.step, "scale": self.scale, "ridge": self.ridge}
            return fixed(spec, {name: x for name, x in asked.items() if x is not None})
        if data is None and not held and (known := self._known(spec, seed)) is not None:
            return Constants.at(spec, known)
        return self.tuning(spec, seed, device, progress, data, held)

    def tuning(
        self,
        spec: Spec,
        seed: int = 0,
        device: str = "cpu",
        progress: Callable[[int, int], None] = quiet,
        data: Draw | None = None,
        held: Mapping[str, float] | None = None,
    ) -> Constants:
        """Returns the spec with its constants, tuned on held-out sequences or on data."""
        on = data or self.data(seed, "validation", TUNING_SEQUENCES)
        return tuned(spec, lambda c: self.errors(c, on, device).mean().item(), progress, held)

    def tuning_error(self, constants: Constants, seed: int = 0) -> float:
        """Returns what tuning makes small: the mean error on held-out sequences."""
        return self.errors(constants, self.data(seed, "validation", TUNING_SEQUENCES)).mean().item()

    def _known(self, spec: Spec, seed: int) -> tuple[float | None, ...] | None:
        """Returns where the knobs of a spec stand, where that is written down."""
        if seed != 0:
            return None
        others = {opt.name: opt.default for opt in self.options()} | SETTINGS
        usual = all(getattr(self, n) == x for n, x in others.items() if n not in NOT_OF_TUNING)
        return FOUND.get(str(spec)) if usual else None

    @torch.no_grad()
    def errors(self, constants: Constants, data: Draw, device: str = "cpu") -> Tensor:
        """Returns the squared error of a layer on copy 0 of the data [sequences, T]."""
        q, k, v = (x[0, :, None].to(device) for x in (data.q, data.k, data.v))
        if self.keys == "l2":
            q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        y = solve(constants.spec, constants.stream(q, k, v))
        if self.scales_output(constants.spec):
            tokens = torch.arange(1, self.seq_len + 1, device=y.device)[:, None]
            length = v.norm(dim=-1, keepdim=True).cumsum(2) / tokens  # of the values so far
            y = F.normalize(y, dim=-1) * length
        return (y[:, 0].to("cpu", torch.float32) - data.target[0]).square().sum(-1)

    def scales_output(self, spec: Spec) -> bool:
        """Whether a layer's outputs are scaled to the length of the values seen so far."""
        grows = isinstance(spec.optimizer, Sum) and isinstance(spec.readout, Direct)
        return self.normalize_output == "on" or (self.normalize_output == "auto" and grows)

    def _baselines(self, data: Draw) -> dict[str, Tensor]:
        answers = {"repeat_last": data.v[0], "fixed_linear": self._fixed_linear(data)}
        answers["noise_floor"] = data.oracle[0]
        return {name: (y - data.target[0]).square().sum(-1) for name, y in answers.items()}

    def _fixed_linear(self, data: Draw) -> Tensor:
        """Predictions of each sequence's best fixed map, fitted to its other copies."""
        x, y = (z[1:].transpose(0, 1).flatten(1, 2) for z in (data.q, data.target))
        gram = x.mT @ x
        ridge = 1e-6 * gram.diagonal(dim1=1, dim2=2).mean(1)[:, None, None]
        eye = torch.eye(self.dim)
        answers: Tensor = data.q[0] @ torch.linalg.solve(gram + ridge * eye, x.mT @ y)
        return answers

    def _spans(self) -> dict[str, tuple[int, int]]:
        """Windows of steps: before the switch, the eighth after it, and the rest."""
        at = self.switch_step
        if at is None:
            return {"all": (0, self.seq_len)}
        soon = min(at + max(1, self.seq_len // 8), self.seq_len)
        spans = {"before": (0, at), "just after": (at, soon), "later": (soon, self.seq_len)}
        return {name: span for name, span in spans.items() if span[0] < span[1]}

    def _windows(self, curves: dict[str, Tensor]) -> list[dict[str, Any]]:
        rows = []
        for name, (start, stop) in self._spans().items():
            each = {what: e[:, start:stop].mean().item() for what, e in curves.items()}
            spread = _standard_error(curves["error"][:, start:stop].mean(1)).item()
            rows.append({"window": name, "start": start, "stop": stop, **each, "error_se": spread})
        return rows

    def _metrics(self, curves: dict[str, Tensor]) -> dict[str, float]:
        metrics = {name: e.mean().item() for name, e in curves.items()}
        metrics["error_se"] = _standard_error(curves["error"].mean(1)).item()
        if (at := self.switch_step) is not None:
            metrics["error_before"] = curves["error"][:, :at].mean().item()
            metrics["error_after"] = curves["error"][:, at:].mean().item()
        return metrics


def _standard_error(per_sequence: Tensor) -> Tensor:
    """Standard error of the mean over the first axis; of a single sequence none is known."""
    if len(per_sequence) < 2:
        return per_sequence.new_full(per_sequence.shape[1:], math.nan)
    return per_sequence.std(0) / math.sqrt(per_sequence.shape[0])


def _listed(constants: Constants, spec: Spec) -> list[dict[str, Any]]:
    """RowsOfNumbers that say where each knob of a spec stands."""
    return [
        {"axis": knob.axis, "name": knob.name, "value": knob.value(constants)}
        for knob in knobs(spec)
    ]
