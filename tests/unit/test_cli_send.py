"""What `clarion send` makes of its options, and `clarion trace` of its answer."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from clarion.cli.exits import CommandError
from clarion.cli.outcomes import by_network, reasons
from clarion.cli.send_options import Content, Recipients, body
from clarion.cli.trace import digest_lines, list_lines, paragraph, segment_lines


def test_recipients_become_the_target() -> None:
    """Each kind of name has its place."""
    to = Recipients(to=("ada", "bob"), alias=("email:a@b:c",), device=(7,), network=("apns",))
    assert body(to, Content(title="x"))["to"] == {
        "users": ["ada", "bob"],
        "aliases": [{"label": "email", "value": "a@b:c"}],
        "devices": [7],
        "networks": ["apns"],
    }


def test_an_audience_becomes_the_target() -> None:
    """By segment, lists and topics, in a category of its own."""
    to = Recipients(segment="country = FR", list=("vip",), topic=("news", "jobs"))
    assert body(to, Content(title="x", category="offers")) == {
        "to": {"segment": "country = FR", "lists": ["vip"], "topics": ["news", "jobs"]},
        "title": "x",
        "category": "offers",
    }


def test_a_network_binds_the_recipients_of_a_file_too(tmp_path: Path) -> None:
    """It does not go by unheard because the file says for whom."""
    file = tmp_path / "message.json"
    file.write_bytes(orjson.dumps({"to": {"users": ["ada"]}, "title": "x"}))
    made = body(Recipients(network=("fcm",)), Content(from_file=file))
    assert made["to"] == {"users": ["ada"], "networks": ["fcm"]}


def test_only_what_is_said_is_sent() -> None:
    """The API's defaults stay the API's."""
    assert body(Recipients(all=True), Content(body="Hi.")) == {"to": {"all": True}, "body": "Hi."}


def test_options_win_over_the_file(tmp_path: Path) -> None:
    """A file is a template."""
    file = tmp_path / "message.json"
    file.write_bytes(orjson.dumps({"to": {"users": ["ada"]}, "title": "old", "badge": 3}))
    made = body(Recipients(), Content(title="new", from_file=file))
    assert made == {"to": {"users": ["ada"]}, "title": "new", "badge": 3}


def test_a_time_without_offset_is_utc() -> None:
    """And one with an offset stays what it is."""
    naive = datetime(2026, 12, 24, 18)  # noqa: DTZ001  (what a person types)
    said = body(Recipients(all=True), Content(title="x", send_at=naive))["send_at"]
    assert said == "2026-12-24T18:00:00+00:00"


def test_in_minutes_is_from_now() -> None:
    """A person's "in ten minutes"."""
    before = datetime.now(UTC)
    said = body(Recipients(all=True), Content(title="x", in_minutes=10))["send_at"]
    assert before <= datetime.fromisoformat(said) - timedelta(minutes=10) <= datetime.now(UTC)


@pytest.mark.parametrize("text", ["[1]", "{", '"x"'])
def test_data_that_is_no_object_is_refused(text: str, tmp_path: Path) -> None:
    """The option and the file are named."""
    file = tmp_path / "data.json"
    file.write_text(text)
    with pytest.raises(CommandError, match=r"--data .*data\.json"):
        body(Recipients(all=True), Content(title="x", data=file))


def attempt(**changes: object) -> dict[str, Any]:
    """One attempt of a trace."""
    return {
        "at": "2026-01-01T00:00:00Z",
        "device": 1,
        "network": "apns",
        "attempt": 0,
        "outcome": "accepted",
        "reason": "accepted",
        "status": 200,
        "note": None,
        "provider_id": None,
    } | changes


def trace(*attempts: dict[str, Any]) -> dict[str, Any]:
    """A trace of Ada."""
    return {
        "message": "m",
        "user": 1,
        "external_id": "ada",
        "state": "finished",
        "attempts": list(attempts),
        "devices": [{"id": 1, "model": "iPhone 17", "platform": "phone"}],
    }


@pytest.mark.parametrize(
    ("attempts", "says"),
    [
        ([attempt()], "iPhone 17 (device 1, APNs): accepted by the network."),
        (
            [attempt(outcome=None, reason="throttled", status=429), attempt(attempt=1)],
            "accepted by the network after 2 attempts.",
        ),
        (
            [attempt(outcome="dead", reason="token_unregistered", status=410)],
            "the network says that the token is no more (token unregistered).",
        ),
        (
            [attempt(outcome="suppressed", reason="user_opted_out", status=0)],
            "not sent, because: user opted out.",
        ),
        (
            [attempt(outcome="suppressed", reason="user_has_no_device", status=0, device=None)],
            "the person: not sent, because: user has no device.",
        ),
        ([attempt(outcome=None, reason="throttled")], "not finished yet, it is tried again."),
        ([attempt(outcome="refused", reason="payload_too_large")], "refused, because: payload"),
    ],
)
def test_a_trace_reads_as_a_sentence(attempts: list[dict[str, Any]], says: str) -> None:
    """Who, what device, and how it ended, in words."""
    said = paragraph(trace(*attempts))
    assert said.startswith("ada, message m (finished).")
    assert says in said


