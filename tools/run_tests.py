"""Run the test suite and say at the end what was skipped and why.

All of it runs on every core, a file of tests on one of them; what is named runs here, in order.
With CI set a skipped test is a failure: there every tool is expected to be present.
"""

from __future__ import annotations

import os
import sys

import pytest

EVERYWHERE = ("-n", str(min(8, os.cpu_count() or 1)), "--dist", "loadfile")


class SkipReport:
    """Collects the reasons of skipped tests."""

    def __init__(self) -> None:
        self.reasons: dict[str, int] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and isinstance(report.longrepr, tuple | list):
            reason = str(report.longrepr[2]).removeprefix("Skipped: ")
            self.reasons[reason] = self.reasons.get(reason, 0) + 1


def main() -> int:
    skips = SkipReport()
    status = int(pytest.main(sys.argv[1:] or [*EVERYWHERE, "tests"], plugins=[skips]))
    for reason, count in sorted(skips.reasons.items()):
        print(f"not run ({count}): {reason}")
    if status == 0 and skips.reasons and os.environ.get("CI"):
        print("CI is set: what could not be run counts as a failure")
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
