"""RFC 8292, VAPID: each MUST, the published example, and the drafts that are still met."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypedDict

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from clarion.wire import vapid
from clarion.wire.endpoint import EndpointError
from clarion.wire.jose import Json, base64url_encode, build_jwt, parse_jwt
from clarion.wire.vapid import VapidCredentials, VapidError, VapidFault, VapidKey


class Vector(TypedDict):
    """The members of the published example."""

    id: str
    kind: str
    authorization: str
    jwt: str
    public_key: str
    jwt_header: dict[str, Json]
    jwt_claims: dict[str, Json]
    jwk: dict[str, str]
    body: dict[str, str]
    media_type: str


VECTORS: dict[str, Vector] = {
    vector["id"]: vector
    for vector in json.loads(Path(__file__).with_name("vectors.json").read_text())["vectors"]
}
EXAMPLE = VECTORS["rfc8292-2.4"]
ENDPOINT = "https://push.example.net/p/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV"
ORIGIN = "https://push.example.net"
SUBJECT = "mailto:push@example.com"
KEY = VapidKey.generate()
POINT = KEY.private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
EXAMPLE_TIME = datetime.fromtimestamp(1453523768, UTC) - timedelta(hours=1)


def credentials(claims: dict[str, Json], key: VapidKey = KEY) -> VapidCredentials:
    """Sign any claims, also wrong ones."""
    return VapidCredentials(token=build_jwt(claims, key.private), public_key=POINT)


def fault(found: VapidCredentials, *, bound_key: bytes | None = None) -> VapidFault:
    """Name the fault that verification finds."""
    with pytest.raises(VapidError) as caught:
        vapid.verify(found, audience_origin=ORIGIN, now=NOW, bound_key=bound_key)
    return caught.value.fault


def claims(**changes: Json) -> dict[str, Json]:
    """Good claims, with changes."""
    good: dict[str, Json] = {"aud": ORIGIN, "exp": int(NOW.timestamp()) + 3600, "sub": SUBJECT}
    return good | changes


def test_example_is_valid_at_its_time() -> None:
    """Section 2.4: the example verifies, and says who sent it."""
    identity = vapid.verify(
        vapid.parse_authorization(EXAMPLE["authorization"]),
        audience_origin=ORIGIN,
        now=EXAMPLE_TIME,
    )
    assert base64url_encode(identity.public_key) == EXAMPLE["public_key"]
    assert identity.subject == SUBJECT
    assert identity.expires_at == datetime(2016, 1, 23, 4, 36, 8, tzinfo=UTC)


def test_example_header_and_claims_are_those_printed() -> None:
    """Section 2.4: typ JWT, alg ES256, and the three claims."""
    jwt = parse_jwt(EXAMPLE["jwt"])
    assert jwt.header == EXAMPLE["jwt_header"]
    assert jwt.claims == EXAMPLE["jwt_claims"]


def test_example_public_key_is_the_uncompressed_point() -> None:
    """Section 3.2: k is the X9.62 point in base64url without padding."""
    found = vapid.parse_authorization(EXAMPLE["authorization"])
    x, y = found.public_key[1:33], found.public_key[33:]
    assert found.public_key[0] == 4
    assert (base64url_encode(x), base64url_encode(y)) == (EXAMPLE["jwk"]["x"], EXAMPLE["jwk"]["y"])


def test_example_signing_input_is_produced_octet_by_octet() -> None:
    """Section 2.4: our token for the same facts differs in nothing but the signature."""
    header = vapid.authorize(
        ENDPOINT, KEY, subject=SUBJECT, now=EXAMPLE_TIME, lifetime=timedelta(hours=1)
    )
    token = vapid.parse_authorization(header.value).token
    assert token.rsplit(".", 1)[0] == EXAMPLE["jwt"].rsplit(".", 1)[0]


def test_restricted_subscription_example_names_a_valid_key() -> None:
    """Section 4.1: the key of the subscribe request is one that can be bound."""
    example = VECTORS["rfc8292-4.1-restricted-subscribe"]
    assert example["media_type"] == "application/webpush-options+json"
    header = f"vapid t={EXAMPLE['jwt']}, k={example['body']['vapid']}"
    bound = vapid.parse_authorization(header).public_key
    found = vapid.parse_authorization(EXAMPLE["authorization"])
    vapid.verify(found, audience_origin=ORIGIN, now=EXAMPLE_TIME, bound_key=bound)


def test_token_is_signed_with_es256() -> None:
    """Section 2: the JWT MUST use JWS with ECDSA on P-256, that is ES256."""
    header = vapid.authorize(ENDPOINT, KEY, subject=SUBJECT, now=NOW)
    jwt = parse_jwt(vapid.parse_authorization(header.value).token)
    assert jwt.header == {"typ": "JWT", "alg": "ES256"}
    assert len(jwt.signature) == 64


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS256", "ES384"])
def test_token_of_another_algorithm_is_refused(algorithm: str) -> None:
    """Section 2: the signature MUST be ES256, whatever the token claims."""
    header, payload, signature = build_jwt(claims(), KEY.private).split(".")
    header = base64url_encode(json.dumps({"alg": algorithm}).encode())
    token = f"{header}.{payload}.{signature}"
    assert fault(VapidCredentials(token=token, public_key=POINT)) is VapidFault.SIGNATURE


@pytest.mark.parametrize(
    ("endpoint", "origin"),
    [
        (ENDPOINT, ORIGIN),
        ("https://push.example.net:443/a", ORIGIN),
        ("HTTPS://PUSH.Example.NET/a?b=c", ORIGIN),
        ("https://push.example.net:8443/a", "https://push.example.net:8443"),
        ("http://127.0.0.1:8081/a", "http://127.0.0.1:8081"),
        ("http://[::1]:8081/a", "http://[::1]:8081"),
        ("http://localhost:80/a", "http://localhost"),
        ("https://bücher.example/a", "https://bücher.example"),
        ("https://xn--bcher-kva.example:444/a", "https://bücher.example:444"),
    ],
)
def test_audience_is_the_origin_of_the_push_resource(endpoint: str, origin: str) -> None:
    """Section 2: aud MUST include the Unicode serialisation of the origin."""
    assert vapid.audience(endpoint) == origin
    header = vapid.authorize(endpoint, KEY, subject=SUBJECT, now=NOW)
    assert header.origin == origin
    found = vapid.parse_authorization(header.value)
    assert parse_jwt(found.token).claims["aud"] == origin
    vapid.verify(found, audience_origin=origin, now=NOW)


def test_audience_of_no_url_is_refused() -> None:
    """A registered endpoint that is no URL is the caller's error."""
    with pytest.raises(EndpointError):
        vapid.authorize("push.example.net", KEY, subject=SUBJECT, now=NOW)


