"""Different people read different texts over APNs."""

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
    from tests.providers.apns.conftest import MakeStage

TOKENS = [b"%064x" % n for n in range(6)]


async def test_each_person_reads_their_own_text_in_their_language(make_stage: "MakeStage") -> None:
    """Three languages, quotes, emoji, controls of direction, an empty value; one batch."""
    stage = make_stage()
    name, sentence = marker(0), marker(1)
    messages = [
        replace(
            stage.message,
            content=Content(
                title=f"{greeting}, {name}!",
                body=sentence,
                link=f"https://x.test/?n={name}",
                actions=(Action(id="a", title=name),),
                data={"deep": [{"name": name}]},
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
        at = int(request.path.removeprefix("/3/device/"), 16)
        sent, who = orjson.loads(request.body), NAMES[at]
        title = f"{GREETINGS[LANGUAGE[at]]}, {who}!"
        assert sent["aps"]["alert"] == {"title": title, "body": sentences[at]}
        assert sent["clarion"]["link"] == f"https://x.test/?n={who}"
        assert sent["clarion"]["actions"][0]["title"] == who
        assert sent["deep"] == [{"name": who}]
        assert sent["aps"]["category"] == "clarion.a"


async def test_too_long_for_one_is_sent_to_the_others(make_stage: "MakeStage") -> None:
    """The limit is each recipient's own; a message that is too long for all is for all."""
    stage = make_stage()
    message = replace(stage.message, content=Content(body=marker(0)))
    huge = replace(stage.message, content=Content(body="x" * 5000))
    texts = ["a", "ä" * 2100, "b", "c"]
    answers = await stage.send(
        TOKENS[:4], messages=[message, huge], message=[0, 0, 0, 1], merge=[texts]
    )
    too_long = Reason.PAYLOAD_TOO_LARGE
    assert answers.reason.tolist() == [Reason.ACCEPTED, too_long, Reason.ACCEPTED, too_long]
    assert len(stage.transport.seen) == 2


async def test_a_header_is_the_same_for_everybody(make_stage: "MakeStage") -> None:
    """A marker in one is refused before anything is sent."""
    stage = make_stage()
    over = {stage.provider.network: {"headers": {"apns-collapse-id": f"x{marker(0)}"}}}
    message = replace(stage.message, content=Content(body="a", overrides=over))
    (problem,) = stage.provider.check_message(message, stage.clock.now())
    assert problem.path == "/overrides/apns/headers/apns-collapse-id"
