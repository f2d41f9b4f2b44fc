"""What the tests of native modules share."""

from __future__ import annotations

import gc

import pytest


@pytest.fixture(autouse=True)
def nothing_left_of_earlier_tests(request: pytest.FixtureRequest) -> None:
    """Tests that compare `memory.usage()` before and after must not see garbage of others go."""
    function = getattr(request, "function", None)
    if function is not None and "usage" in function.__code__.co_names:
        gc.collect()
