"""Clusters of processes that several tests talk to; who strikes nodes starts some of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.cluster.processes.local_cluster import LocalCluster

FIVE = {"a": "dc1", "b": "dc1", "c": "dc1", "d": "dc2", "e": "dc2"}


def running(path: object, layout: dict[str, str], replicas: dict[str, int]) -> LocalCluster:
    cluster = LocalCluster(path, replicas)  # type: ignore[arg-type]
    try:
        asyncio.run(cluster.start(layout))
    except BaseException as error:
        cluster.close()
        error.add_note(cluster.logs())
        raise
    return cluster


@pytest.fixture(scope="package")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A node that is alone."""
    cluster = running(tmp_path_factory.mktemp("one"), {"a": "dc1"}, {"dc1": 3})
    yield cluster
    cluster.close()


@pytest.fixture(scope="package")
def five(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """Three nodes and two, in two data centres."""
    cluster = running(tmp_path_factory.mktemp("five"), FIVE, {"dc1": 2, "dc2": 1})
    yield cluster
    cluster.close()
