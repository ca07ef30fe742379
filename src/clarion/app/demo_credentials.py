"""Credentials of accounts that exist only in the simulators: made anew for each run."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import orjson
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

KEY_ID: Final = "DEMOKEY001"
TEAM_ID: Final = "DEMOTEAM01"
TOPIC: Final = "com.example.demo"
PROJECT: Final = "clarion-demo"
EMAIL: Final = f"sender@{PROJECT}.iam.gserviceaccount.com"


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoCredentials:
    """What an operator would get from Apple and from Google."""

    key_file: Path
    """The `.p8` file."""
    service_account_file: Path
    p8: str = field(repr=False)
    service_account: str = field(repr=False)
    """The JSON text."""


def make_credentials(folder: Path) -> DemoCredentials:
    """Make an APNs key and an FCM service account, and write them as the consoles do."""
    p8 = _pem(ec.generate_private_key(ec.SECP256R1()))
    account = orjson.dumps(
        {
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": "demo",
            "private_key": _pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)),
            "client_email": EMAIL,
            "token_uri": "https://oauth2.googleapis.com/token",
        }
    ).decode()
    made = DemoCredentials(
        key_file=folder / f"AuthKey_{KEY_ID}.p8",
        service_account_file=folder / "service-account.json",
        p8=p8,
        service_account=account,
    )
    for file, text in ((made.key_file, p8), (made.service_account_file, account)):
        file.touch(mode=0o600)
        file.write_text(text)
    return made


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
