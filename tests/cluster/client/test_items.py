"""Commands that are sent for keys, what comes back, and arguments that cannot be."""

from __future__ import annotations

import pytest

from lsmkv.kernel import RequestParser
from lsmkv_cluster.client.items import (
    NOTHING_SEEN,
    Item,
    SiblingsError,
    as_bytes,
    delete_command,
    get_command,
    item_of,
    put_command,
    resolved,
)

ITEM = item_of(b"k", [b"ctx", [b"new", b"old"], b"string"])


def args(command: bytes) -> list[bytes]:
    parser = RequestParser(100, 1 << 20, 1 << 20)
    parser.feed(command)
    return parser.take(2)[0]


def test_several_values_are_an_error_until_somebody_chooses() -> None:
    with pytest.raises(SiblingsError, match="2 values of b'k'") as raised:
        _ = ITEM.value
    assert raised.value.item is ITEM
    one = resolved(ITEM, max)
    assert (one.value, one.siblings, one.context) == (b"old", (b"new", b"old"), b"ctx")


def test_nothing_and_one_value_need_nobody_to_choose() -> None:
    def never(values: object) -> bytes:
        raise AssertionError

    nothing = item_of(b"k", [b"", [], b"none"])
    assert not nothing
    assert resolved(nothing, never).value is None
    assert resolved(item_of(b"k", [b"c", [b"v"], b"string"]), never).value == b"v"
    elements = item_of(b"k", [b"c", [b"x", b"y"], b"set"])
    assert resolved(elements, never).values == (b"x", b"y")


def test_a_choice_that_is_no_bytes_is_told() -> None:
    with pytest.raises(TypeError, match=r"what resolve\(\) returns is bytes, not int"):
        resolved(ITEM, lambda values: 3)  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize("reply", [None, [], [b"", b"v", b"string"], [b"", [1], b"set"], "OK"])
def test_other_replies_are_an_error(reply: object) -> None:
    with pytest.raises(ValueError, match=r"what KV\.GET replies"):
        item_of(b"k", reply)  # type: ignore[arg-type]


def test_commands_name_levels_and_contexts() -> None:
    assert args(get_command(b"k", None)) == [b"KV.GET", b"k"]
    assert args(get_command(b"k", "quorum")) == [b"KV.GET", b"k", b"R", b"QUORUM"]
    assert args(put_command(b"k", b"v", None, None, None)) == [b"KV.PUT", b"k", b"v", b"OVERWRITE"]
    told = [b"KV.PUT", b"k", b"v", b"CONTEXT", b"ctx", b"W", b"2", b"STRICT"]
    assert args(put_command(b"k", b"v", ITEM, 2, "strict")) == told
    beside = [b"KV.PUT", b"k", b"v", b"CONTEXT", b""]
    assert args(put_command(b"k", b"v", NOTHING_SEEN, None, None)) == beside
    assert args(delete_command(b"k", None, None, "sloppy")) == [b"KV.DEL", b"k", b"SLOPPY"]


@pytest.mark.parametrize("level", ["TWO", 0, 256, "", "COUNT"])
def test_levels_that_there_are_not(level: str | int) -> None:
    with pytest.raises(ValueError, match="is not one of ONE, QUORUM"):
        get_command(b"k", level)


def test_other_arguments_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="one of strict, sloppy"):
        put_command(b"k", b"v", None, None, "strictly")
    with pytest.raises(ValueError, match="says nothing of b'other'"):
        put_command(b"other", b"v", ITEM, None, None)
    with pytest.raises(TypeError, match="a key is bytes, not str: encode it"):
        as_bytes("k", "a key")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a value is bytes, not NoneType"):
        as_bytes(None, "a value")  # type: ignore[arg-type]
    assert as_bytes(memoryview(b"k"), "a key") == b"k"
    assert Item(b"k") == Item(b"k", context=b"")
