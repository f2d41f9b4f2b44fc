"""The page that Prometheus reads, read by its own parser."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from lsmkv_cluster.serving.metrics import Family, Kind, counter, exposition, gauge


def test_the_parser_of_prometheus_reads_what_was_written() -> None:
    odd = 'a "quoted"\\ back\nslash'
    page = exposition(
        [
            counter("lsmkv_calls_total", "Calls of clients.\nTwo lines, and a \\.", 12, verb=odd),
            gauge("lsmkv_load", "A share.", 0.25),
            Family("lsmkv_nothing", Kind.GAUGE, "No samples."),
            Family(
                "lsmkv_size_bytes",
                Kind.GAUGE,
                "By level.",
                (({"level": "0"}, 1 << 60), ({"level": "1"}, 0)),
            ),
        ]
    )
    found = {family.name: family for family in text_string_to_metric_families(page)}
    assert set(found) == {"lsmkv_calls", "lsmkv_load", "lsmkv_size_bytes"}
    calls = found["lsmkv_calls"]
    assert calls.type == "counter"
    assert calls.documentation == "Calls of clients.\nTwo lines, and a \\."
    assert [(s.labels, s.value) for s in calls.samples] == [({"verb": odd}, 12.0)]
    assert found["lsmkv_load"].samples[0].value == 0.25
    sizes = found["lsmkv_size_bytes"].samples
    assert [(s.labels["level"], s.value) for s in sizes] == [("0", float(1 << 60)), ("1", 0.0)]
