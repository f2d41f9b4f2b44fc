"""Rows say what the records say."""

from __future__ import annotations

from lsmkv_cluster.ports import Now
from lsmkv_cluster.swim.gossip_messages import Vitals
from lsmkv_cluster.swim.member_report import own_report, report_of
from lsmkv_cluster.swim.member_status import Status
from lsmkv_cluster.swim.member_table import Record
from lsmkv_cluster.swim.own_state import SelfDescription


def test_ages_count_from_the_last_sign_of_life():
    record = Record(b"m" * 16)
    assert report_of(record, 500).heartbeat_age_ms is None
    record.heard_ms = 400
    assert report_of(record, 500).heartbeat_age_ms == 100


def test_a_store_on_an_old_disk_is_behind_itself():
    record = Record(b"m" * 16)
    assert not report_of(record, 0).is_behind_itself
    record.take_vitals(Vitals(0, 0, 1, 1000, 0, 1), True)
    assert not report_of(record, 0).is_behind_itself
    record.take_vitals(Vitals(0, 0, 2, 10, 0, 2), True)
    row = report_of(record, 0)
    assert row.is_behind_itself
    assert row.sequence_highest == 1000


def test_a_node_reports_itself_as_others_do():
    own = SelfDescription(b"m" * 16, 4)
    own.sequence = 9
    row = own_report(own, Now(5, 600), 3)
    assert (row.member, row.status, row.incarnation) == (own.me, Status.ALIVE, 4 << 32)
    assert row.vitals == Vitals(0, 3, 4, 9, 0, 600)
    assert not row.is_behind_itself
