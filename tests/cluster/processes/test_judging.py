"""The judge of real runs rejects every kind of broken promise, and lets pass what was allowed.

Records and contexts are made by the product's own minting (tests/sim/stories.py).
"""

from __future__ import annotations

import json

import pytest

from lsmkv_cluster.versions import crdt, minting
from lsmkv_cluster.versions.record import Record
from lsmkv_cluster.versions.record_format import encode
from lsmkv_cluster.versions.vclock import Actor
from tests.cluster.processes.judging import findings
from tests.cluster.processes.operations import (
    Operation,
    Recorder,
    ending_of,
    is_expected,
    read_history,
)
from tests.sim.history import Ending
from tests.sim.stories import Story, Written

UNDONE = [Ending.REFUSED, Ending.NOT_SENT]


class Run:
    """Operations on one key, whose records are those of a story."""

    def __init__(self, key: bytes) -> None:
        self.key = key
        self.story = Story()
        self.stored: Record | None = None  # at the node that answers
        self.operations: list[Operation] = []

    def note(
        self, verb: str, value: bytes = b"", ending: Ending = Ending.DONE, **more
    ) -> Operation:
        at_s = float(len(self.operations))
        made = Operation(
            len(self.operations), 0, "a", verb, self.key, value, began_s=at_s,
            ended_s=at_s + 0.5, ending=ending, **more,
        )  # fmt: skip
        self.operations.append(made)
        return made

    def put(
        self, value: bytes, seen: Written | None = None, ending: Ending = Ending.DONE, **more
    ) -> Written:
        written = self.story.put(0, value, seen=seen, local=self.stored)
        self.stored = written.record
        answer = written.context if ending is Ending.DONE else b""
        given = seen.context if seen else b""
        self.note("put", value, ending, context=given, answer_context=answer, **more)
        return written

    def delete(self, seen: Written, ending: Ending = Ending.DONE) -> Written:
        gone = self.story.delete(0, seen=seen, local=self.stored)
        self.stored = gone.record
        answer = gone.context if ending is Ending.DONE else b""
        self.note("delete", b"", ending, context=seen.context, answer_context=answer)
        return gone

    def get(self, written: Written | None, *values: bytes, **more) -> None:
        answer = written.context if written else b""
        self.note("get", answer_context=answer, seen=values, **more)

    def promises(self, *records: Record | None) -> list[str]:
        """That are broken, when these are the copies in the end."""
        copies = {str(n): encode(r) if r is not None else None for n, r in enumerate(records)}
        return [finding.promise for finding in findings(self.operations, {self.key: copies})]


# --- writes with contexts ------------------------------------------------------------------------


def test_what_is_there_is_kept_also_in_its_successor():
    run = Run(b"r:1")
    phil = run.put(b"phil")
    bob = run.put(b"bob", seen=phil)
    assert run.promises(bob.record, bob.record) == []
    assert run.promises(phil.record, bob.record) == []


def test_an_acknowledged_write_that_is_nowhere():
    run = Run(b"r:1")
    phil = run.put(b"phil")
    run.put(b"bob")
    assert run.promises(phil.record) == ["C1 lost write"]
    assert run.promises(None) == ["C1 lost write"] * 2


def test_what_was_not_acknowledged_may_be_gone():
    run = Run(b"r:1")
    run.put(b"phil", ending=Ending.UNKNOWN)
    assert run.promises(None) == []


def test_a_value_that_was_superseded_and_shows_again():
    run = Run(b"r:1")
    phil = run.put(b"phil")
    bob = run.put(b"bob", seen=phil)
    back = Record(bob.record.clock, (*phil.record.items, *bob.record.items))
    assert run.promises(back) == ["C4 resurrected"]


def test_a_deleted_value_that_shows_again():
    run = Run(b"d:1")
    phil = run.put(b"phil")
    run.delete(phil)
    assert "C4 resurrected" in run.promises(phil.record)


def test_what_was_deleted_may_be_collected_but_not_what_came_later():
    run = Run(b"d:1")
    gone = run.delete(run.put(b"phil"))
    assert run.promises(gone.record) == run.promises(None) == []
    run.put(b"bob", seen=gone)
    assert run.promises(None) == ["C1 lost write"]


def test_a_delete_that_may_have_been_carried_out():
    run = Run(b"d:1")
    phil = run.put(b"phil")
    gone = run.delete(phil, Ending.UNKNOWN)
    assert run.promises(phil.record) == run.promises(gone.record) == run.promises(None) == []