def test_token_expires_after_12_hours_unless_told() -> None:
    """Section 2: exp MUST be included; half of what is allowed survives skewed clocks."""
    header = vapid.authorize(ENDPOINT, KEY, subject=SUBJECT, now=NOW)
    claim = parse_jwt(vapid.parse_authorization(header.value).token).claims["exp"]
    assert claim == int(NOW.timestamp()) + 12 * 3600
    assert header.expires_at == NOW + timedelta(hours=12)


@pytest.mark.parametrize("lifetime", [timedelta(hours=24, microseconds=1), timedelta(0)])
def test_token_never_lives_longer_than_24_hours(lifetime: timedelta) -> None:
    """Section 2: exp MUST NOT be more than 24 hours from the time of the request."""
    with pytest.raises(VapidError) as caught:
        vapid.authorize(ENDPOINT, KEY, subject=SUBJECT, now=NOW, lifetime=lifetime)
    assert caught.value.fault is VapidFault.EXPIRY_TOO_FAR


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001  the strategy takes naive bounds
def test_token_of_24_hours_is_accepted_at_once(now: datetime) -> None:
    """Section 2: rounding to whole seconds never goes beyond the 24 hours."""
    header = vapid.authorize(ENDPOINT, KEY, subject=SUBJECT, now=now, lifetime=vapid.MAX_LIFETIME)
    found = vapid.parse_authorization(header.value)
    vapid.verify(found, audience_origin=ORIGIN, now=now)


