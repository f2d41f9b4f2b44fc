"""What a node announces: what was set, else what was bound; never an address of nobody."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lsmkv_cluster.config.announcing import announced
from lsmkv_cluster.config.endpoints import Endpoint, parse_endpoint
from lsmkv_cluster.config.settings import DaemonSettings
from lsmkv_cluster.errors import ConfigError
from lsmkv_cluster.placement.members import Member

SETTINGS = DaemonSettings(data=Path("d"))
BOUND = {
    "resp": Endpoint("127.0.0.1", 40001),
    "cluster": Endpoint("127.0.0.1", 40002),
    "peer": Endpoint("127.0.0.1", 40003),
    "http": Endpoint("127.0.0.1", 40004),
}


def found(settings: DaemonSettings, bound: dict[str, Endpoint]) -> dict[str, Endpoint]:
    addresses = announced(settings, bound)
    Member(bytes(16), "n", "dc1", "r", "h", addresses=addresses)  # they are fit for a document
    return {address.face: parse_endpoint(address.location) for address in addresses}


def test_without_settings_it_is_what_was_bound():
    assert found(SETTINGS, BOUND) == BOUND


def test_what_is_set_is_announced_as_it_is():
    settings = replace(
        SETTINGS,
        announce=Endpoint("db.example", 1),
        announce_cluster=Endpoint("db.example", 2),
        announce_peer=Endpoint("10.0.0.1", 3),
    )
    assert found(settings, BOUND) == {
        "resp": Endpoint("db.example", 1),
        "cluster": Endpoint("db.example", 2),
        "peer": Endpoint("10.0.0.1", 3),
        "http": BOUND["http"],
    }


def test_all_addresses_are_announced_as_the_host_of_clients():
    bound = {face: Endpoint("::", at.port) for face, at in BOUND.items()}
    settings = replace(SETTINGS, announce=Endpoint("fd00::1", 1))
    assert found(settings, bound) == {
        "resp": Endpoint("fd00::1", 1),
        "cluster": Endpoint("fd00::1", 40002),
        "peer": Endpoint("fd00::1", 40003),
        "http": Endpoint("fd00::1", 40004),
    }


@pytest.mark.parametrize(
    ("face", "key"),
    [("resp", "announce"), ("cluster", "announce_cluster"), ("peer", "announce_peer")],
)
def test_all_addresses_without_a_host_are_refused(face: str, key: str) -> None:
    with pytest.raises(ConfigError) as raised:
        announced(SETTINGS, BOUND | {face: Endpoint("0.0.0.0", 1)})
    assert raised.value.key == key
