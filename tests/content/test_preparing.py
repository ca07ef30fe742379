"""What planning is given: rows with each person's variant and texts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import polars as pl
import pytest

from clarion.adapters.content.graphemes import clusters
from clarion.adapters.content.liquid import LiquidEngine
from clarion.adapters.net.transport import NetTransport, TransportSettings
from clarion.adapters.system import SystemChance, SystemClock
from clarion.domain.content import Content, Message, MissingVariable, Overflow, Wording
from clarion.domain.handoffs import merge_column
from clarion.domain.ids import AppId, MessageId
from clarion.domain.lanes import Lane
from clarion.domain.merge import filled
from clarion.domain.network import Network
from clarion.ports.provider import Provider
from clarion.ports.rendering import ContentRefusedError, Moment, PreparedContent, RenderedContent
from clarion.providers.apns.client import ApnsProvider
from clarion.providers.fcm.client import FcmProvider
from clarion.providers.webpush.client import WebPushProvider
from clarion.stages.authoring.links import PATH, opened
from clarion.stages.authoring.preparing import Links, Renderer, Tools

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LINKS = Links(base="https://push.example", keys={1: b"k" * 32})
Columns = Mapping[str, Any]


class NobodysTokens:
    """Nothing is sent here, so nobody asks for a token."""

    async def get(self, name: str, not_older_than: datetime) -> str | None:
        """None."""

    async def mint(self, name: str, *, older_than: datetime, value: str, now: datetime) -> str:
        """The given one."""
        del name, older_than, now
        return value


def networks() -> Mapping[Network, Provider]:
    """The real providers; they only write payloads here."""
    clock, chance, tokens = SystemClock(), SystemChance(), NobodysTokens()
    transport = NetTransport(TransportSettings(), clock, chance)
    return {
        Network.APNS: ApnsProvider(transport=transport, tokens=tokens, clock=clock, chance=chance),
        Network.FCM: FcmProvider(transport=transport, tokens=tokens, clock=clock),
        Network.WEBPUSH: WebPushProvider(transport, clock, chance),
    }


def prepared(
    engine: LiquidEngine, content: Content, wording: Wording, links: Links | None = LINKS
) -> PreparedContent:
    """The words of a message."""
    tools = Tools(engine=engine, clusters=clusters, providers=networks(), links=links)
    message = Message(
        id=MessageId("m1"), app=AppId(1), lane=Lane.CAMPAIGN, content=content, wording=wording
    )
    found = Renderer(tools).prepare(message)
    assert found is not None
    return found


def audience(**columns: Sequence[str | None]) -> pl.DataFrame:
    """Rows of a scan: one device on each network, and what is given."""
    rows = pl.DataFrame(
        {
            "device": pl.Series([11, 12, 13], dtype=pl.Int64),
            "network": pl.Series([int(n) for n in Network][:3], dtype=pl.UInt8),
        }
    )
    return rows.with_columns(
        pl.Series(name.replace("__", "."), values) for name, values in columns.items()
    )


def moment(zones: tuple[str, ...] = (), codes: tuple[int, ...] = (65535,) * 3) -> Moment:
    """Noon, somewhere."""
    return Moment(now=NOW, zone=np.array(codes, np.uint16), zones=zones)


def read(what: PreparedContent, done: RenderedContent, field: str) -> list[str]:
    """A field as each row reads it."""
    rows = done.rows
    count = sum(name.startswith("merge_") for name in rows.columns)
    values = zip(*(rows[merge_column(at)].to_list() for at in range(count)), strict=True)
    each = list(values) or [()] * len(rows)
    marked = [getattr(what.variants[at].content, field) for at in rows["message"].to_list()]
    return [filled(text, row) for text, row in zip(marked, each, strict=True)]


def test_each_person_reads_their_language_with_their_own_values(engine: LiquidEngine) -> None:
    """The variant by language, values from the scan's JSON texts, numbers as the language has."""
    wording = Wording(
        language="en",
        localized={
            "de": Content(body="{{ user.name }}: {{ user.sum | currency: 'EUR' }}"),
            "he": Content(body="שלום {{ user.name }}"),
        },
    )
    what = prepared(engine, Content(title="T", body="Hi {{ user.name }}"), wording)
    assert set(what.fields) == {"tag.name", "tag.sum"}
    rows = audience(
        language=["de-AT", "he", None],
        tag__name=['"Zoë \\"Z\\" 👩‍🚀"', '"דנה"', '"Ann"'],
        tag__sum=["1234.5", None, "2"],
    )
    done = what.render(rows, moment())
    assert read(what, done, "body") == ['Zoë "Z" 👩‍🚀: €\u00a01.234,50', "שלום דנה", "Hi Ann"]
    assert done.rows["message"].to_list() == [1, 2, 0]
    assert not done.missing.any()
    assert not done.failed.any()


def test_what_a_device_or_a_person_is_can_be_printed(engine: LiquidEngine) -> None:
    """Known fields by their names; everything else is an attribute."""
    text = "{{ user.external_id }} {{ device.model }} {{ device.x }} {{ user.country }}"
    what = prepared(engine, Content(body=text), Wording())
    assert set(what.fields) == {"external_id", "model", "device.tag.x", "user.country"}


def test_times_come_as_instants_in_the_persons_zone(engine: LiquidEngine) -> None:
    """An attribute that is a time, and an unknown zone, which is UTC."""
    what = prepared(engine, Content(body="{{ user.at | datetime }}"), Wording(language="de"))
    at = '{"time":"2026-12-24T18:00:00Z"}'
    rows = audience(tag__at=[at, at, at], language=["de", "de", "fr"])
    done = what.render(rows, moment(("Europe/Berlin", "Asia/Tokyo"), (0, 1, 65535)))
    assert read(what, done, "body") == [
        "24.12.2026, 19:00:00",
        "25.12.2026, 03:00:00",
        "24.12.2026, 18:00:00",
    ]


