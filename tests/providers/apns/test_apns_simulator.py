"""The judge itself: as strict as Apple, in the order that pushy's test server checks."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from clarion.domain.network import Environment
from clarion.ports.simulator import SimulatedAnswer, SimulatedRequest, Simulator
from clarion.providers.apns.simulator import ApnsFaults, ApnsKey, ApnsSimulator
from clarion.wire.jose import Json, build_jwt

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
DEVICE = "ab" * 32
DEAD = "dd" * 32


def token(*, age: timedelta = timedelta(0), team: str = "TEAM", kid: str = "KEY") -> bytes:
    """A provider token of some age."""
    claims: dict[str, Json] = {"iss": team, "iat": int((NOW - age).timestamp())}
    return b"bearer " + build_jwt(claims, KEY, key_id=kid).encode()


GOOD = {
    b"authorization": token(),
    b"apns-id": b"019aa5f0-0000-7000-8000-000000000001",
    b"apns-topic": b"com.example",
    b"apns-push-type": b"alert",
    b"apns-priority": b"10",
    b"apns-expiration": b"0",
    b"apns-collapse-id": b"c",
}


@dataclass
class Case:
    """A simulator and the requests that a test makes."""

    faults: ApnsFaults = field(default_factory=ApnsFaults)
    environment: Environment = Environment.PRODUCTION
    keys: tuple[ApnsKey, ...] = (
        ApnsKey(key_id="KEY", team_id="TEAM", public_pem=PEM),
        ApnsKey(key_id="KEY2", team_id="TEAM", public_pem=PEM),
        ApnsKey(key_id="OTHER", team_id="TEAM2", public_pem=PEM),
        ApnsKey(key_id="NARROW", team_id="TEAM", public_pem=PEM, topics=frozenset({"com.x"})),
        ApnsKey(key_id="SAND", team_id="TEAM", public_pem=PEM, environment=Environment.SANDBOX),
    )

    def __post_init__(self) -> None:
        self.judge = ApnsSimulator(
            keys=self.keys,
            tokens={DEVICE: frozenset({"com.example"}), DEAD: frozenset({"com.example"})},
            environment=self.environment,
            faults=self.faults,
            record=True,
        )
        self.judge.expired[DEAD] = 1_763_726_400_000

    def ask(
        self,
        path: str = f"/3/device/{DEVICE}",
        *,
        method: str = "POST",
        body: bytes = b'{"aps":{}}',
        connection: int = 1,
        now: datetime = NOW,
        more: tuple[tuple[bytes, bytes], ...] = (),
        headers: Mapping[str, bytes | None] | None = None,
    ) -> SimulatedAnswer:
        """A good request but for what is given; None leaves a header out."""
        changed = {name.encode(): value for name, value in (headers or {}).items()}
        fields = {name: value for name, value in (GOOD | changed).items() if value is not None}
        return self.judge.answer(
            SimulatedRequest(
                connection=connection,
                stream=1,
                method=method,
                path=path,
                authority="api.push.apple.com",
                headers=[*fields.items(), *more],
                body=body,
                peer_certificate=None,
                now=now,
            )
        )


def said(answer: SimulatedAnswer) -> tuple[int, str]:
    """Status and reason."""
    return answer.status, orjson.loads(answer.body)["reason"] if answer.body else ""


@pytest.fixture
def case() -> Case:
    """A strict simulator."""
    return Case()


def test_a_good_request_is_accepted_with_its_id_and_nothing_else(case: Case) -> None:
    """200, `apns-id` echoed, no body."""
    answer = case.ask()
    assert (answer.status, answer.body) == (200, b"")
    assert list(answer.headers) == [(b"apns-id", GOOD[b"apns-id"])]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"apns-id": b"ABC"}, (400, "BadMessageId")),
        ({"apns-id": GOOD[b"apns-id"].replace(b"f", b"F")}, (400, "BadMessageId")),
        ({"apns-topic": None}, (400, "MissingTopic")),
        ({"apns-collapse-id": b"x" * 65}, (400, "BadCollapseId")),
        ({"apns-priority": b"7"}, (400, "BadPriority")),
        ({"apns-priority": b"10", "apns-push-type": b"background"}, (400, "BadPriority")),
        ({"apns-expiration": b"soon"}, (400, "BadExpirationDate")),
        ({"apns-push-type": b"shout"}, (400, "InvalidPushType")),
        ({"apns-push-type": b"voip"}, (400, "BadTopic")),
        ({"authorization": None}, (403, "MissingProviderToken")),
        ({"authorization": b"basic x"}, (403, "MissingProviderToken")),
        ({"authorization": b"bearer x.y.z"}, (403, "InvalidProviderToken")),
        ({"authorization": b"bearer \xff"}, (403, "InvalidProviderToken")),
        ({"authorization": token()[:-4] + b"AAAA"}, (403, "InvalidProviderToken")),
        ({"authorization": token(kid="NOBODY")}, (403, "InvalidProviderToken")),
        ({"authorization": token(team="TEAM2")}, (403, "InvalidProviderToken")),
        ({"authorization": token(age=timedelta(minutes=61))}, (403, "ExpiredProviderToken")),
        ({"authorization": token(kid="NARROW")}, (403, "InvalidProviderToken")),
        ({"authorization": token(kid="SAND")}, (403, "BadEnvironmentKeyIdInToken")),
    ],
)
def test_each_header_is_checked(
    case: Case, headers: dict[str, bytes | None], expected: tuple[int, str]
) -> None:
    """With Apple's word for it."""
    assert said(case.ask(headers=headers)) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/3/device/", (400, "MissingDeviceToken")),
        ("/4/device/" + DEVICE, (404, "BadPath")),
        ("/3/device/xyz", (400, "BadDeviceToken")),
        ("/3/device/" + "00" * 32, (400, "BadDeviceToken")),
        ("/3/device/" + DEAD, (410, "Unregistered")),
    ],
)
def test_the_path_is_checked(case: Case, path: str, expected: tuple[int, str]) -> None:
    """Missing, malformed, unknown and dead tokens are told apart."""
    assert said(case.ask(path)) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", (400, "PayloadEmpty")),
        (b"[]", (400, "PayloadEmpty")),
        (b'{"aps":1}', (400, "PayloadEmpty")),
        (b'{"aps":{},"x":"' + b"x" * 4096 + b'"}', (413, "PayloadTooLarge")),
    ],
)
def test_the_body_is_checked(case: Case, body: bytes, expected: tuple[int, str]) -> None:
    """Last of all."""
    assert said(case.ask(body=body)) == expected


