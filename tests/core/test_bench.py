"""The benchmark times every solver; no timing ever fails a test."""

from __future__ import annotations

import pytest
import torch

from ttr_core.tools import bench, gpu

KEYS = {
    "name",
    "shape",
    "dtype",
    "device",
    "pass",
    "seconds",
    "peak_bytes",
    "ratio_to_sdpa",
    "ratio_to_loop",
}


def test_every_solver_is_timed() -> None:
    assert bench.uncovered() == set()


def test_rows_have_the_public_keys() -> None:
    small = (
        (
            (1, 1, 16, 4),
            ("Gate | Linear | SGD", "Gate | Linear | SGD by rank_one_scan"),
            "forward+backward",
        ),
    )
    seen: list[tuple[int, int]] = []
    report = bench.benchmark(
        lambda done, total, what: seen.append((done, total)), repeats=1, work=small
    )
    assert set(report) == {"machine", "rows"} and seen == [(0, 1), (1, 1)]
    assert [row["name"] for row in report["rows"]] == [
        "sdpa",
        "chunked_delta: Gate | Linear | SGD",
        "rank_one_scan: Gate | Linear | SGD",
    ]
    for row in report["rows"]:
        assert set(row) == KEYS and row["seconds"] > 0 and row["peak_bytes"] > 0
        assert row["ratio_to_sdpa"] > 0


def test_memory_held_at_once_is_counted() -> None:
    with bench.Watched() as held:
        a = torch.ones(1000)
        b = a + 1
        del a
        c = b * 2
    assert held.peak == 2 * c.numel() * 4


@pytest.mark.slow
def test_the_script_for_gpus_runs_without_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(["--device", "cpu", "--small"]) == 0
    said = capsys.readouterr().out
    assert "| deltanet |" in said and "| sdpa | [1, 2, 128, 16] | bfloat16 | 1.000 |" in said
