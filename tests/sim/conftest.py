"""For all tests of the simulator."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """The engine rightly warns of every injected fault; thousands would drown what matters."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
