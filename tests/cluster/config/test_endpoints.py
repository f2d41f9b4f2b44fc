"""HOST:PORT is read as it is written; which addresses stay on this machine, and which are none."""

from __future__ import annotations

import pytest

from lsmkv_cluster.config.endpoints import Endpoint, is_loopback, is_wildcard, parse_endpoint


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("127.0.0.1:7379", Endpoint("127.0.0.1", 7379)),
        ("[::1]:0", Endpoint("::1", 0)),
        ("db-1.example:65535", Endpoint("db-1.example", 65535)),
    ],
)
def test_what_is_read_is_written_again(text: str, endpoint: Endpoint) -> None:
    assert parse_endpoint(text) == endpoint
    assert str(endpoint) == text


NO_ENDPOINTS = ["", "7379", ":7379", "host:", "host:x", "host:-1", "host:65536", "host:\u0661"]
NO_ENDPOINTS += ["::1:7379", "[]:1", "[::1:7379", "a b:1", "http://host:1", "host:999999999999"]


@pytest.mark.parametrize("text", NO_ENDPOINTS)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_endpoint(text)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost", "LOCALHOST"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "10.0.0.1", "localhost.example", "127.1", "::ffff:10.0.0.1", ""]
)
def test_what_others_may_reach_is_not_loopback(host: str) -> None:
    """When in doubt it is not: 127.1 means loopback to some resolvers only."""
    assert not is_loopback(host)


def test_wildcards():
    assert is_wildcard("0.0.0.0")
    assert is_wildcard("::")
    assert not is_wildcard("10.0.0.1")
    assert not is_wildcard("host")
