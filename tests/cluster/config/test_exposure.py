"""Loopback always; any other address with everything that its port needs, and not with less."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import product
from pathlib import Path

import pytest

from lsmkv_cluster.config.endpoints import Endpoint
from lsmkv_cluster.config.exposure import Protection, check_exposure
from lsmkv_cluster.config.settings import DaemonSettings
from lsmkv_cluster.errors import ExposureError

LOCAL = DaemonSettings(data=Path("d"))
NOTHING = Protection(has_tls=False, has_users=False, has_secret=False)
EVERYTHING = Protection(has_tls=True, has_users=True, has_secret=True)
OPEN = ["0.0.0.0", "::", "10.0.0.1", "db.example", "127.1"]
CLIENT_PORTS = ("listen", "cluster_listen", "http")


def is_allowed(settings: DaemonSettings, protection: Protection) -> bool:
    try:
        check_exposure(settings, protection)
    except ExposureError:
        return False
    return True


def test_what_listens_by_default_needs_nothing():
    check_exposure(LOCAL, NOTHING)
    check_exposure(replace(LOCAL, http=None), NOTHING)
    for host in ("localhost", "::1", "127.3.2.1"):
        check_exposure(replace(LOCAL, listen=Endpoint(host, 1)), NOTHING)


def test_every_port_is_looked_at():
    """One that is added to the settings is asked about here."""
    ports = {
        field.name for field in fields(LOCAL) if isinstance(getattr(LOCAL, field.name), Endpoint)
    }
    assert ports == {*CLIENT_PORTS, "peer_listen"}
    for name in ports:
        assert not is_allowed(replace(LOCAL, **{name: Endpoint("0.0.0.0", 1)}), NOTHING)


@pytest.mark.parametrize("host", OPEN)
@pytest.mark.parametrize("name", [*CLIENT_PORTS, "peer_listen"])
def test_an_open_address_needs_all_that_keeps_others_out(name: str, host: str) -> None:
    settings = replace(LOCAL, **{name: Endpoint(host, 1)})
    for tls, users, secret, clients in product([False, True], repeat=4):
        protection = Protection(has_tls=tls, has_users=users, has_secret=secret)
        needed = [tls, secret] if name == "peer_listen" else [tls, users, clients]
        assert is_allowed(replace(settings, tls_clients=clients), protection) == all(needed)


def test_the_error_names_the_setting_and_all_that_is_missing():
    with pytest.raises(ExposureError) as raised:
        check_exposure(replace(LOCAL, listen=Endpoint("0.0.0.0", 7379)), NOTHING)
    assert raised.value.key == "listen"
    for word in ("0.0.0.0:7379", "tls_ca", "users_file", "127.0.0.1"):
        assert word in str(raised.value)
    with pytest.raises(ExposureError, match=r"tls_ca.*secret"):
        check_exposure(replace(LOCAL, peer_listen=Endpoint("10.0.0.1", 1)), NOTHING)
