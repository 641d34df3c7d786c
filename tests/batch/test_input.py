"""Whatever is typed ends in one sentence, before the first step of a training."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from typer.testing import CliRunner

import ttr_core as ttr
from experiments_db.__main__ import main
from experiments_db.cli import app, screen
from experiments_db.read import queries
from experiments_db.store import Outcome, Store, open_store
from tests.store.conftest import run_like

BIG, HUGE = "9" * 309, "9" * 5000
"""A whole number that no float holds, and one that Python reads from no text."""

HALF = "caf\udce9"
"""An argument that is not UTF-8, as Python hands it over."""

SECONDS = 20

RUN = ("run", "--layer", "deltanet")
PLAN = "layers: [deltanet]\ntasks: [mqar]\n"

REQUESTS = {
    "a step of 309 digits": ("run", "--spec", f"Uniform | Linear | SGD(step={BIG})"),
    "a step of 5000 digits": ("run", "--spec", f"Uniform | Linear | SGD(step={HUGE})"),
    "a step with a long exponent": ("run", "--spec", f"Uniform | Linear | SGD(step=1e{BIG})"),
    "a negative step": ("run", "--spec", f"Uniform | Linear | SGD(step=-{BIG})"),
    "a degree of 5000 digits": ("run", "--spec", f"Uniform | Linear(map=taylor{HUGE}) | SGD"),
    "half a letter in a spec": ("run", "--spec", f"Uniform | Linear | {HALF}"),
    "half a letter in a layer": ("run", "--layer", HALF),
    "half a letter in a task": (*RUN, "--task", HALF),
    "half a letter in a key": (*RUN, "--set", f"{HALF}=1"),
    "half a letter in a value": (*RUN, "--set", f"pairs={HALF}"),
    "digits of another script": (*RUN, "--set", "pairs=\uff14"),
    "pairs of 309 digits": (*RUN, "--set", f"pairs={BIG}"),
    "pairs of 5000 digits": (*RUN, "--set", f"pairs={HUGE}"),
    "a rate of 309 digits": (*RUN, "--set", f"train.lr={BIG}"),
    "a rate that is none": (*RUN, "--set", "train.lr=nan"),
    "a negative seed": (*RUN, "--seed", "-1"),
    "a seed of 309 digits": (*RUN, "--seed", BIG),
    "another name of cuda": (*RUN, "--device", "gpu"),
    "a long note": (*RUN, "--note", "x" * 20_001),
    "half a letter in a note": (*RUN, "--note", HALF),
    "half a letter in a tag": (*RUN, "--tag", HALF),
    "an empty tag": (*RUN, "--tag", ""),
    "a plan in a circle": ("sweep", "loop"),
    "a pipe for a plan": ("sweep", "pipe"),
    "a folder for a plan": ("sweep", "."),
    "a device for a plan": ("sweep", "/dev/zero"),
    "half a letter in a plan's name": ("sweep", HALF),
    "a long name of a plan": ("sweep", "x" * 300),
    "other digits for a plan": ("sweep", "plan.yaml", "--set", "seeds=\uff14"),
    "other digits for pairs": ("sweep", "plan.yaml", "--set", "pairs=\uff14"),
    "half a letter for a plan": ("sweep", "plan.yaml", "--set", f"layers={HALF}"),
    "a file in a circle": ("runs", "--output", "loop/x.csv"),
    "half a letter in a condition": ("runs", "--where", f"{HALF} = 1"),
    "a zero in a condition": ("runs", "--where", "a\x00b"),
    "an unknown column": ("runs", "--where", '"train.lrr" > 1'),
    "half a letter in an id": ("delete", HALF, "--yes"),
    "a letter that steers in an id": ("delete", "\x1b[2J", "--yes"),
    "half a letter in a comparison": ("compare", HALF, "x"),
    "a letter that steers in a comparison": ("compare", "\x1b[2J", "x"),
    "a zero in a path": ("restore", "a\x00b"),
    "no backup": ("restore", "nofile"),
    "nothing to import": ("import", "nofile"),
    "no trainings for the atlas": ("atlas", "--against", "nofile"),
    "a plan for trainings": ("atlas", "--against", "plan.yaml"),
    "an unknown command": ("layrs",),
    "a layer for a run": ("compare", "deltnet", "gla"),
    "a setting that looks like another": (*RUN, "--set", "pair=8"),
    "a limit of a module for a layer": (*RUN, "--memory", "3"),
    "patience with a layer": (*RUN, "--patience", "9"),
    "a standard run at one rate": (*RUN, "--set", "protocol=standard", "--set", "lr=0.1"),
    "a standard run in time": (
        *RUN, "--set", "protocol=standard", "--set", "lr=auto", "--set", "train.seconds=9",
    ),
    "a sample of none": ("sweep", "plan.yaml", "--set", "sample.count=0"),
    "a protocol that is none": ("sweep", "plan.yaml", "--set", "protocol=nosuch"),
}  # fmt: skip
"""What is wrong in itself: exit code 2."""

REFUSED = {
    "a store in a circle": ("runs", "--db", "loop"),
    "a pipe for a store": ("runs", "--db", "pipe"),
    "a folder for a store": ("runs", "--db", "."),
    "a device for a store": ("runs", "--db", "/dev/zero"),
    "a pipe for the doctor": ("doctor", "--db", "pipe"),
    "a circle for the doctor": ("doctor", "--db", "loop"),
    "a pipe for a run's store": (*RUN, "--db", "pipe"),
    "a circle for a run's store": (*RUN, "--db", "loop"),
    "nobody's home": ("runs", "--db", "~nobody-of-that-name/x"),
    "a name that is no text": ("runs", "--db", "\udcff.duckdb"),
    "no text for a run's store": (*RUN, "--db", "\udcff.duckdb"),
    "too deep for a run's store": (*RUN, "--db", "a/" * 1990 + "x"),
    "a backup into a circle": ("backup", "loop"),
    "a pipe for a backup": ("restore", "pipe"),
    "a circle for a backup": ("restore", "loop"),
    "a folder for a backup": ("restore", "."),
    "a device for a backup": ("restore", "/dev/zero"),
    "half a letter for a backup": ("restore", HALF),
    "a pipe to import": ("import", "pipe"),
    "a circle to import": ("import", "loop"),
}
"""What the store, the disk or the file refuses: exit code 1."""

RANGES = (
    "{from: 0, to: 1e308}", "{from: -1e308, to: 1e308}", "{from: 0, to: 1, step: 1e-308}",
    f"{{from: 0, to: {BIG}}}", f"{{from: 0, to: {HUGE}}}", f"[{BIG}]", "{from: 1, to: 0}",
    "{from: 0, to: 1e-320, step: 1e-323}", "{from: nan, to: 1}",
)  # fmt: skip
RATES = (
    "{from: 1e-320, to: 1e300, count: 5, scale: log}",
    "{from: 1e-308, to: 1e308, count: 10000, scale: log}",
    "{from: -1e308, to: 1e308, count: 3}",
)


@pytest.fixture(scope="module")
def odd_places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("odd")
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
    (folder / "plan.yaml").write_text(PLAN)
    return folder


@pytest.fixture(autouse=True)
def in_an_odd_place(
    odd_places: Path, fake_command: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Ends a command that hangs; its workers take no time."""
    monkeypatch.chdir(odd_places)
    monkeypatch.setenv("TTR_DB", str(odd_places / "runs.duckdb"))
    monkeypatch.setattr("experiments_db.run.process.COMMAND", fake_command)
    before = signal.signal(signal.SIGALRM, _hangs)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def _hangs(number: int, frame: Any) -> None:
    raise AssertionError(f"the command hangs: {SECONDS} s have passed")