def test_a_call_may_be_a_kibibyte_longer(case: Case) -> None:
    """5120 bytes for voip."""
    body = b'{"aps":{},"x":"' + b"x" * 4500 + b'"}'
    answer = case.ask(
        body=body, headers={"apns-push-type": b"voip", "apns-topic": b"com.example.voip"}
    )
    assert answer.status == 200


def test_other_methods_and_repeated_headers_are_refused(case: Case) -> None:
    """405 and 400."""
    assert said(case.ask(method="GET")) == (405, "MethodNotAllowed")
    repeated = ((b"apns-topic", b"com.example"),)
    assert said(case.ask(more=repeated)) == (400, "DuplicateHeaders")


def test_checks_come_in_order(case: Case) -> None:
    """A request with every fault names the first."""
    everything: dict[str, bytes | None] = {
        "apns-id": b"x",
        "apns-topic": None,
        "authorization": None,
    }
    assert said(case.ask("/x", body=b"", headers=everything))[1] == "BadMessageId"
    everything["apns-id"] = None
    assert said(case.ask("/x", body=b"", headers=everything))[1] == "MissingTopic"
    everything["apns-topic"] = b"com.example"
    assert said(case.ask("/x", body=b"", headers=everything))[1] == "BadPath"
    path = f"/3/device/{DEVICE}"
    assert said(case.ask(path, body=b"", headers=everything))[1] == "MissingProviderToken"
    everything["authorization"] = token()
    assert said(case.ask(path, body=b"", headers=everything))[1] == "PayloadEmpty"


def test_one_stream_until_authorised_and_one_again_after_an_error(case: Case) -> None:
    """MAX_CONCURRENT_STREAMS follows what the client does; 410 is no error."""
    assert case.judge.initial_max_streams == 1
    answers = [
        case.ask(headers={"authorization": None}),
        case.ask(),
        case.ask(),
        case.ask(f"/3/device/{DEAD}"),
        case.ask("/3/device/xyz"),
        case.ask("/3/device/xyz"),
        case.ask(),
    ]
    assert [a.max_streams for a in answers] == [None, 1000, None, None, 1, None, 1000]


def test_a_connection_belongs_to_the_first_team_and_key(case: Case) -> None:
    """Others need a connection of their own."""
    assert case.ask().status == 200
    other = token(team="TEAM2", kid="OTHER")
    assert said(case.ask(headers={"authorization": other})) == (403, "InvalidProviderToken")
    second = token(kid="KEY2")
    assert said(case.ask(headers={"authorization": second})) == (403, "UnrelatedKeyIdInToken")
    assert case.ask(connection=2, headers={"authorization": other}).status == 200
    case.judge.closed(1)
    assert case.ask(headers={"authorization": second}).status == 200


