"""Values of a document with their types checked, unknown ones refused, texts written as TOML."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmkv_cluster.config.toml_fields import TomlFields, did_you_mean, toml_line, toml_text
from lsmkv_cluster.errors import ConfigError


def fields(**table: Any) -> TomlFields:
    return TomlFields("a.toml", table)


def test_values_are_taken_and_nothing_may_be_left():
    document = fields(n=3, t="text", h="00ff", inner={"m": 1}, more=1)
    assert document.integer("n", 1, 5) == 3
    assert document.integer("absent", 1, 5, default=2) == 2
    assert document.text("t") == "text"
    assert document.hex("h", 2) == b"\x00\xff"
    inner = document.table("inner")
    assert inner.names() == ["m"]
    assert inner.integer("m", 1, 1) == 1
    inner.end()
    with pytest.raises(ConfigError, match=r"^a\.toml: more: unknown$"):
        document.end()


@pytest.mark.parametrize(
    "take",
    [
        lambda: fields().integer("a", 0, 1),
        lambda: fields(a=True).integer("a", 0, 1),
        lambda: fields(a=2).integer("a", 0, 1),
        lambda: fields(a="1").integer("a", 0, 1),
        lambda: fields(a=1).text("a"),
        lambda: fields(a=1).table("a"),
        lambda: fields(a="0g").hex("a", 1),
        lambda: fields(a="0 f").hex("a", 2),
        lambda: fields(a="00").hex("a", 2),
    ],
)
def test_a_wrong_value_is_named_with_file_and_key(take: Any) -> None:
    with pytest.raises(ConfigError) as raised:
        take()
    assert (raised.value.where, raised.value.key) == ("a.toml", "a")


def test_a_wrong_secret_is_in_no_message():
    with pytest.raises(ConfigError) as raised:
        fields(a="deadbeef00").hex("a", 4)
    assert "deadbeef" not in str(raised.value)


def test_an_unknown_key_inside_a_table_is_named_with_the_table_and_its_neighbour():
    inner = fields(tls={"certificat": "x"}).table("tls")
    inner.text("certificate", default="")
    with pytest.raises(ConfigError, match=r"tls\.certificat: unknown, did you mean certificate\?"):
        inner.end()
    assert did_you_mean("zzz", ["listen"]) == ""


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_text_is_written_as_toml_reads_it(text: str) -> None:
    assert tomllib.loads(toml_line(toml_text(text), text)) == {text: text}
