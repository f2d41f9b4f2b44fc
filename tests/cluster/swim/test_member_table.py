"""Records join whatever is said in whatever order, and suspicions end as they should.

Scripts under testdata/cluster/membership tell single stories of one table; the property shuffles.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.swim.gossip_messages import (
    ACCUSERS_MAX,
    Statement,
    Vitals,
    decode_statement,
    encode_statement,
)
from lsmkv_cluster.swim.member_status import Status
from lsmkv_cluster.swim.member_table import MemberTable, Record
from lsmkv_cluster.swim.suspicion import Timeouts
from tests.support.datadriven import Case, run_script, scripts

SCRIPTS = Path(__file__).resolve().parents[2] / "testdata" / "cluster" / "membership"
BOUNDS = Timeouts(4000, 24_000)
NAMES = "abcdefg"


def id_of(name: str) -> MemberId:
    return name.encode() * 16


def name_of(member: MemberId) -> str:
    return member[:1].decode()


def vitals(sequence: int = 0, wall_ms: int = 0) -> Vitals:
    return Vitals(0, 0, 1, sequence, 0, wall_ms)


def statement(status: Status, name: str, incarnation: int, accusers: str = "") -> Statement:
    has_vitals = status in (Status.ALIVE, Status.LEFT)
    found = tuple(sorted(map(id_of, accusers)))
    return Statement(status, id_of(name), incarnation, vitals() if has_vitals else None, found)


class Script:
    """The table of a; times are milliseconds since the beginning."""

    def __init__(self) -> None:
        self.table = MemberTable(id_of("a"), [], BOUNDS, True)

    def run(self, case: Case) -> str:
        return str(getattr(self, case.command.replace("-", "_"))(case))

    def members(self, case: Case) -> str:
        others = [id_of(name) for name in case.options["of"] if name != "a"]
        lifeguard = case.options.get("lifeguard", "on") == "on"
        self.table = MemberTable(id_of("a"), others, BOUNDS, lifeguard)
        return f"{self.table.live_count} live"

    def record(self, case: Case) -> Record:
        return self.table.records[id_of(case.arguments[0])]

    def hear_of(self, case: Case) -> str:
        status = Status[case.arguments[1].upper()]
        accusers = case.options.get("accusers", "")
        said = statement(status, case.arguments[0], case.integer("incarnation", 1), accusers)
        is_news = self.table.learn(case.integer("at", 0), self.record(case), said)
        return self.shown(self.record(case), is_news)

    def probe_failed(self, case: Case) -> str:
        is_news = self.table.accuse(case.integer("at", 0), self.record(case))
        return self.shown(self.record(case), is_news)

    def hear_from(self, case: Case) -> str:
        self.table.hear(case.integer("at", 0), self.record(case))
        return self.shown(self.record(case), False)

    def end(self, case: Case) -> str:
        buried, to_probe = self.table.end_suspicions(case.integer("at", 0))
        lines = [f"bury {name_of(record.member)}" for record in buried]
        lines += [f"probe {name_of(record.member)}" for record in to_probe]
        return "\n".join([*lines, *self.changes()]) or "nothing"

    def pause(self, case: Case) -> str:
        self.table.postpone(case.integer("of", 0))
        return f"next {self.table.next_deadline()}"

    def changes(self) -> list[str]:
        return [
            f"{name_of(change.member)}: {change.before.name} -> {change.after.name}"
            for change in self.table.take_changes()
        ]

    def shown(self, record: Record, is_news: bool) -> str:
        accusers = "".join(map(name_of, record.accusers)) or "nobody"
        told = record.statement()
        lines = [
            f"{record.status.name} in {record.incarnation}, accused by {accusers}",
            f"told as {told.status.name if told else 'nothing'}{', news' if is_news else ''}",
            *self.changes(),
        ]
        if record.deadline_ms is not None and record.is_accused and record.status != Status.DEAD:
            lines.append(f"until {record.deadline_ms}")
        return "\n".join(lines)


@pytest.mark.parametrize("path", scripts(SCRIPTS), ids=lambda path: path.stem)
def test_script(path: Path, request: pytest.FixtureRequest):
    run_script(path, Script().run, request.config.getoption("rewrite"))


said = st.builds(
    statement,
    st.sampled_from([Status.ALIVE, Status.SUSPECT, Status.DEAD, Status.LEFT]),
    st.just("b"),
    st.integers(1, 3),
    st.text(NAMES[2:], min_size=1, max_size=2).map(lambda names: "".join(set(names))),
)


def joined(told: list[Statement]) -> tuple[Status, int, int]:
    table = MemberTable(id_of("a"), [id_of(name) for name in NAMES[1:]], BOUNDS, True)
    record = table.records[id_of("b")]
    for one in told:
        table.learn(0, record, one)
    count = len(record.accusers) if record.status is Status.SUSPECT else 0
    return record.status, record.incarnation, count


@given(st.lists(said, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_the_order_and_number_of_statements_make_no_difference(told, rng):
    expected = joined(told)
    again = [*told, *rng.sample(told, rng.randrange(len(told) + 1))]
    rng.shuffle(again)
    assert joined(again) == expected
    status, incarnation, accusers = expected
    highest = max(one.incarnation for one in told)
    latest = [one for one in told if one.incarnation == highest]
    assert incarnation == highest
    assert status is max(one.status for one in latest)  # numbers ascend with their weight
    distinct = {a for one in latest if one.status is Status.SUSPECT for a in one.accusers}
    assert accusers == (min(ACCUSERS_MAX, len(distinct)) if status is Status.SUSPECT else 0)


def test_vitals_do_not_go_back_within_an_incarnation():
    record = Record(id_of("b"))
    record.take_vitals(vitals(10, 100), False)
    record.take_vitals(vitals(9, 200), False)
    record.take_vitals(vitals(10, 99), False)
    assert record.vitals == vitals(10, 100)
    record.take_vitals(vitals(10, 101), False)
    assert record.vitals == vitals(10, 101)


def test_a_run_on_an_old_disk_is_seen():
    record = Record(id_of("b"))
    record.take_vitals(vitals(1000), False)
    record.take_vitals(vitals(10), True)
    assert record.vitals == vitals(10)
    assert record.sequence_highest == 1000


def test_words_are_those_of_the_moment():
    table = MemberTable(id_of("a"), [id_of("b"), id_of("c")], BOUNDS, True)
    record = table.records[id_of("b")]
    table.learn(0, record, statement(Status.ALIVE, "b", 1))
    assert decode_statement(record.news().payload).status is Status.ALIVE
    table.accuse(0, record)
    assert decode_statement(record.news().payload).accusers == (id_of("a"),)
    table.learn(0, record, statement(Status.SUSPECT, "b", 1, "c"))
    assert decode_statement(record.news().payload).accusers == (id_of("a"), id_of("c"))


def test_the_next_deadline_is_that_of_the_suspicions_there_are():
    table = MemberTable(id_of("a"), [id_of(name) for name in "bcd"], BOUNDS, True)
    b, c = (table.records[id_of(name)] for name in "bc")
    table.learn(1000, b, statement(Status.SUSPECT, "b", 1, "d"))
    table.learn(500, c, statement(Status.SUSPECT, "c", 1, "d"))
    assert table.next_deadline() == 24_500
    table.learn(600, c, statement(Status.ALIVE, "c", 2))
    assert table.next_deadline() == 25_000
    table.learn(1500, b, statement(Status.SUSPECT, "b", 1, "ac"))
    assert table.next_deadline() == 5000
    table.learn(1600, b, statement(Status.DEAD, "b", 1, "acd"))
    assert table.next_deadline() is None


def test_only_what_is_told_word_for_word_need_not_be_decoded():
    table = MemberTable(id_of("a"), [id_of(name) for name in "bcd"], BOUNDS, True)
    record = table.records[id_of("b")]
    suspect = encode_statement(statement(Status.SUSPECT, "b", 1, "c"))
    assert not table.is_told(suspect)
    table.learn(0, record, decode_statement(suspect))
    assert record.news().payload == suspect
    assert table.is_told(suspect)
    assert not table.is_told(encode_statement(statement(Status.SUSPECT, "b", 1, "d")))
    assert not table.is_told(b"")
    table.learn(0, record, statement(Status.ALIVE, "b", 2))
    assert not table.is_told(suspect)