@pytest.mark.parametrize("subject", [SUBJECT, "https://example.com", "https://example.com/contact"])
def test_contact_is_a_mailto_or_https_uri(subject: str) -> None:
    """Section 2.1: sub SHOULD be a mailto or https URI."""
    assert vapid.check_subject(subject) == subject


@pytest.mark.parametrize(
    "subject",
    ["", "push@example.com", "mailto:", "mailto:push", "mailto: a@b", "http://example.com",
     "https://", "https://a b", "mailto:a@b\n", "<mailto:a@b>"],
)  # fmt: skip
def test_contact_of_another_form_is_refused(subject: str) -> None:
    """Section 2.1, and push services that refuse what is neither."""
    with pytest.raises(VapidError) as caught:
        vapid.authorize(ENDPOINT, KEY, subject=subject, now=NOW)
    assert caught.value.fault is VapidFault.SUBJECT


@pytest.mark.parametrize("scheme", ["vapid", "VAPID", "Vapid"])
def test_scheme_is_matched_without_regard_to_case(scheme: str) -> None:
    """Section 3: an HTTP authentication scheme (RFC 7235 section 2.1)."""
    found = vapid.parse_authorization(EXAMPLE["authorization"].replace("vapid", scheme, 1))
    assert found.token == EXAMPLE["jwt"]


def test_unknown_parameters_must_be_ignored() -> None:
    """Section 3: all unknown or unsupported parameters MUST be ignored, realm among them."""
    header = f'vapid realm="a, \\"b\\"", k="{EXAMPLE["public_key"]}" ,x=,t={EXAMPLE["jwt"]}'
    assert vapid.parse_authorization(header) == vapid.parse_authorization(EXAMPLE["authorization"])


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, VapidFault.MISSING),
        ("", VapidFault.MALFORMED),
        ("vapid", VapidFault.MALFORMED),
        ("Basic dTpw", VapidFault.SCHEME),
        (f"vapid t={EXAMPLE['jwt']}", VapidFault.MALFORMED),
        (f"vapid k={EXAMPLE['public_key']}", VapidFault.MALFORMED),
        (f"vapid t=a, t=b, k={EXAMPLE['public_key']}", VapidFault.MALFORMED),
        ("vapid t=a; k=b", VapidFault.MALFORMED),
        ("vapid ,,,", VapidFault.MALFORMED),
        ("vapid t=a, k=!!!", VapidFault.PUBLIC_KEY),
        ("vapid t=a, k=BAAA", VapidFault.PUBLIC_KEY),
        (f"vapid t=a, k={'B' + 'A' * 86}", VapidFault.PUBLIC_KEY),
        (f"WebPush {EXAMPLE['jwt']}", VapidFault.MALFORMED),
    ],
)
def test_credentials_that_cannot_be_read_are_named(
    header: str | None, expected: VapidFault
) -> None:
    """Section 4.2: whatever is missing or malformed has its own fault."""
    with pytest.raises(VapidError) as caught:
        vapid.parse_authorization(header)
    assert caught.value.fault is expected


@pytest.mark.parametrize("scheme", ["WebPush", "Bearer", "bearer"])
def test_drafts_carry_the_key_in_crypto_key(scheme: str) -> None:
    """Draft 01 and 02 of the RFC: token alone, key in Crypto-Key beside the encryption's dh."""
    crypto_key = f"keyid=p256dh;dh=BAAA;p256ecdsa={EXAMPLE['public_key']}"
    grouped = f"keyid=a;dh=BAAA,keyid=b;p256ecdsa={EXAMPLE['public_key']}"
    for header in (crypto_key, crypto_key.replace(";dh", ",dh"), grouped):
        found = vapid.parse_authorization(f"{scheme} {EXAMPLE['jwt']}", header)
        vapid.verify(found, audience_origin=ORIGIN, now=EXAMPLE_TIME)


def test_token_signed_by_another_key_is_invalid() -> None:
    """Section 4.2: the signature cannot be verified using the included public key."""
    assert fault(credentials(claims(), VapidKey.generate())) is VapidFault.SIGNATURE


def test_token_that_is_no_jwt_is_invalid() -> None:
    """Section 4.2: as above."""
    assert fault(VapidCredentials(token="a.b", public_key=POINT)) is VapidFault.SIGNATURE


