"""Bodies of requests, tokens and credentials, the same in every run; every value can be changed."""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Literal

import orjson
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from clarion.wire.jose import base64url_encode

Body = dict[str, Any]


def apns_token(number: int = 0) -> str:
    """A well-formed APNs device token: 64 hexadecimal digits."""
    return blake2b(b"apns %d" % number, digest_size=32).hexdigest()


def fcm_token(number: int = 0) -> str:
    """A well-formed FCM registration token."""
    octets = b"".join(blake2b(b"fcm %d %d" % (number, part)).digest() for part in range(2))
    text = base64url_encode(octets)
    return f"{text[:22]}:APA91b{text[22:162]}"


def device_body(
    network: Literal["apns", "fcm"] = "fcm", number: int = 0, **changes: object
) -> Body:
    """The body of `POST /v1/devices`."""
    token = apns_token(number) if network == "apns" else fcm_token(number)
    return {
        "network": network,
        "token": token,
        "external_id": f"user-{number}",
        "platform": "phone",
        "language": "en",
        "time_zone": "Europe/Berlin",
        **changes,
    }


def message_body(*users: str, **changes: object) -> Body:
    """The body of `POST /v1/messages` to users by external id, or to all when none is named."""
    target: Body = {"users": list(users)} if users else {"all": True}
    return {"to": target, "title": "Title", "body": "Text.", **changes}


def make_apns_credential(
    *, key_id: str = "TESTKEY001", team_id: str = "TESTTEAM01", topic: str = "com.example.test"
) -> Mapping[str, Mapping[str, str]]:
    """The body of `PUT /v1/credentials/apns`, with a new key."""
    pem = _pem(ec.generate_private_key(ec.SECP256R1()))
    return {
        "public": {"key_id": key_id, "team_id": team_id, "topic": topic},
        "secret": {"private_key": pem},
    }


def make_fcm_credential(*, project: str = "test-project") -> Mapping[str, Mapping[str, str]]:
    """The body of `PUT /v1/credentials/fcm`, with a new service account."""
    account = {
        "type": "service_account",
        "project_id": project,
        "private_key_id": "test",
        "private_key": _pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)),
        "client_email": f"sender@{project}.iam.gserviceaccount.com",
        "token_uri": "https://oauth2.googleapis.com/token",
    }
    return {"secret": {"service_account": orjson.dumps(account).decode()}}


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
