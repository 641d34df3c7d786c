"""The table of what the layers learn, printed at the end."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints a line for every layer, in order of their names."""
    rows = {
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport)
        for name, value in report.user_properties
        if name == "learned"
    }
    if rows:
        terminalreporter.section("what they learn: 8 pairs, published frame")
        for row in sorted(map(str, rows)):
            terminalreporter.write_line(row)
