"""Threads of every kind, forks, the collector and second openers at once, and an end in the middle
of it: clean refusals only, nothing acknowledged lost.

A slice of `python -m tests.soak races`. Pairs of calls one by one: test_threads.py,
test_lifetimes.py, test_processes.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak import races


@pytest.mark.slow
@pytest.mark.parametrize("case", [1, 4])
def test_everything_at_once(case: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(races, "SECONDS", 0.3)
    counts = races.run_case(case, tmp_path)
    assert counts["refusals"] > 0
    assert counts["writes"] > 0
