"""Workloads: all of them run, agree between two engines, and record what they should."""

from __future__ import annotations

from pathlib import Path

import pytest

from lsmkv_bench import mapped_writes, scale_worker, ycsb
from lsmkv_bench.datasets import make_dataset
from lsmkv_bench.engines import make_engine
from lsmkv_bench.laboratory import Effort, Laboratory
from lsmkv_bench.plans import CONTROL, SCALE_WORKLOADS
from lsmkv_bench.results import Case, Outcome
from lsmkv_bench.worker import Job, run_job
from lsmkv_bench.workloads import WORKLOADS, run_workloads

CASE = Case(400, "binary", 16)
EFFORT = Effort(reads=300, latencies=100, synced=10, synced_together=20)
ENGINES = ("lsmkv", "sqlite3")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Outcome]]:
    """Of every workload, by engine."""
    found = {}
    for name in ENGINES:
        folder = tmp_path_factory.mktemp(name)
        lab = Laboratory(make_engine(name), make_dataset(CASE), EFFORT, folder)
        run_workloads(lab, WORKLOADS)
        assert list(folder.iterdir()) == []
        found[name] = lab.outcomes
    return found


def test_every_workload_runs_once_and_in_order(outcomes: dict[str, list[Outcome]]) -> None:
    for name in ENGINES:
        assert [outcome.workload for outcome in outcomes[name]] == WORKLOADS


def test_engines_agree(outcomes: dict[str, list[Outcome]]) -> None:
    ours, theirs = ([(each.workload, each.check) for each in outcomes[name]] for name in ENGINES)
    assert ours == theirs
    assert all(check for _, check in ours)


def test_checks_tell_what_was_found(outcomes: dict[str, list[Outcome]]) -> None:
    count = {each.workload: each.check.partition(":")[0] for each in outcomes["lsmkv"]}
    assert count["fillrandom"] == count["readseq"] == count["readreverse"] == "400"
    assert count["readrandom"] == count["readhot"] == count["multireadrandom"] == "300"
    assert count["readmissing"] == "0"
    assert count["deleterandom"] == "200"
    assert int(count["ycsb-e-uniform"]) >= 400


def test_writes_have_drains_and_sizes_and_reads_have_not(
    outcomes: dict[str, list[Outcome]],
) -> None:
    for each in outcomes["lsmkv"]:
        is_write = each.workload.startswith(("fill", "overwrite", "delete"))
        assert (each.drain_seconds is not None) == is_write, each.workload
        assert (each.user_bytes is not None) == is_write
        assert each.seconds > 0
        assert each.tree_shape
    sizes = {each.workload: (each.user_bytes, each.live_bytes) for each in outcomes["lsmkv"]}
    assert sizes["fillrandom"] == sizes["overwrite"] == (400 * 32, 400 * 32)
    assert sizes["deleterandom"] == (200 * 16, 200 * 32)
    assert sizes["fillsync1"] == (10 * 32, 10 * 32)


def test_latencies_have_as_many_counts_as_were_asked_for(
    outcomes: dict[str, list[Outcome]],
) -> None:
    counts = {
        each.workload: sum(count for _, count in each.latency.counts)
        for each in outcomes["sqlite3"]
        if each.latency is not None
    }
    assert counts["fillrandom"] == counts["readrandom"] == counts["ycsb-a-zipfian"] == 100
    assert counts["fillsync1"] == 10
    assert counts["fillsync8"] == 20
    assert counts["multireadrandom"] == 3


# --- YCSB ----------------------------------------------------------------------------------------

KNOWN = [b"%d" % number for number in range(1000)]


@pytest.mark.parametrize("name", ycsb.NAMES)
def test_operations_have_the_proportions_of_the_mix(name: str) -> None:
    _, letter, distribution = name.split("-")
    known = KNOWN.copy()
    inserts = iter([b"new %d" % number for number in range(1000)])
    mix = ycsb.MIXES[letter]
    operations = ycsb.make_operations(mix, distribution, 4000, known, inserts, [b"v"], seed=1)
    kinds = [kind for kind, _, _ in operations]
    inserted = len(known) - len(KNOWN)
    assert inserted / 40 == pytest.approx(mix.inserts, abs=1.5)
    assert (kinds.count(ycsb.WRITE) - inserted) / 40 == pytest.approx(mix.updates, abs=3)
    assert kinds.count(ycsb.MODIFY) / 40 == pytest.approx(mix.modifications, abs=3)
    assert kinds.count(ycsb.SCAN) / 40 == pytest.approx(mix.scans, abs=3)
    assert {key for _, key, _ in operations} <= set(known)
    lengths = [argument for kind, _, argument in operations if kind == ycsb.SCAN]
    assert all(1 <= length <= ycsb.SCAN_LENGTH_MAX for length in lengths)


def test_latest_asks_for_what_was_inserted_last() -> None:
    known = KNOWN.copy()
    inserts = iter([b"new %d" % number for number in range(1000)])
    operations = ycsb.make_operations(
        ycsb.MIXES["d"], "latest", 4000, known, inserts, [b"v"], seed=1
    )
    reads = [key for kind, key, _ in operations[2000:] if kind == ycsb.READ]
    recent = set(known[-300:])
    assert sum(key in recent for key in reads) > len(reads) * 0.6


# --- scale ---------------------------------------------------------------------------------------


def test_keys_are_made_in_chunks_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale_worker, "CHUNK_KEYS", 30)
    chunks = list(scale_worker.key_chunks(100))
    assert [len(chunk) for chunk in chunks] == [30, 30, 30, 10]
    written = sorted(key for chunk in chunks for key in chunk)
    assert written == [scale_worker.present_key(number) for number in range(100)]
    assert written[0] < scale_worker.absent_key(0) < written[1]
    assert written[98] < scale_worker.absent_key(98) < written[99]


def test_a_scale_run_samples_memory_and_times_every_put(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scale_worker, "CHUNK_KEYS", 150)
    found = {}
    for name in ENGINES:
        (tmp_path / name).mkdir()
        job = Job(name, CASE, list(SCALE_WORKLOADS), EFFORT, str(tmp_path / name), "scale")
        found[name] = run_job(job).outcomes
    checks = [[(each.workload, each.check) for each in found[name]] for name in ENGINES]
    assert checks[0] == checks[1]
    ours = {each.workload: each for each in found["lsmkv"]}
    assert list(ours) == list(SCALE_WORKLOADS)
    assert ours["readseq"].operations == 400
    assert ours["readmissing"].check.startswith("0:")
    for name in ("fillrandom", "sustainedfill"):
        assert [done for done, _ in ours[name].memory_samples] == [150, 300, 400]
        assert ours[name].user_bytes == 400 * 32
    latency = ours["sustainedfill"].latency
    assert latency is not None
    assert sum(count for _, count in latency.counts) == 400


def test_the_control_copies_as_many_bytes_and_leaves_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped_writes, "FILE_SIZE_BYTES", 1 << 20)
    case = Case(60_000, "decimal", 16)
    job = Job(CONTROL, case, ["sustainedfill"], EFFORT, str(tmp_path), "scale", pace=1e12)
    [outcome] = run_job(job).outcomes
    assert outcome.user_bytes == 60_000 * 32
    assert outcome.latency is not None
    assert sum(count for _, count in outcome.latency.counts) == 60_000
    assert list(tmp_path.iterdir()) == []