@pytest.mark.parametrize("policy", [MissingVariable.SKIP, MissingVariable.FAIL])
def test_who_misses_a_variable_is_told(engine: LiquidEngine, policy: MissingVariable) -> None:
    """Per row, and counted by variable; a column that the scan does not have misses for all."""
    what = prepared(engine, Content(body="{{ user.name }}"), Wording(missing=policy))
    done = what.render(audience(tag__name=['"A"', None, "null"]), moment())
    assert done.missing.tolist() == [False, True, True]
    assert done.missing_by == {"user.name": 2}
    assert what.refuses_missing is (policy is MissingVariable.FAIL)
    assert what.render(audience(), moment()).missing.all()


def test_a_fallback_is_printed_instead(engine: LiquidEngine) -> None:
    """The default policy, and an attribute of several types."""
    wording = Wording(fallbacks={"user.name": "friend"})
    what = prepared(engine, Content(body="Hi {{ user.name }}"), wording)
    done = what.render(audience(tag__name=["7", None, '["a","b"]']), moment())
    assert read(what, done, "body") == ["Hi 7", "Hi friend", "Hi ab"]


def test_a_body_is_cut_to_what_its_network_takes(engine: LiquidEngine) -> None:
    """Only where the payload is too long, between graphemes, on each network by its own count."""
    wording = Wording(overflow=Overflow.TRUNCATE)
    what = prepared(engine, Content(title="T", body="Hi {{ user.name }}"), wording)
    long = orjson.dumps("👩‍🚀" * 1000).decode()
    done = what.render(audience(tag__name=[long, long, '"Ann"']), moment())
    sizes = what.sizes(done, NOW)
    assert [sizes[network].over for network in sorted(sizes)] == [0, 0, 0]
    assert sizes[Network.APNS].limit - sizes[Network.APNS].longest < len("👩‍🚀".encode())
    bodies = read(what, done, "body")
    assert bodies[0].removeprefix("Hi ").rstrip("…").replace("👩‍🚀", "") == ""
    assert bodies[2] == "Hi Ann"


def test_offending_recipients_are_counted_before_anything_is_sent(engine: LiquidEngine) -> None:
    """The others' payloads are not affected."""
    what = prepared(engine, Content(title="T", body="Hi {{ user.name }}"), Wording())
    quotes = orjson.dumps('"' * 3000).decode()  # 3,000 octets for FCM, 6,000 for the others
    done = what.render(audience(tag__name=[quotes, quotes, quotes]), moment())
    sizes = what.sizes(done, NOW)
    told = {network: (found.over, found.longest > 6000) for network, found in sizes.items()}
    assert told == {
        Network.APNS: (1, True),
        Network.FCM: (1, True),  # what FCM hands on to Apple
        Network.WEBPUSH: (1, True),
    }


def test_tracked_links_name_the_device(engine: LiquidEngine) -> None:
    """And lead, signed, to each person's own target."""
    content = Content(body="x", link="https://shop.example/{{ user.name }}")
    what = prepared(engine, content, Wording(track_links=True))
    done = what.render(audience(tag__name=['"a b"', '"c"', '"d"']), moment())
    links = read(what, done, "link")
    clicks = [opened(link.removeprefix(LINKS.base + PATH), LINKS.keys) for link in links]
    assert [(c.device, c.target) for c in clicks if c is not None] == [
        (11, "https://shop.example/a%20b"),
        (12, "https://shop.example/c"),
        (13, "https://shop.example/d"),
    ]


@pytest.mark.parametrize("overflow", Overflow)
def test_texts_without_liquid_are_taken_letter_by_letter(
    engine: LiquidEngine, overflow: Overflow
) -> None:
    """A message that is only translated, its body cut where it must be, or not."""
    wording = Wording(liquid=False, language="en", localized={"fr": Content(body="{{ salut }}")})
    wording = replace(wording, overflow=overflow)
    what = prepared(engine, Content(body="{% hi %}"), wording)
    done = what.render(audience(language=["fr", "en", None]), moment())
    assert read(what, done, "body") == ["{{ salut }}", "{% hi %}", "{% hi %}"]
    assert what.sizes(done, NOW)[Network.APNS].longest > 0


@pytest.mark.parametrize(
    ("content", "wording", "path", "code"),
    [
        (Content(body="{{ user. }}"), Wording(), "/body", "template_invalid"),
        (Content(body="{{ event.total }}"), Wording(), "", "field_unknown"),
        (Content(body="{{ message.x }}"), Wording(), "/variables/x", "field_missing"),
        (
            Content(body="a"),
            Wording(localized={"de": Content(body="{% if %}")}),
            "/localized/de/body",
            "template_invalid",
        ),
    ],
)
def test_what_can_not_be_rendered_is_refused(
    engine: LiquidEngine, content: Content, wording: Wording, path: str, code: str
) -> None:
    """With the place of each problem."""
    with pytest.raises(ContentRefusedError) as caught:
        prepared(engine, content, wording)
    assert [(p.path, p.code) for p in caught.value.problems] == [(path, code)]


def test_links_are_tracked_only_over_a_public_address(engine: LiquidEngine) -> None:
    """Without one there is nowhere to lead people."""
    with pytest.raises(ContentRefusedError, match="public address"):
        prepared(engine, Content(body="x"), Wording(track_links=True), links=None)
