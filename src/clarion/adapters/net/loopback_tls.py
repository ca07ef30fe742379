"""A certificate authority of our own for loopback: tests, the demo and `clarion simulate`."""

import ipaddress
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_BACKDATED = timedelta(hours=1)
_LIFETIME = timedelta(days=30)


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopbackTls:
    """PEM files of an authority and of a server certificate that it signed."""

    ca_file: Path
    certificate: Path
    """The server's certificate, followed by the authority's."""
    key: Path
    """The server's key, readable by its owner only."""
    ca_key: Path
    """The authority's key, readable by its owner only."""


@dataclass(frozen=True, kw_only=True, slots=True)
class IssuedCertificate:
    """A certificate and its key in PEM."""

    chain_pem: str
    key_pem: str


def make_loopback_tls(folder: Path, now: datetime, names: Sequence[str] = ()) -> LoopbackTls:
    """Make an authority and a server certificate, valid from an hour before `now` for 30 days.

    Args:
        folder: where the four files go; it must exist.
        now: aware, UTC.
        names: host names and addresses besides 127.0.0.1, ::1 and localhost.
    """
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Clarion loopback authority")])
    ca = (
        _builder(ca_name, ca_name, ca_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(_authority_id(ca_key), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    tls = LoopbackTls(
        ca_file=folder / "ca.pem",
        certificate=folder / "server.pem",
        key=folder / "server.key",
        ca_key=folder / "ca.key",
    )
    ca_pem = ca.public_bytes(Encoding.PEM)
    tls.ca_file.write_bytes(ca_pem)
    _write_secret(tls.ca_key, _key_pem(ca_key))
    server = issue_certificate(
        tls, now, common_name="localhost", names=(*_LOOPBACK, *names), client=False
    )
    tls.certificate.write_text(server.chain_pem)
    _write_secret(tls.key, server.key_pem.encode())
    return tls


def issue_certificate(
    tls: LoopbackTls,
    now: datetime,
    *,
    common_name: str,
    names: Sequence[str] = (),
    client: bool = True,
) -> IssuedCertificate:
    """A certificate signed by the loopback authority, for a client or for a server."""
    ca = x509.load_pem_x509_certificate(tls.ca_file.read_bytes())
    ca_key = _read_key(tls.ca_key)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    purpose = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
    builder = (
        _builder(subject, ca.subject, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(_authority_id(ca_key), critical=False)
    )
    if names:
        general = [_general_name(name) for name in dict.fromkeys(names)]
        builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=False)
    certificate = builder.sign(ca_key, hashes.SHA256())
    chain = certificate.public_bytes(Encoding.PEM) + ca.public_bytes(Encoding.PEM)
    return IssuedCertificate(chain_pem=chain.decode(), key_pem=_key_pem(key).decode())


def server_context(
    certificate: Path,
    key: Path,
    *,
    alpn: Sequence[str] = ("h2", "http/1.1"),
    client_ca: Path | None = None,
) -> ssl.SSLContext:
    """A server's TLS context: TLS 1.2 and newer, ALPN as given.

    With `client_ca`, certificates of clients are asked for and checked, but not required: whether
    one is needed is for the simulator to judge.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(list(alpn))
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _authority_id(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _read_key(file: Path) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(file.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{file.name} holds no elliptic-curve key")
    return key


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write_secret(file: Path, octets: bytes) -> None:
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as target:
        target.write(octets)