def test_a_second_provider_token_within_twenty_minutes_is_too_many(case: Case) -> None:
    """Per connection; later it is welcome."""
    newer = token(age=timedelta(minutes=-1))
    assert case.ask().status == 200
    early = case.ask(now=NOW + timedelta(minutes=19), headers={"authorization": newer})
    assert said(early) == (429, "TooManyProviderTokenUpdates")
    assert case.ask(connection=2, headers={"authorization": newer}).status == 200
    assert case.ask(now=NOW + timedelta(minutes=21), headers={"authorization": newer}).status == 200


def test_a_dead_token_is_dated_in_milliseconds(case: Case) -> None:
    """The moment Apple knew."""
    answer = case.ask(f"/3/device/{DEAD}")
    assert orjson.loads(answer.body)["timestamp"] == 1_763_726_400_000


def test_a_share_of_tokens_dies_when_first_sent_to() -> None:
    """After they were registered, and at the same instant ever after."""
    case = Case(faults=ApnsFaults(dead=1.0))
    first, later = case.ask(), case.ask(now=NOW + timedelta(minutes=5))
    stamps = {orjson.loads(answer.body)["timestamp"] for answer in (first, later)}
    assert stamps == {int(NOW.timestamp() * 1000)}


def test_goaway_comes_as_json_after_so_many_requests_or_errors() -> None:
    """With the reason that a connection ended for."""
    case = Case(faults=ApnsFaults(goaway_every=3))
    assert [case.ask().goaway for _ in range(3)] == [None, None, b'{"reason":"Shutdown"}']
    case = Case(faults=ApnsFaults(goaway_after_errors=2))
    paths = ["/3/device/xyz", f"/3/device/{DEAD}", "/3/device/xyz"]
    expected = [None, None, b'{"reason":"BadDeviceToken"}']
    assert [case.ask(path).goaway for path in paths] == expected


def test_the_sandbox_adds_the_id_for_the_delivery_log() -> None:
    """Only there."""
    headers = dict(Case(environment=Environment.SANDBOX).ask().headers)
    assert set(headers) == {b"apns-id", b"apns-unique-id"}


def test_a_missing_id_is_made_up(case: Case) -> None:
    """Apple answers with one of its own."""
    assert len(dict(case.ask(headers={"apns-id": None}).headers)[b"apns-id"]) == 36


def test_deliveries_are_counted_and_the_last_one_is_stored(case: Case) -> None:
    """One notification per bundle and device waits for an offline device."""
    second = GOOD[b"apns-id"].replace(b"1", b"2")
    case.ask()
    case.ask(headers={"apns-id": second})
    case.ask("/3/device/xyz")
    record = case.judge.record
    assert record is not None
    assert record.deliveries == {DEVICE: 2}
    assert len(record.ids[DEVICE]) == 2
    assert record.stored == {(DEVICE, "com.example"): second.decode()}
    assert case.judge.counts().requests == 3
    assert case.judge.counts().by_status == {200: 2, 400: 1}


def test_any_token_and_any_key_take_what_is_well_formed() -> None:
    """For demos: keys need not be known, tokens need not be registered."""
    case = Case()
    case.judge = ApnsSimulator(any_token=True, any_key=True)
    judge: Simulator = case.judge
    assert not judge.speaks_http1
    assert (
        case.ask("/3/device/" + "77" * 32, headers={"authorization": token(kid="NOBODY")}).status
        == 200
    )
    assert case.ask("/3/device/xyz").status == 400
    assert said(case.ask(connection=2, headers={"authorization": b"bearer x"}))[0] == 403


def test_shares_of_faults_are_the_same_in_every_run() -> None:
    """Chosen by a hash with a seed."""
    faults = ApnsFaults(dead=0.3)

    def run(seed: int) -> list[int]:
        judge = ApnsSimulator(any_token=True, any_key=True, faults=replace(faults, seed=seed))
        case = Case()
        case.judge = judge
        return [case.ask(f"/3/device/{n:064x}").status for n in range(100)]

    assert run(0) == run(0)
    assert run(0) != run(1)
    assert 15 < run(0).count(410) < 45


def test_latency_stays_within_its_range() -> None:
    """And varies."""
    case = Case(faults=ApnsFaults(latency_s=(0.02, 0.04)))
    delays = {case.ask().delay_s for _ in range(50)}
    assert len(delays) == 50
    assert min(delays) >= 0.02
    assert max(delays) <= 0.04
