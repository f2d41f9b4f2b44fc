"""What the error of a node means: nothing was written, or perhaps something."""

from __future__ import annotations

import lsmkv
from lsmkv_cluster.client.outcomes import Refused, Unknown, failure_of, of_many


def test_errors_of_nodes_are_one_of_two() -> None:
    refused = failure_of("NOREPLICAS 1 of 2 replicas could be reached; nothing was written")
    assert isinstance(refused, Refused)
    assert (refused.kind, refused.answered, refused.needed) == ("NOREPLICAS", 1, 2)
    unknown = failure_of("UNKNOWN the write may exist: 1 of 3 replicas have confirmed it")
    assert isinstance(unknown, Unknown)
    assert (unknown.answered, unknown.needed) == (1, 3)
    other = failure_of("ERR syntax error")
    assert isinstance(other, Refused)
    assert (other.kind, other.answered) == ("ERR", None)
    assert isinstance(other, lsmkv.Error)


def test_many_are_refused_only_if_nothing_at_all_was_written() -> None:
    refused, unknown = failure_of("NOREPLICAS 0 of 2 replicas ..."), failure_of("UNKNOWN it may")
    none = of_many({b"a": refused, b"b": refused}, done=0)
    assert isinstance(none, Refused)
    assert none.kind == "NOREPLICAS"
    assert none.failures == {b"a": refused, b"b": refused}
    assert isinstance(of_many({b"a": refused}, done=1), Unknown)
    assert isinstance(of_many({b"a": refused, b"b": unknown}, done=0), Unknown)
    some = of_many({b"a": refused}, done=4)
    assert (some.answered, some.needed) == (4, 5)
