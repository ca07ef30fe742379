"""TLS as our clients speak it (RFC 8030 section 8, which follows RFC 7525)."""

import ssl

from clarion.adapters.net import client_context


def test_clients_speak_tls_1_2_or_newer_and_verify_whom_they_call() -> None:
    """Older versions are refused, as are certificates of nobody and of somebody else."""
    context = client_context()
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
