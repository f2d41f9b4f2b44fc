"""Settings as documents, TOML, lines and JSON; the documents hold the table as it is now."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from lsmkv_cluster.config.origins import Configuration, configure
from lsmkv_cluster.config.settings import all_settings
from lsmkv_cluster.config.settings_table import (
    as_json,
    as_toml,
    settings_markdown,
    with_origins,
)

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "configuration.md"
BEGIN, END = "<!-- table of settings -->\n", "<!-- end of table of settings -->\n"

FLAGS: dict[str, object] = {
    "data": "d",
    "join": ["a:1", "[::1]:2"],
    "http": "off",
    "staged": True,
    "write_buffer_size": "1048577",
    "node_id": "n1",
}


def configured(environment: dict[str, str] | None = None) -> Configuration:
    return configure(FLAGS, environment or {})


def test_the_document_holds_the_table_as_it_is(rewrite: bool) -> None:
    """Run with --rewrite to write it anew."""
    text = DOCUMENT.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    expected = before + BEGIN + settings_markdown() + END + after
    if rewrite:
        DOCUMENT.write_text(expected, encoding="utf-8")
    assert text == expected or rewrite


def test_the_table_names_every_setting_once():
    table = settings_markdown()
    for name in all_settings():
        assert table.count(f"| `{name}` |") == 1
    assert table.count("required") == 1


def test_a_configuration_as_toml_sets_the_same():
    """All but `config`, which no file names."""
    found = configured()
    document = tomllib.loads(as_toml(found))
    again = configure({"config": "/x.toml"}, {}, lambda path: document)
    values = {name: chosen.value for name, chosen in found.chosen.items() if name != "config"}
    # A relative path in a file is relative to the file.
    values["data"] = Path("/d")
    assert {name: again.chosen[name].value for name in values} == values


def test_lines_say_where_each_value_came_from_and_who_was_overruled():
    lines = with_origins(configured({"LSMKV_DATA": "other", "LSMKV_DC": "east"}))
    assert len(lines) == len(all_settings())
    split = {line.split()[0]: line.split(maxsplit=2)[1:] for line in lines}
    assert split["data"] == ["d", "flag --data, not environment LSMKV_DATA"]
    assert split["dc"] == ["east", "environment LSMKV_DC"]
    assert split["rack"] == ["rack1", "default"]
    assert split["users_file"] == ["-", "default"]


def test_what_is_missing_is_no_value():
    missing = configure({}, {})
    assert with_origins(missing)[0].split() == ["data", "-", "default"]
    assert as_json(missing)[0]["value"] is None


def test_json_has_values_as_json_has_them():
    found = {str(entry["name"]): entry for entry in json.loads(json.dumps(as_json(configured())))}
    assert found["join"]["value"] == ["a:1", "[::1]:2"]
    assert found["staged"]["value"] is True
    assert found["write_buffer_size"]["value"] == 1048577
    assert found["http"]["value"] is None
    assert found["listen"]["value"] == "127.0.0.1:7379"
    assert found["data"] == {
        "name": "data",
        "value": "d",
        "source": "flag",
        "where": "--data",
        "overruled": [],
    }
