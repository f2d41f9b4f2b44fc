"""Who a node is stands in its data directory, once and for all."""

from __future__ import annotations

from pathlib import Path

import pytest

from lsmkv_cluster.config.files import write_file
from lsmkv_cluster.config.node_file import NODE_FILE, create_node_file, load_node_file
from lsmkv_cluster.errors import ConfigError


def test_a_node_is_made_once_and_is_the_same_ever_after(tmp_path: Path) -> None:
    data = tmp_path / "deep" / "data"
    assert load_node_file(data) is None
    made = create_node_file(data, "n1")
    assert made.name == "n1"
    assert len(made.id) == 16
    assert load_node_file(data) == made
    with pytest.raises(FileExistsError):
        create_node_file(data, "n2")
    assert load_node_file(data) == made


def test_two_nodes_are_not_the_same_and_get_names_of_their_own(tmp_path: Path) -> None:
    one, other = create_node_file(tmp_path / "a"), create_node_file(tmp_path / "b")
    assert one.id != other.id
    assert one.name == f"node-{one.id[:4].hex()}"


def test_a_name_that_no_document_takes_makes_no_node(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        create_node_file(tmp_path, "with space")
    assert load_node_file(tmp_path) is None


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("", "format"),
        ("format = 2", "format"),
        ("format = 1\nid = '00'\nname = 'n'", "id"),
        (f"format = 1\nid = '{'00' * 16}'", "name"),
        (f"format = 1\nid = '{'00' * 16}'\nname = 'a b'", "name"),
        (f"format = 1\nid = '{'00' * 16}'\nname = 'n'\nnam = 'm'", "nam"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, key: str) -> None:
    write_file(tmp_path / NODE_FILE, text.encode())
    with pytest.raises(ConfigError) as raised:
        load_node_file(tmp_path)
    assert (raised.value.where, raised.value.key) == (str(tmp_path / NODE_FILE), key)