def said(code: int, *arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    shown = f"{result.stdout}\n{result.stderr}\n{result.exception!r}"
    assert result.exit_code == code, shown
    assert isinstance(result.exception, SystemExit), "an error of ours, not one in words"
    assert "Traceback" not in result.stderr
    assert not set(map(chr, range(0x7F, 0xA0))) & set(result.stderr) and "\x1b" not in result.stderr
    assert result.stderr.strip(), "a word is due"
    assert queries.runs(open_store()).empty, "nothing has been run"
    return str(result.stderr)


@pytest.mark.parametrize("name", REQUESTS)
def test_a_wrong_request_ends_in_a_sentence(name: str) -> None:
    assert len(said(2, *REQUESTS[name])) < 4000


@pytest.mark.parametrize("condition", ['accuracy > 1 "', "accuracy >", "(", "1; SELECT 2"])
def test_what_is_wrong_with_a_condition_is_said_without_the_select_around_it(
    condition: str,
) -> None:
    (line,) = [x for x in said(2, "runs", "--where", condition).splitlines() if "--where" in x]
    assert "cannot be used. " in line and "LINE" not in line and "SELECT run_id" not in line


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_file_of_ours_ends_in_a_sentence(name: str) -> None:
    text = said(1, *REFUSED[name])
    assert len(text.strip().splitlines()) == 1 or "doctor" in name


@pytest.mark.parametrize("values", [*RANGES, *RATES])
def test_an_extreme_range_ends_in_a_sentence(values: str, odd_places: Path) -> None:
    key = "seeds: " if values in RANGES else "train: {lr: "
    plan = f"{PLAN}{key}{values}{'}' if values in RATES else ''}\n"
    (odd_places / "extreme.yaml").write_text(plan)
    text = said(2, "sweep", "extreme.yaml", "--dry-run")
    assert "extreme.yaml" in text and len(text) < 4000


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("Did you mean 'cuda'?", REQUESTS["another name of cuda"]),
        ("A note may have 20000 characters, not 20001.", REQUESTS["a long note"]),
        ("There is no file", REQUESTS["no backup"]),
        ("nofile", REQUESTS["no backup"]),
        ("is a pipe or a device, not a store", REFUSED["a pipe for a store"]),
        ("Unknown command 'layrs'. Did you mean 'layers'? Valid:", REQUESTS["an unknown command"]),
        ("It looks like the layer deltanet", REQUESTS["a layer for a run"]),
        ("Did you mean task.pairs? Valid:", REQUESTS["a setting that looks like another"]),
        ('Did you mean "train.lr"', REQUESTS["an unknown column"]),
        ("pairs is '\uff14'; it must be a whole number", REQUESTS["digits of another script"]),
        ("--memory 3 is a limit of a module: give", REQUESTS["a limit of a module for a layer"]),
        ("seed is '-1'; it must be greater than or equal to 0.", REQUESTS["a negative seed"]),
        ("sample.count is '0'; it must be greater", REQUESTS["a sample of none"]),
        ("give train.lr=auto, or train.protocol=quick", REQUESTS["a standard run at one rate"]),
        ("give train.seconds=none, or", REQUESTS["a standard run in time"]),
        ("train.lr is 'nan'; it must be auto or a number", REQUESTS["a rate that is none"]),
        ("Unknown value of model.frame 'papr'. Did you mean", (*RUN, "--frame", "papr")),
        ("protocol is 'nosuch'; it must be 'quick',", REQUESTS["a protocol that is none"]),
    ],
)  # fmt: skip
def test_the_sentence_says_what_to_do(words: str, arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, list(arguments))
    assert words in result.stderr


