"""The judge itself: the token endpoint and `messages:send`, as strict as Google."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from clarion.ports.simulator import SimulatedAnswer, SimulatedRequest, Simulator
from clarion.providers.fcm.simulator import FcmAccount, FcmFaults, FcmSimulator
from clarion.wire.jose import Json, build_jwt

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
KEY = rsa.generate_private_key(65537, 2048)
OTHER = rsa.generate_private_key(65537, 2048)
PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
EMAIL = "sender@demo.iam.gserviceaccount.com"
TOKEN = "c1:APA91bTOKEN"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"


def assertion(key: rsa.RSAPrivateKey = KEY, **changed: Json) -> str:
    """A good assertion but for what is given."""
    at = int(NOW.timestamp())
    claims: dict[str, Json] = {
        "iss": EMAIL, "scope": SCOPE, "aud": "https://x/token", "iat": at, "exp": at + 3600,
    }  # fmt: skip
    return build_jwt(claims | changed, key)


@dataclass
class Case:
    """A simulator and the requests that a test makes."""

    faults: FcmFaults = field(default_factory=FcmFaults)

    def __post_init__(self) -> None:
        projects = frozenset({"demo", "second"})
        self.judge = FcmSimulator(
            accounts=[
                FcmAccount(email=EMAIL, public_pem=PEM, projects=projects - {"second"}),
                FcmAccount(email="b@b", public_pem=PEM, projects=projects),
            ],
            tokens={TOKEN: "demo", "fid-1": "demo", "foreign": "second"},
            token_url="https://x/token",
            faults=self.faults,
            record=True,
        )
        self.bearer = ""

    def ask(
        self, path: str, body: bytes, *, bearer: str = "", now: datetime = NOW, method: str = "POST"
    ) -> SimulatedAnswer:
        """Any request."""
        return self.judge.answer(
            SimulatedRequest(
                connection=1,
                stream=1,
                method=method,
                path=path,
                authority="fcm.googleapis.com",
                headers=[(b"authorization", f"Bearer {bearer}".encode())] if bearer else [],
                body=body,
                peer_certificate=None,
                now=now,
            )
        )

    def grant(self, text: str | None = None, grant_type: str = GRANT) -> SimulatedAnswer:
        """An exchange at the token endpoint."""
        form = {"grant_type": grant_type, "assertion": assertion() if text is None else text}
        return self.ask("/token", urlencode(form).encode())

    def send(
        self,
        message: object,
        *,
        project: str = "demo",
        now: datetime = NOW,
        **more: object,
    ) -> SimulatedAnswer:
        """A message with a good access token."""
        if not self.bearer:
            self.bearer = orjson.loads(self.grant().body)["access_token"]
        body = orjson.dumps({"message": message, **more})
        path = f"/v1/projects/{project}/messages:send"
        return self.ask(path, body, bearer=self.bearer, now=now)


@pytest.fixture
def case() -> Case:
    """A strict simulator."""
    return Case()


def verdict(answer: SimulatedAnswer) -> tuple[int, str, list[str]]:
    """HTTP status, `error.status`, and what each detail is."""
    error = orjson.loads(answer.body)["error"]
    kinds = [d.get("errorCode") or d["@type"].rpartition(".")[2] for d in error["details"]]
    return answer.status, error["status"], kinds


def test_a_good_message_gets_a_name(case: Case) -> None:
    """As Google shapes it."""
    answer = case.send({"token": TOKEN, "data": {"a": "b"}, "android": {"ttl": "3.5s"}})
    assert answer.status == 200
    assert orjson.loads(answer.body)["name"].startswith("projects/demo/messages/0:")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"token": "c:unknown"}, (400, "INVALID_ARGUMENT", ["INVALID_ARGUMENT"])),
        ({"token": "a b"}, (400, "INVALID_ARGUMENT", ["INVALID_ARGUMENT"])),
        ({"token": "foreign"}, (403, "PERMISSION_DENIED", ["SENDER_ID_MISMATCH"])),
        ({}, (400, "INVALID_ARGUMENT", ["BadRequest"])),
        ({"token": TOKEN, "fid": "fid-1"}, (400, "INVALID_ARGUMENT", ["BadRequest"])),
        ({"token": 7}, (400, "INVALID_ARGUMENT", ["BadRequest"])),
        ({"token": TOKEN, "date": {}}, (400, "INVALID_ARGUMENT", ["BadRequest"])),
        ({"token": TOKEN, "data": {"a": 1}}, (400, "INVALID_ARGUMENT", ["BadRequest"])),
        ({"token": TOKEN, "data": []}, (400, "INVALID_ARGUMENT", ["BadRequest"])),
        ({"token": TOKEN, "data": {"from": "x"}}, (400, "INVALID_ARGUMENT", ["INVALID_ARGUMENT"])),
        ({"token": TOKEN, "data": {"gcm.x": "x"}}, (400, "INVALID_ARGUMENT", ["INVALID_ARGUMENT"])),
        ({"token": TOKEN, "data": {"a": "x" * 4096}}, (400, "INVALID_ARGUMENT",
                                                       ["INVALID_ARGUMENT"])),
        ({"token": TOKEN, "notification": {"text": "x"}}, (400, "INVALID_ARGUMENT",
                                                           ["BadRequest"])),
        ({"token": TOKEN, "android": {"ttl": 30}}, (400, "INVALID_ARGUMENT", ["BadRequest"])),
        ({"token": TOKEN, "android": {"ttl": "30"}}, (400, "INVALID_ARGUMENT", ["BadRequest"])),
        ({"token": TOKEN, "android": {"ttl": "2419201s"}}, (400, "INVALID_ARGUMENT",
                                                            ["INVALID_ARGUMENT"])),
        ({"token": TOKEN, "android": {"priority": "MAX"}}, (400, "INVALID_ARGUMENT",
                                                            ["BadRequest"])),
        ({"token": TOKEN, "webpush": {"headers": {"TTL": 3}}}, (400, "INVALID_ARGUMENT",
                                                                ["BadRequest"])),
        ({"token": TOKEN, "webpush": {"fcm_options": {"link": "http://x"}}},
         (400, "INVALID_ARGUMENT", ["INVALID_ARGUMENT"])),
        ({"token": TOKEN, "apns": {"payload": {"x": "x" * 4096}}}, (400, "INVALID_ARGUMENT",
                                                                    ["INVALID_ARGUMENT"])),
        ("text", (400, "INVALID_ARGUMENT", ["BadRequest"])),
    ],
)  # fmt: skip
def test_each_fault_of_a_message_is_told_in_its_shape(
    case: Case, message: object, expected: tuple[int, str, list[str]]
) -> None:
    """FcmError is a verdict on the target, BadRequest on the JSON."""
    assert verdict(case.send(message)) == expected


def test_a_token_once_registered_is_unregistered_and_not_unknown(case: Case) -> None:
    """404 with FCM's word; a project that is nobody's gets a plain 404."""
    case.judge.unregistered.add(TOKEN)
    assert verdict(case.send({"token": TOKEN})) == (404, "NOT_FOUND", ["UNREGISTERED"])
    assert verdict(case.send({"token": TOKEN}, project="nowhere")) == (404, "NOT_FOUND", [])


def test_an_account_sends_to_its_own_projects(case: Case) -> None:
    """403 without an FcmError."""
    assert verdict(case.send({"token": TOKEN}, project="second")) == (403, "PERMISSION_DENIED", [])


def test_installation_ids_topics_and_conditions_are_targets(case: Case) -> None:
    """Exactly one of four."""
    for target in ({"fid": "fid-1"}, {"topic": "news"}, {"condition": "'a' in topics"}):
        assert case.send(target).status == 200


def test_validate_only_delivers_nothing(case: Case) -> None:
    """The same answer, and no record."""
    assert case.send({"token": TOKEN}, validate_only=True).status == 200
    assert case.judge.record is not None
    assert not case.judge.record.deliveries
    assert case.send({"token": TOKEN}, validate_only="yes").status == 400


def test_an_access_token_ends_and_is_not_made_up(case: Case) -> None:
    """401 without an FcmError."""
    expected: tuple[int, str, list[str]] = (401, "UNAUTHENTICATED", [])
    path, body = "/v1/projects/demo/messages:send", b'{"message":{"token":"x"}}'
    assert verdict(case.ask(path, body)) == expected
    assert verdict(case.ask(path, body, bearer="ya29.made-up")) == expected
    assert verdict(case.send({"token": TOKEN}, now=NOW + timedelta(hours=1))) == expected


def test_malformed_json_is_a_bad_request(case: Case) -> None:
    """Not an exception."""
    case.send({"token": TOKEN})
    answer = case.ask("/v1/projects/demo/messages:send", b"{", bearer=case.bearer)
    assert verdict(answer) == (400, "INVALID_ARGUMENT", ["BadRequest"])


def test_a_good_assertion_is_granted(case: Case) -> None:
    """RFC 6749 section 5.1."""
    said = orjson.loads(case.grant().body)
    assert said["token_type"] == "Bearer"
    assert said["expires_in"] == 3599


AT = int(NOW.timestamp())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.b.c",
        assertion(OTHER),
        assertion(iss="nobody@demo"),
        assertion(aud="https://elsewhere/token"),
        assertion(scope="https://www.googleapis.com/auth/drive"),
        assertion(iat=AT - 7200, exp=AT - 3600),
        assertion(iat=AT + 3600, exp=AT + 7200),
        assertion(exp=AT + 7200),
        assertion(iat="now"),
    ],
)
def test_any_other_assertion_is_an_invalid_grant(case: Case, text: str) -> None:
    """RFC 6749 section 5.2."""
    answer = case.grant(text)
    assert answer.status == 400
    assert orjson.loads(answer.body)["error"] == "invalid_grant"


def test_another_grant_type_is_unsupported(case: Case) -> None:
    """Only RFC 7523's."""
    said = orjson.loads(case.grant(grant_type="password").body)
    assert said["error"] == "unsupported_grant_type"


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("THIRD_PARTY_AUTH_ERROR", (401, "UNAUTHENTICATED", ["THIRD_PARTY_AUTH_ERROR"])),
        ("SENDER_ID_MISMATCH", (403, "PERMISSION_DENIED", ["SENDER_ID_MISMATCH"])),
        ("PERMISSION_DENIED", (403, "PERMISSION_DENIED", [])),
        ("UNAVAILABLE", (503, "UNAVAILABLE", ["UNAVAILABLE"])),
        ("INTERNAL", (500, "INTERNAL", ["INTERNAL"])),
        ("QUOTA_EXCEEDED", (429, "RESOURCE_EXHAUSTED", ["QUOTA_EXCEEDED"])),
    ],
)
def test_a_configuration_fault_meets_every_request(
    reason: str, expected: tuple[int, str, list[str]]
) -> None:
    """As if the Firebase project were misconfigured."""
    assert verdict(Case(FcmFaults(reason=reason)).send({"token": TOKEN})) == expected


def test_both_protocols_and_a_hundred_streams_from_the_start(case: Case) -> None:
    """Google's front end."""
    judge: Simulator = case.judge
    assert judge.initial_max_streams == 100
    assert judge.speaks_http1


def test_deliveries_are_counted_with_their_display_ids(case: Case) -> None:
    """To find what is missing and what came twice."""
    for tag in ("a", "a", "b"):
        case.send({"token": TOKEN, "android": {"notification": {"tag": tag}}})
    case.judge.closed(1)
    assert case.judge.record is not None
    assert case.judge.record.deliveries == {TOKEN: 3}
    assert case.judge.record.tags == {TOKEN: {"a", "b"}}
    assert case.judge.counts().by_status == {200: 4}
