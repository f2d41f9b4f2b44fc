"""The tools of Redis, as Debian has them, run against nodes: with time limits, and their words."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lsmkv_cluster.config.endpoints import Endpoint
from tests.cluster.processes.node_process import NodeProcess

__all__ = ["metrics", "needs_redis_tools", "redis_benchmark", "redis_cli"]

TOOL_S = 60.0  # they wait for ever where nobody answers

needs_redis_tools = pytest.mark.skipif(
    not (shutil.which("redis-cli") and shutil.which("redis-benchmark")),
    reason="redis-cli and redis-benchmark are missing (Debian: redis-tools)",
)


def _run(tool: str, at: Endpoint, *args: str) -> str:
    done = subprocess.run(
        [tool, "-h", at.host, "-p", str(at.port), *args],
        capture_output=True, text=True, timeout=TOOL_S, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, f"{tool} {args}: {done.stdout}{done.stderr}"
    assert "error" not in done.stderr.lower(), done.stderr
    return done.stdout


def redis_cli(at: Endpoint, *args: str) -> str:
    return _run("redis-cli", at, *args).rstrip("\n")


def redis_benchmark(at: Endpoint, *args: str) -> dict[str, float]:
    """Requests a second, by test."""
    text = _run("redis-benchmark", at, "--csv", *args)
    assert "ERR" not in text, text
    rows = [line.replace('"', "").split(",") for line in text.splitlines()]
    return {row[0]: float(row[1]) for row in rows[1:]}


def metrics(node: NodeProcess) -> Mapping[str, float]:
    """Samples by name, and "label=value" behind it where there are labels."""
    http = node.at.http
    with urlopen(f"http://{http.host}:{http.port}/metrics", timeout=TOOL_S) as page:
        text = page.read().decode()
    return {
        " ".join(
            [sample.name, *(f"{name}={value}" for name, value in sample.labels.items())]
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
