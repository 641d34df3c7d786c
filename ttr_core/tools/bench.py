"""Speed and memory of every solver, as ratios to torch's attention within one process."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from ..errors import LimitExceeded
from ..lab.devices import memory_left, one_thread, ran_out, released
from ..solvers import SOLVERS
from .contenders import LINEAR, SDPA, Contender, Passes, Size, TimedSolve, contender
from .held import peak_bytes
from .rates import product_count, product_rate, seconds

LOOP = "rank_one_scan"
REPEATS = 5
GIB = 2**30
GROWN = 8
"""Growth is the time over that of so many times fewer tokens."""


class Match(NamedTuple):
    """What is timed in turn: every contender at every size.

    Args:
        sizes: B, H, T and the size of a head.
        names: texts of `contender`.
        passes: ``forward`` or ``forward+backward``.
    """

    sizes: tuple[Size, ...]
    names: tuple[str, ...]
    passes: str = "forward+backward"


LONG = (LINEAR, "Uniform | Linear | SGD", "Uniform | Linear | Exact(ridge=0.1)")
CHUNKED = (
    *LONG,
    "Gate | Linear | Hebbian",
    "ChannelGate | Linear | Hebbian",
    "Gate | Linear | SGD",
    "ChannelGate | Linear | SGD",
    "Gate | Linear | MultiStep",
    "Gate | Linear | Momentum",
    "Gate | Linear | RLS",
)
BY_CHANNEL = "ChannelGate | Linear | Hebbian"
LINE, BOWL = "ExpKernel | Affine | Exact", "ExpKernel(scale=2.0) | Quadratic | Exact"

WORK = (
    Match(((2, 4, 4096, 64),), (SDPA, *CHUNKED)),
    Match(
        ((8, 4, 256, 64),),
        (
            SDPA,
            *CHUNKED,
            "ExpKernel | Constant | Exact",
            "Gate * ExpKernel | Constant | Exact",
            "ExpKernel | Linear | OneStep",
            "Cosine | Linear | OneStep",
            "Gate | Constant | Exact",
            "Gate * TwoTaps | Linear | OneStep",
            "Gate * Fenwick | Linear | OneStep",
            "LongConvolution | Constant | OneStep",
            "SelfCorrected | Constant | OneStep",
            "Reflected | Constant | Exact",
            "Uniform | Kernel | SGD",
            "Uniform | Kernel | Exact(ridge=0.1)",
        ),
    ),
    Match(
        ((1, 2, 256, 32),),
        (
            SDPA,
            "Gate | Linear | Exact(ridge=0.1)",
            "Gate | Linear | Chebyshev",
            "ExpKernel | Linear | Exact(ridge=0.1)",
            "ExpKernel | Affine | Exact(ridge=0.1)",
            "ExpKernel | Quadratic | Exact(ridge=0.1)",
            "Gate | Kernel | Exact(ridge=0.1)",
            "Window | Linear | SGD",
            "Gate | Linear | Residual",
            "Uniform | NormLinear | MiniBatch",
            "Gate * Importance | MLP | ChunkMuon",
            "Uniform | GatedMLP | LargeChunkMuon | loss=DotProduct",
            "Gate | Linear | SGD by autograd_scan",
        ),
        "forward",
    ),
    Match(
        ((1, 4, 1024, 64),),
        (
            SDPA,
            "Uniform | Linear | SGD",
            f"Uniform | Linear | SGD by {LOOP}",
            "Gate | Linear | Exact(ridge=0.1)",
        ),
    ),
    *(
        Match(((1, 4, length, 64),), (SDPA, BY_CHANNEL, f"{BY_CHANNEL} by {LOOP}"), "forward")
        for length in (1024, 4096)
    ),
    Match(((1, 1, 256, 64), (1, 1, 2048, 64)), (SDPA, LINEAR, LINE)),
    Match(((1, 1, 256, 64),), (LINEAR, BOWL)),
    Match(
        ((1, 1, 256, 64), (1, 1, 2048, 64)),
        (
            *(
                f"{name} in published"
                for name in ("linear-attention", "longhorn", "mamba", "ttt-linear")
            ),
            "kernel-regression in published",
            "linear-attention in standard",
            f"{LINE} in standard",
        ),
    ),
    Match(((1, 1, 256, 64),), ("linear-attention in standard", f"{BOWL} in standard")),
    Match(((1, 1, 16384, 64),), (SDPA, *LONG)),
    Match(((1, 1, 65536, 64),), LONG),  # torch's attention would take minutes
)
"""What is timed, and on which sizes."""


@dataclass(frozen=True)
class Row:
    """One measurement.

    Args:
        name: the solver and the spec, or the layer and its frame.
        shape: B, H, T, D.
        dtype: of the inputs.
        device: where it ran.
        passes: ``forward`` or ``forward+backward``.
        seconds: the least of the repeats: processor time of one thread, or on a GPU the time until
            all is done.
        ratio_to_sdpa: seconds over those of torch's attention on the same inputs.
        ratio_to_linear: seconds over those of linear attention, of a layer in the same frame.
        ratio_to_loop: seconds of the token-by-token loop over these, where the loop was timed.
        growth: seconds over those of an eighth of the tokens, where it was timed in turn with it.
        peak_bytes: most memory held beyond the inputs.
        memory: that over what inputs and outputs take.
        products: the share of the time that the matrix products alone would take at the machine's
            own rate.
        skipped: why nothing was measured; None where it was.
    """

    name: str
    shape: Size
    dtype: str
    device: str
    passes: str
    seconds: float | None = None
    ratio_to_sdpa: float | None = None
    ratio_to_linear: float | None = None
    ratio_to_loop: float | None = None
    growth: float | None = None
    peak_bytes: int | None = None
    memory: float | None = None
    products: float | None = None
    skipped: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values, ``passes`` under its public key ``pass``."""
        row = dict(vars(self))
        row["shape"], row["pass"] = list(self.shape), row.pop("passes")
        return row


