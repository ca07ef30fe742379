"""Routes are found by their path before it is decoded; quotas refill with time."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.api.decoding import refusal
from clarion.api.problems import ProblemError
from clarion.api.quota import Quotas
from clarion.api.routes import ROUTES
from clarion.api.routing import Router
from clarion.domain.errors import ERRORS, TYPE_PREFIX, ErrorCode
from clarion.domain.ids import KeyId

ROUTER = Router(ROUTES)


@pytest.mark.parametrize(
    ("method", "path", "template", "params"),
    [
        ("POST", b"/v1/messages", "/v1/messages", {}),
        ("HEAD", b"/v1/messages", "/v1/messages", {}),
        ("GET", b"/v1/messages/a", "/v1/messages/{id}", {"id": "a"}),
        ("POST", b"/v1/messages/a:cancel", "/v1/messages/{id}:cancel", {"id": "a"}),
        ("GET", b"/v1/users/x:cancel", "/v1/users/{external_id}", {"external_id": "x:cancel"}),
        ("GET", b"/v1/users/by-id/7", "/v1/users/by-id/{id}", {"id": "7"}),
        ("GET", b"/v1/users/a%2Fb/devices", "/v1/users/{external_id}/devices", None),
        ("POST", b"/v1/users:batch", "/v1/users:batch", {}),
        ("POST", b"/v1/credentials/webpush:generate", "/v1/credentials/webpush:generate", {}),
    ],
)
def test_a_path_names_one_route(
    method: str, path: bytes, template: str, params: dict[str, str] | None
) -> None:
    """The most literal template wins."""
    route, found = ROUTER.find(method, path)
    assert route.path == template
    assert params is None or found == params


@given(st.binary(max_size=60))
def test_no_path_does_more_than_not_to_be_found(raw: bytes) -> None:
    """Whatever the octets are."""
    codes: list[ErrorCode] = []
    try:
        ROUTER.find("GET", b"/v1/users/" + raw)
    except ProblemError as problem:
        codes.append(problem.code)
    assert {ERRORS[code].status for code in codes} <= {404, 405}


@given(st.text(min_size=1).filter(lambda t: not re.search(r"[\x00-\x1f\x7f]", t)))
def test_every_name_can_be_a_parameter(name: str) -> None:
    """Percent-encoded, it comes out as it went in."""
    try:
        encoded = "".join(f"%{octet:02X}" for octet in name.encode())
    except UnicodeEncodeError:  # half of a surrogate pair can't be written in UTF-8
        return
    assert ROUTER.find("PUT", f"/v1/users/{encoded}".encode())[1] == {"external_id": name}


def test_a_bucket_empties_and_refills() -> None:
    """Two at once, then one each two seconds; keys do not disturb each other.

    Each answer tells when there will be one more.
    """
    quotas = Quotas(rate_per_s=0.5, burst=2)
    a, b = KeyId("a"), KeyId("b")
    assert quotas.policy == (b"ratelimit-policy", b'"key";q=2;w=4')
    assert quotas.take(a, 100.0)[1] == b'"key";r=1;t=2'
    assert quotas.take(a, 100.0)[1] == b'"key";r=0;t=2'
    with pytest.raises(ProblemError) as caught:
        quotas.take(a, 100.5)
    assert caught.value.headers["retry-after"] == "2"
    assert caught.value.headers["ratelimit"] == '"key";r=0;t=2'  # the same moment
    assert quotas.take(b, 100.5)[1] == b'"key";r=1;t=2'
    assert quotas.take(a, 102.5)[1] == b'"key";r=0;t=2'


@pytest.mark.parametrize(
    ("sentence", "path", "code"),
    [
        ("Expected `str`, got `int` - at `$.to.users[3]`", "/to/users/3", "field_type"),
        ("Expected `str` of length <= 2 - at `$.x[1]`", "/x/1", "field_invalid"),
        ("Object contains unknown field `a/b` - at `$.to`", "/to/a~1b", "field_unknown"),
        ("Object missing required field `to`", "/to", "field_missing"),
        ("Invalid RFC3339 encoded datetime - at `$.send_at`", "/send_at", "field_invalid"),
        ("Expected `object`, got `array`", "", "field_type"),
    ],
)
def test_what_the_decoder_says_becomes_a_pointer(sentence: str, path: str, code: str) -> None:
    """RFC 6901, with `/` and `~` escaped."""
    problem = refusal(sentence).errors[0]
    assert (problem.path, problem.code) == (path, code)


def test_every_error_code_has_its_place_in_the_catalogue() -> None:
    """A status of the 4xx or 5xx kind, a title, and a URI of its own."""
    assert set(ERRORS) == set(ErrorCode)
    assert all(400 <= kind.status < 600 and kind.title for kind in ERRORS.values())
    assert TYPE_PREFIX.endswith("/")
