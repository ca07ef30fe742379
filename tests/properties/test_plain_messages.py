"""Plain messages: one check of a kind speaks for every message of it."""

from datetime import UTC, datetime
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.api.plain_messages import PLAIN_CHARACTERS, REMEMBERED, Kind, PlainMessages
from clarion.domain.content import Content, Message
from clarion.domain.ids import AppId, MessageId
from clarion.domain.lanes import Lane
from clarion.domain.network import Network
from clarion.ports.provider import Provider
from clarion.providers.apns.client import ApnsProvider
from clarion.providers.fcm.client import FcmProvider
from clarion.providers.webpush.client import WebPushProvider, WebPushSettings

NOW = datetime(2026, 3, 1, tzinfo=UTC)
NOBODY = cast("Any", None)
"""Checking a message asks no transport, clock or store."""
PROVIDERS: dict[Network, Provider] = {
    Network.APNS: ApnsProvider(transport=NOBODY, tokens=NOBODY, clock=NOBODY, chance=NOBODY),
    Network.FCM: FcmProvider(transport=NOBODY, tokens=NOBODY, clock=NOBODY),
    Network.WEBPUSH: WebPushProvider(NOBODY, NOBODY, NOBODY, WebPushSettings()),
}
TEXTS = (
    st.none()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=PLAIN_CHARACTERS)
    | st.text('"\\\n\t\U0001f600', max_size=PLAIN_CHARACTERS)
)


def message(content: Content) -> Message:
    """A message with this content."""
    return Message(
        id=MessageId("0195a5a5-0000-7000-8000-000000000000"),
        app=AppId(1),
        lane=Lane.TRANSACTIONAL,
        content=content,
    )


@given(
    contents=st.lists(
        st.builds(
            Content,
            title=TEXTS,
            subtitle=TEXTS,
            body=TEXTS,
            badge=st.none() | st.integers(0, 2**31 - 1),
            sound=st.none() | st.just("default"),
            thread=st.none() | st.text("ab", max_size=40),
        ),
        min_size=1,
        max_size=4,
    ),
    networks=st.sets(st.sampled_from(list(PROVIDERS)), min_size=1),
)
def test_what_is_called_fine_is_refused_by_no_network(
    contents: list[Content], networks: set[Network]
) -> None:
    """Whatever the texts say, and whichever message of the kind came first."""
    plain = PlainMessages(PROVIDERS)
    asked = sorted(networks)
    for content in contents:
        made = message(content)
        if plain.fine(made, asked, NOW):
            assert not [p for n in asked for p in PROVIDERS[n].check_message(made, NOW)]


@pytest.mark.parametrize("network", list(PROVIDERS))
def test_a_short_notice_is_plain(network: Network) -> None:
    """The usual message is one that need not be asked about."""
    notice = message(Content(title="Your code", body="123456"))

    assert PlainMessages(PROVIDERS).fine(notice, [network], NOW)


def test_what_is_long_or_free_is_asked_about() -> None:
    """Only short texts are known beforehand."""
    plain = PlainMessages(PROVIDERS)
    long = message(Content(title="x" * (PLAIN_CHARACTERS + 1)))
    free = message(Content(title="x", data={"aps": 1}))

    assert not plain.fine(long, [Network.APNS], NOW)
    assert not plain.fine(free, [Network.APNS], NOW)


def test_a_kind_that_is_checked_again_and_again_stays_known() -> None:
    """However many kinds come once: the one whose check is longest ago goes."""
    plain = PlainMessages(PROVIDERS)
    usual = message(Content(title="Your code"))
    kinds = [Kind(AppId(1), None, str(number), (True, False, False)) for number in range(1000)]
    for kind in kinds:
        plain.learn(kinds[0], usual, NOW)
        plain.learn(kind, usual, NOW)
        assert plain.ruled(kinds[0], NOW) is not None
    assert len([kind for kind in kinds if plain.ruled(kind, NOW)]) <= REMEMBERED
