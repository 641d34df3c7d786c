"""What a page shows, as something to paste elsewhere: a command, Python, an address.

Everything that comes from a control is quoted, so that a pasted line does what it shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from experiments_db.installation import ABOVE, installed
from experiments_db.installation import command as calling
from experiments_db.run.request import usual_frame


def command(
    task: str,
    layer: str | None,
    spec: str,
    sets: Mapping[str, Any],
    frame: str | None = None,
    seed: int = 0,
    device: str = "auto",
) -> str:
    """Returns the command line that runs the same.

    Args:
        task: the name of the task.
        layer: a published layer's name, or None to name the spec.
        spec: the text of the spec.
        sets: ``group.setting`` -> value.
        frame: the frame, where it is not the default of ``--layer`` or ``--spec``.
        seed: the seed.
        device: the device.
    """
    words = [*_which(layer, spec), "--task", task]
    if frame and frame != usual_frame(layer):
        words += ["--frame", frame]
    for key, value in sets.items():
        words += ["--set", f"{key}={written(value)}"]
    if seed:
        words += ["--seed", str(seed)]
    if device != "auto":
        words += ["--device", device]
    return calling("run", *words)


def _which(layer: str | None, spec: str) -> list[str]:
    return ["--layer", layer] if layer else ["--spec", spec]


def written(value: Any) -> str:
    """Returns a value as ``--set`` reads it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def found_from_anywhere() -> str:
    """Returns what Python needs first to find the packages of a checkout that is not installed."""
    if installed():
        return ""
    return f"import sys\n\nsys.path.insert(0, {str(ABOVE)!r})\n"


def solve_snippet(spec: str) -> str:
    """Returns Python that computes the layer and its attention map on random inputs."""
    return f"""\
{found_from_anywhere()}import torch
import ttr_core as ttr

spec = ttr.Spec.parse({spec!r})
B, H, T, K, V = 1, 1, 64, 16, 16
q, k = (torch.nn.functional.normalize(torch.randn(B, H, T, K), dim=-1) for _ in range(2))
v = torch.randn(B, H, T, V)
signals = {{
    signal.name: torch.full((B, H, T, spec.signal_width(signal, K, V)), signal.init or -0.05)
    for signal in spec.signals
}}
stream = ttr.Stream(q, k, v, signals)
y = ttr.solve(spec, stream)
W = ttr.attention_map(spec, stream)
"""


def layer_snippet(layer: str) -> str:
    """Returns Python that builds a published layer as a module."""
    return f"""\
{found_from_anywhere()}import torch
import ttr_core as ttr

entry = ttr.catalog[{layer!r}]
layer = entry.layer(d_model=64, num_heads=1)
y = layer(torch.randn(2, 128, 64))  # [B, T, D] -> [B, T, D]
"""


def run_snippet(
    task: str,
    layer: str | None,
    spec: str,
    sets: Mapping[str, Any],
    frame: str | None = None,
    seed: int = 0,
    device: str = "auto",
) -> str:
    """Returns Python that runs the same experiment without storing it."""
    which = f"layer={layer!r}" if layer else f"spec={spec!r}"
    where = "" if device == "auto" else f", device={device!r}"
    settings = {key: written(value) for key, value in sets.items()}
    return f"""\
{found_from_anywhere()}from experiments_db.run.request import request

experiment = request({which}, task={task!r}, frame={frame!r}, sets={settings!r}, seed={seed}{where})
for event in experiment.run(stop=lambda: False):
    print(event)
"""
