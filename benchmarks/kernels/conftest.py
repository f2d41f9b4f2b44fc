"""Builds the C loops once per session, and prints kernels beside their floors at its end."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from benchmarks.kernels.case import FULL
from benchmarks.kernels.cases import all_cases
from benchmarks.kernels.native import Native, build
from benchmarks.kernels.report import make_rows, render

MEASURED = pytest.StashKey[dict[str, float]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[MEASURED] = {}


@pytest.fixture(scope="session")
def native(tmp_path_factory: pytest.TempPathFactory) -> Native:
    return build(tmp_path_factory.mktemp("kernels"))


@pytest.fixture(scope="session")
def measured_ns(pytestconfig: pytest.Config) -> dict[str, float]:
    """Nanoseconds per operation by name, of the least disturbed round."""
    return pytestconfig.stash[MEASURED]


@pytest.hookimpl(wrapper=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> Generator[None, None, None]:
    """After pytest-benchmark's own tables."""
    yield
    measured = config.stash[MEASURED]
    rows = make_rows(all_cases(FULL), measured)
    if rows:
        terminalreporter.section("kernels and floors")
        terminalreporter.write_line(render(rows))
