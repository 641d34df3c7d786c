"""A sweep in a thread of a server: it ends, holds, goes on, and is stopped."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import pytest

from experiments_db.read import queries
from experiments_db.run.room import Room
from experiments_db.run.supervisor import Supervisor
from experiments_db.store import Store
from experiments_db.sweeps import Served, expanded, of_text, preview

PLAN = """
layers: [deltanet, linear-attention]
tasks: [{name: mqar, pairs: 2, seq_len: 16, vocab_size: 64}]
seeds: [0, 1]
"""
pytestmark = pytest.mark.usefixtures("prompt")


@pytest.fixture
def served(store: Store, supervisor: Callable[..., Supervisor]) -> Callable[[], Served]:
    def start() -> Served:
        ahead = preview(store, expanded(*of_text(PLAN)), jobs=1)
        return Served(store, supervisor(), ahead, ("mine",))

    return start


def until(met: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_runs_what_is_open_and_no_more(
    served: Callable[[], Served], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_STEPS", "2")
    monkeypatch.setenv("FAKE_BY_SEED", '{"1": "request"}')
    one = served()
    assert one.wait(60) and not one.failed
    ended = [end.status for end in one.ended().values()]
    assert sorted(ended) == ["failed"] * 2 + ["finished"] * 2
    again = served()  # as after a restart of the server
    assert again.wait(60) and len(again.ended()) == 2
    assert len(queries.runs(store)) == 4 + 2


def test_it_holds_goes_on_and_stops(
    served: Callable[[], Served], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_STEPS", "20")
    one = served()
    until(lambda: bool(one.running()))
    one.hold()
    until(lambda: len(one.ended()) == 2)  # what was handed out
    time.sleep(0.6)  # two looks of it
    assert len(one.ended()) == 2 and one.held and not one.over and not one.running()
    one.resume()
    until(lambda: bool(one.running()))
    one.stop()
    assert one.wait(60) and one.stopped
    assert Counter(queries.runs(store)["status"]) == {"finished": 2, "cancelled": 1}


def test_it_waits_for_the_share_of_its_session(
    supervisor: Callable[..., Supervisor], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_STEPS", "2")
    server = supervisor(room=Room(each=1))
    ahead = preview(store, expanded(*of_text(PLAN)), jobs=1)
    one, most = Served(store, server, ahead, ("mine",), session="somebody"), 0
    while not one.wait(0.01):
        most = max(most, sum(not job.ended for job in server.jobs()))
    assert most == 1 and not one.failed
    assert list(queries.runs(store)["status"]) == ["finished"] * 4


def test_it_ends_with_its_server(
    served: Callable[[], Served], supervisor: Callable[..., Supervisor], store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("FAKE_STEPS", "50")
    server = supervisor()
    one = Served(store, server, preview(store, expanded(*of_text(PLAN)), jobs=1))
    until(lambda: bool(one.running()))
    server.close()
    assert one.wait(60)
