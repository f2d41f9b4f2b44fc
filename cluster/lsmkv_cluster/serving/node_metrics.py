"""What is measured of a process, as a page for Prometheus."""

from __future__ import annotations

import resource
from collections.abc import Iterator

from lsmkv_cluster.serving.client_ports import ClientPorts
from lsmkv_cluster.serving.http_port import Page
from lsmkv_cluster.serving.local_node import is_serving
from lsmkv_cluster.serving.metrics import (
    CONTENT_TYPE,
    Family,
    Kind,
    counter,
    exposition,
    gauge,
)
from lsmkv_cluster.serving.reports import incomplete_count
from lsmkv_cluster.serving.running_node import RunningNode
from lsmkv_cluster.swim.member_status import Status

__all__ = ["families", "metrics_page"]

ENGINE_COUNTERS = frozenset(
    {
        "flushes", "flushed_bytes", "compactions", "moves", "compacted_bytes_read",
        "compacted_bytes_written", "stall_seconds", "delay_seconds", "put_count", "delete_count",
        "get_count", "batch_count", "sync_count", "bytes_written", "bytes_read", "block_reads",
        "bloom_skips", "cache_hits", "cache_misses", "cache_insertions", "cache_evictions",
        "row_cache_hits", "row_cache_misses", "row_cache_evictions",
    }
)  # fmt: skip


def metrics_page(running: RunningNode, clients: ClientPorts) -> Page:
    found = [*families(running, clients)]
    return Page(exposition(found).encode(), CONTENT_TYPE)


def families(running: RunningNode, clients: ClientPorts) -> Iterator[Family]:
    yield from _of_clients(clients)
    yield from _of_cluster(running)
    yield from _of_store(running)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = usage.ru_utime + usage.ru_stime
    yield counter("lsmkv_process_cpu_seconds_total", "Processor time used.", cpu_s)
    yield gauge("lsmkv_process_memory_peak_bytes", "Most memory held.", usage.ru_maxrss * 1024)


def _of_clients(clients: ClientPorts) -> Iterator[Family]:
    statistics, port, express = clients.executor.statistics, clients.port, clients.express
    served = express.served if express is not None else 0
    yield gauge("lsmkv_connections", "Clients that are connected.", len(port.connections))
    yield counter("lsmkv_connections_total", "Clients that have connected.", statistics.connections)
    yield counter("lsmkv_connections_refused_total", "Clients that were too many.", port.refused)
    yield counter(
        "lsmkv_connections_given_up_total", "Clients that were too slow or silent.",
        port.disconnected_slow,
    )  # fmt: skip
    yield counter(
        "lsmkv_commands_total", "Commands begun, the plain ones among them.",
        statistics.commands + served,
    )  # fmt: skip
    yield counter("lsmkv_commands_plain_total", "GET and SET that took the short way.", served)
    yield counter(
        "lsmkv_commands_proxied_total", "Commands of cluster clients for keys of other nodes.",
        statistics.proxied,
    )  # fmt: skip
    yield Family(
        "lsmkv_errors_total", Kind.COUNTER, "Errors that clients were told, by kind.",
        tuple(({"kind": kind}, count) for kind, count in sorted(statistics.errors.items())),
    )  # fmt: skip
    yield gauge("lsmkv_output_unread_bytes", "Replies that wait to be read.", port.output_size)


def _of_cluster(running: RunningNode) -> Iterator[Family]:
    node = running.node
    topology, parts = node.topology, node.parts
    yield gauge("lsmkv_serving", "Whether the start of the node is over.", is_serving(node))
    yield gauge("lsmkv_epoch", "Of the topology that the node follows.", topology.epoch)
    yield gauge("lsmkv_partitions_kept", "Copies here.", len(topology.kept_by(node.me)))
    yield gauge(
        "lsmkv_partitions_incomplete", "Of them, those that are not whole.", incomplete_count(node)
    )
    yield gauge(
        "lsmkv_partitions_moving", "On their way to other owners.", len(topology.transitions)
    )
    statuses = {m.id: parts.membership.status(m.id) for m in topology.members if m.votes}
    yield Family(
        "lsmkv_members", Kind.GAUGE, "Members by what this node takes them for.",
        tuple(
            ({"status": status.name.lower()}, sum(each is status for each in statuses.values()))
            for status in Status
        ),
    )  # fmt: skip
    hints = parts.hints.report
    yield gauge("lsmkv_hints", "Records kept for owners that were away.", hints.count)
    yield gauge("lsmkv_hints_bytes", "Their size.", hints.size)
    yield counter("lsmkv_hints_confirmed_total", "Handed over.", hints.confirmed)
    yield gauge(
        "lsmkv_requests_in_flight", "Requests that this node coordinates.",
        parts.coordinator.in_flight,
    )  # fmt: skip
    yield counter(
        "lsmkv_versions_minted_total", "Versions written as coordinator.",
        parts.minter.counters.minted,
    )  # fmt: skip
    yield counter("lsmkv_steps_total", "Steps of the node.", running.driver.steps)
    yield gauge("lsmkv_peer_connections", "To and from other nodes.", running.links.open_count)


def _of_store(running: RunningNode) -> Iterator[Family]:
    stats = running.local.db.stats()
    for name, value in stats.items():
        if name == "levels" or not isinstance(value, int | float):
            continue
        is_counter = name in ENGINE_COUNTERS
        made = counter if is_counter else gauge
        suffix = "_total" if is_counter else ""
        yield made(f"lsmkv_engine_{name}{suffix}", "Of the engine, see DB.stats().", value)
    for field in ("table_count", "size_bytes", "entry_count", "tombstone_count"):
        yield Family(
            f"lsmkv_engine_level_{field}", Kind.GAUGE, "Of the tables of a level.",
            tuple(({"level": str(level["level"])}, level[field]) for level in stats["levels"]),
        )  # fmt: skip
