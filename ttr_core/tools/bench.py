"""Speed and memory of every solver, as ratios to torch's attention within one process."""

from __future__ import annotations

import platform
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ..solvers import SOLVERS, resolve, solve
from ..space.spec import Spec
from ..stream import LINKS, Stream

SDPA = "sdpa"
LOOP = "rank_one_scan"
REPEATS = 5

Size = tuple[int, int, int, int]
"""B, H, T and the size of keys and values."""

LONG = (
    "Uniform | Linear | Hebbian",
    "Uniform | Linear | SGD",
    "Uniform | Linear | Exact(ridge=0.1)",
)
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

WORK: tuple[tuple[Size, tuple[str, ...], str], ...] = (
    (
        (2, 4, 4096, 64),
        CHUNKED,
        "forward+backward",
    ),
    (
        (8, 4, 256, 64),
        (
            *CHUNKED,
            "ExpKernel | Constant | Exact",
            "Gate * ExpKernel | Constant | Exact",
            "ExpKernel | Linear | OneStep",
            "Cosine | Linear | OneStep",
            "Gate | Constant | Exact",
            "LongConvolution | Constant | OneStep",
            "SelfCorrected | Constant | OneStep",
            "Reflected | Constant | Exact",
            "Uniform | Kernel | SGD",
            "Uniform | Kernel | Exact(ridge=0.1)",
        ),
        "forward+backward",
    ),
    (
        (1, 2, 256, 32),
        (
            "Gate | Linear | Exact(ridge=0.1)",
            "Gate | Linear | Chebyshev",
            "ExpKernel | Linear | Exact(ridge=0.1)",
            "ExpKernel | Affine | Exact(ridge=0.1)",
            "ExpKernel | Quadratic | Exact(ridge=0.1)",
            "Gate | Kernel | Exact(ridge=0.1)",
            "Window | Linear | SGD",
            "Gate | Linear | Residual",
            "Uniform | NormLinear | MiniBatch",
            "Gate | Linear | SGD by autograd_scan",
        ),
        "forward",
    ),
    (
        (1, 4, 1024, 64),
        (
            "Uniform | Linear | SGD",
            f"Uniform | Linear | SGD by {LOOP}",
            "Gate | Linear | Exact(ridge=0.1)",
        ),
        "forward+backward",
    ),
    *(
        (
            (1, 4, length, 64),
            ("ChannelGate | Linear | Hebbian", f"ChannelGate | Linear | Hebbian by {LOOP}"),
            "forward",
        )
        for length in (1024, 4096)
    ),
    (
        (1, 1, 256, 64),
        (
            "Uniform | Linear | Hebbian",
            "ExpKernel | Affine | Exact",
            "ExpKernel(scale=2.0) | Quadratic | Exact",
        ),
        "forward+backward",
    ),
    (
        (1, 1, 2048, 64),
        ("Uniform | Linear | Hebbian", "ExpKernel | Affine | Exact"),
        "forward+backward",
    ),
    (
        (1, 1, 16384, 64),
        LONG,
        "forward+backward",
    ),
    (
        (1, 1, 65536, 64),
        LONG,
        "forward+backward",
    ),
)
"""Shapes, the specs timed on each (``by`` names a solver), and which passes."""

NO_ATTENTION_BEYOND = 20_000  # tokens: torch's attention alone would take minutes


@dataclass(frozen=True)
class Row:
    """One measurement.

    Args:
        name: the solver and the spec.
        shape: B, H, T, D.
        dtype: of the inputs.
        device: where it ran.
        passes: ``forward`` or ``forward+backward``.
        seconds: the least of the repeats.
        peak_bytes: most memory held beyond the inputs.
        ratio_to_sdpa: seconds over those of torch's attention on the same inputs.
        ratio_to_loop: seconds of the token-by-token loop over these, where the loop was timed.
    """

    name: str
    shape: Size
    dtype: str
    device: str
    passes: str
    seconds: float
    peak_bytes: int
    ratio_to_sdpa: float | None
    ratio_to_loop: float | None

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
    work: Sequence[tuple[Size, tuple[str, ...], str]] = WORK,
) -> dict[str, Any]:
    """Times every solver, the contenders of one shape in turn.

    Args:
        progress: called with (done, total, what) before each shape.
        device: ``cpu`` or ``cuda``.
        dtype: of the inputs.
        repeats: rounds; the least time of each counts.
        work: shapes, specs and passes.

    Returns:
        ``{"machine": {...}, "rows": [...]}``.

    Example:
        >>> small = (((1, 1, 16, 4), ("Uniform | Linear | Hebbian",), "forward"),)
        >>> [row["name"] for row in benchmark(repeats=1, work=small)["rows"]]
        ['sdpa', 'chunked_linear: Uniform | Linear | Hebbian']
    """
    rows: list[Row] = []
    for done, (size, names, passes) in enumerate(work):
        progress(done, len(work), f"{len(names)} solvers at {list(size)}")
        rows.extend(_shape(size, names, passes, device, dtype, repeats))
    progress(len(work), len(work), "done")
    return {"machine": machine(device), "rows": [row.to_dict() for row in rows]}


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
    texts = [text for _, names, _ in WORK for text in names]
    return {_solver(text)[1] or resolve(Spec.parse(_spec(text))).name for text in texts}