@pytest.mark.parametrize("ending", UNDONE)
def test_a_delete_that_was_refused_deletes_nothing(ending: Ending):
    run = Run(b"d:1")
    run.delete(run.put(b"phil"), ending)
    assert run.promises(None) == ["C1 lost write"]


def test_a_context_that_goes_back():
    run = Run(b"r:1")
    phil = run.put(b"phil")
    elsewhere = Story().put(1, b"bob").context
    run.note("put", b"bob", context=phil.context, answer_context=elsewhere)
    assert "C5 context went back" in run.promises(run.story.put(1, b"bob", seen=phil).record)


def test_a_strict_read_that_misses_what_had_ended():
    run = Run(b"q:1")
    phil = run.put(b"phil", is_strict=True)
    run.get(phil, b"phil", is_strict=True)
    assert run.promises(phil.record) == []
    run.get(None, is_strict=True)
    assert run.promises(phil.record) == ["C5 stale strict read"]


# --- what is known by its value ------------------------------------------------------------------


def test_a_key_that_was_written_once_has_its_value():
    run = Run(b"s:1")
    run.note("set", b"phil")
    phil = run.story.set(0, b"phil").record
    assert run.promises(phil) == []
    assert run.promises(None) == ["C1 lost write"]


@pytest.mark.parametrize("ending", UNDONE)
def test_what_was_refused_is_neither_there_nor_read(ending: Ending):
    run = Run(b"s:1")
    run.note("set", b"phil", ending)
    assert run.promises(None) == []
    assert run.promises(run.story.set(0, b"phil").record) == ["U5 refused but written"]
    run.note("get", seen=(b"phil",))
    assert run.promises(None) == ["U5 refused but read"]


def test_a_value_that_nobody_has_written():
    run = Run(b"s:1")
    run.note("set", b"phil", Ending.UNKNOWN)
    run.note("get", seen=(b"phil",))
    assert run.promises(None) == []
    run.note("get", seen=(b"bob",))
    assert run.promises(None) == ["U5 refused but read"]


def test_every_element_that_was_added_is_in_some_sibling():
    run = Run(b"e:1")
    one = run.put(b"u1")
    run.put(b"u1 u2", seen=one)
    three = run.put(b"u3")
    assert run.promises(three.record) == []
    assert run.promises(one.record).count("C1 lost element") == 2


def counted(total: int) -> Record:
    actor = Actor(1, 1, 1 << 32)
    return minting.mint(None, crdt.increment(None, actor, total, 0), actor, 1 << 16).record


def test_a_counter_is_between_what_is_certain_and_what_is_possible():
    run = Run(b"c:1")
    run.note("add", b"5")
    run.note("add", b"7", Ending.UNKNOWN)
    run.note("add", b"1", Ending.REFUSED)
    assert run.promises(counted(5)) == run.promises(counted(12)) == []
    assert run.promises(counted(4)) == run.promises(None) == ["C1 lost increment"]
    assert run.promises(counted(13)) == ["U5 counted twice, or though refused"]


# --- what clients are told -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        ("NOREPLICAS 1 of 2 replicas could be reached; nothing was written", Ending.REFUSED),
        ("UNKNOWN the write may exist: 1 of 2 replicas have confirmed it", Ending.UNKNOWN),
        ("MISCONF the store cannot write", Ending.REFUSED),
    ],
)
def test_errors_say_how_an_operation_ended(error: str, ending: Ending):
    assert ending_of(error) is ending
    assert is_expected(error)


def test_an_error_for_which_there_is_no_reason():
    run = Run(b"s:1")
    run.note("set", b"phil", Ending.REFUSED, text="ERR internal")
    assert run.promises(None) == ["U5 error without reason"]


def test_a_history_is_read_as_it_was_written(tmp_path):
    run = Run(b"d:1")
    run.delete(run.put(b"\xff phil"))
    run.note("get", seen=(b"\x00", b"v"), text="UNKNOWN", ending=Ending.UNKNOWN, is_strict=True)
    recorder = Recorder(tmp_path / "history.jsonl")
    for operation in run.operations:
        recorder.ended(operation)
    recorder.close()
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    assert [*read_history(lines)] == run.operations
    assert all(isinstance(json.loads(line), dict) for line in lines)