def test_a_model_of_an_unknown_layer_names_the_nearest() -> None:
    with pytest.raises(ttr.RequestError, match=r"Unknown layer 'delta'\. Did you mean 'deltanet'"):
        ttr.ModelConfig(layers=("delta",))
    assert ttr.ModelConfig(layers=("Gated_DeltaNet",)).layers == ("gated-deltanet",)


# ---- numbers of options

FLOATS = [
    (command.callback.__name__, f"--{name}")
    for command in app.registered_commands
    if command.callback is not None
    for name, kind in get_type_hints(command.callback).items()
    if kind == float | None
]


@pytest.mark.parametrize(("name", "option"), FLOATS)
@pytest.mark.parametrize("number", ["nan", "inf", "1e300"])
def test_no_number_of_an_option_is_without_bounds(name: str, option: str, number: str) -> None:
    """A clock, a limit of the system or a count of bytes takes none that is too large."""
    result = CliRunner().invoke(app, [name, "--help"])
    file = ["plan.yaml"] if "PLAN.yaml" in result.stdout else []
    result = CliRunner().invoke(app, [name, *file, option, number])
    assert result.exit_code == 2 and f"for '{option}'" in result.stderr, result.output


# ---- what reaches a terminal

HOSTILE = "\x1b]0;owned\x07 \x9b2J \u202egpj.exe \x7f\x00"


