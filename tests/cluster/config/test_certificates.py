"""Certificates say what they are for and nothing more, and pass strict checks."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta

import pytest

pytest.importorskip("cryptography")

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from lsmkv_cluster.config.certificates import Credentials, issue_node, new_authority
from lsmkv_cluster.errors import ConfigError

CLUSTER_ID = bytes(range(16))
NOW = datetime(2030, 1, 1, tzinfo=UTC)
AUTHORITY = new_authority(CLUSTER_ID, NOW)


def loaded(credentials: Credentials) -> x509.Certificate:
    return x509.load_pem_x509_certificate(credentials.certificate)


def issued(*hosts: str) -> Credentials:
    return issue_node(AUTHORITY, CLUSTER_ID, "n1", hosts, NOW)


def test_the_authority_signs_certificates_and_no_further_authorities():
    certificate = loaded(AUTHORITY)
    basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    assert basic.critical
    assert (basic.value.ca, basic.value.path_length) == (True, 0)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.key_cert_sign
    assert not usage.digital_signature
    certificate.verify_directly_issued_by(certificate)


def test_a_node_says_who_it_is_where_it_is_and_signs_nothing():
    certificate = loaded(issued("db.example", "10.0.0.1", "::1"))
    certificate.verify_directly_issued_by(loaded(AUTHORITY))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [
        f"urn:lsmkv:{CLUSTER_ID.hex()}:node:n1"
    ]
    assert names.get_values_for_type(x509.DNSName) == ["db.example"]
    assert names.get_values_for_type(x509.IPAddress) == [
        ipaddress.ip_address("10.0.0.1"),
        ipaddress.ip_address("::1"),
    ]
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    assert set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == {
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
    }


def test_the_time_comes_from_outside_with_room_for_clocks_that_are_behind():
    certificate = loaded(issue_node(AUTHORITY, CLUSTER_ID, "n1", [], NOW, days=10))
    assert certificate.not_valid_before_utc == NOW - timedelta(hours=1)
    assert certificate.not_valid_after_utc == NOW + timedelta(days=10)


def test_two_nodes_share_no_key_and_no_number():
    one, other = issued(), issued()
    assert one.key != other.key
    assert loaded(one).serial_number != loaded(other).serial_number
    assert "PRIVATE" not in repr(one)


def test_who_is_no_authority_issues_nothing():
    foreign = new_authority(bytes(16), NOW)
    for wrong in (
        Credentials(AUTHORITY.certificate, foreign.key),
        Credentials(b"junk", AUTHORITY.key),
        Credentials(AUTHORITY.certificate, b"junk"),
    ):
        with pytest.raises(ConfigError):
            issue_node(wrong, CLUSTER_ID, "n1", [], NOW)


def test_what_is_no_host_is_refused():
    with pytest.raises(ConfigError, match="neither a host name nor an address"):
        issued("d\u00f6.example")
