"""JOSE: base64url, ES256, RS256, JWT."""

import json
import math

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from clarion.wire import jose
from clarion.wire.jose import JoseError, Json

EC_KEY = ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(65537, 2048)


def pem(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
    encryption: KeySerializationEncryption | None = None,
) -> str:
    """Write a key as Apple and Google hand it out."""
    return key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()
    ).decode()


@given(st.binary(max_size=80))
def test_base64url_makes_the_round_trip(data: bytes) -> None:
    """Without padding, in the URL-safe alphabet."""
    text = jose.base64url_encode(data)
    assert "=" not in text
    assert jose.base64url_decode(text) == data


@pytest.mark.parametrize("text", ["A", "AA==", "A+/A", "AB", "AAB", "AA\n", " AA", "ＡＡ", "AAAAA"])  # noqa: RUF001  full-width
def test_base64url_that_is_not_canonical_is_refused(text: str) -> None:
    """Padding, another alphabet, white space, stray bits, impossible lengths."""
    with pytest.raises(JoseError, match="not base64url"):
        jose.base64url_decode(text)


def test_es256_token_verifies_with_its_key_only() -> None:
    """As Apple checks provider tokens."""
    key = jose.load_es256_key(pem(EC_KEY))
    token = jose.build_jwt({"iss": "TEAM", "iat": 1}, key, key_id="KEY1", typ=None)
    jwt = jose.verify_jwt(token, EC_KEY.public_key())
    assert (jwt.header, jwt.claims) == ({"alg": "ES256", "kid": "KEY1"}, {"iss": "TEAM", "iat": 1})
    assert len(jwt.signature) == 64
    with pytest.raises(JoseError, match="signature does not match"):
        jose.verify_jwt(token, ec.generate_private_key(ec.SECP256R1()).public_key())


def test_rs256_token_verifies_with_its_key_only() -> None:
    """As Google checks service accounts."""
    key = jose.load_rs256_key(pem(RSA_KEY).encode())
    token = jose.build_jwt({"iss": "a@b"}, key, key_id="1")
    assert jose.verify_jwt(token, RSA_KEY.public_key()).claims == {"iss": "a@b"}
    altered = token[:-2] + ("AA" if token[-2:] != "AA" else "QQ")
    with pytest.raises(JoseError):
        jose.verify_jwt(altered, RSA_KEY.public_key())


def test_signing_input_is_deterministic() -> None:
    """typ, alg, kid; claims in the order given; no white space."""
    jwt = jose.parse_jwt(jose.build_jwt({"b": 1, "a": "ü"}, EC_KEY, key_id="k"))
    header, claims = jwt.signing_input.decode().split(".")
    assert jose.base64url_decode(header) == b'{"typ":"JWT","alg":"ES256","kid":"k"}'
    assert jose.base64url_decode(claims) == '{"b":1,"a":"ü"}'.encode()


@pytest.mark.parametrize("length", [0, 63, 65, 70])
def test_es256_signature_of_another_length_is_refused(length: int) -> None:
    """RFC 7518 section 3.4: R and S are 64 octets; DER is another form."""
    assert not jose.verify_es256(b"x", bytes(length), EC_KEY.public_key())


def test_algorithm_is_the_keys_not_the_tokens() -> None:
    """RFC 8725 section 3.1."""
    token = jose.build_jwt({}, EC_KEY)
    with pytest.raises(JoseError, match="alg is not RS256"):
        jose.verify_jwt(token, RSA_KEY.public_key())


def raw_token(header: str, claims: str = "{}") -> str:
    """Sign any two texts, JSON or not."""
    parts = [jose.base64url_encode(text.encode()) for text in (header, claims)]
    signature = jose.sign_es256(".".join(parts).encode(), EC_KEY)
    return ".".join([*parts, jose.base64url_encode(signature)])


@pytest.mark.parametrize(
    ("token", "sentence"),
    [
        ("a.b", "three parts"),
        ("!.e30.", "not base64url"),
        (raw_token("[]"), "header is not a JSON object"),
        (raw_token("{"), "header is not JSON"),
        (raw_token('{"alg":"ES256"}', "{'a':1}"), "claims is not JSON"),
        (raw_token('{"alg":"ES256"}', '{"a":NaN}'), "NaN"),
        (raw_token('{"alg":"ES256","alg":"none"}'), "twice"),
        (raw_token('{"alg":"ES256","crit":["b64"]}'), "critical"),
        (raw_token('{"alg":"ES256"}', '{"a":' + "[" * 5000 + "]" * 5000 + "}"), "deeper"),
        ("A" * 20_000, "at most 16384"),
    ],
    ids=[
        "two parts",
        "no base64url",
        "header is a list",
        "header is cut",
        "claims are cut",
        "not a number",
        "a name twice",
        "a critical extension",
        "deep nesting",
        "too long",
    ],  # signatures differ from run to run, and from worker to worker
)
def test_bad_token_is_refused_with_a_clear_sentence(token: str, sentence: str) -> None:
    """Whatever is wrong is named."""
    with pytest.raises(JoseError, match=sentence):
        jose.verify_jwt(token, EC_KEY.public_key())


@pytest.mark.parametrize("value", [math.nan, math.inf, "\ud800"])
def test_claim_that_json_cannot_hold_is_refused(value: Json) -> None:
    """Before it is signed."""
    with pytest.raises(JoseError, match="NaN, infinity or a lone surrogate"):
        jose.build_jwt({"a": value}, EC_KEY)


def test_wrong_keys_are_refused_with_a_clear_sentence() -> None:
    """The commonest mistakes with credentials files."""
    locked = pem(EC_KEY, BestAvailableEncryption(b"x"))
    other_curve = pem(ec.generate_private_key(ec.SECP384R1()))
    for text, sentence in (
        (locked, "encrypted"),
        (other_curve, "not an elliptic curve key on P-256"),
        (pem(RSA_KEY), "not an elliptic curve key on P-256"),
        ("hello", "PEM"),
        ("\ud800", "PEM"),
        (json.dumps({"private_key": "x"}), "PEM"),
    ):
        with pytest.raises(JoseError, match=sentence):
            jose.load_es256_key(text)
    with pytest.raises(JoseError, match="not an RSA key"):
        jose.load_rs256_key(pem(EC_KEY))
    with pytest.raises(JoseError, match="1024 bits"):
        jose.load_rs256_key(pem(rsa.generate_private_key(65537, 1024)))  # noqa: S505  refused


@given(st.text(max_size=80))
def test_any_text_gives_our_error(text: str) -> None:
    """Nothing but our own error comes out of a token that nobody signed."""
    with pytest.raises(JoseError):
        jose.verify_jwt(text, EC_KEY.public_key())
