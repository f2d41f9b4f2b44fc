"""Shared by all tests. Helpers with logic live in tests/support and have tests of their own."""

import gc
import logging
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

# How long an example takes says what else the machine does.
settings.register_profile("lsmkv", deadline=None)
settings.load_profile("lsmkv")


def pytest_configure() -> None:
    """A shell's background job starts with Ctrl-C ignored, and then Python does not raise it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite",
        action="store_true",
        help="write the actual output of data-driven scripts into them; review the diff",
    )


@pytest.fixture
def rewrite(request: pytest.FixtureRequest) -> bool:
    """Whether scripts are to be rewritten: pass it on to datadriven.run_script."""
    return bool(request.config.getoption("--rewrite"))


@pytest.fixture
def quiet_log() -> Iterator[None]:
    """The engine rightly warns of every injected fault; thousands would drown what matters."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(autouse=True)
def nothing_left_of_earlier_tests(request: pytest.FixtureRequest) -> None:
    """Tests that compare `memory.usage()` before and after must not see garbage of others go."""
    function = getattr(request, "function", None)
    if function is not None and "usage" in function.__code__.co_names:
        gc.collect()
