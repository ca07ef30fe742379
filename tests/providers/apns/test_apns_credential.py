"""What Apple wrote into a push certificate is read, and held against the credential."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID, ObjectIdentifier
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.network import Environment
from clarion.domain.outcome import Verdict
from clarion.providers.apns.credential import problems, read_certificate

if TYPE_CHECKING:
    from tests.providers.apns.conftest import MakeStage

NOW = datetime(2026, 5, 1, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
KEY_PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
SANDBOX, PRODUCTION, TOPICS = (f"1.2.840.113635.100.6.3.{last}" for last in (1, 2, 6))
NULL = b"\x05\x00"

NAMES = st.from_regex(r"[a-z]{1,20}(\.[a-z]{1,40}){1,6}", fullmatch=True)


def element(tag: int, content: bytes) -> bytes:
    """A DER element (X.690 section 8.1)."""
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 + len(octets)]) + octets + content


def listed(topics: Sequence[str]) -> bytes:
    """The extension as Apple writes it: each topic, then what it is for."""
    use = element(0x30, element(0x0C, b"app"))
    return element(0x30, b"".join(element(0x0C, topic.encode()) + use for topic in topics))


def certificate(uid: str | None = None, **extensions: bytes) -> str:
    """A self-signed push certificate with Apple's extensions, named by what they hold."""
    oids = {"topics": TOPICS, "sandbox": SANDBOX, "production": PRODUCTION}
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, "Apple Push Services")]
    if uid is not None:
        parts.insert(0, x509.NameAttribute(NameOID.USER_ID, uid))
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(parts))
        .issuer_name(x509.Name(parts))
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=5))
        .not_valid_after(NOW + timedelta(days=360))
    )
    for name, value in extensions.items():
        extension = x509.UnrecognizedExtension(ObjectIdentifier(oids[name]), value)
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(KEY, SHA256()).public_bytes(Encoding.PEM).decode()


def faults(pem: str, **public: str) -> list[tuple[str, str]]:
    """Path and sentence of each problem of a credential with this certificate."""
    secret = {"certificate": pem, "certificate_key": KEY_PEM}
    return [(p.path, p.detail) for p in problems(public, secret, NOW)]


@given(st.lists(NAMES, max_size=12, unique=True), NAMES)
def test_the_topics_are_those_of_the_list_and_of_the_subject(topics: list[str], uid: str) -> None:
    """Whatever their number and length."""
    said = read_certificate(certificate(uid, topics=listed(topics)))
    assert said.topics == tuple(sorted({*topics, uid}))
    assert said.expires_at == NOW + timedelta(days=360)


@given(st.binary(max_size=60))
def test_a_list_that_is_none_is_a_fault_of_the_certificate(value: bytes) -> None:
    """Never a failure of ours."""
    try:
        read_certificate(certificate(topics=value))
    except ValueError:
        ((path, _),) = faults(certificate(topics=value), topic="com.example")
        assert path == "/secret/certificate"


@pytest.mark.parametrize(
    ("extensions", "environments", "only"),
    [
        ({}, set(), Environment.UNKNOWN),
        ({"sandbox": NULL}, {Environment.SANDBOX}, Environment.SANDBOX),
        ({"production": NULL}, {Environment.PRODUCTION}, Environment.PRODUCTION),
        (
            {"sandbox": NULL, "production": NULL},
            {Environment.SANDBOX, Environment.PRODUCTION},
            Environment.UNKNOWN,
        ),
    ],
)
def test_the_environments_are_those_of_the_extensions(
    extensions: dict[str, bytes], environments: set[Environment], only: Environment
) -> None:
    """One certificate may serve both of Apple's worlds."""
    said = read_certificate(certificate("com.example", **extensions))
    assert said.environments == environments
    assert said.environment is only


def test_a_certificate_for_other_apps_is_refused_and_says_for_which_it_is() -> None:
    """Every message would be refused with TopicDisallowed, hours later."""
    pem = certificate("com.other", topics=listed(["com.other", "com.other.voip"]))
    assert faults(pem, topic="com.example") == [
        (
            "/public/topic",
            "The certificate is not for com.example but for com.other, com.other.voip.",
        )
    ]
    assert faults(pem, topic="com.other") == []


def test_a_certificate_that_names_no_topic_is_left_to_apple() -> None:
    """What it does not say can't be held against it."""
    assert faults(certificate(), topic="com.example") == []


def test_a_certificate_for_the_other_world_is_refused() -> None:
    """The connection would be refused with BadCertificateEnvironment."""
    pem = certificate("com.example", sandbox=NULL)
    assert faults(pem, topic="com.example", environment="production") == [
        ("/public/environment", "The certificate is for sandbox only.")
    ]
    assert faults(pem, topic="com.example", environment="sandbox") == []
    assert faults(pem, topic="com.example") == []


@pytest.mark.parametrize("world", ["sandbox", "production"])
async def test_tokens_of_an_unknown_world_go_where_the_certificate_is_good(
    make_stage: "MakeStage", world: str
) -> None:
    """The other world would refuse the connection, and the credential with it."""
    stage = make_stage(sandbox_any=True)
    stage.use_certificate(certificate("com.example", **{world: NULL}), KEY_PEM, {"com.example"})
    stage.sandbox.certificates.update(stage.production.certificates)
    tokens = [f"{n:064x}".encode() for n in range(1, 4)]
    answers = await stage.send(tokens, environment=Environment.UNKNOWN)
    assert answers.verdict.tolist() == [Verdict.OK] * 3
    assert {seen.authority for seen in stage.transport.seen} == {f"{world}.test"}
