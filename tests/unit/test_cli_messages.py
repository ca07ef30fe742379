"""`clarion messages`: what it asks the platform, and what it shows."""

from typing import Any

import orjson
import pytest
from tests.unit.test_cli_segments import platform

from clarion.cli.entry import run
from clarion.cli.exits import Exit

SENDING = {
    "id": "m1",
    "state": "sending",
    "trouble": None,
    "send_at": "2026-03-01T12:00:00Z",
    "progress": {"done": 3, "recipients": 1200},
    "by_outcome": {"accepted": 3},
    "by_network": {"apns": {"accepted": 3}},
    "retried_by_network": {},
    "outcomes": [{"network": "apns", "outcome": "accepted", "reason": "accepted", "count": 3}],
}


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel"])
@pytest.mark.parametrize("as_json", [False, True])
def test_a_message_is_steered_by_its_id(
    verb: str, *, as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """One request; the state that it led to is shown, to a person or to a machine."""
    asked: list[tuple[str, Any]] = []
    answer = {"id": "m1", "state": "paused"}
    with platform(answer, asked) as url:
        code = run(["messages", verb, "m1", "--url", url, *(["--json"] if as_json else [])])

    shown = capsys.readouterr().out
    assert code == Exit.OK
    assert [path for path, _ in asked] == [f"POST /v1/messages/m1:{verb}"]
    if as_json:
        assert orjson.loads(shown) == answer
    else:
        assert shown == "m1 is paused\n"


def test_the_status_of_a_message_tells_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """State, progress, and outcomes by network and reason."""
    asked: list[tuple[str, Any]] = []
    with platform(SENDING, asked) as url:
        assert run(["messages", "status", "m1", "--url", url]) == Exit.OK
        shown = capsys.readouterr().out
        assert run(["messages", "status", "m1", "--json", "--url", url]) == Exit.OK

    assert [path for path, _ in asked] == ["GET /v1/messages/m1"] * 2
    assert orjson.loads(capsys.readouterr().out) == SENDING
    assert "m1 is sending" in shown
    assert "3 of 1,200 recipients are done" in shown
    assert "APNs" in shown


def test_a_message_that_waits_says_for_what(capsys: pytest.CaptureFixture[str]) -> None:
    """Its time, or what somebody has to mend."""
    waiting = SENDING | {"progress": {"done": 0, "recipients": 0}, "outcomes": []}
    with platform(waiting | {"state": "scheduled"}, []) as url:
        run(["messages", "status", "m1", "--url", url])
    assert "It is due at 2026-03-01 12:00:00 UTC" in capsys.readouterr().out
    with platform(waiting | {"state": "paused", "trouble": "nobody has a name"}, []) as url:
        run(["messages", "status", "m1", "--url", url])
    assert capsys.readouterr().out == "m1 is paused: nobody has a name\n"


def test_an_id_stays_one_part_of_the_path(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever it is made of."""
    asked: list[tuple[str, Any]] = []
    with platform({"id": "x", "state": "paused"}, asked) as url:
        run(["messages", "pause", "../apps?x", "--url", url])
    assert [path for path, _ in asked] == ["POST /v1/messages/..%2Fapps%3Fx:pause"]
    assert capsys.readouterr().out == "x is paused\n"
