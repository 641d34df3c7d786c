"""A layer as one file of plain torch, with a test of its own."""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass, fields
from types import ModuleType
from typing import Any

import torch

from ...layers.frame import Frame
from ...layers.layer import SequenceLayer
from ...space.spec import Spec
from . import example
from .module_text import text_of
from .observed import LOADED, Recorder, observed, watching
from .reach import Gathering
from .rehearsal import DTYPES, LENGTHS, LONG, SIZES, decode, use
from .simplify import simplified
from .statements import Statements
from .tidy import tidied

REPLACED = {
    "Spec.of(spec)": "SPEC",
    "named_frame(frame)": "FRAME",
    "resolve(spec)": "SOLVER",
    "self._chosen(p)": "WITHIN",
    "self._check(x)": "",
    "self._check_state(x, state)": "",
}
"""What is settled when the file is written, and what looks after wrong requests."""
KNOWN = {"projected.dtype in HALF and self.solver.takes_half(self.spec)": False}
ROOTS = ("Layer", "recurrence", "test", "annotations", "torch", "Tensor", "nn")
OFFERED = ("forward", "step", "advance", "regression")
ARGUMENTS = "        spec,\n        frame,\n        d_model: int,\n        num_heads: int = 1,"


@dataclass(frozen=True)
class LayerFile:
    """A layer to be written.

    Args:
        spec: the regression.
        frame: what surrounds it.
        about: what the file says of it first.
        d_model: D where the file's layer is given none.
        num_heads: H where it is given none.
    """

    spec: Spec
    frame: Frame
    about: str
    d_model: int = 64
    num_heads: int = 1

    def text(self) -> str:
        """Returns the file."""
        layer = observed("layers.layer")  # what it does while it loads is not what a layer does
        oracle = observed("solvers.reference")
        with watching() as recorder:
            made = self._run(layer, oracle)
            parts = _definitions(made, recorder, layer, oracle)
        body = "\n\n\n".join([*parts, example.test(*self._example())])
        head = f'r"""{self.about}"""\n\nfrom __future__ import annotations\n\n'
        text = tidied(Statements.of(f"{head}{body}\n"), ROOTS, OFFERED).text
        sizes = (
            f"        d_model: int = {self.d_model},\n        num_heads: int = {self.num_heads},"
        )
        return simplified(text.replace(ARGUMENTS, sizes, 1), ROOTS, OFFERED) + example.RUNS

    def _run(self, module: ModuleType, oracle: ModuleType) -> Any:
        """Builds the layer in the copy and runs it in every way that it will be used."""
        _without_requests()
        spec = module.Spec.parse(self.spec.expanded)
        settings = {**self.frame.settings(), "conv_on": self.frame.conv_on}
        frame = observed("layers.frame").Frame(**settings)
        for size in SIZES:
            module.SequenceLayer(spec, frame, *size)
        layer = module.SequenceLayer(spec, frame, example.D_MODEL, example.HEADS)
        for length in LENGTHS:
            for dtype in DTYPES:
                use(layer, length, dtype)
        use(layer, LONG, torch.float32)
        decode(layer)
        with torch.no_grad():
            stream, params = layer.regression(torch.randn(1, 5, example.D_MODEL))
            oracle.reference(layer.spec, stream.expanded(), params)
        return layer

    def _example(self) -> tuple[list[float], list[float]]:
        """Returns what the layer of the core answers to the example that stands in the file."""
        source = torch.Generator().manual_seed(0)
        layer = SequenceLayer(
            self.spec, self.frame, example.D_MODEL, example.HEADS, generator=source
        )
        with torch.no_grad():
            for p in layer.parameters():
                p.add_(example.NOISE * torch.randn(p.shape, generator=source))
        x = torch.randn(2, example.TOKENS, example.D_MODEL, generator=source).double()
        y = layer.double()(x.requires_grad_())
        (slope,) = torch.autograd.grad(y.square().sum(), x)
        return y[-1, -1].tolist(), slope[0, 0].tolist()


def _without_requests() -> None:
    """Has the copy solve without the checks of requests, which the file leaves out."""
    plain, door = (
        observed("tools.standalone.substitutes").regressed,
        vars(observed("solvers.api"))["run"],
    )
    for module in LOADED:
        if vars(module).get("run") is door and module.__name__ != door.__module__:
            vars(module)["run"] = plain


def _definitions(
    layer: Any, recorder: Recorder, module: ModuleType, oracle: ModuleType
) -> list[str]:
    """Returns the imports and all definitions of the file."""
    objects = {"SPEC": layer.spec, "FRAME": layer.frame, "SOLVER": layer.solver}
    if hasattr(layer.solver, "_chosen"):  # it hands each window on
        objects["WITHIN"] = layer.solver._chosen(layer.solver.narrowed(layer.spec))
    gates = vars(sys.modules[type(layer.signals).__module__])
    within = {n: z for n, z in gates.items() if isinstance(z, type(layer.spec))}
    solvers = {f"resolve({n})": f"{n}_SOLVER" for n in within}
    objects |= {f"{n}_SOLVER": observed("solvers.table").resolve(z) for n, z in within.items()}
    said = {} if within else _unrolled(layer.spec)
    reach = Gathering(recorder, objects, {**REPLACED, **solvers, **said}, KNOWN)
    reach.called[module.__name__, "SequenceLayer"] = "Layer"
    reach.called[oracle.__name__, "reference"] = "recurrence"
    reach.waiting.append((oracle, "reference"))
    reach.attributes |= {*OFFERED}
    reach.take_class(module.SequenceLayer)
    reach.settle()
    made = [f"{name} = {reach.construct(value)}" for name, value in objects.items()]
    parts = [*reach.written(), *reach.tables, "\n".join(made)]
    return [example.imports(reach.imports.values()), *parts]


def _unrolled(spec: Any) -> dict[str, str]:
    """Returns what a spec collects of its parts, by what collects it: part by part."""
    axes = [f.name for f in fields(spec)]
    signals = [f"*self.{axis}.signals" for axis in axes if getattr(spec, axis).signals]
    own = [axis for axis in axes if getattr(spec, axis).parameters(4, 4, 2)]
    parameters = [
        f'{{f"{axis}.{{name}}": value for name, value in '
        f"self.{axis}.parameters(key_dim, value_dim, heads).items()}}"
        for axis in own
    ]
    collected = {
        "signals": f"({', '.join(signals)},)" if signals else "()",
        "parameters": " | ".join(parameters) or "{}",
    }
    if not spec.comparisons():
        collected["comparisons"] = "{}"
    node: Any = text_of(sys.modules[type(spec).__module__]).defined["Spec"]
    methods = {n.name: n for n in node.body if isinstance(n, ast.FunctionDef)}
    return {ast.unparse(_returned(methods[name])): said for name, said in collected.items()}


def _returned(method: ast.FunctionDef) -> ast.expr:
    """Returns what a method returns at its end."""
    last = method.body[-1]
    assert isinstance(last, ast.Return) and last.value is not None
    return last.value
