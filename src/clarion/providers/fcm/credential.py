"""What an FCM credential must be: a service account of Google's, and a project."""

import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

import orjson

from clarion.ports.provider import CredentialProblem
from clarion.wire.jose import load_rs256_key

PROJECT: Final = re.compile(r"[a-z0-9.:\-]{1,100}")


def problems(
    public: Mapping[str, str], secret: Mapping[str, str], *, token_url: str | None
) -> Sequence[CredentialProblem]:
    """What is wrong with a credential, found without asking Google.

    Args:
        public: may name the `project_id`.
        secret: holds the `service_account`.
        token_url: where to exchange assertions instead of where the account says.
    """
    found = []
    project = public.get("project_id", "")
    try:
        account = read_account(secret)
        token_url_of(account, token_url)
        load_rs256_key(account["private_key"])
        project = project or account.get("project_id", "")
    except ValueError as error:
        detail = f"Not a usable service-account file: {error}."
        found.append(
            CredentialProblem(path="/secret/service_account", code="field_invalid", detail=detail)
        )
    if (project or not found) and not PROJECT.fullmatch(project):
        detail = "The id of the Firebase project: small letters, digits and dashes."
        found.append(
            CredentialProblem(path="/public/project_id", code="field_invalid", detail=detail)
        )
    return found


def read_account(secret: Mapping[str, str]) -> dict[str, str]:
    """The text members of the service-account JSON. Raises `ValueError` with a sentence."""
    try:
        whole = orjson.loads(secret.get("service_account", ""))
    except orjson.JSONDecodeError as error:
        raise ValueError("it is not JSON") from error
    if not isinstance(whole, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 - content, not a Python type
    account = {key: value for key, value in whole.items() if isinstance(value, str)}
    missing = [name for name in ("client_email", "private_key") if not account.get(name)]
    if missing:
        raise ValueError(f"it has no {' and no '.join(missing)}")
    return account


def token_url_of(account: Mapping[str, str], override: str | None) -> str:
    """Where to exchange the assertion; `override` wins. Raises `ValueError` with a sentence."""
    if override is not None:
        return override
    url = account.get("token_uri", "https://oauth2.googleapis.com/token")
    parts = urlsplit(url)
    # The file comes from a tenant: it must not send us anywhere but to Google.
    if parts.scheme != "https" or not (parts.hostname or "").endswith(".googleapis.com"):
        raise ValueError("its token_uri is not Google's")
    return url
