"""JOSE as far as push networks use it: base64url, ES256, RS256, JWT.

Sources: RFC 4648 section 5 (base64url), RFC 7515 (JWS compact form), RFC 7518 sections 3.3 and
3.4 (RS256, ES256), RFC 7519 (JWT), RFC 8725 (the algorithm is decided by the key, never by the
token).
"""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import load_pem_private_key

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
SigningKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
VerifyingKey: TypeAlias = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

COORDINATE_OCTETS = 32
"""Octets of R, S and of a coordinate on P-256."""
MIN_RSA_BITS = 2048
"""RFC 7518 section 3.3: a key of size 2048 bits or larger MUST be used."""
MAX_TOKEN_CHARS = 16_384
"""A longer token is refused before any work is spent on it."""
MAX_JSON_DEPTH = 16
"""A JWT nested deeper than this is refused before the JSON parser recurses into it."""

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)
_ES256 = ec.ECDSA(hashes.SHA256())


class JoseError(ValueError):
    """A key, token or base64url text is not what it must be; the message says what is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Jwt:
    """A token taken apart, **not yet verified** unless it came from `verify_jwt`.

    Attributes:
        header: the JOSE header.
        claims: the claims set.
        signing_input: the ASCII octets that are signed, `header "." claims`.
        signature: the raw signature octets.
    """

    header: dict[str, Json]
    claims: dict[str, Json]
    signing_input: bytes
    signature: bytes


def base64url_encode(data: bytes) -> str:
    """Encode without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def base64url_decode(text: str) -> bytes:
    """Decode strictly: no padding, no other alphabet, no stray bits at the end.

    Raises:
        JoseError: if the text is not the one canonical encoding of some octets.
    """
    if not _BASE64URL.fullmatch(text):
        raise JoseError("not base64url: a character outside A-Z a-z 0-9 - _ was found")
    if len(text) % 4 == 1:
        raise JoseError(f"not base64url: {len(text)} characters cannot encode whole octets")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64url_encode(data) != text:
        raise JoseError("not base64url: the last character carries bits that encode nothing")
    return data


def load_es256_key(pem: str | bytes) -> ec.EllipticCurvePrivateKey:
    """Read an unencrypted PEM private key on P-256, such as Apple's `.p8` file.

    Raises:
        JoseError: if the text is no PEM key, is encrypted, or is a key of another kind.
    """
    key = _load_pem(pem)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise JoseError("the key is not an elliptic curve key on P-256, which ES256 needs")
    return key


def load_rs256_key(pem: str | bytes) -> rsa.RSAPrivateKey:
    """Read an unencrypted PEM RSA private key, such as a service account's `private_key`.

    Raises:
        JoseError: if the text is no PEM key, is encrypted, is not RSA, or is under 2048 bits.
    """
    key = _load_pem(pem)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise JoseError("the key is not an RSA key, which RS256 needs")
    if key.key_size < MIN_RSA_BITS:
        raise JoseError(f"the RSA key has {key.key_size} bits; RS256 needs at least {MIN_RSA_BITS}")
    return key


def _load_pem(pem: str | bytes) -> object:
    data = pem.encode("utf-8", "replace") if isinstance(pem, str) else pem
    try:
        return load_pem_private_key(data, password=None)
    except TypeError as error:  # the library's way of saying that a password is needed
        raise JoseError("the private key is encrypted; store it without a passphrase") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise JoseError("not a private key in PEM form (-----BEGIN PRIVATE KEY-----)") from error


