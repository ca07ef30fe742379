"""A campaign under rules, from consent to the phone and to the recorded reasons."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from tests.platform.conftest import Platform, apns_token

PEOPLE = 10
IN_TOKYO = (6, 7)
REFUSED = 8
SILENT = 9
OTHERS = 5
"""Not in the segment."""
CAPPED = 4
FRIENDS = (0, 1, 2, 3)
LANGUAGES = ("en", "de-AT", "fr", "ja")
TEMPLATE = {
    "language": "en",
    "title": "Hello {{ user.first_name | default: 'friend' }}",
    "body": "Your plan is {{ user.plan }}",
    "localized": {
        "de": {
            "title": "Hallo {{ user.first_name | default: 'du' }}",
            "body": "Dein Tarif: {{ user.plan }}",
        },
        "fr": {
            "title": "Bonjour {{ user.first_name | default: 'vous' }}",
            "body": "Votre formule : {{ user.plan }}",
        },
    },
}
CAMPAIGN = {
    "to": {"segment": 'tag.plan in ("pro", "plus")'},
    "category": "marketing",
    "template": {"name": "news"},
}


def around_now(zone: str, before: int, after: int) -> dict[str, str]:
    """A window of so many hours before and after now, by the clock of a zone."""
    now = datetime.now(ZoneInfo(zone))
    start, end = now - timedelta(hours=before), now + timedelta(hours=after)
    return {"from": f"{start:%H:%M}", "to": f"{end:%H:%M}"}


@pytest.fixture
async def ruled(platform: Platform) -> Platform:
    """Ten people, consent, a template, a cap, and quiet hours that it is now in Tokyo only."""
    await platform.add_apns_credential()
    people = [
        {
            "external_id": f"u{i}",
            "language": LANGUAGES[i % 4],
            "time_zone": "Asia/Tokyo" if i in IN_TOKYO else "UTC",
            "attributes": {
                "plan": "free" if i == OTHERS else "pro",
                **({} if i == 1 else {"first_name": f"N{i}"}),
            },
        }
        for i in range(PEOPLE)
    ]
    await platform.post("/v1/users:batch", {"users": people}, 200)
    await platform.add_people(PEOPLE)
    agreed = [consent(i) for i in range(PEOPLE) if i != SILENT]
    await platform.post("/v1/consent", {"consents": agreed}, 200)
    await platform.post("/v1/consent", {"consents": [consent(REFUSED, "withdrawn")]}, 200)
    saved = await platform.http.put("/v1/templates/news", json=TEMPLATE)
    assert saved.is_success, saved.text
    rules = {
        "quiet_hours": {"windows": [around_now("Asia/Tokyo", 1, 2)], "action": "hold"},
        "caps": [{"count": 1, "per": "24h", "scope": "category", "action": "drop"}],
    }
    changed = await platform.http.patch("/v1/app", json=rules)
    assert changed.is_success, changed.text
    return platform


def consent(number: int, change: str = "granted") -> dict[str, str]:
    """What person `number` said about marketing."""
    return {"external_id": f"u{number}", "category": "marketing", "change": change}


async def sent(platform: Platform, *, done: int) -> str:
    """The campaign, when so many have an outcome and the others are held; its id."""
    accepted = await platform.post("/v1/messages", CAMPAIGN, 202)
    await platform.done(accepted["id"], done)
    return str(accepted["id"])


async def reasons(platform: Platform, message: str) -> Counter[str]:
    """Recorded decisions: `action reason` -> people."""
    found = await platform.get(f"/v1/messages/{message}/decisions")
    rows = found["decisions"]
    assert isinstance(rows, list)
    return Counter({f"{row['action']} {row['reason']}": row["count"] for row in rows})


async def test_each_rule_has_its_say_and_everybody_reads_their_own_words(ruled: Platform) -> None:
    """Segment, consent, cap, quiet hours, template: all on one campaign."""
    teaser = {"to": {"users": [f"u{CAPPED}"]}, "title": "Soon", "category": "marketing"}
    first = await ruled.post("/v1/messages", teaser, 202)
    await ruled.finished(first["id"])

    forecast = await ruled.post("/v1/messages/dry-run", CAMPAIGN, 200)
    message = await sent(ruled, done=7)

    assert await reasons(ruled, message) == {
        "send accepted": len(FRIENDS),
        "hold held_for_quiet_hours": len(IN_TOKYO),
        "skip frequency_capped": 1,
        "skip category_opted_out": 1,
        "skip consent_missing": 1,
    }
    decided = await ruled.get(f"/v1/messages/{message}/decisions")
    assert forecast["by_action"] == decided["by_action"]
    assert ruled.alert(0) == ("Hello N0", "Your plan is pro")
    assert ruled.alert(1) == ("Hallo du", "Dein Tarif: pro")
    assert ruled.alert(2) == ("Bonjour N2", "Votre formule : pro")
    assert ruled.alert(3) == ("Hello N3", "Your plan is pro")
    got = {apns_token(n) for n in (*FRIENDS, CAPPED)}
    assert set(ruled.apns.payloads) == got


async def test_what_is_held_goes_out_when_quiet_hours_end(ruled: Platform) -> None:
    """Once, in the person's language; the message is finished then."""
    message = await sent(ruled, done=7)
    assert apns_token(6) not in ruled.apns.payloads

    await ruled.let_waits_pass()
    view = await ruled.finished(message)

    assert ruled.alert(6) == ("Bonjour N6", "Votre formule : pro")
    assert ruled.alert(7) == ("Hello N7", "Your plan is pro")
    assert view["by_outcome"] == {"accepted": 7, "suppressed": 2}