def uncovered() -> set[str]:
    """Returns the solvers that no row of `WORK` times; the reference is never timed."""
    return {solver.name for solver in SOLVERS[:-1]} - covered()


def _solver(text: str) -> tuple[str, str | None]:
    spec, _, by = text.partition(" by ")
    return spec, by or None


def _spec(text: str) -> str:
    return _solver(text)[0]


def _shape(
    size: Size, names: tuple[str, ...], passes: str, device: str, dtype: torch.dtype, repeats: int
) -> list[Row]:
    backward = "backward" in passes
    calls = {text: _call(text, size, device, dtype, backward) for text in names}
    if size[2] <= NO_ATTENTION_BEYOND:
        calls = {SDPA: _attention(size, device, dtype, backward)} | calls
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(repeats):
        for text, call in calls.items():
            best[text] = min(best[text], _seconds(call, device))
    loops = {_spec(text): seconds for text, seconds in best.items() if text.endswith(f" by {LOOP}")}
    return [
        Row(
            name=text if text == SDPA else _label(text),
            shape=size,
            dtype=str(dtype).removeprefix("torch."),
            device=device,
            passes=passes,
            seconds=seconds,
            peak_bytes=_peak(calls[text], device),
            ratio_to_sdpa=seconds / best[SDPA] if SDPA in best else None,
            ratio_to_loop=loops[_spec(text)] / seconds if _spec(text) in loops else None,
        )
        for text, seconds in best.items()
    ]


def _label(text: str) -> str:
    spec, by = _solver(text)
    return f"{by or resolve(Spec.parse(spec)).name}: {spec}"


def _call(
    text: str, size: Size, device: str, dtype: torch.dtype, backward: bool
) -> Callable[[], None]:
    spec, by = Spec.parse(_spec(text)), _solver(text)[1]
    batch, heads, length, dim = size
    q, k, v = _inputs(size, device, dtype)
    generator = torch.Generator().manual_seed(1)
    signals = {}
    for signal in spec.signals:
        width = spec.signal_width(signal, dim, dim)
        raw = torch.randn(batch, heads, length, width, generator=generator)
        # Further keys and values are as large as the token's own: unit keys, for one of them.
        raw = F.normalize(raw, dim=-1) if signal.free else raw + 3.0
        signals[signal.name] = LINKS[signal.link](raw).to(device, dtype)
    leaves = [q, k, v, *signals.values()]
    for leaf in leaves:
        leaf.requires_grad_(backward)
    x = Stream(q, k, v, signals)
    return _pass(lambda: solve(spec, x, solver=by), leaves, backward)


def _attention(size: Size, device: str, dtype: torch.dtype, backward: bool) -> Callable[[], None]:
    q, k, v = (z.requires_grad_(backward) for z in _inputs(size, device, dtype))
    return _pass(
        lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True), [q, k, v], backward
    )


def _inputs(size: Size, device: str, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(size, generator=generator) for _ in range(3))
    unit = (F.normalize(q, dim=-1), F.normalize(k, dim=-1), v)
    a, b, c = (z.to(device, dtype) for z in unit)
    return a, b, c


def _pass(
    forward: Callable[[], Tensor], leaves: list[Tensor], backward: bool
) -> Callable[[], None]:
    def call() -> None:
        with torch.set_grad_enabled(backward):
            y = forward()
        if backward:
            y.sum().backward()
            for leaf in leaves:
                leaf.grad = None

    return call


def _seconds(call: Callable[[], None], device: str) -> float:
    if device == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _peak(call: Callable[[], None], device: str) -> int:
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return torch.cuda.max_memory_allocated() - before
    with Watched() as held:
        call()
    peak: int = held.peak
    return peak


class Watched(TorchDispatchMode):
    """Counts the bytes of the tensors that are alive at once; torch has no such count for a CPU."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch has no types for it
        self.now = self.peak = 0
        self._seen: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Runs an operation and follows the storages of its results."""
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(tensor, Tensor):
                self._follow(tensor.untyped_storage())
        return out

    def _follow(self, storage: Any) -> None:
        if storage in self._seen:
            return
        self._seen.add(storage)
        size = storage.nbytes()
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._release, size)

    def _release(self, size: int) -> None:
        self.now -= size