def test_a_trace_tells_what_the_device_said_afterwards() -> None:
    """The first time of each kind, of that device alone."""
    signals = [
        {"device": 1, "what": "received", "at": "2026-03-01T12:00:01.250000Z"},
        {"device": 1, "what": "received", "at": "2026-03-01T12:00:02Z"},
        {"device": 2, "what": "clicked", "at": "2026-03-01T12:00:03Z"},
        {"device": 1, "what": "opened", "at": "2026-03-01T12:00:04Z"},
    ]
    said = paragraph(trace(attempt()) | {"signals": signals})
    confirmed = "the device confirmed it at 12:00:01.250 UTC, opened at 12:00:04 UTC."
    assert said.endswith(f"accepted by the network, {confirmed}")


def test_a_trace_names_the_suppression_list() -> None:
    """Who asks why learns where to look; other reasons say nothing of lists."""
    left_out = trace(attempt(outcome="suppressed", reason="suppression_list"))
    on = [{"list": "legal", "since": "2026-02-01T10:00:00Z"}]

    assert list_lines(left_out | {"suppressed_by": on}) == [
        "Suppression lists that have their name: legal (since 2026-02-01)."
    ]
    assert list_lines(left_out) == [
        "The suppression list that kept them from it has no longer their name."
    ]
    assert list_lines(trace(attempt())) == []


def test_a_trace_of_somebody_who_was_not_meant_says_so() -> None:
    """An empty trace is an answer too."""
    assert "did not include them" in paragraph(trace())


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("scheduled", "decided when it is due"),
        ("sending", "nothing was decided about them so far"),
        ("paused", "nothing was decided about them so far"),
        ("canceling", "nothing was decided about them so far"),
        ("canceled", "canceled before anything was decided about them"),
    ],
)
def test_a_trace_before_anything_was_decided_does_not_say_that_somebody_was_left_out(
    state: str, says: str
) -> None:
    """A message that waits or was canceled may well have been meant for them."""
    said = paragraph(trace() | {"state": state})
    assert says in said
    assert "did not include" not in said


def test_tables_add_up_what_the_api_counted() -> None:
    """Networks in rows, outcomes in columns, a total at the end; reasons of all networks."""
    view = {
        "by_outcome": {"accepted": 3, "failed": 1},
        "by_network": {"apns": {"accepted": 1, "failed": 1}, "fcm": {"accepted": 2}},
        "retried_by_network": {"apns": 1},
        "outcomes": [
            {"network": "apns", "outcome": "accepted", "reason": "accepted", "count": 1},
            {"network": "fcm", "outcome": "accepted", "reason": "accepted", "count": 2},
            {"network": "apns", "outcome": "failed", "reason": "throttled", "count": 1},
        ],
    }
    table = by_network(view)
    columns = {str(column.header): list(column.cells) for column in table.columns}
    assert columns["network"] == ["APNs", "FCM"]
    assert columns["accepted"] == ["1", "2"]
    assert columns["refused"] == ["0", "0"]
    assert columns["all"] == ["2", "2"]
    assert columns["tried again"] == ["1", "0"]
    assert list(reasons(view).columns[2].cells) == ["3", "1"]


def test_a_trace_tells_of_digests_in_both_directions() -> None:
    """The message of its digest, the digest of its messages."""
    due = "2026-12-24T18:00:00Z"
    waits = {"digest": {"message": None, "due_at": due}, "digest_items": []}
    taken = {"digest": {"message": "d", "due_at": due}, "digest_items": []}
    assert digest_lines(waits) == [
        "It waits for the digest that is due at 2026-12-24 18:00:00 UTC."
    ]
    assert digest_lines(taken) == ["It went into the digest d, due at 2026-12-24 18:00:00 UTC."]
    assert digest_lines({"digest": None, "digest_items": ["a", "b"]}) == [
        "The digest has 2 of their messages: a, b."
    ]
    assert digest_lines({"digest": None, "digest_items": []}) == []


def test_a_trace_tells_by_which_segments_somebody_was_chosen() -> None:
    """In the words of then."""
    segments = [
        {"name": "vip", "version": 2, "text": "country = FR"},
        {"name": "old", "version": 1, "text": None},
    ]
    assert segment_lines({"segments": segments}) == [
        "Chosen by segment vip, version 2: country = FR",
        "Chosen by segment old, version 1: its text was not kept",
    ]


def test_a_trace_of_what_is_no_longer_kept_says_so() -> None:
    """It does not say that the person was not meant."""
    said = paragraph(trace() | {"too_old": True})
    assert "so long ago that what was recorded of it is no longer kept" in said
