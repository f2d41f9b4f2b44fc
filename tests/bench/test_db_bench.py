"""db_bench: the command line settles before reads, and the tool's lines become outcomes."""

from __future__ import annotations

from pathlib import Path

from lsmkv_bench.engines import db_bench
from lsmkv_bench.results import Case

OUTPUT = """\
RocksDB:    version 7.8.3
fillrandom   :       4.183 micros/op 238900 ops/sec 0.084 seconds 20000 operations;   26.4 MB/s
... finished 100 ops\r... finished 20000 ops\rDB path: [/somewhere]
compact      :   25505.000 micros/op 39 ops/sec 0.026 seconds 1 operations;
readrandom   :       2.25 micros/op 443823 ops/sec 0.045 seconds 20000 operations; (8 of 9 found)
readmissing  :       0.54 micros/op 1842468 ops/sec 0.000 seconds 20000 operations; (0 of 9 found)
"""
CASE = Case(20_000, "decimal", 100)


def benchmarks(names: list[str]) -> list[str]:
    words = db_bench.command(CASE, names, Path("db"))
    [listed] = [word for word in words if word.startswith("--benchmarks=")]
    return listed.removeprefix("--benchmarks=").split(",")


def test_lines_become_outcomes() -> None:
    fill, read, missing = db_bench.parse(OUTPUT, ["fillrandom", "readrandom", "readmissing"])
    assert (fill.workload, fill.operations, fill.seconds) == ("fillrandom", 20_000, 0.084)
    assert read.us_per_operation == 2.25
    assert missing.seconds == 0.001
    assert fill.check == ""
    assert fill.drain_seconds is None


def test_only_what_was_asked_for_is_kept() -> None:
    assert [each.workload for each in db_bench.parse(OUTPUT, ["readrandom"])] == ["readrandom"]


def test_everything_is_merged_once_before_the_first_read() -> None:
    assert benchmarks(["fillseq", "readrandom", "readseq"]) == [
        "fillseq",
        *db_bench.SETTLE,
        "readrandom",
        "readseq",
    ]


def test_reads_alone_have_something_to_read() -> None:
    assert benchmarks(["readseq"])[0] == "fillrandom"


def test_nothing_runs_where_the_tool_has_no_such_workload(tmp_path: Path) -> None:
    assert db_bench.run(CASE, ["fillbatch", "ycsb-a-uniform"], tmp_path) == []
