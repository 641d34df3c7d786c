"""What a user of the library types first: texts for specs, names as papers write them, reprs."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch

import ttr_core as ttr
from ttr_core.errors import RequestError, UnknownName, nearest

TEXT = "Uniform | Linear | SGD"
TAKES_SPEC = [
    name
    for name in ttr.__all__
    if inspect.isfunction(getattr(ttr, name))
    and "spec" in inspect.signature(getattr(ttr, name)).parameters
]


def arguments(function: Callable[..., Any], spec: Any) -> dict[str, Any]:
    """Returns what a function needs beside its spec."""
    q, k, v = torch.nn.functional.normalize(torch.randn(3, 1, 2, 6, 4), dim=-1).unbind(0)
    stream = ttr.Stream(q, k, v, {"step": torch.full((1, 2, 6, 1), 0.5)})
    known = {"spec": spec, "stream": stream, "key_dim": 4, "value_dim": 4, "length": 6}
    wanted = inspect.signature(function).parameters.values()
    return {p.name: known[p.name] for p in wanted if p.name in known}


def said(value: Any) -> str:
    return str(value.tolist()) if isinstance(value, torch.Tensor) else repr(value)


def test_every_function_of_a_spec_is_found() -> None:
    assert {"solve", "prefill", "describe", "resolve", "explain", "cell"} <= {*TAKES_SPEC}


@pytest.mark.parametrize("name", TAKES_SPEC)
def test_a_text_is_as_good_as_a_spec(name: str) -> None:
    function = getattr(ttr, name)
    torch.manual_seed(0)
    by_spec = function(**arguments(function, ttr.Spec.parse(TEXT)))
    torch.manual_seed(0)
    by_text = function(**arguments(function, TEXT))
    assert said(by_text) == said(by_spec)


@pytest.mark.parametrize("name", TAKES_SPEC)
@pytest.mark.parametrize("wrong", ["deltanet", "", 3, None, "Uniform | Linear"])
def test_what_is_no_spec_is_refused_in_words(name: str, wrong: Any) -> None:
    function = getattr(ttr, name)
    with pytest.raises(RequestError, match="weights \\| function \\| optimizer"):
        function(**arguments(function, wrong))


def test_an_unknown_ingredient_in_a_text_gets_the_nearest_name() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'SGD'"):
        ttr.resolve("Uniform | Linear | SGDD")


@pytest.mark.parametrize("frame", [n for n, frame in ttr.FRAMES.items() if frame])
def test_a_spec_makes_a_layer_in_a_named_frame(frame: str) -> None:
    spec = ttr.Spec.parse(TEXT)
    made = spec.layer(d_model=8, num_heads=2, frame=frame)
    assert made.frame == ttr.FRAMES[frame] and made.spec == spec
    assert made(torch.randn(2, 5, 8)).shape == (2, 5, 8)
    by_text = ttr.SequenceLayer(TEXT, frame, d_model=8, num_heads=2)
    assert repr(by_text) == repr(made)
    assert f"{spec}, frame={frame}" in repr(made)


def test_a_spec_has_no_published_frame() -> None:
    with pytest.raises(RequestError, match=r"ttr.catalog\[NAME\].layer\(\)"):
        ttr.Spec.parse(TEXT).layer(8, frame="published")
    with pytest.raises(UnknownName, match="Did you mean 'standard'"):
        ttr.Spec.parse(TEXT).layer(8, frame="standart")
    with pytest.raises(ttr.NoFastSolver):
        ttr.Spec.parse("Uniform | Linear | Exact(ridge=0)").layer(8)


@pytest.mark.parametrize("name", ttr.catalog)
def test_a_published_layer_shows_its_spec_and_its_frame(name: str) -> None:
    entry = ttr.catalog[name]
    shown = repr(entry.layer(d_model=16, num_heads=2))
    named = [known for known, frame in ttr.FRAMES.items() if frame == entry.frame]
    assert f"{entry.spec}, frame={named[0] if named else entry.frame.short}" in shown
    settings = entry.frame.short.removeprefix("Frame(").removesuffix(")")
    assert eval(f"ttr.Frame({settings})", {"ttr": ttr}) == entry.frame


def spellings(name: str) -> list[str]:
    return [name, name.upper(), name.replace("-", "_").title(), name.replace("-", " ") + " "]


@pytest.mark.parametrize("name", ttr.catalog)
def test_a_name_is_found_as_papers_write_it(name: str) -> None:
    for written in spellings(name):
        assert written in ttr.catalog
        assert ttr.catalog[written].name == name


def test_the_catalog_shows_itself_and_still_refuses() -> None:
    assert str(len(ttr.catalog)) in repr(ttr.catalog) and next(iter(ttr.catalog)) in repr(
        ttr.catalog
    )
    assert "delta" not in ttr.catalog and None not in ttr.catalog
    with pytest.raises(UnknownName, match="deltanet"):
        ttr.catalog["delta"]


def test_of_many_names_it_is_said_how_many_are_not_written_out() -> None:
    names = [f"name{i}" for i in range(100)]
    said = str(UnknownName("name", "zzz", names))
    written = said.partition("Valid: ")[2].partition(" and ")[0].split(", ")
    assert written == names[: len(written)] and f"and {100 - len(written)} more" in said
    near = str(UnknownName("name", "name7x", names))
    assert "Did you mean 'name7'" in near and "and 80 more" in near and len(near) < len(said)
    assert "There is no option of Gate" in str(UnknownName("option of Gate", "rate", []))


def test_what_is_near_looks_like_it_or_is_what_it_shortens() -> None:
    assert nearest("rate", ["frame", "trainer", "least_rate"]) == ("least_rate",)
    assert nearest("mop", ["map", "loss"]) == ("map",)
    assert nearest("pair", ["trainer", "pairs"]) == ("pairs",)
    assert nearest("lin-attn", ["linear-attention", "lact"]) == ("linear-attention",)


def test_the_lab_is_loaded_when_asked_for() -> None:
    asks = (
        "import sys, ttr_core as ttr\n"
        "assert ttr.describe('Decay | Linear | Hebbian').same_as\n"
        "assert 'torch._dynamo' not in sys.modules, 'a second of imports for a description'\n"
        "assert not any(name.startswith('ttr_core.lab') for name in sys.modules)\n"
        "assert {'train', 'task', 'TASKS'} <= {*dir(ttr)}\n"
        "assert 'mqar' in ttr.TASKS and ttr.train.__module__.startswith('ttr_core.lab')\n"
        "print(ttr.task('mqar', {'pairs': 4}).pairs)"
    )
    done = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "4"
    with pytest.raises(AttributeError, match="no attribute 'trains'"):
        ttr.trains  # noqa: B018


def test_training_has_defaults() -> None:
    model = ttr.ModelConfig(layers=(TEXT,), d_model=8)
    started = next(iter(ttr.train(ttr.task("mqar", {"pairs": 2, "seq_len": 16}), model)))
    assert started.to_dict()["steps"] == ttr.TrainConfig().steps


def test_train_yields_events() -> None:
    model = ttr.ModelConfig(layers=("DeltaNet",), d_model=8)
    events = [
        *ttr.train(ttr.task("mqar", {"pairs": 2, "seq_len": 16}), model, ttr.TrainConfig(steps=2))
    ]
    assert type(events[-1]).__name__ == "Finished"
