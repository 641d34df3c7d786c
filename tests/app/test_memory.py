"""What the server and the processes of queries use, together, while four people ask at once."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Page, expect

from experiments_db.store import open_store
from tests.app.browsing import LONG, Visit, settle
from tests.processes import descendants, proportional
from tests.store.many_runs import fill

RUNS, MOST = 5_000, 2 * 2**30

HUNGRY = {
    "texts": "length(repeat('x', 1500000000) || repeat('y', 1500000000)) > seed",
    "one long text": "(SELECT length(string_agg(repeat('x', 100000), ',')) FROM range(50000)) > 1",
    "a list": "(SELECT len(list(range)) FROM range(300000000)) > seed",
    "distinct texts": "(SELECT count(*) FROM (SELECT DISTINCT repeat(md5(range::VARCHAR), 50) "
    "FROM range(3000000))) > 1",
}


def serving() -> int:
    """Returns the process of the server that this one has started."""
    (pid,) = descendants(os.getpid(), "pages/_shared/server.py")
    return pid


class Watch:
    """The largest size of a process and its descendants for the duration of the block."""

    def __init__(self, pid: int) -> None:
        self._pid, self._done, self.most, self.children = pid, threading.Event(), 0, 0
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.is_set():
            sizes = [proportional(pid) for pid in [self._pid, *descendants(self._pid)]]
            self.most, self.children = (
                max(self.most, sum(sizes)),
                max(self.children, sum(sizes[1:])),
            )
            time.sleep(0.05)


def ask(page: Page, condition: str) -> None:
    """Asks in SQL as a person does, and does not wait for the answer."""
    box = page.get_by_role("textbox", name="Condition in SQL")
    box.fill(condition)
    box.press("Control+Enter")


@pytest.mark.slow
def test_four_tabs_that_ask_in_sql_at_once_stay_below_two_gigabytes(
    visit: Visit, server: str, server_home: Path
) -> None:
    fill(open_store(server_home / "runs.duckdb"), RUNS)
    with Watch(serving()) as watch:
        tabs = [visit("runs?" + urlencode({"runs.sql": "seed >= 0"})) for _ in HUNGRY]
        for page in tabs:
            expect(page.get_by_text("runs that match, newest first")).to_be_visible()
        quiet = watch.most
        for page, condition in zip(tabs, HUNGRY.values(), strict=True):
            ask(page, condition)
        for page in tabs:
            page.wait_for_timeout(500)
            settle(page)
            said = page.get_by_text("needs more memory").or_(page.get_by_text("was ended after"))
            expect(said.first).to_be_visible(timeout=LONG)
        for page in tabs:
            ask(page, "accuracy > 2")
        for page in tabs:
            expect(page.get_by_text("No run passes these filters.")).to_be_visible(timeout=LONG)
    print(
        f"\nfour tabs, a store of {RUNS} runs: {watch.most / 2**20:.0f} MB at most, of which "
        f"{watch.children / 2**20:.0f} MB in queries; {quiet / 2**20:.0f} MB before the hungry ones"
    )
    assert watch.children > 0
    assert watch.most < MOST
