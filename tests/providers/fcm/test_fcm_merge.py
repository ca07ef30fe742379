"""Different people read different texts over FCM."""

from dataclasses import replace
from typing import TYPE_CHECKING

import orjson

from clarion.domain.content import Action, Content
from clarion.domain.merge import marker
from clarion.domain.outcome import Reason, Verdict

NAMES = ["Zoë", '"Q" \\ \n', "👩‍🚀🏳️‍🌈", "דנה \u2067שלם\u2069", "", "名前"]
GREETINGS = ["Hello", "Guten Tag", "שלום"]
LANGUAGE = [0, 1, 2, 2, 1, 0]

if TYPE_CHECKING:
    from tests.providers.fcm.conftest import MakeStage

TOKENS = [f"c{n}:APA91b-_{n:040d}".encode() for n in range(6)]


async def test_each_person_reads_their_own_text_in_their_language(make_stage: "MakeStage") -> None:
    """Also in data, where our part is JSON within JSON, and a value JSON in JSON in JSON."""
    stage = make_stage()
    name = marker(0)
    messages = [
        replace(
            stage.message,
            content=Content(
                title=f"{greeting}, {name}!",
                body=marker(1),
                link=f"https://x.test/{name}",
                actions=(Action(id="a", title=name),),
                data={"plain": name, "deep": {"name": [name]}},
            ),
        )
        for greeting in GREETINGS
    ]
    sentences = [f"{name}: “{name}”" for name in NAMES]
    answers = await stage.send(
        TOKENS, messages=messages, message=LANGUAGE, merge=[NAMES, sentences]
    )
    assert answers.verdict.tolist() == [Verdict.OK] * 6
    for request in stage.transport.seen:
        sent = orjson.loads(request.body)["message"]
        at = TOKENS.index(sent["token"].encode())
        who, title = NAMES[at], f"{GREETINGS[LANGUAGE[at]]}, {NAMES[at]}!"
        assert sent["notification"] == {"title": title, "body": sentences[at]}
        assert sent["data"]["plain"] == who
        assert orjson.loads(sent["data"]["deep"]) == {"name": [who]}
        ours = orjson.loads(sent["data"]["clarion"])
        assert (ours["link"], ours["actions"][0]["title"]) == (f"https://x.test/{who}", who)
        assert sent["apns"]["payload"]["aps"]["alert"]["title"] == title
        assert sent["webpush"]["fcm_options"]["link"] == f"https://x.test/{who}"


async def test_too_long_for_one_is_sent_to_the_others(make_stage: "MakeStage") -> None:
    """FCM counts texts as they are, and what goes on to Apple as JSON."""
    stage = make_stage()
    message = replace(stage.message, content=Content(body=marker(0)))
    quiet = replace(stage.message, content=Content(data={"text": marker(0)}))
    texts = ["a", "x" * 4100, '"' * 2100, '"' * 2100]
    answers = await stage.send(
        TOKENS[:4], messages=[message, quiet], message=[0, 0, 0, 1], merge=[texts]
    )
    too_long = Reason.PAYLOAD_TOO_LARGE
    assert answers.reason.tolist() == [Reason.ACCEPTED, too_long, too_long, Reason.ACCEPTED]
    assert len(stage.transport.seen) == 2


async def test_the_bytes_are_those_of_a_message_of_ones_own(make_stage: "MakeStage") -> None:
    """Filled or written for one person alone: no difference."""
    stage = make_stage()
    for who in NAMES:
        plain = replace(stage.message, content=Content(body=f"Hi {who}", data={"d": [who]}))
        marked = Content(body=f"Hi {marker(0)}", data={"d": [marker(0)]})
        filled = replace(stage.message, content=marked)
        await stage.send(TOKENS[:1], messages=[plain])
        await stage.send(TOKENS[:1], messages=[filled], merge=[[who]])
        assert stage.transport.seen[-1].body == stage.transport.seen[-2].body
