"""A queue that many browsers share: where a run stands in it, and how many of each it takes."""

from __future__ import annotations

from typing import Any

import pytest

from experiments_db.run.jobs import Job
from experiments_db.run.room import EACH, IN_ALL, Room, room
from experiments_db.run.supervisor import Supervisor
from experiments_db.store import StoreError
from tests.batch.stand_in import StandIns
from ttr_core import RequestError


def ended(job: Job) -> Job:
    assert job.wait(20), job.snapshot()
    return job


def test_a_session_has_its_share_and_all_have_the_rest(fake: Any) -> None:
    with Supervisor(None, 1, StandIns(60.0, 0), room=Room(in_all=3, each=2)) as made:
        first, second = (made.start(fake(), record=False, session="one") for _ in range(2))
        with pytest.raises(RequestError, match=r"You have 2 runs .* takes 2 of each"):
            made.start(fake(), record=False, session="one")
        made.start(fake(), record=False, session="two")
        with pytest.raises(RequestError, match=r"3 runs wait or run .* takes 3 at a time"):
            made.start(fake(), record=False, session="three")
        assert len(made.jobs()) == 3, "what is refused leaves nothing behind"
        made.start(fake(), record=False)  # the command line: nobody's session
        second.cancel()
        first.cancel()
        assert ended(first).status == ended(second).status == "cancelled"
        made.start(fake(), record=False, session="one")


def test_a_run_knows_how_many_wait_before_it(fake: Any) -> None:
    with Supervisor(None, 1, StandIns(60.0, 0)) as made:
        running, first, second, third = (made.start(fake(), record=False) for _ in range(4))
        while running.status != "running":
            assert not running.wait(0.01)
        assert [made.before(job) for job in (running, first, second, third)] == [0, 0, 1, 2]
        first.cancel()
        assert [made.before(job) for job in (second, third)] == [0, 1]


def test_the_environment_says_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    assert room() == Room(None, None)
    monkeypatch.setenv(IN_ALL, " 40 ")
    monkeypatch.setenv(EACH, "4")
    assert room() == Room(in_all=40, each=4)


@pytest.mark.parametrize("said", ["0", "-1", "many", "1.5"])
def test_a_limit_that_is_none_is_said(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv(EACH, said)
    with pytest.raises(StoreError, match="TTR_SHARE is "):
        room()
