"""The benchmark times every solver; no timing ever fails a test."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import ttr_core as ttr
from ttr_core.lab import devices
from ttr_core.limits import Shape
from ttr_core.space.spec import triples
from ttr_core.tools import bench, gpu, held_table, rates
from ttr_core.tools.bench import Match, Row
from ttr_core.tools.contenders import TimedSolve, contender
from ttr_core.tools.held import Watched

KEYS = {*Row.__dataclass_fields__, "pass"} - {"passes"}
SPEC = "Gate | Linear | SGD"


@pytest.fixture(autouse=True)
def small_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(rates.SQUARE, "cpu", 8)


def test_every_solver_is_timed() -> None:
    assert bench.uncovered() == set()


def test_every_text_of_the_work_is_a_contender_with_a_size_that_memory_would_do_for() -> None:
    for one in bench.WORK:
        setting = bench.Passes(backward="backward" in one.passes)
        for text in one.names:
            assert all(0 < contender(text).needs(size, setting) < 2**33 for size in one.sizes)


def test_rows_have_the_public_keys() -> None:
    small = (Match(((1, 1, 16, 4),), ("sdpa", SPEC, f"{SPEC} by rank_one_scan")),)
    seen: list[tuple[int, int]] = []
    report = bench.benchmark(
        lambda done, total, what: seen.append((done, total)), repeats=1, work=small
    )
    assert set(report) == {"machine", "rows"} and seen == [(0, 1), (1, 1)]
    assert report["machine"]["threads"] == 1 and report["machine"]["flops_per_second"] > 0
    assert [row["name"] for row in report["rows"]] == [
        "sdpa",
        f"chunked_delta: {SPEC}",
        f"rank_one_scan: {SPEC}",
    ]
    for row in report["rows"]:
        assert set(row) == KEYS and row["seconds"] > 0 and row["peak_bytes"] > 0
        assert row["ratio_to_sdpa"] > 0 and row["skipped"] is None


def test_ratios_growth_memory_and_products_are_those_of_the_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spent = iter([1.0, 3.0, 6.0, 2.0, 12.0, 60.0])  # at 8 tokens, then at 64
    monkeypatch.setattr(bench, "product_rate", lambda device, dtype: 1000.0)
    monkeypatch.setattr(bench, "seconds", lambda call, device: next(spent))
    monkeypatch.setattr(bench, "peak_bytes", lambda call, device: 2560)
    monkeypatch.setattr(bench, "product_count", lambda call: 1500)
    linear = "Uniform | Linear | Hebbian"
    work = (Match(((1, 1, 8, 4), (1, 1, 64, 4)), (linear, SPEC, f"{SPEC} by rank_one_scan")),)
    rows = bench.benchmark(repeats=1, work=work)["rows"]
    assert [row["growth"] for row in rows] == [None, None, None, 2.0, 4.0, 10.0]
    assert [row["ratio_to_linear"] for row in rows] == [1.0, 3.0, 6.0, 1.0, 6.0, 30.0]
    assert [row["ratio_to_loop"] for row in rows] == [None, 2.0, None, None, 5.0, None]
    assert [row["products"] for row in rows[:2]] == [1.5, 0.5]
    assert rows[0]["memory"] == 2560 / (4 * 8 * 4 * 4)  # q, k, v and y


@pytest.mark.parametrize("text", ["linear-attention in standard", "ExpKernel | Affine | Exact"])
def test_layers_and_solves_are_timed_forward_and_backward(text: str) -> None:
    (row,) = bench.benchmark(repeats=1, work=(Match(((1, 1, 16, 4),), (text,)),))["rows"]
    assert row["seconds"] > 0 and row["products"] > 0 and row["memory"] > 0


class TestWithoutMemory:
    """A row that memory does not suffice for says so; the others are measured."""

    WORK = (Match(((1, 1, 16, 4),), ("sdpa", SPEC, "Uniform | Linear | Hebbian")),)

    def rows(self) -> tuple[dict[str, object], dict[str, object]]:
        attention, short, plain = bench.benchmark(repeats=2, work=self.WORK)["rows"]
        assert attention["skipped"] is None and attention["seconds"]
        return short, plain

    def test_what_is_known_before_is_not_allocated(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked = contender(SPEC).needs((1, 1, 16, 4), bench.Passes())
        other = contender("Uniform | Linear | Hebbian").needs((1, 1, 16, 4), bench.Passes())
        assert other < asked
        monkeypatch.setattr(bench, "memory_left", lambda device: int(other))
        built = []
        forward = TimedSolve.forward

        def noted(self, *given):  # type: ignore[no-untyped-def]
            built.append(self.text)
            return forward(self, *given)

        monkeypatch.setattr(TimedSolve, "forward", noted)
        short, plain = self.rows()
        assert built == ["Uniform | Linear | Hebbian"] and plain["seconds"]
        assert short["seconds"] is None and short["peak_bytes"] is None
        said = str(short["skipped"])
        assert said.startswith("skipped: needs about") and "GiB" in said

    @pytest.mark.parametrize("error", [MemoryError("no room"), torch.OutOfMemoryError("no room")])
    def test_what_runs_out_is_said(self, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
        solve = TimedSolve.forward

        def forward(self, *given):  # type: ignore[no-untyped-def]
            found, leaves = solve(self, *given)
            return (found if self.text != SPEC else fails), leaves

        def fails() -> None:
            raise error

        monkeypatch.setattr(TimedSolve, "forward", forward)
        short, plain = self.rows()
        assert plain["seconds"] and short["seconds"] is None
        assert short["skipped"] == "skipped: memory ran out: no room"

    def test_what_a_solver_refuses_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("ttr_core.limits.MAX_BYTES", 20_000)
        short, plain = self.rows()
        assert plain["skipped"] is None and "T=" in str(short["skipped"])

    def test_other_errors_are_not_hidden(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def forward(self, *given):  # type: ignore[no-untyped-def]
            raise RuntimeError("a fault")

        monkeypatch.setattr(TimedSolve, "forward", forward)
        with pytest.raises(RuntimeError, match="a fault"):
            self.rows()


def test_free_memory_is_read_where_linux_tells_it(tmp_path: Path) -> None:
    told = tmp_path / "meminfo"
    told.write_text("MemTotal:  100 kB\nMemAvailable:   70 kB\n")
    assert devices.memory_left("cpu", told) == 70 * 1024
    told.write_text("MemTotal:  100 kB\n")
    assert devices.memory_left("cpu", told) is None


def test_memory_held_at_once_is_counted() -> None:
    with Watched() as held:
        a = torch.ones(1000)
        b = a + 1
        del a
        c = b * 2
    assert held.peak == 2 * c.numel() * 4


def test_the_table_of_memory_has_every_solver_that_a_cell_of_the_grid_takes() -> None:
    subjects = held_table.tried_specs()
    wanted = {ttr.resolve(s).name for s in triples() if not s.objections()} - {"reference"}
    assert {ttr.resolve(spec).name for spec in subjects} >= wanted
    assert len(set(subjects)) == len(subjects)


def test_a_row_of_memory_is_measured_or_says_that_it_is_too_much_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    specs = [ttr.Spec.parse(text) for text in (SPEC, "Uniform | Linear | Hebbian")]
    few = ttr.resolve(specs[1]).estimate(specs[1], Shape(1, 1, 64, 64, 64, 64)).flops
    monkeypatch.setattr(held_table, "MOST", few)
    left_out, plain = held_table.held_by(specs, 64)
    assert left_out.forward is None and not left_out.fine and plain.forward
    assert plain.both and plain.both > plain.forward > 0.25  # the outputs alone are a quarter
    assert replace(plain, forward=2.0, both=6.0).fine
    assert not replace(plain, forward=2.1, both=6.0).fine
    assert not replace(plain, forward=2.0, both=6.1).fine


@pytest.mark.parametrize("batch", [(), (7,)])
def test_products_added_in_place_are_counted(batch: tuple[int, ...]) -> None:
    total, a, b = torch.zeros(*batch, 4, 5), torch.ones(*batch, 4, 3), torch.ones(*batch, 3, 5)
    add = total.baddbmm_ if batch else total.addmm_
    assert rates.product_count(lambda: add(a, b)) == 2 * (7 if batch else 1) * 4 * 3 * 5


@pytest.mark.slow
def test_the_script_for_gpus_runs_without_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--device", "cpu", "--small"]) == 0
    said = capsys.readouterr().out
    assert "| deltanet |" in said and "| sdpa | [1, 2, 128, 16] | bfloat16 | 1.000 |" in said


def test_no_time_is_zero_where_the_clock_ticks_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(rates.time, "process_time", lambda: len(calls) // 5 * 0.01)
    assert rates.seconds(lambda: calls.append(0), "cpu") == pytest.approx(0.01 / 5)
    assert len(calls) == 5
