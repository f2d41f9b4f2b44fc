"""Each kind takes what it says it takes, in text and in TOML, and shows what it reads again."""

from __future__ import annotations

from pathlib import Path

import pytest

from lsmkv_cluster.config.endpoints import Endpoint
from lsmkv_cluster.config.setting_kinds import (
    Choice,
    EndpointList,
    FilePath,
    HostPort,
    Kind,
    Label,
    Number,
    Size,
    Switch,
    show_size,
)

HERE = Endpoint("127.0.0.1", 1)
THERE = Endpoint("::1", 2)


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        (Number(0, 10), "7", 7),
        (Number(0, 10), 10, 10),
        (Size(0, 1 << 40), "1GiB", 1 << 30),
        (Size(0, 1 << 40), "64 MiB", 64 << 20),
        (Size(0, 1 << 40), "3KiB", 3 << 10),
        (Size(0, 1 << 40), "100", 100),
        (Size(0, 1 << 40), "100B", 100),
        (Size(0, 1 << 40), 4096, 4096),
        (Switch(), "yes", True),
        (Switch(), "0", False),
        (Switch(), True, True),
        (Choice(("a", "b")), "b", "b"),
        (Label(), "node-1", "node-1"),
        (Label(can_be_empty=True), "", ""),
        (FilePath(), "a/b", Path("a/b")),
        (FilePath(), "", None),
        (HostPort(), "127.0.0.1:1", HERE),
        (HostPort("off"), "off", None),
        (HostPort(""), "", None),
        (EndpointList(3), "127.0.0.1:1, [::1]:2", (HERE, THERE)),
        (EndpointList(3), ["127.0.0.1:1", "[::1]:2", "127.0.0.1:1"], (HERE, THERE)),
        (EndpointList(3), "", ()),
    ],
)
def test_what_is_read_is_shown_and_read_again(kind: Kind, given: object, value: object) -> None:
    assert kind.read(given) == value
    assert kind.read(kind.show(value)) == value


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (Number(1, 10), "11"),
        (Number(1, 10), 0),
        (Number(1, 10), True),
        (Number(1, 10), "1.5"),
        (Number(1, 10), "9" * 5000),
        (Number(1, 10), None),
        (Size(0, 100), "101"),
        (Size(0, 1 << 40), "1MB"),
        (Size(0, 1 << 40), "-1"),
        (Size(0, 1 << 40), 1.5),
        (Size(0, 1 << 40), True),
        (Switch(), "maybe"),
        (Switch(), 1),
        (Choice(("a", "b")), "c"),
        (Choice(("a", "b")), ["a"]),
        (Label(), "with space"),
        (Label(), "x" * 65),
        (Label(), 7),
        (Label(), ""),
        (FilePath(), "a\0b"),
        (FilePath(), 7),
        (HostPort(), "off"),
        (HostPort(), ""),
        (HostPort("off"), 7379),
        (EndpointList(1), "a:1,b:2"),
        (EndpointList(1), "a"),
        (EndpointList(1), [7379]),
        (EndpointList(1), 7379),
    ],
)
def test_what_it_does_not_take_is_refused(kind: Kind, given: object) -> None:
    with pytest.raises(ValueError):
        kind.read(given)


def test_sizes_are_shown_in_the_largest_unit_in_which_they_are_whole():
    assert [show_size(size) for size in (0, 1023, 1024, 1536, 1 << 20, 3 << 30, 1 << 40)] == [
        "0B",
        "1023B",
        "1KiB",
        "1536B",
        "1MiB",
        "3GiB",
        "1TiB",
    ]
