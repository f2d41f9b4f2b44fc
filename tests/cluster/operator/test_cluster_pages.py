"""What clusters answer in JSON, as pages: names, numbers, and what is out of the ordinary."""

from __future__ import annotations

import json
from typing import Any

from lsmkv_cluster.operator.cluster_pages import (
    explain_page,
    hints_page,
    keyspaces_page,
    moves_line,
    partition_page,
    plan_page,
    ring_page,
    size_text,
    status_page,
    table,
)
from tests.cluster.resp.test_admin_commands import ask
from tests.support.resp_lab import RespLab, make_cluster

MEMBER = {
    "id": "aa", "name": "n1", "dc": "east", "rack": "r1", "weight": 100, "state": "SERVING",
    "status": "up", "partitions": 40, "owns": 0.625, "addresses": {"resp": "127.0.0.1:7379"},
}  # fmt: skip
STATUS: dict[str, Any] = {
    "cluster_id": "0123456789abcdef", "epoch": 7, "partitions": 64, "moving": 0, "me": "aa",
    "replicas": {"east": 2, "west": 1},
    "members": [
        {**MEMBER, "id": "bb", "name": "n2", "dc": "west", "status": "dead", "state": "LEAVING"},
        MEMBER,
    ],
}  # fmt: skip


def test_columns_are_aligned_and_numbers_stand_to_the_right() -> None:
    assert table(["name", "count"], [["a", "7"], ["long name", "1,000"]]) == [
        "name       count",
        "a              7",
        "long name  1,000",
    ]
    assert table(["name"], []) == ["name"]


def test_sizes() -> None:
    assert [size_text(n) for n in (0, 1023, 1024, 5 << 20, 3 << 40)] == [
        "0 B", "1023 B", "1.0 KiB", "5.0 MiB", "3.0 TiB",
    ]  # fmt: skip


def test_the_table_of_members() -> None:
    head, columns, *rows = status_page(STATUS, {"n1": 1536}, {})
    assert head == (
        "cluster 01234567, epoch 7, 64 partitions, N = 3 (east 2, west 1); nothing moves; "
        "as n1 sees it"
    )
    assert columns.split() == [
        "state",
        "name",
        "dc",
        "rack",
        "weight",
        "owns",
        "%",
        "copies",
        "load",
        "address",
    ]
    assert rows[0].split() == [
        "up",
        "n1",
        "east",
        "r1",
        "100",
        "62.5",
        "40",
        "1.5",
        "KiB",
        "127.0.0.1:7379",
    ]
    assert rows[1].startswith("down leaving  n2    west")
    moving = {**STATUS, "moving": 3}
    assert "3 partitions move" in status_page(moving, {}, {})[0]
    assert status_page(STATUS, {}, {"n2": "killed"})[-1].endswith("killed")


def test_the_ring_counts_copies_and_what_comes() -> None:
    ring = ask(RespLab(make_cluster(5)).client(), "RING")
    head, _columns, *rows = ring_page(ring)
    assert head.startswith("epoch 1, 16 partitions, N = 3")
    cells = [row.split() for row in rows]
    assert sum(int(row[-3]) for row in cells) == 16 * 3
    assert sum(int(row[-2]) for row in cells) == 16
    assert {row[-1] for row in cells} == {"0"}
    part = ring["partitions"][0]
    part["becoming"], part["phase"] = ["n9"], "FILLING"
    ring["members"].append({"name": "n9", "dc": "d", "rack": "r", "host": "h"})
    assert ring_page(ring)[0].endswith("; 1 move")
    assert ring_page(ring)[-1].split()[-3:] == ["0", "0", "1"]


def test_one_key_of_the_ring() -> None:
    lines = partition_page(ask(RespLab(make_cluster(5)).client(), "RING", "k"))
    assert lines[0].startswith("slot 7629, partition 7 (slots 7168 to 8191)")
    assert lines[1].endswith("; settled")


def test_a_plan_tells_bytes_and_copies() -> None:
    client = RespLab(make_cluster(5)).client()
    plan = ask(client, "PLAN", json.dumps({"change": "leave", "member": "n2"}))
    lines = plan_page(plan)
    assert f"{plan['copies']} copies to make, about {size_text(1000 * plan['copies'])}" in lines[1]
    losing = next(line.split() for line in lines if line.startswith("n2"))
    assert losing[1:] == ["0", str(plan["partitions_moving"])]
    nothing = ask(client, "PLAN", '{"change": "commit"}')
    assert plan_page(nothing)[1:] == ["0 partitions move; 0 copies to make, about 0 B"]


def test_moves_and_hints_and_keyspaces() -> None:
    assert moves_line({"epoch": 3, "phases": {}, "coming": {}}) == "epoch 3: nothing moves"
    moves = {"epoch": 4, "phases": {"filling": 5, "switched": 1}, "coming": {"n2": 5}}
    assert moves_line(moves) == "epoch 4: 5 filling, 1 switched; coming: n2 5"
    hints = {"n1": {"count": 3, "size_bytes": 2048, "oldest_ms": 1, "is_counted": True}}
    assert hints_page(hints)[1].split() == ["n1", "3", "2.0", "KiB", "complete"]
    spaces = ask(RespLab(make_cluster(3)).client(), "KEYSPACES")
    assert keyspaces_page(spaces)[1].split() == [
        "''",
        "QUORUM",
        "QUORUM",
        "sloppy",
        "siblings",
        "no",
    ]


def test_a_key_is_explained() -> None:
    owner = {
        "member": "n1", "stands_in_for": None, "answer": "record", "ms": 1.25, "bytes": 62,
        "clock": {"n1.2": 5}, "siblings": 1, "is_behind": False,
    }  # fmt: skip
    behind = {**owner, "member": "n3", "stands_in_for": "n2", "is_behind": True, "clock": {}}
    report = {
        "key": "k", "slot": 1, "partition": 2, "epoch": 3, "is_moving": True, "coordinator": "n1",
        "keyspace": {"prefix": "", "read": "QUORUM", "write": "ALL", "mode": "STRICT",
                     "resolve": "lww"},
        "owners": [owner, behind],
        "items": [{"dot": "n1.2:5", "value": "v" * 100, "held_by": ["n1"]}],
        "reads_as": {"type": "none", "value": None}, "repair": ["n3"],
    }  # fmt: skip
    lines = explain_page(report)
    assert "epoch 3, moving; coordinator n1" in lines[0]
    assert lines[3].split() == ["n1", "record", "1.2", "62", "1", "n1.2:5"]
    assert lines[4].split() == ["n3", "(for", "n2)", "record", "1.2", "62", "1", "yes", "-"]
    assert lines[5].endswith("...  held by n1")
    assert len(lines[5]) < 100
    assert lines[-1] == "reads as none; repairs n3"
