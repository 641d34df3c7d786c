from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ttr_core as ttr
from experiments_db.run import request
from experiments_db.run.settings import parsed, split_names
from ttr_core.errors import IncompatibleSpec, LimitExceeded, RequestError, UnknownName
from ttr_core.lab import TASKS, Experiment, TrainConfig
from ttr_core.layers.model import ModelConfig
from ttr_core.space.option import options_of

SPEC = "Uniform | Linear | Exact(ridge=0.5)"
SMALL = ["pairs=2", "seq_len=16", "vocab_size=64", "d_model=16", "steps=3"]
ANY_LAYER = next(iter(ttr.catalog))


def test_defaults() -> None:
    layer, spec = request.request(layer=ANY_LAYER), request.request(spec=SPEC)
    assert (layer.model.frame, spec.model.frame) == ("published", "standard")
    assert (layer.layer, spec.layer) == (ANY_LAYER, None)
    assert layer.device in ("cpu", "cuda")


@pytest.mark.parametrize("name", ttr.catalog)
def test_every_published_layer_can_be_asked_for(name: str) -> None:
    config = request.request(layer=name, sets=SMALL).config()
    assert config["layer"] == name
    assert json.loads(json.dumps(config, allow_nan=False)) == config


@pytest.mark.parametrize("name", TASKS)
def test_every_task_can_be_asked_for(name: str) -> None:
    assert request.request(spec=SPEC, task=name).config()["task"]["name"] == name


@pytest.mark.parametrize(
    ("group", "cls"), [("train", TrainConfig), ("model", ModelConfig), ("task", TASKS["mqar"])]
)
def test_every_setting_can_be_set_to_its_default(group: str, cls: type) -> None:
    default = request.request(spec=SPEC)
    for opt in options_of(cls):
        if opt.name == "layers":
            continue
        text = {f"{group}.{opt.name}": getattr(getattr(default, group), opt.name)}
        assert request.request(spec=SPEC, sets=text).config() == default.config(), opt.name


def test_a_key_without_prefix_finds_its_group() -> None:
    experiment = request.request(spec=SPEC, sets=["pairs=4", "d_model=32", "lr=0.02", "ridge=2"])
    values = (experiment.task.pairs, experiment.model.d_model, experiment.train.lr)
    assert values == (4, 32, 0.02)
    assert experiment.model.layers == ("Uniform | Linear | Exact(ridge=2.0)",)


def test_a_changed_layer_is_not_the_published_one() -> None:
    name = next(n for n, e in ttr.catalog.items() if "ridge" in str(e.spec.expanded))
    changed = request.request(layer=name, frame="standard", sets=["layer.ridge=0.125"])
    assert changed.layer is None
    assert "ridge=0.125" in changed.config()["spec"]


def test_layers_can_be_mixed() -> None:
    two = list(ttr.catalog)[:2]
    experiment = request.request(layer=two[0], frame="standard", sets=[f"layers={','.join(two)}"])
    assert experiment.model.layers == tuple(two)
    assert experiment.layer is None
    assert experiment.model.depth >= 2, "every layer that was named is used"
    with pytest.raises(RequestError, match=r"model\.depth"):
        request.request(layer=two[0], sets=[f"layers={','.join(two)}", "depth=1"])
    with pytest.raises(UnknownName):
        request.request(layer=two[0], sets=[f"model.layers={two[0]},nonsense"])


def test_names_are_split_outside_parentheses() -> None:
    assert split_names(" a, B | C(x=1, y=D(z=2)) | E ,") == ("a", "B | C(x=1, y=D(z=2)) | E")


def test_settings_as_a_mapping_keep_their_values() -> None:
    assert parsed({"a": 1, "b": None, "c": True, "d": ("x", "y"), "e": 1e-3}) == {
        "a": "1", "b": "none", "c": "true", "d": "x, y", "e": "0.001",
    }  # fmt: skip


def test_the_hash_depends_on_what_defines_a_run_and_on_nothing_else() -> None:
    base = request.config_hash(request.request(spec=SPEC, sets=SMALL).config())
    same = request.request(spec="Uniform|Linear(map=identity)|Exact(ridge=.5)", sets=SMALL[::-1])
    assert request.config_hash(same.config()) == base
    timed = request.request(spec=SPEC, sets=[*SMALL, "train.seconds=9"])
    assert (timed.train.seconds, request.config_hash(timed.config())) == (9, base)
    for change in ({"seed": 1}, {"sets": [*SMALL, "depth=3"]}, {"frame": "paper"}):
        other = request.request(**{"spec": SPEC, "sets": SMALL, **change})
        assert request.config_hash(other.config()) != base


def test_a_config_comes_back() -> None:
    asked = request.request(layer=ANY_LAYER, sets=SMALL, seed=3)
    assert Experiment.from_config(asked.config()) == dataclasses.replace(
        asked, train=dataclasses.replace(asked.train, seconds=None)
    )


