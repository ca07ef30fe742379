"""Certificates for loopback."""

import ssl
import stat
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509 import DNSName, IPAddress
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store

from clarion.adapters.net.loopback_tls import (
    issue_certificate,
    make_loopback_tls,
    server_context,
)

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def test_keys_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    """Also where an older file was readable by all."""
    (tmp_path / "server.key").write_text("old")
    (tmp_path / "server.key").chmod(0o644)
    tls = make_loopback_tls(tmp_path, NOW)
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tls.key, tls.ca_key)} == {0o600}


@pytest.mark.parametrize(
    "subject",
    [
        DNSName("localhost"),
        DNSName("push.lan"),
        IPAddress(ip_address("127.0.0.1")),
        IPAddress(ip_address("::1")),
        IPAddress(ip_address("10.1.2.3")),
    ],
    ids=str,
)
def test_the_server_certificate_verifies_for_its_names(
    tmp_path: Path, subject: DNSName | IPAddress
) -> None:
    """By an independent verifier (RFC 5280), for loopback and the names given."""
    tls = make_loopback_tls(tmp_path, NOW, names=["push.lan", "10.1.2.3"])
    chain = x509.load_pem_x509_certificates(tls.certificate.read_bytes())
    store = Store(x509.load_pem_x509_certificates(tls.ca_file.read_bytes()))
    verifier = PolicyBuilder().store(store).time(NOW + timedelta(days=29))
    assert len(verifier.build_server_verifier(subject).verify(chain[0], [])) == 2


def test_a_client_certificate_is_signed_by_the_same_authority(tmp_path: Path) -> None:
    """And is for clients only."""
    tls = make_loopback_tls(tmp_path, NOW)
    issued = issue_certificate(tls, NOW, common_name="com.example.app")
    certificate, authority = x509.load_pem_x509_certificates(issued.chain_pem.encode())
    certificate.verify_directly_issued_by(authority)
    assert certificate.subject.rfc4514_string() == "CN=com.example.app"
    (purpose,) = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert purpose == ExtendedKeyUsageOID.CLIENT_AUTH


def test_a_server_speaks_no_tls_older_than_1_2(tmp_path: Path) -> None:
    """As the networks do."""
    tls = make_loopback_tls(tmp_path, NOW)
    context = server_context(tls.certificate, tls.key)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_NONE
