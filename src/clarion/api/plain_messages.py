"""Which messages no network can refuse, known without building their payloads.

A network judges a payload by its parts and by its length. A plain message has short texts and
nothing else that the sender may choose freely; when the networks take the longest texts that a
plain message may have, they take all shorter ones. So one check stands for all messages that have
the same parts: the one-time codes and order notices of which there are thousands a second.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from clarion.domain.content import Content, Message
from clarion.domain.ids import AppId
from clarion.domain.lanes import Lane
from clarion.domain.network import Network
from clarion.domain.recent import Recent
from clarion.ports.provider import Provider

PLAIN_CHARACTERS: Final = 120
"""The longest title, subtitle or body of a plain message."""
REMEMBERED: Final = 256
"""Kinds of plain messages; beyond that the memory starts anew."""
_LONGEST: Final = (
    PLAIN_CHARACTERS * '"',  # an escape in JSON, two within a string of JSON
    PLAIN_CHARACTERS * "\N{GRINNING FACE}",  # four octets of UTF-8, twelve as escaped surrogates
)

RULED_FOR: Final = timedelta(seconds=1)
"""How long what a check found out holds for the next messages of the kind."""

_Parts = tuple[object, ...]


class Kind(NamedTuple):
    """What messages in plain words have in common that are checked once together."""

    app: AppId
    lane: str | None
    category: str | None
    """As the request names them; None where it does not."""
    texts: tuple[bool, bool, bool]
    """Whether there is a title, a subtitle, a body."""


@dataclass(slots=True)
class Ruled:
    """What a check has found out about a kind."""

    lane: Lane
    category: str
    since: datetime
    checking: bool = False
    """It is over, and a message is being checked anew: the others go by it for as long again."""


class PlainMessages:
    """Asks the networks once about each kind of plain message."""

    def __init__(self, providers: Mapping[Network, Provider]) -> None:
        self._providers = providers
        self._fine: Recent[_Parts, bool] = Recent(REMEMBERED)
        self._ruled: Recent[Kind, Ruled] = Recent(REMEMBERED)

    def ruled(self, kind: Kind, now: datetime) -> Ruled | None:
        """What was found out about a kind a moment ago; None: the message has to be checked."""
        known = self._ruled.known(kind)  # what is from the future: the clock was put back since
        if known is None or not now - 2 * RULED_FOR <= known.since <= now:
            return None
        if now - RULED_FOR <= known.since or known.checking:
            return known
        known.checking = True
        return None

    def learn(self, kind: Kind, message: Message, now: datetime) -> None:
        """A message of the kind was checked, and is fine as all of its kind are."""
        if message.lane.urgent:
            self._ruled.learn(kind, Ruled(message.lane, message.category, now))

    def fine(self, message: Message, networks: Sequence[Network], now: datetime) -> bool:
        """True: none of the networks would refuse the message. False: ask them."""
        content = message.content
        if not _is_plain(message, content):
            return False
        parts = (
            *networks,
            message.push_type,
            message.priority,
            content.title is None,
            content.subtitle is None,
            content.body is None,
            content.badge is None,
            content.sound,
            content.action_set,
            content.thread,
        )
        known = self._fine.known(parts)
        if known is None:
            known = self._ask(message, networks, now)
            self._fine.learn(parts, known)
        return known

    def _ask(self, message: Message, networks: Sequence[Network], now: datetime) -> bool:
        longest = [
            replace(message, content=_with(message.content, text)) for text in ("", *_LONGEST)
        ]
        return not any(
            self._providers[network].check_message(item, now)
            for network in networks
            for item in longest
        )


def _is_plain(message: Message, content: Content) -> bool:
    return (
        not (content.overrides or content.data or content.actions)
        and content.image is None
        and content.icon is None
        and content.link is None
        and message.ttl is None
        and message.expires_at is None
        and message.collapse_id is None
        and (content.title is None or len(content.title) <= PLAIN_CHARACTERS)
        and (content.body is None or len(content.body) <= PLAIN_CHARACTERS)
        and (content.subtitle is None or len(content.subtitle) <= PLAIN_CHARACTERS)
    )


def _with(content: Content, text: str) -> Content:
    """The same parts, with these texts and the longest number."""
    return replace(
        content,
        title=None if content.title is None else text,
        subtitle=None if content.subtitle is None else text,
        body=None if content.body is None else text,
        badge=None if content.badge is None else 2**31 - 1,
    )