WRONG = {
    "no layer": ({}, "--layer NAME"),
    "both": ({"layer": ANY_LAYER, "spec": SPEC}, "both"),
    "layer": ({"layer": ANY_LAYER[:-1] + "x"}, ANY_LAYER),
    "task": ({"spec": SPEC, "task": "mqra"}, "'mqar'"),
    "frame": ({"spec": SPEC, "frame": "standart"}, "'standard'"),
    "device": ({"spec": SPEC, "device": "gpu"}, "cuda"),
    "seed": ({"spec": SPEC, "seed": -1}, "seed"),
    "ingredient": ({"spec": "Gate | Linaer | SGD"}, "'Linear'"),
    "fields": ({"spec": "Gate | Linear"}, "three fields"),
    "option": ({"spec": "Gate | Linear | SGD(resid=decayed)"}, "residual"),
    "key": ({"spec": SPEC, "sets": ["pars=3"]}, "task.pairs"),
    "prefixed key": ({"spec": SPEC, "sets": ["train.steeps=3"]}, "'steps'"),
    "no value": ({"spec": SPEC, "sets": ["pairs"]}, "key=value"),
    "type": ({"spec": SPEC, "sets": ["pairs=many"]}, "whole number"),
    "range": ({"spec": SPEC, "sets": ["pairs=0"]}, "from 1 to"),
    "layer option": ({"spec": SPEC, "sets": ["layer.ridge=-1"]}, "ridge"),
    "no frame of its own": ({"spec": SPEC, "frame": "published"}, "--frame standard"),
    "two layers": (
        {"spec": SPEC, "task": "recall", "sets": ["layers=mesa-layer,gla"]},
        "one layer",
    ),
    "slow": ({"spec": "Uniform | Linear | Exact(ridge=0)"}, "too slow to train"),
    "two frames": ({"spec": SPEC, "frame": "paper", "sets": ["model.frame=standard"]}, "disagree"),
    "unfit": ({"spec": SPEC, "sets": ["pairs=64", "seq_len=64"]}, "seq_len of at least"),
    "long text": ({"spec": "G" * 5000}, "2000"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_request_says_what_to_change(case: str) -> None:
    arguments, said = WRONG[case]
    with pytest.raises(RequestError) as error:
        request.request(**arguments)
    assert said in str(error.value)


def test_an_incompatible_spec_carries_reasons_and_alternatives() -> None:
    with pytest.raises(IncompatibleSpec) as error:
        request.request(spec="ExpKernel | Linear | SGD")
    assert error.value.objections
    for text in error.value.alternatives:
        assert ttr.Spec.parse(text).objections() == ()


def test_an_ambiguous_key_names_its_groups() -> None:
    with pytest.raises(RequestError, match=r"layer\.ridge or task\.ridge"):
        request.request(spec=SPEC, task="regression", sets=["ridge=1"])
    assert request.request(spec=SPEC, task="regression", sets=["layer.ridge=1"]).task.ridge is None


@pytest.mark.parametrize(
    "sets",
    [
        ["d_model=4096", "depth=64", "mlp=8"],
        ["batch_size=65536", "seq_len=65536", "pairs=64"],
        ["vocab_size=131072", "d_model=1024", "lr=auto"],
        ["vocab_size=131072", "d_model=4096"],
    ],
    ids=" ".join,
)
def test_sizes_are_refused_before_anything_is_allocated(sets: list[str]) -> None:
    with pytest.raises(LimitExceeded):
        request.request(spec="Gate | Linear | SGD", sets=sets)


KEYS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["pairs", "task.pairs", "train.lr", "layers", "model.layers", "ridge",
                     "layer.map", "lr", "frame", "d_model", "heads", "steps", "seq_len"]),
)  # fmt: skip
VALUES = st.one_of(
    st.text(max_size=12),
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(["auto", "none", "true", "gla,deltanet", "Gate | Linear | SGD", "1e999"]),
)
PIECES = st.sampled_from(
    [
        *"|(),=* '\"\\\n.-1e9",
        "Gate",
        "Linear",
        "SGD",
        "Exact",
        "ridge=",
        "map=",
        "loss=",
        "ﬁ",
        "None",
    ]
)


@settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
@given(sets=st.lists(st.tuples(KEYS, VALUES).map("=".join), max_size=3))
def test_any_settings_give_an_experiment_or_a_request_error(sets: list[str]) -> None:
    try:
        assert request.request(spec=SPEC, sets=sets).config()
    except RequestError as error:
        assert str(error)


@settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
@given(text=st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=14).map("".join)))
def test_any_spec_gives_an_experiment_or_a_request_error(text: str) -> None:
    try:
        assert request.request(spec=text).config()
    except RequestError as error:
        assert str(error)


@pytest.mark.parametrize("written", ["DeltaNet", "DELTANET", " deltanet "])
def test_a_name_as_papers_write_it_is_the_same_run(written: str) -> None:
    usual = request.request(layer="deltanet", task="mqar", sets=["pairs=4", "seq_len=64"])
    typed = request.request(layer=written, task="mqar", sets=["pairs=4", "seq_len=64"])
    assert typed.config() == usual.config()
    assert request.config_hash(typed.config()) == request.config_hash(usual.config())