async def test_who_withdraws_after_planning_is_not_sent_what_was_held(ruled: Platform) -> None:
    """Consent is asked again when the bytes go out."""
    message = await sent(ruled, done=7)

    await ruled.post("/v1/consent", {"consents": [consent(6, "withdrawn")]}, 200)
    await ruled.let_waits_pass()
    view = await ruled.finished(message)

    assert apns_token(6) not in ruled.apns.payloads
    assert apns_token(7) in ruled.apns.payloads
    assert "category_opted_out" in str(view["outcomes"])
    trace = await ruled.get(f"/v1/messages/{message}/recipients/u6")
    assert "held_for_quiet_hours" in str(trace["decisions"])
    assert "category_opted_out" in str(trace["attempts"])


async def test_quiet_hours_of_ones_own_hold_what_the_app_would_send(ruled: Platform) -> None:
    """Until they end, to the minute."""
    window = around_now("UTC", 1, 3)
    body = {"quiet_hours": [window]}
    saved = await ruled.http.put("/v1/users/u0/preferences", json=body)
    assert saved.is_success, saved.text

    message = await sent(ruled, done=6)

    assert apns_token(0) not in ruled.apns.payloads
    trace = await ruled.get(f"/v1/messages/{message}/recipients/u0")
    decisions = trace["decisions"]
    assert isinstance(decisions, list)
    assert decisions[0]["action"] == "hold"
    assert decisions[0]["send_at"][11:16] == window["to"]


async def test_a_local_time_is_waited_for(ruled: Platform) -> None:
    """Some seconds from now in one zone; hours ago in the other, where it is dropped."""
    seconds = 3
    while True:
        at = datetime.now(UTC) + timedelta(seconds=seconds)
        local = {"time": f"{at:%H:%M:%S}", "date": f"{at:%Y-%m-%d}", "if_passed": "drop"}
        body = {**CAMPAIGN, "local_time": local}
        accepted = await ruled.post("/v1/messages", body, 202)
        view = await ruled.finished(accepted["id"])
        if ruled.apns.payloads or seconds > 60:  # else it came too late, and nobody got it
            break
        seconds *= 4

    assert set(ruled.apns.payloads) == {apns_token(n) for n in (*FRIENDS, CAPPED)}
    assert str(view["first_outcome_at"]) < str(view["last_outcome_at"])
    assert str(view["last_outcome_at"]) >= f"{at:%Y-%m-%dT%H:%M:%S}"
    found = await reasons(ruled, str(accepted["id"]))
    assert found["skip local_time_passed"] == len(IN_TOKYO)
    assert found["hold held_for_local_time"] == len(FRIENDS) + 1
