"""An authority of the cluster's own, and certificates for its nodes.

Needs the extra lsmkv[certs], so only who makes certificates imports this module. It keeps and reads
no files, and the time comes from outside. Keys are of P-256, which every client understands. A
certificate says which node of which cluster it is for (tls.node_uri) and at which hosts clients
find it; nothing can be signed with it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lsmkv_cluster.config.tls import node_uri
from lsmkv_cluster.errors import ConfigError

__all__ = ["AUTHORITY_DAYS", "NODE_DAYS", "Credentials", "issue_node", "new_authority"]

AUTHORITY_DAYS = 3650
NODE_DAYS = 825
CLOCK_SKEW = timedelta(hours=1)  # by which another clock may be behind ours


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """PEM, the key not encrypted."""

    certificate: bytes
    key: bytes


def new_authority(cluster_id: bytes, now: datetime, days: int = AUTHORITY_DAYS) -> Credentials:
    """Trusted for this cluster alone; whoever has its key can make nodes."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"lsmkv {cluster_id.hex()}")
    builder = _builder(name, name, key, now, days)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(is_authority=True), critical=True)
    return _signed(builder, key, key)


def issue_node(
    authority: Credentials,
    cluster_id: bytes,
    name: str,
    hosts: Sequence[str],
    now: datetime,
    days: int = NODE_DAYS,
) -> Credentials:
    """`hosts`: names and addresses by which clients connect. ConfigError for what is none."""
    issuer, issuer_key = _loaded(authority)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_name(name), issuer.subject, key, now, days)
    no_authority = x509.BasicConstraints(ca=False, path_length=None)
    builder = builder.add_extension(no_authority, critical=True)
    builder = builder.add_extension(_usage(is_authority=False), critical=True)
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = builder.add_extension(x509.ExtendedKeyUsage(both), critical=False)
    uri = x509.UniformResourceIdentifier(node_uri(cluster_id, name))
    names = x509.SubjectAlternativeName([uri, *map(_host, hosts)])
    builder = builder.add_extension(names, critical=False)
    return _signed(builder, key, issuer_key)


def _loaded(authority: Credentials) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        certificate = x509.load_pem_x509_certificate(authority.certificate)
        key = serialization.load_pem_private_key(authority.key, password=None)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"no certificate and key of an authority: {error}") from error
    if (
        not isinstance(key, ec.EllipticCurvePrivateKey)
        or key.public_key() != certificate.public_key()
    ):
        raise ConfigError("the key of the authority is not that of its certificate")
    return certificate, key


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host.encode("ascii").decode())
    except ValueError as error:
        raise ConfigError(f"{host!r} is neither a host name nor an address") from error


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    days: int,
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer)
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - CLOCK_SKEW)
    builder = builder.not_valid_after(now + timedelta(days=days))
    subject_key = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return builder.add_extension(subject_key, critical=False)


def _signed(
    builder: x509.CertificateBuilder,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
) -> Credentials:
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    builder = builder.add_extension(issuer, critical=False)
    certificate = builder.sign(issuer_key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    return Credentials(
        certificate=certificate.public_bytes(pem),
        key=key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain),
    )