def test_what_others_wrote_does_not_steer_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTR_DB", str(tmp_path / "runs.duckdb"))
    store = open_store()
    with store.driver() as driver:
        run_id = str(store.claim(driver, run_like(tags=[HOSTILE], spec=HOSTILE)).run_id)
        store.finish(run_id, Outcome("failed", error=HOSTILE))
    store.set_note([run_id], HOSTILE)
    for arguments in (("runs",), ("runs", "--json"), ("runs", "--group", "--json")):
        result = CliRunner().invoke(app, list(arguments))
        assert result.exit_code == 0, result.stderr
        assert not screen.UNSEEN.search(result.stdout), arguments
    (row,) = json.loads(CliRunner().invoke(app, ["runs", "--json"]).stdout)
    assert (row["note"], row["tags"]) == (HOSTILE, [HOSTILE]), "a reader of JSON gets it whole"
    deleted = CliRunner().invoke(app, ["delete", run_id, "--yes"])
    assert "deleted" in deleted.stderr and not screen.UNSEEN.search(deleted.stderr)


# ---- a run that another process is making


def elsewhere(store: Store) -> tuple[Any, str]:
    """Returns another process's driver (as far as the store can tell) and its run."""
    from experiments_db.run import outcomes
    from experiments_db.run.request import request

    driver = store.driver()
    experiment = request(layer="deltanet", sets={"pairs": 2, "steps": 3}, device="cpu")
    run = outcomes.new_run(experiment, experiment.config(), ())
    return driver, str(store.claim(driver, run).run_id)


ASKED = (*RUN, "--set", "pairs=2", "--set", "steps=3", "--device", "cpu", "--json")


def test_a_run_that_is_made_elsewhere_is_said_with_a_code_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTR_DB", str(tmp_path / "runs.duckdb"))
    driver, run_id = elsewhere(open_store())
    with driver:
        result = CliRunner().invoke(app, [*ASKED, "--no-wait"])
    assert result.exit_code == 3, result.stderr
    assert f"Process {os.getpid()}" in result.stderr and "--no-wait" in result.stderr
    document = json.loads(result.stdout)
    assert (document["run_id"], document["status"], document["existing"]) == (
        run_id,
        "running",
        True,
    )


@pytest.mark.parametrize("ending", ["finished", "gone"])
def test_a_run_that_is_made_elsewhere_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    """It is reported when it ends; where its process goes, it is made here."""
    monkeypatch.setenv("TTR_DB", str(tmp_path / "runs.duckdb"))
    monkeypatch.setattr("experiments_db.store.store.INTERVAL", 0.0)
    store = open_store()
    driver, run_id = elsewhere(store)
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 2:
            if ending == "finished":
                store.finish(run_id, Outcome("finished", {"accuracy": 0.75}))
            driver.close()

    monkeypatch.setattr("experiments_db.cli.waiting.sleep", sleep)
    result = CliRunner().invoke(app, list(ASKED))
    assert result.exit_code == 0, result.stderr
    assert f"waiting for run {run_id}" in result.stderr
    document = json.loads(result.stdout)
    assert (document["run_id"] == run_id) == (ending == "finished")
    assert document["metrics"]["accuracy"] == (0.75 if ending == "finished" else 0.5)


def test_a_command_whose_output_is_closed_ends_as_it_should(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["batch.py", "runs"])
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code and sys.stdout is not None
    sys.stdout.close()
