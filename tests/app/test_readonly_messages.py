"""A read-only server keeps its store as it is, whatever a client that is no browser sends it."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import psutil
import pytest
from streamlit.proto.WidgetStates_pb2 import WidgetState

from experiments_db.read import listing, queries
from experiments_db.run.request import request
from experiments_db.store import open_store
from tests.app.messages import Shown, pressed, session
from tests.app.test_own_module_page import kept
from tests.servers import serving

SMALL = {
    "train.steps": 20, "train.lr": 0.01, "train.batch_size": 4, "train.eval_examples": 8,
    "task.pairs": 2, "task.seq_len": 16, "task.vocab_size": 64, "model.d_model": 8,
}  # fmt: skip
SWEPT = {"sweep.layers": "deltanet", **{f"sweep.{name}": value for name, value in SMALL.items()}}
LOGS = (".log", ".lock")


def asked(run_id: str) -> dict[str, str]:
    """Returns the address of each page that writes, where it has something to write."""
    return {
        "runs": urlencode({"run": run_id}),
        "explore": urlencode({"spec": "Uniform | Linear | SGD", "task": "mqar", **SMALL}),
        "sweep": urlencode(SWEPT),
        "map": "",
        "paper": "",
        "compare": urlencode({"compare.run": run_id}),
    }


def used(shown: Shown) -> list[WidgetState]:
    states = (pressed(one, kind, what) for one, (kind, what) in shown.widgets.items())
    return [state for state in states if state is not None]


def keyed(shown: Shown, *keys: str) -> list[WidgetState]:
    """Returns the states of the widgets with these keys alone, as if they were used."""
    return [state for state in used(shown) if state.id.endswith(tuple(f"-{k}" for k in keys))]


def prints(home: Path) -> dict[str, str]:
    """Returns what every file of a store is, by name."""
    files = [file for file in home.rglob("*") if file.is_file() and file.suffix not in LOGS]
    return {str(f.relative_to(home)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """Two folders with the same store, and its run."""
    first = tmp_path_factory.mktemp("writable")
    run_id = kept(first, request(layer="deltanet"), {})
    return first, Path(shutil.copytree(first, first.with_name("shown"))), run_id


@pytest.fixture(scope="module")
def seen(homes: tuple[Path, Path, str]) -> Iterator[dict[str, Shown]]:
    """What a server that may write offers on each page; then it is told to write, and does."""
    home, _, run_id = homes
    with serving(home) as (address, _):
        found = {}
        for page, query in asked(run_id).items():
            with session(address) as client:
                found[page] = client.ask(page, query)
        yield found


@pytest.mark.full_grid
def test_a_server_that_may_write_does_by_these_messages(
    homes: tuple[Path, Path, str], seen: dict[str, Shown]
) -> None:
    home, _, run_id = homes
    with serving(home) as (address, _):
        for page, keys in {
            "runs": (f"note.{run_id}", "act.Star", "act.Archive"),
            "explore": ("train",),
        }.items():
            query = asked(run_id)[page]
            with session(address) as client:
                shown = client.ask(page, query)
                states = keyed(shown, *keys)
                assert len(states) == len(keys), [one[-30:] for one in shown.widgets]
                for state in states:  # of several buttons at once the first one counts
                    client.ask(page, query, [state])
    store = open_store(home / "runs.duckdb")
    run = queries.run(store, run_id)
    assert run is not None
    assert (run["starred"], run["archived"], run["note"]) == (True, True, "sent by no browser")
    assert len(listing.runs(store, None, True)) == 2


@pytest.mark.full_grid
def test_a_read_only_server_writes_by_none(
    homes: tuple[Path, Path, str], seen: dict[str, Shown]
) -> None:
    _, home, run_id = homes
    before = prints(home)
    with serving(home, TTR_READONLY="1") as (address, pid):
        for page, query in asked(run_id).items():
            there = used(seen[page])
            with session(address) as client:
                own = client.ask(page, query)
                both = {state.id: state for state in (*there, *used(own))}
                assert len(both) >= 1 and not own.errors
                client.ask(page, query, both.values())
                for state in (
                    both.values() if page in ("runs", "sweep") else keyed(seen[page], "train")
                ):
                    client.ask(page, query, [state])
            assert prints(home) == before, page
        children = psutil.Process(pid).children(recursive=True)
        assert not [one for one in children if "experiments_db.run.worker" in one.cmdline()]
    assert prints(home) == before