def benchmark(
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    repeats: int = REPEATS,
    work: Sequence[Match] = WORK,
) -> dict[str, Any]:
    """Times every solver on one thread, the contenders of one piece of work in turn.

    What memory does not suffice for is a row that says so, and nothing of it is allocated where
    that is known before.

    Args:
        progress: called with (done, total, what) before each piece.
        device: ``cpu`` or ``cuda``.
        dtype: of the inputs.
        repeats: rounds; the least time of each counts.
        work: sizes, texts and passes.

    Returns:
        ``{"machine": {...}, "rows": [...]}``.

    Example:
        >>> small = (Match(((1, 1, 16, 4),), ("sdpa", "Uniform | Linear | Hebbian"), "forward"),)
        >>> [row["name"] for row in benchmark(repeats=1, work=small)["rows"]]
        ['sdpa', 'chunked_linear: Uniform | Linear | Hebbian']
    """
    rows: list[Row] = []
    with one_thread():
        rate = product_rate(device, dtype)
        for done, one in enumerate(work):
            sizes = " and ".join(str(list(size)) for size in one.sizes)
            progress(done, len(work), f"{len(one.names)} contenders at {sizes}")
            rows.extend(_timed(one, Passes(device, dtype, "backward" in one.passes), repeats, rate))
        progress(len(work), len(work), "done")
        about = {**machine(device), "flops_per_second": rate}
    return {"machine": about, "rows": [row.to_dict() for row in rows]}


def machine(device: str = "cpu") -> dict[str, Any]:
    """Returns what a figure needs beside it to mean something."""
    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor()
    return {
        "device": name or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.system(),
    }


def covered() -> set[str]:
    """Returns the names of the solvers that `WORK` times."""
    found = (contender(text) for one in WORK for text in one.names)
    return {one.solver.name for one in found if isinstance(one, TimedSolve)}


def uncovered() -> set[str]:
    """Returns the solvers that no row of `WORK` times; the reference is never timed."""
    return {solver.name for solver in SOLVERS[:-1]} - covered()


@dataclass
class _Entry:
    """A contender at one size, and what was found of it."""

    what: Contender
    size: Size
    setting: Passes
    call: Callable[[], None] | None = None
    given: int = 0  # bytes of inputs and outputs
    seconds: float | None = None
    peak: int | None = None
    products: int = 0
    skipped: str | None = None

    def ready(self) -> None:
        """Makes the inputs, once memory is seen to suffice for all."""
        needs, free = self.what.needs(self.size, self.setting), memory_left(self.setting.device)
        if free is not None and needs > free:
            self.skip(f"needs about {needs / GIB:.1f} GiB, of which {free / GIB:.1f} GiB are free")
        else:
            self.attempt(self._build)

    def _build(self) -> None:
        self.call, self.given = self.what.call(self.size, self.setting)

    def time(self) -> None:
        """Runs once, and keeps the least time."""
        if self.call is not None:
            spent = seconds(self.call, self.setting.device)
            self.seconds = spent if self.seconds is None else min(self.seconds, spent)

    def weigh(self) -> None:
        """Runs twice more: for the memory and for the products."""
        if self.call is not None:
            self.peak = peak_bytes(self.call, self.setting.device)
            self.products = product_count(self.call)

    def attempt(self, action: Callable[[], None]) -> None:
        """Does something that memory may not suffice for."""
        try:
            action()
        except LimitExceeded as error:
            self.skip(str(error))
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not ran_out(error):
                raise
            released(error)
            self.skip(f"memory ran out: {str(error).splitlines()[0]}")

    def skip(self, why: str) -> None:
        """Measures nothing of it any more."""
        self.call = self.seconds = self.peak = None
        self.skipped = f"skipped: {why}"


def _timed(one: Match, setting: Passes, repeats: int, rate: float) -> list[Row]:
    entries = [_Entry(contender(text), size, setting) for size in one.sizes for text in one.names]
    for entry in entries:
        entry.ready()
    for _ in range(repeats):
        for entry in entries:
            entry.attempt(entry.time)
    for entry in entries:
        entry.attempt(entry.weigh)
    found = {(entry.what.text, entry.size): entry.seconds for entry in entries}
    return [_row(entry, one.passes, found, rate) for entry in entries]


def _row(
    entry: _Entry, passes: str, found: dict[tuple[str, Size], float | None], rate: float
) -> Row:
    setting, (batch, heads, length, dim) = entry.setting, entry.size
    spent, text = entry.seconds, entry.what.text
    head = (entry.what.name, entry.size, str(setting.dtype).removeprefix("torch."), setting.device)
    if spent is None:
        return Row(*head, passes, skipped=entry.skipped)
    shorter = (text, (batch, heads, length // GROWN, dim))
    return Row(
        *head,
        passes,
        seconds=spent,
        ratio_to_sdpa=_over(spent, found.get((SDPA, entry.size))),
        ratio_to_linear=_over(spent, found.get((entry.what.linear, entry.size))),
        ratio_to_loop=_over(found.get((f"{text} by {LOOP}", entry.size)), spent),
        growth=_over(spent, found.get(shorter)),
        peak_bytes=entry.peak,
        memory=_over(entry.peak, entry.given),
        products=entry.products / rate / spent if entry.products else None,
    )


def _over(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a / b