@pytest.mark.parametrize(
    ("exp", "expected"),
    [
        (int(NOW.timestamp()) - 1, VapidFault.EXPIRED),
        (int(NOW.timestamp()) + 24 * 3600 + 1, VapidFault.EXPIRY_TOO_FAR),
        (10**400, VapidFault.EXPIRY_TOO_FAR),
        (-(10**400), VapidFault.EXPIRED),
        (1e300, VapidFault.EXPIRY_TOO_FAR),
        ("soon", VapidFault.MALFORMED),
        (None, VapidFault.MALFORMED),
        (True, VapidFault.MALFORMED),
    ],
)
def test_expiry_is_in_the_next_24_hours(exp: Json, expected: VapidFault) -> None:
    """Section 4.2: invalid when expired, or more than 24 hours before the expiry."""
    assert fault(credentials(claims(exp=exp))) is expected


def test_expiry_is_valid_to_the_second() -> None:
    """Section 4.2: both ends of the 24 hours are inside."""
    for seconds in (0, 24 * 3600):
        found = credentials(claims(exp=int(NOW.timestamp()) + seconds))
        vapid.verify(found, audience_origin=ORIGIN, now=NOW)


@pytest.mark.parametrize(
    "aud", [None, "", "push.example.net", ORIGIN + "/", "http://push.example.net", [], [1], {}]
)
def test_audience_of_another_origin_is_invalid(aud: Json) -> None:
    """Section 4.2: the origin of the push resource is not included in aud."""
    assert fault(credentials(claims(aud=aud))) is VapidFault.AUDIENCE


def test_audience_may_be_a_list_that_includes_the_origin() -> None:
    """RFC 7519 section 4.1.3: aud is a string or a list of strings."""
    vapid.verify(
        credentials(claims(aud=["https://other.example", ORIGIN])), audience_origin=ORIGIN, now=NOW
    )


def test_another_key_than_the_subscriptions_is_invalid() -> None:
    """Section 4.2: the key doesn't match the one that the subscription was created with."""
    other = vapid.parse_authorization(EXAMPLE["authorization"]).public_key
    assert fault(credentials(claims()), bound_key=other) is VapidFault.KEY_MISMATCH


def test_subject_is_optional_for_the_service() -> None:
    """Section 2.1: an application server MAY include sub."""
    bare = claims()
    del bare["sub"]
    identity = vapid.verify(credentials(bare), audience_origin=ORIGIN, now=NOW)
    assert identity.subject is None
    assert fault(credentials(claims(sub=7))) is VapidFault.SUBJECT


def test_additional_claims_are_accepted() -> None:
    """Section 2.2: an application server MAY include additional claims."""
    vapid.verify(credentials(claims(extra={"a": [1]})), audience_origin=ORIGIN, now=NOW)


def test_key_makes_the_round_trip_through_pem_and_scalar() -> None:
    """What is stored, and what other tools print, gives the same key."""
    scalar = KEY.private.private_numbers().private_value.to_bytes(32, "big")
    assert VapidKey.parse(KEY.to_pem()).public == KEY.public
    assert VapidKey.parse(base64url_encode(scalar)).public == KEY.public
    assert VapidKey.parse(base64url_encode(scalar) + "=").public == KEY.public
    assert len(KEY.public) == 87


@pytest.mark.parametrize(
    "text",
    ["", "AAAA", "!!", base64url_encode(bytes(32)), base64url_encode(b"\xff" * 32),
     "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"],
)  # fmt: skip
def test_private_key_that_is_none_is_refused(text: str) -> None:
    """Anything else gives our own error."""
    with pytest.raises(VapidError):
        VapidKey.parse(text)


def test_no_secret_is_shown() -> None:
    """Neither the private key nor a usable token ends in a log by accident."""
    header = vapid.authorize(ENDPOINT, KEY, subject=SUBJECT, now=NOW)
    assert "vapid t=" not in repr(header)
    assert "private" not in repr(KEY)


@given(st.text(max_size=60))
def test_any_header_gives_our_error(text: str) -> None:
    """Nothing but our own error comes out of a header that nobody signed."""
    for value in (text, f"vapid {text}", f"Bearer {text}"):
        with pytest.raises(VapidError):
            vapid.parse_authorization(value, text)
