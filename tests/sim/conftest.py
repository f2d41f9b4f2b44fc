"""For all tests of the simulator."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _quiet(quiet_log: None) -> None:
    """Every one of them injects faults."""