def sign_es256(message: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """Sign with ECDSA P-256 SHA-256; the result is R || S, 64 octets (RFC 7518 section 3.4)."""
    r, s = decode_dss_signature(key.sign(message, _ES256))
    return r.to_bytes(COORDINATE_OCTETS, "big") + s.to_bytes(COORDINATE_OCTETS, "big")


def verify_es256(message: bytes, signature: bytes, key: ec.EllipticCurvePublicKey) -> bool:
    """Tell whether a 64-octet R || S signature is the key's over the message."""
    if len(signature) != 2 * COORDINATE_OCTETS:
        return False
    der = encode_dss_signature(
        int.from_bytes(signature[:COORDINATE_OCTETS], "big"),
        int.from_bytes(signature[COORDINATE_OCTETS:], "big"),
    )
    try:
        key.verify(der, message, _ES256)
    except InvalidSignature:
        return False
    return True


def sign_rs256(message: bytes, key: rsa.RSAPrivateKey) -> bytes:
    """Sign with RSASSA-PKCS1-v1_5 SHA-256 (RFC 7518 section 3.3)."""
    return key.sign(message, padding.PKCS1v15(), hashes.SHA256())


def verify_rs256(message: bytes, signature: bytes, key: rsa.RSAPublicKey) -> bool:
    """Tell whether a PKCS#1 v1.5 signature is the key's over the message."""
    try:
        key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def build_jwt(
    claims: Mapping[str, Json],
    key: SigningKey,
    *,
    key_id: str | None = None,
    typ: str | None = "JWT",
) -> str:
    """Build and sign a JWT in compact form.

    The header's members are always in the order `typ`, `alg`, `kid`, the claims' in the order
    given, without white space: equal input gives an equal signing input.

    Args:
        claims: the claims set.
        key: an EC key on P-256 signs with ES256, an RSA key with RS256.
        key_id: the `kid` header, absent if None.
        typ: the `typ` header, absent if None.
    """
    header: dict[str, Json] = {} if typ is None else {"typ": typ}
    header["alg"] = "ES256" if isinstance(key, ec.EllipticCurvePrivateKey) else "RS256"
    if key_id is not None:
        header["kid"] = key_id
    signing_input = f"{_segment(header)}.{_segment(claims)}"
    octets = signing_input.encode("ascii")
    if isinstance(key, ec.EllipticCurvePrivateKey):
        signature = sign_es256(octets, key)
    else:
        signature = sign_rs256(octets, key)
    return f"{signing_input}.{base64url_encode(signature)}"


def _segment(members: Mapping[str, Json]) -> str:
    try:
        text = json.dumps(members, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return base64url_encode(text.encode("utf-8"))
    except ValueError as error:
        raise JoseError("a claim holds NaN, infinity or a lone surrogate") from error


def parse_jwt(token: str) -> Jwt:
    """Take a compact JWT apart without verifying it.

    Raises:
        JoseError: if it is not three base64url parts of which the first two are JSON objects.
    """
    if len(token) > MAX_TOKEN_CHARS:
        raise JoseError(
            f"the token has {len(token)} characters; at most {MAX_TOKEN_CHARS} are read"
        )
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004  RFC 7515 section 7.1: header, payload, signature
        raise JoseError(f"a JWT has three parts separated by dots; this has {len(parts)}")
    header = _json_object(base64url_decode(parts[0]), "header")
    claims = _json_object(base64url_decode(parts[1]), "claims")
    return Jwt(
        header=header,
        claims=claims,
        signing_input=f"{parts[0]}.{parts[1]}".encode("ascii"),
        signature=base64url_decode(parts[2]),
    )


def verify_jwt(token: str, key: VerifyingKey) -> Jwt:
    """Parse a JWT and verify its signature with the given key; the claims are the caller's.

    Raises:
        JoseError: if it is malformed, names another algorithm than the key's, carries critical
            extensions (RFC 7515 section 4.1.11), or the signature does not match.
    """
    jwt = parse_jwt(token)
    expected = "ES256" if isinstance(key, ec.EllipticCurvePublicKey) else "RS256"
    if jwt.header.get("alg") != expected:
        raise JoseError(f"the token's alg is not {expected}, which its key demands")
    if "crit" in jwt.header:
        raise JoseError("the token demands critical extensions, and none is known here")
    if isinstance(key, ec.EllipticCurvePublicKey):
        valid = verify_es256(jwt.signing_input, jwt.signature, key)
    else:
        valid = verify_rs256(jwt.signing_input, jwt.signature, key)
    if not valid:
        raise JoseError("the token's signature does not match its key")
    return jwt


def _json_object(data: bytes, part: str) -> dict[str, Json]:
    if data.count(b"{") + data.count(b"[") > MAX_JSON_DEPTH:
        raise JoseError(f"the token's {part} nests deeper than any JWT needs")
    try:
        value: Json = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant
        )
    except JoseError:
        raise
    except ValueError as error:
        raise JoseError(f"the token's {part} is not JSON in UTF-8") from error
    if not isinstance(value, dict):
        raise JoseError(f"the token's {part} is not a JSON object")
    return value


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):  # RFC 7515 section 4, RFC 7519 section 4: names are unique
        raise JoseError("the token names one member twice")
    return members


def _no_constant(name: str) -> Json:
    raise JoseError(f"the token holds {name}, which is not JSON")
